"""Known answers: each estimator recovers what a time series was made with, and says how well."""

import asyncio

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.fingerprint.answers import (
    PATH_S,
    estimate_first_answer,
    estimate_gap,
    latency_distribution,
    quantile,
)
from wattbench.hil.fingerprint.bounds import extent
from wattbench.hil.fingerprint.estimate import Estimate, EstimateError
from wattbench.hil.fingerprint.quantisation import estimate_quantisation
from wattbench.hil.fingerprint.refresh import estimate_refresh
from wattbench.hil.fingerprint.response import Step, estimate_step_response, scatter, settled
from wattbench.hil.fingerprint.series import Series
from wattbench.hil.fingerprint.spread import estimate_spread, estimate_watchdog


def ramp(t, dead_s, ramp_s, before, after):
    return before + (after - before) * np.clip((t - dead_s) / max(ramp_s, 1e-9), 0, 1)


def watched(rng, *, dead_s, ramp_s, refresh_s, poll_s, noise=0.0, size=1000.0, share=1.0):
    """Return a step as a poller sees it: the device latches its power every refresh."""
    sent = np.sort(
        rng.uniform(0, poll_s) + np.arange(0, dead_s + ramp_s + 4 * refresh_s + 3, poll_s)
    )
    received = sent + 0.004
    taken = sent + rng.uniform(0, 0.004, len(sent))
    if refresh_s:
        phase = rng.uniform(0, refresh_s)
        taken = np.floor((taken - phase) / refresh_s) * refresh_s + phase
    arrival = rng.uniform(0, 0.004)
    clean = ramp(taken - arrival, dead_s, ramp_s * share, 0.0, size)
    ticks, where = np.unique(taken, return_inverse=True)
    bent = clean + rng.uniform(-noise, noise, len(ticks))[where]
    return Step(Series.of(sent, received, bent), 0.004, 0.0, size, share)


def test_an_estimate_is_an_interval() -> None:
    found = Estimate.between(1.0, 3.0, "s", "by hand", 1)
    assert (found.value, found.uncertainty, found.low, found.high) == (2, 1, 1, 3)
    assert found.covers(1.0)
    assert not found.covers(0.9)
    assert found.at_least(1.5).uncertainty == 1.5


def test_extent_of_a_polygon() -> None:
    # x >= 1, y >= 2, x + y <= 5
    found = extent([(-1, 0), (0, -1), (1, 1)], [-1, -2, 5], (100, 100))
    np.testing.assert_allclose(found.low, (1, 2), atol=1e-6)
    np.testing.assert_allclose(found.high, (3, 4), atol=1e-6)
    assert found.relaxed == 0


def test_contradictions_widen_every_bound() -> None:
    found = extent([(1, 0), (-1, 0)], [1, -2], (100, 100))  # x <= 1 and x >= 2
    assert found.relaxed == pytest.approx(1.0)
    assert found.low[0] <= 1
    assert found.high[0] >= 2


def test_a_densely_sampled_step_is_read_off() -> None:
    t = np.arange(0, 5, 0.01)
    step = Step(Series.exact(t, ramp(t, 1.0, 1.5, 200, 1800)), 0.0, 200, 1800)
    found = estimate_step_response([step])
    assert found.dead_time.covers(1.0)
    assert found.ramp.covers(1.5)
    assert found.dead_time.uncertainty < 0.011
    assert found.ramp.uncertainty < 0.011


def test_half_a_step_takes_half_the_ramp() -> None:
    t = np.arange(0, 5, 0.01)
    step = Step(Series.exact(t, ramp(t, 0.5, 1.0, 0, 500)), 0.0, 0, 500, share=0.5)
    assert estimate_step_response([step]).ramp.covers(2.0)


def test_a_jump_has_no_ramp() -> None:
    t = np.arange(0, 3, 0.01)
    found = estimate_step_response([Step(Series.exact(t, ramp(t, 0.7, 0, 0, 100)), 0, 0, 100)])
    assert found.dead_time.covers(0.7)
    assert found.ramp.covers(0.0)
    assert found.ramp.uncertainty < 0.02


def test_step_response_covers_and_is_sharper_than_the_refresh() -> None:
    """Sixty devices with random times: 95 % must be covered; the bounds hold, so nearly all are."""
    covered, sharp = 0, 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        dead_s, ramp_s = rng.uniform(0.1, 2), rng.uniform(0, 3)
        refresh_s, noise = rng.choice([0.0, 0.5, 1.0]), rng.uniform(0, 5)
        steps = [
            watched(
                rng, dead_s=dead_s, ramp_s=ramp_s, refresh_s=refresh_s, poll_s=0.05, noise=noise
            )
            for _ in range(8)
        ]
        found = estimate_step_response(steps, refresh_s=refresh_s, tolerance=noise + 0.1)
        covered += found.dead_time.covers(dead_s) and found.ramp.covers(ramp_s)
        sharp += found.dead_time.uncertainty < 0.15 and found.ramp.uncertainty < 0.3
    assert covered >= 57
    assert sharp >= 50


