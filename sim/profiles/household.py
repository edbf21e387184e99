"""Household load at one second from appliance events, active and reactive, by phase.

A home has traits (size, circuits' phases, whether somebody is in by day) that last for the run, and
days that are drawn one by one. Its uses of appliances are points in time, weighted by the hour and
by who is at home; base load, refrigerator and heat pump run by themselves. Energy is scaled by how
often things are used, never by how much power a kettle takes, so steps stay as steep as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from ..random import generator
from .appliances import HEAT_PUMP_RUN_S, HEAT_PUMP_W, KINDS, Segments, heat_pump_runs
from .config import GeneratedHousehold
from .days import LONGEST_DAY_S, LocalDay, local_days

#: A use that began this long before the run may still go on in it.
_LONGEST_USE_S = 4 * 3600
#: Standard deviation of the logarithm of homes' daily energies, and how far it reaches.
_SIZE_SPREAD = 0.85
_SIZE_REACH = 2.2
#: Standard deviation of the hour at which homes live, against one another.
_LATE_H = 1.6
#: Base load of the reference home, W, its power factor's Q/P, and the circuits' shares of it.
_BASE_W = 280.0
_BASE_RATIO = 0.48
_BASE_SHARES = (0.5, 0.3, 0.2)
_BASE_BLOCK_S = 600
#: A refrigerator: mean energy of a day, Q/P of its compressor, and circuit.
_FRIDGE_DAY_WH = 860.0
_FRIDGE_RATIO = 0.9
_FRIDGE_CIRCUIT = 1
#: Standard deviation of the fast ripple of one home on each phase.
_RIPPLE_W = 3.0
_QUARTERS = 96

PHASES = "abc"


@dataclass(frozen=True, slots=True)
class LoadSegments:
    """Stretches of constant power on the run's axis of seconds."""

    start_s: NDArray[np.int64]
    duration_s: NDArray[np.int64]
    power_w: NDArray[np.float64]
    phase: NDArray[np.int64]
    """0, 1, 2 for a, b, c."""
    reactive_ratio: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Home:
    name: str
    intensity: float
    """How often appliances are used, relative to the reference home (its square: base load)."""
    phase_of: tuple[int, int, int]
    """Phase of each circuit."""
    works: bool
    """Whether nobody is in on working days."""
    late_h: float
    """By how many hours its people live later than others."""


class _Collector:
    """Collects segments of one home's day."""

    def __init__(self, home: _Home) -> None:
        self._home = home
        self._parts: list[tuple[Segments, int, int, float]] = []

    def add(self, part: Segments, offset_s: int, phase: int, ratio: float) -> None:
        self._parts.append((part, offset_s, phase, ratio))

    def add_on(self, part: Segments, offset_s: int, circuit: int, ratio: float) -> None:
        self.add(part, offset_s, self._home.phase_of[circuit], ratio)

    def result(self) -> LoadSegments:
        count = [len(part.start_s) for part, *_ in self._parts]
        return LoadSegments(
            np.concatenate([part.start_s + offset for part, offset, *_ in self._parts]),
            np.concatenate([part.duration_s for part, *_ in self._parts]),
            np.concatenate([part.power_w for part, *_ in self._parts]),
            np.repeat(np.array([phase for *_, phase, _ in self._parts]), count),
            np.repeat(np.array([ratio for *_, ratio in self._parts]), count),
        )


