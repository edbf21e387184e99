"""How each bus of a rig is reached: in memory, at an address, on a serial port."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from ..sim.clock import Clock
from ..sim.points import Actuator
from .emulation.rig import line_settings
from .errors import RigError
from .modbus.client import ModbusClient
from .modbus.tls import client_context
from .rig_driver import PowerLink
from .rigs.concrete import ConcreteDevice
from .rigs.model import Bus, ModbusRtuBus, ModbusTcpBus, ModbusTlsBus, Zigbee2MqttBus, ZnpBus
from .wire import Tap
from .zigbee.host import ports
from .zigbee.host.heaters import HeaterSlots
from .zigbee.host.host import HostSettings, ZigbeeHost
from .zigbee.host.link import Connect
from .zigbee.host.loads import LoadSlots, SwitchedLoad
from .zigbee.host.start import NetworkSettings
from .zigbee.mqtt.bridge import Bridge, BridgeSettings
from .zigbee.mqtt.driver import DeviceSettings, Zigbee2MqttDriver
from .zigbee.mqtt.power import MqttPower, PowerSlot
from .zigbee.mqtt.session import BrokerSettings, connector
from .zigbee.slots import parse_ieee

_CONFIRM_S: Final = 0.1
"""How long it may take a coordinator to say that a broadcast is out, or its table full."""

Where = Mapping[str, dict[str, Any]]
"""Host and port, or path, of buses whose devices are emulated elsewhere, by bus id."""
Step = Callable[[], Any]
"""Opens or closes something; may be a coroutine function."""


class InMemory(Protocol):
    """Devices in this process: emulated ones, or a tape."""

    def protocol(self, bus: str) -> Callable[[], asyncio.Protocol]:
        """Return what makes the devices' end of a connection to a bus."""


class Ways:
    """The ways to the buses of one rig; what has to be opened and closed is collected."""

    def __init__(
        self,
        clock: Clock,
        actuators: Sequence[Actuator],
        *,
        memory: InMemory | None,
        one_way_us: int,
        where: Where,
        tap: Tap | None,
    ) -> None:
        """Take what buses are reached by.

        Args:
            clock: of the run.
            actuators: of the plant; slots of loads are their places.
            memory: devices in this process; None: they are at addresses.
            one_way_us: delay of a message in memory in each direction.
            where: addresses of emulated buses, in place of those of the rig file.
            tap: is told of every frame.
        """
        self.opening: list[Step] = []
        self.closing: list[Step] = []
        self._clock, self._actuators = clock, actuators
        self._memory, self._one_way_us = memory, one_way_us
        self._where, self._tap = where, tap

    def modbus(self, bus: Bus) -> ModbusClient:
        """Return a client of a Modbus bus."""
        own: dict[str, Any] = {"name": bus.id, "timeout_s": bus.timeout_s, "tap": self._tap}
        line = line_settings(bus) if isinstance(bus, ModbusRtuBus) else None
        if self._memory is not None:
            make = self._memory.protocol(bus.id)
            return ModbusClient.in_memory(
                self._clock, make, one_way_us=self._one_way_us, line=line, **own
            )
        place = self._where.get(bus.id, {})
        if isinstance(bus, ModbusRtuBus):
            assert line is not None
            return ModbusClient.serial(self._clock, place.get("path") or str(bus.path), line, **own)
        assert isinstance(bus, ModbusTcpBus | ModbusTlsBus)
        tls: ssl.SSLContext | None = None
        if isinstance(bus, ModbusTlsBus):
            files = (Path(bus.certificate_path), Path(bus.key_path), Path(bus.ca_path))
            tls = client_context(*files)
        host, port = place.get("host", bus.host), place.get("port", bus.port)
        return ModbusClient.tcp(self._clock, host, port, tls=tls, **own)

    def power(self, slots: Mapping[int, ConcreteDevice], report_s: float | None) -> PowerLink:
        """Return the link to loads behind a coordinator, all of them behind one."""
        buses = {device.bus.id: device.bus for device in slots.values()}
        if len(buses) > 1:
            names = ", ".join(buses)
            raise RigError(f"loads behind several coordinators ({names}); allowed: behind one")
        (bus,) = buses.values()
        if isinstance(bus, Zigbee2MqttBus):
            return self._through_mqtt(bus, slots)
        assert isinstance(bus, ZnpBus)
        # A rig's network was formed by a person; a blank stick is not the one that is meant.
        network = NetworkSettings(channel=bus.channel, pan_id=bus.pan_id, form="never")
        settings = HostSettings(network=network, confirm_s=_CONFIRM_S)
        host = ZigbeeHost(self._clock, name=bus.id, settings=settings, tap=self._tap)
        high_w = {slot: self._actuators[slot].high_w for slot in slots}
        hot = {s: parse_ieee(d.ieee) for s, d in slots.items() if d.profile.kind == "heater"}
        rest = {
            slot: SwitchedLoad(parse_ieee(device.ieee), high_w[slot])
            for slot, device in slots.items()
            if slot not in hot
        }
        heaters = HeaterSlots(host, hot, high_w, report_period_s=report_s) if hot else None
        power: HeaterSlots | LoadSlots
        if heaters is not None and not rest:
            power = heaters
        else:
            power = LoadSlots(host, heaters, rest, report_period_s=report_s)
            self.closing.append(power.close)
        connect = self._coordinator(bus)

        async def open_mesh() -> None:
            await host.open(connect)
            await power.start()

        self.opening.append(open_mesh)
        self.closing.append(host.close)
        return power

    def _coordinator(self, bus: ZnpBus) -> Connect:
        if self._memory is not None:
            return ports.in_memory(self._clock, self._memory.protocol(bus.id), self._one_way_us)
        place = self._where.get(bus.id, {})
        path = place.get("path") or bus.path
        if path is not None:
            return ports.serial(path, bus.baud_rate)
        return ports.tcp(
            place.get("host") or str(bus.host), int(place.get("port") or bus.port or 0)
        )

    def _through_mqtt(self, bus: Zigbee2MqttBus, slots: Mapping[int, ConcreteDevice]) -> PowerLink:
        """Return the link to loads behind zigbee2mqtt."""
        broker = BrokerSettings.from_environment(
            os.environ, bus.host, bus.port, user=bus.user, password=bus.password
        )
        bridge = Bridge(self._clock, connector(broker), BridgeSettings(base_topic=bus.base_topic))
        devices = {device.id: DeviceSettings(ieee=device.ieee) for device in slots.values()}
        driver = Zigbee2MqttDriver(self._clock, bridge, devices)
        power = MqttPower(
            self._clock,
            driver,
            {k: PowerSlot(device.id, self._actuators[k].high_w) for k, device in slots.items()},
        )

        async def open_bridge() -> None:
            await driver.open()
            power.start()

        self.opening.append(open_bridge)
        self.closing.append(driver.close)
        return power
