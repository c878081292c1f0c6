"""What supervisor, zygote and workers say to each other. Both ends are always of one version.

The control socket (supervisor ↔ zygote) is a SOCK_SEQPACKET socket: a packet is a message, descriptors ride
with it. A worker's socket is a stream of frames (`ipc.framing`). Nothing that a worker sends is
believed: its identity is its descriptor, and what it says is capped, decoded and checked.
"""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_CONTROL_PACKET_BYTES = 64 * 1024
"""A packet on the control socket is never longer."""

LOG_LINE_MAX_BYTES = 16 * 1024
"""A console line is cut to this many bytes of UTF-8 (by the worker; the supervisor checks)."""

RESULT_OVERHEAD_BYTES = 128 * 1024
"""What a frame of a worker may be longer than the output that it may give back: error, stack, framing."""

EngineMode = Literal["threadless", "offthread_disabled", "fork_first"]

Outcome = Literal[
    "ok",
    "exception",
    "syntax_error",
    "no_handler",
    "never_settles",
    "unhandled_rejection",
    "invalid_output",
    "output_size",
    "stack_overflow",
    "memory",
]
"""How the JavaScript ended, as far as the worker itself can tell."""


class Packet(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of every message here: encoded as an array, its tag first."""


# -- supervisor → zygote ----------------------------------------------------------------------------


class Fork(Packet, frozen=True, tag="fork"):
    """Fork one worker. Two descriptors ride along: the worker's socket and the write end of its stderr.

    `warm_up`: run a throw-away script before it waits. Not worth it where an execution waits for the worker.
    """

    worker_id: int
    warm_up: bool


class Kill(Packet, frozen=True, tag="kill"):
    """SIGKILL a worker. The zygote, its parent, is the one process that cannot hit a stranger by a reused pid."""

    worker_id: int


ToZygote = Fork | Kill

# -- zygote → supervisor ----------------------------------------------------------------------------


class ZygoteReady(Packet, frozen=True, tag="ready"):
    """The engine has started and passed its self-test. `rejected`: the modes that did not, with the reason."""

    pid: int
    engine_mode: EngineMode
    self_test_ms: float
    rejected: list[str] = []


class ZygoteFailed(Packet, frozen=True, tag="failed"):
    """No way of starting the engine works here; the zygote exits after saying so."""

    reason: str


class Forked(Packet, frozen=True, tag="forked"):
    worker_id: int
    pid: int


class ForkFailed(Packet, frozen=True, tag="fork_failed"):
    """`error_number` is the errno of fork(2), EAGAIN or ENOMEM mostly."""

    worker_id: int
    error_number: int


class Exited(Packet, frozen=True, tag="exited"):
    """A worker was reaped. `wait_status` is as of wait4(2); CPU times are of its whole life."""

    worker_id: int
    wait_status: int
    cpu_user_us: int
    cpu_system_us: int
    max_rss_bytes: int
    page_faults: int


FromZygote = ZygoteReady | ZygoteFailed | Forked | ForkFailed | Exited

# -- supervisor → worker ----------------------------------------------------------------------------


class Execute(Packet, frozen=True, tag="execute"):
    """The one execution of a worker's life. Times in milliseconds, sizes in bytes, `*_json` JSON text."""

    execution_id: str
    script_id: str
    script_name: str
    tenant_id: str
    script_type: str
    trigger: str
    version: int
    attempt: int
    source: str
    input_json: str
    timeout_ms: int
    memory_bytes: int
    output_bytes: int
    log_bytes: int


ToWorker = Execute

# -- worker → supervisor ----------------------------------------------------------------------------


class WorkerReady(Packet, frozen=True, tag="ready"):
    """The worker is warm and waits. No script has run in it: this base of its use can be believed."""

    cpu_us: int
    max_rss_bytes: int


class Log(Packet, frozen=True, tag="log"):
    """One console line. `elapsed_ms` is since the execution started in the worker."""

    level: str
    message: str
    elapsed_ms: float


class ScriptError(msgspec.Struct, frozen=True, array_like=True):
    """What was thrown. `line` and `column` (from 1) are of the user's source; 0 where unknown.

    `name` is empty where the thrown value was no Error.
    """

    name: str
    message: str
    stack: str
    line: int = 0
    column: int = 0


class Result(Packet, frozen=True, tag="result"):
    """The end of the execution; nothing may follow it."""

    outcome: Outcome
    output_json: str | None = None
    error: ScriptError | None = None
    startup_ms: float = 0.0
    log_dropped_bytes: int = 0


FromWorker = WorkerReady | Log | Result
