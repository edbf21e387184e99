"""The compiled kernel of the export plant: sites in, sites a while later out.

Time runs over a fixed grid of sub-steps (0.2 s). A sub-step lets due commands act, moves ramps,
sums powers, solves the supply and adds up energies. At whole seconds profiles, draws, tanks,
thermostats, sessions, watchdogs and the channel's state move on. Every call continues where the
last one ended, whatever the size of the steps, so N = 1 in a bench and N = 4096 in training give
the same bits. Inner loops run over instances; nothing in them depends on the number of instances.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import compiled, compiled_parallel, prange
from ..edge.channel import message, next_mesh_state
from ..edge.random import STREAM_REPORT
from .devices import apply_due, follow_sessions, set_load_target
from .layout import (
    FAULT_LOAD_STUCK_OFF,
    FAULT_LOAD_STUCK_ON,
    FAULT_LOAD_VANISHED,
    SECOND_US,
)
from .metering import mark_window, take_sample
from .network import solve_voltages
from .tracing import write_row

TILE = 64
"""Instances that one thread moves at a time: their state stays in the core's cache."""


@compiled
def _load_profiles(c: Any, x: Any, k: Any, profiles: Any, i0: int, i1: int, t_us: int) -> None:
    second = t_us // SECOND_US
    last = profiles.shape[1] - 1
    for i in range(i0, i1):
        now = profiles[k[c.profile, i], min(k[c.profile_row, i] + second, last)]
        x[c.pv_unit, i] = now[0]
        for f in range(3):
            x[c.house_w + f, i] = now[1 + f]
            x[c.house_var + f, i] = now[4 + f]
        for a in range(c.loads):
            x[c.draw_w + a, i] = now[7 + a]


@compiled
def _load_faults(
    c: Any, x: Any, fault_i: Any, fault_f: Any, i0: int, i1: int, t_us: int
) -> None:
    """Set row ``stuck``: 0 none, 1 on, 2 off, 3 vanished."""
    for a in range(c.loads):
        x[c.stuck + a, i0:i1] = 0.0
    for f in range(fault_f.shape[0]):
        for i in range(i0, i1):
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
def _watchdogs(c: Any, e: Any, x: Any, k: Any, p: Any, i0: int, i1: int, t_us: int) -> None:
    if e.watchdog_us < 0:
        return
    for a in range(c.actuators):
        received, tripped = k[c.received_us + a, i0:i1], x[c.watchdog + a, i0:i1]
        setpoint, safe = x[c.setpoint_w + a, i0:i1], p[c.safe_w + a, i0:i1]
        for i in range(i1 - i0):
            expired = t_us - received[i] >= e.watchdog_us
            tripped[i] = 1.0 if expired else tripped[i]
            setpoint[i] = safe[i] if expired else setpoint[i]


@compiled
def _thermostats(c: Any, x: Any, k: Any, p: Any, q: Any, i0: int, i1: int, t_us: int) -> None:
    """Set what each load may and must do this second, and its target."""
    for a in range(c.loads):
        temperature, stuck = x[c.temperature_c + a, i0:i1], x[c.stuck + a, i0:i1]
        hot, tripped = x[c.hot + a, i0:i1], x[c.tripped + a, i0:i1]
        heating, autonomous = x[c.heating + a, i0:i1], p[c.autonomous + a, i0:i1]
        floor, ceiling = x[c.floor + a, i0:i1], x[c.ceiling + a, i0:i1]
        top, reopen = p[c.thermostat_c + a, i0:i1], p[c.reopen_k + a, i0:i1]
        cut_out, comfort = p[c.cut_out_c + a, i0:i1], p[c.comfort_c + a, i0:i1]
        has_tank = p[c.heat_j_per_k + a, i0:i1]
        for i in range(i1 - i0):
            now = temperature[i]
            tank = has_tank[i] > 0.0
            over = tank and now >= top[i]
            under = now <= top[i] - reopen[i]
            hot[i] = 1.0 if over else (0.0 if under else hot[i])
            tripped[i] = 1.0 if (tank and now >= cut_out[i]) else tripped[i]
            cold = tank and autonomous[i] > 0.0 and now < comfort[i]
            warm = now >= comfort[i] + reopen[i]
            heating[i] = 1.0 if cold else (0.0 if warm else heating[i])
            off = hot[i] > 0.0 or tripped[i] > 0.0 or stuck[i] >= 2.0
            floor[i] = 1.0 if (heating[i] > 0.0 or stuck[i] == 1.0) else 0.0
            ceiling[i] = 0.0 if off else 1.0
        for i in range(i0, i1):
            set_load_target(c, x, k, p, q, a, i, t_us)


