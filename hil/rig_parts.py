"""From a rig to its driver: which device serves what, and how each bus is reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ..sim.clock import Clock, to_us
from ..sim.export.plant import ExportPlant
from ..sim.plant import Plant
from ..sim.points import Actuator
from .devices.fields import resolve
from .emulation.effects import Effects
from .emulation.remote import RemotePlant
from .emulation.rig import EmulatedRig
from .emulation.sources import METER_FIELDS, Site
from .errors import RigError
from .modbus.bus import ModbusBus
from .modbus.driver import ModbusDevice
from .real_rig import Guard, Player, RealRig, Watched
from .real_site import ConnectionLog, RealSite, TruthOf
from .rig_driver import RigDriver
from .rig_ways import Ways, Where
from .rigs.concrete import ConcreteDevice, RigSetup, concrete_for
from .rigs.masters import SetpointWatch
from .rigs.session import RigSession
from .tape.rig import ONE_WAY_US as TAPED_ONE_WAY_US
from .tape.rig import NoGuard, TapedRig, TapedSite
from .wire import Tap
from .wired_actuator import WiredActuator
from .wirefaults.targets import FaultTargetError
from .world import World

ONE_WAY_US: Final = 1000
"""Delay of a message in memory in each direction: a local network, a serial port."""
_PLAYED: Final = ("power_setpoint_w", "power_limit_w")
"""Quantities by which a device is told what to play, first come first."""


def attach(
    experiment: Any,
    setup: RigSetup,
    world: World,
    plant: Plant,
    seed: int,
    tap: Tap | None = None,
) -> tuple[Plant, RigDriver, RigSession | None]:
    """Return the plant as the bench sees it, the driver of the rig before it, and its session.

    The session is there for rigs with real devices: their lock, lease and guardian.

    Raises:
        RigError: the rig lacks what the scenario needs, or cannot be emulated.
    """
    clock = world.clock
    assert isinstance(plant, ExportPlant)
    devices = concrete_for(setup, plant)
    effects: Callable[[], Effects] | None = None
    alive: Callable[[], None] | None = None
    emulated: EmulatedRig | TapedRig | None = None
    where: dict[str, dict[str, Any]] = {}
    seen: Plant = plant
    if setup.tape is not None:
        emulated = TapedRig(setup.tape, setup.rig, clock)
    elif world.process is not None:
        end_us = to_us(experiment.clock.duration_s)
        seen = remote = RemotePlant(world.process, clock, plant, end_us)
        effects, alive = remote.effects, world.process.check
        by_id = {device.id: device for device in devices}
        for endpoint in world.process.endpoints:
            bus = by_id[str(endpoint["device"])].bus.id
            where[bus] = {k: endpoint[k] for k in ("host", "port", "path") if k in endpoint}
    elif not setup.real:
        site = Site(plant)
        try:
            emulated = EmulatedRig(setup, clock, site=site, seed=seed, faults=experiment.faults)
        except FaultTargetError as error:
            raise RigError(f"rig '{setup.rig.name}': {error}") from error
        effects = lambda: site.effects  # noqa: E731 - one word
    report_s = experiment.edge.device.report_period_s
    builder = _Builder(setup, devices, clock, plant.actuators, emulated, where, tap, report_s)
    session: RigSession | None = None
    if isinstance(emulated, TapedRig):
        seen = builder.make_real(seen, plant, NoGuard(), experiment)
    elif setup.real:
        session = RigSession(setup.rig, setup.profiles, f"{experiment.name}, seed {seed}")
        builder.session = session
        seen = builder.make_real(seen, plant, session, experiment)
    report_s = experiment.edge.device.report_period_s
    refresh_us = to_us(experiment.clock.refresh_s)
    driver = builder.driver(effects, refresh_us=refresh_us, report_s=report_s)
    driver.alive = alive
    if isinstance(emulated, TapedRig):
        emulated.on_event = driver.tell
    return seen, driver, session


class _Builder:
    """Joins the devices of one rig to clients of their buses."""

    def __init__(
        self,
        setup: RigSetup,
        devices: Sequence[ConcreteDevice],
        clock: Clock,
        actuators: Sequence[Actuator],
        emulated: EmulatedRig | TapedRig | None,
        where: Where,
        tap: Tap | None,
        report_s: float | None,
    ) -> None:
        self._report_s = report_s
        self._setup, self._clock, self._actuators = setup, clock, actuators
        self._emulated = emulated
        self._devices = devices
        taped = isinstance(emulated, TapedRig)
        self._ways = Ways(
            clock,
            actuators,
            memory=emulated,
            one_way_us=TAPED_ONE_WAY_US if taped else ONE_WAY_US,
            where=where,
            tap=tap,
        )
        self._buses: dict[str, ModbusBus] = {}
        self._links: dict[str, ModbusDevice] = {}
        self._real: RealRig | None = None
        self._truth_of: TruthOf = "plant"
        self._driver: RigDriver | None = None
        self.session: RigSession | None = None

    def make_real(self, seen: Plant, twin: ExportPlant, session: Guard, experiment: Any) -> Plant:
        """Bind what is real: loads that are measured, and the meter that the truth comes from.

        On a tape everything is as good as real, but asked for no more than it was then.
        """
        taped = self._emulated if isinstance(self._emulated, TapedRig) else None
        was_real = self._setup.rig.real
        loads: dict[int, ModbusDevice] = {}
        reporting: set[int] = set()
        obeying: set[int] = set()
        for place, actuator in enumerate(self._actuators):
            device = self._serving(_what(actuator))
            if device is None or actuator.kind != "load":
                continue
            if device.emulated:
                if taped is None:
                    continue
                silent = device.profile.modbus is not None or self._report_s is None
                (obeying if silent else reporting).add(place)
            elif device.profile.modbus is not None:
                loads[place] = self._modbus(device, ("power_w",))
            else:
                reporting.add(place)
            if not isinstance(seen, RemotePlant):
                twin.follow(place)
        meter = self._serving("witness") if was_real else None
        grid = self._serving("grid")
        if meter is None and grid is not None and (taped is not None or not grid.emulated):
            meter = grid
        log = None
        duration_s = experiment.clock.duration_s
        if meter is not None:
            log = ConnectionLog(int(duration_s))
            self._truth_of = "witness" if meter is not grid else "grid meter"
        site: RemotePlant | RealSite
        if isinstance(seen, RemotePlant):
            site = seen
            site.log = log
        elif taped is not None and log is not None:
            site = TapedSite(twin, self._clock, log, taped, to_us(duration_s))
        else:
            site = RealSite(twin, self._clock, log)
        pv = self._serving("pv")
        self._real = RealRig(
            self._clock,
            session,
            tick_s=experiment.clock.control_period_s,
            refresh_us=to_us(experiment.clock.refresh_s),
            measured=site.measured,
            loads=loads,
            reporting=frozenset(reporting),
            obeying=frozenset(obeying),
            witness=None if meter is None else self._modbus(meter, METER_FIELDS),
            witness_is_polled=meter is grid,
            pv=None if pv is None else self._modbus(pv, ("power_w",)),
            log=log,
            players=self._players(twin) if was_real else (),
            watched=self._watched(),
            calibrations={
                (device.id, item.point): item
                for device in self._devices
                for item in device.entry.calibration
            },
        )
        return site

    def _players(self, twin: ExportPlant) -> list[Player]:
        """Return the devices that play what the scenario says of the sun and the house."""
        sources: dict[str, Callable[[int], float]] = {
            "pv": twin.sun_power_w,
            "household": twin.household_power_w,
        }
        found = []
        for what, power_w in sources.items():
            device = self._serving(what)
            if device is None or self._setup.rig.origin(what) != "played":
                continue
            link = self._modbus(device, ("power_w",))
            fields = resolve(device.profile)
            quantity = next((name for name in _PLAYED if fields.writing(name)), None)
            if quantity is None:
                raise RigError(
                    f"device '{device.id}' is to play {what} and takes no power; allowed: a "
                    f"device with {' or '.join(_PLAYED)}"
                )
            found.append(Player(link, quantity, power_w))
        return found

    def _watched(self) -> dict[int, Watched]:
        """Return the real actuators whose set-point can be read back."""
        found: dict[int, Watched] = {}
        for place, actuator in enumerate(self._actuators):
            device = self._serving(_what(actuator))
            if device is None or device.emulated or device.profile.modbus is None:
                continue
            link = self._modbus(device, ("power_w",))
            quantity = WiredActuator(place, actuator, link).quantity
            kind = device.profile.actuator(quantity)
            if kind is not None and resolve(device.profile).reading(quantity) is not None:
                watch = SetpointWatch(device.id, kind, device.profile.timing.refresh_s)
                found[place] = Watched(link, quantity, watch)
        return found

    def driver(
        self, effects: Callable[[], Effects] | None, *, refresh_us: int, report_s: float | None
    ) -> RigDriver:
        """Return the driver."""
        grid = self._serving("grid")
        if grid is None:
            raise RigError(f"rig '{self._setup.rig.name}': no device serves grid, the meter")
        pv = self._serving("pv")
        if "pv" in {actuator.id for actuator in self._actuators} and pv is None:
            raise RigError(f"rig '{self._setup.rig.name}': no device serves pv")
        meter = self._modbus(grid, METER_FIELDS)
        inverter = None if pv is None else self._modbus(pv, ("power_w",))
        wired: list[WiredActuator] = []
        slots: dict[int, ConcreteDevice] = {}
        for place, actuator in enumerate(self._actuators):
            device = self._serving(_what(actuator))
            if device is None:
                raise RigError(f"rig '{self._setup.rig.name}': no device serves {_what(actuator)}")
            if device.profile.modbus is None:
                slots[place] = device
                continue
            wired.append(WiredActuator(place, actuator, self._modbus(device, ("power_w",))))
        power = self._ways.power(slots, report_s) if slots else None
        self._driver = RigDriver(
            self._clock,
            self._actuators,
            grid=meter,
            pv=inverter,
            wired=wired,
            power=power,
            refresh_us=refresh_us,
            effects=effects,
            opening=self._ways.opening,
            closing=self._ways.closing,
            reports=report_s is not None,
            identity=self._identity,
            devices=self._links,
            real=self._real,
        )
        return self._driver

    def _serving(self, what: str) -> ConcreteDevice | None:
        return next((device for device in self._devices if what in device.serves), None)

    def _modbus(self, device: ConcreteDevice, quantities: Iterable[str]) -> ModbusDevice:
        """Return the driver of a device; what is read is what of `quantities` it has."""
        if device.profile.modbus is None:
            raise RigError(
                f"device '{device.id}' is no Modbus device; allowed for {', '.join(device.serves)}"
            )
        known = self._links.get(device.id)
        if known is not None:
            return known
        bus = self._buses.get(device.bus.id)
        if bus is None:
            bus = self._buses[device.bus.id] = ModbusBus(self._clock, self._ways.modbus(device.bus))
            self._ways.closing.append(bus.close)
        has = resolve(device.profile).quantities("r")
        if not device.emulated:
            # Set-points of real devices are read back: another master may write to them.
            quantities = (*quantities, *(item.quantity for item in device.profile.actuators))
        link = ModbusDevice(
            device.profile,
            bus,
            device.unit,
            name=device.id,
            serial=device.entry.serial,
            quantities=[name for name in quantities if name in has],
            timeout_s=device.bus.timeout_s,
            on_event=lambda kind, data: self._event(device.id, kind, data),
        )
        self._links[device.id] = link
        self._ways.opening.append(link.open)
        return link

    def _event(self, device: str, kind: str, data: Mapping[str, Any]) -> None:
        if self._driver is not None:
            self._driver.device_event(
                device, kind, {k: v for k, v in data.items() if k != "device"}
            )

    def _identity(self) -> dict[str, Any]:
        """Return what the record says about the rig; of a real one also how it is guarded."""
        rig = self._setup.rig
        said = {} if self.session is None else self.session.identity()
        taped = self._emulated if isinstance(self._emulated, TapedRig) else None
        if taped is not None:
            said = {"replay": taped.identity()}
        return {
            **said,
            "name": rig.name,
            "station": rig.station,
            "operator": rig.operator,
            "devices": [self._device_identity(device) for device in self._devices],
            "unpaired": rig.unpaired or taped is not None,
            "truth": self._truth_of,
        }

    def _device_identity(self, device: ConcreteDevice) -> dict[str, Any]:
        said: dict[str, Any] = device.identity()
        if device.entry.calibration:
            said["calibration"] = [c.model_dump(mode="json") for c in device.entry.calibration]
        return said


def _what(actuator: Actuator) -> str:
    """Return what a device serves that is an actuator."""
    if actuator.kind in {"load", "charger"}:
        return f"{actuator.kind}.{actuator.id}"
    return "pv" if actuator.kind == "pv_limit" else "battery"
