"""The client socket: who may connect, how many, and the start and end of it all.

::

    async with IpcServer(handler, path=path, access=PeerAccess.for_daemon(gids=gids)) as server:
        ...

A dropped connection costs no execution anything: the handlers that wait for it are cancelled, nothing else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio.to_thread

from daemon.ipc_connection import Connection, RequestHandler, Send, ServerLimits
from daemon.unix_socket import Peer, PeerAccess, listen, peer_of, remove_own
from ipc.messages import ErrorReply

__all__ = ["IpcServer", "PeerAccess", "RequestHandler", "Send", "ServerLimits"]

logger = logging.getLogger(__name__)

#: So many above `max_connections` are told why they are refused; further ones are dropped without a word.
_REFUSALS_AT_ONCE = 64

_STOPPED = ErrorReply(
    code="draining",
    message="the daemon has stopped",
    hint="what was recorded goes on when a daemon runs again",
)


class IpcServer:
    """Serves clients on a Unix stream socket for as long as it is entered.

    :param handler: answers the requests.
    :param path: where to listen; or give `listener`.
    :param listener: a listening socket, as systemd hands it over. Its file is left alone.
    :param access: who may connect; the daemon's own user and root if left out.
    :param mode: permissions of the socket file; `socket_gid`: its group. Both only with `path`.
    :param version: and `daemon_id`: what clients are told in the welcome.

    Entering raises `daemon.errors.ConfigError` where it cannot listen at `path`.
    """

    def __init__(
        self,
        handler: RequestHandler,
        *,
        path: Path | None = None,
        listener: socket.socket | None = None,
        access: PeerAccess | None = None,
        mode: int = 0o660,
        socket_gid: int | None = None,
        limits: ServerLimits | None = None,
        version: str = "",
        daemon_id: str = "",
    ) -> None:
        if (path is None) == (listener is None):
            raise ValueError("give path or listener")
        self.handler = handler
        self.limits = limits or ServerLimits()
        self.version = version
        self.daemon_id = daemon_id
        self._access = access or PeerAccess.for_daemon()
        self._path = path
        self._listener = listener
        self._mode = mode
        self._socket_gid = socket_gid
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._file: os.stat_result | None = None
        self._stopping = False

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._connections)

    async def __aenter__(self) -> Self:
        if self._path is not None:
            path = self._path
            self._listener = await anyio.to_thread.run_sync(lambda: listen(path, mode=self._mode, gid=self._socket_gid))
            self._file = path.lstat()
        assert self._listener is not None
        self._listener.setblocking(False)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: Connection(self), sock=self._listener)
        logger.info("Listening for clients on %s.", self._listener.getsockname())
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take no more clients, tell those that are there, and close their connections."""
        assert self._server is not None
        self._stopping = True
        if self._path is not None and self._file is not None:
            remove_own(self._path, self._file)
        self._server.close()
        for connection in list(self._connections):
            connection.stop(_STOPPED)
        with anyio.CancelScope(shield=True):
            if self._connections:
                await self._empty.wait()  # bounded: every connection that was stopped has a deadline
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self.limits.close_timeout_seconds)

    # -- called by connections --

    def admit(self, connection: Connection, transport: asyncio.Transport) -> Peer | ErrorReply | None:
        """Count `connection` in; return who it is, or why he may not, or `None` to drop it without a word."""
        count = len(self._connections)
        self._connections.add(connection)
        self._empty.clear()
        if count >= self.limits.max_connections + _REFUSALS_AT_ONCE:
            return None
        if self._stopping:
            return _STOPPED
        try:
            peer = peer_of(transport.get_extra_info("socket"))
        except OSError:
            return None
        if not self._access.admits(peer):
            logger.warning("Refused uid %d (pid %d) on the client socket.", peer.uid, peer.pid)
            return ErrorReply(
                code="forbidden",
                message=f"the user with uid {peer.uid} may not use this daemon",
                hint="have its uid, or a gid it belongs to, added to the daemon's configuration",
            )
        if count >= self.limits.max_connections:
            logger.warning("Refused a connection: %d are open.", count)
            return ErrorReply(
                code="unavailable",
                message=f"the daemon serves {self.limits.max_connections} connections and no more",
                hint="share one connection between requests, and close those that are not needed",
            )
        return peer

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task that leaving waits for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def left(self, connection: Connection) -> None:
        """Count `connection` out."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()
