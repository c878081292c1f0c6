"""Shows, in a forked child, that an engine which was started before the fork is whole after it.

A broken one runs trivial scripts; it hangs in the first large collection or never optimises. So the child allocates
three million objects, parses a megabyte of JSON, and runs a hot loop, and has a few seconds for it.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

from sandbox_worker.engine import Engine
from sandbox_worker.spidermonkey import EngineError

_DEADLINE_MS = 10_000
_EXPECTED = "3000000 20000 1818990208"

_WORKLOAD = """
(() => {
  let kept = [], count = 0;
  for (let i = 0; i < 3e6; i++) { kept.push({ i }); count++; if (kept.length > 1e5) kept = []; }
  const parsed = JSON.parse(JSON.stringify(Array.from({ length: 20000 }, (_, i) => ({ i, text: "x".repeat(40) }))));
  let hash = 0;
  for (let i = 0; i < 2e7; i++) hash = (hash * 31 + i) | 0;
  return `${count} ${parsed.length} ${hash}`;
})()
"""


def self_test(engine_in_child: Callable[[], Engine]) -> str:
    """Return an empty string if a forked child does its work, else what went wrong.

    `engine_in_child` is called in the child: it gives the engine of the parent, or starts one.
    """
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            engine = engine_in_child()
            answer = engine.api.new_root()
            engine.api.evaluate(_WORKLOAD, "self-test", answer)
            os.write(write_end, engine.api.text(answer).encode())
        except EngineError as failure:
            os.write(write_end, str(failure).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    answered = _read_until(read_end, time.monotonic() + _DEADLINE_MS / 1000)
    os.close(read_end)
    os.kill(pid, signal.SIGKILL)
    _pid, status = os.waitpid(pid, 0)
    if answered is None:
        return f"a forked child did not finish its work within {_DEADLINE_MS} ms"
    if answered != _EXPECTED:
        return f"a forked child answered {answered!r}, wait status {status}"
    return ""


def _read_until(descriptor: int, deadline: float) -> str | None:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    data = b""
    while True:
        if not poll.poll(max(0, deadline - time.monotonic()) * 1000):
            return None
        part = os.read(descriptor, 1000)
        if not part:
            return data.decode()
        data += part
