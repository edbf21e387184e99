"""Appliances as events: how often, at what hours, and the power of each second of a use.

A use is a list of segments (start, duration, power). Sizes are typical nameplates; the mean energy
of a use is stated beside them because the household model sets rates from it, and a test holds it
to what the segments give.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Segments:
    """Stretches of constant power within a use; whole seconds since its start."""

    start_s: Ints
    duration_s: Ints
    power_w: Floats


#: Electrical power of the reference home's heat pump; shortest and longest run of its compressor.
HEAT_PUMP_W = 800.0
HEAT_PUMP_RUN_S = (1500, 2700)
_HEAT_PUMP_START_S = 180


def _reactive_ratio(power_factor: float) -> float:
    return math.tan(math.acos(power_factor))


def _cycles(random: np.random.Generator, length_s: float, on_s: float, off_s: float) -> Segments:
    """Return on-periods that fill a length, each period within ±15 % of its mean; power 1."""
    count = int(length_s / (0.8 * (on_s + off_s))) + 2
    spread = random.uniform(0.85, 1.15, (2, count))
    on = np.maximum(np.round(on_s * spread[0]), 1).astype(np.int64)
    off = np.maximum(np.round(off_s * spread[1]), 1).astype(np.int64)
    start = np.concatenate(([0], np.cumsum(on + off)[:-1]))
    keep = start < int(length_s)
    end = np.minimum(start + on, int(length_s))[keep]
    return Segments(start[keep], end - start[keep], np.ones(int(keep.sum())))


def _block(length_s: float) -> Segments:
    """Return one stretch of power 1."""
    return Segments(np.zeros(1, np.int64), np.array([round(length_s)], np.int64), np.ones(1))


def _join(*parts: tuple[float, Segments, float]) -> Segments:
    """Join parts (offset in s, segments, power to multiply theirs with) into one use."""
    starts, durations, powers = [], [], []
    for offset_s, part, power_w in parts:
        starts.append(part.start_s + round(offset_s))
        durations.append(part.duration_s)
        powers.append(part.power_w * power_w)
    return Segments(np.concatenate(starts), np.concatenate(durations), np.concatenate(powers))


def _kettle(random: np.random.Generator) -> Segments:
    return _join((0, _block(random.uniform(90, 210)), random.uniform(1800, 2200)))


def _oven(random: np.random.Generator) -> Segments:
    power_w = random.uniform(2400, 3200)
    heat_s = random.uniform(420, 660)
    bake = _cycles(random, random.uniform(1200, 2700), random.uniform(40, 70), 200)
    rest_s = random.uniform(60, 120)
    return _join((0, _block(heat_s), power_w), (heat_s + rest_s, bake, power_w))


def _hob_zone(random: np.random.Generator, low_w: float, high_w: float) -> Segments:
    """Return a zone that boils at full power, then simmers by pulses of a few seconds."""
    power_w = random.uniform(low_w, high_w)
    boil_s = random.uniform(150, 360)
    period_s, share = random.uniform(7, 12), random.uniform(0.2, 0.4)
    simmer = _cycles(random, random.uniform(480, 1320), period_s * share, period_s * (1 - share))
    return _join((0, _block(boil_s), power_w), (boil_s, simmer, power_w))


def _hob(random: np.random.Generator) -> Segments:
    first = _hob_zone(random, 2000, 3400)
    if random.random() < 0.65:
        return first
    second = _hob_zone(random, 1200, 1800)
    return _join((0, first, 1.0), (random.uniform(30, 120), second, 1.0))


def _washing_machine(random: np.random.Generator) -> Segments:
    heat_s, wash_s, spin_s = (
        random.uniform(480, 960), random.uniform(2100, 3300), random.uniform(360, 600),
    )  # fmt: skip
    drum = _cycles(random, heat_s + wash_s, 12, 6)
    return _join(
        (0, drum, 180.0),
        (120, _block(heat_s), random.uniform(1900, 2100)),
        (heat_s + wash_s, _block(spin_s), random.uniform(350, 550)),
    )


def _dishwasher(random: np.random.Generator) -> Segments:
    first_s, rinse_s = random.uniform(780, 1020), random.uniform(480, 720)
    power_w = random.uniform(1800, 2100)
    return _join(
        (0, _block(5400), 70.0), (420, _block(first_s), power_w), (3900, _block(rinse_s), power_w)
    )


def _dryer(random: np.random.Generator) -> Segments:
    length_s, power_w = random.uniform(2400, 3600), random.uniform(1800, 2400)
    heat_s = 0.55 * length_s
    finish = _cycles(random, length_s - heat_s, 420, 120)
    return _join(
        (0, _block(length_s + 300), 200.0), (0, _block(heat_s), power_w), (heat_s, finish, power_w)
    )


def _electronics(random: np.random.Generator) -> Segments:
    return _join((0, _block(random.uniform(2400, 12_000)), random.uniform(60, 220)))


def _lighting(random: np.random.Generator) -> Segments:
    return _join((0, _block(random.uniform(600, 7200)), random.uniform(15, 110)))


def heat_pump_runs(start_s: Ints, duration_s: Ints, power_w: float) -> Segments:
    """Return compressor runs that start at half power and are at full power after 3 minutes."""
    late = np.minimum(duration_s, _HEAT_PUMP_START_S)
    return Segments(
        np.concatenate((start_s, start_s + late)),
        np.concatenate((duration_s, duration_s - late)),
        np.full(2 * len(start_s), 0.5 * power_w),
    )


def _heat_pump(random: np.random.Generator) -> Segments:
    run_s = random.integers(*HEAT_PUMP_RUN_S, 1)
    return heat_pump_runs(np.zeros(1, np.int64), run_s, HEAT_PUMP_W)


def _hours(*spans: tuple[float, float, float], base: float = 0.0) -> tuple[float, ...]:
    """Return 24 hourly weights: ``base`` plus (from, to, weight) spans."""
    return tuple(
        base + sum(weight for low, high, weight in spans if low <= hour < high)
        for hour in range(24)
    )


@dataclass(frozen=True, slots=True)
class ApplianceKind:
    """What the model knows of an appliance."""

    use: Callable[[np.random.Generator], Segments]
    mean_use_wh: float
    """Mean energy of a use."""
    uses_per_day: float
    """Of the reference home; scaled to the energy that the scenario asks for."""
    hour_weights: tuple[float, ...]
    """When people who are at home and awake use it, by local hour."""
    attended: bool
    """Whether somebody has to be there to start it."""
    circuit: int
    """Which of a home's three circuits it hangs on; a home maps circuits to phases at random."""
    reactive_ratio: float
    """Reactive over active power, inductive."""


