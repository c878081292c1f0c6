"""What happens to what a dead daemon left running."""

from __future__ import annotations

import asyncio

import pytest

from daemon.errors import Conflict
from daemon.store import daemons, dispatch, executions, logs
from ipc.messages import LogLine
from tests.daemon.store import world as worlds
from tests.daemon.store.world import World

pytestmark = pytest.mark.anyio


async def _abandoned(world: World, **script: object) -> dispatch.Claimed:
    """One running execution, of a daemon whose lease is over."""
    await world.script(**script)
    await world.submit()
    owner = await worlds.daemon(world.db, lease_seconds=-1)
    [claimed] = await dispatch.claim(world.db, owner, 1)
    return claimed


async def test_a_row_is_taken_over_without_leaving_running(world: World) -> None:
    claimed = await _abandoned(world)
    await logs.insert(world.db, [(claimed.id, LogLine(seq=3, level="log", logged_at=0, message="first try"))])
    rescued = await dispatch.rescue(world.db, world.daemon_id, 10)
    assert rescued.ended == []
    [taken] = rescued.taken_over
    assert (taken.id, taken.attempt, taken.log_seq) == (claimed.id, 2, 3)
    assert taken.fencing_token > claimed.fencing_token
    shown = await executions.show(world.db, world.tenant_id, claimed.id)
    assert (shown.status, shown.daemon_id) == ("running", str(world.daemon_id))


async def test_what_a_living_daemon_runs_is_left_alone(world: World) -> None:
    await world.script()
    await world.submit()
    await world.claim()
    rival = await worlds.daemon(world.db)
    assert await dispatch.rescue(world.db, rival, 10) == dispatch.Rescued([], [])


async def test_a_daemon_does_not_rescue_from_itself(world: World) -> None:
    await world.script()
    await world.submit()
    await world.claim()
    await world.db.execute("UPDATE daemons SET lease_expires_at = now() - interval '1 hour'")
    assert await dispatch.rescue(world.db, world.daemon_id, 10) == dispatch.Rescued([], [])


async def test_rows_of_a_stopped_or_forgotten_daemon_are_taken_over(world: World) -> None:
    await world.script()
    stopped, forgotten = await worlds.daemon(world.db), await worlds.daemon(world.db)
    await world.submit()
    await dispatch.claim(world.db, stopped, 1)
    await world.submit()
    await dispatch.claim(world.db, forgotten, 1)
    await daemons.deregister(world.db, stopped)
    await world.db.execute("DELETE FROM daemons WHERE id = $1", forgotten)
    assert len((await dispatch.rescue(world.db, world.daemon_id, 10)).taken_over) == 2


async def test_at_most_once_is_not_run_again(world: World) -> None:
    claimed = await _abandoned(world, metadata_json='{"delivery": "at_most_once"}')
    assert await dispatch.rescue(world.db, world.daemon_id, 10) == dispatch.Rescued([], [claimed.id])
    shown = await executions.show(world.db, world.tenant_id, claimed.id)
    assert (shown.status, shown.outcome) == ("failed", "worker_lost")
    assert shown.postmortem is not None
    assert "at_most_once" in shown.postmortem


async def test_the_third_loss_is_the_last(world: World) -> None:
    claimed = await _abandoned(world)
    for _ in range(2):
        helper = await worlds.daemon(world.db)
        assert len((await dispatch.rescue(world.db, helper, 10)).taken_over) == 1
        await daemons.deregister(world.db, helper)
    assert await dispatch.rescue(world.db, world.daemon_id, 10) == dispatch.Rescued([], [claimed.id])
    shown = await executions.show(world.db, world.tenant_id, claimed.id)
    assert (shown.status, shown.outcome, shown.attempt) == ("failed", "worker_lost", 3)
    assert shown.postmortem == "lost with its daemon on attempt 3 of 3"


async def test_a_cancel_that_was_asked_for_is_done(world: World) -> None:
    claimed = await _abandoned(world)
    await executions.request_cancel(world.db, world.tenant_id, claimed.id)
    assert await dispatch.rescue(world.db, world.daemon_id, 10) == dispatch.Rescued([], [claimed.id])
    assert await world.status(claimed.id) == "cancelled"


