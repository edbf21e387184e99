"""Whether a scenario's bus faults can be put on a rig: asked of the registry that acts on them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ...sim.clock import VirtualClock
from ...sim.edge.config import EdgeConfig
from ...sim.faults import BusFault, FaultConfig, ValueStuck, needs_bytes
from ..devices.model import DeviceProfile
from ..wirefaults.bus import BusFaults
from ..wirefaults.targets import FaultTargetError, FaultTargets
from .concrete import ConcreteDevice, RigSetup, concrete
from .model import Rig, Zigbee2MqttBus

Readable = Callable[[DeviceProfile], frozenset[str]]


def bus_fault_problems(
    rig: Rig,
    profiles: Mapping[str, DeviceProfile],
    plant: Any,
    faults: Sequence[FaultConfig],
    readable: Readable,
) -> Iterator[str]:
    """Yield a line for each fault of a bus or device that the rig's emulation cannot have.

    Args:
        rig: the rig.
        profiles: device profiles by the name under which its devices have them.
        plant: the configuration of the scenario's plant: `load.*` stands for its loads.
        faults: of the scenario; those of the plant's edge are passed over.
        readable: says what a device measures.
    """
    if not needs_bytes(faults):
        return
    # Late: the plant's modules are slow to import, and few scenarios have faults on buses.
    from ...sim.export.compilation import actuators

    devices = concrete(RigSetup(rig, profiles), actuators(plant, EdgeConfig()))
    with VirtualClock() as clock:
        targets = FaultTargets(clock, BusFaults(0, clock))
        _fill(targets, [device for device in devices if device.emulated])
        for index, fault in enumerate(faults):
            if isinstance(fault, BusFault):
                problem = _problem(fault, devices, targets, readable)
                if problem is not None:
                    yield f"fault {index} ({fault.kind}){problem}"


def _problem(
    fault: BusFault, devices: Sequence[ConcreteDevice], targets: FaultTargets, readable: Readable
) -> str | None:
    """Return the end of the line about one fault, None if it can be."""
    on_target = [device for device in devices if fault.target in {device.id, device.bus.id}]
    if not on_target:
        known = sorted({name for device in devices for name in (device.id, device.bus.id)})
        return f": the rig has no bus or device '{fault.target}'; allowed: {', '.join(known)}"
    real = next((device.id for device in on_target if not device.emulated), None)
    if real is not None:
        return f" needs emulated devices, and '{real}' is a real one"
    try:
        targets.check(fault)
    except FaultTargetError as error:
        return f": {str(error).removeprefix(fault.kind + ': ')}"
    if isinstance(fault, ValueStuck) and fault.quantity is not None:
        quantities = readable(on_target[0].profile)
        if fault.quantity not in quantities:
            names = ", ".join(sorted(quantities))
            return f": '{fault.target}' has no quantity '{fault.quantity}'; allowed: {names}"
    return None


def _fill(targets: FaultTargets, devices: Sequence[ConcreteDevice]) -> None:
    """Make buses and devices known as an emulation would."""
    for bus in {device.bus.id: device.bus for device in devices}.values():
        if isinstance(bus, Zigbee2MqttBus):
            continue
        stub = _Stub() if bus.kind == "znp" else None
        targets.add_bus(bus.id, bus.kind, connect=_connect, coordinator=stub)
    for device in devices:
        if not isinstance(device.bus, Zigbee2MqttBus):
            targets.add_device(device.id, device.bus.id, device.unit or None, _Stub())


async def _connect(protocol: asyncio.Protocol) -> asyncio.BaseTransport:
    """Stand for how a slow client reaches a bus; nobody does."""
    raise ConnectionRefusedError


class _Stub:
    """A device that is not there yet."""

    def reset(self, factory: bool) -> None:
        """Nothing happens to it."""

    def back(self) -> None:
        """Nothing happens to it."""

    def stuck(self, quantity: str | None, on: bool) -> None:
        """Nothing happens to it."""
