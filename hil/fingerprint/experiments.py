"""The experiments: coroutines over a `Probe`, the same in virtual time and on the wall clock.

Each returns raw observations or the estimate that the pure functions make of them. None of them
decides about safety: `session.Fingerprint` runs them inside limits and restores the device.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from ...sim.clock import US_PER_S, to_us
from .answers import estimate_gap
from .estimate import Estimate
from .probe import Exchange, NoAnswerError, Probe, ProbeError
from .series import Series

LONGEST_PAUSE_S: Final = 16.0
"""A device that does not answer even after this is given up."""
_FIRST_PAUSE_S: Final = 0.05
_MANY: Final = 200_000
_CHANGES: Final = 24
"""Of a value, from which its refresh is told."""


@dataclass(slots=True)
class Pace:
    """What is known so far of how a device wants to be asked."""

    pause_s: float = _FIRST_PAUSE_S
    """Between an answer and the next request; answered so far."""
    command_pause_s: float = 0.0
    """Between two commands."""
    timeout_s: float = 10.0
    """How long an answer is waited for."""
    busy: bool = False
    """Whether it said that it was busy when asked too early."""
    answers_s: list[float] = field(default_factory=list)
    """Of requests that did not come after a long pause."""


async def sleep(probe: Probe, seconds: float) -> None:
    """Wait in the clock's time."""
    await probe.clock.sleep_until(probe.clock.now_us + to_us(seconds))


async def find_pace(probe: Probe, pace: Pace, count: int = 60) -> None:
    """Find a pause at which every one of `count` requests is answered; keep their answer times.

    Raises:
        ProbeError: the device does not answer at any pace.
    """
    # The first answer may be a slow one: it says nothing about the others.
    await _patient(probe, pace)
    while True:
        times: list[float] = []
        try:
            for _ in range(count):
                await sleep(probe, pace.pause_s)
                times.append((await probe.ask(pace.timeout_s)).answer_s)
        except NoAnswerError as error:
            pace.busy |= error.busy
            pace.pause_s *= 2
            if pace.pause_s > LONGEST_PAUSE_S:
                raise ProbeError(f"no answer even {LONGEST_PAUSE_S:g} s apart: {error}") from None
            await sleep(probe, pace.pause_s)
            continue
        pace.answers_s = times
        pace.timeout_s = 0.3 + 4 * max(times)
        probe.pause_s = pace.pause_s
        return


async def _patient(probe: Probe, pace: Pace) -> Exchange:
    """Ask until an answer comes."""
    pause_s = pace.pause_s
    while True:
        try:
            return await probe.ask(pace.timeout_s)
        except NoAnswerError as error:
            pace.busy |= error.busy
            if pause_s > LONGEST_PAUSE_S:
                raise ProbeError(f"the device does not answer: {error}") from None
            await sleep(probe, pause_s)
            pause_s *= 2


async def first_answers(probe: Probe, pace: Pace, idle_s: float, count: int = 3) -> list[float]:
    """Return the answer times of first requests after `idle_s` without any, s."""
    times = []
    for _ in range(count):
        await sleep(probe, idle_s)
        times.append((await probe.ask(max(pace.timeout_s, 30.0))).answer_s)
    return times


async def gap_between_requests(probe: Probe, pace: Pace, longest_s: float) -> Estimate:
    """Return the least time between an answer and the next request."""

    async def answered_after(gap_s: float) -> tuple[bool, float]:
        await sleep(probe, pace.pause_s)
        first = await probe.ask(pace.timeout_s)
        if gap_s:
            await sleep(probe, gap_s)
        return await _tried(probe, pace, lambda: probe.ask(pace.timeout_s), first.received_us)

    return await estimate_gap(answered_after, longest_s=longest_s, resolution_s=0.001)


async def gap_between_commands(
    probe: Probe, pace: Pace, quantity: str, value: float, longest_s: float
) -> Estimate:
    """Return the least time from one command to the next; `value` is commanded again and again."""

    async def command() -> Exchange:
        return await probe.write(quantity, value, pace.timeout_s)

    async def answered_after(gap_s: float) -> tuple[bool, float]:
        await sleep(probe, longest_s)
        first = await command()
        await sleep(probe, pace.pause_s)
        await probe.clock.sleep_until(first.sent_us + to_us(gap_s))
        return await _tried(probe, pace, command, first.sent_us)

    return await estimate_gap(
        answered_after,
        longest_s=longest_s,
        resolution_s=0.005,
        between="a command and the next",
    )


async def _tried(
    probe: Probe, pace: Pace, request: Callable[[], object], since_us: int
) -> tuple[bool, float]:
    """Return whether a request is answered, and how long after `since_us` it was sent."""
    sent_us = probe.clock.now_us
    try:
        await request()  # type: ignore[misc]
    except NoAnswerError as error:
        pace.busy |= error.busy
        await sleep(probe, pace.pause_s)
        return False, (sent_us - since_us) / US_PER_S
    return True, (sent_us - since_us) / US_PER_S


