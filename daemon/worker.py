"""The supervisor's end of one worker: its socket, its stderr, its deadline, and the one run of its life.

===========  ===================================================  ==========================
state        what the worker may send                             leaves the state by
===========  ===================================================  ==========================
starting     `WorkerReady`                                        that
spare        nothing                                              `dispatch`
busy         `Log`, `Result`                                      `Result`, a kill, its death
ending       nothing                                              its death
gone         –                                                    –
===========  ===================================================  ==========================

Whatever it sends otherwise breaks the protocol: it is killed and its execution recorded as failed.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import get_args

import msgspec

from daemon.endings import Evidence
from daemon.execution import Task
from daemon.limits import LOG_MAX_BYTES
from daemon.states import Outcome
from ipc.framing import FrameBuffer, FramingError, pack
from ipc.messages import LogLevel
from ipc.worker_messages import (
    LOG_LINE_MAX_BYTES,
    RESULT_OVERHEAD_BYTES,
    Execute,
    Exited,
    FromWorker,
    Log,
    Result,
    WorkerReady,
)
from ipc.worker_messages import Outcome as WorkerOutcome

STDERR_MAX_BYTES = 4096
"""What is read of a worker's standard error: a label for the postmortem, never trusted."""

_ENDING_GRACE_SECONDS = 1.0
"""A worker that has sent its result, or closed its socket, and has not exited by then is killed."""

_RECEIVE_BYTES = 256 * 1024
_LEVELS: frozenset[str] = frozenset(get_args(LogLevel))
_WORKER_OUTCOMES: frozenset[str] = frozenset(get_args(WorkerOutcome))

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)

LogSink = Callable[[str, str, float], None]
"""Receives level, text and seconds since the start of each console line."""


class WorkerState(Enum):
    """See the table above."""

    STARTING = auto()
    SPARE = auto()
    BUSY = auto()
    ENDING = auto()
    GONE = auto()


class WorkerEvents:
    """What a worker tells its pool."""

    def worker_ready(self, worker: WorkerProcess) -> None:
        """It is warm."""

    def worker_answered(self, worker: WorkerProcess, evidence: Evidence) -> None:
        """Its result is there; the process may still be."""

    def worker_gone(self, worker: WorkerProcess, evidence: Evidence | None) -> None:
        """The process is gone. `evidence` is of its run; `None` where it had none."""

    def kill_worker(self, worker: WorkerProcess) -> None:
        """It has to be killed."""


