"""A plan near the clairvoyant optimum that a real loop can play: it keeps every restriction.

The programme says how much energy each device should take in each block. From it follows, second by
second, what the loads should take in all: the surplus, more where import was worth it, less where
not. A dynamic programme with a price on changes follows that with few steps; where a minute has too
many, changes get dearer there, until the budget of any sliding minute is kept. Each step is then
spread over the loads, the ones first that the programme heats next, and sent so much earlier that
the middle of its ramp comes when it should.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...edge.channel import latency_quantiles_us
from ...edge.config import EdgeConfig
from ...points import Actuator
from ..batch import STEP_US
from ..compilation import actuators
from ..config import ExportPlantConfig
from ..devices import NOMINAL_V
from .levels import follow
from .model import Schedule, Timing, Weights
from .possible import Possible
from .programme import Blocks, Model
from .solver import Solution
from .spreading import Spreader

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

_LEVELS: Final = 128
_ROUNDS: Final = 40
_MINUTE_S: Final = 60.0
_SLOT_S: Final = 60
"""Chargers and a commanded battery get a new set-point this often, or as often as they may."""
_FOR_REFRESHES: Final = 2
"""Entries of the coordinator's table that changes leave free."""


def make_schedule(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    can: Possible,
    timing: Timing,
    weights: Weights,
    cut: Blocks,
    model: Model,
    solution: Solution,
    changes: int,
) -> Schedule:
    """Return the plan.

    Args:
        config: the plant.
        edge: meter, mesh, devices.
        can: what the site can do.
        timing: of the run.
        weights: of the objective.
        cut: the programme's blocks.
        model: the programme, with a margin below the thermostats.
        solution: its solution.
        changes: counted changes in any 60 s.
    """
    units = actuators(config, edge)
    others = units[len(config.loads) :]
    slow_w, taken_w = _slow(config, others, can, cut, model, solution)
    supply = config.connection
    source_v = supply.source_voltage_a_v, supply.source_voltage_b_v, supply.source_voltage_c_v
    scale = float(np.mean(source_v) / NOMINAL_V) ** 2
    most_w = sum(load.rated_power_w for load in config.loads)
    target_w = _target(can, weights, cut, model, solution)
    wanted_w = np.clip((target_w - taken_w) / scale, 0.0, most_w)
    acts = min(math.ceil(can.acts_s), can.seconds - 1)
    wanted_w[:acts] = wanted_w[acts]
    moves = np.flatnonzero(np.abs(np.diff(slow_w, axis=1)).max(axis=0, initial=0.0)) + 1
    starts = _few_steps(wanted_w, weights, changes, most_w / _LEVELS, edge, moves, acts)
    spreader = Spreader(config, can, cut, solution.x[model.heat], scale)
    quantile = 1.0 / (1.0 + weights.import_weight)
    period_us, lead_s = round(timing.control_period_s * 1e6), _lead_s(config, edge, timing)
    rows: dict[int, list[float]] = {}
    for first, end in zip(starts.tolist(), [*starts[1:].tolist(), can.seconds], strict=True):
        tick = max(math.floor((first - lead_s) * 1e6 / period_us + 0.5), 0)
        level_w = float(np.quantile(wanted_w[first:end], quantile))
        loads_w = spreader.spread(level_w, first, end)
        rows[tick * period_us] = [*loads_w, *slow_w[:, first].tolist()]
    times = np.array(sorted(rows), dtype=np.int64)
    setpoint_w = np.array([rows[t] for t in times.tolist()], dtype=np.float64)
    return Schedule(times, setpoint_w.reshape(len(times), len(units)))


