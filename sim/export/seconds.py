"""What moves on once a second: profiles, faults, watchdogs, thermostats, tanks, reports."""

from __future__ import annotations

from typing import Any

from ..compiled import compiled
from ..edge.channel import message, next_mesh_state
from ..edge.random import STREAM_REPORT
from .devices import follow_sessions, load_duty, set_load_targets
from .layout import (
    FAULT_LOAD_STUCK_OFF,
    FAULT_LOAD_STUCK_ON,
    FAULT_LOAD_VANISHED,
    FLAG_CUT_OUT,
    FLAG_HEATING,
    FLAG_STUCK_OFF,
    FLAG_STUCK_ON,
    FLAG_THERMOSTAT,
    FLAG_VANISHED,
    FLAGS_FAULT,
    SECOND_US,
)
from .work import CONCERNED, DRAWS, FOUND, HEAT, HOUSE_VAR, HOUSE_W, MOVED, PV_AVAILABLE, tile_row


@compiled
def load_profiles(c: Any, x: Any, k: Any, p: Any, w: Any, profiles: Any, n: int, t_us: int) -> None:
    """Fill the work array with what the household takes and the sun gives at ``t_us``."""
    _, rows, width = profiles.shape
    second, values, found = t_us // SECOND_US, profiles.reshape(-1), tile_row(w, FOUND, 0)
    profile, first = k[c.profile], k[c.profile_row]
    for i in range(n):
        found[i] = (profile[i] * rows + min(first[i] + second, rows - 1)) * width
    peak, limit, available = p[c.pv_peak_w], p[c.pv_inverter_w], tile_row(w, PV_AVAILABLE, 0)
    for i in range(n):
        available[i] = min(peak[i] * values[int(found[i])], limit[i])
    for f in range(3):
        house_w, house_var = tile_row(w, HOUSE_W, f), tile_row(w, HOUSE_VAR, f)
        for i in range(n):
            start = int(found[i])
            house_w[i] = values[start + 1 + f]
            house_var[i] = values[start + 4 + f]


@compiled
def _load_faults(c: Any, k: Any, fault_i: Any, fault_f: Any, n: int, t_us: int) -> None:
    """Set what of its flags each load has from faults; of several the last one holds."""
    for a in range(c.loads):
        for i in range(n):
            k[c.flags + a, i] &= ~FLAGS_FAULT
    for f in range(fault_f.shape[0]):
        for i in range(n):
            kind = fault_i[4 * f, i]
            if not fault_i[4 * f + 2, i] <= t_us < fault_i[4 * f + 3, i]:
                continue
            flag = 0
            if kind == FAULT_LOAD_STUCK_ON:
                flag = FLAG_STUCK_ON
            elif kind == FAULT_LOAD_STUCK_OFF:
                flag = FLAG_STUCK_OFF
            elif kind == FAULT_LOAD_VANISHED:
                flag = FLAG_VANISHED
            if flag != 0:
                row = c.flags + fault_i[4 * f + 1, i]
                k[row, i] = (k[row, i] & ~FLAGS_FAULT) | flag


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
def _thermostats(c: Any, x: Any, k: Any, p: Any, q: Any, w: Any, n: int, t_us: int) -> None:
    """Set what each load may and must do this second, and its target."""
    for a in range(c.loads):
        temperature, flags = x[c.temperature_c + a], k[c.flags + a]
        top, reopen = p[c.thermostat_c + a], p[c.reopen_k + a]
        cut_out, comfort = p[c.cut_out_c + a], p[c.comfort_c + a]
        autonomous, has_tank = p[c.autonomous + a], p[c.heat_j_per_k + a]
        setpoint, rated, target = x[c.setpoint_w + a], p[c.rated_w + a], x[c.target + a]
        differs, count = tile_row(w, CONCERNED, 0), 0
        # Loads before selects, & and | instead of short-circuits: so the loop vectorises.
        for i in range(n):
            was, now_c, top_c, low_c = flags[i], temperature[i], top[i], comfort[i]
            tank = has_tank[i] > 0.0
            hot = 0 if now_c <= top_c - reopen[i] else was & FLAG_THERMOSTAT
            hot = FLAG_THERMOSTAT if tank & (now_c >= top_c) else hot
            tripped = FLAG_CUT_OUT if tank & (now_c >= cut_out[i]) else was & FLAG_CUT_OUT
            heating = 0 if now_c >= low_c + reopen[i] else was & FLAG_HEATING
            cold = tank & (autonomous[i] > 0.0) & (now_c < low_c)
            heating = FLAG_HEATING if cold else heating
            now = (was & FLAGS_FAULT) | hot | tripped | heating
            flags[i] = now
            other = load_duty(setpoint[i], rated[i], now) != target[i]
            differs[i] = 1.0 if other else 0.0
            count += 1 if other else 0
        # A target that already is what is wanted stays, whatever its minimum times.
        if count > 0:
            set_load_targets(c, x, k, p, q, w, a, n, t_us)


