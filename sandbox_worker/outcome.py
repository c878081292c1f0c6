"""How the JavaScript ended, as a `Result`: cleans stacks, finds the place of an error, holds the size limits."""

from __future__ import annotations

import re
from typing import get_args

from ipc.worker_messages import Outcome, Result, ScriptError
from sandbox_worker.engine import PRELUDE_ORIGIN, Description, Finish, describe

MAX_MESSAGE_CHARS = 4096
MAX_STACK_FRAMES = 30
_MAX_FRAME_CHARS = 300

_OUTCOMES: dict[str, Outcome] = {name: name for name in get_args(Outcome)}

_FRAME = re.compile(r"^(?P<function>[^@]*)@(?P<file>.*):(?P<line>\d+):(?P<column>\d+)$")


def result_of(finish: Finish, filename: str, source: str, output_max_bytes: int) -> Result:
    """Turn what the prelude said into the message for the supervisor."""
    outcome = _OUTCOMES.get(finish.outcome, "exception")
    if outcome == "ok":
        return _output(finish.output, output_max_bytes)
    description = describe(finish.error)
    return Result(outcome, error=_error(description, filename, source if outcome == "syntax_error" else ""))


def _output(output: str, max_bytes: int) -> Result:
    output_bytes = len(output.encode("utf-8", "replace"))
    if output_bytes > max_bytes:
        message = f"the output is {output_bytes} bytes of JSON; max_output_size_bytes is {max_bytes}"
        return Result("output_size", error=ScriptError("", message, ""))
    return Result("ok", output_json=output)


def _error(description: Description, filename: str, source: str) -> ScriptError:
    frames = _frames(description.stack)
    line, column = int(description.line), int(description.column)
    if description.file != filename:
        line, column = next(((at, col) for _, file, at, col in frames if file == filename), (0, 0))
    stack = "\n".join(_shown(*frame)[:_MAX_FRAME_CHARS] for frame in frames[:MAX_STACK_FRAMES])
    if source and line:
        stack = _caret(source, filename, line, column)
    return ScriptError(
        description.name[:200], description.message[:MAX_MESSAGE_CHARS], stack, max(line, 0), max(column, 0)
    )


def _frames(stack: str) -> list[tuple[str, str, int, int]]:
    """The user's frames of a SpiderMonkey stack (`function@file:line:column` a line): function, file, line, column."""
    found = []
    for text in stack.splitlines():
        match = _FRAME.match(text)
        if match and not match["file"].startswith(PRELUDE_ORIGIN):
            found.append((match["function"], match["file"], int(match["line"]), int(match["column"])))
    return found


def _shown(function: str, file: str, line: int, column: int) -> str:
    place = f"{file}:{line}:{column}"
    return f"    at {function} ({place})" if function else f"    at {place}"


def _caret(source: str, filename: str, line: int, column: int) -> str:
    """The place of a syntax error: `file:line:column`, the line, and a caret under the column."""
    lines = re.split(r"\r\n|[\n\r\u2028\u2029]", source)
    place = f"    at {filename}:{line}:{column}"
    if line > len(lines) or len(lines[line - 1]) > _MAX_FRAME_CHARS:
        return place
    text = lines[line - 1]
    indent = "".join("\t" if character == "\t" else " " for character in text[: column - 1])
    return f"{place}\n{text}\n{indent}^"