def household_power(
    config: GeneratedHousehold, start_utc: datetime, duration_s: int, time_zone: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return active power in W and reactive power in var, each ``[phase, second]``, T + 1 rows.

    Args:
        config: homes, energy, appliances, forced events.
        start_utc: start of the run, time-zone aware, whole seconds.
        duration_s: length of the run.
        time_zone: IANA name of the clock that people live by.
        seed: of the run.
    """
    rows = duration_s + 1
    segments = [
        part
        for home in range(config.homes)
        for part in home_segments(config, home, start_utc, duration_s, time_zone, seed)
    ]
    active_w, reactive_var = render(segments, rows)
    ripple = _RIPPLE_W * math.sqrt(config.homes)
    lines = [PHASES.index(phase) for phase in config.phases]
    for day in local_days(start_utc, duration_s, time_zone):
        first, last = max(day.start_s, 0), min(day.start_s + day.length_s, rows)
        noise = generator(seed, "household", "ripple", day.name).standard_normal(
            (LONGEST_DAY_S, len(lines)), dtype=np.float32
        )
        part = noise[first - day.start_s : last - day.start_s]
        for column, line in enumerate(lines):
            active_w[line, first:last] += ripple * part[:, column]
    return np.maximum(active_w, 0.0), reactive_var


def home_segments(
    config: GeneratedHousehold,
    home: int,
    start_utc: datetime,
    duration_s: int,
    time_zone: str,
    seed: int,
) -> Sequence[LoadSegments]:
    """Return one home's segments over a run, a group a local day (uncut at the run's ends).

    Args:
        config: of the household.
        home: number of the home, 0 … homes − 1; forced events belong to home 0.
        start_utc: start of the run, time-zone aware, whole seconds.
        duration_s: length of the run.
        time_zone: IANA name of the clock that people live by.
        seed: of the run.
    """
    traits = _traits(config, home, seed)
    groups = [
        _day(config, traits, day, seed)
        for day in local_days(start_utc, duration_s, time_zone, before_s=_LONGEST_USE_S)
    ]
    if home == 0 and config.events:
        groups.append(_forced(config, traits, seed))
    return groups


def render(
    segments: Sequence[LoadSegments], rows: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Add up segments to active and reactive power, each ``[phase, second]``."""
    active, reactive = np.zeros((3, rows + 1)), np.zeros((3, rows + 1))
    for part in segments:
        begin = np.clip(part.start_s, 0, rows)
        end = np.clip(part.start_s + part.duration_s, 0, rows)
        for phase in range(3):
            on = (part.phase == phase) & (end > begin)
            for total, level in (
                (active, part.power_w[on]),
                (reactive, part.power_w[on] * part.reactive_ratio[on]),
            ):
                np.add.at(total[phase], begin[on], level)
                np.subtract.at(total[phase], end[on], level)
    # Sums of steps leave rounding dust of some 1e-12 W where nothing runs.
    return (
        np.maximum(np.cumsum(active, axis=1)[:, :rows], 0.0),
        np.maximum(np.cumsum(reactive, axis=1)[:, :rows], 0.0),
    )


def _traits(config: GeneratedHousehold, home: int, seed: int) -> _Home:
    random = generator(seed, "household", str(home))
    spread = float(np.clip(random.standard_normal(), -_SIZE_REACH, _SIZE_REACH)) * _SIZE_SPREAD
    daily_wh = config.daily_energy_wh * (math.exp(spread) if config.homes > 1 else 1.0)
    order = random.permutation(3)
    if config.phases == "abc":
        phase_of = (int(order[0]), int(order[1]), int(order[2]))
    else:
        phase_of = (PHASES.index(config.phases),) * 3
    varied = bool(random.random() < 0.4)
    works = config.occupancy == "working" or (config.occupancy == "varied" and varied)
    late_h = float(np.clip(_LATE_H * random.standard_normal(), -4.0, 4.0))
    return _Home(str(home), _intensity(config, daily_wh), phase_of, works, late_h)


def _intensity(config: GeneratedHousehold, daily_wh: float) -> float:
    """Solve fixed + s·uses + s²·background = energy of the day for the intensity s."""
    uses_wh = sum(
        KINDS[name].uses_per_day * KINDS[name].mean_use_wh
        for name in config.appliances
        if name in KINDS and name != "heat_pump"
    )
    background_wh = _BASE_W * 24.0
    if "heat_pump" in config.appliances:
        background_wh += KINDS["heat_pump"].uses_per_day * KINDS["heat_pump"].mean_use_wh
    fixed_wh = _FRIDGE_DAY_WH if "fridge" in config.appliances else 0.0
    rest_wh = max(daily_wh - fixed_wh, 0.05 * daily_wh)
    root = math.sqrt(uses_wh**2 + 4.0 * background_wh * rest_wh)
    return (root - uses_wh) / (2.0 * background_wh)


def _day(config: GeneratedHousehold, home: _Home, day: LocalDay, seed: int) -> LoadSegments:
    random = generator(seed, "household", home.name, day.name)
    out = _Collector(home)
    _base_load(out, home, day, random)
    presence = _presence(config, home, day, random)
    late = round(home.late_h * 4.0)
    if "fridge" in config.appliances:
        _fridge(out, day, generator(seed, "household", home.name, day.name, "fridge"))
    for name in config.appliances:
        if name not in KINDS:
            continue
        kind = KINDS[name]
        own = generator(seed, "household", home.name, day.name, name)
        if name == "heat_pump":
            _heat_pump(out, home, day, own, 0.4 if config.occupancy == "away" else 1.0)
            continue
        weights = np.roll(np.repeat(np.array(kind.hour_weights), 4), late) * presence
        if not weights.any():
            continue
        for start_s in _times(own, own.poisson(kind.uses_per_day * home.intensity), weights, day):
            out.add_on(kind.use(own), int(start_s), kind.circuit, kind.reactive_ratio)
    return out.result()


