"""The business rules of the data model, one test a rule, kept by the database against plain SQL."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from daemon.store import tenants
from daemon.store.database import Pool

pytestmark = pytest.mark.anyio

FINAL = ("completed", "failed", "timeout", "cancelled")


class Writer:
    """An application that writes the tables with plain SQL, without any of the daemon's code."""

    def __init__(self, connection: Any, tenant_id: UUID, organization_id: UUID) -> None:
        self.sql = connection
        self.tenant_id = tenant_id
        self.organization_id = organization_id
        self.names = (f"script {number}" for number in itertools.count(1))

    async def insert(self, table: str, **values: Any) -> UUID:
        """Insert one row, with the tenant's id, and return its id."""
        values = {"tenant_id": self.tenant_id, **values}
        holes = ", ".join(f"${number}" for number in range(1, len(values) + 1))
        statement = f"INSERT INTO {table} ({', '.join(values)}) VALUES ({holes}) RETURNING id"
        identity: UUID = await self.sql.fetchval(statement, *values.values())
        return identity

    async def script(self, **values: Any) -> UUID:
        defaults = {"name": next(self.names), "source": "1", "type": "oneoff", "status": "active"}
        return await self.insert("scripts", **{"organization_id": self.organization_id, **defaults, **values})

    async def execution(self, script_id: UUID, **values: Any) -> UUID:
        defaults = {"script_id": script_id, "status": "pending", "trigger_type": "manual"}
        return await self.insert("script_executions", **{**defaults, **values})

    async def update(self, table: str, row_id: UUID, **values: Any) -> None:
        changes = ", ".join(f"{name} = ${number}" for number, name in enumerate(values, 2))
        await self.sql.execute(f"UPDATE {table} SET {changes} WHERE id = $1", row_id, *values.values())

    async def read(self, table: str, row_id: UUID, column: str) -> Any:
        return await self.sql.fetchval(f"SELECT {column} FROM {table} WHERE id = $1", row_id)


@pytest.fixture
async def host(db: Pool) -> AsyncIterator[Writer]:
    tenant_id, organization_id = await tenants.ensure_default(db, "acme")
    async with db.acquire() as connection:
        yield Writer(connection, tenant_id, organization_id)


refuses_value = pytest.raises(asyncpg.CheckViolationError)
refuses_duplicate = pytest.raises(asyncpg.UniqueViolationError)
refuses_change = pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError)


# scripts --------------------------------------------------------------------------------------------


async def test_script_name_is_unique_per_tenant(host: Writer) -> None:
    await host.script(name="a")
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_scripts_tenant_name"):
        await host.script(name="a")
    other = await host.sql.fetchval("INSERT INTO tenants (name) VALUES ('other') RETURNING id")
    await host.script(name="a", tenant_id=other)


async def test_http_path_is_unique_per_tenant(host: Writer) -> None:
    await host.script(type="http", http_path="/a")
    with pytest.raises(asyncpg.UniqueViolationError, match="uq_scripts_tenant_http_path"):
        await host.script(type="http", http_path="/a")


@pytest.mark.parametrize("value", [None, "", "  "])
async def test_scheduled_scripts_require_cron_expression(host: Writer, value: str | None) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="scheduled_scripts_require_cron_expression"):
        await host.script(type="scheduled", cron_expression=value)
    script_id = await host.script(type="scheduled", cron_expression="* * * * *")
    with pytest.raises(asyncpg.CheckViolationError, match="scheduled_scripts_require_cron_expression"):
        await host.update("scripts", script_id, cron_expression=value)


@pytest.mark.parametrize("value", [None, "", "  "])
async def test_http_scripts_require_http_path(host: Writer, value: str | None) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="http_scripts_require_http_path"):
        await host.script(type="http", http_path=value)
    await host.script(type="http", http_path="/a")


@pytest.mark.parametrize("value", [None, []])
async def test_event_scripts_require_at_least_one_event_type(host: Writer, value: list[str] | None) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match="event_scripts_require_event_types"):
        await host.script(type="event", event_types=value)
    await host.script(type="event", event_types=["user.created"])


SCRIPT_STATUSES = ("draft", "active", "paused", "disabled", "archived")
SCRIPT_MOVES = {
    ("draft", "active"),
    ("draft", "archived"),
    ("active", "paused"),
    ("active", "disabled"),
    ("active", "archived"),
    ("paused", "active"),
    ("paused", "archived"),
    ("disabled", "active"),
    ("disabled", "archived"),
}


