"""The client protocol: what an application and the daemon say to each other.

A connection carries frames (`ipc.framing`), each one message. The client opens with `Hello`, the
daemon answers `Welcome` or `ErrorReply` and from then on every request carries a `request_id` that
its replies repeat, so that any number of requests can be under way on one connection.

Messages are tagged msgpack maps. A message grows by new fields with defaults: an older peer skips
fields it does not know. A change that an older peer cannot skip raises `PROTOCOL_VERSION`.

JSON documents (`input_json`, `output_json`, …) travel as JSON *text*: what a script is given and what it
returns is encoded once and never re-encoded on the way.
"""

from __future__ import annotations

from typing import Literal

import msgspec

PROTOCOL_VERSION = 1

ExecutionStatus = Literal["pending", "running", "completed", "failed", "timeout", "cancelled"]
TriggerType = Literal["cron", "http", "event", "manual", "api"]
ScriptType = Literal["scheduled", "http", "event", "oneoff", "embedded"]
ScriptStatus = Literal["draft", "active", "paused", "disabled", "archived"]
LogLevel = Literal["debug", "log", "info", "warn", "error"]
ErrorCode = Literal[
    "protocol",  # the frame or the message is not valid; the connection is closed
    "forbidden",  # the user on the other end may not use this daemon; the connection is closed
    "invalid",  # a field of the request is not valid
    "not_found",  # no such script, execution or tenant for this caller
    "conflict",  # the request contradicts what is stored
    "too_large",  # a frame, a source or an input is over its limit
    "unavailable",  # the database or the workers are away just now; trying again may help
    "draining",  # the daemon is stopping
    "timeout",  # the wait ended before the execution did
    "internal",  # a fault of the daemon's own; its log says more
]


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", omit_defaults=True):
    """Base of every message."""


