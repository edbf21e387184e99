"""What moves on every sub-step: ramps, powers, energies."""

from __future__ import annotations

from typing import Any

from ..compiled import compiled
from .layout import FLAGS_OPEN
from .work import (
    CONDUCTANCE,
    HOUSE_VAR,
    HOUSE_W,
    MOVED,
    MOVING,
    POWER,
    PV_AVAILABLE,
    PV_POWER,
    REACTIVE,
    VOLTS,
    tile_row,
)


@compiled
def move_battery(c: Any, x: Any, p: Any, w: Any, n: int) -> None:
    """Move the battery's power towards zero net grid power, or towards its set-point."""
    dt_s = c.step_s
    command = x[c.setpoint_w + max(c.battery_actuator, 0)]
    power, stored = x[c.battery_w], x[c.battery_j]
    pa, pb, pc = tile_row(w, POWER, 0), tile_row(w, POWER, 1), tile_row(w, POWER, 2)
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
def add_pv(c: Any, x: Any, p: Any, w: Any, n: int) -> None:
    """PV power under inverter limit, volt-watt curve and commanded limit."""
    va, vb, vc = tile_row(w, VOLTS, 0), tile_row(w, VOLTS, 1), tile_row(w, VOLTS, 2)
    sa, sb, sc = p[c.pv_share], p[c.pv_share + 1], p[c.pv_share + 2]
    cap, out, available = x[c.pv_cap_w], tile_row(w, PV_POWER, 0), tile_row(w, PV_AVAILABLE, 0)
    inverter, tan_phi = p[c.pv_inverter_w], p[c.pv_tan_phi]
    start, end = p[c.volt_watt_start_v], p[c.volt_watt_end_v]
    gain = p[c.volt_watt_gain]
    pv_j, available_j = x[c.pv_j], x[c.pv_available_j]
    limited = c.pv_actuator >= 0
    command = x[c.setpoint_w + max(c.pv_actuator, 0)]
    dt_s = c.step_s
    # Loads before selects: so the loop vectorises.
    for i in range(n):
        volts_a, volts_b, volts_c, could_w = va[i], vb[i], vc[i], available[i]
        highest = volts_a if sa[i] > 0.0 else 0.0
        highest = max(highest, volts_b if sb[i] > 0.0 else 0.0)
        highest = max(highest, volts_c if sc[i] > 0.0 else 0.0)
        part = min(max((end[i] - highest) / (end[i] - start[i]), 0.0), 1.0)
        now_w = cap[i]
        now_w += (part * inverter[i] - now_w) * gain[i]
        cap[i] = now_w
        out[i] = min(could_w, now_w)
        available_j[i] += could_w * dt_s
    if limited:
        for i in range(n):
            out[i] = min(out[i], max(command[i], 0.0))
    for i in range(n):
        pv_j[i] += out[i] * dt_s
    for f in range(3):
        share, p_w, q_var = p[c.pv_share + f], tile_row(w, POWER, f), tile_row(w, REACTIVE, f)
        battery, part = x[c.battery_w], p[c.battery_share + f]
        house, house_q = tile_row(w, HOUSE_W, f), tile_row(w, HOUSE_VAR, f)
        for i in range(n):
            p_w[i] = house[i] - share[i] * out[i] - part[i] * battery[i]
            q_var[i] = house_q[i] + share[i] * out[i] * tan_phi[i]


@compiled
def settle_loads(c: Any, x: Any, p: Any, w: Any, load_phase: Any, n: int) -> None:
    """Note in the work array which loads are on a ramp, and what conducts on each phase."""
    for a in range(c.loads):
        target, duty = x[c.target + a], x[c.duty + a]
        moves = 0
        for i in range(n):
            moves += 1 if duty[i] != target[i] else 0
        w[MOVING + a] = 1.0 if moves > 0 else 0.0
    _sum_conductances(c, x, p, w, load_phase, n)


