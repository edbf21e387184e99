"""Fresh connections to the devices of a rig, for those who check it and make it safe.

`DeviceLink` is all that the guardian knows of a device; `hil.rigs.driver_links` has those over the
drivers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

Value = float | str | None


class LinkError(Exception):
    """A device did not do what it was asked, this time."""


class WrongDeviceError(LinkError):
    """Another device than the expected one answers; nothing was written to it."""


class DeviceLink(Protocol):
    """One device over a connection of its own.

    All calls raise `LinkError` when the device does not answer or refuses, and end within the
    time-outs of its bus.
    """

    async def connect(self) -> None:
        """Connect, and verify the serial number; `WrongDeviceError` if it is another one."""

    async def read(self, quantity: str) -> Value:
        """Return what the device measures now, SI, plant's signs; None if it has no value."""

    async def write(self, quantity: str, value: float) -> None:
        """Command a quantity."""

    async def close(self) -> None:
        """Disconnect."""


Reach = Callable[[str, Sequence[str]], DeviceLink]
"""Makes the link of a device of the rig: (device, quantities that will be read) → link."""
