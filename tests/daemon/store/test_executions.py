"""Submitting, looking and cancelling."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from daemon.errors import Conflict, InvalidInput, NotFound
from daemon.store import executions, scripts
from daemon.store.database import Pool
from ipc.messages import Limits
from tests.daemon.store import world as worlds
from tests.daemon.store.world import World

pytestmark = pytest.mark.anyio


def _submission(world: World, **values: object) -> executions.Submission:
    return executions.Submission(tenant_id=world.tenant_id, **values)  # type: ignore[arg-type]


async def test_a_script_is_found_by_name_and_by_id(world: World) -> None:
    script_id = await world.script()
    by_name = await executions.submit(world.db, _submission(world, script="greet"))
    by_id = await executions.submit(world.db, _submission(world, script=str(script_id)))
    assert by_name.script_id == by_id.script_id == script_id
    shown = await executions.show(world.db, world.tenant_id, by_name.id)
    assert (shown.status, shown.script_name, shown.attempt, shown.started_at) == ("pending", "greet", 0, None)


async def test_another_tenant_sees_nothing(world: World, db: Pool) -> None:
    other = await worlds.make(db, "other")
    script_id = await world.script()
    execution_id = await world.submit()
    for script in ("greet", str(script_id)):
        with pytest.raises(NotFound):
            await executions.submit(db, _submission(other, script=script))
    with pytest.raises(NotFound):
        await executions.show(db, other.tenant_id, execution_id)
    with pytest.raises(NotFound):
        await executions.request_cancel(db, other.tenant_id, execution_id)
    assert (await executions.list_executions(db, other.tenant_id)).executions == []
    assert await executions.counts_by_status(db, other.tenant_id) == {}


async def test_the_same_source_is_the_same_script(world: World) -> None:
    await world.script()
    first, second, other = await asyncio.gather(
        *(executions.submit(world.db, _submission(world, source=source)) for source in ("1+1", "1+1", "2+2"))
    )
    assert first.script_id == second.script_id != other.script_id
    script = await scripts.resolve(world.db, world.tenant_id, str(first.script_id))
    assert (script.name, script.type, script.version) == (executions.inline_name("1+1"), "oneoff", 1)


async def test_an_inline_name_with_another_source_is_refused(world: World) -> None:
    await world.script(executions.inline_name("1+1"), source="something else")
    with pytest.raises(Conflict, match="another source"):
        await executions.submit(world.db, _submission(world, source="1+1"))


async def test_inline_source_needs_an_organization(db: Pool) -> None:
    tenant_id = await db.fetchval("INSERT INTO tenants (name) VALUES ('bare') RETURNING id")
    submission = executions.Submission(tenant_id=tenant_id, source="1")
    with pytest.raises(NotFound, match="organization"):
        await executions.submit(db, submission)


async def test_inactive_scripts_are_refused_by_name_and_status(world: World) -> None:
    await world.script(status="draft")
    with pytest.raises(Conflict, match='Script "greet" is draft') as caught:
        await world.submit()
    assert "active" in caught.value.hint


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"script": "greet", "source": "1"}, "script"),
        ({}, "script"),
        ({"script": "greet", "delay_ms": -1}, "delay_ms"),
        ({"script": "greet", "limits": Limits(max_memory_bytes=1)}, "limits"),
        ({"script": "greet", "trigger_type": "telepathy"}, "trigger_type"),
        ({"script": "greet", "input_json": "{"}, ""),
        ({"script": "greet", "priority": 2**40}, ""),
    ],
)
async def test_bad_values_are_refused_with_their_field(world: World, values: dict[str, object], field: str) -> None:
    await world.script()
    with pytest.raises(InvalidInput) as caught:
        await executions.submit(world.db, _submission(world, **values))
    assert caught.value.field == field


async def test_a_pending_execution_is_cancelled_at_once(world: World) -> None:
    await world.script()
    execution_id = await world.submit()
    assert await executions.request_cancel(world.db, world.tenant_id, execution_id) == "pending"
    shown = await executions.show(world.db, world.tenant_id, execution_id)
    assert (shown.status, shown.outcome) == ("cancelled", "cancelled")
    assert shown.completed_at is not None
    assert await executions.request_cancel(world.db, world.tenant_id, execution_id) == "cancelled"
    assert await world.claim() == []


async def test_a_running_execution_is_asked_to_stop(world: World, dsn: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(dsn)
    await listener.add_listener("jsruntime_cancel", lambda *message: heard.put_nowait(str(message[-1])))
    try:
        await world.script()
        execution_id = await world.submit()
        await world.claim()
        assert await executions.cancel_requested(world.db, world.daemon_id) == set()
        assert await executions.request_cancel(world.db, world.tenant_id, execution_id) == "running"
        assert await executions.request_cancel(world.db, world.tenant_id, execution_id) == "running"
        assert await heard.get() == str(execution_id)
    finally:
        await listener.close()
    assert heard.empty()
    assert await executions.cancel_requested(world.db, world.daemon_id) == {execution_id}
    assert await world.status(execution_id) == "running"


async def test_pages_are_newest_first_and_without_gaps(world: World) -> None:
    await world.script()
    submitted = [await world.submit() for _ in range(7)]
    seen, before = [], None
    while True:
        page = await executions.list_executions(world.db, world.tenant_id, limit=3, before=before)
        seen += [execution.id for execution in page.executions]
        await world.submit()  # newer rows do not move the pages
        before = page.next_before
        if before is None:
            break
    assert seen == [str(execution_id) for execution_id in reversed(submitted)]


async def test_lists_can_be_narrowed(world: World) -> None:
    script_id = await world.script("a")
    await world.script("b")
    await world.submit("b")
    wanted = await world.submit("a")
    page = await executions.list_executions(world.db, world.tenant_id, script_id=script_id, status="pending")
    assert [execution.id for execution in page.executions] == [str(wanted)]
    page = await executions.list_executions(world.db, world.tenant_id, status="running")
    assert page == executions.Page([], None)


async def test_a_broken_cursor_is_refused(world: World) -> None:
    with pytest.raises(InvalidInput) as caught:
        await executions.list_executions(world.db, world.tenant_id, before="yesterday")
    assert caught.value.field == "before"


async def test_finished_leaves_out_what_has_not_ended(world: World) -> None:
    await world.script()
    first, second = await world.submit(), await world.submit()
    await executions.request_cancel(world.db, world.tenant_id, first)
    found = await executions.finished(world.db, [first, second, uuid4()])
    assert [execution.id for execution in found] == [str(first)]


async def test_counts_are_by_status(world: World) -> None:
    await world.script()
    for _ in range(3):
        await world.submit()
    await world.claim(1)
    assert await executions.counts_by_status(world.db, world.tenant_id) == {"pending": 2, "running": 1}


async def test_submissions_are_announced_once_a_statement(world: World, dsn: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(dsn)
    await listener.add_listener("jsruntime_pending", lambda *message: heard.put_nowait(str(message[-1])))
    try:
        script_id = await world.script()
        await world.db.execute(
            "INSERT INTO script_executions (script_id, tenant_id, status, trigger_type) "
            "SELECT $1, $2, 'pending', 'manual' FROM generate_series(1, 100)",
            script_id,
            world.tenant_id,
        )
        assert await heard.get() == ""
        await listener.execute("SELECT 1")
    finally:
        await listener.close()
    assert heard.empty()
