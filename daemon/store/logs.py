"""Console lines of executions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from daemon.store import sql
from daemon.store.database import Executor, storable, translated
from ipc.messages import LogLine

_SQL: Final = sql.load("logs")


async def insert(db: Executor, lines: Sequence[tuple[UUID, LogLine]]) -> None:
    """Store lines of executions, each with its execution's id, in one statement.

    Lines that are there already and lines of executions that are gone are left out, so to repeat is safe.

    :raises InvalidInput: a line that the database refuses.
    :raises DatabaseUnavailable: it is not known whether they were stored.
    """
    if lines:
        with translated():
            await db.execute(_SQL["insert"], *columns(lines))


async def read(
    db: Executor, tenant_id: UUID, execution_id: UUID, *, after_seq: int = 0, limit: int = 1000
) -> list[LogLine]:
    """Return at most `limit` lines of an execution after line number `after_seq`, in order.

    No lines, where the tenant has no such execution.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        rows = await db.fetch(_SQL["read"], tenant_id, execution_id, after_seq, limit)
    return [LogLine(**row) for row in rows]


def columns(lines: Sequence[tuple[UUID, LogLine]]) -> list[list[Any]]:
    """Return the lines as the parallel arrays that the statements take."""
    return [
        [execution_id for execution_id, _ in lines],
        [line.seq for _, line in lines],
        [line.level for _, line in lines],
        [line.logged_at for _, line in lines],
        [storable(line.message) for _, line in lines],
    ]
