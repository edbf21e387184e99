"""A whole fingerprint: the experiments in order, inside limits, and the device safe at the end.

What one experiment cannot tell does not end the others: it is listed with its reason.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from ...sim import random
from ...sim.clock import US_PER_S, to_us
from . import experiments
from .answers import estimate_first_answer, latency_distribution
from .estimate import Estimate, EstimateError
from .experiments import Move, Pace
from .limits import Limits
from .probe import NoAnswerError, Probe, ProbeError
from .quantisation import estimate_quantisation
from .refresh import LEAST_CHANGES, estimate_refresh
from .response import Step, estimate_step_response, onset, settled
from .series import Series
from .spread import estimate_watchdog

Told = Callable[[str], None]

_SAFE_TRIES: Final = 20
_SCATTER_S: Final = (2.0, 4.0, 2.0, 15.0)
"""Longest pauses before set-points, in turn."""
_EXPIRIES_ALIKE: Final = 4
_REST_S: Final = 10.0
"""A value at rest is watched for so long."""
_FIRST_TOLERANCE: Final = 0.01
"""Of the range: what is taken for a change before the noise is known."""
_BELOW: Final = 0.6
"""Of the power that there is: up to here limits are commanded."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; times in s of the clock."""

    seed: int = 1
    """Of the random set-points and pauses."""
    answers: int = 120
    """Requests that the answer times are taken from."""
    idle_s: float = 65.0
    """Pause before what may be a slow first answer."""
    first_answers: int = 2
    longest_gap_s: float = 4.0
    moves: int = 16
    """Set-points that are commanded."""
    still_s: float = 3.0
    """Without a change for this long, what was commanded has happened."""
    patience_s: float = 60.0
    """How long a first effect is waited for."""
    expiries: int = 8
    """Of the watchdog, that are waited for."""
    watchdog_limit_s: float = 180.0
    """A watchdog that has not expired by then is taken for none; 0: it is not measured."""


@dataclass(slots=True)
class Findings:
    """What was measured."""

    estimates: dict[str, Estimate] = field(default_factory=dict)
    """By name: ``refresh_s``, ``dead_time_s`` …"""
    facts: dict[str, str] = field(default_factory=dict)
    """What is no number: ``too_early``, ``rearmed_by``."""
    fallback: float | None = None
    """What the commanded quantity becomes when the watchdog expires."""
    untold: dict[str, str] = field(default_factory=dict)
    """Why a parameter could not be estimated, by name."""
    identity: dict[str, str] = field(default_factory=dict)
    answers_s: list[float] = field(default_factory=list)
    requests: int = 0
    safe: bool | None = None
    """Whether the device was measured in its safe band at the end; None: it was never left."""
    safe_note: str = ""
    complete: bool = False


