"""What stands between a server and its transport, frame by frame: the tape's tap, and faults.

A *request* goes from the host to a device, an *answer* from a device to the host, whether it was
asked for or not. Servers and drivers take both as optional; without them a frame costs nothing.

What a server does with faults: it asks `accepts` when a connection is made and closes it if not;
it calls `attach` then, and what that returned when the connection is lost; it passes each whole
frame that it received through `requests` and each that it sends through `answers`. The tape is
told of what is on the wire: of requests before, of answers after the faults had their way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
    back: bool = False
    """Of a request: these bytes go back to the host as an answer; the device never sees any."""


class WireFault(Protocol):
    """Bends what passes between an emulated server and its transport."""

    def requests(self, bus: str, t_us: int, frame: bytes) -> Sequence[Delivery]:
        """Return what of a request reaches the device; nothing: it is lost."""

    def answers(self, bus: str, t_us: int, frame: bytes) -> Sequence[Delivery]:
        """Return what of an answer reaches the host. Bytes may be more or less than a frame."""

    def quiet(self, bus: str, t_us: int) -> bool:
        """Return whether frames pass as they are now: then they need not be asked about."""

    def accepts(self, bus: str, t_us: int) -> bool:
        """Return whether the bus takes and keeps connections now."""

    def attach(
        self, bus: str, send: Callable[[bytes], object], close: Callable[[], object]
    ) -> Callable[[], None]:
        """Take note of a connection; return what to call when it is lost.

        `send` puts bytes that nobody asked for on the wire (a babbling device; they are not passed
        through `answers` again), `close` drops the connection (a cable that is pulled).
        """
