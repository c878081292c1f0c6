"""The event loop of a worker: promise jobs first, then timers in order; between them it sleeps on its socket."""

from __future__ import annotations

from ipc.blocking import BlockingChannel, PeerGone
from sandbox_worker.engine import Engine, Finish


def run_until_finished(engine: Engine, channel: BlockingChannel) -> Finish:
    """Turn the loop until the script has ended, and return how.

    A script that waits for a promise while no job is queued, no timer is set and no host call is under way
    can never end: that is said at once, not at its deadline.

    :raises MemoryError: the script's limit is reached.
    :raises PeerGone: the supervisor is gone, so nobody wants the result.
    """
    while True:
        delay_ms = engine.turn()
        if engine.finish is not None:
            return engine.finish
        if isinstance(engine.api.host_failure, MemoryError):
            raise MemoryError
        if delay_ms < 0:
            return Finish("never_settles", "", "")
        if delay_ms > 0 and channel.wait(delay_ms):
            # Nothing is ever sent to a running worker: readable means that the other end has closed.
            raise PeerGone
