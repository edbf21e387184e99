"""What commanded devices do: wait, switch, plug in and out; and what they refuse."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from ..compiled import compiled
from .layout import FLAGS_ON, FLAGS_OPEN, QUEUE, SESSIONS
from .work import CONCERNED, MOVING, tile_row

FAR: Final = 1 << 62
NOMINAL_V: Final = 230.0


@compiled
def settle(
    concerned: bool,
    wanted: float,
    refused: bool,
    before: float,
    switchings: float,
    switched_us: int,
    min_on_us: int,
    min_off_us: int,
    t_us: int,
) -> tuple[float, float, int]:
    """Return target, number of switchings and time of the last one of a switched device.

    It obeys minimum on and off times; target 0 is off. ``wanted`` is where the set-point would go,
    ``before`` the target up to now, which stays if the device is not ``concerned``. A device that
    must stay on keeps its target, and does not stop half way up its ramp; one that must stay off
    stays off. ``refused`` (thermostat, cut-out, failure) switches off at once.
    """
    on, was_on = wanted > 0.0, before > 0.0
    wait_us = min_on_us if was_on else min_off_us
    moves = concerned & ((on == was_on) | (t_us - switched_us >= wait_us) | refused)
    changes = moves & (on != was_on)
    return (
        wanted if moves else before,
        switchings + (1.0 if changes else 0.0),
        t_us if changes else switched_us,
    )


@compiled
def load_duty(setpoint_w: float, rated_w: float, flags: int) -> float:
    """Return the duty that a load's set-point and flags ask for."""
    wanted = max(setpoint_w / rated_w, 1.0 if (flags & FLAGS_ON) != 0 else 0.0)
    return min(wanted, 0.0 if (flags & FLAGS_OPEN) != 0 else 1.0)


@compiled
def set_load_targets(
    c: Any, x: Any, k: Any, p: Any, q: Any, w: Any, a: int, n: int, t_us: int
) -> None:
    """Set the duty that load ``a`` ramps to, where row ``CONCERNED`` of the work array is 1."""
    concerned = tile_row(w, CONCERNED, 0)
    setpoint, rated = x[c.setpoint_w + a], p[c.rated_w + a]
    target, flags = x[c.target + a], k[c.flags + a]
    switched, switchings = k[c.switched_us + a], x[c.switchings + a]
    min_on, min_off = q[c.min_on_us + a], q[c.min_off_us + a]
    for i in range(n):
        was, since_us, count, now = target[i], switched[i], switchings[i], flags[i]
        wanted, refused = load_duty(setpoint[i], rated[i], now), (now & FLAGS_OPEN) != 0
        mine, least_on, least_off = concerned[i] > 0.0, min_on[i], min_off[i]
        target[i], switchings[i], switched[i] = settle(
            mine, wanted, refused, was, count, since_us, least_on, least_off, t_us
        )


@compiled
def set_charger_targets(
    c: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    w: Any,
    charger_phase: Any,
    j: int,
    n: int,
    t_us: int,
) -> None:
    """Set the current, in whole amperes, that charger ``j`` ramps to, where ``CONCERNED`` is 1."""
    u, concerned = c.loads + j, tile_row(w, CONCERNED, 0)
    per_ampere_w = NOMINAL_V * (3.0 if charger_phase[j] == 3 else 1.0)
    setpoint, most, least = x[c.setpoint_w + u], p[c.charger_max_a + j], p[c.charger_min_a + j]
    session, wanted, plugged = x[c.session_j + j], x[c.wanted_j + j], x[c.plugged + j]
    target, switched, switchings = (
        x[c.charger_target_a + j],
        k[c.switched_us + u],
        x[c.switchings + u],
    )
    min_on, min_off = q[c.min_on_us + u], q[c.min_off_us + u]
    for i in range(n):
        was, since_us, count = target[i], switched[i], switchings[i]
        amperes = min(np.floor(setpoint[i] / per_ampere_w + 1e-9), most[i])
        refused = (plugged[i] <= 0.0) | (session[i] >= wanted[i])
        amperes = 0.0 if refused | (amperes < least[i]) else amperes
        mine, least_on, least_off = concerned[i] > 0.0, min_on[i], min_off[i]
        target[i], switchings[i], switched[i] = settle(
            mine, amperes, refused, was, count, since_us, least_on, least_off, t_us
        )


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
def earliest_due(c: Any, k: Any, n: int) -> int:
    """Return when the next set-point under way to any instance takes effect."""
    due, earliest = k[c.due_us], FAR
    for i in range(n):
        earliest = min(earliest, due[i])
    return earliest


@compiled
def _take_due(c: Any, x: Any, k: Any, w: Any, a: int, n: int, t_us: int) -> bool:
    """Take set-points of actuator ``a`` that are due; note in ``CONCERNED`` where there was one."""
    following, waiting, concerned = k[c.next_us + a], k[c.queue_n + a], tile_row(w, CONCERNED, 0)
    count = 0
    for i in range(n):
        count += 1 if following[i] <= t_us else 0
    if count == 0:
        return False
    setpoint, first = x[c.setpoint_w + a], x[c.queue_w + a * QUEUE]
    several = 0
    for i in range(n):
        next_us, length, now_w, next_w = following[i], waiting[i], setpoint[i], first[i]
        due = next_us <= t_us
        only = due & (length == 1)
        setpoint[i] = next_w if only else now_w
        following[i] = FAR if only else next_us
        waiting[i] = 0 if only else length
        concerned[i] = 1.0 if due else 0.0
        several += 1 if due & (length > 1) else 0
    if several > 0:
        for i in range(n):
            if following[i] <= t_us:
                _pop(c, x, k, a, i, t_us)
    return True


@compiled
def apply_due(
    c: Any, x: Any, k: Any, p: Any, q: Any, w: Any, charger_phase: Any, n: int, t_us: int
) -> None:
    """Let set-points whose dead time has passed take effect at the sub-step that begins.

    Loads that one of them concerns are noted in the work array ``w`` as moving.
    """
    earliest = k[c.due_us]
    for i in range(n):
        earliest[i] = FAR
    for a in range(c.actuators):
        if _take_due(c, x, k, w, a, n, t_us):
            if a < c.loads:
                set_load_targets(c, x, k, p, q, w, a, n, t_us)
                w[MOVING + a] = 1.0
            elif a < c.loads + c.chargers:
                set_charger_targets(c, x, k, p, q, w, charger_phase, a - c.loads, n, t_us)
        following = k[c.next_us + a]
        for i in range(n):
            earliest[i] = min(earliest[i], following[i])


@compiled
def follow_sessions(
    c: Any, x: Any, k: Any, p: Any, q: Any, w: Any, charger_phase: Any, n: int, t_us: int
) -> None:
    """Plug cars in and out at the second that begins; book what they leave without."""
    concerned = tile_row(w, CONCERNED, 0)
    for i in range(n):
        concerned[i] = 1.0
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
        set_charger_targets(c, x, k, p, q, w, charger_phase, j, n, t_us)
