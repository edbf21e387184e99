"""Limits: what a file may say, how a measurement is held against one."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wattbench.evaluation.limits import LimitConfig, judge_limit
from wattbench.evaluation.record import RecordHeader
from wattbench.evaluation.verdict import Verdict


@pytest.fixture
def judged(builders):
    """Return the result of one limit on one measured value."""

    def of(measured, *, baselines=None, mode="virtual", decision_rule=None, **limit):
        header = builders.header(baselines=baselines or {})
        header["scenario"]["clock"] = {"mode": mode}
        if decision_rule is not None:
            header["scenario"]["decision_rule"] = decision_rule
        config = LimitConfig.model_validate({"metric": "export_energy", **limit})
        values = {} if measured is None else {config.metric: measured}
        return judge_limit(config, values, RecordHeader.model_validate(header))

    return of


def errors(**limit):
    with pytest.raises(ValidationError) as caught:
        LimitConfig.model_validate(limit)
    return [(error["loc"], error["msg"]) for error in caught.value.errors()]


def test_a_limit_pins_the_version_of_its_metric():
    limit = LimitConfig.model_validate({"metric": "export_energy", "max": "1.2 kWh"})
    assert limit.metric == "export_energy@1"
    assert limit.max == pytest.approx(1200.0)
    assert LimitConfig.model_validate(limit.model_dump(mode="json")) == limit


@pytest.mark.parametrize(
    ("metric", "text", "value"),
    [
        ("peak_export_1min", "2.5 kW", 2500.0),
        ("decision_latency_p99", "10 ms", 0.01),
        ("voltage_outside_time", "2 min", 120.0),
        ("self_consumption", "80 %", 0.8),
        ("command_changes_per_min_worst", "10/min", 10.0),
        ("command_changes_per_min_worst", "10 1/min", 10.0),
        ("export_energy", "-5e1 Wh", -50.0),
    ],
)
def test_texts_with_units(metric, text, value):
    assert LimitConfig.model_validate({"metric": metric, "max": text}).max == pytest.approx(value)


def test_errors_name_the_field_and_what_is_allowed():
    ((loc, message),) = errors(metric="export_enery", max="1 kWh")
    assert loc == ("metric",)
    assert "did you mean 'export_energy'?" in message
    ((loc, message),) = errors(metric="export_energy", max="1 kW")
    assert loc == ("max",)
    assert message == (
        "wrong unit 'kW': this is in Wh; expected a number, or a number and a unit out of "
        "Wh, kWh, MWh"
    )
    ((loc, message),) = errors(metric="switchings_max", max="5 s")
    assert "this is a plain number; expected a number" in message
    assert errors(metric="export_energy", max="much")[0][0] == ("max",)
    assert errors(metric="export_energy", max=True)[0][0] == ("max",)
    assert errors(metric="export_energy", max=math.nan)[0][0] == ("max",)
    assert errors(metric="export_energy", maximum=3)[0][0] == ("maximum",)


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({}, "exactly one of max, min, .*; this one has none"),
        ({"max": 1, "min": 0}, "this one has max and min"),
        ({"max_ratio": 0.9}, "'max_ratio' needs 'vs' with the name of a baseline"),
        ({"max": 1, "vs": "pi"}, "'max' is absolute: leave out 'vs', or use one of max_ratio"),
    ],
)
def test_a_limit_has_one_bound(limit, message):
    with pytest.raises(ValidationError, match=message):
        LimitConfig.model_validate({"metric": "export_energy", **limit})


def test_bounds_include_themselves(judged):
    assert judged(10.0, max=10.0).verdict is Verdict.PASS
    assert judged(math.nextafter(10.0, 11.0), max=10.0).verdict is Verdict.FAIL
    assert judged(10.0, min=10.0).verdict is Verdict.PASS
    assert judged(math.nextafter(10.0, 9.0), min=10.0).verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("limit", "bound", "upper"),
    [
        ({"max_ratio": 0.9}, 90.0, True),
        ({"max_ratio": "110 %"}, 110.0, True),
        ({"min_ratio": 0.5}, 50.0, False),
        ({"min_reduction": "10 %"}, 90.0, True),
        ({"max_increase": "0.02 kWh"}, 120.0, True),
    ],
)
def test_bounds_against_a_baseline(judged, limit, bound, upper):
    baselines = {"pi": {"export_energy@1": 100.0}}
    result = judged(bound - 1, vs="pi", baselines=baselines, **limit)
    assert result.bound == pytest.approx(bound)
    assert result.limit.upper is upper
    assert (result.verdict is Verdict.PASS) is upper
    other = judged(bound + 1, vs="pi", baselines=baselines, **limit)
    assert (other.verdict is Verdict.PASS) is not upper


def test_a_negative_baseline_asks_for_more_not_less(judged):
    baselines = {"pi": {"export_energy@1": -100.0}}
    result = judged(-105.0, vs="pi", min_reduction=0.1, baselines=baselines)
    assert result.bound == pytest.approx(-110.0)
    assert result.verdict is Verdict.FAIL


def test_a_baseline_of_zero_can_be_held(judged):
    baselines = {"pi": {"export_energy@1": 0.0}}
    assert judged(0.0, vs="pi", max_ratio=0.9, baselines=baselines).verdict is Verdict.PASS
    assert judged(0.1, vs="pi", max_ratio=0.9, baselines=baselines).verdict is Verdict.FAIL


@given(st.floats(-1e6, 1e6), st.floats(0.001, 0.999))
def test_ratio_and_reduction_say_the_same(baseline, reduction):
    one = LimitConfig.model_validate(
        {"metric": "objective", "vs": "pi", "min_reduction": reduction}
    )
    other = LimitConfig.model_validate(
        {"metric": "objective", "vs": "pi", "max_ratio": 1 - reduction}
    )
    assert one.bound(baseline) == pytest.approx(other.bound(baseline))
    assert one.bound(baseline) <= baseline


def test_what_cannot_be_compared_is_an_error_never_a_pass(judged):
    missing = judged(1.0, vs="pi", max_ratio=0.9, baselines={"zero": {}})
    assert missing.verdict is Verdict.ERROR
    assert missing.reason == "the record has no baseline 'pi' (it has: zero)"
    empty = judged(1.0, vs="pi", max_ratio=0.9, baselines={"pi": {"export_energy@1": None}})
    assert empty.verdict is Verdict.ERROR
    assert empty.reason == "baseline 'pi' has no value of export_energy@1"
    for nothing in (math.nan, math.inf, -math.inf, None):
        for bound in ({"max": 10.0}, {"min": -10.0}):
            assert judged(nothing, **bound).verdict is Verdict.ERROR


def test_within_the_uncertainty_nothing_is_shown(judged):
    for measured in (8.0, 10.0, 12.0):
        result = judged(measured, max=10.0, uncertainty="2 Wh")
        assert result.verdict is Verdict.INCONCLUSIVE
        assert result.reason == "within the uncertainty of 2 Wh"
    assert judged(7.9, max=10.0, uncertainty=2.0).verdict is Verdict.PASS
    assert judged(12.1, max=10.0, uncertainty=2.0).verdict is Verdict.FAIL
    assert judged(10.0, max=10.0, uncertainty=0.0).verdict is Verdict.PASS


@pytest.mark.parametrize("rule", ["simple", "guarded"])
@pytest.mark.parametrize(
    ("measured", "simple", "guarded"),
    [
        (7.9, "PASS", "PASS"),
        (8.0, "PASS", "INCONCLUSIVE"),
        (10.0, "PASS", "INCONCLUSIVE"),
        (10.1, "FAIL", "INCONCLUSIVE"),
        (12.0, "FAIL", "INCONCLUSIVE"),
        (12.1, "FAIL", "FAIL"),
    ],
)
def test_the_declared_rule_decides_near_the_bound(judged, rule, measured, simple, guarded):
    result = judged(measured, decision_rule=rule, max=10.0, uncertainty=2.0)
    assert result.verdict is Verdict[{"simple": simple, "guarded": guarded}[rule]]
    assert result.as_dict()["decision_rule"] == rule
    assert result.as_dict()["uncertainty"] == 2.0


def test_without_a_declared_rule_it_is_the_guarded_one(judged):
    result = judged(10.0, max=10.0, uncertainty=2.0)
    assert (result.verdict, result.decision_rule) == (Verdict.INCONCLUSIVE, "guarded")


def test_latency_is_judged_under_the_wall_clock_only(judged):
    shown = judged(0.5, metric="decision_latency_p99", max="10 ms")
    assert shown.verdict is None
    assert shown.word == "not judged"
    assert shown.measured == 0.5
    assert judged(0.5, metric="decision_latency_p99", max="10 ms", mode="wall").verdict is (
        Verdict.FAIL
    )


@pytest.mark.parametrize(
    ("limit", "text"),
    [
        ({"max": 1200}, "export_energy ≤ 1.2 kWh"),
        ({"min": 12}, "export_energy ≥ 12 Wh"),
        ({"vs": "pi", "max_ratio": 0.9}, "export_energy ≤ 0.9 × pi"),
        ({"vs": "pi", "min_ratio": 0.5}, "export_energy ≥ 0.5 × pi"),
        ({"vs": "pi", "min_reduction": 0.1}, "export_energy ≤ pi − 10 %"),
        ({"vs": "pi", "max_increase": 50}, "export_energy ≤ pi + 50 Wh"),
    ],
)
def test_limits_in_words(limit, text):
    assert LimitConfig.model_validate({"metric": "export_energy", **limit}).text() == text


def test_the_schema_lists_the_metrics():
    schema = LimitConfig.model_json_schema()
    assert "objective" in schema["properties"]["metric"]["enum"]
    assert schema["additionalProperties"] is False


def test_runs_that_met_something_uncontrolled_are_compared_with_no_other(builders):
    header = builders.header(baselines={"zero": {"export_energy@1": 1000.0}})
    header["rig"] = {"name": "lab", "unpaired": True}
    header = RecordHeader.model_validate(header)
    paired = LimitConfig.model_validate(
        {"metric": "export_energy", "vs": "zero", "min_reduction": 0.1}
    )
    absolute = LimitConfig.model_validate({"metric": "export_energy", "max": 500.0})
    values = {"export_energy@1": 100.0}
    result = judge_limit(paired, values, header)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "uncontrolled" in result.reason
    assert judge_limit(absolute, values, header).verdict is Verdict.PASS


def test_a_replay_has_no_baselines(builders):
    header = builders.header(baselines={})
    header["rig"] = {"name": "lab", "unpaired": True, "replay": {"tape": "x"}}
    limit = LimitConfig.model_validate(
        {"metric": "export_energy", "vs": "zero", "min_reduction": 0.1}
    )
    result = judge_limit(limit, {"export_energy@1": 1.0}, RecordHeader.model_validate(header))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.reason == "a replay has no baselines"


@pytest.mark.parametrize(
    ("duration_s", "seconds", "verdict"),
    [
        (40.0, 29.0, Verdict.INCONCLUSIVE),
        (40.0, 5.0, Verdict.PASS),
        (3600.0, 36.0, Verdict.PASS),
        (3600.0, 37.0, Verdict.INCONCLUSIVE),
    ],
)
def test_what_nobody_saw_decides_nothing(builders, duration_s, seconds, verdict):
    """Devices that were gone for most of a real run: what they had shown last proves nothing."""
    header = builders.header(unseen_s={"grid": 0.0, "boiler": seconds})
    header["scenario"]["clock"] = {"mode": "wall", "duration_s": duration_s}
    limit = LimitConfig.model_validate({"metric": "export_energy", "max": 500.0})
    result = judge_limit(limit, {"export_energy@1": 1.0}, RecordHeader.model_validate(header))
    assert result.verdict is verdict
    if verdict is Verdict.INCONCLUSIVE:
        assert (
            f"'boiler', which the truth comes from, showed nothing for {seconds:g}" in result.reason
        )
