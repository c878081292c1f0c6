"""The zygote: one thread, one loop over its control socket and SIGCHLD. It forks, reaps and reports.

It dies when its control socket closes, and its workers die with it. Handlers only wake the loop; the loop acts.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time
from typing import NoReturn

import msgspec

from ipc.fds import receive_packet, send_packet
from ipc.worker_messages import (
    MAX_CONTROL_PACKET_BYTES,
    EngineMode,
    Exited,
    Fork,
    Forked,
    ForkFailed,
    FromZygote,
    ToZygote,
    ZygoteFailed,
    ZygoteReady,
)
from sandbox_worker import confine, huge_text, usage, worker
from sandbox_worker.engine import Engine
from sandbox_worker.self_test import self_test
from sandbox_worker.spidermonkey import EngineError, preload

MODES: tuple[EngineMode, ...] = ("threadless", "offthread_disabled", "fork_first")
"""The ways to have a working engine in a fork, best first."""

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[ToZygote] = msgspec.msgpack.Decoder(ToZygote)


class Zygote:
    """The loop. `engine` is `None` where each worker has to start its own (mode `fork_first`)."""

    def __init__(self, control: socket.socket, engine: Engine | None, package_folder: str) -> None:
        self._control = control
        self._engine = engine
        self._package_folder = package_folder
        self._base_bytes = usage.data_bytes()
        self._workers: dict[int, int] = {}  # worker id → pid, of workers that are not reaped
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def run(self) -> NoReturn:
        """Serve until the supervisor is gone."""
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while True:
            for descriptor, _events in poll.poll():
                if descriptor == self._wake_read:
                    self._reap()
                else:
                    self._serve()

    def _serve(self) -> None:
        body, fds = receive_packet(self._control, MAX_CONTROL_PACKET_BYTES, 2)
        if not body:
            os._exit(0)
        message = _decoder.decode(body)
        if isinstance(message, Fork):
            self._fork(message, *fds)
        elif message.worker_id in self._workers:
            os.kill(self._workers[message.worker_id], signal.SIGKILL)

    def _fork(self, request: Fork, worker_socket: int, stderr: int) -> None:
        zygote_pid = os.getpid()
        pid = fork()
        if pid == 0:
            self._become_worker(zygote_pid, worker_socket, stderr, request.warm_up)
        os.close(worker_socket)
        os.close(stderr)
        if pid < 0:
            self._report(ForkFailed(request.worker_id, -pid))
        else:
            self._workers[request.worker_id] = pid
            self._report(Forked(request.worker_id, pid))

    def _become_worker(self, zygote_pid: int, worker_socket: int, stderr: int, warm_up: bool) -> NoReturn:
        try:
            os.dup2(stderr, 2)
            os.dup2(worker_socket, confine.WORKER_SOCKET)
            engine = self._engine or Engine(self._package_folder, "working")
            base_bytes = self._base_bytes if self._engine else usage.data_bytes()
            worker.main(engine, zygote_pid, base_bytes, warm_up)
        finally:
            os._exit(worker.EXIT_ENGINE_FAILED)

    def _reap(self) -> None:
        try:
            while os.read(self._wake_read, 1024):
                pass
        except BlockingIOError:
            pass
        ids = {pid: worker_id for worker_id, pid in self._workers.items()}
        while self._workers:
            pid, status, used = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                return
            worker_id = ids[pid]
            del self._workers[worker_id]
            self._report(
                Exited(
                    worker_id,
                    status,
                    round(used.ru_utime * 1_000_000),
                    round(used.ru_stime * 1_000_000),
                    used.ru_maxrss * 1024,
                    used.ru_minflt,
                )
            )

    def _report(self, message: FromZygote) -> None:
        try:
            send_packet(self._control, _encoder.encode(message))
        except OSError:
            os._exit(0)


_libc = ctypes.PyDLL(None, use_errno=True)


def fork() -> int:
    """fork(2), without what `os.fork` does in the child for threads, of which there are none here: 0.17 ms of faults.

    Returns the pid, 0 in the child, or the negative errno.
    """
    pid = int(_libc.fork())
    return pid if pid >= 0 else -ctypes.get_errno()


def start(control_fd: int, package_folder: str, rejected: list[str]) -> NoReturn:
    """Find an engine mode that works, and serve. Modes in `rejected` (`mode: reason`) have failed already.

    A process can start the engine once, so a mode that fails is followed by a new exec, which tries the next.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    confine.prctl(confine.PR_SET_PDEATHSIG, signal.SIGKILL)
    control = socket.socket(fileno=control_fd)
    mode = MODES[len(rejected)]
    began = time.monotonic()
    try:
        engine = _start_engine(mode, package_folder)
    except (EngineError, OSError) as failure:
        _try_next_mode(control, [*rejected, f"{mode}: {failure}"])
    self_test_ms = (time.monotonic() - began) * 1000
    confine.confine_zygote()
    zygote = Zygote(control, engine, package_folder)
    if engine is not None:
        worker.warm_up_zygote(engine)
    gc.collect()
    gc.freeze()
    gc.disable()  # a collection in a fork would write to every object of the parent
    send_packet(control, _encoder.encode(ZygoteReady(os.getpid(), mode, self_test_ms, rejected)))
    zygote.run()


def _start_engine(mode: EngineMode, package_folder: str) -> Engine | None:
    engine: Engine | None = None
    if mode == "fork_first":
        preload(package_folder)
    else:
        engine = Engine(package_folder, "none" if mode == "threadless" else "idle")
    if mode == "threadless":
        # Only in the first mode: if the self-test does not pass with it, the next is tried without.
        huge_text.move_code("/libmozjs-136a1.so")
    reason = self_test(lambda: engine or Engine(package_folder, "working"))
    if reason:
        raise EngineError(reason)
    return engine


def _try_next_mode(control: socket.socket, rejected: list[str]) -> NoReturn:
    if len(rejected) == len(MODES):
        send_packet(control, _encoder.encode(ZygoteFailed("; ".join(rejected))))
        os._exit(1)
    control.set_inheritable(True)
    os.execve(sys.executable, [*sys.orig_argv, rejected[-1]], {})
