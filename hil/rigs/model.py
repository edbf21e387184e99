"""The rig file: buses, devices and what each of them serves, and how it is made safe.

Only models: nothing in here connects. `scenarios.rigs` loads a file with line numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ...sim.config import Model, PowerW
from .buses import (
    ID,
    Bus,
    Digits,
    ModbusRtuBus,
    ModbusTcpBus,
    ModbusTlsBus,
    Parity,
    Port,
    Zigbee2MqttBus,
    ZnpBus,
)
from .safety import Calibration, Outlet, Precondition, Safe

__all__ = [
    "Bus",
    "Calibration",
    "ModbusRtuBus",
    "ModbusTcpBus",
    "ModbusTlsBus",
    "Origin",
    "Outlet",
    "Parity",
    "Port",
    "Precondition",
    "Rig",
    "RigDevice",
    "Safe",
    "Zigbee2MqttBus",
    "ZnpBus",
]

_IEEE: Final = r"^[0-9a-f]{2}(:[0-9a-f]{2}){7}$"
_SERVES: Final = r"^(grid|pv|battery|household|witness|(load|charger)\.(\*|[a-z][a-z0-9_]{0,31}))$"


def _served(name: str) -> str:
    if re.match(_SERVES, name) is None:
        raise PydanticCustomError(
            "serves",
            "a site has no '{name}'; allowed: grid, pv, battery, household, witness, load.ID or "
            "load.*, charger.ID or charger.*",
            {"name": name},
        )
    return name


_Serves = Annotated[str, AfterValidator(_served), Field(json_schema_extra={"pattern": _SERVES})]
_QUANTITY: Final = re.compile(
    r"^(grid|pv|battery|household|(load|charger)\.(\*|[a-z][a-z0-9_]{0,31}))$"
)
_COMMANDED: Final = frozenset({"load", "charger", "battery"})

Origin = Literal["simulated", "played", "uncontrolled"]


class RigDevice(Model):
    """A device on a bus."""

    id: str = Field(pattern=ID)
    profile: str
    """Name of a shipped device profile, or the path of one."""
    bus: str
    unit: Annotated[int, Digits, Field(ge=1, le=255)] | None = None
    """Modbus unit id; null: the profile's."""
    ieee: str | None = Field(None, pattern=_IEEE)
    """Zigbee address; null, where it is emulated: made up from the id."""
    serves: tuple[_Serves, ...] = ()
    """What of the site it is: `grid`, `pv`, `battery`, `witness`, `load.<id>`, `charger.<id>`.
    `load.*` stands for one device a load of the scenario (emulated ones only)."""
    emulated: bool = False
    """Whether wattbench plays the device; else it is a real one at the bus's address."""
    serial: str | None = Field(None, max_length=64)
    """Expected serial number; verified before the first write and after every reconnect."""
    firmware: str | None = Field(None, max_length=64)
    """Firmware that the device is known to run; recorded beside what it says itself."""
    rated_power_w: PowerW | None = Field(None, gt=0)
    """What the device can do at most; null: what its profile says, if it says anything."""
    safe: Safe | None = None
    """How it is made safe; null: as its profile says."""
    calibration: tuple[Calibration, ...] = Field((), max_length=64)
    """Of its points, each once."""

    @property
    def commanded(self) -> bool:
        """Whether it serves what is there to be commanded: a load, a charger, a battery."""
        return any(name.partition(".")[0] in _COMMANDED for name in self.serves)


class Rig(Model):
    """A rig."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """Default: the file's name, without its ending. Locks and the audit log go by it."""
    station: str = Field("", max_length=80)
    """Where it stands. Rigs of one name at different stations are different rigs."""
    operator: str = Field("", max_length=80)
    """Who answers for it; recorded with each run."""
    buses: tuple[Bus, ...] = Field(min_length=1, max_length=64)
    devices: tuple[RigDevice, ...] = Field(min_length=1, max_length=512)
    quantities: dict[str, Origin] = Field(default_factory=dict)
    """Where each quantity of the plant comes from: simulated, played (by a grid or PV simulator, a
    load bank) or uncontrolled (the real sun, the real house). Default: simulated; uncontrolled
    where a real device serves it."""
    preconditions: tuple[Precondition, ...] = Field((), max_length=64)
    """What must hold before a run starts."""
    outlets: tuple[Outlet, ...] = Field((), max_length=64)
    """Switched power outlets, for power cycling."""

    @model_validator(mode="after")
    def _joined(self) -> Self:
        _unique_ids(self)
        _known_quantities(self)
        for index, device in enumerate(self.devices):
            _device_fits(self, index, device)
        _served_once(self)
        _named_devices_exist(self)
        return self

    def bus(self, name: str) -> Bus:
        """Return the bus with an id."""
        return next(bus for bus in self.buses if bus.id == name)

    def device(self, name: str) -> RigDevice:
        """Return the device with an id."""
        return next(device for device in self.devices if device.id == name)

    def serving(self, what: str) -> RigDevice | None:
        """Return the device that serves a quantity (`load.*` serves every load), None if none."""
        any_of = what.partition(".")[0] + ".*"
        for device in self.devices:
            if what in device.serves:
                return device
        return next((device for device in self.devices if any_of in device.serves), None)

    def origin(self, quantity: str) -> Origin:
        """Return where a quantity of the plant comes from: as declared, else by who serves it."""
        declared = self.quantities.get(quantity)
        if declared is None:
            declared = self.quantities.get(quantity.partition(".")[0] + ".*")
        if declared is not None:
            return declared
        device = self.serving(quantity)
        return "simulated" if device is None or device.emulated else "uncontrolled"

    @property
    def real(self) -> bool:
        """Whether any of its devices is a real one: only then are there locks and guardians."""
        return not all(device.emulated for device in self.devices)

    def named_points(self) -> Iterator[tuple[tuple[str | int, ...], RigDevice, str]]:
        """Yield what is read by name: where it is said, of which device, and the point."""
        for index, device in enumerate(self.devices):
            for place, item in enumerate(device.calibration):
                yield ("devices", index, "calibration", place, "point"), device, item.point
            if device.safe is not None and device.safe.measured_by is not None:
                by = self.device(device.safe.measured_by)
                yield ("devices", index, "safe", "measured_point"), by, device.safe.measured_point
        for index, condition in enumerate(self.preconditions):
            path = ("preconditions", index, "point")
            yield path, self.device(condition.device), condition.point

    @property
    def witness(self) -> RigDevice | None:
        """The meter from which verdicts are computed, None: the plant's truth."""
        return next((device for device in self.devices if "witness" in device.serves), None)

    @property
    def unpaired(self) -> bool:
        """Whether anything is uncontrolled, so that no two runs are alike.

        Limits that compare a run with another one are INCONCLUSIVE then.
        """
        named = {*self.quantities, *(s for d in self.devices for s in d.serves if s != "witness")}
        return any(self.origin(name) == "uncontrolled" for name in named)


