"""Spreading a level of power over loads so that each gets the heat that it should."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ..config import WATER_J_PER_L_K, ExportPlantConfig
from .possible import FORCED, FREE, Possible
from .programme import Blocks

Floats = NDArray[np.float64]

_AHEAD_S: Final = 900.0
"""The heat that a load lacks until then decides its share."""
_COARSE: Final = 0.25
"""A load whose step is more than this part of its rating is switched rather than set."""
_GRACE_S: Final = 3.0
"""Beyond minimum times: commands arrive a little sooner or later."""
_HOT_K: Final = 0.35


class Spreader:
    """Gives loads their set-points, segment by segment, and remembers what they got.

    A load's share follows from what it lacks of the heat that the programme has for it up to a
    quarter of an hour ahead. Tanks are followed by the kernel's equations, in one step a segment.
    """

    def __init__(
        self, config: ExportPlantConfig, can: Possible, cut: Blocks, heat_wh: Floats, scale: float
    ) -> None:
        """Start with what the site has stored; ``heat_wh`` [loads, M] is the programme's."""
        self._loads, self._can, self._scale = config.loads, can, scale
        total = np.cumsum(heat_wh, axis=1)
        self._block_s = float(cut.length_s[0])
        ahead = round(_AHEAD_S / self._block_s)
        ends = np.minimum(np.arange(len(cut.first_s)) + ahead, len(cut.first_s) - 1)
        self._due_wh = total[:, ends]
        self._given_wh = np.zeros(len(config.loads))
        self._stored_wh = can.stored_wh.copy()
        self._now_w = np.zeros(len(config.loads))
        self._switched_s = np.full(len(config.loads), -math.inf)

    def spread(self, level_w: float, first_s: int, end_s: int) -> list[float]:
        """Return the loads' set-points from one second to another; their sum is near the level."""
        count = len(self._loads)
        state = self._can.state[:, first_s]
        rated = np.array([load.rated_power_w for load in self._loads])
        usable = (state == FREE) & ~self._hot()
        left_w = level_w - float(rated[state == FORCED].sum())
        lack = self._due_wh[:, min(int(first_s / self._block_s), self._due_wh.shape[1] - 1)]
        lack = np.maximum(lack - self._given_wh, 0.0) + 1e-3
        result = np.zeros(count)
        for a in sorted(range(count), key=lambda a: -lack[a]):
            if self._coarse(a):
                result[a] = self._switch(a, left_w, first_s, usable=bool(usable[a]))
                left_w -= result[a]
        fine = np.array([usable[a] and not self._coarse(a) for a in range(count)])
        result += self._fill(left_w, np.where(fine, rated, 0.0), np.where(fine, lack, 0.0))
        self._keep(result, first_s, end_s)
        return [float(value) for value in result]

    def _coarse(self, a: int) -> bool:
        load = self._loads[a]
        return (
            load.resolution_w > _COARSE * load.rated_power_w or load.min_on_s + load.min_off_s > 0
        )

    def _hot(self) -> NDArray[np.bool_]:
        hot = np.zeros(len(self._loads), dtype=np.bool_)
        for a, load in enumerate(self._loads):
            if load.tank is not None:
                top_k = load.tank.thermostat_c - load.tank.cold_water_c - _HOT_K
                hot[a] = self._stored_wh[a] >= load.tank.volume_l * WATER_J_PER_L_K / 3600 * top_k
        return hot

    def _switch(self, a: int, left_w: float, now_s: int, *, usable: bool) -> float:
        """Return the set-point of a load with few steps, minimum times kept."""
        load, before_w = self._loads[a], self._now_w[a]
        elapsed_s = now_s - self._switched_s[a]
        least_s = load.min_on_s if before_w > 0 else load.min_off_s
        locked = least_s > 0 and elapsed_s < least_s + _GRACE_S
        if before_w > 0 and locked:
            return float(before_w)
        steps = math.floor(max(left_w, 0.0) / load.resolution_w + 1e-6)
        most = math.floor(load.rated_power_w / load.resolution_w + 1e-6)
        return 0.0 if locked or not usable else min(steps, most) * load.resolution_w

    def _fill(self, left_w: float, room_w: Floats, lack: Floats) -> Floats:
        """Share out by what is lacking, each up to its rating and in its steps."""
        result = np.zeros(len(room_w))
        left_w = min(max(left_w, 0.0), float(room_w.sum()))
        for _ in range(len(room_w)):
            open_w = np.where(room_w - result > 1e-6, lack, 0.0)
            if left_w - result.sum() < 1e-6 or open_w.sum() <= 0.0:
                break
            result += open_w / open_w.sum() * (left_w - result.sum())
            result = np.minimum(result, room_w)
        steps = np.array([load.resolution_w for load in self._loads])
        floored = np.floor(result / steps + 1e-6) * steps
        for a in np.argsort(floored - result, kind="stable"):
            if left_w - floored.sum() >= steps[a] / 2 and floored[a] + steps[a] <= room_w[a]:
                floored[a] += steps[a]
        shared: Floats = floored
        return shared

    def _keep(self, result: Floats, first_s: int, end_s: int) -> None:
        """Note what was switched, and follow the tanks to the end of the segment."""
        hours = (end_s - first_s) / 3600.0
        for a, load in enumerate(self._loads):
            if (result[a] > 0) != (self._now_w[a] > 0):
                self._switched_s[a] = first_s
            forced = self._can.state[a, first_s] == FORCED
            heat_wh = (load.rated_power_w if forced else result[a]) * self._scale * hours
            self._given_wh[a] += heat_wh
            if load.tank is not None:
                per_k = load.tank.volume_l * WATER_J_PER_L_K / 3600.0
                above_k = self._stored_wh[a] / per_k
                comfort_k = load.tank.comfort_c - load.tank.cold_water_c
                room_k = load.tank.ambient_c - load.tank.cold_water_c
                drawn = float(self._can.draw_wh[a, first_s:end_s].sum())
                drawn *= min(max(above_k / comfort_k, 0.0), 1.0)
                leak = load.tank.standing_loss_w_per_k * (above_k - room_k) * hours
                self._stored_wh[a] += heat_wh - leak - drawn
        self._now_w = result.copy()
