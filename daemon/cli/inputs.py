"""What the command line is given: JSON, files, and the options that many commands share."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from ipc.messages import Limits

if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType

Command = Callable[..., Any]


class JsonText(_TextType):
    """JSON text, checked; with `from_files` also `@FILE`, and `-` for standard input."""

    name = "json"

    def __init__(self, *, from_files: bool = True, object_only: bool = False) -> None:
        self._from_files = from_files
        self._object_only = object_only

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text.

        :raises click.BadParameter: it is no JSON (says where), or its file cannot be read.
        """
        where, text = self._read(value, param, ctx)
        try:
            document = json.loads(text, parse_constant=_no_constant)
        except json.JSONDecodeError as error:
            self.fail(f"{where}not valid JSON at line {error.lineno}, column {error.colno}: {error.msg}", param, ctx)
        except (ValueError, RecursionError) as error:
            self.fail(f"{where}not valid JSON: {error}", param, ctx)
        if self._object_only and not isinstance(document, dict):
            self.fail(f"{where}must be a JSON object", param, ctx)
        return text

    def _read(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if not self._from_files or not (value == "-" or value.startswith("@")):
            return "", value
        where = "standard input: " if value == "-" else f"{value[1:]}: "
        try:
            content = sys.stdin.buffer.read() if value == "-" else Path(value[1:]).read_bytes()
            return where, content.decode("utf-8-sig")
        except OSError as error:
            self.fail(f"{where}{error.strerror}", param, ctx)
        except UnicodeDecodeError as error:
            self.fail(f"{where}not UTF-8 (byte {error.start})", param, ctx)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is JavaScript, but not JSON")


def read_source(path: Path) -> str:
    """Return the JavaScript in the file at `path`.

    :raises click.BadParameter: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise click.BadParameter(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise click.BadParameter(f"{path}: not UTF-8 (byte {error.start})") from None


def limits(timeout_ms: int | None, memory_bytes: int | None) -> Limits:
    """Return the limits for one execution that `limit_options` were given."""
    from ipc.messages import Limits

    return Limits(max_execution_time_ms=timeout_ms, max_memory_bytes=memory_bytes)


def input_option(command: Command) -> Command:
    """Add `--input`, which gives `input_json`."""
    return click.option(
        "--input",
        "input_json",
        type=JsonText(),
        default="{}",
        metavar="JSON|@FILE|-",
        help="What the script is given: JSON, a file with it, or - for standard input.  [default: {}]",
    )(command)


def limit_options(command: Command) -> Command:
    """Add `--timeout-ms` and `--memory-bytes`."""
    positive = click.IntRange(min=1)
    command = click.option("--memory-bytes", type=positive, metavar="N", help="Memory it may use.")(command)
    return click.option("--timeout-ms", type=positive, metavar="N", help="Time it may take.")(command)


def json_option(command: Command) -> Command:
    """Add `--json`, which gives `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)


def client_options(command: Command) -> Command:
    """Add `--socket` and `--tenant`; the command gets `client`, which connects with its first request."""

    @click.option("--tenant", envvar="JSRUNTIME_TENANT", metavar="NAME|ID", help="Act for this tenant.")
    @click.option(
        "--socket",
        type=click.Path(),
        metavar="PATH",
        help="The daemon's socket.  [default: $JSRUNTIME_SOCKET, or that of 'jsruntime dev' in this folder, "
        "or /run/jsruntime/jsruntime.sock]",
    )
    @functools.wraps(command)
    def with_client(*args: Any, socket: str | None, tenant: str | None, **kwargs: Any) -> Any:
        from ipc.sync_client import Client

        client = Client(socket, tenant=tenant, name="jsruntime")
        try:
            return command(*args, client=client, **kwargs)
        finally:
            client.close()

    return with_client
