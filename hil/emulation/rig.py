"""The emulated devices of a rig: built from its profiles, served in memory or at addresses."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...sim.clock import Clock
from ...sim.faults import BusFault, FaultConfig, needs_bytes
from ..devices.emulated import EmulatedDevice
from ..devices.source import DeviceSource
from ..devices.standalone import StandaloneSource
from ..errors import RigError
from ..memory import connect as join_in_memory
from ..modbus.line import LineSettings
from ..modbus.server import ModbusServer
from ..modbus.tls import server_context
from ..modbus.unit import Unit
from ..rigs.concrete import ConcreteDevice, RigSetup, concrete, concrete_for
from ..rigs.model import Bus, ModbusRtuBus, ModbusTcpBus, ModbusTlsBus, Parity, ZnpBus
from ..wire import Tap
from ..wirefaults.bus import BusFaults
from ..wirefaults.targets import FaultTargets
from .mesh import EmulatedMesh
from .sources import Site, source_of

_DIGITS: Final = re.compile(r"[0-9]+")
PARITIES: Final[Mapping[Parity, Any]] = {"none": "N", "even": "E", "odd": "O"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an emulated device is reached."""

    device: str
    profile: str
    bus: str
    """`modbus-tcp`, `modbus-rtu`, `modbus-tls` or `znp`."""
    host: str | None = None
    port: int | None = None
    path: str | None = None
    unit: int | None = None
    ieee: str | None = None

    def as_dict(self) -> dict[str, str | int]:
        """Return the keys that apply."""
        names = ("device", "profile", "bus", "host", "port", "path", "unit", "ieee")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a live table shows of a device; requests are those of its bus."""

    requests: int
    exceptions: int
    power_w: float | None
    faults: Sequence[str]


class _AnyUnit(dict[int, Unit]):
    """Units of a server that answers to every unit id: as many devices on TCP do."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        super().__init__(units)
        self._only = next(iter(units.values()))

    def get(self, unit: int, default: Any = None) -> Any:
        """Return the device, whatever it is called."""
        return super().get(unit, self._only)


