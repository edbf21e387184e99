"""Links to Zigbee devices: behind a coordinator of ours, or behind zigbee2mqtt.

A coordinator takes one connection, so the links of a rig share it for as long as any is in use.
Set-points of heaters go out as unicasts here: the run's own broadcasts may have filled the
coordinator's table, which takes nine seconds to empty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from ...sim.clock import Clock
from ..devices.model import DeviceProfile
from ..errors import ReadingError, RigError
from ..zigbee import heater
from ..zigbee.host import attributes, ports
from ..zigbee.host.host import HostSettings, ZigbeeHost
from ..zigbee.host.sending import RetryPolicy
from ..zigbee.mqtt.bridge import Bridge, BridgeSettings
from ..zigbee.mqtt.driver import DeviceSettings, Zigbee2MqttDriver
from ..zigbee.mqtt.session import BrokerSettings, connector
from ..zigbee.slots import parse_ieee
from .links import LinkError, Value, WrongDeviceError
from .model import RigDevice, Zigbee2MqttBus, ZnpBus

_ON_OFF: Final = 0x0006
_HASTE: Final = RetryPolicy(attempts=8, pause_s=0.05, timeout_s=2.0, again_s=0.25)
"""An answer takes 0.1 s; one that was lost on the radio does not come at all. Everything asked here
may happen twice, so nobody waits long before it is sent again."""
_TIMEOUT_S: Final = _HASTE.timeout_s
_ATTEMPTS: Final = 2

T = TypeVar("T")


class SharedCoordinator:
    """A coordinator, connected for as long as anybody uses it."""

    def __init__(self, bus: ZnpBus, clock: Clock) -> None:
        self._bus, self._clock = bus, clock
        self._users = 0
        self._opening = asyncio.Lock()
        self._host: ZigbeeHost | None = None

    async def take(self) -> ZigbeeHost:
        """Return the host, connected; raises `LinkError`."""
        self._users += 1
        async with self._opening:
            if self._host is None:
                bus = self._bus
                settings = HostSettings(open_attempts=1, retry=_HASTE)
                host = ZigbeeHost(self._clock, name=bus.id, settings=settings)
                if bus.path is not None:
                    connect = ports.serial(bus.path, bus.baud_rate)
                else:
                    connect = ports.tcp(str(bus.host), int(bus.port or 0), bus.timeout_s)
                try:
                    await host.open(connect)
                except (RigError, ReadingError, OSError) as error:
                    self._users -= 1
                    raise LinkError(str(error)) from error
                except BaseException:
                    self._users -= 1
                    raise
                self._host = host
            return self._host

    async def give_back(self) -> None:
        """Disconnect if nobody uses it any more."""
        self._users -= 1
        if self._users <= 0 and self._host is not None:
            host, self._host = self._host, None
            await host.close()


class ZnpLink:
    """A device behind a coordinator."""

    def __init__(
        self, entry: RigDevice, profile: DeviceProfile, coordinator: SharedCoordinator
    ) -> None:
        self._entry, self._profile, self._coordinator = entry, profile, coordinator
        self._ieee = parse_ieee(str(entry.ieee))
        self._host: ZigbeeHost | None = None
        self._slot: int | None = None

    async def connect(self) -> None:
        """Connect; the address is the device's own, a serial number is verified on top."""
        self._host = await self._coordinator.take()
        try:
            if self._entry.serial is None:
                await self._host.network.find(self._ieee)
                return
            found = await attributes.read_identity(self._host, self._ieee)
        except (RigError, ReadingError) as error:
            raise LinkError(str(error)) from error
        if found.serial != self._entry.serial:
            raise WrongDeviceError(
                f"{self._entry.id}: another device answers: serial is '{found.serial}', not "
                f"'{self._entry.serial}'"
            )

    async def read(self, quantity: str) -> Value:
        """Ask the device for an attribute."""
        zigbee = self._profile.zigbee
        assert zigbee is not None
        item = next((a for a in zigbee.attributes if a.quantity == quantity), None)
        if item is None:
            raise LinkError(f"{self._entry.id} has no {quantity}")
        try:
            host = self._known()
            found = await _again(
                lambda: attributes.read(
                    host,
                    self._ieee,
                    item.cluster,
                    (item.id,),
                    endpoint=item.endpoint,
                    manufacturer=item.manufacturer_code,
                    timeout_s=_TIMEOUT_S,
                )
            )
        except (RigError, ReadingError) as error:
            raise LinkError(str(error)) from error
        value = found.get(item.id)
        if isinstance(value, bool):
            return float(value)
        if isinstance(value, int | float):
            return value * item.multiplier / item.divisor
        return value if isinstance(value, str) else None

    async def write(self, quantity: str, value: float) -> None:
        """Command a heater's power, or a switch."""
        host = self._known()
        try:
            if quantity == "on":
                command = 1 if value else 0
                await _again(
                    lambda: host.request(
                        self._ieee, _ON_OFF, command, timeout_s=_TIMEOUT_S, harmless=True
                    )
                )
            elif quantity == "power_setpoint_w":
                await self._power(host, value)
            else:
                raise LinkError(f"{self._entry.id}: {quantity} cannot be commanded over Zigbee")
        except (RigError, ReadingError) as error:
            raise LinkError(str(error)) from error

    async def close(self) -> None:
        """Let the coordinator go."""
        if self._host is not None:
            self._host = None
            await self._coordinator.give_back()

    async def _power(self, host: ZigbeeHost, power_w: float) -> None:
        """Set a heater's power under whatever slot it has."""
        code = heater.MANUFACTURER
        if self._slot is None:
            found = await _again(
                lambda: attributes.read(
                    host,
                    self._ieee,
                    heater.CLUSTER,
                    (heater.ATTRIBUTE_SLOT,),
                    manufacturer=code,
                    timeout_s=_TIMEOUT_S,
                )
            )
            slot = found.get(heater.ATTRIBUTE_SLOT)
            if not isinstance(slot, int):
                raise LinkError(f"{self._entry.id} is no heater with a slot")
            self._slot = slot
        payload = heater.SetPower(0, ((self._slot, power_w),), ack=False).encode()
        await _again(
            lambda: host.request(
                self._ieee,
                heater.CLUSTER,
                heater.SET_POWER,
                payload,
                manufacturer=code,
                timeout_s=_TIMEOUT_S,
                harmless=True,
            )
        )

    def _known(self) -> ZigbeeHost:
        if self._host is None:
            raise LinkError(f"{self._entry.id} is not connected")
        return self._host


