"""Writes endings to the database in batches: whatever has gathered while the last batch was on its way.

A lone ending is never held back, and under load the batches grow by themselves. While the database is away the
endings wait here, bounded, and claiming pauses; a write whose outcome is unknown is repeated, which the
fencing token makes harmless.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

from daemon.errors import DatabaseUnavailable, StoreError
from daemon.lease import Lease
from daemon.store import dispatch, logs
from daemon.store.database import Pool as Database
from daemon.store.dispatch import Claimed, Ending

log = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""So many endings may wait for the database before claiming pauses."""

_BATCH = 500
_RETRY_SECONDS = 0.5


class Completions:
    """The queue of endings and the one task that writes it."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        on_written: Callable[[set[UUID]], None],
        on_retaken: Callable[[list[Claimed]], None],
    ) -> None:
        self._database = database
        self._lease = lease
        self._on_written = on_written
        self._on_retaken = on_retaken
        self._waiting: list[Ending] = []
        self._lost: list[Ending] = []
        self._more = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, ending: Ending) -> None:
        """Have an ending written."""
        self._waiting.append(ending)
        self._wake()

    def add_lost(self, ending: Ending) -> None:
        """An execution was lost with its zygote: run it again if its script allows, else have the ending written."""
        self._lost.append(ending)
        self._wake()

    @property
    def has_room(self) -> bool:
        """Whether more may be claimed."""
        return len(self._waiting) < MAX_WAITING

    async def run(self) -> None:
        """Write for ever. Cancel it when `drained` has returned."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting or self._lost:
                await self._turn()
            self._idle.set()

    async def drained(self) -> None:
        """Return when everything that was added is written."""
        await self._idle.wait()

    def _wake(self) -> None:
        self._idle.clear()
        self._more.set()

    async def _turn(self) -> None:
        try:
            if self._lost:
                await self._retake()
            if self._waiting:
                await self._write(self._waiting[:_BATCH])
        except DatabaseUnavailable as failure:
            log.warning("%d endings wait for the database: %s", len(self._waiting), failure.message)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _write(self, batch: list[Ending]) -> None:
        try:
            written = await dispatch.complete(self._database, self._lease.daemon_id, batch)
        except DatabaseUnavailable:
            raise
        except StoreError as failure:
            # Not the rows' fault (those are handled one by one in `complete`) and not the connection's.
            log.error("endings could not be stored: %s", failure)
            await asyncio.sleep(_RETRY_SECONDS)
            return
        del self._waiting[: len(batch)]
        for ending in batch:
            if ending.id not in written:
                log.warning("execution %s: its result came too late and was refused", ending.id)
        self._on_written(written)

    async def _retake(self) -> None:
        lost = list(self._lost)
        # First their console lines: the next attempt's are numbered after them.
        await logs.insert(self._database, [(ending.id, line) for ending in lost for line in ending.logs])
        claimed: list[Claimed] = []
        try:
            claimed = await dispatch.retake(self._database, self._lease.daemon_id, [ending.id for ending in lost])
        except DatabaseUnavailable:
            raise
        except StoreError as failure:
            # The lease is lost: whoever has the executions now runs them again, and the endings will be refused.
            log.warning("%d executions cannot be started again here: %s", len(lost), failure.message)
        del self._lost[: len(lost)]
        again = {each.id for each in claimed}
        self._waiting += [ending for ending in lost if ending.id not in again]
        self._on_retaken(claimed)
