"""The allocator: phase targets in, a set-point for each actuator out.

Order of service: chargers (a car leaves at a time of its own), then loads, then a commanded
battery. On each phase the set-points add up to the target or to a little less, never to more,
unless minimum times keep something running.

- *Few writes.* What runs goes on running. If one load can take up a difference, only that one
  changes. Chargers follow upwards in steps of two of their own, and leave the rest to the loads.
- *Minimum times.* What was switched on stays on, at its smallest power if need be, and what was
  switched off stays off, for as long as the actuator demands.
- *Fair wear.* Where several choices fit equally well, the least worn load is switched on and the
  most worn one off. Wear is full-load hours plus 3 minutes for each switching on.
- *Battery.* It charges with what the sinks could not take; it discharges only if the targets add
  up to less than zero. A PV limit is left open.

Among the subsets of a phase's loads that may run, all are tried (at most 2⁸): nearest to the target
wins, then the fewest writes, the fewest switchings, the least wear, the lowest numbers. Loads of
coarse steps are filled first, which is exact where each step is a multiple of the finer ones.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..sim.compiled import compiled, compiled_parallel, prange
from .policy import SiteInfo

#: More loads than this on one phase are refused: the allocator tries all their subsets.
MAX_LOADS_A_PHASE: Final = 8
#: What one switching on adds to the wear, in full-load hours.
SWITCHING_WEAR_H: Final = 0.05

_BLOCK = 128  # instances that a thread takes at once
_NEVER_US = -(1 << 60)
_LOAD, _CHARGER, _BATTERY, _PV_LIMIT = 0.0, 1.0, 2.0, 3.0
_KINDS = {"load": _LOAD, "charger": _CHARGER, "battery": _BATTERY, "pv_limit": _PV_LIMIT}
# Rows of `table` (float64), one column an actuator.
_KIND, _LOW, _HIGH, _LEAST, _TOP, _STEP, _SHARE_A, _MIN_ON_US, _MIN_OFF_US = *range(7), 9, 10
_TABLE = 11
# Entries of a choice's score: compared from the first to the last, smaller is better.
_MISS, _WRITES, _SWITCHES, _WEAR, _SCORES = 0, 1, 2, 3, 4
_EPS = 1e-6


@compiled
def _floor(value: float, step: float) -> float:
    """Round down to a multiple of ``step``, forgiving rounding errors of a millionth of a step."""
    return math.floor(value / step + _EPS) * step


@compiled
def _lock(table: Any, setpoint_w: Any, since_us: Any, k: int, i: int, now_us: int) -> int:
    """Return 1 if actuator k must stay on, −1 if it must stay off, 0 if it is free."""
    elapsed = now_us - since_us[k, i]
    if setpoint_w[k, i] > 0.0:
        return 1 if elapsed < table[_MIN_ON_US, k] else 0
    return -1 if elapsed < table[_MIN_OFF_US, k] else 0


@compiled
def _charger_level(
    table: Any, k: int, current: float, lock: int, usable: bool, left: Any, room: Any
) -> float:
    """Return charger k's set-point, given what is left of the targets and the loads' room."""
    available = math.inf
    absorbed = True
    for phase in range(3):
        share = table[_SHARE_A + phase, k]
        if share > 0.0:
            available = min(available, left[phase] / share)
            absorbed = absorbed and left[phase] - current * share <= room[phase] + _EPS
    least, top, step = table[_LEAST, k], table[_TOP, k], table[_STEP, k]
    level = _floor(min(max(available, 0.0), top), step)
    if level < least:
        level = 0.0
    if lock > 0:
        level = max(level, least)
    elif lock < 0 or not usable:
        return 0.0
    follows = level < current or not absorbed or level >= current + 2.0 * step
    return level if current <= 0.0 or follows else current


@compiled
def _chargers(
    table: Any, setpoint_w: Any, locks: Any, usable: Any, wear: Any, left: Any, room: Any, out: Any
) -> None:
    """Serve the chargers of one instance: the running ones, then the others, least worn first."""
    count = table.shape[1]
    done = np.zeros(count, dtype=np.bool_)
    while True:
        chosen = -1
        for k in range(count):
            if table[_KIND, k] != _CHARGER or done[k]:
                continue
            running, best = setpoint_w[k] > 0.0, chosen >= 0 and setpoint_w[chosen] > 0.0
            fresher = not running and not best and wear[k] < wear[chosen]
            if chosen < 0 or (running and not best) or fresher:
                chosen = k
        if chosen < 0:
            return
        done[chosen] = True
        level = _charger_level(
            table, chosen, setpoint_w[chosen], locks[chosen], usable[chosen] > 0.0, left, room
        )
        out[chosen] = level
        for phase in range(3):
            left[phase] -= level * table[_SHARE_A + phase, chosen]


@compiled
def _lower(table: Any, members: Any, count: int, mask: int, excess: float, trial: Any) -> float:
    """Lower running loads by at least ``excess``; return what could not be lowered (≥ 0)."""
    for j in range(count):
        step, k = table[_STEP, members[j]], members[j]
        need = math.ceil(excess / step - _EPS) * step
        if mask >> j & 1 and trial[j] - need >= table[_LEAST, k] - _EPS:
            trial[j] -= need
            return 0.0
    for j in range(count):
        if not mask >> j & 1 or excess <= _EPS:
            continue
        k = members[j]
        step = table[_STEP, k]
        cut = min(math.ceil(excess / step - _EPS) * step, trial[j] - table[_LEAST, k])
        trial[j] -= cut
        excess -= cut
    return max(excess, 0.0)


@compiled
def _raise(
    table: Any, members: Any, count: int, mask: int, spare: float, finest: float, trial: Any
) -> float:
    """Raise running loads by up to ``spare``; return what is left of it."""
    for j in range(count):
        k = members[j]
        gain = _floor(spare, table[_STEP, k])
        if mask >> j & 1 and trial[j] + gain <= table[_TOP, k] + _EPS and spare - gain < finest:
            trial[j] += gain
            return spare - gain
    for j in range(count):
        if mask >> j & 1:
            k = members[j]
            gain = min(_floor(spare, table[_STEP, k]), table[_TOP, k] - trial[j])
            trial[j] += gain
            spare -= gain
    return spare


@compiled
def _try(
    table: Any,
    members: Any,
    count: int,
    mask: int,
    target: float,
    finest: float,
    current: Any,
    wear: Any,
    trial: Any,
    score: Any,
) -> None:
    """Set ``trial`` to the best set-points with the loads of ``mask`` running, and score them."""
    total = 0.0
    for j in range(count):
        k = members[j]
        trial[j] = 0.0
        if mask >> j & 1:
            trial[j] = min(
                max(_floor(current[k], table[_STEP, k]), table[_LEAST, k]), table[_TOP, k]
            )
        total += trial[j]
    miss = 0.0
    if total > target + _EPS:
        # more than the target is worse than any shortfall
        miss = 1e12 * _lower(table, members, count, mask, total - target, trial)
        total = 0.0
        for j in range(count):
            total += trial[j]
    if miss == 0.0 and target - total >= finest - _EPS:
        rest = _raise(table, members, count, mask, target - total, finest, trial)
        miss = math.floor(rest / finest + _EPS)
    score[_MISS] = miss
    score[_WRITES], score[_SWITCHES], score[_WEAR] = 0.0, 0.0, 0.0
    for j in range(count):
        k = members[j]
        score[_WRITES] += 1.0 if trial[j] != current[k] else 0.0
        score[_SWITCHES] += 1.0 if (trial[j] > 0.0) != (current[k] > 0.0) else 0.0
        score[_WEAR] += wear[k] if trial[j] > 0.0 else 0.0


@compiled
def _phase(
    table: Any,
    members: Any,
    count: int,
    target: float,
    locks: Any,
    usable: Any,
    current: Any,
    wear: Any,
    best: Any,
    trial: Any,
    scores: Any,
    out: Any,
) -> float:
    """Serve the loads of one phase; return the sum of their set-points.

    ``best`` and ``trial`` [8] and ``scores`` [2, 4] are working memory.
    """
    must, may, running, finest = 0, 0, 0, math.inf
    for j in range(count):
        k = members[j]
        must |= (1 if locks[k] > 0 else 0) << j
        may |= (1 if locks[k] > 0 or (locks[k] == 0 and usable[k] > 0.0) else 0) << j
        running |= (1 if current[k] > 0.0 else 0) << j
        finest = min(finest, table[_STEP, k])
    best_score, score = scores[0], scores[1]
    target = max(target, 0.0)
    first = (running & may) | must
    _try(table, members, count, first, target, finest, current, wear, best, best_score)
    # What runs may do already, with one write at most: nothing can be better.
    if best_score[_MISS] > 0.0 or best_score[_WRITES] > 1.0 or best_score[_SWITCHES] > 0.0:
        for mask in range(1 << count):
            if mask & must != must or mask & ~may or mask == first:
                continue
            _try(table, members, count, mask, target, finest, current, wear, trial, score)
            for entry in range(_SCORES):
                if score[entry] != best_score[entry]:
                    if score[entry] < best_score[entry]:
                        best[:] = trial
                        best_score[:] = score
                    break
    total = 0.0
    for j in range(count):
        out[members[j]] = best[j]
        total += best[j]
    return total


@compiled
def _others(table: Any, wanted: float, left: float, setpoint_w: Any, out: Any) -> None:
    """Set battery and PV limit; ``wanted`` is the sum of targets, ``left`` what sinks leave."""
    for k in range(table.shape[1]):
        if table[_KIND, k] == _PV_LIMIT:
            out[k] = table[_HIGH, k]
        elif table[_KIND, k] == _BATTERY:
            power = 0.0
            if wanted < 0.0:
                power = min(_floor(-wanted, table[_STEP, k]), table[_HIGH, k])
            elif left > 0.0:
                power = -min(_floor(left, table[_STEP, k]), -table[_LOW, k])
                near = setpoint_w[k] <= 0.0 and 0.0 <= setpoint_w[k] - power < 2.0 * table[_STEP, k]
                power = setpoint_w[k] if near else power
            out[k] = power


@compiled
def _allocate(
    targets_w: Any,
    table: Any,
    order: Any,
    counts: Any,
    setpoint_w: Any,
    since_us: Any,
    wear_h: Any,
    usable: Any,
    now_us: int,
    out: Any,
    first: int,
    last: int,
) -> None:
    """Allocate for instances ``first`` to ``last`` − 1; see :meth:`Allocator.allocate`."""
    actuators = table.shape[1]
    locks = np.zeros(actuators, dtype=np.int64)
    current, level, wear = np.empty(actuators), np.empty(actuators), np.empty(actuators)
    free = np.empty(actuators)
    left, room = np.empty(3), np.empty(3)
    best, trial = np.empty(MAX_LOADS_A_PHASE), np.empty(MAX_LOADS_A_PHASE)
    scores = np.empty((2, _SCORES))
    for i in range(first, last):
        for k in range(actuators):
            locks[k] = _lock(table, setpoint_w, since_us, k, i, now_us)
            current[k] = setpoint_w[k, i]
            wear[k] = wear_h[k, i]
            free[k] = usable[k, i]
        wanted = 0.0
        for phase in range(3):
            left[phase] = targets_w[phase, i]
            wanted += left[phase]
            room[phase] = 0.0
            for j in range(counts[phase]):
                k = order[phase, j]
                if locks[k] > 0 or (locks[k] == 0 and free[k] > 0.0):
                    room[phase] += table[_TOP, k]
        _chargers(table, current, locks, free, wear, left, room, level)
        for phase in range(3):
            members, count = order[phase], counts[phase]
            if count > 0:
                left[phase] -= _phase(
                    table,
                    members,
                    count,
                    left[phase],
                    locks,
                    free,
                    current,
                    wear,
                    best,
                    trial,
                    scores,
                    level,
                )
        _others(table, wanted, left[0] + left[1] + left[2], current, level)
        for k in range(actuators):
            out[k, i] = level[k]


@compiled_parallel
def _allocate_many(
    targets_w: Any,
    table: Any,
    order: Any,
    counts: Any,
    setpoint_w: Any,
    since_us: Any,
    wear_h: Any,
    usable: Any,
    now_us: int,
    out: Any,
) -> None:
    """Allocate for all instances, block by block over the cores."""
    n = targets_w.shape[1]
    for block in prange((n + _BLOCK - 1) // _BLOCK):
        first: Any = np.int64(block) * _BLOCK  # unsigned in a parallel loop, and min() a float
        last = min(first + _BLOCK, n)
        _allocate(
            targets_w,
            table,
            order,
            counts,
            setpoint_w,
            since_us,
            wear_h,
            usable,
            now_us,
            out,
            first,
            last,
        )


@compiled
def _note_sent(
    power_w: Any,
    table: Any,
    setpoint_w: Any,
    since_us: Any,
    wear_h: Any,
    seen_us: Any,
    now_us: int,
    mask: Any,
) -> None:
    """Take note of set-points sent; see :meth:`Allocator.sent`."""
    for i in range(power_w.shape[1]):
        if not mask[i]:
            continue
        hours = (now_us - seen_us[i]) / 3.6e9
        seen_us[i] = now_us
        for k in range(power_w.shape[0]):
            before, after = setpoint_w[k, i], power_w[k, i]
            if table[_KIND, k] <= _CHARGER:
                wear_h[k, i] += before / table[_HIGH, k] * hours
                if (before > 0.0) != (after > 0.0):
                    since_us[k, i] = now_us
                    wear_h[k, i] += SWITCHING_WEAR_H if after > 0.0 else 0.0
            setpoint_w[k, i] = after


class Allocator:
    """Turns phase targets of ``n`` instances of a site into set-points.

    It remembers what was sent, which is not always what it proposed: call :meth:`sent` after each
    command.
    """

    def __init__(self, site: SiteInfo, n: int = 1) -> None:
        """Allocate the memory; raise ValueError for more loads on a phase than can be tried."""
        self._table = _table(site)
        self._order, self._counts = _order(site)
        actuators = len(site.actuators)
        self.setpoint_w = np.zeros((actuators, n))
        """[A, N] set-points sent last."""
        self.wear_h = np.zeros((actuators, n))
        """[A, N] wear in full-load hours."""
        self.usable = np.ones((actuators, n))
        """[A, N] 0 where an actuator is known to refuse power: it is not switched on."""
        self._since_us = np.full((actuators, n), _NEVER_US, dtype=np.int64)
        self._seen_us = np.zeros(n, dtype=np.int64)
        self._out = np.zeros((actuators, n))
        self._everyone = np.ones(n, dtype=np.bool_)

    def reset(self, instances: Any = slice(None), now_us: int = 0) -> None:
        """Forget everything about some instances (an index, a mask, a slice; default: all)."""
        self.setpoint_w[:, instances] = 0.0
        self.wear_h[:, instances] = 0.0
        self.usable[:, instances] = 1.0
        self._since_us[:, instances] = _NEVER_US
        self._seen_us[instances] = now_us

    def allocate(self, now_us: int, targets_w: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return set-points [A, N] in W for the targets [3, N] in W, consumption positive.

        The result is the allocator's own array, overwritten at the next call. Nothing is
        remembered: the same question gives the same answer until something is sent.
        """
        arrays = (
            targets_w,
            self._table,
            self._order,
            self._counts,
            self.setpoint_w,
            self._since_us,
            self.wear_h,
            self.usable,
            now_us,
            self._out,
        )
        n = self._out.shape[1]
        if n > _BLOCK:
            _allocate_many(*arrays)
        else:
            _allocate(*arrays, 0, n)
        return self._out

    def sent(
        self, now_us: int, power_w: NDArray[np.float64], mask: NDArray[np.bool_] | None = None
    ) -> None:
        """Take note of set-points [A, N] that were sent at ``now_us`` where ``mask`` [N] is set."""
        _note_sent(
            power_w,
            self._table,
            self.setpoint_w,
            self._since_us,
            self.wear_h,
            self._seen_us,
            now_us,
            self._everyone if mask is None else mask,
        )


