"""The embedded server survives what happens to a development machine."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from daemon import postgres
from daemon.errors import EmbeddedPostgresError
from daemon.store import database

pytestmark = pytest.mark.anyio


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="jsruntime-tests-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def server(folder: Path) -> Iterator[postgres.EmbeddedServer]:
    running = postgres.start(folder / "data")
    try:
        yield running
    finally:
        running.stop("immediate")


def _pid(server: postgres.EmbeddedServer) -> int:
    return int((server.data_dir / "postmaster.pid").read_text().split()[0])


async def _query(server: postgres.EmbeddedServer, statement: str) -> object:
    connection = await database.connect(server.dsn)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_it_stops_and_starts_with_its_data(server: postgres.EmbeddedServer) -> None:
    await _query(server, "CREATE TABLE kept (id int)")
    for mode in ("fast", "immediate"):
        server.restart(mode)
        assert await _query(server, "SELECT count(*) FROM kept") == 0
    server.stop()
    server.stop()
    again = postgres.start(server.data_dir)
    assert again.dsn == server.dsn
    assert await _query(again, "SHOW fsync") == "on"


async def test_it_listens_for_its_owner_only(server: postgres.EmbeddedServer) -> None:
    assert await _query(server, "SHOW listen_addresses") == ""
    assert stat.S_IMODE(server.socket_dir.stat().st_mode) & 0o077 == 0


async def test_it_survives_the_death_of_its_postmaster(server: postgres.EmbeddedServer) -> None:
    await _query(server, "CREATE TABLE kept (id int)")
    process = psutil.Process(_pid(server))
    process.kill()
    again = postgres.start(server.data_dir)
    assert await _query(again, "SELECT count(*) FROM kept") == 0


async def test_a_server_left_by_a_killed_daemon_is_taken_over(folder: Path) -> None:
    program = (
        "import sys, pathlib\nfrom daemon import postgres\n"
        "postgres.start(pathlib.Path(sys.argv[1]))\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    daemon = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs in this loop
        [sys.executable, "-c", program, str(folder / "data")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"ready\n"
        daemon.send_signal(signal.SIGKILL)
    server = postgres.start(folder / "data")
    pid = _pid(server)
    assert await _query(server, "SELECT 1") == 1
    server.stop()
    # Where process 1 does not reap, its orphans stay zombies.
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_pid_file_with_the_pid_of_another_program_is_stale(server: postgres.EmbeddedServer) -> None:
    text = (server.data_dir / "postmaster.pid").read_text()
    server.stop()
    # Our own parent: certainly there, certainly no server. And what another library may leave beside it.
    (server.data_dir / "postmaster.pid").write_text(text.replace(text.split()[0], str(os.getppid()), 1))
    (server.socket_dir / ".s.PGSQL.5432.lock").write_text(text.replace(text.split()[0], str(os.getppid()), 1))
    (server.data_dir / ".handle_pids.json").write_text(f"[{os.getppid()}, 999999999]")
    again = postgres.start(server.data_dir)
    assert await _query(again, "SELECT 1") == 1
    again.stop()


async def test_a_long_path_has_its_socket_elsewhere(folder: Path) -> None:
    server = postgres.start(folder / ("long name " * 12).strip() / "data")
    try:
        assert await _query(server, "SELECT 1") == 1
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        assert server.socket_dir != server.data_dir
    finally:
        server.stop()
        shutil.rmtree(server.socket_dir)


async def test_an_interrupted_start_leaves_nothing_half_made(folder: Path) -> None:
    (folder / "data.unfinished").mkdir()
    (folder / "data.unfinished" / "PG_VERSION").write_text("18\n")
    server = postgres.start(folder / "data")
    assert await _query(server, "SELECT 1") == 1
    server.stop()
    assert not (folder / "data.unfinished").exists()


async def test_the_reason_is_said_where_it_does_not_start(server: postgres.EmbeddedServer) -> None:
    server.stop()
    with (server.data_dir / "postgresql.conf").open("a") as settings:
        settings.write("no_such_setting = 1\n")
    with pytest.raises(EmbeddedPostgresError) as caught:
        server.start()
    assert "no_such_setting" in caught.value.hint


async def test_a_folder_that_is_something_else_is_left_alone(folder: Path) -> None:
    (folder / "data").mkdir()
    (folder / "data" / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedPostgresError, match="not empty"):
        postgres.start(folder / "data")
    assert (folder / "data" / "thesis.txt").read_text() == "years of work"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become someone else")
async def test_it_also_runs_for_an_ordinary_user(folder: Path) -> None:
    postgres.start(folder / "roots").stop()  # makes the system user that this test borrows
    theirs = folder / "theirs"
    theirs.mkdir()
    shutil.chown(theirs, postgres.SYSTEM_USER)
    program = (
        "import sys, pathlib\nfrom daemon import postgres\n"
        "server = postgres.start(pathlib.Path(sys.argv[1]))\nserver.stop()\nprint('done')\n"
    )
    try:
        result = subprocess.run(  # noqa: ASYNC221 - nothing else runs in this loop
            [sys.executable, "-c", program, str(theirs / "data")],
            user=postgres.SYSTEM_USER,
            cwd=Path(postgres.__file__).parent.parent,
            capture_output=True,
            text=True,
            check=False,
        )
    except PermissionError:
        pytest.skip("this interpreter cannot be run by others")
    assert result.stdout == "done\n", result.stderr
