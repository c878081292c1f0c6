"""The hot statements stay on their indexes, however much waits and however much is done."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from daemon.store import database, dispatch, executions, sql
from daemon.store.database import Connection
from tests.daemon.store import world as worlds
from tests.daemon.store.world import World

pytestmark = pytest.mark.anyio

# Rows that a function or a statement may read for 10 claims out of 200,000 rows, and more than it ever needs.
FEW_ROWS = 2_000

FILL = """
    ALTER TABLE script_executions DISABLE TRIGGER USER;
    INSERT INTO script_executions (script_id, tenant_id, status, trigger_type, completed_at, attempt)
    SELECT id, tenant_id, 'completed', 'api', now(), 1 FROM scripts, generate_series(1, 100000) WHERE name = 'busy';
    INSERT INTO script_executions (script_id, tenant_id, status, trigger_type, priority)
    SELECT id, tenant_id, 'pending', 'api', n % 3 FROM scripts, generate_series(1, 100000) AS n WHERE name = 'busy';
    ALTER TABLE script_executions ENABLE TRIGGER USER;
"""


@pytest.fixture
async def crowded(world: World) -> World:
    """A script at its limit with 100,000 pending rows and as many done, and one with a single pending row."""
    await world.script("busy", limits={"max_concurrent_runs": 1})
    await world.script("quiet")
    await world.db.execute(FILL)
    await world.claim(1)
    await world.submit("quiet")
    return world


@pytest.mark.parametrize("analyzed", [False, True], ids=["without statistics", "with statistics"])
async def test_hot_statements_stay_on_indexes(crowded: World, dsn: str, analyzed: bool) -> None:
    connection = await database.connect(dsn)
    try:
        if analyzed:
            await connection.execute("VACUUM ANALYZE script_executions")
        plans = await _plans_of_the_hot_statements(crowded, connection)
    finally:
        await connection.close()
    scans = [(plan["Query Text"], node) for plan in plans for node in _nodes(plan["Plan"])]
    scans = [(text, node) for text, node in scans if node.get("Relation Name") == "script_executions"]
    assert len(scans) > 10
    for text, node in scans:
        assert node["Node Type"] != "Seq Scan", (text, node)
        read = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
        assert read <= FEW_ROWS, f"{node} in {text}"


async def test_a_crowd_at_its_limit_costs_a_claim_next_to_nothing(crowded: World) -> None:
    started = time.perf_counter()
    [claimed] = await crowded.claim(10)
    assert claimed.script_name == "quiet"
    assert time.perf_counter() - started < 0.5, "a walk over 100,000 rows"


async def _plans_of_the_hot_statements(world: World, connection: Connection) -> list[dict[str, Any]]:
    """Run claim, complete, cancel poll, list and next_run_at; return the plans of all that ran, nested too."""
    plans: list[dict[str, Any]] = []
    connection.add_log_listener(lambda _, message: plans.extend(_plan(message.message)))
    await connection.execute(
        "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_analyze = on; "
        "SET auto_explain.log_nested_statements = on; SET auto_explain.log_format = json; "
        "SET auto_explain.log_level = notice; SET auto_explain.log_timing = off"
    )
    claimed = await dispatch.claim(connection, world.daemon_id, 10)
    await dispatch.complete(connection, world.daemon_id, [worlds.ending(row) for row in claimed])
    await executions.cancel_requested(connection, world.daemon_id)
    await executions.list_executions(connection, world.tenant_id, limit=10)
    await executions.outlook(connection)
    await executions.submit(connection, executions.Submission(tenant_id=world.tenant_id, script="quiet"))
    await dispatch.rescue(connection, world.daemon_id, 10)
    return plans


def _plan(message: str | None) -> list[dict[str, Any]]:
    _, found, plan = (message or "").partition("plan:\n")
    return [json.loads(plan)] if found else []


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def test_every_statement_has_its_sentence() -> None:
    for topic in ("daemons", "dispatch", "executions", "logs", "migrations", "scripts", "tenants"):
        for name, statement in sql.load(topic).items():
            assert statement.startswith("-- "), f"{topic}.{name}"
