"""Executions as their submitters see them: submit, look, cancel. `dispatch` has the daemon's side."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

import msgspec

from daemon.errors import Conflict, InvalidInput, NotFound
from daemon.store import sql, tenants
from daemon.store.database import Executor, Record, as_uuid, transaction, translated
from ipc.messages import Execution, ExecutionStatus, Limits, TriggerType

_SQL: Final = sql.load("executions")
_LAST_ID: Final = UUID(int=2**128 - 1)
_END_OF_TIME: Final = datetime(9999, 12, 31, tzinfo=UTC)


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be executed: `script` (name or id) or inline `source`, not both.

    Inline source becomes a `oneoff` script of its own; the same source is the same script. It needs an
    organization: `organization_id`, or where that is `None` the one that the tenant uses already.
    """

    tenant_id: UUID
    script: str | None = None
    source: str | None = None
    organization_id: UUID | None = None
    input_json: str = "{}"
    trigger_type: TriggerType = "api"
    trigger_data_json: str = "{}"
    priority: int = 0
    delay_ms: int = 0
    limits: Limits = Limits()


class Submitted(msgspec.Struct, frozen=True):
    """The ids of a committed execution and of its script."""

    id: UUID
    script_id: UUID


class Page(msgspec.Struct, frozen=True):
    """Some executions, newest first; `next_before` asks for the next page and is `None` on the last."""

    executions: list[Execution]
    next_before: str | None


async def submit(db: Executor, submission: Submission) -> Submitted:
    """Record one pending execution. It is durable on return, if `db` is a pool.

    :raises NotFound: the tenant has no such script, or no organization for an inline source.
    :raises Conflict: the script is not active.
    :raises InvalidInput: a value that the database refuses; `field` names it.
    :raises DatabaseUnavailable: it is not known whether the execution was recorded.
    """
    if (submission.script is None) == (submission.source is None):
        raise InvalidInput("Give either script or source.", field="script")
    if submission.delay_ms < 0:
        raise InvalidInput(f"delay_ms is {submission.delay_ms}; allowed is 0 or more.", field="delay_ms")
    with translated():
        if submission.source is not None:
            return await _submit_source(db, submission, submission.source)
        return await _submit_script(db, submission, submission.script or "")


async def show(db: Executor, tenant_id: UUID, execution_id: UUID) -> Execution:
    """Return an execution with its input and output.

    :raises NotFound: the tenant has no such execution.
    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        row = await db.fetchrow(_SQL["show"], tenant_id, execution_id)
    if row is None:
        raise _no_execution(execution_id)
    return _execution(row)


async def finished(db: Executor, execution_ids: Iterable[UUID]) -> list[Execution]:
    """Return those of the given executions that have ended, of whatever tenant, with input and output.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        return [_execution(row) for row in await db.fetch(_SQL["finished"], list(execution_ids))]


async def list_executions(
    db: Executor,
    tenant_id: UUID,
    *,
    script_id: UUID | None = None,
    status: ExecutionStatus | None = None,
    limit: int = 50,
    before: str | None = None,
) -> Page:
    """Return a page of at most `limit` (1 to 1000) executions, without input and output.

    :raises InvalidInput: `before` is not the `next_before` of a page.
    :raises DatabaseUnavailable: the database is away.
    """
    size = max(1, min(limit, 1000))
    queued_at, after_id = _parse_cursor(before)
    with translated():
        rows = await db.fetch(_SQL["list"], tenant_id, script_id, status, queued_at, after_id, size + 1)
    page = rows[:size]
    following = _cursor(page[-1]["queued_at_exact"], page[-1]["id"]) if len(rows) > size else None
    return Page([_execution(row) for row in page], following)


async def counts_by_status(db: Executor, tenant_id: UUID) -> dict[str, int]:
    """Return how many executions the tenant has in each status that occurs.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        rows = await db.fetch(_SQL["counts_by_status"], tenant_id)
    return {row["status"]: row["executions"] for row in rows}


class Outlook(msgspec.Struct, frozen=True):
    """What is pending. `held_back`: some are due already, and wait for a run of their script to end (or for the
    script to be active). `next_run_in`: seconds until the next delayed one falls due, `None` without one."""

    held_back: bool
    next_run_in: float | None


async def outlook(db: Executor) -> Outlook:
    """Return what is pending, of all tenants.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        row = await db.fetchrow(_SQL["outlook"])
    assert row is not None
    return Outlook(row["held_back"], row["next_run_in"])


