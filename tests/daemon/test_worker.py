"""What the supervisor makes of a worker that lies. The test plays the worker: it holds the other end of its socket."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator

import msgspec
import pytest

from daemon.endings import Evidence, conclude
from daemon.execution import Ending, Task
from daemon.limits import LOG_MAX_BYTES, ExecutionLimits
from daemon.worker import WorkerEvents, WorkerProcess, WorkerState
from ipc.framing import pack
from ipc.worker_messages import RESULT_OVERHEAD_BYTES, Exited, Log, Packet, Result, ScriptError, WorkerReady
from tests.running import until

pytestmark = pytest.mark.anyio

KILLED = Exited(1, 9, 2000, 1000, 50_000_000, 300)
ENDED = Exited(1, 0, 2000, 1000, 50_000_000, 300)


class Liar(WorkerEvents):
    """A worker whose every byte the test decides, and what the supervisor did with it."""

    def __init__(self) -> None:
        self.kills = 0
        self.gone: Evidence | None = None
        self.handle = WorkerProcess(1, self)
        socket_fd, stderr_fd = self.handle.child_ends
        self.socket = socket.socket(fileno=os.dup(socket_fd))
        self.stderr = os.dup(stderr_fd)
        self.handle.close_child_ends()
        self.lines: list[str] = []

    def kill_worker(self, worker: WorkerProcess) -> None:
        self.kills += 1

    def worker_gone(self, worker: WorkerProcess, evidence: Evidence | None) -> None:
        self.gone = evidence

    async def send(self, *messages: Packet) -> None:
        await self.send_bytes(b"".join(pack(msgspec.msgpack.encode(message)) for message in messages))

    async def send_bytes(self, data: bytes) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.socket.sendall, data)
        await self.seen()

    async def seen(self) -> None:
        """Let the loop look at its sockets: what was written before is read then."""
        for _ in range(3):
            await asyncio.sleep(0)

    async def start(self, **limits: int) -> None:
        await self.send(WorkerReady(1000, 40_000_000))
        assert self.handle.state is WorkerState.SPARE
        task = Task(execution_id="e", source="1", limits=ExecutionLimits(**limits))
        self.handle.dispatch(task, lambda _level, text, _elapsed: self.lines.append(text))

    def ending(self, exited: Exited) -> Ending:
        self.handle.exited(exited)
        assert self.gone is not None
        return conclude(self.gone)

    def close(self) -> None:
        self.socket.close()
        os.close(self.stderr)
        self.handle.exited(None)


@pytest.fixture
async def liar() -> AsyncIterator[Liar]:
    liar = Liar()
    yield liar
    liar.close()


async def test_an_honest_worker_is_believed(liar: Liar) -> None:
    await liar.start()
    await liar.send(Log("log", "hello", 0.1), Result("ok", output_json='{"a":1}'))
    ending = liar.ending(ENDED)
    assert (ending.outcome, ending.output_json, liar.lines, liar.kills) == ("ok", '{"a":1}', ["hello"], 0)
    assert ending.metrics.cpu_ms == 2.0
    assert ending.metrics.memory_used_bytes == 10_000_000


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(pack(b"\xc1"), id="no msgpack"),
        pytest.param(pack(b""), id="an empty frame"),
        pytest.param(pack(msgspec.msgpack.encode(["result"])), id="a truncated message"),
        pytest.param(pack(msgspec.msgpack.encode(["execute", 1])), id="a message of the other direction"),
        pytest.param(pack(msgspec.msgpack.encode({"a": 1})), id="another shape"),
        pytest.param(pack(b"\x91" * 5000), id="nested 5,000 deep"),
        pytest.param(pack(msgspec.msgpack.encode(["log", "log", 5, 0.0])), id="another type"),
        pytest.param(pack(msgspec.msgpack.encode(["log", "alert", "x", 0.0])), id="an unknown level"),
        pytest.param(pack(msgspec.msgpack.encode(["log", "log", "x", float("nan")])), id="a time that is no number"),
        pytest.param(pack(msgspec.msgpack.encode(["result", "wonderful"])), id="an unknown outcome"),
        pytest.param(b"\xff\xff\xff\xff", id="a frame of four gigabytes"),
        pytest.param(pack(msgspec.msgpack.encode(WorkerReady(0, 0))), id="ready again"),
    ],
)
async def test_nonsense_kills_the_worker(liar: Liar, data: bytes) -> None:
    await liar.start()
    await liar.send_bytes(data)
    assert liar.kills == 1
    ending = liar.ending(KILLED)
    assert (ending.status, ending.outcome) == ("failed", "protocol")


async def test_a_frame_over_the_output_limit_is_not_read(liar: Liar) -> None:
    await liar.start(max_output_size_bytes=1000)
    await liar.send_bytes((1000 + RESULT_OVERHEAD_BYTES + 1).to_bytes(4, "big") + b"x" * 1000)
    assert liar.ending(KILLED).outcome == "protocol"


async def test_a_byte_before_the_execution_kills_the_spare(liar: Liar) -> None:
    await liar.send(WorkerReady(1000, 40_000_000), Log("log", "too early", 0.0))
    assert liar.kills == 1


async def test_nothing_counts_after_the_result(liar: Liar) -> None:
    await liar.start()
    await liar.send(Result("ok", output_json="1"), Result("ok", output_json="2"))
    assert liar.kills == 1
    assert liar.ending(KILLED).outcome == "protocol"


@pytest.mark.parametrize("output", ["{", "NaN", "1 2", "[" * 5000 + "]" * 5000, '"\\ud800x"'[:-1], ""])
async def test_an_output_that_is_no_json_is_a_lie(liar: Liar, output: str) -> None:
    await liar.start()
    await liar.send(Result("ok", output_json=output))
    assert liar.ending(ENDED).outcome == "protocol"


async def test_an_output_over_the_limit_is_refused_whatever_the_worker_says(liar: Liar) -> None:
    await liar.start(max_output_size_bytes=10)
    await liar.send(Result("ok", output_json='"0123456789"'))
    assert liar.ending(ENDED).outcome == "output_size"


async def test_success_without_output_and_failure_without_error_are_lies(liar: Liar) -> None:
    await liar.start()
    await liar.send(Result("exception"))
    assert liar.ending(ENDED).outcome == "protocol"


async def test_console_lines_beyond_the_cap_are_counted_and_dropped(liar: Liar) -> None:
    await liar.start()
    lines = 10
    for _ in range(lines):
        await liar.send(Log("log", "x" * 16_000, 0.0))
    await liar.send(Result("ok", output_json="1"))
    metrics = liar.ending(ENDED).metrics
    assert metrics.log_bytes <= LOG_MAX_BYTES
    assert metrics.log_bytes + metrics.log_dropped_bytes == lines * 16_000


async def test_numbers_that_a_worker_made_up_are_held_within_reason(liar: Liar) -> None:
    await liar.start()
    await liar.send(Result("ok", output_json="1", startup_ms=1e300))
    metrics = liar.ending(ENDED).metrics
    assert 0 <= metrics.startup_ms <= metrics.duration_ms


@pytest.mark.parametrize(
    ("number", "status", "outcome", "said"),
    [
        (signal.SIGXCPU, "timeout", "cpu_time", "max_execution_time_ms, which is 30000"),
        (signal.SIGSYS, "failed", "sandbox_violation", "forbidden system call"),
        (signal.SIGSEGV, "failed", "crashed", "SIGSEGV"),
        (signal.SIGABRT, "failed", "crashed", "SIGABRT"),
        (signal.SIGKILL, "failed", "worker_lost", "SIGKILL, which the daemon did not send"),
        (signal.SIGTERM, "failed", "worker_lost", "SIGTERM"),
    ],
)
async def test_a_death_by_a_signal_is_told_by_its_cause(
    liar: Liar, number: int, status: str, outcome: str, said: str
) -> None:
    await liar.start()
    ending = liar.ending(Exited(1, int(number), 0, 0, 0, 0))
    assert (ending.status, ending.outcome) == (status, outcome)
    assert said in ending.postmortem


async def test_an_exit_without_a_result_is_told_with_its_code_and_last_words(liar: Liar) -> None:
    await liar.start()
    os.write(liar.stderr, b"no\x1bway\n")
    ending = liar.ending(Exited(1, 72 << 8, 0, 0, 0, 0))
    assert (ending.status, ending.outcome) == ("failed", "worker_lost")
    assert "exited with code 72" in ending.postmortem


async def test_stderr_is_a_label_of_4_kib(liar: Liar) -> None:
    await liar.start()
    os.write(liar.stderr, b"\x00\xff[unhandlable oom] " + b"x" * 10_000)
    ending = liar.ending(Exited(1, 11, 0, 0, 0, 0))
    assert ending.outcome == "memory"
    assert "\0" not in ending.postmortem
    assert len(ending.postmortem) <= 500


async def test_hostile_text_is_stored_on_one_line_and_without_nul(liar: Liar) -> None:
    await liar.start()
    error = ScriptError("Err\nor", "a\0b\n2026-01-01 ERROR fake: line", "at\0")
    await liar.send(Result("exception", error=error))
    ending = liar.ending(ENDED)
    assert "\n" not in ending.postmortem
    assert "\0" not in ending.postmortem + (ending.error or "")


async def test_a_worker_that_closes_its_socket_and_lives_on_is_killed(liar: Liar) -> None:
    await liar.start()
    liar.socket.shutdown(socket.SHUT_RDWR)
    await until(lambda: liar.kills > 0)
    assert liar.ending(KILLED).outcome == "worker_lost"
