"""Hot-water draws after the tapping cycles of EN 16147 (Regulation (EU) 814/2013, Annex III).

A cycle is a day's list of tappings, each with its useful energy. A tapping becomes a constant
thermal power over whole seconds: the power of its flow (3–10 L/min) heated through its temperature
rise, the duration such that the energy is exact.
"""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ..export.config import Load
from ..random import generator
from .days import LocalDay, local_days

#: Heat capacity of a litre of water, Wh/(L·K).
_WATER_WH_PER_L_K = 4186.0 / 3600.0

_SMALL_M = (
    "07:00 07:30 08:01 08:15 08:30 08:45 09:00 09:30 10:30 11:30 11:45 14:30 15:30 16:30 18:00 "
    "18:15 18:30 19:00 21:15"
)
_SMALL_L = (
    "07:00 07:30 07:45 08:25 08:30 08:45 09:00 09:30 10:30 11:30 11:45 14:30 15:30 16:30 18:00 "
    "18:15 18:30 19:00 21:30"
)
_SMALL_XL = (
    "07:00 07:26 08:01 08:15 08:30 08:45 09:00 09:30 10:00 10:30 11:00 11:30 11:45 14:30 15:00 "
    "15:30 16:00 16:30 17:00 18:00 18:15 18:30 19:00 21:15"
)
_TABLES: dict[str, dict[int, str]] = {
    "S": {
        105: "07:00 07:30 08:30 09:30 11:30 11:45 18:00 18:15",
        315: "12:45",
        420: "20:30",
        525: "21:30",
    },
    "M": {105: _SMALL_M, 1400: "07:05 21:30", 315: "12:45", 735: "20:30"},
    "L": {105: _SMALL_L, 1400: "07:05", 3605: "08:05 21:00", 315: "12:45", 735: "20:30"},
    "XL": {105: _SMALL_XL, 1820: "07:15", 4420: "07:45 20:46 21:30", 735: "12:45 20:30"},
}

#: Flow in L/min and temperature rise in K by a tapping's energy in Wh: small draws and floor
#: cleaning at 3–5, dishes at 4 (to 55 °C), showers at 6, baths at 10.
_FLOWS: dict[int, tuple[float, float]] = {
    105: (3.0, 30.0),
    315: (4.0, 45.0),
    420: (4.0, 45.0),
    525: (5.0, 35.0),
    735: (4.0, 45.0),
    1400: (6.0, 30.0),
    1820: (6.0, 30.0),
    3605: (10.0, 30.0),
    4420: (10.0, 30.0),
}

#: A tank's whole day moves by up to this, and each tapping by up to `_TAPPING_JITTER_S` more: the
#: standard's clock strikes for every house at once, people do not.
_DAY_JITTER_S = 600
_TAPPING_JITTER_S = 180


def tappings(cycle: str) -> list[tuple[int, int]]:
    """Return a cycle's tappings as (wall-clock second of the day, energy in Wh), in time order.

    Args:
        cycle: ``S``, ``M``, ``L`` or ``XL``.
    """
    return sorted(
        (int(clock[:2]) * 3600 + int(clock[3:]) * 60, energy_wh)
        for energy_wh, clocks in _TABLES[cycle].items()
        for clock in clocks.split()
    )


def tapping_power_w(energy_wh: int) -> float:
    """Return the thermal power at which a tapping of a table draws: flow × heat × rise."""
    flow_l_per_min, rise_k = _FLOWS[energy_wh]
    return flow_l_per_min * 60.0 * _WATER_WH_PER_L_K * rise_k


def draw_power_w(
    load: Load, start_utc: datetime, duration_s: int, time_zone: str, seed: int
) -> NDArray[np.float64]:
    """Return the thermal power that is asked of a load's tank, one value a second, T + 1 rows.

    All zero for a load without a tank or draws. Times follow the site's local clock.
    """
    rows = duration_s + 1
    power_w = np.zeros(rows)
    tank = load.tank
    if tank is None or tank.draws == "none" or tank.draw_scale == 0.0:
        return power_w
    for day in local_days(start_utc, duration_s, time_zone, before_s=3600):
        for first, seconds, level_w in _day(load.id, tank.draws, tank.draw_scale, day, seed):
            begin, end = max(first, 0), min(first + seconds, rows)
            if begin < end:
                power_w[begin:end] += level_w
    return power_w


def _day(
    load_id: str, cycle: str, scale: float, day: LocalDay, seed: int
) -> list[tuple[int, int, float]]:
    """Return the day's tappings as (first second on the run's axis, seconds, power in W)."""
    random = generator(seed, "draws", load_id, day.name)
    plan = tappings(cycle)
    shift_s = random.uniform(-_DAY_JITTER_S, _DAY_JITTER_S)
    jitter_s = random.uniform(-_TAPPING_JITTER_S, _TAPPING_JITTER_S, len(plan))
    wall_s = np.array([clock_s for clock_s, _ in plan], dtype=np.float64)
    first_s = day.start_s + np.round(day.elapsed_s(wall_s) + shift_s + jitter_s).astype(int)
    draws = []
    for first, (_, table_wh) in zip(first_s, plan, strict=True):
        energy_wh = table_wh * scale
        seconds = max(1, math.ceil(energy_wh * 3600.0 / tapping_power_w(table_wh)))
        draws.append((int(first), seconds, energy_wh * 3600.0 / seconds))
    return draws
