"""What a cluster does with its own commands: the frame of it, and the registry."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from ....sim.clock import Clock
from ...devices.model import DeviceProfile
from ..radio import RadioMessage
from ..zcl import ZclFrame
from .attributes import AttributeTable, DeviceSource, Key

#: Returned by a command that has sent its own response: no default response then.
ANSWERED: Final = -1


@dataclass(frozen=True, slots=True)
class Request:
    """A command that arrived, with what is needed to answer it."""

    frame: ZclFrame
    message: RadioMessage
    t_us: int
    answer: Callable[[ZclFrame], None]
    reply_us: int | None = None
    """When a reply to this broadcast is at the coordinator (−1: never); None: not known."""


class Host(Protocol):
    """What a cluster knows of the device that it is in."""

    clock: Clock
    ieee: int
    profile: DeviceProfile
    watchdog: bool
    """Whether the device falls back by itself; False: its source does."""
    table: AttributeTable
    source: DeviceSource
    groups: dict[int, set[int]]
    """Group number → endpoints in it."""

    def look(self) -> None:
        """Report what has changed, at once as far as the minimum intervals allow."""

    def send(self, endpoint: int, cluster: int, frame: ZclFrame, *, client: bool) -> None:
        """Send a frame of the device's own to the coordinator."""

    def next_sequence(self) -> int:
        """Return a sequence number for such a frame."""

    def acknowledge(self, frame: ZclFrame, request: Request) -> None:
        """Send a unicast reply to a broadcast: the mesh knows when it arrives."""


class Behaviour:
    """A cluster of an endpoint; subclasses add attributes and take commands."""

    def __init__(self, host: Host, endpoint: int, cluster: int) -> None:
        self.host = host
        self.endpoint = endpoint
        self.cluster = cluster
        self.prepare()

    def prepare(self) -> None:
        """Add the attributes that the cluster must have and the profile left out."""

    def command(self, request: Request) -> int | None:
        """Take a command; return its status, `ANSWERED`, or None when there is no such command.

        May raise `CodecError`: the payload is too short.
        """
        return None

    def powered(self, t_us: int) -> None:
        """Begin: power is back, or the emulator was started."""

    def switched(self, t_us: int) -> None:
        """Take note that the endpoint was switched on or off by a command."""

    def joined(self, t_us: int) -> None:
        """Take note that the device is in a network now."""

    def key(self, attribute: int) -> Key:
        """Return the key of one of the cluster's attributes."""
        return Key(self.endpoint, self.cluster, attribute)

    def number(self, attribute: int, t_us: int, default: float = 0.0) -> float:
        """Return an attribute's value, `default` when it is not there or no number."""
        item = self.host.table.find(self.key(attribute))
        value = None if item is None else item.read(t_us)
        return float(value) if isinstance(value, int | float) else default

    def respond(self, request: Request, command: int, payload: bytes) -> int:
        """Answer with a command of the cluster."""
        request.answer(request.frame.response(command, payload))
        return ANSWERED