@pytest.mark.parametrize("old", SCRIPT_STATUSES)
async def test_script_status_moves_as_the_data_model_says(host: Writer, old: str) -> None:
    for new in SCRIPT_STATUSES:
        script_id = await host.script(status="draft" if old == "archived" else old)
        if old == "archived":
            await host.update("scripts", script_id, status="archived")
        if new == old or (old, new) in SCRIPT_MOVES:
            await host.update("scripts", script_id, status=new)
        else:
            with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=f"from {old} to {new}"):
                await host.update("scripts", script_id, status=new)


async def test_a_script_does_not_start_archived(host: Writer) -> None:
    with refuses_value:
        await host.script(status="archived")


async def test_a_script_stays_with_its_tenant(host: Writer) -> None:
    other = await host.sql.fetchval("INSERT INTO tenants (name) VALUES ('other') RETURNING id")
    with refuses_change:
        await host.update("scripts", await host.script(), tenant_id=other)


async def test_updated_at_follows_every_change(host: Writer) -> None:
    script_id = await host.script()
    before = await host.read("scripts", script_id, "updated_at")
    await host.update("scripts", script_id, description="x")
    assert await host.read("scripts", script_id, "updated_at") > before


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ([], "resource_limits must be a JSON object, not array"),
        (None, "resource_limits must be a JSON object, not null"),
        ({"max_execution_time_ms": 0}, "resource_limits.max_execution_time_ms is 0; allowed is an integer from 1 to"),
        ({"max_execution_time_ms": 86_400_001}, "max_execution_time_ms is 86400001"),
        ({"max_execution_time_ms": 1.5}, "max_execution_time_ms is 1.5"),
        ({"max_memory_bytes": 8_388_607}, "max_memory_bytes is 8388607; allowed is an integer from 8388608"),
        ({"max_memory_bytes": "64MB"}, 'max_memory_bytes is "64MB"'),
        ({"max_concurrent_runs": None}, "max_concurrent_runs is null"),
        ({"max_concurrent_runs": -1}, "max_concurrent_runs is -1"),
        ({"max_output_size_bytes": 2**26 + 1}, "max_output_size_bytes is 67108865"),
        ({"max_api_calls_per_minute": True}, "max_api_calls_per_minute is true"),
    ],
)
async def test_limits_are_integers_in_their_range(host: Writer, limits: object, words: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as caught:
        await host.script(resource_limits=json.dumps(limits))
    assert words in str(caught.value)
    assert caught.value.as_dict()["column_name"] == "resource_limits"


async def test_limits_may_have_other_keys_and_whole_floats(host: Writer) -> None:
    await host.script(resource_limits='{"max_memory_bytes": 8388608.0, "max_fun": "yes"}')


# script_executions ----------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["running", *FINAL])
async def test_execution_status_starts_as_pending(host: Writer, status: str) -> None:
    script_id = await host.script()
    completed_at = None if status == "running" else "now"
    with pytest.raises(asyncpg.CheckViolationError, match=f"must be pending, not {status}"):
        await host.sql.execute(
            "INSERT INTO script_executions (script_id, tenant_id, status, trigger_type, completed_at) "
            "VALUES ($1, $2, $3, 'api', $4::text::timestamptz)",
            script_id,
            host.tenant_id,
            status,
            completed_at,
        )


EXECUTION_MOVES = {("pending", "running"), ("pending", "cancelled"), *(("running", final) for final in FINAL)}


@pytest.mark.parametrize("old", ["pending", "running", *FINAL])
async def test_execution_status_moves_as_the_data_model_says(host: Writer, old: str) -> None:
    script_id = await host.script()
    for new in ("pending", "running", *FINAL):
        if new == old:
            continue
        execution_id = await host.execution(script_id)
        for step in {"pending": [], "running": ["running"]}.get(old, ["running", old]):
            await host.update("script_executions", execution_id, status=step)
        if (old, new) in EXECUTION_MOVES:
            await host.update("script_executions", execution_id, status=new)
        else:
            with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=f"from {old} to {new}"):
                await host.update("script_executions", execution_id, status=new)


async def test_completed_at_is_null_until_the_execution_finishes(host: Writer) -> None:
    execution_id = await host.execution(await host.script())
    for status in ("pending", "running"):
        with pytest.raises(asyncpg.CheckViolationError, match="completed_at_is_set_exactly_when_finished"):
            await host.sql.execute(
                "UPDATE script_executions SET status = $2, completed_at = now() WHERE id = $1", execution_id, status
            )
    await host.update("script_executions", execution_id, status="running")
    assert await host.read("script_executions", execution_id, "completed_at") is None
    await host.update("script_executions", execution_id, status="completed")
    assert await host.read("script_executions", execution_id, "completed_at") is not None


async def test_a_given_completed_at_is_kept(host: Writer) -> None:
    execution_id = await host.execution(await host.script())
    await host.update("script_executions", execution_id, status="running")
    await host.sql.execute(
        "UPDATE script_executions SET status = 'failed', completed_at = '2020-01-01Z' WHERE id = $1", execution_id
    )
    assert (await host.read("script_executions", execution_id, "completed_at")).year == 2020