@compiled
def _begin_second(
    c: Any, e: Any, x: Any, k: Any, p: Any, q: Any, profiles: Any, fault_i: Any, fault_f: Any,
    charger_phase: Any, i0: int, i1: int, t_us: int,
) -> None:  # fmt: skip
    _load_profiles(c, x, k, profiles, i0, i1, t_us)
    if fault_f.shape[0] > 0:
        _load_faults(c, x, fault_i, fault_f, i0, i1, t_us)
    for i in range(i0, i1):
        x[c.mesh_bad, i] = next_mesh_state(
            k[c.key, i], t_us // SECOND_US, x[c.mesh_bad, i], e.leave_good, e.leave_bad
        )
    _watchdogs(c, e, x, k, p, i0, i1, t_us)
    _thermostats(c, x, k, p, q, i0, i1, t_us)
    follow_sessions(c, x, k, p, q, charger_phase, i0, i1, t_us)
    peak, unit = p[c.pv_peak_w, i0:i1], x[c.pv_unit, i0:i1]
    limit, available = p[c.pv_inverter_w, i0:i1], x[c.pv_available_w, i0:i1]
    for i in range(i1 - i0):
        available[i] = min(peak[i] * unit[i], limit[i])


@compiled
def _move_battery(c: Any, x: Any, p: Any, i0: int, i1: int) -> None:
    """Move the battery's power towards zero net grid power, or towards its set-point."""
    dt_s = c.step_s
    command = c.setpoint_w + max(c.battery_actuator, 0)
    for i in range(i0, i1):
        now_w = x[c.battery_w, i]
        if p[c.battery_local, i] > 0.0:
            net_w = x[c.p_w, i] + x[c.p_w + 1, i] + x[c.p_w + 2, i]
            wanted_w = now_w + net_w * p[c.battery_gain, i]
        else:
            wanted_w = now_w + (x[command, i] - now_w) * p[c.battery_gain, i]
        wanted_w = min(
            max(wanted_w, -p[c.battery_max_charge_w, i]), p[c.battery_max_discharge_w, i]
        )
        stored_j = x[c.battery_j, i]
        out, into = p[c.battery_discharge_efficiency, i], p[c.battery_charge_efficiency, i]
        can_give_w = max(stored_j - p[c.battery_low_j, i], 0.0) * out / dt_s
        can_take_w = max(p[c.battery_high_j, i] - stored_j, 0.0) / into / dt_s
        wanted_w = max(min(wanted_w, can_give_w), -can_take_w)
        x[c.battery_w, i] = wanted_w
        given_j, taken_j = max(wanted_w, 0.0) * dt_s, max(-wanted_w, 0.0) * dt_s
        x[c.battery_j, i] = stored_j + taken_j * into - given_j / out
        x[c.battery_discharge_j, i] += given_j
        x[c.battery_charge_j, i] += taken_j


