"""Run one `*.test.js` file against the prelude in an engine of its own; print what failed as JSON.

Called by `test_prelude.py` in a fresh process, because the engine must never be loaded into pytest's.
The prelude's files are evaluated as a zygote does, except `run.js`, for which `harness.js` stands in.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT))

from sandbox_worker.engine import PRELUDE  # noqa: E402
from sandbox_worker.jsapi import JsApi, Root  # noqa: E402

PRELUDE_FOLDER = ROOT / "sandbox_worker" / "prelude"


class CasesError(Exception):
    """The prelude or a case file does not evaluate."""


class Cases:
    """One engine with the prelude and the harness, and the host functions that the prelude may call."""

    def __init__(self) -> None:
        spec = importlib.util.find_spec("pythonmonkey")
        assert spec is not None
        assert spec.submodule_search_locations is not None
        self.api = JsApi(spec.submodule_search_locations[0], "none")
        self.host_calls_while_evaluating = 0
        self._evaluating = True
        self._started_at = time.monotonic()
        self._roots: list[Root] = []  # the engine knows them by address
        self._core, self._host, self._answer = (self._new_root() for _ in range(3))

    def _new_root(self) -> Root:
        root = self.api.new_root()
        self._roots.append(root)
        return root

    def _count(self) -> None:
        self.host_calls_while_evaluating += self._evaluating

    def _log(self, *_: str) -> str:
        self._count()
        return ""

    def _random(self, count: str = "", *_: str) -> str:
        self._count()
        return os.urandom(int(count)).hex()

    def _monotonic_ms(self, *_: str) -> str:
        self._count()
        return f"{(time.monotonic() - self._started_at) * 1000:.6f}"

    def start(self) -> None:
        """Evaluate the prelude and the harness."""
        self._evaluate("Object.create(null)", "start", self._core)
        self._evaluate("Object.create(null)", "start", self._host)
        setter, function = self._new_root(), self._new_root()
        hosts = {"log": self._log, "random": self._random, "monotonicMs": self._monotonic_ms}
        for name, implementation in hosts.items():
            self._evaluate(f"(object, member) => {{ object.{name} = member; }}", "start", setter)
            self.api.host_function(name, implementation, function)
            self._call(setter, [self._host, function])
        for name in PRELUDE[: PRELUDE.index("run")]:
            self._evaluate_file(PRELUDE_FOLDER / f"{name}.js", f"jsruntime:prelude/{name}.js")
        self._evaluating = False
        self._evaluate_file(HERE / "harness.js", "harness.js")
        self._members = {name: self._new_root() for name in ("setData", "runNext", "pending", "report")}
        harness = self._new_root()
        harness.bits = self._answer.bits
        for name, root in self._members.items():
            self._evaluate(f"(harness) => harness.{name}", "start", function)
            self._call(function, [harness])
            root.bits = self._answer.bits

    def run(self, case_file: Path) -> str:
        """Run every case of the file, in order; the JSON of `[{name, error}]`, `error` empty where it passed."""
        for data_file in sorted((HERE / "data").glob("*.json")):
            self._call_text("setData", data_file.stem, data_file.read_text(encoding="utf-8"))
        self._call_text("setData", "hostCallsWhileEvaluating", json.dumps(self.host_calls_while_evaluating))
        self._evaluate(case_file.read_text(encoding="utf-8"), case_file.name, self._answer)
        pending = True
        while pending:
            self._call(self._members["runNext"], [])
            self.api.run_jobs()
            self._call(self._members["pending"], [])
            pending = self.api.boolean(self._answer)
        self._call(self._members["report"], [])
        return self.api.text(self._answer)

    def _evaluate(self, source: str, name: str, into: Root) -> None:
        if not self.api.evaluate(source, name, into):
            raise CasesError(f"{name} does not evaluate: {self._shown(into)}")

    def _evaluate_file(self, path: Path, name: str) -> None:
        function = self._new_root()
        self._evaluate(path.read_text(encoding="utf-8"), name, function)
        self._call(function, [self._core, self._host])

    def _call(self, function: Root, arguments: list[Root]) -> None:
        if not self.api.call(function, arguments, self._answer):
            raise CasesError(self._shown(self._answer))

    def _call_text(self, member: str, *texts: str) -> None:
        roots = [self._new_root() for _ in texts]
        for root, text in zip(roots, texts, strict=True):
            self.api.set_text(root, text)
        self._call(self._members[member], roots)

    def _shown(self, thrown: Root) -> str:
        show, shown = self._new_root(), self._new_root()
        self.api.evaluate("(e) => `${e}\\n${e && e.stack}`", "show", show)
        self.api.call(show, [thrown], shown)
        return self.api.text(shown)


def main() -> int:
    """Run the file that is named on the command line."""
    cases = Cases()
    try:
        cases.start()
        print(cases.run(Path(sys.argv[1])))
    except CasesError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # an ordinary exit would tear the engine down
