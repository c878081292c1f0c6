"""One client's connection: frames in, a task per request, replies out, everything bounded."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, cast

import msgspec

from daemon.ipc_replies import error_reply
from daemon.unix_socket import Peer
from ipc.framing import FrameBuffer, FramingError
from ipc.messages import (
    PROTOCOL_VERSION,
    Abandon,
    ClientMessage,
    ErrorReply,
    Hello,
    Request,
    ServerMessage,
    Welcome,
)
from ipc.wire import MAX_CLIENT_FRAME_BYTES, MAX_HELLO_FRAME_BYTES, encode_frame

logger = logging.getLogger(__name__)

#: Sends one reply. Waits while the client is slow to read; does nothing once the client is gone.
#: Raises `ipc.errors.TooLarge` where the reply does not fit in a frame.
Send = Callable[[ServerMessage], Awaitable[None]]

_decoder: msgspec.msgpack.Decoder[ClientMessage] = msgspec.msgpack.Decoder(ClientMessage)


class RequestHandler(Protocol):
    """Answers requests. Many calls run at once, each in a task of its own."""

    async def handle(self, request: Request, send: Send) -> None:
        """Answer `request` with as many replies as its type has, each given to `send`.

        Cancelled when the client goes away or abandons the request. An exception becomes the `ErrorReply`
        that `daemon.ipc_replies` makes of it, so handlers only raise.
        """


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What clients may use up. All but `max_connections` are for one connection."""

    max_connections: int = 512
    max_requests_in_flight: int = 4096
    #: Of requests that are not answered yet. Beyond it, no more are read for the while.
    max_bytes_in_flight: int = 64 * 1024 * 1024
    #: Of replies that the client has not read. Beyond it, replies and requests wait …
    max_unread_bytes: int = 8 * 1024 * 1024
    #: … and where that lasts as long as this, the connection is dropped.
    reader_timeout_seconds: float = 30.0
    hello_timeout_seconds: float = 5.0
    #: From the first byte of a frame to its last.
    frame_timeout_seconds: float = 30.0
    #: For the client to read why its connection is closed.
    close_timeout_seconds: float = 2.0


class Owner(Protocol):
    """What a connection needs of its server."""

    handler: RequestHandler
    limits: ServerLimits
    version: str
    daemon_id: str

    def admit(self, connection: Connection, transport: asyncio.Transport) -> Peer | ErrorReply | None:
        """Return who connects, or why he may not, or `None` to drop the connection without a word."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task."""

    def left(self, connection: Connection) -> None:
        """Take note that `connection` has ended."""


class _Envelope(msgspec.Struct):
    """What can be read of a request that is not valid."""

    request_id: int


