"""Energy over the connection, peaks, self-consumption, and the phases' imbalance."""

from __future__ import annotations

import numpy as np

from .registry import metric
from .run import PHASES, Floats, Run

_MINUTE_ROWS = 60
_NOMINAL_V = 230.0
#: Bits of `load.<id>.flags` with which a load does not follow its set-point: thermostat open,
#: cut-out tripped, heating uncommanded, stuck on, stuck off, vanished.
_NOT_FOLLOWING = 1 | 2 | 4 | 8 | 16 | 32


@metric("Wh", rule="net", source="counter", headline=True)
def export_energy(run: Run) -> float:
    """Energy exported, net over the phases.

    Final value of the counter that nets the three phases in each 0.2 s step of the plant.
    """
    return run.last("grid.net.export_energy_wh")


@metric("Wh", rule="net", source="counter", headline=True)
def import_energy(run: Run) -> float:
    """Energy imported, net over the phases.

    Final value of the counter that nets the three phases in each 0.2 s step of the plant.
    """
    return run.last("grid.net.import_energy_wh")


@metric("Wh", rule="per phase", source="counter")
def export_energy_per_phase(run: Run) -> float:
    """Energy exported, each phase counted by itself.

    Sum of the three phases' counters; at least the net export.
    """
    return float(sum(run.last(f"grid.{phase}.export_energy_wh") for phase in PHASES))


@metric("Wh", rule="per phase", source="counter")
def import_energy_per_phase(run: Run) -> float:
    """Energy imported, each phase counted by itself.

    Sum of the three phases' counters; at least the net import.
    """
    return float(sum(run.last(f"grid.{phase}.import_energy_wh") for phase in PHASES))


@metric("Wh", rule="net", source="integrated power")
def export_energy_integrated(run: Run) -> float:
    """Energy exported, net over the phases, from the mean power of each second.

    Σ max(0, −P)·Δt with P the sum of the phases' 1 s means; at most the counter's value, which
    nets over 0.2 s. For comparison with logs of power.
    """
    return run.energy_wh(np.maximum(-run.net_power_w, 0.0))


@metric("Wh", rule="net", source="integrated power")
def import_energy_integrated(run: Run) -> float:
    """Energy imported, net over the phases, from the mean power of each second.

    Σ max(0, P)·Δt with P the sum of the phases' 1 s means; at most the counter's value.
    """
    return run.energy_wh(np.maximum(run.net_power_w, 0.0))


@metric("Wh", rule="net", source="counter")
def added_export_energy(run: Run) -> float:
    """Energy exported beyond the zero baseline's.

    export_energy minus the baseline `zero`'s: negative where the policy exports less.
    """
    return export_energy(run) - run.baseline("zero", "export_energy@1")


@metric("Wh", rule="net", source="counter")
def added_import_energy(run: Run) -> float:
    """Energy imported beyond the zero baseline's: what the loads took from the grid.

    import_energy minus the baseline `zero`'s.
    """
    return import_energy(run) - run.baseline("zero", "import_energy@1")


@metric("W", rule="net", source="power")
def peak_export_1s(run: Run) -> float:
    """Highest mean export of one second.

    max(0, max −P) over the rows, P the sum of the phases' 1 s means.
    """
    return max(0.0, float(-run.net_power_w.min()))


@metric("W", rule="net", source="power", headline=True)
def peak_export_1min(run: Run) -> float:
    """Highest mean export of any 60 s.

    max(0, max −mean(P)) over every window of 60 consecutive rows (all rows, if there are fewer).
    """
    return max(0.0, float(-sliding_mean(run.net_power_w, _MINUTE_ROWS).min()))


@metric("Wh", better=None, source="integrated power")
def pv_energy(run: Run) -> float:
    """Energy that the PV inverter delivered.

    Σ pv.power·Δt.
    """
    return run.energy_wh(run.truth["pv.power_w"])


@metric("Wh", source="integrated power")
def curtailed_energy(run: Run) -> float:
    """PV energy that was available and not delivered.

    Σ (available − delivered)·Δt; by a limit that a policy set, or by volt-watt.
    """
    return run.energy_wh(run.truth["pv.available_power_w"] - run.truth["pv.power_w"])


@metric("1", better="higher", rule="net", source="mixed", headline=True)
def self_consumption(run: Run) -> float:
    """Share of the PV energy that stayed on the site.

    1 − export_energy / pv_energy, at least 0; without PV energy there is no value.
    """
    produced_wh = pv_energy(run)
    if produced_wh <= 0:
        return float("nan")
    return max(0.0, 1.0 - export_energy(run) / produced_wh)


