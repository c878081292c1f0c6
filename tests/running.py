"""Running scripts in tests: a pool with real workers, and one call to run a script in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec

from daemon.config import PoolConfig
from daemon.execution import Ending, Task
from daemon.limits import ExecutionLimits
from daemon.pool import Pool


@asynccontextmanager
async def running_pool(max_running: int = 4, spares: int = 2) -> AsyncIterator[Pool]:
    """A pool with its zygote, closed at the end."""
    pool = Pool(PoolConfig(max_running=max_running, spares=spares))
    try:
        await pool.start()
        yield pool
    finally:
        pool.close()


class Started:
    """An execution that was given to a pool: its console so far, and its ending when it comes."""

    def __init__(
        self, pool: Pool, source: str, *, given: object = None, script_type: str = "oneoff", **limits: int
    ) -> None:
        self.id = str(uuid4())
        self.lines: list[tuple[str, str]] = []
        self._changed = asyncio.Event()
        self._ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        task = Task(
            execution_id=self.id,
            source=source,
            script_type=script_type,
            input_json=msgspec.json.encode(given).decode(),
            limits=ExecutionLimits(**limits),
        )
        pool.submit(task, self._ended.set_result, self._line)

    def _line(self, level: str, text: str, _elapsed: float) -> None:
        self.lines.append((level, text))
        self._changed.set()

    async def printed(self, text: str) -> None:
        """Wait until the script has printed a line with `text` in it."""
        while not any(text in line for _level, line in self.lines):
            self._changed.clear()
            await self._changed.wait()

    async def ending(self) -> Ending:
        """Wait for the end."""
        return await self._ended


async def run(pool: Pool, source: str, **options: Any) -> Ending:
    """Run a script to its end."""
    return await Started(pool, source, **options).ending()


def output(ending: Ending) -> Any:
    """The output of an execution that has to have completed."""
    assert ending.outcome == "ok", (ending.postmortem, ending.error)
    assert ending.output_json is not None
    return msgspec.json.decode(ending.output_json)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces; the test's timeout bounds it."""
    while not condition():  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(0.002)
