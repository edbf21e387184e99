"""What `wattbench rig fingerprint` and `drift` measure, and how it is reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ..hil.devices.model import DeviceProfile
    from ..hil.fingerprint.probe import Probe
    from ..hil.rigs.concrete import ConcreteDevice, RigSetup
    from ..sim.clock import Clock


_ONE_WAY_US: Final = 100
"""Delay of a message in memory in each direction."""
_JOIN_S: Final = 60
"""Emulated Zigbee devices that stand alone join a network that is open."""


class UsageError(Exception):
    """The command cannot be carried out as it was given; one line says why."""


class StoppedError(Exception):
    """A signal ended the measurement."""


@dataclass(frozen=True, slots=True)
class FingerprintOptions:
    """What `wattbench rig fingerprint` or `rig drift` was told."""

    device: str
    """An endpoint (``127.0.0.1:1502/1``, ``modbus-tcp://host:port/unit``,
    ``modbus-rtu:///dev/ttyUSB0/unit``), or, with `rig`, the id of a device in it."""
    rig: str | None = None
    """A rig file or the name of a shipped one."""
    profile: str | None = None
    """The device profile whose register map is used; required with an endpoint. For drift also
    what the device is compared with, unless `against` says otherwise."""
    against: Path | None = None
    """Drift only: a profile written by `fingerprint`, instead of the device's own."""
    out: Path | None = None
    """Fingerprint only: the profile goes to this file; default: ``DEVICE.fingerprint.yaml``."""
    yes: bool = False
    """Do not ask before set-points are commanded."""
    passive: bool = False
    """Only what can be measured without commanding a set-point."""
    max_power_w: float | None = None
    """No set-point above this, W; default: the upper end of the device's range."""
    repeats: int | None = None
    """How often set-points and expiries are repeated; default: what each one needs."""
    watchdog_limit_s: float | None = None
    """How long an expiry of the watchdog is waited for, s; 0: it is not measured."""


@dataclass(slots=True)
class Target:
    """What is measured, and how it is reached."""

    name: str
    profile: DeviceProfile
    run: Callable[[Callable[[Clock, Probe], Coroutine[Any, Any, None]]], None]
    """Runs a coroutine of clock and probe to its end."""
    where: str
    asks: bool
    """Whether a person is asked first: not for what only exists in memory."""


def target_of(options: FingerprintOptions) -> Target:
    """Return what the options mean.

    Raises:
        UsageError: they mean nothing.
        ScenarioErrors, UnknownProfileError, UnknownRigError: a file or name is wrong.
    """
    if options.rig is not None:
        return _target_in_rig(options)
    from ..hil.fingerprint.endpoint import EndpointError, parse_endpoint
    from ..scenarios.devices import load_device_profile

    try:
        endpoint = parse_endpoint(options.device)
    except EndpointError as problem:
        raise UsageError(
            f"{problem}. A device of a rig: rig fingerprint DEVICE --rig RIG"
        ) from None
    if options.profile is None:
        raise UsageError("--profile: an endpoint needs a device profile, for its register map")
    profile = load_device_profile(options.profile)
    if profile.modbus is None:
        raise UsageError(f"--profile: {options.profile} is no Modbus device")
    unit = endpoint.unit or profile.modbus.unit
    endpoint = replace(endpoint, unit=unit)

    def run(session: Callable[[Clock, Probe], Coroutine[Any, Any, None]]) -> None:
        from ..hil.fingerprint.modbus_probe import ModbusProbe
        from ..hil.fingerprint.profile import blind

        async def work(clock: Clock) -> None:
            probe = ModbusProbe(clock, endpoint.client(clock), blind(profile), unit)
            await session(clock, probe)

        _on_wall_clock(work)

    return Target(options.device, profile, run, str(endpoint), asks=True)


def _target_in_rig(options: FingerprintOptions) -> Target:
    from ..hil.rigs.concrete import RigSetup, concrete
    from ..scenarios.devices import load_device_profile
    from ..scenarios.rigs import load_profiles, load_rig

    assert options.rig is not None
    rig = load_rig(options.rig)
    setup = RigSetup(rig, load_profiles(rig))
    devices = {device.id: device for device in concrete(setup)}
    device = devices.get(options.device)
    if device is None:
        raise UsageError(
            f"rig '{rig.name}' has no device '{options.device}'; allowed: {', '.join(devices)}"
        )
    profile = device.profile if options.profile is None else load_device_profile(options.profile)
    if (profile.modbus is None) != (device.unit == 0):
        raise UsageError(f"--profile: {profile.name} is not a profile for {device.bus.kind}")
    if profile.modbus is None and (device.bus.kind != "znp" or profile.kind != "heater"):
        raise UsageError(
            f"'{device.id}' is a {profile.kind} on {device.bus.kind}; measured are Modbus devices, "
            "and heaters behind a coordinator (znp)"
        )
    if device.emulated:
        run = _run_emulated(setup, device, profile)
        return Target(device.id, profile, run, "emulated in virtual time", asks=False)
    run = _run_on_rig(setup, device, profile, options)
    return Target(device.id, profile, run, f"rig {rig.name}, bus {device.bus.id}", asks=True)


def _run_emulated(setup: RigSetup, device: ConcreteDevice, profile: DeviceProfile) -> Any:
    """Return what measures a device that wattbench plays: in memory, in virtual time."""

    def run(session: Callable[[Clock, Probe], Coroutine[Any, Any, None]]) -> None:
        from ..hil.emulation.rig import EmulatedRig
        from ..sim.clock import VirtualClock

        with VirtualClock() as clock:
            rig = EmulatedRig(setup, clock)
            make = rig.protocol(device.bus.id)

            async def work() -> None:
                if profile.modbus is None:
                    from ..hil.zigbee.host import ports

                    connect = ports.in_memory(clock, make)
                    probe: Probe = _zigbee_probe(device, profile, clock, connect, join_s=_JOIN_S)
                else:
                    probe = _modbus_probe(device, profile, clock, make)
                await session(clock, probe)

            _stoppable(clock, work())

    return run


def _run_on_rig(
    setup: RigSetup, device: ConcreteDevice, profile: DeviceProfile, options: FingerprintOptions
) -> Any:
    """Return what measures a real device of a rig: locked, guarded, its serial number checked."""

    def run(session: Callable[[Clock, Probe], Coroutine[Any, Any, None]]) -> None:
        from ..hil.rigs.session import RigSession

        async def work(clock: Clock) -> None:
            rig = RigSession(setup.rig, setup.profiles, what=f"fingerprint of {device.id}")
            await rig.open()
            try:
                await rig.check(clock)
                if not options.passive:
                    rig.arm()
                if profile.modbus is None:
                    connect = _coordinator(device)
                    probe: Probe = _zigbee_probe(device, profile, clock, connect, rig.may_write)
                else:
                    probe = _modbus_probe(device, profile, clock, None, rig.may_write)
                await session(clock, probe)
            finally:
                await rig.end()

        _on_wall_clock(work)

    return run


def _modbus_probe(
    device: ConcreteDevice,
    profile: DeviceProfile,
    clock: Clock,
    make: Callable[[], asyncio.Protocol] | None,
    may_write: Callable[[], None] = lambda: None,
) -> Any:
    """Return a probe of a Modbus device, in memory if `make` makes its end of a connection."""
    from ..hil.emulation.rig import line_settings
    from ..hil.fingerprint.modbus_probe import ModbusProbe
    from ..hil.fingerprint.profile import blind
    from ..hil.modbus.client import ModbusClient
    from ..hil.modbus.tls import client_context
    from ..hil.rigs.model import ModbusRtuBus, ModbusTcpBus, ModbusTlsBus

    bus, name = device.bus, device.id
    line = line_settings(bus) if isinstance(bus, ModbusRtuBus) else None
    if make is not None:
        client = ModbusClient.in_memory(
            clock, make, name=name, one_way_us=_ONE_WAY_US, timeout_s=bus.timeout_s, line=line
        )
    elif isinstance(bus, ModbusRtuBus):
        if bus.path is None or line is None:
            raise UsageError(f"bus '{bus.id}' has no path")
        client = ModbusClient.serial(clock, bus.path, line, name=name, timeout_s=bus.timeout_s)
    else:
        assert isinstance(bus, ModbusTcpBus | ModbusTlsBus)
        tls = None
        if isinstance(bus, ModbusTlsBus):
            files = (Path(bus.certificate_path), Path(bus.key_path), Path(bus.ca_path))
            tls = client_context(*files)
        client = ModbusClient.tcp(
            clock, bus.host, bus.port, name=name, timeout_s=bus.timeout_s, tls=tls
        )
    return ModbusProbe(clock, client, blind(profile), device.unit, may_write)


def _zigbee_probe(
    device: ConcreteDevice,
    profile: DeviceProfile,
    clock: Clock,
    connect: Any,
    may_write: Callable[[], None] = lambda: None,
    join_s: int = 0,
) -> Any:
    """Return a probe of a heater behind a coordinator."""
    from ..hil.fingerprint.profile import blind
    from ..hil.fingerprint.zigbee_probe import ZigbeeProbe
    from ..hil.zigbee.host.host import ZigbeeHost
    from ..hil.zigbee.slots import parse_ieee

    host = ZigbeeHost(clock, name=device.bus.id)
    ieee = parse_ieee(device.ieee)
    return ZigbeeProbe(host, connect, blind(profile), ieee, may_write, join_s=join_s)


def _coordinator(device: ConcreteDevice) -> Any:
    """Return the way to the coordinator of a device's bus."""
    from ..hil.rigs.model import ZnpBus
    from ..hil.zigbee.host import ports

    bus = device.bus
    assert isinstance(bus, ZnpBus)
    if bus.path is not None:
        return ports.serial(bus.path, bus.baud_rate)
    if bus.host is None or bus.port is None:
        raise UsageError(f"bus '{bus.id}' has neither path nor host and port")
    return ports.tcp(bus.host, bus.port)


def _on_wall_clock(work: Callable[[Clock], Coroutine[Any, Any, None]]) -> None:
    from ..sim.clock import WallClock

    with WallClock() as clock:
        _stoppable(clock, work(clock))


def _stoppable(clock: Any, work: Coroutine[Any, Any, None]) -> None:
    """Run to the end; the first signal makes the device safe and ends, a second one breaks off."""
    from ..hil.safestate import StopSignals

    with StopSignals() as signals:
        try:
            with signals.stopping(clock.cancel):
                clock.run(work)
        except asyncio.CancelledError:
            raise StoppedError(f"stopped by {signals.first or 'the caller'}") from None
