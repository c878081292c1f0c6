"""A whole daemon, as its clients and as writers of plain SQL see it."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any, TypeAlias
from uuid import UUID

import asyncpg
import pytest

from ipc import errors
from ipc.client import AsyncClient
from ipc.messages import Limits
from tests.system.conftest import RunningDaemon

pytestmark = pytest.mark.anyio

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

ECHO = """export default { run(input) {
    const had = globalThis.left ?? null;
    globalThis.left = 1;
    return { input, had };
} }"""
WAIT = """export default { async run(input, env, ctx) {
    console.log("attempt " + ctx.attempt);
    await new Promise((resolve) => setTimeout(resolve, input.ms));
    return ctx.attempt;
} }"""

INSERT = """
INSERT INTO script_executions (script_id, tenant_id, status, trigger_type, input)
SELECT id, tenant_id, 'pending', 'api', jsonb_build_object('n', n)
FROM scripts, generate_series(1, $2::int) AS n WHERE name = $1
RETURNING id
"""


class Finishes:
    """Hears of executions that end, from the database's own notifications."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._changed = asyncio.Event()

    def _notified(self, *_: object) -> None:
        self._changed.set()

    async def until(self, query: str, *arguments: object) -> None:
        """Wait until a query says yes, looking again whenever something has ended."""
        while not await self._connection.fetchval(query, *arguments):
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture
async def finishes(sql: Connection) -> Finishes:
    finishes = Finishes(sql)
    await sql.add_listener("jsruntime_finished", finishes._notified)
    await sql.add_listener("jsruntime_pending", finishes._notified)
    return finishes


async def test_rows_inserted_with_plain_sql_all_run_each_in_a_process_of_its_own(
    client: AsyncClient, sql: Connection, finishes: Finishes
) -> None:
    await client.deploy("echo", ECHO, resource_limits={"max_concurrent_runs": 100})
    await sql.execute(INSERT, "echo", 300)
    await finishes.until("SELECT count(*) = 300 FROM script_executions WHERE completed_at IS NOT NULL")
    rows = await sql.fetch("SELECT status, outcome, output, metrics, attempt, script_version FROM script_executions")
    assert {(row["status"], row["outcome"], row["attempt"], row["script_version"]) for row in rows} == {
        ("completed", "ok", 1, 1)
    }
    outputs = [json.loads(row["output"]) for row in rows]
    assert sorted(output["input"]["n"] for output in outputs) == list(range(1, 301))
    assert {output["had"] for output in outputs} == {None}
    for row in rows:
        metrics = json.loads(row["metrics"])
        assert metrics["duration_ms"] > 0
        assert metrics["cpu_ms"] > 0
        assert metrics["output_bytes"] > 0
        assert metrics.keys() >= {"memory_used_bytes", "api_call_count", "database_query_count", "queue_ms"}


async def test_an_inserted_row_starts_without_waiting_for_the_poll(
    tmp_path: Any, dsn: str, tenant: str, sql: Connection, finishes: Finishes
) -> None:
    unhurried = RunningDaemon(tmp_path, dsn, poll_seconds=3600, lease_seconds=3600)
    async with unhurried, unhurried.client() as client:
        await client.deploy("echo", ECHO)
        await client.submit_and_wait("echo")
        await sql.execute(INSERT, "echo", 1)
        await finishes.until("SELECT count(*) = 2 FROM script_executions WHERE status = 'completed'")


async def test_max_concurrent_runs_holds_across_two_daemons(
    tmp_path: Any, daemon: RunningDaemon, client: AsyncClient, sql: Connection, finishes: Finishes
) -> None:
    async with RunningDaemon(tmp_path, daemon.dsn, name="other"):
        await client.deploy("slow", WAIT, resource_limits={"max_concurrent_runs": 3})
        await sql.execute("UPDATE scripts SET source = replace(source, 'input.ms', '20') WHERE name = 'slow'")
        await sql.execute(INSERT, "slow", 60)
        await finishes.until("SELECT count(*) = 60 FROM script_executions WHERE status = 'completed'")
        overlap = await sql.fetchval(
            """SELECT max(n) FROM (
                   SELECT (SELECT count(*) FROM script_executions AS b
                           WHERE b.started_at <= a.started_at AND b.completed_at > a.started_at) AS n
                   FROM script_executions AS a) AS counted"""
        )
        assert overlap <= 3
        assert await sql.fetchval("SELECT count(DISTINCT daemon_id) FROM script_executions") == 2


