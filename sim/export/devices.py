"""What commanded devices do: receive, wait, switch, ramp; and what they refuse."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..compiled import compiled
from ..edge.channel import (
    STATUS_COORDINATOR_DOWN,
    STATUS_SENT,
    STATUS_TABLE_FULL,
    message,
)
from ..edge.random import STREAM_ACK, STREAM_COMMAND
from .layout import (
    BROADCASTS,
    FAULT_BROADCAST_LOSS,
    FAULT_COORDINATOR_RESTART,
    FAULT_EXTRA_DELAY,
    FAULT_LOAD_VANISHED,
    QUEUE,
    SESSIONS,
)

FAR: Final = 1 << 62
NOMINAL_V: Final = 230.0
_COUNTER_SHIFT: Final = 32
"""Counter of a message's draw: sequence number above, actuator below."""


@compiled
def settle(
    wanted: float,
    before: float,
    relay: float,
    idle_us: int,
    min_on_us: int,
    min_off_us: int,
    refused: bool,
) -> tuple[float, float]:
    """Return (target, relay) of a switched device, obeying minimum on and off times.

    ``wanted`` is where the set-point would go, ``before`` the target up to now, ``idle_us`` the
    time since it last switched. A device that must stay on keeps its target, and does not stop
    half way up its ramp; one that must stay off stays off. ``refused`` (thermostat, cut-out,
    failure) opens the relay at once.
    """
    on = 1.0 if wanted > 0.0 else 0.0
    wait_us = min_on_us if relay > 0.0 else min_off_us
    moves = (on == relay) | (idle_us >= wait_us) | refused
    held = before if relay > 0.0 else 0.0
    return (wanted if moves else held), (on if moves else relay)


@compiled
def set_load_target(c: Any, x: Any, k: Any, p: Any, q: Any, a: int, i: int, t_us: int) -> None:
    """Recompute the duty that load ``a`` of instance ``i`` ramps to."""
    wanted = x[c.setpoint_w + a, i] / p[c.rated_w + a, i]
    ceiling = x[c.ceiling + a, i]
    wanted = min(max(wanted, x[c.floor + a, i]), ceiling)
    relay = x[c.relay + a, i]
    target, new = settle(
        wanted,
        x[c.target + a, i],
        relay,
        t_us - k[c.switched_us + a, i],
        q[c.min_on_us + a, i],
        q[c.min_off_us + a, i],
        ceiling <= 0.0,
    )
    x[c.target + a, i] = target
    if new != relay:
        x[c.relay + a, i] = new
        x[c.switchings + a, i] += 1.0
        k[c.switched_us + a, i] = t_us


@compiled
def set_load_targets(c: Any, x: Any, k: Any, p: Any, q: Any, a: int, n: int, t_us: int) -> None:
    """Do what :func:`set_load_target` does for a row of instances."""
    setpoint, rated = x[c.setpoint_w + a], p[c.rated_w + a]
    floor, ceiling = x[c.floor + a], x[c.ceiling + a]
    target, relay = x[c.target + a], x[c.relay + a]
    switched, switchings = k[c.switched_us + a], x[c.switchings + a]
    min_on, min_off = q[c.min_on_us + a], q[c.min_off_us + a]
    for i in range(n):
        wanted = min(max(setpoint[i] / rated[i], floor[i]), ceiling[i])
        was = relay[i]
        target[i], relay[i] = settle(
            wanted, target[i], was, t_us - switched[i], min_on[i], min_off[i], ceiling[i] <= 0.0
        )
        changed = relay[i] != was
        switchings[i] += 1.0 if changed else 0.0
        switched[i] = t_us if changed else switched[i]


@compiled
def set_charger_target(
    c: Any, x: Any, k: Any, p: Any, q: Any, charger_phase: Any, j: int, i: int, t_us: int
) -> None:
    """Recompute the current that charger ``j`` of instance ``i`` ramps to, in whole amperes."""
    u = c.loads + j
    phases = 3.0 if charger_phase[j] == 3 else 1.0
    amperes = np.floor(x[c.setpoint_w + u, i] / (NOMINAL_V * phases) + 1e-9)
    amperes = min(amperes, p[c.charger_max_a + j, i])
    done = x[c.session_j + j, i] >= x[c.wanted_j + j, i]
    refused = x[c.plugged + j, i] <= 0.0 or done
    if refused or amperes < p[c.charger_min_a + j, i]:
        amperes = 0.0
    relay = x[c.relay + u, i]
    target, new = settle(
        amperes,
        x[c.charger_target_a + j, i],
        relay,
        t_us - k[c.switched_us + u, i],
        q[c.min_on_us + u, i],
        q[c.min_off_us + u, i],
        refused,
    )
    x[c.charger_target_a + j, i] = target
    if new != relay:
        x[c.relay + u, i] = new
        x[c.switchings + u, i] += 1.0
        k[c.switched_us + u, i] = t_us


