"""Packets with descriptors on a SOCK_SEQPACKET Unix socket."""

from __future__ import annotations

import socket
import struct

_FD_BYTES = struct.calcsize("i")


def send_packet(sock: socket.socket, body: bytes, fds: tuple[int, ...] = ()) -> None:
    """Send one packet; the kernel duplicates `fds` for the receiver.

    :raises BlockingIOError: the socket does not block and its buffer is full.
    :raises OSError: the peer is gone.
    """
    ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f"{len(fds)}i", *fds))] if fds else []
    sock.sendmsg([body], ancillary)


def receive_packet(sock: socket.socket, max_bytes: int, max_fds: int) -> tuple[bytes, list[int]]:
    """Receive one packet and its descriptors (close-on-exec). An empty body means that the peer is gone.

    :raises BlockingIOError: nothing has arrived on a socket that does not block.
    """
    body, ancillary, _flags, _address = sock.recvmsg(
        max_bytes, socket.CMSG_SPACE(max_fds * _FD_BYTES), socket.MSG_CMSG_CLOEXEC
    )
    fds: list[int] = []
    for level, kind, data in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = len(data) - len(data) % _FD_BYTES
            fds.extend(struct.unpack(f"{whole // _FD_BYTES}i", data[:whole]))
    return body, fds
