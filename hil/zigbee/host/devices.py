"""The devices of a network as the host knows them: addresses, endpoints, identity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..binary import ieee_text
from ..zdo import RECEIVER_ON, NodeDescriptor, SimpleDescriptor


@dataclass(slots=True)
class Device:
    """One device; the IEEE address stays for life, the short one changes when it rejoins."""

    ieee: int
    nwk: int
    present: bool = True
    """False after it left."""
    heard_us: int | None = None
    """When anything last came from it."""
    lqi: int = 0
    doubtful: bool = False
    """Whether the last message to it did not arrive: its short address may be another one."""
    sought_us: int | None = None
    """When it was looked for last, because of that."""
    capability: int | None = None
    """Capability bits of its announce or node descriptor."""
    descriptor: NodeDescriptor | None = None
    endpoints: dict[int, SimpleDescriptor] = field(default_factory=dict)
    interviewed: bool = False
    manufacturer: str = ""
    model: str = ""
    date_code: str = ""
    firmware: str = ""
    """``SWBuildID`` of the cluster Basic."""
    serial: str = ""
    """``SerialNumber`` of the cluster Basic, where a device has one."""

    @property
    def sleepy(self) -> bool:
        """Whether the device listens only when it polls: answers take up to its polling time.

        False while nobody knows: the device has neither announced itself nor been interviewed.
        """
        return self.capability is not None and not self.capability & RECEIVER_ON

    def endpoint_with(self, cluster: int) -> int:
        """Return the first endpoint that serves a cluster; 1 while nothing is known."""
        for number, description in sorted(self.endpoints.items()):
            if cluster in description.inputs:
                return number
        return min(self.endpoints, default=1)

    def identity(self) -> dict[str, Any]:
        """Return what the record says about the device."""
        return {
            "ieee": ieee_text(self.ieee),
            "manufacturer": self.manufacturer,
            "model": self.model,
            "serial": self.serial,
            "date_code": self.date_code,
            "firmware": self.firmware,
        }


class DeviceTable:
    """Devices by both addresses; a short address belongs to one device at a time."""

    def __init__(self) -> None:
        self._by_ieee: dict[int, Device] = {}
        self._by_nwk: dict[int, Device] = {}

    def __iter__(self) -> Iterator[Device]:
        return iter(self._by_ieee.values())

    def __len__(self) -> int:
        return len(self._by_ieee)

    def get(self, ieee: int) -> Device | None:
        """Return the device with an IEEE address."""
        return self._by_ieee.get(ieee)

    def at(self, nwk: int) -> Device | None:
        """Return the device that has a short address now."""
        return self._by_nwk.get(nwk)

    def place(self, ieee: int, nwk: int) -> Device:
        """Take note of where a device is; return it, made new if it was unknown."""
        device = self._by_ieee.get(ieee)
        if device is None:
            device = self._by_ieee[ieee] = Device(ieee, nwk)
        elif self._by_nwk.get(device.nwk) is device:
            del self._by_nwk[device.nwk]
        device.nwk, device.present, device.doubtful = nwk, True, False
        self._by_nwk[nwk] = device
        return device

    def remove(self, ieee: int) -> Device | None:
        """Take note that a device left; what is known of it is kept."""
        device = self._by_ieee.get(ieee)
        if device is not None:
            device.present = False
            if self._by_nwk.get(device.nwk) is device:
                del self._by_nwk[device.nwk]
        return device