def test_a_ramp_that_is_not_straight_is_told() -> None:
    t = np.arange(0, 8, 0.02)
    power = 1000 * (1 - np.exp(-np.maximum(t - 1, 0) / 0.5))
    found = estimate_step_response([Step(Series.exact(t, power), 0.0, 0, 1000)], tolerance=1)
    assert "no straight ramp" in found.dead_time.note


def test_a_step_without_effect_is_refused() -> None:
    t = np.arange(0, 3, 0.1)
    with pytest.raises(EstimateError, match="no step changed"):
        estimate_step_response([Step(Series.exact(t, t * 0), 0, 0, 0.1)], tolerance=1)


def test_a_step_cut_short_is_refused() -> None:
    t = np.arange(0, 0.5, 0.1)
    with pytest.raises(EstimateError, match="end before"):
        estimate_step_response([Step(Series.exact(t, t * 0), 0, 0, 100)], tolerance=1)


def test_scatter_and_settled_value() -> None:
    rng = np.random.default_rng(1)
    values = 500 + rng.normal(0, 2, 2000)
    assert scatter(values) == pytest.approx(2, rel=0.1)
    mean, tolerance = settled(Series.exact(np.arange(2000.0), values), 100.0)
    assert mean == pytest.approx(500, abs=0.2)
    assert tolerance == pytest.approx(7, rel=0.1)


@pytest.mark.parametrize("step", [5.0, 10.0, 25.0, 33.3, 100.0])
def test_quantisation_is_found_through_a_register_of_whole_watts(step: float) -> None:
    rng = np.random.default_rng(int(step))
    wanted = rng.uniform(200, 3000, 12)
    seen = np.round(np.floor(wanted / step) * step)
    found = estimate_quantisation(seen, tolerance=0.5)
    assert found.covers(step)
    assert found.uncertainty < 0.02 * step


def test_quantisation_that_cannot_be_told_is_bounded() -> None:
    rng = np.random.default_rng(3)
    found = estimate_quantisation(np.round(rng.uniform(200, 3000, 12)), tolerance=0.5)
    assert found.covers(1.0)
    assert found.high <= 3.0
    assert "finer" in found.note


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.floats(3, 200), st.integers(10, 20))
def test_quantisation_covers(seed: int, step: float, count: int) -> None:
    rng = np.random.default_rng(seed)
    wanted = rng.uniform(300, 3500, count)
    seen = np.floor(wanted / step) * step + rng.uniform(-0.4, 0.4, count)
    if np.unique(np.round(seen / step)).size < 6:
        return
    assert estimate_quantisation(seen, tolerance=0.4).covers(step)


def test_quantisation_wants_enough_values() -> None:
    with pytest.raises(EstimateError, match="at least 6"):
        estimate_quantisation([10, 20, 30], tolerance=0.5)


def test_refresh_is_the_grid_of_changes() -> None:
    covered = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        period, phase = rng.uniform(0.2, 2), rng.uniform(0, 1)
        sent = np.arange(0, 30 * period, 0.05) + rng.uniform(0, 0.005, int(np.ceil(600 * period)))
        taken = sent + 0.002
        tick = np.floor((taken - phase) / period)
        values = rng.normal(0, 1, 2000)[tick.astype(int)]
        # Some ticks bring the same value again.
        values = np.where(
            tick % 7 == 3, values[np.maximum(0, np.searchsorted(tick, tick) - 1)], values
        )
        found = estimate_refresh(Series.of(sent, sent + 0.004, values))
        covered += found.covers(period)
        assert found.uncertainty < 0.01
    assert covered >= 38


def test_refresh_from_single_changes_far_apart() -> None:
    """One change a step, at a random tick each: the period is what all distances have in common."""
    covered = sharp = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        period, phase = rng.uniform(0.3, 2), rng.uniform(0, 1)
        ticks = np.cumsum(rng.integers(2, 12, 16)) * period + phase
        sent, values = [], []
        for k, tick in enumerate(ticks):
            asked = tick + np.arange(-5, 5) * 0.04 + rng.uniform(0, 0.04)
            sent += asked.tolist()
            values += (k + (asked >= tick)).tolist()
        found = estimate_refresh(Series.of(sent, np.array(sent) + 0.004, values))
        covered += found.covers(period)
        sharp += found.uncertainty < 0.02
    assert covered >= 38
    assert sharp >= 38


