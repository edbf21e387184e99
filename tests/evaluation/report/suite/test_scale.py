"""The scale that rows of a table share: order kept, everything inside, ticks that are round."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.evaluation.report.suite.scale import amount, picture, scale_over

VALUES = st.lists(
    st.one_of(st.floats(-1e9, 1e9), st.just(math.nan), st.just(math.inf), st.none()), max_size=8
)


@given(VALUES, st.sampled_from(["Wh", "1", "W", "count"]))
def test_all_values_lie_inside_in_their_order(values: list[float | None], unit: str) -> None:
    scale = scale_over(values, unit)
    known = sorted(v for v in values if v is not None and math.isfinite(v))
    places = [scale.place(v) for v in known]
    assert all(0 <= place <= scale.width for place in places)
    assert places == sorted(places)


@given(VALUES)
def test_ticks_are_few_round_and_inside(values: list[float | None]) -> None:
    scale = scale_over(values, "Wh")
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 11
    assert scale.low <= ticks[0] <= ticks[-1] <= scale.high
    step = ticks[1] - ticks[0]
    assert step / 10 ** math.floor(math.log10(step * (1 + 1e-6))) == pytest.approx(
        min((1, 2, 5), key=lambda s: abs(s - step / 10 ** math.floor(math.log10(step * 1.000001)))),
        rel=1e-3,
    )


@given(VALUES, st.sampled_from([math.nan, math.inf, -math.inf, 0.5]))
def test_whatever_is_no_number_is_not_drawn(values: list[float | None], at: float) -> None:
    scale = scale_over(values, "1")
    drawn = picture(scale, at=at, span=(at, 1.0), lines=[at]) + scale.axis()
    assert not re.search(r"nan|inf", drawn)
    assert ("<circle" in drawn) == math.isfinite(at)


def test_shares_are_percent_with_one_decimal() -> None:
    assert amount(-0.1234, "1") == "\u221212.3\u202f%"
    assert amount(0.15, "1") == "15.0\u202f%"
    assert amount(math.nan, "1") == "–"
    assert amount(1500.0, "Wh") == "1.50\u202fkWh"
    assert amount(-math.inf, "1") == "\u2212∞"
