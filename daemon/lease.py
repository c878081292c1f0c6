"""This daemon's registration and its lease: the time-bound right to what it has claimed.

The database's clock says when a lease is over. A daemon that cannot renew in time ends its own executions before
others may take them over, and starts anew under another id when the database is back.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from uuid import UUID, uuid4

from daemon.errors import DatabaseUnavailable, StoreError
from daemon.store import daemons
from daemon.store.daemons import Registration
from daemon.store.database import Pool as Database

log = logging.getLogger(__name__)

_SAFETY = 0.7
"""A lease that was not renewed for this part of its length is given up, with time left to end what runs."""


class Lease:
    """Registers the daemon and keeps its lease."""

    def __init__(self, database: Database, lease_seconds: float, on_lost: Callable[[], None]) -> None:
        self._database = database
        self._lease_seconds = lease_seconds
        self._on_lost = on_lost
        self._renewed = 0.0
        self.daemon_id = uuid4()
        self.held = False

    async def register(self) -> None:
        """Begin to serve. Dead daemons of this host lose their leases at once.

        :raises DatabaseUnavailable: the database is away.
        """
        here = registration(self.daemon_id)
        await daemons.register(self._database, here, lease_seconds=self._lease_seconds)
        self._renewed, self.held = time.monotonic(), True
        dead = await daemons.expire_dead_neighbours(
            self._database,
            host=here.host,
            boot_id=here.boot_id,
            pid_namespace=here.pid_namespace,
            is_alive=is_alive,
        )
        if dead:
            log.warning("daemons of this host that died before: %s", ", ".join(str(each) for each in dead))

    async def run(self) -> None:
        """Renew for ever, three times a lease."""
        while True:
            await asyncio.sleep(self._lease_seconds / 4)
            try:
                await self._renew()
            except StoreError as failure:
                log.warning("the lease could not be renewed: %s", failure.message)
                if self.held and time.monotonic() - self._renewed > self._lease_seconds * _SAFETY:
                    self._lose("the database did not answer in time")

    async def release(self) -> None:
        """Serve no more; what is still marked as running here may be taken over at once."""
        try:
            await daemons.deregister(self._database, self.daemon_id)
        except StoreError as failure:
            log.warning("the daemon could not sign off: %s", failure.message)

    async def _renew(self) -> None:
        asked = time.monotonic()
        if not self.held:
            self.daemon_id = uuid4()
            await self.register()
            log.info("serving again, as daemon %s", self.daemon_id)
            return
        timeout = self._lease_seconds / 4
        try:
            renewed = await asyncio.wait_for(
                daemons.heartbeat(self._database, self.daemon_id, lease_seconds=self._lease_seconds), timeout
            )
        except TimeoutError as failure:
            raise DatabaseUnavailable(f"no answer to the heartbeat in {timeout:.1f} s") from failure
        if renewed:
            self._renewed = asked
        else:
            self._lose("others have declared this daemon dead")

    def _lose(self, why: str) -> None:
        log.error("the lease is lost, everything that runs here is killed: %s", why)
        self.held = False
        self._on_lost()


def registration(daemon_id: UUID) -> Registration:
    """Describe this process to the other daemons."""
    return Registration(
        id=daemon_id,
        host=socket.gethostname(),
        boot_id=Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip(),
        pid_namespace=os.readlink("/proc/self/ns/pid"),
        pid=os.getpid(),
        pid_started_ticks=_started_ticks(os.getpid()) or 0,
        version=version(),
    )


def version() -> str:
    """The version of the installed distribution."""
    try:
        return metadata.version("jsruntimed")
    except metadata.PackageNotFoundError:
        return f"source tree on Python {platform.python_version()}"


def is_alive(pid: int, started_ticks: int) -> bool:
    """Whether the process of this pid and this start time (clock ticks since boot) still runs."""
    return _started_ticks(pid) == started_ticks


def _started_ticks(pid: int) -> int | None:
    """When the process started; `None` where there is none, or only what its parent has not reaped."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(") ")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
