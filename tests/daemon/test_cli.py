# ruff: noqa: ASYNC240 - the paths are those of a temporary folder

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from click.testing import CliRunner, Result

from daemon.cli.output import report_end
from daemon.cli.root import cli
from ipc import messages
from tests.ipc.memory_daemon import SCRIPT_ID, MemoryDaemon

pytestmark = pytest.mark.anyio

Run = Callable[..., Awaitable[Result]]
COMMAND = [sys.executable, "-m", "daemon"]


@pytest.fixture
def run(socket_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command line against the daemon at `socket_path`."""
    monkeypatch.setenv("JSRUNTIME_SOCKET", str(socket_path))
    monkeypatch.delenv("JSRUNTIME_TENANT", raising=False)
    monkeypatch.delenv("JSRUNTIME_DSN", raising=False)
    monkeypatch.chdir(socket_path.parent)

    async def run_it(*arguments: str, stdin: str | None = None) -> Result:
        invoke = lambda: CliRunner().invoke(cli, arguments, input=stdin, prog_name="jsruntime")  # noqa: E731
        result = await anyio.to_thread.run_sync(invoke)
        assert "Traceback" not in result.output
        return result

    return run_it


async def test_help_tells_the_commands_and_exit_codes(run: Run) -> None:
    result = await run("--help")
    assert result.exit_code == 0
    assert [word for word in ("run", "dev", "submit", "Exit codes", "124") if word not in result.output] == []
    assert (await run()).exit_code == 2
    assert (await run("--version")).output.startswith("jsruntime ")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom daemon.cli.root import cli\n"
        "try: cli(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'asyncpg', 'aiohttp', 'rich', 'asyncio', 'msgspec', 'uvloop', 'pythonmonkey'}\n"
        "sys.exit(str(heavy & sys.modules.keys()) if heavy & sys.modules.keys() else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# -- submitting --


async def test_submit_prints_the_id(daemon: MemoryDaemon, run: Run) -> None:
    result = await run("submit", "waits", "--input", '{"n": 1}', "--priority", "4", "--timeout-ms", "90")
    assert result.exit_code == 0
    assert list(daemon.executions) == [result.stdout.strip()]
    [request] = daemon.requests
    assert isinstance(request, messages.Submit)
    assert (request.script, request.source, request.input_json) == ("waits", None, '{"n": 1}')
    assert (request.trigger_type, request.priority, request.limits.max_execution_time_ms) == ("manual", 4, 90)
    as_json = await run("submit", "waits", "--json")
    assert json.loads(as_json.stdout)["execution_id"] in daemon.executions


@pytest.mark.parametrize(
    ("script", "code", "stdout", "stderr"),
    [
        ("echo", 0, '{"a":[1,2.50]}\n', ""),
        ("throws", 1, "", "failed: Error: no\\x1b[31m good\n  The script threw an Error.\n"),
        ("loops", 124, "", "timeout: Error: no\\x1b[31m good\n  The script threw an Error.\n"),
        ("stopped", 1, "", "cancelled: Error: no\\x1b[31m good\n  The script threw an Error.\n"),
        ("missing", 3, "", "error: There is no script missing.\n  Deploy it first.\n"),
        ("nodatabase", 4, "", "error: The database is away.\n  Try again.\n"),
        ("bug", 1, "", "error: the daemon failed to answer this request\n  its log says more\n"),
    ],
)
async def test_submit_and_wait_exits_as_the_execution_ends(
    script: str, code: int, stdout: str, stderr: str, daemon: MemoryDaemon, run: Run
) -> None:
    result = await run("submit", script, "--wait", "--input", '{ "a": [1, 2.50] }')
    assert (result.exit_code, result.stdout, result.stderr) == (code, stdout, stderr)


async def test_a_file_is_submitted_as_source(daemon: MemoryDaemon, run: Run) -> None:
    Path("one.js").write_text("export default 1")
    result = await run("submit", "one.js", "--wait", "--json", "--tenant", "acme")
    assert result.exit_code == 0
    shown = json.loads(result.stdout)
    assert (shown["status"], shown["output"], shown["tenant_id"]) == ("completed", {}, "acme")
    assert isinstance(daemon.requests[0], messages.Submit)
    assert daemon.requests[0].source == "export default 1"
    assert (await run("submit", "none.js")).exit_code == 2


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ('{\n "a": tru }', "not valid JSON at line 2, column 7"),
        ("NaN", "NaN is JavaScript"),
        ("", "line 1, column 1"),
        ("[" * 100_000, "not valid JSON"),
        ("@none.json", "none.json: No such file"),
        ("@latin1.json", "latin1.json: not UTF-8 (byte 1)"),
        ("@bad.json", "bad.json: not valid JSON at line 1, column 2"),
        ("-", "standard input: not valid JSON"),
    ],
)
async def test_input_is_checked_before_it_is_sent(given: str, said: str, daemon: MemoryDaemon, run: Run) -> None:
    Path("latin1.json").write_bytes(b'"\xe4"')
    Path("bad.json").write_text("{x")
    result = await run("submit", "echo", "--input", given, stdin="{")
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert daemon.requests == []


async def test_input_comes_from_files_and_standard_input(daemon: MemoryDaemon, run: Run) -> None:
    Path("in.json").write_text("\ufeff[1]")
    assert (await run("submit", "echo", "--wait", "--input", "@in.json")).stdout == "[1]\n"
    assert (await run("submit", "echo", "--wait", "--input", "-", stdin='"ü"')).stdout == '"ü"\n'


# -- looking --


async def test_ps_lists_all_pages_in_plain_lines(daemon: MemoryDaemon, run: Run) -> None:
    for script in ("echo", "throws", "waits", "echo", "echo"):
        await run("submit", script)
    lines = (await run("ps")).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == list(reversed(daemon.executions))
    assert lines[3].split("\t")[1:] == [
        "throws",
        "failed",
        "manual",
        "2023-11-14T22:13:20.000Z",
        "500",
        "The script threw an Error.",
    ]
    assert len((await run("ps", "--limit", "3")).stdout.splitlines()) == 3
    documents = json.loads((await run("ps", "--json")).stdout)
    assert [document["id"] for document in documents] == list(reversed(daemon.executions))
    assert documents[0]["metrics"] == {"duration_ms": 12.5, "memory_used_bytes": 2048}


async def test_show(daemon: MemoryDaemon, run: Run) -> None:
    await run("submit", "throws", "--input", '{"a":1}')
    [execution_id] = daemon.executions
    plain = (await run("show", execution_id)).stdout
    assert "status\tfailed\n" in plain
    assert "metrics\tduration 12 ms, memory_used 2.0 KiB\n" in plain
    shown = json.loads((await run("show", execution_id, "--json")).stdout)
    assert (shown["input"], shown["completed_at"]) == ({"a": 1}, "2023-11-14T22:13:20.500Z")
    missing = await run("show", "none")
    assert (missing.exit_code, missing.stderr) == (3, "error: There is no execution none.\n")


async def test_logs(daemon: MemoryDaemon, run: Run) -> None:
    await run("submit", "echo")
    [execution_id] = daemon.executions
    daemon.write(execution_id, "one\n2023-11-14T22:13:20.000Z forged\x1b[0m")
    result = await run("logs", execution_id)
    first, second = result.stdout.splitlines()
    assert first == "2023-11-14T22:13:20.250Z warn  one"
    assert second == " " * 31 + "2023-11-14T22:13:20.000Z forged\\x1b[0m"
    assert "7 bytes more" in result.stderr
    [line] = (await run("logs", "-f", execution_id, "--json")).stdout.splitlines()
    assert json.loads(line)["level"] == "warn"
    assert (await run("logs", "none")).exit_code == 3


async def test_cancel(daemon: MemoryDaemon, run: Run) -> None:
    await run("submit", "waits")
    [execution_id] = daemon.executions
    assert (await run("cancel", execution_id)).exit_code == 0
    again = await run("cancel", execution_id)
    assert (again.exit_code, "ended already" in again.stderr) == (1, True)
    assert json.loads((await run("cancel", execution_id, "--json")).stdout)["cancelled"] is False


async def test_scripts_and_status(daemon: MemoryDaemon, run: Run) -> None:
    assert (await run("scripts")).stdout.startswith(f"{SCRIPT_ID}\techo\toneoff\tactive\t3\t")
    assert json.loads((await run("scripts", "--json")).stdout)[0]["tags"] == []
    assert "up for\t1 m 5 s\n" in (await run("status")).stdout
    status = json.loads((await run("status", "--json")).stdout)
    assert (status["workers_max"], status["executions"]) == (8, {})
    assert "request_id" not in status


async def test_deploy(daemon: MemoryDaemon, run: Run) -> None:
    Path("s.js").write_text("1")
    done = await run("deploy", "s.js", "--name", "s", "--cron", "* * * * *", "--limits", '{"a":1}', "--tag", "x")
    assert done.stdout == f"s\tversion 3\tchanged\t{SCRIPT_ID}\n"
    request = daemon.requests[-1]
    assert isinstance(request, messages.Deploy)
    assert (request.script_type, request.cron_expression) == ("scheduled", "* * * * *")
    assert (request.resource_limits_json, request.tags, request.event_types) == ('{"a":1}', ["x"], None)
    assert (await run("deploy", "s.js", "--name", "taken")).exit_code == 1
    assert (await run("deploy", "s.js", "--name", "s", "--type", "scheduled")).exit_code == 2
    assert (await run("deploy", "s.js", "--name", "s", "--limits", "[1]")).exit_code == 2
    both = await run("deploy", "s.js", "--name", "s", "--cron", "x", "--event", "y")
    assert (both.exit_code, "exclude each other" in both.stderr) == (2, True)


# -- when things are not as they should be --


@pytest.mark.parametrize("command", [("ps",), ("submit", "x"), ("logs", "x"), ("status",)])
async def test_without_a_daemon_it_says_how_to_start_one(command: tuple[str, ...], run: Run) -> None:
    result = await run(*command)
    assert result.exit_code == 4
    assert result.stdout == ""
    assert "jsruntime dev" in result.stderr
    assert len(result.stderr.splitlines()) == 2


@pytest.mark.parametrize(
    "command", [("none",), ("ps", "--status", "x"), ("submit",), ("migrate", "status"), ("run", "none.js")]
)
async def test_wrong_usage_is_told_in_two_lines(command: tuple[str, ...], run: Run) -> None:
    result = await run(*command)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 2


async def test_ctrl_c_while_waiting_leaves_the_execution(
    daemon: MemoryDaemon, socket_path: Path, tmp_path: Path
) -> None:
    waiting = await anyio.open_process([*COMMAND, "submit", "waits", "--wait", "--socket", str(socket_path)])
    async with waiting:
        await daemon.until_waiting(1)
        waiting.send_signal(signal.SIGINT)
        assert waiting.stderr is not None
        said = b"".join([chunk async for chunk in waiting.stderr]).decode()
        assert await waiting.wait() == 130
    [execution_id] = daemon.executions
    assert f"jsruntime show {execution_id}" in said
    assert "Traceback" not in said
    await daemon.until_waiting(0)
    assert daemon.executions[execution_id].status == "running"


async def test_ctrl_c_while_following(daemon: MemoryDaemon, socket_path: Path, run: Run) -> None:
    await run("submit", "waits")
    [execution_id] = daemon.executions
    following = await anyio.open_process([*COMMAND, "logs", "-f", execution_id, "--socket", str(socket_path)])
    async with following:
        await daemon.until_waiting(1)
        following.send_signal(signal.SIGINT)
        assert following.stderr is not None
        assert b"Traceback" not in b"".join([chunk async for chunk in following.stderr])
        assert await following.wait() == 130


async def test_a_reader_that_has_seen_enough_is_no_error(daemon: MemoryDaemon, socket_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = await anyio.run_process(
        [*COMMAND, "status", "--json", "--socket", str(socket_path)], stdout=writer, check=False
    )
    os.close(writer)
    assert (result.returncode, result.stderr) == (141, b"")


async def on_a_terminal(*arguments: str) -> str:
    """Return what a command writes to a terminal of 120 columns."""
    main, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm-256color"}
    environment.pop("NO_COLOR", None)
    try:
        await anyio.run_process([*COMMAND, *arguments], stdout=terminal, stderr=terminal, env=environment)
        return os.read(main, 65536).decode().replace("\r\n", "\n")
    finally:
        os.close(main)
        os.close(terminal)


async def test_people_get_tables_and_colours(daemon: MemoryDaemon, socket_path: Path, run: Run) -> None:
    nothing = await on_a_terminal("ps", "--socket", str(socket_path))
    assert nothing == "No executions.\n"
    await run("submit", "echo", "--input", '{"a":1}')
    [execution_id] = daemon.executions
    table = await on_a_terminal("ps", "--socket", str(socket_path))
    assert [word for word in ("SCRIPT", "─", "\x1b[32mcompleted", execution_id, "500 ms") if word not in table] == []
    page = await on_a_terminal("show", execution_id, "--socket", str(socket_path))
    assert '"a": 1' in page
    assert "d ago)" in page
    output = await on_a_terminal("submit", "echo", "--wait", "--input", '{"a":1}', "--socket", str(socket_path))
    assert output.endswith('{\n  "a": 1\n}\n')


@pytest.mark.parametrize(
    ("status", "output", "code"),
    [("completed", '{"a": 1}', 0), ("completed", None, 0), ("failed", None, 1), ("timeout", None, 124)],
)
def test_how_an_end_is_reported(status: str, output: str | None, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert report_end(status, output, None if code == 0 else "why", None) == code
    said = capsys.readouterr()
    assert said.out == ("" if code else '{"a":1}\n' if output else "null\n")
    assert said.err == (f"{status}: why\n" if code else "")
