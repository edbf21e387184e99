"""What faults do to emulated devices: Modbus devices, Zigbee devices, the coordinator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ...sim.clock import Clock
    from ..devices.emulated import EmulatedDevice
    from ..devices.source import DeviceSource, Value
    from ..zigbee.devices.end_device import EndDevice
    from ..zigbee.znp.coordinator import ZnpCoordinator


class FaultyDevice(Protocol):
    """What faults ask of an emulated device; below it is there for each kind."""

    def reset(self, factory: bool) -> None:
        """Lose power, and with `factory` also what is kept without it."""

    def back(self) -> None:
        """Have power again."""

    def stuck(self, quantity: str | None, on: bool) -> None:
        """Freeze a quantity at its present value, or let it go; None: all. KeyError if unknown."""


def faulty(device: FaultyDevice | EmulatedDevice | None) -> FaultyDevice | None:
    """Return what faults talk to; an emulated Modbus device gets it around itself."""
    from ..devices.emulated import EmulatedDevice

    return ModbusDeviceFaults(device) if isinstance(device, EmulatedDevice) else device


class ModbusDeviceFaults:
    """Faults of an emulated Modbus device."""

    def __init__(self, device: EmulatedDevice) -> None:
        self._device = device

    def reset(self, factory: bool) -> None:
        """Lose what was written; with `factory` also registers that are kept in flash."""
        self._device.reset()
        if factory:
            for item in self._device.map.fields:
                if item.nonvolatile and item.default is not None:
                    self._device.set(item.name, item.default)

    def back(self) -> None:
        """Start: it boots from now on, not from when power went."""
        self._device.reset()

    def stuck(self, quantity: str | None, on: bool) -> None:
        """Freeze a quantity, or let it go; None: all. Raises KeyError for an unknown one."""
        known = self._device.map.quantities("r")
        if quantity is not None and quantity not in known:
            raise KeyError(", ".join(known))
        for name in known if quantity is None else (quantity,):
            self._device.stuck(name, on)


class StickySource:
    """A device's source whose quantities can be frozen.

    Args:
        source: what it passes on otherwise.
        clock: says when a quantity is frozen.
    """

    def __init__(self, source: DeviceSource, clock: Clock) -> None:
        self._source = source
        self._clock = clock
        self._all_us: int | None = None
        self._kept: dict[str, Value | None] = {}

    def measure(self, quantity: str, t_us: int) -> Value | None:
        """Return what is measured, or was when it was frozen."""
        if quantity in self._kept:
            return self._kept[quantity]
        value = self._source.measure(quantity, t_us)
        if self._all_us is not None:
            # The first look since everything froze is the newest value that there is.
            self._kept[quantity] = value
        return value

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Pass a command on."""
        self._source.command(quantity, value, t_us)

    def stuck(self, quantity: str | None, on: bool) -> None:
        """Freeze a quantity, or let it go; None: all."""
        now_us = self._clock.now_us
        if quantity is None:
            self._all_us = now_us if on else None
            self._kept.clear()
        elif on:
            self._kept[quantity] = self._source.measure(quantity, now_us)
        else:
            self._kept.pop(quantity, None)


class EndDeviceFaults:
    """Faults of an emulated Zigbee device.

    Args:
        device: the device.
        source: that it was made with; None: its values cannot be frozen.
    """

    def __init__(self, device: EndDevice, source: StickySource | None = None) -> None:
        self._device = device
        self._source = source

    def reset(self, factory: bool) -> None:
        """Lose power; with `factory` also the network that it is in."""
        if factory:
            self._device.leave()
        self._device.vanish()

    def back(self) -> None:
        """Have power again."""
        self._device.reappear()

    def stuck(self, quantity: str | None, on: bool) -> None:
        """Freeze a quantity, or let it go; None: all. Raises KeyError for an unknown one."""
        known = _quantities(self._device)
        if self._source is None or (quantity is not None and quantity not in known):
            raise KeyError(", ".join(known if self._source else ()))
        self._source.stuck(quantity, on)


class CoordinatorFaults:
    """Faults of an emulated coordinator."""

    def __init__(self, coordinator: ZnpCoordinator) -> None:
        self._coordinator = coordinator

    def reset(self, factory: bool) -> None:
        """Lose what is in RAM; with `factory` also the network."""
        if factory:
            self._coordinator.lose_configuration()
        else:
            self._coordinator.reset()

    def back(self) -> None:
        """Start."""
        self._coordinator.reset()

    def stuck(self, quantity: str | None, on: bool) -> None:
        """Refuse: a coordinator measures nothing. Raises KeyError."""
        raise KeyError("")


def _quantities(device: EndDevice) -> list[str]:
    found: list[Any] = [getattr(one, "quantity", None) for _, one in device.table.profiles()]
    return list(dict.fromkeys(name for name in found if name))