async def watch(
    probe: Probe,
    pace: Pace,
    quantity: str,
    until: Callable[[list[Exchange]], bool],
    *,
    every_s: float | None = None,
) -> list[Exchange]:
    """Read a quantity as fast as the device allows until `until(readings)`; misses are skipped."""
    readings: list[Exchange] = []
    missed = 0
    pause_s = pace.pause_s if every_s is None else max(every_s, pace.pause_s)
    while len(readings) < _MANY:
        await sleep(probe, pause_s)
        try:
            readings.append(await probe.read(quantity, pace.timeout_s))
            missed = 0
        except NoAnswerError as error:
            missed += 1
            if missed >= 5:
                raise ProbeError(f"the device fell silent: {error}") from None
            continue
        if until(readings):
            break
    return readings


def series_of(readings: Sequence[Exchange], origin_us: int = 0) -> Series:
    """Return readings as a series whose times count from an origin, s."""
    sent = np.array([r.sent_us - origin_us for r in readings], np.float64) / US_PER_S
    received = np.array([r.received_us - origin_us for r in readings], np.float64) / US_PER_S
    return Series.of(sent, received, np.array([r.value for r in readings]))


async def moving_quantity(probe: Probe, pace: Pace, count: int = 40) -> str | None:
    """Return the readable quantity that changes most often, None if nothing does."""
    best, most = None, 0
    for quantity in probe.readable():
        readings: list[Exchange] = []
        try:
            readings = await watch(
                probe, pace, quantity, lambda seen: len(seen) >= count, every_s=0.15
            )
        except ProbeError:
            continue
        changes = int(np.count_nonzero(np.diff([r.value for r in readings])))
        if changes > most:
            best, most = quantity, changes
        if most >= count // 4:
            break
    return best if most >= 2 else None


async def refresh_series(
    probe: Probe, pace: Pace, quantity: str, *, longest_s: float = 120.0
) -> Series:
    """Return a quantity, read as fast as allowed, until it changed often enough."""
    begin_us = probe.clock.now_us

    def enough(seen: list[Exchange]) -> bool:
        if (seen[-1].received_us - begin_us) / US_PER_S >= longest_s:
            return True
        if len(seen) % 64:
            return False
        return int(np.count_nonzero(np.diff([r.value for r in seen]))) >= _CHANGES

    return series_of(await watch(probe, pace, quantity, enough), begin_us)


@dataclass(frozen=True, slots=True)
class Move:
    """One commanded set-point and what was seen of it."""

    command: Exchange
    before: float
    """Set-point before it."""
    after: float
    """Set-point."""
    readings: list[Exchange]
    """From just before the command on."""

    def series(self) -> Series:
        """Return the readings; times count from when the command was sent."""
        return series_of(self.readings, self.command.sent_us)


async def read(probe: Probe, pace: Pace, quantity: str) -> Exchange:
    """Read a quantity; ask again a device that does not answer.

    Raises:
        ProbeError: it does not, five times in a row.
    """
    for _ in range(5):
        try:
            return await probe.read(quantity, pace.timeout_s)
        except NoAnswerError as error:
            problem = error
            await sleep(probe, max(1.0, 2 * pace.pause_s))
    raise ProbeError(f"the device fell silent: {problem}")


async def command(probe: Probe, pace: Pace, quantity: str, value: float) -> Exchange:
    """Command a value; ask again, at its pace, a device that does not answer.

    Raises:
        ProbeError: it does not take the command.
    """
    for _ in range(4):
        try:
            return await probe.write(quantity, value, pace.timeout_s)
        except NoAnswerError as error:
            pace.busy |= error.busy
            problem = error
            await sleep(probe, max(1.0, 2 * pace.pause_s, pace.command_pause_s))
    raise ProbeError(f"the device does not take commands: {problem}")


async def move(
    probe: Probe,
    pace: Pace,
    command_quantity: str,
    response: str,
    values: tuple[float, float],
    *,
    still_s: float,
    patience_s: float,
    tolerance: float,
) -> Move:
    """Command a value and watch until nothing has happened for a while.

    Args:
        probe: the device.
        pace: at which it is asked.
        command_quantity: is commanded.
        response: is watched.
        values: the set-point before and the new one.
        still_s: it is over when there was no change for so long,
        patience_s: but a first effect is waited for as long as this.
        tolerance: a difference of twice this is a change.
    """
    before = [await read(probe, pace, response)]
    await sleep(probe, pace.pause_s)
    sent = await command(probe, pace, command_quantity, values[1])
    still_us, patience_us = to_us(still_s), to_us(patience_s)
    level, last_us, moved = before[0].value, sent.received_us, False

    def settled(seen: list[Exchange]) -> bool:
        nonlocal level, last_us, moved
        reading = seen[-1]
        if abs(reading.value - level) > 2 * tolerance:
            level, last_us, moved = reading.value, reading.received_us, True
        limit_us = still_us if moved else max(patience_us, still_us)
        # What never comes to rest is left after as long again.
        over = reading.received_us - sent.received_us >= 2 * max(patience_us, still_us)
        return over or reading.received_us - last_us >= limit_us

    seen = await watch(probe, pace, response, settled)
    return Move(sent, values[0], values[1], before + seen)
