"""Emulated Zigbee devices of a rig behind an emulated coordinator.

A site's heaters hear broadcasts through the plant's own compiled channel, the same that the direct
rig and the batch environment use: who gets what, when, and whose reply comes back is the plant's
business, and the coordinator only carries the bytes. They have been commissioned: the network is
formed and they are in it, so that a host only has to start.

Devices that stand alone have a radio of their own and join when the network is opened, as new ones
do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ...sim.clock import Clock
from ...sim.edge.channel import STATUS_SENT, STATUS_TABLE_FULL
from ...sim.random import generator
from ..devices.source import DeviceSource
from ..errors import RigError
from ..modbus.server import ServeError
from ..rigs.concrete import ConcreteDevice
from ..rigs.model import ZnpBus
from ..serialport import PtyPort
from ..wire import Tap, WireFault
from ..wirefaults.devices import CoordinatorFaults, EndDeviceFaults, StickySource
from ..zigbee import heater, mt
from ..zigbee.binary import CodecError
from ..zigbee.devices.end_device import EndDevice
from ..zigbee.network import Network
from ..zigbee.radio import NEVER, BroadcastResult, RadioMesh, RadioMessage
from ..zigbee.slots import parse_ieee
from ..zigbee.zcl import ZclFrame
from ..zigbee.znp.coordinator import ZnpCoordinator
from ..zigbee.znp.formation import form_network
from ..zigbee.znp.nv import NvFileError
from .sources import Site

_NOT_NOW = 0xE1
"""Channel access failure: what a coordinator that is restarting gets to send."""


class _Builder(Protocol):
    """What a mesh needs of the emulated rig that it belongs to."""

    clock: Clock
    site: Site | None
    seed: int

    def source(self, device: ConcreteDevice) -> DeviceSource:
        """Return what a device measures and drives."""


class _HeaterSource:
    """A heater of the site: what a broadcast brings has reached the plant by its own channel."""

    def __init__(self, source: DeviceSource) -> None:
        self._source = source
        self.by_broadcast: set[int] = set()
        """Times at which a broadcast arrives here."""

    def measure(self, quantity: str, t_us: int) -> float | str | None:
        """Return what the site says."""
        return self._source.measure(quantity, t_us)

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Pass on a command that came by unicast."""
        if t_us in self.by_broadcast:
            self.by_broadcast.discard(t_us)
        else:
            self._source.command(quantity, value, t_us)


class PlantMesh(RadioMesh):
    """The radio of a site: broadcasts of set-points go through the plant's channel."""

    def __init__(self, site: Site, seed: int) -> None:
        super().__init__(site.plant.edge.mesh, seed)
        self._site = site
        self.heaters: dict[int, tuple[int, _HeaterSource, EndDevice]] = {}
        """IEEE address → (slot, source, device) of the site's heaters."""

    def broadcast(
        self, t_us: int, message: RadioMessage, devices: Sequence[int]
    ) -> BroadcastResult:
        """Send set-points through the plant; anything else like a radio of its own."""
        command = _set_power(message)
        if command is None:
            return super().broadcast(t_us, message, devices)
        plant, sent_us = self._site.plant, max(t_us, 0)
        power_w = np.full(len(plant.actuators), np.nan)
        for slot, level_w in command.powers_w:
            if level_w is not None and slot < len(power_w):
                power_w[slot] = level_w
        for ieee, (slot, _, device) in self.heaters.items():
            if ieee not in devices or not device.powered:
                power_w[slot] = np.nan  # a device that is gone or off hears nothing
        seq, status = plant.broadcast(sent_us, power_w)
        if status != STATUS_SENT:
            full = status == STATUS_TABLE_FULL
            return BroadcastResult(mt.BUFFER_FULL if full else _NOT_NOW)
        acked_us, effective_us = plant.acked_us(seq), plant.effective_us(seq)
        self._site.effects.broadcast(sent_us, command.sequence & 0xFF, effective_us)
        dead_us = round(plant.edge.device.dead_time_s * 1e6)
        arrivals, replies = {}, {}
        for ieee in devices:
            if ieee not in self.heaters:
                continue
            slot, source, _ = self.heaters[ieee]
            back_us, acts_us = int(acked_us[slot]), int(effective_us[slot])
            if acts_us < 0 and back_us < 0:
                continue
            # The plant keeps no time of arrival: it lies before the effect and before the reply.
            there_us = acts_us - dead_us if acts_us >= 0 else back_us - 1
            there_us = min(there_us, back_us - 1) if back_us >= 0 else there_us
            arrivals[ieee] = there_us = max(there_us, t_us + 1)
            replies[ieee] = back_us if back_us >= 0 else NEVER
            source.by_broadcast.add(there_us)
        return BroadcastResult(mt.SUCCESS, arrivals, replies)


