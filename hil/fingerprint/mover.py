"""Moving a device: set-points within limits, and what they did, for the experiments to judge."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Final

import numpy as np

from ...sim import random
from ...sim.clock import US_PER_S, to_us
from . import experiments
from .estimate import Estimate
from .experiments import Move, Pace
from .limits import Limits
from .plan import Plan
from .probe import Exchange, Probe, ProbeError
from .response import Step, settled
from .series import Series

_SCATTER_S: Final = (2.0, 4.0, 2.0, 15.0)
"""Longest pauses before set-points, in turn."""
_REST_S: Final = 10.0
"""A value at rest is watched for so long."""
_FIRST_TOLERANCE: Final = 0.01
"""Of the range: what is taken for a change before the noise is known."""
_BELOW: Final = 0.6
"""Of the power that there is: up to here limits are commanded."""


class Mover:
    """One device under command."""

    def __init__(self, probe: Probe, pace: Pace, limits: Limits, plan: Plan) -> None:
        """Prepare; nothing is commanded yet."""
        self.probe, self.pace, self.limits, self.plan = probe, pace, limits, plan
        self.touched = False
        """Whether anything was commanded: then the device has to be made safe."""
        self.moves: list[Move] = []
        self.refresh_s = 0.0
        """Upper bound of the age of a value when it is answered."""
        self.still_s = plan.still_s
        """Without a change for so long, what was commanded has happened."""
        self.resolution: Estimate | None = None
        self._took_s = plan.still_s
        self._set = self.limits.rest
        self._noise = 0.0
        self._rng = random.generator(plan.seed, "fingerprint")

    @property
    def setpoint(self) -> float:
        """What was commanded last."""
        return self._set

    async def explore(self) -> None:
        """See how long a set-point takes, and how noisy the response is."""
        if self.limits.quantity == "power_limit_w":
            await self._below_what_there_is()
        if self.limits.enable is not None:
            self.touched = True
            await experiments.sleep(self.probe, self.pace.pause_s)
            await experiments.command(self.probe, self.pace, self.limits.enable, 1.0)
        resting = await self._watched(_REST_S)
        # Until it is known better: what moves by less than this may be anything.
        self._noise = max(self._restless(resting), _FIRST_TOLERANCE * self.limits.span)
        await self.command(self.limits.rest)
        await experiments.sleep(self.probe, 2 * self.plan.still_s)
        first = await self.move(self.level(up=True))
        values = [r.value for r in first.readings]
        if max(values) - min(values) <= 2 * self.tolerance():
            raise ProbeError(
                f"{self.limits.quantity} = {first.after:g} has no effect on "
                f"{self.limits.response} within {self.plan.patience_s:g} s: is the device enabled?"
            )
        # What the first move took, once more: the next ones are left as long.
        last_us = self._last_change_us(first, self.tolerance())
        took_s = (last_us - first.command.received_us) / US_PER_S
        self.still_s = max(self.plan.still_s, 2 * self.refresh_s, 0.5 * took_s)
        self._took_s = 1.2 * took_s + self.still_s
        await experiments.sleep(self.probe, self.still_s)
        for rest_s in (_REST_S, _REST_S / 4):
            # Commanded once more, so that no watchdog expires while the value is watched.
            await self.command(first.after)
            await experiments.sleep(self.probe, self._took_s if rest_s == _REST_S else 0.0)
            await self.command(first.after)
            self._noise = self._restless(await self._watched(rest_s))
            if self._noise < 0.05 * abs(max(values) - min(values)):
                break

    def _restless(self, resting: Series) -> float:
        """Return how far a value at rest strays: noise, and what it wanders in a while."""
        if len(resting) < 2:
            return 0.0
        return max(settled(resting, -np.inf)[1], float(np.ptp(resting.values)) / 2)

    async def _below_what_there_is(self) -> None:
        """Command no limit above what the sun offers: it would have no effect."""
        await self.command(self.limits.rest)
        await experiments.sleep(self.probe, 3 * self.plan.still_s)
        there = (await experiments.read(self.probe, self.pace, self.limits.response)).value
        high = _BELOW * there
        if high - self.limits.low < _BELOW / 4 * self.limits.span / 4:
            raise ProbeError(f"{there:g} {self.limits.unit} are too few to see a limit's effect")
        self.limits = replace(self.limits, high=min(self.limits.high, high))

    def level(self, *, up: bool) -> float:
        """Return a random set-point in the upper or the lower half of the range."""
        low, high = (0.55, 1.0) if up else (0.1, 0.45)
        share = float(self._rng.uniform(low, high))
        count = 2 * self.probe.writing_rounding(self.limits.quantity)
        value = self.limits.low + share * (self.limits.high - self.limits.low)
        value = round(value / count) * count if count else value
        return min(max(value, self.limits.low), self.limits.high)

    async def command(self, value: float) -> Exchange:
        """Command a value when the device may be asked again."""
        # From here on the device must be made safe, even if the answer is lost.
        self.touched = True
        await experiments.sleep(self.probe, max(self.pace.pause_s, self.pace.command_pause_s))
        sent = await experiments.command(self.probe, self.pace, self.limits.quantity, value)
        self._set = value
        return sent

    async def move(self, value: float) -> Move:
        """Command a value at a random phase of the device's refresh and watch what it does."""
        probe, pace = self.probe, self.pace
        before = self._set
        self.touched = True
        # Moves that follow each other evenly would make a grid of their own.
        longest_s = max(self.refresh_s, pace.pause_s, _SCATTER_S[len(self.moves) % 4])
        wait_s = float(self._rng.uniform(0.0, longest_s))
        await experiments.sleep(probe, max(pace.pause_s, pace.command_pause_s) + wait_s)
        if self.moves:
            # A watchdog may have expired meanwhile; what that sets going must be over.
            await self.command(before)
            await experiments.sleep(probe, self._took_s)
        done = await experiments.move(
            probe,
            pace,
            self.limits.quantity,
            self.limits.response,
            (before, value),
            still_s=self.still_s,
            patience_s=self.plan.patience_s if not self.moves else 4 * self.still_s,
            tolerance=self.tolerance(),
        )
        self._set = value
        self.moves.append(done)
        return done

    async def _watched(self, seconds: float) -> Series:
        until_us = self.probe.clock.now_us + to_us(seconds)
        seen = await experiments.watch(
            self.probe, self.pace, self.limits.response, lambda r: r[-1].received_us >= until_us
        )
        return experiments.series_of(seen)

    def tolerance(self) -> float:
        """Return the greatest error of a settled value."""
        return self.probe.rounding(self.limits.response) + self._noise + 1e-6 * self.limits.span

    def moving_tolerance(self) -> float:
        """Return the greatest deviation of a moving value from a straight line: steps as well."""
        tolerance = self.tolerance()
        resolution = self.resolution
        if resolution is None or not self.limits.same_unit:
            return tolerance
        off = max(abs(self.settled(move) - move.after) for move in self.moves)
        # Who rounds to the nearest step is never more than half of one away from the line.
        nearest = off <= resolution.high / 2 + tolerance
        return tolerance + resolution.high * (0.5 if nearest else 1.0)

    def settled(self, move: Move) -> float:
        """Return the value that a move ended at."""
        last_us = self._last_change_us(move, self.tolerance())
        tail = [r.value for r in move.readings if r.sent_us >= last_us]
        return float(np.mean(tail[-200:]))

    @staticmethod
    def _last_change_us(move: Move, tolerance: float) -> int:
        """Return when the last reading came that differs from the end by more than noise."""
        end = move.readings[-1].value
        for reading in reversed(move.readings):
            if abs(reading.value - end) > 2 * tolerance:
                return reading.received_us
        return move.command.sent_us

    def share(self, before: float, after: float, commanded: float) -> float:
        """Return which part of the range a change is; of other units, what was commanded."""
        if self.limits.same_unit:
            return abs(after - before) / self.limits.span
        return abs(commanded - self.limits.rest) / self.limits.span

    def steps(self) -> list[Step]:
        """Return the moves that began where the one before had ended."""
        found = []
        for before, after in pairwise(self.moves):
            level = self.settled(before)
            # Had it not stayed there, a watchdog had expired meanwhile.
            if abs(after.readings[0].value - level) <= 2 * self.tolerance():
                found.append(self._step(before, after))
        return found

    def _step(self, before: Move, after: Move) -> Step:
        begin, end = self.settled(before), self.settled(after)
        share = self.share(begin, end, after.after)
        if not self.limits.same_unit:
            share = abs(after.after - before.after) / self.limits.span
        slack_s = (after.command.received_us - after.command.sent_us) / US_PER_S
        return Step(after.series(), slack_s, begin, end, share)
