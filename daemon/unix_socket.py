"""A listening Unix socket, and who may use it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from daemon.errors import ConfigError
from ipc.location import MAX_PATH_BYTES

_SO_PEERGROUPS = 59  # not named by the socket module
_MOST_GROUPS_BYTES = 1024
_BACKLOG = 1024


class Peer(msgspec.Struct, frozen=True):
    """Who is on the other end, as the kernel says. `gids`: the primary group first, then the others."""

    pid: int
    uid: int
    gids: tuple[int, ...]


def peer_of(sock: socket.socket) -> Peer:
    """Return who connected to `sock`.

    :raises OSError: the connection is gone already.
    """
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        groups = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _MOST_GROUPS_BYTES)
    except OSError:  # an older kernel, or a member of more groups than we ask for
        groups = b""
    others = struct.unpack(f"{len(groups) // 4}I", groups)
    return Peer(pid, uid, (gid, *others))


class PeerAccess(msgspec.Struct, frozen=True):
    """The users and groups that may use a socket."""

    uids: frozenset[int]
    gids: frozenset[int] = frozenset()

    @classmethod
    def for_daemon(cls, uids: Iterable[int] = (), gids: Iterable[int] = ()) -> PeerAccess:
        """Return the rule of the daemon: its own user, root, and those that are configured."""
        return cls(frozenset(uids) | {os.geteuid(), 0}, frozenset(gids))

    def admits(self, peer: Peer) -> bool:
        """Whether `peer` may use the socket."""
        return peer.uid in self.uids or not self.gids.isdisjoint(peer.gids)


def listen(path: Path, *, mode: int = 0o660, gid: int | None = None) -> socket.socket:
    """Return a listening socket at `path`, with these permissions from its first moment.

    A socket file that a dead daemon left behind is replaced. Blocks for as long as another daemon takes to
    do the same in the same folder, so call it off the event loop.

    :raises ConfigError: a daemon answers at `path`, something else than a socket is there, or the folder
        does not let us.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with _alone_in(path.parent):
            _remove_stale(path)
            os.fchmod(sock.fileno(), mode)  # bind takes this, less the umask, for the file that it makes
            sock.bind(os.fspath(path))
            if gid is not None:
                os.chown(path, -1, gid)
            os.chmod(path, mode)
            sock.listen(_BACKLOG)
    except (OSError, ConfigError) as error:
        sock.close()
        if isinstance(error, ConfigError):
            raise
        raise _cannot_listen(path, error) from error
    return sock


def _cannot_listen(path: Path, error: OSError) -> ConfigError:
    if "too long" in str(error):
        return ConfigError(
            f"The socket path {path} is too long: it may take {MAX_PATH_BYTES} bytes.",
            "Choose a shorter one.",
        )
    return ConfigError(
        f"The socket {path} cannot be opened: {error.strerror or error}.",
        "Its folder must exist and be writable for the daemon's user.",
    )


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other daemons from replacing a socket in `folder` at the same time."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _remove_stale(path: Path) -> None:
    """Remove the socket file at `path` if there is one on which nobody listens.

    :raises ConfigError: somebody does, or it is no socket.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"{path} exists and is not a socket.", "Remove it, or choose another path.")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        answer = probe.connect_ex(os.fspath(path))
    if answer != errno.ECONNREFUSED:
        raise ConfigError(f"Another daemon listens on {path}.", "Stop it, or choose another path.")
    path.unlink()


def remove_own(path: Path, made: os.stat_result) -> None:
    """Remove the socket file at `path` if it is still the one that we `made`.

    Call it before its socket is closed: while we listen, no other daemon takes our file for a stale one.
    """
    with contextlib.suppress(OSError):
        if os.path.samestat(path.lstat(), made):
            path.unlink()
