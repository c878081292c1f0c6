"""The engine with the prelude in it: what a worker needs to run one script, and nothing of how."""

from __future__ import annotations

import os
import time

import msgspec

from ipc.worker_messages import Execute
from sandbox_worker.jsapi import HostFunction, JsApi, Root
from sandbox_worker.spidermonkey import EngineError, Threads

PRELUDE = (
    "primordials",
    "dom_exception",
    "inspect_kinds",
    "inspect",
    "console",
    "timers",
    "events",
    "abort",
    "base64",
    "encoding",
    "url_host",
    "url_parser",
    "url",
    "clone",
    "crypto",
    "performance",
    "run",
)
"""The files of `prelude/`, in the order of evaluation."""

PRELUDE_ORIGIN = "jsruntime:prelude/"
"""File names of the prelude in stack traces; such frames are never shown to a script's author."""

_PLAIN_SCRIPT_TYPES = ("oneoff", "embedded")
_RANDOM_MAX_BYTES = 65536

_OUT_OF_MEMORY = "out of memory"
"""What SpiderMonkey throws then: this string."""

_MODULE_ONLY = "may only appear at top level of a module"
"""What a script is told of an import or an export."""


class Finish(msgspec.Struct, frozen=True):
    """How the JavaScript ended, in its own words: `error` is the JSON of `Description`, empty without one."""

    outcome: str
    output: str
    error: str


class Description(msgspec.Struct, frozen=True):
    """What the prelude says of a thrown value."""

    name: str = ""
    message: str = ""
    stack: str = ""
    line: float = 0
    column: float = 0
    file: str = ""


class Console:
    """Receives what a script writes; the worker replaces `write` for its execution."""

    def write(self, level: str, text: str) -> None:
        """Take one console line; the warm-up's go nowhere."""