class Fingerprint:
    """Measures one device."""

    def __init__(
        self,
        probe: Probe,
        limits: Limits | None,
        plan: Plan | None = None,
        tell: Told = lambda text: None,
    ) -> None:
        """Prepare.

        Args:
            probe: the device.
            limits: what may be commanded; None: nothing, only what can be measured without.
            plan: how much is measured.
            tell: is told what is being done.
        """
        self.probe, self.limits = probe, limits
        self.plan = Plan() if plan is None else plan
        self.found = Findings()
        self._tell = tell
        self._pace = Pace()
        self._rng = random.generator(self.plan.seed, "fingerprint")
        self._set: float | None = None
        """What was commanded last; None: nothing yet."""
        self._noise = 0.0
        self._refresh_s = 0.0
        self._still_s = self._took_s = self.plan.still_s
        self._moves: list[Move] = []

    async def run(self) -> Findings:
        """Measure; whatever happens, a device that was commanded is made safe.

        Raises:
            ProbeError: the device is not there, or went away.
        """
        try:
            await self.probe.open()
            await self._passive()
            if self.limits is not None:
                await self._active(self.limits)
            self.found.complete = True
        finally:
            if self._set is not None and self.limits is not None:
                await self._make_safe_whatever(self.limits)
            with contextlib.suppress(Exception):
                await self.probe.close()
        return self.found

    # -- passive -----------------------------------------------------------------------------

    async def _passive(self) -> None:
        found, pace, plan = self.found, self._pace, self.plan
        found.identity = await self.probe.identity()
        self._tell("answer times")
        await experiments.find_pace(self.probe, pace, plan.answers)
        found.answers_s = pace.answers_s
        times = latency_distribution(pace.answers_s)
        found.estimates |= {
            "answer_s": times.least,
            "answer_spread_s": times.spread,
            "answer_median_s": times.median,
            "answer_p95_s": times.p95,
        }
        self._tell("gap between requests")
        await self._estimate("min_gap_s", self._gap)
        found.facts["too_early"] = "busy" if pace.busy else "ignore"
        self._tell(f"first answer after {plan.idle_s:g} s without requests")
        await self._estimate("first_answer_s", self._first_answer)
        if self.limits is None:
            self._tell("refresh of values")
            await self._estimate("refresh_s", self._refresh_at_rest)

    async def _gap(self) -> Estimate:
        pace = self._pace
        gap = await experiments.gap_between_requests(self.probe, pace, self.plan.longest_gap_s)
        # A little more than was needed, so that no later request is lost.
        pace.pause_s = max(1.05 * gap.high + 0.002, 0.005) if gap.low > 0 else 0.01
        self.probe.pause_s = pace.pause_s
        return gap

    async def _first_answer(self) -> Estimate:
        plan = self.plan
        first = await experiments.first_answers(
            self.probe, self._pace, plan.idle_s, plan.first_answers
        )
        return estimate_first_answer(first, self._pace.answers_s)

    async def _refresh_at_rest(self) -> Estimate:
        """Estimate the refresh from a value that moves by itself."""
        quantity = await experiments.moving_quantity(self.probe, self._pace)
        if quantity is None:
            raise EstimateError("no value moves by itself")
        series = await experiments.refresh_series(self.probe, self._pace, quantity)
        refresh = estimate_refresh(series)
        self._refresh_s = refresh.high
        return refresh

    # -- active ------------------------------------------------------------------------------

    async def _active(self, limits: Limits) -> None:
        self._tell("first effect of a set-point")
        if limits.quantity == "power_limit_w":
            limits = await self._below_what_there_is(limits)
        await self._explore(limits)
        self._tell("gap between commands")
        await self._estimate("min_command_gap_s", lambda: self._command_gap(limits))
        self._tell(f"{self.plan.moves} set-points")
        for k in range(self.plan.moves):
            await self._move(limits, self._level(limits, up=k % 2 == 0))
        if "refresh_s" not in self.found.estimates:
            await self._estimate("refresh_s", self._refresh_of_moves)
        await self._estimate("resolution", lambda: self._resolution(limits))
        await self._estimate("dead_time_s", lambda: self._response(limits))
        if self.plan.watchdog_limit_s > 0:
            self._tell("watchdog")
            await self._watchdog(limits)

    async def _explore(self, limits: Limits) -> None:
        """See how long a set-point takes, and how noisy the response is."""
        resting = await self._watched(limits, _REST_S)
        # Until it is known better: what moves by less than this may be anything.
        self._noise = max(self._restless(resting), _FIRST_TOLERANCE * limits.span)
        await self._command(limits, limits.safe)
        await experiments.sleep(self.probe, 2 * self.plan.still_s)
        first = await self._move(limits, self._level(limits, up=True))
        values = [r.value for r in first.readings]
        if max(values) - min(values) <= 2 * self._tolerance(limits):
            raise ProbeError(
                f"{limits.quantity} = {first.after:g} has no effect on {limits.response} within "
                f"{self.plan.patience_s:g} s: is the device enabled?"
            )
        # What the first move took, once more: the next ones are left as long.
        last_us = self._last_change_us(first, self._tolerance(limits))
        took_s = (last_us - first.command.received_us) / US_PER_S
        self._still_s = max(self.plan.still_s, 2 * self._refresh_s, 0.5 * took_s)
        self._took_s = 1.2 * took_s + self._still_s
        await experiments.sleep(self.probe, self._still_s)
        for rest_s in (_REST_S, _REST_S / 4):
            # Commanded once more, so that no watchdog expires while the value is watched.
            await self._command(limits, first.after)
            await experiments.sleep(self.probe, self._took_s if rest_s == _REST_S else 0.0)
            await self._command(limits, first.after)
            self._noise = self._restless(await self._watched(limits, rest_s))
            if self._noise < 0.05 * abs(max(values) - min(values)):
                break

    def _restless(self, resting: Series) -> float:
        """Return how far a value at rest strays: noise, and what it wanders in a while."""
        if len(resting) < 2:
            return 0.0
        return max(settled(resting, -np.inf)[1], float(np.ptp(resting.values)) / 2)

    async def _below_what_there_is(self, limits: Limits) -> Limits:
        """Return limits below which a power limit has an effect: the sun may offer less."""
        await self._command(limits, limits.safe)
        await experiments.sleep(self.probe, 3 * self.plan.still_s)
        there = (await self.probe.read(limits.response, self._pace.timeout_s)).value
        high = _BELOW * there
        if high - limits.low < _BELOW / 4 * limits.span / 4:
            raise ProbeError(f"{there:g} {limits.unit} are too few to see a limit's effect")
        return replace(limits, high=min(limits.high, high))

    async def _command_gap(self, limits: Limits) -> Estimate:
        value = self._set if self._set is not None else limits.safe
        longest_s = max(self.plan.longest_gap_s, 2 * self._pace.pause_s)
        gap = await experiments.gap_between_commands(
            self.probe, self._pace, limits.quantity, value, longest_s
        )
        self._pace.command_pause_s = gap.high
        return gap

    async def _refresh_of_moves(self) -> Estimate:
        """Estimate the refresh from the power's ticks while it ramps."""
        parts = [experiments.series_of(move.readings) for move in self._moves]
        changes = sum(int(part.changed().sum()) for part in parts)
        if changes < LEAST_CHANGES:
            raise EstimateError(f"the value changed {changes} times; too few")
        refresh = estimate_refresh(*parts)
        self._refresh_s = refresh.high
        return refresh

    async def _resolution(self, limits: Limits) -> Estimate:
        if not limits.same_unit:
            raise EstimateError(f"{limits.response} is not in the unit of {limits.quantity}")
        levels = [self._settled(limits, move) for move in self._moves]
        tolerance = self._tolerance(limits)
        return estimate_quantisation(levels, tolerance=max(tolerance, 1e-6), unit=limits.unit)

    async def _response(self, limits: Limits) -> Estimate:
        steps = []
        for before, after in zip(self._moves[:-1], self._moves[1:], strict=True):
            level = self._settled(limits, before)
            if abs(after.readings[0].value - level) > 2 * self._tolerance(limits):
                continue  # it had not stayed: a watchdog had expired meanwhile
            steps.append(self._step(limits, before, after))
        tolerance = self._moving_tolerance(limits)
        response = estimate_step_response(steps, refresh_s=self._refresh_s, tolerance=tolerance)
        self.found.estimates["ramp_s"] = response.ramp
        return response.dead_time

    async def _watchdog(self, limits: Limits) -> None:
        estimates, untold = self.found.estimates, self.found.untold
        if "ramp_s" not in estimates:
            untold["watchdog_timeout_s"] = "dead time and ramp are not known"
            return
        early, late = [], []
        for k in range(self.plan.expiries):
            times = await self._expiry(limits)
            if times is None:
                break
            early.append(times[0])
            late.append(times[1])
            if k == 0:
                self._tell(
                    f"watchdog expired after {times[1]:.1f} s; {self.plan.expiries - 1} more"
                )
        if not early:
            await self._silent_watchdog(limits)
            return
        try:
            spread = estimate_watchdog(early, late)
        except EstimateError as problem:
            untold["watchdog_timeout_s"] = str(problem)
            return
        self.found.facts["rearmed_by"] = "write"
        estimates["watchdog_timeout_s"], estimates["watchdog_slack_s"] = spread.least, spread.width

    async def _expiry(self, limits: Limits) -> tuple[float, float] | None:
        """Wait for one expiry; return between which times after the command it was, None: none."""
        up = await self._move(limits, self._level(limits, up=True))
        # Armed anew once everything is still, so that what falls later was not commanded.
        command = await self._command(limits, up.after)
        tolerance = self._tolerance(limits)
        level = self._settled(limits, up)
        limit_us = to_us(self.plan.watchdog_limit_s)
        fell_us = 0

        def over(seen: list[Any]) -> bool:
            nonlocal fell_us
            now_us = seen[-1].received_us
            if fell_us == 0 and abs(seen[-1].value - level) > 2 * tolerance:
                fell_us = now_us
            if fell_us:
                return now_us - fell_us >= to_us(self._still_s + self._ramp_high())
            return now_us - command.sent_us >= limit_us

        seen = await experiments.watch(self.probe, self._pace, limits.response, over)
        if not fell_us:
            return None
        series = experiments.series_of(seen, command.sent_us)
        floor = float(np.mean([r.value for r in seen[-3:]]))
        if limits.same_unit:
            self.found.fallback = round(floor) if abs(floor) > tolerance else 0.0
        share = self._share(limits, level, floor, up.after)
        slack_s = (command.received_us - command.sent_us) / US_PER_S
        fall = Step(series, slack_s, level, floor, share)
        try:
            begun = onset(
                fall,
                self.found.estimates["ramp_s"],
                refresh_s=self._refresh_s,
                tolerance=self._moving_tolerance(limits),
            )
        except EstimateError:
            return None  # it came back: something else had happened
        if begun is None:
            return None
        # The device reverts like it obeys: after its dead time.
        dead = self.found.estimates["dead_time_s"]
        return begun[0] - dead.high, begun[1] - max(0.0, dead.low)

    async def _silent_watchdog(self, limits: Limits) -> None:
        """See whether it is only requests that keep a watchdog from expiring."""
        limit_s = self.plan.watchdog_limit_s
        if not await self._reverted_after(limits, limit_s):
            note = f"none within {limit_s:g} s"
            self.found.untold["watchdog_timeout_s"] = note
            return
        self.found.facts["rearmed_by"] = "request"
        self._tell("watchdog that requests keep awake: bisection")
        low_s, high_s, tried = 0.0, limit_s, 1
        while high_s - low_s > max(0.1, 0.01 * high_s):
            middle_s = (low_s + high_s) / 2
            tried += 1
            if await self._reverted_after(limits, middle_s):
                high_s = middle_s
            else:
                low_s = middle_s
        dead = self.found.estimates["dead_time_s"]
        ramp = self.found.estimates["ramp_s"]
        low_s = max(0.0, low_s - dead.high - ramp.high)
        self.found.estimates["watchdog_timeout_s"] = Estimate.between(
            low_s, high_s, "s", "bisection of the time without requests", tried
        )

    async def _reverted_after(self, limits: Limits, silent_s: float) -> bool:
        up = await self._move(limits, self._level(limits, up=True))
        level = self._settled(limits, up)
        await self._command(limits, up.after)
        await experiments.sleep(self.probe, silent_s)
        for _ in range(3):
            with contextlib.suppress(NoAnswerError):
                seen = await self.probe.read(limits.response, max(30.0, self._pace.timeout_s))
                return abs(seen.value - level) > 2 * self._tolerance(limits)
            await experiments.sleep(self.probe, self._pace.pause_s)
        raise ProbeError("the device fell silent")

    # -- parts -------------------------------------------------------------------------------

    async def _estimate(self, name: str, work: Callable[[], Awaitable[Estimate]]) -> None:
        try:
            self.found.estimates[name] = await work()
            self.found.untold.pop(name, None)
        except EstimateError as problem:
            self.found.untold[name] = str(problem)

    def _level(self, limits: Limits, *, up: bool) -> float:
        """Return a random set-point in the upper or the lower half of the range."""
        low, high = (0.55, 1.0) if up else (0.1, 0.45)
        share = float(self._rng.uniform(low, high))
        count = 2 * self.probe.writing_rounding(limits.quantity)
        value = limits.low + share * (limits.high - limits.low)
        value = round(value / count) * count if count else value
        return min(max(value, limits.low), limits.high)

    async def _command(self, limits: Limits, value: float) -> experiments.Exchange:
        # From here on the device must be made safe, even if the answer is lost.
        self._set = value if self._set is None else self._set
        await experiments.sleep(self.probe, max(self._pace.pause_s, self._pace.command_pause_s))
        sent = await experiments.command(self.probe, self._pace, limits.quantity, value)
        self._set = value
        return sent

    async def _move(self, limits: Limits, value: float) -> Move:
        """Command a value at a random phase of the device's refresh and watch what it does."""
        probe, pace = self.probe, self._pace
        before = limits.safe if self._set is None else self._set
        self._set = before
        # Moves that follow each other evenly would make a grid of their own.
        longest_s = max(self._refresh_s, pace.pause_s, _SCATTER_S[len(self._moves) % 4])
        wait_s = float(self._rng.uniform(0.0, longest_s))
        await experiments.sleep(probe, max(pace.pause_s, pace.command_pause_s) + wait_s)
        if self._moves:
            # A watchdog may have expired meanwhile; what that sets going must be over.
            await self._command(limits, before)
            await experiments.sleep(probe, self._took_s)
        done = await experiments.move(
            probe,
            pace,
            limits.quantity,
            limits.response,
            (before, value),
            still_s=self._still_s,
            patience_s=self.plan.patience_s if not self._moves else 4 * self._still_s,
            tolerance=self._tolerance(limits),
        )
        self._set = value
        self._moves.append(done)
        return done

    async def _watched(self, limits: Limits, seconds: float) -> Series:
        until_us = self.probe.clock.now_us + to_us(seconds)
        seen = await experiments.watch(
            self.probe, self._pace, limits.response, lambda r: r[-1].received_us >= until_us
        )
        return experiments.series_of(seen)

    def _tolerance(self, limits: Limits) -> float:
        """Return the greatest error of a settled value."""
        return self.probe.rounding(limits.response) + self._noise + 1e-6 * limits.span

    def _moving_tolerance(self, limits: Limits) -> float:
        """Return the greatest deviation of a moving value from a straight line: steps as well."""
        tolerance = self._tolerance(limits)
        resolution = self.found.estimates.get("resolution")
        if resolution is None or not limits.same_unit:
            return tolerance
        off = max(abs(self._settled(limits, move) - move.after) for move in self._moves)
        # Who rounds to the nearest step is never more than half of one away from the line.
        nearest = off <= resolution.high / 2 + tolerance
        return tolerance + resolution.high * (0.5 if nearest else 1.0)

    def _settled(self, limits: Limits, move: Move) -> float:
        """Return the value that a move ended at."""
        last_us = self._last_change_us(move, self._tolerance(limits))
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

    def _share(self, limits: Limits, before: float, after: float, commanded: float) -> float:
        """Return which part of the range a change is; of other units, what was commanded."""
        if limits.same_unit:
            return abs(after - before) / limits.span
        return abs(commanded - limits.safe) / limits.span

    def _step(self, limits: Limits, before: Move, after: Move) -> Step:
        begin, end = self._settled(limits, before), self._settled(limits, after)
        share = self._share(limits, begin, end, after.after)
        if not limits.same_unit:
            share = abs(after.after - before.after) / limits.span
        slack_s = (after.command.received_us - after.command.sent_us) / US_PER_S
        return Step(after.series(), slack_s, begin, end, share)

    def _ramp_high(self) -> float:
        ramp = self.found.estimates.get("ramp_s")
        return ramp.high if ramp is not None else self._still_s

    # -- safe --------------------------------------------------------------------------------

    async def _make_safe_whatever(self, limits: Limits) -> None:
        """Make the device safe even if the task is cancelled meanwhile, and say how it went."""
        work = asyncio.ensure_future(self._make_safe(limits))
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError:
                if work.cancelled():
                    break
            except Exception as problem:
                self.found.safe, self.found.safe_note = False, f"{problem}"

    async def _make_safe(self, limits: Limits) -> None:
        """Command the safe value until the device is measured in its safe band."""
        self._tell(f"back to {limits.safe:g} {limits.unit}")
        pause_s = max(1.0, self._pace.pause_s, self._pace.command_pause_s)
        problem = ""
        found = self.found
        for _ in range(_SAFE_TRIES):
            await experiments.sleep(self.probe, pause_s)
            try:
                await self.probe.write(limits.quantity, limits.safe, max(self._pace.timeout_s, 1.0))
                await experiments.sleep(self.probe, pause_s + self._still_s)
                seen = await self.probe.read(limits.response, max(self._pace.timeout_s, 1.0))
            except (NoAnswerError, ProbeError) as error:
                problem = str(error)
                with contextlib.suppress(ProbeError):
                    await self.probe.reconnect()
                continue
            if limits.band is None or limits.band.quantity != limits.response:
                found.safe = True
                found.safe_note = f"{limits.safe:g} {limits.unit} was taken; no band is declared"
                return
            rounding = self._tolerance(limits)
            if limits.band.low - rounding <= seen.value <= limits.band.high + rounding:
                found.safe = True
                found.safe_note = f"{limits.response} measured {seen.value:g}, inside the safe band"
                return
            problem = f"{limits.response} is {seen.value:g}, outside of the safe band"
        found.safe, found.safe_note = False, problem
