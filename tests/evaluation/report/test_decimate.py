"""Decimation keeps every peak, in order and in place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wattbench.evaluation.report.decimate import bucket_extremes, bucket_starts, rows_per_bucket

VALUES = st.one_of(st.floats(-1e9, 1e9), st.just(float("nan")))
SERIES = arrays(np.float64, st.integers(1, 400), elements=VALUES)


def low_and_high(buckets):
    second = buckets.first if buckets.second is None else buckets.second
    return np.fmin(buckets.first, second), np.fmax(buckets.first, second)


@given(SERIES, st.integers(1, 60))
def test_each_bucket_holds_the_extremes_of_its_rows(values, max_buckets):
    buckets = bucket_extremes(values, max_buckets)
    low, high = low_and_high(buckets)
    assert len(low) <= max_buckets or buckets.rows == 1
    for i in range(len(low)):
        part = values[i * buckets.rows : (i + 1) * buckets.rows]
        part = part[~np.isnan(part)]
        if len(part):
            assert (low[i], high[i]) == (part.min(), part.max())
        else:
            assert np.isnan(low[i])
            assert np.isnan(high[i])


@given(SERIES, st.integers(1, 60))
def test_extremes_of_the_whole_survive(values, max_buckets):
    low, high = low_and_high(bucket_extremes(values, max_buckets))
    if not np.isnan(values).all():
        assert np.nanmin(low) == np.nanmin(values)
        assert np.nanmax(high) == np.nanmax(values)


def test_values_come_in_the_order_of_their_occurrence():
    buckets = bucket_extremes(np.array([1.0, 9.0, 0.0, 5.0, 2.0, 7.0]), 2)
    assert buckets.first.tolist() == [9.0, 2.0]
    assert buckets.second.tolist() == [0.0, 7.0]


def test_one_second_spike_of_a_day_survives():
    power = np.zeros(86_400)
    power[43_211] = -4321.0
    low, _ = low_and_high(bucket_extremes(power, 500))
    assert low.min() == -4321.0


def test_short_series_is_kept_as_it_is():
    values = np.arange(10.0)
    buckets = bucket_extremes(values, 10)
    assert buckets.second is None
    assert buckets.first.tolist() == values.tolist()


@given(st.integers(0, 10_000), st.integers(1, 100))
def test_starts_match_the_buckets(rows, max_buckets):
    starts = bucket_starts(np.arange(rows, dtype=np.int64), max_buckets)
    assert len(starts) == len(bucket_extremes(np.zeros(rows), max_buckets).first)
    assert len(starts) <= max_buckets


def test_no_buckets_is_refused():
    with pytest.raises(ValueError, match="positive"):
        rows_per_bucket(10, 0)
