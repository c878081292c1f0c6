"""Checks what a worker says is a script's output, before it goes anywhere near the database."""

from __future__ import annotations

import re

import msgspec

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
_LONE_SURROGATE = re.compile(r"(?<!\\)((?:\\\\)*)\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class NotJsonError(Exception):
    """The text is not JSON, or nested beyond reason: an honest worker never sends that."""


class NotStorableError(Exception):
    """The text is JSON that PostgreSQL's `jsonb` refuses; the message says why."""


def storable_json(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD, as `TextEncoder` and the URL standard do.

    `JSON.stringify` writes a surrogate as an escape only where it is alone, so every escaped one is replaced.

    :raises NotJsonError: it is no JSON document.
    :raises NotStorableError: it holds a NUL character.
    """
    if "\\u" in text:
        text = _LONE_SURROGATE.sub(lambda match: match[1] + "\\ufffd", text)
    try:
        msgspec.json.decode(text)
    except Exception as failure:  # RecursionError and UnicodeError are no MsgspecError
        raise NotJsonError(str(failure)) from failure
    if "\\u" in text and _NUL.search(text):
        raise NotStorableError("the output contains a NUL character (\\u0000), which PostgreSQL's jsonb cannot hold")
    return text
