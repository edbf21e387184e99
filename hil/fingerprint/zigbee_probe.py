"""A probe over Zigbee: a power-controlled heater behind a coordinator, through the native host.

Answer times and gaps are those of the mesh and the device together; from here nobody can tell them
apart. A set-point is a broadcast, and the device has it at the latest when its ack is here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeVar

from ...sim.clock import Clock, to_us
from ..devices.model import Attribute, DeviceProfile
from ..errors import ReadingError, RigError
from ..zigbee import zcl
from ..zigbee.host.attributes import read, read_identity
from ..zigbee.host.heaters import HeaterSlots
from ..zigbee.host.host import ZigbeeHost
from ..zigbee.host.link import Connect
from ..zigbee.zcl_types import Value
from .probe import Exchange, NoAnswerError, ProbeError

T = TypeVar("T")

SETPOINT: Final = "power_setpoint_w"
_SLOT: Final = 0
_LOOK_S: Final = 0.005
_SETPOINT_ROUNDING_W: Final = 0.005


class ZigbeeProbe:
    """One Zigbee heater."""

    def __init__(
        self,
        host: ZigbeeHost,
        connect: Connect,
        profile: DeviceProfile,
        ieee: int,
        may_write: Callable[[], None] = lambda: None,
        *,
        join_s: int = 0,
    ) -> None:
        """Join host and cluster map.

        Args:
            host: of the coordinator, not open yet.
            connect: the way to it.
            profile: only its cluster map is looked at.
            ieee: the device's address.
            may_write: raises before a write if somebody else has the rig now.
            join_s: new devices are let in for so long first.
        """
        assert profile.zigbee is not None, "the profile is not one of Zigbee"
        self.clock: Clock = host.clock
        self.pause_s = 0.0
        self._host, self._connect, self._ieee = host, connect, ieee
        self._may_write, self._join_s = may_write, join_s
        rated = {_SLOT: profile.ratings.power_w} if profile.ratings.power_w > 0 else None
        self._heater = HeaterSlots(host, {_SLOT: ieee}, rated)
        self._attributes: Mapping[str, Attribute] = {
            item.quantity: item
            for item in reversed(profile.zigbee.attributes)
            if item.quantity is not None and item.type != "string"
        }

    async def open(self) -> None:
        """Connect to the coordinator and find the heater."""
        try:
            await self._host.open(self._connect)
            if self._join_s:
                await self._host.network.permit_join(self._join_s)
                await self.clock.sleep_until(self.clock.now_us + to_us(self._join_s))
            await self._heater.start()
        except (RigError, ReadingError) as error:
            raise ProbeError(str(error)) from None

    async def close(self) -> None:
        """Disconnect."""
        await self._host.close()

    async def reconnect(self) -> None:
        """Wait: the host itself reconnects to its coordinator."""
        await self.clock.sleep_until(self.clock.now_us + to_us(1.0))

    async def ask(self, timeout_s: float) -> Exchange:
        """Read the version of the cluster library, which every device has."""
        work = read(self._host, self._ieee, zcl.BASIC, (0x0000,), timeout_s=timeout_s)
        sent_us, _, received_us = await self._timed(work)
        return Exchange(sent_us, received_us)

    async def read(self, quantity: str, timeout_s: float) -> Exchange:
        """Read one quantity."""
        item = self._attributes.get(quantity)
        if item is None:
            raise ProbeError(f"'{quantity}' cannot be read from this device")
        work = read(
            self._host,
            self._ieee,
            item.cluster,
            (item.id,),
            endpoint=item.endpoint,
            manufacturer=item.manufacturer_code,
            timeout_s=timeout_s,
        )
        sent_us, found, received_us = await self._timed(work)
        raw: Value = found.get(item.id)
        if not isinstance(raw, int | float):
            raise NoAnswerError(f"{quantity}: no number came back")
        return Exchange(sent_us, received_us, float(raw) * item.multiplier / item.divisor)

    async def write(self, quantity: str, value: float, timeout_s: float) -> Exchange:
        """Command a power; done when the heater has acknowledged it."""
        if quantity != SETPOINT:
            raise ProbeError(f"'{quantity}' cannot be commanded to this device")
        self._may_write()
        sent_us = self.clock.now_us
        try:
            number, status = await self._heater.set_power({_SLOT: value})
        except (RigError, ReadingError) as error:
            raise ProbeError(str(error)) from None
        if number < 0:
            raise NoAnswerError(
                f"the coordinator refused the broadcast: status {status}", busy=True
            )
        until_us = sent_us + to_us(max(timeout_s, 1.0))
        while self.clock.now_us < until_us:
            acked_us = self._heater.acked_us(number).get(_SLOT)
            if acked_us is not None:
                return Exchange(sent_us, acked_us, value)
            await self.clock.sleep_until(self.clock.now_us + to_us(_LOOK_S))
        raise NoAnswerError("the heater did not acknowledge")

    def readable(self) -> tuple[str, ...]:
        """Return the quantities with a number that can be read."""
        return tuple(self._attributes)

    def rounding(self, quantity: str) -> float:
        """Return half a count of the attribute that a quantity is read from."""
        item = self._attributes.get(quantity)
        if item is None or item.type == "single":
            return 0.0
        return item.multiplier / item.divisor / 2

    def writing_rounding(self, quantity: str) -> float:
        """Return half of what a command counts in."""
        return _SETPOINT_ROUNDING_W if quantity == SETPOINT else 0.0

    async def identity(self) -> dict[str, str]:
        """Return what the device says it is."""
        _, device, _ = await self._timed(read_identity(self._host, self._ieee))
        found = {"model": device.model, "serial": device.serial, "firmware": device.firmware}
        return {name: text for name, text in found.items() if text}

    async def _timed(self, work: Awaitable[T]) -> tuple[int, T, int]:
        sent_us = self.clock.now_us
        try:
            found = await work
        except ReadingError as error:
            raise NoAnswerError(str(error)) from None
        except RigError as error:
            raise ProbeError(str(error)) from None
        return sent_us, found, self.clock.now_us