@compiled
def _pop(c: Any, x: Any, k: Any, a: int, i: int, t_us: int) -> None:
    n = k[c.queue_n + a, i]
    times, values = c.queue_us + a * QUEUE, c.queue_w + a * QUEUE
    while n > 0 and k[times, i] <= t_us:
        x[c.setpoint_w + a, i] = x[values, i]
        n -= 1
        for j in range(n):
            k[times + j, i] = k[times + j + 1, i]
            x[values + j, i] = x[values + j + 1, i]
    k[c.queue_n + a, i] = n
    k[c.next_us + a, i] = k[times, i] if n > 0 else FAR


@compiled
def apply_due(
    c: Any, x: Any, k: Any, p: Any, q: Any, charger_phase: Any, n: int, t_us: int
) -> None:
    """Let set-points whose dead time has passed take effect at the sub-step that begins."""
    for a in range(c.actuators):
        due = k[c.next_us + a]
        earliest = FAR
        for i in range(n):
            earliest = min(earliest, due[i])
        if earliest > t_us:
            continue
        for i in range(n):
            if due[i] <= t_us:
                _pop(c, x, k, a, i, t_us)
                if a < c.loads:
                    set_load_target(c, x, k, p, q, a, i, t_us)
                elif a < c.loads + c.chargers:
                    set_charger_target(c, x, k, p, q, charger_phase, a - c.loads, i, t_us)


@compiled
def enqueue(c: Any, x: Any, k: Any, a: int, i: int, effective_us: int, power_w: float) -> bool:
    """Queue a set-point; return whether the device had room for it.

    What was sent earlier but would act later is stale and dropped.
    """
    times, values = c.queue_us + a * QUEUE, c.queue_w + a * QUEUE
    n = k[c.queue_n + a, i]
    while n > 0 and k[times + n - 1, i] >= effective_us:
        n -= 1
    if n == QUEUE:
        return False
    k[times + n, i] = effective_us
    x[values + n, i] = power_w
    k[c.queue_n + a, i] = n + 1
    k[c.next_us + a, i] = k[times, i]
    return True


@compiled
def _fault_value(fault_i: Any, fault_f: Any, kind: int, target: int, i: int, t_us: int) -> float:
    """Return the sum of the values of active faults of a kind on a target (−1: any)."""
    total = 0.0
    for f in range(fault_f.shape[0]):
        if (
            fault_i[4 * f, i] == kind
            and (target < 0 or fault_i[4 * f + 1, i] == target)
            and fault_i[4 * f + 2, i] <= t_us < fault_i[4 * f + 3, i]
        ):
            total += fault_f[f, i]
    return total


@compiled
def _live_broadcasts(c: Any, e: Any, k: Any, fault_i: Any, fault_f: Any, i: int, t_us: int) -> int:
    live = 0
    for j in range(BROADCASTS):
        sent = k[c.broadcast_us + j, i]
        if t_us - sent >= e.table_us:
            continue
        kept = True
        for f in range(fault_f.shape[0]):
            # A restart in between has emptied the table.
            if (
                fault_i[4 * f, i] == FAULT_COORDINATOR_RESTART
                and sent <= fault_i[4 * f + 2, i] <= t_us
            ):
                kept = False
        if kept:
            live += 1
    return live


