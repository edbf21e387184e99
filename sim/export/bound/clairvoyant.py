"""The clairvoyant optimum of a run: what no policy can beat, with perfect foresight of everything.

The bound is the dual value of a linear programme that leaves out whatever restricts (`programme`),
the bound within the budget replaces one side of it by a dynamic programme (`budget`), and the
schedule is a plan that comes near and keeps every restriction (`plan`). Only the bounds are proofs;
what the schedule is worth, the kernel says.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...edge.config import EdgeConfig
from ...faults import FaultConfig
from ..config import ExportPlantConfig
from . import budget
from .model import Bound, Schedule, Timing, Weights
from .plan import make_schedule
from .possible import Possible, possible
from .programme import Blocks, Model, blocks, build
from .solver import Solution, solve

_BLOCKS_S: Final = (10, 15, 20, 30, 60)
"""Lengths of the programme's blocks. Shorter ones are tighter: within a block one device may make
up for another's rating."""
_MANY: Final = 400
"""Blocks that are solved in a few seconds; longer runs have longer blocks."""
MARGIN_K: Final = 0.7
"""How far below its thermostat the plan keeps a tank: one that opens stays open for hours."""
_ROUNDING: Final = 1e-9
"""Part of the energies that flow by which counters of floating point may be off."""


def clairvoyant_bound(
    plant: ExportPlantConfig,
    edge: EdgeConfig,
    profiles: NDArray[np.float32],
    faults: tuple[FaultConfig, ...],
    seed: int,
    timing: Timing,
    weights: Weights,
    max_changes_per_min: int,
) -> Bound:
    """Return what no policy can beat on one run, and a plan that comes near.

    Args:
        plant: the site.
        edge: its meter, mesh and devices.
        profiles: [second, channel] of the run, as `sim.profiles.build` makes them.
        faults: of the run.
        seed: of the run: it sets the tanks' temperatures and what the mesh loses.
        timing: length, control period, delays.
        weights: of the objective.
        max_changes_per_min: budget of counted changes of command in any 60 s.

    Raises:
        BoundError: the solver failed, or the connection is too weak for a proof.
    """
    begin = time.perf_counter()
    can = possible(plant, edge, profiles, faults, seed, timing)
    run = _Run(plant, edge, faults, seed, timing, weights, max_changes_per_min, can)
    block_s = next((b for b in _BLOCKS_S if timing.duration_s <= b * _MANY), _BLOCKS_S[-1])
    relaxed = _Relaxed.of(run, block_s)
    objective_wh = max(relaxed.dual_wh - run.rounding_wh, 0.0)
    solved = time.perf_counter()
    reason = budget.refusal(edge, faults, timing)
    with_budget_wh = None if reason else max(_within_budget(run, relaxed), objective_wh)
    counted = time.perf_counter()
    schedule = _plan(run)
    about = dict(relaxed.solution.about) | {
        "block_s": block_s,
        "solve_s": round(solved - begin, 3),
        "budget_s": round(counted - solved, 3),
        "plan_s": round(time.perf_counter() - counted, 3),
    }
    notes = _notes(plant)
    return Bound(objective_wh, with_budget_wh, reason, max_changes_per_min, schedule, notes, about)


@dataclass(frozen=True, slots=True)
class _Run:
    """What a bound is asked for."""

    plant: ExportPlantConfig
    edge: EdgeConfig
    faults: tuple[FaultConfig, ...]
    seed: int
    timing: Timing
    weights: Weights
    changes: int
    can: Possible

    @property
    def rounding_wh(self) -> float:
        """By how much sums of floating-point numbers may be off."""
        can = self.can
        flows_ws = np.abs(can.surplus_w).sum() + can.load_w.sum() + can.draw_wh.sum() * 3600
        return _ROUNDING * float(flows_ws) / 3600 * (1.0 + self.weights.import_weight)


@dataclass(frozen=True, slots=True)
class _Relaxed:
    """The linear programme of a run, solved."""

    cut: Blocks
    model: Model
    solution: Solution

    @classmethod
    def of(cls, run: _Run, block_s: int) -> _Relaxed:
        """Solve it with blocks of a length."""
        cut = blocks(run.timing.duration_s, block_s)
        model = build(run.plant, run.can, run.weights, cut)
        return cls(cut, model, solve(model.programme))

    @property
    def dual_wh(self) -> float:
        """What the duals prove."""
        return self.solution.bound + self.model.constant


def _within_budget(run: _Run, relaxed: _Relaxed) -> float:
    """Return the bound, Wh, with the power side replaced by the dynamic programme."""
    model, solution = relaxed.model, relaxed.solution
    lengths = relaxed.cut.length_s.astype(int)
    of_cuts = _of_cuts(model, solution)
    power_ws = budget.power_cost_within_budget(
        run.plant,
        run.edge,
        run.faults,
        run.seed,
        run.timing,
        run.can,
        run.weights.import_weight,
        np.repeat(solution.dual[model.balance], lengths),
        1.0 - np.repeat(of_cuts, lengths),
        run.changes,
    )
    sides_wh = relaxed.dual_wh - _power_side(model, solution, run.weights)
    power_wh = power_ws / 3600.0 + float(of_cuts @ model.full_wh)
    return sides_wh + power_wh - run.rounding_wh


def _plan(run: _Run) -> Schedule:
    """Return a plan that comes near; one that is smoother than the bound loses nothing."""
    cut = blocks(run.timing.duration_s, _BLOCKS_S[-1])
    model = build(run.plant, run.can, run.weights, cut, margin_k=MARGIN_K)
    return make_schedule(
        run.plant,
        run.edge,
        run.can,
        run.timing,
        run.weights,
        cut,
        model,
        solve(model.programme),
        run.changes,
    )


def _power_side(model: Model, solution: Solution, weights: Weights) -> float:
    """Return the part of the dual value that the power side contributes, Wh.

    With multipliers y of the balance of a block and u of its cuts it is ``K + min_X ((1 − u)·max(0,
    A − X) + λ₁·max(0, X − A) + y·X)``, X between the block's limits.
    """
    y, u = solution.dual[model.balance], _of_cuts(model, solution)
    below, above = model.spread
    at_fit = y * model.fitting_wh
    lower = np.minimum((1.0 - u - y) * below, 0.0)
    upper = np.minimum((weights.import_weight + y) * above, 0.0)
    return model.fixed_power + float((at_fit + lower + upper).sum())


def _of_cuts(model: Model, solution: Solution) -> NDArray[np.float64]:
    """Return [M] the sum of the multipliers of each block's cuts."""
    count = len(model.fitting_wh)
    multipliers = solution.dual[model.cuts]
    return np.bincount(model.cut_blocks, weights=multipliers, minlength=count).astype(np.float64)


def _notes(plant: ExportPlantConfig) -> tuple[str, ...]:
    """Return what the bound grants every policy beyond what the kernel does, in words."""
    notes = [
        "foresight of sun, household, draws and sessions for the whole run",
        "minimum times, resolution, whole amperes, ramps and lost messages are left out",
        "each load can always draw what it could at the highest voltage that is possible then",
        "tanks may leave a draw unserved or heat to the thermostat without its hysteresis",
    ]
    if plant.battery is not None:
        notes.append("the battery follows no controller of its own and knows no response time")
    if any(load.tank is not None and load.tank.autonomous_heating for load in plant.loads):
        notes.append("tanks need not heat by themselves below their comfort temperature")
    return tuple(notes)
