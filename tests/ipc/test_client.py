from __future__ import annotations

import asyncio
import inspect
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from daemon.ipc_server import IpcServer, PeerAccess
from ipc import errors, messages
from ipc.client import AsyncClient, Client
from ipc.framing import HEADER_BYTES, pack
from ipc.messages import Welcome
from ipc.wire import MAX_CLIENT_FRAME_BYTES, encode_frame
from tests.ipc.memory_daemon import MemoryDaemon

pytestmark = pytest.mark.anyio

Method = Callable[..., Any]


@pytest.fixture(params=[AsyncClient, Client])
def kind(request: pytest.FixtureRequest) -> type[AsyncClient | Client]:
    """Each of the two clients."""
    client: type[AsyncClient | Client] = request.param
    return client


async def call(client: AsyncClient | Client, method: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of either client, off the event loop where it blocks."""
    function = getattr(client, method)
    if isinstance(client, AsyncClient):
        return await function(*args, **kwargs)
    return await anyio.to_thread.run_sync(lambda: function(*args, **kwargs))


async def close(client: AsyncClient | Client) -> None:
    if isinstance(client, AsyncClient):
        await client.aclose()
    else:
        await anyio.to_thread.run_sync(client.close)


async def test_every_method(kind: type[AsyncClient | Client], daemon: MemoryDaemon, socket_path: Path) -> None:
    client = kind(socket_path, tenant="acme")
    execution_id = await call(client, "submit", "echo", input={"a": [1, None]}, priority=3)
    execution = await call(client, "wait", execution_id)
    assert (execution.status, execution.output_json) == ("completed", '{"a":[1,null]}')
    assert (execution.tenant_id, execution.priority) == ("acme", 3)
    assert await call(client, "show", execution_id) == execution
    assert await call(client, "cancel", execution_id) == "completed"
    ended = await call(client, "submit_and_wait", source="1", input_json=" [1] ", tenant="other")
    assert (ended.output_json, ended.tenant_id) == (" [1] ", "other")
    assert (await call(client, "list_executions")).executions == [ended, execution]
    assert (await call(client, "run", "1", input=7)).output_json == "7"
    assert (await call(client, "deploy", "echo", "source")).version == 3
    assert [script.name for script in await call(client, "list_scripts")] == ["echo"]
    assert (await call(client, "status")).daemon_id == "d-1"
    await close(client)


async def test_errors_are_typed(kind: type[AsyncClient | Client], daemon: MemoryDaemon, socket_path: Path) -> None:
    client = kind(socket_path)
    with pytest.raises(errors.NotFound, match="no script missing") as caught:
        await call(client, "submit", "missing")
    assert caught.value.hint == "Deploy it first."
    with pytest.raises(errors.Unavailable):
        await call(client, "submit", "nodatabase")
    with pytest.raises(errors.Conflict):
        await call(client, "deploy", "taken", "")
    with pytest.raises(errors.InvalidRequest):
        await call(client, "deploy", "name", "", script_type="scheduled")
    with pytest.raises(errors.InvalidRequest, match=r"script_type"):
        await call(client, "deploy", "name", "", script_type="none such")
    with pytest.raises(errors.DaemonFault) as fault:
        await call(client, "submit", "bug")
    assert "secret" not in str(fault.value)
    assert (await call(client, "status")).daemon_id == "d-1", "the connection lives on"
    await close(client)


async def test_a_wait_has_its_timeout(
    kind: type[AsyncClient | Client], daemon: MemoryDaemon, socket_path: Path
) -> None:
    client = kind(socket_path)
    execution_id = await call(client, "submit", "waits")
    with pytest.raises(errors.WaitTimeout):
        await call(client, "wait", execution_id, timeout_ms=1)
    daemon.end(execution_id)
    assert (await call(client, "wait", execution_id, timeout_ms=60_000)).status == "completed"
    await close(client)


async def test_what_is_too_large_is_not_sent(
    kind: type[AsyncClient | Client], daemon: MemoryDaemon, socket_path: Path
) -> None:
    client = kind(socket_path)
    with pytest.raises(errors.TooLarge):
        await call(client, "run", "x" * MAX_CLIENT_FRAME_BYTES)
    assert daemon.requests == []
    with pytest.raises(errors.TooLarge):
        await call(client, "submit", "huge")
    assert (await call(client, "run", "x" * 2**20)).status == "completed"
    await close(client)


@pytest.mark.parametrize(
    "arguments",
    [{"input": object()}, {"input": 1, "input_json": "1"}, {"input": "\ud800"}, {"input": {1.5j: 1}}],
)
async def test_input_that_is_no_json_is_refused(
    kind: type[AsyncClient | Client], arguments: dict[str, object], daemon: MemoryDaemon, socket_path: Path
) -> None:
    client = kind(socket_path)
    with pytest.raises(errors.InvalidRequest):
        await call(client, "submit", "echo", **arguments)
    assert daemon.requests == []


async def test_nobody_there(kind: type[AsyncClient | Client], socket_path: Path) -> None:
    with pytest.raises(errors.DaemonUnavailable, match="the file does not exist") as caught:
        await call(kind(socket_path), "status")
    assert str(socket_path) in str(caught.value)
    assert "jsruntime dev" in caught.value.hint
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    with pytest.raises(errors.DaemonUnavailable, match="no process listens"):
        await call(kind(socket_path), "status")
    with pytest.raises(errors.DaemonUnavailable, match="too long"):
        await call(kind("/tmp/" + "x" * 200), "status")


async def test_a_user_who_may_not(kind: type[AsyncClient | Client], socket_path: Path) -> None:
    nobody = PeerAccess(uids=frozenset({os.getuid() + 1}))
    async with IpcServer(MemoryDaemon(), path=socket_path, access=nobody):
        with pytest.raises(errors.AccessDenied, match=f"uid {os.getuid()} may not"):
            await call(kind(socket_path), "connect")


async def test_no_room(kind: type[AsyncClient | Client], socket_path: Path) -> None:
    from daemon.ipc_server import ServerLimits

    async with (
        IpcServer(MemoryDaemon(), path=socket_path, limits=ServerLimits(max_connections=1)),
        AsyncClient(socket_path),
    ):
        with pytest.raises(errors.Unavailable, match="1 connections and no more"):
            await call(kind(socket_path), "connect")


async def test_the_daemon_stops_and_comes_back(kind: type[AsyncClient | Client], socket_path: Path) -> None:
    client = kind(socket_path)
    memory = MemoryDaemon()
    lost: list[errors.IpcError] = []

    async def wait_for_an_end() -> None:
        try:
            await call(client, "submit_and_wait", "waits")
        except errors.IpcError as error:
            lost.append(error)

    async with anyio.create_task_group() as tasks, IpcServer(memory, path=socket_path):
        tasks.start_soon(wait_for_an_end)
        await memory.until_waiting(1)
    [error] = lost
    assert isinstance(error, errors.Draining)
    assert error.execution_id in memory.executions
    assert error.execution_id in error.hint
    assert memory.waiting == 0
    memory.end(error.execution_id)
    async with IpcServer(memory, path=socket_path):
        assert (await call(client, "wait", error.execution_id)).status == "completed"
        await close(client)


async def answer_and_die(listener: socket.socket, replies: list[bytes]) -> None:
    """Accept a client, say `replies` after its hello, and close when it has sent another message."""
    stream_reader, stream_writer = await asyncio.open_unix_connection(
        sock=(await asyncio.get_running_loop().sock_accept(listener))[0]
    )
    for reply in replies:
        header = await stream_reader.readexactly(HEADER_BYTES)
        await stream_reader.readexactly(int.from_bytes(header))
        stream_writer.write(reply)
    stream_writer.close()
    await stream_writer.wait_closed()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"", errors.ConnectionLost),
        (pack(b"\xc1"), errors.ProtocolViolation),
        (b"\xff\xff\xff\xff", errors.ProtocolViolation),
        (encode_frame(messages.Cancelled(request_id=1, status="running")), errors.ProtocolViolation),
        (encode_frame(messages.Submitted(request_id=1, execution_id="e-1", script_id="s")), None),
    ],
)
async def test_a_daemon_that_dies_or_talks_nonsense(
    kind: type[AsyncClient | Client],
    answer: bytes,
    expected: type[errors.IpcError] | None,
    socket_path: Path,
) -> None:
    welcome = encode_frame(Welcome(protocol=1, version="", daemon_id=""))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(socket_path))
        listener.listen()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(answer_and_die, listener, [welcome, answer])
            client = kind(socket_path)
            with pytest.raises(expected or errors.ConnectionLost) as caught:
                await call(client, "submit_and_wait", "waits")
            await close(client)
    if expected is None:
        assert caught.value.execution_id == "e-1"
        assert "e-1" in caught.value.hint


async def test_many_requests_on_one_connection(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with AsyncClient(socket_path) as client:
        slow = await client.submit("waits")
        waiting = asyncio.ensure_future(client.wait(slow))
        await daemon.until_waiting(1)
        ended = await asyncio.gather(*(client.submit_and_wait("echo", input=n) for n in range(1000)))
        assert [execution.output_json for execution in ended] == [str(n) for n in range(1000)]
        assert not waiting.done()
        daemon.end(slow)
        assert (await waiting).id == slow


async def test_a_cancelled_request_is_abandoned_and_its_execution_is_not(
    daemon: MemoryDaemon, socket_path: Path
) -> None:
    async with AsyncClient(socket_path) as client:
        execution_id = await client.submit("waits")
        waiting = asyncio.ensure_future(client.wait(execution_id))
        await daemon.until_waiting(1)
        waiting.cancel()
        await daemon.until_waiting(0)
        assert (await client.show(execution_id)).status == "running"


async def test_closing_the_client_ends_what_waits(daemon: MemoryDaemon, socket_path: Path) -> None:
    client = AsyncClient(socket_path)
    waiting = asyncio.ensure_future(client.submit_and_wait("waits"))
    await daemon.until_waiting(1)
    await client.aclose()
    with pytest.raises(errors.ConnectionLost):
        await waiting
    await daemon.until_waiting(0)
    [execution] = daemon.executions.values()
    assert execution.status == "running"


async def test_logs_are_followed_to_the_end(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with AsyncClient(socket_path) as client:
        execution_id = await client.submit("waits")
        daemon.write(execution_id, "first")
        seen = []
        lines = client.logs(execution_id, follow=True)
        async for line in lines:
            seen.append(line.message)
            if line.message == "first":
                daemon.write(execution_id, "second")
            else:
                daemon.end(execution_id)
        assert seen == ["first", "second"]
        assert lines.dropped_bytes == 7
        assert [line.seq async for line in client.logs(execution_id, after_seq=1)] == [2]
        with pytest.raises(errors.NotFound):
            await anext(aiter(client.logs("none")))


async def test_breaking_off_logs_abandons_them(daemon: MemoryDaemon, socket_path: Path) -> None:
    async with AsyncClient(socket_path) as client:
        execution_id = await client.submit("waits")
        daemon.write(execution_id, "first")
        async for line in client.logs(execution_id, follow=True):
            assert line.message == "first"
            break
        await daemon.until_waiting(0)
        assert (await client.status()).daemon_id == "d-1"


async def test_logs_of_the_sync_client_leave_it_free_for_other_requests(
    daemon: MemoryDaemon, socket_path: Path
) -> None:
    def follow() -> list[tuple[str, str]]:
        with Client(socket_path) as client:
            execution_id = client.submit("echo")
            return [(line.message, client.show(execution_id).status) for line in client.logs(execution_id)]

    assert await anyio.to_thread.run_sync(follow) == []
    execution_id = next(iter(daemon.executions))
    daemon.write(execution_id, "said")

    def read() -> list[tuple[str, str]]:
        with Client(socket_path) as client:
            lines = client.logs(execution_id, follow=True)
            read: list[tuple[str, str]] = [(line.message, client.show(execution_id).status) for line in lines]
            assert lines.dropped_bytes == 7
            return read

    assert await anyio.to_thread.run_sync(read) == [("said", "completed")]


async def test_threads_share_a_sync_client(daemon: MemoryDaemon, socket_path: Path) -> None:
    outputs: list[tuple[int, str | None]] = []

    def work() -> None:
        def one(number: int) -> None:
            for step in range(number, number + 50):
                outputs.append((step, client.submit_and_wait("echo", input=step).output_json))

        with Client(socket_path) as client:
            threads = [threading.Thread(target=one, args=(number * 100,)) for number in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    await anyio.to_thread.run_sync(work)
    assert len(outputs) == 200
    assert all(output == str(number) for number, output in outputs)


@pytest.mark.parametrize("client", [Client, AsyncClient])
def test_methods_are_documented(client: type) -> None:
    for name in ("submit", "submit_and_wait", "run", "wait", "cancel", "show", "deploy", "status"):
        method = getattr(client, name)
        assert method.__doc__
        parameters = inspect.signature(method).parameters
        assert next(iter(parameters)) == "self"
        assert "tenant" in parameters


def test_the_sync_client_needs_no_event_loop() -> None:
    code = "import sys, ipc.sync_client; sys.exit('asyncio' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
