from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.cli.formats import ago, duration, iso, one_line, printable, shortened, size


@pytest.mark.parametrize(
    ("distance", "text"),
    [(0.4, "now"), (5, "5s ago"), (60, "1m ago"), (7_300, "2h ago"), (200_000, "2d ago"), (-90, "in 1m")],
)
def test_ago(distance: float, text: str) -> None:
    assert ago(1_000_000.0 - distance, 1_000_000.0) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.00084, "0.8 ms"),
        (0.5, "500 ms"),
        (1.25, "1.25 s"),
        (125, "2 m 5 s"),
        (12_000, "3 h 20 m"),
        (200_000, "2 d 7 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(512, "512 B"), (3_300, "3.2 KiB"), (2**24, "16.0 MiB"), (2**41, "2048.0 GiB")]
)
def test_size(count: int, text: str) -> None:
    assert size(count) == text


def test_iso() -> None:
    assert iso(1_738_315_800.125) == "2025-01-31T09:30:00.125Z"


def test_printable_escapes_what_drives_a_terminal() -> None:
    text = "a\x1b[2J\r\x07\x9b\u202eb\ttab\nline\ud800 ünï 💚"
    expected = "a\\x1b[2J\\x0d\\x07\\x9b\\u202eb\ttab\nline\\ud800 ünï 💚"
    assert printable(text) == expected


@given(text=st.text(st.characters()))
def test_one_line_is_one_line_of_printable_text(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    line.encode()


def test_shortened_says_how_much_is_missing() -> None:
    assert shortened("x" * 10, 10) == "x" * 10
    assert shortened("x" * 1_510, 10) == "xxxxxxxxxx… (1,500 more characters; --json shows all)"
