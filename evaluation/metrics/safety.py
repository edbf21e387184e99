"""Safety violations by kind, and the time outside the voltage band."""

from __future__ import annotations

import numpy as np

from .registry import metric
from .run import PHASES, Run

_TOLERANCE_W = 1e-6
_CUT_OUT_BIT = 2
_CUT_OUT_MARGIN_K = 1.0


@metric("count", source="commands")
def negative_commands(run: Run) -> float:
    """Control steps at which a load or charger was commanded to a negative power.

    Rows of the commands in which a guarded value is below 0, whatever the set-point for the grid:
    a load cannot deliver.
    """
    guarded = run.command_matrix("guarded")
    consumes = [a.kind in {"load", "charger"} for a in run.site.actuators]
    return float(np.count_nonzero((guarded[consumes] < -_TOLERANCE_W).any(axis=0)))


@metric("count", source="commands")
def commands_beyond_rating(run: Run) -> float:
    """Control steps at which an actuator was commanded beyond its rating.

    Rows of the commands in which a guarded value lies above the actuator's highest set-point, or
    below a battery's lowest.
    """
    guarded = run.command_matrix("guarded")
    high_w = np.array([[a.high_w] for a in run.site.actuators])
    low_w = np.array([[a.low_w if a.kind == "battery" else -np.inf] for a in run.site.actuators])
    outside = (guarded > high_w + _TOLERANCE_W) | (guarded < low_w - _TOLERANCE_W)
    return float(np.count_nonzero(outside.any(axis=0)))


@metric("s", source="state")
def fuse_overload_time(run: Run) -> float:
    """Time in which any phase's current exceeded the main fuse.

    Rows (1 s means) with a phase current above `site.main_fuse_a`.
    """
    overload = np.zeros(run.truth.rows, dtype=bool)
    for phase in PHASES:
        overload |= run.truth[f"grid.{phase}.current_a"] > run.site.main_fuse_a
    return float(run.row_s[overload].sum())


@metric("count", source="state")
def cut_outs_tripped(run: Run) -> float:
    """Tripped cut-outs: loads that were too hot for their thermostat to handle.

    Loads with bit 2 in their flags at any time.
    """
    loads = run.of_kind("load")
    flags = [np.asarray(run.truth[f"load.{a.id}.flags"], dtype=np.int64) for a in loads]
    return float(sum(bool(np.any(values & _CUT_OUT_BIT)) for values in flags))


@metric("count", source="state")
def overheated_loads(run: Run) -> float:
    """Overheated loads: tanks that got hotter than their cut-out should allow.

    Tanks that at any time were more than 1 K above `cut_out_c`.
    """
    count = 0
    for load in run.site.loads:
        if load.tank is not None and load.tank.cut_out_c is not None:
            hottest_c = float(np.max(run.truth[f"load.{load.id}.temperature_c"]))
            count += hottest_c > load.tank.cut_out_c + _CUT_OUT_MARGIN_K
    return float(count)


@metric("count", source="mixed", headline=True)
def safety_violations(run: Run) -> float:
    """Safety violations of every kind together.

    negative_commands + commands_beyond_rating + seconds of fuse_overload_time +
    cut_outs_tripped + overheated_loads.
    """
    return (
        negative_commands(run)
        + commands_beyond_rating(run)
        + fuse_overload_time(run)
        + cut_outs_tripped(run)
        + overheated_loads(run)
    )


@metric("s", rule="per phase", source="state")
def voltage_outside_time(run: Run) -> float:
    """Time in which any phase's voltage lay outside the admissible band.

    Rows with a voltage below `site.voltage_low_v` or above `site.voltage_high_v`. The band
    230 V ± 10 % is that of EN 50160, which judges 10 min means: single seconds are stricter.
    """
    outside = np.zeros(run.truth.rows, dtype=bool)
    for phase in PHASES:
        voltage_v = run.truth[f"grid.{phase}.voltage_v"]
        outside |= (voltage_v < run.site.voltage_low_v) | (voltage_v > run.site.voltage_high_v)
    return float(run.row_s[outside].sum())
