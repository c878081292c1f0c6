"""Every ending, on a whole daemon: what is recorded, and that the next execution is untouched."""

from __future__ import annotations

import json

import pytest

from ipc.client import AsyncClient
from tests.system.endings import CASES, Case

pytestmark = pytest.mark.anyio

PROBE = """
export default { async run(input) {
  const before = [typeof left, Object.keys(globalThis).length, Array.prototype.left ?? null];
  globalThis.left = Array.prototype.left = 1;
  return [before, await Promise.resolve(input), JSON.stringify([1])];
} }
"""


@pytest.mark.parametrize("name", CASES)
async def test_every_ending(shared_client: AsyncClient, name: str) -> None:
    case = CASES[name]
    execution = await shared_client.submit_and_wait(source=case.source, input=case.input, limits=case.limits)
    _check(case, execution.status, execution.outcome, execution.postmortem or "", execution.error or "")
    if case.status == "completed":
        assert execution.output_json is not None
        assert _json(execution.output_json) == case.output
        assert execution.error is None
    else:
        assert execution.output_json is None
    assert execution.completed_at is not None
    probe = await shared_client.submit_and_wait(source=PROBE, input=7)
    assert probe.output_json is not None
    assert _json(probe.output_json) == [["undefined", 0, None], 7, "[1]"]


def _check(case: Case, status: str, outcome: str | None, postmortem: str, error: str) -> None:
    assert (status, outcome) == (case.status, case.outcome), (postmortem, error)
    assert postmortem.startswith(f"{case.outcome}: ")
    assert case.postmortem in postmortem
    assert case.error in error
    assert "\n" not in postmortem
    assert "\0" not in postmortem + error
    assert "prelude" not in error
    assert "/sandbox_worker/" not in error


def _json(text: str) -> object:
    return json.loads(text)
