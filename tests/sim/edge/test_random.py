"""Counter-based random numbers: a published generator, uniform, without memory."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from wattbench.sim.edge.random import bell, bits, uniform


def test_bits_are_those_of_splitmix64() -> None:
    # First outputs of the reference implementation (Vigna) for seed 0.
    reference = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F, 0xF88BB8A8724C81EC]
    assert [int(bits(0, 0, n + 1)) for n in range(4)] == reference


@pytest.mark.parametrize("key", [1, -1, 2**62, -(2**63)])
def test_uniform_draws_fill_the_unit_interval_evenly(key: int) -> None:
    draws = np.array([uniform(key, 4, n) for n in range(20_000)])
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    assert stats.kstest(draws, "uniform").pvalue > 1e-4


def test_bell_draws_have_mean_0_and_deviation_1() -> None:
    draws = np.array([bell(7, 4, n) for n in range(100_000)])
    assert abs(draws.mean()) < 5 / np.sqrt(len(draws))
    assert draws.std() == pytest.approx(1.0, abs=5 / np.sqrt(2 * len(draws)))
    assert np.abs(draws).max() <= np.sqrt(12.0)
    # A normal distribution has 15.87 % above 1 sigma and 2.28 % above 2.
    assert (draws > 1).mean() == pytest.approx(stats.norm.sf(1), abs=0.01)
    assert (draws > 2).mean() == pytest.approx(stats.norm.sf(2), abs=0.005)


def test_neighbouring_counters_streams_and_keys_share_nothing() -> None:
    n = np.arange(20_000)
    base = np.array([uniform(5, 2, i) for i in n])
    others = {
        "next counter": np.array([uniform(5, 2, i + 1) for i in n]),
        "counter of the next message": np.array([uniform(5, 2, i + (1 << 32)) for i in n]),
        "next stream": np.array([uniform(5, 3, i) for i in n]),
        "next key": np.array([uniform(6, 2, i) for i in n]),
    }
    for name, other in others.items():
        assert abs(np.corrcoef(base, other)[0, 1]) < 5 / np.sqrt(len(n)), name
        assert not np.intersect1d(base, other).size or name == "next counter"


def test_a_draw_does_not_depend_on_those_before_it() -> None:
    forward = [uniform(9, 1, n) for n in range(100)]
    backward = [uniform(9, 1, n) for n in reversed(range(100))]
    assert forward == backward[::-1]
