"""From configuration to the kernel's parameter matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..edge.config import EdgeConfig
from ..faults import (
    BroadcastLoss,
    ClockStep,
    CoordinatorRestart,
    ExtraDelay,
    FaultConfig,
    LoadStuckOff,
    LoadStuckOn,
    LoadVanished,
    MeterFreeze,
    MeterMissing,
    MeterOffset,
    MeterWrongSign,
    needs_bytes,
)
from ..points import Actuator
from . import layout as at
from .config import WATER_J_PER_L_K, EvCharger, ExportPlantConfig, Load
from .devices import NOMINAL_V

_SHARES: Final = {
    "a": (1.0, 0.0, 0.0),
    "b": (0.0, 1.0, 0.0),
    "c": (0.0, 0.0, 1.0),
    "abc": (1 / 3, 1 / 3, 1 / 3),
}
_FOREVER_US: Final = 1 << 62


class _Put(Protocol):
    """Sets the rows of a parameter."""

    def __call__(self, name: str, values: Sequence[float] | float) -> None:
        """Set the rows of ``name``."""


def phase_count(charger: EvCharger) -> int:
    """Return the number of phases a charger uses."""
    return len(charger.phases)


def actuators(config: ExportPlantConfig, edge: EdgeConfig) -> tuple[Actuator, ...]:
    """Return the action points: loads, chargers, a commanded battery, a PV limit."""
    safe_w = edge.device.safe_power_w
    result = [
        Actuator(
            load.id,
            "load",
            _SHARES[load.phase],
            0.0,
            load.rated_power_w,
            0.0,
            load.resolution_w,
            load.min_on_s,
            load.min_off_s,
            min(safe_w, load.rated_power_w),
            "left on it overheats and imports; left off it does not take the surplus",
        )
        for load in config.loads
    ]
    for charger in config.chargers:
        per_ampere_w = NOMINAL_V * phase_count(charger)
        result.append(
            Actuator(
                charger.id,
                "charger",
                _SHARES[charger.phases],
                0.0,
                charger.max_current_a * per_ampere_w,
                charger.min_current_a * per_ampere_w,
                per_ampere_w,
                charger.min_on_s,
                charger.min_off_s,
                0.0,
                "left on it overloads the connection; left off the car leaves empty",
            )
        )
    battery = config.battery
    if battery is not None and battery.mode == "commanded":
        result.append(
            Actuator(
                "battery",
                "battery",
                _SHARES[battery.phases],
                -battery.max_charge_w,
                battery.max_discharge_w,
                0.0,
                1.0,
                0.0,
                0.0,
                0.0,
                "left discharging it exports; left charging it imports",
            )
        )
    if config.pv.curtailable:
        limit_w = config.pv.inverter_power_w
        result.append(
            Actuator(
                "pv",
                "pv_limit",
                _SHARES[config.pv.phases],
                0.0,
                limit_w,
                0.0,
                1.0,
                0.0,
                0.0,
                limit_w,
                "left low it throws energy away",
            )
        )
    return tuple(result)


def counts(config: ExportPlantConfig, edge: EdgeConfig) -> at.Counts:
    """Return how many of each the configured site has."""
    battery = config.battery
    return at.Counts(
        loads=len(config.loads),
        chargers=len(config.chargers),
        has_battery=battery is not None,
        battery_commanded=battery is not None and battery.mode == "commanded",
        pv_limited=config.pv.curtailable,
        meter_slots=at.meter_slots(edge),
    )


def parameters(
    config: ExportPlantConfig, edge: EdgeConfig, layout: at.Layout, step_us: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the columns (p, q) of one site's parameters."""
    p = np.zeros(layout.heights["p"])
    q = np.zeros(layout.heights["q"], dtype=np.int64)
    step_s = step_us * 1e-6

    def put(name: str, values: Sequence[float] | float) -> None:
        p[layout.rows(name)] = values

    acts = actuators(config, edge)
    put("low_w", [a.low_w for a in acts])
    put("high_w", [a.high_w for a in acts])
    put("resolution_w", [a.resolution_w for a in acts])
    put("safe_w", [a.safe_w for a in acts])
    q[layout.rows("dead_us")] = round(edge.device.dead_time_s * 1e6)
    units: list[Load | EvCharger] = [*config.loads, *config.chargers]
    q[layout.rows("min_on_us")] = [round(unit.min_on_s * 1e6) for unit in units]
    q[layout.rows("min_off_us")] = [round(unit.min_off_s * 1e6) for unit in units]
    _put_loads(config, put, step_s)
    _put_chargers(config, put, q, layout, step_s)
    _put_pv(config, put, step_s)
    _put_battery(config, put, step_s)
    supply = config.connection
    volts = np.array(
        [supply.source_voltage_a_v, supply.source_voltage_b_v, supply.source_voltage_c_v]
    )
    angle = np.array([0.0, -2 * np.pi / 3, 2 * np.pi / 3])
    put("source_vr", (volts * np.cos(angle)).tolist())
    put("source_vi", (volts * np.sin(angle)).tolist())
    put("line_r", supply.line_resistance_ohm)
    put("line_x", supply.line_reactance_ohm)
    put("neutral_r", supply.neutral_resistance_ohm)
    put("neutral_x", supply.neutral_reactance_ohm)
    return p, q


