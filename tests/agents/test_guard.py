"""The guard: whatever comes in, what goes out respects every limit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wattbench.agents.deploy.guard import CODES, Guard
from wattbench.agents.policy import SiteInfo
from wattbench.sim.points import Actuator

THIRDS = (1 / 3, 1 / 3, 1 / 3)
ACTUATORS = (
    Actuator("a1", "load", (1.0, 0.0, 0.0), 0.0, 1500.0, 0.0, 10.0, 0.0, 0.0, 100.0, "-"),
    Actuator("car", "charger", THIRDS, 0.0, 11_040.0, 4140.0, 690.0, 60.0, 60.0, 0.0, "-"),
    Actuator("battery", "battery", THIRDS, -3000.0, 2000.0, 0.0, 1.0, 0.0, 0.0, 0.0, "-"),
    Actuator("pv", "pv_limit", THIRDS, 0.0, 8000.0, 0.0, 1.0, 0.0, 0.0, 8000.0, "-"),
)
SAFE = [100.0, 0.0, 0.0, 8000.0]
SITE = SiteInfo(ACTUATORS)

any_number = st.floats(allow_nan=True, allow_infinity=True)
decisions = st.one_of(
    hnp.arrays(np.float64, 4, elements=any_number),
    hnp.arrays(np.float64, 4, elements=st.floats(-12_000, 12_000)),
    hnp.arrays(
        st.sampled_from([np.float32, np.int64, np.bool_, np.complex128]),
        hnp.array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=5),
    ),
    st.none(),
    st.lists(any_number, max_size=5),
    st.text(max_size=3),
)


@settings(max_examples=300, deadline=None)
@given(
    decided=decisions,
    age_s=st.floats(min_value=0) | st.just(math.nan),
    setpoint_w=st.sampled_from([0.0, 50.0, -50.0]),
    max_age_s=st.sampled_from([None, 5.0]),
)
def test_what_leaves_the_guard_respects_every_limit(
    decided: Any, age_s: float, setpoint_w: float, max_age_s: float | None
) -> None:
    guard = Guard(SiteInfo(ACTUATORS, setpoint_w=setpoint_w), max_age_s)
    guarded, codes = guard.apply(decided, age_s)
    assert guarded.shape == (4,)
    assert guarded.dtype == np.float64
    assert np.isfinite(guarded).all()
    for power, actuator in zip(guarded, ACTUATORS, strict=True):
        assert actuator.low_w <= power <= actuator.high_w
        assert not 0.0 < power < actuator.min_on_w
        assert not np.signbit(power) or power < 0.0
    assert set(codes) <= set(CODES)
    if max_age_s is not None and not age_s <= max_age_s:
        assert codes == ("stale",)
    if {"stale", "shape", "not_finite"} & set(codes):
        assert guarded.tolist() == SAFE
    if not codes:
        assert np.allclose(guarded, decided, rtol=0, atol=0.02)
    again, further = guard.apply(guarded, 0.0)
    assert again.tobytes() == guarded.tobytes()
    assert further == ()


@pytest.mark.parametrize(
    ("decided", "codes", "guarded"),
    [
        ([500.0, 5000.0, -100.0, 4000.0], (), [500.0, 5000.0, -100.0, 4000.0]),
        ([1500.001, 0.0, 0.0, 0.0], (), [1500.0, 0.0, 0.0, 0.0]),
        ([1600.0, 0.0, 0.0, 0.0], ("above_high",), [1500.0, 0.0, 0.0, 0.0]),
        ([0.0, 0.0, -4000.0, 0.0], ("below_low",), [0.0, 0.0, -3000.0, 0.0]),
        ([-5.0, 0.0, -4.0, 0.0], ("negative",), [0.0, 0.0, -4.0, 0.0]),
        ([0.0, 2000.0, 0.0, 0.0], ("below_min_on",), [0.0, 0.0, 0.0, 0.0]),
        ([0.0, 4139.999, 0.0, 0.0], (), [0.0, 4140.0, 0.0, 0.0]),
        ([math.nan, 0.0, 0.0, 0.0], ("not_finite",), SAFE),
        ([0.0, math.inf, 0.0, 0.0], ("not_finite",), SAFE),
        ([0.0, 0.0, 0.0], ("shape",), SAFE),
        ([9999.0, 20_000.0, 1.0, 1.0], ("above_high",), [1500.0, 11_040.0, 1.0, 1.0]),
        ([-5.0, 20_000.0, 1.0, 1.0], ("negative", "above_high"), [0.0, 11_040.0, 1.0, 1.0]),
    ],
)
def test_interventions(decided: list[float], codes: tuple[str, ...], guarded: list[float]) -> None:
    guard = Guard(SiteInfo(ACTUATORS, setpoint_w=50.0), 5.0)
    out, found = guard.apply(np.array(decided), 1.0)
    assert found == codes
    assert out.tolist() == guarded


def test_negative_is_only_special_while_the_setpoint_is_positive() -> None:
    assert Guard(SITE, 5.0).apply(np.array([-5.0, 0, 0, 0]), 0.0)[1] == ("below_low",)


def test_age() -> None:
    decided = np.zeros(4)
    assert Guard(SITE, 5.0).apply(decided, 5.0)[1] == ()
    assert Guard(SITE, 5.0).apply(decided, 5.001)[1] == ("stale",)
    assert Guard(SITE, 5.0).apply(decided, math.inf)[1] == ("stale",)
    assert Guard(SITE, None).apply(decided, math.inf)[1] == ()


def test_decision_is_not_changed_in_place() -> None:
    decided = np.array([1e6, 0.0, 0.0, 0.0])
    guarded, _ = Guard(SITE, 5.0).apply(decided, 0.0)
    assert decided[0] == 1e6
    guarded[:] = -1.0
    assert Guard(SITE, 5.0).safe_w.tolist() == SAFE