class Connection(asyncio.Protocol):
    """One client. It greets, then serves requests until either side closes."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._limits = owner.limits
        self._loop = asyncio.get_running_loop()
        self._frames = FrameBuffer(MAX_HELLO_FRAME_BYTES)
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._deadlines: dict[str, asyncio.TimerHandle] = {}
        self._bytes_in_flight = 0
        self._greeted = False
        self._closing = False
        self._reading = True
        self._writable = asyncio.Event()
        self._writable.set()
        self._name = "a client"
        self._transport: asyncio.Transport

    async def send(self, message: ServerMessage) -> None:
        """Send one reply; see `Send`."""
        while not self._writable.is_set():
            await self._writable.wait()
        self._write(message)

    def stop(self, reply: ErrorReply) -> None:
        """Cancel the requests under way, tell the client `reply`, and close once he has read it."""
        if self._closing:
            return
        self._closing = True
        self._cancel_requests()
        self._disarm("hello")
        self._disarm("frame")
        self._transport.write(encode_frame(reply))
        self._transport.write_eof()
        self._update_reading()
        # Closing at once, with bytes unread, would take the reply from the client with a reset.
        self._arm("close", self._limits.close_timeout_seconds, self.drop)

    def drop(self) -> None:
        """Close at once; what was not sent is lost."""
        self._transport.abort()

    # -- called by the event loop --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._transport = transport
        transport.set_write_buffer_limits(high=self._limits.max_unread_bytes)
        answer = self._owner.admit(self, transport)
        if isinstance(answer, ErrorReply):
            self.stop(answer)
        elif answer is None:
            self._closing = True
            self.drop()
        else:
            self._name = f"pid {answer.pid} (uid {answer.uid})"
            self._arm("hello", self._limits.hello_timeout_seconds, self._too_late)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        try:
            bodies = self._frames.feed(data)
        except FramingError as error:
            self._violation(str(error))
            return
        for body in bodies:
            self._receive(body)
            if self._closing:
                return
        self._watch_frame()

    def eof_received(self) -> None:
        """A client that says no more is gone: the transport closes by itself."""

    def pause_writing(self) -> None:
        self._writable.clear()
        self._arm("reader", self._limits.reader_timeout_seconds, self._too_slow)
        self._update_reading()

    def resume_writing(self) -> None:
        self._disarm("reader")
        self._writable.set()
        self._update_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        self._cancel_requests()
        self._writable.set()
        for name in list(self._deadlines):
            self._disarm(name)
        self._owner.left(self)

    # -- requests --

    def _receive(self, body: bytes) -> None:
        try:
            message = _decoder.decode(body)
        except msgspec.ValidationError as error:
            self._invalid(body, str(error))
        except Exception as error:  # also RecursionError and UnicodeDecodeError, not only msgspec's own
            self._violation(f"a frame is no message: {error}")
        else:
            if isinstance(message, Hello):
                self._greet(message)
            elif not self._greeted:
                self._violation("the first message must be hello")
            elif isinstance(message, Abandon):
                self._abandon(message)
            else:
                self._start(message, len(body))

    def _greet(self, message: Hello) -> None:
        if self._greeted:
            self._violation("hello was said already")
        elif message.protocol != PROTOCOL_VERSION:
            self._violation(
                f"this daemon speaks protocol {PROTOCOL_VERSION}, the client {message.protocol}",
                f"use the client of jsruntimed {self._owner.version}",
            )
        else:
            self._greeted = True
            self._disarm("hello")
            self._name = f"{message.client[:100]!r}, {self._name}"
            self._frames.max_frame_bytes = MAX_CLIENT_FRAME_BYTES
            self._write(
                Welcome(protocol=PROTOCOL_VERSION, version=self._owner.version, daemon_id=self._owner.daemon_id)
            )

    def _start(self, request: Request, size: int) -> None:
        """Start the task that answers `request`, whose message took `size` bytes."""
        if request.request_id in self._tasks:
            self._violation(f"request {request.request_id} is under way already")
        elif len(self._tasks) >= self._limits.max_requests_in_flight:
            self._write(
                ErrorReply(
                    code="unavailable",
                    message=f"{len(self._tasks)} requests are under way on this connection",
                    hint="wait for answers before sending more",
                    request_id=request.request_id,
                )
            )
        else:
            task = self._owner.spawn(self._serve(request))
            self._tasks[request.request_id] = task
            self._bytes_in_flight += size
            self._update_reading()
            task.add_done_callback(functools.partial(self._ended, request.request_id, size))

    async def _serve(self, request: Request) -> None:
        try:
            await self._owner.handler.handle(request, self.send)
        except Exception as error:
            await self.send(error_reply(error, request.request_id))

    def _ended(self, request_id: int, size: int, task: asyncio.Task[None]) -> None:
        self._tasks.pop(request_id, None)
        self._bytes_in_flight -= size
        self._update_reading()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("Answering %s failed.", self._name, exc_info=error)

    def _abandon(self, message: Abandon) -> None:
        if (task := self._tasks.get(message.request_id)) is not None:
            task.cancel()

    def _cancel_requests(self) -> None:
        for task in self._tasks.values():
            task.cancel()

    # -- what is not right --

    def _invalid(self, body: bytes, reason: str) -> None:
        """Refuse a request that can be read but is not valid; the connection lives on."""
        try:
            request_id = msgspec.msgpack.decode(body, type=_Envelope).request_id
        except Exception:
            self._violation(f"a frame is no message: {reason}")
            return
        if not self._greeted:
            self._violation("the first message must be hello")
            return
        self._write(ErrorReply(code="invalid", message=reason, request_id=request_id))

    def _violation(self, reason: str, hint: str = "") -> None:
        """End the connection of a client that does not keep to the protocol."""
        logger.warning("Closing the connection of %s: %s.", self._name, reason)
        self.stop(ErrorReply(code="protocol", message=reason, hint=hint))

    def _too_late(self) -> None:
        self._violation("the message did not arrive in time")

    def _too_slow(self) -> None:
        logger.warning("Dropping the connection of %s, which does not read its replies.", self._name)
        self.drop()

    # -- bytes and time --

    def _write(self, message: ServerMessage) -> None:
        if not self._closing:
            self._transport.write(encode_frame(message))

    def _update_reading(self) -> None:
        """Read only while the client reads too, and while its requests are not too many bytes."""
        wanted = self._closing or (self._writable.is_set() and self._bytes_in_flight < self._limits.max_bytes_in_flight)
        if wanted == self._reading or self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
        self._watch_frame()

    def _watch_frame(self) -> None:
        """Have a deadline for the rest of a frame that has begun, while we read."""
        self._disarm("frame")
        if self._reading and self._greeted and not self._closing and not self._frames.is_empty:
            self._arm("frame", self._limits.frame_timeout_seconds, self._too_late)

    def _arm(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        self._disarm(name)
        self._deadlines[name] = self._loop.call_later(seconds, action)

    def _disarm(self, name: str) -> None:
        if (handle := self._deadlines.pop(name, None)) is not None:
            handle.cancel()
