"""Reads the statements of `queries/*.sql`.

A file holds blocks: a line `-- name: claim` and then the statement, or `-- fragment: columns` and then a piece
that statements include as `{{columns}}`. Comment lines inside a block stay with the statement, so that they show
in the server's log.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_HEADER: Final = re.compile(r"^-- (name|fragment): (\w+)\s*$", re.MULTILINE)
_INCLUDE: Final = re.compile(r"\{\{(\w+)\}\}")


def parse(text: str) -> dict[str, str]:
    """Return the statements of one file by name, fragments filled in.

    :raises ValueError: a name twice, or a fragment that is not there.
    """
    parts = _HEADER.split(text)[1:]
    blocks: dict[str, dict[str, str]] = {"name": {}, "fragment": {}}
    for kind, name, body in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
        if name in blocks[kind]:
            raise ValueError(f"{kind} {name} is there twice")
        blocks[kind][name] = body.strip().removesuffix(";")
    fragments = blocks["fragment"]

    def included(match: re.Match[str]) -> str:
        if match[1] not in fragments:
            raise ValueError(f"fragment {match[1]} is not there")
        return fragments[match[1]]

    return {name: _INCLUDE.sub(included, body) for name, body in blocks["name"].items()}


def load(topic: str) -> dict[str, str]:
    """Return the statements of `queries/<topic>.sql` by name. Also works from a zipped package."""
    return parse(resources.files(__package__).joinpath("queries", f"{topic}.sql").read_text(encoding="utf-8"))
