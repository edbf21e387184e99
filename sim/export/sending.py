"""How set-points reach devices: a broadcast through the mesh, a queue in each device, replies.

Actuator by actuator, for all instances at once. What happens to one is the same whoever else is
sent something: every draw is a function of the instance's key, the broadcast and the actuator.
"""

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
)
from .work import ANSWER, ARRIVAL, LATE, LOSS, SENT, tile_row

_COUNTER_SHIFT: Final = 32
"""Counter of a message's draw: sequence number above, actuator below."""


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
    k[c.due_us, i] = min(k[c.due_us, i], k[times, i])
    return True


@compiled
def _broadcast(
    c: Any,
    e: Any,
    x: Any,
    k: Any,
    w: Any,
    fault_i: Any,
    fault_f: Any,
    mask: Any,
    t_us: int,
    first: int,
    n: int,
) -> None:
    """Hand a broadcast to the coordinator where ``mask`` is set; note who sent, loss and delay."""
    sent, loss, late = tile_row(w, SENT, 0), tile_row(w, LOSS, 0), tile_row(w, LATE, 0)
    for i in range(n):
        sent[i], loss[i], late[i] = 0.0, 1.0, 0.0
        if not mask[first + i]:
            continue
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
        lost = e.loss_bad if x[c.mesh_bad, i] > 0.0 else e.loss_good
        extra = _fault_value(fault_i, fault_f, FAULT_BROADCAST_LOSS, -1, i, t_us)
        sent[i], loss[i] = 1.0, 1.0 - (1.0 - lost) * (1.0 - min(extra, 1.0))
        late[i] = np.floor(_fault_value(fault_i, fault_f, FAULT_EXTRA_DELAY, -1, i, t_us))


@compiled
def _travel(
    c: Any, e: Any, k: Any, w: Any, latency_us: Any, wanted_w: Any, a: int, n: int, t_us: int
) -> None:
    """Note when the set-point for actuator ``a`` arrives and its reply does; −1 if it does not.

    An actuator whose set-point is NaN is not addressed.
    """
    sent, loss, late = tile_row(w, SENT, 0), tile_row(w, LOSS, 0), tile_row(w, LATE, 0)
    arrival, answer = tile_row(w, ARRIVAL, 0), tile_row(w, ANSWER, 0)
    keys, seq, jitter_us = k[c.key], k[c.seq], e.ack_jitter_us
    for i in range(n):
        counter, lost, asked_w = (seq[i] << _COUNTER_SHIFT) + a, loss[i], wanted_w[i]
        there = message(keys[i], STREAM_COMMAND, counter, lost, 0.0, latency_us)
        back = message(keys[i], STREAM_ACK, counter, lost, jitter_us, latency_us)
        arrives = float(t_us + there) + late[i]
        arrived = (sent[i] > 0.0) & (there >= 0) & (asked_w == asked_w)  # noqa: PLR0124 - NaN
        arrival[i] = arrives if arrived else -1.0
        answer[i] = arrives + float(back) if arrived & (back >= 0) else -1.0


@compiled
def _lose(w: Any, fault_i: Any, fault_f: Any, a: int, n: int) -> None:
    """Drop what arrives at a vanished load, and replies that find the coordinator restarting."""
    arrival, answer = tile_row(w, ARRIVAL, 0), tile_row(w, ANSWER, 0)
    for i in range(n):
        at_us, back_us = int(arrival[i]), int(answer[i])
        if _fault_value(fault_i, fault_f, FAULT_LOAD_VANISHED, a, i, at_us) > 0.0:
            arrival[i] = answer[i] = -1.0
        elif _fault_value(fault_i, fault_f, FAULT_COORDINATOR_RESTART, -1, i, back_us) > 0.0:
            answer[i] = -1.0


@compiled
def _level(wanted_w: float, low_w: float, high_w: float, step_w: float) -> float:
    """Return what a device makes of a set-point: within its range, in whole steps towards zero."""
    bounded_w = min(max(wanted_w, low_w), high_w)
    level_w = float(np.floor(abs(bounded_w) / step_w + 1e-9) * step_w)
    return level_w if bounded_w >= 0.0 else -level_w


