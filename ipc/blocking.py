"""A stream of frames over a blocking socket: a worker's end of its connection."""

from __future__ import annotations

import select
import socket

from ipc.framing import HEADER_BYTES, FramingError, pack


class PeerGone(Exception):
    """The other end has closed the connection, or died."""


class BlockingChannel:
    """Sends and receives whole frames, waiting as long as it takes."""

    def __init__(self, sock: socket.socket, max_frame_bytes: int) -> None:
        self._socket = sock
        self._max_frame_bytes = max_frame_bytes
        self._poll = select.poll()
        self._poll.register(sock, select.POLLIN)

    def send(self, body: bytes) -> None:
        """Send one frame.

        :raises PeerGone: nobody reads any more.
        """
        try:
            self._socket.sendall(pack(body))
        except OSError as failure:
            raise PeerGone from failure

    def receive(self) -> bytes:
        """Wait for one frame and return its body.

        :raises PeerGone: the other end closed.
        :raises FramingError: the frame is over the cap.
        """
        length = int.from_bytes(self._receive_exactly(HEADER_BYTES), "big")
        if length > self._max_frame_bytes:
            raise FramingError(f"a frame of {length} bytes is over the cap of {self._max_frame_bytes}")
        return self._receive_exactly(length)

    def wait(self, timeout_ms: float) -> bool:
        """Wait until there is something to receive (or the peer is gone), or the time is over."""
        return bool(self._poll.poll(timeout_ms))

    def _receive_exactly(self, count: int) -> bytes:
        data = bytearray(count)
        view = memoryview(data)
        received = 0
        while received < count:
            try:
                got = self._socket.recv_into(view[received:])
            except OSError as failure:
                raise PeerGone from failure
            if got == 0:
                raise PeerGone
            received += got
        return bytes(data)
