"""The grid meter of a batch of sites: windows, noise, quantisation, publication, faults."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiled import compiled
from ..edge.meter import (
    CURRENT_A,
    EXPORT_A,
    EXPORT_NET,
    IMPORT_A,
    IMPORT_NET,
    METER_FIELDS,
    POWER_TOTAL,
    PV_POWER,
    VOLTAGE_A,
    quantise,
)
from ..edge.random import STREAM_METER, STREAM_MISSING, bell, uniform
from .layout import (
    FAULT_CLOCK_STEP,
    FAULT_METER_FREEZE,
    FAULT_METER_MISSING,
    FAULT_METER_OFFSET,
    FAULT_METER_WRONG_SIGN,
)

_WH = 1.0 / 3600.0


@compiled
def _copy(into: Any, values: Any, n: int) -> None:
    # A loop, not a slice: assigning arrays to slices costs seconds of compilation.
    for i in range(n):
        into[i] = values[i]


@compiled
def mark_window(c: Any, x: Any, n: int) -> None:
    """Note the cumulative values at the start of the meter's window."""
    for f in range(3):
        _copy(x[c.meter_mark + f], x[c.import_j + f], n)
        _copy(x[c.meter_mark + 3 + f], x[c.export_j + f], n)
        _copy(x[c.meter_mark + 6 + f], x[c.voltage_vs + f], n)
        _copy(x[c.meter_mark + 9 + f], x[c.current_a2s + f], n)
    _copy(x[c.meter_mark + 12], x[c.pv_j], n)


@compiled
def _faults(
    fault_i: Any, fault_f: Any, key: int, n: int, i: int, t_us: int
) -> tuple[bool, float, float, int]:
    """Return (no new sample, sign, offset in W, clock error in µs) of instance ``i``."""
    held, sign, offset_w, clock_us = False, 1.0, 0.0, 0
    for f in range(fault_f.shape[0]):
        if not fault_i[4 * f + 2, i] <= t_us < fault_i[4 * f + 3, i]:
            continue
        kind = fault_i[4 * f, i]
        if kind == FAULT_METER_FREEZE:
            held = True
        elif kind == FAULT_METER_MISSING:
            held = held or uniform(key, STREAM_MISSING, n) < fault_f[f, i]
        elif kind == FAULT_METER_WRONG_SIGN:
            sign = -sign
        elif kind == FAULT_METER_OFFSET:
            offset_w += fault_f[f, i]
        elif kind == FAULT_CLOCK_STEP:
            clock_us += int(fault_f[f, i])
    return held, sign, offset_w, clock_us


@compiled
def _hold(c: Any, x: Any, k: Any, slot: int, before: int, i: int) -> None:
    """Keep the last sample: the client goes on reading it, and its stamp stands still."""
    for f in range(METER_FIELDS):
        x[c.samples + slot * METER_FIELDS + f, i] = x[c.samples + before * METER_FIELDS + f, i]
    k[c.sampled_us + slot, i] = k[c.sampled_us + before, i]
    k[c.published_us + slot, i] = k[c.published_us + before, i]


@compiled
def _spoil(
    c: Any,
    e: Any,
    x: Any,
    k: Any,
    row: int,
    slot: int,
    before: int,
    i: int,
    held: bool,
    sign: float,
    offset_w: float,
    clock_us: int,
) -> None:
    """Bend the sample of instance ``i`` as its active faults say."""
    if held:
        _hold(c, x, k, slot, before, i)
        return
    total_w = 0.0
    for f in range(3):
        x[row + f, i] = quantise(sign * x[row + f, i] + offset_w, e.resolution_w)
        total_w += x[row + f, i]
    x[row + POWER_TOTAL, i] = total_w
    if sign < 0.0:
        for f in range(3):
            into, out = x[row + IMPORT_A + f, i], x[row + EXPORT_A + f, i]
            x[row + IMPORT_A + f, i], x[row + EXPORT_A + f, i] = out, into
        into, out = x[row + IMPORT_NET, i], x[row + EXPORT_NET, i]
        x[row + IMPORT_NET, i], x[row + EXPORT_NET, i] = out, into
    k[c.sampled_us + slot, i] += clock_us


@compiled
def _count(out: Any, energy: Any, step_wh: float) -> None:
    for i in range(len(out)):
        out[i] = np.floor(energy[i] * _WH / step_wh) * step_wh