KINDS: dict[str, ApplianceKind] = {
    "kettle": ApplianceKind(
        _kettle, 83.3, 1.8, _hours((6, 10, 3), (12, 18, 1.5), (18, 22, 1.5), base=0.5), True, 1, 0.0
    ),
    "oven": ApplianceKind(
        _oven, 759.0, 0.22, _hours((10, 13, 2), (16, 20, 2.5), base=0.4), True, 0,
        _reactive_ratio(0.995),
    ),
    "hob": ApplianceKind(
        _hob, 466.0, 1.2, _hours((6, 9, 2), (11, 14, 3), (17, 20, 2.7), base=0.6), True, 2,
        _reactive_ratio(0.97),
    ),
    "washing_machine": ApplianceKind(
        _washing_machine, 575.0, 0.6, _hours((7, 12, 3), (12, 20, 2), base=0.2), True, 1,
        _reactive_ratio(0.9),
    ),
    "dishwasher": ApplianceKind(
        _dishwasher, 918.0, 0.6, _hours((8, 10, 1), (13, 15, 2), (19, 24, 2), base=0.7), True, 0,
        _reactive_ratio(0.97),
    ),
    "dryer": ApplianceKind(
        _dryer, 1785.0, 0.4, _hours((8, 22, 2), base=0.3), True, 2,
        _reactive_ratio(0.98),
    ),
    "electronics": ApplianceKind(
        _electronics, 280.0, 4.0, _hours((7, 17, 1), (17, 23, 1.4), base=0.4), True, 1,
        _reactive_ratio(0.9),
    ),
    "lighting": ApplianceKind(
        _lighting, 67.7, 11.0, _hours((5, 8, 2), (8, 17, 0.7), (17, 24, 2.2), base=0.4), True, 2,
        _reactive_ratio(0.92),
    ),
    "heat_pump": ApplianceKind(
        _heat_pump, 446.7, 9.5, _hours((0, 7, 0.3), (10, 16, 0.1), base=1.0), False, 0,
        _reactive_ratio(0.93),
    ),
}  # fmt: skip
