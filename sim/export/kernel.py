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
from ..edge.meter import METER_FIELDS
from ..edge.random import STREAM_REPORT
from .devices import apply_due, follow_sessions, send_tile, set_load_targets
from .layout import (
    FAULT_LOAD_STUCK_OFF,
    FAULT_LOAD_STUCK_ON,
    FAULT_LOAD_VANISHED,
    SECOND_US,
)
from .metering import mark_window, read_tile, take_sample
from .network import TILE, WORK, fill_work, solve_voltages
from .tracing import write_row


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
def _begin_second(
    c: Any, e: Any, x: Any, k: Any, p: Any, q: Any, profiles: Any, fault_i: Any, fault_f: Any,
    charger_phase: Any, n: int, t_us: int,
) -> None:  # fmt: skip
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
def _move_battery(c: Any, x: Any, p: Any, n: int) -> None:
    """Move the battery's power towards zero net grid power, or towards its set-point."""
    dt_s = c.step_s
    command = x[c.setpoint_w + max(c.battery_actuator, 0)]
    power, stored = x[c.battery_w], x[c.battery_j]
    pa, pb, pc = x[c.p_w], x[c.p_w + 1], x[c.p_w + 2]
    local, gain = p[c.battery_local], p[c.battery_gain]
    most_in, most_out = p[c.battery_max_charge_w], p[c.battery_max_discharge_w]
    into, out = p[c.battery_charge_efficiency], p[c.battery_discharge_efficiency]
    low, high = p[c.battery_low_j], p[c.battery_high_j]
    given, taken = x[c.battery_discharge_j], x[c.battery_charge_j]
    for i in range(n):
        now_w = power[i]
        net_w = pa[i] + pb[i] + pc[i]
        error_w = net_w if local[i] > 0.0 else command[i] - now_w
        wanted_w = now_w + error_w * gain[i]
        wanted_w = min(max(wanted_w, -most_in[i]), most_out[i])
        can_give_w = max(stored[i] - low[i], 0.0) * out[i] / dt_s
        can_take_w = max(high[i] - stored[i], 0.0) / into[i] / dt_s
        wanted_w = max(min(wanted_w, can_give_w), -can_take_w)
        power[i] = wanted_w
        given_j, taken_j = max(wanted_w, 0.0) * dt_s, max(-wanted_w, 0.0) * dt_s
        stored[i] += taken_j * into[i] - given_j / out[i]
        given[i] += given_j
        taken[i] += taken_j


@compiled
def _add_pv(c: Any, x: Any, p: Any, n: int) -> None:
    """PV power under inverter limit, volt-watt curve and commanded limit."""
    va, vb, vc = x[c.v], x[c.v + 1], x[c.v + 2]
    sa, sb, sc = p[c.pv_share], p[c.pv_share + 1], p[c.pv_share + 2]
    cap, out, available = x[c.pv_cap_w], x[c.pv_w], x[c.pv_available_w]
    inverter, tan_phi = p[c.pv_inverter_w], p[c.pv_tan_phi]
    start, end = p[c.volt_watt_start_v], p[c.volt_watt_end_v]
    gain = p[c.volt_watt_gain]
    pv_j, available_j = x[c.pv_j], x[c.pv_available_j]
    limited = c.pv_actuator >= 0
    command = x[c.setpoint_w + max(c.pv_actuator, 0)]
    dt_s = c.step_s
    for i in range(n):
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
        share, p_w, q_var = p[c.pv_share + f], x[c.p_w + f], x[c.q_var + f]
        battery, part = x[c.battery_w], p[c.battery_share + f]
        house, house_q = x[c.house_w + f], x[c.house_var + f]
        house_j = x[c.house_j + f]
        for i in range(n):
            p_w[i] = house[i] - share[i] * out[i] - part[i] * battery[i]
            q_var[i] = house_q[i] + share[i] * out[i] * tan_phi[i]
            house_j[i] += house[i] * dt_s


