"""One connection to the daemon on a blocking socket."""

from __future__ import annotations

import contextlib
import socket
from collections import deque
from typing import Self

from ipc.errors import ConnectionLost, ProtocolViolation, from_reply
from ipc.framing import FrameBuffer, FramingError
from ipc.handshake import HANDSHAKE_TIMEOUT_SECONDS, connect_failed, connection_lost, hello, read_welcome
from ipc.location import SocketLocation
from ipc.messages import ErrorReply, ServerMessage
from ipc.wire import MAX_CLIENT_FRAME_BYTES, decode_server_message

_RECEIVE_BYTES = 256 * 1024


class BlockingConnection:
    """One connection, for one thread at a time."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._frames = FrameBuffer(MAX_CLIENT_FRAME_BYTES)
        self._received: deque[bytes] = deque()

    @classmethod
    def open(cls, where: SocketLocation, name: str) -> Self:
        """Connect and exchange `Hello` and `Welcome`.

        :raises DaemonUnavailable: nobody answers there.
        :raises IpcError: the daemon refuses this user or this version.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            sock.settimeout(HANDSHAKE_TIMEOUT_SECONDS)
            sock.connect(where.path)
            connection = cls(sock)
            connection.send(hello(name))
            read_welcome(connection.receive())
            sock.settimeout(None)
        except OSError as error:
            sock.close()
            raise connect_failed(where, error) from None
        except ConnectionLost:
            sock.close()
            raise where.unavailable("it closed the connection without a word") from None
        except BaseException:
            sock.close()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether the daemon has not closed its end."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def send(self, frame: bytes) -> None:
        """Send one frame. Where the daemon has closed, `receive` still gives its last words.

        :raises TimeoutError: the daemon does not read, during the handshake.
        """
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._socket.sendall(frame)

    def receive(self) -> ServerMessage:
        """Wait for the next message.

        :raises ConnectionLost: the connection has ended.
        :raises IpcError: the daemon says why it closes the connection, or sent what is no message.
        :raises TimeoutError: no answer, during the handshake.
        """
        while not self._received:
            try:
                data = self._socket.recv(_RECEIVE_BYTES)
            except ConnectionResetError:
                data = b""
            if not data:
                raise connection_lost()
            try:
                self._received.extend(self._frames.feed(data))
            except FramingError as error:
                raise ProtocolViolation(f"the daemon broke the protocol: {error}") from error
        message = decode_server_message(self._received.popleft())
        if isinstance(message, ErrorReply) and message.request_id is None:
            raise from_reply(message)
        return message

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()
