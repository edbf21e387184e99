"""A sampled time series of one quantity, and when each of its values can have been taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .estimate import EstimateError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """Values of a quantity, each asked for at one time and received at a later one.

    What the device did in between is not known: it took the value at some time from `sent_s` to
    `received_s`, or, if it refreshes its values only from time to time, up to one refresh before.
    """

    sent_s: Floats
    received_s: Floats
    values: Floats

    @classmethod
    def of(cls, sent_s: ArrayLike, received_s: ArrayLike, values: ArrayLike) -> Series:
        """Return a series; raises `EstimateError` when it is none."""
        sent, received = np.asarray(sent_s, np.float64), np.asarray(received_s, np.float64)
        found = cls(sent, received, np.asarray(values, np.float64))
        if not len(sent) == len(received) == len(found.values):
            raise EstimateError("times and values differ in number")
        if np.any(np.diff(sent) < 0) or np.any(received < sent):
            raise EstimateError("times go backwards")
        if not np.all(np.isfinite(found.values)):
            raise EstimateError("a value is no number")
        return found

    @classmethod
    def exact(cls, t_s: ArrayLike, values: ArrayLike) -> Series:
        """Return a series whose values were taken at these very times."""
        return cls.of(t_s, t_s, values)

    def __len__(self) -> int:
        return len(self.values)

    def shifted(self, origin_s: float) -> Series:
        """Return it with times that count from another origin."""
        return Series(self.sent_s - origin_s, self.received_s - origin_s, self.values)

    def between(self, begin_s: float, end_s: float) -> Series:
        """Return the samples that were asked for in a span of time."""
        inside = (self.sent_s >= begin_s) & (self.sent_s < end_s)
        return Series(self.sent_s[inside], self.received_s[inside], self.values[inside])

    def changed(self) -> NDArray[np.bool_]:
        """Return which values differ from the one before."""
        return np.append(False, np.diff(self.values) != 0.0)[: len(self)]

    def windows(self, refresh_s: float) -> tuple[Floats, Floats]:
        """Return the earliest and the latest time at which each value can have been taken.

        Args:
            refresh_s: no value is older than this when the device answers.

        A value that differs from the one before was taken after that one was asked for: had it
        been there, it would have been answered.
        """
        early = self.sent_s - refresh_s
        changed = self.changed()
        before = np.append(-np.inf, self.sent_s[:-1])[: len(self)]
        return np.where(changed, np.maximum(early, before), early), self.received_s
