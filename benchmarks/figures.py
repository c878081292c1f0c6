"""A figure and its repeats: medians and spread, and how they are written down."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import msgspec


class Figure(msgspec.Struct, frozen=True):
    """What was measured once in each round. `values` are in `unit`."""

    name: str
    unit: str
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def row(self) -> str:
        """One line of a Markdown table: name, median, least and most, number of rounds."""
        shown = [number(value) for value in (self.median, min(self.values), max(self.values))]
        return f"| {self.name} | {shown[0]} {self.unit} | {shown[1]} to {shown[2]} | {len(self.values)} |"


def quantile(values: Sequence[float], part: float) -> float:
    """The value that `part` (0 to 1) of the values do not exceed.

    :raises ValueError: there is no value.
    """
    if not values:
        raise ValueError("a quantile of nothing")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def number(value: float) -> str:
    """Three significant digits, thousands with a comma."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(figures: Sequence[Figure]) -> str:
    """All figures as a Markdown table."""
    head = "| figure | median | least to most | rounds |\n|---|---|---|---|"
    return "\n".join([head, *(figure.row() for figure in figures)])


def ratios(figures: Sequence[Figure], pairs: Sequence[tuple[str, str, str]]) -> list[str]:
    """`(what, A, B)` → "what: A / B = …", of the medians of one run; pairs that were not measured are left out."""
    medians = {figure.name: figure.median for figure in figures}
    return [f"{what}: {medians[a] / medians[b]:.2f}" for what, a, b in pairs if a in medians and b in medians]
