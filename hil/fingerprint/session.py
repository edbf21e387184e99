"""A whole fingerprint: the experiments in order, inside limits, and the device safe at the end.

What one experiment cannot tell does not end the others: it is listed with its reason.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

from . import experiments
from .answers import estimate_first_answer, latency_distribution
from .estimate import Estimate, EstimateError
from .experiments import Pace
from .expiry import Expiries
from .limits import Limits
from .mover import Mover
from .plan import Findings, Plan
from .probe import NoAnswerError, Probe, ProbeError
from .quantisation import estimate_quantisation
from .refresh import LEAST_CHANGES, estimate_refresh
from .response import estimate_step_response
from .restoring import make_safe


class Fingerprint:
    """Measures one device."""

    def __init__(
        self,
        probe: Probe,
        limits: Limits | None,
        plan: Plan | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        """Prepare.

        Args:
            probe: the device.
            limits: what may be commanded; None: nothing, only what can be measured without.
            plan: how much is measured.
            tell: is told what is being done.
        """
        self.probe = probe
        self.plan = Plan() if plan is None else plan
        self.found = Findings()
        self._tell = tell
        self._pace = Pace()
        self._mover: Mover | None = None
        if limits is not None:
            self._mover = Mover(probe, self._pace, limits, self.plan)

    async def run(self) -> Findings:
        """Measure; whatever happens, a device that was commanded is made safe.

        Raises:
            ProbeError: the device is not there, or went away.
        """
        mover = self._mover
        try:
            await self.probe.open()
            await self._passive()
            if mover is not None:
                await self._active(mover)
            self.found.complete = True
        except NoAnswerError as error:
            raise ProbeError(f"the device fell silent: {error}") from None
        finally:
            if mover is not None and mover.touched:
                self._tell(f"back to {mover.limits.safe_quantity} = {mover.limits.safe_value:g}")
                await make_safe(mover, self.found)
            with contextlib.suppress(Exception):
                await self.probe.close()
        return self.found

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
        if self._mover is None:
            self._tell("refresh of values")
            await self._estimate("refresh_s", self._refresh_at_rest)

    async def _active(self, mover: Mover) -> None:
        found, plan = self.found, self.plan
        self._tell("first effect of a set-point")
        await mover.explore()
        self._tell("gap between commands")
        await self._estimate("min_command_gap_s", lambda: self._command_gap(mover))
        self._tell(f"{plan.moves} set-points")
        for k in range(plan.moves):
            await mover.move(mover.level(up=k % 2 == 0))
        await self._estimate("refresh_s", lambda: self._refresh_of_moves(mover))
        await self._estimate("resolution", lambda: self._resolution(mover))
        await self._estimate("dead_time_s", lambda: self._response(mover))
        if plan.watchdog_limit_s <= 0:
            return
        self._tell("watchdog")
        if "dead_time_s" not in found.estimates:
            found.untold["watchdog_timeout_s"] = "dead time and ramp are not known"
            return
        response = found.estimates["dead_time_s"], found.estimates["ramp_s"]
        await Expiries(mover, found, response, self._tell).run()

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
        return estimate_refresh(series)

    async def _command_gap(self, mover: Mover) -> Estimate:
        value = mover.setpoint
        longest_s = max(self.plan.longest_gap_s, 2 * self._pace.pause_s)
        gap = await experiments.gap_between_commands(
            self.probe, self._pace, mover.limits.quantity, value, longest_s
        )
        self._pace.command_pause_s = gap.high
        return gap

    async def _refresh_of_moves(self, mover: Mover) -> Estimate:
        """Estimate the refresh from the power's ticks while it ramps."""
        parts = [experiments.series_of(move.readings) for move in mover.moves]
        changes = sum(int(part.changed().sum()) for part in parts)
        if changes < LEAST_CHANGES:
            raise EstimateError(f"the value changed {changes} times; too few")
        refresh = estimate_refresh(*parts)
        mover.refresh_s = refresh.high
        return refresh

    async def _resolution(self, mover: Mover) -> Estimate:
        limits = mover.limits
        if not limits.same_unit:
            raise EstimateError(f"{limits.response} is not in the unit of {limits.quantity}")
        levels = [mover.settled(move) for move in mover.moves]
        tolerance = max(mover.tolerance(), 1e-6)
        mover.resolution = estimate_quantisation(levels, tolerance=tolerance, unit=limits.unit)
        return mover.resolution

    async def _response(self, mover: Mover) -> Estimate:
        response = estimate_step_response(
            mover.steps(), refresh_s=mover.refresh_s, tolerance=mover.moving_tolerance()
        )
        self.found.estimates["ramp_s"] = response.ramp
        return response.dead_time

    async def _estimate(self, name: str, work: Callable[[], Awaitable[Estimate]]) -> None:
        try:
            self.found.estimates[name] = await work()
            self.found.untold.pop(name, None)
        except EstimateError as problem:
            self.found.untold[name] = str(problem)
