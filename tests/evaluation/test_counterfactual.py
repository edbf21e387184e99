"""Two policies' commands against each other: counts, stretches, differences, by hand."""

from __future__ import annotations

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.evaluation import counterfactual
from wattbench.evaluation.counterfactual import Counterfactual, as_dict, contrast

S = 1_000_000
#: Two loads on phase a, one battery on all phases that discharges with +.
CONSUMPTION = np.array([[1.0, 1.0, -1 / 3], [0.0, 0.0, -1 / 3], [0.0, 0.0, -1 / 3]])
IDS = ("a1", "a2", "battery")


def held(recorded, other, *, asked=None) -> Counterfactual:
    recorded, other = (np.array(rows, dtype=float).reshape(-1, 3) for rows in (recorded, other))
    steps = len(recorded)
    return contrast(
        np.arange(steps, dtype=np.int64) * S, IDS, CONSUMPTION, recorded, other,
        asked=np.ones(steps, bool) if asked is None else np.array(asked),
        decisions_identical=None,
    )  # fmt: skip


def test_known_differences() -> None:
    zero = [0.0, 0.0, 0.0]
    recorded = [zero, [100, 0, 0], [100, 0, 0], zero, zero, [0, 900, 0]]
    other = [zero, [300, 0, 0], [100, 50, 0], zero, [0, 0, 300], [0, 0, 0]]
    found = held(recorded, other, asked=[False, True, True, True, True, True])
    assert (found.steps, found.differing, found.not_asked) == (6, 4, 1)
    assert found.share == pytest.approx(4 / 6)
    a1, a2, battery = found.actuators
    assert (a1.steps, a1.max_w, a1.mean_w, a1.bias_w) == (1, 200.0, 200 / 6, 200 / 6)
    assert (a2.steps, a2.max_w) == (2, 900.0)
    assert (a2.mean_w, a2.bias_w) == (950 / 6, -850 / 6)
    assert battery.max_w == 300.0
    # phases: what a battery discharges is not consumed
    phase_a, phase_b, _ = found.phases
    assert phase_a.max_w == 900.0
    assert phase_b.bias_w == pytest.approx(-100 / 6)
    assert found.first is not None
    assert (found.first.from_us, found.first.to_us, found.first.steps) == (S, 2 * S, 2)
    assert (found.first.peak_us, found.first.other_w["a1"]) == (S, 300.0)
    assert found.longest is not None
    assert found.longest.from_us == S, "of two as long the first"
    assert [stretch.peak_us for stretch in found.largest] == [5 * S, S]
    assert found.largest[0].recorded_w == {"a1": 0.0, "a2": 900.0, "battery": 0.0}


def test_steps_of_which_nobody_knows_what_was_commanded_are_left_out() -> None:
    found = held([[np.nan] * 3, [1, 0, 0]], [[5, 5, 5], [1, 0, 0]])
    assert (found.steps, found.differing, found.first) == (1, 0, None)


def test_nothing_at_all() -> None:
    found = held([], [])
    assert (found.steps, found.share, found.actuators, found.largest) == (0, 0.0, (), ())
    assert as_dict(found)["label"].startswith("counterfactual")


@given(st.lists(st.booleans(), max_size=30), st.integers(1, 4))
def test_stretches_cover_just_the_steps_that_differ(differs: list[bool], kept: int) -> None:
    recorded = np.zeros((len(differs), 3))
    other = recorded.copy()
    other[:, 0] = np.where(differs, 1.0 + np.arange(len(differs)), 0.0)
    with patch.object(counterfactual, "_KEPT", len(differs)):
        every = held(recorded, other)
    covered = np.zeros(len(differs), bool)
    for stretch in every.largest:
        rows = slice(stretch.from_us // S, stretch.to_us // S + 1)
        assert stretch.steps == rows.stop - rows.start
        assert not covered[rows].any()
        covered[rows] = True
    assert covered.tolist() == differs
    sizes = [stretch.other_w["a1"] for stretch in every.largest]
    assert sizes == sorted(sizes, reverse=True)
    with patch.object(counterfactual, "_KEPT", kept):
        assert held(recorded, other).largest == every.largest[:kept]
    if every.longest is not None:
        assert every.longest.steps == max(stretch.steps for stretch in every.largest)
