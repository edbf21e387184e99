"""Watchdogs: commands stay away until the device reverts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

import numpy as np

from ...sim.clock import US_PER_S, to_us
from . import experiments
from .estimate import Estimate, EstimateError
from .mover import Mover
from .plan import Findings
from .probe import Exchange, NoAnswerError, ProbeError
from .response import Step, onset
from .spread import estimate_watchdog

_ALIKE: Final = 4
"""So many expiries without any visible slack are enough."""


_FIRST_ANSWER_S: Final = 30.0
"""After a long silence the answer may be slow."""


class Expiries:
    """Waits for a device's watchdog."""

    def __init__(
        self,
        mover: Mover,
        found: Findings,
        response: tuple[Estimate, Estimate],
        tell: Callable[[str], None],
    ) -> None:
        """Prepare; `response` are dead time and ramp."""
        self._mover, self._found, self._tell = mover, found, tell
        self._dead_time, self._ramp = response

    async def run(self) -> None:
        """Measure; needs dead time and ramp."""
        estimates, untold = self._found.estimates, self._found.untold
        early, late = [], []
        for k in range(self._mover.plan.expiries):
            times = await self._expiry()
            if times is None:
                break
            early.append(times[0])
            late.append(times[1])
            if k == 0:
                more = self._mover.plan.expiries - 1
                self._tell(f"watchdog expired after {times[1]:.1f} s; {more} more")
            if k + 1 >= _ALIKE and max(early) <= min(late):
                break  # they may all be the same time: more of them would tell no more
        if not early:
            await self._silent_watchdog()
            return
        try:
            spread = estimate_watchdog(early, late)
        except EstimateError as problem:
            untold["watchdog_timeout_s"] = str(problem)
            return
        self._found.facts["rearmed_by"] = "write"
        estimates["watchdog_timeout_s"], estimates["watchdog_slack_s"] = spread.least, spread.width

    async def _expiry(self) -> tuple[float, float] | None:
        """Wait for one expiry; return between which times after the command it was, None: none."""
        up = await self._mover.move(self._mover.level(up=True))
        # Armed anew once everything is still, so that what falls later was not commanded.
        command = await self._mover.command(up.after)
        tolerance = self._mover.tolerance()
        level = self._mover.settled(up)
        limit_us = to_us(self._mover.plan.watchdog_limit_s)
        fell_us: int | None = None

        def over(seen: list[Exchange]) -> bool:
            nonlocal fell_us
            now_us = seen[-1].received_us
            if fell_us is None and abs(seen[-1].value - level) > 2 * tolerance:
                fell_us = now_us
            if fell_us is not None:
                return now_us - fell_us >= to_us(self._mover.still_s + self._ramp.high)
            return now_us - command.sent_us >= limit_us

        seen = await experiments.watch(
            self._mover.probe, self._mover.pace, self._mover.limits.response, over
        )
        if fell_us is None:
            return None
        series = experiments.series_of(seen, command.sent_us)
        floor = float(np.mean([r.value for r in seen[-3:]]))
        if self._mover.limits.same_unit:
            self._found.fallback = round(floor) if abs(floor) > tolerance else 0.0
        share = self._mover.share(level, floor, up.after)
        slack_s = (command.received_us - command.sent_us) / US_PER_S
        fall = Step(series, slack_s, level, floor, share)
        try:
            begun = onset(
                fall,
                self._ramp,
                refresh_s=self._mover.refresh_s,
                tolerance=self._mover.moving_tolerance(),
            )
        except EstimateError:
            return None  # it came back: something else had happened
        if begun is None:
            return None
        # The device reverts like it obeys: after its dead time.
        dead = self._dead_time
        return begun[0] - dead.high, begun[1] - max(0.0, dead.low)

    async def _silent_watchdog(self) -> None:
        """See whether it is only requests that keep a watchdog from expiring."""
        limit_s = self._mover.plan.watchdog_limit_s
        if not await self._reverted_after(limit_s):
            note = f"none within {limit_s:g} s"
            self._found.untold["watchdog_timeout_s"] = note
            return
        self._found.facts["rearmed_by"] = "request"
        self._tell("watchdog that requests keep awake: bisection")
        low_s, high_s, tried = 0.0, limit_s, 1
        while high_s - low_s > max(0.1, 0.01 * high_s):
            middle_s = (low_s + high_s) / 2
            tried += 1
            if await self._reverted_after(middle_s):
                high_s = middle_s
            else:
                low_s = middle_s
        low_s = max(0.0, low_s - self._dead_time.high - self._ramp.high)
        self._found.estimates["watchdog_timeout_s"] = Estimate.between(
            low_s, high_s, "s", "bisection of the time without requests", tried
        )

    async def _reverted_after(self, silent_s: float) -> bool:
        up = await self._mover.move(self._mover.level(up=True))
        level = self._mover.settled(up)
        await self._mover.command(up.after)
        await experiments.sleep(self._mover.probe, silent_s)
        timeout_s = max(_FIRST_ANSWER_S, self._mover.pace.timeout_s)
        for _ in range(3):
            with contextlib.suppress(NoAnswerError):
                seen = await self._mover.probe.read(self._mover.limits.response, timeout_s)
                return bool(abs(seen.value - level) > 2 * self._mover.tolerance())
            await experiments.sleep(self._mover.probe, self._mover.pace.pause_s)
        raise ProbeError("the device fell silent")