async def test_metrics_are_captured_at_completion(host: Writer) -> None:
    execution_id = await host.execution(await host.script())
    await host.update("script_executions", execution_id, status="running")
    await host.update("script_executions", execution_id, status="completed", metrics='{"duration_ms": 1}')
    with refuses_change:
        await host.update("script_executions", execution_id, metrics='{"duration_ms": 2}')


@pytest.mark.parametrize("change", [{"output": "2"}, {"error": "x"}, {"attempt": 9}, {"postmortem": "x"}])
async def test_a_finished_execution_is_immutable(host: Writer, change: dict[str, object]) -> None:
    execution_id = await host.execution(await host.script())
    await host.update("script_executions", execution_id, status="cancelled")
    with refuses_change:
        await host.update("script_executions", execution_id, **change)


@pytest.mark.parametrize("column", ["script_id", "tenant_id", "input", "limits", "trigger_type", "queued_at"])
async def test_what_was_submitted_is_immutable(host: Writer, column: str) -> None:
    execution_id = await host.execution(await host.script())
    other = await host.sql.fetchval("INSERT INTO tenants (name) VALUES ('other') RETURNING id")
    values: dict[str, object] = {
        "script_id": await host.script(),
        "tenant_id": other,
        "input": '{"a": 1}',
        "limits": '{"max_execution_time_ms": 1}',
        "trigger_type": "cron",
        "queued_at": (await host.sql.fetchval("SELECT now() - interval '1 day'")),
    }
    with refuses_change:
        await host.update("script_executions", execution_id, **{column: values[column]})


async def test_an_execution_has_the_tenant_of_its_script(host: Writer) -> None:
    other = await host.sql.fetchval("INSERT INTO tenants (name) VALUES ('other') RETURNING id")
    with pytest.raises(asyncpg.CheckViolationError, match="is not the tenant of script"):
        await host.execution(await host.script(), tenant_id=other)


@pytest.mark.parametrize("status", ["draft", "paused", "disabled"])
async def test_only_active_scripts_are_executed(host: Writer, status: str) -> None:
    script_id = await host.script(name="tidy", status=status)
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=f'script "tidy" is {status}'):
        await host.execution(script_id)


async def test_one_wrong_row_refuses_the_statement(host: Writer) -> None:
    good, bad = await host.script(), await host.script(status="paused")
    with refuses_change:
        await host.sql.execute(
            "INSERT INTO script_executions (script_id, tenant_id, status, trigger_type) "
            "SELECT unnest($1::uuid[]), $2, 'pending', 'api'",
            [good, bad],
            host.tenant_id,
        )
    assert await host.sql.fetchval("SELECT count(*) FROM script_executions") == 0


async def test_limits_of_an_execution_are_checked(host: Writer) -> None:
    with pytest.raises(asyncpg.CheckViolationError, match=r"limits.max_memory_bytes is 1;"):
        await host.execution(await host.script(), limits='{"max_memory_bytes": 1}')


async def test_an_outcome_is_a_known_one(host: Writer) -> None:
    execution_id = await host.execution(await host.script())
    with pytest.raises(asyncpg.CheckViolationError, match="outcome_is_set_only_when_finished"):
        await host.update("script_executions", execution_id, outcome="ok")
    with pytest.raises(asyncpg.CheckViolationError, match="outcome_is_known"):
        await host.update("script_executions", execution_id, status="cancelled", outcome="bored")


# script_versions ------------------------------------------------------------------------------------


async def _versions(host: Writer, script_id: UUID) -> list[tuple[int, str]]:
    rows = await host.sql.fetch(
        "SELECT version_number, source FROM script_versions WHERE script_id = $1 ORDER BY 1", script_id
    )
    return [tuple(row) for row in rows]


async def test_every_change_of_source_is_a_version(host: Writer) -> None:
    script_id = await host.script(source="a")
    await host.update("scripts", script_id, source="b")
    await host.update("scripts", script_id, source="b", description="no new source")
    await host.update("scripts", script_id, source="a")
    assert await _versions(host, script_id) == [(1, "a"), (2, "b"), (3, "a")]


async def test_version_number_is_unique_per_script(host: Writer) -> None:
    script_id = await host.script()
    with refuses_value:
        await host.insert("script_versions", script_id=script_id, version_number=1, source="1")


async def test_version_numbers_are_sequential(host: Writer) -> None:
    script_id = await host.script()
    with pytest.raises(asyncpg.CheckViolationError, match="the next is 2"):
        await host.insert("script_versions", script_id=script_id, version_number=7, source="1")


