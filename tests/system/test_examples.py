"""The examples do what they say, on real workers, and each case of theirs comes out as written."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from daemon.pool import Pool
from tests.running import output, run, running_pool

pytestmark = pytest.mark.anyio

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.stem for path in EXAMPLES.glob("*.js"))
CASES: list[tuple[str, dict[str, Any]]] = [
    (path.stem, case) for path in sorted((EXAMPLES / "cases").glob("*.json")) for case in json.loads(path.read_text())
]


@pytest.fixture(scope="module")
async def pool() -> AsyncIterator[Pool]:
    async with running_pool() as pool:
        yield pool


def test_there_are_enough_of_them() -> None:
    assert len(NAMES) >= 5
    assert {name for name, _case in CASES} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
async def test_the_example_gives_the_output_beside_it(pool: Pool, name: str) -> None:
    given = json.loads((EXAMPLES / f"{name}.json").read_text())
    expected = json.loads((EXAMPLES / f"{name}.expected.json").read_text())
    assert output(await run(pool, (EXAMPLES / f"{name}.js").read_text(), given=given)) == expected


@pytest.mark.parametrize(("name", "case"), [pytest.param(n, c, id=f"{n}: {c['name']}") for n, c in CASES])
async def test_each_case_comes_out_as_written(pool: Pool, name: str, case: dict[str, Any]) -> None:
    ending = await run(pool, (EXAMPLES / f"{name}.js").read_text(), given=case["input"])
    if "error" in case:
        assert ending.outcome == "exception"
        assert (ending.error or "").partition("\n    at ")[0] == case["error"]
    else:
        assert output(ending) == case["output"]
