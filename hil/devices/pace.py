"""How fast an emulated device answers, and what it does with requests that come too early."""

from __future__ import annotations

from typing import Final

from .model import Timing
from .waves import share

_WRITES: Final = frozenset({5, 6, 15, 16, 22, 23})


class Pace:
    """Times of a device's answers."""

    def __init__(self, timing: Timing, seed: int) -> None:
        self._timing = timing
        self._seed = seed
        self._count = 0
        self._gap_us = round(timing.min_gap_s * 1e6)
        self._command_gap_us = round(timing.min_command_gap_s * 1e6)
        self._answer_us = round(timing.answer_s * 1e6)
        self._idle_us = round(timing.idle_s * 1e6)
        self._answered_us: int | None = None
        """When the last answer was (or will be) ready."""
        self._commanded_us: int | None = None
        self._busy: tuple[int, int] | None = None
        """From when till when requests are refused as busy."""
        self._booted_us: int | None = None
        self.early = 0
        """Requests that came too early."""

    def rebooted(self, t_us: int) -> None:
        """Be silent while the device starts."""
        self._booted_us = t_us + round(self._timing.boot_s * 1e6)
        self._answered_us = self._commanded_us = self._busy = None

    def hold_us(self, t_us: int, function: int) -> int | None:
        """Return how long a request is worked on; None: it is not answered."""
        if self._booted_us is not None and t_us < self._booted_us:
            return None
        takes_us = self._takes_us(t_us)
        if self._too_early(t_us, function):
            self.early += 1
            if self._timing.too_early == "ignore":
                return None
            self._busy = (t_us, t_us + takes_us)
            return takes_us
        self._busy = None
        self._answered_us = t_us + takes_us
        if function in _WRITES:
            self._commanded_us = t_us
        return takes_us

    def busy(self, t_us: int) -> bool:
        """Return whether what is asked now is refused as busy."""
        return self._busy is not None and self._busy[0] <= t_us <= self._busy[1]

    def _too_early(self, t_us: int, function: int) -> bool:
        answered_us, commanded_us = self._answered_us, self._commanded_us
        if answered_us is not None and t_us < answered_us + self._gap_us and self._gap_us > 0:
            return True
        waits = self._command_gap_us > 0 and commanded_us is not None and function in _WRITES
        return waits and t_us < (commanded_us or 0) + self._command_gap_us

    def _takes_us(self, t_us: int) -> int:
        self._count += 1
        takes_us = self._answer_us
        if self._timing.answer_spread_s > 0:
            takes_us += round(
                self._timing.answer_spread_s * 1e6 * share(self._seed, "answer", self._count)
            )
        last_us = self._answered_us
        if last_us is None or t_us - last_us > self._idle_us:
            takes_us = max(takes_us, round(self._timing.first_answer_s * 1e6))
        return takes_us
