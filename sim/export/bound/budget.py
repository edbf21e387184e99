"""What the budget of command changes costs at least: a Lagrangian dynamic programme.

The linear programme's multiplier of "what the devices take" splits it in two: a power side and a
side of tanks, cars and battery. Its dual value is the sum of both minima, and remains a lower bound
if one side is restricted to what the budget allows. So the least cost of the power side is
replaced by that over all paths of power with few changes (M. L. Fisher, The Lagrangian relaxation
method for solving integer programming problems, 1981).

What a budget of counted changes really forbids is little, and each freedom that is left has to be
granted:

- a change counts if some set-point moves more than 50 W from that of the last counted one, so each
  load is free by 50 W, and by one step of its resolution where rounding makes more of that;
- power follows the square of the voltage;
- messages take their time, each its own, and ramps too: from the first load that can have heard a
  change to the last that must have finished it, any power goes;
- a load that missed a message takes it with the next one, which need not count: every broadcast
  that can lose a message grants one more change;
- thermostats, faults and minimum times make loads refuse, or take, what nobody told them;
- the budget of any sliding minute holds in fixed minutes as well, which is less.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...compiled import compiled
from ...edge.config import EdgeConfig
from ...faults import FaultConfig, needs_bytes
from ..batch import STEP_US
from ..config import WATER_J_PER_L_K, ExportPlantConfig
from .levels import cost_within_budget
from .losses import changes_by_loss, refresh_at_most_s
from .model import Timing
from .possible import FORCED, OFF, Possible, latencies_s

Floats = NDArray[np.float64]

DEADBAND_W: Final = 50.0
"""Of `command_changes_per_min_worst`: a smaller move is none."""
_LEVELS: Final = 64
_MOST: Final = 60
"""More changes than seconds are no restriction."""


def refusal(edge: EdgeConfig, faults: tuple[FaultConfig, ...], timing: Timing) -> str:
    """Return why no cost of the budget can be shown here; empty if it can.

    Who lets a reading become stale falls to the safe values without a counted change.
    """
    stale = {"meter_freeze", "meter_missing"}
    if any(fault.kind in stale for fault in faults) or needs_bytes(faults):
        return "readings can go stale, and falling to the safe values then is no counted change"
    if edge.meter.period_s > timing.control_period_s:
        return (
            "readings are older than one control step, and who takes them as stale falls to the "
            "safe values, which is no counted change"
        )
    return ""


def power_cost_within_budget(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    faults: tuple[FaultConfig, ...],
    seed: int,
    timing: Timing,
    can: Possible,
    weight: float,
    price: Floats,
    exported: Floats,
    changes: int,
) -> float:
    """Return the least cost, in W·s, of the power side over all that a budget allows.

    Args:
        config: the plant.
        edge: meter, mesh and devices.
        faults: of the run.
        seed: of the run.
        timing: of the run.
        can: what the site can do.
        weight: λ₁.
        price: [T] multiplier of the devices' power.
        exported: [T] what is left of the weight of export, 1, by the multipliers of its cuts.
        changes: counted changes in any 60 s.
    """
    seconds = can.seconds
    refused, forced, loose = _free_loads(config, edge, faults, timing, can)
    tight = ~loose
    rated = np.array([load.rated_power_w for load in config.loads])
    steps = np.array([load.resolution_w for load in config.loads])
    total = float(rated[tight].sum())
    width = max(total, 1.0) / (_LEVELS - 1)
    middle = np.arange(_LEVELS) * width
    base = np.array(
        [
            middle - width / 2 - float((DEADBAND_W + steps[tight]).sum()),
            middle + width / 2 + DEADBAND_W * int(tight.sum()),
        ]
    )
    low, high = can.scale
    most = can.load_w[tight].sum(axis=0) if tight.any() else np.zeros(seconds)
    aside_high = can.charger_w.sum(axis=0) + can.battery_in_w + can.load_w[loose].sum(axis=0)
    delay, free_s = _under_way(config, edge, faults, timing)
    budget = changes + changes_by_loss(config, edge, faults, seed, timing, delay)
    return cost_within_budget(
        can.surplus_w,
        price,
        exported,
        weight,
        base,
        np.array([low, high]),
        (refused[tight] * rated[tight, None]).sum(axis=0) * high,
        (forced[tight] * rated[tight, None]).sum(axis=0) * high,
        most,
        np.array([-can.battery_out_w, aside_high]),
        np.minimum(budget, _MOST).astype(np.int64),
        delay,
        free_s,
        edge.device.safe_power_w == 0.0,
    )


def _under_way(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    faults: tuple[FaultConfig, ...],
    timing: Timing,
) -> tuple[int, int]:
    """Return after how many seconds a change can act first, and how many seconds it can touch."""
    shortest, longest = latencies_s(edge, faults)
    grid_s = STEP_US * 1e-6
    ramp_s = max(load.ramp_s for load in config.loads)
    whole = abs(timing.control_period_s - round(timing.control_period_s)) < 1e-9
    whole = whole and timing.decision_delay_s > 0.0
    dead = timing.decision_delay_s + edge.device.dead_time_s
    first = math.ceil(round((dead + shortest) / grid_s, 6)) * grid_s
    last = math.ceil(round((dead + longest) / grid_s, 6)) * grid_s
    last += math.ceil(round(ramp_s / grid_s, 6)) * grid_s
    if whole:
        return math.floor(first + 1e-9), math.floor(last + 1e-9) - math.floor(first + 1e-9) + 1
    # It may be sent at any part of a second, and of a sub-step: more is touched.
    first = max(first - grid_s, 0.0)
    return math.ceil(first), math.ceil(last - first) + 2


def _free_loads(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    faults: tuple[FaultConfig, ...],
    timing: Timing,
    can: Possible,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where loads can refuse and take what nobody told them, [loads, T], and who is loose.

    A loose load has minimum times: a command may act up to an hour late, without another one.
    """
    refused = np.zeros(can.state.shape, dtype=np.bool_)
    forced = np.zeros(can.state.shape, dtype=np.bool_)
    hot = first_hot(config, can)
    settled = _settling_s(edge, faults, timing)
    for a, load in enumerate(config.loads):
        refused[a, hot[a] :] = True
        forced[a] = load.tank is not None and load.tank.autonomous_heating
        for state in (FORCED, OFF):
            for t in np.flatnonzero(can.state[a] == state):
                refused[a, t : t + settled] = True
                forced[a, t : t + settled] = True
    watchdog = edge.device.watchdog_s
    if watchdog is not None:
        for start, end in _silences(edge, faults, timing, watchdog):
            refused[:, start:end] = True
            forced[:, start:end] = True
    loose = np.array([load.min_on_s > 0 or load.min_off_s > 0 for load in config.loads])
    return refused, forced, loose


