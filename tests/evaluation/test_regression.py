"""What counts as a regression, and how tolerances are written."""

from __future__ import annotations

import math

import pytest

from wattbench.evaluation.metrics import METRICS
from wattbench.evaluation.regression import (
    Allowance,
    ToleranceError,
    changes,
    default_allowances,
    got_worse,
    parse_allowance,
)

EXPORT, SELF, LOAD = "export_energy@1", "self_consumption@1", "load_energy@1"


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [
        ("export_energy", "5%", Allowance(relative=0.05)),
        ("export_energy@1", " 5 % ", Allowance(relative=0.05)),
        ("export_energy", "0.2 kWh", Allowance(absolute=200.0)),
        ("export_energy", 30, Allowance(absolute=30.0)),
        ("export_energy", "30", Allowance(absolute=30.0)),
        ("self_consumption", 0.02, Allowance(absolute=0.02)),
        ("self_consumption", "2%", Allowance(relative=0.02)),
        ("safety_violations", "0", Allowance()),
        ("decision_latency_p99", "2 ms", Allowance(absolute=0.002)),
    ],
)
def test_tolerances_are_shares_or_quantities(metric, value, expected) -> None:
    key, allowance = parse_allowance(metric, value)
    assert key in METRICS
    assert allowance.relative == pytest.approx(expected.relative)
    assert allowance.absolute == pytest.approx(expected.absolute)


@pytest.mark.parametrize(
    ("metric", "value", "message"),
    [
        ("export_energie", "5%", "did you mean 'export_energy'"),
        ("export_energy", "5 W", "a number with a unit (Wh, kWh, MWh)"),
        ("export_energy", "much", "is no tolerance"),
        ("export_energy", "-5%", "0 or more"),
        ("export_energy", "nan", "0 or more"),
        ("export_energy", "5 Wh%", "is no tolerance"),
        ("export_energy", True, "expected a number"),
        ("export_energy", None, "expected a number"),
        ("safety_violations", "one", "allowed: a number, or a percentage"),
        ("export_energy", "2000%", "at most 1000 %"),
    ],
)
def test_what_is_no_tolerance_is_refused_with_what_is_allowed(metric, value, message) -> None:
    with pytest.raises(ToleranceError) as refused:
        parse_allowance(metric, value)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def one(before, after, key=EXPORT, allowance=Allowance()) -> bool:  # noqa: B008 - immutable
    """Return whether a change from one value to another is a regression."""
    (change,) = changes({key: before}, {key: after}, {key: allowance})
    return change.regression


def test_worse_is_what_the_metric_calls_worse() -> None:
    assert one(100.0, 101.0)
    assert not one(100.0, 99.0)
    assert one(0.9, 0.8, SELF)
    assert not one(0.8, 0.9, SELF)
    assert METRICS[LOAD].better is None
    assert one(100.0, 101.0, LOAD)
    assert one(100.0, 99.0, LOAD)


def test_tolerance_is_the_greater_of_absolute_and_relative() -> None:
    assert not one(100.0, 110.0, allowance=Allowance(relative=0.1))
    assert one(100.0, 110.1, allowance=Allowance(relative=0.1))
    assert not one(100.0, 120.0, allowance=Allowance(20.0, 0.1))
    # an objective may be negative: a share is one of its size
    assert not one(-100.0, -91.0, "objective@1", Allowance(relative=0.1))
    assert one(-100.0, -89.0, "objective@1", Allowance(relative=0.1))


def test_rounding_is_no_regression() -> None:
    assert not one(1000.0, 1000.0 + 1e-7)
    assert one(1000.0, 1000.0 + 1e-3)


def test_without_a_value_or_a_tolerance_nothing_is_held() -> None:
    assert not one(None, 5.0)
    (change,) = changes({EXPORT: 1.0}, {EXPORT: 9.0}, {})
    assert (change.regression, change.difference) == (False, 8.0)
    assert changes({EXPORT: None}, {EXPORT: math.nan}, {}) == ()


@pytest.mark.parametrize("after", [None, math.nan])
def test_a_value_that_is_gone_is_a_regression(after) -> None:
    assert one(5.0, after)
    assert not changes({EXPORT: 5.0}, {EXPORT: after}, {})[0].regression, "it is not held"


def test_defaults_hold_headline_metrics_that_do_not_depend_on_the_machine() -> None:
    defaults = default_allowances()
    assert "objective@1" in defaults
    assert "safety_violations@1" in defaults
    for key in defaults:
        entry = METRICS[key]
        assert entry.headline, key
        assert entry.better is not None, key
        assert not entry.wall_only, key
    assert defaults["objective@1"].of(10_000.0) == pytest.approx(100.0)
    assert defaults["export_energy@1"].of(0.0) > 0, "a watt-hour of export is no regression"
    assert defaults["safety_violations@1"].of(0.0) == 0, "a violation is one"


def test_verdicts_get_worse_in_the_order_of_severity() -> None:
    order = ["PASS", "INCONCLUSIVE", "FAIL", "ABORTED", "ERROR"]
    for i, a in enumerate(order):
        for j, b in enumerate(order):
            assert got_worse(a, b) == (j > i)
    assert not got_worse(None, "FAIL")
