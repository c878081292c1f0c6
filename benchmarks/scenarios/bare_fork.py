"""The floor under everything: a bare fork and exit of the same zygote, with all that it has in memory."""

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
from sandbox_worker import huge_text, worker
from sandbox_worker.engine import Engine
from sandbox_worker.zygote import fork
engine = Engine(sys.argv[2], "none")
huge_text.move_code("/libmozjs-136a1.so")
worker.warm_up_zygote(engine)
gc.collect(); gc.freeze(); gc.disable()
times = []
for _ in range(int(sys.argv[3])):
    began = time.perf_counter()
    pid = fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    times.append((time.perf_counter() - began) * 1e6)
os.write(1, json.dumps(sorted(times)[len(times) // 2]).encode())
os._exit(0)
"""


class BareForkScenario(Scenario):
    """Fork, exit, reap, one after the other."""

    async def measure(self) -> Measured:
        roots = {str(_folder(name).parent) for name in ("sandbox_worker", "ipc", "msgspec")}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", "-X", "frozen_modules=on", "-c", _PROGRAM, ":".join(roots),
            str(_folder("pythonmonkey")), "100" if self.quick else "1000", stdout=asyncio.subprocess.PIPE, env={},
        )  # fmt: skip
        output, _ = await process.communicate()
        if process.returncode != 0:
            raise RuntimeError(f"the forking process ended with exit code {process.returncode}")
        return {("bare fork and exit of the zygote, p50", "µs"): float(json.loads(output))}


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise RuntimeError(f"{package} is not installed")
    return Path(found.origin).parent
