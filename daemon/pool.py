"""The workers: keeps spares warm, gives each execution a worker of its own, restarts the zygote when it dies.

An execution comes in by `submit` and goes out by its `done` callback, exactly once. The pool forks in the time after
an answer, not before an execution is handed over; a fork waits for nobody but executions that have no spare.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable

import msgspec

from daemon.config import PoolConfig
from daemon.endings import Evidence, conclude
from daemon.errors import ZygoteError
from daemon.execution import Ending, Task
from daemon.worker import LogSink, WorkerEvents, WorkerProcess, WorkerState
from daemon.zygote import ZygoteProcess
from ipc.worker_messages import Exited, Forked, ForkFailed, FromZygote, ZygoteReady

log = logging.getLogger(__name__)

Done = Callable[[Ending], None]

_RESTART_DELAYS_SECONDS = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Before each restart of a zygote that did not live long; the last goes on."""

_STABLE_SECONDS = 30.0
"""A zygote that has lived so long is no part of a crash loop."""

_FORK_RETRY_SECONDS = 0.5
_MAX_DEATHS_AT_START = 5
_DEATH_SECONDS = 1.0
_KILL_GRACE_SECONDS = 2.0
"""A zygote that has not killed a worker by then is killed itself, its workers with it."""


class _Job(msgspec.Struct):
    task: Task
    log: LogSink
    done: Done


class PoolStats(msgspec.Struct, frozen=True, kw_only=True):
    """What the pool is doing now."""

    engine_mode: str
    spare: int
    busy: int
    queued: int
    max_running: int
    zygote_restarts: int
    zygote_pid: int


