# ruff: noqa: ASYNC240 - the paths are those of a temporary folder

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from daemon.errors import ConfigError
from daemon.ipc_server import IpcServer, PeerAccess, Send, ServerLimits
from daemon.unix_socket import Peer, listen, peer_of
from ipc import messages
from ipc.framing import HEADER_BYTES, pack
from ipc.messages import ErrorReply, Hello, Request, ServerMessage, Welcome
from ipc.wire import MAX_CLIENT_FRAME_BYTES, decode_server_message, encode_frame
from tests.ipc.memory_daemon import MemoryDaemon

pytestmark = pytest.mark.anyio


class Raw:
    """A client that sends whatever bytes a test likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *items: messages.ClientMessage | bytes) -> None:
        self._writer.write(b"".join(x if isinstance(x, bytes) else encode_frame(x) for x in items))

    async def receive(self) -> ServerMessage:
        header = await self._reader.readexactly(HEADER_BYTES)
        return decode_server_message(await self._reader.readexactly(int.from_bytes(header)))

    async def error(self) -> ErrorReply:
        reply = await self.receive()
        assert isinstance(reply, ErrorReply)
        return reply

    async def greet(self) -> None:
        self.send(Hello(client="test"))
        assert isinstance(await self.receive(), Welcome)

    async def until_closed(self) -> bytes:
        """Return what is received until the daemon closes."""
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b""


@asynccontextmanager
async def raw_client(path: Path) -> AsyncIterator[Raw]:
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def serving(path: Path, **limits: Any) -> AsyncIterator[tuple[MemoryDaemon, IpcServer]]:
    memory = MemoryDaemon()
    async with IpcServer(memory, path=path, version="1.2.3", limits=ServerLimits(**limits)) as server:
        yield memory, server


def frame(**fields: object) -> bytes:
    return pack(msgspec.msgpack.encode(fields))


# -- greeting --


async def test_the_welcome_names_the_daemon(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with raw_client(socket_path) as client:
        client.send(Hello(client="test"))
        assert await client.receive() == Welcome(protocol=1, version="1.2.3", daemon_id="d-1")


@pytest.mark.parametrize(
    ("opening", "said"),
    [
        (encode_frame(Hello(protocol=99)), "speaks protocol 1, the client 99"),
        (encode_frame(messages.Status(request_id=1)), "first message must be hello"),
        (frame(type="status", request_id="x"), "no message"),
        (frame(type="submit", request_id=1, priority="x"), "first message must be hello"),
        (b"GET / HTTP/1.1\r\n\r\n", "over the cap"),
        (pack(b"x" * 5_000), "over the cap of 4096"),
        (pack(b""), "no message"),
        (encode_frame(Hello()) * 2, "hello was said already"),
    ],
)
async def test_a_wrong_opening_is_told_and_closed(
    opening: bytes, said: str, daemon: MemoryDaemon, socket_path: Path
) -> None:
    async with raw_client(socket_path) as client:
        client.send(opening)
        reply = await client.receive()
        if isinstance(reply, Welcome):
            reply = await client.receive()
        assert isinstance(reply, ErrorReply)
        assert reply.code == "protocol"
        assert said in reply.message
        assert await client.until_closed() == b""
    assert daemon.requests == []


async def test_a_client_that_does_not_greet_is_closed(socket_path: Path) -> None:
    async with serving(socket_path, hello_timeout_seconds=0.05), raw_client(socket_path) as client:
        client.send(encode_frame(Hello())[:3])
        assert (await client.error()).message == "the message did not arrive in time"
        assert await client.until_closed() == b""


# -- frames --


async def test_a_frame_in_pieces_is_one_frame(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with raw_client(socket_path) as client:
        await client.greet()
        for byte in encode_frame(messages.Status(request_id=5)):
            client.send(bytes([byte]))
            await anyio.lowlevel.checkpoint()
        reply = await client.receive()
        assert isinstance(reply, messages.DaemonStatus)
        assert reply.request_id == 5


async def test_half_a_frame_has_a_deadline(socket_path: Path) -> None:
    async with serving(socket_path, frame_timeout_seconds=0.05), raw_client(socket_path) as client:
        await client.greet()
        client.send(encode_frame(messages.Status(request_id=5))[:-1])
        assert (await client.error()).code == "protocol"
        assert await client.until_closed() == b""


async def test_an_idle_client_has_none(socket_path: Path) -> None:
    async with (
        serving(socket_path, frame_timeout_seconds=0.2, hello_timeout_seconds=0.2),
        raw_client(socket_path) as idle,
        raw_client(socket_path) as silent,
    ):
        await idle.greet()
        await silent.until_closed()  # by then the deadline that the other met is over, too
        idle.send(messages.Status(request_id=5))
        assert isinstance(await idle.receive(), messages.DaemonStatus)


@pytest.mark.parametrize(
    "garbage",
    [
        b"\xff\xff\xff\xff",
        pack(b"\xc1"),
        pack(b"\x91" * 100_000),
        pack(b"\x81\xa4type\xa5\xff\xfe\xfd\xfc\xfb"),
        (MAX_CLIENT_FRAME_BYTES + 1).to_bytes(4),
        frame(type="status"),
        frame(type="status", request_id=1.5),
        frame(type="nonsense"),
    ],
)
async def test_garbage_closes_the_connection_and_nobody_else_notices(
    garbage: bytes, daemon: MemoryDaemon, socket_path: Path
) -> None:
    async with raw_client(socket_path) as client, raw_client(socket_path) as other:
        await client.greet()
        await other.greet()
        client.send(garbage)
        reply = await client.error()
        assert (reply.code, reply.request_id) == ("protocol", None)
        assert await client.until_closed() == b""
        other.send(messages.Status(request_id=5))
        assert isinstance(await other.receive(), messages.DaemonStatus)


@pytest.mark.parametrize(
    ("request_frame", "said"),
    [
        (frame(type="submit", request_id=7, priority="high"), "$.priority"),
        (frame(type="submit", request_id=7, trigger_type="cron"), "$.trigger_type"),
        (frame(type="submit", request_id=7, limits={"max_memory_bytes": "1"}), "$.limits.max_memory_bytes"),
        (frame(type="show", request_id=7), "execution_id"),
        (frame(type="from the future", request_id=7), "from the future"),
    ],
)
async def test_a_bad_field_is_told_and_the_connection_lives(
    request_frame: bytes, said: str, daemon: MemoryDaemon, socket_path: Path
) -> None:
    async with raw_client(socket_path) as client:
        await client.greet()
        client.send(request_frame)
        reply = await client.error()
        assert (reply.code, reply.request_id) == ("invalid", 7)
        assert said in reply.message
        client.send(messages.Status(request_id=8))
        assert isinstance(await client.receive(), messages.DaemonStatus)


async def test_a_fault_is_logged_and_not_told(
    daemon: MemoryDaemon, socket_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw_client(socket_path) as client:
        await client.greet()
        client.send(messages.Submit(request_id=1, script="bug"))
        reply = await client.error()
    assert (reply.code, reply.request_id) == ("internal", 1)
    assert "secret" not in reply.message + reply.hint
    assert "secret" in caplog.text


# -- bounds --


async def test_requests_under_way_are_bounded(socket_path: Path) -> None:
    async with serving(socket_path, max_requests_in_flight=2), raw_client(socket_path) as client:
        await client.greet()
        client.send(*(messages.Submit(request_id=n, script="waits", wait=True) for n in (1, 2, 3)))
        replies = [await client.receive() for _ in range(3)]
        [refused] = [reply for reply in replies if isinstance(reply, ErrorReply)]
        assert (refused.code, refused.request_id) == ("unavailable", 3)


async def test_an_id_that_is_under_way_is_a_violation(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with raw_client(socket_path) as client:
        await client.greet()
        client.send(*[messages.Submit(request_id=1, script="waits", wait=True)] * 2)
        reply = await client.error()
        assert reply.code == "protocol"
        assert "request 1 is under way" in reply.message
    await daemon.until_waiting(0)


async def test_bytes_under_way_are_bounded_by_reading_no_further(socket_path: Path) -> None:
    async with (
        serving(socket_path, max_bytes_in_flight=2000) as (memory, _),
        raw_client(socket_path) as client,
    ):
        await client.greet()
        source = "x" * 1500
        client.send(*(messages.Submit(request_id=n, source=source, script="waits", wait=True) for n in (1, 2)))
        first = await client.receive()
        second = await client.receive()
        assert isinstance(first, messages.Submitted)
        assert isinstance(second, messages.Submitted)
        client.send(messages.Status(request_id=3))
        async with raw_client(socket_path) as other:
            await other.greet()
            other.send(messages.Status(request_id=1))
            await other.receive()
        assert not any(request.request_id == 3 for request in memory.requests)
        memory.end(first.execution_id)
        assert isinstance(await client.receive(), messages.Finished)
        assert isinstance(await client.receive(), messages.DaemonStatus)


async def test_connections_are_bounded(socket_path: Path) -> None:
    async with (
        serving(socket_path, max_connections=2) as (_, server),
        raw_client(socket_path) as one,
        raw_client(socket_path) as two,
    ):
        await one.greet()
        await two.greet()
        async with raw_client(socket_path) as three:
            assert (await three.error()).code == "unavailable"
            assert await three.until_closed() == b""
        assert server.connections >= 2


class Flood:
    """Answers with as much as it can send; counts the replies that were taken."""

    def __init__(self) -> None:
        self.taken = 0
        self.cancelled = anyio.Event()

    async def handle(self, request: Request, send: Send) -> None:
        lines = [messages.LogLine(seq=1, level="log", logged_at=0.0, message="x" * 10_000)]
        try:
            while True:
                await send(messages.LogLines(request_id=request.request_id, lines=lines))
                self.taken += 1
        finally:
            self.cancelled.set()


async def test_a_client_that_does_not_read_is_dropped(socket_path: Path) -> None:
    flood = Flood()
    limits = ServerLimits(max_unread_bytes=100_000, reader_timeout_seconds=0.1)
    with socket.socket(socket.AF_UNIX) as client:
        async with IpcServer(flood, path=socket_path, limits=limits) as server:
            client.connect(str(socket_path))
            client.sendall(encode_frame(Hello()) + encode_frame(messages.Status(request_id=1)))
            await flood.cancelled.wait()
            assert flood.taken < 200, "what the kernel takes, and 100 kB"
            assert server.connections == 0


async def test_a_client_that_reads_slowly_gets_everything(socket_path: Path) -> None:
    limits = ServerLimits(max_unread_bytes=10_000)
    async with IpcServer(Flood(), path=socket_path, limits=limits), raw_client(socket_path) as client:
        await client.greet()
        client.send(messages.Status(request_id=1))
        for _ in range(500):
            assert isinstance(await client.receive(), messages.LogLines)


async def test_errors_that_are_not_read_are_bounded_too(socket_path: Path) -> None:
    limits = ServerLimits(max_unread_bytes=100_000, reader_timeout_seconds=0.1)
    async with IpcServer(MemoryDaemon(), path=socket_path, limits=limits):
        _reader, writer = await asyncio.open_unix_connection(socket_path, limit=1)
        writer.write(encode_frame(Hello()))

        async def ask_nonsense() -> None:
            while True:
                writer.write(frame(type="nonsense", request_id=1) * 1000)
                await writer.drain()

        with pytest.raises(ConnectionError):
            await ask_nonsense()
        writer.close()


# -- going away --


async def test_a_client_that_goes_away_costs_its_execution_nothing(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with raw_client(socket_path) as client:
        await client.greet()
        client.send(messages.Submit(request_id=1, script="waits", wait=True))
        submitted = await client.receive()
        assert isinstance(submitted, messages.Submitted)
        await daemon.until_waiting(1)
    await daemon.until_waiting(0)
    async with raw_client(socket_path) as client:
        await client.greet()
        client.send(messages.Wait(request_id=1, execution_id=submitted.execution_id))
        await daemon.until_waiting(1)
        daemon.end(submitted.execution_id)
        finished = await client.receive()
        assert isinstance(finished, messages.Finished)
        assert finished.execution.status == "completed"


async def test_an_abandoned_request_is_cancelled_alone(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with raw_client(socket_path) as client:
        await client.greet()
        client.send(*(messages.Submit(request_id=n, script="waits", wait=True) for n in (1, 2)))
        await daemon.until_waiting(2)
        client.send(messages.Abandon(request_id=1), messages.Abandon(request_id=99))
        await daemon.until_waiting(1)


async def test_stopping_tells_the_clients_and_waits_for_the_handlers(socket_path: Path) -> None:
    async with serving(socket_path) as (memory, server), raw_client(socket_path) as client:
        await client.greet()
        client.send(messages.Submit(request_id=1, script="waits", wait=True))
        assert isinstance(await client.receive(), messages.Submitted)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.__aexit__, None, None, None)
            assert (await client.error()).code == "draining"
            await client.until_closed()
            client._writer.close()
        assert memory.waiting == 0
        assert server.connections == 0
        assert not socket_path.exists()


# -- the socket and its users --


async def test_the_peer_is_who_the_kernel_says() -> None:
    one, other = socket.socketpair()
    with one, other:
        peer = peer_of(one)
    assert (peer.pid, peer.uid, peer.gids[0]) == (os.getpid(), os.getuid(), os.getgid())
    assert set(os.getgroups()) <= set(peer.gids)


@pytest.mark.parametrize(
    ("uid", "gids", "admitted"),
    [
        (os.geteuid(), (4000,), True),
        (0, (0,), True),
        (5000, (4000,), True),
        (5001, (4000, 6000), True),
        (5001, (4000, 6001), False),
    ],
)
def test_who_is_admitted(uid: int, gids: tuple[int, ...], admitted: bool) -> None:
    access = PeerAccess.for_daemon(uids=frozenset({5000}), gids=frozenset({6000}))
    assert access.admits(Peer(pid=1, uid=uid, gids=gids)) is admitted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize(("uids", "gids"), [({65533}, set()), (set(), {65532}), (set(), set())])
async def test_another_user_is_told_to_stay_out_unless_configured(uids: set[int], gids: set[int]) -> None:
    path = Path(tempfile.gettempdir()) / f"jsruntime-test-{os.getpid()}.sock"  # other users get there
    access = PeerAccess.for_daemon(uids=frozenset(uids), gids=frozenset(gids))
    async with IpcServer(MemoryDaemon(), path=path, access=access, mode=0o666):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        os.setegid(65532)
        os.seteuid(65533)
        try:
            sock.connect(str(path))
        finally:
            os.seteuid(0)
            os.setegid(0)
        reader, writer = await asyncio.open_unix_connection(sock=sock)
        client = Raw(reader, writer)
        if uids or gids:
            await client.greet()
        else:
            client.send(Hello())
            reply = await client.error()
            assert (reply.code, "uid 65533" in reply.message) == ("forbidden", True)
            assert await client.until_closed() == b""
        writer.close()


async def test_the_file_has_its_mode_and_goes_with_the_server(socket_path: Path) -> None:
    async with IpcServer(MemoryDaemon(), path=socket_path, mode=0o660):
        assert stat.S_IMODE(socket_path.stat().st_mode) == 0o660
    assert not socket_path.exists()


async def test_a_stale_file_is_replaced(socket_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    async with serving(socket_path), raw_client(socket_path) as client:
        await client.greet()


async def test_a_file_on_which_somebody_answers_is_left_alone(daemon: MemoryDaemon, socket_path: Path) -> None:
    with pytest.raises(ConfigError, match="Another daemon listens"):
        async with IpcServer(MemoryDaemon(), path=socket_path):
            pass
    async with raw_client(socket_path) as client:
        await client.greet()


async def test_another_daemons_file_is_not_removed(socket_path: Path) -> None:
    async with serving(socket_path):
        socket_path.unlink()
        successor = listen(socket_path)
    with successor:
        assert socket_path.exists()


@pytest.mark.parametrize(
    ("name", "said"), [("file", "not a socket"), ("none/s", "cannot be opened"), ("x" * 120, "too long")]
)
async def test_a_path_that_cannot_be_listened_at(name: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(ConfigError, match=said):
        async with IpcServer(MemoryDaemon(), path=tmp_path / name):
            pass
    assert (tmp_path / "file").read_text() == "precious"


async def test_a_listener_that_was_handed_over_is_used_and_its_file_left(socket_path: Path) -> None:
    async with IpcServer(MemoryDaemon(), listener=listen(socket_path)), raw_client(socket_path) as client:
        await client.greet()
    assert socket_path.exists()


def test_path_or_listener(socket_path: Path) -> None:
    with pytest.raises(ValueError, match="path or listener"):
        IpcServer(MemoryDaemon())
