"""Devices behind zigbee2mqtt: values by quantity, commands confirmed by the device's state.

A command is published to ``<base>/<name>/set``. zigbee2mqtt publishes the device's new state once
the device has answered; that state, with the value asked for, is the confirmation. Whether the
relay behind it has switched only a measurement can tell.

**Age of a value.** zigbee2mqtt publishes one state with all it remembers of a device, whichever
value is new. So a value counts as received when it changed, or when nothing in the state did (a
report of what was known); beside a change of something else it keeps its age. Retained states are
of unknown age and count for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from ....sim.clock import Clock, to_us
from ...errors import ReadingError, RigError
from ..slots import parse_ieee
from .bridge import Bridge
from .exposes import ExposeError, Point, points

Quality = Literal["good", "stale"]
_ALWAYS_NEW: Final = frozenset({"link_quality"})
"""Changes with every message, whatever it is about."""


class Value(NamedTuple):
    """The newest value of a quantity."""

    value: float
    """SI; on and off are 1 and 0."""
    received_us: int
    quality: Quality


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """Which device is meant, and how it is treated."""

    ieee: str
    """As on its label; the friendly name may change, this does not."""
    stale_s: float = 300.0
    """Older values are stale: many devices report by change, at least every few minutes."""
    command_timeout_s: float = 5.0
    """How long the confirmation of a command is waited for."""
    model: str | None = None
    """Expected model id; verified before the first command."""
    firmware: str | None = None
    """Expected ``software_build_id``."""


@dataclass(slots=True)
class _Expected:
    """A command that waits for the state that confirms it, or a question for any answer."""

    point: Point
    value: float | None
    done: asyncio.Future[int]


class MqttDevice:
    """One device: its description, points, and newest values."""

    def __init__(self, settings: DeviceSettings, entry: Mapping[str, Any]) -> None:
        """Describe the device from its entry in zigbee2mqtt's list."""
        self.settings = settings
        self.name = str(entry["friendly_name"])
        self.points: dict[str, Point] = points(entry.get("definition"))
        self.values: dict[str, tuple[float, int]] = {}
        """Quantity → (SI value, receive time in µs)."""
        self.rejected = 0
        """Values that cannot be: wrong type, out of range."""
        self.entry = entry
        self.problem: RigError | None = None
        """Why it takes no commands any more: gone from the list, or another one."""
        self._expected: list[_Expected] = []

    @property
    def identity(self) -> dict[str, Any]:
        """Return who the device says it is."""
        definition = self.entry.get("definition") or {}
        return {
            "ieee": self.entry.get("ieee_address"),
            "name": self.name,
            "manufacturer": self.entry.get("manufacturer"),
            "model": self.entry.get("model_id"),
            "firmware": self.entry.get("software_build_id"),
            "date_code": self.entry.get("date_code"),
            "definition": definition.get("model") if isinstance(definition, Mapping) else None,
        }

    def take(self, state: Mapping[str, Any], t_us: int, retained: bool) -> None:
        """Take in a published state, as the head of this file says."""
        if retained:
            return
        told: dict[str, float] = {}
        for quantity, point in self.points.items():
            raw = state.get(point.key)
            if raw is None:
                continue
            value = point.decode(raw)
            if value is None:
                self.rejected += 1
            else:
                told[quantity] = value
        known = self.values
        changed = {name for name, v in told.items() if name not in known or known[name][0] != v}
        for quantity in (changed - _ALWAYS_NEW) or told:
            known[quantity] = (told[quantity], t_us)
        for one in list(self._expected):
            value = told.get(one.point.quantity)
            if value is None or one.done.done():
                continue
            if one.value is None or abs(value - one.value) <= _slack(one.point):
                known[one.point.quantity] = (value, t_us)
                one.done.set_result(t_us)

    def expect(self, point: Point, value: float | None) -> asyncio.Future[int]:
        """Return a future of the time at which the state shows a value, or (None) any."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        one = _Expected(point, value, future)
        self._expected.append(one)
        future.add_done_callback(lambda _: self._expected.remove(one))
        return future

    def refuse(self, text: str) -> None:
        """Fail what is under way, because zigbee2mqtt says that it failed."""
        for one in list(self._expected):
            if not one.done.done():
                one.done.set_exception(ReadingError(f"{self.name}: {text}"))


def _slack(point: Point) -> float:
    return 0.0 if point.kind == "binary" else point.tolerance


class Zigbee2MqttDriver:
    """Reads and commands devices through zigbee2mqtt, by rig id and quantity."""

    def __init__(self, clock: Clock, bridge: Bridge, devices: Mapping[str, DeviceSettings]) -> None:
        """Join a bridge and the devices of a rig, by their ids in the rig."""
        self._clock, self.bridge = clock, bridge
        self._settings = dict(devices)
        self.devices: dict[str, MqttDevice] = {}
        self._by_name: dict[str, MqttDevice] = {}
        self._watching: asyncio.Task[None] | None = None
        bridge.on_devices = self._told
        bridge.on_state = self._take
        bridge.on_problem = self._problem

    async def open(self) -> None:
        """Connect, find every device, verify who it is.

        Raises `RigError`: broker, bridge or a device is not there, or is another one.
        """
        await self.bridge.open()
        try:
            for device_id, settings in self._settings.items():
                device = MqttDevice(settings, self._entry(device_id, settings))
                self.devices[device_id] = device
                self._by_name[device.name] = device
                self.verify_identity(device_id)
            await self.bridge.watch(set(self._by_name))
        except ReadingError as error:
            await self.close()
            raise RigError(str(error)) from error
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        await self.bridge.close()
        if self._watching is not None:
            self._watching.cancel()
        for device in self.devices.values():
            device.refuse("the driver was closed")

    def verify_identity(self, device_id: str) -> dict[str, Any]:
        """Return a device's identity; raises `RigError` when it is not the expected one.

        That is what zigbee2mqtt said last; it tells its devices anew after each of its starts.
        """
        device = self.devices[device_id]
        found = device.identity
        for key, wanted in (
            ("model", device.settings.model),
            ("firmware", device.settings.firmware),
        ):
            if wanted is not None and found[key] != wanted:
                raise RigError(
                    f"device '{device_id}' ({device.settings.ieee}) has {key} "
                    f"'{found[key]}', not '{wanted}'"
                )
        return found

    def values(self, device_id: str) -> dict[str, Value]:
        """Return the newest value of each quantity that the device has sent."""
        device = self._device(device_id)
        now_us, stale_us = self._clock.now_us, to_us(device.settings.stale_s)
        away = not self.bridge.online or not self.available(device_id)
        return {
            quantity: Value(value, t_us, "stale" if away or now_us - t_us > stale_us else "good")
            for quantity, (value, t_us) in device.values.items()
        }

    def available(self, device_id: str) -> bool:
        """Return whether zigbee2mqtt reaches the device; True where it does not say."""
        return self.bridge.availability.get(self._device(device_id).name, True)

    async def poll(self, device_id: str, timeout_s: float = 5.0) -> dict[str, Value]:
        """Ask the device for what can be asked for, one after the other; return its values.

        Raises `ReadingError` when the device did not answer in time.
        """
        device = self._device(device_id)
        asked = [point for point in device.points.values() if point.gettable]
        if not asked:
            raise ReadingError(f"device '{device_id}' cannot be asked; it only reports")
        try:
            async with asyncio.timeout(timeout_s):
                for point in asked:
                    answer = device.expect(point, None)
                    await self.bridge.publish(f"{device.name}/get", {point.key: ""})
                    await answer
        except TimeoutError:
            raise ReadingError(
                f"device '{device_id}' gave no answer within {timeout_s:g} s"
            ) from None
        return self.values(device_id)

    async def write(self, device_id: str, quantity: str, value: float) -> int:
        """Command a quantity and return the time in µs at which the device's state showed it.

        Raises `ReadingError` when no confirmation came in time or zigbee2mqtt reports a failure,
        `RigError` when the device has no such command or not this value.
        """
        device = self._device(device_id)
        done = await self.start_write(device_id, {quantity: value}, quantity)
        limit_s = device.settings.command_timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await done
        except TimeoutError:
            raise ReadingError(
                f"device '{device_id}' did not confirm {quantity} = {value:g} within {limit_s:g} s"
            ) from None

    async def start_write(
        self, device_id: str, values: Mapping[str, float], confirm: str
    ) -> asyncio.Future[int]:
        """Publish commands in one message; return the future of the confirmation of one of them."""
        device = self._device(device_id)
        if device.problem is not None:
            raise device.problem
        payload = {}
        for quantity, value in values.items():
            point = device.points.get(quantity)
            if point is None or not point.settable:
                raise RigError(f"device '{device_id}' ({device.name}) has no command '{quantity}'")
            try:
                payload[point.key] = point.encode(value)
            except ExposeError as error:
                raise RigError(f"device '{device_id}': {error}") from error
        future = device.expect(device.points[confirm], values[confirm])
        try:
            await self.bridge.publish(f"{device.name}/set", payload)
        except BaseException:
            future.cancel()
            raise
        return future

    async def permit_join(self, seconds: int) -> None:
        """Let devices join for a while; 0 ends it."""
        await self.bridge.request("permit_join", {"time": seconds})

    def identity(self) -> dict[str, Any]:
        """Return what the record says: zigbee2mqtt, its coordinator, each device."""
        info = self.bridge.info
        coordinator = info.get("coordinator")
        return {
            "driver": "zigbee2mqtt",
            "version": info.get("version"),
            "coordinator": coordinator if isinstance(coordinator, Mapping) else None,
            "devices": {name: device.identity for name, device in self.devices.items()},
        }

    def _entry(self, device_id: str, settings: DeviceSettings) -> Mapping[str, Any]:
        wanted = parse_ieee(settings.ieee)
        for entry in self.bridge.devices.values():
            try:
                found = parse_ieee(str(entry.get("ieee_address")))
            except ValueError:
                continue
            if found != wanted:
                continue
            if entry.get("disabled") is True:
                raise RigError(f"device '{device_id}' ({settings.ieee}) is disabled in zigbee2mqtt")
            if not _interviewed(entry):
                raise RigError(
                    f"device '{device_id}' ({settings.ieee}) has not been interviewed; wake it, or "
                    "let zigbee2mqtt interview it again"
                )
            return entry
        raise RigError(
            f"zigbee2mqtt knows no device {settings.ieee} (rig device '{device_id}'); let it join"
        )

    def _device(self, device_id: str) -> MqttDevice:
        failure = self.bridge.failure
        if failure is not None:
            raise failure
        return self.devices[device_id]

    def _told(self) -> None:
        """Take a new device list: names may have moved, devices been exchanged or removed."""
        if not self.devices:
            return  # not open yet
        for device_id, device in self.devices.items():
            try:
                device.entry = self._entry(device_id, device.settings)
                device.problem = None
                self.verify_identity(device_id)
            except RigError as error:
                device.problem = error
                device.refuse(str(error))
            device.name = str(device.entry.get("friendly_name"))
        before = set(self._by_name)
        self._by_name = {device.name: device for device in self.devices.values()}
        fresh = set(self._by_name) - before
        if fresh:
            self._watching = asyncio.ensure_future(self._watch(fresh))

    async def _watch(self, names: set[str]) -> None:
        # A lost broker is told of elsewhere; after it everything is subscribed to again.
        with contextlib.suppress(ReadingError, RigError):
            await self.bridge.watch(names)

    def _take(self, name: str, state: Mapping[str, Any], t_us: int, retained: bool) -> None:
        device = self._by_name.get(name)
        if device is not None:
            device.take(state, t_us, retained)

    def _problem(self, text: str) -> None:
        # "Publish 'set' 'state' to 'kitchen' failed: '…'" is all that it says about a failure.
        if "Publish 'set'" not in text:
            return
        for device in self.devices.values():
            if f"to '{device.name}' failed" in text:
                device.refuse(text)


def _interviewed(entry: Mapping[str, Any]) -> bool:
    """Return whether the interview is done: `interview_state`, or the flag of older versions."""
    state = entry.get("interview_state")
    if isinstance(state, str):
        return state == "SUCCESSFUL"
    return entry.get("interview_completed") is not False
