"""An estimated parameter: a value, what it may be off by, and how that was found out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


class EstimateError(ValueError):
    """The samples do not tell; one line says why."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A parameter of a device.

    The true value lies within ``value ± uncertainty`` in at least 95 of 100 cases.
    """

    value: float
    uncertainty: float
    unit: str
    method: str
    """How the value and its uncertainty were found, in a few words."""
    samples: int
    note: str = ""
    """What a reader should know of it besides."""

    @classmethod
    def between(
        cls, low: float, high: float, unit: str, method: str, samples: int, note: str = ""
    ) -> Self:
        """Return the estimate whose interval has these ends."""
        return cls((low + high) / 2, (high - low) / 2, unit, method, samples, note)

    @property
    def low(self) -> float:
        """Lower end of the interval."""
        return self.value - self.uncertainty

    @property
    def high(self) -> float:
        """Upper end of the interval."""
        return self.value + self.uncertainty

    def covers(self, value: float) -> bool:
        """Return whether a value lies in the interval."""
        # What is left over from adding and subtracting is no deviation.
        slack = 1e-9 * max(abs(value), abs(self.value), 1e-3)
        return abs(value - self.value) <= self.uncertainty + slack

    def at_least(self, uncertainty: float) -> Self:
        """Return it with no less than this uncertainty."""
        return replace(self, uncertainty=max(self.uncertainty, uncertainty))

    def as_dict(self) -> dict[str, float | int | str]:
        """Return plain values."""
        return {
            "value": self.value,
            "uncertainty": self.uncertainty,
            "unit": self.unit,
            "method": self.method,
            "samples": self.samples,
            "note": self.note,
        }
