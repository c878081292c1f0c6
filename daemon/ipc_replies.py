"""How errors are told to a client."""

from __future__ import annotations

import logging

from daemon import errors
from ipc.errors import IpcError
from ipc.messages import ErrorCode, ErrorReply

logger = logging.getLogger(__name__)

#: The first class that fits decides. What fits none is a fault of ours and told as no more than that.
_CODES: tuple[tuple[type[errors.JsRuntimeError], ErrorCode], ...] = (
    (errors.DatabaseUnavailable, "unavailable"),
    (errors.NotFound, "not_found"),
    (errors.Conflict, "conflict"),
    (errors.InvalidInput, "invalid"),
    (errors.SandboxError, "unavailable"),
)


def error_reply(error: Exception, request_id: int) -> ErrorReply:
    """Return what a client is told about `error`, which ended its request.

    An `ipc.errors.IpcError` that a handler raises (`WaitTimeout`, `Draining`, `TooLarge` …) keeps its code.
    """
    if isinstance(error, IpcError) and error.code is not None:
        return ErrorReply(code=error.code, message=error.message, hint=error.hint, request_id=request_id)
    if isinstance(error, errors.JsRuntimeError):
        for kind, code in _CODES:
            if isinstance(error, kind):
                return ErrorReply(code=code, message=error.message, hint=error.hint, request_id=request_id)
    logger.error("A request failed.", exc_info=error)
    return ErrorReply(
        code="internal",
        message="the daemon failed to answer this request",
        hint="its log says more",
        request_id=request_id,
    )
