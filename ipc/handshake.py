"""The first two messages of a connection, and what its failures mean. No I/O."""

from __future__ import annotations

import errno
import os
import sys

from ipc.errors import AccessDenied, ConnectionLost, IpcError, ProtocolViolation, from_reply
from ipc.location import SocketLocation
from ipc.messages import ErrorReply, Hello, ServerMessage, Welcome
from ipc.wire import encode_frame

#: How long a daemon may take to accept a connection and to answer `Hello`.
HANDSHAKE_TIMEOUT_SECONDS = 10.0


def hello(name: str) -> bytes:
    """Return the frame that opens a connection. `name` is for the daemon's log; empty: this program's own."""
    name = name or os.path.basename(sys.argv[0] if sys.argv else "") or "python"
    return encode_frame(Hello(client=name[:100]))


def read_welcome(message: ServerMessage) -> Welcome:
    """Return `message` as what it must be.

    :raises IpcError: the daemon refuses this user or this version, or has no room for another connection.
    """
    if isinstance(message, Welcome):
        return message
    if isinstance(message, ErrorReply):
        raise from_reply(message)
    raise ProtocolViolation(f"the daemon opened the connection with {type(message).__name__}")


def connect_failed(where: SocketLocation, error: OSError) -> IpcError:
    """Return the error for a socket that cannot be connected to."""
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied(
            f"this user may not open {where.path} ({where.named_by})",
            "use the user that runs the daemon, or have this one added to the socket's group",
        )
    reasons = {errno.ENOENT: "the file does not exist", errno.ECONNREFUSED: "no process listens on it"}
    if isinstance(error, TimeoutError):
        return where.unavailable(f"no answer within {HANDSHAKE_TIMEOUT_SECONDS:g} s")
    return where.unavailable(reasons.get(error.errno or 0) or error.strerror or str(error))


def connection_lost() -> ConnectionLost:
    """Return the error for an answer that the connection did not live to see."""
    return ConnectionLost(
        "the connection to the daemon was lost before it answered",
        "an execution that was recorded is not lost: find it with 'jsruntime ps'",
    )


def interrupted(failure: IpcError, execution_id: str | None) -> IpcError:
    """Return `failure`, which ended the connection, for a request that had recorded `execution_id`."""
    if execution_id is None:
        return failure
    return type(failure)(
        failure.message,
        f"execution {execution_id} is recorded and not lost: wait for it again by this id",
        execution_id=execution_id,
    )
