"""Who waits for which execution to end, and telling them, wherever it ran."""

from __future__ import annotations

import asyncio
import logging
from uuid import UUID

from daemon.errors import StoreError
from daemon.store import executions
from daemon.store.database import Pool as Database
from ipc.messages import Execution

log = logging.getLogger(__name__)


class Waiters:
    """Futures by execution. Ends that are announced are read from the database, many at a time."""

    def __init__(self, database: Database, poll_seconds: float) -> None:
        self._database = database
        self._poll_seconds = poll_seconds
        self._futures: dict[UUID, set[asyncio.Future[Execution]]] = {}
        self._announced: set[UUID] = set()
        self._more = asyncio.Event()

    def announce(self, execution_ids: set[UUID]) -> None:
        """These have ended."""
        waited_for = execution_ids & self._futures.keys()
        if waited_for:
            self._announced |= waited_for
            self._more.set()

    def announce_text(self, payload: str) -> None:
        """The same, from a notification: ids with commas between."""
        for text in payload.split(","):
            try:
                self.announce({UUID(text)})
            except ValueError:
                log.warning("a notification that is no list of ids: %.100s", payload)
                return

    def announce_all(self) -> None:
        """Any of them may have ended."""
        self.announce(set(self._futures))

    async def wait(self, execution_id: UUID) -> Execution:
        """Return the execution when it has ended."""
        future: asyncio.Future[Execution] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(execution_id, set()).add(future)
        try:
            # It may have ended before anybody was listening.
            self.announce({execution_id})
            return await future
        finally:
            waiting = self._futures[execution_id]
            waiting.discard(future)
            if not waiting:
                del self._futures[execution_id]

    async def run(self) -> None:
        """Tell for ever; look for missed ends at every poll interval."""
        while True:
            try:
                await asyncio.wait_for(self._more.wait(), self._poll_seconds)
            except TimeoutError:
                self.announce_all()
            self._more.clear()
            announced, self._announced = self._announced, set()
            if not announced:
                continue
            try:
                ended = await executions.finished(self._database, announced)
            except StoreError as failure:
                log.warning("ends cannot be read: %s", failure.message)
                continue  # the poll looks again
            for execution in ended:
                for future in self._futures.get(UUID(execution.id), ()):
                    if not future.done():
                        future.set_result(execution)
