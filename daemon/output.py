"""Checks what a worker says is a script's output, before it goes anywhere near the database."""

from __future__ import annotations

import re

import msgspec

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")
# An escaped backslash, a pair of surrogates, or a surrogate alone: the first two are only stepped over.
_SURROGATE = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<alone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


class NotJsonError(Exception):
    """The text is not JSON, or nested beyond reason: an honest worker never sends that."""


class NotStorableError(Exception):
    """The text is JSON that PostgreSQL's `jsonb` refuses; the message says why."""


def storable_json(text: str) -> str:
    """Return `text` with lone surrogates replaced by U+FFFD, as `TextEncoder` and the URL standard do.

    :raises NotJsonError: it is no JSON document.
    :raises NotStorableError: it holds a NUL character.
    """
    if "\\u" in text:
        text = _SURROGATE.sub(lambda match: "\\ufffd" if match["alone"] else match[0], text)
    try:
        msgspec.json.decode(text)
    except Exception as failure:  # RecursionError and UnicodeError are no MsgspecError
        raise NotJsonError(str(failure)) from failure
    if "\\u" in text and _NUL.search(text):
        raise NotStorableError("the output contains a NUL character (\\u0000), which PostgreSQL's jsonb cannot hold")
    return text
