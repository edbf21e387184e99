"""The heater's own cluster: watts by broadcast, acks, and a watchdog. See `zigbee.heater`."""

from __future__ import annotations

from typing import Final

from .. import heater, zcl
from .. import zcl_types as types
from ..zcl import ZclFrame
from .attributes import Key
from .behaviour import ANSWERED, Behaviour, Request

SETPOINT: Final = "power_setpoint_w"
RATED: Final = "max_power_w"


class HeaterControl(Behaviour):
    """Takes its slot's watts out of a broadcast, acknowledges by unicast, falls back alone.

    Without a command for as long as attribute 0x0003 says, the set-point becomes
    `fallback_w`; 0 s switches that off, for sources that have a watchdog of their own.
    """

    fallback_w = 0.0

    def prepare(self) -> None:
        """Add the cluster's attributes as far as the profile lacks them."""
        self._commands = 0
        table = self.host.table
        table.add_setting(self._own(heater.ATTRIBUTE_SLOT), types.UINT8, 0, writable=True)
        table.add_setting(self._own(heater.ATTRIBUTE_SETPOINT), types.UINT32, 0)
        table.add_setting(self._own(heater.ATTRIBUTE_RATED), types.UINT32, heater.UNCHANGED)
        table.add_setting(self._own(heater.ATTRIBUTE_WATCHDOG), types.UINT16, 0, writable=True)

    def _own(self, attribute: int) -> Key:
        """Return the key of an attribute; the profile may list it with or without the code."""
        plain = self.key(attribute)
        if self.host.table.holds(plain):
            return plain
        return Key(self.endpoint, self.cluster, attribute, heater.MANUFACTURER)

    def powered(self, t_us: int) -> None:
        """Wait for a first command, as long as the watchdog allows."""
        self._arm(t_us)

    def command(self, request: Request) -> int | None:
        """Take set power."""
        if request.frame.command != heater.SET_POWER:
            return None
        message = heater.SetPower.decode(request.frame.payload)
        slot = int(self.number(heater.ATTRIBUTE_SLOT, request.t_us))
        for asked, power_w in message.powers_w:
            if asked == slot:
                accepted_w = self._take(power_w, request.t_us)
                if message.ack:
                    self._acknowledge(request, heater.Ack(message.sequence, slot, accepted_w))
                return zcl.SUCCESS
        # The broadcast is not for this device.
        return ANSWERED

    def _take(self, power_w: float | None, t_us: int) -> float:
        self._arm(t_us)
        rated = self.number(heater.ATTRIBUTE_RATED, t_us, heater.UNCHANGED) / 100
        if power_w is None:
            return min(self.number(heater.ATTRIBUTE_SETPOINT, t_us) / 100, rated)
        accepted_w = min(power_w, rated)
        self._set(accepted_w, t_us)
        return accepted_w

    def _set(self, power_w: float, t_us: int) -> None:
        key = self._own(heater.ATTRIBUTE_SETPOINT)
        if self.host.table.quantity(key) is None:
            self.host.table.set(key, round(power_w * 100))
            self.host.source.command(SETPOINT, power_w, t_us)
        else:
            self.host.table.command(key, power_w * 100, t_us)

    def _acknowledge(self, request: Request, ack: heater.Ack) -> None:
        frame = ZclFrame(
            sequence=request.frame.sequence,
            command=heater.ACK,
            payload=ack.encode(),
            cluster_command=True,
            from_server=True,
            manufacturer=heater.MANUFACTURER,
            no_default_response=True,
        )
        self.host.acknowledge(frame, request)

    def _arm(self, t_us: int) -> None:
        self._commands += 1
        armed = self._commands
        timeout_s = self.number(heater.ATTRIBUTE_WATCHDOG, t_us)
        if timeout_s <= 0:
            return

        def expire() -> None:
            if armed == self._commands:
                self._set(self.fallback_w, self.host.clock.now_us)

        self.host.clock.schedule(t_us + round(timeout_s * 1e6), expire)
