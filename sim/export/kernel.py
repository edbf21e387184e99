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
from ..edge.meter import METER_FIELDS
from .devices import apply_due, earliest_due
from .layout import SECOND_US
from .metering import mark_window, read_tile, take_sample
from .network import load_supply, solve_voltages, store_supply
from .seconds import begin_second, load_profiles, move_tanks, report_loads
from .sending import send_tile
from .substeps import account, add_chargers, add_loads, add_pv, move_battery, settle_loads
from .tracing import write_row
from .work import MOVED, TILE, WORK


@compiled
def advance_tile(
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
    w: Any,
    n: int,
    from_us: int,
    to_us: int,
    reads: bool,
) -> None:
    """Advance one tile of ``n`` instances from one grid time to another.

    ``w`` [WORK] is the thread's own; nothing in it outlives the call.

    ``trace`` [second, column] gets each second of instance 0, again from its first row when it is
    full; with no rows nothing is traced.
    With ``reads``, rows ``reading`` then hold what a client reads at ``to_us``: a bench of one asks
    for it after every step, and a call of its own would cost more than the step.
    """
    # Not handed in as records: numba takes microseconds to look at one, and none at an array.
    c, e = rows[0], edge[0]
    load_phase = tables[c.load_phase : c.load_phase + c.loads]
    charger_phase = tables[c.charger_phase : c.charger_phase + c.chargers]
    latency_us = tables[c.latency_us :]
    t_us = from_us
    load_supply(c, x, p, w, n)
    whole = t_us % SECOND_US == 0
    for a in range(c.loads):
        w[MOVED + a] = 0.0 if whole else 1.0
    if not whole:
        load_profiles(c, x, k, p, w, profiles, n, t_us)
        settle_loads(c, x, p, w, load_phase, n)
    due_us = earliest_due(c, k, n)
    while t_us < to_us:
        if t_us % SECOND_US == 0:
            begin_second(c, e, x, k, p, q, w, profiles, fault_i, fault_f, charger_phase, n, t_us)
            settle_loads(c, x, p, w, load_phase, n)
        if due_us <= t_us:
            apply_due(c, x, k, p, q, w, charger_phase, n, t_us)
            due_us = earliest_due(c, k, n)
        if c.battery > 0:
            move_battery(c, x, p, w, n)
        add_pv(c, x, p, w, n)
        add_loads(c, x, k, p, w, load_phase, n)
        if c.chargers > 0:
            add_chargers(c, x, p, w, charger_phase, n)
        solve_voltages(c, x, w, n)
        account(c, x, w, n)
        t_us += e.step_us
        if t_us % SECOND_US == 0:
            move_tanks(c, x, p, w, profiles, load_phase, n)
            if e.report_period_us > 0:
                report_loads(c, e, x, k, w, latency_us, n, t_us)
            if trace.shape[0] > 0:
                write_row(c, e, x, k, p, q, w, trace, t_us)
        if t_us % e.period_us == 0:
            take_sample(c, e, x, k, fault_i, fault_f, n, t_us)
        if (t_us + e.window_us) % e.period_us == 0:
            mark_window(c, x, n)
    store_supply(c, x, w, n)
    if reads:
        read_tile(
            c,
            e,
            x,
            k,
            to_us,
            n,
            x[c.reading : c.reading + METER_FIELDS],
            k[c.reading_sampled_us],
            k[c.reading_published_us],
        )


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
    """
    for index in prange(x.shape[0]):
        tile = int(np.int64(index))  # unsigned in a parallel loop: min() would give a float
        advance_tile(
            rows,
            edge,
            x[tile],
            k[tile],
            p[min(tile, p.shape[0] - 1)],
            q[min(tile, q.shape[0] - 1)],
            profiles,
            tables,
            fault_i[min(tile, fault_i.shape[0] - 1)],
            fault_f[min(tile, fault_f.shape[0] - 1)],
            trace if tile == 0 else np.zeros((0, 0)),  # instance 0 is in the first
            np.empty(WORK),
            min(n - tile * TILE, TILE),
            from_us,
            to_us,
            False,
        )


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
    """Broadcast ``power_w[actuator, instance]`` at ``t_us`` where ``mask[instance]`` is set."""
    for index in prange(x.shape[0]):
        tile = int(np.int64(index))
        send_tile(
            rows,
            edge,
            x[tile],
            k[tile],
            p[min(tile, p.shape[0] - 1)],
            q[min(tile, q.shape[0] - 1)],
            np.empty(WORK),
            tables[rows[0].latency_us :],
            fault_i[min(tile, fault_i.shape[0] - 1)],
            fault_f[min(tile, fault_f.shape[0] - 1)],
            power_w,
            mask,
            t_us,
            tile * TILE,
            min(n - tile * TILE, TILE),
        )


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
    """Read each meter of one tile at ``t_us`` into ``values[field, instance]`` and stamps."""
    read_tile(rows[0], edge[0], x, k, t_us, n, values, sampled_us, published_us)


@compiled_parallel
def read_many(
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
    """Do what :func:`read` does for ``n`` instances, tile by tile over the cores."""
    for index in prange(x.shape[0]):
        tile = int(np.int64(index))
        first = tile * TILE
        last = min(first + TILE, n)
        read_tile(
            rows[0],
            edge[0],
            x[tile],
            k[tile],
            t_us,
            last - first,
            values[:, first:last],
            sampled_us[first:last],
            published_us[first:last],
        )
