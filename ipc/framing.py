"""Frames: a four-byte big-endian length, then that many bytes of msgpack.

Every stream of the project (client socket, control socket of the zygote, socket of a worker) carries
the same frames. A length over the reader's cap is refused before a byte of the body is buffered.
"""

from __future__ import annotations

import struct

HEADER_BYTES = 4
_HEADER = struct.Struct("!I")


class FramingError(Exception):
    """The peer sent a frame that is longer than the cap, or ended in the middle of one."""


def pack(body: bytes) -> bytes:
    """Return `body` as one frame."""
    return _HEADER.pack(len(body)) + body


class FrameBuffer:
    """Collects received bytes and gives whole frames back.

    It never holds more than one incomplete frame of at most `max_frame_bytes`, plus what one `feed` brought.
    """

    __slots__ = ("_buffer", "max_frame_bytes")

    def __init__(self, max_frame_bytes: int) -> None:
        self.max_frame_bytes = max_frame_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Add received bytes; return the bodies of the frames that are now whole.

        :raises FramingError: a frame announces more than `max_frame_bytes`.
        """
        self._buffer += data
        frames = []
        while len(self._buffer) >= HEADER_BYTES:
            (length,) = _HEADER.unpack_from(self._buffer)
            if length > self.max_frame_bytes:
                raise FramingError(f"a frame of {length} bytes is over the cap of {self.max_frame_bytes}")
            end = HEADER_BYTES + length
            if len(self._buffer) < end:
                break
            frames.append(bytes(self._buffer[HEADER_BYTES:end]))
            del self._buffer[:end]
        return frames

    @property
    def is_empty(self) -> bool:
        """Whether no part of a frame is waiting for its rest."""
        return not self._buffer
