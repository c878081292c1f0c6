"""`jsruntime serve`: the daemon on a production host."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import uvloop

from daemon.config import Config, load_config
from daemon.errors import ConfigError
from daemon.supervisor import Supervisor


def run_serve(config_path: Path) -> int:
    """Serve with the configuration at `config_path` until a signal stops it. Returns the exit code.

    :raises JsRuntimeError: it cannot start; the message says why.
    """
    config = load_config(config_path)
    if not config.database.dsn:
        raise ConfigError("No database is configured.", "Set [database] dsn, or JSRUNTIME_DSN.")
    configure_logging(config)
    uvloop.run(_serve(config))
    return 0


def configure_logging(config: Config) -> None:
    """Log to standard error, where systemd and people look."""
    logging.basicConfig(
        stream=sys.stderr,
        level=config.daemon.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )


async def _serve(config: Config) -> None:
    await Supervisor(config).run()
