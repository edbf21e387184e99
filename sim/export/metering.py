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
_MARKS = 13


@compiled
def mark_window(c: Any, x: Any, i0: int, i1: int) -> None:
    """Note the cumulative values at the start of the meter's window."""
    for f in range(3):
        x[c.meter_mark + f, i0:i1] = x[c.import_j + f, i0:i1]
        x[c.meter_mark + 3 + f, i0:i1] = x[c.export_j + f, i0:i1]
        x[c.meter_mark + 6 + f, i0:i1] = x[c.voltage_vs + f, i0:i1]
        x[c.meter_mark + 9 + f, i0:i1] = x[c.current_a2s + f, i0:i1]
    x[c.meter_mark + 12, i0:i1] = x[c.pv_j, i0:i1]


@compiled
def _faults(
    fault_i: Any, fault_f: Any, key: int, n: int, i: int, t_us: int
) -> tuple[bool, float, float, int]:
    """Return (no new sample, sign, offset in W, clock error in µs) of instance ``i`` at ``t_us``."""
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
def take_sample(
    c: Any, e: Any, x: Any, k: Any, fault_i: Any, fault_f: Any, i0: int, i1: int, t_us: int
) -> None:
    """Sample at ``t_us`` the means over the window that ends there.

    Powers, voltages and the PV power are means, currents are RMS over the window; counters are
    those of the plant, quantised downwards as a display counts.
    """
    n = t_us // e.period_us
    slot, before = n % c.meter_slots, (n - 1) % c.meter_slots
    window_s = e.window_us * 1e-6
    row = c.samples + slot * METER_FIELDS
    step_wh = e.counter_resolution_wh if e.counter_resolution_wh > 0.0 else 1e-9
    for i in range(i0, i1):
        key = k[c.key, i]
        sign, offset_w, clock_us, held = 1.0, 0.0, 0, False
        if fault_f.shape[0] > 0:
            held, sign, offset_w, clock_us = _faults(fault_i, fault_f, key, n, i, t_us)
        if held:
            _hold(c, x, k, slot, before, i)
            continue
        total_w = 0.0
        into, out = (IMPORT_A, EXPORT_A) if sign > 0.0 else (EXPORT_A, IMPORT_A)
        for f in range(3):
            bought = x[c.import_j + f, i] - x[c.meter_mark + f, i]
            sold = x[c.export_j + f, i] - x[c.meter_mark + 3 + f, i]
            noise_w = bell(key, STREAM_METER, n * 3 + f) * e.noise_w
            power_w = sign * ((bought - sold) / window_s + noise_w) + offset_w
            total_w += power_w
            x[row + f, i] = quantise(power_w, e.resolution_w)
            volts = (x[c.voltage_vs + f, i] - x[c.meter_mark + 6 + f, i]) / window_s
            x[row + VOLTAGE_A + f, i] = quantise(volts, e.voltage_resolution_v)
            square = (x[c.current_a2s + f, i] - x[c.meter_mark + 9 + f, i]) / window_s
            x[row + CURRENT_A + f, i] = quantise(np.sqrt(max(square, 0.0)), 0.01)
            x[row + into + f, i] = np.floor(x[c.import_j + f, i] * _WH / step_wh) * step_wh
            x[row + out + f, i] = np.floor(x[c.export_j + f, i] * _WH / step_wh) * step_wh
        x[row + POWER_TOTAL, i] = quantise(total_w, e.resolution_w)
        into, out = (IMPORT_NET, EXPORT_NET) if sign > 0.0 else (EXPORT_NET, IMPORT_NET)
        x[row + into, i] = np.floor(x[c.net_import_j, i] * _WH / step_wh) * step_wh
        x[row + out, i] = np.floor(x[c.net_export_j, i] * _WH / step_wh) * step_wh
        pv_w = (x[c.pv_j, i] - x[c.meter_mark + 12, i]) / window_s
        x[row + PV_POWER, i] = quantise(pv_w, e.resolution_w)
        k[c.sampled_us + slot, i] = t_us + clock_us
        k[c.published_us + slot, i] = t_us + e.delay_us


@compiled
def read_meter(
    c: Any, e: Any, x: Any, k: Any, t_us: int, values: Any, sampled_us: Any, published_us: Any
) -> None:
    """Copy each instance's newest sample published by ``t_us`` to ``values[field, instance]``.

    ``published_us`` is −1 where there is none yet.
    """
    newest = t_us // e.period_us
    for i in range(x.shape[1]):
        published_us[i] = -1
        for back in range(c.meter_slots):
            slot = (newest - back) % c.meter_slots
            stamp = k[c.published_us + slot, i]
            if newest - back > 0 and 0 <= stamp <= t_us:
                for f in range(METER_FIELDS):
                    values[f, i] = x[c.samples + slot * METER_FIELDS + f, i]
                sampled_us[i] = k[c.sampled_us + slot, i]
                published_us[i] = stamp
                break
