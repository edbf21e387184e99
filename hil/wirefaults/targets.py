"""What faults can be put on: the buses and devices of a rig, by name."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from pydantic import ValidationError

from ...sim.clock import Clock, to_us
from ...sim.faults import (
    BUS_FAULTS,
    BusBabble,
    BusBadCrc,
    BusFault,
    BusWrongTransaction,
    DeviceReboot,
    PortVanish,
    SlowClient,
    ValueStuck,
)
from .bus import ActiveFault, BusFaults
from .devices import FaultyDevice, faulty
from .frames import CHECKED_KINDS, TCP_KINDS, BusKind
from .slow import Connect, SlowClients

if TYPE_CHECKING:
    from ..devices.emulated import EmulatedDevice

FOREVER_S: Final = 31 * 86400.0
"""Duration of a fault that is switched on without one."""


class FaultTargetError(Exception):
    """A fault cannot be put on what was named; the message says why and what is allowed."""


class Endpoint(Protocol):
    """What faults ask of whoever serves a bus at an address."""

    def vanish(self) -> None:
        """Take the address away: the listening socket, or the pseudo terminal."""

    def restore(self) -> None:
        """Serve again at the same address."""


@dataclass(slots=True)
class _Bus:
    kind: BusKind
    connect: Connect | None = None
    endpoint: Endpoint | None = None
    coordinator: FaultyDevice | None = None


@dataclass(slots=True)
class _Device:
    bus: str
    unit: int | None = None
    device: FaultyDevice | None = None


@dataclass(eq=False, slots=True)
class Effect:
    """A fault that is on, and how it is switched off."""

    fault: BusFault
    until_us: int | None
    undo: list[Callable[[], None]] = field(default_factory=list)
    active: ActiveFault | None = None
    over: bool = False

    def end(self) -> None:
        """Switch the fault off; once."""
        if not self.over:
            self.over = True
            for step in reversed(self.undo):
                step()


class FaultTargets:
    """The registry that an emulation fills, and that scenarios and the live command act on.

    Args:
        clock: of the run.
        faults: what sits between servers and transports.
        on_change: told of each fault that begins (True) or ends (False).
    """

    def __init__(
        self,
        clock: Clock,
        faults: BusFaults,
        on_change: Callable[[BusFault, bool], object] | None = None,
    ) -> None:
        self._clock = clock
        self._faults = faults
        self._on_change = on_change
        self._buses: dict[str, _Bus] = {}
        self._devices: dict[str, _Device] = {}
        self.effects: list[Effect] = []

    def add_bus(
        self,
        name: str,
        kind: BusKind,
        *,
        connect: Connect | None = None,
        endpoint: Endpoint | None = None,
        coordinator: FaultyDevice | None = None,
    ) -> None:
        """Make a bus known; `connect` opens connections to it for slow clients."""
        self._faults.add_bus(name, kind)
        self._buses[name] = _Bus(kind, connect, endpoint, coordinator)

    def add_device(
        self,
        name: str,
        bus: str,
        unit: int | None = None,
        device: FaultyDevice | EmulatedDevice | None = None,
    ) -> None:
        """Make a device on a known bus known; `unit` is its Modbus unit id."""
        self._devices[name] = _Device(bus, unit, faulty(device))

    def names(self) -> list[str]:
        """Return what can be named as a target."""
        return [*self._buses, *self._devices]

    def kinds(self, target: str) -> list[str]:
        """Return the kinds of faults that a target can have."""
        found = []
        for kind, model in BUS_FAULTS.items():
            required = {"delay_s": 1.0} if "delay_s" in model.model_fields else {}
            given = {"start_s": 0.0, "duration_s": 1.0, "target": target, **required}
            try:
                self.check(model.model_validate(given))
            except (FaultTargetError, ValidationError):
                continue
            found.append(kind)
        return found

    def check(self, fault: BusFault) -> None:
        """Raise `FaultTargetError` if a fault cannot be put on its target."""
        name, kind = fault.target, fault.kind
        if name not in self._buses and name not in self._devices:
            raise FaultTargetError(unknown("target", name, self.names()))
        device = self._devices.get(name)
        bus = self._buses[device.bus if device else name]
        if isinstance(fault, BusBadCrc) and bus.kind not in CHECKED_KINDS:
            raise FaultTargetError(
                f"{kind}: {bus.kind} has no check in its frames; allowed: buses modbus-rtu and znp"
            )
        if isinstance(fault, BusWrongTransaction) and bus.kind not in TCP_KINDS:
            raise FaultTargetError(f"{kind}: only modbus-tcp and modbus-tls have transaction ids")
        if isinstance(fault, SlowClient) and bus.connect is None:
            raise FaultTargetError(f"{kind}: '{name}' takes no further connections")
        if isinstance(fault, DeviceReboot | ValueStuck):
            part = device.device if device else bus.coordinator
            if part is None or (device is None and isinstance(fault, ValueStuck)):
                raise FaultTargetError(
                    f"{kind}: '{name}' is no emulated device; allowed: "
                    f"{', '.join(self._devices) or 'no device here'}"
                )
        elif device and bus.kind == "znp":
            raise FaultTargetError(
                f"{kind} bends frames of the coordinator's port, which all devices share; "
                f"allowed: target '{device.bus}'"
            )

    def begin(self, fault: BusFault, for_s: float | None) -> Effect:
        """Put a fault on its target now; it ends by itself after `for_s` seconds, or by `end`."""
        self.check(fault)
        until_us = None if for_s is None else self._clock.now_us + to_us(for_s)
        effect = Effect(fault, until_us)
        device = self._devices.get(fault.target)
        bus_name = device.bus if device else fault.target
        bus = self._buses[bus_name]
        match fault:
            case SlowClient():
                assert bus.connect is not None
                slow = SlowClients(bus.connect, bus.kind, fault.connections, fault.period_s)
                slow.start()
                effect.undo.append(slow.stop)
            case ValueStuck():
                self._stick(fault, effect)
            case _:
                self._on_wire(fault, effect, bus_name, device)
                if isinstance(fault, DeviceReboot):
                    part = device.device if device else bus.coordinator
                    assert part is not None
                    part.reset(fault.factory)
                    effect.undo.append(part.back)
                if isinstance(fault, PortVanish) and bus.endpoint is not None:
                    bus.endpoint.vanish()
                    effect.undo.append(bus.endpoint.restore)
        self.effects.append(effect)
        effect.undo.insert(0, lambda: self._ended(effect))
        if until_us is not None:
            self._clock.schedule(until_us, effect.end)
        if self._on_change is not None:
            self._on_change(fault, True)
        return effect

    def schedule(self, faults: Iterable[BusFault]) -> None:
        """Have the faults of a scenario begin and end at their times. Raises FaultTargetError."""
        faults = list(faults)
        for fault in faults:
            self.check(fault)
        for fault in faults:
            begin = functools.partial(self.begin, fault, fault.duration_s)
            self._clock.schedule(to_us(fault.start_s), begin)

    def on(
        self, target: str, kind: str, parameters: Mapping[str, Any], for_s: float | None = None
    ) -> Effect:
        """Switch a fault on by name; one of the same kind on the target is replaced."""
        fault = self.read(target, kind, parameters, for_s)
        self.check(fault)
        self.off(target, kind)
        return self.begin(fault, for_s)

    def off(self, target: str, kind: str | None = None) -> int:
        """Switch off a target's faults (of one kind); return how many there were."""
        if target not in self.names():
            raise FaultTargetError(unknown("target", target, self.names()))
        if kind is not None and kind not in BUS_FAULTS:
            raise FaultTargetError(unknown("kind", kind, list(BUS_FAULTS)))
        found = [
            effect
            for effect in self.effects
            if effect.fault.target == target and kind in {None, effect.fault.kind}
        ]
        for effect in found:
            effect.end()
        return len(found)

    def end_all(self) -> None:
        """Switch everything off."""
        for effect in list(self.effects):
            effect.end()

    def listing(self) -> list[dict[str, Any]]:
        """Return a row a target: what it is, what it can have, what it has."""
        rows = []
        for name in self.names():
            device = self._devices.get(name)
            kind = self._buses[device.bus if device else name].kind
            row: dict[str, Any] = {"target": name, "bus": device.bus if device else name}
            row |= {"kind": kind, "unit": device.unit if device else None}
            row["device"] = device is not None
            row["faults"] = [self._shown(e) for e in self.effects if e.fault.target == name]
            row["possible"] = self.kinds(name)
            rows.append(row)
        return rows

    @staticmethod
    def read(
        target: str, kind: str, parameters: Mapping[str, Any], for_s: float | None
    ) -> BusFault:
        """Return the fault that words describe. Raises `FaultTargetError`."""
        model = BUS_FAULTS.get(kind)
        if model is None:
            raise FaultTargetError(unknown("kind", kind, list(BUS_FAULTS)))
        own = [name for name in model.model_fields if name not in _GIVEN]
        for name in parameters:
            if name not in own:
                raise FaultTargetError(unknown(f"parameter of {kind}", name, own))
        duration_s = FOREVER_S if for_s is None else max(for_s, 1.0)
        if for_s is not None and not 0 < for_s <= FOREVER_S:
            raise FaultTargetError(f"--for is {for_s:g} s; allowed: more than 0, at most 31 days")
        given = dict(parameters) | {"target": target, "start_s": 0.0, "duration_s": duration_s}
        try:
            return model.model_validate(given)
        except ValidationError as problem:
            first = problem.errors()[0]
            place = ".".join(str(step) for step in first["loc"]) or kind
            raise FaultTargetError(f"{kind}, {place}: {first['msg'].lower()}") from None

    def _on_wire(self, fault: BusFault, effect: Effect, bus: str, device: _Device | None) -> None:
        if device is not None and self._buses[bus].kind == "znp":
            return  # the radio's part of a reboot is the device's own
        alone = device is None or sum(d.bus == bus for d in self._devices.values()) == 1
        unit = None if alone or device is None or isinstance(fault, BusBabble) else device.unit
        effect.active = active = self._faults.begin(fault, bus, unit)
        effect.undo.append(lambda: self._faults.end(active))

    def _stick(self, fault: ValueStuck, effect: Effect) -> None:
        part = self._devices[fault.target].device
        assert part is not None
        try:
            part.stuck(fault.quantity, True)
        except KeyError as problem:
            known = problem.args[0] if problem.args else ""
            raise FaultTargetError(
                f"value_stuck: '{fault.target}' has no quantity '{fault.quantity}'; "
                f"allowed: {known}"
            ) from None
        effect.undo.append(lambda: part.stuck(fault.quantity, False))

    def _ended(self, effect: Effect) -> None:
        self.effects.remove(effect)
        if self._on_change is not None:
            self._on_change(effect.fault, False)

    def _shown(self, effect: Effect) -> dict[str, Any]:
        left_us = None if effect.until_us is None else effect.until_us - self._clock.now_us
        shown = effect.fault.model_dump(
            mode="json", exclude={"start_s", "duration_s", "target"}, exclude_none=True
        )
        shown["left_s"] = None if left_us is None else max(left_us, 0) / 1e6
        shown["frames_bent"] = effect.active.frames_bent if effect.active else None
        return shown


_GIVEN: Final = {"kind", "target", "start_s", "duration_s"}


def unknown(what: str, name: str, known: Sequence[str]) -> str:
    """Return the line that says that a name is not known, with the nearest ones."""
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f" (did you mean '{near[0]}'?)" if near else ""
    return f"no {what} '{name}'; allowed: {', '.join(known) or 'none'}{hint}"