@compiled
def _add_pv(c: Any, x: Any, p: Any, i0: int, i1: int) -> None:
    """PV power under inverter limit, volt-watt curve and commanded limit."""
    va, vb, vc = x[c.v, i0:i1], x[c.v + 1, i0:i1], x[c.v + 2, i0:i1]
    sa, sb, sc = p[c.pv_share, i0:i1], p[c.pv_share + 1, i0:i1], p[c.pv_share + 2, i0:i1]
    cap, out, available = x[c.pv_cap_w, i0:i1], x[c.pv_w, i0:i1], x[c.pv_available_w, i0:i1]
    inverter, tan_phi = p[c.pv_inverter_w, i0:i1], p[c.pv_tan_phi, i0:i1]
    start, end = p[c.volt_watt_start_v, i0:i1], p[c.volt_watt_end_v, i0:i1]
    gain = p[c.volt_watt_gain, i0:i1]
    pv_j, available_j = x[c.pv_j, i0:i1], x[c.pv_available_j, i0:i1]
    limited = c.pv_actuator >= 0
    command = x[c.setpoint_w + max(c.pv_actuator, 0), i0:i1]
    dt_s = c.step_s
    for i in range(i1 - i0):
        highest = max(
            max(va[i] if sa[i] > 0.0 else 0.0, vb[i] if sb[i] > 0.0 else 0.0),
            vc[i] if sc[i] > 0.0 else 0.0,
        )
        part = min(max((end[i] - highest) / (end[i] - start[i]), 0.0), 1.0)
        cap[i] += (part * inverter[i] - cap[i]) * gain[i]
        power = min(available[i], cap[i])
        if limited:
            power = min(power, max(command[i], 0.0))
        out[i] = power
        pv_j[i] += power * dt_s
        available_j[i] += available[i] * dt_s
    for f in range(3):
        share, p_w, q_var = p[c.pv_share + f, i0:i1], x[c.p_w + f, i0:i1], x[c.q_var + f, i0:i1]
        battery, part = x[c.battery_w, i0:i1], p[c.battery_share + f, i0:i1]
        house, house_q = x[c.house_w + f, i0:i1], x[c.house_var + f, i0:i1]
        house_j = x[c.house_j + f, i0:i1]
        for i in range(i1 - i0):
            p_w[i] = house[i] - share[i] * out[i] - part[i] * battery[i]
            q_var[i] = house_q[i] + share[i] * out[i] * tan_phi[i]
            house_j[i] += house[i] * dt_s


@compiled
def _add_loads(c: Any, x: Any, p: Any, load_phase: Any, i0: int, i1: int) -> None:
    """Ramp each load towards its target; its power is proportional to the voltage squared."""
    dt_s = c.step_s
    for a in range(c.loads):
        target, duty, step = x[c.target + a, i0:i1], x[c.duty + a, i0:i1], p[c.ramp + a, i0:i1]
        factor, energy = p[c.w_per_v2 + a, i0:i1], x[c.load_j + a, i0:i1]
        volts, p_w = x[c.v + load_phase[a], i0:i1], x[c.p_w + load_phase[a], i0:i1]
        for i in range(i1 - i0):
            now = duty[i]
            now = min(max(target[i], now - step[i]), now + step[i])
            duty[i] = now
            power = now * factor[i] * (volts[i] * volts[i])
            p_w[i] += power
            energy[i] += power * dt_s


@compiled
def _add_chargers(c: Any, x: Any, p: Any, charger_phase: Any, i0: int, i1: int) -> None:
    """Ramp each charger's current; it stops when the car has what it wanted."""
    dt_s = c.step_s
    for j in range(c.chargers):
        first, last = (0, 3) if charger_phase[j] == 3 else (charger_phase[j], charger_phase[j] + 1)
        for i in range(i0, i1):
            step = p[c.charger_ramp_a + j, i]
            now = x[c.charger_a + j, i]
            now = min(max(x[c.charger_target_a + j, i], now - step), now + step)
            volts = 0.0
            for f in range(first, last):
                volts += x[c.v + f, i]
            left_w = (x[c.wanted_j + j, i] - x[c.session_j + j, i]) / dt_s
            power = max(min(now * volts, left_w), 0.0)
            now = power / volts
            x[c.charger_a + j, i] = now
            for f in range(first, last):
                x[c.p_w + f, i] += now * x[c.v + f, i]
            x[c.charger_j + j, i] += power * dt_s
            x[c.session_j + j, i] += power * dt_s