@compiled
def _add_loads(c: Any, x: Any, p: Any, load_phase: Any, n: int) -> None:
    """Ramp each load towards its target; its power is proportional to the voltage squared."""
    dt_s = c.step_s
    for a in range(c.loads):
        target, duty, step = x[c.target + a], x[c.duty + a], p[c.ramp + a]
        factor, energy = p[c.w_per_v2 + a], x[c.load_j + a]
        volts, p_w = x[c.v + load_phase[a]], x[c.p_w + load_phase[a]]
        for i in range(n):
            now = duty[i]
            now = min(max(target[i], now - step[i]), now + step[i])
            duty[i] = now
            power = now * factor[i] * (volts[i] * volts[i])
            p_w[i] += power
            energy[i] += power * dt_s


@compiled
def _add_chargers(c: Any, x: Any, p: Any, charger_phase: Any, n: int) -> None:
    """Ramp each charger's current; it stops when the car has what it wanted."""
    dt_s = c.step_s
    va, vb, vc = x[c.v], x[c.v + 1], x[c.v + 2]
    pa, pb, pc = x[c.p_w], x[c.p_w + 1], x[c.p_w + 2]
    for j in range(c.chargers):
        ramp, target = p[c.charger_ramp_a + j], x[c.charger_target_a + j]
        amperes, energy = x[c.charger_a + j], x[c.charger_j + j]
        wanted, session = x[c.wanted_j + j], x[c.session_j + j]
        phase = charger_phase[j]
        on_a = 1.0 if phase in (0, 3) else 0.0
        on_b = 1.0 if phase in (1, 3) else 0.0
        on_c = 1.0 if phase in (2, 3) else 0.0
        for i in range(n):
            now = amperes[i]
            now = min(max(target[i], now - ramp[i]), now + ramp[i])
            volts = on_a * va[i] + on_b * vb[i] + on_c * vc[i]
            left_w = (wanted[i] - session[i]) / dt_s
            power = max(min(now * volts, left_w), 0.0)
            now = power / volts
            amperes[i] = now
            pa[i] += on_a * now * va[i]
            pb[i] += on_b * now * vb[i]
            pc[i] += on_c * now * vc[i]
            energy[i] += power * dt_s
            session[i] += power * dt_s


@compiled
def _account(c: Any, x: Any, n: int) -> None:
    """Add up energies by both metering rules, and what the means are made of."""
    dt_s = c.step_s
    for f in range(3):
        p_w, q_var = x[c.p_w + f], x[c.q_var + f]
        bought, sold = x[c.import_j + f], x[c.export_j + f]
        reactive = x[c.reactive_js + f]
        for i in range(n):
            bought[i] += max(p_w[i], 0.0) * dt_s
            sold[i] += max(-p_w[i], 0.0) * dt_s
            reactive[i] += q_var[i] * dt_s
    pa, pb, pc = x[c.p_w], x[c.p_w + 1], x[c.p_w + 2]
    net_bought, net_sold = x[c.net_import_j], x[c.net_export_j]
    for i in range(n):
        net = pa[i] + pb[i] + pc[i]
        net_bought[i] += max(net, 0.0) * dt_s
        net_sold[i] += max(-net, 0.0) * dt_s