class Pool(WorkerEvents):
    """See the module. All of it runs on the event loop's thread."""

    def __init__(self, config: PoolConfig, on_free: Callable[[], None] = lambda: None) -> None:
        """`on_free` is called whenever an execution has left the pool."""
        self._config = config
        self._on_free = on_free
        self._loop = asyncio.get_running_loop()
        self._zygote: ZygoteProcess | None = None
        self._zygote_started = 0.0
        self._quick_deaths = 0
        self._restarts = 0
        self._ready = asyncio.Event()
        self._failure = ""
        self._workers: dict[int, WorkerProcess] = {}
        self._spares: deque[WorkerProcess] = deque()
        self._doomed: set[int] = set()  # spares that were found dead and are not reaped yet
        self._starting = 0
        self._deaths_at_start = 0
        self._jobs: dict[int, _Job] = {}  # worker id → what it runs
        self._by_execution: dict[str, WorkerProcess] = {}
        self._queue: deque[_Job] = deque()
        self._next_worker_id = 1
        self._fork_retry: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._closed = False

    # -- life -----------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the zygote and wait until a spare is warm.

        :raises ZygoteError: no engine mode works here, or the zygote dies again and again.
        """
        self._start_zygote()
        await self._ready.wait()
        if self._failure:
            raise ZygoteError(f"The JavaScript engine does not start: {self._failure}.", "The daemon's log says more.")

    def close(self) -> None:
        """Kill everything and wait until it is dead. Executions that were under way are not reported any more."""
        self._closed = True
        if self._fork_retry is not None:
            self._fork_retry.cancel()
        self._queue.clear()
        self._jobs.clear()
        if self._zygote is not None:
            self._zygote.close()
        for worker in list(self._workers.values()):
            worker.wait_for_death(_DEATH_SECONDS)
            worker.exited(None)

    @property
    def free_slots(self) -> int:
        """How many more executions can be started at once. None while there is no zygote."""
        if self._zygote is None or self._zygote.ready is None:
            return 0
        return max(0, self._config.max_running - self.active)

    @property
    def active(self) -> int:
        """Executions that are in the pool: running, ending or waiting for a worker."""
        return len(self._jobs) + len(self._queue)

    async def idle(self) -> None:
        """Return when no execution is in the pool."""
        await self._idle.wait()

    def stats(self) -> PoolStats:
        """See `PoolStats`."""
        ready = self._zygote.ready if self._zygote else None
        return PoolStats(
            engine_mode=ready.engine_mode if ready else "starting",
            spare=len(self._spares),
            busy=len(self._jobs),
            queued=len(self._queue),
            max_running=self._config.max_running,
            zygote_restarts=self._restarts,
            zygote_pid=self._zygote.pid if self._zygote else 0,
        )

    # -- executions -----------------------------------------------------------------------------------

    def submit(self, task: Task, done: Done, log_sink: LogSink = lambda _level, _text, _elapsed: None) -> None:
        """Run one execution as soon as there is a worker for it; `done` gets its ending, once."""
        job = _Job(task, log_sink, done)
        self._idle.clear()
        self._queue.append(job)
        self._dispatch_queued()
        if self._queue:
            self._replenish()

    def cancel(self, execution_id: str) -> bool:
        """Kill an execution. `False` where it is not here, or has ended."""
        for job in self._queue:
            if job.task.execution_id == execution_id:
                self._queue.remove(job)
                self._leave(job, Ending(outcome="cancelled", postmortem="cancelled: before a worker was free for it"))
                return True
        worker = self._by_execution.get(execution_id)
        if worker is None or worker.state is not WorkerState.BUSY:
            return False
        worker.kill("cancelled")
        return True

    def kill_all(self) -> None:
        """Kill all executions by ending the zygote; each is reported as lost."""
        if self._zygote is not None:
            self._zygote.kill()

    def pid_of(self, execution_id: str) -> int | None:
        """The process in which an execution runs now."""
        worker = self._by_execution.get(execution_id)
        return worker.pid if worker else None

    def _give(self, worker: WorkerProcess, job: _Job) -> None:
        self._jobs[worker.worker_id] = job
        if job.task.execution_id:
            self._by_execution[job.task.execution_id] = worker
        worker.dispatch(job.task, job.log)

    def _dispatch_queued(self) -> None:
        while self._queue and self._spares and len(self._jobs) < self._config.max_running:
            worker = self._spares.popleft()
            if worker.is_alive():
                self._give(worker, self._queue.popleft())
            else:
                self._doomed.add(worker.worker_id)

    def _finish(self, worker: WorkerProcess, evidence: Evidence) -> None:
        job = self._jobs.pop(worker.worker_id, None)
        self._by_execution.pop(evidence.task.execution_id, None)
        if job is not None and not self._closed:
            self._leave(job, conclude(evidence))

    def _leave(self, job: _Job, ending: Ending) -> None:
        if self.active == 0:
            self._idle.set()
        job.done(ending)
        self._on_free()

    # -- workers --------------------------------------------------------------------------------------

    def worker_ready(self, worker: WorkerProcess) -> None:
        self._starting -= 1
        self._deaths_at_start = 0
        self._spares.append(worker)
        self._ready.set()
        self._dispatch_queued()

    def _died_at_start(self, worker: WorkerProcess) -> None:
        """A worker that was never ready: say why, and fork the next one after a pause."""
        if self._closed or self._zygote is None or self._zygote.is_gone:
            return
        self._deaths_at_start += 1
        log.error("a worker died before it was ready: %s", worker.last_words or "it did not say why")
        if not self._ready.is_set() and self._deaths_at_start >= _MAX_DEATHS_AT_START:
            self._failure = worker.last_words or "its workers die at start"
            self._ready.set()
        self._pause_forking()

    def worker_answered(self, worker: WorkerProcess, evidence: Evidence) -> None:
        if not evidence.task.await_exit:
            self._finish(worker, evidence)

    def worker_gone(self, worker: WorkerProcess, evidence: Evidence | None) -> None:
        self._workers.pop(worker.worker_id, None)
        if worker in self._spares:
            self._spares.remove(worker)
        elif worker.worker_id in self._doomed:
            self._doomed.remove(worker.worker_id)
        elif evidence is None:
            self._starting -= 1
            self._died_at_start(worker)
        if evidence is not None and worker.worker_id in self._jobs:
            self._finish(worker, evidence)
        if not self._closed:
            self._dispatch_queued()
            self._replenish()

    def kill_worker(self, worker: WorkerProcess) -> None:
        zygote = self._zygote
        if zygote is None or zygote.is_gone:
            return
        zygote.kill_worker(worker.worker_id)
        self._loop.call_later(_KILL_GRACE_SECONDS, self._kill_stuck_zygote, zygote, worker)

    def _kill_stuck_zygote(self, zygote: ZygoteProcess, worker: WorkerProcess) -> None:
        if worker.state is not WorkerState.GONE and not zygote.is_gone:
            log.error("the zygote does not answer; it is killed, pid %d", zygote.pid)
            zygote.kill()

    def _replenish(self) -> None:
        """Ask for as many forks as spares are missing, more if executions are waiting."""
        zygote = self._zygote
        if zygote is None or zygote.ready is None or zygote.is_gone or self._fork_retry is not None:
            return
        room = self._config.max_running + self._config.spares - len(self._workers)
        waiting = min(len(self._queue), self._config.max_running - len(self._jobs))
        wanted = min(max(self._config.spares, waiting) - len(self._spares) - self._starting, room)
        for _ in range(wanted):
            if not self._fork(zygote):
                return

    def _fork(self, zygote: ZygoteProcess) -> bool:
        worker_id = self._next_worker_id
        self._next_worker_id += 1
        try:
            worker = WorkerProcess(worker_id, self)
        except OSError as failure:
            self._fork_failed(failure.errno or 0)
            return False
        self._workers[worker_id] = worker
        self._starting += 1
        # Under load a worker is used as soon as it is there: a warm-up would only double its work.
        loaded = bool(self._queue) or len(self._jobs) > self._config.max_running // 2
        zygote.fork(worker_id, *worker.child_ends, warm_up=not loaded)
        worker.close_child_ends()
        return True

    def _fork_failed(self, error_number: int) -> None:
        log.error("a worker cannot be forked: %s; trying again", os.strerror(error_number))
        self._pause_forking()

    def _pause_forking(self) -> None:
        if self._fork_retry is None:
            self._fork_retry = self._loop.call_later(_FORK_RETRY_SECONDS, self._retry_fork)

    def _retry_fork(self) -> None:
        self._fork_retry = None
        self._replenish()

    # -- the zygote -----------------------------------------------------------------------------------

    def _start_zygote(self) -> None:
        if not self._closed:
            self._zygote_started = self._loop.time()
            self._zygote = ZygoteProcess(self._zygote_message, self._zygote_gone)

    def _zygote_message(self, zygote: ZygoteProcess, message: FromZygote) -> None:
        if isinstance(message, ZygoteReady):
            for reason in message.rejected:
                log.warning("engine mode %s", reason)
            log.info("zygote %d is ready: mode %s, %.0f ms", message.pid, message.engine_mode, message.self_test_ms)
            self._replenish()
        elif isinstance(message, Forked):
            self._workers[message.worker_id].pid = message.pid
        elif isinstance(message, Exited):
            if message.worker_id in self._workers:
                self._workers[message.worker_id].exited(message)
        elif isinstance(message, ForkFailed):
            self._fork_failed(message.error_number)
            self._workers[message.worker_id].exited(None)

    def _zygote_gone(self, zygote: ZygoteProcess) -> None:
        if self._closed:
            return
        lived = self._loop.time() - self._zygote_started
        self._quick_deaths = 0 if lived > _STABLE_SECONDS else self._quick_deaths + 1
        self._restarts += 1
        if not self._ready.is_set() and (zygote.failure or self._quick_deaths >= len(_RESTART_DELAYS_SECONDS)):
            self._failure = zygote.failure or "its process dies at start"
            self._ready.set()
            return
        delay = _RESTART_DELAYS_SECONDS[min(max(self._quick_deaths - 1, 0), len(_RESTART_DELAYS_SECONDS) - 1)]
        log.error("the zygote died after %.1f s; a new one starts in %.1f s", lived, delay)
        self._zygote = None
        for worker in list(self._workers.values()):
            worker.exited(None)
        self._loop.call_later(delay, self._start_zygote)
