"""What a serial line asks of its master: pauses between frames, and patience after a lost answer.

Modbus RTU has no transaction number: an answer is known by its unit, its function and its length
alone. So an answer that comes after its time-out could be taken for that to the next request of
the same kind. `Quiet` keeps such requests apart until the late answer has come, or may not come
any more, and lets the line fall silent after anything that was not expected. For a while after
that, and where an answer comes sooner than its bytes can have, the true one may be still to come:
`Quiet` says how long to listen for it.

Source of the times: MODBUS over Serial Line V1.02, 2.4.1 and 2.5.1.1 (modbus.org).
"""

from __future__ import annotations

import math
from typing import Final

from ...sim.clock import Clock
from .line import LineSettings
from .requests import Request

FLUSH_US: Final = 20_000
"""Silence that ends whatever was on the line: what a master can tell apart for certain."""
_TURNAROUND_US: Final = 100_000
"""What units are given to act on a broadcast, which nobody answers."""
_WARY_US: Final = 10_000_000
"""For how long after anything unexpected no answer is trusted at once."""
_MARGIN_US: Final = 100_000
"""What an answer may come later than the slowest one so far."""
_LONGEST_US: Final = 150_000
"""What is waited for a second answer because of slow ones at most; a bus must not starve."""

_Kind = tuple[int, bytes, int]


class Quiet:
    """When a master may send on a serial line."""

    def __init__(self, clock: Clock, settings: LineSettings) -> None:
        self._clock = clock
        self._settings = settings
        self._gap_us = math.ceil(settings.silence_us)
        self._free_us = clock.now_us
        self._heard_us = clock.now_us
        self._noisy = False
        self._late: dict[_Kind, int] = {}
        self._wary_us: int | None = None
        """Until when no answer is trusted at once."""
        self._paced: bool | None = None
        """Whether bytes take their time; many a pseudo terminal passes them on at once."""
        self._slowest_us = 0
        """Longest time an answer took besides that of the bytes."""

    def wire_us(self, request: int, answer: int) -> int:
        """Return what frames of so many bytes take, adapters that collect bytes included."""
        settings = self._settings
        return settings.duration_us(request + answer) + 2 * round(1e6 * settings.burst_s)

    def heard(self) -> None:
        """Bytes came that nobody waited for."""
        self._heard_us = self._clock.now_us
        self._noisy = True
        self._wary_us = self._heard_us + _WARY_US
        # What was late has most likely come with them.
        self._late.clear()

    def doubt_us(self, sent_us: int, request: int, answer: int) -> int | None:
        """Return until when another answer may come that is the true one, None: this one is it.

        `request` and `answer` are the sizes of the frames; the answer has just come.
        """
        now_us = self._clock.now_us
        wire_us = self._settings.duration_us(request + answer)
        too_soon = now_us - sent_us < wire_us
        if self._paced is None:
            self._paced = not too_soon
        wary = self._wary_us is not None and now_us < self._wary_us
        if not wary and not (too_soon and self._paced):
            took_us = min(now_us - sent_us - wire_us, _LONGEST_US)
            self._slowest_us = max(self._slowest_us, took_us)
            return None
        wait_us = self.wire_us(request, answer) + self._slowest_us + _MARGIN_US
        return max(sent_us + wait_us, now_us + FLUSH_US)

    def answered(self, unit: int, *, clean: bool) -> None:
        """An answer is complete; not clean: more came with it than belongs to it."""
        self._free_us = self._clock.now_us + self._gap_us
        if self._late:
            # A unit answers in order: what it owed before this will not come any more.
            self._late = {kind: t for kind, t in self._late.items() if kind[0] != unit}
        if not clean:
            self.heard()

    def lost(self, unit: int, request: Request, patience_us: int) -> None:
        """No answer came that fits; it may come for another `patience_us`."""
        self._free_us = self._clock.now_us + self._gap_us
        self._late[_kind(unit, request)] = self._clock.now_us + patience_us

    def broadcast(self, size: int) -> None:
        """A frame of `size` bytes was sent that nobody answers."""
        self._free_us = self._clock.now_us + self._settings.duration_us(size) + _TURNAROUND_US

    async def wait(self, unit: int, request: Request, at_most_us: int) -> None:
        """Return when a request may be sent.

        A line that babbles on is not waited for longer than `at_most_us`: checksum, unit,
        function and length tell an answer from the rest.
        """
        kind = _kind(unit, request)
        give_up_us = max(self._clock.now_us, self._free_us) + at_most_us
        while (until_us := self._until_us(kind)) > self._clock.now_us:
            if self._noisy and self._clock.now_us >= give_up_us:
                break
            await self._clock.sleep_until(until_us)
        self._noisy = False

    def _until_us(self, kind: _Kind) -> int:
        until_us = self._free_us
        if self._noisy:
            until_us = max(until_us, self._heard_us + max(FLUSH_US, self._gap_us))
        return max(until_us, self._late.get(kind, until_us))


def _kind(unit: int, request: Request) -> _Kind:
    """Return what the answer to a request is known by."""
    return unit, request.prefix, request.size
