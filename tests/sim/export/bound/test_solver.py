"""The solver against another one; and a bound that holds however wrong its duals are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from wattbench.sim.export.bound import solver
from wattbench.sim.export.bound.model import BoundError
from wattbench.sim.export.bound.solver import Programme, dual_bound, solve


def random_programme(seed: int) -> Programme:
    """A programme with finite boxes that has a solution: one is chosen first."""
    rng = np.random.default_rng(seed)
    columns, rows = int(rng.integers(1, 12)), int(rng.integers(1, 10))
    lp = Programme()
    low = rng.uniform(-5, 5, columns)
    high = low + rng.uniform(0, 5, columns)
    numbers = lp.add_columns(rng.normal(0, 1, columns), low, high, columns)
    matrix = rng.normal(0, 1, (rows, columns)) * (rng.random((rows, columns)) < 0.6)
    inside = matrix @ rng.uniform(low, high)
    lower = np.where(rng.random(rows) < 0.3, -np.inf, inside - rng.uniform(0, 1, rows))
    upper = np.where(rng.random(rows) < 0.3, np.inf, inside + rng.uniform(0, 1, rows))
    same = rng.random(rows) < 0.3
    lower, upper = np.where(same, inside, lower), np.where(same, inside, upper)
    lp.put(lp.add_rows(lower, upper, rows)[:, None], numbers, matrix)
    return lp


def other_optimum(lp: Programme) -> float:
    cost, low, high, row_low, row_high, matrix = lp.arrays()
    rows = np.concatenate([matrix.toarray(), -matrix.toarray()])
    right = np.concatenate([row_high, -row_low])
    finite = np.isfinite(right)
    found = linprog(
        cost,
        rows[finite] if finite.any() else None,
        right[finite] if finite.any() else None,
        bounds=list(zip(low, high, strict=True)),
        method="highs-ipm",
    )
    assert found.status == 0
    return float(found.fun)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_agrees_with_another_solver(seed: int) -> None:
    lp = random_programme(seed)
    found = solve(lp)
    optimum = other_optimum(lp)
    assert found.objective == pytest.approx(optimum, abs=1e-5)
    assert found.bound == pytest.approx(optimum, abs=1e-5)
    assert found.bound <= found.objective + 1e-9


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**9))
def test_no_multipliers_prove_too_much(seed: int) -> None:
    lp = random_programme(seed)
    cost, low, high, row_low, row_high, matrix = lp.arrays()
    y = np.random.default_rng(seed + 1).normal(0, 2, len(row_low))
    y = np.where(np.isinf(row_low) & (y > 0), 0.0, y)
    y = np.where(np.isinf(row_high) & (y < 0), 0.0, y)
    proved = dual_bound(cost, low, high, row_low, row_high, matrix, y)
    assert proved <= other_optimum(lp) + 1e-6


@pytest.mark.parametrize("answer", ["nothing", "zeros", "wrong duals"])
def test_a_failing_solver_raises(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(cost: Any, low: Any, high: Any, row_low: Any, *_: Any) -> Any:
        if answer == "nothing":
            return "Solve error", None, None
        duals = np.full(len(row_low), 0.0 if answer == "zeros" else 1e3)
        return "Optimal", np.zeros(len(cost)), duals

    monkeypatch.setattr(solver, "_run", run)
    lp = Programme()
    x = lp.add_columns(1.0, 0.0, 10.0, 2)
    lp.put(lp.add_rows(3.0, np.inf, 1), x, 1.0)
    with pytest.raises(BoundError, match=r"simplex/on.*simplex/off.*ipm/off"):
        solve(lp)


def test_the_next_way_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    real = solver._run

    def run(*arguments: Any) -> Any:
        return (
            ("Solve error", None, None) if arguments[-1]["presolve"] == "on" else real(*arguments)
        )

    monkeypatch.setattr(solver, "_run", run)
    found = solve(random_programme(3))
    assert found.about["way"] == "simplex/off"
    assert found.objective == pytest.approx(other_optimum(random_programme(3)), abs=1e-6)
