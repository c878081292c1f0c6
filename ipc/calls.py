"""The requests of the client library, each described once for both clients.

A function here has the parameters and the docstring of the method of the same name of `ipc.client.Client` and
`ipc.client.AsyncClient`. It returns a `Call`: the message to send, the message that ends the answer, and
how to read the result from it. `Exchange` follows one call through its replies. Nothing here does I/O.
"""

# ruff: noqa: A002 - `input` is what the project calls it everywhere

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec

from ipc import messages
from ipc.errors import InvalidRequest, ProtocolViolation, from_reply
from ipc.messages import ErrorReply, Execution, ExecutionStatus, Limits, Request, ScriptStatus, ServerMessage

R = TypeVar("R")

#: Stands for "not given" where `None` is a value.
_NOT_GIVEN: Any = msgspec.UNSET

#: The id of a request that has not been given one yet.
_NO_ID = 0


class Call(Generic[R]):
    """One request. `last` is the type of the message that ends its answer; `result` reads that message."""

    __slots__ = ("last", "request", "result")

    def __init__(self, request: Request, last: type[ServerMessage], result: Callable[[Any], R]) -> None:
        self.request = request
        self.last = last
        self.result = result


class Exchange(Generic[R]):
    """Follows one call through its replies. `execution_id` is known once the daemon has recorded one."""

    __slots__ = ("_call", "_outcome", "execution_id")

    def __init__(self, call: Call[R]) -> None:
        self._call = call
        self._outcome: ServerMessage | None = None
        self.execution_id: str | None = None

    def feed(self, message: ServerMessage) -> bool:
        """Take one reply; return whether it was the last."""
        if isinstance(message, (self._call.last, ErrorReply)):
            self._outcome = message
            return True
        if isinstance(message, messages.Submitted):
            self.execution_id = message.execution_id
            return False
        self._outcome = _unexpected(message)
        return True

    def result(self) -> R:
        """Return the result, after the last reply.

        :raises IpcError: the class that stands for the daemon's `ErrorReply`.
        """
        if isinstance(self._outcome, ErrorReply):
            raise from_reply(self._outcome, execution_id=self.execution_id)
        return self._call.result(self._outcome)


def _unexpected(message: ServerMessage) -> ErrorReply:
    name = type(message).__name__
    return ErrorReply(code="protocol", message=f"the daemon answered with {name}, which was not asked for")


def next_lines(message: ServerMessage) -> messages.LogLines:
    """Return `message`, which answers `Logs`, as what it must be.

    :raises IpcError: it is an `ErrorReply`, or no answer to `Logs`.
    """
    if isinstance(message, messages.LogLines):
        return message
    if isinstance(message, ErrorReply):
        raise from_reply(message)
    raise ProtocolViolation(_unexpected(message).message)


def method_signature(build: Callable[..., Call[R]]) -> inspect.Signature:
    """Return the signature of the method that `build` describes: with `self`, and its result for a `Call`."""
    signature = inspect.signature(build)
    itself = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    annotation = str(signature.return_annotation).removeprefix("Call[").removesuffix("]")
    return signature.replace(parameters=[itself, *signature.parameters.values()], return_annotation=annotation)


def addressed(request: Request, request_id: int, tenant: str | None) -> Request:
    """Return `request` with its id, and with `tenant` where it names none of its own."""
    return msgspec.structs.replace(request, request_id=request_id, tenant=request.tenant or tenant)


def _optional_json(name: str, value: object) -> str | None:
    """JSON text of an argument that may be left out."""
    if value is None:
        return None
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidRequest(f"{name} cannot be encoded as JSON: {error}", "give what JSON can hold") from error


def as_json(value: object, text: str | None) -> str:
    """Return `text`, or `value` as JSON text, or an empty object where neither is given.

    :raises InvalidRequest: both are given, or `value` has a part that JSON has no form for.
    """
    if value is _NOT_GIVEN:
        return "{}" if text is None else text
    if text is not None:
        raise InvalidRequest("input and input_json are both given", "give one of the two")
    try:
        return msgspec.json.encode(value).decode()
    except Exception as error:  # TypeError, OverflowError, RecursionError, UnicodeEncodeError …
        raise InvalidRequest(
            f"the input cannot be written as JSON: {error}",
            "give dicts with string keys, lists, strings, numbers, bools and None",
        ) from error


