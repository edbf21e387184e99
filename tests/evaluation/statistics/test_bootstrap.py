"""Intervals: how often they hold a truth that is known, and against others' implementations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from wattbench.evaluation.compare import reduction
from wattbench.evaluation.statistics import (
    improvement_interval,
    interquartile_mean_interval,
    mean_interval,
    pairs_needed,
    reduction_interval,
    reductions,
)

REPLICATIONS = 400


def world(generator, strata, pairs):
    """Return a policy's and a baseline's energies; the true reduction is 0.15."""
    baseline = 1000 * generator.lognormal(0, 0.6, (strata, pairs))
    policy = baseline * (0.85 + 0.15 * generator.standard_normal((strata, pairs)))
    keys = [f"scenario {k}" for k in range(strata)]
    return dict(zip(keys, policy, strict=True)), dict(zip(keys, baseline, strict=True))


def expanded_level(pairs):
    """Return the level of the plain percentile interval that is one of 95 % for n pairs."""
    quantile = scipy.stats.t.ppf(0.975, pairs - 1) * math.sqrt(pairs / (pairs - 1))
    return 1 - 2 * scipy.stats.norm.cdf(-quantile)


@pytest.mark.parametrize(("strata", "pairs"), [(1, 10), (4, 10), (8, 5)])
def test_intervals_hold_the_truth_as_often_as_they_say(strata, pairs):
    generator = np.random.default_rng(7)
    held = 0
    for _ in range(REPLICATIONS):
        found = reduction_interval(*world(generator, strata, pairs))
        held += found.low <= 0.15 <= found.high
    # The plain percentile interval comes to 88 to 92 % here; 400 trials have 1.1 % of noise.
    assert 0.92 <= held / REPLICATIONS <= 0.975


def test_intervals_of_a_mean_hold_it():
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(REPLICATIONS):
        found = mean_interval({"a": generator.normal(5, 2, 10), "b": generator.normal(1, 1, 10)})
        held += found.low <= 3 <= found.high
    assert 0.925 <= held / REPLICATIONS <= 0.975


def test_the_interquartile_mean_of_a_symmetric_spread_is_held():
    generator = np.random.default_rng(4)
    held = 0
    for _ in range(REPLICATIONS):
        found = interquartile_mean_interval({"a": generator.standard_t(3, 12) + 0.2})
        held += found.low <= 0.2 <= found.high
    assert 0.92 <= held / REPLICATIONS <= 0.985


@pytest.mark.parametrize("pairs", [8, 10, 30])
def test_the_bootstrap_is_that_of_scipy(pairs):
    policy, baseline = world(np.random.default_rng(11), 1, pairs)
    (x,), (b,) = policy.values(), baseline.values()
    found = reduction_interval(policy, baseline)
    other = scipy.stats.bootstrap(
        (x, b),
        lambda x, b, axis: 1 - x.sum(axis=axis) / b.sum(axis=axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        confidence_level=expanded_level(pairs),
        method="percentile",
        rng=np.random.default_rng(1),
    )
    width = found.high - found.low
    assert found.low == pytest.approx(other.confidence_interval.low, abs=0.04 * width)
    assert found.high == pytest.approx(other.confidence_interval.high, abs=0.04 * width)
    widened = other.standard_error * math.sqrt(pairs / (pairs - 1))
    assert found.standard_error == pytest.approx(widened, rel=0.05)


def test_the_mean_of_much_data_has_students_interval():
    values = np.random.default_rng(2).normal(10, 3, 200)
    found = mean_interval({"a": values})
    low, high = scipy.stats.t.interval(0.95, 199, values.mean(), scipy.stats.sem(values))
    assert found.estimate == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.03 * (high - low))


def test_reductions_by_hand():
    policy = {"sunny": np.array([80.0, 60, 100]), "grey": np.array([9.0, 9, 9])}
    baseline = {"sunny": np.array([100.0, 100, 100]), "grey": np.array([10.0, 10, 10])}
    found = reduction_interval(policy, baseline)
    assert found.estimate == pytest.approx((0.2 + 0.1) / 2)
    assert (found.pairs, found.strata) == (6, 2)


def test_a_dark_day_does_not_weigh_like_a_bright_one():
    policy, baseline = {"a": np.array([100.0, 3.0])}, {"a": np.array([200.0, 1.0])}
    assert reduction_interval(policy, baseline).estimate == pytest.approx(1 - 103 / 201)


energies = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
several = st.lists(st.tuples(energies, energies), min_size=1, max_size=12)


@given(several)
def test_the_statistic_is_the_reduction_of_the_sums(pairs):
    x, b = (np.array(side) for side in zip(*pairs, strict=True))
    expected = reduction(float(x.sum()), float(b.sum()))
    found = reduction_interval({"a": x}, {"a": b}).estimate
    if not (x.any() or b.any()):
        assert math.isnan(found), "of nothing there is no share"
    elif math.isnan(expected):
        assert math.isinf(found)
    else:
        assert found == pytest.approx(expected, rel=1e-9)


@given(several, several, st.sampled_from([0.25, 2.0, 1024.0]))
def test_scale_and_order_of_scenarios_do_not_matter(one, two, factor):
    policy, baseline = {}, {}
    for key, pairs in (("one", one), ("two", two)):
        sides = np.full((2, 12), math.nan)
        sides[:, : len(pairs)] = np.array(pairs).T
        policy[key], baseline[key] = sides
    found = reduction_interval(policy, baseline)
    turned = reduction_interval(dict(reversed(policy.items())), dict(reversed(baseline.items())))
    scaled = reduction_interval(
        {key: factor * values for key, values in policy.items()},
        {key: factor * values for key, values in baseline.items()},
    )
    for name in ("estimate", "low", "high"):
        expected = getattr(found, name)
        assert getattr(scaled, name) == pytest.approx(expected, rel=1e-9, nan_ok=True)
        assert getattr(turned, name) == pytest.approx(expected, rel=1e-9, nan_ok=True)


@given(several)
def test_equal_data_gives_equal_intervals_and_its_ends_are_in_order(pairs):
    x, b = (np.array(side) for side in zip(*pairs, strict=True))
    first, again = (mean_interval({"a": x - b}) for _ in range(2))
    assert repr(first) == repr(again)
    if first.known:
        assert first.low <= first.high
        assert (x - b).min() - 1e-6 <= first.low
        assert first.high <= (x - b).max() + 1e-6


def test_policies_meet_the_same_draws():
    """Of two policies on the same seeds, the one that is lower by 5 on each is lower by 5."""
    x = np.random.default_rng(8).normal(100, 20, 10)
    one, other = mean_interval({"a": x}), mean_interval({"a": x - 5})
    assert other.low == pytest.approx(one.low - 5)
    assert other.high == pytest.approx(one.high - 5)


def test_pairs_that_are_all_alike_give_a_point():
    found = reduction_interval({"a": np.full(10, 0.9)}, {"a": np.full(10, 1.0)})
    assert (found.low, found.estimate, found.high) == (0.1, 0.1, 0.1)
    growing = np.arange(1.0, 11)
    found = reduction_interval({"a": 0.7 * growing}, {"a": growing})
    assert (found.low, found.high) == (0.3, 0.3)
    nothing = reduction_interval({"a": np.zeros(10)}, {"a": np.zeros(10)})
    assert math.isnan(nothing.estimate)
    assert nothing.reason == "both are 0 in every pair, of which there is no share"


def test_too_few_seeds_have_no_interval():
    nan = math.nan
    found = mean_interval({"a": np.array([1.0, nan, 2, nan, nan]), "b": np.arange(5.0)})
    assert (found.known, found.estimate, found.pairs) == (False, pytest.approx(1.75), 7)
    assert found.reason == "an interval at 95 % needs 5 seeds, there are 2 in a"
    for pairs in (3, 4):
        found = mean_interval({"a": np.arange(float(pairs))})
        assert not found.known
        assert found.reason == f"an interval at 95 % needs 5 seeds, there are {pairs}"
    assert mean_interval({"a": np.arange(5.0)}).known
    assert not mean_interval({"a": np.arange(5.0)}, 0.99).known
    # Scenarios share their seeds: many of them make up for no seed.
    assert not mean_interval({key: np.arange(4.0) for key in "abcdefgh"}).known
    assert math.isnan(mean_interval({}).estimate)


@pytest.mark.parametrize(
    ("level", "seeds"), [(0.5, 3), (0.7, 3), (0.8, 4), (0.95, 5), (0.99, 9), (0.999, 31)]
)
def test_how_many_seeds_a_level_needs(level, seeds):
    """Of fewer, the percentile is rarer than the rarest draw or than one draw of 10 000."""
    assert pairs_needed(level) == seeds
    for n in (seeds - 1, seeds):
        quantile = scipy.stats.t.ppf((1 + level) / 2, n - 1) * math.sqrt(n / (n - 1))
        carried = scipy.stats.norm.cdf(-quantile) >= max(n**-n, 1e-4)
        assert carried == (n == seeds) or n < 3


@pytest.mark.parametrize("seeds", [3, 4, 5, 10])
def test_seeds_that_all_agree_are_a_point_only_where_an_interval_could_be(seeds):
    for level in (0.7, 0.95, 0.999):
        found = mean_interval({"a": np.zeros(seeds)}, level)
        assert found.known == (seeds >= pairs_needed(level))
        assert found.known == mean_interval({"a": np.arange(float(seeds))}, level).known


@given(st.lists(st.tuples(energies, energies), min_size=5, max_size=12), st.integers(2, 7))
def test_a_repeated_scenario_leaves_every_interval_as_it_is(pairs, copies):
    x, b = (np.array(side) for side in zip(*pairs, strict=True))
    assert_alike(x, b, copies, rel=1e-10)


def test_a_repeated_scenario_leaves_the_digits_as_they_are():
    (x,), (b,) = (side.values() for side in world(np.random.default_rng(5), 1, 10))
    assert_alike(x, b, 12, rel=0)


def assert_alike(x, b, copies, rel):
    for statistic in (
        lambda x, b: mean_interval(x),
        lambda x, b: mean_interval({key: x[key] - b[key] for key in x}),
        reduction_interval,
        improvement_interval,
        lambda x, b: interquartile_mean_interval(x),
    ):
        names = [f"s@{k}" for k in range(copies)]
        once = statistic({"s": x}, {"s": b})
        more = statistic(dict.fromkeys(names, x), dict.fromkeys(names, b))
        assert once.known == more.known
        size = rel * max(1.0, float(np.abs(x).max()), float(np.abs(b).max()))
        for name in ("estimate", "low", "high"):
            expected = pytest.approx(getattr(once, name), rel=rel, abs=size, nan_ok=True)
            assert getattr(more, name) == expected, name


def test_scenarios_that_share_their_weather_hold_the_truth_as_often_as_they_say():
    """Strata drawn each by itself would hold it in about two of three such suites."""
    generator = np.random.default_rng(9)
    held = 0
    for _ in range(REPLICATIONS):
        weather = generator.normal(0, 2, 10)
        suite = {key: 5 + weather + generator.normal(0, 0.7, 10) for key in "abcdefgh"}
        found = mean_interval(suite)
        held += found.low <= 5 <= found.high
    assert 0.92 <= held / REPLICATIONS <= 0.975


def test_what_does_not_happen_dilutes_no_share():
    x, b = np.full(10, 160.0), np.full(10, 100.0)
    night = np.zeros(10)
    found = reduction_interval({"day": x, "night": night}, {"day": b, "night": night})
    alone = reduction_interval({"day": x}, {"day": b})
    assert found == alone
    assert found.high == pytest.approx(-0.6)
    # Nor do single seeds: six of ten carry the interval of six.
    x[6:], b[6:] = 0, 0
    rare = reduction_interval({"day": x + 0.0}, {"day": b + 0.0})
    assert (rare.pairs, rare.known) == (6, True)
    x[3:], b[3:] = 0, 0
    few = reduction_interval({"day": x}, {"day": b})
    assert few.reason == (
        "an interval at 95 % needs 5 seeds, there are 3, without those where both are 0"
    )


def test_a_baseline_of_zero_has_no_share():
    found = reduction_interval({"a": np.full(5, 1.0)}, {"a": np.zeros(5)})
    assert (found.low, found.estimate, found.high) == (-math.inf,) * 3
    gone = {"a": np.full(5, 1.0), "b": np.full(5, -1.0)}
    found = reduction_interval(gone, {"a": np.zeros(5), "b": np.zeros(5)})
    assert math.isnan(found.estimate)
    assert found.reason == "shares of ∞ and −∞ have no mean"
    assert reductions(np.array([0.0, 1, -1]), np.zeros(3)).tolist() == [0, -math.inf, math.inf]
    # In some draws the baseline is 0 throughout: no lower end.
    policy, baseline = np.full(5, 1.0), np.array([0.0, 0, 0, 0, 10])
    assert reduction_interval({"a": policy}, {"a": baseline}).low == -math.inf


def test_the_interquartile_mean_by_hand():
    values = np.array([9.0, 1, 2, 100, 3, 4, -50, 5])
    found = interquartile_mean_interval({"a": values[:4], "b": values[4:]})
    assert found.estimate == pytest.approx((2 + 3 + 4 + 5) / 4)
    for count in range(1, 24):
        values = np.random.default_rng(count).normal(0, 1, count)
        expected = scipy.stats.trim_mean(np.repeat(values, 4), 0.25)
        assert interquartile_mean_interval({"a": values}).estimate == pytest.approx(expected)


def test_a_run_that_is_endlessly_worse_only_counts_once_it_is_in_the_middle_half():
    values = np.array([-math.inf, 1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    assert interquartile_mean_interval({"a": values}).estimate == pytest.approx(
        np.mean(values[3:9])
    )
    values[:4] = -math.inf
    assert interquartile_mean_interval({"a": values}).estimate == -math.inf


def test_the_probability_of_improvement_by_hand():
    policy = {"a": np.array([1.0, 2, 3, 4, 5]), "b": np.array([1.0, 1, 9, 9, 9])}
    baseline = {"a": np.array([2.0, 3, 3, 1, 1]), "b": np.array([2.0, 2, 2, 2, 2])}
    # a: two wins and a tie of five; b: two wins of five.
    found = improvement_interval(policy, baseline)
    assert found.estimate == pytest.approx((2.5 / 5 + 2 / 5) / 2)
    assert 0 <= found.low < found.estimate < found.high <= 1


@pytest.mark.parametrize("pairs", [3, 10, 40])
def test_pairs_that_all_agree_leave_the_exact_binomial_end(pairs):
    low = improvement_interval({"a": np.zeros(pairs)}, {"a": np.ones(pairs)})
    exact = scipy.stats.binomtest(pairs, pairs).proportion_ci(0.95, "exact")
    assert (low.low, low.estimate, low.high) == pytest.approx((exact.low, 1, 1))
    high = improvement_interval({"a": np.ones(pairs)}, {"a": np.zeros(pairs)})
    assert (high.low, high.estimate, high.high) == pytest.approx((0, 0, 1 - exact.low))
    even = improvement_interval({"a": np.ones(pairs)}, {"a": np.ones(pairs)})
    assert (even.estimate, even.known) == (0.5, True)
    # Two scenarios always better, one never: each may be otherwise with what n seeds do not show.
    ones, zeros = np.ones(pairs), np.zeros(pairs)
    mixed = improvement_interval(
        {"a": zeros, "b": zeros, "c": ones}, {"a": ones, "b": ones, "c": zeros}
    )
    assert mixed.low == pytest.approx(2 / 3 * exact.low)
    assert mixed.high == pytest.approx(1 - exact.low / 3)
