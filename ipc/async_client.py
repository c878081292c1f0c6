"""`AsyncClient`: the client library for asyncio, and for anyio on asyncio."""

from __future__ import annotations

import asyncio
import functools
import itertools
import os
from collections.abc import AsyncGenerator, Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from ipc import calls
from ipc.async_connection import Connection
from ipc.calls import Call, Exchange, addressed, method_signature, next_lines
from ipc.errors import IpcError
from ipc.handshake import interrupted
from ipc.location import find_socket
from ipc.messages import LogLine, LogLines, ServerMessage
from ipc.messages import Logs as LogsRequest

P = ParamSpec("P")
R = TypeVar("R")


def _method(
    build: Callable[P, Call[R]],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, R]]:
    """Make the method that sends what `build` describes."""

    @functools.wraps(build)
    async def method(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._perform(build(*args, **kwargs))

    method.__signature__ = method_signature(build)  # type: ignore[attr-defined]
    return method


class AsyncClient:
    """A client of the daemon for one event loop. Any number of requests may be under way at once.

    :param path: the daemon's socket; found by `ipc.location.find_socket` if left out.
    :param tenant: id or name of the tenant of every request that names none itself.
    :param name: names the program in the daemon's log.

    Entering it connects, and so raises what connecting raises. A request whose task is cancelled is
    abandoned; what it asked for goes on.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, tenant: str | None = None, name: str = ""
    ) -> None:
        self._path = path
        self._tenant = tenant
        self._name = name
        self._ids = itertools.count(1)
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def connect(self) -> None:
        """Connect, unless connected already.

        :raises DaemonUnavailable: nobody answers on the socket.
        :raises AccessDenied: this user may not use the daemon.
        :raises ProtocolViolation: the daemon speaks another version of the protocol.
        """
        await self._connected()

    async def aclose(self) -> None:
        """Close the connection. Requests under way raise `ConnectionLost`."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.aclose()

    submit = _method(calls.submit)
    submit_and_wait = _method(calls.submit_and_wait)
    run = _method(calls.run)
    wait = _method(calls.wait)
    cancel = _method(calls.cancel)
    show = _method(calls.show)
    list_executions = _method(calls.list_executions)
    deploy = _method(calls.deploy)
    list_scripts = _method(calls.list_scripts)
    status = _method(calls.status)

    def logs(
        self, execution_id: str, *, after_seq: int = 0, follow: bool = False, tenant: str | None = None
    ) -> AsyncLogs:
        """Return the console lines of an execution, to iterate over with `async for`.

        :param after_seq: only the lines after this one.
        :param follow: go on until the execution ends, as lines are written.

        Iterating raises `NotFound` where there is no such execution, and `ConnectionLost`.
        """
        request = calls.logs(execution_id, after_seq=after_seq, follow=follow, tenant=tenant)
        return AsyncLogs(self, request)

    async def _connected(self) -> Connection:
        """Return the open connection, made now if there is none."""
        connection = self._connection
        if connection is not None and connection.is_open:
            return connection
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                self._connection = await Connection.open(find_socket(self._path), self._name)
            return self._connection

    async def _perform(self, call: Call[R]) -> R:
        """Send the request of `call` and follow it to its result."""
        connection = await self._connected()
        request = addressed(call.request, next(self._ids), self._tenant)
        exchange = Exchange(call)
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def receive(message: ServerMessage | IpcError) -> None:
            if ended.done():
                return
            if isinstance(message, IpcError):
                ended.set_exception(interrupted(message, exchange.execution_id))
            elif exchange.feed(message):
                ended.set_result(None)

        connection.expect(request.request_id, receive)
        sent = False
        try:
            await connection.send(request)
            sent = True
            await ended
        finally:
            answered = ended.done() and not ended.cancelled()
            connection.forget(request.request_id, ended=answered or not sent)
            if answered:
                ended.exception()  # seen, also where sending failed first
        return exchange.result()


class AsyncLogs:
    """The console lines of one execution. `dropped_bytes`: what it wrote beyond those that are kept."""

    def __init__(self, client: AsyncClient, request: LogsRequest) -> None:
        self._client = client
        self._request = request
        self.dropped_bytes = 0

    async def __aiter__(self) -> AsyncGenerator[LogLine, None]:
        connection = await self._client._connected()
        request = addressed(self._request, next(self._client._ids), self._client._tenant)
        # Unbounded, but the daemon keeps 64 KiB of lines of an execution and sends no more.
        replies: asyncio.Queue[ServerMessage | IpcError] = asyncio.Queue()
        connection.expect(request.request_id, replies.put_nowait)
        ended = False
        try:
            await connection.send(request)
            while not ended:
                reply = await replies.get()
                if isinstance(reply, IpcError):
                    ended = True
                    raise reply
                ended = not isinstance(reply, LogLines) or reply.end
                lines = next_lines(reply)
                self.dropped_bytes = max(self.dropped_bytes, lines.dropped_bytes)
                for line in lines.lines:
                    yield line
        finally:
            connection.forget(request.request_id, ended=ended)
