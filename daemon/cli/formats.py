"""Values as text for people. Pure functions."""

from __future__ import annotations

import datetime
import re

# C0 but tab and newline, DEL, C1, and the characters that turn the direction of text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")

_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def printable(text: str) -> str:
    """Return `text` with the characters escaped that could drive a terminal or forge what it shows."""
    return _UNSAFE.sub(lambda match: _escaped(match[0]), text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def one_line(text: str) -> str:
    """Return `text` fit to stand in one line of a table."""
    return printable(" ".join(text.split()))


def ago(moment: float, now: float) -> str:
    """Return how long before `now` a `moment` was (both Unix seconds): "12s ago", "3h ago", "in 5m"."""
    distance = now - moment
    if abs(distance) < 1:
        return "now"
    unit, seconds = next((unit for unit in _UNITS if abs(distance) >= unit[1]), _UNITS[-1])
    text = f"{int(abs(distance) // seconds)}{unit}"
    return f"{text} ago" if distance > 0 else f"in {text}"


def duration(seconds: float) -> str:
    """Return a length of time: "0.8 ms", "12 ms", "1.25 s", "2 m 5 s", "3 h 20 m"."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} m" if hours else f"{minutes} m {rest} s"


def size(count: float) -> str:
    """Return a number of bytes: "512 B", "3.2 KiB", "16.0 MiB"."""
    if count < 1024:
        return f"{count:.0f} B"
    if count < 1024**2:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024**2:.1f} MiB" if count < 1024**3 else f"{count / 1024**3:.1f} GiB"


def iso(moment: float) -> str:
    """Return Unix seconds as a UTC time that programs and people can read: 2025-01-31T09:30:00.125Z."""
    when = datetime.datetime.fromtimestamp(moment, datetime.UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def shortened(text: str, most: int) -> str:
    """Return at most `most` characters of `text`, and how many are left out."""
    if len(text) <= most:
        return text
    return f"{text[:most]}… ({len(text) - most:,} more characters; --json shows all)"