@compiled
def send_tile(
    rows: Any,
    edge: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    latency_us: Any,
    fault_i: Any,
    fault_f: Any,
    power_w: Any,
    mask: Any,
    t_us: int,
    first: int,
    n: int,
) -> None:
    """Broadcast set-points ``power_w[actuator, instance]`` at ``t_us`` where ``mask`` is set.

    ``first`` is the instance that the tile's first column holds, ``n`` how many it holds. Fills
    rows ``status`` (see ``edge.channel``), ``seq``, and per actuator ``ack_us`` and
    ``effective_us`` (−1: lost, or dropped by the device).
    """
    c, e = rows[0], edge[0]
    for i in range(n):
        if not mask[first + i]:
            continue
        for a in range(c.actuators):
            k[c.ack_us + a, i] = -1
            k[c.effective_us + a, i] = -1
        if _fault_value(fault_i, fault_f, FAULT_COORDINATOR_RESTART, -1, i, t_us) > 0.0:
            k[c.status, i] = STATUS_COORDINATOR_DOWN
            continue
        if _live_broadcasts(c, e, k, fault_i, fault_f, i, t_us) >= e.table_entries:
            k[c.status, i] = STATUS_TABLE_FULL
            continue
        seq = k[c.seq, i] + 1
        k[c.seq, i] = seq
        k[c.status, i] = STATUS_SENT
        k[c.broadcast_us + seq % BROADCASTS, i] = t_us
        loss = e.loss_bad if x[c.mesh_bad, i] > 0.0 else e.loss_good
        extra = _fault_value(fault_i, fault_f, FAULT_BROADCAST_LOSS, -1, i, t_us)
        loss = 1.0 - (1.0 - loss) * (1.0 - min(extra, 1.0))
        late_us = int(_fault_value(fault_i, fault_f, FAULT_EXTRA_DELAY, -1, i, t_us))
        for a in range(c.actuators):
            counter = (seq << _COUNTER_SHIFT) + a
            took = message(k[c.key, i], STREAM_COMMAND, counter, loss, 0.0, latency_us)
            if took < 0:
                continue
            arrival = t_us + took + late_us
            if _fault_value(fault_i, fault_f, FAULT_LOAD_VANISHED, a, i, arrival) > 0.0:
                continue
            k[c.received_us + a, i] = max(k[c.received_us + a, i], arrival)
            wanted = min(max(power_w[a, first + i], p[c.low_w + a, i]), p[c.high_w + a, i])
            step = p[c.resolution_w + a, i]
            steps = np.floor(abs(wanted) / step + 1e-9)
            act = arrival + q[c.dead_us + a, i]
            act = (act + e.step_us - 1) // e.step_us * e.step_us
            if enqueue(c, x, k, a, i, act, steps * step if wanted >= 0.0 else -steps * step):
                k[c.effective_us + a, i] = act
            back = message(k[c.key, i], STREAM_ACK, counter, loss, e.ack_jitter_us, latency_us)
            if back < 0:
                continue
            answer = arrival + back
            if _fault_value(fault_i, fault_f, FAULT_COORDINATOR_RESTART, -1, i, answer) <= 0.0:
                k[c.ack_us + a, i] = answer


@compiled
def _set_charger_targets(
    c: Any, x: Any, k: Any, p: Any, q: Any, charger_phase: Any, j: int, n: int, t_us: int
) -> None:
    """Do what :func:`set_charger_target` does for a row of instances."""
    u = c.loads + j
    per_ampere_w = NOMINAL_V * (3.0 if charger_phase[j] == 3 else 1.0)
    setpoint, most, least = x[c.setpoint_w + u], p[c.charger_max_a + j], p[c.charger_min_a + j]
    session, wanted, plugged = x[c.session_j + j], x[c.wanted_j + j], x[c.plugged + j]
    target, relay = x[c.charger_target_a + j], x[c.relay + u]
    switched, switchings = k[c.switched_us + u], x[c.switchings + u]
    min_on, min_off = q[c.min_on_us + u], q[c.min_off_us + u]
    for i in range(n):
        amperes = min(np.floor(setpoint[i] / per_ampere_w + 1e-9), most[i])
        refused = (plugged[i] <= 0.0) | (session[i] >= wanted[i])
        amperes = 0.0 if refused | (amperes < least[i]) else amperes
        was = relay[i]
        target[i], relay[i] = settle(
            amperes, target[i], was, t_us - switched[i], min_on[i], min_off[i], refused
        )
        changed = relay[i] != was
        switchings[i] += 1.0 if changed else 0.0
        switched[i] = t_us if changed else switched[i]


@compiled
def follow_sessions(
    c: Any, x: Any, k: Any, p: Any, q: Any, charger_phase: Any, n: int, t_us: int
) -> None:
    """Plug cars in and out at the second that begins; book what they leave without."""
    for j in range(c.chargers):
        for i in range(n):
            s = k[c.session + j, i]
            row = SESSIONS * j + s
            if x[c.plugged + j, i] > 0.0 and t_us >= q[c.session_end_us + row, i]:
                missing = x[c.wanted_j + j, i] - x[c.session_j + j, i]
                x[c.charger_unserved_j + j, i] += max(missing, 0.0)
                x[c.plugged + j, i] = 0.0
                x[c.session_j + j, i] = 0.0
                x[c.wanted_j + j, i] = 0.0
                x[c.charger_a + j, i] = 0.0
                s += 1
                k[c.session + j, i] = s
                row += 1
            if (
                x[c.plugged + j, i] <= 0.0
                and s < SESSIONS
                and q[c.session_start_us + row, i] <= t_us < q[c.session_end_us + row, i]
            ):
                x[c.plugged + j, i] = 1.0
                x[c.wanted_j + j, i] = p[c.session_wanted_j + row, i]
        _set_charger_targets(c, x, k, p, q, charger_phase, j, n, t_us)