@compiled
def _account(c: Any, x: Any, i0: int, i1: int) -> None:
    """Add up energies by both metering rules, and what the means are made of."""
    dt_s = c.step_s
    for f in range(3):
        p_w, q_var = x[c.p_w + f, i0:i1], x[c.q_var + f, i0:i1]
        bought, sold = x[c.import_j + f, i0:i1], x[c.export_j + f, i0:i1]
        reactive, volt_seconds = x[c.reactive_js + f, i0:i1], x[c.voltage_vs + f, i0:i1]
        vr, vi, v = x[c.vr + f, i0:i1], x[c.vi + f, i0:i1], x[c.v + f, i0:i1]
        for i in range(i1 - i0):
            bought[i] += max(p_w[i], 0.0) * dt_s
            sold[i] += max(-p_w[i], 0.0) * dt_s
            reactive[i] += q_var[i] * dt_s
            v[i] = np.sqrt(vr[i] * vr[i] + vi[i] * vi[i])
            volt_seconds[i] += v[i] * dt_s
    pa, pb, pc = x[c.p_w, i0:i1], x[c.p_w + 1, i0:i1], x[c.p_w + 2, i0:i1]
    net_bought, net_sold = x[c.net_import_j, i0:i1], x[c.net_export_j, i0:i1]
    for i in range(i1 - i0):
        net = pa[i] + pb[i] + pc[i]
        net_bought[i] += max(net, 0.0) * dt_s
        net_sold[i] += max(-net, 0.0) * dt_s


@compiled
def _move_tanks(c: Any, x: Any, p: Any, i0: int, i1: int) -> None:
    """Fully mixed tanks over the second that ends: heat in, standing loss, draw.

    A draw is served in full while the tank is at its comfort temperature or above, and in
    proportion to (T − cold) below it; what is missing is unserved. No draw cools below the mains.
    """
    for a in range(c.loads):
        heat, mark = x[c.load_j + a, i0:i1], x[c.load_mark_j + a, i0:i1]
        temperature, draw = x[c.temperature_c + a, i0:i1], x[c.draw_w + a, i0:i1]
        lost, delivered = x[c.lost_j + a, i0:i1], x[c.delivered_j + a, i0:i1]
        unserved, capacity = x[c.unserved_j + a, i0:i1], p[c.heat_j_per_k + a, i0:i1]
        loss, ambient = p[c.loss_w_per_k + a, i0:i1], p[c.ambient_c + a, i0:i1]
        cold, comfort = p[c.cold_c + a, i0:i1], p[c.comfort_c + a, i0:i1]
        for i in range(i1 - i0):
            gained_j = heat[i] - mark[i]
            mark[i] = heat[i]
            tank = capacity[i] > 0.0
            now = temperature[i]
            part = min(max((now - cold[i]) / (comfort[i] - cold[i]), 0.0), 1.0)
            drawn_j = min(draw[i] * part, max(now - cold[i], 0.0) * capacity[i])
            leak_j = loss[i] * (now - ambient[i])
            after = now + (gained_j - leak_j - drawn_j) / (capacity[i] if tank else 1.0)
            temperature[i] = after if tank else now
            lost[i] += leak_j if tank else gained_j
            delivered[i] += drawn_j if tank else 0.0
            unserved[i] += draw[i] - drawn_j if tank else 0.0