def _table(site: SiteInfo) -> NDArray[np.float64]:
    table = np.zeros((_TABLE, len(site.actuators)))
    for k, actuator in enumerate(site.actuators):
        step = actuator.resolution_w if actuator.resolution_w > 0.0 else 1e-3
        top = math.floor(actuator.high_w / step + _EPS) * step
        least = max(math.ceil(actuator.min_on_w / step - _EPS), 1) * step
        table[_KIND, k] = _KINDS[actuator.kind]
        table[_LOW, k], table[_HIGH, k] = actuator.low_w, max(actuator.high_w, _EPS)
        table[_LEAST, k], table[_TOP, k], table[_STEP, k] = min(least, top), top, step
        table[_SHARE_A : _SHARE_A + 3, k] = actuator.phase_shares
        table[_MIN_ON_US, k] = round(actuator.min_on_s * 1e6)
        table[_MIN_OFF_US, k] = round(actuator.min_off_s * 1e6)
    return table


def _order(site: SiteInfo) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return [3, 8] the loads of each phase, coarse steps first, and [3] their number."""
    order = np.zeros((3, MAX_LOADS_A_PHASE), dtype=np.int64)
    counts = np.zeros(3, dtype=np.int64)
    for phase, name in enumerate("abc"):
        members = [
            k
            for k, actuator in enumerate(site.actuators)
            if actuator.kind == "load" and actuator.phase_shares[phase] > 0.0
        ]
        members.sort(key=lambda k: -site.actuators[k].resolution_w)
        if len(members) > MAX_LOADS_A_PHASE:
            raise ValueError(
                f"phase {name} has {len(members)} loads; at most {MAX_LOADS_A_PHASE} fit"
            )
        if any(site.actuators[k].phase_shares[phase] != 1.0 for k in members):
            raise ValueError(f"a load on phase {name} is on several phases; loads have one each")
        counts[phase] = len(members)
        order[phase, : len(members)] = members
    return order, counts
