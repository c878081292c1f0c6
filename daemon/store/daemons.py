"""Daemons and their leases.

A daemon serves until `stopped_at` is set: by itself when it stops, by a neighbour that finds its process dead, or
by a rescuer that finds its lease over (`dispatch.rescue`). From then on others may take over what it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from daemon.store import sql
from daemon.store.database import Executor, translated

_SQL: Final = sql.load("daemons")

IsAlive = Callable[[int, int], bool]
"""Whether the process with this pid and this start, in clock ticks since boot, still runs."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A daemon's process, told from every other. `boot_id` is of the kernel, `pid_namespace` as the link
    `/proc/self/ns/pid` reads, `pid_started_ticks` field 22 of `/proc/<pid>/stat`."""

    id: UUID
    host: str
    boot_id: str
    pid_namespace: str
    pid: int
    pid_started_ticks: int
    version: str


async def register(db: Executor, daemon: Registration, *, lease_seconds: float) -> None:
    """Begin to serve, under a lease.

    :raises Conflict: the id is taken; each start of a daemon has a new one.
    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        await db.execute(
            _SQL["register"],
            daemon.id,
            daemon.host,
            daemon.boot_id,
            daemon.pid_namespace,
            daemon.pid,
            daemon.pid_started_ticks,
            daemon.version,
            lease_seconds,
        )


async def heartbeat(db: Executor, daemon_id: UUID, *, lease_seconds: float) -> bool:
    """Renew the lease. `False`: it is lost, what this daemon runs belongs to others; stop it and register anew.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        return await db.fetchval(_SQL["heartbeat"], daemon_id, lease_seconds) is not None


async def deregister(db: Executor, daemon_id: UUID) -> None:
    """Serve no more. What it still runs may be taken over.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        await db.execute(_SQL["stop"], [daemon_id])


async def expire_dead_neighbours(
    db: Executor, *, host: str, boot_id: str, pid_namespace: str, is_alive: IsAlive
) -> list[UUID]:
    """Stop the daemons of this host whose process is gone, without waiting for their leases; return their ids.

    Only those whose processes can be seen from here: same host, same boot, same pid namespace.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        rows = await db.fetch(_SQL["neighbours"], host, boot_id, pid_namespace)
        dead = [row["id"] for row in rows if not is_alive(row["pid"], row["pid_started_ticks"])]
        return [row["id"] for row in await db.fetch(_SQL["stop"], dead)] if dead else []


async def forget(db: Executor, *, older_than_seconds: float) -> None:
    """Delete the daemons that stopped longer ago than that and run nothing.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        await db.execute(_SQL["forget"], older_than_seconds)
