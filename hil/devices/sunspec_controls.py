"""What SunSpec devices do with their control models: enable, ramp, revert.

Models 123 (immediate controls), 124 (basic storage) and 704 (DER AC controls), as their definitions
say: a set-point counts only while it is enabled; a reversion time starts when it is enabled or
written anew, and ends in the reversion values, or in its being disabled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from .model import DeviceProfile
from .watchdogs import Panel, Timer
from .waves import share

_RAMP_STEP_US: Final = 200_000


@dataclass(frozen=True, slots=True)
class ControlNames:
    """Registers of one control, by the names of their points; ``None``: it has none."""

    value: str
    enable: str | None
    mask: int = 0xFFFF
    """Bits of `enable` that enable it."""
    revert_s: str | None = None
    ramp_s: str | None = None
    window_s: str | None = None
    """Register with the time within which it starts, at random."""
    revert_value: str | None = None
    revert_enable: str | None = None
    remaining: str | None = None
    mode: str | None = None
    """Register that says whether the value is a percentage (0) or in watts (1)."""
    percent: str | None = None
    """Register of the value as a percentage."""


CONTROLS: Final = (
    ControlNames(
        value="123.Conn",
        enable=None,
        revert_s="123.Conn_RvrtTms",
        window_s="123.Conn_WinTms",
    ),
    ControlNames(
        value="123.WMaxLimPct",
        enable="123.WMaxLim_Ena",
        revert_s="123.WMaxLimPct_RvrtTms",
        ramp_s="123.WMaxLimPct_RmpTms",
        window_s="123.WMaxLimPct_WinTms",
    ),
    ControlNames(
        value="124.OutWRte",
        enable="124.StorCtl_Mod",
        mask=2,
        revert_s="124.InOutWRte_RvrtTms",
        ramp_s="124.InOutWRte_RmpTms",
        window_s="124.InOutWRte_WinTms",
    ),
    ControlNames(
        value="124.InWRte",
        enable="124.StorCtl_Mod",
        mask=1,
        revert_s="124.InOutWRte_RvrtTms",
        ramp_s="124.InOutWRte_RmpTms",
        window_s="124.InOutWRte_WinTms",
    ),
    ControlNames(
        value="704.WMaxLimPct",
        enable="704.WMaxLimPctEna",
        revert_s="704.WMaxLimPctRvrtTms",
        revert_value="704.WMaxLimPctRvrt",
        revert_enable="704.WMaxLimPctEnaRvrt",
        remaining="704.WMaxLimPctRvrtRem",
    ),
    ControlNames(
        value="704.WSet",
        enable="704.WSetEna",
        revert_s="704.WSetRvrtTms",
        revert_value="704.WSetRvrt",
        revert_enable="704.WSetEnaRvrt",
        remaining="704.WSetRvrtRem",
        mode="704.WSetMod",
        percent="704.WSetPct",
    ),
)


class SunspecControl:
    """One set-point of a SunSpec device with its enable, ramp and reversion."""

    counts_requests = False

    def __init__(
        self, panel: Panel, names: ControlNames, profile: DeviceProfile, seed: int
    ) -> None:
        self._panel = panel
        self._names = names
        known = {item.name: item for item in panel.map.fields}
        quantity = known[names.value].quantity
        assert quantity is not None
        self._quantity = quantity
        actuator = profile.actuator(quantity)
        self._idle = actuator.default if actuator is not None else 0.0
        self._rated_w = profile.ratings.power_w
        self._watched = frozenset(
            name
            for name in (
                names.value,
                names.enable,
                names.revert_s,
                names.ramp_s,
                names.window_s,
                names.mode,
                names.percent,
            )
            if name is not None and name in known
        )
        self.claims = frozenset({names.value})
        self._known = known
        self._timer = Timer()
        self._step = Timer()
        self._wait = Timer()
        self._seed = seed
        self._count = 0
        self._driven: float | None = None
        self._from = (0, 0.0)
        self._to = (0, 0.0)

    def _number(self, name: str | None, default: float = 0.0) -> float:
        if name is None or name not in self._known:
            return default
        value = self._panel.setting(name)
        return float(value) if isinstance(value, int | float) else default

    @property
    def enabled(self) -> bool:
        """Whether the set-point counts."""
        names = self._names
        return names.enable is None or bool(int(self._number(names.enable)) & names.mask)

    def _target(self) -> float:
        names = self._names
        if not self.enabled:
            return self._idle
        in_percent = names.mode in self._known and self._number(names.mode, 1.0) == 0
        if in_percent and names.percent in self._known:
            return self._number(names.percent) / 100.0 * self._rated_w
        return self._number(names.value, self._idle)

    def written(self, names: frozenset[str], t_us: int) -> None:
        """Take up what was written, and start the reversion time."""
        if not names & self._watched:
            return
        if self.enabled:
            self._timer.start(t_us, self._number(self._names.revert_s))
        else:
            self._timer.stop()
        window_s = self._number(self._names.window_s)
        if window_s > 0:
            self._count += 1
            self._wait.start(t_us, window_s * share(self._seed, self._names.value, self._count))
        else:
            self._wait.stop()
            self._go(self._target(), t_us)
        self.latch(t_us)

    def requested(self, t_us: int) -> None:
        """Nothing: reversion counts writes only."""

    def _go(self, target: float, t_us: int) -> None:
        if self._driven is None and not self.enabled:
            return  # nothing was ever commanded, and nothing is now
        ramp_s = self._number(self._names.ramp_s)
        if ramp_s <= 0:
            self._step.stop()
            self._drive(target, t_us)
            return
        self._from = (t_us, self._idle if self._driven is None else self._driven)
        self._to = (t_us + round(ramp_s * 1e6), target)
        self._step.start(t_us, _RAMP_STEP_US * 1e-6)

    def _drive(self, value: float, t_us: int) -> None:
        self._driven = value
        self._panel.drive(self._quantity, value, t_us)

    def advance(self, t_us: int) -> None:
        """Climb the ramp and revert, each when it is due."""
        while True:
            first = self.due_us()
            if first is None or first > t_us:
                return
            if self._timer.take(first) is not None:
                self._revert(first)
            elif self._wait.take(first) is not None:
                self._go(self._target(), first)
            else:
                self._climb(first)

    def _climb(self, t_us: int) -> None:
        # The control's own ramp is in steps of 0.2 s, which is finer than devices refresh.
        (t0, v0), (t1, v1) = self._from, self._to
        done = min(1.0, (t_us - t0) / max(1, t1 - t0))
        self._drive(v0 + (v1 - v0) * done, t_us)
        self._step.stop()
        if done < 1.0:
            self._step.at_us = min(t_us + _RAMP_STEP_US, t1)

    def _revert(self, t_us: int) -> None:
        names = self._names
        if names.enable is None:
            self._panel.set(names.value, self._idle)
        elif names.revert_enable in self._known and self._number(names.revert_enable):
            self._panel.set(names.enable, self._number(names.revert_enable))
            if names.revert_value in self._known:
                factor = self._known[names.value].factor
                self._panel.set(names.value, factor * self._number(names.revert_value))
        else:
            left = int(self._number(names.enable)) & ~names.mask
            self._panel.set(names.enable, float(left))
        self._step.stop()
        self._wait.stop()
        self._drive(self._target(), t_us)

    def due_us(self) -> int | None:
        """Return when it next does something by itself."""
        timers = (self._timer, self._step, self._wait)
        return min((timer.at_us for timer in timers if timer.at_us is not None), default=None)

    def latch(self, t_us: int) -> None:
        """Show the reversion time that is left."""
        if self._names.remaining in self._known:
            left = float(round(self._timer.remaining_s(t_us)))
            self._panel.set(str(self._names.remaining), left)

    def reset(self, t_us: int) -> None:
        """Forget everything: the registers are at their defaults again."""
        for timer in (self._timer, self._step, self._wait):
            timer.stop()
        if self._driven is not None:
            self._panel.drive(self._quantity, self._idle, t_us)
        self._driven = None


def controls_of(panel: Panel, profile: DeviceProfile, seed: int) -> tuple[SunspecControl, ...]:
    """Return the controls of a profile: those whose value is a quantity that can be written."""
    writable = {item.name for item in panel.map.fields if item.writable and item.quantity}
    return tuple(
        SunspecControl(panel, names, profile, seed) for names in CONTROLS if names.value in writable
    )
