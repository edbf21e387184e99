"""Rates of rare events, and how many seeds would settle a limit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from wattbench.evaluation.statistics import (
    MOST_SEEDS,
    Interval,
    further_seeds,
    mean_interval,
    upper_rate,
)


@pytest.mark.parametrize(
    # Garwood (1936), one-sided 95 %, as tabulated for Poisson counts ever since.
    ("events", "upper"),
    [(0, 2.996), (1, 4.744), (2, 6.296), (3, 7.754), (10, 16.962)],
)
def test_the_highest_rate_not_excluded(events, upper):
    assert upper_rate(events, 1.0) == pytest.approx(upper, abs=6e-4)
    assert upper_rate(events, 240.0) == pytest.approx(upper / 240, rel=1e-3)


def test_at_that_rate_so_few_events_come_in_one_of_twenty():
    for events in (0, 1, 5, 50):
        expected = upper_rate(events, 100.0) * 100
        assert scipy.stats.poisson.cdf(events, expected) == pytest.approx(0.05)


def test_without_time_nothing_is_excluded():
    assert upper_rate(0, 0.0) == math.inf
    assert upper_rate(0.5, 10.0) == upper_rate(1, 10.0)


def interval(estimate, low, high, pairs=10, strata=1, error=0.0):
    return Interval(estimate, low, high, 0.95, pairs, strata, error)


def test_further_seeds_by_hand():
    # An arm of 4 towards the bound at distance 2, no spread on top: four times the seeds.
    assert further_seeds(interval(12.0, 8.0, 14.0), 10.0) == 30
    # On the other side of the bound it is the other arm that counts.
    assert further_seeds(interval(8.0, 6.0, 11.0), 10.0) == math.ceil(10 * (9 / 4 - 1))
    # 20 pairs in two scenarios are ten seeds each.
    assert further_seeds(interval(12.0, 8.0, 14.0, pairs=20, strata=2), 10.0) == 30
    assert further_seeds(interval(12.0, 8.0, 14.0, error=1.0), 10.0) == math.ceil(
        10 * ((4 + scipy.stats.norm.ppf(0.8)) ** 2 / 4 - 1)
    )


def test_what_seeds_do_not_settle():
    assert further_seeds(interval(10.0, 8.0, 14.0), 10.0) == MOST_SEEDS + 1
    assert further_seeds(interval(10.001, 8.0, 14.0), 10.0) == MOST_SEEDS + 1
    assert further_seeds(interval(12.0, 11.0, 14.0), 10.0) is None  # settled
    assert further_seeds(interval(12.0, math.nan, math.nan), 10.0) is None
    assert further_seeds(interval(12.0, -math.inf, 14.0, error=math.inf), 10.0) == MOST_SEEDS + 1


def test_that_many_seeds_settle_it_in_about_four_of_five_cases():
    generator = np.random.default_rng(21)
    values = generator.normal(0, 1, 10)
    values = 0.4 + (values - values.mean()) / values.std(ddof=1)
    found = mean_interval({"a": values})
    assert found.low < 0 < found.high
    more = further_seeds(found, 0.0)
    assert more is not None
    settled = sum(
        mean_interval({"a": generator.normal(0.4, 1, 10 + more)}).low >= 0 for _ in range(300)
    )
    assert 0.7 <= settled / 300 <= 0.95
