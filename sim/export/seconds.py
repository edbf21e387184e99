"""What moves on once a second: profiles, faults, watchdogs, thermostats, tanks, reports."""

from __future__ import annotations

from typing import Any

from ..compiled import compiled
from ..edge.channel import message, next_mesh_state
from ..edge.random import STREAM_REPORT
from .devices import follow_sessions, set_load_targets
from .layout import (
    FAULT_LOAD_STUCK_OFF,
    FAULT_LOAD_STUCK_ON,
    FAULT_LOAD_VANISHED,
    SECOND_US,
)
from .network import TILE


@compiled
def _load_profiles(c: Any, x: Any, k: Any, profiles: Any, n: int, t_us: int) -> None:
    second = t_us // SECOND_US
    last = profiles.shape[1] - 1
    for i in range(n):
        now = profiles[k[c.profile, i], min(k[c.profile_row, i] + second, last)]
        x[c.pv_unit, i] = now[0]
        for f in range(3):
            x[c.house_w + f, i] = now[1 + f]
            x[c.house_var + f, i] = now[4 + f]


@compiled
def _load_faults(c: Any, x: Any, fault_i: Any, fault_f: Any, n: int, t_us: int) -> None:
    """Set row ``stuck``: 0 none, 1 on, 2 off, 3 vanished."""
    for a in range(c.loads):
        for i in range(n):
            x[c.stuck + a, i] = 0.0
    for f in range(fault_f.shape[0]):
        for i in range(n):
            kind = fault_i[4 * f, i]
            if not fault_i[4 * f + 2, i] <= t_us < fault_i[4 * f + 3, i]:
                continue
            load = fault_i[4 * f + 1, i]
            if kind == FAULT_LOAD_STUCK_ON:
                x[c.stuck + load, i] = 1.0
            elif kind == FAULT_LOAD_STUCK_OFF:
                x[c.stuck + load, i] = 2.0
            elif kind == FAULT_LOAD_VANISHED:
                x[c.stuck + load, i] = 3.0


@compiled
def _watchdogs(c: Any, e: Any, x: Any, k: Any, p: Any, n: int, t_us: int) -> None:
    limit_us = e.watchdog_us
    if limit_us < 0:
        return
    for a in range(c.actuators):
        received, setpoint, safe = k[c.received_us + a], x[c.setpoint_w + a], p[c.safe_w + a]
        for i in range(n):
            now_w, safe_w = setpoint[i], safe[i]
            setpoint[i] = safe_w if t_us - received[i] >= limit_us else now_w


@compiled
def _thermostats(c: Any, x: Any, k: Any, p: Any, q: Any, n: int, t_us: int) -> None:
    """Set what each load may and must do this second, and its target."""
    for a in range(c.loads):
        temperature, stuck = x[c.temperature_c + a], x[c.stuck + a]
        hot, tripped = x[c.hot + a], x[c.tripped + a]
        heating, autonomous = x[c.heating + a], p[c.autonomous + a]
        floor, ceiling = x[c.floor + a], x[c.ceiling + a]
        top, reopen = p[c.thermostat_c + a], p[c.reopen_k + a]
        cut_out, comfort = p[c.cut_out_c + a], p[c.comfort_c + a]
        has_tank = p[c.heat_j_per_k + a]
        # Short loops, loads before selects, & and | instead of short-circuits: so they vectorise.
        for i in range(n):
            over = (has_tank[i] > 0.0) & (temperature[i] >= top[i])
            under = temperature[i] <= top[i] - reopen[i]
            was = hot[i]
            hot[i] = 1.0 if over else (0.0 if under else was)
        for i in range(n):
            trips = (has_tank[i] > 0.0) & (temperature[i] >= cut_out[i])
            was = tripped[i]
            tripped[i] = 1.0 if trips else was
        for i in range(n):
            may = (has_tank[i] > 0.0) & (autonomous[i] > 0.0)
            cold = may & (temperature[i] < comfort[i])
            warm = temperature[i] >= comfort[i] + reopen[i]
            was = heating[i]
            heating[i] = 1.0 if cold else (0.0 if warm else was)
        for i in range(n):
            off = (hot[i] > 0.0) | (tripped[i] > 0.0) | (stuck[i] >= 2.0)
            floor[i] = 1.0 if (heating[i] > 0.0) | (stuck[i] == 1.0) else 0.0
            ceiling[i] = 0.0 if off else 1.0
        set_load_targets(c, x, k, p, q, a, n, t_us)


