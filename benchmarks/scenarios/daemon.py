"""A whole daemon (`jsruntime dev`) with its PostgreSQL, as a process, driven through its socket and by SQL."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import asyncpg
import msgspec

from benchmarks.figures import quantile
from benchmarks.scenarios.base import TRIVIAL, Measured, Scenario
from daemon.dev import STATE_FILE, STATE_FOLDER, DevState
from ipc.client import AsyncClient

_PACE_SECONDS = 0.01
_INSERT = """
INSERT INTO script_executions (script_id, tenant_id, status, trigger_type, input)
SELECT id, tenant_id, 'pending', 'api', '1' FROM scripts, generate_series(1, $1::int) WHERE name = 'bench'
"""


class DaemonScenario(Scenario):
    """Latency on the socket with and without recording, and durable executions a second with a backlog."""

    async def start(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="jsruntime-benchmark-"))
        self._folder.chmod(0o711)
        (self._folder / "bench.js").write_text(TRIVIAL, encoding="utf-8")
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "daemon", "dev", cwd=self._folder, stderr=asyncio.subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
        self._state = await self._ready()
        self._client = AsyncClient(self._state.socket)
        self._sql = await asyncpg.connect(self._state.dsn)
        await self._client.deploy("bench", TRIVIAL, resource_limits={"max_concurrent_runs": 1000})
        await self._client.submit_and_wait("bench", input=1)

    async def _ready(self) -> DevState:
        path = self._folder / STATE_FOLDER / STATE_FILE
        while not path.exists():
            if self._process.returncode is not None:
                raise RuntimeError(f"the daemon ended with exit code {self._process.returncode}")
            await asyncio.sleep(0.02)
        return msgspec.json.decode(path.read_bytes(), type=DevState)

    async def measure(self) -> Measured:
        count = 30 if self.quick else 500
        unrecorded = await self._latency(count, recorded=False)
        recorded = await self._latency(count, recorded=True)
        inserted = await self._inserted(20 if self.quick else 200)
        return {
            ("socket, unrecorded run, p50", "ms"): quantile(unrecorded, 0.5),
            ("socket, unrecorded run, p99", "ms"): quantile(unrecorded, 0.99),
            ("socket, recorded, submit to stored result, p50", "ms"): quantile(recorded, 0.5),
            ("socket, recorded, submit to stored result, p99", "ms"): quantile(recorded, 0.99),
            ("SQL insert to start of the run, p50", "ms"): quantile(inserted, 0.5),
            ("durable, with a backlog", "executions/s"): await self._throughput(200 if self.quick else 4000),
            **self._memory(),
        }

    async def _latency(self, count: int, recorded: bool) -> list[float]:
        times = []
        start = time.perf_counter()
        for turn in range(count):
            await asyncio.sleep(max(0.0, start + turn * _PACE_SECONDS - time.perf_counter()))
            began = time.perf_counter()
            if recorded:
                done = (await self._client.submit_and_wait("bench", input=1)).status
            else:
                done = (await self._client.run(TRIVIAL, input=1)).status
            times.append((time.perf_counter() - began) * 1000)
            if done != "completed":
                raise RuntimeError(f"a trivial execution ended as {done}")
        return times

    async def _inserted(self, count: int) -> list[float]:
        """Milliseconds from being queued to being started, both by the database's clock."""
        await self._sql.execute("TRUNCATE script_executions CASCADE")
        for _ in range(count):
            await self._sql.execute(_INSERT, 1)
            await asyncio.sleep(2 * _PACE_SECONDS)
        await self._all_completed(count)
        rows = await self._sql.fetch("SELECT EXTRACT(EPOCH FROM started_at - queued_at) * 1000 FROM script_executions")
        return [float(row[0]) for row in rows]

    async def _throughput(self, count: int) -> float:
        await self._sql.execute("TRUNCATE script_executions CASCADE")
        await self._sql.execute(_INSERT, count)
        await self._all_completed(count)
        seconds = await self._sql.fetchval(
            "SELECT EXTRACT(EPOCH FROM max(completed_at) - min(started_at)) FROM script_executions"
        )
        return count / float(seconds)

    async def _all_completed(self, count: int) -> None:
        query = "SELECT count(*) FROM script_executions WHERE status = 'completed'"
        while await self._sql.fetchval(query) < count:  # noqa: ASYNC110 - looking more often would cost it
            await asyncio.sleep(0.1)

    def _memory(self) -> Measured:
        """Memory of the processes; a spare's own needs the right to look into it (root, mostly)."""
        (zygote,) = _children(self._process.pid, "jsruntime-zygot")
        measured = {
            ("memory, supervisor, PSS", "MB"): _megabytes(self._process.pid, "Pss:"),
            ("memory, zygote, PSS", "MB"): _megabytes(zygote, "Pss:"),
        }
        own = [
            _megabytes(pid, "Private_Dirty:") + _megabytes(pid, "Private_Clean:")
            for pid in _children(zygote, "jsruntime-worke")
        ]
        measured["memory, a spare's own", "MB"] = quantile(own or [0.0], 0.5)
        # A process that may not be looked into reads as nothing: then there is no figure.
        return {key: value for key, value in measured.items() if value > 0}

    async def stop(self) -> None:
        await self._client.aclose()
        await self._sql.close()
        self._process.send_signal(signal.SIGTERM)
        await self._process.wait()
        shutil.rmtree(self._folder)


def _children(pid: int, name: str) -> list[int]:
    """The children of a process that have a name."""
    pids = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    return [int(pid) for pid in pids if Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip() == name]


def _megabytes(pid: int, field: str) -> float:
    """A field of smaps_rollup; 0 where it may not be read."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(field)) / 1024
