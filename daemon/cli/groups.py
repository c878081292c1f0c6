"""Groups of commands, and how a command ends."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import click

from daemon.cli.exits import Exit, report, report_usage


class Group(click.Group):
    """A group that lists its commands in the order they were added, and with no command shows its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what is the group's own, and return the rest."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(Exit.USAGE)
        return super().parse_args(ctx, args)


class Root(Group):
    """A group whose commands return their exit code, and whose errors are never tracebacks."""

    def main(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the command and exit."""
        kwargs["standalone_mode"] = False
        try:
            code = super().main(*args, **kwargs)
        except click.ClickException as error:
            code = report_usage(error)
        except click.Abort:
            code = Exit.INTERRUPTED
        sys.exit(code if isinstance(code, int) else Exit.OK)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command and return its exit code."""
        try:
            code = super().invoke(ctx)
            sys.stdout.flush()
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except BrokenPipeError:
            # Whoever read our output has seen enough. Nothing must be flushed into the pipe at exit either.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Exit.BROKEN_PIPE
        except Exception as error:
            return report(error)
        return code