def _wrong(kind: str, message: str, *at: str | int, **context: str) -> PydanticCustomError:
    """Return the error of a place inside the rig."""
    return PydanticCustomError(kind, message, {**context, "at": list(at)})


def _unique_ids(rig: Rig) -> None:
    for section, items in (("buses", rig.buses), ("devices", rig.devices)):
        seen: set[str] = set()
        for index, item in enumerate(items):
            if item.id in seen:
                message = "id '{name}' is used twice; allowed: each id once"
                raise _wrong("duplicate", message, section, index, "id", name=item.id)
            seen.add(item.id)


def _known_quantities(rig: Rig) -> None:
    for name in rig.quantities:
        if _QUANTITY.match(name) is None:
            message = (
                "there is no quantity '{name}'; allowed: grid, pv, battery, household, load.ID or "
                "load.*, charger.ID or charger.*"
            )
            raise _wrong("plant_quantity", message, "quantities", name, name=name)


def _device_fits(rig: Rig, index: int, device: RigDevice) -> None:
    """Refuse a device that cannot be reached where it is said to be, or not be made safe."""
    known = {bus.id: bus for bus in rig.buses}
    if device.bus not in known:
        message = "there is no bus '{name}'; allowed: {known}"
        names = ", ".join(sorted(known))
        at = ("devices", index, "bus")
        raise _wrong("reference", message, *at, name=device.bus, known=names)
    if device.emulated:
        return
    bus = known[device.bus]
    if not _has_address(bus):
        message = (
            "bus '{name}' has no address, and device '{device}' on it is a real one; allowed: "
            "the address, or emulated: true at the device"
        )
        section = "devices", index, "bus"
        raise _wrong("address", message, *section, name=bus.id, device=device.id)
    if isinstance(bus, ZnpBus | Zigbee2MqttBus) and device.ieee is None:
        message = "a real Zigbee device is found by its address; allowed: ieee"
        raise _wrong("address", message, "devices", index)
    if any(name.endswith(".*") for name in device.serves):
        message = "one real device serves one load; allowed: its id, as in load.boiler"
        raise _wrong("serves", message, "devices", index, "serves")


def _has_address(bus: Bus) -> bool:
    if isinstance(bus, ModbusRtuBus):
        return bus.path is not None
    if isinstance(bus, ZnpBus):
        return bus.path is not None or (bus.host is not None and bool(bus.port))
    return bus.port != 0


def _served_once(rig: Rig) -> None:
    seen: dict[str, str] = {}
    for index, device in enumerate(rig.devices):
        for place, name in enumerate(device.serves):
            if name in seen and not (device.emulated and name.endswith(".*")):
                message = "'{name}' is served by '{other}' already; allowed: one device for each"
                at = ("devices", index, "serves", place)
                raise _wrong("duplicate", message, *at, name=name, other=seen[name])
            seen[name] = device.id


def _named_devices_exist(rig: Rig) -> None:
    known = {device.id for device in rig.devices}
    named: list[tuple[str, tuple[str | int, ...]]] = []
    for index, condition in enumerate(rig.preconditions):
        named.append((condition.device, ("preconditions", index, "device")))
    for index, outlet in enumerate(rig.outlets):
        named.append((outlet.device, ("outlets", index, "device")))
        named += [(n, ("outlets", index, "powers", i)) for i, n in enumerate(outlet.powers)]
    for index, device in enumerate(rig.devices):
        if device.safe is not None and device.safe.measured_by is not None:
            named.append((device.safe.measured_by, ("devices", index, "safe", "measured_by")))
    for name, at_name in named:
        if name not in known:
            message = "there is no device '{name}'; allowed: {known}"
            raise _wrong("reference", message, *at_name, name=name, known=", ".join(sorted(known)))
