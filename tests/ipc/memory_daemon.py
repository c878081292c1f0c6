"""A request handler that keeps its executions in a dict: what is tested here is the way to it and back."""

from __future__ import annotations

import uuid

import anyio
import msgspec

from daemon.errors import Conflict, DatabaseUnavailable, InvalidInput, NotFound
from daemon.ipc_server import Send
from ipc import messages
from ipc.errors import WaitTimeout
from ipc.messages import Execution, ExecutionStatus, LogLine, Request, Script

#: What the execution of a script of this name comes to at once; those of others wait for `MemoryDaemon.end`.
ENDINGS: dict[str, ExecutionStatus] = {
    "echo": "completed",
    "throws": "failed",
    "loops": "timeout",
    "stopped": "cancelled",
}

SCRIPT_ID = "11111111-1111-4111-8111-111111111111"


class MemoryDaemon:
    """Answers requests. `waiting` counts the requests that wait for an execution."""

    def __init__(self) -> None:
        self.executions: dict[str, Execution] = {}
        self.requests: list[Request] = []
        self.waiting = 0
        self.lines: dict[str, list[LogLine]] = {}
        self._changed = anyio.Event()

    def end(self, execution_id: str, status: ExecutionStatus = "completed") -> None:
        """Let an execution end."""
        execution = self.executions[execution_id]
        failed = status != "completed"
        self.executions[execution_id] = msgspec.structs.replace(
            execution,
            status=status,
            outcome="exception" if failed else "ok",
            error="Error: no\x1b[31m good" if failed else None,
            postmortem="The script threw an Error." if failed else None,
            output_json=None if failed else execution.input_json,
            metrics_json='{"duration_ms":12.5,"memory_used_bytes":2048}',
            completed_at=execution.queued_at + 0.5,
        )
        self._tell()

    def write(self, execution_id: str, message: str) -> None:
        """Let an execution write a line to its console."""
        lines = self.lines.setdefault(execution_id, [])
        lines.append(LogLine(seq=len(lines) + 1, level="warn", logged_at=1_700_000_000.25, message=message))
        self._tell()

    async def until_waiting(self, count: int) -> None:
        """Return when exactly `count` requests wait."""
        while self.waiting != count:
            await self._change()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _change(self) -> None:
        await self._changed.wait()

    async def handle(self, request: Request, send: Send) -> None:
        self.requests.append(request)
        match request:
            case messages.Submit():
                await self._submit(request, send)
            case messages.Wait():
                with anyio.move_on_after(None if request.timeout_ms is None else request.timeout_ms / 1000):
                    await self._finished(request.request_id, request.execution_id, send)
                    return
                raise WaitTimeout("the execution has not ended", "wait longer")
            case messages.Run():
                await send(
                    messages.Ran(
                        request_id=request.request_id,
                        status="completed",
                        outcome="ok",
                        output_json=request.input_json,
                    )
                )
            case messages.Cancel():
                before = self._get(request.execution_id).status
                if before in ("pending", "running"):
                    self.end(request.execution_id, "cancelled")
                await send(messages.Cancelled(request_id=request.request_id, status=before))
            case messages.Show():
                execution = self._get(request.execution_id)
                await send(messages.Shown(request_id=request.request_id, execution=execution))
            case messages.ListExecutions():
                await self._list(request, send)
            case messages.Logs():
                await self._logs(request, send)
            case _:
                await self._about_scripts(request, send)

    def _get(self, execution_id: str) -> Execution:
        if execution_id not in self.executions:
            raise NotFound(f"There is no execution {execution_id}.")
        return self.executions[execution_id]

    async def _submit(self, request: messages.Submit, send: Send) -> None:
        match request.script:
            case "missing":
                raise NotFound("There is no script missing.", "Deploy it first.")
            case "nodatabase":
                raise DatabaseUnavailable("The database is away.", "Try again.")
            case "bug":
                raise RuntimeError("secret")
            case "huge":
                await send(messages.Submitted(request_id=request.request_id, execution_id="x" * 2**25, script_id=""))
        execution_id = str(uuid.uuid4())
        self.executions[execution_id] = Execution(
            id=execution_id,
            script_id=SCRIPT_ID,
            script_name=request.script or "inline",
            tenant_id=request.tenant or "default",
            status="running",
            trigger_type=request.trigger_type,
            input_json=request.input_json,
            priority=request.priority,
            queued_at=1_700_000_000.0,
            started_at=1_700_000_000.0,
        )
        if (ending := ENDINGS.get(request.script or "echo")) is not None:
            self.end(execution_id, ending)
        await send(messages.Submitted(request_id=request.request_id, execution_id=execution_id, script_id=SCRIPT_ID))
        if request.wait:
            await self._finished(request.request_id, execution_id, send)

    async def _finished(self, request_id: int, execution_id: str, send: Send) -> None:
        self.waiting += 1
        self._tell()
        try:
            while self._get(execution_id).status == "running":
                await self._change()
        finally:
            self.waiting -= 1
            self._tell()
        await send(messages.Finished(request_id=request_id, execution=self._get(execution_id)))

    async def _list(self, request: messages.ListExecutions, send: Send) -> None:
        """Pages of two, to have some."""
        found = list(reversed(self.executions.values()))
        start = int(request.before or "0")
        page = found[start : start + min(request.limit, 2)]
        after = start + len(page)
        await send(
            messages.Executions(
                request_id=request.request_id,
                executions=page,
                next_before=str(after) if after < len(found) else None,
            )
        )

    async def _logs(self, request: messages.Logs, send: Send) -> None:
        self._get(request.execution_id)
        after = request.after_seq
        self.waiting += 1
        self._tell()
        try:
            while True:
                lines = self.lines.get(request.execution_id, [])[after:]
                ended = self._get(request.execution_id).status != "running"
                after += len(lines)
                if lines:
                    await send(messages.LogLines(request_id=request.request_id, lines=lines))
                if ended or not request.follow:
                    break
                await self._change()
        finally:
            self.waiting -= 1
            self._tell()
        await send(messages.LogLines(request_id=request.request_id, end=True, dropped_bytes=7))

    async def _about_scripts(self, request: Request, send: Send) -> None:
        match request:
            case messages.Deploy(name="taken"):
                raise Conflict("The path is taken.", "Choose another.")
            case messages.Deploy(script_type="scheduled", cron_expression=None):
                raise InvalidInput("A scheduled script needs a cron expression.", field="cron_expression")
            case messages.Deploy():
                await send(
                    messages.Deployed(request_id=request.request_id, script_id=SCRIPT_ID, version=3, changed=True)
                )
            case messages.ListScripts():
                script = Script(
                    id=SCRIPT_ID, name="echo", tenant_id="default", type="oneoff", status="active", version=3
                )
                await send(messages.Scripts(request_id=request.request_id, scripts=[script]))
            case messages.Status():
                await send(
                    messages.DaemonStatus(
                        request_id=request.request_id,
                        daemon_id="d-1",
                        version="1.2.3",
                        pid=1,
                        host="here",
                        uptime_seconds=65.0,
                        engine_mode="jit",
                        workers_spare=2,
                        workers_busy=1,
                        workers_max=8,
                        zygote_restarts=0,
                        database="up",
                        draining=False,
                    )
                )
