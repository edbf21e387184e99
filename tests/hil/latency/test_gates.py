"""What a gate says, of loops and machines of which we know what they are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from wattbench.hil.latency.gates import (
    ComparisonError,
    Rule,
    RuleError,
    judge,
    measured_of,
    parse_rule,
)
from wattbench.hil.latency.measure import SPANS

P50 = Rule("answer_to_command", "p50", 1.3)
RATIO = Rule("answer_to_command", "ratio", 1.3)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("p50:1.3x", P50),
        ("ratio:1.3x", RATIO),
        ("step.p50:2x", Rule("step", "p50", 2.0)),
        (" bus_read.ratio:1.25x ", Rule("bus_read", "ratio", 1.25)),
    ],
)
def test_rules(text: str, rule: Rule) -> None:
    assert parse_rule(text, SPANS) == rule
    assert parse_rule(str(rule), SPANS) == rule


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no rule"),
        ("p50", "no rule"),
        ("p50:30%", "no rule"),
        ("p50:1.3", "no rule"),
        ("p50:-1x", "no rule"),
        ("p99:2x", "tails are shown but not judged"),
        ("mean:2x", "cannot be judged"),
        ("stp.p50:2x", "no span 'stp'"),
        ("p50:0.5x", "from 1 to 100"),
        ("p50:1e9x", "no rule"),
    ],
)
def test_what_is_no_rule(text: str, said: str) -> None:
    with pytest.raises(RuleError, match=said):
        parse_rule(text, SPANS)


@pytest.mark.parametrize("rule", [P50, RATIO])
@pytest.mark.parametrize(
    ("own", "verdict"), [(1.0, "pass"), (1.15, "pass"), (1.6, "fail"), (3, "fail")]
)
def test_a_steady_machine(made, rule: Rule, own: float, verdict: str) -> None:
    found = judge(rule, made.measured(1, own=own), made.measured(2))
    assert found.verdict == verdict
    assert found.factor.value == pytest.approx(own, rel=0.06)
    assert found.factor.low <= found.factor.value <= found.factor.high


def test_an_interval_that_straddles_the_limit_decides_nothing(made) -> None:
    found = judge(P50, made.measured(1, own=1.3), made.measured(2))
    assert found.verdict == "inconclusive"
    assert "straddles" in found.reason


def test_a_machine_of_half_the_speed_does_not_fail_the_loop(made) -> None:
    slow, before = made.measured(1, machine=2.0), made.measured(2)
    absolute = judge(P50, slow, before)
    assert absolute.verdict == "inconclusive"
    assert "slower" in absolute.reason
    assert judge(RATIO, slow, before).verdict == "pass"


def test_a_regression_on_a_machine_of_half_the_speed_is_seen_by_the_ratio(made) -> None:
    assert judge(RATIO, made.measured(1, own=1.6, machine=2), made.measured(2)).verdict == "fail"


def test_a_faster_machine_hides_nothing_from_the_ratio(made) -> None:
    fast = made.measured(1, own=1.6, machine=0.5)
    assert judge(P50, fast, made.measured(2)).verdict == "pass"
    assert judge(RATIO, fast, made.measured(2)).verdict == "fail"


@pytest.mark.parametrize("which", ["now", "before"])
def test_a_machine_that_wanders_lets_nothing_be_said(made, which: str) -> None:
    steady, wild = made.measured(1), made.measured(2, wander=3.0)
    now, before = (wild, steady) if which == "now" else (steady, wild)
    found = judge(RATIO, now, before)
    assert found.verdict == "inconclusive"
    assert "wandered" in found.reason


def test_a_wandering_machine_cannot_make_a_slow_loop_look_fast(made) -> None:
    now, before = made.measured(1, own=0.5, wander=2.0), made.measured(2)
    assert judge(P50, now, before).verdict == "pass"


def test_the_same_loop_hardly_ever_fails(made) -> None:
    """Two measurements of one loop, the machine up to 40 % off: at 1.2 none of 60 may fail."""
    verdicts: Counter[str] = Counter()
    for seed in range(60):
        machine = 1.0 + 0.4 * (seed % 5) / 4
        now = made.measured(2 * seed, machine=machine)
        rule = Rule("answer_to_command", "ratio", 1.2)
        verdicts[judge(rule, now, made.measured(2 * seed + 1)).verdict] += 1
    assert verdicts["fail"] == 0
    assert verdicts["pass"] >= 55


def test_a_loop_half_as_fast_hardly_ever_passes(made) -> None:
    verdicts = Counter(
        judge(RATIO, made.measured(2 * s, own=2.0), made.measured(2 * s + 1)).verdict
        for s in range(40)
    )
    assert verdicts["fail"] >= 39


def test_the_same_data_the_same_verdict(made) -> None:
    pair = made.measured(1, own=1.25), made.measured(2)
    assert judge(P50, *pair) == judge(P50, *pair)


def entry(**changes):
    return {
        "name": "step",
        "stats": {"data": [1.0, 2.0]},
        "extra_info": {"reference_s": [1.0, 1.0]},
        **changes,
    }


@pytest.mark.parametrize(
    "benchmarks",
    [
        [],
        [entry(name="other")],
        [entry(stats={})],
        [entry(stats={"data": [1.0]})],
        [entry(stats={"data": ["a", "b"]})],
        [entry(stats={"data": [0.0, 0.0]})],
        [entry(stats={"data": [-1.0, 1.0]})],
        [entry(extra_info={"reference_s": [1.0]})],
        [entry(extra_info=None)],
        ["nothing"],
    ],
)
def test_a_file_without_the_measurement(benchmarks) -> None:
    with pytest.raises(ComparisonError, match="no measurement of 'step'"):
        measured_of({"benchmarks": benchmarks}, "step")


def test_a_file_with_it() -> None:
    found = measured_of({"benchmarks": [entry()]}, "step")
    np.testing.assert_array_equal(found.values, [1.0, 2.0])
