"""The floor under everything: forks of the same zygote, with all that it has in memory, one after the other.

A bare fork and exit; and a fork that runs a trivial script, with the engine's code in huge pages and without.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import sys
from pathlib import Path

from benchmarks.scenarios.base import Measured, Scenario

_PROGRAM = """
import sys
sys.path[:0] = sys.argv[1].split(":")
sys.modules["typing_extensions"] = None
import gc, json, os, time
from ipc.blocking import BlockingChannel
from sandbox_worker import huge_text, worker
from sandbox_worker.engine import Engine
from sandbox_worker.zygote import fork
engine = Engine(sys.argv[2], "none")
moved = sys.argv[4] == "huge" and huge_text.move_code("/libmozjs-136a1.so")
worker.warm_up_zygote(engine)
channel = BlockingChannel(0, 0)
gc.collect(); gc.freeze(); gc.disable()
medians = []
for runs_script in (False, True):
    times = []
    for _ in range(int(sys.argv[3])):
        began = time.perf_counter()
        pid = fork()
        if pid == 0:
            if runs_script:
                worker._run_throw_away(engine, channel, worker._LIGHT_WARM_UP)
            os._exit(0)
        os.waitpid(pid, 0)
        times.append((time.perf_counter() - began) * 1e6)
    medians.append(sorted(times)[len(times) // 2])
os.write(1, json.dumps([bool(moved), *medians]).encode())
os._exit(0)
"""


class BareForkScenario(Scenario):
    """Fork, exit, reap."""

    async def measure(self) -> Measured:
        moved, bare, huge = await self._medians("huge")
        _, _, small = await self._medians("small")
        measured = {
            ("bare fork and exit of the zygote, p50", "µs"): bare,
            ("fork, trivial script, exit; code in small pages, p50", "µs"): small,
        }
        if moved:
            measured["fork, trivial script, exit; code in huge pages, p50", "µs"] = huge
        return measured

    async def _medians(self, pages: str) -> tuple[bool, float, float]:
        roots = {str(_folder(name).parent) for name in ("sandbox_worker", "ipc", "msgspec")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-X", "frozen_modules=on", "-c", _PROGRAM, ":".join(roots),
            str(_folder("pythonmonkey")), "100" if self.quick else "600", pages,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, env={},
        )  # fmt: skip
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the forking process ended with exit code {process.returncode}")
        moved, bare, script = json.loads(output)
        return bool(moved), float(bare), float(script)


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise RuntimeError(f"{package} is not installed")
    return Path(found.origin).parent
