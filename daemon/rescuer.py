"""Looks after executions whose daemon died, was cut off, or lost its lease: takes them over or ends them."""

from __future__ import annotations

import asyncio
import logging

from daemon.dispatcher import Dispatcher
from daemon.errors import StoreError
from daemon.lease import Lease
from daemon.pool import Pool
from daemon.store import dispatch
from daemon.store.database import Pool as Database

log = logging.getLogger(__name__)


class Rescuer:
    """A round now and then; the first one at the start."""

    def __init__(
        self, database: Database, lease: Lease, pool: Pool, dispatcher: Dispatcher, lease_seconds: float
    ) -> None:
        self._database = database
        self._lease = lease
        self._pool = pool
        self._dispatcher = dispatcher
        self._interval_seconds = lease_seconds / 2
        self._paused = False

    def pause(self) -> None:
        """Take nothing over (while draining)."""
        self._paused = True

    async def run(self) -> None:
        """Rescue for ever."""
        while True:
            try:
                if self._lease.held and not self._paused:
                    await self.rescue()
            except StoreError as failure:
                log.warning("no rescue: %s", failure.message)
            await asyncio.sleep(self._interval_seconds)

    async def rescue(self) -> None:
        """One round, as far as there are free slots.

        :raises StoreError: the database is away, or this daemon lost its own lease.
        """
        rescued = await dispatch.rescue(self._database, self._lease.daemon_id, self._pool.free_slots)
        for execution in rescued.taken_over:
            log.warning(
                "execution %s: taken over from a daemon that is gone, attempt %d", execution.id, execution.attempt
            )
            self._dispatcher.start(execution)
        for execution_id in rescued.ended:
            log.warning("execution %s: ended, its daemon is gone", execution_id)
