"""Messages from devices: reports, answers, commands, and what politeness asks in return.

A message is taken only when all of it makes sense: lengths add up, the sender is known, values are
of the type that the attribute has and are not the pattern for "no value". Everything else is
counted and dropped.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ....sim.clock import Clock
from .. import zcl, zcl_types
from ..binary import CodecError, u8
from ..zcl import ZclFrame
from .devices import Device, DeviceTable
from .sending import Sender

_HEAD: Final = struct.Struct("<HHHBBBBBIBB")
"""AF_INCOMING_MSG: group, cluster, source, both endpoints, broadcast, LQI, security, time stamp,
sequence, length."""
_OTA_QUERY: Final = 0x01
_OTA_QUERY_RESPONSE: Final = 0x02

#: Types of the attributes that measurements come from (cluster library, chapters 4 and 10).
ATTRIBUTE_TYPES: Final[Mapping[tuple[int, int], int]] = {
    (zcl.ON_OFF, 0x0000): zcl_types.BOOLEAN,
    (zcl.LEVEL_CONTROL, 0x0000): zcl_types.UINT8,
    (zcl.TEMPERATURE, 0x0000): zcl_types.INT16,
    (zcl.HUMIDITY, 0x0000): zcl_types.UINT16,
    (zcl.POWER_CONFIGURATION, 0x0021): zcl_types.UINT8,
    (zcl.METERING, 0x0000): zcl_types.UINT48,
    (zcl.METERING, 0x0400): zcl_types.INT24,
    (zcl.ELECTRICAL_MEASUREMENT, 0x0505): zcl_types.UINT16,
    (zcl.ELECTRICAL_MEASUREMENT, 0x0508): zcl_types.UINT16,
    (zcl.ELECTRICAL_MEASUREMENT, 0x050B): zcl_types.INT16,
}

ReportCallback = Callable[[int, int, int, zcl_types.Value, int], None]
"""Called with IEEE address, cluster, attribute, raw value, time in µs."""
MessageCallback = Callable[[Device, int, ZclFrame, int], None]
"""Called with device, cluster, frame, time in µs: cluster commands that answer nothing."""
RawCallback = Callable[[Device, bytes, int], bool]
"""Takes an encoded frame; returns whether it did."""


@dataclass(slots=True)
class ReceiveCounters:
    """What came in and was of no use."""

    unknown_senders: int = 0
    malformed: int = 0
    bad_values: int = 0
    late_answers: int = 0


def plausible(cluster: int, attribute: int, kind: int, value: zcl_types.Value) -> bool:
    """Return whether a value is one: of the attribute's type, and not "no value"."""
    if ATTRIBUTE_TYPES.get((cluster, attribute), kind) != kind or value is None:
        return False
    # No value is a NaN too, which equals nothing; bitmaps have none.
    return value == value and (0x18 <= kind <= 0x1F or value != zcl_types.no_value(kind))  # noqa: PLR0124


class Receiver:
    """Sorts what comes in."""

    def __init__(
        self,
        clock: Clock,
        devices: DeviceTable,
        sender: Sender,
        look_up: Callable[[int], None],
    ) -> None:
        """`look_up(nwk)` is asked to find out who has a short address."""
        self._clock, self._devices, self._sender = clock, devices, sender
        self._look_up = look_up
        self.counters = ReceiveCounters()
        self.on_report: list[ReportCallback] = []
        self.on_message: list[MessageCallback] = []
        self.on_cluster: dict[int, RawCallback] = {}
        """Clusters whose frames someone takes apart alone."""

    def incoming(self, data: bytes, t_us: int) -> None:
        """Take an AF_INCOMING_MSG; never raises, whatever is in it."""
        try:
            self._take(data, t_us)
        except (CodecError, struct.error, IndexError):
            self.counters.malformed += 1

    def _take(self, data: bytes, t_us: int) -> None:
        group, cluster, source, endpoint, _, broadcast, lqi, _, _, _, size = _HEAD.unpack_from(data)
        payload = data[_HEAD.size : _HEAD.size + size]
        if len(payload) != size:
            raise CodecError("an incoming message is shorter than it says")
        device = self._devices.at(source)
        if device is None:
            self.counters.unknown_senders += 1
            self._look_up(source)
            return
        device.heard_us, device.lqi = t_us, lqi
        taker = self.on_cluster.get(cluster)
        if taker is not None and taker(device, payload, t_us):
            return
        frame = ZclFrame.decode(payload)
        if self._sender.answered(source, endpoint, cluster, frame):
            return
        answer = self._serve(device, cluster, frame, t_us)
        if answer is not None and not broadcast and not group:
            self._sender.post(source, endpoint, cluster, answer.encode())

    def _serve(self, device: Device, cluster: int, frame: ZclFrame, t_us: int) -> ZclFrame | None:
        """Do what a frame asks that answers nothing of ours; return what is due in return."""
        if frame.cluster_command:
            if cluster == zcl.OTA and frame.command == _OTA_QUERY:
                return frame.response(_OTA_QUERY_RESPONSE, u8(zcl.NO_IMAGE_AVAILABLE))
            for message in self.on_message:
                message(device, cluster, frame, t_us)
        elif frame.command == zcl.REPORT_ATTRIBUTES:
            self._report(device, cluster, frame, t_us)
        elif frame.command == zcl.READ_ATTRIBUTES:
            asked = zcl.decode_attribute_ids(frame.payload)
            records = [zcl.ReadRecord(one, zcl.UNSUPPORTED_ATTRIBUTE) for one in asked]
            return frame.response(zcl.READ_ATTRIBUTES_RESPONSE, zcl.encode_read_records(records))
        elif frame.command in _ANSWERS:
            self.counters.late_answers += 1
            return None
        else:
            return frame.default_response(zcl.UNSUPPORTED_GENERAL_COMMAND)
        return None if frame.no_default_response else frame.default_response(zcl.SUCCESS)

    def _report(self, device: Device, cluster: int, frame: ZclFrame, t_us: int) -> None:
        for one in zcl.decode_attributes(frame.payload):
            if not plausible(cluster, one.attribute, one.kind, one.value):
                self.counters.bad_values += 1
                continue
            for report in self.on_report:
                report(device.ieee, cluster, one.attribute, one.value, t_us)


_ANSWERS: Final = frozenset(
    {
        zcl.READ_ATTRIBUTES_RESPONSE,
        zcl.WRITE_ATTRIBUTES_RESPONSE,
        zcl.CONFIGURE_REPORTING_RESPONSE,
        zcl.READ_REPORTING_RESPONSE,
        zcl.DISCOVER_ATTRIBUTES_RESPONSE,
        zcl.DEFAULT_RESPONSE,
    }
)
