"""What stands between a server and its transport, frame by frame: the tape's tap, and faults.

A *request* goes from the host to a device, an *answer* from a device to the host, whether it was
asked for or not. Servers and drivers take both as optional; without them a frame costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

Direction = Literal["request", "answer"]


class Tap(Protocol):
    """Is told of every frame: a tape."""

    def frame(self, bus: str, direction: Direction, t_us: int, data: bytes) -> None:
        """Take note of a whole frame on a bus at a simulated time."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Bytes that arrive after a delay."""

    delay_us: int
    data: bytes


class WireFault(Protocol):
    """Bends what passes between an emulated server and its transport."""

    def requests(self, bus: str, t_us: int, frame: bytes) -> Sequence[Delivery]:
        """Return what of a request reaches the device; nothing: it is lost."""

    def answers(self, bus: str, t_us: int, frame: bytes) -> Sequence[Delivery]:
        """Return what of an answer reaches the host."""

    def accepts(self, bus: str, t_us: int) -> bool:
        """Return whether the bus takes and keeps connections now."""
