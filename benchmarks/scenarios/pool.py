"""Executions in fresh processes without database and without socket: the pool alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.figures import quantile
from benchmarks.scenarios.base import TRIVIAL, Measured, Scenario
from daemon.config import PoolConfig
from daemon.execution import Ending, Task
from daemon.pool import Pool

_PACE_SECONDS = 0.01


class PoolScenario(Scenario):
    """Latency at 100 a second, and executions a second at saturation."""

    async def measure(self) -> Measured:
        measured = await self._latency(50 if self.quick else 500)
        for concurrency in (4,) if self.quick else (1, 2, 4, 8):
            rate = await self._throughput(concurrency, 100 if self.quick else 1500)
            measured[f"pool, {concurrency} at a time, no database", "executions/s"] = rate
        return measured

    async def _latency(self, count: int) -> Measured:
        answered: list[float] = []
        gone: list[float] = []
        async with _pool(8, 4) as pool:
            for await_exit, times in ((False, answered), (True, gone)):
                start = time.perf_counter()
                for turn in range(count):
                    await asyncio.sleep(max(0.0, start + turn * _PACE_SECONDS - time.perf_counter()))
                    began = time.perf_counter()
                    await _execute(pool, await_exit)
                    times.append((time.perf_counter() - began) * 1000)
        return {
            ("pool, submit to result, p50", "ms"): quantile(answered, 0.5),
            ("pool, submit to result, p99", "ms"): quantile(answered, 0.99),
            ("pool, submit to end of process, p50", "ms"): quantile(gone, 0.5),
        }

    async def _throughput(self, concurrency: int, count: int) -> float:
        async with _pool(concurrency, max(4, concurrency)) as pool:
            left = count

            async def run() -> None:
                nonlocal left
                while left > 0:
                    left -= 1
                    await _execute(pool, await_exit=True)

            began = time.perf_counter()
            # Twice as many as may run: the next is waiting when a slot is free, as in a daemon with a backlog.
            await asyncio.gather(*(run() for _ in range(2 * concurrency)))
            return count / (time.perf_counter() - began)


@asynccontextmanager
async def _pool(max_running: int, spares: int) -> AsyncIterator[Pool]:
    """A pool whose spares are complete."""
    pool = Pool(PoolConfig(max_running=max_running, spares=spares))
    try:
        await pool.start()
        while pool.stats().spare < spares:  # noqa: ASYNC110 - nothing announces it
            await asyncio.sleep(0.01)
        yield pool
    finally:
        pool.close()


async def _execute(pool: Pool, await_exit: bool) -> None:
    ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
    pool.submit(Task(execution_id="", source=TRIVIAL, input_json="1", await_exit=await_exit), ended.set_result)
    ending = await ended
    if ending.outcome != "ok":
        raise RuntimeError(ending.postmortem)