def _presence(
    config: GeneratedHousehold, home: _Home, day: LocalDay, random: np.random.Generator
) -> NDArray[np.float64]:
    """Return for each quarter of an hour whether somebody is in and awake (0 or 1)."""
    wake, leave, back, sleep = random.normal((6.7, 8.0, 17.0, 22.9), (0.6, 0.4, 1.0, 0.7))
    hour = (np.arange(_QUARTERS) + 0.5) / 4.0 - home.late_h
    presence: NDArray[np.float64] = ((hour > wake) & (hour < sleep)).astype(np.float64)
    if home.works and day.day.weekday() < 5:
        presence[(hour > max(leave, wake + 0.5)) & (hour < back)] = 0.0
    if config.occupancy == "away":
        presence[:] = 0.0
    return presence


def _times(
    random: np.random.Generator, count: int, weights: NDArray[np.float64], day: LocalDay
) -> NDArray[np.int64]:
    """Draw times of uses from weights a quarter of an hour, on the run's axis of seconds."""
    total = np.concatenate(([0.0], np.cumsum(weights))) / weights.sum()
    wall_s = np.interp(random.random(count), total, np.arange(len(total)) * 86_400.0 / len(weights))
    return day.start_s + day.elapsed_s(wall_s).astype(np.int64)


def _base_load(out: _Collector, home: _Home, day: LocalDay, random: np.random.Generator) -> None:
    blocks = math.ceil(LONGEST_DAY_S / _BASE_BLOCK_S)
    level = _BASE_W * home.intensity**2 * random.uniform(0.85, 1.15, blocks)
    start = np.arange(blocks) * _BASE_BLOCK_S + int(random.integers(_BASE_BLOCK_S))
    start[0] = 0
    end = np.append(start[1:], day.length_s)
    start, end = np.minimum(start, day.length_s), np.minimum(end, day.length_s)
    for circuit, share in enumerate(_BASE_SHARES):
        part = Segments(start, end - start, share * level)
        out.add_on(part, day.start_s, circuit, _BASE_RATIO)


def _fridge(out: _Collector, day: LocalDay, random: np.random.Generator) -> None:
    """Add a compressor that cycles all day; each start draws five times its power for a second."""
    on_s, off_s, power_w = random.uniform((700, 1600, 95), (1100, 2400, 135))
    count = int(LONGEST_DAY_S / (0.85 * (on_s + off_s))) + 2
    spread = random.uniform(0.9, 1.1, (2, count))
    on = (on_s * spread[0]).astype(np.int64)
    start = np.cumsum(on + (off_s * spread[1]).astype(np.int64)) - int(on_s + off_s)
    begin = np.clip(start, 0, day.length_s)
    end = np.clip(start + on, 0, day.length_s)
    run = Segments(begin, end - begin, np.full(count, power_w))
    inrush = Segments(begin, np.minimum(end - begin, 1), np.full(count, 4.0 * power_w))
    for part in (run, inrush):
        out.add_on(part, day.start_s, _FRIDGE_CIRCUIT, _FRIDGE_RATIO)


def _heat_pump(
    out: _Collector, home: _Home, day: LocalDay, random: np.random.Generator, share: float
) -> None:
    """Add compressor runs that never overlap: spread over the day's demand, cut at the next."""
    kind = KINDS["heat_pump"]
    count = max(1, round(kind.uses_per_day * home.intensity * share))
    weights = np.repeat(np.array(kind.hour_weights), 4)
    total = np.concatenate(([0.0], np.cumsum(weights))) / weights.sum()
    quantiles = (np.arange(count) + random.random(count) * 0.6) / count
    wall_s = np.interp(quantiles, total, np.arange(_QUARTERS + 1) * 900.0)
    start = day.start_s + day.elapsed_s(wall_s).astype(np.int64)
    length = random.integers(*HEAT_PUMP_RUN_S, count)
    until_next = np.append(start[1:], day.start_s + day.length_s) - start
    length = np.clip(length, 0, np.maximum(until_next, 0))
    part = heat_pump_runs(start, length, HEAT_PUMP_W * home.intensity)
    out.add_on(part, 0, kind.circuit, kind.reactive_ratio)


def _forced(config: GeneratedHousehold, home: _Home, seed: int) -> LoadSegments:
    out = _Collector(home)
    for number, event in enumerate(config.events):
        kind = KINDS[event.appliance]
        use = kind.use(generator(seed, "household", "event", str(number)))
        phase = home.phase_of[kind.circuit] if event.phase is None else PHASES.index(event.phase)
        out.add(use, int(event.start_s), phase, kind.reactive_ratio)
    return out.result()