@compiled
def begin_second(
    c: Any,
    e: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    w: Any,
    profiles: Any,
    fault_i: Any,
    fault_f: Any,
    charger_phase: Any,
    n: int,
    t_us: int,
) -> None:
    """Begin the second at ``t_us``: profiles, faults, the mesh, watchdogs, thermostats, cars."""
    load_profiles(c, x, k, p, w, profiles, n, t_us)
    if fault_f.shape[0] > 0:
        _load_faults(c, k, fault_i, fault_f, n, t_us)
    bad, keys = x[c.mesh_bad], k[c.key]
    second, leave_good, leave_bad = t_us // SECOND_US, e.leave_good, e.leave_bad
    for i in range(n):
        bad[i] = next_mesh_state(keys[i], second, bad[i], leave_good, leave_bad)
    _watchdogs(c, e, x, k, p, n, t_us)
    _thermostats(c, x, k, p, q, w, n, t_us)
    follow_sessions(c, x, k, p, q, w, charger_phase, n, t_us)


@compiled
def _draws(c: Any, w: Any, profiles: Any, n: int) -> None:
    """Gather what is drawn from each tank in the second that ends, in J, from the profiles."""
    values, found = profiles.reshape(-1), tile_row(w, FOUND, 0)
    for a in range(c.loads):
        draw = tile_row(w, DRAWS, a)
        for i in range(n):
            draw[i] = values[int(found[i]) + 7 + a]


@compiled
def _heat(c: Any, x: Any, p: Any, w: Any, load_phase: Any, a: int, n: int) -> None:
    """Book what load ``a`` has used in the second that ends; leave it in the work array."""
    heat, duty, factor = tile_row(w, HEAT, a), x[c.duty + a], p[c.w_per_v2 + a]
    square = x[c.square_vs + load_phase[a]]
    if w[MOVED + a] > 0.0:
        moved_v2s, moved_j = x[c.moved_v2s + a], x[c.moved_j + a]
        for i in range(n):
            heat[i] = moved_j[i] + duty[i] * factor[i] * (square[i] - moved_v2s[i])
            moved_v2s[i] = 0.0
            moved_j[i] = 0.0
        w[MOVED + a] = 0.0
    else:
        # The same in bits: moved_j and moved_v2s are 0.
        for i in range(n):
            heat[i] = duty[i] * factor[i] * square[i]


@compiled
def move_tanks(c: Any, x: Any, p: Any, w: Any, profiles: Any, load_phase: Any, n: int) -> None:
    """Fully mixed tanks over the second that ends: heat in, standing loss, draw.

    A draw is served in full while the tank is at its comfort temperature or above, and in
    proportion to (T − cold) below it; what is missing is unserved. No draw cools below the mains.
    Row ``DRAWS`` of the work array then holds what was served.
    """
    _draws(c, w, profiles, n)
    for a in range(c.loads):
        _heat(c, x, p, w, load_phase, a, n)
        heat, draw = tile_row(w, HEAT, a), tile_row(w, DRAWS, a)
        temperature, unserved = x[c.temperature_c + a], x[c.unserved_j + a]
        capacity, loss, ambient = p[c.heat_j_per_k + a], p[c.loss_w_per_k + a], p[c.ambient_c + a]
        cold, comfort = p[c.cold_c + a], p[c.comfort_c + a]
        for i in range(n):
            j_per_k, wanted_j, now, cold_c = capacity[i], draw[i], temperature[i], cold[i]
            missing_j = unserved[i]
            tank = j_per_k > 0.0
            part = min(max((now - cold_c) / (comfort[i] - cold_c), 0.0), 1.0)
            drawn_j = min(wanted_j * part, max(now - cold_c, 0.0) * j_per_k)
            leak_j = loss[i] * (now - ambient[i])
            after = now + (heat[i] - leak_j - drawn_j) / (j_per_k if tank else 1.0)
            short_j = wanted_j - drawn_j
            temperature[i] = after if tank else now
            unserved[i] = missing_j + (short_j if tank else 0.0)
            draw[i] = drawn_j if tank else 0.0
    for f in range(3):
        square = x[c.square_vs + f]
        for i in range(n):
            square[i] = 0.0


@compiled
def report_loads(
    c: Any, e: Any, x: Any, k: Any, w: Any, latency_us: Any, n: int, t_us: int
) -> None:
    """Each load reports its mean power, all of them a little apart within the period."""
    period_s = e.report_period_us // SECOND_US
    for a in range(c.loads):
        used, heat = x[c.report_j + a], tile_row(w, HEAT, a)
        for i in range(n):
            used[i] += heat[i]
        if (t_us // SECOND_US + a) % period_s != 0:
            continue
        for i in range(n):
            energy_j = used[i]
            used[i] = 0.0
            loss = e.loss_bad if x[c.mesh_bad, i] > 0.0 else e.loss_good
            counter = (t_us // SECOND_US << 8) + a
            took = message(k[c.key, i], STREAM_REPORT, counter, loss, 0.0, latency_us)
            if took < 0 or (k[c.flags + a, i] & FLAG_VANISHED) != 0:
                continue
            x[c.report_old_w + a, i] = x[c.report_new_w + a, i]
            k[c.report_us + a, i] = k[c.report_next_us + a, i]
            x[c.report_new_w + a, i] = energy_j / min(period_s, t_us // SECOND_US)
            k[c.report_next_us + a, i] = t_us + min(e.report_latency_us + took, e.report_period_us)