async def test_a_version_is_the_source_and_tenant_of_its_script(host: Writer) -> None:
    script_id = await host.script()
    other = await host.sql.fetchval("INSERT INTO tenants (name) VALUES ('other') RETURNING id")
    with refuses_value:
        await host.insert("script_versions", script_id=script_id, version_number=2, source="other")
    with refuses_value:
        await host.insert("script_versions", script_id=script_id, version_number=2, source="1", tenant_id=other)
    await host.insert("script_versions", script_id=script_id, version_number=2, source="1")


async def test_versions_are_immutable(host: Writer) -> None:
    script_id = await host.script()
    with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=r"version 1 of script .* is immutable"):
        await host.sql.execute("UPDATE script_versions SET source = '2' WHERE script_id = $1", script_id)
    with refuses_change:
        await host.sql.execute("DELETE FROM script_versions WHERE script_id = $1", script_id)


async def test_racing_changes_of_one_script_are_numbered_without_gaps(host: Writer, db: Pool) -> None:
    script_id = await host.script(source="0")
    await asyncio.gather(
        *(db.execute("UPDATE scripts SET source = $2 WHERE id = $1", script_id, str(n)) for n in range(1, 21))
    )
    versions = await _versions(host, script_id)
    assert [number for number, _ in versions] == list(range(1, 22))
    assert versions[-1][1] == await host.read("scripts", script_id, "source")


# script_event_subscriptions, script_scheduled_jobs, script_http_endpoints, script_event_dead_letters -----


async def test_one_subscription_per_script_and_event_type(host: Writer) -> None:
    script_id = await host.script()
    await host.insert("script_event_subscriptions", script_id=script_id, event_type="a")
    await host.insert("script_event_subscriptions", script_id=script_id, event_type="b")
    with refuses_duplicate:
        await host.insert("script_event_subscriptions", script_id=script_id, event_type="a")


async def test_one_scheduled_job_per_script(host: Writer) -> None:
    script_id = await host.script()
    job_id = await host.insert("script_scheduled_jobs", script_id=script_id, cron_expression="* * * * *")
    assert await host.read("script_scheduled_jobs", job_id, "is_running") is False
    with refuses_duplicate:
        await host.insert("script_scheduled_jobs", script_id=script_id, cron_expression="* * * * *")


async def test_one_endpoint_per_script_and_path(host: Writer) -> None:
    first, second = await host.script(), await host.script()
    await host.insert("script_http_endpoints", script_id=first, http_path="/a", http_methods=["GET"])
    with refuses_duplicate:
        await host.insert("script_http_endpoints", script_id=first, http_path="/b", http_methods=["GET"])
    with refuses_duplicate:
        await host.insert("script_http_endpoints", script_id=second, http_path="/a", http_methods=["GET"])


async def test_deleting_a_script_deletes_all_that_is_its(host: Writer) -> None:
    script_id, other = await host.script(), await host.script()
    execution_id = await host.execution(script_id)
    await host.execution(other)
    await host.insert("script_event_subscriptions", script_id=script_id, event_type="a")
    await host.insert("script_scheduled_jobs", script_id=script_id, cron_expression="* * * * *")
    await host.insert("script_http_endpoints", script_id=script_id, http_path="/a", http_methods=["GET"])
    await host.insert(
        "script_event_dead_letters",
        script_id=script_id,
        execution_id=execution_id,
        event_type="a",
        event_data="{}",
        error="x",
    )
    await host.sql.execute(
        "INSERT INTO script_execution_logs (execution_id, tenant_id, seq, level, logged_at, message) "
        "VALUES ($1, $2, 1, 'log', now(), 'x')",
        execution_id,
        host.tenant_id,
    )
    await host.sql.execute("DELETE FROM scripts WHERE id = $1", script_id)
    left = {
        table: await host.sql.fetchval(f"SELECT count(*) FROM {table}")
        for table in (
            "scripts",
            "script_versions",
            "script_executions",
            "script_execution_logs",
            "script_event_subscriptions",
            "script_scheduled_jobs",
            "script_http_endpoints",
            "script_event_dead_letters",
        )
    }
    assert {table for table, rows in left.items() if rows} == {"scripts", "script_versions", "script_executions"}
    assert left["scripts"] == left["script_versions"] == left["script_executions"] == 1


async def test_a_dead_letter_outlives_its_execution(host: Writer) -> None:
    script_id = await host.script()
    execution_id = await host.execution(script_id)
    values = {"script_id": script_id, "event_type": "a", "event_data": "{}", "error": "x"}
    letter_id = await host.insert("script_event_dead_letters", execution_id=execution_id, **values)
    await host.sql.execute("DELETE FROM script_executions WHERE id = $1", execution_id)
    assert await host.read("script_event_dead_letters", letter_id, "execution_id") is None
