"""What can go wrong between a client and the daemon.

::

    IpcError
    ├── DaemonUnavailable     nobody answers on the socket
    ├── AccessDenied          the daemon or the socket file refuses this user
    ├── ConnectionLost        the connection ended before the answer did
    ├── ProtocolViolation     the two ends do not understand each other
    ├── TooLarge              a frame, a source or an input is over its limit
    ├── InvalidRequest        a field of the request is not valid
    ├── NotFound              no such script, execution or tenant
    ├── Conflict              the request contradicts what is stored
    ├── Unavailable           the database or the workers are away just now
    ├── Draining              the daemon is stopping
    ├── WaitTimeout           the wait ended before the execution did
    └── DaemonFault           a fault of the daemon's own; its log says more

An `ErrorReply` becomes the class of its code; the others are raised by the client itself.
"""

from __future__ import annotations

from typing import ClassVar

from ipc.messages import ErrorCode, ErrorReply


class IpcError(Exception):
    """Base of every error of the client library.

    `message` says what happened, `hint` what to do (may be empty). `execution_id` is set where the request
    had already recorded an execution: that one goes on, and can be waited for by this id.
    """

    code: ClassVar[ErrorCode | None] = None

    def __init__(self, message: str, hint: str = "", *, execution_id: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.execution_id = execution_id


class DaemonUnavailable(IpcError):
    """Nobody answers on the socket: the file is missing, or no process listens on it."""


class AccessDenied(IpcError):
    """The daemon, or the permissions of its socket file, refuse this user."""

    code = "forbidden"


class ConnectionLost(IpcError):
    """The connection ended before the answer did. An execution that was recorded is not lost."""


class ProtocolViolation(IpcError):
    """The two ends do not understand each other: another protocol version, or bytes that are no message."""

    code = "protocol"


class TooLarge(IpcError):
    """A frame, a source or an input is over its limit. A frame over the cap is refused before it is sent."""

    code = "too_large"


class InvalidRequest(IpcError):
    """A field of the request is not valid."""

    code = "invalid"


class NotFound(IpcError):
    """No such script, execution or tenant for this caller."""

    code = "not_found"


class Conflict(IpcError):
    """The request contradicts what is stored."""

    code = "conflict"


class Unavailable(IpcError):
    """The daemon answers, but its database or its workers are away just now. Trying again may help."""

    code = "unavailable"


class Draining(IpcError):
    """The daemon is stopping and takes nothing new."""

    code = "draining"


class WaitTimeout(IpcError):
    """The wait ended before the execution did. The execution goes on."""

    code = "timeout"


class DaemonFault(IpcError):
    """A fault of the daemon's own. Its log says more."""

    code = "internal"


_CLASS_OF_CODE: dict[ErrorCode, type[IpcError]] = {
    cls.code: cls for cls in IpcError.__subclasses__() if cls.code is not None
}


def from_reply(reply: ErrorReply, *, execution_id: str | None = None) -> IpcError:
    """Return the exception that `reply` stands for."""
    return _CLASS_OF_CODE[reply.code](reply.message, reply.hint, execution_id=execution_id)