@compiled
def _sum_conductances(c: Any, x: Any, p: Any, w: Any, load_phase: Any, n: int) -> None:
    for f in range(3):
        sum_w_per_v2 = tile_row(w, CONDUCTANCE, f)
        for i in range(n):
            sum_w_per_v2[i] = 0.0
    for a in range(c.loads):
        sum_w_per_v2 = tile_row(w, CONDUCTANCE, load_phase[a])
        duty, factor = x[c.duty + a], p[c.w_per_v2 + a]
        for i in range(n):
            sum_w_per_v2[i] += duty[i] * factor[i]


@compiled
def _ramp(c: Any, x: Any, k: Any, p: Any, w: Any, phase: int, a: int, n: int) -> None:
    """Move load ``a`` towards its target; book what it has used at the duty that it leaves.

    A contact that opens (thermostat, cut-out, failure) knows no ramp.
    """
    target, duty, step = x[c.target + a], x[c.duty + a], p[c.ramp + a]
    flags, factor, square = k[c.flags + a], p[c.w_per_v2 + a], x[c.square_vs + phase]
    moved_v2s, moved_j = x[c.moved_v2s + a], x[c.moved_j + a]
    moves = 0
    for i in range(n):
        was, aim, since_v2s, so_far_v2s = duty[i], target[i], moved_v2s[i], square[i]
        now = min(max(aim, was - step[i]), was + step[i])
        now = 0.0 if (flags[i] & FLAGS_OPEN) != 0 else now
        used_j = was * factor[i] * (so_far_v2s - since_v2s)
        duty[i] = now
        moved_j[i] += used_j if now != was else 0.0
        moved_v2s[i] = so_far_v2s if now != was else since_v2s
        moves += 1 if now != aim else 0
    w[MOVING + a] = 1.0 if moves > 0 else 0.0
    w[MOVED + a] = 1.0


@compiled
def add_loads(c: Any, x: Any, k: Any, p: Any, w: Any, load_phase: Any, n: int) -> None:
    """Ramp loads towards their targets; their power is proportional to the voltage squared.

    Most loads rest most of the time. So what conducts on a phase is summed only when a load has
    moved, and what a load uses is booked when it moves and when the second ends (`seconds`).
    """
    moved = False
    for a in range(c.loads):
        if w[MOVING + a] > 0.0:
            _ramp(c, x, k, p, w, load_phase[a], a, n)
            moved = True
    if moved:
        _sum_conductances(c, x, p, w, load_phase, n)
    dt_s = c.step_s
    for f in range(3):
        volts, p_w, square = tile_row(w, VOLTS, f), tile_row(w, POWER, f), x[c.square_vs + f]
        sum_w_per_v2 = tile_row(w, CONDUCTANCE, f)
        for i in range(n):
            squared = volts[i] * volts[i]
            p_w[i] += sum_w_per_v2[i] * squared
            square[i] += squared * dt_s


@compiled
def add_chargers(c: Any, x: Any, p: Any, w: Any, charger_phase: Any, n: int) -> None:
    """Ramp each charger's current; it stops when the car has what it wanted."""
    dt_s = c.step_s
    va, vb, vc = tile_row(w, VOLTS, 0), tile_row(w, VOLTS, 1), tile_row(w, VOLTS, 2)
    pa, pb, pc = tile_row(w, POWER, 0), tile_row(w, POWER, 1), tile_row(w, POWER, 2)
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
def account(c: Any, x: Any, w: Any, n: int) -> None:
    """Add up energies by both metering rules, and what the means are made of."""
    dt_s = c.step_s
    for f in range(3):
        p_w, q_var = tile_row(w, POWER, f), tile_row(w, REACTIVE, f)
        bought, sold = x[c.import_j + f], x[c.export_j + f]
        reactive = x[c.reactive_js + f]
        for i in range(n):
            bought[i] += max(p_w[i], 0.0) * dt_s
            sold[i] += max(-p_w[i], 0.0) * dt_s
            reactive[i] += q_var[i] * dt_s
    pa, pb, pc = tile_row(w, POWER, 0), tile_row(w, POWER, 1), tile_row(w, POWER, 2)
    net_bought, net_sold = x[c.net_import_j], x[c.net_export_j]
    for i in range(n):
        net = pa[i] + pb[i] + pc[i]
        net_bought[i] += max(net, 0.0) * dt_s
        net_sold[i] += max(-net, 0.0) * dt_s