def _settling_s(edge: EdgeConfig, faults: tuple[FaultConfig, ...], timing: Timing) -> int:
    """Return how long after a load is back it may still follow an older command."""
    down = sum(f.duration_s for f in faults if f.kind == "coordinator_restart")
    _, longest = latencies_s(edge, faults)
    wait = timing.refresh_s + timing.control_period_s + longest + edge.device.dead_time_s
    return math.ceil(wait + down + 2.0 * refresh_at_most_s(timing))


def _silences(
    edge: EdgeConfig, faults: tuple[FaultConfig, ...], timing: Timing, watchdog_s: float
) -> list[tuple[int, int]]:
    """Return the seconds in which watchdogs may have expired because nobody could send."""
    every = refresh_at_most_s(timing)
    settled = _settling_s(edge, faults, timing)
    found = []
    if watchdog_s <= 2.0 * every:
        return [(0, timing.duration_s)]
    for fault in faults:
        if fault.kind == "coordinator_restart":
            start = max(math.floor(fault.start_s + watchdog_s - 2.0 * every), 0)
            end = math.ceil(fault.start_s + fault.duration_s) + settled
            if start < end:
                found.append((start, end))
    return found


def first_hot(config: ExportPlantConfig, can: Possible) -> NDArray[np.int64]:
    """Return [loads] the first second in which a thermostat can be open; T: never.

    Full power from the start gives the hottest tank wherever a warmer tank stays a warmer one; a
    tank so small that it need not is taken to be hot at once.
    """
    result = np.full(len(config.loads), can.seconds, dtype=np.int64)
    for a, load in enumerate(config.loads):
        tank = load.tank
        if tank is None:
            continue
        per_k = tank.volume_l * WATER_J_PER_L_K
        comfort = per_k * (tank.comfort_c - tank.cold_water_c)
        steepest = can.draw_wh[a].max(initial=0.0) * 3600.0 / comfort
        if steepest + tank.standing_loss_w_per_k / per_k > 0.5:
            result[a] = 0
            continue
        result[a] = _hottest(
            can.stored_wh[a] * 3600.0,
            can.load_w[a],
            can.draw_wh[a] * 3600.0,
            per_k,
            tank.standing_loss_w_per_k,
            tank.ambient_c - tank.cold_water_c,
            comfort,
            per_k * (tank.thermostat_c - tank.cold_water_c) - 1.0,
        )
    return result


@compiled
def _hottest(
    start_j: float,
    heat_w: Any,
    draw_j: Any,
    per_k: float,
    loss: float,
    room_k: float,
    comfort_j: float,
    top_j: float,
) -> int:
    energy = start_j
    for t in range(heat_w.shape[0]):
        if energy >= top_j:
            return int(t)
        part = min(max(energy / comfort_j, 0.0), 1.0)
        leak = loss * (energy / per_k - room_k)
        energy += heat_w[t] - leak - draw_j[t] * part
    return int(heat_w.shape[0])
