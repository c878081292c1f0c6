"""Commands that start a daemon, and the one that asks it how it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.cli.formats import duration
from daemon.cli.inputs import client_options, json_option
from daemon.cli.output import print_fields, print_json, status_cell

if TYPE_CHECKING:
    from ipc.messages import DaemonStatus
    from ipc.sync_client import Client


@click.command(short_help="Serve a folder of scripts, with a database of its own.")
@click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path), default=Path(), required=False
)
def dev(directory: Path) -> int:
    """Serve the scripts in DIRECTORY (or this one) with a database of its own.

    Starts an embedded PostgreSQL in .jsruntime/, deploys the scripts, again whenever a file changes, and
    serves until Ctrl-C. Once it is ready, .jsruntime/dev.json says where everything is.
    """
    from daemon.dev import run_dev

    return run_dev(directory)


@click.command()
@click.option(
    "--config",
    required=True,
    envvar="JSRUNTIME_CONFIG",
    show_envvar=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The configuration, in TOML.",
)
def serve(config: Path) -> int:
    """Run the daemon against a PostgreSQL server.

    SIGTERM lets what runs finish and stops; a second one stops at once.
    """
    from daemon.serve import run_serve

    return run_serve(config)


@click.command()
@json_option
@client_options
def status(client: Client, as_json: bool) -> None:
    """Say what the daemon is doing."""
    now = client.status()
    if as_json:
        import msgspec

        document = msgspec.to_builtins(now)
        document.pop("type")
        document.pop("request_id")
        print_json({"executions": {}, **document})
    else:
        print_fields(_fields(now))


def _fields(now: DaemonStatus) -> list[tuple[str, str, str]]:
    state = "draining: finishing what runs, taking nothing new" if now.draining else "serving"
    counts = [(name, f"{count:,}", status_cell(name)[1]) for name, count in now.executions.items()]
    return [
        ("daemon", now.daemon_id, ""),
        ("state", state, "yellow" if now.draining else "green"),
        ("version", now.version, ""),
        ("process", f"{now.pid} on {now.host}", ""),
        ("up for", duration(now.uptime_seconds), ""),
        ("database", *status_cell(now.database)),
        ("engine", now.engine_mode, ""),
        ("workers", f"{now.workers_busy} busy, {now.workers_spare} spare, at most {now.workers_max}", ""),
        ("zygote restarts", str(now.zygote_restarts), "yellow" if now.zygote_restarts else ""),
        *counts,
    ]
