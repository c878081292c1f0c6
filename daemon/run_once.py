"""`jsruntime run`: one script in the sandbox, with no database and no daemon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import uvloop

from daemon.config import PoolConfig
from daemon.errors import InvalidInput
from daemon.execution import Ending, Task
from daemon.limits import MAXIMA, ExecutionLimits, effective_limits
from daemon.pool import Pool
from ipc.messages import Limits, LogLine, Ran

_UNBOUNDED_BY_A_SCRIPT = msgspec.json.encode(MAXIMA).decode()


def run_file(path: Path, input_json: str, limits: Limits, on_log: Callable[[LogLine], None]) -> Ran:
    """Run the script in the file at `path`; `on_log` gets each console line as it comes.

    What `limits` leaves open has the data model's default.

    :raises InvalidInput: the file cannot be read, or a limit is not valid.
    :raises ZygoteError: the engine does not start.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as failure:
        raise InvalidInput(f"The script {path} cannot be read: {failure}.", field="file") from failure
    task = Task(
        execution_id="",
        script_name=path.name,
        trigger="manual",
        source=source,
        input_json=input_json,
        limits=limits_of_a_run(limits),
    )
    return uvloop.run(_run(task, on_log))


def limits_of_a_run(limits: Limits) -> ExecutionLimits:
    """The limits of a run that no script bounds.

    :raises InvalidInput: one of them is not valid.
    """
    named = {name: value for name, value in msgspec.structs.asdict(limits).items() if value is not None}
    defaults = msgspec.structs.asdict(ExecutionLimits())
    return effective_limits(_UNBOUNDED_BY_A_SCRIPT, msgspec.json.encode({**defaults, **named}).decode())


async def _run(task: Task, on_log: Callable[[LogLine], None]) -> Ran:
    pool = Pool(PoolConfig(max_running=1, spares=1))
    try:
        await pool.start()
        return await run_in(pool, task, on_log)
    finally:
        pool.close()


async def run_in(pool: Pool, task: Task, on_log: Callable[[LogLine], None] = lambda _line: None) -> Ran:
    """Run a task that nothing records, and wait for its end."""
    ended: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
    began = time.time()
    lines: list[LogLine] = []

    def collect(level: str, message: str, elapsed: float) -> None:
        line = msgspec.convert(
            {"seq": len(lines) + 1, "level": level, "logged_at": began + elapsed, "message": message}, LogLine
        )
        lines.append(line)
        on_log(line)

    def done(ending: Ending) -> None:
        if not ended.done():
            ended.set_result(ending)

    pool.submit(task, done, collect)
    ending = await ended
    return Ran(
        request_id=0,
        status=ending.status,
        outcome=ending.outcome,
        output_json=ending.output_json,
        error=ending.error,
        postmortem=ending.postmortem,
        metrics_json=msgspec.json.encode(ending.metrics).decode(),
        logs=lines,
    )
