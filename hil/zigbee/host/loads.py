"""Loads of any kind behind one coordinator: heaters by broadcast, plugs and dimmers one by one.

A plug knows on and off, a dimmer its share of the rated power (linear in the level only after
calibration; state that in the rig). Their commands are unicasts in the background; the default
response is the ack. One is under way for a load at a time: what is commanded meanwhile goes out
behind it, and only the newest.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ....sim.edge.channel import STATUS_COORDINATOR_DOWN, STATUS_SENT
from ...errors import ReadingError, RigError
from .. import zcl, zcl_types
from ..binary import ieee_text, u8, u16
from ..slots import NOT_SENT, Replies, Report
from .attributes import bind, configure_reporting, interview, read, scaling
from .heaters import HeaterSlots
from .host import ZigbeeHost
from .sending import RefusedError

Means = Literal["level", "on"]
_OFF: Final = 0x00
_ON: Final = 0x01
_MOVE_TO_LEVEL_WITH_ON_OFF: Final = 0x04
_FULL: Final = 254
_ACTIVE_POWER: Final = 0x050B
_MULTIPLIER: Final = 0x0604
_DIVISOR: Final = 0x0605


@dataclass(frozen=True, slots=True)
class SwitchedLoad:
    """A load behind a plug or dimmer."""

    ieee: int
    rated_w: float
    on_from_w: float | None = None
    """Smallest set-point that switches a plug on; None: half the rated power."""
    means: Means | None = None
    """How it is commanded; None: by level if it has one, else on and off."""


class _Line:
    """The commands to one load: the one under way, and the newest behind it."""

    __slots__ = ("factor", "means", "next", "task")

    def __init__(self) -> None:
        self.means: Means = "on"
        self.factor = 1.0
        self.next: tuple[int, float] | None = None
        self.task: asyncio.Task[None] | None = None


class LoadSlots:
    """Set-points in W by slot for heaters and switched loads together; same shapes as either."""

    def __init__(
        self,
        host: ZigbeeHost,
        heaters: HeaterSlots | None,
        switched: Mapping[int, SwitchedLoad],
        report_period_s: float | None = None,
    ) -> None:
        """Join the heaters (None: there are none) and switched loads of a rig, by slot.

        With `report_period_s` `start` makes the switched loads report their power that often.
        """
        self._host, self._heaters, self._switched = host, heaters, dict(switched)
        self._lines = {slot: _Line() for slot in switched}
        self._slot_of = {load.ieee: slot for slot, load in switched.items()}
        self._report_period_s = report_period_s
        self._replies = Replies()
        self._heater_seq: list[int] = []
        self._reports: dict[int, Report] = {}
        self.refusals: list[str] = []
        """Why commands were not confirmed, newest last."""
        host.receiver.on_report.append(self._report)

    async def start(self) -> None:
        """Find every load and how it is commanded; raises `RigError` for one that cannot be."""
        if self._heaters is not None:
            await self._heaters.start()
        for slot, load in self._switched.items():
            try:
                await self._prepare(slot, load)
            except ReadingError as error:
                raise RigError(f"load {ieee_text(load.ieee)} of slot {slot}: {error}") from error

    async def close(self) -> None:
        """End what is under way."""
        tasks = [line.task for line in self._lines.values() if line.task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def set_power(self, powers_w: Mapping[int, float]) -> tuple[int, int]:
        """Send set-points in W by slot; return (sequence number, status) as `HeaterSlots` does.

        When the broadcast to the heaters is refused nothing else is sent either.
        """
        by_broadcast = {s: w for s, w in powers_w.items() if s not in self._switched}
        heater_seq, status = NOT_SENT, STATUS_SENT
        if by_broadcast:
            if self._heaters is None:
                raise RigError(f"no load has one of the slots {sorted(by_broadcast)}")
            heater_seq, status = await self._heaters.set_power(by_broadcast)
        elif self._host.state != "up":
            self._host.check_given_up()
            status = STATUS_COORDINATOR_DOWN
        if status != STATUS_SENT:
            return NOT_SENT, status
        alone = {s: w for s, w in powers_w.items() if s in self._switched}
        seq = self._replies.begin(self._host.clock.now_us, frozenset(alone))
        self._heater_seq.append(heater_seq)
        for slot, power_w in alone.items():
            line = self._lines[slot]
            line.next = (seq, power_w)
            if line.task is None or line.task.done():
                line.task = asyncio.ensure_future(self._work(slot, line))
        return seq, STATUS_SENT

    def acked_us(self, seq: int) -> Mapping[int, int]:
        """Return by slot when the ack to a command came, µs; who has not acked is left out."""
        if not 0 <= seq < len(self._heater_seq):
            return {}
        own = self._replies.acked_us(seq)
        if self._heaters is None:
            return own
        return {**self._heaters.acked_us(self._heater_seq[seq]), **own}

    @property
    def power_reports(self) -> Mapping[int, Report]:
        """Return by slot the newest power that a load measured."""
        if self._heaters is None:
            return self._reports
        return {**self._heaters.power_reports, **self._reports}

    async def _work(self, slot: int, line: _Line) -> None:
        load = self._switched[slot]
        while line.next is not None:
            (seq, power_w), line.next = line.next, None
            cluster, command, payload = _command(load, line.means, power_w)
            try:
                await self._host.request(load.ieee, cluster, command, payload, harmless=True)
            except (ReadingError, RigError) as error:
                self.refusals = [*self.refusals[-99:], str(error)]
            else:
                self._replies.reply_to(seq, slot, self._host.clock.now_us)

    async def _prepare(self, slot: int, load: SwitchedLoad) -> None:
        line = self._lines[slot]
        device = await interview(self._host, load.ieee)
        served = {cluster for one in device.endpoints.values() for cluster in one.inputs}
        if zcl.ON_OFF not in served and zcl.LEVEL_CONTROL not in served:
            raise RigError(
                f"load {ieee_text(load.ieee)} of slot {slot} ({device.model}) cannot be switched"
            )
        line.means = load.means or ("level" if zcl.LEVEL_CONTROL in served else "on")
        if zcl.ELECTRICAL_MEASUREMENT not in served:
            return
        with contextlib.suppress(RefusedError):
            scale = await read(
                self._host, load.ieee, zcl.ELECTRICAL_MEASUREMENT, (_MULTIPLIER, _DIVISOR)
            )
            line.factor = scaling(scale, _MULTIPLIER, _DIVISOR)
        if self._report_period_s is not None:
            period_s = max(1, round(self._report_period_s))
            record = zcl.ReportingRecord(_ACTIVE_POWER, zcl_types.INT16, period_s, period_s, 1)
            await bind(self._host, load.ieee, zcl.ELECTRICAL_MEASUREMENT)
            await configure_reporting(self._host, load.ieee, zcl.ELECTRICAL_MEASUREMENT, [record])

    def _report(
        self, ieee: int, cluster: int, attribute: int, value: zcl_types.Value, t_us: int
    ) -> None:
        slot = self._slot_of.get(ieee)
        if slot is None or (cluster, attribute) != (zcl.ELECTRICAL_MEASUREMENT, _ACTIVE_POWER):
            return
        if isinstance(value, int):
            self._reports[slot] = Report(value * self._lines[slot].factor, t_us)


def _command(load: SwitchedLoad, means: Means, power_w: float) -> tuple[int, int, bytes]:
    """Return cluster, command and payload that say a power to a switched load."""
    if means == "level":
        level = round(min(max(power_w / load.rated_w, 0.0), 1.0) * _FULL)
        # At once: the transition time is 0.
        return zcl.LEVEL_CONTROL, _MOVE_TO_LEVEL_WITH_ON_OFF, u8(level) + u16(0)
    least_w = load.rated_w / 2 if load.on_from_w is None else load.on_from_w
    return zcl.ON_OFF, _ON if power_w >= least_w else _OFF, b""
