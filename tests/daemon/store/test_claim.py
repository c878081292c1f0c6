"""What is claimed, in which order, and by whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from uuid import UUID

import pytest

from daemon.errors import Conflict
from daemon.store import daemons, dispatch, executions
from daemon.store.database import Pool
from ipc.messages import Limits
from tests.daemon.store import world as worlds
from tests.daemon.store.world import World

pytestmark = pytest.mark.anyio


async def test_a_claim_has_all_that_a_run_needs(world: World) -> None:
    script_id = await world.script("greet", source="export default () => 1", metadata_json='{"a": 1}')
    await world.script("greet", source="export default () => 2")
    execution_id = await world.submit(input_json='{"name": "Ada"}', limits=Limits(max_memory_bytes=9_000_000))
    [claimed] = await world.claim()
    assert (claimed.id, claimed.script_id, claimed.tenant_id) == (execution_id, script_id, world.tenant_id)
    assert (claimed.script_name, claimed.script_type) == ("greet", "oneoff")
    assert (claimed.source, claimed.script_version) == ("export default () => 2", 2)
    assert (claimed.input_json, claimed.trigger_type, claimed.trigger_data_json) == ('{"name": "Ada"}', "api", "{}")
    assert claimed.limits_json == '{"max_memory_bytes": 9000000}'
    assert '"max_execution_time_ms": 30000' in claimed.resource_limits_json
    assert (claimed.attempt, claimed.log_seq) == (1, 0)
    assert 0 <= claimed.queue_ms < 60_000
    shown = await executions.show(world.db, world.tenant_id, execution_id)
    assert (shown.status, shown.attempt, shown.daemon_id) == ("running", 1, str(world.daemon_id))


async def test_priority_then_run_at_decide_within_a_tenant(world: World) -> None:
    await world.script(limits={"max_concurrent_runs": 100})
    first, second = await world.submit(), await world.submit()
    urgent, later = await world.submit(priority=5), await world.submit(priority=-1)
    assert [claimed.id for claimed in await world.claim()] == [urgent, first, second, later]


async def test_delayed_rows_wait_for_their_time(world: World) -> None:
    await world.script()
    await world.submit(delay_ms=60_000)
    assert await world.claim() == []
    wait = (await executions.outlook(world.db)).next_run_in
    assert wait is not None
    assert 50 < wait <= 60
    due = await world.submit()
    assert [claimed.id for claimed in await world.claim()] == [due]


async def test_nothing_delayed_means_no_next_run(world: World) -> None:
    assert (await executions.outlook(world.db)).next_run_in is None


async def test_tenants_take_turns(world: World, db: Pool) -> None:
    other = await worlds.make(db, "other")
    await world.script(limits={"max_concurrent_runs": 100})
    await other.script(limits={"max_concurrent_runs": 100})
    for _ in range(10):
        await world.submit(priority=9)
    for _ in range(2):
        await other.submit()
    claimed = await world.claim(4)
    assert Counter(row.tenant_id for row in claimed) == {world.tenant_id: 2, other.tenant_id: 2}


async def test_what_runs_already_counts_as_turns(world: World, db: Pool) -> None:
    other = await worlds.make(db, "other")
    await world.script(limits={"max_concurrent_runs": 100})
    await other.script()
    for _ in range(5):
        await world.submit(priority=9)
    assert len(await world.claim(2)) == 2
    await other.submit()
    [claimed] = await world.claim(1)
    assert claimed.tenant_id == other.tenant_id


async def test_a_script_at_its_limit_does_not_hide_others(world: World) -> None:
    await world.script("busy", limits={"max_concurrent_runs": 1})
    await world.script("quiet")
    for _ in range(20):
        await world.submit("busy", priority=100)
    quiet = await world.submit("quiet")
    assert len(await world.claim(1)) == 1
    assert [claimed.id for claimed in await world.claim(10)] == [quiet]
    assert await world.claim(10) == []


@pytest.mark.parametrize(
    ("limits", "expected"),
    [("{}", 5), ('{"max_concurrent_runs": "many"}', 5), ('{"max_concurrent_runs": 2.7}', 2), ("[]", 5), ("7", 5)],
)
async def test_unusable_limits_of_older_rows_have_the_default(world: World, limits: str, expected: int) -> None:
    script_id = await world.script("old")
    await world.script("new")
    async with world.db.acquire() as connection, connection.transaction():
        await connection.execute("ALTER TABLE scripts DISABLE TRIGGER USER")
        await connection.execute("UPDATE scripts SET resource_limits = $2 WHERE id = $1", script_id, limits)
        await connection.execute("ALTER TABLE scripts ENABLE TRIGGER USER")
    for _ in range(7):
        await world.submit("old")
    await world.submit("new")
    claimed = Counter(row.script_name for row in await world.claim())
    assert claimed == {"old": expected, "new": 1}


async def test_paused_scripts_wait(world: World) -> None:
    await world.script()
    execution_id = await world.submit()
    await world.script(status="paused")
    assert await world.claim() == []
    await world.script(status="active")
    assert [claimed.id for claimed in await world.claim()] == [execution_id]


async def test_rows_that_someone_holds_are_passed_over(world: World, db: Pool) -> None:
    await world.script()
    held, free = await world.submit(priority=1), await world.submit()
    async with db.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM script_executions WHERE id = $1 FOR UPDATE", held)
        assert [claimed.id for claimed in await world.claim(1)] == [free]
    assert [claimed.id for claimed in await world.claim(1)] == [held]


async def test_the_limit_of_a_script_holds_across_racing_daemons(world: World, db: Pool) -> None:
    await world.script(limits={"max_concurrent_runs": 7})
    await db.execute(
        "INSERT INTO script_executions (script_id, tenant_id, status, trigger_type) "
        "SELECT id, tenant_id, 'pending', 'manual' FROM scripts, generate_series(1, 200)"
    )
    rival = await worlds.daemon(db)
    most = 0
    done: Counter[UUID] = Counter()

    async def serve(daemon_id: UUID) -> None:
        nonlocal most
        while sum(done.values()) < 200:
            claimed = await dispatch.claim(db, daemon_id, 5)
            running = await db.fetchval("SELECT count(*) FROM script_executions WHERE status = 'running'")
            most = max(most, running)
            done.update(await dispatch.complete(db, daemon_id, [worlds.ending(row) for row in claimed]))

    await asyncio.gather(serve(world.daemon_id), serve(rival), serve(rival))
    assert set(done.values()) == {1}
    assert most <= 7


async def test_more_scripts_than_one_walk_are_all_reached(world: World, db: Pool) -> None:
    await db.execute(
        "INSERT INTO scripts (tenant_id, organization_id, name, source, type, status) "
        "SELECT $1, $2, 'script ' || n, '1', 'oneoff', 'active' FROM generate_series(1, 1500) AS n",
        world.tenant_id,
        world.organization_id,
    )
    await db.execute(
        "INSERT INTO script_executions (script_id, tenant_id, status, trigger_type) "
        "SELECT id, tenant_id, 'pending', 'manual' FROM scripts"
    )
    claimed: set[UUID] = set()
    while rows := await world.claim(400):
        claimed |= {row.id for row in rows}
    assert len(claimed) == 1500


async def test_a_daemon_that_does_not_serve_claims_nothing(world: World) -> None:
    await world.script()
    await world.submit()
    await daemons.deregister(world.db, world.daemon_id)
    with pytest.raises(Conflict, match="lost its lease"):
        await world.claim()
