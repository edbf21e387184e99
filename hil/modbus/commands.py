"""From a command's quantity and value to what is written."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Final

from ..devices import codec
from ..devices.fields import Field, FieldMap, Value, writes
from . import requests
from .errors import ModbusError
from .requests import Request

_WRITE_COIL: Final = 5
_WRITE_REGISTER: Final = 6
_ALMOST: Final = 1e-6
"""Of a count: 0.3 / 0.1 is just below 3."""

Steps = tuple[tuple[Field, bytes], ...]


class CommandError(ModbusError):
    """A command is not one that the device takes; nothing was sent."""


def command(
    fields: FieldMap, exponents: Mapping[str, int | None], quantity: str, value: Value
) -> tuple[Value, Steps]:
    """Return what a command becomes: the value that is sent, and what is written in order.

    The value is rounded towards zero to what the register can show. ``exponents`` are the device's
    scale factors by field name, None where it does not say one. Raises `CommandError`.
    """
    item = fields.writing(quantity)
    if item is None:
        known = ", ".join(fields.quantities("w")) or "nothing"
        raise CommandError(f"'{quantity}' cannot be written to this device; allowed: {known}")
    if item.is_bit:
        on = value in {"on", "1"} if isinstance(value, str) else bool(value)
        return float(on), ((item, bytes((on,))),)
    powers = {name: power for name, power in exponents.items() if power is not None}
    if item.scale_name is not None and item.scale_name not in powers:
        raise CommandError(f"{quantity}: the device says no scale factor")
    try:
        if not isinstance(value, str):
            _check_range(item, value)
            value = _towards_zero(item, value, powers.get(item.scale_name or "", 0))
        return value, writes(fields, quantity, value, powers)
    except codec.CodecError as error:
        raise CommandError(str(error)) from None


def write_request(item: Field, data: bytes, functions: Collection[int]) -> Request:
    """Return the request that writes a field on a device that knows some functions."""
    if item.is_bit:
        if _WRITE_COIL in functions:
            return requests.write_coil(item.address, any(data))
        return requests.write_coils(item.address, [any(data)])
    if item.width == 1 and _WRITE_REGISTER in functions:
        return requests.write_register(item.address, data)
    return requests.write_registers(item.address, data)


def _check_range(item: Field, value: float) -> None:
    # Of what is wanted; what is sent is checked once more after rounding.
    low = -math.inf if item.low is None else item.low
    high = math.inf if item.high is None else item.high
    if math.isfinite(value) and not low <= value <= high:
        raise codec.CodecError(f"{item.name}: {value:g} is outside of {low:g} … {high:g}")


def _towards_zero(item: Field, value: float, exponent: int) -> float:
    """Return the value that whole counts of a register show, not beyond the one that is wanted.

    Raises `CodecError` for what is no number.
    """
    if not math.isfinite(value):
        raise codec.CodecError(f"{item.name}: {value} is not a number that can be commanded")
    if not codec.is_integer(item.type):
        return value
    raw = codec.unscale(value, item.factor, exponent)
    nearest = round(raw)
    whole = nearest if abs(raw - nearest) < _ALMOST else math.trunc(raw)
    return codec.scale(whole, item.factor, exponent) + 0.0