async def test_priority_and_run_at_decide_what_starts_first(
    client: AsyncClient, sql: Connection, finishes: Finishes
) -> None:
    await client.deploy("one", ECHO, resource_limits={"max_concurrent_runs": 1})
    await sql.execute(
        """INSERT INTO script_executions (script_id, tenant_id, status, trigger_type, input, priority, run_at)
           SELECT id, tenant_id, 'pending', 'api', to_jsonb(v.name), v.priority, now() + v.delay
           FROM scripts, (VALUES ('low', -1, interval '0'), ('high', 5, interval '0'), ('later', 9, interval '1 s'))
               AS v(name, priority, delay)"""
    )
    await finishes.until("SELECT count(*) = 3 FROM script_executions WHERE status = 'completed'")
    order = await sql.fetch("SELECT input FROM script_executions ORDER BY started_at")
    assert [json.loads(row["input"]) for row in order] == ["high", "low", "later"]
    assert await sql.fetchval("SELECT bool_and(started_at >= run_at) FROM script_executions")


async def test_what_is_not_active_does_not_run(client: AsyncClient, sql: Connection, finishes: Finishes) -> None:
    await client.deploy("paused", ECHO)
    blocker = await client.submit("paused", input=1, delay_ms=300)
    await sql.execute("UPDATE scripts SET status = 'paused' WHERE name = 'paused'")
    with pytest.raises(errors.Conflict, match="paused"):
        await client.submit("paused")
    probe = await client.submit_and_wait(source=ECHO, delay_ms=400)
    assert probe.status == "completed"
    assert (await client.show(blocker)).status == "pending"
    await sql.execute("UPDATE scripts SET status = 'active' WHERE name = 'paused'")
    await sql.execute(INSERT, "paused", 1)
    assert (await client.wait(blocker)).status == "completed"


async def test_the_same_inline_source_is_the_same_script(client: AsyncClient) -> None:
    first = await client.show(await client.submit(source=ECHO))
    second = await client.show(await client.submit(source=ECHO))
    other = await client.show(await client.submit(source=ECHO + "\n"))
    assert first.script_id == second.script_id != other.script_id


async def test_a_pending_execution_is_cancelled_at_once(client: AsyncClient) -> None:
    execution_id = await client.submit(source=ECHO, delay_ms=60_000)
    assert await client.cancel(execution_id) == "pending"
    execution = await client.wait(execution_id)
    assert (execution.status, execution.outcome, execution.attempt) == ("cancelled", "cancelled", 0)
    assert await client.cancel(execution_id) == "cancelled"


@pytest.mark.parametrize("how", ["socket", "sql"])
async def test_a_running_execution_is_cancelled_by_a_kill(client: AsyncClient, sql: Connection, how: str) -> None:
    execution_id = await client.submit(source=WAIT, input={"ms": 60_000})
    async for line in client.logs(execution_id, follow=True):
        assert line.message == "attempt 1"
        break
    if how == "socket":
        assert await client.cancel(execution_id) == "running"
    else:
        await sql.execute("UPDATE script_executions SET cancel_requested_at = now() WHERE id = $1", UUID(execution_id))
    execution = await client.wait(execution_id)
    assert (execution.status, execution.outcome) == ("cancelled", "cancelled")


async def test_a_client_that_disconnects_loses_nothing(daemon: RunningDaemon, client: AsyncClient) -> None:
    async with daemon.client() as leaving:
        execution_id = await leaving.submit(source=WAIT, input={"ms": 300})
        waiting = asyncio.create_task(leaving.wait(execution_id))
        await leaving.status()
        waiting.cancel()
    execution = await client.wait(execution_id)
    assert execution.status == "completed"