class WorkerProcess:
    """One worker process, from before its fork to after its end."""

    def __init__(self, worker_id: int, events: WorkerEvents) -> None:
        """Make its socket and its stderr pipe. `child_ends` go to the zygote; close them with `close_child_ends`.

        :raises OSError: no descriptor is left.
        """
        self.worker_id = worker_id
        self.state = WorkerState.STARTING
        self.pid = 0
        self.evidence: Evidence | None = None
        self.last_words = ""
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._socket, self._child_socket = socket.socketpair()
        try:
            self._stderr, self._child_stderr = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            self._socket.close()
            self._child_socket.close()
            raise
        self._socket.setblocking(False)
        self._buffer = FrameBuffer(RESULT_OVERHEAD_BYTES)
        self._ready: WorkerReady | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._started = 0.0
        self._unsent = b""
        self._log: LogSink = lambda _level, _text, _elapsed: None
        self._loop.add_reader(self._socket, self._receive)

    @property
    def child_ends(self) -> tuple[int, int]:
        """The worker's socket and the write end of its stderr."""
        return self._child_socket.fileno(), self._child_stderr

    def close_child_ends(self) -> None:
        """Close what now belongs to the worker, so that its death can be seen."""
        self._child_socket.close()
        os.close(self._child_stderr)

    def is_alive(self) -> bool:
        """Whether its end of the socket is open: a spare may have died unnoticed."""
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def wait_for_death(self, seconds: float) -> None:
        """Block until its end of the socket is closed, which a process that is killed does last but one."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        poll.poll(seconds * 1000)

    # -- what the pool does -------------------------------------------------------------------------

    def dispatch(self, task: Task, log: LogSink) -> None:
        """Give a spare worker the execution of its life. The wall clock starts now."""
        assert self.state is WorkerState.SPARE
        assert self._ready is not None
        self.state = WorkerState.BUSY
        self.evidence = Evidence(task=task, ready=self._ready)
        self._log = log
        self._started = time.monotonic()
        limits = task.limits
        self._buffer.max_frame_bytes = limits.max_output_size_bytes + RESULT_OVERHEAD_BYTES
        self._deadline = self._loop.call_later(limits.max_execution_time_ms / 1000, self.kill, "wall_time")
        self._send(pack(_encoder.encode(_execute_message(task))))

    def kill(self, why: Outcome) -> None:
        """SIGKILL it, and remember why; the first reason counts."""
        if self.state is WorkerState.BUSY and self.evidence is not None:
            self.evidence.killed_for = self.evidence.killed_for or why
        self._events.kill_worker(self)
        if self._deadline is not None:
            self._deadline.cancel()

    def exited(self, exited: Exited | None) -> None:
        """The zygote has reaped it, or (`None`) has died and taken it along."""
        if self.state is WorkerState.GONE:
            return
        self._receive()  # what it sent before it died may not have been read yet
        was_answered = self.state is WorkerState.ENDING
        self.state = WorkerState.GONE
        if self._deadline is not None:
            self._deadline.cancel()
        self.last_words = self._read_stderr()
        evidence = self.evidence
        if evidence is not None:
            evidence.exited = exited
            evidence.stderr = self.last_words
            if not was_answered:
                evidence.duration_ms = (time.monotonic() - self._started) * 1000
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()
        os.close(self._stderr)
        self._events.worker_gone(self, evidence)

    # -- what the worker sends ------------------------------------------------------------------------

    def _receive(self) -> None:
        while True:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._closed()
                return
            try:
                for body in self._buffer.feed(data):
                    self._handle(body)
            except FramingError as failure:
                self._violation(str(failure))
            if len(data) < _RECEIVE_BYTES:
                return

    def _closed(self) -> None:
        """Its socket is at its end: it is dying, or hostile. Its exit status will tell; it gets a moment for it."""
        self._loop.remove_reader(self._socket)
        if self.state is not WorkerState.GONE:
            self._loop.call_later(_ENDING_GRACE_SECONDS, self._kill_if_there)

    def _kill_if_there(self) -> None:
        if self.state is not WorkerState.GONE:
            self._events.kill_worker(self)

    def _handle(self, body: bytes) -> None:
        try:
            message = _decoder.decode(body)
        except Exception as failure:  # also RecursionError and UnicodeDecodeError
            self._violation(f"a frame that is no message ({type(failure).__name__})")
            return
        if self.state is WorkerState.STARTING and isinstance(message, WorkerReady):
            self._ready = message
            self.state = WorkerState.SPARE
            self._events.worker_ready(self)
        elif self.state is WorkerState.BUSY and isinstance(message, Log):
            self._console_line(message)
        elif self.state is WorkerState.BUSY and isinstance(message, Result):
            self._answered(message)
        elif self.state is not WorkerState.GONE:
            self._violation(f"{type(message).__name__} while {self.state.name.lower()}")

    def _console_line(self, line: Log) -> None:
        assert self.evidence is not None
        size = len(line.message.encode())
        if line.level not in _LEVELS or size > LOG_LINE_MAX_BYTES or not line.elapsed_ms >= 0:
            self._violation("a console line that is not valid")
            return
        if self.evidence.log_bytes + max(size, 1) > LOG_MAX_BYTES:
            self.evidence.log_dropped_bytes += size
            return
        self.evidence.log_bytes += max(size, 1)
        elapsed = min(line.elapsed_ms / 1000, time.monotonic() - self._started)
        self._log(line.level, line.message.replace("\0", "\ufffd"), elapsed)

    def _answered(self, result: Result) -> None:
        evidence = self.evidence
        assert evidence is not None
        if result.outcome not in _WORKER_OUTCOMES or result.log_dropped_bytes < 0:
            self._violation("a result that is not valid")
            return
        self.state = WorkerState.ENDING
        evidence.duration_ms = (time.monotonic() - self._started) * 1000
        if evidence.killed_for is None:
            evidence.result = result
        evidence.log_dropped_bytes += min(result.log_dropped_bytes, 1 << 53)
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self._loop.call_later(_ENDING_GRACE_SECONDS, self._kill_if_there)
        self._events.worker_answered(self, evidence)

    def _violation(self, what: str) -> None:
        if self.evidence is not None and not self.evidence.violation:
            self.evidence.violation = what
        self._loop.remove_reader(self._socket)
        self.kill("protocol")

    # -- plumbing -------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> None:
        """Send what the socket takes now and the rest as it empties: at most one task is ever waiting."""
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # it is dead; its exit is on the way
        self._unsent = data[sent:]
        if self._unsent:
            self._loop.add_writer(self._socket, self._send_rest)

    def _send_rest(self) -> None:
        self._loop.remove_writer(self._socket)
        self._send(self._unsent)

    def _read_stderr(self) -> str:
        try:
            return os.read(self._stderr, STDERR_MAX_BYTES).decode("utf-8", "replace")
        except OSError:
            return ""


def _execute_message(task: Task) -> Execute:
    return Execute(
        execution_id=task.execution_id,
        script_id=task.script_id,
        script_name=task.script_name,
        tenant_id=task.tenant_id,
        script_type=task.script_type,
        trigger=task.trigger,
        version=task.version,
        attempt=task.attempt,
        source=task.source,
        input_json=task.input_json,
        timeout_ms=task.limits.max_execution_time_ms,
        memory_bytes=task.limits.max_memory_bytes,
        output_bytes=task.limits.max_output_size_bytes,
        log_bytes=LOG_MAX_BYTES,
    )