def _put_loads(config: ExportPlantConfig, put: _Put, step_s: float) -> None:
    loads = config.loads
    put("rated_w", [load.rated_power_w for load in loads])
    put("w_per_v2", [load.rated_power_w / NOMINAL_V**2 for load in loads])
    put("ramp", [min(step_s / load.ramp_s, 1.0) if load.ramp_s > 0 else 1.0 for load in loads])
    tanks = [load.tank for load in loads]
    put("heat_j_per_k", [t.volume_l * WATER_J_PER_L_K if t else 0.0 for t in tanks])
    put("loss_w_per_k", [t.standing_loss_w_per_k if t else 0.0 for t in tanks])
    put("ambient_c", [t.ambient_c if t else 0.0 for t in tanks])
    put("cold_c", [t.cold_water_c if t else 0.0 for t in tanks])
    put("thermostat_c", [t.thermostat_c if t else 0.0 for t in tanks])
    put("reopen_k", [t.hysteresis_k if t else 0.0 for t in tanks])
    put("cut_out_c", [t.cut_out_c if t else 0.0 for t in tanks])
    # Never read without a tank, but a difference to cold_c keeps the kernel free of 0/0.
    put("comfort_c", [t.comfort_c if t else 1.0 for t in tanks])
    put("autonomous", [float(t.autonomous_heating) if t else 0.0 for t in tanks])


def _put_chargers(
    config: ExportPlantConfig,
    put: _Put,
    q: NDArray[np.int64],
    layout: at.Layout,
    step_s: float,
) -> None:
    chargers = config.chargers
    put("charger_min_a", [c.min_current_a for c in chargers])
    put("charger_max_a", [c.max_current_a for c in chargers])
    put(
        "charger_ramp_a",
        [
            c.max_current_a * (min(step_s / c.ramp_s, 1.0) if c.ramp_s > 0 else 1.0)
            for c in chargers
        ],
    )
    size = at.SESSIONS * len(chargers)
    start = np.full(size, _FOREVER_US, dtype=np.int64)
    end = np.full(size, _FOREVER_US, dtype=np.int64)
    wanted = np.zeros(size)
    for j, charger in enumerate(chargers):
        for s, stay in enumerate(sorted(charger.sessions, key=lambda one: one.plug_in_s)):
            row = at.SESSIONS * j + s
            start[row], end[row] = round(stay.plug_in_s * 1e6), round(stay.unplug_s * 1e6)
            wanted[row] = stay.energy_wh * 3600.0
    q[layout.rows("session_start_us")] = start
    q[layout.rows("session_end_us")] = end
    put("session_wanted_j", wanted.tolist())


