"""Takes pending executions for this daemon: as many as can start, as soon as they can.

Woken by a notification, by a submit on the socket, by the time of a delayed row, by an end where due executions wait
for one, and as a fallback by the poll interval. With a backlog it waits until a quarter of the slots is free, or a
few milliseconds have passed, so that a claim brings a batch; a lone execution is never held back.
"""

from __future__ import annotations

import asyncio
import logging

from daemon.completions import Completions
from daemon.dispatcher import Dispatcher
from daemon.errors import StoreError
from daemon.lease import Lease
from daemon.pool import Pool
from daemon.store import dispatch, executions
from daemon.store.database import Pool as Database

log = logging.getLogger(__name__)

_GATHER_SECONDS = 0.005
"""How long free slots are gathered at most while there is a backlog."""

_RETRY_SECONDS = 1.0


class Claims:
    """The claiming loop."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        pool: Pool,
        dispatcher: Dispatcher,
        completions: Completions,
        poll_seconds: float,
    ) -> None:
        self._database = database
        self._lease = lease
        self._pool = pool
        self._dispatcher = dispatcher
        self._completions = completions
        self._poll_seconds = poll_seconds
        self._wake = asyncio.Event()
        self._freed = asyncio.Event()
        self._held_back = False
        self._paused = False

    def wake(self) -> None:
        """There may be work."""
        self._wake.set()

    def wake_held_back(self) -> None:
        """An execution has ended, here or elsewhere: one that waited for that may go."""
        if self._held_back:
            self._wake.set()

    def slot_freed(self) -> None:
        """There may be room."""
        self._freed.set()

    def pause(self) -> None:
        """Claim no more (while draining)."""
        self._paused = True

    async def run(self) -> None:
        """Claim for ever."""
        backlog = False
        while True:
            if not backlog:
                await self._sleep()
            await self._room(backlog)
            self._wake.clear()
            try:
                backlog = await self._claim()
            except StoreError as failure:
                log.warning("nothing can be claimed: %s", failure.message)
                backlog = False
                await asyncio.sleep(_RETRY_SECONDS)
                self._wake.set()

    async def _claim(self) -> bool:
        """Claim once. Returns whether there may be more."""
        if self._paused or not self._lease.held or not self._completions.has_room:
            return False
        wanted = self._pool.free_slots
        if wanted == 0:
            return True
        claimed = await dispatch.claim(self._database, self._lease.daemon_id, wanted)
        self._dispatcher.start_all(claimed)
        return len(claimed) == wanted

    async def _sleep(self) -> None:
        """Wait to be woken, for the next delayed row, or for the poll interval."""
        if self._wake.is_set():
            return
        seconds = self._poll_seconds
        if self._lease.held:
            try:
                outlook = await executions.outlook(self._database)
                self._held_back = outlook.held_back
                if outlook.next_run_in is not None:
                    seconds = min(seconds, max(outlook.next_run_in, 0.0))
            except StoreError:
                seconds = min(seconds, _RETRY_SECONDS)
        try:
            await asyncio.wait_for(self._wake.wait(), seconds)
        except TimeoutError:
            return

    async def _room(self, backlog: bool) -> None:
        """Wait for a free slot; with a backlog for a few of them, briefly."""
        while self._pool.free_slots == 0:
            await self._wait_freed(None)
        batch = max(1, self._pool.stats().max_running // 4)
        deadline = asyncio.get_running_loop().time() + _GATHER_SECONDS
        while backlog and self._pool.free_slots < batch:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            await self._wait_freed(left)

    async def _wait_freed(self, seconds: float | None) -> None:
        self._freed.clear()
        try:
            await asyncio.wait_for(self._freed.wait(), seconds)
        except TimeoutError:
            return
