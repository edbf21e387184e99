"""The general commands of the cluster library, answered from a device's attribute table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import zcl
from ..binary import CodecError, Reader, u8, u16
from ..zcl import ReadRecord, ReportingRecord, StatusRecord, ZclFrame
from .attributes import AttributeTable, Key
from .reporting import Reporter

#: What fits one message beside its header.
_ROOM: Final = 70

KeyOf = Callable[[int], Key]


class GeneralCommands:
    """Answers reads, writes, discovery and the configuration of reporting."""

    def __init__(self, table: AttributeTable, reporter: Reporter) -> None:
        self._table = table
        self._reporter = reporter
        self._handlers: dict[int, Callable[[ZclFrame, KeyOf, int], ZclFrame | None]] = {
            zcl.READ_ATTRIBUTES: self._read,
            zcl.WRITE_ATTRIBUTES: self._write,
            zcl.WRITE_ATTRIBUTES_UNDIVIDED: self._write_undivided,
            zcl.WRITE_ATTRIBUTES_NO_RESPONSE: self._write_silently,
            zcl.CONFIGURE_REPORTING: self._configure,
            zcl.READ_REPORTING: self._read_configuration,
            zcl.DISCOVER_ATTRIBUTES: self._discover,
        }

    def answer(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> ZclFrame | None:
        """Return the answer to a general command, None when it gets none.

        `key_of` makes the key of an attribute number of the addressed cluster.
        """
        handler = self._handlers.get(frame.command)
        if handler is None:
            # Answers to what the device never asked get no answer; nor do reports.
            silent = frame.command in {
                zcl.READ_ATTRIBUTES_RESPONSE,
                zcl.WRITE_ATTRIBUTES_RESPONSE,
                zcl.CONFIGURE_REPORTING_RESPONSE,
                zcl.READ_REPORTING_RESPONSE,
                zcl.REPORT_ATTRIBUTES,
                zcl.DEFAULT_RESPONSE,
                zcl.DISCOVER_ATTRIBUTES_RESPONSE,
            }
            return None if silent else frame.default_response(zcl.UNSUPPORTED_GENERAL_COMMAND)
        try:
            return handler(frame, key_of, t_us)
        except CodecError:
            return frame.default_response(zcl.MALFORMED_COMMAND)

    def _read(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> ZclFrame:
        parts, room = [], _ROOM
        for number in zcl.decode_attribute_ids(frame.payload):
            part = zcl.encode_read_records([self._read_one(key_of(number), t_us)])
            if len(part) > room:
                part = zcl.encode_read_records([ReadRecord(number, zcl.INSUFFICIENT_SPACE)])
                if len(part) > room:
                    break
            parts.append(part)
            room -= len(part)
        return frame.response(zcl.READ_ATTRIBUTES_RESPONSE, b"".join(parts))

    def _read_one(self, key: Key, t_us: int) -> ReadRecord:
        item = self._table.find(key)
        if item is None:
            return ReadRecord(key.attribute, zcl.UNSUPPORTED_ATTRIBUTE)
        return ReadRecord(key.attribute, zcl.SUCCESS, item.kind, item.read(t_us))

    def _check(self, one: zcl.Attribute, key_of: KeyOf) -> int:
        item = self._table.find(key_of(one.attribute))
        if item is None:
            return zcl.UNSUPPORTED_ATTRIBUTE
        if item.kind != one.kind:
            return zcl.INVALID_DATA_TYPE
        return zcl.SUCCESS if item.write is not None else zcl.READ_ONLY

    def _write_one(self, one: zcl.Attribute, key_of: KeyOf, t_us: int) -> int:
        status = self._check(one, key_of)
        item = self._table.find(key_of(one.attribute))
        if status != zcl.SUCCESS or item is None or item.write is None:
            return status
        return item.write(one.value, t_us)

    def _write(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> ZclFrame:
        records = [
            StatusRecord(self._write_one(one, key_of, t_us), one.attribute)
            for one in zcl.decode_attributes(frame.payload)
        ]
        return frame.response(zcl.WRITE_ATTRIBUTES_RESPONSE, zcl.encode_write_statuses(records))

    def _write_undivided(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> ZclFrame:
        writes = zcl.decode_attributes(frame.payload)
        records = [StatusRecord(self._check(one, key_of), one.attribute) for one in writes]
        if any(one.status != zcl.SUCCESS for one in records):
            payload = zcl.encode_write_statuses(records)
            return frame.response(zcl.WRITE_ATTRIBUTES_RESPONSE, payload)
        return self._write(frame, key_of, t_us)

    def _write_silently(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> None:
        for one in zcl.decode_attributes(frame.payload):
            self._write_one(one, key_of, t_us)

    def _configure(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> ZclFrame:
        records = []
        for one in zcl.decode_reporting(frame.payload):
            status = self._configure_one(one, key_of, t_us)
            records.append(StatusRecord(status, one.attribute, one.incoming))
        payload = zcl.encode_reporting_statuses(records)
        return frame.response(zcl.CONFIGURE_REPORTING_RESPONSE, payload)

    def _configure_one(self, one: ReportingRecord, key_of: KeyOf, t_us: int) -> int:
        if one.incoming:
            return zcl.SUCCESS  # nobody reports to these devices
        return self._reporter.configure(key_of(one.attribute), one, t_us)

    def _read_configuration(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> ZclFrame:
        asked = zcl.decode_read_reporting(frame.payload)
        records = [self._reporter.configuration(key_of(number)) for _, number in asked]
        payload = zcl.encode_reporting_configurations(records)
        return frame.response(zcl.READ_REPORTING_RESPONSE, payload)

    def _discover(self, frame: ZclFrame, key_of: KeyOf, t_us: int) -> ZclFrame:
        r = Reader(frame.payload, "discover attributes")
        start, most = r.u16(), r.u8()
        known = [pair for pair in self._table.numbers(key_of(start)) if pair[0] >= start]
        told = known[: min(most, _ROOM // 3)]
        payload = u8(len(told) == len(known)) + b"".join(u16(n) + u8(kind) for n, kind in told)
        return frame.response(zcl.DISCOVER_ATTRIBUTES_RESPONSE, payload)
