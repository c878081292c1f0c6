"""What the daemon answers to each request of a client. One method a request; transport and errors are elsewhere."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID, uuid4

import msgspec

from daemon.claims import Claims
from daemon.dispatcher import Dispatcher
from daemon.errors import DatabaseUnavailable, InvalidInput, StoreError
from daemon.execution import Task
from daemon.ipc_server import Send
from daemon.lease import Lease, version
from daemon.logbook import Logbook
from daemon.pool import Pool
from daemon.run_once import limits_of_a_run, run_in
from daemon.states import FINAL
from daemon.store import executions, logs, scripts, tenants
from daemon.store.database import Pool as Database
from daemon.store.executions import Submission
from daemon.store.scripts import Deployment
from daemon.waiters import Waiters
from ipc.errors import Draining, WaitTimeout
from ipc.messages import (
    Cancel,
    Cancelled,
    DaemonStatus,
    Deploy,
    Deployed,
    Execution,
    Executions,
    Finished,
    ListExecutions,
    ListScripts,
    LogLine,
    LogLines,
    Logs,
    Request,
    Run,
    Scripts,
    Show,
    Shown,
    Status,
    Submit,
    Submitted,
    Wait,
)

_LOG_PAGE = 1000
_DATABASE_RETRY_SECONDS = 0.5
_FOLLOW_CHECK_SECONDS = 1.0
"""How often a follower looks into the database: for lines and the end of what runs on another daemon."""


class Requests:
    """The handler of `IpcServer`."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        pool: Pool,
        claims: Claims,
        dispatcher: Dispatcher,
        waiters: Waiters,
        logbook: Logbook,
        default_tenant: str,
    ) -> None:
        self._database = database
        self._lease = lease
        self._pool = pool
        self._claims = claims
        self._dispatcher = dispatcher
        self._waiters = waiters
        self._logbook = logbook
        self._default_tenant = default_tenant
        self._tenants: dict[str, UUID] = {}
        self._started = time.monotonic()
        self.draining = False
        self._handlers: dict[type[Request], Callable[..., Awaitable[None]]] = {
            Submit: self._submit,
            Run: self._run,
            Wait: self._wait,
            Cancel: self._cancel,
            Show: self._show,
            ListExecutions: self._list_executions,
            Logs: self._logs,
            Deploy: self._deploy,
            ListScripts: self._list_scripts,
            Status: self._status,
        }

    async def handle(self, request: Request, send: Send) -> None:
        """Answer one request; errors are raised."""
        await self._handlers[type(request)](request, send)

    # -- executions -----------------------------------------------------------------------------------

    async def _submit(self, request: Submit, send: Send) -> None:
        self._refuse_while_draining()
        submission = Submission(
            tenant_id=await self._tenant(request.tenant),
            script=request.script,
            source=request.source,
            input_json=_checked_json("input", request.input_json),
            trigger_type=request.trigger_type,
            priority=request.priority,
            delay_ms=request.delay_ms,
            limits=request.limits,
        )
        submitted = await executions.submit(self._database, submission)
        self._claims.wake()
        await send(
            Submitted(request_id=request.request_id, execution_id=str(submitted.id), script_id=str(submitted.script_id))
        )
        if request.wait:
            execution = await self._waiters.wait(submitted.id)
            await send(Finished(request_id=request.request_id, execution=execution))

    async def _run(self, request: Run, send: Send) -> None:
        self._refuse_while_draining()
        task = Task(
            execution_id=str(uuid4()),
            script_name=request.name,
            source=request.source,
            input_json=_checked_json("input", request.input_json),
            limits=limits_of_a_run(request.limits),
            await_exit=False,
        )
        try:
            ran = await run_in(self._pool, task)
        except asyncio.CancelledError:
            self._pool.cancel(task.execution_id)  # the client is gone, and nobody else wants the result
            raise
        await send(msgspec.structs.replace(ran, request_id=request.request_id))

    async def _wait(self, request: Wait, send: Send) -> None:
        tenant_id = await self._tenant(request.tenant)
        execution_id = _execution_id(request.execution_id)
        timeout = None if request.timeout_ms is None else request.timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout):
                execution = await self._ended(tenant_id, execution_id)
        except TimeoutError:
            raise WaitTimeout(
                f"execution {execution_id} has not ended within {request.timeout_ms} ms",
                "it goes on; wait again by its id",
            ) from None
        await send(Finished(request_id=request.request_id, execution=execution))

    async def _ended(self, tenant_id: UUID, execution_id: UUID) -> Execution:
        """Wait for an execution's end, and while the database is away for the database."""
        while True:
            try:
                execution = await executions.show(self._database, tenant_id, execution_id)
            except DatabaseUnavailable:
                await asyncio.sleep(_DATABASE_RETRY_SECONDS)
            else:
                return execution if execution.status in FINAL else await self._waiters.wait(execution_id)

    async def _cancel(self, request: Cancel, send: Send) -> None:
        tenant_id = await self._tenant(request.tenant)
        execution_id = _execution_id(request.execution_id)
        status = await executions.request_cancel(self._database, tenant_id, execution_id)
        if status == "running":
            self._dispatcher.cancel(execution_id)
        await send(Cancelled(request_id=request.request_id, status=status))

    async def _show(self, request: Show, send: Send) -> None:
        tenant_id = await self._tenant(request.tenant)
        execution = await executions.show(self._database, tenant_id, _execution_id(request.execution_id))
        await send(Shown(request_id=request.request_id, execution=execution))

    async def _list_executions(self, request: ListExecutions, send: Send) -> None:
        tenant_id = await self._tenant(request.tenant)
        script_id = None
        if request.script is not None:
            script_id = UUID((await scripts.resolve(self._database, tenant_id, request.script)).id)
        page = await executions.list_executions(
            self._database,
            tenant_id,
            script_id=script_id,
            status=request.status,
            limit=request.limit,
            before=request.before,
        )
        await send(Executions(request_id=request.request_id, executions=page.executions, next_before=page.next_before))

    # -- console lines --------------------------------------------------------------------------------

    async def _logs(self, request: Logs, send: Send) -> None:
        tenant_id = await self._tenant(request.tenant)
        execution_id = _execution_id(request.execution_id)
        execution = await executions.show(self._database, tenant_id, execution_id)
        seen = request.after_seq
        with self._logbook.follow(execution_id) as live:
            while True:
                ended = execution.status in FINAL
                seen = await self._send_stored(request, send, tenant_id, execution_id, seen)
                if ended or not request.follow:
                    break
                seen = await self._send_live(request, send, live, seen)
                execution = await executions.show(self._database, tenant_id, execution_id)
        metrics = msgspec.json.decode(execution.metrics_json)
        dropped = metrics.get("log_dropped_bytes", 0) if isinstance(metrics, dict) else 0
        await send(LogLines(request_id=request.request_id, end=True, dropped_bytes=int(dropped)))

    async def _send_stored(self, request: Logs, send: Send, tenant_id: UUID, execution_id: UUID, seen: int) -> int:
        while True:
            lines = await logs.read(self._database, tenant_id, execution_id, after_seq=seen, limit=_LOG_PAGE)
            if lines:
                await send(LogLines(request_id=request.request_id, lines=lines))
                seen = lines[-1].seq
            if len(lines) < _LOG_PAGE:
                return seen

    async def _send_live(self, request: Logs, send: Send, live: asyncio.Queue[LogLine], seen: int) -> int:
        """Send lines as they are written, for a while. A gap is left to the database, which has the lines by then."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_FOLLOW_CHECK_SECONDS):
                while True:
                    lines = [await live.get()]
                    while not live.empty():
                        lines.append(live.get_nowait())
                    lines = [line for line in lines if line.seq > seen]
                    if lines and lines[0].seq != seen + 1:
                        return seen
                    if lines:
                        seen = lines[-1].seq
                        await send(LogLines(request_id=request.request_id, lines=lines))
        return seen

    # -- scripts and the daemon -----------------------------------------------------------------------

    async def _deploy(self, request: Deploy, send: Send) -> None:
        self._refuse_while_draining()
        fields = msgspec.structs.asdict(request)
        names = set(Deployment.__struct_fields__) & fields.keys()
        deployment = Deployment(tenant_id=await self._tenant(request.tenant), **{name: fields[name] for name in names})
        done = await scripts.deploy(self._database, deployment)
        await send(
            Deployed(
                request_id=request.request_id,
                script_id=str(done.script_id),
                version=done.version,
                created=done.created,
                changed=done.changed,
            )
        )

    async def _list_scripts(self, request: ListScripts, send: Send) -> None:
        tenant_id = await self._tenant(request.tenant)
        found = await scripts.list_scripts(self._database, tenant_id, status=request.status)
        await send(Scripts(request_id=request.request_id, scripts=found))

    async def _status(self, request: Status, send: Send) -> None:
        stats = self._pool.stats()
        counts: dict[str, int] | None = None
        with suppress(StoreError):
            counts = await executions.counts_by_status(self._database, await self._tenant(request.tenant))
        await send(
            DaemonStatus(
                request_id=request.request_id,
                daemon_id=str(self._lease.daemon_id),
                version=version(),
                pid=os.getpid(),
                host=socket.gethostname(),
                uptime_seconds=time.monotonic() - self._started,
                engine_mode=stats.engine_mode,
                workers_spare=stats.spare,
                workers_busy=stats.busy,
                workers_max=stats.max_running,
                zygote_restarts=stats.zygote_restarts,
                database="down" if counts is None else "up",
                draining=self.draining,
                executions=counts or {},
            )
        )

    # -- what they share ------------------------------------------------------------------------------

    async def _tenant(self, tenant: str | None) -> UUID:
        """The id of the tenant that a request names, or of the default one. Ids of tenants never change."""
        name = tenant or self._default_tenant
        found = self._tenants.get(name)
        if found is None:
            found = (await tenants.resolve(self._database, name)).id
            if len(self._tenants) < 10_000:
                self._tenants[name] = found
        return found

    def _refuse_while_draining(self) -> None:
        if self.draining:
            raise Draining("the daemon is stopping and takes nothing new", "submit again when it is back")


def _execution_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InvalidInput(f"{text[:100]!r} is not the id of an execution.", field="execution_id") from None


def _checked_json(field: str, text: str) -> str:
    """Refuse what is no JSON before it is stored: PostgreSQL's own message would quote the whole of it."""
    try:
        msgspec.json.decode(text)
    except Exception as failure:  # also RecursionError
        raise InvalidInput(f"{field} is not valid JSON: {failure}.", field=field) from failure
    return text