@compiled
def _move_tanks(
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
def _report_loads(c: Any, e: Any, x: Any, k: Any, latency_us: Any, n: int, t_us: int) -> None:
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
            x[c.report_new_w + a, i] = energy_j / period_s
            k[c.report_next_us + a, i] = t_us + min(e.report_latency_us + took, e.report_period_us)


@compiled
def advance_tile(
    c: Any, e: Any, x: Any, k: Any, p: Any, q: Any, profiles: Any, tables: Any,
    fault_i: Any, fault_f: Any, trace: Any, work: Any,
    n: int, from_us: int, to_us: int,
) -> None:  # fmt: skip
    """Advance one tile of ``n`` instances from one grid time to another.

    ``work`` [WORK + TILE · loads] is the thread's own; nothing in it outlives the call.

    ``trace`` [column, second] gets each second of instance 0; with no seconds nothing is traced.
    Rows ``reading`` then hold what a client reads at ``to_us``: a bench of one asks for it after
    every step, and a call of its own would cost more than the step.
    """
    load_phase = tables[c.load_phase : c.load_phase + c.loads]
    charger_phase = tables[c.charger_phase : c.charger_phase + c.chargers]
    latency_us = tables[c.latency_us :]
    t_us = from_us
    w, draws = work[:WORK], work[WORK:]
    fill_work(c, w, p, n)
    while t_us < to_us:
        if t_us % SECOND_US == 0:
            _begin_second(c, e, x, k, p, q, profiles, fault_i, fault_f, charger_phase, n, t_us)
        apply_due(c, x, k, p, q, charger_phase, n, t_us)
        if c.battery > 0:
            _move_battery(c, x, p, n)
        _add_pv(c, x, p, n)
        _add_loads(c, x, p, load_phase, n)
        if c.chargers > 0:
            _add_chargers(c, x, p, charger_phase, n)
        solve_voltages(c, x, w, n)
        _account(c, x, n)
        t_us += e.step_us
        if t_us % SECOND_US == 0:
            _move_tanks(c, x, k, p, profiles, draws, n, t_us)
            if e.report_period_us > 0:
                _report_loads(c, e, x, k, latency_us, n, t_us)
            if trace.shape[1] > 0:
                write_row(c, e, x, k, p, trace, t_us)
        if t_us % e.period_us == 0:
            take_sample(c, e, x, k, fault_i, fault_f, n, t_us)
        if (t_us + e.window_us) % e.period_us == 0:
            mark_window(c, x, n)
    read_tile(
        c, e, x, k, to_us, n, x[c.reading : c.reading + METER_FIELDS],
        k[c.reading_sampled_us], k[c.reading_published_us],
    )  # fmt: skip


@compiled_parallel
def advance_many(
    rows: Any,
    edge: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    profiles: Any,
    tables: Any,
    fault_i: Any,
    fault_f: Any,
    trace: Any,
    n: int,
    from_us: int,
    to_us: int,
) -> None:
    """Advance ``n`` instances, tile by tile over the cores; see :func:`advance_tile`.

    Matrices are [tile, row, lane]; ``p``, ``q`` and the faults may have one tile for all.
    """  # fmt: skip
    for index in prange(x.shape[0]):
        tile = int(np.int64(index))  # unsigned in a parallel loop: min() would give a float
        advance_tile(
            rows[0], edge[0], x[tile], k[tile], p[min(tile, p.shape[0] - 1)],
            q[min(tile, q.shape[0] - 1)], profiles, tables,
            fault_i[min(tile, fault_i.shape[0] - 1)], fault_f[min(tile, fault_f.shape[0] - 1)],
            trace, np.zeros(WORK + TILE * rows[0].loads), min(n - tile * TILE, TILE),
            from_us, to_us,
        )  # fmt: skip


@compiled_parallel
def send(
    rows: Any,
    edge: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    tables: Any,
    fault_i: Any,
    fault_f: Any,
    power_w: Any,
    mask: Any,
    n: int,
    t_us: int,
) -> None:
    """Broadcast ``power_w[actuator, instance]`` at ``t_us`` where ``mask[instance]`` is set."""  # fmt: skip
    for index in prange(x.shape[0]):
        tile = int(np.int64(index))
        send_tile(
            rows[0], edge[0], x[tile], k[tile], p[min(tile, p.shape[0] - 1)],
            q[min(tile, q.shape[0] - 1)], tables[rows[0].latency_us :],
            fault_i[min(tile, fault_i.shape[0] - 1)], fault_f[min(tile, fault_f.shape[0] - 1)],
            power_w, mask, t_us, tile * TILE, min(n - tile * TILE, TILE),
        )  # fmt: skip


@compiled
def read(
    rows: Any,
    edge: Any,
    x: Any,
    k: Any,
    n: int,
    t_us: int,
    values: Any,
    sampled_us: Any,
    published_us: Any,
) -> None:
    """Read each instance's meter at ``t_us`` into ``values[field, instance]`` and stamps."""  # fmt: skip
    for tile in range(x.shape[0]):
        first = tile * TILE
        last = min(first + TILE, n)
        read_tile(
            rows[0], edge[0], x[tile], k[tile], t_us, last - first,
            values[:, first:last], sampled_us[first:last], published_us[first:last],
        )  # fmt: skip
