"""The control loop: sample → observe → decide → guard → command, at every control tick.

One coroutine for both clocks. In virtual time deciding takes the *declared* delay: the command
leaves that much after sampling. On the wall clock it leaves when it is there.

**Age of a reading.** It counts from the moment at which the loop first saw the sample, by the
loop's own clock; the meter's stamp only tells one sample from the next. A meter whose clock jumps
therefore makes no reading older or younger, and what a sample went through before it could be read
(averaging, delay) is not part of its age. Before the first sample the age is infinite.

**Staleness.** When the age exceeds the policy's limit, safe values are commanded and the policy is
not asked until a new sample comes. Before the first sample the policy is not asked either; the
limit then counts from the start of the run.

**What is sent.** A command is sent when it differs from the last one that the coordinator took
(kind *change*), or when that one is older than the refresh time (kind *refresh*), so that no
device's watchdog expires; otherwise it is held. A refused command was not taken: the next tick
tries again. In the safe state every row is of kind *safe*, sent or not.

**Events.** ``staleness_start`` and ``_end``; ``meter_silent_start`` and ``_end`` (no answer at
all); ``guard``, whenever what the guard corrects changes, with its codes (none: nothing any more);
``deadline_missed`` when a step ended after the next tick was due.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ..sim.clock import US_PER_S, Clock
from ..sim.edge.meter import MeterReading
from . import streams
from .rig import SENT, Driver, ReadingError
from .streams import NOT_SENT, Log

STALE_US: Final = 5 * US_PER_S
"""An older reading is called stale in the record even if the policy takes readings of any age."""
_PROGRESS_NS: Final = 100_000_000


class EventSink(Protocol):
    """Where events go: the record."""

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        """Append one event."""


class LoopAgent(Protocol):
    """What the loop asks of an agent; arrays in W, [A] in the order of the actuators."""

    max_age_s: float | None

    interventions: tuple[str, ...]
    """Codes of what the guard corrected at the last step."""

    def observe(
        self,
        t_us: int,
        reading: MeterReading | None,
        age_s: float,
        report_w: NDArray[np.float64] | None = None,
    ) -> Any:
        """Take in what was sampled; return the observation."""

    def decide(self, observation: Any) -> NDArray[np.float64]:
        """Return a set-point for each actuator."""

    def guard(self, decided_w: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what may be commanded; what was sent last, if it is within the dead-band."""

    def sent(self, t_us: int, power_w: NDArray[np.float64]) -> None:
        """Take note of what was sent."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """Times of the loop, µs."""

    duration_us: int
    period_us: int
    decision_delay_us: int
    """Declared; from the end of sampling to the command. For virtual time only."""
    refresh_us: int

    @property
    def steps(self) -> int:
        """Number of control ticks: at 0, one period, … before the end."""
        return -(-self.duration_us // self.period_us)


class ControlLoop:
    """One agent in control of one rig for the length of a run."""

    def __init__(
        self,
        clock: Clock,
        driver: Driver,
        agent: LoopAgent,
        settings: LoopSettings,
        log: Log,
        events: EventSink,
        *,
        safe_w: NDArray[np.float64],
        reports_w: Callable[[int], NDArray[np.float64] | None],
        progress: Callable[[int], None],
    ) -> None:
        """Join the parts.

        `safe_w` is what is commanded on a stale reading, `reports_w` returns the actuators' own
        power reports at a time, `progress` is told the simulated time every tenth of a real second.
        """
        self._clock, self._driver, self._agent = clock, driver, agent
        self._settings, self._log, self._events = settings, log, events
        self._safe_w = safe_w
        self._reports_w = reports_w
        self._progress = progress
        limit_s = agent.max_age_s
        self._max_age_us: float = math.inf if limit_s is None else round(limit_s * US_PER_S)
        self._stale_us = min(self._max_age_us, STALE_US)
        self._virtual = clock.mode == "virtual"
        self._last: MeterReading | None = None
        self._seen: tuple[int, int] | None = None
        self._seen_us = 0
        self._stale = self._silent = False
        self._interventions: tuple[str, ...] = ()
        self._held_w, self._held = safe_w, b""
        self._held_us = 0
        self._next_progress_ns = 0

    async def run(self) -> None:
        """Run every tick up to the end of the run; a late loop skips the ticks that are over."""
        settings, clock = self._settings, self._clock
        step, steps, period_us = 0, settings.steps, settings.period_us
        while step < steps:
            await clock.sleep_until(step * period_us)
            await self._tick(clock.now_us)
            step += 1
            late_us = clock.now_us - step * period_us
            if late_us > 0:
                skipped = late_us // period_us
                step += skipped
                self._events.event(
                    clock.now_us, "deadline_missed", late_s=late_us / US_PER_S, skipped=skipped
                )
        await clock.sleep_until(settings.duration_us)

    async def _tick(self, t_us: int) -> None:
        """One control step."""
        log, agent = self._log, self._agent
        t0 = perf_counter_ns()
        reading = await self._read(t_us)
        reports_w = self._reports_w(t_us)
        age_s, quality = self._aged(reading, self._clock.now_us)
        log.reading(t_us, reading, age_s, quality, reports_w)
        t1 = perf_counter_ns()
        observation = agent.observe(t_us, reading, age_s, reports_w)
        t2 = t3 = t4 = perf_counter_ns()
        kind = streams.HOLD
        if self._stale:
            decided_w = guarded_w = self._safe_w
            if self._due(guarded_w, t_us) != streams.HOLD:
                kind = streams.SAFE
        elif reading is None:
            decided_w = guarded_w = self._held_w
        else:
            decided_w = agent.decide(observation)
            t3 = perf_counter_ns()
            guarded_w = agent.guard(decided_w)
            t4 = perf_counter_ns()
            if agent.interventions != self._interventions:
                self._interventions = agent.interventions
                self._events.event(t_us, "guard", codes=list(agent.interventions))
            kind = self._due(guarded_w, t_us)
        seq, status, sent_us, t5 = NOT_SENT, NOT_SENT, NOT_SENT, t4
        if kind != streams.HOLD:
            if self._virtual:
                now_us = self._clock.now_us
                await self._clock.sleep_until(now_us + self._settings.decision_delay_us)
            t5 = perf_counter_ns()
            seq, status, sent_us = await self._send(guarded_w)
        kind = streams.SAFE if self._stale else kind
        log.command(t_us, decided_w, guarded_w, seq, kind, status, sent_us)
        t6 = perf_counter_ns()
        log.timing((t0, t1, t2, t3, t4, t5, t6))
        if t6 > self._next_progress_ns:
            self._next_progress_ns = t6 + _PROGRESS_NS
            self._progress(t_us)

    async def _read(self, t_us: int) -> MeterReading | None:
        """Return the newest sample; in silence, told once, that is the last one, which ages."""
        try:
            reading = await self._driver.read(t_us)
        except ReadingError as error:
            if not self._silent:
                self._silent = True
                self._events.event(self._clock.now_us, "meter_silent_start", reason=str(error))
            return self._last
        if self._silent:
            self._silent = False
            self._events.event(self._clock.now_us, "meter_silent_end")
        self._last = reading
        return reading

    def _aged(self, reading: MeterReading | None, now_us: int) -> tuple[float, int]:
        """Return age and quality of the reading, and note when it becomes stale or fresh."""
        if reading is not None:
            identity = reading.sampled_us, reading.published_us
            if identity != self._seen:
                self._seen = identity
                self._seen_us = now_us
        age_us = now_us - self._seen_us
        stale = age_us > self._max_age_us
        if stale != self._stale:
            self._stale = stale
            what = "staleness_start" if stale else "staleness_end"
            self._events.event(now_us, what, age_s=age_us / US_PER_S)
        if reading is None:
            return math.inf, streams.NONE_YET
        return age_us / US_PER_S, streams.STALE if age_us > self._stale_us else streams.GOOD

    def _due(self, power_w: NDArray[np.float64], t_us: int) -> int:
        """Return how these set-points are to be sent: as a change, as a refresh, or not."""
        if power_w.tobytes() != self._held:
            return streams.CHANGE
        refresh = t_us - self._held_us >= self._settings.refresh_us
        return streams.REFRESH if refresh else streams.HOLD

    async def _send(self, power_w: NDArray[np.float64]) -> tuple[int, int, int]:
        """Send set-points; return (sequence number, status, time)."""
        sent_us = self._clock.now_us
        seq, status = await self._driver.write(power_w)
        if status == SENT:
            self._held_w, self._held = power_w.copy(), power_w.tobytes()
            self._held_us = sent_us
            self._agent.sent(sent_us, self._held_w)
        return seq, status, sent_us
