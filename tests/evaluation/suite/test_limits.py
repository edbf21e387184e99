"""Limits on intervals: what a suite may say."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from wattbench.evaluation.suite.limits import IntervalLimitConfig


@pytest.mark.parametrize(
    ("limit", "text", "upper", "unit", "value"),
    [
        ({"vs": "pi", "min_reduction": "10 %"},
         "export_energy: reduction vs pi ≥ 10 % (95 % interval)", False, "1", 0.1),
        ({"vs": "pi", "max_ratio": 0.9, "level": 0.9},
         "export_energy ≤ 0.9 × pi (90 % interval)", True, "1", 0.9),
        ({"vs": "pi", "min_ratio": 0.5},
         "export_energy ≥ 0.5 × pi (95 % interval)", False, "1", 0.5),
        ({"vs": "pi", "max_increase": "50 Wh"},
         "export_energy ≤ pi + 50 Wh (95 % interval)", True, "Wh", 50.0),
        ({"max": "1.2 kWh"}, "export_energy ≤ 1.2 kWh (95 % interval)", True, "Wh", 1200.0),
        ({"min": 12, "level": "99 %"}, "export_energy ≥ 12 Wh (99 % interval)", False, "Wh", 12.0),
        ({"max": 0}, "export_energy ≤ 0 Wh (95 % interval)", True, "Wh", 0.0),
    ],
)  # fmt: skip
def test_limits_in_words(limit, text, upper, unit, value):
    config = IntervalLimitConfig.model_validate({"metric": "export_energy", **limit})
    assert (config.text(), config.upper, config.unit) == (text, upper, unit)
    assert config.value == pytest.approx(value)
    assert IntervalLimitConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        ({}, "exactly one of max, min"),
        ({"max": 1, "min": 0}, "this one has max and min"),
        ({"min_reduction": 0.1}, "'min_reduction' needs 'vs'"),
        ({"max": 1, "uncertainty": 1}, "Extra inputs are not permitted"),
        ({"max": 1, "level": 1}, "less than or equal to 0.999"),
        ({"max": 1, "level": 0.05}, "greater than or equal to 0.5"),
        ({"metric": "decision_latency_p99", "max": 1}, "is judged run by run"),
        ({"metric": "export_enery", "max": 1}, "did you mean 'export_energy'"),
    ],
)
def test_what_a_limit_may_not_say(limit, message):
    with pytest.raises(ValidationError, match=message):
        IntervalLimitConfig.model_validate({"metric": "export_energy", **limit})
