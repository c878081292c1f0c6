"""Where an execution can be, which moves are legal, and to which state an outcome leads.

The database holds the same rules (`migrations/*_add_invariants.sql`), whoever writes.

=========== ==================================================================
state       who moves a row out of it
=========== ==================================================================
pending     `claims` (→ running), a cancellation (→ cancelled)
running     `completions` (→ an end), `rescuer` (→ running for another daemon, or → failed)
the others  nobody: they are final
=========== ==================================================================
"""

from __future__ import annotations

from typing import Literal

from ipc.messages import ExecutionStatus
from ipc.worker_messages import Outcome as WorkerOutcome

Outcome = (
    WorkerOutcome
    | Literal[
        "wall_time",
        "cpu_time",
        "sandbox_violation",
        "crashed",
        "cancelled",
        "worker_lost",
        "protocol",
        "invalid_limits",
    ]
)
"""How an execution ended. What a worker itself can say, and what only the supervisor knows."""

FINAL: frozenset[ExecutionStatus] = frozenset({"completed", "failed", "timeout", "cancelled"})

LEGAL_MOVES: dict[ExecutionStatus, frozenset[ExecutionStatus]] = {
    "pending": frozenset({"running", "cancelled"}),
    "running": FINAL | {"running"},  # to itself: taken over by another daemon, one attempt more
    "completed": frozenset(),
    "failed": frozenset(),
    "timeout": frozenset(),
    "cancelled": frozenset(),
}

_STATES: dict[Outcome, ExecutionStatus] = {
    "ok": "completed",
    "wall_time": "timeout",
    "cpu_time": "timeout",
    "cancelled": "cancelled",
}


def state_of(outcome: Outcome) -> ExecutionStatus:
    """The final state that an outcome leads to: `failed` unless it is one of a few."""
    return _STATES.get(outcome, "failed")