async def test_a_wait_that_is_over_says_so_and_costs_nothing(client: AsyncClient) -> None:
    execution_id = await client.submit(source=WAIT, input={"ms": 400})
    with pytest.raises(errors.WaitTimeout):
        await client.wait(execution_id, timeout_ms=1)
    assert (await client.wait(execution_id)).status == "completed"


async def test_console_lines_are_kept_with_level_and_time(client: AsyncClient) -> None:
    source = """console.debug("a"); console.warn("b %d", 5); console.error(new Error("c")); console.log({ d: [1] });
                export default { run() { console.info("\\u0000\\u001b[31m"); } }"""
    execution = await client.submit_and_wait(source=source)
    lines = [line async for line in client.logs(execution.id)]
    assert [line.level for line in lines] == ["debug", "warn", "error", "log", "info"]
    assert lines[1].message == "b 5"
    assert "Error: c" in lines[2].message
    assert "d: [ 1 ]" in lines[3].message
    assert lines[4].message == "\ufffd\x1b[31m"
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5]
    assert execution.started_at is not None
    assert all(abs(line.logged_at - execution.started_at) < 60 for line in lines)


async def test_a_killed_script_keeps_its_last_words(client: AsyncClient) -> None:
    source = "console.log('last words'); for (;;);"
    execution = await client.submit_and_wait(source=source, limits=Limits(max_execution_time_ms=200))
    assert execution.outcome == "wall_time"
    assert [line.message async for line in client.logs(execution.id)] == ["last words"]


async def test_console_output_over_the_cap_is_counted(client: AsyncClient) -> None:
    source = "for (let i = 0; i < 2000; i++) console.log('x'.repeat(100)); 1"
    execution = await client.submit_and_wait(source=source)
    metrics = json.loads(execution.metrics_json)
    assert execution.outcome == "ok"
    assert 60_000 < metrics["log_bytes"] <= 65_536
    assert metrics["log_bytes"] + metrics["log_dropped_bytes"] == 200_000
    logs = client.logs(execution.id)
    assert sum([len(line.message) async for line in logs]) == metrics["log_bytes"]
    assert logs.dropped_bytes == metrics["log_dropped_bytes"]


async def test_an_execution_may_lower_the_limits_of_its_script_but_not_raise_them(client: AsyncClient) -> None:
    await client.deploy("spin", "for (;;);", resource_limits={"max_execution_time_ms": 200})
    lowered = await client.submit_and_wait("spin", limits=Limits(max_execution_time_ms=100))
    raised = await client.submit_and_wait("spin", limits=Limits(max_execution_time_ms=60_000))
    assert "max_execution_time_ms is 100" in (lowered.postmortem or "")
    assert "max_execution_time_ms is 200" in (raised.postmortem or "")


async def test_another_tenants_rows_do_not_exist(client: AsyncClient, sql: Connection) -> None:
    await sql.execute("INSERT INTO tenants (name) VALUES ('other')")
    await client.deploy("mine", ECHO)
    execution_id = await client.submit("mine")
    await client.wait(execution_id)
    for refused in (
        client.show(execution_id, tenant="other"),
        client.cancel(execution_id, tenant="other"),
        client.wait(execution_id, tenant="other"),
        client.submit("mine", tenant="other"),
    ):
        with pytest.raises(errors.NotFound):
            await refused
    assert (await client.list_executions(tenant="other")).executions == []
    assert await client.list_scripts(tenant="other") == []
    with pytest.raises(errors.NotFound, match="tenant"):
        await client.submit("mine", tenant="nobody")


