"""Watchdogs of emulated devices: what reverts when commands stay away, late as in real life."""

from __future__ import annotations

from typing import Protocol

from . import codec
from .fields import FieldMap
from .modbus_model import Override
from .model import Actuator
from .source import Value
from .waves import share


class Panel(Protocol):
    """What a device's behaviours see of it."""

    @property
    def map(self) -> FieldMap:
        """Where everything is."""

    def setting(self, name: str) -> Value | None:
        """Return what a register holds, as a client sees it."""

    def set(self, name: str, value: Value) -> None:
        """Change what a register holds."""

    def drive(self, quantity: str, value: float, t_us: int) -> None:
        """Command the source, within the actuator's limits."""


class Behaviour(Protocol):
    """Something that a device does by itself."""

    claims: frozenset[str]
    """Names of the registers that it handles when they are written."""
    counts_requests: bool
    """Whether any request matters to it, so that it is told of them."""

    def written(self, names: frozenset[str], t_us: int) -> None:
        """React to a write of registers, claimed or not."""

    def requested(self, t_us: int) -> None:
        """React to any request."""

    def advance(self, t_us: int) -> None:
        """Do what has become due up to a time."""

    def due_us(self) -> int | None:
        """Return when something becomes due; None: nothing will."""

    def latch(self, t_us: int) -> None:
        """Bring registers up to date that show what it does."""

    def reset(self, t_us: int) -> None:
        """Start afresh."""


class Timer:
    """A time at which something becomes due."""

    def __init__(self) -> None:
        self.at_us: int | None = None

    def start(self, t_us: int, after_s: float) -> None:
        """Become due after a time; 0 or less: never."""
        self.at_us = t_us + round(after_s * 1e6) if after_s > 0 else None

    def stop(self) -> None:
        """Become due no more."""
        self.at_us = None

    def take(self, t_us: int) -> int | None:
        """Return when it became due if it has by ``t_us``, and stop it; else None."""
        at_us = self.at_us
        if at_us is None or t_us < at_us:
            return None
        self.at_us = None
        return at_us

    def remaining_s(self, t_us: int) -> float:
        """Return the time that is left, 0 if it is not running."""
        return max(0.0, (self.at_us - t_us) * 1e-6) if self.at_us is not None else 0.0


class QuantityWatchdog:
    """Reverts one quantity after a time without writes of it, or without any request."""

    claims: frozenset[str] = frozenset()

    def __init__(self, panel: Panel, actuator: Actuator, seed: int) -> None:
        assert actuator.watchdog is not None
        self._panel = panel
        self._dog = actuator.watchdog
        self.counts_requests = self._dog.rearmed_by == "request"
        self._quantity = actuator.quantity
        self._names = frozenset(
            item.name
            for item in panel.map.fields
            if item.writable and item.quantity == actuator.quantity
        )
        self._timer = Timer()
        self._seed = seed
        self._count = 0
        self.fired = 0
        """How often it has."""

    def written(self, names: frozenset[str], t_us: int) -> None:
        """Start the time anew at a write of the quantity, or of the timeout."""
        dog = self._dog
        if names & self._names or (dog.timeout_register and dog.timeout_register in names):
            self._restart(t_us)

    def requested(self, t_us: int) -> None:
        """Start the time anew at any request, if that is what rearms it."""
        if self._dog.rearmed_by == "request" and (self._timer.at_us is not None or not self.fired):
            self._restart(t_us)

    def _restart(self, t_us: int) -> None:
        timeout = self._dog.timeout_s
        if self._dog.timeout_register is not None:
            timeout = float(self._panel.setting(self._dog.timeout_register) or 0.0)
        self._count += 1
        late = self._dog.slack_s * share(self._seed, self._quantity, self._count)
        self._timer.start(t_us, timeout + late if timeout > 0 else 0.0)

    def advance(self, t_us: int) -> None:
        """Revert if the time is over."""
        fired_us = self._timer.take(t_us)
        if fired_us is None:
            return
        self.fired += 1
        value = self._dog.value
        writing = self._panel.map.writing(self._quantity)
        if self._dog.value_register is not None:
            raw = self._panel.setting(self._dog.value_register)
            factor = writing.factor if writing is not None else 1.0
            value = codec.scale(float(raw or 0.0), factor)
        if writing is not None:
            self._panel.set(writing.name, value)
        self._panel.drive(self._quantity, value, fired_us)

    def due_us(self) -> int | None:
        """Return when it fires, None if it is not armed."""
        return self._timer.at_us

    def latch(self, t_us: int) -> None:
        """Show nothing: it has no registers."""

    def reset(self, t_us: int) -> None:
        """Disarm; nothing was written yet."""
        self._timer.stop()
        self.fired = 0


class OverrideSwitch:
    """A register that commands a quantity while it holds certain numbers."""

    counts_requests = False

    def __init__(self, panel: Panel, register: str, override: Override) -> None:
        writing = panel.map.writing(override.quantity)
        assert writing is not None
        self._panel = panel
        self._register = register
        self._override = override
        self._own = writing.name
        self._watched = frozenset({register, writing.name})
        self.claims = frozenset({writing.name})

    def written(self, names: frozenset[str], t_us: int) -> None:
        """Command what the register says, or what was written to the quantity itself."""
        if not names & self._watched:
            return
        number = self._panel.setting(self._register)
        forced = self._override.values.get(int(float(number or 0)))
        value = self._panel.setting(self._own) if forced is None else forced
        self._panel.drive(self._override.quantity, float(value or 0.0), t_us)

    def requested(self, t_us: int) -> None:
        """Nothing: it does nothing by itself."""

    def advance(self, t_us: int) -> None:
        """Nothing: it does nothing by itself."""

    def due_us(self) -> int | None:
        """Return None: nothing becomes due."""

    def latch(self, t_us: int) -> None:
        """Show nothing: its register shows itself."""

    def reset(self, t_us: int) -> None:
        """Nothing: its register is what it was."""
