"""What moves on every sub-step: ramps, powers, energies."""

from __future__ import annotations

from typing import Any

from ..compiled import compiled


@compiled
def move_battery(c: Any, x: Any, p: Any, n: int) -> None:
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
def add_pv(c: Any, x: Any, p: Any, n: int) -> None:
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
        highest = va[i] if sa[i] > 0.0 else 0.0
        highest = max(highest, vb[i] if sb[i] > 0.0 else 0.0)
        highest = max(highest, vc[i] if sc[i] > 0.0 else 0.0)
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
def add_loads(c: Any, x: Any, p: Any, load_phase: Any, n: int) -> None:
    """Ramp each load towards its target; its power is proportional to the voltage squared.

    A contact that opens (thermostat, cut-out, failure) sets the ceiling to 0 and knows no ramp.
    """
    dt_s = c.step_s
    for a in range(c.loads):
        target, duty, step = x[c.target + a], x[c.duty + a], p[c.ramp + a]
        factor, energy, ceiling = p[c.w_per_v2 + a], x[c.load_j + a], x[c.ceiling + a]
        volts, p_w = x[c.v + load_phase[a]], x[c.p_w + load_phase[a]]
        for i in range(n):
            now = duty[i]
            now = min(max(target[i], now - step[i]), now + step[i], ceiling[i])
            duty[i] = now
            power = now * factor[i] * (volts[i] * volts[i])
            p_w[i] += power
            energy[i] += power * dt_s


@compiled
def add_chargers(c: Any, x: Any, p: Any, charger_phase: Any, n: int) -> None:
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
def account(c: Any, x: Any, n: int) -> None:
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
