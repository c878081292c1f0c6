"""Commands about scripts."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from daemon.cli.formats import ago, iso
from daemon.cli.inputs import JsonText, client_options, json_option, read_source
from daemon.cli.output import Column, print_json, print_table, status_cell

if TYPE_CHECKING:
    from ipc.messages import Script
    from ipc.sync_client import Client

SCRIPT_TYPES = ("scheduled", "http", "event", "oneoff", "embedded")
SCRIPT_STATUSES = ("draft", "active", "paused", "disabled", "archived")


def _type_of(script_type: str | None, cron: str | None, http_path: str | None, events: tuple[str, ...]) -> str:
    """Return the type that was given, or the one that the other options tell."""
    told = [name for name, given in (("scheduled", cron), ("http", http_path), ("event", events)) if given]
    if script_type is None and len(told) > 1:
        raise click.UsageError("--cron, --http-path and --event exclude each other, as a script has one type")
    return script_type or next(iter(told), "oneoff")


def _decoded(text: str | None) -> Any:
    import msgspec

    return None if text is None else msgspec.json.decode(text)


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--name", required=True, help="The script's name; one that exists is changed.")
@click.option("--type", "script_type", type=click.Choice(SCRIPT_TYPES), help="[default: oneoff, or as below]")
@click.option("--cron", "cron_expression", metavar="EXPR", help="When a scheduled script runs.")
@click.option("--http-path", metavar="PATH", help="Where an http script answers.")
@click.option("--http-method", "http_methods", multiple=True, metavar="METHOD", help="To what; may repeat.")
@click.option("--event", "event_types", multiple=True, metavar="TYPE", help="What calls it; may repeat.")
@click.option("--status", type=click.Choice(SCRIPT_STATUSES), default="active", show_default=True)
@click.option("--limits", type=JsonText(object_only=True), metavar="JSON|@FILE", help="Its resource limits.")
@click.option("--metadata", type=JsonText(object_only=True), metavar="JSON|@FILE", help="Kept with it.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="May repeat.")
@click.option("--description", metavar="TEXT", help="What the script is for.")
@click.option("--message", "change_description", metavar="TEXT", help="What has changed; kept with the version.")
@json_option
@client_options
def deploy(
    client: Client,
    file: Path,
    name: str,
    script_type: str | None,
    limits: str | None,
    metadata: str | None,
    as_json: bool,
    **fields: Any,
) -> None:
    """Create or change a script from FILE.

    Source that has not changed makes no new version. The type follows from --cron, --http-path or --event.
    """
    for several in ("http_methods", "event_types", "tags"):
        fields[several] = list(fields[several]) or None
    kind = _type_of(script_type, fields["cron_expression"], fields["http_path"], fields["event_types"] or ())
    done = client.deploy(
        name,
        read_source(file),
        script_type=kind,  # type: ignore[arg-type]  # click has checked it
        resource_limits=_decoded(limits),
        metadata=_decoded(metadata),
        **fields,
    )
    if as_json:
        print_json(
            {
                "script_id": done.script_id,
                "name": name,
                "version": done.version,
                "created": done.created,
                "changed": done.changed,
            }
        )
    else:
        did = "created" if done.created else "changed" if done.changed else "unchanged"
        click.echo(f"{name}\tversion {done.version}\t{did}\t{done.script_id}".replace("\t", _gap()))


def _gap() -> str:
    return "  " if sys.stdout.isatty() else "\t"


@click.command()
@click.option("--status", type=click.Choice(SCRIPT_STATUSES), help="Only these.")
@json_option
@client_options
def scripts(client: Client, status: str | None, as_json: bool) -> None:
    """List the scripts, by name."""
    found = client.list_scripts(status=status)  # type: ignore[arg-type]  # click has checked it
    if as_json:
        print_json([_document(script) for script in found])
    else:
        print_table(_columns(time.time()), found, "No scripts yet. 'jsruntime deploy FILE --name NAME' makes one.")


def _document(script: Script) -> dict[str, Any]:
    import msgspec

    document: dict[str, Any] = {"description": None, "tags": [], **msgspec.to_builtins(script)}
    return {**document, "created_at": iso(script.created_at), "updated_at": iso(script.updated_at)}


def _columns(now: float) -> list[Column[Script]]:
    return [
        Column("ID", lambda s: s.id),
        Column("NAME", lambda s: s.name, lambda s: (s.name, "bold")),
        Column("TYPE", lambda s: s.type),
        Column("STATUS", lambda s: s.status, lambda s: status_cell(s.status)),
        Column("VERSION", lambda s: str(s.version), right=True),
        Column("CHANGED", lambda s: iso(s.updated_at), lambda s: (ago(s.updated_at, now), "")),
        Column("DESCRIPTION", lambda s: s.description or "", flexible=True),
    ]