def _lead_s(config: ExportPlantConfig, edge: EdgeConfig, timing: Timing) -> float:
    """Return how long before the middle of a load's ramp a command is decided."""
    table = latency_quantiles_us(edge.mesh)
    way_s = float(table[len(table) // 2]) * 1e-6
    grid_s = STEP_US * 1e-6
    acts_s = timing.decision_delay_s + way_s + edge.device.dead_time_s
    ramp_s = float(np.mean([load.ramp_s for load in config.loads]))
    # A step is a small part of most loads' range, and so of their ramps.
    return math.ceil(acts_s / grid_s) * grid_s + ramp_s / 6.0


def _target(
    can: Possible, weights: Weights, cut: Blocks, model: Model, solution: Solution
) -> Floats:
    """Return [T] what all devices should take: the surplus, and what the programme adds to it."""
    low_w = -can.battery_out_w
    high_w = can.load_w.sum(axis=0) + can.charger_w.sum(axis=0) + can.battery_in_w
    fit_w = np.clip(can.surplus_w, low_w, high_w)
    beyond_w = (solution.x[model.over] - solution.x[model.under]) * 3600.0 / cut.length_s
    return fit_w + np.repeat(beyond_w, cut.length_s.astype(int))


def _slow(
    config: ExportPlantConfig,
    others: tuple[Actuator, ...],
    can: Possible,
    cut: Blocks,
    model: Model,
    solution: Solution,
) -> tuple[Floats, Floats]:
    """Return set-points [others, T] of what is not a load, and what all that is no load takes [T].

    Slot by slot; what a slot rounded away, the next one gets.
    """
    seconds = can.seconds
    setpoint_w, taken_w = np.zeros((len(others), seconds)), np.zeros(seconds)
    block_of = np.repeat(np.arange(len(cut.first_s)), cut.length_s.astype(int))
    if model.battery is not None:
        taken, given = (solution.x[columns] for columns in model.battery)
        battery_w = ((taken - given) * 3600.0 / cut.length_s)[block_of]
        if config.battery is not None and config.battery.mode == "local":
            taken_w += battery_w
    for k, unit in enumerate(others):
        if unit.kind == "pv_limit":
            setpoint_w[k] = unit.high_w
        elif unit.kind == "battery":
            for first in range(0, seconds, _SLOT_S):
                slot = slice(first, first + _SLOT_S)
                setpoint_w[k, slot] = -round(float(battery_w[slot].mean()))
            taken_w -= setpoint_w[k]
    charger_ids = [charger.id for charger in config.chargers]
    for stay, columns, where in zip(can.sessions, model.charge, model.charge_blocks, strict=True):
        unit = next(u for u in others if u.id == charger_ids[stay.charger])
        power_w = np.zeros(seconds)
        inside = np.isin(block_of, where)
        inside[: stay.first_s] = inside[stay.end_s :] = False
        per_block = np.zeros(len(cut.first_s))
        per_block[where] = solution.x[columns]
        held = np.maximum(np.bincount(block_of[inside], minlength=len(per_block)), 1)
        power_w[inside] = (per_block * 3600.0 / held)[block_of[inside]]
        least_s = max(unit.min_on_s, unit.min_off_s, 1.0)
        slot_s = math.ceil(least_s / _SLOT_S) * _SLOT_S
        row = _amperes(power_w, unit, stay.first_s, stay.end_s, slot_s)
        setpoint_w[others.index(unit)] += row
        taken_w += np.where(np.cumsum(row) <= stay.wanted_wh * 3600.0, row, 0.0)
    return setpoint_w, taken_w


def _amperes(power_w: Floats, unit: Actuator, first_s: int, end_s: int, slot_s: int) -> Floats:
    """Return a charger's set-points over one stay: whole amperes, slot by slot."""
    row = np.zeros_like(power_w)
    carry_j = 0.0
    for first in range(first_s // slot_s * slot_s, end_s, slot_s):
        slot = slice(max(first, first_s), min(first + slot_s, end_s))
        length_s = slot.stop - slot.start
        due_j = float(power_w[slot].sum()) + carry_j
        level_w = round(due_j / length_s / unit.resolution_w) * unit.resolution_w
        level_w = min(level_w, math.floor(unit.high_w / unit.resolution_w) * unit.resolution_w)
        level_w = 0.0 if level_w < unit.min_on_w else level_w
        row[slot] = level_w
        carry_j = due_j - level_w * length_s
    return row


def _few_steps(
    wanted_w: Floats,
    weights: Weights,
    changes: int,
    step_w: float,
    edge: EdgeConfig,
    moves: Numbers,
    acts: int,
) -> Numbers:
    """Return when a new level begins, the first at 0, so that any sliding minute keeps the budget.

    ``moves`` are seconds at which another device changes anyway: then a change is free. What begins
    before ``acts`` cannot act earlier than that.
    """
    from scipy.ndimage import maximum_filter1d

    seconds = len(wanted_w)
    price = np.full(seconds, 4.0 * step_w)
    path = np.zeros(seconds)
    best, best_cost = np.zeros(1, dtype=np.int64), math.inf
    for _ in range(_ROUNDS):
        now = price.copy()
        now[0] = 0.0
        now[moves] = 0.0
        follow(wanted_w, step_w, weights.import_weight, now, path)
        changed = np.zeros(seconds, dtype=np.bool_)
        changed[1:] = np.diff(path) != 0.0
        changed[0] = True
        changed[moves] = True
        kept = _repaired(np.flatnonzero(changed), changes, edge, moves, acts)
        held_w = path[kept][np.searchsorted(kept, np.arange(seconds), side="right") - 1]
        gap_w = wanted_w - held_w
        cost = float(np.maximum(gap_w, weights.import_weight * -gap_w).sum())
        if cost < best_cost:
            best, best_cost = kept, cost
        total = np.cumsum(changed)
        in_minute = total - np.concatenate([np.zeros(60, dtype=np.int64), total[:-60]])[:seconds]
        worst = maximum_filter1d(in_minute, 60, origin=-30, mode="constant")
        price *= np.where(worst > changes, 1.35, np.where(worst < changes, 0.9, 1.0))
        price = np.maximum(price, step_w / 8.0)
    return best


def _repaired(
    starts: Numbers, changes: int, edge: EdgeConfig, moves: Numbers, acts: int
) -> Numbers:
    """Leave out starts until every sliding minute and the coordinator's table have room."""
    fixed = set(moves.tolist())
    entries = max(edge.mesh.broadcast_table_entries - _FOR_REFRESHES, 1)
    limits = ((_MINUTE_S, changes), (edge.mesh.broadcast_table_s, entries))
    kept: list[int] = []
    for start in starts.tolist():
        full = [
            length
            for length, most in limits
            if sum(start - max(other, acts) < length for other in kept[-most:]) >= most
        ]
        if not full:
            kept.append(start)
        elif start in fixed:
            loose = [k for k in kept if start - k < max(full) and k not in fixed and k > 0]
            if loose:
                kept.remove(loose[-1])
                kept.append(start)
    return np.array(kept, dtype=np.int64)
