"""Fresh connections to the actuators of a rig, for those who make it safe.

`ActuatorLink` is all that the guardian knows of a device. What is measured here never comes from
the set-point's own register.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .actuators import SafePlan


class LinkError(Exception):
    """A device did not do what it was asked, this time."""


class ActuatorLink(Protocol):
    """One actuator over a connection of its own.

    All calls raise `LinkError` when the device does not answer or refuses; they end within the
    time-out of its bus.
    """

    async def connect(self) -> None:
        """Connect; may be called again after `close`."""

    async def serial(self) -> str | None:
        """Return the serial number that the device states, None if it has none to ask for."""

    async def write_safe(self) -> None:
        """Write the safe value."""

    async def measured_w(self) -> float:
        """Return the measured power, plant's signs."""

    async def close(self) -> None:
        """Disconnect."""


LinkFactory = Callable[[SafePlan], ActuatorLink]
