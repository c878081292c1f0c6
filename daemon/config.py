"""Configuration: one TOML file and a few environment variables, read once into frozen structs.

::

    [database]
    dsn = "postgresql://jsruntime@/jsruntime"      # or JSRUNTIME_DSN

    [socket]
    path = "/run/jsruntime/jsruntime.sock"         # or JSRUNTIME_SOCKET
    allowed_uids = []                              # besides root and the daemon's own user
    allowed_gids = []

    [pool]
    max_running = 16                               # executions at a time on this host
    spares = 4                                     # warm workers that wait

    [daemon]
    default_tenant = "default"                     # for requests that name none
    lease_seconds = 15.0                           # after this long without a heartbeat others take over
    poll_seconds = 5.0                             # how often to look for work when nothing was notified
    drain_seconds = 30.0                           # how long running executions may go on after SIGTERM
    log_level = "info"

Every value has a default but the DSN. All errors of a file are reported together.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from daemon.errors import ConfigError


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of the sections: an option that does not exist is an error, not a surprise."""


class DatabaseConfig(_Section, frozen=True, kw_only=True):
    """`[database]`"""

    dsn: str = ""


class SocketConfig(_Section, frozen=True, kw_only=True):
    """`[socket]`"""

    path: str = "/run/jsruntime/jsruntime.sock"
    allowed_uids: tuple[int, ...] = ()
    allowed_gids: tuple[int, ...] = ()


class PoolConfig(_Section, frozen=True, kw_only=True):
    """`[pool]`. `max_running` bounds the executions at a time, `spares` the warm workers that wait."""

    max_running: int = max(16, 4 * (os.cpu_count() or 1))
    spares: int = max(4, 2 * (os.cpu_count() or 1))


class DaemonConfig(_Section, frozen=True, kw_only=True):
    """`[daemon]`"""

    default_tenant: str = "default"
    lease_seconds: float = 15.0
    poll_seconds: float = 5.0
    drain_seconds: float = 30.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; services get their section."""

    database: DatabaseConfig = DatabaseConfig()
    socket: SocketConfig = SocketConfig()
    pool: PoolConfig = PoolConfig()
    daemon: DaemonConfig = DaemonConfig()


_SECTIONS: dict[str, type[_Section]] = {
    "database": DatabaseConfig,
    "socket": SocketConfig,
    "pool": PoolConfig,
    "daemon": DaemonConfig,
}

_RANGES: dict[tuple[str, str], tuple[float, float]] = {
    ("pool", "max_running"): (1, 10_000),
    ("pool", "spares"): (1, 1_000),
    ("daemon", "lease_seconds"): (1, 3600),
    ("daemon", "poll_seconds"): (0.1, 3600),
    ("daemon", "drain_seconds"): (0, 3600),
}


def load_config(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Read the file at `path`; `JSRUNTIME_DSN` and `JSRUNTIME_SOCKET` win over it.

    :raises ConfigError: the file is missing, no TOML, or holds values that cannot be used: all of them are named.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as failure:
        raise ConfigError(f"The configuration {path} cannot be read: {failure}.") from failure
    return parse_config(document, str(path), environment)


def parse_config(document: Mapping[str, object], origin: str, environment: Mapping[str, str]) -> Config:
    """Check a decoded file. See `load_config`."""
    faults = [f"there is no section [{name}]" for name in document if name not in _SECTIONS]
    sections: dict[str, _Section] = {}
    for name, kind in _SECTIONS.items():
        values = dict(_table(document.get(name, {}), name, faults))
        for variable, section, option in (
            ("JSRUNTIME_DSN", "database", "dsn"),
            ("JSRUNTIME_SOCKET", "socket", "path"),
        ):
            if section == name and variable in environment:
                values[option] = environment[variable]
        try:
            sections[name] = msgspec.convert(values, kind)
        except msgspec.ValidationError as failure:
            faults.append(f"[{name}] {failure}")
    faults += _out_of_range(sections)
    if faults:
        raise ConfigError(f"The configuration {origin} cannot be used: {'; '.join(faults)}.")
    return msgspec.convert(sections, Config, from_attributes=True)


def _table(value: object, name: str, faults: list[str]) -> Mapping[str, object]:
    if isinstance(value, Mapping):
        return value
    faults.append(f"[{name}] has to be a table")
    return {}


def _out_of_range(sections: Mapping[str, _Section]) -> list[str]:
    faults = []
    for (name, option), (least, most) in _RANGES.items():
        value = getattr(sections.get(name), option, None)
        if value is not None and not least <= value <= most:
            faults.append(f"[{name}] {option} is {value}; it has to be from {least:g} to {most:g}")
    return faults
