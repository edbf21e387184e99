"""Power-controlled heaters: one broadcast sets the watts of up to twelve, each acknowledges.

Layout of the cluster: `hil.zigbee.heater`. This is the path that a control loop takes each step,
so frames are put together and taken apart here without detours.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import Mapping
from typing import Final

from ....sim.clock import US_PER_S
from ....sim.edge.channel import STATUS_SENT
from ...errors import ReadingError, RigError
from .. import heater, zcl, zcl_types
from ..binary import ieee_text
from ..mt_messages import BROADCAST_LISTENING
from ..slots import NOT_SENT, Replies, Report
from .attributes import bind, configure_reporting, read, scaling, write
from .devices import Device
from .host import ALL_ENDPOINTS, ZigbeeHost
from .sending import RefusedError

_HEAD: Final = struct.Struct("<BHBBBBB")
"""Frame control, manufacturer, sequence, command; flags, sequence of the command, count."""
_PAIR: Final = struct.Struct("<BI")
_ACK: Final = struct.Struct("<BHBBBBI")
"""Frame control, manufacturer, sequence, command; sequence of the command, slot, power."""
_FROM_HOST: Final = zcl.CLUSTER_COMMAND | zcl.MANUFACTURER_SPECIFIC | zcl.NO_DEFAULT_RESPONSE
_KIND: Final = zcl.CLUSTER_COMMAND | zcl.MANUFACTURER_SPECIFIC | zcl.FROM_SERVER
_ACK_WANTED: Final = 1
_ACTIVE_POWER: Final = 0x050B
_MULTIPLIER: Final = 0x0604
_DIVISOR: Final = 0x0605
_MOST_W: Final = (heater.UNCHANGED - 1) / 100
_REPAIR_PAUSE_US: Final = 10 * US_PER_S
_SLACK: Final = 1.2
"""A heater that measures more than so much of its rated power measures wrong."""


class HeaterSlots:
    """Heaters by slot: set-points, acks, power reports."""

    def __init__(
        self,
        host: ZigbeeHost,
        slots: Mapping[int, int],
        rated_w: Mapping[int, float] | None = None,
        report_period_s: float | None = None,
    ) -> None:
        """Bind slots to IEEE addresses.

        With `rated_w`, power reports beyond 1.2 times a slot's rating (or below −5 % of it) are
        refused. With `report_period_s` (whole seconds) `start` makes the heaters report their power
        that often.
        """
        self._report_period_s = report_period_s
        self._host = host
        self._slot_of = {ieee: slot for slot, ieee in slots.items()}
        if len(self._slot_of) != len(slots):
            raise RigError("two slots have the same heater")
        self._rated_w = dict(rated_w or {})
        self._slots = dict(slots)
        self._power_factor = dict.fromkeys(slots, 1.0)
        self.accepted_w: dict[int, float] = {}
        """What each heater last said that it took over, by slot."""
        self.power_reports: dict[int, Report] = {}
        """The newest power that each heater measured, by slot."""
        self.replies = Replies()
        self.wrong = 0
        """Acks and reports that cannot be: of another slot, or out of range."""
        self.repaired = 0
        """Heaters that had lost their slot, and were told it again."""
        self._repaired_us: dict[int, int] = {}
        self._repairs: set[asyncio.Task[None]] = set()
        host.receiver.on_cluster[heater.CLUSTER] = self._ack
        host.receiver.on_report.append(self._report)

    async def start(self) -> None:
        """Find the heaters, check that each has the slot that the rig gives it.

        A heater that has another slot is told its own. Raises `RigError` for one that does not
        answer, is not a heater, or keeps another slot.
        """
        for slot, ieee in self._slots.items():
            try:
                await self._prepare(slot, ieee)
            except ReadingError as error:
                raise RigError(f"heater {ieee_text(ieee)} of slot {slot}: {error}") from error

    async def _prepare(self, slot: int, ieee: int) -> None:
        await self._host.network.find(ieee)
        found = await self._read(ieee, (heater.ATTRIBUTE_SLOT, heater.ATTRIBUTE_RATED))
        if found.get(heater.ATTRIBUTE_SLOT) != slot:
            await self._assign(ieee, slot)
        rated = found.get(heater.ATTRIBUTE_RATED)
        if isinstance(rated, int) and slot not in self._rated_w and rated > 0:
            self._rated_w[slot] = rated / 100
        with contextlib.suppress(RefusedError):  # it measures nothing
            scale = await read(
                self._host, ieee, zcl.ELECTRICAL_MEASUREMENT, (_MULTIPLIER, _DIVISOR)
            )
            self._power_factor[slot] = scaling(scale, _MULTIPLIER, _DIVISOR)
        if self._report_period_s is not None:
            period_s = max(1, round(self._report_period_s))
            record = zcl.ReportingRecord(_ACTIVE_POWER, zcl_types.INT16, period_s, period_s, 1)
            await bind(self._host, ieee, zcl.ELECTRICAL_MEASUREMENT)
            await configure_reporting(self._host, ieee, zcl.ELECTRICAL_MEASUREMENT, [record])

    async def set_power(self, powers_w: Mapping[int, float]) -> tuple[int, int]:
        """Send set-points in W by slot, at most twelve a broadcast.

        Returns (sequence number, status) like the direct rig: 0 sent, 1 the coordinator's table is
        full, 2 the coordinator is away; the number is −1 unless sent. More than twelve go out as
        several broadcasts under one number; the status is that of the first that fails. Raises
        `RigError` once the coordinator is given up, `ValueError` for a power that fits no command.
        """
        pairs = list(powers_w.items())
        for slot, power_w in pairs:
            if not 0 <= power_w < _MOST_W:  # NaN neither
                raise ValueError(f"a power of {power_w} W for slot {slot} does not fit the command")
        status, sent = STATUS_SENT, 0
        # The number is taken before the broadcast is confirmed: acks may come first.
        seq = self.replies.begin(self._host.clock.now_us, frozenset(powers_w))
        for start in range(0, len(pairs), heater.MAX_LOADS):
            frame = self._frame(seq & 0xFF, pairs[start : start + heater.MAX_LOADS])
            status = await self._host.send_to_all(
                BROADCAST_LISTENING, ALL_ENDPOINTS, heater.CLUSTER, frame
            )
            if status != STATUS_SENT:
                break
            sent += 1
        if sent or status == STATUS_SENT:
            return seq, status
        self.replies.withdraw(seq)
        return NOT_SENT, status

    def acked_us(self, seq: int) -> Mapping[int, int]:
        """Return by slot when the ack to a command came, µs; who has not acked is left out."""
        return self.replies.acked_us(seq)

    def _frame(self, byte: int, pairs: list[tuple[int, float]]) -> bytes:
        sequence = self._host.sender.next_sequence()
        parts = [
            _HEAD.pack(
                _FROM_HOST,
                heater.MANUFACTURER,
                sequence,
                heater.SET_POWER,
                _ACK_WANTED,
                byte,
                len(pairs),
            )
        ]
        parts.extend(_PAIR.pack(slot, round(power_w * 100)) for slot, power_w in pairs)
        return b"".join(parts)

    def _ack(self, device: Device, payload: bytes, t_us: int) -> bool:
        """Take an encoded frame of the heaters' cluster if it is an ack."""
        if len(payload) != _ACK.size:
            return False
        control, manufacturer, _, command, byte, slot, raw = _ACK.unpack(payload)
        if (
            control & ~zcl.NO_DEFAULT_RESPONSE != _KIND
            or manufacturer != heater.MANUFACTURER
            or command != heater.ACK
        ):
            return False
        if self._slot_of.get(device.ieee) != slot:
            self.wrong += 1
            self._repair(device.ieee, t_us)
            return False
        if not self.replies.reply(byte, slot, t_us):
            return False  # maybe the answer to a unicast
        self.accepted_w[slot] = raw / 100
        return True

    def _report(
        self, ieee: int, cluster: int, attribute: int, value: zcl_types.Value, t_us: int
    ) -> None:
        if cluster != zcl.ELECTRICAL_MEASUREMENT or attribute != _ACTIVE_POWER:
            return
        slot = self._slot_of.get(ieee)
        if slot is None or not isinstance(value, int):
            return
        power_w = value * self._power_factor[slot]
        rated_w = self._rated_w.get(slot)
        if rated_w is not None and not -0.05 * rated_w <= power_w <= _SLACK * rated_w:
            self.wrong += 1
            return
        self.power_reports[slot] = Report(power_w, t_us)

    def _repair(self, ieee: int, t_us: int) -> None:
        """Tell a heater that obeys another slot its own again: it has lost it, with its memory."""
        slot = self._slot_of.get(ieee)
        last_us = self._repaired_us.get(ieee)
        if slot is None or (last_us is not None and t_us - last_us < _REPAIR_PAUSE_US):
            return
        self._repaired_us[ieee] = t_us
        task = asyncio.ensure_future(self._prepare_again(slot, ieee))
        self._repairs.add(task)
        task.add_done_callback(self._repairs.discard)

    async def _prepare_again(self, slot: int, ieee: int) -> None:
        try:
            await self._prepare(slot, ieee)
            self.repaired += 1
        except (ReadingError, RigError):
            pass  # its next wrong ack tries again

    async def _read(self, ieee: int, attributes: tuple[int, ...]) -> dict[int, zcl_types.Value]:
        return await read(
            self._host, ieee, heater.CLUSTER, attributes, manufacturer=heater.MANUFACTURER
        )

    async def _assign(self, ieee: int, slot: int) -> None:
        record = zcl.Attribute(heater.ATTRIBUTE_SLOT, zcl_types.UINT8, slot)
        await write(self._host, ieee, heater.CLUSTER, [record], manufacturer=heater.MANUFACTURER)
        found = await self._read(ieee, (heater.ATTRIBUTE_SLOT,))
        if found.get(heater.ATTRIBUTE_SLOT) != slot:
            raise RigError(f"heater {ieee_text(ieee)} does not take slot {slot}")
