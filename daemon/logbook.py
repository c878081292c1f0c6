"""Console lines of what runs here: numbered, shown live to whoever follows, kept until they are stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from ipc.messages import LogLevel, LogLine

_FOLLOWER_MAX_LINES = 10_000
"""A follower that lags so far behind misses lines here and reads them from the database instead."""


class _Page:
    """The lines of one running execution that are not in the database yet."""

    def __init__(self, first_seq: int) -> None:
        self.started_at = time.time()
        self.next_seq = first_seq
        self.unstored: list[LogLine] = []


class Logbook:
    """All pages, and who follows them."""

    def __init__(self) -> None:
        self._pages: dict[UUID, _Page] = {}
        self._followers: dict[UUID, set[asyncio.Queue[LogLine]]] = {}

    def open(self, execution_id: UUID, last_seq: int) -> None:
        """Begin the page of an execution that starts now; `last_seq` is of its earlier attempts."""
        self._pages[execution_id] = _Page(last_seq + 1)

    def write(self, execution_id: UUID, level: str, message: str, elapsed_seconds: float) -> None:
        """Add one line. Lines of an execution that has no page are dropped."""
        page = self._pages.get(execution_id)
        if page is None:
            return
        line = LogLine(
            seq=page.next_seq,
            level=cast(LogLevel, level),
            logged_at=page.started_at + elapsed_seconds,
            message=message,
        )
        page.next_seq += 1
        page.unstored.append(line)
        for queue in self._followers.get(execution_id, ()):
            if queue.qsize() < _FOLLOWER_MAX_LINES:
                queue.put_nowait(line)

    def close(self, execution_id: UUID) -> tuple[LogLine, ...]:
        """End a page; return the lines that are to be stored with the ending."""
        page = self._pages.pop(execution_id, None)
        return tuple(page.unstored) if page else ()

    def unstored(self) -> list[tuple[UUID, LogLine]]:
        """All lines of running executions that are not stored yet; `stored` follows when they are."""
        return [(execution_id, line) for execution_id, page in self._pages.items() for line in page.unstored]

    def stored(self, lines: list[tuple[UUID, LogLine]]) -> None:
        """These lines are in the database now; they need not be stored with the ending."""
        last = {execution_id: line.seq for execution_id, line in lines}
        for execution_id, seq in last.items():
            page = self._pages.get(execution_id)
            if page is not None:
                page.unstored = [line for line in page.unstored if line.seq > seq]

    @contextmanager
    def follow(self, execution_id: UUID) -> Iterator[asyncio.Queue[LogLine]]:
        """Receive the lines of an execution that runs here: those that are not stored yet, and all from now on."""
        queue: asyncio.Queue[LogLine] = asyncio.Queue()
        page = self._pages.get(execution_id)
        for line in page.unstored if page else ():
            queue.put_nowait(line)
        self._followers.setdefault(execution_id, set()).add(queue)
        try:
            yield queue
        finally:
            followers = self._followers[execution_id]
            followers.discard(queue)
            if not followers:
                del self._followers[execution_id]
