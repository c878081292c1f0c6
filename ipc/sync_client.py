"""`Client`: the client library for programs without an event loop. A plain blocking socket, no thread."""

from __future__ import annotations

import functools
import itertools
import os
import threading
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

from ipc import calls
from ipc.calls import Call, Exchange, addressed, method_signature, next_lines
from ipc.errors import IpcError
from ipc.handshake import interrupted
from ipc.location import find_socket
from ipc.messages import LogLine, Request
from ipc.messages import Logs as LogsRequest
from ipc.sync_connection import BlockingConnection
from ipc.wire import encode_frame

P = ParamSpec("P")
R = TypeVar("R")


def _method(build: Callable[P, Call[R]]) -> Callable[Concatenate[Client, P], R]:
    """Make the method that sends what `build` describes."""

    @functools.wraps(build)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._perform(build(*args, **kwargs))

    method.__signature__ = method_signature(build)  # type: ignore[attr-defined]
    return method


class Client:
    """A client of the daemon. Threads may share it: one request is under way at a time, others queue.

    :param path: the daemon's socket; found by `ipc.location.find_socket` if left out.
    :param tenant: id or name of the tenant of every request that names none itself.
    :param name: names the program in the daemon's log.

    Entering it connects, and so raises what connecting raises.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, tenant: str | None = None, name: str = ""
    ) -> None:
        self._path = path
        self._tenant = tenant
        self._name = name
        self._ids = itertools.count(1)
        self._connection: BlockingConnection | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def connect(self) -> None:
        """Connect, unless connected already.

        :raises DaemonUnavailable: nobody answers on the socket.
        :raises AccessDenied: this user may not use the daemon.
        :raises ProtocolViolation: the daemon speaks another version of the protocol.
        """
        with self._lock:
            self._connected()

    def close(self) -> None:
        """Close the connection, after the request that is under way."""
        with self._lock:
            self._disconnect()

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

    def logs(self, execution_id: str, *, after_seq: int = 0, follow: bool = False, tenant: str | None = None) -> Logs:
        """Return the console lines of an execution, to iterate over.

        :param after_seq: only the lines after this one.
        :param follow: go on until the execution ends, as lines are written.

        Iterating raises `NotFound` where there is no such execution, and `ConnectionLost`. It takes a
        connection of its own, so that other requests can be made in between.
        """
        request = calls.logs(execution_id, after_seq=after_seq, follow=follow, tenant=tenant)
        return Logs(self, request)

    def _open(self) -> BlockingConnection:
        return BlockingConnection.open(find_socket(self._path), self._name)

    def _address(self, request: Request) -> Request:
        return addressed(request, next(self._ids), self._tenant)

    def _connected(self) -> BlockingConnection:
        if self._connection is None or not self._connection.is_open:
            self._disconnect()
            self._connection = self._open()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _perform(self, call: Call[R]) -> R:
        """Send the request of `call` and follow it to its result."""
        request = self._address(call.request)
        frame = encode_frame(request)  # type: ignore[arg-type]  # every Request is a ClientMessage
        exchange = Exchange(call)
        with self._lock:
            connection = self._connected()
            try:
                connection.send(frame)
                _follow(connection, request.request_id, exchange)
            except BaseException:
                self._disconnect()  # where an answer was broken off, the next one could not be told from it
                raise
        return exchange.result()


def _follow(connection: BlockingConnection, request_id: int, exchange: Exchange[R]) -> None:
    """Feed `exchange` its replies until the last."""
    try:
        while True:
            message = connection.receive()
            if getattr(message, "request_id", None) == request_id and exchange.feed(message):
                return
    except IpcError as failure:
        raise interrupted(failure, exchange.execution_id) from None


class Logs:
    """The console lines of one execution. `dropped_bytes`: what it wrote beyond those that are kept."""

    def __init__(self, client: Client, request: LogsRequest) -> None:
        self._client = client
        self._request = request
        self.dropped_bytes = 0

    def __iter__(self) -> Generator[LogLine, None, None]:
        connection = self._client._open()
        try:
            connection.send(encode_frame(self._client._address(self._request)))  # type: ignore[arg-type]
            ended = False
            while not ended:
                lines = next_lines(connection.receive())
                ended = lines.end
                self.dropped_bytes = max(self.dropped_bytes, lines.dropped_bytes)
                yield from lines.lines
        finally:
            connection.close()
