"""Truth, one row a second: what the trace of one site holds, and how its columns are named."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..compiled import compiled
from .layout import FLAG_WATCHDOG, SECOND_US, SESSIONS, Layout
from .work import DRAWS, HEAT, HOUSE_W, TILE

_WH = 1.0 / 3600.0


@compiled
def _mean(x: Any, row: int, mark: int) -> float:
    """Return the rise of a cumulative value since its mark, and move the mark."""
    rise = float(x[row, 0] - x[mark, 0])
    x[mark, 0] = x[row, 0]
    return rise


@compiled
def _flags(c: Any, e: Any, k: Any, a: int, t_us: int) -> float:
    flags = k[c.flags + a, 0]
    # As at the start of the second that ends here, when watchdogs were looked at.
    if 0 <= e.watchdog_us <= t_us - SECOND_US - k[c.received_us + a, 0]:
        flags += FLAG_WATCHDOG
    return float(flags)


@compiled
def write_row(
    c: Any, e: Any, x: Any, k: Any, p: Any, q: Any, w: Any, trace: Any, t_us: int
) -> None:
    """Write the second that ends at ``t_us`` for instance 0: means, end states, energies."""
    out = trace[(t_us // SECOND_US - 1) % trace.shape[0]]
    m = c.trace_mark
    for f in range(3):
        bought = _mean(x, c.import_j + f, m + f)
        sold = _mean(x, c.export_j + f, m + 3 + f)
        out[c.t_power + f] = bought - sold
        out[c.t_reactive + f] = _mean(x, c.reactive_js + f, m + 6 + f)
        out[c.t_voltage + f] = _mean(x, c.voltage_vs + f, m + 9 + f)
        out[c.t_current + f] = np.sqrt(max(_mean(x, c.current_a2s + f, m + 12 + f), 0.0))
        out[c.t_import + f] = x[c.import_j + f, 0] * _WH
        out[c.t_export + f] = x[c.export_j + f, 0] * _WH
        out[c.t_house + f] = w[HOUSE_W + f * TILE]
    out[c.t_neutral] = np.sqrt(max(_mean(x, c.neutral_a2s, m + 15), 0.0))
    out[c.t_pv] = _mean(x, c.pv_j, m + 16)
    out[c.t_pv + 1] = _mean(x, c.pv_available_j, m + 17)
    out[c.t_net] = x[c.net_import_j, 0] * _WH
    out[c.t_net + 1] = x[c.net_export_j, 0] * _WH
    m += 18
    for a in range(c.loads):
        out[c.t_load_power + a] = w[HEAT + a * TILE]
        out[c.t_load_setpoint + a] = x[c.setpoint_w + a, 0]
        capacity = p[c.heat_j_per_k + a, 0]
        temperature = x[c.temperature_c + a, 0]
        out[c.t_temperature + a] = temperature if capacity > 0.0 else np.nan
        out[c.t_stored + a] = (temperature - p[c.cold_c + a, 0]) * capacity * _WH
        out[c.t_unserved + a] = x[c.unserved_j + a, 0] * _WH
        x[m + a, 0] += w[DRAWS + a * TILE]
        out[c.t_delivered + a] = x[m + a, 0] * _WH
        out[c.t_switchings + a] = x[c.switchings + a, 0]
        out[c.t_flags + a] = _flags(c, e, k, a, t_us)
    m += c.loads
    for j in range(c.chargers):
        u = c.loads + j
        out[c.t_charger_power + j] = _mean(x, c.charger_j + j, m + j)
        out[c.t_charger_setpoint + j] = x[c.setpoint_w + u, 0]
        out[c.t_session + j] = x[c.session_j + j, 0] * _WH
        unserved_j = x[c.charger_unserved_j + j, 0]
        # A car that leaves now is booked by the second that begins; a run may end before it.
        end_us = c.session_end_us + SESSIONS * j + k[c.session + j, 0]
        if x[c.plugged + j, 0] > 0.0 and t_us >= q[end_us, 0]:
            unserved_j += max(x[c.wanted_j + j, 0] - x[c.session_j + j, 0], 0.0)
        out[c.t_charger_unserved + j] = unserved_j * _WH
        out[c.t_plugged + j] = x[c.plugged + j, 0]
        out[c.t_charger_switchings + j] = x[c.switchings + u, 0]
    if c.battery > 0:
        m += c.chargers
        given = _mean(x, c.battery_discharge_j, m)
        out[c.t_battery] = given - _mean(x, c.battery_charge_j, m + 1)
        out[c.t_battery + 1] = x[c.battery_j, 0] / p[c.battery_capacity_j, 0]
        out[c.t_battery + 2] = x[c.battery_j, 0] * _WH


def stream(
    layout: Layout, truth: NDArray[np.float64], loads: list[str], chargers: list[str]
) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return (columns, units) of the truth stream; ``truth`` [column, second] as traced.

    The first column is ``t_sim_us``, the end of each second.
    """
    phases = [f"grid.{phase}" for phase in "abc"]
    names: list[tuple[str, list[str], str]] = [
        ("t_power", [f"{p}.power_w" for p in phases], "W"),
        ("t_reactive", [f"{p}.reactive_power_var" for p in phases], "var"),
        ("t_voltage", [f"{p}.voltage_v" for p in phases], "V"),
        ("t_current", [f"{p}.current_a" for p in phases], "A"),
        ("t_neutral", ["grid.neutral.current_a"], "A"),
        ("t_net", ["grid.net.import_energy_wh", "grid.net.export_energy_wh"], "Wh"),
        ("t_import", [f"{p}.import_energy_wh" for p in phases], "Wh"),
        ("t_export", [f"{p}.export_energy_wh" for p in phases], "Wh"),
        ("t_pv", ["pv.power_w", "pv.available_power_w"], "W"),
        ("t_house", [f"household.{p}.power_w" for p in "abc"], "W"),
        ("t_load_power", [f"load.{i}.power_w" for i in loads], "W"),
        ("t_load_setpoint", [f"load.{i}.setpoint_w" for i in loads], "W"),
        ("t_temperature", [f"load.{i}.temperature_c" for i in loads], "°C"),
        ("t_stored", [f"load.{i}.stored_energy_wh" for i in loads], "Wh"),
        ("t_unserved", [f"load.{i}.unserved_energy_wh" for i in loads], "Wh"),
        ("t_delivered", [f"load.{i}.delivered_energy_wh" for i in loads], "Wh"),
        ("t_switchings", [f"load.{i}.switchings" for i in loads], "1"),
        ("t_flags", [f"load.{i}.flags" for i in loads], "1"),
        ("t_charger_power", [f"charger.{i}.power_w" for i in chargers], "W"),
        ("t_charger_setpoint", [f"charger.{i}.setpoint_w" for i in chargers], "W"),
        ("t_session", [f"charger.{i}.session_energy_wh" for i in chargers], "Wh"),
        ("t_charger_unserved", [f"charger.{i}.unserved_energy_wh" for i in chargers], "Wh"),
        ("t_plugged", [f"charger.{i}.plugged_in" for i in chargers], "1"),
        ("t_charger_switchings", [f"charger.{i}.switchings" for i in chargers], "1"),
    ]
    columns: dict[str, NDArray[Any]] = {
        "t_sim_us": (np.arange(truth.shape[1], dtype=np.int64) + 1) * 1_000_000
    }
    units = {"t_sim_us": "us"}
    for field, paths, unit in names:
        first = layout.fields[field][1]
        for offset, path in enumerate(paths):
            columns[path] = truth[first + offset]
            units[path] = unit
    if layout.counts.has_battery:
        first = layout.fields["t_battery"][1]
        battery = [("power_w", "W"), ("soc", "1"), ("stored_energy_wh", "Wh")]
        for offset, (name, unit) in enumerate(battery):
            columns[f"battery.{name}"] = truth[first + offset]
            units[f"battery.{name}"] = unit
    return columns, units
