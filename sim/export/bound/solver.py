"""A linear programme, HiGHS, and a bound that does not depend on trusting it.

What counts is not the objective that the solver reports but what its row duals prove: for any y,

``min {c·x : l ≤ Ax ≤ u, v ≤ x ≤ w}  ≥  Σ_i min(y_i·l_i, y_i·u_i) + Σ_j min (c − Aᵀy)_j·x_j``

with x_j between its own limits, and where one of l_i and u_i is infinite y_i of the sign that needs
the other (weak Lagrangian duality; D. Bertsekas, Nonlinear programming, ch. 5
of the second edition). It is computed here. Wrong duals make it lower, never wrong. Then it is held
against the objective of the primal solution, computed here as well: if they are apart, or the
solution breaks a row, the solver failed, and the next way to solve it is tried.
"""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray

from .model import BoundError

Floats = NDArray[np.float64]

_GAP: Final = 1e-6
_BREACH: Final = 1e-5
_WAYS: Final[tuple[dict[str, str], ...]] = (
    {"solver": "simplex", "presolve": "on"},
    {"solver": "simplex", "presolve": "off"},
    {"solver": "ipm", "presolve": "off", "run_crossover": "off"},
)
"""Presolve cannot always map a solution back; an interior point may stop far away. So: in turn."""


class Programme:
    """A linear programme in the making: columns with limits and costs, rows with limits."""

    def __init__(self) -> None:
        """Start empty."""
        self.costs: list[Floats] = []
        self.lower: list[Floats] = []
        self.upper: list[Floats] = []
        self.columns = 0
        self.rows = 0
        self.row_lower: list[Floats] = []
        self.row_upper: list[Floats] = []
        self._entries: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]] = []

    def add_columns(self, cost: Any, lower: Any, upper: Any, count: int) -> NDArray[np.int64]:
        """Add columns with finite limits; return their numbers."""
        for kept, value in ((self.costs, cost), (self.lower, lower), (self.upper, upper)):
            kept.append(np.broadcast_to(np.asarray(value, dtype=np.float64), (count,)))
        first = self.columns
        self.columns += count
        return np.arange(first, self.columns)

    def add_rows(self, lower: Any, upper: Any, count: int) -> NDArray[np.int64]:
        """Add rows; return their numbers."""
        self.row_lower.append(np.broadcast_to(np.asarray(lower, dtype=np.float64), (count,)))
        self.row_upper.append(np.broadcast_to(np.asarray(upper, dtype=np.float64), (count,)))
        first = self.rows
        self.rows += count
        return np.arange(first, self.rows)

    def put(self, rows: NDArray[np.int64], columns: NDArray[np.int64], values: Any) -> None:
        """Set entries of the matrix; each at most once."""
        rows, columns = np.broadcast_arrays(rows, columns)
        full = np.broadcast_to(np.asarray(values, dtype=np.float64), rows.shape)
        self._entries.append((rows.ravel(), columns.ravel(), full.ravel()))

    def arrays(self) -> tuple[Floats, Floats, Floats, Floats, Floats, Any]:
        """Return cost, column limits, row limits, and the matrix in compressed columns."""
        from scipy.sparse import csc_array

        rows = np.concatenate([r for r, _, _ in self._entries])
        columns = np.concatenate([c for _, c, _ in self._entries])
        values = np.concatenate([v for _, _, v in self._entries])
        matrix = csc_array((values, (rows, columns)), shape=(self.rows, self.columns))
        cost, low, high = (np.concatenate(k) for k in (self.costs, self.lower, self.upper))
        return (
            cost,
            low,
            high,
            np.concatenate(self.row_lower),
            np.concatenate(self.row_upper),
            matrix,
        )


@dataclass(frozen=True, slots=True)
class Solution:
    """A solution with what its duals prove."""

    bound: float
    """No feasible point has a lower objective."""
    objective: float
    x: Floats
    dual: Floats
    """[rows] multipliers, those of the wrong sign set to zero."""
    about: dict[str, str | float | int]


def solve(programme: Programme) -> Solution:
    """Minimise.

    Raises:
        BoundError: no way of solving it gave a solution that its own duals confirm.
    """
    cost, low, high, row_low, row_high, matrix = programme.arrays()
    tried = []
    for way in _WAYS:
        status, x, y = _run(cost, low, high, row_low, row_high, matrix, way)
        name = "/".join(way.values())
        if x is None or y is None:
            tried.append(f"{name}: {status}")
            continue
        x = np.clip(x, low, high)
        y = np.where(np.isinf(row_low) & (y > 0), 0.0, y)
        y = np.where(np.isinf(row_high) & (y < 0), 0.0, y)
        bound = dual_bound(cost, low, high, row_low, row_high, matrix, y)
        objective = float(cost @ x)
        activity = matrix @ x
        breach = max(float((row_low - activity).max()), float((activity - row_high).max()), 0.0)
        size = 1.0 + abs(objective)
        about: dict[str, str | float | int] = {
            "solver": f"HiGHS {importlib.metadata.version('highspy')}",
            "status": status,
            "way": name,
            "gap": (objective - bound) / size,
            "breach": breach,
            "columns": programme.columns,
            "rows": programme.rows,
        }
        if objective - bound <= _GAP * size and breach <= _BREACH * size:
            return Solution(bound, objective, x, y, about)
        tried.append(f"{name}: {status}, gap {(objective - bound) / size:.1e}, breach {breach:.1e}")
    raise BoundError(f"the solver failed on the bound ({'; '.join(tried)})")


def dual_bound(
    cost: Floats,
    low: Floats,
    high: Floats,
    row_low: Floats,
    row_high: Floats,
    matrix: Any,
    y: Floats,
) -> float:
    """Return what multipliers ``y`` prove; see above. Rounding errors are subtracted."""
    rest = cost - matrix.T @ y
    columns = np.where(rest > 0.0, rest * low, rest * high)
    rows = np.zeros_like(y)
    np.multiply(y, row_low, out=rows, where=y > 0.0)
    np.multiply(y, row_high, out=rows, where=y < 0.0)
    size = float(np.abs(columns).sum() + np.abs(rows).sum())
    return float(columns.sum() + rows.sum()) - 1e-12 * size


def _run(
    cost: Floats,
    low: Floats,
    high: Floats,
    row_low: Floats,
    row_high: Floats,
    matrix: Any,
    way: dict[str, str],
) -> tuple[str, Floats | None, Floats | None]:
    """Have HiGHS solve it in one way; return its status, columns and row duals if there are any."""
    import highspy

    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = len(cost), len(row_low)
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = cost, low, high
    lp.row_lower_, lp.row_upper_ = row_low, row_high
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.start_ = matrix.indptr.astype(np.int32)
    lp.a_matrix_.index_ = matrix.indices.astype(np.int32)
    lp.a_matrix_.value_ = matrix.data
    highs: Any = cast(Any, highspy).Highs()
    highs.setOptionValue("output_flag", False)
    highs.setOptionValue("threads", 1)
    for option, value in way.items():
        highs.setOptionValue(option, value)
    if highs.passModel(lp) == highspy.HighsStatus.kError:
        return "model refused", None, None
    highs.run()
    status = highs.modelStatusToString(highs.getModelStatus())
    solution = highs.getSolution()
    if not (solution.value_valid and solution.dual_valid):
        return status, None, None
    return status, np.array(solution.col_value), np.array(solution.row_dual)
