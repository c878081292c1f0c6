"""The pool, with a real zygote and real workers."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import pytest

from daemon.pool import Pool
from tests.running import Started, output, run, running_pool, until

pytestmark = pytest.mark.anyio

FOREVER = "console.log('started'); export default { run() { for (;;); } }"
NEVER_BUSY = "export default { async run() { console.log('started'); await new Promise(r => setTimeout(r, 60000)); } }"


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with running_pool() as pool:
        yield pool


async def test_each_execution_has_a_process_and_a_global_of_its_own(pool: Pool) -> None:
    source = """export default { async run() {
        const had = globalThis.left ?? null;
        globalThis.left = 1;
        console.log("here");
        await new Promise((resolve) => setTimeout(resolve, 30));
        return had;
    } }"""
    pids = set()
    for _ in range(20):
        started = Started(pool, source)
        await started.printed("here")
        pids.add(pool.pid_of(started.id))
        assert output(await started.ending()) is None
    assert len(pids) == 20
    assert None not in pids


async def test_siblings_do_not_share_their_random_state(pool: Pool) -> None:
    source = """export default { run() {
        return [Math.random(), crypto.randomUUID(), crypto.getRandomValues(new Uint32Array(2)).join()];
    } }"""
    seen = [output(await run(pool, source)) for _ in range(30)]
    for position in range(3):
        assert len({str(values[position]) for values in seen}) == 30


async def test_executions_beyond_the_limit_wait_for_a_slot() -> None:
    async with running_pool(max_running=2, spares=1) as pool:
        blocked = [Started(pool, NEVER_BUSY) for _ in range(2)]
        for each in blocked:
            await each.printed("started")
        waiting = Started(pool, "export default { run() { return 'ran' } }")
        assert pool.stats().queued == 1
        assert pool.free_slots == 0
        assert pool.cancel(blocked[0].id)
        assert output(await waiting.ending()) == "ran"
        assert pool.stats().busy == 1


async def test_a_waiting_execution_is_cancelled_at_once() -> None:
    async with running_pool(max_running=1, spares=1) as pool:
        blocker = Started(pool, NEVER_BUSY)
        await blocker.printed("started")
        waiting = Started(pool, "export default { run() { return 'ran' } }")
        assert pool.cancel(waiting.id)
        assert (await waiting.ending()).outcome == "cancelled"
        assert not pool.cancel(waiting.id)


async def test_a_running_execution_is_cancelled_by_a_kill(pool: Pool) -> None:
    started = Started(pool, FOREVER)
    await started.printed("started")
    assert pool.cancel(started.id)
    ending = await started.ending()
    assert (ending.status, ending.outcome) == ("cancelled", "cancelled")


async def test_kill_9_on_a_worker_loses_that_execution_only(pool: Pool) -> None:
    victim, sibling = Started(pool, FOREVER), Started(pool, NEVER_BUSY.replace("60000", "200"))
    await victim.printed("started")
    await sibling.printed("started")
    pid = pool.pid_of(victim.id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ending = await victim.ending()
    assert (ending.status, ending.outcome) == ("failed", "worker_lost")
    assert "SIGKILL" in ending.postmortem
    assert not ending.may_rerun
    assert (await sibling.ending()).outcome == "ok"


async def test_kill_9_on_the_zygote_loses_what_runs_and_a_new_one_serves(pool: Pool) -> None:
    victim = Started(pool, NEVER_BUSY)
    await victim.printed("started")
    pid = pool.pid_of(victim.id)
    assert pid is not None
    zygote = pool.stats().zygote_pid
    os.kill(zygote, signal.SIGKILL)
    ending = await victim.ending()
    assert ending.outcome == "worker_lost"
    assert ending.may_rerun
    assert output(await run(pool, "export default { run() { return 'alive' } }")) == "alive"
    assert pool.stats().zygote_pid != zygote
    assert pool.stats().zygote_restarts == 1
    assert _is_dead(pid)


async def test_a_zygote_that_does_not_answer_is_replaced(pool: Pool) -> None:
    victim = Started(pool, FOREVER, max_execution_time_ms=300)
    await victim.printed("started")
    os.kill(pool.stats().zygote_pid, signal.SIGSTOP)
    ending = await victim.ending()
    assert ending.outcome == "wall_time"
    assert output(await run(pool, "export default { run() { return 'alive' } }")) == "alive"


async def test_a_spare_that_dies_is_replaced(pool: Pool) -> None:
    for pid in _children(pool.stats().zygote_pid):
        await _killed(pid)
    assert output(await run(pool, "export default { run() { return 'alive' } }")) == "alive"


async def test_closing_leaves_no_process_and_no_descriptor() -> None:
    # The first pool opens what the process keeps (the event loop's own pipes and the like).
    async with running_pool() as pool:
        await run(pool, "1")
    before = _descriptors()
    async with running_pool() as pool:
        zygote = pool.stats().zygote_pid
        await run(pool, "1")
        Started(pool, FOREVER)
        processes = [os.pidfd_open(pid) for pid in [zygote, *_children(zygote)]]
        assert len(processes) > 1
    for process in processes:
        await _dead(process)
    assert _descriptors() == before


async def test_descriptors_do_not_grow_with_executions(pool: Pool) -> None:
    await run(pool, "1")
    await _settled(pool)
    before = _descriptors()
    for _ in range(50):
        await run(pool, "1")
    await _settled(pool)
    assert _descriptors() == before


async def _killed(pid: int) -> None:
    """Kill a process and wait until it is dead."""
    process = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    await _dead(process)


async def _dead(process: int) -> None:
    """Wait until the process of a pidfd is dead, and close the descriptor."""
    dead = asyncio.Event()
    asyncio.get_running_loop().add_reader(process, dead.set)
    await dead.wait()
    asyncio.get_running_loop().remove_reader(process)
    os.close(process)


async def _settled(pool: Pool) -> None:
    """Wait until the spares are complete again."""
    await until(lambda: pool.stats().spare == 2)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def _is_dead(pid: int) -> bool:
    """Whether it is dead: gone, or not reaped by whoever inherited it."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(") ")[2].startswith("Z")
    except FileNotFoundError:
        return True
