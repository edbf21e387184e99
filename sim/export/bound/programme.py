"""The linear programme behind the bound.

**Power.** In each second the net power is ``X − s``: what the devices take minus the surplus s
(sun minus household), both constant or averaged over the second. Its cost, ``max(0, −net) +
λ₁·max(0, net)``, is convex, so that the cost of the mean is at most the mean of the costs of the
five sub-steps (Jensen). It has slope −1 while there is export and λ₁ from there on, whatever the
second. So over a block of seconds with the devices' total between ``lo_t`` and ``hi_t`` the least
cost for a given energy X is *exactly* ``K + max(0, A − X) + λ₁·max(0, X − A)`` with
``A = Σ clip(s_t, lo_t, hi_t)`` and K the cost of taking just that. One variable a block and
device instead of one a second, and nothing lost. PV that is curtailed, by a policy or by volt-watt,
is left out: one watt less raises "curtailed" by one and lowers the cost of net power by at most
one.

**Tanks.** With e the energy above cold water, a second does ``e' = e + heat − leak(e) − drawn(e)``.
Over a block the leak is at most what it is at ``e₀ + Q + g`` and at least what it is at
``e₁ − Q − g`` (e₀, e₁ energy at both ends, Q heat of the block, g what a warmer room adds). What is
drawn in a second is at most ``w·e / e_comfort``, so that every second leaves at least ``1 − w /
e_comfort`` of what there is, and the block draws at most
``(1 − Π(1 − w / e_comfort))·(e₀ + Q + g)`` (induction from its last second back); it may be less in
the programme, never more. A thermostat opens before the second that follows on its temperature:
energy never exceeds that by more than one second of heat. Forced heating, ramps, minimum times,
whole amperes and resolutions are left out: each would only restrict further.

Energies in Wh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..config import WATER_J_PER_L_K, Battery, ExportPlantConfig, Tank
from .model import Weights
from .possible import Possible
from .solver import Programme

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]

H: Final = 1.0 / 3600.0
_MIDDLE_COST: Final = 0.02
_LEAST_CUT_WH: Final = 0.5
_NO_CUTS: Final = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True, slots=True)
class Blocks:
    """The run cut into blocks."""

    first_s: Numbers
    """[M] where each begins."""
    length_s: Floats
    """[M]"""

    def sums(self, rows: Floats) -> Floats:
        """Return sums over the blocks of [..., T] as [..., M]."""
        result: Floats = np.add.reduceat(rows, self.first_s, axis=-1)
        return result


def blocks(seconds: int, block_s: int) -> Blocks:
    """Cut a run into blocks of ``block_s`` seconds; the last may be shorter."""
    first = np.arange(0, seconds, block_s)
    length = np.diff(np.append(first, seconds)).astype(np.float64)
    return Blocks(first, length)


@dataclass(frozen=True, slots=True)
class Model:
    """The programme with where its parts lie."""

    programme: Programme
    constant: float
    """What every plan costs, Wh: the objective lacks it."""
    fixed_power: float
    """The part of it that the power side causes (Σ K)."""
    balance: Numbers
    """[M] rows: what devices take is A and what is above or below."""
    fitting_wh: Floats
    """[M] A: what the devices would take to leave neither export nor import."""
    spread: tuple[Floats, Floats]
    """How far below and above A they can be, twice [M]."""
    under: Numbers
    """[M] columns: by how much less is taken than A."""
    over: Numbers
    """[M] columns: by how much more."""
    heat: Numbers
    """[loads, M] columns."""
    battery: tuple[Numbers, Numbers] | None
    """Columns of what the battery takes and gives, twice [M]."""
    charge: tuple[Numbers, ...]
    """Columns by session."""
    charge_blocks: tuple[Numbers, ...]
    """Blocks of these."""
    cuts: Numbers
    """Rows that say how much is exported where some devices lack room."""
    cut_blocks: Numbers
    """Blocks of these."""
    full_wh: Floats
    """[M] what is exported even with all devices at their most."""


def build(
    config: ExportPlantConfig,
    can: Possible,
    weights: Weights,
    cut: Blocks,
    *,
    margin_k: float = 0.0,
) -> Model:
    """Build the programme.

    Args:
        config: the plant.
        can: what it can do.
        weights: of the objective.
        cut: the blocks.
        margin_k: 0 for a bound; more keeps tanks that much below their thermostats, for a plan.
    """
    lp = Programme()
    count = len(cut.first_s)
    low_w = -can.battery_out_w
    high_w = can.load_w.sum(axis=0) + can.charger_w.sum(axis=0) + can.battery_in_w
    fit_w = np.clip(can.surplus_w, low_w, high_w)
    left_w = can.surplus_w - fit_w
    cost_w = np.maximum(left_w, 0.0) + weights.import_weight * np.maximum(-left_w, 0.0)
    fixed = float(cost_w.sum()) * H
    fitting = cut.sums(fit_w) * H
    below = fitting - cut.sums(low_w) * H
    above = cut.sums(high_w) * H - fitting
    under = lp.add_columns(1.0, 0.0, np.maximum(below, 0.0), count)
    over = lp.add_columns(weights.import_weight, 0.0, np.maximum(above, 0.0), count)
    balance = lp.add_rows(fitting, fitting, count)
    lp.put(balance, under, 1.0)
    lp.put(balance, over, -1.0)
    heat = np.array(
        [lp.add_columns(0.0, 0.0, cut.sums(row) * H, count) for row in can.load_w], dtype=np.int64
    ).reshape(len(config.loads), count)
    lp.put(balance, heat, 1.0)
    if margin_k > 0.0 and can.sessions:
        _keep_in_the_middle(lp, cut.sums(can.load_w.sum(axis=0)) * H, heat)
    stored_wh = 0.0
    ends: list[int] = []
    most_back = 0.0
    constant = fixed
    for a, load in enumerate(config.loads):
        if load.tank is not None:
            end, least = _tank(lp, load.tank, can, a, weights, cut, heat[a], margin_k)
            constant += weights.unserved_weight * float(can.draw_wh[a].sum())
            ends.append(end)
            stored_wh += can.stored_wh[a]
            most_back += can.stored_wh[a] - least
    battery = None
    if config.battery is not None:
        end, start, battery = _battery(lp, config.battery, can, cut, balance)
        ends.append(end)
        stored_wh += start
        most_back += start
    if ends:
        lacking = lp.add_columns(weights.import_weight, 0.0, max(most_back, 0.0), 1)
        row = lp.add_rows(stored_wh, np.inf, 1)
        lp.put(row, lacking, 1.0)
        lp.put(row, np.array(ends), 1.0)
    charge, where, missing = _cars(lp, can, weights, cut, balance)
    outside = [(columns, blocks_) for columns, blocks_ in zip(charge, where, strict=True)]
    if battery is not None:
        outside.append((battery[0], np.arange(count)))
    full = cut.sums(np.maximum(can.surplus_w - high_w, 0.0)) * H
    cuts = _NO_CUTS
    if margin_k == 0.0:  # a plan need not know why something is exported
        cuts = _cuts(lp, config, can, cut, under, heat, outside, fitting, full)
    sides = balance, fitting, (below, above), under, over
    return Model(lp, constant + missing, fixed, *sides, heat, battery, charge, where, *cuts, full)


def _cuts(
    lp: Programme,
    config: ExportPlantConfig,
    can: Possible,
    cut: Blocks,
    under: Numbers,
    heat: Numbers,
    outside: list[tuple[Numbers, Numbers]],
    fitting: Floats,
    full: Floats,
) -> tuple[Numbers, Numbers]:
    """Add what the loads' ratings demand where others have no room; return rows and their blocks.

    Whatever the loads S do, each second exports at least ``s − c(S)`` less what all other devices
    take, so that a block exports at least ``Σ max(0, s − c(S)) − Σ others``. Without this one load
    could make up in some seconds for the rating of another. S are all loads, then all but the one
    with the least room, and so on; rows that say nothing new are left out.
    """
    rows_found, blocks_found = [], []
    asked = can.draw_wh.sum(axis=1)
    room_h = np.full(len(config.loads), np.inf)
    for a, load in enumerate(config.loads):
        if load.tank is not None:
            wh_per_k = load.tank.volume_l * WATER_J_PER_L_K * H
            top = wh_per_k * (load.tank.thermostat_c - load.tank.cold_water_c)
            room_h[a] = (top - can.stored_wh[a] + asked[a]) / load.rated_power_w
    order = np.argsort(room_h, kind="stable")
    for left_out in range(len(order) + 1):
        capacity_w = can.load_w[order[left_out:]].sum(axis=0)
        demanded = cut.sums(np.maximum(can.surplus_w - capacity_w, 0.0)) * H - full
        known = np.maximum(fitting - cut.sums(capacity_w) * H, 0.0)
        useful = np.flatnonzero(demanded > known + _LEAST_CUT_WH)
        if not len(useful):
            continue
        rows = lp.add_rows(demanded[useful], np.inf, len(useful))
        lp.put(rows, under[useful], 1.0)
        for a in order[:left_out]:
            lp.put(rows, heat[a, useful], 1.0)
        for columns, where in outside:
            _, mine, theirs = np.intersect1d(useful, where, return_indices=True)
            lp.put(rows[mine], columns[theirs], 1.0)
        rows_found.append(rows)
        blocks_found.append(useful)
    if not rows_found:
        return _NO_CUTS
    return np.concatenate(rows_found), np.concatenate(blocks_found)


def _keep_in_the_middle(lp: Programme, most_wh: Floats, heat: Numbers) -> None:
    """For a plan: loads at half power where it does not matter otherwise.

    Cars are slow to follow, loads are quick: these should have room in both directions.
    """
    count = len(most_wh)
    away = [lp.add_columns(_MIDDLE_COST, 0.0, most_wh, count) for _ in range(2)]
    rows = lp.add_rows(most_wh / 2.0, most_wh / 2.0, count)
    lp.put(rows, heat, 1.0)
    lp.put(rows, away[0], 1.0)
    lp.put(rows, away[1], -1.0)


def _tank(
    lp: Programme,
    tank: Tank,
    can: Possible,
    a: int,
    weights: Weights,
    cut: Blocks,
    heat: Numbers,
    margin_k: float,
) -> tuple[int, float]:
    """Add one tank; return the column of its final energy, and the least that it can hold."""
    count = len(cut.first_s)
    wh_per_k = tank.volume_l * WATER_J_PER_L_K * H
    start = float(can.stored_wh[a])
    comfort = wh_per_k * (tank.comfort_c - tank.cold_water_c)
    loss, room_k = tank.standing_loss_w_per_k, tank.ambient_c - tank.cold_water_c
    one_second = float(can.load_w[a].max(initial=0.0)) * H
    top = wh_per_k * max(tank.thermostat_c - tank.cold_water_c, room_k) + one_second
    if margin_k > 0.0:
        top = wh_per_k * max(tank.thermostat_c - margin_k - tank.cold_water_c, room_k)
    most = max(start, top)
    # Below cold water only a colder room leads, and a draw that empties what then still leaks.
    hourly = loss * (most / wh_per_k - room_k)
    least = min(start, 0.0, wh_per_k * room_k) - max(hourly, 0.0) * H - 1e-6
    hours = cut.length_s * H
    gain = loss * hours * max(room_k - least / wh_per_k, 0.0)
    energy = lp.add_columns(0.0, least, most, count)
    asked = cut.sums(can.draw_wh[a])
    drawn = lp.add_columns(-weights.unserved_weight, 0.0, asked, count)
    alpha = loss * hours / wh_per_k
    room = loss * hours * room_k
    before = np.zeros(count)
    before[0] = start
    upper = lp.add_rows(-np.inf, before + alpha * gain + room, count)
    lp.put(upper, energy, 1.0 + alpha)
    lp.put(upper[1:], energy[:-1], -1.0)
    lp.put(upper, heat, -(1.0 + alpha))
    lp.put(upper, drawn, 1.0)
    lower = lp.add_rows((1.0 - alpha) * before - alpha * gain + room, np.inf, count)
    lp.put(lower, energy, 1.0)
    lp.put(lower[1:], energy[:-1], -(1.0 - alpha[1:]))
    lp.put(lower, heat, -(1.0 - alpha))
    lp.put(lower, drawn, 1.0)
    wanted = np.flatnonzero(asked > 0.0)
    if len(wanted):
        # Each second leaves at least (1 − w / e_comfort); of e − least, which is never negative.
        left = np.log1p(-np.minimum(can.draw_wh[a] / comfort, 1.0 - 1e-12))
        part = -np.expm1(cut.sums(left))[wanted]
        right = part * (before[wanted] + gain[wanted] + max(-least, 0.0))
        rows = lp.add_rows(-np.inf, right, len(wanted))
        lp.put(rows, drawn[wanted], 1.0)
        lp.put(rows, heat[wanted], -part)
        later = wanted > 0
        lp.put(rows[later], energy[wanted[later] - 1], -part[later])
    return int(energy[-1]), least


def _battery(
    lp: Programme, battery: Battery, can: Possible, cut: Blocks, balance: Numbers
) -> tuple[int, float, tuple[Numbers, Numbers]]:
    """Add the battery; return the column of its final energy, that at the start, and its flows."""
    count = len(cut.first_s)
    start = battery.initial_soc * battery.capacity_wh
    most_in, most_out = cut.sums(can.battery_in_w) * H, cut.sums(can.battery_out_w) * H
    taken = lp.add_columns(0.0, 0.0, most_in, count)
    given = lp.add_columns(0.0, 0.0, most_out, count)
    low, high = battery.soc_min * battery.capacity_wh, battery.soc_max * battery.capacity_wh
    energy = lp.add_columns(0.0, low, high, count)
    lp.put(balance, taken, 1.0)
    lp.put(balance, given, -1.0)
    before = np.zeros(count)
    before[0] = start
    rows = lp.add_rows(before, before, count)
    lp.put(rows, energy, 1.0)
    lp.put(rows[1:], energy[:-1], -1.0)
    lp.put(rows, taken, -battery.charge_efficiency)
    lp.put(rows, given, 1.0 / battery.discharge_efficiency)
    return int(energy[-1]), start, (taken, given)


def _cars(
    lp: Programme, can: Possible, weights: Weights, cut: Blocks, balance: Numbers
) -> tuple[tuple[Numbers, ...], tuple[Numbers, ...], float]:
    """Add each car's stay; return its columns, their blocks, and what it costs to give nothing."""
    columns, where, missing = [], [], 0.0
    for stay in can.sessions:
        there_w = np.zeros(can.seconds)
        there_w[stay.first_s : stay.end_s] = can.charger_w[stay.charger, stay.first_s : stay.end_s]
        most = cut.sums(there_w) * H
        inside = np.flatnonzero(most > 0.0)
        cost = -weights.unserved_weight if stay.counts else 0.0
        missing += weights.unserved_weight * stay.wanted_wh if stay.counts else 0.0
        given = lp.add_columns(cost, 0.0, most[inside], len(inside))
        lp.put(balance[inside], given, 1.0)
        row = lp.add_rows(-np.inf, stay.wanted_wh, 1)
        lp.put(row, given, 1.0)
        columns.append(given)
        where.append(inside)
    return tuple(columns), tuple(where), missing
