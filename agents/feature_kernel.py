"""The compiled kernel behind :mod:`.features`, and the layout of its arrays.

Arrays have the batch axis last. Loops go over rows first and over instances inside, on views of one
row, which is what the compiler vectorises; a block of instances at a time, so that its rows stay in
the cache. All functions are in this file because a compiled function's cache only watches its own.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from ..sim.compiled import compiled, compiled_parallel, prange
from ..sim.edge.meter import CURRENT_A as METER_CURRENT_A
from ..sim.edge.meter import METER_FIELDS, POWER_A, POWER_TOTAL, PV_POWER
from ..sim.edge.meter import VOLTAGE_A as METER_VOLTAGE_A
from . import feature_names as names

#: Ages and times since the last change are reported up to this; also "never".
MAX_AGE_S: Final = 3600.0
MAX_AGE_US = int(MAX_AGE_S * 1e6)
BLOCK = 256  # instances at once: the rows of a block stay in the cache

# Rows of `inputs` (float64) after the meter's fields, and of `input_us` (int64).
REPORTED_A = METER_FIELDS
INPUTS = METER_FIELDS + 3
IN_SAMPLED, IN_AGE, IN_MINUTE = 0, 1, 2
# Rows of `memory` (float64) after the reading that is held, and of `marks` (int64).
SLOPE, COMMAND_A, OUTPUT, MEMORY = METER_FIELDS, METER_FIELDS + 1, METER_FIELDS + 4, 24
STARTED, SAMPLED, HELD_AT, CHANGED_AT, CHANGES, PENDING, CHANGED, MARKS = range(8)
# Entries of `plan` (int64): the step, then depths and offsets of the rings, then lags in steps.
STEP, N_NET, N_COMMAND, N_SURPLUS, N_CHANGE = 0, 1, 2, 3, 4
NET, COMMAND, SURPLUS, CHANGE = 5, 6, 7, 8
PLAN_WINDOWS = 9
PLAN_COMMAND = PLAN_WINDOWS + len(names.WINDOWS_S)
PLAN_SURPLUS = PLAN_COMMAND + len(names.COMMAND_LAGS_S)
PLAN = PLAN_SURPLUS + len(names.SURPLUS_LAGS_S)
# Entries of `figures` (float64).
PERIOD, DELAY, RAMP, WINDOW, SETPOINT, SLEW_A = 0, 1, 2, 3, 4, 5

_COMMAND_LAGS = len(names.COMMAND_LAGS_S)
_SURPLUS_LAGS = len(names.SURPLUS_LAGS_S)
_WINDOWS = len(names.WINDOWS_S)


@compiled
def _judge(inputs: Any, input_us: Any, memory: Any, marks: Any, now_us: int, good: Any) -> None:
    """Mark with 1 whose reading is there and finite, and take its times and its slope."""
    sampled, newest = input_us[IN_SAMPLED], marks[SAMPLED]
    total, before, slope = inputs[POWER_TOTAL], memory[POWER_TOTAL], memory[SLOPE]
    started, held_at, age_us = marks[STARTED], marks[HELD_AT], input_us[IN_AGE]
    for i in range(good.shape[0]):
        good[i] = 0.0
    for field in range(METER_FIELDS):
        row = inputs[field]
        for i in range(good.shape[0]):
            good[i] += row[i] - row[i]
    for i in range(good.shape[0]):
        good[i] = 1.0 if good[i] == 0.0 and sampled[i] >= 0 else 0.0
        if good[i] == 0.0:
            continue
        gap = sampled[i] - newest[i]
        if gap != 0:
            # Backwards or after a long gap (a clock was set) there is no slope to speak of.
            steady = started[i] > 0 and 0 < gap <= 60_000_000
            slope[i] = (total[i] - before[i]) / (gap * 1e-6) if steady else 0.0
        # 1 in the very step of the first reading, 2 afterwards
        started[i] = 2 if started[i] else 1
        newest[i] = sampled[i]
        held_at[i] = now_us - age_us[i]


@compiled
def _accept(inputs: Any, input_us: Any, memory: Any, marks: Any, now_us: int, good: Any) -> None:
    """Hold readings that are there and finite; one that is not leaves the older one in place."""
    _judge(inputs, input_us, memory, marks, now_us, good)
    for field in range(METER_FIELDS):
        row, held = inputs[field], memory[field]
        for i in range(good.shape[0]):
            held[i] = row[i] if good[i] > 0.0 else held[i]


@compiled
def _add_change(
    own: Any, new: Any, old: Any, age_s: Any, began_s: float, figures: Any, w_per_s: float
) -> None:
    """Add to ``own`` what readings show of a change from ``old`` to ``new`` W.

    It began ``began_s − age_s`` before the reading was taken and is a straight ramp of
    ``w_per_s``, no longer than that of a whole load; a reading is the mean over its window.
    """
    ramp_s, window_s = figures[RAMP], figures[WINDOW]
    inverse, scale = 1.0 / w_per_s, 1.0 / window_s
    for i in range(own.shape[0]):
        change = new[i] - old[i]
        # the least ramp only avoids a division by zero
        ramp = max(min(abs(change) * inverse, ramp_s), 1e-3)
        head = max(began_s - age_s[i], 0.0)
        tail = max(began_s - age_s[i] - window_s, 0.0)
        rising_head, rising_tail = min(head, ramp), min(tail, ramp)
        area = (head - rising_head) - (tail - rising_tail)
        area += 0.5 * (rising_head * rising_head - rising_tail * rising_tail) / ramp
        own[i] += change * min(area * scale, 1.0)


@compiled
def _differ(new: Any, old: Any) -> bool:
    different = 0
    for i in range(new.shape[0]):
        different |= new[i] != old[i]
    return different != 0


@compiled
def _own_power(rings: Any, memory: Any, age_s: Any, plan: Any, figures: Any, out: Any) -> None:
    """Push the command in force, and model what the actuators drew when the reading was taken."""
    depth = plan[N_COMMAND]
    base = plan[COMMAND]
    slot = plan[STEP] % depth
    oldest = (plan[STEP] + 1) % depth
    for phase in range(3):
        rings[base + phase * depth + slot, :] = memory[COMMAND_A + phase]
        # Adding zero makes −0.0 to 0.0: then skipping what adds nothing leaves no trace.
        out[names.OWN_A + phase, :] = rings[base + phase * depth + oldest] + 0.0
    for lag in range(depth - 1):
        newer = base + (plan[STEP] - lag) % depth
        older = base + (plan[STEP] - lag - 1) % depth
        # What came into force between these two steps was sent right after the earlier one.
        began_s = (lag + 1) * figures[PERIOD] - figures[DELAY]
        if began_s <= 0.0:
            continue
        for phase in range(3):
            new, old = rings[newer + phase * depth], rings[older + phase * depth]
            if not _differ(new, old):
                continue
            own, w_per_s = out[names.OWN_A + phase], figures[SLEW_A + phase]
            _add_change(own, new, old, age_s, began_s, figures, w_per_s)


@compiled
def _sum3(first: int, total: int, out: Any) -> None:
    a, b, c, target = out[first], out[first + 1], out[first + 2], out[total]
    for i in range(a.shape[0]):
        target[i] = a[i] + b[i] + c[i]


@compiled
def _phase_values(
    own: Any, grid: Any, reported: Any, started: Any, surplus: Any, loads: Any
) -> None:
    for i in range(own.shape[0]):
        surplus[i] = own[i] - grid[i] if started[i] else 0.0
        loads[i] = reported[i] if reported[i] - reported[i] == 0.0 else own[i]


@compiled
def _present(inputs: Any, memory: Any, marks: Any, now_us: int, figures: Any, out: Any) -> None:
    """Fill in what needs no window: the reading, the command, the model, the surplus."""
    for phase in range(3):
        out[names.GRID_A + phase, :] = memory[POWER_A + phase]
        out[names.VOLTAGE_A + phase, :] = memory[METER_VOLTAGE_A + phase]
        out[names.CURRENT_A + phase, :] = memory[METER_CURRENT_A + phase]
        out[names.COMMAND_A + phase, :] = memory[COMMAND_A + phase]
        _phase_values(
            out[names.OWN_A + phase],
            memory[POWER_A + phase],
            inputs[REPORTED_A + phase],
            marks[STARTED],
            out[names.SURPLUS_A + phase],
            out[names.LOADS_A + phase],
        )
    _sum3(names.COMMAND_A, names.COMMAND_TOTAL, out)
    _sum3(names.OWN_A, names.OWN_TOTAL, out)
    _sum3(names.SURPLUS_A, names.SURPLUS_TOTAL, out)
    _sum3(names.LOADS_A, names.LOADS_TOTAL, out)
    out[names.GRID_TOTAL, :] = memory[POWER_TOTAL]
    out[names.PV, :] = memory[PV_POWER]
    out[names.SLOPE, :] = memory[SLOPE]
    out[names.OUTPUT, :] = memory[OUTPUT]
    out[names.SETPOINT, :] = figures[SETPOINT]
    for i in range(out.shape[1]):
        out[names.ERROR, i] = figures[SETPOINT] - memory[POWER_TOTAL, i]
        out[names.IN_FLIGHT, i] = out[names.COMMAND_TOTAL, i] - out[names.OWN_TOTAL, i]
        since = min(now_us - marks[CHANGED_AT, i], MAX_AGE_US)
        out[names.COMMAND_AGE, i] = since * 1e-6


@compiled
def _clock(input_us: Any, day: Any, out: Any) -> None:
    for i in range(out.shape[1]):
        minute = input_us[IN_MINUTE, i]
        out[names.HOUR_SIN, i] = day[0, minute % 1440]
        out[names.HOUR_COS, i] = day[1, minute % 1440]
        out[names.DAY_OF_WEEK, i] = minute // 1440


@compiled
def _push(rings: Any, marks: Any, plan: Any, out: Any) -> None:
    """Push net power, surplus and changes; a first reading fills its windows."""
    n = out.shape[1]
    step = plan[STEP]
    net = rings[plan[NET] + step % plan[N_NET]]
    surplus = rings[plan[SURPLUS] + step % plan[N_SURPLUS]]
    change = rings[plan[CHANGE] + step % plan[N_CHANGE]]
    for i in range(n):
        net[i] = out[names.GRID_TOTAL, i]
        surplus[i] = out[names.SURPLUS_TOTAL, i]
        # whole numbers: this running count is exact
        marks[CHANGES, i] += marks[PENDING, i] - np.int64(change[i])
        change[i] = marks[PENDING, i]
        marks[PENDING, i] = 0
        out[names.CHANGES_60S, i] = marks[CHANGES, i]
    for i in range(n):
        if marks[STARTED, i] == 1:
            for slot in range(plan[N_NET]):
                rings[plan[NET] + slot, i] = out[names.GRID_TOTAL, i]
            for slot in range(plan[N_SURPLUS]):
                rings[plan[SURPLUS] + slot, i] = out[names.SURPLUS_TOTAL, i]


@compiled
def _add_value(row: Any, total: Any, least: Any, greatest: Any) -> None:
    for i in range(row.shape[0]):
        total[i] += row[i]
        least[i] = min(least[i], row[i])
        greatest[i] = max(greatest[i], row[i])


@compiled
def _add_square(row: Any, mean: Any, total: Any) -> None:
    for i in range(row.shape[0]):
        difference = row[i] - mean[i]
        total[i] += difference * difference


@compiled
def _add_export(row: Any, total: Any) -> None:
    for i in range(row.shape[0]):
        total[i] += max(-row[i], 0.0)


@compiled
def _add_export_square(row: Any, mean: Any, total: Any) -> None:
    for i in range(row.shape[0]):
        difference = max(-row[i], 0.0) - mean[i]
        total[i] += difference * difference


@compiled
def _statistics(rings: Any, plan: Any, out: Any) -> None:
    """Mean, deviation, least and greatest net power over each window, in two passes."""
    depth, base, step = plan[N_NET], plan[NET], plan[STEP]
    for window in range(_WINDOWS):
        length = plan[PLAN_WINDOWS + window]
        first = names.WINDOW_STATISTICS + 4 * window
        mean, deviation, least, greatest = (
            out[first],
            out[first + 1],
            out[first + 2],
            out[first + 3],
        )
        newest = rings[base + step % depth]
        mean[:] = 0.0
        deviation[:] = 0.0
        least[:] = newest
        greatest[:] = newest
        for lag in range(length):
            _add_value(rings[base + (step - lag) % depth], mean, least, greatest)
        _scale(mean, length)
        for lag in range(length):
            _add_square(rings[base + (step - lag) % depth], mean, deviation)
        _root(deviation, length)
    length = plan[PLAN_WINDOWS]
    mean, deviation = out[names.EXPORT_MEAN], out[names.EXPORT_STD]
    mean[:] = 0.0
    deviation[:] = 0.0
    for lag in range(length):
        _add_export(rings[base + (step - lag) % depth], mean)
    _scale(mean, length)
    for lag in range(length):
        _add_export_square(rings[base + (step - lag) % depth], mean, deviation)
    _root(deviation, length)


@compiled
def _scale(row: Any, length: int) -> None:
    for i in range(row.shape[0]):
        row[i] /= length


@compiled
def _root(row: Any, length: int) -> None:
    for i in range(row.shape[0]):
        row[i] = math.sqrt(row[i] / length)


@compiled
def _add3(a: Any, b: Any, c: Any, target: Any) -> None:
    for i in range(a.shape[0]):
        target[i] = a[i] + b[i] + c[i]


@compiled
def _lags(rings: Any, plan: Any, out: Any) -> None:
    step = plan[STEP]
    depth = plan[N_COMMAND]
    for k in range(_COMMAND_LAGS):
        row = plan[COMMAND] + (step - plan[PLAN_COMMAND + k]) % depth
        a, b, c = rings[row], rings[row + depth], rings[row + 2 * depth]
        _add3(a, b, c, out[names.COMMAND_LAGS + k])
    for k in range(_SURPLUS_LAGS):
        past = plan[SURPLUS] + (step - plan[PLAN_SURPLUS + k]) % plan[N_SURPLUS]
        out[names.SURPLUS_LAGS + k, :] = rings[past]


@compiled
def _update_block(
    inputs: Any,
    input_us: Any,
    memory: Any,
    marks: Any,
    rings: Any,
    plan: Any,
    figures: Any,
    day: Any,
    out: Any,
    now_us: int,
) -> None:
    """Advance the features of the instances of a block."""
    n = out.shape[1]
    scratch = np.empty((2, n))
    age_s, good = scratch[0], scratch[1]
    _accept(inputs, input_us, memory, marks, now_us, good)
    for i in range(n):
        age_us = now_us - marks[HELD_AT, i] if marks[STARTED, i] else MAX_AGE_US
        age_s[i] = max(min(age_us, MAX_AGE_US), 0) * 1e-6
        out[names.READING_AGE, i] = age_s[i]
    _own_power(rings, memory, age_s, plan, figures, out)
    _present(inputs, memory, marks, now_us, figures, out)
    _clock(input_us, day, out)
    _push(rings, marks, plan, out)
    _statistics(rings, plan, out)
    _lags(rings, plan, out)


@compiled
def update(
    inputs: Any,
    input_us: Any,
    memory: Any,
    marks: Any,
    rings: Any,
    plan: Any,
    figures: Any,
    day: Any,
    out: Any,
    now_us: int,
) -> None:
    """Advance the features of all instances by one control step; see :meth:`Features.update`."""
    for start in range(0, out.shape[1], BLOCK):
        end = min(start + BLOCK, out.shape[1])
        _update_block(
            inputs[:, start:end],
            input_us[:, start:end],
            memory[:, start:end],
            marks[:, start:end],
            rings[:, start:end],
            plan,
            figures,
            day,
            out[:, start:end],
            now_us,
        )
    plan[STEP] += 1


@compiled_parallel
def update_many(
    inputs: Any,
    input_us: Any,
    memory: Any,
    marks: Any,
    rings: Any,
    plan: Any,
    figures: Any,
    day: Any,
    out: Any,
    now_us: int,
) -> None:
    """Do what :func:`update` does, block by block over the cores."""
    for block in prange((out.shape[1] + BLOCK - 1) // BLOCK):
        start: Any = np.int64(block) * BLOCK  # unsigned in a parallel loop, and min() a float
        end = min(start + BLOCK, out.shape[1])
        _update_block(
            inputs[:, start:end],
            input_us[:, start:end],
            memory[:, start:end],
            marks[:, start:end],
            rings[:, start:end],
            plan,
            figures,
            day,
            out[:, start:end],
            now_us,
        )
    plan[STEP] += 1


@compiled
def _take_power(power: Any, sent: Any, deadband_w: float, changed: Any) -> None:
    for i in range(power.shape[0]):
        changed[i] = 1 if abs(power[i] - sent[i]) > deadband_w else changed[i]
        sent[i] = power[i]


@compiled
def note_sent(
    power_w: Any,
    sent_w: Any,
    consumption: Any,
    memory: Any,
    marks: Any,
    now_us: int,
    deadband_w: float,
) -> None:
    """Take note of the set-points sent; see :meth:`Features.sent`."""
    n = power_w.shape[1]
    changed = marks[CHANGED]
    changed[:] = 0
    memory[COMMAND_A : COMMAND_A + 3, :] = 0.0
    for k in range(power_w.shape[0]):
        _take_power(power_w[k], sent_w[k], deadband_w, changed)
        for phase in range(3):
            share = consumption[phase, k]
            if share != 0.0:
                row, power = memory[COMMAND_A + phase], power_w[k]
                for i in range(n):
                    row[i] += share * power[i]
    at, pending = marks[CHANGED_AT], marks[PENDING]
    for i in range(n):
        at[i] = now_us if changed[i] else at[i]
        pending[i] |= changed[i]
