"""Where everything lies in the kernel's arrays.

All state of a batch of sites is two arrays, ``x`` (float64) and ``k`` (int64); all parameters are
two more, ``p`` and ``q``. A row is one field of one load, charger, phase or site, a column is one
instance: the batch axis is last and contiguous, so that inner loops run over instances. Instances
lie in tiles of 128, [tile, row, lane]: a thread moves one tile at a time and finds it in its core's
cache. Which row a field starts at is in one record (:func:`layout`), which kernels read by name:
``x[c.temperature_c + load]``. Snapshot and restore of a batch are two copies.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..edge.config import EdgeConfig
from ..edge.meter import METER_FIELDS

SECOND_US: Final = 1_000_000
QUEUE: Final = 8
"""Commands under way to one device: as many as the broadcast table lets pass."""
SESSIONS: Final = 4
BROADCASTS: Final = 8

FAULT_METER_FREEZE: Final = 1
FAULT_METER_MISSING: Final = 2
FAULT_METER_OFFSET: Final = 3
FAULT_METER_WRONG_SIGN: Final = 4
FAULT_BROADCAST_LOSS: Final = 5
FAULT_EXTRA_DELAY: Final = 6
FAULT_COORDINATOR_RESTART: Final = 7
FAULT_LOAD_STUCK_ON: Final = 8
FAULT_LOAD_STUCK_OFF: Final = 9
FAULT_LOAD_VANISHED: Final = 10
FAULT_CLOCK_STEP: Final = 11

FLAG_THERMOSTAT: Final = 1
FLAG_CUT_OUT: Final = 2
FLAG_HEATING: Final = 4
FLAG_STUCK_ON: Final = 8
FLAG_STUCK_OFF: Final = 16
FLAG_VANISHED: Final = 32
FLAG_WATCHDOG: Final = 64
FLAGS_FAULT: Final = FLAG_STUCK_ON | FLAG_STUCK_OFF | FLAG_VANISHED
FLAGS_ON: Final = FLAG_HEATING | FLAG_STUCK_ON
"""Any of these: the load heats, whatever its set-point."""
FLAGS_OPEN: Final = FLAG_THERMOSTAT | FLAG_CUT_OUT | FLAG_STUCK_OFF | FLAG_VANISHED
"""Any of these: the load's contact is open, whatever its set-point and whatever keeps it on."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many of each a site has; the same for all instances of a batch."""

    loads: int
    chargers: int
    has_battery: bool
    battery_commanded: bool
    pv_limited: bool
    meter_slots: int

    @property
    def actuators(self) -> int:
        """Number of action points."""
        return self.loads + self.chargers + int(self.battery_commanded) + int(self.pv_limited)


def _float_state(n: Counts) -> dict[str, int]:
    load, charger, act = n.loads, n.chargers, n.actuators
    # fmt: off
    return {
        # devices
        "setpoint_w": act, "queue_w": QUEUE * act, "switchings": load + charger,
        "report_old_w": load, "report_new_w": load, "report_j": load,
        # loads
        "target": load, "duty": load, "temperature_c": load,
        "unserved_j": load,
        # this second so far: ∫V² dt a phase; where it stood when a load's duty last changed, and
        # what the load had used by then
        "square_vs": 3, "moved_v2s": load, "moved_j": load,
        # chargers
        "charger_target_a": charger, "charger_a": charger, "charger_j": charger,
        "session_j": charger, "wanted_j": charger, "charger_unserved_j": charger,
        "plugged": charger,
        # site
        "pv_cap_w": 1, "battery_w": 1, "battery_j": 1, "vr": 3, "vi": 3, "p_w": 3,
        # cumulative since the start, in J, V·s, A²·s
        "import_j": 3, "export_j": 3, "net_import_j": 1, "net_export_j": 1, "reactive_js": 3,
        "voltage_vs": 3, "current_a2s": 3, "neutral_a2s": 1, "pv_j": 1, "pv_available_j": 1,
        "battery_charge_j": 1, "battery_discharge_j": 1,
        # the mesh, the meter's marks at the start of its window, and its published samples
        "mesh_bad": 1, "meter_mark": 13, "samples": n.meter_slots * METER_FIELDS,
        # what the trace needs to turn cumulative values into means over a second, and the other
        # way round what each tank has delivered
        "trace_mark": 3 * 5 + 3 + load + charger + 2,
        # the newest published sample at the end of the last call, for a bench of one
        "reading": METER_FIELDS,
    }  # fmt: skip


