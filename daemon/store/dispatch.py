"""Executions as the daemon sees them: claim, complete, rescue. `executions` has the submitters' side.

Who moves a row: `claim` out of `pending`; `complete` out of `running`; `rescue` takes over, or ends, what a
daemon that is gone left `running`; `retake` starts again what this daemon lost itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, cast
from uuid import UUID

import asyncpg
import msgspec

from daemon.errors import InvalidInput
from daemon.store import logs, sql
from daemon.store.database import Executor, Record, storable, transaction, translated
from ipc.messages import LogLine, ScriptType, TriggerType

_SQL: Final = sql.load("dispatch")

FinalStatus = Literal["completed", "failed", "timeout", "cancelled"]


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """An execution that this daemon is to run. `*_json` is JSON text; `run_at` is Unix time in seconds.

    `resource_limits_json` is the script's, `limits_json` the execution's own; rows older than the schema's rules
    may hold anything in both. `log_seq` is the last console line number of earlier attempts: go on from there.
    """

    id: UUID
    script_id: UUID
    tenant_id: UUID
    script_name: str
    script_type: ScriptType
    source: str
    script_version: int | None
    input_json: str
    trigger_type: TriggerType
    trigger_data_json: str
    resource_limits_json: str
    limits_json: str | None
    attempt: int
    fencing_token: int
    queue_ms: float
    run_at: float
    log_seq: int


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution ended. `fencing_token` is that of its `Claimed`; `logs` are lines not yet stored."""

    id: UUID
    fencing_token: int
    status: FinalStatus
    outcome: str
    output_json: str | None = None
    error: str | None = None
    postmortem: str | None = None
    metrics_json: str = "{}"
    logs: tuple[LogLine, ...] = ()


class Rescued(msgspec.Struct, frozen=True):
    """What a rescue did: `taken_over` are to be run by the caller, `ended` have their final state."""

    taken_over: list[Claimed]
    ended: list[UUID]


async def claim(db: Executor, daemon_id: UUID, max_rows: int) -> list[Claimed]:
    """Move at most `max_rows` pending executions to `running` on this daemon, best first.

    :raises Conflict: the daemon is not registered, or lost its lease.
    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        return [Claimed(**row) for row in await db.fetch(_SQL["claim"], daemon_id, max_rows)]


async def complete(db: Executor, daemon_id: UUID, endings: Sequence[Ending]) -> set[UUID]:
    """Write endings and their log lines, in one statement. Return the ids that were written.

    An ending whose execution this daemon no longer holds (taken over, ended by someone else, deleted) is left
    out. One that the database refuses, such as output that JSONB cannot hold, is stored as failed with outcome
    `invalid_output`, and costs the others nothing.

    :raises DatabaseUnavailable: it is not known whether they were written; to repeat the call is safe.
    """
    if not endings:
        return set()
    try:
        with translated():
            return await _write(db, daemon_id, endings)
    except InvalidInput as refusal:
        if len(endings) == 1:
            return await _write_refused(db, daemon_id, endings[0], refusal)
    return await _write_one_by_one(db, daemon_id, endings)


async def rescue(db: Executor, daemon_id: UUID, max_rows: int) -> Rescued:
    """Look after what daemons that are gone left running.

    An execution whose cancel was asked for is cancelled. One whose script says `{"delivery": "at_most_once"}` in
    its metadata, or that was started three times, has failed with outcome `worker_lost`. At most `max_rows` others
    are taken over by this daemon.

    :raises Conflict: this daemon itself is not registered, or lost its lease.
    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        async with transaction(db) as connection:
            await connection.execute(_SQL["lock_claims"], daemon_id)
            await connection.execute(_SQL["expire_leases"], daemon_id)
            ended = [row["id"] for row in await connection.fetch(_SQL["end_orphans"])]
            rows = await connection.fetch(_SQL["take_over"], daemon_id, max_rows) if max_rows > 0 else []
            return Rescued([Claimed(**row) for row in rows], ended)


async def retake(db: Executor, daemon_id: UUID, execution_ids: Sequence[UUID]) -> list[Claimed]:
    """Start again executions that this daemon itself lost, for instance with its zygote; return those.

    The rules are those of `rescue`: not one whose cancel was asked for, nor one that is delivered at most once, nor
    one that was started three times. The others are still `running`, and the caller ends them.

    :raises DatabaseUnavailable: it is not known whether they were started; to repeat the call counts as an attempt.
    """
    with translated():
        return [Claimed(**row) for row in await db.fetch(_SQL["retake"], daemon_id, list(execution_ids))]


async def _write(db: Executor, daemon_id: UUID, endings: Sequence[Ending]) -> set[UUID]:
    columns: list[list[Any]] = [
        [ending.id for ending in endings],
        [ending.fencing_token for ending in endings],
        [ending.status for ending in endings],
        [ending.outcome for ending in endings],
        [ending.output_json for ending in endings],
        [storable(ending.error) for ending in endings],
        [storable(ending.postmortem) for ending in endings],
        [ending.metrics_json for ending in endings],
    ]
    lines = logs.columns([(ending.id, line) for ending in endings for line in ending.logs])
    try:
        rows: list[Record] = await db.fetch(_SQL["complete"], daemon_id, *columns, *lines)
    except UnicodeEncodeError as error:
        raise InvalidInput("The output holds a lone surrogate.", field="output") from error
    except asyncpg.StatementTooComplexError as error:
        raise InvalidInput("The output is nested too deeply.", field="output") from error
    except asyncpg.ProgramLimitExceededError as error:
        raise InvalidInput("The output is too large for JSONB.", field="output") from error
    return {cast(UUID, row["id"]) for row in rows}


async def _write_one_by_one(db: Executor, daemon_id: UUID, endings: Sequence[Ending]) -> set[UUID]:
    written: set[UUID] = set()
    for ending in endings:
        written |= await complete(db, daemon_id, [ending])
    return written


async def _write_refused(db: Executor, daemon_id: UUID, ending: Ending, refusal: InvalidInput) -> set[UUID]:
    replacement = Ending(
        id=ending.id,
        fencing_token=ending.fencing_token,
        status="failed",
        outcome="invalid_output",
        error=f"The result cannot be stored: {refusal.message}",
        postmortem=f"the database refused the result: {refusal.message}",
    )
    with translated():
        return await _write(db, daemon_id, [replacement])
