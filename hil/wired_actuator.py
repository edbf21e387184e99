"""An actuator that a Modbus device is: watts become the device's own set-point."""

from __future__ import annotations

import math
from typing import Final

from ..sim.clock import US_PER_S
from ..sim.points import Actuator
from .devices.fields import FieldMap, resolve
from .modbus.driver import ModbusDevice
from .rig import RigError

_SWITCH: Final = "enabled"
"""What pauses a charger."""
_LOST_US: Final = 30 * US_PER_S
"""An actuator that confirms nothing for this long is given up, as a meter is."""


class WiredActuator:
    """An actuator that a Modbus device is.

    A charger is paused below its smallest current, by the switch that it has for that.
    """

    def __init__(self, place: int, actuator: Actuator, device: ModbusDevice) -> None:
        """Find out which quantity of the device is its set-point; raises `RigError` for none."""
        self.place, self.device = place, device
        self.quantity, self._per_w = _set_point(actuator, device)
        point = resolve(device.profile).writing(self.quantity)
        low = 0.0 if point is None or point.low is None else point.low
        pauses = low > 0.0 and resolve(device.profile).writing(_SWITCH) is not None
        self._least = low if pauses else -math.inf
        self._level: float | None = None
        self._written_us = 0
        self.failing_us: int | None = None
        """Since when no set-point was confirmed; None: the last one was."""

    def failed(self, now_us: int) -> RigError | None:
        """Take note that a set-point was not confirmed; after half a minute, return who is lost."""
        if self.failing_us is None:
            self.failing_us = now_us
        silent_us = now_us - self.failing_us
        if silent_us < _LOST_US:
            return None
        seconds = silent_us // US_PER_S
        return RigError(f"lost {self.device.name}: no set-point confirmed for {seconds} s")

    def level(self, power_w: float) -> float:
        """Return a set-point in the unit of the device's quantity; 0 pauses a charger."""
        level = power_w * self._per_w
        # A little less than it takes, by rounding, is what it takes.
        return 0.0 if level < self._least * (1.0 - 1e-9) else max(level, self._least)

    def set_point(self, power_w: float, now_us: int, refresh_us: int) -> float | None:
        """Return the set-point that `write` would write; None: the device keeps the one it has.

        That may be because it holds it already, or because it is only switched off.
        """
        level = self.level(power_w)
        return level if level >= self._least and self._due(level, now_us, refresh_us) else None

    def _due(self, level: float, now_us: int, refresh_us: int) -> bool:
        return level != self._level or now_us - self._written_us >= refresh_us

    async def write(self, power_w: float, now_us: int, refresh_us: int) -> bool:
        """Write a set-point unless the device holds it already; return whether it was written."""
        level = self.level(power_w)
        if not self._due(level, now_us, refresh_us):
            return False
        before, self._level = self._level, None
        if math.isinf(self._least):
            await self.device.write(self.quantity, level)
        elif level < self._least:
            await self.device.write(_SWITCH, 0.0)
        else:
            await self.device.write(self.quantity, level)
            if before is None or before < self._least:
                await self.device.write(_SWITCH, 1.0)
        self._level, self._written_us = level, now_us
        return True


def _set_point(actuator: Actuator, device: ModbusDevice) -> tuple[str, float]:
    """Return the quantity that is an actuator's set-point, and its value per watt."""
    fields: FieldMap = resolve(device.profile)
    if actuator.kind == "pv_limit":
        wanted = {"power_limit_w": 1.0}
    elif actuator.kind == "charger":
        phases = sum(share > 0 for share in actuator.phase_shares)
        wanted = {"current_setpoint_a": 1.0 / (230.0 * phases), "power_setpoint_w": 1.0}
    else:
        share = 1.0 / actuator.high_w
        wanted = {"power_setpoint_w": 1.0, "level": share, "on": share}
    for quantity, per_w in wanted.items():
        if fields.writing(quantity) is not None:
            return quantity, per_w
    raise RigError(
        f"device '{device.name}' cannot be '{actuator.id}': it takes none of {', '.join(wanted)}"
    )
