"""Zigbee Cluster Library: the frame, and the general commands that every cluster has.

Source: Zigbee Cluster Library Specification (Zigbee document 07-5123), chapter 2. Attribute
reports, reads, writes and the configuration of reporting are lists of records; each kind of
record is a class with `encode_*` and `decode_*` functions beside it that are inverse.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from .binary import CodecError, Reader, u8, u16
from .zcl_types import Value, decode_value, encode_value, is_analog

# Frame control.
CLUSTER_COMMAND: Final = 0x01
MANUFACTURER_SPECIFIC: Final = 0x04
FROM_SERVER: Final = 0x08
NO_DEFAULT_RESPONSE: Final = 0x10

# General commands.
READ_ATTRIBUTES: Final = 0x00
READ_ATTRIBUTES_RESPONSE: Final = 0x01
WRITE_ATTRIBUTES: Final = 0x02
WRITE_ATTRIBUTES_UNDIVIDED: Final = 0x03
WRITE_ATTRIBUTES_RESPONSE: Final = 0x04
WRITE_ATTRIBUTES_NO_RESPONSE: Final = 0x05
CONFIGURE_REPORTING: Final = 0x06
CONFIGURE_REPORTING_RESPONSE: Final = 0x07
READ_REPORTING: Final = 0x08
READ_REPORTING_RESPONSE: Final = 0x09
REPORT_ATTRIBUTES: Final = 0x0A
DEFAULT_RESPONSE: Final = 0x0B
DISCOVER_ATTRIBUTES: Final = 0x0C
DISCOVER_ATTRIBUTES_RESPONSE: Final = 0x0D

# Status.
SUCCESS: Final = 0x00
FAILURE: Final = 0x01
MALFORMED_COMMAND: Final = 0x80
UNSUPPORTED_CLUSTER_COMMAND: Final = 0x81
UNSUPPORTED_GENERAL_COMMAND: Final = 0x82
INVALID_FIELD: Final = 0x85
UNSUPPORTED_ATTRIBUTE: Final = 0x86
INVALID_VALUE: Final = 0x87
READ_ONLY: Final = 0x88
INSUFFICIENT_SPACE: Final = 0x89
NOT_FOUND: Final = 0x8B
UNREPORTABLE_ATTRIBUTE: Final = 0x8C
INVALID_DATA_TYPE: Final = 0x8D
NO_IMAGE_AVAILABLE: Final = 0x98
UNSUPPORTED_CLUSTER: Final = 0xC3

# Clusters.
BASIC: Final = 0x0000
POWER_CONFIGURATION: Final = 0x0001
IDENTIFY: Final = 0x0003
GROUPS: Final = 0x0004
SCENES: Final = 0x0005
ON_OFF: Final = 0x0006
LEVEL_CONTROL: Final = 0x0008
TIME: Final = 0x000A
OTA: Final = 0x0019
POLL_CONTROL: Final = 0x0020
TEMPERATURE: Final = 0x0402
HUMIDITY: Final = 0x0405
METERING: Final = 0x0702
ELECTRICAL_MEASUREMENT: Final = 0x0B04

HOME_AUTOMATION: Final = 0x0104

#: Attributes to report never: a maximum interval of 0xFFFF cancels reporting.
REPORT_NEVER: Final = 0xFFFF


@dataclass(frozen=True, slots=True)
class ZclFrame:
    """A ZCL frame.

    `from_server` is the direction: a server's reports and responses have it, and a response always
    has the inverse of its request's. `cluster_command` tells a cluster's own commands from the
    general ones.
    """

    sequence: int
    command: int
    payload: bytes = b""
    cluster_command: bool = False
    from_server: bool = False
    manufacturer: int | None = None
    no_default_response: bool = False

    def encode(self) -> bytes:
        """Return the bytes of the frame."""
        control = CLUSTER_COMMAND if self.cluster_command else 0
        control |= FROM_SERVER if self.from_server else 0
        control |= NO_DEFAULT_RESPONSE if self.no_default_response else 0
        if self.manufacturer is None:
            head = u8(control)
        else:
            head = u8(control | MANUFACTURER_SPECIFIC) + u16(self.manufacturer)
        return head + u8(self.sequence) + u8(self.command) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the frame.

        Raises:
            CodecError: It is too short, or of a reserved type.
        """
        r = Reader(data, "ZCL frame")
        control = r.u8()
        if control & 0x03 > CLUSTER_COMMAND:
            raise CodecError(f"ZCL frame type {control & 0x03} is reserved")
        manufacturer = r.u16() if control & MANUFACTURER_SPECIFIC else None
        sequence, command = r.u8(), r.u8()
        return cls(
            sequence=sequence,
            command=command,
            payload=r.rest(),
            cluster_command=bool(control & CLUSTER_COMMAND),
            from_server=bool(control & FROM_SERVER),
            manufacturer=manufacturer,
            no_default_response=bool(control & NO_DEFAULT_RESPONSE),
        )

    def response(
        self, command: int, payload: bytes = b"", *, cluster_command: bool | None = None
    ) -> ZclFrame:
        """Return a response to this frame: same sequence and manufacturer, inverse direction.

        It wants no default response itself. `cluster_command` is that of this frame when None.
        """
        return ZclFrame(
            sequence=self.sequence,
            command=command,
            payload=payload,
            cluster_command=self.cluster_command if cluster_command is None else cluster_command,
            from_server=not self.from_server,
            manufacturer=self.manufacturer,
            no_default_response=True,
        )

    def default_response(self, status: int) -> ZclFrame:
        """Return the default response to this frame."""
        payload = bytes((self.command, status))
        return self.response(DEFAULT_RESPONSE, payload, cluster_command=False)

    @property
    def is_default_response(self) -> bool:
        """Whether this is a default response: payload = command answered, status."""
        return not self.cluster_command and self.command == DEFAULT_RESPONSE


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute with its value, as reported or to be written."""

    attribute: int
    kind: int
    value: Value


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """What a read of one attribute gave; type and value only with status 0."""

    attribute: int
    status: int = SUCCESS
    kind: int = 0
    value: Value = None


@dataclass(frozen=True, slots=True)
class StatusRecord:
    """What became of one attribute that was to be written or reported."""

    status: int
    attribute: int
    incoming: bool = False
    """Direction, in answers to configure reporting: True for reports to be received."""


@dataclass(frozen=True, slots=True)
class ReportingRecord:
    """How an attribute is to be reported: intervals in seconds, and the change that counts.

    `change` is raw, in units of the attribute, None for types that are not analog. With `incoming`
    only `timeout_s` counts: after so long without a report the reporter is thought lost.
    """

    attribute: int
    kind: int = 0
    min_interval_s: int = 0
    max_interval_s: int = REPORT_NEVER
    change: Value = None
    incoming: bool = False
    timeout_s: int = 0
    status: int = SUCCESS
    """In answers to read reporting configuration only."""


def encode_attribute_ids(attributes: Iterable[int]) -> bytes:
    """Return the payload of a read: attribute numbers."""
    return b"".join(u16(attribute) for attribute in attributes)


def decode_attribute_ids(payload: bytes) -> tuple[int, ...]:
    """Return the attributes that a read asks for."""
    return Reader(payload, "read attributes").words(len(payload) // 2)


def encode_attributes(records: Iterable[Attribute]) -> bytes:
    """Return the payload of a report or a write."""
    return b"".join(
        u16(one.attribute) + u8(one.kind) + encode_value(one.kind, one.value) for one in records
    )


def decode_attributes(payload: bytes) -> list[Attribute]:
    """Return what a report tells or a write asks for."""
    r = Reader(payload, "attribute records")
    records = []
    while r.left:
        attribute, kind = r.u16(), r.u8()
        records.append(Attribute(attribute, kind, decode_value(kind, r)))
    return records


def encode_read_records(records: Iterable[ReadRecord]) -> bytes:
    """Return the payload of the response to a read."""
    parts = []
    for one in records:
        parts.append(u16(one.attribute) + u8(one.status))
        if one.status == SUCCESS:
            parts.append(u8(one.kind) + encode_value(one.kind, one.value))
    return b"".join(parts)


def decode_read_records(payload: bytes) -> list[ReadRecord]:
    """Return what a read gave."""
    r = Reader(payload, "read attributes response")
    records = []
    while r.left:
        attribute, status = r.u16(), r.u8()
        if status != SUCCESS:
            records.append(ReadRecord(attribute, status))
            continue
        kind = r.u8()
        records.append(ReadRecord(attribute, status, kind, decode_value(kind, r)))
    return records


def encode_write_statuses(records: Iterable[StatusRecord]) -> bytes:
    """Return the payload of the response to a write: one zero byte when all went well."""
    failed = [one for one in records if one.status != SUCCESS]
    return b"".join(u8(one.status) + u16(one.attribute) for one in failed) or b"\x00"


def decode_write_statuses(payload: bytes) -> list[StatusRecord]:
    """Return the writes that failed; none when all went well."""
    if payload == b"\x00":
        return []
    r = Reader(payload, "write attributes response")
    records = []
    while r.left:
        records.append(StatusRecord(r.u8(), r.u16()))
    return records


def encode_reporting(records: Iterable[ReportingRecord]) -> bytes:
    """Return the payload of configure reporting."""
    return b"".join(u8(one.incoming) + u16(one.attribute) + _intervals(one) for one in records)


def _intervals(one: ReportingRecord) -> bytes:
    if one.incoming:
        return u16(one.timeout_s)
    change = encode_value(one.kind, one.change) if is_analog(one.kind) else b""
    return u8(one.kind) + u16(one.min_interval_s) + u16(one.max_interval_s) + change


def decode_reporting(payload: bytes) -> list[ReportingRecord]:
    """Return how attributes are to be reported."""
    r = Reader(payload, "configure reporting")
    records = []
    while r.left:
        incoming, attribute = bool(r.u8()), r.u16()
        records.append(_decode_intervals(r, attribute, incoming))
    return records


def _decode_intervals(r: Reader, attribute: int, incoming: bool) -> ReportingRecord:
    if incoming:
        return ReportingRecord(attribute, incoming=True, timeout_s=r.u16())
    kind, least, most = r.u8(), r.u16(), r.u16()
    change = decode_value(kind, r) if is_analog(kind) else None
    return ReportingRecord(attribute, kind, least, most, change)


def encode_reporting_statuses(records: Iterable[StatusRecord]) -> bytes:
    """Return the payload of the response to configure reporting."""
    failed = [one for one in records if one.status != SUCCESS]
    parts = [u8(one.status) + u8(one.incoming) + u16(one.attribute) for one in failed]
    return b"".join(parts) or b"\x00"


def decode_reporting_statuses(payload: bytes) -> list[StatusRecord]:
    """Return the reports that were refused; none when all are configured."""
    if payload == b"\x00":
        return []
    r = Reader(payload, "configure reporting response")
    records = []
    while r.left:
        status, incoming, attribute = r.u8(), bool(r.u8()), r.u16()
        records.append(StatusRecord(status, attribute, incoming))
    return records


def encode_read_reporting(attributes: Iterable[int], incoming: bool = False) -> bytes:
    """Return the payload of read reporting configuration."""
    return b"".join(u8(incoming) + u16(attribute) for attribute in attributes)


def decode_read_reporting(payload: bytes) -> list[tuple[bool, int]]:
    """Return (direction, attribute) of each configuration that is asked for."""
    r = Reader(payload, "read reporting configuration")
    return [(bool(r.u8()), r.u16()) for _ in range(len(payload) // 3)]


def encode_reporting_configurations(records: Iterable[ReportingRecord]) -> bytes:
    """Return the payload of the response to read reporting configuration."""
    parts = []
    for one in records:
        head = u8(one.status) + u8(one.incoming) + u16(one.attribute)
        parts.append(head + (_intervals(one) if one.status == SUCCESS else b""))
    return b"".join(parts)


def decode_reporting_configurations(payload: bytes) -> list[ReportingRecord]:
    """Return how attributes are reported, or why not."""
    r = Reader(payload, "read reporting configuration response")
    records = []
    while r.left:
        status, incoming, attribute = r.u8(), bool(r.u8()), r.u16()
        if status != SUCCESS:
            records.append(ReportingRecord(attribute, incoming=incoming, status=status))
            continue
        records.append(_decode_intervals(r, attribute, incoming))
    return records
