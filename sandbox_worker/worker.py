"""One worker, in the order of its life: confine, warm up, wait, run one execution, answer, exit."""

from __future__ import annotations

import os
import re
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
"""Run in the zygote: what it compiles and caches, every fork has."""

_LIGHT_WARM_UP = "export default { async run(input) { await null; return { a: [input] }; } };"
"""Run in each worker: the pages that any run writes to are copied before somebody waits for them."""

_encoder = msgspec.msgpack.Encoder()
_task_decoder = msgspec.msgpack.Decoder(Execute)


def main(engine: Engine, zygote_pid: int, base_bytes: int, warm_up: bool) -> NoReturn:
    """Live this worker's life. Runs in the fork, with its socket and its standard error in place; never returns.

    `base_bytes` is the data memory of an engine that has run nothing: a script's limit is counted from there.
    """
    code = EXIT_ENGINE_FAILED
    try:
        confine.confine_worker(zygote_pid)
        code = _live(engine, base_bytes, warm_up)
    except confine.ConfinementError as failure:
        os.write(2, f"the sandbox could not be built: {failure}\n".encode())
        code = EXIT_CONFINEMENT_FAILED
    except (PeerGone, FramingError):
        code = EXIT_PEER_GONE
    except BaseException as failure:
        os.write(2, f"{type(failure).__name__}: {failure}\n".encode("utf-8", "replace")[:1000])
    finally:
        os._exit(code)


def _live(engine: Engine, base_bytes: int, warm_up: bool) -> int:
    channel = BlockingChannel(confine.WORKER_SOCKET, _MAX_TASK_BYTES)
    engine.api.reseed_random()
    if warm_up:
        _run_throw_away(engine, channel, _LIGHT_WARM_UP)
    channel.send(_encoder.encode(WorkerReady(*usage.cpu_us_and_max_rss_bytes())))
    task = _task_decoder.decode(channel.receive())
    rlimits.apply_for_script(base_bytes, task.memory_bytes, task.timeout_ms)
    channel.send(_encoder.encode(_execute(engine, channel, task)))
    return 0


def warm_up_zygote(engine: Engine) -> None:
    """Have the engine compile and cache what most scripts use. Leaves nothing behind that a script could see."""
    unused = BlockingChannel(0, 0)
    for source in (_WARM_UP, _LIGHT_WARM_UP) * 3:
        _run_throw_away(engine, unused, source)


def _run_throw_away(engine: Engine, channel: BlockingChannel, source: str) -> None:
    task = Execute("", "", "warm-up.js", "", "oneoff", "", 0, 0, source, '{"a":1,"b":[1]}', 1000, 0, 1000, 0)
    task = _task_decoder.decode(_encoder.encode(task))
    _encoder.encode(_execute(engine, channel, task))
    engine.restart()


def _execute(engine: Engine, channel: BlockingChannel, task: Execute) -> Result:
    """Run one script to its end. Nothing is sent but its console lines."""
    console = StreamedConsole(engine, channel, task.log_bytes)
    engine.console = console
    startup_ms = 0.0
    filename = source_filename(task.script_name)
    try:
        engine.start(task, filename)
        startup_ms = engine.elapsed_ms()
        finish = run_until_finished(engine, channel)
        rlimits.release_reserve()
        result = result_of(finish, filename, task.source, task.output_bytes)
    except MemoryError:
        rlimits.release_reserve()
        result = Result("memory")
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