@compiled
def _report_loads(
    c: Any, e: Any, x: Any, k: Any, latency_us: Any, i0: int, i1: int, t_us: int
) -> None:
    """Each load reports its mean power, all of them a little apart within the period."""
    period_s = e.report_period_us // SECOND_US
    for a in range(c.loads):
        if (t_us // SECOND_US + a) % period_s != 0:
            continue
        for i in range(i0, i1):
            energy_j = x[c.load_j + a, i] - x[c.report_mark_j + a, i]
            x[c.report_mark_j + a, i] = x[c.load_j + a, i]
            loss = e.loss_bad if x[c.mesh_bad, i] > 0.0 else e.loss_good
            counter = (t_us // SECOND_US << 8) + a
            took = message(k[c.key, i], STREAM_REPORT, counter, loss, 0.0, latency_us)
            if took < 0 or x[c.stuck + a, i] >= 3.0:
                continue
            x[c.report_old_w + a, i] = x[c.report_new_w + a, i]
            k[c.report_us + a, i] = k[c.report_next_us + a, i]
            x[c.report_new_w + a, i] = energy_j / period_s
            k[c.report_next_us + a, i] = t_us + min(
                e.report_latency_us + took, e.report_period_us
            )


@compiled
def _advance_tile(
    c: Any, e: Any, x: Any, k: Any, p: Any, q: Any, profiles: Any, latency_us: Any,
    fault_i: Any, fault_f: Any, load_phase: Any, charger_phase: Any, trace: Any,
    i0: int, i1: int, from_us: int, to_us: int,
) -> None:  # fmt: skip
    t_us = from_us
    while t_us < to_us:
        if t_us % SECOND_US == 0:
            _begin_second(
                c, e, x, k, p, q, profiles, fault_i, fault_f, charger_phase, i0, i1, t_us
            )
        apply_due(c, x, k, p, q, charger_phase, i0, i1, t_us)
        if c.battery > 0:
            _move_battery(c, x, p, i0, i1)
        _add_pv(c, x, p, i0, i1)
        _add_loads(c, x, p, load_phase, i0, i1)
        if c.chargers > 0:
            _add_chargers(c, x, p, charger_phase, i0, i1)
        solve_voltages(c, x, p, i0, i1)
        _account(c, x, i0, i1)
        t_us += e.step_us
        if t_us % SECOND_US == 0:
            _move_tanks(c, x, p, i0, i1)
            if e.report_period_us > 0:
                _report_loads(c, e, x, k, latency_us, i0, i1, t_us)
            if trace.shape[0] > 0:
                write_row(c, x, p, trace, t_us // SECOND_US - 1)
        if t_us % e.period_us == 0:
            take_sample(c, e, x, k, fault_i, fault_f, i0, i1, t_us)
        if (t_us + e.window_us) % e.period_us == 0:
            mark_window(c, x, i0, i1)


@compiled
def advance_one(
    rows: Any, edge: Any, x: Any, k: Any, p: Any, q: Any, profiles: Any, latency_us: Any,
    fault_i: Any, fault_f: Any, load_phase: Any, charger_phase: Any, trace: Any,
    from_us: int, to_us: int,
) -> None:
    """Advance all instances in this thread from one grid time to another.

    ``trace`` gets a row for each second of instance 0; give it no rows to trace nothing.
    """  # fmt: skip
    _advance_tile(
        rows[0], edge[0], x, k, p, q, profiles, latency_us, fault_i, fault_f, load_phase,
        charger_phase, trace, 0, x.shape[1], from_us, to_us,
    )  # fmt: skip


@compiled_parallel
def advance_many(
    rows: Any, edge: Any, x: Any, k: Any, p: Any, q: Any, profiles: Any, latency_us: Any,
    fault_i: Any, fault_f: Any, load_phase: Any, charger_phase: Any, trace: Any,
    from_us: int, to_us: int,
) -> None:
    """Advance a batch, tile by tile over the cores. Same results as :func:`advance_one`."""  # fmt: skip
    n = x.shape[1]
    tiles = (n + TILE - 1) // TILE
    for tile in prange(tiles):
        i0 = tile * TILE
        _advance_tile(
            rows[0], edge[0], x, k, p, q, profiles, latency_us, fault_i, fault_f, load_phase,
            charger_phase, trace, i0, min(i0 + TILE, n), from_us, to_us,
        )  # fmt: skip