def _int_state(n: Counts) -> dict[str, int]:
    load, charger, act = n.loads, n.chargers, n.actuators
    return {
        "switched_us": load + charger, "received_us": act, "queue_n": act, "next_us": act,
        "due_us": 1, "flags": load, "queue_us": QUEUE * act, "ack_us": act, "effective_us": act,
        "report_us": load, "report_next_us": load,
        "seq": 1, "status": 1, "broadcast_us": BROADCASTS,
        "sampled_us": n.meter_slots, "published_us": n.meter_slots, "samples_n": 1,
        "reading_sampled_us": 1, "reading_published_us": 1,
        "session": charger, "profile": 1, "profile_row": 1, "key": 1,
    }  # fmt: skip


def _float_parameters(n: Counts) -> dict[str, int]:
    load, charger, act = n.loads, n.chargers, n.actuators
    return {
        "low_w": act, "high_w": act, "resolution_w": act, "safe_w": act,
        "rated_w": load, "w_per_v2": load, "ramp": load, "heat_j_per_k": load,
        "loss_w_per_k": load, "ambient_c": load, "cold_c": load, "thermostat_c": load,
        "reopen_k": load, "cut_out_c": load, "comfort_c": load, "autonomous": load,
        "charger_min_a": charger, "charger_max_a": charger, "charger_ramp_a": charger,
        "session_wanted_j": SESSIONS * charger,
        "pv_peak_w": 1, "pv_inverter_w": 1, "pv_tan_phi": 1, "pv_share": 3,
        "volt_watt_start_v": 1, "volt_watt_end_v": 1, "volt_watt_gain": 1,
        "battery_capacity_j": 1, "battery_max_charge_w": 1, "battery_max_discharge_w": 1,
        "battery_charge_efficiency": 1, "battery_discharge_efficiency": 1,
        "battery_low_j": 1, "battery_high_j": 1, "battery_share": 3, "battery_local": 1,
        "battery_gain": 1,
        "source_vr": 3, "source_vi": 3, "line_r": 1, "line_x": 1, "neutral_r": 1, "neutral_x": 1,
    }  # fmt: skip


def _int_parameters(n: Counts) -> dict[str, int]:
    act, charger = n.actuators, n.chargers
    units = n.loads + n.chargers
    return {
        "dead_us": act, "min_on_us": units, "min_off_us": units,
        "session_start_us": SESSIONS * charger, "session_end_us": SESSIONS * charger,
    }  # fmt: skip


def _columns(n: Counts) -> dict[str, int]:
    """Columns of the trace that the kernel writes, one row a second."""
    load, charger = n.loads, n.chargers
    return {
        "t_power": 3, "t_reactive": 3, "t_voltage": 3, "t_current": 3, "t_neutral": 1,
        "t_net": 2, "t_import": 3, "t_export": 3, "t_pv": 2, "t_house": 3,
        "t_load_power": load, "t_load_setpoint": load, "t_temperature": load, "t_stored": load,
        "t_unserved": load, "t_delivered": load, "t_switchings": load, "t_flags": load,
        "t_charger_power": charger, "t_charger_setpoint": charger, "t_session": charger,
        "t_charger_unserved": charger, "t_plugged": charger, "t_charger_switchings": charger,
        "t_battery": 3 if n.has_battery else 0,
    }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """The record of row offsets (:attr:`c`, one element) and the heights of the matrices."""

    counts: Counts
    c: NDArray[Any]
    fields: dict[str, tuple[str, int, int]]
    """Field → (matrix, first row, rows)."""
    heights: dict[str, int]

    def rows(self, name: str) -> slice:
        """Return the rows of a field."""
        _, first, count = self.fields[name]
        return slice(first, first + count)