@compiled
def begin_second(
    c: Any,
    e: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    profiles: Any,
    fault_i: Any,
    fault_f: Any,
    charger_phase: Any,
    n: int,
    t_us: int,
) -> None:
    """Begin the second at ``t_us``: profiles, faults, the mesh, watchdogs, thermostats, cars."""
    _load_profiles(c, x, k, profiles, n, t_us)
    if fault_f.shape[0] > 0:
        _load_faults(c, x, fault_i, fault_f, n, t_us)
    bad, keys = x[c.mesh_bad], k[c.key]
    second, leave_good, leave_bad = t_us // SECOND_US, e.leave_good, e.leave_bad
    for i in range(n):
        bad[i] = next_mesh_state(keys[i], second, bad[i], leave_good, leave_bad)
    _watchdogs(c, e, x, k, p, n, t_us)
    _thermostats(c, x, k, p, q, n, t_us)
    follow_sessions(c, x, k, p, q, charger_phase, n, t_us)
    peak, unit = p[c.pv_peak_w], x[c.pv_unit]
    limit, available = p[c.pv_inverter_w], x[c.pv_available_w]
    for i in range(n):
        available[i] = min(peak[i] * unit[i], limit[i])


@compiled
def move_tanks(
    c: Any, x: Any, k: Any, p: Any, profiles: Any, draws: Any, n: int, t_us: int
) -> None:
    """Fully mixed tanks over the second that ends: heat in, standing loss, draw.

    A draw is served in full while the tank is at its comfort temperature or above, and in
    proportion to (T − cold) below it; what is missing is unserved. No draw cools below the mains.
    """
    second, last = t_us // SECOND_US - 1, profiles.shape[1] - 1
    for i in range(n):
        now = profiles[k[c.profile, i], min(k[c.profile_row, i] + second, last)]
        for a in range(c.loads):
            draws[a * TILE + i] = now[7 + a]
    for a in range(c.loads):
        heat, mark = x[c.load_j + a], x[c.load_mark_j + a]
        temperature, draw = x[c.temperature_c + a], draws[a * TILE : (a + 1) * TILE]
        delivered, unserved = x[c.delivered_j + a], x[c.unserved_j + a]
        capacity, loss, ambient = p[c.heat_j_per_k + a], p[c.loss_w_per_k + a], p[c.ambient_c + a]
        cold, comfort = p[c.cold_c + a], p[c.comfort_c + a]
        for i in range(n):
            gained_j = heat[i] - mark[i]
            mark[i] = heat[i]
            tank = capacity[i] > 0.0
            now = temperature[i]
            part = min(max((now - cold[i]) / (comfort[i] - cold[i]), 0.0), 1.0)
            drawn_j = min(draw[i] * part, max(now - cold[i], 0.0) * capacity[i])
            leak_j = loss[i] * (now - ambient[i])
            after = now + (gained_j - leak_j - drawn_j) / (capacity[i] if tank else 1.0)
            temperature[i] = after if tank else now
            delivered[i] += drawn_j if tank else 0.0
            unserved[i] += draw[i] - drawn_j if tank else 0.0


@compiled
def report_loads(c: Any, e: Any, x: Any, k: Any, latency_us: Any, n: int, t_us: int) -> None:
    """Each load reports its mean power, all of them a little apart within the period."""
    period_s = e.report_period_us // SECOND_US
    for a in range(c.loads):
        if (t_us // SECOND_US + a) % period_s != 0:
            continue
        for i in range(n):
            energy_j = x[c.load_j + a, i] - x[c.report_mark_j + a, i]
            x[c.report_mark_j + a, i] = x[c.load_j + a, i]
            loss = e.loss_bad if x[c.mesh_bad, i] > 0.0 else e.loss_good
            counter = (t_us // SECOND_US << 8) + a
            took = message(k[c.key, i], STREAM_REPORT, counter, loss, 0.0, latency_us)
            if took < 0 or x[c.stuck + a, i] >= 3.0:
                continue
            x[c.report_old_w + a, i] = x[c.report_new_w + a, i]
            k[c.report_us + a, i] = k[c.report_next_us + a, i]
            x[c.report_new_w + a, i] = energy_j / min(period_s, t_us // SECOND_US)
            k[c.report_next_us + a, i] = t_us + min(e.report_latency_us + took, e.report_period_us)
