"""The dynamic programmes against trying everything."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from wattbench.sim.export.bound.levels import cost_within_budget, follow

LEVELS = np.array([0.0, 1000.0, 2000.0])


def cost(
    x: np.ndarray, surplus: np.ndarray, exported: float, weight: float, price: np.ndarray
) -> float:
    over = x - surplus
    return float((exported * np.maximum(-over, 0) + weight * np.maximum(over, 0) + price * x).sum())


def tried(
    surplus: np.ndarray,
    exported: float,
    weight: float,
    price: np.ndarray,
    budget: list[int],
    first: int,
    free_s: int,
) -> float:
    """Every set of seconds of change, every level in between; anything goes while one is on."""
    seconds, best = len(surplus), np.inf
    most = LEVELS[-1]
    for count in range(sum(budget) + 1):
        for at in itertools.combinations(range(seconds), count):
            minutes = [0 if t < first else 1 + (t - first) // 60 for t in at]
            if any(minutes.count(m) > budget[m] for m in set(minutes)):
                continue
            free = np.zeros(seconds, dtype=bool)
            for t in at:
                free[t : t + free_s] = True
            total, level_from = 0.0, 0
            pieces = [*at, seconds]
            total += cost(
                np.zeros(pieces[0]), surplus[: pieces[0]], exported, weight, price[: pieces[0]]
            )
            for begin, end in itertools.pairwise(pieces):
                held = ~free[begin:end]
                s, y = surplus[begin:end], price[begin:end]
                total += min(
                    cost(np.full(held.sum(), u), s[held], exported, weight, y[held]) for u in LEVELS
                )
                for t in np.flatnonzero(~held):
                    ends = np.array([0.0, most, min(max(s[t], 0.0), most)])
                    total += min(
                        cost(np.array([x]), s[t : t + 1], exported, weight, y[t : t + 1])
                        for x in ends
                    )
            best = min(best, total)
            del level_from
    return best


@pytest.mark.parametrize("free_s", [1, 2])
@pytest.mark.parametrize("seed", range(8))
def test_within_budget_equals_trying_everything(seed: int, free_s: int) -> None:
    rng = np.random.default_rng(seed)
    seconds = 9
    surplus = rng.uniform(-500, 2500, seconds)
    weight, first = float(rng.choice([0.0, 0.5, 2.0])), int(rng.integers(0, 4))
    price = rng.normal(0, 0.3, seconds)
    exported = float(rng.choice([1.0, 0.6]))
    budget = rng.integers(0, 3, 2)
    if first == 0:
        budget[0] = 0
    zeros = np.zeros(seconds)
    found = cost_within_budget(
        surplus,
        price,
        np.full(seconds, exported),
        weight,
        np.array([LEVELS, LEVELS]),
        np.ones((2, seconds)),
        zeros,
        zeros,
        np.full(seconds, LEVELS[-1]),
        np.zeros((2, seconds)),
        budget.astype(np.int64),
        first,
        free_s,
        True,
    )
    expected = tried(surplus, exported, weight, price, budget.tolist(), first, free_s)
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_following_equals_trying_everything(seed: int) -> None:
    rng = np.random.default_rng(seed)
    seconds, step = 5, 1000.0
    wanted = rng.uniform(0, 2900, seconds)
    weight = float(rng.choice([0.3, 1.0, 2.0]))
    price = rng.uniform(0, 1500, seconds)
    path = np.zeros(seconds)
    found = follow(wanted, step, weight, price, path)
    count = int(wanted.max() / step) + 2

    def total(levels: np.ndarray) -> float:
        moves = np.diff(levels, prepend=0.0) != 0
        gap = wanted - levels
        return float(np.maximum(gap, -weight * gap).sum() + price[moves].sum())

    every = itertools.product(np.arange(count) * step, repeat=seconds)
    assert found == pytest.approx(min(total(np.array(levels)) for levels in every))
    assert total(path) == pytest.approx(found)
