"""What one execution may use: the script's `resource_limits`, lowered by the execution's own `limits`."""

from __future__ import annotations

import msgspec

from daemon.errors import InvalidInput

MIN_MEMORY_BYTES = 8 * 1024 * 1024
"""Below this not even an empty script gets by: the collector wants a chunk of a megabyte and some room."""

LOG_MAX_BYTES = 64 * 1024
"""Console output that is kept of one execution."""


class ExecutionLimits(msgspec.Struct, frozen=True):
    """The limits that hold. Defaults are those of the data model."""

    max_execution_time_ms: int = 30_000
    max_memory_bytes: int = 64 * 1024 * 1024
    max_output_size_bytes: int = 1024 * 1024


_FIELDS = ("max_execution_time_ms", "max_memory_bytes", "max_output_size_bytes")
MAXIMA = {
    "max_execution_time_ms": 86_400_000,
    "max_memory_bytes": 16 * 1024**3,
    "max_output_size_bytes": 64 * 1024 * 1024,
}
"""What no limit may exceed, whoever sets it."""


def effective_limits(resource_limits_json: str, limits_json: str | None = None) -> ExecutionLimits:
    """Combine a script's limits with an execution's; what neither names has its default.

    An execution's limit over the script's is held to the script's.

    :raises InvalidInput: a limit is no positive whole number, or over its maximum.
    """
    script = _decode("resource_limits", resource_limits_json)
    execution = _decode("limits", limits_json or "{}")
    defaults = ExecutionLimits()
    chosen: dict[str, int] = {}
    for name in _FIELDS:
        allowed = _number("resource_limits", script, name, getattr(defaults, name))
        chosen[name] = min(allowed, _number("limits", execution, name, allowed))
    if chosen["max_memory_bytes"] < MIN_MEMORY_BYTES:
        raise InvalidInput(
            f"max_memory_bytes is {chosen['max_memory_bytes']}; the least is {MIN_MEMORY_BYTES}.",
            field="max_memory_bytes",
        )
    return ExecutionLimits(**chosen)


def _decode(field: str, text: str) -> dict[str, object]:
    try:
        return msgspec.json.decode(text, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError) as failure:
        raise InvalidInput(f"{field} is not a JSON object: {failure}.", field=field) from failure


def _number(field: str, limits: dict[str, object], name: str, default: int) -> int:
    value = limits.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= MAXIMA[name]:
        raise InvalidInput(
            f"{field}.{name} is {str(value)[:50]!r}; it has to be a whole number from 1 to {MAXIMA[name]}.",
            field=f"{field}.{name}",
        )
    return value
