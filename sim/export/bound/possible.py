"""What a site can do in each second of a run, whatever is commanded: the facts behind the bound.

Everything here is an outer limit. Where the kernel's equations are used, their names stand beside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...edge.channel import latency_quantiles_us
from ...edge.config import EdgeConfig
from ...faults import FaultConfig
from ..batch import STEP_US, SiteBatch
from ..compilation import fault_rows
from ..config import ExportPlantConfig
from ..devices import NOMINAL_V
from ..layout import (
    FAULT_LOAD_STUCK_OFF,
    FAULT_LOAD_STUCK_ON,
    FAULT_LOAD_VANISHED,
    SECOND_US,
)
from .model import BoundError, Timing
from .voltage import Box, Supply, reach_v, widest_v, with_the_second_before

Floats = NDArray[np.float64]

_STEPS: Final = SECOND_US // STEP_US
_REFINEMENTS: Final = 2
FREE, FORCED, OFF = 0, 1, 2
"""What a fault makes of a load in a second."""


@dataclass(frozen=True, slots=True)
class Session:
    """One stay of a car."""

    charger: int
    first_s: int
    """First second in which it can charge."""
    end_s: int
    """Second at which it is gone."""
    wanted_wh: float
    counts: bool
    """Whether it leaves within the run, so that what it lacks is booked."""


@dataclass(frozen=True, slots=True)
class Possible:
    """Outer limits of what the devices do; time last, in seconds since the start."""

    surplus_w: Floats
    """[T] available PV power minus household power."""
    load_w: Floats
    """[loads, T] the most mean power of each load."""
    charger_w: Floats
    """[chargers, T]; 0 where no car is plugged in."""
    battery_in_w: Floats
    """[T] the most that the battery can take."""
    battery_out_w: Floats
    """[T] the most that it can give."""
    draw_wh: Floats
    """[loads, T] what is asked of each tank in each second."""
    stored_wh: Floats
    """[loads] energy above cold water at the start; 0 without a tank."""
    sessions: tuple[Session, ...]
    scale: tuple[Floats, Floats]
    """Least and greatest (V / 230)² of any phase, twice [T]."""
    state: NDArray[np.int8]
    """[loads, T] what faults make of each load: `FREE`, `FORCED`, `OFF`."""
    acts_s: float
    """Before this nothing that anybody commands has an effect."""

    @property
    def seconds(self) -> int:
        """Length of the run."""
        return int(self.surplus_w.shape[0])


def first_effect_us(edge: EdgeConfig, timing: Timing) -> int:
    """Return the earliest time at which anything commanded can have an effect.

    The meter publishes its first sample one period after the start, and `delay_s` later; until a
    tick at which it can be read nobody is asked (`hil.loop`). What is decided then leaves after the
    declared delay and acts at the first sub-step after the device's dead time (`sending`). The
    way through the mesh is taken to cost no time.
    """
    published_us = round((edge.meter.period_s + edge.meter.delay_s) * 1e6)
    period_us = round(timing.control_period_s * 1e6)
    tick_us = -(-published_us // period_us) * period_us
    sent_us = tick_us + round(timing.decision_delay_s * 1e6)
    acts_us = sent_us + round(edge.device.dead_time_s * 1e6)
    return -(-acts_us // STEP_US) * STEP_US


def latencies_s(edge: EdgeConfig, faults: tuple[FaultConfig, ...]) -> tuple[float, float]:
    """Return the shortest and the longest way of a command through the mesh, faults included."""
    table = latency_quantiles_us(edge.mesh)
    late_s = sum(fault.delay_s for fault in faults if fault.kind == "extra_delay")
    return float(table[0]) * 1e-6, float(table[-1]) * 1e-6 + late_s


def possible(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    profiles: NDArray[np.float32],
    faults: tuple[FaultConfig, ...],
    seed: int,
    timing: Timing,
) -> Possible:
    """Return what a site can do in a run.

    Raises:
        BoundError: the connection is too weak for a limit of the voltage.
    """
    batch = SiteBatch(config, edge, profiles, faults, [seed])
    seconds = timing.duration_s
    rows = profiles[np.minimum(np.arange(seconds), len(profiles) - 1)].astype(np.float64).T
    pv = config.pv
    available_w = np.minimum(pv.peak_power_w * rows[0], pv.inverter_power_w)
    state = fault_states(config, faults, seconds)
    acts_s = first_effect_us(edge, timing) * 1e-6
    duty = _duties(config, edge, state, acts_s)
    plugged, sessions = _sessions(config, seconds)
    amperes = plugged * _rising(acts_s, [c.ramp_s for c in config.chargers], 0.0, seconds)
    amperes *= np.array([c.max_current_a for c in config.chargers]).reshape(-1, 1)
    battery_in, battery_out = _battery(config, acts_s, seconds)
    low_v, high_v = _voltages(
        config, batch, rows, available_w, duty, amperes, battery_in, battery_out
    )
    phase = ["abc".index(load.phase) for load in config.loads]
    w_per_v2 = batch.get("w_per_v2")[:, :1]
    of_charger = [
        sum(high_v["abc".index(p)] for p in charger.phases) for charger in config.chargers
    ]
    capacity, cold_c = batch.get("heat_j_per_k")[:, 0], batch.get("cold_c")[:, 0]
    stored_wh = (batch.get("temperature_c")[:, 0] - cold_c) * capacity / 3600.0
    tanks = (capacity > 0.0).reshape(-1, 1)
    return Possible(
        surplus_w=available_w - rows[1:4].sum(axis=0),
        load_w=duty * w_per_v2 * high_v[phase] ** 2,
        charger_w=amperes * np.array(of_charger).reshape(len(config.chargers), seconds),
        battery_in_w=battery_in,
        battery_out_w=battery_out,
        draw_wh=np.where(tanks, rows[7 : 7 + len(config.loads)], 0.0) / 3600.0,
        stored_wh=stored_wh,
        sessions=sessions,
        scale=(
            low_v[sorted(set(phase))].min(axis=0) ** 2 / NOMINAL_V**2,
            high_v[sorted(set(phase))].max(axis=0) ** 2 / NOMINAL_V**2,
        ),
        state=state,
        acts_s=acts_s,
    )


def fault_states(
    config: ExportPlantConfig, faults: tuple[FaultConfig, ...], seconds: int
) -> NDArray[np.int8]:
    """Return [loads, T] what faults make of each load; of several the last holds (`seconds`)."""
    ints, _ = fault_rows(faults, config)
    result = np.zeros((len(config.loads), seconds), dtype=np.int8)
    meaning = {
        FAULT_LOAD_STUCK_ON: FORCED,
        FAULT_LOAD_STUCK_OFF: OFF,
        FAULT_LOAD_VANISHED: OFF,
    }
    for kind, load, start_us, end_us in ints.reshape(-1, 4).tolist():
        if kind in meaning:
            first, last = -(-start_us // SECOND_US), -(-end_us // SECOND_US)
            result[load, first:last] = meaning[kind]
    return result


def _rising(acts_s: float, ramp_s: list[float], base: float, seconds: int) -> Floats:
    """Return [devices, T] the highest mean duty if all go from ``base`` to 1 as soon as they can.

    A sub-step moves the duty before its power counts (`substeps`), so that the first one already
    brings a step.
    """
    at_s = np.arange(seconds * _STEPS) * (STEP_US * 1e-6)
    steps = np.maximum(np.round((at_s - acts_s) / (STEP_US * 1e-6)) + 1.0, 0.0)
    result = np.empty((len(ramp_s), seconds))
    for index, ramp in enumerate(ramp_s):
        step = min(STEP_US * 1e-6 / ramp, 1.0) if ramp > 0 else 1.0
        duty = np.minimum(base + steps * step * (1.0 + 1e-9), 1.0)
        result[index] = duty.reshape(seconds, _STEPS).mean(axis=1)
    return result


def _duties(
    config: ExportPlantConfig, edge: EdgeConfig, state: NDArray[np.int8], acts_s: float
) -> Floats:
    """Return [loads, T] the highest mean duty of each load.

    Before anything can be commanded a load keeps its safe set-point, unless it heats by itself.
    """
    seconds = state.shape[1]
    result = np.empty(state.shape)
    for a, load in enumerate(config.loads):
        safe = min(edge.device.safe_power_w / load.rated_power_w, 1.0)
        result[a] = _rising(acts_s, [load.ramp_s], safe, seconds)[0]
        by_itself = load.tank is not None and load.tank.autonomous_heating
        forced = np.flatnonzero(state[a] == FORCED)
        if by_itself:
            result[a] = 1.0
        elif len(forced):
            result[a, forced[0] :] = 1.0
        result[a, state[a] == OFF] = 0.0
    return result


def _sessions(config: ExportPlantConfig, seconds: int) -> tuple[Floats, tuple[Session, ...]]:
    """Return [chargers, T] whether a car is there, and the stays."""
    plugged = np.zeros((len(config.chargers), seconds))
    found = []
    for j, charger in enumerate(config.chargers):
        for stay in sorted(charger.sessions, key=lambda one: one.plug_in_s):
            first = -(-round(stay.plug_in_s * 1e6) // SECOND_US)
            end = -(-round(stay.unplug_s * 1e6) // SECOND_US)
            if first >= seconds:
                continue
            plugged[j, first:end] = 1.0
            counts = end <= seconds
            found.append(Session(j, first, min(end, seconds), stay.energy_wh, counts))
    return plugged, tuple(found)


def _battery(config: ExportPlantConfig, acts_s: float, seconds: int) -> tuple[Floats, Floats]:
    """Return what the battery can take and give, twice [T]; a commanded one rests at first."""
    battery = config.battery
    if battery is None:
        return np.zeros(seconds), np.zeros(seconds)
    part = np.ones(seconds)
    if battery.mode == "commanded":
        part = _rising(acts_s, [0.0], 0.0, seconds)[0]
    return battery.max_charge_w * part, battery.max_discharge_w * part


def _voltages(
    config: ExportPlantConfig,
    batch: SiteBatch,
    rows: Floats,
    available_w: Floats,
    duty: Floats,
    amperes: Floats,
    battery_in: Floats,
    battery_out: Floats,
) -> tuple[Floats, Floats]:
    """Return the least and greatest voltage that each phase can have in each second, [3, T]."""

    def get(name: str) -> NDArray[Any]:
        column: NDArray[Any] = batch.get(name)[:, 0]
        return column

    supply = Supply(
        get("source_vr") + 1j * get("source_vi"),
        complex(get("line_r")[0], get("line_x")[0]),
        complex(get("neutral_r")[0], get("neutral_x")[0]),
    )
    share, of_battery = get("pv_share")[:, None], get("battery_share")[:, None]
    conducts, takes = np.zeros((3, duty.shape[1])), np.zeros((3, duty.shape[1]))
    for load, used, factor in zip(config.loads, duty, get("w_per_v2"), strict=True):
        conducts["abc".index(load.phase)] += used * factor
    for charger, current in zip(config.chargers, amperes, strict=True):
        for name in charger.phases:
            takes["abc".index(name)] += current
    may_give_way = config.pv.curtailable or config.pv.volt_watt is not None
    least_pv_w = 0.0 * available_w if may_give_way else available_w
    tan_phi = float(get("pv_tan_phi")[0])
    low_w = rows[1:4] - share * available_w - of_battery * battery_out
    base_w = rows[1:4] - share * least_pv_w + of_battery * battery_in
    low_var = rows[4:7] + share * least_pv_w * tan_phi
    high_var = rows[4:7] + share * available_w * tan_phi
    fixed_va = np.hypot(
        np.maximum(np.abs(low_w), np.abs(base_w)), np.maximum(np.abs(low_var), np.abs(high_var))
    ).max(axis=1)
    away = widest_v(supply, fixed_va, conducts.max(axis=1), takes.max(axis=1))
    e = np.abs(supply.source_v)
    high_v = np.repeat((e + away)[:, None], duty.shape[1], axis=1)
    low_v = high_v
    for _ in range(_REFINEMENTS):
        high_w = base_w + conducts * high_v**2 + takes * high_v
        low_v, high_v = reach_v(supply, away, Box(low_w, high_w, low_var, high_var))
        low_v, high_v = with_the_second_before(low_v, high_v, e)
    if not (np.isfinite(high_v).all() and (low_v > 0).all()):
        raise BoundError("no limit of the voltage can be shown: profiles that are not finite")
    return low_v, high_v
