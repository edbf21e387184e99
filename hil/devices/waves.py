"""Power that moves like that of a house, as a formula: its integral over time is exact."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Final

_HOUR_US: Final = 3_600_000_000
_TURN: Final = 2.0 * math.pi


def share(seed: int, *names: object) -> float:
    """Return a number in [0, 1) that belongs to a seed and names: the same on every machine."""
    text = "/".join(map(str, (seed, *names)))
    # Twice, since a checksum of similar texts is similar in its upper bits.
    first = zlib.crc32(text.encode())
    return zlib.crc32(first.to_bytes(4, "big") + text.encode()[::-1]) / 2**32


@dataclass(frozen=True, slots=True)
class Wave:
    """``mean + swing × sin(2π t / period + phase)``."""

    mean: float
    swing: float
    period_us: int
    phase: float

    def at(self, t_us: int) -> float:
        """Return the value at a time."""
        return self.mean + self.swing * math.sin(self._angle(t_us))

    def _angle(self, t_us: int) -> float:
        return _TURN * ((t_us % self.period_us) / self.period_us) + self.phase

    def plus(self, other: Wave) -> Wave:
        """Return the sum with a wave of the same period."""
        real = self.swing * math.cos(self.phase) + other.swing * math.cos(other.phase)
        imaginary = self.swing * math.sin(self.phase) + other.swing * math.sin(other.phase)
        swing, phase = math.hypot(real, imaginary), math.atan2(imaginary, real)
        return Wave(self.mean + other.mean, swing, self.period_us, phase)

    def negative(self) -> Wave:
        """Return the wave with the other sign."""
        return Wave(-self.mean, -self.swing, self.period_us, self.phase)

    def positive_wh(self, t_us: int) -> float:
        """Return what its positive part adds up to from time 0 on, in unit × hours."""
        hours = self.period_us / _HOUR_US / _TURN
        return hours * (self._total(t_us) - self._total(0))

    def _total(self, t_us: int) -> float:
        """Return ∫ max(0, mean + a·sin u) du from −π/2 to the angle at ``t_us``, a = |swing|."""
        phase = self.phase + (math.pi if self.swing < 0 else 0.0)
        swing = abs(self.swing)
        turns, rest_us = divmod(t_us, self.period_us)
        angle = _TURN * (rest_us / self.period_us) + phase + math.pi / 2
        more, angle = divmod(angle, _TURN)
        whole = _partial(self.mean, swing, _TURN)
        return (turns + more) * whole + _partial(self.mean, swing, angle)


def _partial(mean: float, swing: float, angle: float) -> float:
    """Return ∫ max(0, mean + swing·sin u) du from −π/2 to ``angle − π/2``."""
    if mean <= -swing:
        return 0.0
    begins = -math.pi / 2 if mean >= swing else math.asin(-mean / swing)
    ends = 3 * math.pi / 2 if mean >= swing else math.pi - begins
    upto = min(max(angle - math.pi / 2, begins), ends)
    return mean * (upto - begins) - swing * (math.cos(upto) - math.cos(begins))
