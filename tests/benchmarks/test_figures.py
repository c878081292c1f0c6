"""The arithmetic of the benchmarks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.figures import Figure, number, quantile, ratios, table


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 1))
def test_a_quantile_is_one_of_the_values_and_has_the_right_share_below_it(values: list[float], part: float) -> None:
    found = quantile(values, part)
    assert found in values
    assert sum(value <= found for value in values) >= part * len(values)


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_figures_are_written_as_median_and_spread() -> None:
    figure = Figure("pool", "ms", (3.0, 1.0, 2.0))
    assert table([figure]).splitlines()[-1] == "| pool | 2 ms | 1 to 3 | 3 |"
    assert [number(value) for value in (0.12345, 12.345, 1234.5)] == ["0.123", "12.3", "1,234"]


def test_ratios_leave_out_what_was_not_measured() -> None:
    figures = [Figure("a", "ms", (4.0,)), Figure("b", "ms", (2.0,))]
    assert ratios(figures, [("a to b", "a", "b"), ("a to c", "a", "c")]) == ["a to b: 2.00"]
