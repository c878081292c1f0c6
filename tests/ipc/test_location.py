from __future__ import annotations

from pathlib import Path

import pytest

from ipc.errors import DaemonUnavailable
from ipc.location import DEFAULT_SOCKET, find_socket


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("JSRUNTIME_SOCKET", raising=False)


def test_the_default_comes_last() -> None:
    assert find_socket().path == DEFAULT_SOCKET


def test_the_file_of_dev_comes_before_the_default() -> None:
    Path(".jsruntime").mkdir()
    Path(".jsruntime/dev.json").write_text('{"pid": 7, "socket": "/dev-file"}')
    assert find_socket().path == "/dev-file"


def test_the_environment_comes_before_the_file_of_dev(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".jsruntime").mkdir()
    Path(".jsruntime/dev.json").write_text('{"socket": "/dev-file"}')
    monkeypatch.setenv("JSRUNTIME_SOCKET", "/environment")
    assert find_socket().path == "/environment"


def test_the_argument_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JSRUNTIME_SOCKET", "/environment")
    assert find_socket(Path("/argument")).path == "/argument"


@pytest.mark.parametrize("content", ["{", "{}", '{"socket": 7}', "\x00"])
def test_a_file_of_dev_that_names_no_socket_is_an_error(content: str) -> None:
    Path(".jsruntime").mkdir()
    Path(".jsruntime/dev.json").write_text(content)
    with pytest.raises(DaemonUnavailable, match=r"dev\.json"):
        find_socket()