@compiled
def _hand_over(
    c: Any,
    e: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    w: Any,
    wanted_w: Any,
    asked: Any,
    a: int,
    n: int,
) -> None:
    """Queue what arrived at actuator ``a``: within its range, in its steps, after its dead time."""
    arrival, answer = tile_row(w, ARRIVAL, 0), tile_row(w, ANSWER, 0)
    low, high, step = p[c.low_w + a], p[c.high_w + a], p[c.resolution_w + a]
    dead, grid_us = q[c.dead_us + a], float(e.step_us)
    received, waiting, following = k[c.received_us + a], k[c.queue_n + a], k[c.next_us + a]
    due, times, values = k[c.due_us], k[c.queue_us + a * QUEUE], x[c.queue_w + a * QUEUE]
    ack, effective = k[c.ack_us + a], k[c.effective_us + a]
    behind = 0
    for i in range(n):
        arrived, arrival_us, mine = arrival[i] >= 0.0, int(arrival[i]), asked[i]
        level_w = _level(wanted_w[i], low[i], high[i], step[i])
        # Exact: both are whole numbers far below 2^53.
        acts_us = int(np.ceil(float(arrival_us + dead[i]) / grid_us) * grid_us)
        length, next_us, first_us, first_w = waiting[i], following[i], times[i], values[i]
        heard_us, due_us, was_us, answered_us = received[i], due[i], effective[i], ack[i]
        alone = arrived & (length == 0)
        received[i] = max(heard_us, arrival_us) if arrived else heard_us
        times[i] = acts_us if alone else first_us
        values[i] = level_w if alone else first_w
        waiting[i] = 1 if alone else length
        following[i] = acts_us if alone else next_us
        due[i] = min(due_us, acts_us) if alone else due_us
        effective[i] = acts_us if alone else (-1 if mine else was_us)
        ack[i] = int(answer[i]) if mine else answered_us
        behind += 1 if arrived & (length > 0) else 0
    if behind == 0:
        return
    for i in range(n):
        if arrival[i] >= 0.0 and effective[i] < 0:
            acts_us = int(np.ceil(float(int(arrival[i]) + dead[i]) / grid_us) * grid_us)
            if enqueue(c, x, k, a, i, acts_us, _level(wanted_w[i], low[i], high[i], step[i])):
                effective[i] = acts_us


@compiled
def send_tile(
    rows: Any,
    edge: Any,
    x: Any,
    k: Any,
    p: Any,
    q: Any,
    w: Any,
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

    NaN: the message does not concern that actuator. ``first`` is the instance that the tile's
    first column holds, ``n`` how many it holds; ``w`` is the thread's work array. Fills rows
    ``status`` (see ``edge.channel``), ``seq``, and per actuator ``ack_us`` and ``effective_us``
    (−1: lost, or dropped by the device).
    """
    c, e = rows[0], edge[0]
    asked = mask[first : first + n]
    _broadcast(c, e, x, k, w, fault_i, fault_f, mask, t_us, first, n)
    for a in range(c.actuators):
        _travel(c, e, k, w, latency_us, power_w[a, first : first + n], a, n, t_us)
        if fault_f.shape[0] > 0:
            _lose(w, fault_i, fault_f, a, n)
        _hand_over(c, e, x, k, p, q, w, power_w[a, first : first + n], asked, a, n)


@compiled
def wire_one(
    rows: Any, edge: Any, x: Any, k: Any, p: Any, q: Any, a: int, power_w: float, t_us: int
) -> int:
    """Hand a set-point to actuator ``a`` of instance 0 by wire; return when it takes effect.

    No mesh lies in between: what is written at ``t_us`` is there at ``t_us``. −1: the device had
    no room for it.
    """
    c, e = rows[0], edge[0]
    acts_us = int(np.ceil(float(t_us + q[c.dead_us + a, 0]) / e.step_us) * e.step_us)
    k[c.received_us + a, 0] = max(k[c.received_us + a, 0], t_us)
    level_w = _level(power_w, p[c.low_w + a, 0], p[c.high_w + a, 0], p[c.resolution_w + a, 0])
    return acts_us if enqueue(c, x, k, a, 0, acts_us, level_w) else -1
