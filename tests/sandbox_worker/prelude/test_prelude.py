"""The script API, tested in the real engine: every `*.test.js` of this folder runs in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CASE_FILES = sorted(HERE.glob("*.test.js"))


@pytest.mark.parametrize("case_file", CASE_FILES, ids=lambda path: path.name.removesuffix(".test.js"))
def test_prelude(case_file: Path) -> None:
    """Every case of the file passes."""
    run = subprocess.run(
        [sys.executable, str(HERE / "run_cases.py"), str(case_file)],
        capture_output=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert run.returncode == 0, f"{case_file.name} did not run to its end ({run.returncode}):\n{run.stderr}"
    results = json.loads(run.stdout)
    assert results, f"{case_file.name} holds no case"
    failures = [f"{result['name']}: {result['error']}" for result in results if result["error"]]
    assert not failures, f"{len(failures)} of {len(results)} cases failed\n\n" + "\n".join(failures)