def layout(counts: Counts, step_us: int) -> Layout:
    """Return where each field of a site with these counts lies; ``step_us`` is the sub-step."""
    matrices = {
        "x": _float_state(counts),
        "k": _int_state(counts),
        "p": _float_parameters(counts),
        "q": _int_parameters(counts),
        "trace": _columns(counts),
    }
    fields: dict[str, tuple[str, int, int]] = {}
    heights: dict[str, int] = {}
    for matrix, spec in matrices.items():
        row = 0
        for name, count in spec.items():
            fields[name] = (matrix, row, count)
            row += count
        heights[matrix] = row
    scalars = {
        "loads": counts.loads,
        "chargers": counts.chargers,
        "actuators": counts.actuators,
        "battery": int(counts.has_battery),
        "battery_actuator": counts.loads + counts.chargers if counts.battery_commanded else -1,
        "pv_actuator": counts.actuators - 1 if counts.pv_limited else -1,
        "meter_slots": counts.meter_slots,
        # where each part of the array of tables (see `tables`) begins
        "load_phase": 0,
        "charger_phase": counts.loads,
        "latency_us": counts.loads + counts.chargers,
    }
    names = [*fields, *scalars]
    c = np.zeros(1, dtype=[*((name, np.int64) for name in names), ("step_s", np.float64)])
    c["step_s"] = step_us * 1e-6
    for name, (_, row, _) in fields.items():
        c[name] = row
    for name, value in scalars.items():
        c[name] = value
    return Layout(counts, c, fields, heights)


def tables(
    load_phase: list[int], charger_phase: list[int], latency_us: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return one array of the tables that all instances share.

    The phase of each load (0–2), of each charger (3: all), the quantiles of the mesh's latency.
    One array instead of three: handing an array to a kernel costs half a microsecond.
    """
    return np.concatenate([load_phase, charger_phase, latency_us]).astype(np.int64)


def edge_record(edge: EdgeConfig, step_us: int) -> NDArray[Any]:
    """Return the edge's parameters as a record of one element, times in µs."""
    meter, mesh, device = edge.meter, edge.mesh, edge.device
    floats = {
        "resolution_w": meter.resolution_w,
        "noise_w": meter.noise_w,
        "voltage_resolution_v": meter.voltage_resolution_v,
        "counter_resolution_wh": meter.counter_resolution_wh,
        "loss_good": mesh.loss_good,
        "loss_bad": mesh.loss_bad,
        "leave_good": min(1.0 / mesh.dwell_good_s, 1.0),
        "leave_bad": min(1.0 / mesh.dwell_bad_s, 1.0),
        "ack_jitter_us": mesh.ack_jitter_s * 1e6,
    }
    report_s = device.report_period_s
    ints = {
        "step_us": step_us,
        "period_us": round(meter.period_s * 1e6),
        "window_us": round(meter.window_s * 1e6),
        "delay_us": round(meter.delay_s * 1e6),
        "table_entries": mesh.broadcast_table_entries,
        "table_us": round(mesh.broadcast_table_s * 1e6),
        "watchdog_us": -1 if device.watchdog_s is None else round(device.watchdog_s * 1e6),
        "report_period_us": -1 if report_s is None else max(round(report_s), 1) * SECOND_US,
        "report_latency_us": round(device.report_latency_s * 1e6),
    }
    dtype = [(name, np.float64) for name in floats] + [(name, np.int64) for name in ints]
    record = np.zeros(1, dtype=dtype)
    for name, value in (floats | ints).items():
        record[name] = value
    return record


def meter_slots(edge: EdgeConfig) -> int:
    """Return how many samples must be kept so that a published one is always among them."""
    return int(np.ceil(edge.meter.delay_s / edge.meter.period_s)) + 2