@pytest.mark.parametrize(
    "request_options",
    [
        {"script": "no such script"},
        {"script": "x", "source": "1"},
        {},
        {"source": "1", "input_json": "{"},
        {"source": "1", "input_json": '"\\u0000"'},
        {"source": "1", "delay_ms": -1},
        {"source": "1", "priority": 2**40},
        {"source": "1", "limits": Limits(max_memory_bytes=1)},
        {"source": "a\0b"},
    ],
    ids=str,
)
async def test_bad_input_gets_one_clear_error(client: AsyncClient, request_options: dict[str, Any]) -> None:
    with pytest.raises(errors.IpcError) as refused:
        await client.submit(**request_options)
    assert refused.value.message
    assert "Traceback" not in refused.value.message
    assert not isinstance(refused.value, errors.DaemonFault | errors.ConnectionLost)
    assert (await client.submit_and_wait(source="1")).status == "completed"


async def test_a_row_with_broken_limits_fails_alone(client: AsyncClient, sql: Connection, finishes: Finishes) -> None:
    await client.deploy("broken", ECHO)
    await sql.execute("ALTER TABLE scripts DISABLE TRIGGER USER")
    await sql.execute("""UPDATE scripts SET resource_limits = '{"max_memory_bytes": "lots"}' WHERE name = 'broken'""")
    await sql.execute("ALTER TABLE scripts ENABLE TRIGGER USER")
    await sql.execute(INSERT, "broken", 1)
    good = await client.submit_and_wait(source=ECHO)
    assert good.status == "completed"
    await finishes.until("SELECT count(*) = 1 FROM script_executions WHERE outcome = 'invalid_limits'")


async def test_an_unrecorded_run_leaves_no_row(client: AsyncClient, sql: Connection) -> None:
    ran = await client.run("console.log('hi'); export default (input) => input.a * 2", input={"a": 21})
    assert (ran.status, ran.outcome, ran.output_json) == ("completed", "ok", "42")
    assert [line.message for line in ran.logs] == ["hi"]
    assert await sql.fetchval("SELECT count(*) FROM script_executions") == 0
    spun = await client.run("for (;;);", limits=Limits(max_execution_time_ms=100))
    assert spun.outcome == "wall_time"


async def test_sigterm_lets_what_runs_finish(daemon: RunningDaemon, client: AsyncClient, sql: Connection) -> None:
    execution_id = await client.submit(source=WAIT, input={"ms": 1500})
    async for _line in client.logs(execution_id, follow=True):
        break
    daemon.process.send_signal(signal.SIGTERM)
    await daemon.logged(b"stopping: 1 ")
    with pytest.raises((errors.Draining, errors.DaemonUnavailable, errors.ConnectionLost)):
        await client.submit(source=ECHO)
    assert await daemon.process.wait() == 0
    assert await sql.fetchval("SELECT status FROM script_executions WHERE id = $1", UUID(execution_id)) == "completed"
    assert await sql.fetchval("SELECT bool_and(stopped_at IS NOT NULL) FROM daemons")
    assert not daemon.socket.exists()


async def test_a_second_sigterm_stops_at_once_and_the_next_daemon_runs_it_again(
    daemon: RunningDaemon, client: AsyncClient, sql: Connection, tmp_path: Any
) -> None:
    execution_id = await client.submit(source=WAIT.replace("input.ms", "ctx.attempt > 1 ? 0 : 60000"))
    async for _line in client.logs(execution_id, follow=True):
        break
    daemon.process.send_signal(signal.SIGTERM)
    await daemon.logged(b"stopping: 1 ")
    daemon.process.send_signal(signal.SIGTERM)
    assert await daemon.process.wait() == 0
    async with RunningDaemon(tmp_path, daemon.dsn, name="following") as following:
        async with following.client() as client:
            execution = await client.wait(execution_id)
        assert (execution.status, execution.output_json) == ("completed", "2")


async def test_status_tells_what_the_daemon_does(daemon: RunningDaemon, client: AsyncClient) -> None:
    await client.submit_and_wait(source=ECHO)
    status = await client.status()
    assert status.pid == daemon.process.pid
    assert status.database == "up"
    assert status.engine_mode == "threadless"
    assert status.executions == {"completed": 1}
    assert not status.draining