async def request_cancel(db: Executor, tenant_id: UUID, execution_id: UUID) -> ExecutionStatus:
    """Cancel a pending execution, or ask the daemon that runs it to stop it. Return the status before.

    :raises NotFound: the tenant has no such execution.
    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        async with transaction(db) as connection:
            status = await connection.fetchval(_SQL["lock_status"], tenant_id, execution_id)
            if status is None:
                raise _no_execution(execution_id)
            if status in ("pending", "running"):
                await connection.execute(_SQL[f"cancel_{status}"], tenant_id, execution_id)
            return cast("ExecutionStatus", status)


async def cancel_requested(db: Executor, daemon_id: UUID) -> set[UUID]:
    """Return the executions that this daemon runs and is to stop.

    :raises DatabaseUnavailable: the database is away.
    """
    with translated():
        return {row["id"] for row in await db.fetch(_SQL["cancel_requested"], daemon_id)}


def inline_name(source: str) -> str:
    """Return the name of the script that is made for an inline source."""
    return f"inline-{hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def _no_execution(execution_id: UUID) -> NotFound:
    return NotFound(f"There is no execution {execution_id}.", "Check the id and the tenant.")


def _arguments(submission: Submission) -> list[Any]:
    limits = msgspec.json.encode(submission.limits).decode() if submission.limits != Limits() else None
    return [
        submission.trigger_type,
        submission.trigger_data_json,
        submission.input_json,
        submission.priority,
        submission.delay_ms,
        limits,
    ]


async def _submit_script(db: Executor, submission: Submission, script: str) -> Submitted:
    arguments = _arguments(submission)
    script_id = as_uuid(script)
    row: Record | None = None
    if script_id is not None:
        row = await db.fetchrow(_SQL["submit_by_id"], submission.tenant_id, script_id, *arguments)
    if row is None:
        row = await db.fetchrow(_SQL["submit_by_name"], submission.tenant_id, script, *arguments)
    if row is None:
        raise NotFound(f'There is no script "{script}".', "Check the name and the tenant, or deploy it first.")
    return Submitted(row["id"], row["script_id"])


async def _submit_source(db: Executor, submission: Submission, source: str) -> Submitted:
    tenant_id, name = submission.tenant_id, inline_name(source)
    arguments = [tenant_id, name, *_arguments(submission), source]
    row = await db.fetchrow(_SQL["submit_by_source"], *arguments)
    if row is None:
        async with transaction(db) as connection:
            organization_id = submission.organization_id
            if organization_id is None:
                organization_id = await tenants.organization_of(connection, tenant_id)
            await connection.execute(_SQL["create_inline_script"], tenant_id, organization_id, name, source)
            row = await connection.fetchrow(_SQL["submit_by_source"], *arguments)
    if row is None:
        raise Conflict(
            f'The script "{name}" exists with another source.', "Rename it: the name is kept for inline sources."
        )
    return Submitted(row["id"], row["script_id"])


def _execution(row: Record) -> Execution:
    fields = {key: value for key, value in row.items() if key != "queued_at_exact"}
    for key in ("id", "script_id", "tenant_id", "daemon_id"):
        fields[key] = str(fields[key]) if fields[key] is not None else None
    return Execution(**fields)


def _cursor(queued_at: datetime, execution_id: UUID) -> str:
    return f"{queued_at.isoformat()}~{execution_id}"


def _parse_cursor(before: str | None) -> tuple[datetime, UUID]:
    if before is None:
        return _END_OF_TIME, _LAST_ID
    queued_at, _, execution_id = before.partition("~")
    try:
        return datetime.fromisoformat(queued_at).replace(tzinfo=UTC), UUID(execution_id)
    except ValueError as error:
        raise InvalidInput(f"before is {before[:100]!r}, not the next_before of a page.", field="before") from error
