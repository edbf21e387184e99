"""Compiled dynamic programmes over the power level of a site's loads and the changes of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...compiled import compiled


@compiled
def _least(
    low: float, high: float, surplus: float, exported: float, weight: float, price: float
) -> float:
    """Return the least cost over low ≤ X ≤ high.

    It is ``exported·max(0, s − X) + weight·max(0, X − s) + price·X``, linear but for one kink.
    """
    best = np.inf
    middle = min(max(surplus, low), high)
    for x in (low, middle, high):
        cost = exported * max(surplus - x, 0.0) + weight * max(x - surplus, 0.0) + price * x
        best = min(best, cost)
    return best


@compiled
def cost_within_budget(
    surplus: Any,
    price: Any,
    exported: Any,
    weight: float,
    base: Any,
    scale: Any,
    refused: Any,
    forced: Any,
    most: Any,
    aside: Any,
    budget: Any,
    window_first: int,
    free_s: int,
    known_start: bool,
) -> float:
    """Return the least cost of any path of power that changes level within a budget.

    A state is a level and the changes left in this minute; or that a change is under way, and for
    how long. While one is, any power goes, and afterwards any level.

    Args:
        surplus: [T] W.
        price: [T] what a watt costs besides, per second.
        exported: [T] what a watt of export costs, per second.
        weight: λ₁.
        base: [2, L] least and greatest set-points of each level, W.
        scale: [2, T] least and greatest factor from set-point to power.
        refused: [T] W that loads can refuse without being told.
        forced: [T] W that they can take without being told.
        most: [T] W, the most that they can take.
        aside: [2, T] least and greatest power of what is not under the budget, W.
        budget: [K + 1] changes in each minute; the first is of what comes before ``window_first``.
        window_first: second at which the first whole minute begins.
        free_s: how long a change is under way, in seconds it touches.
        known_start: whether all begins at level 0.
    """
    seconds, levels = surplus.shape[0], base.shape[1]
    width = int(budget.max()) + 1
    at = np.zeros((width, levels))
    free = np.zeros((width, free_s + 1))  # [left, seconds that remain]; 0 remain: choose a level
    at_next, free_next = np.zeros((width, levels)), np.zeros((width, free_s + 1))
    here = np.zeros(levels)
    for back in range(seconds):
        t = seconds - 1 - back
        new_minute = t + 1 >= window_first and (t + 1 - window_first) % 60 == 0
        following = 0 if t + 1 < window_first else 1 + (t + 1 - window_first) // 60
        mine = 0 if t < window_first else 1 + (t - window_first) // 60
        allowed = budget[min(mine, len(budget) - 1)]
        fresh = budget[min(following, len(budget) - 1)]
        s, y, low, high = surplus[t], price[t], aside[0, t], aside[1, t]
        e = exported[t]
        anything = _least(low, most[t] + high, s, e, weight, y)
        for i in range(levels):
            least = min(max(base[0, i] * scale[0, t] - refused[t], 0.0), most[t])
            greatest = min(max(base[1, i] * scale[1, t] + forced[t], 0.0), most[t])
            here[i] = _least(least + low, greatest + high, s, e, weight, y)
        for left in range(allowed + 1):
            after = fresh if new_minute else left
            change = np.inf
            if left > 0:
                later = fresh if new_minute else left - 1
                change = anything + free[later, free_s - 1]
            best = np.inf
            for i in range(levels):
                value = min(here[i] + at[after, i], change)
                at_next[left, i] = value
                best = min(best, value)
            free_next[left, 0] = best
            for rest in range(1, free_s + 1):
                free_next[left, rest] = min(anything + free[after, rest - 1], change)
        at, at_next = at_next, at
        free, free_next = free_next, free
    first = budget[0] if window_first > 0 else budget[min(1, len(budget) - 1)]
    return float(at[first, 0] if known_start else free[first, 0])


@compiled
def follow(wanted: Any, step: float, weight: float, price: Any, path: Any) -> float:
    """Write to ``path`` [T] the levels that follow ``wanted`` best where a change has a price.

    A watt too little costs 1 a second, a watt too much ``weight``; a change at second t costs
    ``price[t]`` [T]. Levels are multiples of ``step``, as many as ``price`` was made for. Returns
    the cost. The start is level 0.
    """
    seconds = wanted.shape[0]
    levels = 0
    for t in range(seconds):
        levels = max(levels, int(wanted[t] / step) + 2)
    stay = np.zeros((seconds, levels), dtype=np.bool_)
    target = np.zeros(seconds + 1, dtype=np.int64)
    value = np.zeros(levels)
    for back in range(seconds):
        t = seconds - 1 - back
        for i in range(levels):
            x = i * step
            value[i] += max(wanted[t] - x, 0.0) + weight * max(x - wanted[t], 0.0)
        best = 0
        for i in range(levels):
            if value[i] < value[best]:
                best = i
        target[t] = best
        change = value[best] + price[t]
        for i in range(levels):
            keep = value[i] <= change
            stay[t, i] = keep
            value[i] = value[i] if keep else change
    cost = value[0]
    now = 0
    for t in range(seconds):
        if not stay[t, now]:
            now = target[t]
        path[t] = now * step
    return float(cost)
