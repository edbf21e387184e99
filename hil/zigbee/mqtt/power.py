"""Set-points in watts for devices behind zigbee2mqtt, with the shapes of the native host's heaters.

zigbee2mqtt has no broadcast for power, so each slot gets a message of its own, and what a device
understands decides how watts are said:

1. a number that can be set in watts: the set-point itself;
2. a brightness: the share of the rated power (phase-angle dimmers are roughly linear in it only
   after calibration; state that in the rig);
3. on or off: on from `on_from_w` upwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ....sim.clock import Clock
from ....sim.edge.channel import STATUS_COORDINATOR_DOWN, STATUS_SENT
from ...errors import ReadingError, RigError
from ..slots import NOT_SENT, Replies, Report
from .driver import Zigbee2MqttDriver

Means = Literal["power_setpoint_w", "level", "on"]
_ORDER: Final[tuple[Means, ...]] = ("power_setpoint_w", "level", "on")


@dataclass(frozen=True, slots=True)
class PowerSlot:
    """An actuator behind zigbee2mqtt."""

    device: str
    """Id of the device in the rig."""
    rated_w: float
    on_from_w: float | None = None
    """Smallest set-point that switches a plug on; None: half the rated power."""


class MqttPower:
    """Set-points by slot, the devices' confirmations, and their power reports."""

    def __init__(
        self, clock: Clock, driver: Zigbee2MqttDriver, slots: Mapping[int, PowerSlot]
    ) -> None:
        """Bind slots to devices; `start` once the driver is open."""
        self._clock, self._driver = clock, driver
        self._slots = dict(slots)
        self.means: dict[int, Means] = {}
        """How each slot is told its power."""
        self.replies = Replies()
        self.refusals: list[str] = []
        """Why commands were not confirmed, newest last."""

    def start(self) -> None:
        """Choose how each slot is told; raises `RigError` for a device that takes no power."""
        for slot, binding in self._slots.items():
            device = self._driver.devices[binding.device]
            for means in _ORDER:
                point = device.points.get(means)
                if point is not None and point.settable:
                    self.means[slot] = means
                    break
            else:
                raise RigError(
                    f"device '{binding.device}' ({device.name}) takes no power: it offers neither "
                    "a set-point in watts, nor brightness, nor on and off"
                )

    async def set_power(self, powers_w: Mapping[int, float]) -> tuple[int, int]:
        """Send set-points in W by slot; return (sequence number, status).

        The status is that of the direct rig: 0 sent, 2 not sent because broker or zigbee2mqtt is
        away (the number is then −1). Raises `RigError` once these are given up.
        """
        try:
            self._driver.bridge.check()
        except ReadingError:
            return NOT_SENT, STATUS_COORDINATOR_DOWN
        seq = self.replies.begin(self._clock.now_us, frozenset(powers_w))
        sent = 0
        for slot, power_w in powers_w.items():
            try:
                await self._send(seq, slot, power_w)
                sent += 1
            except ReadingError as error:
                self._refused(error)
        return (seq, STATUS_SENT) if sent or not powers_w else (NOT_SENT, STATUS_COORDINATOR_DOWN)

    def acked_us(self, seq: int) -> Mapping[int, int]:
        """Return by slot when the device's state showed the set-point, µs."""
        return self.replies.acked_us(seq)

    @property
    def power_reports(self) -> dict[int, Report]:
        """Return by slot the newest power that the device measured."""
        reports = {}
        for slot, binding in self._slots.items():
            value = self._driver.devices[binding.device].values.get("power_w")
            if value is not None:
                reports[slot] = Report(*value)
        return reports

    async def _send(self, seq: int, slot: int, power_w: float) -> None:
        binding = self._slots[slot]
        values, confirm = self._command(slot, power_w)
        future = await self._driver.start_write(binding.device, values, confirm)

        def done(result: asyncio.Future[int]) -> None:
            if result.cancelled():
                return
            error = result.exception()
            if error is None:
                self.replies.reply_to(seq, slot, result.result())
            else:
                self._refused(error)

        future.add_done_callback(done)
        limit_s = self._driver.devices[binding.device].settings.command_timeout_s
        asyncio.get_running_loop().call_later(limit_s, future.cancel)

    def _command(self, slot: int, power_w: float) -> tuple[dict[str, float], str]:
        binding, means = self._slots[slot], self.means[slot]
        device = self._driver.devices[binding.device]
        if means == "power_setpoint_w":
            return {means: power_w}, means
        if means == "on":
            least_w = binding.rated_w / 2 if binding.on_from_w is None else binding.on_from_w
            return {"on": 1.0 if power_w >= least_w else 0.0}, "on"
        point = device.points["level"]
        raw = round(min(max(power_w / binding.rated_w, 0.0), 1.0) / point.factor)
        if raw > 0 or "on" not in device.points:
            return {"level": raw * point.factor}, "level"
        return {"on": 0.0}, "on"

    def _refused(self, error: BaseException) -> None:
        self.refusals = [*self.refusals[-99:], str(error)]