async def _again(ask: Callable[[], Awaitable[T]]) -> T:
    """Ask until there is an answer; what is asked for may be done twice without harm."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(ReadingError):
            return await ask()
    return await ask()


class MqttLink:
    """A device behind zigbee2mqtt, over a connection to the broker of its own."""

    def __init__(self, entry: RigDevice, bus: Zigbee2MqttBus, clock: Clock) -> None:
        self._entry = entry
        settings = BrokerSettings.from_environment(
            os.environ, bus.host, bus.port, user=bus.user, password=bus.password
        )
        bridge = Bridge(
            clock,
            connector(settings),
            BridgeSettings(base_topic=bus.base_topic, online_timeout_s=5.0),
        )
        device = DeviceSettings(ieee=str(entry.ieee), command_timeout_s=2.0)
        self._driver = Zigbee2MqttDriver(clock, bridge, {entry.id: device})

    async def connect(self) -> None:
        """Connect; the address is the device's own."""
        try:
            await self._driver.open()
        except (RigError, ReadingError, OSError) as error:
            raise LinkError(str(error)) from error

    async def read(self, quantity: str) -> Value:
        """Ask the device; what it has said before does not count."""
        try:
            values = await self._driver.poll(self._entry.id, 2.0)
        except (RigError, ReadingError) as error:
            raise LinkError(str(error)) from error
        found = values.get(quantity)
        if found is None:
            return None
        if found.quality != "good":
            raise LinkError(f"{self._entry.id}: {quantity} is {found.quality}")
        return found.value

    async def write(self, quantity: str, value: float) -> None:
        """Command a quantity."""
        try:
            await self._driver.write(self._entry.id, quantity, value)
        except (RigError, ReadingError) as error:
            raise LinkError(str(error)) from error

    async def close(self) -> None:
        """Disconnect."""
        await self._driver.close()
