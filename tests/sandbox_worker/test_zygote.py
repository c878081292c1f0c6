"""The zygote and its workers from outside: what they have, what they lack, and the ways to start the engine."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from daemon import zygote as zygote_module
from daemon.pool import Pool
from daemon.zygote import ZygoteProcess
from ipc.framing import HEADER_BYTES, pack
from ipc.worker_messages import Execute, Exited, Forked, FromWorker, FromZygote, WorkerReady, ZygoteReady
from tests.running import Started, output, run, running_pool

pytestmark = pytest.mark.anyio

WAITING = "console.log('started'); export default { async run() { await new Promise((r) => setTimeout(r, 60000)) } }"


@pytest.fixture
async def pool() -> AsyncIterator[Pool]:
    async with running_pool() as pool:
        yield pool


async def _pids(pool: Pool) -> tuple[int, int]:
    """The zygote, and a worker that runs a script."""
    started = Started(pool, WAITING)
    await started.printed("started")
    worker = pool.pid_of(started.id)
    assert worker is not None
    return pool.stats().zygote_pid, worker


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a process that is not dumpable")
async def test_no_host_path_and_no_environment_is_in_a_worker(pool: Pool) -> None:
    for pid in await _pids(pool):
        assert _proc(pid, "environ").strip(b"\0") == b""
        assert _proc(pid, "cmdline").strip(b"\0") == b"jsruntime: zygote"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into any process")
async def test_the_user_of_the_daemon_may_not_look_into_a_worker(pool: Pool) -> None:
    for pid in await _pids(pool):
        with pytest.raises(PermissionError):
            _proc(pid, "environ")
        with pytest.raises(PermissionError):
            os.listdir(f"/proc/{pid}/fd")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may look into a process that is not dumpable")
async def test_a_worker_has_its_socket_and_the_standard_descriptors_only(pool: Pool) -> None:
    _zygote, worker = await _pids(pool)
    links = {name: os.readlink(f"/proc/{worker}/fd/{name}") for name in sorted(os.listdir(f"/proc/{worker}/fd"))}
    assert list(links) == ["0", "1", "2", "3"]
    assert (links["0"], links["1"]) == ("/dev/null", "/dev/null")
    assert links["2"].startswith("pipe:")
    assert links["3"].startswith("socket:")


async def test_a_worker_is_single_threaded_and_cannot_gain_privileges(pool: Pool) -> None:
    for pid in await _pids(pool):
        status = _proc(pid, "status").decode()
        assert "Threads:\t1\n" in status
        assert "NoNewPrivs:\t1\n" in status


async def test_the_limits_of_a_worker_are_set(pool: Pool) -> None:
    _zygote, worker = await _pids(pool)
    lines = _proc(worker, "limits").decode().splitlines()[1:]
    soft = {line[:26].strip(): line[26:47].strip() for line in lines}
    assert soft["Max core file size"] == "0"
    assert soft["Max file size"] == "0"
    assert soft["Max processes"] == "0"
    assert soft["Max cpu time"] == "31"
    assert int(soft["Max open files"]) <= 16
    assert int(soft["Max data size"]) < 64 * 1024 * 1024 + 100 * 1024 * 1024


async def test_nothing_of_python_is_reachable_and_the_dangerous_globals_are_gone(pool: Pool) -> None:
    source = """
    const seen = new Set(), found = [], pythonNames = /^__(class|globals|builtins|subclasses|init|dict|code)__$/;
    const walk = (value, path) => {
      if (value === null || (typeof value !== "object" && typeof value !== "function") || seen.has(value)) return;
      seen.add(value);
      let keys;
      try { keys = Reflect.ownKeys(value) } catch { return }
      for (const key of keys) {
        if (pythonNames.test(String(key))) found.push(path + String(key));
        let descriptor;
        try { descriptor = Reflect.getOwnPropertyDescriptor(value, key) } catch { continue }
        if (!descriptor) continue;
        for (const part of ["value", "get", "set"]) walk(descriptor[part], `${path}.${String(key)}`);
      }
      try { walk(Reflect.getPrototypeOf(value), path + ".__proto__") } catch {}
    };
    export default { run(input, env, ctx) {
      walk(globalThis, "globalThis"); walk(ctx, "ctx"); walk(env, "env");
      let dead;
      try { dead = String(debuggerGlobal.Debugger) } catch (error) { dead = error.message }
      const gone = [typeof WeakRef, typeof FinalizationRegistry, typeof Reflect.parse, typeof python, typeof pmEval,
                    typeof require, typeof process];
      return { found, many: seen.size > 500, dead, gone };
    } }"""
    answer = output(await run(pool, source))
    assert answer == {"found": [], "many": True, "dead": "can't access dead object", "gone": ["undefined"] * 7}


def _proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


class Direct:
    """A zygote without a pool: the test is its supervisor, and has no watchdog."""

    def __init__(self) -> None:
        self.messages: list[FromZygote] = []
        self._changed = asyncio.Event()
        self.zygote = ZygoteProcess(self._message, lambda _zygote: self._changed.set())

    def _message(self, _zygote: ZygoteProcess, message: FromZygote) -> None:
        self.messages.append(message)
        self._changed.set()

    async def heard(self, kind: type[FromZygote]) -> FromZygote:
        """Wait for a message of a kind."""
        while True:
            for message in self.messages:
                if isinstance(message, kind):
                    return message
            assert not self.zygote.is_gone
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture
async def direct() -> AsyncIterator[Direct]:
    direct = Direct()
    await direct.heard(ZygoteReady)
    yield direct
    direct.zygote.close()


async def _fork(direct: Direct) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    direct.zygote.fork(1, theirs.fileno(), write_end, warm_up=True)
    theirs.close()
    os.close(write_end)
    os.close(read_end)
    return await asyncio.open_unix_connection(sock=ours)


_decoder: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)


async def _frame(reader: asyncio.StreamReader) -> FromWorker:
    length = int.from_bytes(await reader.readexactly(HEADER_BYTES), "big")
    return _decoder.decode(await reader.readexactly(length))


def _task(source: str, timeout_ms: int = 30_000) -> bytes:
    task = Execute("", "", "s.js", "", "oneoff", "api", 1, 1, source, "null", timeout_ms, 1 << 26, 1 << 20, 1 << 16)
    return pack(msgspec.msgpack.encode(task))


async def test_a_worker_that_nobody_kills_ends_by_its_cpu_limit(direct: Direct) -> None:
    reader, writer = await _fork(direct)
    assert isinstance(await _frame(reader), WorkerReady)
    writer.write(_task("for (;;);", timeout_ms=1))
    exited = await direct.heard(Exited)
    assert isinstance(exited, Exited)
    assert os.WTERMSIG(exited.wait_status) == signal.SIGXCPU
    writer.close()


async def test_a_worker_leaves_when_its_supervisor_is_gone(direct: Direct) -> None:
    reader, writer = await _fork(direct)
    await _frame(reader)
    writer.write(_task("export default { async run() { await new Promise((r) => setTimeout(r, 60000)) } }"))
    await writer.drain()
    writer.close()
    await direct.heard(Forked)
    exited = await direct.heard(Exited)
    assert isinstance(exited, Exited)
    assert os.waitstatus_to_exitcode(exited.wait_status) == 71


@pytest.mark.parametrize("mode", ["offthread_disabled", "fork_first"])
async def test_the_other_ways_of_starting_the_engine_work_too(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rejected = ["threadless: told so"] + (["offthread_disabled: told so"] if mode == "fork_first" else [])
    monkeypatch.setattr(zygote_module, "_BOOTSTRAP", _with_arguments(zygote_module._BOOTSTRAP, rejected))
    async with running_pool() as pool:
        assert pool.stats().engine_mode == mode
        source = """export default { async run() {
            let kept = [];
            for (let i = 0; i < 1e6; i++) kept.push({ i });
            return [kept.length, JSON.parse(JSON.stringify(kept.slice(0, 10000))).length];
        } }"""
        assert output(await run(pool, source, max_memory_bytes=1 << 28)) == [1_000_000, 10_000]


def _with_arguments(bootstrap: str, arguments: list[str]) -> str:
    """The zygote's bootstrap as if these arguments had been on its command line."""
    head, tail = bootstrap.rsplit("; main()", 1)
    return f"{head}; sys.argv += {arguments!r}; main(){tail}"
