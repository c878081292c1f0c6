"""Where the daemon's socket is."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from ipc.errors import DaemonUnavailable

SOCKET_VARIABLE = "JSRUNTIME_SOCKET"
DEV_FILE = Path(".jsruntime/dev.json")
DEFAULT_SOCKET = "/run/jsruntime/jsruntime.sock"

#: The kernel takes no longer path for a Unix socket; some event loops cut one off and use what is left.
MAX_PATH_BYTES = 107


class SocketLocation(msgspec.Struct, frozen=True):
    """A path, and in words what named it."""

    path: str
    named_by: str

    def unavailable(self, reason: str) -> DaemonUnavailable:
        """Return the error for a socket on which nobody answers."""
        return DaemonUnavailable(
            f"no daemon answers on {self.path} ({self.named_by}): {reason}",
            "start one with 'jsruntime dev' or 'jsruntime serve', or name its socket in " + SOCKET_VARIABLE,
        )


class _DevFile(msgspec.Struct):
    """What the client needs of `.jsruntime/dev.json`."""

    socket: str


def find_socket(path: str | os.PathLike[str] | None = None) -> SocketLocation:
    """Return where to connect.

    The first of these that is given: `path`; the environment variable `JSRUNTIME_SOCKET`; the field `socket`
    of `.jsruntime/dev.json` in the current folder, which `jsruntime dev` writes; `DEFAULT_SOCKET`.

    :raises DaemonUnavailable: `.jsruntime/dev.json` is there but names no socket, or the path cannot be one.
    """
    where = _named(path)
    if len(os.fsencode(where.path)) > MAX_PATH_BYTES:
        raise where.unavailable(f"the path is too long, it may take {MAX_PATH_BYTES} bytes")
    return where


def _named(path: str | os.PathLike[str] | None) -> SocketLocation:
    if path is not None:
        return SocketLocation(os.fspath(path), "as given")
    if named := os.environ.get(SOCKET_VARIABLE):
        return SocketLocation(named, f"from {SOCKET_VARIABLE}")
    try:
        content = DEV_FILE.read_bytes()
    except OSError:
        return SocketLocation(DEFAULT_SOCKET, "the default")
    try:
        return SocketLocation(msgspec.json.decode(content, type=_DevFile).socket, f"from {DEV_FILE}")
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DaemonUnavailable(
            f"{DEV_FILE} names no socket: {error}", "start 'jsruntime dev' here again, or remove that file"
        ) from None