@compiled
def take_sample(
    c: Any, e: Any, x: Any, k: Any, fault_i: Any, fault_f: Any, n: int, t_us: int
) -> None:
    """Sample at ``t_us`` the means over the window that ends there.

    Powers, voltages and the PV power are means, currents are RMS over the window; counters are
    those of the plant, quantised downwards as a display counts.
    """
    sample = t_us // e.period_us
    slot, before = sample % c.meter_slots, (sample - 1) % c.meter_slots
    per_s = 1e6 / e.window_us
    row = c.samples + slot * METER_FIELDS
    step_wh = e.counter_resolution_wh if e.counter_resolution_wh > 0.0 else 1e-9
    resolution_w, resolution_v, noise_w = e.resolution_w, e.voltage_resolution_v, e.noise_w
    total, keys = x[row + POWER_TOTAL], k[c.key]
    for i in range(n):
        total[i] = 0.0
    for f in range(3):
        bought, bought_0 = x[c.import_j + f], x[c.meter_mark + f]
        sold, sold_0 = x[c.export_j + f], x[c.meter_mark + 3 + f]
        power = x[row + f]
        for i in range(n):
            mean_w = ((bought[i] - bought_0[i]) - (sold[i] - sold_0[i])) * per_s
            mean_w += bell(keys[i], STREAM_METER, sample * 3 + f) * noise_w
            total[i] += mean_w
            power[i] = quantise(mean_w, resolution_w)
        volts, volts_0 = x[c.voltage_vs + f], x[c.meter_mark + 6 + f]
        square, square_0 = x[c.current_a2s + f], x[c.meter_mark + 9 + f]
        voltage, current = x[row + VOLTAGE_A + f], x[row + CURRENT_A + f]
        for i in range(n):
            voltage[i] = quantise((volts[i] - volts_0[i]) * per_s, resolution_v)
            mean_a2 = max((square[i] - square_0[i]) * per_s, 0.0)
            current[i] = quantise(np.sqrt(mean_a2), 0.01)
        _count(x[row + IMPORT_A + f], bought, step_wh)
        _count(x[row + EXPORT_A + f], sold, step_wh)
    _count(x[row + IMPORT_NET], x[c.net_import_j], step_wh)
    _count(x[row + EXPORT_NET], x[c.net_export_j], step_wh)
    pv, pv_0, pv_w = x[c.pv_j], x[c.meter_mark + 12], x[row + PV_POWER]
    for i in range(n):
        total[i] = quantise(total[i], resolution_w)
        pv_w[i] = quantise((pv[i] - pv_0[i]) * per_s, resolution_w)
    sampled, published = k[c.sampled_us + slot], k[c.published_us + slot]
    for i in range(n):
        sampled[i] = t_us
        published[i] = t_us + e.delay_us
    if fault_f.shape[0] == 0:
        return
    for i in range(n):
        held, sign, offset_w, clock_us = _faults(fault_i, fault_f, k[c.key, i], sample, i, t_us)
        if held or sign < 0.0 or offset_w != 0.0 or clock_us != 0:
            _spoil(c, e, x, k, row, slot, before, i, held, sign, offset_w, clock_us)


@compiled
def read_tile(
    c: Any,
    e: Any,
    x: Any,
    k: Any,
    t_us: int,
    n: int,
    values: Any,
    sampled_us: Any,
    published_us: Any,
) -> None:
    """Copy each instance's newest sample published by ``t_us`` to ``values[field, instance]``.

    ``published_us`` is −1 where there is none yet.
    """
    newest = t_us // e.period_us
    for i in range(n):
        published_us[i] = -1
    left = n
    for back in range(c.meter_slots):
        if newest - back <= 0 or left == 0:
            return
        slot = (newest - back) % c.meter_slots
        row = c.samples + slot * METER_FIELDS
        stamps, samples = k[c.published_us + slot], k[c.sampled_us + slot]
        agree = left == n
        for i in range(n):
            agree = agree & (stamps[i] >= 0) & (stamps[i] <= t_us)
        if agree:
            # As without faults: whole rows at once.
            for f in range(METER_FIELDS):
                _copy(values[f], x[row + f], n)
            _copy(sampled_us, samples, n)
            _copy(published_us, stamps, n)
            return
        for i in range(n):
            if published_us[i] < 0 and 0 <= stamps[i] <= t_us:
                for f in range(METER_FIELDS):
                    values[f, i] = x[row + f, i]
                sampled_us[i], published_us[i] = samples[i], stamps[i]
                left -= 1
