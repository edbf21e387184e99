"""What the experiments ask of a device: one request at a time, timed, and nothing clever.

A driver coalesces, paces and repeats; an experiment must not, because that is what it measures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...sim.clock import US_PER_S, Clock


class ProbeError(Exception):
    """The device cannot be measured any further; one line says why."""


class NoAnswerError(Exception):
    """One request brought no value."""

    def __init__(self, message: str, *, busy: bool = False, received_us: int = -1) -> None:
        super().__init__(message)
        self.busy = busy
        """Whether the device answered that it is busy."""
        self.received_us = received_us
        """When that was; −1: it said nothing."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and its answer."""

    sent_us: int
    """Just before the request was handed over; the device did not have it earlier."""
    received_us: int
    value: float = float("nan")
    """Of a read."""

    @property
    def answer_s(self) -> float:
        """Time from request to answer."""
        return (self.received_us - self.sent_us) / US_PER_S


class Probe(Protocol):
    """One device at its endpoint, through its register map."""

    clock: Clock

    pause_s: float
    """Left between the requests of one write, if it takes several."""

    async def open(self) -> None:
        """Connect; raises `ProbeError` when nobody is there."""

    async def close(self) -> None:
        """Disconnect; what cannot be sent any more is dropped."""

    async def reconnect(self) -> None:
        """Connect anew; raises `ProbeError`."""

    async def ask(self, timeout_s: float) -> Exchange:
        """Send the smallest request that has an answer; raises `NoAnswerError`."""

    async def read(self, quantity: str, timeout_s: float) -> Exchange:
        """Read one quantity with one request; raises `NoAnswerError`."""

    async def write(self, quantity: str, value: float, timeout_s: float) -> Exchange:
        """Command a value; raises `NoAnswerError`.

        If that takes several requests, the times are those of the one with the value.
        """

    def readable(self) -> tuple[str, ...]:
        """Return the quantities with a number that can be read."""

    def rounding(self, quantity: str) -> float:
        """Return the greatest error that the register's own resolution makes, in its unit."""

    def writing_rounding(self, quantity: str) -> float:
        """Return the same of a quantity that is written."""

    async def identity(self) -> dict[str, str]:
        """Return what the device says it is: `serial`, `firmware`, `model`, as far as known."""
