"""The postmortem: from what is known of a worker's last moments to the one ending that is recorded."""

from __future__ import annotations

import os
import signal

import msgspec

from daemon.execution import Ending, Metrics, Task
from daemon.output import NotJsonError, NotStorableError, storable_json
from daemon.states import Outcome
from ipc.worker_messages import Exited, Result, ScriptError, WorkerReady

ERROR_MAX_CHARS = 16 * 1024
_POSTMORTEM_MAX_CHARS = 500

_MEMORY_MARKERS = ("unhandlable oom", "out of memory", "MemoryError", "allocation size overflow")
_CRASH_SIGNALS = {signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGTRAP, signal.SIGFPE}


class Evidence(msgspec.Struct, kw_only=True):
    """What is known of one run when it is over. The supervisor fills it in; nothing here is believed unchecked."""

    task: Task
    ready: WorkerReady
    duration_ms: float = 0.0
    result: Result | None = None
    killed_for: Outcome | None = None
    violation: str = ""
    exited: Exited | None = None
    stderr: str = ""
    log_bytes: int = 0
    log_dropped_bytes: int = 0


def conclude(evidence: Evidence) -> Ending:
    """Judge the evidence."""
    outcome, postmortem, error, output = _verdict(evidence)
    task = evidence.task
    return Ending(
        outcome=outcome,
        postmortem=_one_line(f"{outcome}: {postmortem}"),
        error=None if outcome == "ok" else _storable(error or postmortem)[:ERROR_MAX_CHARS],
        output_json=output,
        metrics=_metrics(evidence, output),
        may_rerun=outcome == "worker_lost" and evidence.exited is None and bool(task.execution_id),
    )


_Verdict = tuple[Outcome, str, str, str | None]


def _verdict(evidence: Evidence) -> _Verdict:
    if evidence.violation:
        text = f"the worker broke the protocol and was killed: {evidence.violation}"
        return "protocol", text, "", None
    if evidence.killed_for == "cancelled":
        text = f"killed after {evidence.duration_ms:.0f} ms because its cancellation was asked for"
        return "cancelled", text, "", None
    if evidence.result is not None:
        return _from_result(evidence, evidence.result)
    if evidence.killed_for == "wall_time":
        limit = evidence.task.limits.max_execution_time_ms
        return "wall_time", f"killed after {evidence.duration_ms:.0f} ms; max_execution_time_ms is {limit}", "", None
    if evidence.exited is None:
        return "worker_lost", "the zygote died, and the worker with it", "", None
    return _from_status(evidence, evidence.exited.wait_status)


def _from_result(evidence: Evidence, result: Result) -> _Verdict:
    if result.outcome == "ok":
        return _from_output(evidence, result.output_json)
    limits = evidence.task.limits
    error = result.error
    if result.outcome == "memory":
        text = f"the script ran out of memory; max_memory_bytes is {limits.max_memory_bytes}"
        return "memory", text, _shown(error) if error and error.name else text, None
    if result.outcome == "never_settles":
        text = "the promise of the script can never settle: no job, timer or host call is left that could settle it"
        return "never_settles", text, "", None
    if error is None:
        return "protocol", f"the worker reported {result.outcome} without an error", "", None
    if result.outcome == "unhandled_rejection":
        return result.outcome, f"a promise was rejected and nobody handled it: {_headline(error)}", _shown(error), None
    headline = error.message if result.outcome == "output_size" else _headline(error)
    return result.outcome, headline, _shown(error), None


def _from_output(evidence: Evidence, output: str | None) -> _Verdict:
    limit = evidence.task.limits.max_output_size_bytes
    if output is None:
        return "protocol", "the worker reported success without an output", "", None
    try:
        text = storable_json(output)
    except NotJsonError as failure:
        return "protocol", f"the worker sent an output that is no JSON: {failure}", "", None
    except NotStorableError as failure:
        return "invalid_output", str(failure), "", None
    output_bytes = len(text.encode())
    if output_bytes > limit:
        reason = f"the output is {output_bytes} bytes of JSON; max_output_size_bytes is {limit}"
        return "output_size", reason, "", None
    return "ok", f"completed in {evidence.duration_ms:.1f} ms", "", text


def _from_status(evidence: Evidence, status: int) -> _Verdict:
    words = f" (it said: {_one_line(evidence.stderr)[:200]})" if evidence.stderr else ""
    if not os.WIFSIGNALED(status):
        code = os.waitstatus_to_exitcode(status)
        return "worker_lost", f"the worker exited with code {code} and without a result{words}", "", None
    outcome, text = _from_signal(evidence, os.WTERMSIG(status), words)
    return outcome, text, "", None


def _from_signal(evidence: Evidence, number: int, words: str) -> tuple[Outcome, str]:
    limits = evidence.task.limits
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    if number == signal.SIGXCPU:
        limit = limits.max_execution_time_ms
        seconds = -(-limit // 1000) + 1
        return "cpu_time", f"used {seconds} s of CPU, a second more than max_execution_time_ms, which is {limit}"
    if number == signal.SIGSYS:
        return "sandbox_violation", f"the script made its worker attempt a forbidden system call{words}"
    if any(marker in evidence.stderr for marker in _MEMORY_MARKERS):
        return "memory", f"the engine ran out of memory ({name}); max_memory_bytes is {limits.max_memory_bytes}"
    if number in _CRASH_SIGNALS:
        return "crashed", f"the engine crashed with {name}{words}"
    return "worker_lost", f"the worker was killed by {name}, which the daemon did not send{words}"


def _metrics(evidence: Evidence, output: str | None) -> Metrics:
    exited, ready = evidence.exited, evidence.ready
    startup_ms = evidence.result.startup_ms if evidence.result else 0.0
    used = exited.cpu_user_us + exited.cpu_system_us - ready.cpu_us if exited else 0
    return Metrics(
        duration_ms=round(evidence.duration_ms, 3),
        memory_used_bytes=max(0, exited.max_rss_bytes - ready.max_rss_bytes) if exited else 0,
        queue_ms=round(evidence.task.queue_ms, 3),
        cpu_ms=round(max(0, used) / 1000, 3),
        startup_ms=round(min(max(startup_ms, 0.0), evidence.duration_ms), 3),
        output_bytes=len(output.encode()) if output is not None else 0,
        log_bytes=evidence.log_bytes,
        log_dropped_bytes=evidence.log_dropped_bytes,
    )


def _headline(error: ScriptError) -> str:
    text = f"{error.name}: {error.message}" if error.name else f"threw {error.message}"
    return f"{text} (line {error.line}, column {error.column})" if error.line else text


def _shown(error: ScriptError) -> str:
    text = f"{error.name}: {error.message}" if error.name else error.message
    return f"{text}\n{error.stack}" if error.stack else text


def _one_line(text: str) -> str:
    return " ".join(_storable(text).split())[:_POSTMORTEM_MAX_CHARS]


def _storable(text: str) -> str:
    """PostgreSQL's text holds everything but NUL (and lone surrogates, which cannot arrive here)."""
    return text.replace("\0", "\ufffd")
