"""What the pool is given to run, and what it gives back."""

from __future__ import annotations

import msgspec

from daemon.limits import ExecutionLimits
from daemon.states import Outcome, state_of
from ipc.messages import ExecutionStatus


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One execution, ready to run. `input_json` is JSON text.

    `await_exit`: end the execution when its process is gone, with what the process used; else as soon as the
    result is there.
    """

    execution_id: str
    script_id: str = ""
    script_name: str = "script.js"
    tenant_id: str = ""
    script_type: str = "oneoff"
    trigger: str = "api"
    version: int = 0
    attempt: int = 1
    source: str
    input_json: str = "{}"
    limits: ExecutionLimits = ExecutionLimits()
    queue_ms: float = 0.0
    await_exit: bool = True


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """What is stored in `script_executions.metrics`; `docs/metrics.md` says how each is measured."""

    duration_ms: float = 0.0
    memory_used_bytes: int = 0
    api_call_count: int = 0
    database_query_count: int = 0
    queue_ms: float = 0.0
    cpu_ms: float = 0.0
    startup_ms: float = 0.0
    output_bytes: int = 0
    log_bytes: int = 0
    log_dropped_bytes: int = 0


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an execution ended. `error` is for the script's author, `postmortem` one line with cause and limit.

    `may_rerun`: the execution was lost with the machinery around it (the zygote died), not by its own doing.
    """

    outcome: Outcome
    postmortem: str
    output_json: str | None = None
    error: str | None = None
    metrics: Metrics = Metrics()
    may_rerun: bool = False

    @property
    def status(self) -> ExecutionStatus:
        """The state that the execution is in now."""
        return state_of(self.outcome)