class Record(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of every part of a message."""


# -- parts ------------------------------------------------------------------------------------------


class Limits(Record, frozen=True, kw_only=True):
    """Limits for one execution; each may only lower what the script allows. `None`: the script's own."""

    max_execution_time_ms: int | None = None
    max_memory_bytes: int | None = None
    max_output_size_bytes: int | None = None


class LogLine(Record, frozen=True, kw_only=True):
    """One line that a script wrote to its console. `logged_at` is Unix time in seconds."""

    seq: int
    level: LogLevel
    logged_at: float
    message: str


class Execution(Record, frozen=True, kw_only=True):
    """One row of `script_executions`. Times are Unix seconds; `*_json` is JSON text."""

    id: str
    script_id: str
    script_name: str
    tenant_id: str
    status: ExecutionStatus
    trigger_type: TriggerType
    script_version: int | None = None
    attempt: int = 0
    priority: int = 0
    outcome: str | None = None
    postmortem: str | None = None
    error: str | None = None
    input_json: str | None = None
    output_json: str | None = None
    trigger_data_json: str = "{}"
    metrics_json: str = "{}"
    queued_at: float = 0.0
    run_at: float = 0.0
    started_at: float | None = None
    completed_at: float | None = None
    daemon_id: str | None = None


class Script(Record, frozen=True, kw_only=True):
    """One row of `scripts`, without its source."""

    id: str
    name: str
    tenant_id: str
    type: ScriptType
    status: ScriptStatus
    version: int
    description: str | None = None
    tags: list[str] = []
    created_at: float = 0.0
    updated_at: float = 0.0


# -- client → daemon --------------------------------------------------------------------------------


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First message of a connection. `client` names the program, for the daemon's log."""

    protocol: int = PROTOCOL_VERSION
    client: str = ""


class Request(Message, frozen=True, kw_only=True):
    """Base of every request. `tenant` is an id or a name; `None` is the daemon's default tenant."""

    request_id: int
    tenant: str | None = None


class Submit(Request, frozen=True, kw_only=True, tag="submit"):
    """Record an execution. Give `script` (name or id) or `source`, not both.

    Inline `source` becomes a `oneoff` script of its own; the same source is the same script. The
    answer is `Submitted` once the row is committed and, with `wait`, a `Finished` when it has ended.
    """

    script: str | None = None
    source: str | None = None
    input_json: str = "{}"
    trigger_type: Literal["manual", "api"] = "api"
    priority: int = 0
    delay_ms: int = 0
    limits: Limits = Limits()
    wait: bool = False


class Run(Request, frozen=True, kw_only=True, tag="run"):
    """Run inline source at once, in a sandbox of its own, recording nothing. The answer is `Ran`."""

    source: str
    name: str = "script.js"
    input_json: str = "{}"
    limits: Limits = Limits()


class Wait(Request, frozen=True, kw_only=True, tag="wait"):
    """Wait for an execution's end. The answer is `Finished`, or an error with code `timeout`."""

    execution_id: str
    timeout_ms: int | None = None


class Cancel(Request, frozen=True, kw_only=True, tag="cancel"):
    """Cancel an execution: a pending one at once, a running one by SIGKILL. The answer is `Cancelled`."""

    execution_id: str


class Show(Request, frozen=True, kw_only=True, tag="show"):
    """The answer is `Shown`."""

    execution_id: str


class ListExecutions(Request, frozen=True, kw_only=True, tag="list_executions"):
    """Newest first. The answer is `Executions`; give its `next_before` back as `before` for the next page."""

    script: str | None = None
    status: ExecutionStatus | None = None
    limit: int = 50
    before: str | None = None


class Logs(Request, frozen=True, kw_only=True, tag="logs"):
    """Console lines after `after_seq`. The answers are `LogLines`; with `follow` until the execution ends."""

    execution_id: str
    after_seq: int = 0
    follow: bool = False


class Deploy(Request, frozen=True, kw_only=True, tag="deploy"):
    """Create a script or change the one of this name. Unchanged source makes no new version."""

    name: str
    source: str
    script_type: ScriptType = "oneoff"
    status: ScriptStatus = "active"
    description: str | None = None
    resource_limits_json: str | None = None
    cron_expression: str | None = None
    http_path: str | None = None
    http_methods: list[str] | None = None
    event_types: list[str] | None = None
    metadata_json: str | None = None
    tags: list[str] | None = None
    change_description: str | None = None


class ListScripts(Request, frozen=True, kw_only=True, tag="list_scripts"):
    """The answer is `Scripts`, by name."""

    status: ScriptStatus | None = None


class Status(Request, frozen=True, kw_only=True, tag="status"):
    """The answer is `DaemonStatus`."""


class Abandon(Request, frozen=True, kw_only=True, tag="abandon"):
    """The client no longer wants the answer to the request of this `request_id`. It has no answer itself.

    What was asked for goes on: an abandoned `Wait` or followed `Logs` costs its execution nothing. The id
    may be used again only where the answer had ended by itself, so clients do not use one twice.
    """


ClientMessage = (
    Hello | Submit | Run | Wait | Cancel | Show | ListExecutions | Logs | Deploy | ListScripts | Status | Abandon
)

# -- daemon → client --------------------------------------------------------------------------------


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """Answers `Hello`."""

    protocol: int
    version: str
    daemon_id: str


class Reply(Message, frozen=True, kw_only=True):
    """Base of every answer to a request."""

    request_id: int


class Submitted(Reply, frozen=True, kw_only=True, tag="submitted"):
    """The execution is committed: it survives a crash of the daemon from here on."""

    execution_id: str
    script_id: str


class Finished(Reply, frozen=True, kw_only=True, tag="finished"):
    """The execution has reached its final state."""

    execution: Execution


class Ran(Reply, frozen=True, kw_only=True, tag="ran"):
    """How an unrecorded run ended. `status` and `outcome` mean what they mean for an execution."""

    status: ExecutionStatus
    outcome: str
    output_json: str | None = None
    error: str | None = None
    postmortem: str | None = None
    metrics_json: str = "{}"
    logs: list[LogLine] = []


class Cancelled(Reply, frozen=True, kw_only=True, tag="cancelled"):
    """`status` before the request: `pending` is cancelled now, `running` will be in a moment; otherwise
    the execution had ended already and nothing was changed."""

    status: ExecutionStatus


class Shown(Reply, frozen=True, kw_only=True, tag="shown"):
    """Answers `Show`."""

    execution: Execution


class Executions(Reply, frozen=True, kw_only=True, tag="executions"):
    """Answers `ListExecutions`. `input_json` and `output_json` are left out of each."""

    executions: list[Execution]
    next_before: str | None = None


class LogLines(Reply, frozen=True, kw_only=True, tag="log_lines"):
    """Console lines, in order. The last message of the answer has `end` set; `dropped_bytes` is what was
    written beyond the kept 64 KiB."""

    lines: list[LogLine] = []
    end: bool = False
    dropped_bytes: int = 0


class Deployed(Reply, frozen=True, kw_only=True, tag="deployed"):
    """`version` is the script's version now; `created` and `changed` tell what the deploy did."""

    script_id: str
    version: int
    created: bool = False
    changed: bool = False


class Scripts(Reply, frozen=True, kw_only=True, tag="scripts"):
    """Answers `ListScripts`."""

    scripts: list[Script]


class DaemonStatus(Reply, frozen=True, kw_only=True, tag="daemon_status"):
    """What the daemon is doing. Counts of executions are of the whole database, by status, for the tenant."""

    daemon_id: str
    version: str
    pid: int
    host: str
    uptime_seconds: float
    engine_mode: str
    workers_spare: int
    workers_busy: int
    workers_max: int
    zygote_restarts: int
    database: Literal["up", "down"]
    draining: bool
    executions: dict[str, int] = {}


class ErrorReply(Message, frozen=True, kw_only=True, tag="error"):
    """A request failed; `request_id` is `None` where the frame could not be read. `hint`: what to do."""

    code: ErrorCode
    message: str
    hint: str = ""
    request_id: int | None = None


ServerMessage = (
    Welcome
    | Submitted
    | Finished
    | Ran
    | Cancelled
    | Shown
    | Executions
    | LogLines
    | Deployed
    | Scripts
    | DaemonStatus
    | ErrorReply
)
