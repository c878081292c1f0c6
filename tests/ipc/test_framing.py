from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.framing import FrameBuffer, FramingError, pack


@given(bodies=st.lists(st.binary(max_size=50)), data=st.data())
def test_any_split_gives_the_same_frames(bodies: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(pack(body) for body in bodies)
    buffer = FrameBuffer(max_frame_bytes=50)
    received = []
    while stream:
        count = data.draw(st.integers(1, len(stream)))
        received += buffer.feed(stream[:count])
        stream = stream[count:]
    assert received == bodies
    assert buffer.is_empty


@given(body=st.binary(min_size=1, max_size=50), missing=st.integers(1, 60))
def test_part_of_a_frame_is_no_frame(body: bytes, missing: int) -> None:
    frame = pack(body)
    part = frame[: max(1, len(frame) - missing)]
    buffer = FrameBuffer(max_frame_bytes=50)
    assert buffer.feed(part) == []
    assert not buffer.is_empty
    assert buffer.feed(frame[len(part) :]) == [body]


def test_a_frame_of_exactly_the_cap_is_taken() -> None:
    assert FrameBuffer(max_frame_bytes=10).feed(pack(b"x" * 10)) == [b"x" * 10]


def test_a_frame_over_the_cap_is_refused_by_its_header() -> None:
    with pytest.raises(FramingError, match="4294967295 bytes is over the cap of 10"):
        FrameBuffer(max_frame_bytes=10).feed(struct.pack("!I", 2**32 - 1))
