"""One worker, in the order of its life: confine, warm up, wait, run one execution, answer, exit."""

from __future__ import annotations

import os
import re
import socket
import time
from typing import NoReturn

import msgspec

from ipc.blocking import BlockingChannel, PeerGone
from ipc.framing import FramingError
from ipc.worker_messages import LOG_LINE_MAX_BYTES, Execute, Log, Result, WorkerReady
from sandbox_worker import confine, rlimits, usage
from sandbox_worker.engine import Console, Engine
from sandbox_worker.event_loop import run_until_finished
from sandbox_worker.outcome import result_of

EXIT_CONFINEMENT_FAILED = 70
EXIT_PEER_GONE = 71
EXIT_ENGINE_FAILED = 72

_MAX_TASK_BYTES = 64 * 1024 * 1024
"""The supervisor is trusted: this only keeps a broken length from eating the machine."""

_WARM_UP = """
const square = (n) => n * n;
class Point { #x = 1; get x() { return this.#x; } }
export default {
  async run(input) {
    const list = [3, 1, 2].map(square).sort();
    await null;
    const { a, ...rest } = { ...input, text: `${list}`.replace(/1/g, "x"), when: new Date(0).toISOString() };
    return JSON.parse(JSON.stringify({ list, rest, x: new Point().x, m: [...new Map([[1, 2]])] }));
  },
};
"""

_encoder = msgspec.msgpack.Encoder()
_task_decoder = msgspec.msgpack.Decoder(Execute)


def main(engine: Engine, zygote_pid: int) -> NoReturn:
    """Live this worker's life. Runs in the fork, with its socket and its standard error in place; never returns."""
    code = EXIT_ENGINE_FAILED
    try:
        confine.confine(zygote_pid)
        confine.name_process("jsruntime-worker")
        code = _live(engine)
    except confine.ConfinementError as failure:
        os.write(2, f"the sandbox could not be built: {failure}\n".encode())
        code = EXIT_CONFINEMENT_FAILED
    except (PeerGone, FramingError):
        code = EXIT_PEER_GONE
    except BaseException as failure:
        os.write(2, f"{type(failure).__name__}: {failure}\n".encode("utf-8", "replace")[:1000])
    finally:
        os._exit(code)


def _live(engine: Engine) -> int:
    channel = BlockingChannel(socket.socket(fileno=confine.WORKER_SOCKET), _MAX_TASK_BYTES)
    engine.api.reseed_random()
    warm_up(engine)
    base_bytes = usage.data_bytes()
    channel.send(_encoder.encode(WorkerReady(usage.cpu_us(), usage.max_rss_bytes())))
    task = _task_decoder.decode(channel.receive())
    channel.send(_encoder.encode(_execute(engine, channel, task, base_bytes)))
    return 0


def warm_up(engine: Engine) -> None:
    """Run a throw-away script, so that the pages a run touches are copied before anybody waits for them."""
    task = Execute("", "", "warm-up.js", "", "oneoff", "", 0, 0, _WARM_UP, '{"a":1,"b":[1]}', 1000, 0, 0, 0)
    engine.finish = None
    engine.start(task, task.script_name)
    while engine.finish is None:
        engine.turn()
    result_of(engine.finish, task.script_name, task.source, 1000)
    engine.restart()


def _execute(engine: Engine, channel: BlockingChannel, task: Execute, base_bytes: int) -> Result:
    console = StreamedConsole(engine, channel, task.log_bytes)
    engine.console = console
    started = time.monotonic()
    rlimits.apply_for_script(base_bytes, task.memory_bytes, task.timeout_ms)
    filename = source_filename(task.script_name)
    try:
        engine.start(task, filename)
        startup_ms = (time.monotonic() - started) * 1000
        finish = run_until_finished(engine, channel)
        rlimits.release_reserve()
        result = result_of(finish, filename, task.source, task.output_bytes)
    except MemoryError:
        rlimits.release_reserve()
        startup_ms, result = 0.0, Result("memory")
    return msgspec.structs.replace(result, startup_ms=startup_ms, log_dropped_bytes=console.dropped_bytes)


def source_filename(script_name: str) -> str:
    """The name under which a script's source appears in stack traces."""
    name = re.sub(r"[^\w.+ -]", "_", script_name)[:100] or "script"
    return name if re.search(r"\.[cm]?js$", name) else f"{name}.js"


class StreamedConsole(Console):
    """Sends each console line to the supervisor at once, so that a killed script keeps its last words."""

    def __init__(self, engine: Engine, channel: BlockingChannel, max_bytes: int) -> None:
        self.dropped_bytes = 0
        self._engine = engine
        self._channel = channel
        self._left_bytes = max_bytes

    def write(self, level: str, text: str) -> None:
        """Send one line, as far as the cap allows; count what it does not.

        A supervisor that is gone ends the worker.
        """
        data = text.encode("utf-8", "replace")
        kept = data[: max(0, min(self._left_bytes, LOG_LINE_MAX_BYTES))]
        self.dropped_bytes += len(data) - len(kept)
        self._left_bytes -= max(len(kept), 1)
        if (not kept and data) or self._left_bytes < 0:
            return
        try:
            message = kept.decode("utf-8", "ignore")
            self._channel.send(_encoder.encode(Log(level, message, self._engine.elapsed_ms())))
        except PeerGone:
            os._exit(EXIT_PEER_GONE)
