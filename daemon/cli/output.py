"""How commands print: tables and colours for people at a terminal, plain lines or JSON for programs.

`rich` is imported only where a terminal is written to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import click

from daemon.cli.formats import one_line, printable

if TYPE_CHECKING:
    from rich.console import Console

    from ipc.messages import LogLine

T = TypeVar("T")

STATUS_STYLES = {
    "pending": "yellow",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "timeout": "magenta",
    "cancelled": "bright_black",
    "active": "green",
    "draft": "yellow",
    "paused": "yellow",
    "disabled": "red",
    "archived": "bright_black",
    "up": "green",
    "down": "red",
}

_LEVEL_STYLES = {"debug": "bright_black", "warn": "yellow", "error": "red"}


class Column(NamedTuple, Generic[T]):
    """A column: `plain` for programs, `human` (text, style) for a terminal, or `plain` there too."""

    name: str
    plain: Callable[[T], str]
    human: Callable[[T], tuple[str, str]] | None = None
    right: bool = False
    flexible: bool = False

    def cell(self, item: T) -> tuple[str, str]:
        """Return text and style for a terminal."""
        return self.human(item) if self.human else (self.plain(item), "")


def status_cell(status: str) -> tuple[str, str]:
    """Return a status and its colour."""
    return status, STATUS_STYLES.get(status, "")


def console() -> Console:
    """Return the console that writes to standard output."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False)


def print_table(columns: Sequence[Column[T]], items: Sequence[T], empty: str) -> None:
    """Print a table at a terminal, else one line per item with tabs between, without a heading.

    :param empty: what to say to a person where there are no items.
    """
    if not sys.stdout.isatty():
        for item in items:
            click.echo("\t".join(one_line(column.plain(item)) for column in columns))
        return
    if not items:
        click.echo(empty)
        return
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.name,
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column.flexible else None,
            min_width=36 if column.name == "ID" else None,
        )
    for item in items:
        cells = (column.cell(item) for column in columns)
        table.add_row(*(Text(one_line(text), style) for text, style in cells))
    console().print(table)


def print_fields(fields: Sequence[tuple[str, str, str]]) -> None:
    """Print (name, value, style) each on a line; longer values wrap at a terminal, under themselves."""
    if not sys.stdout.isatty():
        for name, value, _style in fields:
            click.echo(f"{name}\t{one_line(value)}")
        return
    from rich.table import Table
    from rich.text import Text

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bright_black", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value, style in fields:
        grid.add_row(name, Text(printable(value), style))
    console().print(grid)


def print_json(document: Any) -> None:
    """Print one JSON document: indented at a terminal, else in one line."""
    import msgspec

    print_json_text(msgspec.json.encode(document).decode())


def print_json_text(text: str) -> None:
    """Print JSON text, as `print_json` does. Digits of numbers are kept as they are."""
    import msgspec

    at_terminal = sys.stdout.isatty()
    formatted = msgspec.json.format(text, indent=2 if at_terminal else -1)
    click.echo(printable(formatted) if at_terminal else formatted)


def print_log_line(line: LogLine, *, prefix: str = "", err: bool = False) -> None:
    """Print a console line of a script. What follows a line break in it is indented under its `prefix`."""
    indent = " " * len(prefix)
    message = printable(line.message).replace("\n", "\n" + indent)
    stream = sys.stderr if err else sys.stdout
    style = _LEVEL_STYLES.get(line.level)
    if style and stream.isatty() and not os.environ.get("NO_COLOR"):
        message = click.style(message, fg=style)
    click.echo(prefix + message, err=err)


def report_end(status: str, output_json: str | None, error: str | None, postmortem: str | None) -> int:
    """Print the output, or on standard error what went wrong. Return the exit code."""
    from daemon.cli.exits import Exit

    if status == "completed":
        print_json_text(output_json or "null")
        return Exit.OK
    click.echo(f"{status}: {printable(error or postmortem or 'no reason was recorded')}", err=True)
    if error and postmortem and postmortem != error:
        click.echo(f"  {one_line(postmortem)}", err=True)
    return Exit.TIMEOUT if status == "timeout" else Exit.FAILED
