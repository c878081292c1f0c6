"""A result is written once, by whoever holds the execution, or not at all."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import asyncpg
import pytest

from daemon.errors import DatabaseUnavailable
from daemon.store import dispatch, executions, logs
from daemon.store.database import Pool
from ipc.messages import LogLine
from tests.daemon.store import world as worlds
from tests.daemon.store.world import World

pytestmark = pytest.mark.anyio


async def _claimed(world: World, rows: int = 1) -> list[dispatch.Claimed]:
    await world.script(limits={"max_concurrent_runs": 1000})
    for _ in range(rows):
        await world.submit()
    return await world.claim()


async def test_a_batch_is_written_with_its_results_and_lines(world: World) -> None:
    first, second = await _claimed(world, 2)
    line = LogLine(seq=1, level="warn", logged_at=1_700_000_000.25, message="hm\x00m")
    written = await world.complete(
        worlds.ending(first, output_json='{"a": 1}', metrics_json='{"duration_ms": 2.5}', logs=(line,)),
        worlds.ending(second, status="failed", outcome="exception", output_json=None, error="no", postmortem="why"),
    )
    assert written == {first.id, second.id}
    shown = await executions.show(world.db, world.tenant_id, first.id)
    assert (shown.status, shown.outcome, shown.output_json) == ("completed", "ok", '{"a": 1}')
    assert shown.metrics_json == '{"duration_ms": 2.5}'
    assert shown.started_at is not None
    assert shown.completed_at is not None
    assert shown.completed_at >= shown.started_at
    assert await logs.read(world.db, world.tenant_id, first.id) == [
        LogLine(seq=1, level="warn", logged_at=1_700_000_000.25, message="hm\ufffdm")
    ]
    shown = await executions.show(world.db, world.tenant_id, second.id)
    assert (shown.status, shown.outcome, shown.error, shown.postmortem) == ("failed", "exception", "no", "why")
    assert shown.output_json is None


async def test_a_result_is_written_once(world: World) -> None:
    [claimed] = await _claimed(world)
    assert await world.complete(worlds.ending(claimed)) == {claimed.id}
    assert await world.complete(worlds.ending(claimed, output_json="2")) == set()
    assert (await executions.show(world.db, world.tenant_id, claimed.id)).output_json == "1"


async def test_a_late_result_of_an_older_claim_bounces(world: World) -> None:
    [claimed] = await _claimed(world)
    rival = await worlds.daemon(world.db)
    await world.db.execute("UPDATE daemons SET stopped_at = now() WHERE id = $1", world.daemon_id)
    [taken] = (await dispatch.rescue(world.db, rival, 10)).taken_over
    assert taken.fencing_token > claimed.fencing_token
    late = worlds.ending(claimed, logs=(LogLine(seq=9, level="log", logged_at=0, message="late"),))
    assert await world.complete(late) == set()
    assert await logs.read(world.db, world.tenant_id, claimed.id) == []
    assert await dispatch.complete(world.db, rival, [worlds.ending(taken)]) == {taken.id}


async def test_another_daemon_cannot_use_a_token(world: World) -> None:
    [claimed] = await _claimed(world)
    assert await dispatch.complete(world.db, uuid4(), [worlds.ending(claimed)]) == set()


@pytest.mark.parametrize(
    "poison",
    [
        {"output_json": '"\\u0000"'},
        {"output_json": '"\\ud800"'},
        {"output_json": '"\ud800"'},
        {"output_json": "{"},
        {"output_json": "[" * 50_000 + "]" * 50_000},
        {"metrics_json": "NaN"},
        {"outcome": "made up"},
    ],
    ids=["NUL", "escaped surrogate", "surrogate", "no JSON", "deep", "metrics", "outcome"],
)
async def test_a_poisoned_ending_costs_the_others_nothing(world: World, poison: dict[str, str]) -> None:
    first, second, third = await _claimed(world, 3)
    batch = [worlds.ending(first), worlds.ending(second, **poison), worlds.ending(third)]
    assert await world.complete(*batch) == {first.id, second.id, third.id}
    assert [await world.status(row.id) for row in (first, second, third)] == ["completed", "failed", "completed"]
    shown = await executions.show(world.db, world.tenant_id, second.id)
    assert (shown.outcome, shown.output_json) == ("invalid_output", None)
    assert shown.postmortem


async def test_text_that_postgres_cannot_store_is_mended(world: World) -> None:
    [claimed] = await _claimed(world)
    await world.complete(worlds.ending(claimed, status="failed", outcome="exception", error="a\x00b\ud800c😀"))
    assert (await executions.show(world.db, world.tenant_id, claimed.id)).error == "a\ufffdb\ufffdc😀"


async def test_a_deleted_execution_is_left_out(world: World) -> None:
    first, second = await _claimed(world, 2)
    await world.db.execute("DELETE FROM script_executions WHERE id = $1", first.id)
    line = LogLine(seq=1, level="log", logged_at=0, message="x")
    assert await world.complete(worlds.ending(first, logs=(line,)), worlds.ending(second)) == {second.id}


async def test_nothing_to_write_is_nothing_written(world: World) -> None:
    assert await world.complete() == set()


async def test_the_end_is_announced_in_one_message_for_many(world: World, dsn: str) -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    listener = await asyncpg.connect(dsn)
    await listener.add_listener("jsruntime_finished", lambda *message: heard.put_nowait(str(message[-1])))
    try:
        await world.script(limits={"max_concurrent_runs": 1000})
        for _ in range(250):
            await world.submit()
        claimed = await world.claim(250)
        await world.complete(*[worlds.ending(row) for row in claimed])
        payloads = [await heard.get(), await heard.get()]
    finally:
        await listener.close()
    assert sorted(payload.count(",") + 1 for payload in payloads) == [50, 200]
    assert {end for payload in payloads for end in payload.split(",")} == {str(row.id) for row in claimed}


async def test_a_lost_connection_is_said_to_be_one(db: Pool, world: World) -> None:
    async with db.acquire() as connection:
        pid = connection.get_server_pid()
        await db.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(DatabaseUnavailable):
            await dispatch.claim(connection, world.daemon_id, 1)