class Engine:
    """One SpiderMonkey with the prelude evaluated. A process runs at most one script in it."""

    def __init__(self, package_folder: str, threads: Threads) -> None:
        """Start the engine and evaluate the prelude.

        :raises EngineError: the library is unknown, or the prelude does not evaluate.
        """
        self.api = JsApi(package_folder, threads)
        self.console = Console()
        self.finish: Finish | None = None
        self._started_at = 0.0
        new = self.api.new_root
        self._bridge = {
            name: new()
            for name in (
                "describe",
                "exportLastExpression",
                "hasExports",
                "startModule",
                "definePlainGlobals",
                "startValueOf",
                "startValue",
                "fail",
                "track",
                "failUnhandled",
                "tick",
                "restart",
            )
        }
        self._subject, self._evaluation, self._spec, self._answer = new(), new(), new(), new()
        self._debugger = new()
        self.api.evaluate("typeof debuggerGlobal === 'object' ? debuggerGlobal : 0", "start", self._debugger)
        self._evaluate_prelude()
        self.api.nuke_wrapper(self._debugger)
        self.api.track_rejections(self._bridge["track"])

    def _evaluate_prelude(self) -> None:
        core, host, function = self.api.new_root(), self.api.new_root(), self.api.new_root()
        self.api.define_reflect_parse()
        self._evaluate("Object.create(null)", core)
        self._evaluate("Object.create(null)", host)
        setter = self.api.new_root()
        functions: dict[str, HostFunction] = {
            "log": self._host_log,
            "random": self._host_random,
            "monotonicMs": self._host_monotonic_ms,
            "finish": self._host_finish,
        }
        for name, implementation in functions.items():
            self._evaluate(f"(object, member) => {{ object.{name} = member; }}", setter)
            self.api.host_function(name, implementation, function)
            self._call(setter, [host, function])
        folder = os.path.join(os.path.dirname(__file__), "prelude")
        for name in PRELUDE:
            with open(os.path.join(folder, f"{name}.js"), encoding="utf-8") as file:
                source = file.read()
            if not self.api.evaluate(source, f"{PRELUDE_ORIGIN}{name}.js", function):
                raise EngineError(f"prelude/{name}.js does not evaluate")
            self._call(function, [core, host])
        bridge = self.api.new_root()
        bridge.bits = self._answer.bits
        for name, root in self._bridge.items():
            self._evaluate(f"(bridge) => bridge.{name}", function)
            self._call(function, [bridge])
            root.bits = self._answer.bits

    def _evaluate(self, source: str, into: Root) -> None:
        if not self.api.evaluate(source, "start", into):
            raise EngineError(f"the engine does not evaluate {source!r}")

    def _call(self, function: Root, arguments: list[Root]) -> None:
        """Call into the prelude, which does not throw; the answer is in `_answer`.

        :raises MemoryError: there was no memory left for it.
        :raises EngineError: it threw all the same.
        """
        if not self.api.call(function, arguments, self._answer):
            if self.api.text(self._answer) == _OUT_OF_MEMORY:
                raise MemoryError
            self.api.evaluate("(thrown) => `${thrown} ${thrown && thrown.stack}`", "start", self._subject)
            self.api.call(self._subject, [self._answer], self._answer)
            raise EngineError(f"the prelude threw {self.api.text(self._answer)}")

    # -- host functions: strings in, a string out ----------------------------------------------------

    def _host_log(self, level: str = "", text: str = "", *_: str) -> str:
        self.console.write(level, text)
        return ""

    def _host_random(self, count: str = "", *_: str) -> str:
        return os.urandom(min(int(count), _RANDOM_MAX_BYTES)).hex()

    def _host_monotonic_ms(self, *_: str) -> str:
        return f"{self.elapsed_ms():.6f}"

    def _host_finish(self, outcome: str = "", output: str = "", error: str = "", *_: str) -> str:
        if self.finish is None:
            self.finish = Finish(outcome, output, error)
        return ""

    # -- one script -----------------------------------------------------------------------------------

    def restart(self) -> None:
        """Forget a script that has finished (the warm-up) as far as the bridge remembers it."""
        self._call(self._bridge["restart"], [])
        self.finish = None

    def elapsed_ms(self) -> float:
        """Milliseconds since the execution started."""
        return (time.monotonic() - self._started_at) * 1000

    def start(self, task: Execute, filename: str) -> None:
        """Compile the source and start its handler; `finish` is set when it is over, maybe already now.

        An ES module is tried first. Source without exports, of a type that allows it, is a plain script.
        """
        self._started_at = time.monotonic()
        plain_allowed = task.script_type in _PLAIN_SCRIPT_TYPES
        if self.api.compile_module(task.source, filename, self._subject):
            self._call(self._bridge["hasExports"], [self._subject])
            if self.api.boolean(self._answer) or not plain_allowed:
                self._start_module(task)
            else:
                self._start_plain(task, filename, None)
        elif plain_allowed:
            self._start_plain(task, filename, self._description(self._subject))
        else:
            self._fail_syntax(self._description(self._subject))

    def _start_module(self, task: Execute) -> None:
        if not self.api.evaluate_module(self._evaluation):
            self._call(self._bridge["fail"], [self._evaluation])
            return
        self.api.set_text(self._spec, _spec_json(task))
        self._call(self._bridge["startModule"], [self._subject, self._evaluation, self._spec])

    def _start_plain(self, task: Execute, filename: str, module_error: Description | None) -> None:
        if self.api.compile_script(task.source, filename, self._subject):
            self._define_plain_globals(task)
            ok = self.api.execute_script(self._subject)
            self._call(self._bridge["startValue" if ok else "fail"], [self._subject])
            return
        if module_error is None:
            self._start_awaiting(task, filename)
            return
        script_error = self._description(self._subject)
        # Neither a module nor a script: the goal under which the parser came further has the better message.
        further = (script_error.line, script_error.column) > (module_error.line, module_error.column)
        is_script = further and _MODULE_ONLY not in script_error.message
        self._fail_syntax(script_error if is_script else module_error)

    def _start_awaiting(self, task: Execute, filename: str) -> None:
        """A plain script that is valid as a module only: it awaits at its top level."""
        self.api.set_text(self._spec, task.source)
        self._call(self._bridge["exportLastExpression"], [self._spec])
        source = self.api.text(self._answer)
        self._define_plain_globals(task)
        if not self.api.compile_module(source, filename, self._subject):
            self._fail_syntax(self._description(self._subject))
        elif not self.api.evaluate_module(self._evaluation):
            self._call(self._bridge["fail"], [self._evaluation])
        else:
            self._call(self._bridge["startValueOf"], [self._subject, self._evaluation])

    def _define_plain_globals(self, task: Execute) -> None:
        self.api.set_text(self._spec, _spec_json(task))
        self._call(self._bridge["definePlainGlobals"], [self._spec])

    def _fail_syntax(self, description: Description) -> None:
        outcome = "memory" if description.message == _OUT_OF_MEMORY else "syntax_error"
        self.finish = Finish(outcome, "", msgspec.json.encode(description).decode())

    def _description(self, thrown: Root) -> Description:
        self._call(self._bridge["describe"], [thrown])
        return describe(self.api.text(self._answer))

    def turn(self) -> float:
        """Run all promise jobs, fail on a rejection that nobody handles, run one timer that is due.

        Returns the milliseconds until there is more to do: 0 at once, -1 never.
        """
        self.api.run_jobs()
        if self.finish is None or self.finish.outcome == "ok":
            self._fail_unhandled()
        if self.finish is not None:
            return 0
        self._call(self._bridge["tick"], [])
        return self.api.number(self._answer)

    def _fail_unhandled(self) -> None:
        finish, self.finish = self.finish, None
        self._call(self._bridge["failUnhandled"], [])
        self.finish = self.finish or finish


def _spec_json(task: Execute) -> str:
    """What `run.js` is told of the execution. The input is JSON text already and is put in as it is."""
    spec = {
        "type": task.script_type,
        "executionId": task.execution_id,
        "scriptId": task.script_id,
        "scriptName": task.script_name,
        "tenantId": task.tenant_id,
        "trigger": task.trigger,
        "version": task.version,
        "attempt": task.attempt,
        "timeoutMs": task.timeout_ms,
        "input": msgspec.Raw(task.input_json.encode()),
    }
    return msgspec.json.encode(spec).decode()


def describe(error_json: str) -> Description:
    """Decode what the prelude said of a thrown value; empty where it said nothing."""
    try:
        return msgspec.json.decode(error_json, type=Description)
    except msgspec.MsgspecError:
        return Description()
