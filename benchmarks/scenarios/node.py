"""What many use instead: a Node process per execution."""

from __future__ import annotations

import asyncio
import shutil
import time

from benchmarks.figures import quantile
from benchmarks.scenarios.base import Measured, Scenario

_SCRIPT = "console.log(JSON.stringify((input => input)(1)))"


class NodeScenario(Scenario):
    """`node -e` from spawn to exit, one at a time and four at a time. Measures nothing where node is missing."""

    async def measure(self) -> Measured:
        node = shutil.which("node")
        if node is None:
            return {}
        count = 5 if self.quick else 40
        times = []
        for _ in range(count):
            began = time.perf_counter()
            await _run(node)
            times.append((time.perf_counter() - began) * 1000)
        began = time.perf_counter()
        await asyncio.gather(*(self._several(node, count // 4 + 1) for _ in range(4)))
        rate = 4 * (count // 4 + 1) / (time.perf_counter() - began)
        return {
            ("node -e, spawn to exit, p50", "ms"): quantile(times, 0.5),
            ("node -e, 4 at a time", "executions/s"): rate,
        }

    async def _several(self, node: str, count: int) -> None:
        for _ in range(count):
            await _run(node)


async def _run(node: str) -> None:
    process = await asyncio.create_subprocess_exec(node, "-e", _SCRIPT, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    if output.strip() != b"1":
        raise RuntimeError(f"node answered {output!r}")
