from __future__ import annotations

import typing

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc import messages
from ipc.errors import IpcError, ProtocolViolation, TooLarge, from_reply
from ipc.framing import HEADER_BYTES
from ipc.messages import ClientMessage, ErrorCode, ErrorReply, ServerMessage
from ipc.wire import MAX_CLIENT_FRAME_BYTES, decode_server_message, encode_frame

TEXT = st.text(max_size=20)
SHAPES: dict[typing.Any, st.SearchStrategy[typing.Any]] = {
    str: TEXT,
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False),
}


def instances(kind: type[msgspec.Struct]) -> st.SearchStrategy[msgspec.Struct]:
    """Return a strategy for structs of `kind`, from the types of their fields."""
    hints = typing.get_type_hints(kind)
    fields = {name: shape(hints[name]) for name in kind.__struct_fields__}
    return st.fixed_dictionaries(fields).map(lambda values: kind(**values))


def shape(hint: typing.Any) -> st.SearchStrategy[typing.Any]:
    """Return a strategy for the type of a field."""
    if hint in SHAPES:
        return SHAPES[hint]
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return instances(hint)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is list:
        return st.lists(shape(arguments[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXT, shape(arguments[1]), max_size=3)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    return st.one_of(*map(shape, arguments)) if arguments else st.from_type(hint)


@given(message=st.one_of(*map(instances, typing.get_args(ClientMessage))))
def test_client_messages_survive_the_way(message: ClientMessage) -> None:
    body = encode_frame(message)[HEADER_BYTES:]
    assert msgspec.msgpack.decode(body, type=ClientMessage) == message


@given(message=st.one_of(*map(instances, typing.get_args(ServerMessage))))
def test_server_messages_survive_the_way(message: ServerMessage) -> None:
    assert decode_server_message(encode_frame(message)[HEADER_BYTES:]) == message


def test_fields_of_a_newer_peer_are_skipped() -> None:
    body = msgspec.msgpack.encode({"type": "cancelled", "request_id": 1, "status": "running", "new": [1]})
    assert decode_server_message(body) == messages.Cancelled(request_id=1, status="running")


@given(body=st.binary(max_size=200))
def test_bytes_that_are_no_message_are_told_so(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_server_message(body)


@pytest.mark.parametrize("body", [b"\x91" * 5_000, b"\x81\xa4type\xa5\xff\xfe\xfd\xfc\xfb"])
def test_deep_and_undecodable_bytes_are_no_message(body: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        decode_server_message(body)


def test_a_message_over_the_cap_is_not_encoded() -> None:
    with pytest.raises(TooLarge, match="16,777,216"):
        encode_frame(messages.Run(request_id=1, source="x" * MAX_CLIENT_FRAME_BYTES))


def test_every_code_has_its_error() -> None:
    kinds = set()
    for code in typing.get_args(ErrorCode):
        error = from_reply(ErrorReply(code=code, message="what", hint="do"), execution_id="e")
        assert isinstance(error, IpcError)
        assert (error.code, str(error), error.hint, error.execution_id) == (code, "what", "do", "e")
        kinds.add(type(error))
    assert len(kinds) == len(typing.get_args(ErrorCode))
