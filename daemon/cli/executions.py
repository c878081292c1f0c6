"""Commands about executions."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

import click

from daemon.cli.execution_views import document, fields, list_columns
from daemon.cli.exits import Exit, complain
from daemon.cli.formats import iso
from daemon.cli.inputs import client_options, input_option, json_option, limit_options, limits, read_source
from daemon.cli.output import print_fields, print_json, print_log_line, print_table, report_end

if TYPE_CHECKING:
    from ipc.messages import Execution, LogLine
    from ipc.sync_client import Client


class _What(TypedDict):
    """What to submit."""

    script: str | None
    source: str | None


STATUSES = ("pending", "running", "completed", "failed", "timeout", "cancelled")


def _script_or_source(name: str) -> _What:
    """Return `name` as the arguments of `Client.submit`: what looks like a file is one."""
    if name.endswith((".js", ".mjs")) or "/" in name:
        return {"script": None, "source": read_source(Path(name))}
    return {"script": name, "source": None}


@click.command()
@click.argument("script")
@input_option
@click.option("--wait", is_flag=True, help="Wait for its end; print its output and exit as 'run' does.")
@click.option("--priority", type=int, default=0, show_default=True, help="A higher one starts earlier.")
@click.option("--delay-ms", type=click.IntRange(min=0), default=0, help="Not to start before this has passed.")
@limit_options
@json_option
@client_options
def submit(
    client: Client,
    script: str,
    input_json: str,
    wait: bool,
    priority: int,
    delay_ms: int,
    timeout_ms: int | None,
    memory_bytes: int | None,
    as_json: bool,
) -> int:
    """Record an execution of SCRIPT and print its id.

    SCRIPT is the name or id of a script; or a file, where it ends in .js or .mjs or has a slash in it, which
    is then run once.
    """
    execution_id = client.submit(
        **_script_or_source(script),
        input_json=input_json,
        trigger_type="manual",
        limits=limits(timeout_ms, memory_bytes),
        priority=priority,
        delay_ms=delay_ms,
    )
    if wait:
        return _end_of(client, execution_id, as_json)
    if as_json:
        print_json({"execution_id": execution_id})
    else:
        click.echo(execution_id)
    return Exit.OK


def _end_of(client: Client, execution_id: str, as_json: bool) -> int:
    """Wait for an execution, print how it ended, and return the exit code."""
    if sys.stderr.isatty():
        click.echo(f"execution {execution_id}", err=True)
    try:
        execution = client.wait(execution_id)
    except KeyboardInterrupt:
        complain("interrupted; the execution goes on", f"see 'jsruntime show {execution_id}'")
        return Exit.INTERRUPTED
    if as_json:
        print_json(document(execution))
        return {"completed": Exit.OK, "timeout": Exit.TIMEOUT}.get(execution.status, Exit.FAILED)
    return report_end(execution.status, execution.output_json, execution.error, execution.postmortem)


@click.command()
@click.option("--status", type=click.Choice(STATUSES), help="Only these.")
@click.option("--script", metavar="NAME|ID", help="Only those of this script.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="How many at most.")
@json_option
@client_options
def ps(client: Client, status: str | None, script: str | None, limit: int, as_json: bool) -> None:
    """List executions, newest first."""
    found = _pages(client, status, script, limit)
    if as_json:
        print_json([document(execution) for execution in found])
    else:
        print_table(list_columns(time.time()), found, "No executions.")


def _pages(client: Client, status: str | None, script: str | None, limit: int) -> list[Execution]:
    """Return up to `limit` executions, from as many pages as that takes."""
    found: list[Execution] = []
    before = None
    while len(found) < limit:
        page = client.list_executions(
            script=script,
            status=status,  # type: ignore[arg-type]  # click has checked it
            limit=min(limit - len(found), 200),
            before=before,
        )
        found += page.executions
        before = page.next_before
        if before is None or not page.executions:
            break
    return found[:limit]


@click.command()
@click.argument("execution_id", metavar="ID")
@json_option
@client_options
def show(client: Client, execution_id: str, as_json: bool) -> None:
    """Show an execution: what it was given, how it ended and why."""
    execution = client.show(execution_id)
    if as_json:
        print_json(document(execution))
    else:
        print_fields(fields(execution, time.time()))


@click.command()
@click.argument("execution_id", metavar="ID")
@click.option("-f", "--follow", is_flag=True, help="Go on as lines are written, until the execution ends.")
@json_option
@client_options
def logs(client: Client, execution_id: str, follow: bool, as_json: bool) -> None:
    """Print what an execution has written to its console. With --json, one document a line."""
    lines = client.logs(execution_id, follow=follow)
    for line in lines:
        if as_json:
            _print_json_line(line)
        else:
            print_log_line(line, prefix=_log_prefix(line))
    if lines.dropped_bytes:
        click.echo(f"note: {lines.dropped_bytes:,} bytes more were written than are kept", err=True)


def _log_prefix(line: LogLine) -> str:
    if sys.stdout.isatty():
        moment = time.localtime(line.logged_at)
        return f"{time.strftime('%H:%M:%S', moment)}.{int(line.logged_at % 1 * 1000):03d} {line.level:5}  "
    return f"{iso(line.logged_at)} {line.level:5} "


def _print_json_line(line: LogLine) -> None:
    import msgspec

    entry = {**msgspec.to_builtins(line), "logged_at": iso(line.logged_at)}
    click.echo(msgspec.json.encode(entry).decode())


@click.command(short_help="Cancel an execution.")
@click.argument("execution_id", metavar="ID")
@json_option
@client_options
def cancel(client: Client, execution_id: str, as_json: bool) -> int:
    """Cancel an execution: a pending one at once, a running one by killing its process.

    Exits with 1 where it had ended already.
    """
    status = client.cancel(execution_id)
    changed = status in ("pending", "running")
    if as_json:
        print_json({"execution_id": execution_id, "status_before": status, "cancelled": changed})
    elif changed:
        click.echo("cancelled" if status == "pending" else "cancelling: its process is being killed")
    else:
        complain(f"the execution had ended already: {status}", f"see 'jsruntime show {execution_id}'")
    return Exit.OK if changed else Exit.FAILED
