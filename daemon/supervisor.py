"""The composition root: puts the services together, starts them in order, drains and stops them."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from uuid import UUID

import anyio
from anyio.abc import TaskGroup

from daemon.claims import Claims
from daemon.completions import Completions
from daemon.config import Config
from daemon.dispatcher import Dispatcher
from daemon.errors import StoreError
from daemon.ipc_server import IpcServer, PeerAccess
from daemon.lease import Lease, version
from daemon.logbook import Logbook
from daemon.pool import Pool
from daemon.requests import Requests
from daemon.rescuer import Rescuer
from daemon.store import database, executions, logs
from daemon.waiters import Waiters
from daemon.wakeup import CANCEL, FINISHED, PENDING, Wakeup

log = logging.getLogger(__name__)

_DATABASE_CONNECTIONS = 8
_LOG_FLUSH_SECONDS = 1.0


class Supervisor:
    """One daemon. `run` returns when it has stopped."""

    def __init__(self, config: Config, on_ready: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._on_ready = on_ready
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    def stop(self) -> None:
        """Drain and stop; a second call stops at once."""
        if self._stop.is_set():
            self._stop_now.set()
        self._stop.set()

    async def run(self) -> None:
        """Serve until `stop`, or SIGTERM or SIGINT.

        :raises ConfigError: the socket cannot be listened on.
        :raises DatabaseUnavailable: the database cannot be reached at the start.
        :raises ZygoteError: the engine does not start.
        """
        config = self._config.daemon
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        async with AsyncExitStack() as stack:
            self._database = await database.open_pool(self._config.database.dsn, max_size=_DATABASE_CONNECTIONS)
            stack.callback(self._database.terminate)
            self._compose()
            stack.callback(self._pool.close)
            await self._pool.start()
            await self._lease.register()
            server = IpcServer(
                self._requests,
                path=Path(self._config.socket.path),
                access=PeerAccess.for_daemon(
                    uids=frozenset(self._config.socket.allowed_uids),
                    gids=frozenset(self._config.socket.allowed_gids),
                ),
                version=version(),
                daemon_id=str(self._lease.daemon_id),
            )
            async with anyio.create_task_group() as group, server:
                self._start_services(group)
                log.info("daemon %s serves, at most %d at a time", self._lease.daemon_id, self._config.pool.max_running)
                self._on_ready()
                await self._stop.wait()
                await self._drain(config.drain_seconds)
                group.cancel_scope.cancel()
            await self._lease.release()

    def _compose(self) -> None:
        config, database = self._config.daemon, self._database
        self._pool = Pool(self._config.pool, on_free=lambda: self._claims.slot_freed())
        self._lease = Lease(database, config.lease_seconds, on_lost=self._pool.kill_all)
        self._logbook = Logbook()
        self._waiters = Waiters(database, config.poll_seconds)
        self._completions = Completions(
            database,
            self._lease,
            on_written=self._written,
            on_retaken=lambda claimed: self._dispatcher.start_all(claimed),
        )
        self._dispatcher = Dispatcher(self._pool, self._completions, self._logbook)
        self._claims = Claims(
            database, self._lease, self._pool, self._dispatcher, self._completions, config.poll_seconds
        )
        self._rescuer = Rescuer(database, self._lease, self._pool, self._dispatcher, config.lease_seconds)
        self._requests = Requests(
            database,
            self._lease,
            self._pool,
            self._claims,
            self._dispatcher,
            self._waiters,
            self._logbook,
            config.default_tenant,
        )
        self._wakeup = Wakeup(
            self._config.database.dsn,
            {
                PENDING: lambda _payload: self._claims.wake(),
                CANCEL: lambda payload: self._dispatcher.cancel(UUID(payload)),
                FINISHED: self._finished,
            },
            on_connect=self._look_everywhere,
        )

    def _written(self, execution_ids: set[UUID]) -> None:
        """Endings of this daemon are in the database."""
        self._waiters.announce(execution_ids)
        self._claims.wake_held_back()

    def _finished(self, payload: str) -> None:
        """Executions have ended, here or on another daemon."""
        self._waiters.announce_text(payload)
        self._claims.wake_held_back()

    def _look_everywhere(self) -> None:
        """After a (re)connection: whatever was notified in between was missed."""
        self._claims.wake()
        self._waiters.announce_all()

    def _start_services(self, group: TaskGroup) -> None:
        self._claims.wake()
        for service in (self._lease, self._completions, self._waiters, self._wakeup, self._rescuer, self._claims):
            group.start_soon(service.run, name=type(service).__name__)
        group.start_soon(self._watch_cancellations, name="cancellations")
        group.start_soon(self._flush_logs, name="logs")

    async def _watch_cancellations(self) -> None:
        """The fallback for cancel requests whose notification was missed."""
        while True:
            await asyncio.sleep(self._config.daemon.poll_seconds)
            if self._pool.active == 0:
                continue
            try:
                for execution_id in await executions.cancel_requested(self._database, self._lease.daemon_id):
                    self._dispatcher.cancel(execution_id)
            except StoreError as failure:
                log.warning("cancel requests cannot be read: %s", failure.message)

    async def _flush_logs(self) -> None:
        """Store the console lines of what runs on, so that a crash of this daemon does not take them along."""
        while True:
            await asyncio.sleep(_LOG_FLUSH_SECONDS)
            lines = self._logbook.unstored()
            try:
                await logs.insert(self._database, lines)
                self._logbook.stored(lines)
            except StoreError as failure:
                log.warning("%d console lines wait for the database: %s", len(lines), failure.message)

    async def _drain(self, seconds: float) -> None:
        """Take nothing new, let what runs end for a while, write all endings."""
        log.info("stopping: %d executions are running", self._pool.active)
        self._requests.draining = True
        self._claims.pause()
        self._rescuer.pause()
        with anyio.move_on_after(seconds):
            async with anyio.create_task_group() as group:
                group.start_soon(self._wait_for_end, group)
                await self._stop_now.wait()
                group.cancel_scope.cancel()
        if self._pool.active:
            # They keep their rows, marked as running here; whoever rescues them follows their delivery rule.
            log.warning("%d executions did not end in time; another daemon may run them again", self._pool.active)

    async def _wait_for_end(self, group: TaskGroup) -> None:
        await self._pool.idle()
        await self._completions.drained()
        group.cancel_scope.cancel()
