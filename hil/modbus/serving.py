"""What a session needs of its server; here so that neither has to import the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from ...sim.clock import Clock
from ..wire import Tap, WireFault
from .statistics import Statistics
from .unit import Unit


class Member(Protocol):
    """What a server needs of its sessions."""

    last_us: int
    """Time of the last request, or of the connection's beginning."""
    born_us: int
    """Time of the connection's beginning."""
    lasting: bool
    """Whether it stays without requests, and does not give way to others: a line."""

    def attach(self) -> None:
        """Let the faults know of this connection."""

    def drop(self) -> None:
        """Close the connection at once."""

    def send(self, data: bytes) -> None:
        """Put bytes on the wire that no request asked for."""


class Serving(Protocol):
    """A server as its sessions see it."""

    units: Mapping[int, Unit]
    clock: Clock
    bus: str
    unknown_unit: Literal["silent", "gateway"]
    statistics: Statistics
    plain: bool
    """Whether neither tape nor faults are to be asked."""

    @property
    def buffer(self) -> memoryview:
        """What sockets are read into."""

    @property
    def tap(self) -> Tap | None:
        """The tape."""

    @property
    def faults(self) -> WireFault | None:
        """The faults."""

    def quiet(self) -> bool:
        """Return whether the faults do nothing now and no tape runs."""

    def opened(self, session: Member) -> bool:
        """Take a session in; returns False when it is to be closed again."""

    def lost(self, session: Member) -> None:
        """Forget a session."""