def test_a_value_that_is_always_new_has_no_period() -> None:
    t = np.arange(0, 5, 0.05)
    found = estimate_refresh(Series.of(t, t + 0.002, np.random.default_rng(1).normal(size=len(t))))
    assert found.low == 0
    assert found.high == pytest.approx(0.1, abs=0.005)


def test_a_constant_has_no_refresh() -> None:
    with pytest.raises(EstimateError, match="changed 0 times"):
        estimate_refresh(Series.exact(np.arange(10.0), np.zeros(10)))


def test_watchdog_covers_expiry_and_slack() -> None:
    both = [0, 0]
    for seed in range(300):
        rng = np.random.default_rng(seed)
        timeout_s, slack_s = rng.uniform(5, 120), rng.uniform(0, 10)
        expiry = timeout_s + rng.uniform(0, slack_s, 8)
        error = rng.uniform(0, 0.1, 8)
        found = estimate_watchdog(expiry - error, expiry + 0.1 - error)
        both[0] += found.least.covers(timeout_s)
        both[1] += found.width.covers(slack_s)
    assert min(both) >= 285


def test_no_slack_at_all() -> None:
    found = estimate_watchdog(np.full(5, 9.9), np.full(5, 10.1))
    assert found.least.covers(10)
    assert found.width.covers(0.0)
    assert found.width.high < 1.0
    with pytest.raises(EstimateError, match="at least 3"):
        estimate_spread([1, 2], [1, 2], "answers")


def test_latency_quantiles_are_those_of_the_sample() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for _ in range(100):
        times = rng.lognormal(-4, 0.4, 200)
        covered += quantile(times, 0.5).covers(np.exp(-4))
    assert covered >= 93
    assert quantile(np.arange(1, 12), 0.5).covers(6)


def test_answer_times_of_an_evenly_spread_device() -> None:
    hits = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        answer_s, spread_s = rng.uniform(0.005, 0.1), rng.uniform(0, 0.05)
        times = answer_s + rng.uniform(0, spread_s, 60) + 0.0002
        found = latency_distribution(times)
        hits += found.least.covers(answer_s) and found.spread.covers(spread_s)
    assert hits >= 95


def test_first_answer() -> None:
    usual = np.full(30, 0.02)
    assert estimate_first_answer([1.5, 1.5, 1.5], usual).covers(1.5)
    found = estimate_first_answer([0.02, 0.02], usual)
    assert (found.low, found.high) == (0, 0.02)


@pytest.mark.parametrize("gap_s", [0.0, 0.003, 0.05, 0.8, 1.0])
def test_gap_by_bisection(gap_s: float) -> None:
    rng = np.random.default_rng(1)
    asked: list[float] = []

    async def answered_after(wanted_s: float) -> tuple[bool, float]:
        really_s = wanted_s + rng.uniform(0, 0.0005)
        asked.append(really_s)
        return really_s + 0.0002 >= gap_s, really_s

    found = asyncio.run(estimate_gap(answered_after, longest_s=2.0))
    assert found.covers(gap_s)
    assert found.uncertainty <= 0.002
    assert len(asked) < 60


def test_a_gap_beyond_what_is_looked_for() -> None:
    async def never(gap_s: float) -> tuple[bool, float]:
        return False, gap_s

    with pytest.raises(EstimateError, match="no answer even 2 s"):
        asyncio.run(estimate_gap(never, longest_s=2.0))


def test_path_is_part_of_every_time() -> None:
    found = latency_distribution(np.full(20, 0.02 + PATH_S / 2))
    assert found.least.covers(0.02)


@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=30), st.floats(0, 10))
def test_a_value_was_taken_inside_its_window(values: list[float], refresh_s: float) -> None:
    sent = np.cumsum(np.full(len(values), 0.3))
    series = Series.of(sent, sent + 0.1, values)
    early, late = series.windows(refresh_s)
    assert (early <= late).all()
    assert (early >= sent - refresh_s).all()


def test_series_that_is_none() -> None:
    with pytest.raises(EstimateError, match="backwards"):
        Series.exact([1.0, 0.5], [0, 0])
    with pytest.raises(EstimateError, match="no number"):
        Series.exact([1.0], [np.nan])
    with pytest.raises(EstimateError, match="number"):
        Series.exact([1.0], [1.0, 2.0])
