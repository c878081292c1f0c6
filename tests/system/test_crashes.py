"""kill -9 of every process, and PostgreSQL going away: nothing wedges, nothing is lost, nothing ends twice."""

from __future__ import annotations

import asyncio
import os
import select
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from daemon import migrate, postgres
from daemon.store import database, tenants
from ipc.client import AsyncClient
from tests.conftest import new_server_folder
from tests.system.conftest import RunningDaemon
from tests.system.test_daemon import ECHO, WAIT

pytestmark = pytest.mark.anyio

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

FIRST_TIME_FOREVER = WAIT.replace("input.ms", "ctx.attempt > 1 ? 0 : 60000")


async def _started(client: AsyncClient, source: str, **options: Any) -> str:
    """Submit, and wait until the script has said that it runs."""
    execution_id = await client.submit(source=source, **options)
    async for _line in client.logs(execution_id, follow=True):
        break
    return execution_id


async def _worker_pids(daemon: RunningDaemon) -> list[int]:
    (zygote,) = _children(daemon.process.pid)
    return _children(zygote)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_kill_9_on_all_workers_fails_what_ran_and_nothing_else(
    daemon: RunningDaemon, client: AsyncClient
) -> None:
    execution_id = await _started(client, FIRST_TIME_FOREVER)
    for pid in await _worker_pids(daemon):
        os.kill(pid, signal.SIGKILL)
    execution = await client.wait(execution_id)
    assert (execution.status, execution.outcome, execution.attempt) == ("failed", "worker_lost", 1)
    assert (await client.submit_and_wait(source=ECHO)).status == "completed"


async def test_kill_9_on_the_zygote_runs_again_what_ran(daemon: RunningDaemon, client: AsyncClient) -> None:
    execution_id = await _started(client, FIRST_TIME_FOREVER)
    (zygote,) = _children(daemon.process.pid)
    os.kill(zygote, signal.SIGKILL)
    execution = await client.wait(execution_id)
    assert (execution.status, execution.attempt, execution.output_json) == ("completed", 2, "2")
    assert [line.message async for line in client.logs(execution_id)] == ["attempt 1", "attempt 2"]


async def test_kill_9_on_the_zygote_ends_what_must_not_run_twice(
    daemon: RunningDaemon, client: AsyncClient, sql: Connection
) -> None:
    await client.deploy("once", FIRST_TIME_FOREVER, metadata={"delivery": "at_most_once"})
    execution_id = await client.submit("once")
    async for _line in client.logs(execution_id, follow=True):
        break
    (zygote,) = _children(daemon.process.pid)
    os.kill(zygote, signal.SIGKILL)
    execution = await client.wait(execution_id)
    assert (execution.status, execution.outcome, execution.attempt) == ("failed", "worker_lost", 1)


async def test_kill_9_on_the_supervisor_takes_its_processes_along_and_the_next_start_runs_again(
    daemon: RunningDaemon, client: AsyncClient, sql: Connection
) -> None:
    execution_id = await _started(client, FIRST_TIME_FOREVER)
    (zygote,) = _children(daemon.process.pid)
    processes = [os.pidfd_open(pid) for pid in (zygote, *_children(zygote))]
    await daemon.kill(signal.SIGKILL)
    for process in processes:
        await asyncio.get_running_loop().run_in_executor(None, _wait_for_death, process)
    assert await sql.fetchval("SELECT status FROM script_executions") == "running"
    await daemon.start()
    async with daemon.client() as again:
        execution = await again.wait(execution_id)
    assert (execution.status, execution.attempt, execution.output_json) == ("completed", 2, "2")


async def test_an_execution_that_takes_three_daemons_with_it_is_given_up(
    daemon: RunningDaemon, client: AsyncClient
) -> None:
    execution_id = await _started(client, WAIT, input={"ms": 60_000})
    for attempt in (2, 3, 4):
        await daemon.kill(signal.SIGKILL)
        await daemon.start()
        async with daemon.client() as again:
            if attempt <= 3:
                async for line in again.logs(execution_id, follow=True):
                    if line.message == f"attempt {attempt}":
                        break
            else:
                execution = await again.wait(execution_id)
    assert (execution.status, execution.outcome, execution.attempt) == ("failed", "worker_lost", 3)


async def test_a_frozen_daemon_loses_its_lease_and_its_late_result_is_refused(
    daemon: RunningDaemon, client: AsyncClient, tmp_path: Path, sql: Connection
) -> None:
    execution_id = await _started(client, WAIT.replace("input.ms", "ctx.attempt > 1 ? 0 : 3000"))
    daemon.process.send_signal(signal.SIGSTOP)
    async with RunningDaemon(tmp_path, daemon.dsn, name="other") as other:
        async with other.client() as client_of_other:
            execution = await client_of_other.wait(execution_id)
        assert (execution.status, execution.attempt, execution.output_json) == ("completed", 2, "2")
        daemon.process.send_signal(signal.SIGCONT)
        await daemon.logged(b"its result came too late")
        row = await sql.fetchrow("SELECT attempt, output FROM script_executions WHERE id = $1", UUID(execution_id))
        assert row is not None
        assert tuple(row) == (2, "2")
        await daemon.logged(b"serving again, as daemon")
        assert (await client.submit_and_wait(source=ECHO)).status == "completed"


@pytest.fixture
async def own_server() -> AsyncIterator[postgres.EmbeddedServer]:
    """A server that the test may stop."""
    folder = new_server_folder()
    server = postgres.start(folder / "data")
    await migrate.up(server.dsn)
    db = await database.open_pool(server.dsn, min_size=1)
    await tenants.ensure_default(db, "default")
    await db.close()
    yield server
    server.stop("immediate")
    shutil.rmtree(folder)


async def test_postgresql_goes_away_in_mid_run_and_comes_back(
    own_server: postgres.EmbeddedServer, tmp_path: Path
) -> None:
    daemon = RunningDaemon(tmp_path, own_server.dsn, lease_seconds=60.0)
    await daemon.start()
    async with daemon.client() as client:
        execution_id = await _started(client, WAIT, input={"ms": 500})
        await asyncio.to_thread(own_server.stop, "immediate")
        await daemon.logged(b"1 endings wait for the database")
        assert (await client.status()).database == "down"
        await asyncio.to_thread(own_server.start)
        execution = await client.wait(execution_id)
        assert (execution.status, execution.attempt) == ("completed", 1)
        assert (await client.submit_and_wait(source=ECHO)).status == "completed"
    assert await daemon.kill(signal.SIGTERM) == 0


async def test_terminated_backends_cost_nothing(daemon: RunningDaemon, client: AsyncClient, sql: Connection) -> None:
    running = await _started(client, WAIT, input={"ms": 300})
    for _ in range(3):
        await sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'jsruntime'")
    assert (await client.wait(running)).status == "completed"


def _wait_for_death(process: int) -> None:
    poll = select.poll()
    poll.register(process, select.POLLIN)
    assert poll.poll(20_000), "a process of the daemon is still there"
    os.close(process)
