"""The radio between coordinator and end devices: what is sent, and when it arrives.

`Mesh` is all that the emulated coordinator asks of a radio, so that the bench can put the plant's
compiled channel in its place. `RadioMesh` is the radio for devices that stand alone. Times are
microseconds of simulated time; `NEVER` stands for "never".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from ...sim.clock import to_us
from ...sim.edge.channel import QUANTILES, latency_quantiles_us
from ...sim.edge.config import MeshConfig
from ...sim.random import generator
from .mt import BUFFER_FULL, MAC_NO_ACK, SUCCESS

NEVER: Final = -(1 << 62)
"""No time at all. Not −1: a clock may begin before zero."""
#: What a coordinator waits for the acknowledgement of a first hop (seen on a CC2652: 78 ms).
NO_ACK_AFTER_US: Final = 78_000
#: How often, and after how long, a device sends again what the coordinator did not acknowledge
#: (apscMaxFrameRetries and apscAckWaitDuration of the Zigbee specification).
_RETRIES: Final = 3
_ACK_WAIT_US: Final = 1_600_000
#: From the serial line to the first transmission of a broadcast.
BROADCAST_CONFIRM_US: Final = 8_000


@dataclass(frozen=True, slots=True)
class RadioMessage:
    """A message of the application layer, in either direction.

    `destination` is a short address, a broadcast address or, with `group`, a group.
    """

    destination: int
    cluster: int
    payload: bytes
    source_endpoint: int = 1
    destination_endpoint: int = 1
    profile: int = 0x0104
    group: bool = False


@dataclass(frozen=True, slots=True)
class UnicastResult:
    """What becomes of a message to one device."""

    status: int
    """Status for AF_DATA_CONFIRM: 0, or one of the codes in `mt`."""
    arrival_us: int
    """When the device (a sleepy one's parent) has it; `NEVER`."""
    confirm_us: int
    """When the coordinator knows the status."""


@dataclass(frozen=True, slots=True)
class BroadcastResult:
    """What becomes of a message to many."""

    status: int
    """0, or `BUFFER_FULL` when the broadcast table is full: then it is not sent."""
    arrivals_us: Mapping[int, int] = field(default_factory=dict)
    """IEEE address → when the device has it; `NEVER` or absent."""
    replies_us: Mapping[int, int] = field(default_factory=dict)
    """IEEE address → when the device's unicast reply is back, if it makes one; `NEVER`."""
    confirm_us: int = 0
    """When the coordinator knows the status; 0: at once."""


class Mesh(Protocol):
    """What a coordinator asks of the radio."""

    def unicast(self, t_us: int, ieee: int, message: RadioMessage) -> UnicastResult:
        """Send to one device."""

    def upstream(self, t_us: int, ieee: int, message: RadioMessage) -> int:
        """Send from a device to the coordinator; return when it is there, or `NEVER`."""

    def broadcast(
        self, t_us: int, message: RadioMessage, devices: Sequence[int]
    ) -> BroadcastResult:
        """Send to all devices with these IEEE addresses."""

    def reset(self, t_us: int) -> None:
        """Forget what a restart of the coordinator forgets: the broadcast table."""


class RadioMesh:
    """A mesh of its own: lognormal latency a hop, route repair, two-state loss, broadcast table.

    Every draw descends from the seed, in the order of the messages; two runs that send the same
    messages at the same times see the same radio. Parameters: see `MeshConfig`.
    """

    def __init__(self, config: MeshConfig | None = None, seed: int = 0) -> None:
        self.config = config or MeshConfig()
        self._draw = generator(seed, "zigbee", "mesh")
        self._latency_us = latency_quantiles_us(self.config)
        self._bad = False
        self._until_us = self._dwell_us()
        self._broadcasts: deque[int] = deque()

    def unicast(self, t_us: int, ieee: int, message: RadioMessage) -> UnicastResult:
        """Send to one device; a lost message is known by the missing acknowledgement."""
        if self._lost(t_us):
            return UnicastResult(MAC_NO_ACK, NEVER, t_us + NO_ACK_AFTER_US)
        arrival_us = t_us + self._took_us()
        return UnicastResult(SUCCESS, arrival_us, arrival_us + self._took_us())

    def upstream(self, t_us: int, ieee: int, message: RadioMessage) -> int:
        """Send from a device to the coordinator; return when it is there, or `NEVER`.

        What is not acknowledged is sent again.
        """
        for _ in range(1 + _RETRIES):
            if not self._lost(t_us):
                return t_us + self._took_us()
            t_us += _ACK_WAIT_US
        return NEVER

    def broadcast(
        self, t_us: int, message: RadioMessage, devices: Sequence[int]
    ) -> BroadcastResult:
        """Send to many, unless the broadcast table is full."""
        lives_us = to_us(self.config.broadcast_table_s)
        while self._broadcasts and t_us - self._broadcasts[0] >= lives_us:
            self._broadcasts.popleft()
        confirm_us = t_us + BROADCAST_CONFIRM_US
        if len(self._broadcasts) >= self.config.broadcast_table_entries:
            return BroadcastResult(BUFFER_FULL, confirm_us=confirm_us)
        self._broadcasts.append(t_us)
        arrivals, replies = {}, {}
        for ieee in devices:
            arrivals[ieee] = arrival_us = NEVER if self._lost(t_us) else t_us + self._took_us()
            back = arrival_us != NEVER and not self._lost(arrival_us)
            jitter_us = int(self._draw.random() * to_us(self.config.ack_jitter_s))
            replies[ieee] = arrival_us + jitter_us + self._took_us() if back else NEVER
        return BroadcastResult(SUCCESS, arrivals, replies, confirm_us)

    def reset(self, t_us: int) -> None:
        """Empty the broadcast table."""
        self._broadcasts.clear()

    def _took_us(self) -> int:
        return int(self._latency_us[self._draw.integers(QUANTILES)])

    def _dwell_us(self) -> int:
        mean_s = self.config.dwell_bad_s if self._bad else self.config.dwell_good_s
        return max(1, int(self._draw.exponential(mean_s) * 1e6))

    def _lost(self, t_us: int) -> bool:
        while t_us >= self._until_us:
            self._bad = not self._bad
            self._until_us += self._dwell_us()
        loss = self.config.loss_bad if self._bad else self.config.loss_good
        return bool(self._draw.random() < loss)