def _put_pv(config: ExportPlantConfig, put: _Put, step_s: float) -> None:
    pv = config.pv
    put("pv_peak_w", pv.peak_power_w)
    put("pv_inverter_w", pv.inverter_power_w)
    put("pv_tan_phi", math.sqrt(1.0 / pv.power_factor**2 - 1.0))
    put("pv_share", _SHARES[pv.phases])
    curve = pv.volt_watt
    # Without a curve the limit lies where no voltage reaches it.
    put("volt_watt_start_v", curve.start_v if curve else 1e6)
    put("volt_watt_end_v", curve.end_v if curve else 2e6)
    put("volt_watt_gain", step_s / curve.response_s if curve else 1.0)


def _put_battery(config: ExportPlantConfig, put: _Put, step_s: float) -> None:
    battery = config.battery
    if battery is None:
        put("battery_charge_efficiency", 1.0)
        put("battery_discharge_efficiency", 1.0)
        return
    capacity_j = battery.capacity_wh * 3600.0
    put("battery_capacity_j", capacity_j)
    put("battery_max_charge_w", battery.max_charge_w)
    put("battery_max_discharge_w", battery.max_discharge_w)
    put("battery_charge_efficiency", battery.charge_efficiency)
    put("battery_discharge_efficiency", battery.discharge_efficiency)
    put("battery_low_j", battery.soc_min * capacity_j)
    put("battery_high_j", battery.soc_max * capacity_j)
    put("battery_share", _SHARES[battery.phases])
    put("battery_local", float(battery.mode == "local"))
    put("battery_gain", min(step_s / battery.response_s, 1.0))


def fault_rows(
    faults: Sequence[FaultConfig], config: ExportPlantConfig
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return faults as columns: [4 × fault] kind, load, start µs, end µs; and [fault] value.

    The value is a probability, W, or µs, and 1 where the fault has none. Faults of a bus are left
    out: they act on its frames.
    """
    of_bytes = {id(fault) for fault in needs_bytes(faults)}
    faults = [fault for fault in faults if id(fault) not in of_bytes]
    index = {load.id: a for a, load in enumerate(config.loads)}
    ints = np.zeros(4 * len(faults), dtype=np.int64)
    values = np.ones(len(faults))
    kinds: dict[type, int] = {
        MeterFreeze: at.FAULT_METER_FREEZE,
        MeterMissing: at.FAULT_METER_MISSING,
        MeterOffset: at.FAULT_METER_OFFSET,
        MeterWrongSign: at.FAULT_METER_WRONG_SIGN,
        BroadcastLoss: at.FAULT_BROADCAST_LOSS,
        ExtraDelay: at.FAULT_EXTRA_DELAY,
        CoordinatorRestart: at.FAULT_COORDINATOR_RESTART,
        LoadStuckOn: at.FAULT_LOAD_STUCK_ON,
        LoadStuckOff: at.FAULT_LOAD_STUCK_OFF,
        LoadVanished: at.FAULT_LOAD_VANISHED,
        ClockStep: at.FAULT_CLOCK_STEP,
    }
    for f, fault in enumerate(faults):
        ints[4 * f] = kinds[type(fault)]
        ints[4 * f + 1] = (
            index[fault.load]
            if isinstance(fault, LoadStuckOn | LoadStuckOff | LoadVanished)
            else -1
        )
        ints[4 * f + 2] = round(fault.start_s * 1e6)
        ints[4 * f + 3] = round((fault.start_s + fault.duration_s) * 1e6)
        match fault:
            case MeterMissing() | BroadcastLoss():
                values[f] = fault.probability
            case MeterOffset():
                values[f] = fault.offset_w
            case ExtraDelay():
                values[f] = fault.delay_s * 1e6
            case ClockStep():
                values[f] = fault.step_s * 1e6
            case _:
                pass
    return ints, values
