"""Known answers: Gil Tene's stalled system, nearest-rank percentiles, skipped ticks."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.latency.statistics import (
    bootstrap,
    medians,
    percentile,
    responses,
    spread,
    with_expected_interval,
)

MS = 1_000_000
S = 1_000_000_000


def stalled() -> tuple[np.ndarray, np.ndarray]:
    """100 steps a second of 1 ms for 100 s, then one that takes 100 s; nothing runs meanwhile."""
    start = np.append(np.arange(10_000), 10_000) * 10 * MS
    return start, np.append(np.full(10_000, MS), 100 * S)


def test_what_a_naive_measurement_says_of_the_stalled_system() -> None:
    _, duration = stalled()
    assert percentile(duration, 50) == MS
    assert percentile(duration, 99.99) == MS
    assert duration.mean() == pytest.approx(10.9 * MS, rel=0.01)


def test_every_tick_of_the_stalled_system_counts_from_its_intended_start() -> None:
    found = responses(*stalled(), 10 * MS)
    assert len(found.response_ns) == 20_000
    assert found.skipped == 9_999
    assert percentile(found.response_ns, 50) == MS
    assert percentile(found.response_ns, 75) == 50 * S
    assert percentile(found.response_ns, 99.99) == pytest.approx(100 * S, rel=1e-3)
    assert found.response_ns.mean() == pytest.approx(25 * S, rel=0.001)
    assert found.missed == 9_999  # all but the last of the stall, which is served at its deadline


def test_it_adds_what_hdrhistogram_adds() -> None:
    start, duration = stalled()
    ours = np.sort(responses(start, duration, 10 * MS).response_ns)
    theirs = np.sort(with_expected_interval(duration, 10 * MS))
    np.testing.assert_allclose(ours, theirs)


def test_expected_interval_known_answer() -> None:
    assert sorted(with_expected_interval([1.0, 35.0], 10.0)) == [1.0, 15.0, 25.0, 35.0]
    assert sorted(with_expected_interval([30.0], 10.0)) == [10.0, 20.0, 30.0]
    assert with_expected_interval([0.3], 0.1).size == 3
    with pytest.raises(ValueError, match="more than 0"):
        with_expected_interval([1.0], 0.0)


def test_a_skipped_tick_is_served_by_the_next_step_that_runs() -> None:
    # Ticks every second; the step of tick 1 takes 2.5 s, so tick 2 and 3 are over: the loop starts
    # again at 3.5 s with tick 3's step (late) and skips tick 2.
    start = np.array([0.0, 1.0, 3.5, 4.0]) * S
    duration = np.array([0.1, 2.5, 0.1, 0.1]) * S
    found = responses(start.astype(int), duration.astype(int), S, ticks=5)
    np.testing.assert_allclose(found.response_ns / S, [0.1, 2.5, 1.6, 0.6, 0.1])
    assert (found.skipped, found.missed) == (1, 2)
    assert (found.late_ns / S).tolist() == [0.0, 0.0, 0.5, 0.0]


def test_a_tighter_deadline_is_missed_more_often() -> None:
    start, duration = np.arange(10) * S, np.full(10, S // 2)
    assert responses(start, duration, S).missed == 0
    assert responses(start, duration, S, deadline_ns=S // 4).missed == 10


def test_two_steps_of_one_tick_are_refused() -> None:
    with pytest.raises(ValueError, match="same tick"):
        responses([0, 10], [1, 1], S)


def test_nothing_measured() -> None:
    assert responses([], [], S).response_ns.size == 0
    assert np.isnan(percentile([], 50))


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=60), st.floats(0.1, 100))
def test_percentile_is_nearest_rank(values: list[float], percent: float) -> None:
    found = percentile(values, percent)
    assert found == np.percentile(values, percent, method="inverted_cdf")
    assert found in values
    assert np.count_nonzero(np.asarray(values) <= found) >= percent / 100 * len(values) - 1e-6


@given(st.lists(st.integers(1, 5000), min_size=1, max_size=40))
def test_no_tick_is_lost_however_long_steps_take(durations: list[int]) -> None:
    """The loop as `hil/loop.py` runs it: late ones skip the ticks that are over."""
    period, t, step, start = 1000, 0, 0, []
    took = []
    for duration in durations:
        t = max(t, step * period)
        start.append(t)
        took.append(duration)
        t += duration
        step += 1
        late = t - step * period
        if late > 0:
            step += late // period
    found = responses(start, took, period)
    assert len(found.response_ns) >= len(durations)
    # Every tick from the first to the end of the last step has a response.
    assert len(found.response_ns) == max(-(-(start[-1] + took[-1]) // period), 1)
    assert (found.response_ns > 0).all()
    assert found.missed == np.count_nonzero(found.response_ns > period)


def test_bootstrap_covers_the_ratio_of_medians() -> None:
    hits = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        base, changed = rng.lognormal(0, 0.3, 300), 1.2 * rng.lognormal(0, 0.3, 300)
        found = bootstrap(lambda a, b: medians(b) / medians(a), rng, (base,), (changed,))
        hits += found.low <= 1.2 <= found.high
    assert hits >= 54


def test_series_of_a_group_are_resampled_together() -> None:
    rng = np.random.default_rng(1)
    machine = rng.lognormal(0, 0.5, 200)  # what slows both alike
    found = bootstrap(lambda a, b: medians(a / b), rng, (3 * machine, machine))
    assert (found.low, found.value, found.high) == pytest.approx((3, 3, 3))


def test_spread_sees_a_machine_that_slowed_down() -> None:
    steady = np.tile([1.0, 1.1, 0.9, 1.0], 40)
    assert spread(steady) == pytest.approx(1.0)
    steady[80:] *= 2
    assert spread(steady) == pytest.approx(2.0)
    assert np.isnan(spread([1.0, 2.0]))
