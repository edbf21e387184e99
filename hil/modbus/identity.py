"""Who a device says it is: read over the wire, and held against who it should be."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ..devices.fields import Field, FieldMap, decode
from ..devices.model import DeviceProfile
from ..errors import RigError
from . import requests
from .errors import ModbusRefusedError
from .polling import blocks_of
from .requests import Request

#: Names of identity quantities, and the SunSpec points and 43/14 objects that say the same.
_SUNSPEC: Final = {"manufacturer": "1.Mn", "model": "1.Md", "firmware": "1.Vr", "serial": "1.SN"}
_OBJECTS: Final = {"manufacturer": 0, "model": 1, "firmware": 2}
_READ_DEVICE_ID: Final = 43

Ask = Callable[[Request], Awaitable[bytes]]


class IdentityError(RigError):
    """Another device than the expected one answers, or it cannot be told."""


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """Who a device says it is; empty: it does not say."""

    serial: str = ""
    model: str = ""
    manufacturer: str = ""
    firmware: str = ""

    def differs(self, other: DeviceIdentity) -> str | None:
        """Return in what two devices are not the same one, None if they may be.

        Firmware is not who a device is: it is updated.
        """
        for key in ("serial", "model", "manufacturer"):
            mine, others = getattr(self, key), getattr(other, key)
            if mine and others and mine != others:
                return f"{key} is '{others}', not '{mine}'"
        return None


def identity_fields(fields: FieldMap) -> dict[str, Field]:
    """Return the fields that say who a device is, by what they say."""
    found = {}
    for key, name in _SUNSPEC.items():
        item = fields.reading(key) or fields.named.get(name)
        if item is not None and item.readable:
            found[key] = item
    return found


def says_serial(profile: DeviceProfile, fields: FieldMap) -> bool:
    """Return whether a device's serial number can be read through its profile."""
    return "serial" in identity_fields(fields)


async def read_identity(profile: DeviceProfile, fields: FieldMap, ask: Ask) -> DeviceIdentity:
    """Read who a device is, from registers or by function 43/14.

    What it refuses to say is left empty. Raises `ModbusError` when it does not answer.
    """
    modbus = profile.modbus
    assert modbus is not None
    wanted = identity_fields(fields)
    found: dict[str, str] = {}
    for block in blocks_of(list(wanted.values()), fields, modbus):
        try:
            data = (await ask(block.request))[2:]
        except ModbusRefusedError as refusal:
            if refusal.passing:
                raise
            continue
        for key, item in wanted.items():
            if item in block.fields:
                begin = 2 * (item.address - block.address)
                found[key] = _text(item, data[begin : begin + 2 * item.width])
    if not wanted and _READ_DEVICE_ID in modbus.functions:
        found = await _objects(ask)
    return DeviceIdentity(**found)


async def _objects(ask: Ask) -> dict[str, str]:
    try:
        _, _, objects = requests.objects(await ask(requests.read_identification(1, 0)))
    except ModbusRefusedError as refusal:
        if refusal.passing:
            raise
        return {}
    texts: Mapping[int, str] = {k: v.decode("utf-8", "replace").strip() for k, v in objects.items()}
    return {key: texts.get(number, "") for key, number in _OBJECTS.items()}


def _text(item: Field, data: bytes) -> str:
    value = decode(item, data)
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.0f}" if value == int(value) else str(value)
