"""The configuration: defaults, the environment, and all errors at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.config import load_config, parse_config
from daemon.errors import ConfigError


def test_every_value_but_the_dsn_has_a_default() -> None:
    config = parse_config({}, "nowhere", {})
    assert config.database.dsn == ""
    assert config.pool.max_running >= 16
    assert config.daemon.default_tenant == "default"


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[database]\ndsn = "postgresql:///a"\n[socket]\npath = "/a"\nallowed_uids = [5]\n')
    config = load_config(path, {"JSRUNTIME_DSN": "postgresql:///b"})
    assert (config.database.dsn, config.socket.path, config.socket.allowed_uids) == ("postgresql:///b", "/a", (5,))


def test_errors_of_all_sections_are_reported_together() -> None:
    document = {"pool": {"max_running": 0}, "daemon": {"lease_seconds": "long"}, "socket": 5, "poool": {}}
    with pytest.raises(ConfigError) as refused:
        parse_config(document, "the file", {})
    for part in ("the file", "max_running is 0", "lease_seconds", "[socket] has to be a table", "no section [poool]"):
        assert part in str(refused.value)


@pytest.mark.parametrize("text", ["[", "\xff"])
def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(path, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "none.toml", {})
