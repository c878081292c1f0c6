"""`jsruntime migrate`: the schema of a database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from daemon.cli.formats import iso
from daemon.cli.groups import Group
from daemon.cli.inputs import Command, json_option
from daemon.cli.output import Column, print_json, print_table

if TYPE_CHECKING:
    from daemon.migrate import MigrationStatus

_STYLES = {"applied": "green", "adopted": "green", "pending": "yellow", "changed": "red", "missing": "red"}


def _dsn_option(command: Command) -> Command:
    return click.option(
        "--dsn",
        callback=_dsn_or_dev,
        envvar="JSRUNTIME_DSN",
        metavar="DSN",
        help="The database.  [default: $JSRUNTIME_DSN, or that of 'jsruntime dev' in this folder]",
    )(command)


def _dsn_or_dev(_ctx: click.Context, _parameter: click.Parameter, dsn: str | None) -> str:
    if dsn:
        return dsn
    import msgspec

    from ipc.location import DEV_FILE

    try:
        return str(msgspec.json.decode(DEV_FILE.read_bytes())["dsn"])
    except (OSError, msgspec.DecodeError, KeyError, TypeError):
        raise click.UsageError("no database is named: give --dsn, or set JSRUNTIME_DSN") from None


@click.group(cls=Group)
def migrate() -> None:
    """Bring a database's schema up or down, or say where it is."""


@migrate.command()
@_dsn_option
@json_option
def up(dsn: str, as_json: bool) -> None:
    """Apply the migrations that are pending, oldest first."""
    import asyncio

    from daemon.migrate import up as apply

    _print_done("applied", asyncio.run(apply(dsn)), as_json)


@migrate.command()
@click.option("--steps", type=click.IntRange(min=1), default=1, show_default=True, help="How many.")
@_dsn_option
@json_option
def down(dsn: str, steps: int, as_json: bool) -> None:
    """Take back the latest migrations, and with them the data in what they made."""
    import asyncio

    from daemon.migrate import down as take_back

    _print_done("taken back", asyncio.run(take_back(dsn, steps)), as_json)


def _print_done(did: str, files: list[str], as_json: bool) -> None:
    if as_json:
        print_json(files)
    elif files:
        for name in files:
            click.echo(f"{did} {name}")
    else:
        click.echo("nothing to do", err=True)


@migrate.command()
@_dsn_option
@json_option
def status(dsn: str, as_json: bool) -> None:
    """List the migrations, and which of them this database has."""
    import asyncio

    from daemon.migrate import status as find

    found = asyncio.run(find(dsn))
    if as_json:
        print_json([_document(migration) for migration in found])
    else:
        print_table(_COLUMNS, found, "There are no migrations.")


def _document(migration: MigrationStatus) -> dict[str, Any]:
    return {
        "version": migration.version,
        "name": migration.name,
        "state": migration.state,
        "applied_at": _applied_at(migration) or None,
    }


def _applied_at(migration: MigrationStatus) -> str:
    return iso(migration.applied_at.timestamp()) if migration.applied_at else ""


_COLUMNS: list[Column[Any]] = [
    Column("VERSION", lambda m: m.version),
    Column("NAME", lambda m: m.name, lambda m: (m.name, "bold")),
    Column("STATE", lambda m: m.state, lambda m: (m.state, _STYLES.get(m.state, ""))),
    Column("APPLIED", _applied_at),
]


@migrate.command()
def sql() -> None:
    """Print what `up` would run on an empty database, for psql."""
    from daemon.migrate import sql_text

    click.echo(sql_text(), nl=False)
