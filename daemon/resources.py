"""Where the files that are not Python lie, in a checkout and in an installed wheel."""

from __future__ import annotations

from pathlib import Path

from daemon.errors import ConfigError


def folder(name: str) -> Path:
    """Return the folder `name` ("migrations", "systemd"): `daemon/<name>` in a wheel, beside `daemon/` in a checkout.

    :raises ConfigError: the installation has neither.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / name, package.parent / name):
        if candidate.is_dir():
            return candidate
    raise ConfigError(
        f"The folder {name}/ is missing from this installation ({package}).",
        "Install the package again.",
    )


def migrations() -> Path:
    """Return the folder of the migrations.

    :raises ConfigError: it is missing.
    """
    return folder("migrations")
