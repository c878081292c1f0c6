"""One connection to the daemon, under asyncio: requests out, replies to whoever waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from ipc.errors import ConnectionLost, IpcError, ProtocolViolation
from ipc.framing import FrameBuffer, FramingError
from ipc.handshake import HANDSHAKE_TIMEOUT_SECONDS, connect_failed, connection_lost, hello, read_welcome
from ipc.location import SocketLocation
from ipc.messages import Abandon, ErrorReply, Request, ServerMessage, Welcome
from ipc.wire import MAX_CLIENT_FRAME_BYTES, decode_server_message, encode_frame

#: Takes a reply, or the error that ended the connection.
Receiver = Callable[[ServerMessage | IpcError], None]


class Connection(asyncio.Protocol):
    """One connection. A reply goes to the receiver of its request, or nowhere if there is none any more."""

    def __init__(self) -> None:
        self._frames = FrameBuffer(MAX_CLIENT_FRAME_BYTES)
        self._receivers: dict[int, Receiver] = {}
        self._welcome: asyncio.Future[ServerMessage] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._failure: IpcError | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()

    @classmethod
    async def open(cls, where: SocketLocation, name: str) -> Connection:
        """Connect and exchange `Hello` and `Welcome`.

        :raises DaemonUnavailable: nobody answers there.
        :raises IpcError: the daemon refuses this user or this version.
        """
        loop = asyncio.get_running_loop()
        connection = cls()
        try:
            async with asyncio.timeout(HANDSHAKE_TIMEOUT_SECONDS):
                await loop.create_unix_connection(lambda: connection, where.path)
                connection._write(hello(name))
                read_welcome(await connection._welcome)
        except OSError as error:
            connection.close()
            raise connect_failed(where, error) from None
        except ConnectionLost:
            raise where.unavailable("it closed the connection without a word") from None
        except BaseException:
            connection.close()
            raise
        return connection

    @property
    def is_open(self) -> bool:
        """Whether requests can be sent."""
        return self._failure is None

    def expect(self, request_id: int, receiver: Receiver) -> None:
        """Give the replies to `request_id` to `receiver` from now on."""
        self._receivers[request_id] = receiver

    def forget(self, request_id: int, *, ended: bool) -> None:
        """Drop further replies to `request_id`; where the answer has not `ended`, tell the daemon so."""
        self._receivers.pop(request_id, None)
        if not ended and self.is_open:
            self._write(encode_frame(Abandon(request_id=request_id)))

    async def send(self, request: Request) -> None:
        """Send `request`, after what is being written has drained.

        :raises TooLarge: it does not fit in a frame. Nothing was sent.
        :raises ConnectionLost: the connection has ended.
        """
        frame = encode_frame(request)  # type: ignore[arg-type]  # every Request is a ClientMessage
        if not self._writable.is_set():
            await self._writable.wait()
        if self._failure is not None:
            raise self._failure
        self._write(frame)

    async def aclose(self) -> None:
        """Close the connection and wait until it is. Whoever waits for a reply gets `ConnectionLost`."""
        self.close()
        if self._transport is not None:
            await self._closed.wait()

    def close(self) -> None:
        """Close the connection soon."""
        self._end(connection_lost())

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    # -- called by the event loop --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            for body in self._frames.feed(data):
                self._dispatch(decode_server_message(body))
        except FramingError as error:
            self._end(ProtocolViolation(f"the daemon broke the protocol: {error}"))
        except IpcError as error:
            self._end(error)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(connection_lost())
        self._closed.set()

    # -- inside --

    def _dispatch(self, message: ServerMessage) -> None:
        if isinstance(message, Welcome) or (isinstance(message, ErrorReply) and message.request_id is None):
            self._connection_message(message)
        elif (request_id := message.request_id) is not None and (receiver := self._receivers.get(request_id)):
            receiver(message)

    def _connection_message(self, message: Welcome | ErrorReply) -> None:
        """Take a message that answers no request: the end of the handshake, or why the connection closes."""
        if not self._welcome.done():
            self._welcome.set_result(message)
        elif isinstance(message, ErrorReply):
            try:
                read_welcome(message)
            except IpcError as error:
                self._end(error)

    def _end(self, failure: IpcError) -> None:
        """Give everybody who waits `failure`, once, and close."""
        if self._failure is not None:
            return
        self._failure = failure
        self._writable.set()
        if not self._welcome.done():
            self._welcome.set_exception(failure)
            self._welcome.exception()  # seen: nobody may be waiting any more
        receivers, self._receivers = self._receivers, {}
        for receiver in receivers.values():
            receiver(failure)
        if self._transport is not None:
            self._transport.close()
