"""The command line: the group of all commands."""

from __future__ import annotations

import click

from daemon.cli.executions import cancel, logs, ps, show, submit
from daemon.cli.exits import EXIT_CODES_HELP
from daemon.cli.groups import Root
from daemon.cli.migrations import migrate
from daemon.cli.run import run
from daemon.cli.scripts import deploy, scripts
from daemon.cli.service import dev, serve, status


def _print_version(ctx: click.Context, _parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        number = version("jsruntimed")
    except PackageNotFoundError:
        number = "(not installed: run from a checkout)"
    click.echo(f"jsruntime {number}")
    ctx.exit()


@click.group(
    cls=Root,
    help="Run tenants' JavaScript, each execution in a fresh, confined process.",
    epilog=EXIT_CODES_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def cli() -> None:
    """All commands; each ends by returning its exit code."""


for _command in (run, dev, serve, migrate, deploy, scripts, submit, ps, show, logs, cancel, status):
    cli.add_command(_command)
