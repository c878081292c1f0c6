"""From a claimed row to a worker, and from its ending to the row: the one way of a recorded execution.

`claims` and `rescuer` bring rows in, `pool` runs them, `completions` writes how they ended.
"""

from __future__ import annotations

import logging
from uuid import UUID

import msgspec

from daemon.completions import Completions
from daemon.errors import InvalidInput
from daemon.execution import Ending, Task
from daemon.limits import effective_limits
from daemon.logbook import Logbook
from daemon.pool import Pool
from daemon.store.dispatch import Claimed
from daemon.store.dispatch import Ending as StoredEnding

log = logging.getLogger(__name__)


class Dispatcher:
    """Starts claimed executions in the pool and hands their endings on."""

    def __init__(self, pool: Pool, completions: Completions, logbook: Logbook) -> None:
        self._pool = pool
        self._completions = completions
        self._logbook = logbook

    def start(self, claimed: Claimed) -> None:
        """Run a claimed execution. Limits that cannot be used end it at once."""
        try:
            task = _task(claimed)
        except InvalidInput as failure:
            ending = Ending(
                outcome="invalid_limits", postmortem=f"invalid_limits: {failure.message}", error=failure.message
            )
            self._completions.add(_stored(claimed, ending, ()))
            return
        self._logbook.open(claimed.id, claimed.log_seq)
        self._pool.submit(
            task,
            lambda ending: self._ended(claimed, ending),
            lambda level, text, elapsed: self._logbook.write(claimed.id, level, text, elapsed),
        )

    def start_all(self, claimed: list[Claimed]) -> None:
        """Run several."""
        for each in claimed:
            self.start(each)

    def cancel(self, execution_id: UUID) -> None:
        """Kill an execution if it runs here."""
        self._pool.cancel(str(execution_id))

    def _ended(self, claimed: Claimed, ending: Ending) -> None:
        lines = self._logbook.close(claimed.id)
        if ending.may_rerun:
            self._completions.add_lost(_stored(claimed, ending, lines))
        else:
            self._completions.add(_stored(claimed, ending, lines))
        if ending.outcome != "ok":
            log.info("execution %s: %s", claimed.id, ending.postmortem)


def _task(claimed: Claimed) -> Task:
    return Task(
        execution_id=str(claimed.id),
        script_id=str(claimed.script_id),
        script_name=claimed.script_name,
        tenant_id=str(claimed.tenant_id),
        script_type=claimed.script_type,
        trigger=claimed.trigger_type,
        version=claimed.script_version or 0,
        attempt=claimed.attempt,
        source=claimed.source,
        input_json=claimed.input_json,
        limits=effective_limits(claimed.resource_limits_json, claimed.limits_json),
        queue_ms=claimed.queue_ms,
    )


def _stored(claimed: Claimed, ending: Ending, lines: tuple[object, ...]) -> StoredEnding:
    return StoredEnding(
        id=claimed.id,
        fencing_token=claimed.fencing_token,
        status=ending.status,  # type: ignore[arg-type]  # an ending's status is final
        outcome=ending.outcome,
        output_json=ending.output_json,
        error=ending.error,
        postmortem=ending.postmortem,
        metrics_json=msgspec.json.encode(ending.metrics).decode(),
        logs=lines,  # type: ignore[arg-type]
    )