class EmulatedRig:
    """Every emulated device of a rig on one clock.

    Args:
        setup: the rig and its profiles.
        clock: whose time everything follows.
        site: the plant behind the devices; None: power of their own flows.
        seed: of everything random.
        faults: a scenario's; those of buses and devices are scheduled.
        with_faults: whether faults can be switched on later. Without them, and without a tape,
            frames pass untouched.
        tap: is told of every frame.
        on_fault: told of each bus fault that begins (True) or ends (False).
        memory: folder in which coordinators keep what survives a restart; None: nowhere.

    Raises:
        RigError: the rig cannot be emulated as it says.
        FaultTargetError: a fault names a bus or device that the rig does not have.
    """

    def __init__(
        self,
        setup: RigSetup,
        clock: Clock,
        *,
        site: Site | None = None,
        seed: int = 0,
        faults: Sequence[FaultConfig] = (),
        with_faults: bool = False,
        tap: Tap | None = None,
        on_fault: Callable[[BusFault, bool], object] | None = None,
        memory: Path | None = None,
    ) -> None:
        self.name = setup.rig.name
        self.clock, self.site, self.seed = clock, site, seed
        self._memory = memory
        if memory is not None:
            try:
                memory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                why = error.strerror or error
                raise RigError(f"{memory}: no memory can be kept there: {why}") from error
        found = concrete(setup) if site is None else concrete_for(setup, site.plant)
        self.devices: tuple[ConcreteDevice, ...] = tuple(d for d in found if d.emulated)
        bus_faults = needs_bytes(faults)
        bent = BusFaults(seed, clock) if with_faults or bus_faults else None
        self.targets: FaultTargets | None = None
        if bent is not None:
            self.targets = FaultTargets(clock, bent, on_fault)
        self._tap, self._bent = tap, bent
        self._setup = setup
        self.servers: dict[str, ModbusServer] = {}
        self.meshes: dict[str, EmulatedMesh] = {}
        self.units: dict[str, EmulatedDevice] = {}
        """Modbus devices by id."""
        for bus in setup.rig.buses:
            mine = [device for device in self.devices if device.bus.id == bus.id]
            if not mine:
                continue
            if isinstance(bus, ZnpBus):
                self._add_mesh(bus, mine)
            elif isinstance(bus, ModbusTcpBus | ModbusTlsBus | ModbusRtuBus):
                self._add_server(bus, mine)
            else:
                raise RigError(f"bus '{bus.id}': devices behind {bus.kind} cannot be emulated")
        if self.targets is not None and bus_faults:
            self.targets.schedule(bus_faults)

    def protocol(self, bus: str) -> Callable[[], asyncio.Protocol]:
        """Return what makes the devices' end of a connection to a bus."""
        if bus in self.servers:
            return self.servers[bus].protocol
        return self.meshes[bus].protocol

    async def serve(self) -> list[Endpoint]:
        """Open sockets and pseudo terminals; return where each device is.

        Raises:
            ServeError, LineError: an address cannot be had.
        """
        found: list[Endpoint] = []
        for bus in self._setup.rig.buses:
            mine = [device for device in self.devices if device.bus.id == bus.id]
            if bus.id in self.servers:
                place = await self._serve_modbus(bus, self.servers[bus.id])
            elif bus.id in self.meshes:
                assert isinstance(bus, ZnpBus)
                place = await self.meshes[bus.id].serve(bus)
            else:
                continue
            for device in mine:
                own = {"unit": device.unit} if device.unit else {"ieee": device.ieee}
                values: dict[str, Any] = {**place, **own}
                found.append(Endpoint(device.id, device.profile.name, bus.kind, **values))
        return found

    async def close(self) -> None:
        """Close everything."""
        if self.targets is not None:
            self.targets.end_all()
        for server in self.servers.values():
            await server.close()
        for mesh in self.meshes.values():
            await mesh.close()

    def seen(self, device: str) -> Seen:
        """Return what a live table shows of a device."""
        t_us = self.clock.now_us
        found = next(one for one in self.devices if one.id == device)
        bus = found.bus.id
        faults: list[str] = []
        if self.targets is not None:
            on = (effect.fault for effect in self.targets.effects)
            faults = [fault.kind for fault in on if fault.target in {device, bus}]
        if bus in self.meshes:
            return Seen(0, 0, self.meshes[bus].power_w(device, t_us), faults)
        statistics = self.servers[bus].statistics
        value = self.units[device].value("power_w", t_us)
        power_w = value if isinstance(value, float) else None
        return Seen(statistics.requests, statistics.exceptions, power_w, faults)

    def source(self, device: ConcreteDevice) -> DeviceSource:
        """Return what a device measures and drives.

        Raises:
            RigError: the site has no such thing.
        """
        if self.site is None or not device.serves:
            return StandaloneSource(device.profile, self.seed)
        try:
            return source_of(self.site, device.serves[0])
        except KeyError:
            raise RigError(
                f"device '{device.id}' serves '{device.serves[0]}', which the scenario's plant "
                "does not have"
            ) from None

    def _add_server(
        self, bus: ModbusTcpBus | ModbusTlsBus | ModbusRtuBus, devices: Sequence[ConcreteDevice]
    ) -> None:
        units: dict[int, Unit] = {}
        for device in devices:
            if device.unit in units:
                raise RigError(
                    f"device '{device.id}': unit {device.unit} is taken on bus '{bus.id}'; "
                    "allowed: another unit, or a bus of its own"
                )
            emulated = EmulatedDevice(
                device.profile, self.source(device), self.clock, serial=self._serial(device)
            )
            self.units[device.id] = units[device.unit] = emulated
        first = devices[0].profile.modbus
        assert first is not None
        rtu = isinstance(bus, ModbusRtuBus)
        alone = len(devices) == 1 and not rtu
        server = ModbusServer(
            _AnyUnit(units) if alone and first.any_unit else units,
            self.clock,
            bus=bus.id,
            framing="rtu" if rtu else "tcp",
            unknown_unit=first.unknown_unit if alone else "gateway",
            line=line_settings(bus) if isinstance(bus, ModbusRtuBus) else None,
            tap=self._tap,
            faults=self._bent,
            max_connections=(first.max_connections or 128) if alone else 128,
        )
        self.servers[bus.id] = server
        if self.targets is None:
            return
        self.targets.add_bus(bus.id, bus.kind, connect=self._connector(bus.id, server.protocol))
        for device in devices:
            self.targets.add_device(device.id, bus.id, device.unit, self.units[device.id])

    def _serial(self, device: ConcreteDevice) -> str:
        """Return a device's serial number: no two of a rig have the same one."""
        if device.entry.serial is not None:
            return device.entry.serial
        own = device.profile.identity.serial
        alike = [one for one in self.devices if one.profile.name == device.profile.name]
        return _counted(own, alike.index(device))

    def _add_mesh(self, bus: ZnpBus, devices: Sequence[ConcreteDevice]) -> None:
        memory = None if self._memory is None else self._memory / f"{bus.id}.json"
        mesh = EmulatedMesh(self, bus, devices, tap=self._tap, faults=self._bent, memory=memory)
        self.meshes[bus.id] = mesh
        if self.targets is None:
            return
        self.targets.add_bus(
            bus.id,
            bus.kind,
            connect=self._connector(bus.id, mesh.protocol),
            coordinator=mesh.coordinator_faults,
        )
        for device in devices:
            self.targets.add_device(device.id, bus.id, None, mesh.faulty(device.id))

    def _connector(self, bus: str, make: Callable[[], asyncio.Protocol]) -> Any:
        """Return how a slow client of the bench's own reaches a bus: past sockets, in memory."""

        async def connect(protocol: asyncio.Protocol) -> asyncio.BaseTransport:
            return join_in_memory(self.clock, protocol, make(), 1000)

        return connect

    async def _serve_modbus(self, bus: Bus, server: ModbusServer) -> dict[str, Any]:
        if isinstance(bus, ModbusRtuBus):
            return {"path": await server.serve_pty(bus.path)}
        if isinstance(bus, ModbusTlsBus):
            files = (Path(bus.certificate_path), Path(bus.key_path), Path(bus.ca_path))
            host, port = await server.serve_tls(server_context(*files), bus.host, bus.port)
        else:
            assert isinstance(bus, ModbusTcpBus)
            host, port = await server.serve_tcp(bus.host, bus.port)
        return {"host": host, "port": port}


def _counted(serial: str, number: int) -> str:
    """Return a serial number `number` further on, of the same length where it has digits.

    What counts up is the last run of digits: a register's text takes no more characters.
    """
    if number == 0:
        return serial
    runs = list(_DIGITS.finditer(serial))
    if not runs:
        return f"{serial}-{number}"
    begin, end = runs[-1].span()
    counted = (int(serial[begin:end]) + number) % 10 ** (end - begin)
    return f"{serial[:begin]}{counted:0{end - begin}d}{serial[end:]}"


def line_settings(bus: ModbusRtuBus) -> LineSettings:
    """Return the settings of a serial line of a rig."""
    return LineSettings(bus.baud_rate, PARITIES[bus.parity], bus.stop_bits)