class EmulatedMesh:
    """A coordinator with its devices on one bus of a rig.

    Raises:
        RigError: devices of a kind that is no Zigbee device, or a memory that cannot be used.
    """

    def __init__(
        self,
        rig: _Builder,
        bus: ZnpBus,
        devices: Sequence[ConcreteDevice],
        *,
        tap: Tap | None,
        faults: WireFault | None,
        memory: Path | None = None,
    ) -> None:
        clock, site = rig.clock, rig.site
        served = site is not None and any(device.serves for device in devices)
        radio = PlantMesh(site, rig.seed) if served and site is not None else None
        self.network = Network(clock, mesh=radio, seed=rig.seed)
        self.devices: dict[str, EndDevice] = {}
        self._sticky: dict[str, StickySource] = {}
        self._server: asyncio.Server | None = None
        self._pty: PtyPort | None = None
        for device in devices:
            if device.profile.zigbee is None:
                raise RigError(f"device '{device.id}' on bus '{bus.id}' is no Zigbee device")
            source = rig.source(device)
            ieee = parse_ieee(device.ieee)
            heard = _HeaterSource(source)
            of_site = radio is not None and device.slot >= 0
            if of_site:
                source = heard
            if faults is not None:
                source = self._sticky[device.id] = StickySource(source, clock)
            end_device = EndDevice.from_profile(device.profile, source, ieee, clock)
            if radio is not None and of_site:
                radio.heaters[ieee] = device.slot, heard, end_device
            self.devices[device.id] = end_device
            self.network.add(end_device)
        # After its devices: what it remembers of them is theirs from the beginning.
        try:
            self.coordinator = ZnpCoordinator(
                clock,
                self.network,
                memory,
                ieee=_coordinator_ieee(bus.id),
                bus=bus.id,
                faults=faults,
                tap=tap,
                seed=rig.seed,
            )
        except NvFileError as error:
            raise RigError(str(error)) from error
        self.coordinator_faults = CoordinatorFaults(self.coordinator)
        if radio is not None:
            self._commission(rig.seed)

    def _commission(self, seed: int) -> None:
        """Form the network and let every device be in it, as after an evening with a ladder."""
        draw = generator(seed, "zigbee", "commissioning")
        info = form_network(self.coordinator.nv, 1 << 15, draw)
        for place, device in enumerate(self.devices.values()):
            device.joined(info.identity, 0x1000 + place)
            self.coordinator.nv.remember_device(device.ieee, device.nwk)

    def protocol(self) -> asyncio.Protocol:
        """Return the coordinator's end of a connection."""
        return self.coordinator.protocol()

    def faulty(self, device: str) -> EndDeviceFaults:
        """Return a device as faults see it."""
        return EndDeviceFaults(self.devices[device], self._sticky.get(device))

    def power_w(self, device: str, t_us: int) -> float | None:
        """Return what a device measures now."""
        value = self.devices[device].source.measure("power_w", t_us)
        return value if isinstance(value, float) else None

    async def serve(self, bus: ZnpBus) -> dict[str, Any]:
        """Open a socket if the bus has a host, else a pseudo terminal; return where.

        Raises:
            ServeError, LineError: the address cannot be had.
        """
        if bus.host is None:
            link = None if bus.path is None else Path(bus.path)
            self._pty = PtyPort(self.protocol, link)
            self._pty.plug()
            return {"path": self._pty.path}
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self.protocol, bus.host, bus.port or 0)
        except OSError as error:
            raise ServeError(
                f"{bus.host}, port {bus.port}: cannot be listened at: {error.strerror or error}"
            ) from error
        host, port = self._server.sockets[0].getsockname()[:2]
        return {"host": host, "port": port}

    async def close(self) -> None:
        """Close socket or terminal, and save the memory."""
        if self._server is not None:
            self._server.close()
        if self._pty is not None:
            self._pty.unplug()
        self.coordinator.save()


def _coordinator_ieee(bus: str) -> int:
    return 0x00124B00B0A70000 | (sum(bus.encode()) & 0xFFFF)


def _set_power(message: RadioMessage) -> heater.SetPower | None:
    """Return the set-points that a message carries, None if it carries none."""
    if message.cluster != heater.CLUSTER:
        return None
    try:
        frame = ZclFrame.decode(message.payload)
        if frame.command != heater.SET_POWER or frame.manufacturer != heater.MANUFACTURER:
            return None
        return heater.SetPower.decode(frame.payload)
    except CodecError:
        return None
