"""The supervisor's end of a zygote: starts it, asks it to fork and to kill, and hears what became of its workers."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from daemon.errors import ZygoteError
from ipc.fds import receive_packet, send_packet
from ipc.worker_messages import (
    MAX_CONTROL_PACKET_BYTES,
    Fork,
    FromZygote,
    Kill,
    ToZygote,
    ZygoteFailed,
    ZygoteReady,
)

_BOOTSTRAP = (
    "import sys; sys.path[:0] = sys.argv.pop(1).split(':'); "
    # msgspec takes its typing helpers from typing_extensions if it is there; it would drag inspect and ast along.
    "sys.modules['typing_extensions'] = None; "
    "from sandbox_worker.__main__ import main; main()"
)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[FromZygote] = msgspec.msgpack.Decoder(FromZygote)


class ZygoteProcess:
    """One zygote. `on_message` gets what it reports, `on_gone` is called once, when it has died."""

    def __init__(
        self, on_message: Callable[[ZygoteProcess, FromZygote], None], on_gone: Callable[[ZygoteProcess], None]
    ) -> None:
        self._on_message = on_message
        self._on_gone = on_gone
        self._loop = asyncio.get_running_loop()
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setblocking(False)
        self.ready: ZygoteReady | None = None
        self.failure = ""
        self.is_gone = False
        with theirs:
            self._process = _spawn(theirs)
        self._loop.add_reader(self._control, self._receive)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def fork(self, worker_id: int, worker_socket: int, stderr: int, *, warm_up: bool) -> None:
        """Ask for a worker with these two descriptors; `Forked` or `ForkFailed` answers."""
        self._send(Fork(worker_id, warm_up), (worker_socket, stderr))

    def kill_worker(self, worker_id: int) -> None:
        """SIGKILL a worker. Does nothing if it has been reaped."""
        self._send(Kill(worker_id))

    def kill(self) -> None:
        """SIGKILL the zygote; its workers die with it. `on_gone` follows."""
        self._process.kill()

    def close(self) -> None:
        """End the zygote and its workers, without `on_gone`, and wait for it."""
        if not self.is_gone:
            self.is_gone = True
            self._loop.remove_reader(self._control)
            self._control.close()
            self._process.kill()
            self._process.wait()

    def _send(self, message: ToZygote, fds: tuple[int, ...] = ()) -> None:
        if self.is_gone:
            return
        try:
            send_packet(self._control, _encoder.encode(message), fds)
        except OSError:
            # Its buffer is full or it is gone: a zygote that does not read is as good as dead.
            self._process.kill()

    def _receive(self) -> None:
        while not self.is_gone:
            try:
                body, fds = receive_packet(self._control, MAX_CONTROL_PACKET_BYTES, 0)
            except BlockingIOError:
                return
            except OSError:
                body, fds = b"", []
            for descriptor in fds:
                os.close(descriptor)
            if not body:
                self._gone()
                return
            self._handle(_decoder.decode(body))

    def _handle(self, message: FromZygote) -> None:
        if isinstance(message, ZygoteReady):
            self.ready = message
        elif isinstance(message, ZygoteFailed):
            self.failure = message.reason
        self._on_message(self, message)

    def _gone(self) -> None:
        self.close()
        self._on_gone(self)


def _spawn(control: socket.socket) -> subprocess.Popen[bytes]:
    """Exec a fresh interpreter: isolated, without `site`, an empty environment, one descriptor."""
    pythonmonkey = _folder_of("pythonmonkey")
    path = dict.fromkeys(str(_folder_of(name).parent) for name in ("sandbox_worker", "ipc", "msgspec"))
    command = [sys.executable, "-I", "-S", "-X", "frozen_modules=on", "-c", _BOOTSTRAP]
    return subprocess.Popen(
        [*command, ":".join(path), str(control.fileno()), str(pythonmonkey)],
        env={},
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=(control.fileno(),),
        start_new_session=True,
    )


def _folder_of(package: str) -> Path:
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise ZygoteError(f"The package {package} is not installed.", "Install jsruntimed again.")
    return Path(found.origin).parent
