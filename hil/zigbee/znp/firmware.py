"""What the coordinator's commands know of the coordinator that they belong to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from ....sim.clock import Clock
from ..mt_messages import AfRegister
from ..network import Network
from ..radio import RadioMessage
from .formation import NetworkInfo
from .nv import NvMemory


class DeviceObject(Protocol):
    """The coordinator's own device object, as other commands need it."""

    def ask_self(self, cluster: int, payload: bytes, sequence: int) -> None:
        """Answer a question to the coordinator itself."""

    def overheard(self, message: RadioMessage) -> None:
        """Take a broadcast of the host's that concerns the coordinator too."""

    def permit_join(self, duration_s: int) -> None:
        """Open the network for a time, or close it."""


class Firmware(Protocol):
    """The coordinator's state in RAM and memory, and its way to the host."""

    clock: Clock
    network: Network
    nv: NvMemory
    rng: np.random.Generator
    buffer_full: bool
    life: int
    formation_us: int
    device_state: int
    endpoints: dict[int, AfRegister]
    groups: set[tuple[int, int]]
    all_zdo: bool
    channel_mask: int

    @property
    def zdo(self) -> DeviceObject:
        """The coordinator's own device object."""

    @property
    def ieee(self) -> int:
        """The coordinator's IEEE address."""

    @property
    def is_up(self) -> bool:
        """Whether the network runs."""

    @property
    def info(self) -> NetworkInfo | None:
        """The network in memory."""

    def send(self, command: int, data: bytes) -> None:
        """Send a frame to the host, if there is one."""

    def later(self, delay_us: int, act: Callable[[], object]) -> None:
        """Do something after a delay, unless a reset comes first."""

    def incoming(self, source: int, message: RadioMessage) -> None:
        """Pass a message for an endpoint on, if the host has registered that."""

    def start_network(self, *, resume_only: bool = False) -> bool:
        """Bring the network up after a while; return whether it was there before."""

    def send_state_later(self, delay_us: int) -> None:
        """Tell the host the state of the device, after its request is answered."""

    def changed(self) -> None:
        """Save what must survive a restart, soon."""
