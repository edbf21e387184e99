"""What a host asks devices: who they are, attributes, bindings, reporting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from ...errors import ReadingError
from .. import mt, zcl, zdo
from ..binary import CodecError, Reader, ieee_text, u8, u16, u64
from ..zcl_types import Value
from .devices import Device
from .host import ZigbeeHost
from .receiving import plausible
from .sending import DeviceError, RefusedError
from .start import ENDPOINT

T = TypeVar("T")
_MANUFACTURER: Final = (0x0004, 0x0005)
_BUILD: Final = (0x0006, 0x4000, 0x000D)
_AT_ONCE: Final = 10
"""Attributes in one read: more do not fit the answer."""


async def interview(host: ZigbeeHost, ieee: int) -> Device:
    """Find out what a device is: node descriptor, endpoints, and its cluster Basic.

    Raises `ReadingError` when it does not answer, or not sensibly.
    """
    device = await host.network.find(ieee)
    nwk = u16(device.nwk)
    try:
        answer = await host.network.ask_device(device, mt.ZDO_NODE_DESC_REQ, nwk + nwk)
        device.descriptor = zdo.NodeDescriptor.decode(answer[2:])
        device.capability = device.descriptor.capability
        answer = await host.network.ask_device(device, mt.ZDO_ACTIVE_EP_REQ, nwk + nwk)
        r = Reader(answer[2:], "Active_EP_rsp")
        for endpoint in r.take(r.u8()):
            request = nwk + nwk + u8(endpoint)
            answer = await host.network.ask_device(device, mt.ZDO_SIMPLE_DESC_REQ, request)
            description = zdo.SimpleDescriptor.decode(answer[3:])
            if description.endpoint != endpoint:
                raise DeviceError(f"device {ieee_text(ieee)} describes the wrong endpoint")
            device.endpoints[endpoint] = description
    except CodecError as error:
        raise DeviceError(f"device {ieee_text(ieee)} describes itself badly: {error}") from error
    await read_identity(host, ieee)
    device.interviewed = True
    return device


async def read_identity(host: ZigbeeHost, ieee: int) -> Device:
    """Ask a device anew who it is, and return it with the answer.

    Raises `ReadingError` when it does not answer.
    """
    device = await host.network.find(ieee)
    basic = await read(host, ieee, zcl.BASIC, _MANUFACTURER)
    device.manufacturer, device.model = (_text(basic.get(one)) for one in _MANUFACTURER)
    # Many devices lack some of these, and few answer them in one go with the others.
    build = await read(host, ieee, zcl.BASIC, _BUILD)
    device.date_code, device.firmware, device.serial = (_text(build.get(one)) for one in _BUILD)
    return device


async def read(
    host: ZigbeeHost,
    ieee: int,
    cluster: int,
    attributes: Sequence[int],
    *,
    endpoint: int | None = None,
    manufacturer: int | None = None,
    timeout_s: float | None = None,
) -> dict[int, Value]:
    """Return attributes that the device has; the others, and impossible values, are left out.

    Raises `ReadingError` when no answer came.
    """
    found: dict[int, Value] = {}
    for start in range(0, len(attributes), _AT_ONCE):
        asked = attributes[start : start + _AT_ONCE]
        answer = await host.request(
            ieee,
            cluster,
            zcl.READ_ATTRIBUTES,
            zcl.encode_attribute_ids(asked),
            response=zcl.READ_ATTRIBUTES_RESPONSE,
            cluster_command=False,
            harmless=True,
            endpoint=endpoint,
            manufacturer=manufacturer,
            timeout_s=timeout_s,
        )
        for one in _decoded(zcl.decode_read_records, answer.payload, ieee):
            good = one.status == zcl.SUCCESS and one.attribute in asked
            if good and plausible(cluster, one.attribute, one.kind, one.value):
                found[one.attribute] = one.value
    return found


async def write(
    host: ZigbeeHost,
    ieee: int,
    cluster: int,
    attributes: Iterable[zcl.Attribute],
    *,
    endpoint: int | None = None,
    manufacturer: int | None = None,
) -> None:
    """Write attributes; raises `RefusedError` when the device refuses one."""
    answer = await host.request(
        ieee,
        cluster,
        zcl.WRITE_ATTRIBUTES,
        zcl.encode_attributes(attributes),
        response=zcl.WRITE_ATTRIBUTES_RESPONSE,
        cluster_command=False,
        harmless=True,
        endpoint=endpoint,
        manufacturer=manufacturer,
    )
    _all_well(
        _decoded(zcl.decode_write_statuses, answer.payload, ieee), ieee, cluster, "to be written"
    )


async def configure_reporting(
    host: ZigbeeHost,
    ieee: int,
    cluster: int,
    records: Iterable[zcl.ReportingRecord],
    *,
    endpoint: int | None = None,
) -> None:
    """Say how attributes are reported; raises `RefusedError` when the device refuses one.

    A device compares with the value that it reported last, and reports no more often than the
    shortest interval: what comes and goes between two reports is never seen.
    """
    answer = await host.request(
        ieee,
        cluster,
        zcl.CONFIGURE_REPORTING,
        zcl.encode_reporting(records),
        response=zcl.CONFIGURE_REPORTING_RESPONSE,
        cluster_command=False,
        harmless=True,
        endpoint=endpoint,
    )
    statuses = _decoded(zcl.decode_reporting_statuses, answer.payload, ieee)
    _all_well(statuses, ieee, cluster, "to be reported")


async def bind(host: ZigbeeHost, ieee: int, cluster: int, *, endpoint: int | None = None) -> None:
    """Make a cluster of a device send its reports here; raises `RefusedError`."""
    device = await host.network.find(ieee)
    assert host.coordinator is not None
    source = device.endpoint_with(cluster) if endpoint is None else endpoint
    data = u16(device.nwk) + u64(ieee) + u8(source) + u16(cluster)
    data += u8(zdo.BIND_TO_IEEE) + u64(host.coordinator.ieee) + u8(ENDPOINT)
    await host.network.ask_device(device, mt.ZDO_BIND_REQ, data)


def scaling(found: Mapping[int, Value], multiplier: int, divisor: int) -> float:
    """Return the factor of a scaled attribute from its multiplier and divisor; absent ones are 1.

    Raises `ReadingError` for a divisor that cannot be.
    """
    factors = []
    for attribute in (multiplier, divisor):
        value = found.get(attribute, 1)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise ReadingError(f"attribute {attribute:#06x} is {value!r}, which scales nothing")
        factors.append(value)
    return factors[0] / factors[1]


def _decoded(decode: Callable[[bytes], list[T]], payload: bytes, ieee: int) -> list[T]:
    try:
        return decode(payload)
    except CodecError as error:
        raise DeviceError(f"device {ieee_text(ieee)} answers nonsense: {error}") from error


def _all_well(failed: Iterable[zcl.StatusRecord], ieee: int, cluster: int, what: str) -> None:
    for one in failed:
        raise RefusedError(
            f"device {ieee_text(ieee)} allows attribute {one.attribute:#06x} of cluster "
            f"{cluster:#06x} not {what}: status {one.status:#04x}",
            one.status,
        )


def _text(value: Value) -> str:
    return value.strip("\x00 ") if isinstance(value, str) else ""
