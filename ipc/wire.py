"""Messages of the client protocol to frames, and back."""

from __future__ import annotations

import msgspec

from ipc.errors import ProtocolViolation, TooLarge
from ipc.framing import pack
from ipc.messages import ClientMessage, ServerMessage

#: The longest body of a frame, in either direction.
MAX_CLIENT_FRAME_BYTES = 16 * 1024 * 1024

#: The longest body of a frame before the daemon has answered `Hello`.
MAX_HELLO_FRAME_BYTES = 4096

_encoder = msgspec.msgpack.Encoder()
_server_messages: msgspec.msgpack.Decoder[ServerMessage] = msgspec.msgpack.Decoder(ServerMessage)


def encode_frame(message: ClientMessage | ServerMessage) -> bytes:
    """Return `message` as one frame.

    :raises TooLarge: its body is over `MAX_CLIENT_FRAME_BYTES`.
    """
    body = _encoder.encode(message)
    if len(body) > MAX_CLIENT_FRAME_BYTES:
        raise TooLarge(
            f"the message takes {len(body):,} bytes; one message may take {MAX_CLIENT_FRAME_BYTES:,}",
            "send less: large data belongs in the database, and its key in the input",
        )
    return pack(body)


def decode_server_message(body: bytes) -> ServerMessage:
    """Return the message in the body of a frame that the daemon sent.

    :raises ProtocolViolation: it is none.
    """
    try:
        return _server_messages.decode(body)
    except Exception as error:  # also RecursionError and UnicodeDecodeError, not only msgspec's own
        raise ProtocolViolation(
            f"the daemon sent what is no message of this protocol: {error}",
            "use the same version of jsruntimed on both ends",
        ) from error