async def test_no_more_are_taken_over_than_asked_for(world: World) -> None:
    await world.script(limits={"max_concurrent_runs": 100})
    owner = await worlds.daemon(world.db, lease_seconds=-1)
    for _ in range(5):
        await world.submit()
    await dispatch.claim(world.db, owner, 5)
    assert len((await dispatch.rescue(world.db, world.daemon_id, 2)).taken_over) == 2
    assert len((await dispatch.rescue(world.db, world.daemon_id, 0)).taken_over) == 0
    assert len((await dispatch.rescue(world.db, world.daemon_id, 10)).taken_over) == 3


async def test_one_of_two_rescuers_gets_a_row(world: World) -> None:
    await _abandoned(world)
    rival = await worlds.daemon(world.db)
    results = await asyncio.gather(dispatch.rescue(world.db, world.daemon_id, 10), dispatch.rescue(world.db, rival, 10))
    assert sorted(len(result.taken_over) for result in results) == [0, 1]


async def test_a_lost_lease_is_told_at_the_heartbeat(world: World) -> None:
    owner = await worlds.daemon(world.db, lease_seconds=-1)
    assert await daemons.heartbeat(world.db, owner, lease_seconds=-1), "nobody has noticed yet"
    await dispatch.rescue(world.db, world.daemon_id, 10)
    assert not await daemons.heartbeat(world.db, owner, lease_seconds=30)
    with pytest.raises(Conflict, match="lost its lease"):
        await dispatch.rescue(world.db, owner, 10)


async def test_dead_neighbours_are_found_without_waiting_for_their_lease(world: World) -> None:
    alive = await worlds.daemon(world.db, pid=10, pid_started_ticks=1)
    dead = await worlds.daemon(world.db, pid=10, pid_started_ticks=2)
    elsewhere = await worlds.daemon(world.db, pid=10, boot_id="another boot")
    contained = await worlds.daemon(world.db, pid=10, pid_namespace="pid:[2]")
    found = await daemons.expire_dead_neighbours(
        world.db,
        host="here",
        boot_id="boot",
        pid_namespace="pid:[1]",
        is_alive=lambda pid, ticks: ticks == 1,
    )
    assert found == [dead]
    for daemon_id in (alive, elsewhere, contained):
        assert await daemons.heartbeat(world.db, daemon_id, lease_seconds=30)
    assert not await daemons.heartbeat(world.db, dead, lease_seconds=30)


async def test_daemons_that_run_nothing_are_forgotten_in_time(world: World) -> None:
    await world.script()
    await world.submit()
    owner, idle = await worlds.daemon(world.db), await worlds.daemon(world.db)
    await dispatch.claim(world.db, owner, 1)
    await daemons.deregister(world.db, owner)
    await daemons.deregister(world.db, idle)
    await daemons.forget(world.db, older_than_seconds=3600)
    assert await world.db.fetchval("SELECT count(*) FROM daemons") == 3
    await daemons.forget(world.db, older_than_seconds=-1)
    assert {row["id"] for row in await world.db.fetch("SELECT id FROM daemons")} == {world.daemon_id, owner}


async def test_a_daemon_starts_again_what_it_lost_itself(world: World) -> None:
    await world.script("again", limits={"max_concurrent_runs": 1})
    await world.script("once", metadata_json='{"delivery": "at_most_once"}')
    await world.script("cancelled")
    again, once, cancelled = [await world.submit(name) for name in ("again", "once", "cancelled")]
    lost = [claimed.id for claimed in await world.claim()]
    await executions.request_cancel(world.db, world.tenant_id, cancelled)
    for attempt in (2, 3):
        [claimed] = await dispatch.retake(world.db, world.daemon_id, lost)
        assert (claimed.id, claimed.attempt) == (again, attempt)
    assert await dispatch.retake(world.db, world.daemon_id, lost) == []
    assert await world.status(once) == "running"
    rival = await worlds.daemon(world.db)
    assert await dispatch.retake(world.db, rival, lost) == []
