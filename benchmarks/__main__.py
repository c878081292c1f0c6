"""`python -m benchmarks [--quick] [--only NAME] [--rounds N] [--json FILE] [--write-results]`

Scenarios take turns, round by round, so that a machine whose speed drifts does not favour one of them.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from pathlib import Path

import msgspec
import uvloop

from benchmarks import machine
from benchmarks.figures import Figure, ratios, table
from benchmarks.scenarios.bare_fork import BareForkScenario
from benchmarks.scenarios.base import Scenario
from benchmarks.scenarios.daemon import DaemonScenario
from benchmarks.scenarios.node import NodeScenario
from benchmarks.scenarios.pool import PoolScenario

SCENARIOS: dict[str, type[Scenario]] = {
    "pool": PoolScenario,
    "daemon": DaemonScenario,
    "bare_fork": BareForkScenario,
    "node": NodeScenario,
}

RATIOS = (
    (
        "a fork that runs a script, code in huge pages against small ones, time",
        "fork, trivial script, exit; code in huge pages, p50",
        "fork, trivial script, exit; code in small pages, p50",
    ),
    (
        "a Node process against a recorded execution, latency",
        "node -e, spawn to exit, p50",
        "socket, recorded, submit to stored result, p50",
    ),
    ("durable executions against Node processes, a second", "durable, with a backlog", "node -e, 4 at a time"),
    (
        "durable executions against the pool alone, a second",
        "durable, with a backlog",
        "pool, 8 at a time, no database",
    ),
)

RESULTS = Path(__file__).parent / "RESULTS.md"


def main() -> None:
    """Measure, print, and write what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--quick", action="store_true", help="one short round: does it all still run?")
    parser.add_argument("--only", choices=sorted(SCENARIOS), action="append", help="may repeat")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="default: 5")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--write-results", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    chosen = [SCENARIOS[name](options.quick) for name in options.only or SCENARIOS]
    figures = uvloop.run(_measure(chosen, 1 if options.quick else options.rounds))
    facts = machine.describe()
    lines = ratios(figures, RATIOS)
    print("\n".join([*facts, "", table(figures), "", *lines]))
    if options.json:
        options.json.write_bytes(msgspec.json.encode({"machine": facts, "figures": figures}))
    if options.write_results:
        command = " ".join(["python -m benchmarks", *sys.argv[1:]])
        RESULTS.write_text(_results(command, facts, figures, lines), encoding="utf-8")


async def _measure(scenarios: list[Scenario], rounds: int) -> list[Figure]:
    values: dict[tuple[str, str], list[float]] = defaultdict(list)
    started: list[Scenario] = []
    try:
        for scenario in scenarios:
            started.append(scenario)
            await scenario.start()
        for current in range(rounds):
            for scenario in scenarios:
                print(f"round {current + 1} of {rounds}: {type(scenario).__name__}", file=sys.stderr)
                for key, value in (await scenario.measure()).items():
                    values[key].append(value)
    finally:
        for scenario in started:
            await scenario.stop()
    return [Figure(name, unit, tuple(measured)) for (name, unit), measured in values.items()]


def _results(command: str, facts: list[str], figures: list[Figure], lines: list[str]) -> str:
    return "\n".join(
        [
            "# Results",
            "",
            f"Made by `{command}`. Every execution runs in a fresh process of its own, with its limits; it is",
            "stored where the figure says recorded or durable. The script returns its input. Medians over rounds",
            "in which the scenarios took turns; latencies are at 100 requests a second with warm workers.",
            "Absolute figures are this machine's; compare within the table.",
            "",
            *(f"- {fact}" for fact in facts),
            "",
            table(figures),
            "",
            "Ratios of the medians:",
            "",
            *(f"- {line}" for line in lines),
            "",
        ]
    )


if __name__ == "__main__":
    main()
