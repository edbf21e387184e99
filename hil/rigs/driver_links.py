"""Links to devices over the drivers of their buses.

Each link has a connection of its own, except where the bus allows only one: devices on a serial
line, or behind one coordinator, share it for as long as any of them is in use.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ...sim.clock import US_PER_S, Clock
from ..errors import ReadingError, RigError
from ..modbus.bus import ModbusBus
from ..modbus.client import ModbusClient
from ..modbus.driver import ModbusDevice
from ..modbus.errors import ModbusError
from ..modbus.identity import IdentityError
from ..modbus.line import LineSettings
from ..modbus.tls import TlsError, client_context
from ..serialport import LineError
from .actuators import Profiles
from .links import DeviceLink, LinkError, Value, WrongDeviceError
from .model import (
    Bus,
    ModbusRtuBus,
    ModbusTcpBus,
    ModbusTlsBus,
    Rig,
    RigDevice,
    Zigbee2MqttBus,
)

_PARITY: Final = {"none": "N", "even": "E", "odd": "O"}
_NEVER_FRESH_US: Final = 86400 * US_PER_S


class DriverLinks:
    """Makes links to the devices of one rig."""

    def __init__(self, rig: Rig, profiles: Profiles, clock: Clock) -> None:
        """Take a rig, the profiles of its devices, and a clock that is running."""
        self._rig, self._profiles, self._clock = rig, profiles, clock
        self._lines: dict[str, _SharedLine] = {}
        self._coordinators: dict[str, object] = {}

    def reach(self, device: str, quantities: Sequence[str] = ()) -> DeviceLink:
        """Return a new link to a device, not connected yet."""
        entry = self._rig.device(device)
        bus = self._rig.bus(entry.bus)
        if isinstance(bus, ModbusRtuBus):
            line = self._lines.get(bus.id)
            if line is None:
                line = self._lines[bus.id] = _SharedLine(bus, self._clock)
            return _ModbusLink(entry, self._profiles, self._clock, line, quantities)
        if isinstance(bus, ModbusTcpBus | ModbusTlsBus):
            own = _OwnConnection(bus, self._clock)
            return _ModbusLink(entry, self._profiles, self._clock, own, quantities)
        # Late: rigs without Zigbee do not need its libraries.
        from .zigbee_links import MqttLink, SharedCoordinator, ZnpLink

        if isinstance(bus, Zigbee2MqttBus):
            return MqttLink(entry, bus, self._clock)
        coordinator = self._coordinators.get(bus.id)
        if coordinator is None:
            coordinator = self._coordinators[bus.id] = SharedCoordinator(bus, self._clock)
        assert isinstance(coordinator, SharedCoordinator)
        return ZnpLink(entry, self._profiles[entry.profile], coordinator)


class _OwnConnection:
    """A connection over TCP for one device."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._open: ModbusBus | None = None

    def take(self) -> ModbusBus:
        """Return the bus to be used; not connected yet."""
        if self._open is None:
            self._open = ModbusBus(self._clock, _client(self._bus, self._clock))
        return self._open

    def give_back(self) -> None:
        """Disconnect."""
        if self._open is not None:
            self._open.close()
            self._open = None


class _SharedLine(_OwnConnection):
    """A serial port, open for as long as anybody uses it."""

    _users = 0

    def take(self) -> ModbusBus:
        """Return the bus to be used; not connected yet, or used by others already."""
        self._users += 1
        return super().take()

    def give_back(self) -> None:
        """Close the port if nobody uses it any more."""
        self._users -= 1
        if self._users <= 0:
            super().give_back()


def _client(bus: Bus, clock: Clock) -> ModbusClient:
    own: dict[str, Any] = {"name": bus.id, "timeout_s": bus.timeout_s}
    if isinstance(bus, ModbusRtuBus):
        line = LineSettings(bus.baud_rate, _PARITY[bus.parity], bus.stop_bits)  # type: ignore[arg-type]
        return ModbusClient.serial(clock, str(bus.path), line, **own)
    assert isinstance(bus, ModbusTcpBus | ModbusTlsBus)
    tls = None
    if isinstance(bus, ModbusTlsBus):
        files = (Path(bus.certificate_path), Path(bus.key_path), Path(bus.ca_path))
        tls = client_context(*files)
    return ModbusClient.tcp(clock, bus.host, bus.port, tls=tls, **own)


class _ModbusLink:
    """A Modbus device."""

    def __init__(
        self,
        entry: RigDevice,
        profiles: Profiles,
        clock: Clock,
        connection: _OwnConnection,
        quantities: Sequence[str],
    ) -> None:
        self._entry, self._profile = entry, profiles[entry.profile]
        self._clock, self._connection, self._quantities = clock, connection, quantities
        self._device: ModbusDevice | None = None
        self._asked_us = 0

    async def connect(self) -> None:
        """Connect, and verify who answers."""
        try:
            bus = self._connection.take()
        except TlsError as error:
            raise LinkError(f"{self._entry.id}: {error}") from error
        self._device = ModbusDevice(
            self._profile,
            bus,
            self._entry.unit,
            name=self._entry.id,
            serial=self._entry.serial,
            quantities=self._quantities,
        )
        try:
            await self._device.open()
        except IdentityError as error:
            raise WrongDeviceError(str(error)) from error
        except (RigError, ModbusError, LineError, OSError) as error:
            raise LinkError(str(error)) from error

    async def read(self, quantity: str) -> Value:
        """Return a value that was read just now."""
        device = self._known()
        # Every call asks the device, however short ago the last one was.
        self._asked_us += _NEVER_FRESH_US
        try:
            readings = await device.poll(self._asked_us)
        except (ReadingError, RigError, ModbusError) as error:
            raise LinkError(str(error)) from error
        reading = readings.get(quantity)
        if reading is None or reading.quality == "missing":
            return None
        if reading.quality != "good":
            raise LinkError(f"{self._entry.id}: {quantity} is {reading.quality}")
        return reading.value

    async def write(self, quantity: str, value: float) -> None:
        """Command a quantity."""
        try:
            await self._known().write(quantity, value)
        except IdentityError as error:
            raise WrongDeviceError(str(error)) from error
        except (RigError, ModbusError) as error:
            raise LinkError(str(error)) from error

    async def close(self) -> None:
        """Disconnect."""
        if self._device is not None:
            self._device = None
            self._connection.give_back()

    def _known(self) -> ModbusDevice:
        if self._device is None:
            raise LinkError(f"{self._entry.id} is not connected")
        return self._device