def submit(
    script: str | None = None,
    *,
    source: str | None = None,
    input: object = _NOT_GIVEN,
    input_json: str | None = None,
    priority: int = 0,
    delay_ms: int = 0,
    limits: Limits | None = None,
    tenant: str | None = None,
    trigger_type: Literal["manual", "api"] = "api",
) -> Call[str]:
    """Record an execution and return its id. It is durable when this returns.

    :param script: name or id of a script; or give `source`.
    :param source: JavaScript to run once; the same source is recorded as the same `oneoff` script.
    :param input: what the script is given: any value that JSON has a form for. An empty object if left out.
    :param input_json: the same as JSON text, which is sent as it is.
    :param priority: a higher one starts earlier.
    :param delay_ms: how long the execution waits before it may start.
    :param limits: lower limits than the script's own, for this execution.
    :param tenant: id or name; the client's own tenant if left out, and then the daemon's.
    :raises NotFound: no such script or tenant.
    :raises InvalidRequest: an argument is not valid.
    :raises TooLarge: the source or the input is over its limit.
    :raises Unavailable: the database is away; nothing was recorded.
    :raises ConnectionLost: the answer did not arrive; the execution may or may not have been recorded.
    """
    request = messages.Submit(
        request_id=_NO_ID,
        tenant=tenant,
        script=script,
        source=source,
        input_json=as_json(input, input_json),
        trigger_type=trigger_type,
        priority=priority,
        delay_ms=delay_ms,
        limits=limits or Limits(),
    )
    return Call(request, messages.Submitted, _execution_id)


def _execution_id(reply: messages.Submitted) -> str:
    return reply.execution_id


def submit_and_wait(
    script: str | None = None,
    *,
    source: str | None = None,
    input: object = _NOT_GIVEN,
    input_json: str | None = None,
    priority: int = 0,
    delay_ms: int = 0,
    limits: Limits | None = None,
    tenant: str | None = None,
    trigger_type: Literal["manual", "api"] = "api",
) -> Call[Execution]:
    """Record an execution, wait for its end and return it, however it ended. Arguments as for `submit`.

    There is no time limit but the script's own; to wait for a limited time, `submit` and then `wait`.

    :raises IpcError: as for `submit`. Its `execution_id`, where it is set, says that the execution was
        recorded: `wait` for it by that id.
    """
    call = submit(
        script,
        source=source,
        input=input,
        input_json=input_json,
        priority=priority,
        delay_ms=delay_ms,
        limits=limits,
        tenant=tenant,
        trigger_type=trigger_type,
    )
    request = msgspec.structs.replace(call.request, wait=True)
    return Call(request, messages.Finished, _execution)


def _execution(reply: messages.Finished | messages.Shown) -> Execution:
    return reply.execution


def run(
    source: str,
    *,
    input: object = _NOT_GIVEN,
    input_json: str | None = None,
    limits: Limits | None = None,
    name: str = "script.js",
    tenant: str | None = None,
) -> Call[messages.Ran]:
    """Run `source` at once, in a process of its own, recording nothing; return how it ended.

    :param name: stands for the source in its error messages.
    :raises InvalidRequest: an argument is not valid.
    :raises Unavailable: no worker can be had just now.
    :raises ConnectionLost: the result is lost, and with it the run.
    """
    request = messages.Run(
        request_id=_NO_ID,
        tenant=tenant,
        source=source,
        name=name,
        input_json=as_json(input, input_json),
        limits=limits or Limits(),
    )
    return Call(request, messages.Ran, _itself)


def _itself(reply: R) -> R:
    return reply


def wait(execution_id: str, *, timeout_ms: int | None = None, tenant: str | None = None) -> Call[Execution]:
    """Wait for the end of an execution, by whomever it was submitted, and return it.

    :param timeout_ms: `None` waits for as long as it takes.
    :raises WaitTimeout: it has not ended within `timeout_ms`; it goes on.
    :raises NotFound: no such execution.
    """
    request = messages.Wait(request_id=_NO_ID, tenant=tenant, execution_id=execution_id, timeout_ms=timeout_ms)
    return Call(request, messages.Finished, _execution)


