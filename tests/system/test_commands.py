"""`jsruntime run` and `jsruntime dev`, as processes, as a user starts them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipc.sync_client import Client
from tests.system.test_examples import EXAMPLES

COMMAND = [sys.executable, "-m", "daemon"]
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("JSRUNTIME_")}


def jsruntime(*arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], input=given, capture_output=True, text=True, timeout=50, check=False, env=ENVIRONMENT
    )


def _script(folder: Path, source: str) -> str:
    path = folder / "script.js"
    path.write_text(source)
    return str(path)


def test_run_prints_the_output_as_json_and_the_console_on_stderr() -> None:
    done = jsruntime("run", str(EXAMPLES / "invoice.js"), "--input", f"@{EXAMPLES / 'invoice.json'}")
    assert done.returncode == 0
    assert json.loads(done.stdout) == json.loads((EXAMPLES / "invoice.expected.json").read_text())
    assert done.stderr.startswith("invoice ")


def test_run_reads_its_input_from_stdin(tmp_path: Path) -> None:
    done = jsruntime(
        "run", _script(tmp_path, "export default (input) => input.a * 2"), "--input", "-", given='{"a": 21}'
    )
    assert (done.returncode, done.stdout.strip()) == (0, "42")


@pytest.mark.parametrize(
    ("source", "options", "code", "said"),
    [
        ("throw new Error('boo')", (), 1, "Error: boo"),
        ("let x = ;", (), 1, "^"),
        ("for (;;);", ("--timeout-ms", "100"), 124, "max_execution_time_ms is 100"),
        ("const a = []; for (;;) a.push([1]);", ("--memory-bytes", "33554432"), 1, "max_memory_bytes is 33554432"),
        ("1", ("--input", "{"), 2, "JSON"),
        ("1", ("--memory-bytes", "1"), 2, "max_memory_bytes"),
    ],
)
def test_run_tells_by_its_exit_code_how_it_ended(
    tmp_path: Path, source: str, options: tuple[str, ...], code: int, said: str
) -> None:
    done = jsruntime("run", _script(tmp_path, source), *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


class Dev:
    """`jsruntime dev` in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / ".jsruntime" / "dev.json"
        self.process: subprocess.Popen[bytes]

    def start(self) -> dict[str, object]:
        """Start it; returns what `dev.json` says when it is ready."""
        self.process = subprocess.Popen([*COMMAND, "dev"], cwd=self.folder, stderr=subprocess.PIPE, env=ENVIRONMENT)
        self.until("Ready.")
        state = json.loads(self.state.read_text())
        assert isinstance(state, dict)
        return state

    def stop(self, number: int) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return code

    def until(self, text: str) -> None:
        """Read its messages until one has `text` in it."""
        assert self.process.stderr is not None
        seen = b""
        while text.encode() not in seen:
            line = self.process.stderr.readline()
            assert line, seen.decode()
            seen += line


@pytest.fixture
def dev() -> Iterator[Dev]:
    # Not pytest's folder: PostgreSQL's user has to pass through the folders above its data.
    with tempfile.TemporaryDirectory(prefix="jsruntime-tests-") as folder:
        Path(folder).chmod(0o711)
        (Path(folder) / "double.js").write_text("export default (input) => input * 2")
        (Path(folder) / "broken.js").write_bytes(b"\xff\xfe")
        dev = Dev(Path(folder))
        yield dev
        dev.stop(signal.SIGTERM)


def test_dev_brings_everything_up_deploys_what_changes_and_starts_again(dev: Dev) -> None:
    state = dev.start()
    assert state.keys() == {"dsn", "socket", "http", "tenant_id", "pid"}
    assert state["pid"] == dev.process.pid
    with Client(str(state["socket"])) as client:
        assert client.submit_and_wait("double", input=21).output_json == "42"
        (dev.folder / "double.js").write_text("export default (input) => input * 3")
        dev.until("double.js is deployed, version 2")
        execution = client.submit_and_wait("double", input=21)
        assert (execution.output_json, execution.script_version) == ("63", 2)
    second = jsruntime_in(dev.folder, "dev")
    assert (second.returncode, "Another `jsruntime dev`" in second.stderr) == (2, True)
    dev.stop(signal.SIGKILL)
    state = dev.start()
    with Client(str(state["socket"])) as client:
        assert client.show(execution.id).output_json == "63"
    assert dev.stop(signal.SIGINT) == 0
    assert not dev.state.exists()


def jsruntime_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=50, check=False, env=ENVIRONMENT
    )
