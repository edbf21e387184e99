"""The heater's own cluster: watts by broadcast, acks, and a watchdog. See `zigbee.heater`."""

from __future__ import annotations

from typing import Final

from ....sim.random import generator
from ...devices.model import Watchdog
from .. import heater, zcl
from .. import zcl_types as types
from ..zcl import ZclFrame
from .attributes import Item, Key
from .behaviour import ANSWERED, Behaviour, Request
from .reporting import NEVER_US

SETPOINT: Final = "power_setpoint_w"


class HeaterControl(Behaviour):
    """Takes its slot's watts out of a broadcast, acknowledges by unicast, falls back alone.

    Without a command for as long as attribute 0x0003 says (and as late as the profile's watchdog
    may be) the set-point falls back; 0 s, or a device without watchdog, never does.
    """

    def prepare(self) -> None:
        """Add the cluster's attributes as far as the profile lacks them."""
        self._expires_us = NEVER_US
        self._waiting = False
        self._draw = generator(self.host.ieee & 0x7FFFFFFF, "zigbee", "watchdog")
        self._items: dict[int, Item | None] = {}
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

    def _value(self, attribute: int, t_us: int, default: float = 0.0) -> float:
        item = self._items.get(attribute)
        if item is None:
            item = self._items[attribute] = self.host.table.find(self._own(attribute))
        value = None if item is None else item.read(t_us)
        return float(value) if isinstance(value, int | float) else default

    def powered(self, t_us: int) -> None:
        """Wait for a first command, as long as the watchdog allows."""
        self._arm(t_us)

    def switched(self, t_us: int) -> None:
        """Count a switch as a command: what was switched on does not heat for ever either."""
        self._arm(t_us)

    def command(self, request: Request) -> int | None:
        """Take set power."""
        if request.frame.command != heater.SET_POWER:
            return None
        message = heater.SetPower.decode(request.frame.payload)
        slot = int(self._value(heater.ATTRIBUTE_SLOT, request.t_us))
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
        rated = self._value(heater.ATTRIBUTE_RATED, t_us, heater.UNCHANGED) / 100
        if power_w is None:
            return min(self._value(heater.ATTRIBUTE_SETPOINT, t_us) / 100, rated)
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
        timeout_s = self._value(heater.ATTRIBUTE_WATCHDOG, t_us)
        if timeout_s <= 0 or not self.host.watchdog:
            self._expires_us = NEVER_US
            return
        dog = self._profiled()
        late_s = self._draw.random() * dog.slack_s if dog is not None and dog.slack_s else 0.0
        self._expires_us = t_us + round((timeout_s + late_s) * 1e6)
        if not self._waiting:
            self._wait()

    def _wait(self) -> None:
        # One timer, however many commands come: it looks again when it finds itself put off.
        self._waiting = True
        self.host.clock.schedule(self._expires_us, self._look)

    def _look(self) -> None:
        self._waiting = False
        if self._expires_us >= NEVER_US:
            return
        if self.host.clock.now_us < self._expires_us:
            self._wait()
            return
        dog = self._profiled()
        self._set(0.0 if dog is None else dog.value, self.host.clock.now_us)

    def _profiled(self) -> Watchdog | None:
        actuator = self.host.profile.actuator(SETPOINT)
        return None if actuator is None else actuator.watchdog
