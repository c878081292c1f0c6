"""What the command exits with, and what an error says.

Imports nothing heavy: it is part of `jsruntime --help`.
"""

from __future__ import annotations

import enum
import os
import traceback

import click

from daemon.cli.formats import printable


class Exit(enum.IntEnum):
    """Exit codes of every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    TIMEOUT = 124
    INTERRUPTED = 130
    BROKEN_PIPE = 141


EXIT_CODES_HELP = """\b
Exit codes:
  0    done; an execution that was waited for has completed
  1    the execution failed or was cancelled, or the command failed
  2    wrong usage, or a value that is not valid
  3    no such script, execution or tenant
  4    the daemon or its database is not available, or refuses this user
  124  the execution, or the wait for it, ran out of time
  130  interrupted with Ctrl-C
"""

#: By name, so that an error of a part that was never imported need not be imported to be told from others.
_CODE_OF_ERROR = {
    "NotFound": Exit.NOT_FOUND,
    "DaemonUnavailable": Exit.UNAVAILABLE,
    "AccessDenied": Exit.UNAVAILABLE,
    "ConnectionLost": Exit.UNAVAILABLE,
    "Unavailable": Exit.UNAVAILABLE,
    "Draining": Exit.UNAVAILABLE,
    "DatabaseUnavailable": Exit.UNAVAILABLE,
    "InvalidRequest": Exit.USAGE,
    "InvalidInput": Exit.USAGE,
    "ConfigError": Exit.USAGE,
    "WaitTimeout": Exit.TIMEOUT,
}


def complain(message: str, hint: str = "") -> None:
    """Print an error: what happened and, on a second line, what to do."""
    click.echo(f"error: {printable(' '.join(message.split()))}", err=True)
    if hint:
        click.echo(f"  {printable(' '.join(hint.split()))}", err=True)


def report(error: Exception) -> Exit:
    """Tell about `error`, which ended the command, and return the exit code."""
    from daemon.errors import JsRuntimeError
    from ipc.errors import IpcError

    if isinstance(error, JsRuntimeError | IpcError):
        complain(error.message, error.hint)
        names = (cls.__name__ for cls in type(error).__mro__)
        return next((_CODE_OF_ERROR[name] for name in names if name in _CODE_OF_ERROR), Exit.FAILED)
    if os.environ.get("JSRUNTIME_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, OSError):
        complain(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    else:
        complain(
            f"this should not have happened: {type(error).__name__}: {error}",
            "set JSRUNTIME_DEBUG=1 to see where, and report it",
        )
    return Exit.FAILED


def report_usage(error: click.ClickException) -> int:
    """Tell about a wrong use of the command line, and return the exit code."""
    context = getattr(error, "ctx", None)
    complain(error.format_message(), f"see '{context.command_path} --help'" if context else "")
    return error.exit_code
