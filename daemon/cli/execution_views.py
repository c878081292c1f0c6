"""An execution as a row of a table, as a page of fields, and as a JSON document."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from daemon.cli.formats import ago, duration, iso, shortened, size
from daemon.cli.output import Column, status_cell

if TYPE_CHECKING:
    from ipc.messages import Execution

_SHOWN_CHARACTERS = 2_000
_TIMES = ("queued_at", "run_at", "started_at", "completed_at")
_JSON_FIELDS = ("input", "output", "trigger_data", "metrics")


def document(execution: Execution) -> dict[str, Any]:
    """Return `execution` with times as ISO 8601 in UTC, and its JSON texts as the JSON that they are."""
    import msgspec

    plain: dict[str, Any] = {name: getattr(execution, name) for name in execution.__struct_fields__}
    for name in _TIMES:
        plain[name] = None if plain[name] is None else iso(plain[name])
    for name in _JSON_FIELDS:
        text = plain.pop(f"{name}_json")
        plain[name] = None if text is None else msgspec.Raw(text)
    return plain


def list_columns(now: float) -> list[Column[Execution]]:
    """Return the columns of a list of executions; `now` in Unix seconds."""
    return [
        Column("ID", lambda e: e.id),
        Column("SCRIPT", lambda e: e.script_name, lambda e: (e.script_name, "bold")),
        Column("STATUS", lambda e: e.status, lambda e: status_cell(e.status)),
        Column("TRIGGER", lambda e: e.trigger_type),
        Column("QUEUED", lambda e: iso(e.queued_at), lambda e: (ago(e.queued_at, now), "")),
        Column("TOOK", _took_ms, lambda e: (_took(e, now), ""), right=True),
        Column("RESULT", _result, lambda e: (_result(e), "bright_black"), flexible=True),
    ]


def _took_ms(execution: Execution) -> str:
    if execution.started_at is None or execution.completed_at is None:
        return ""
    return f"{(execution.completed_at - execution.started_at) * 1000:.0f}"


def _took(execution: Execution, now: float) -> str:
    if execution.started_at is None:
        return ""
    return duration(max(0.0, (execution.completed_at or now) - execution.started_at))


def _result(execution: Execution) -> str:
    if execution.status == "completed":
        return ""
    return execution.postmortem or execution.error or execution.outcome or ""


def fields(execution: Execution, now: float) -> list[tuple[str, str, str]]:
    """Return (name, value, style) of what there is to say about `execution`; `now` in Unix seconds."""
    version = "" if execution.script_version is None else f" version {execution.script_version}"
    rows = [
        ("execution", execution.id, "bold"),
        ("script", f"{execution.script_name}{version} ({execution.script_id})", ""),
        ("tenant", execution.tenant_id, ""),
        ("status", *status_cell(execution.status)),
        ("outcome", execution.outcome or "", ""),
        ("postmortem", execution.postmortem or "", ""),
        ("error", execution.error or "", "red"),
        ("trigger", _trigger(execution), ""),
        ("attempt", str(execution.attempt) if execution.attempt else "", ""),
        ("priority", str(execution.priority) if execution.priority else "", ""),
        ("queued", _moment(execution.queued_at, now), ""),
        ("runs at", _moment(execution.run_at, now) if execution.run_at > execution.queued_at else "", ""),
        ("started", _moment(execution.started_at, now), ""),
        ("ended", _moment(execution.completed_at, now), ""),
        ("took", _took(execution, now), ""),
        ("daemon", execution.daemon_id or "", ""),
        ("metrics", _metrics(execution.metrics_json), ""),
        ("input", _shown(execution.input_json), ""),
        ("output", _shown(execution.output_json), ""),
    ]
    return [row for row in rows if row[1]]


def _trigger(execution: Execution) -> str:
    data = execution.trigger_data_json
    return execution.trigger_type + ("" if data == "{}" else f" {shortened(data, 500)}")


def _moment(moment: float | None, now: float) -> str:
    return f"{iso(moment)} ({ago(moment, now)})" if moment else ""


def _shown(text: str | None) -> str:
    """Return JSON text, indented, and no more of it than a person reads."""
    import msgspec

    return "" if text is None else shortened(msgspec.json.format(text, indent=2), _SHOWN_CHARACTERS)


def _metrics(text: str) -> str:
    """Return the metrics in one line."""
    return ", ".join(_metric(name, value) for name, value in json.loads(text).items())


def _metric(name: str, value: object) -> str:
    """Return one metric, in the unit that its name tells."""
    if isinstance(value, int | float) and name.endswith("_ms"):
        return f"{name.removesuffix('_ms')} {duration(value / 1000)}"
    if isinstance(value, int | float) and name.endswith("_bytes"):
        return f"{name.removesuffix('_bytes')} {size(value)}"
    return f"{name} {value}"