def cancel(execution_id: str, *, tenant: str | None = None) -> Call[ExecutionStatus]:
    """Cancel an execution and return the status that it had: `pending` is cancelled now, `running` will be in
    a moment, any other had ended already and stays.

    :raises NotFound: no such execution.
    """
    request = messages.Cancel(request_id=_NO_ID, tenant=tenant, execution_id=execution_id)
    return Call(request, messages.Cancelled, _status_before)


def _status_before(reply: messages.Cancelled) -> ExecutionStatus:
    return reply.status


def show(execution_id: str, *, tenant: str | None = None) -> Call[Execution]:
    """Return an execution as it is now.

    :raises NotFound: no such execution.
    """
    request = messages.Show(request_id=_NO_ID, tenant=tenant, execution_id=execution_id)
    return Call(request, messages.Shown, _execution)


def list_executions(
    *,
    script: str | None = None,
    status: ExecutionStatus | None = None,
    limit: int = 50,
    before: str | None = None,
    tenant: str | None = None,
) -> Call[messages.Executions]:
    """Return one page of executions, newest first, without their inputs and outputs.

    :param script: only those of this script (name or id).
    :param before: `next_before` of the page before.
    :raises NotFound: no such script.
    """
    request = messages.ListExecutions(
        request_id=_NO_ID, tenant=tenant, script=script, status=status, limit=limit, before=before
    )
    return Call(request, messages.Executions, _itself)


def deploy(
    name: str,
    source: str,
    *,
    script_type: messages.ScriptType = "oneoff",
    status: ScriptStatus = "active",
    description: str | None = None,
    resource_limits: Mapping[str, int] | None = None,
    cron_expression: str | None = None,
    http_path: str | None = None,
    http_methods: list[str] | None = None,
    event_types: list[str] | None = None,
    metadata: Mapping[str, object] | None = None,
    tags: list[str] | None = None,
    change_description: str | None = None,
    tenant: str | None = None,
) -> Call[messages.Deployed]:
    """Create the script `name`, or change it; unchanged source makes no new version.

    :param resource_limits: limits by name; those that are not named keep their value, or have their default.
    :param metadata: what JSON can hold; it is kept with the script.
    :param cron_expression: when a `scheduled` script runs.
    :param http_path: where an `http` script answers; `http_methods`: to which methods.
    :param event_types: what an `event` script is called for.
    :param change_description: kept with the new version.
    :raises InvalidRequest: an argument is not valid, or missing for this type of script.
    :raises Conflict: another script has the path, or the script may not change in this way.
    """
    request = messages.Deploy(
        request_id=_NO_ID,
        tenant=tenant,
        name=name,
        source=source,
        script_type=script_type,
        status=status,
        description=description,
        resource_limits_json=_optional_json("resource_limits", resource_limits),
        cron_expression=cron_expression,
        http_path=http_path,
        http_methods=http_methods,
        event_types=event_types,
        metadata_json=_optional_json("metadata", metadata),
        tags=tags,
        change_description=change_description,
    )
    return Call(request, messages.Deployed, _itself)


def list_scripts(*, status: ScriptStatus | None = None, tenant: str | None = None) -> Call[list[messages.Script]]:
    """Return the scripts of the tenant, by name, without their sources."""
    request = messages.ListScripts(request_id=_NO_ID, tenant=tenant, status=status)
    return Call(request, messages.Scripts, _scripts)


def _scripts(reply: messages.Scripts) -> list[messages.Script]:
    return reply.scripts


def status(*, tenant: str | None = None) -> Call[messages.DaemonStatus]:
    """Return what the daemon is doing."""
    return Call(messages.Status(request_id=_NO_ID, tenant=tenant), messages.DaemonStatus, _itself)


def logs(execution_id: str, *, after_seq: int = 0, follow: bool = False, tenant: str | None = None) -> messages.Logs:
    """Return the request for console lines."""
    return messages.Logs(
        request_id=_NO_ID, tenant=tenant, execution_id=execution_id, after_seq=after_seq, follow=follow
    )
