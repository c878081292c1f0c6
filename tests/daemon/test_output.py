"""What a worker calls output, before it reaches the database."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.output import NotJsonError, NotStorableError, storable_json

documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(documents)
def test_a_document_passes_unchanged_or_has_a_nul(document: object) -> None:
    text = json.dumps(document)
    try:
        assert json.loads(storable_json(text)) == json.loads(text)
    except NotStorableError:
        assert "\\u0000" in text


@given(st.text(max_size=20), st.sampled_from(["\\ud800", "\\uDFFF", "\\udbff"]), st.integers(0, 4))
def test_a_lone_surrogate_becomes_u_fffd_and_an_escaped_backslash_is_none(
    before: str, escape: str, slashes: int
) -> None:
    text = json.dumps(before)[:-1] + "\\\\" * slashes + escape + '"'
    try:
        assert json.loads(storable_json(text)) == before + "\\" * slashes + "\ufffd"
    except NotStorableError:
        assert "\0" in before


@pytest.mark.parametrize("text", ["", "{", "nan", "1 2", "[" * 100_000, '"\\x"', "\ud800"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(NotJsonError):
        storable_json(text)


@pytest.mark.parametrize("text", ['"\\u0000"', '{"\\u0000": 1}', '"\\\\\\u0000"'])
def test_nul_is_refused(text: str) -> None:
    with pytest.raises(NotStorableError):
        storable_json(text)


def test_a_backslash_before_u0000_is_text() -> None:
    assert storable_json('"\\\\u0000"') == '"\\\\u0000"'