@metric("W", rule="per phase", source="power", headline=True)
def phase_imbalance(run: Run) -> float:
    """Imbalance of the phases: population standard deviation of grid power, averaged over time.

    mean over the rows of std(P_a, P_b, P_c), divisor 3.
    """
    return run.over_time(run.grid_power_w.std(axis=0)) / float(run.row_s.sum())


@metric("W", rule="per phase", source="power")
def added_phase_imbalance(run: Run) -> float:
    """Imbalance beyond the zero baseline's: household and PV alone are not the policy's.

    phase_imbalance minus the baseline `zero`'s; negative where the loads balance the site.
    """
    return phase_imbalance(run) - run.baseline("zero", "phase_imbalance@1")


@metric("W", rule="per phase", source="power")
def avoidable_phase_imbalance(run: Run) -> float:
    """Imbalance that the same load power, spread otherwise over the phases, would have avoided.

    Row by row: std(P) minus the least std that is possible when the total power of those loads
    that follow their set-points is spread anew over the phases, each between 0 and its loads'
    rating at the present voltage. Loads that do not follow (thermostat or cut-out open, heating
    uncommanded, stuck, vanished), household, PV, chargers and battery stay as they were. The
    least std is that of filling the phases to one level (water filling). Then averaged over time.
    """
    load_w, capacity_w = _following_loads(run)
    fixed_w = run.grid_power_w - load_w
    best_w = fixed_w + fill_level(fixed_w, capacity_w, load_w.sum(axis=0))
    excess_w = run.grid_power_w.std(axis=0) - best_w.std(axis=0)
    return run.over_time(np.maximum(excess_w, 0.0)) / float(run.row_s.sum())


def _following_loads(run: Run) -> tuple[Floats, Floats]:
    """Return power and capacity, W, per phase of the loads that follow: twice [3, rows]."""
    voltage_v = np.stack([run.truth[f"grid.{phase}.voltage_v"] for phase in PHASES])
    scale = (voltage_v / _NOMINAL_V) ** 2
    power_w, rating_w = np.zeros_like(scale), np.zeros_like(scale)
    for load in run.of_kind("load"):
        flags = np.asarray(run.truth[f"load.{load.id}.flags"], dtype=np.int64)
        follows = (flags & _NOT_FOLLOWING) == 0
        drawn_w = np.where(follows, run.truth[f"load.{load.id}.power_w"], 0.0)
        for index, share in enumerate(load.phase_shares):
            if share:
                power_w[index] += share * drawn_w
                rating_w[index] += share * load.high_w * follows
    return power_w, np.maximum(rating_w * scale, power_w)


def fill_level(floor_w: Floats, capacity_w: Floats, total_w: Floats) -> Floats:
    """Spread a total over columns so that floor plus filling is as level as possible.

    Minimises the variance of ``floor + x`` over ``0 ≤ x ≤ capacity`` with ``Σ x = total``:
    ``x = clip(level − floor, 0, capacity)``, where the level follows from the sum, which is
    piecewise linear and rising in it.

    Args:
        floor_w: [k, rows], any sign.
        capacity_w: [k, rows], ≥ 0.
        total_w: [rows], between 0 and the sum of the capacities.

    Returns:
        The filling, [k, rows].

    """
    corners = np.sort(np.concatenate([floor_w, floor_w + capacity_w]), axis=0)
    filled = np.zeros_like(corners)
    for floor, capacity in zip(floor_w, capacity_w, strict=True):
        filled += np.clip(corners - floor, 0.0, capacity)
    # The segment between two corners in which the total is reached.
    segment = np.clip((filled <= total_w).sum(axis=0) - 1, 0, len(corners) - 2)[np.newaxis]
    low = np.take_along_axis(corners, segment, axis=0)[0]
    high = np.take_along_axis(corners, segment + 1, axis=0)[0]
    below = np.take_along_axis(filled, segment, axis=0)[0]
    above = np.take_along_axis(filled, segment + 1, axis=0)[0]
    rise = above - below
    share = np.divide(total_w - below, rise, out=np.zeros_like(rise), where=rise > 0)
    level = low + np.clip(share, 0.0, 1.0) * (high - low)
    filling: Floats = np.clip(level - floor_w, 0.0, capacity_w)
    return filling


def sliding_mean(values: Floats, rows: int) -> Floats:
    """Return the mean of every window of ``rows`` consecutive values (of all, if fewer)."""
    rows = min(rows, len(values))
    sums = np.concatenate([[0.0], np.cumsum(values)])
    means: Floats = (sums[rows:] - sums[:-rows]) / rows
    return means
