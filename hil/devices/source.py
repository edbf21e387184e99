"""Where an emulated device's values come from and its commands go: a plant, a formula, a constant.

Quantities are SI with the plant's signs: grid + import, PV and loads >= 0, battery + discharge.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

Value = float | str


class DeviceSource(Protocol):
    """What a device measures and drives."""

    def measure(self, quantity: str, t_us: int) -> Value | None:
        """Return a quantity at a time; None: there is none, or not yet.

        A device asks for all its quantities at one time, and never for an earlier time than
        before.
        """

    # A source may also have `snapshot(t_us)`, which returns all its quantities at that time as a
    # mapping that never changes; what nobody reads is then never worked out.

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Drive a quantity from a time on; what cannot be driven is ignored.

        Limits, rounding, enables, reverts and watchdogs are behind it: that is what the device
        wants. Dead time and ramp come after: they belong to the source.
        """


class ConstantSource:
    """Values that stay until they are set, by a test or by a command."""

    def __init__(self, values: Mapping[str, Value] | None = None) -> None:
        self.values: dict[str, Value] = dict(values or {})
        self.commands: list[tuple[str, float, int]] = []
        """Every command: quantity, value, time in µs."""

    def measure(self, quantity: str, t_us: int) -> Value | None:
        """Return the value that was set."""
        return self.values.get(quantity)

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Note a command; the quantity has that value from now on."""
        self.commands.append((quantity, value, t_us))
        self.values[quantity] = value


class FunctionSource:
    """Quantities as functions of time, commands as functions of value and time."""

    def __init__(
        self,
        measures: Mapping[str, Callable[[int], Value | None]],
        commands: Mapping[str, Callable[[float, int], object]] | None = None,
    ) -> None:
        self._measures = dict(measures)
        self._commands = dict(commands or {})

    def measure(self, quantity: str, t_us: int) -> Value | None:
        """Return what the quantity's function says, None if it has none."""
        found = self._measures.get(quantity)
        return found(t_us) if found is not None else None

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Hand a command to the quantity's function, if it has one."""
        found = self._commands.get(quantity)
        if found is not None:
            found(value, t_us)
