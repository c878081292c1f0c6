"""A stream of frames over a descriptor that blocks: a worker's end of its connection.

It reads and writes the bare descriptor: making a `socket.socket` of it touches a hundred pages more in each fork.
"""

from __future__ import annotations

import os
import select

from ipc.framing import HEADER_BYTES, FramingError, pack


class PeerGone(Exception):
    """The other end has closed the connection, or died."""


class BlockingChannel:
    """Sends and receives whole frames, waiting as long as it takes."""

    def __init__(self, descriptor: int, max_frame_bytes: int) -> None:
        self._descriptor = descriptor
        self._max_frame_bytes = max_frame_bytes
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def send(self, body: bytes) -> None:
        """Send one frame.

        :raises PeerGone: nobody reads any more.
        """
        left = memoryview(pack(body))
        try:
            while left:
                left = left[os.write(self._descriptor, left) :]
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
        parts = []
        while count > 0:
            try:
                part = os.read(self._descriptor, count)
            except OSError as failure:
                raise PeerGone from failure
            if not part:
                raise PeerGone
            parts.append(part)
            count -= len(part)
        return b"".join(parts)
