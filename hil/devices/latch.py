"""What a device measures, put into its registers: many values in one go.

Devices are latched about once a second each, a few hundred of them in one process, and a day of
virtual time is 86 400 latches a device: fields that stand side by side are packed by one call.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final

from . import codec, fields
from .fields import Field
from .image import RegisterImage
from .modbus_model import Table
from .source import Value

Encoder = Callable[[Value | None], float]
_CODES: Final = {
    **dict.fromkeys(("uint16", "enum16", "bitfield16", "acc16"), "H"),
    "int16": "h",
    **dict.fromkeys(("uint32", "enum32", "bitfield32", "acc32"), "I"),
    "int32": "i",
    **dict.fromkeys(("uint64", "bitfield64", "acc64"), "Q"),
    "int64": "q",
    "float32": "f",
    "float64": "d",
}
_WRAPS: Final = {"acc16": 1 << 16, "acc32": 1 << 32, "acc64": 1 << 64}


@dataclass(frozen=True, slots=True)
class _Group:
    """Fields side by side, high word first."""

    table: Table
    address: int
    end: int
    pack: struct.Struct
    items: tuple[Field, ...]
    quantities: tuple[str, ...]
    encoders: tuple[Encoder, ...]
    plain: Callable[[Mapping[str, Value | None]], Any] | None
    """Picks what goes into the registers as it is; None: some of it has to be worked out."""


class Latch:
    """The measured fields of a device."""

    def __init__(
        self,
        measured: Iterable[Field],
        exponents: Mapping[str, int | None],
        image: RegisterImage,
        *,
        same_tables: bool = False,
    ) -> None:
        """Prepare fields; ``exponents`` are those of the scale factors by name."""
        self._image = image
        self._same = same_tables
        self._exponents = exponents
        found = [item for item in measured if item.quantity is not None and not item.is_bit]
        self.quantities: tuple[str, ...] = tuple(dict.fromkeys(f.quantity or "" for f in found))
        self._alone = [item for item in found if not _packs(item)]
        self._groups: list[_Group] = []
        self._values: Mapping[str, Value | None] = {}
        self._waiting: list[_Group] = []
        run: list[Field] = []
        for item in sorted(filter(_packs, found), key=lambda f: (f.table, f.address)):
            if run and (run[-1].table, run[-1].end) != (item.table, item.address):
                self._close(run)
                run = []
            run.append(item)
        if run:
            self._close(run)

    def _close(self, run: list[Field]) -> None:
        quantities = tuple(item.quantity or "" for item in run)
        plain = len(run) > 1 and all(self._is_plain(item) for item in run)
        self._groups.append(
            _Group(
                run[0].table,
                run[0].address,
                run[-1].end,
                struct.Struct(">" + "".join(_CODES[item.type] for item in run)),
                tuple(run),
                quantities,
                tuple(self._encoder(item) for item in run),
                itemgetter(*quantities) if plain else None,
            )
        )

    def _exponent(self, item: Field) -> int | None:
        return self._exponents.get(item.scale_name or "", 0)

    def _is_plain(self, item: Field) -> bool:
        """Return whether a value goes into its registers as the float that it is."""
        scaled = item.factor != 1.0 or self._exponent(item) != 0
        return not (scaled or item.resolution is not None or codec.is_integer(item.type))

    def _encoder(self, item: Field) -> Encoder:
        exponent = self._exponent(item)
        missing = item.missing if isinstance(item.missing, int | float) else 0
        if exponent is None:
            return lambda _: missing
        if not codec.is_integer(item.type):
            return _float_encoder(item, exponent, missing)
        if item.labels or item.type in _WRAPS:
            return _slow_encoder(item, exponent, missing)
        return _integer_encoder(item, exponent, missing)

    def take(self, values: Mapping[str, Value | None]) -> None:
        """Have values shown from now on; None shows as the device shows a missing value.

        They are put into registers when these are read (`settle`): most of what a device measures
        is not asked for while it lasts.
        """
        self._values = values
        self._waiting = list(self._groups)
        for item in self._alone:
            self._take(item, values[item.quantity or ""])

    def settle(self, table: Table, address: int, count: int) -> None:
        """Put into registers what of the newest values lies in a range of a table."""
        if not self._waiting:
            return
        end, left = address + count, []
        for group in self._waiting:
            apart = group.end <= address or group.address >= end
            if apart or (group.table != table and not self._same):
                left.append(group)
            else:
                self._store(group)
        self._waiting = left

    def _store(self, group: _Group) -> None:
        values = self._values
        if group.plain is not None:
            try:
                self._image.store(group.items[0], group.pack.pack(*group.plain(values)))
            except (struct.error, OverflowError):  # something is missing, or no float32
                pass
            else:
                return
        raws = [
            encode(values[quantity])
            for encode, quantity in zip(group.encoders, group.quantities, strict=True)
        ]
        try:
            self._image.store(group.items[0], group.pack.pack(*raws))
        except (struct.error, OverflowError):  # one is a float that no float32 holds
            for item in group.items:
                self._take(item, values[item.quantity or ""])

    def _take(self, item: Field, value: Value | None) -> None:
        exponent = self._exponent(item)
        if value is None or exponent is None:
            self._image.store(item, fields.missing_bytes(item))
            return
        try:
            data = fields.encode(item, _rounded(item, value), exponent, saturate=True)
        except codec.CodecError:  # a word that this device has no number for
            data = fields.missing_bytes(item)
        self._image.store(item, data)


def _packs(item: Field) -> bool:
    return item.type in _CODES and (item.word_order == "big" or item.width == 1)


def _rounded(item: Field, value: Value) -> Value:
    if item.resolution is None or isinstance(value, str):
        return value
    return round(value / item.resolution) * item.resolution


def _float_encoder(item: Field, exponent: int, missing: float) -> Encoder:
    resolution, factor = item.resolution, item.factor
    plain = resolution is None and factor == 1.0 and exponent == 0

    def encode(value: Value | None) -> float:
        if value is None or isinstance(value, str):
            return missing
        if plain:
            return value
        if resolution is not None:
            value = round(value / resolution) * resolution
        return codec.unscale(value, factor, exponent)

    return encode


def _integer_encoder(item: Field, exponent: int, missing: float) -> Encoder:
    """Return what rounds and saturates; the number that means "no value" is left out."""
    bounds = codec.limits(item.type)
    assert bounds is not None
    low, high = bounds
    if item.missing is not None:
        low, high = low + (item.missing == low), high - (item.missing == high)
    per_count = codec.unscale(1.0, item.factor, exponent)
    slow = _slow_encoder(item, exponent, missing)
    if item.resolution is not None:
        return slow

    def encode(value: Value | None) -> float:
        if value is None or isinstance(value, str):
            return slow(value)
        raw = value * per_count
        # NaN is in no order: it fails both.
        return round(raw) if low <= raw <= high else (low if raw < low else slow(value))

    return encode


def _slow_encoder(item: Field, exponent: int, missing: float) -> Encoder:
    def encode(value: Value | None) -> float:
        if value is None or value != value:  # noqa: PLR0124 - NaN is what differs from itself
            return missing
        try:
            data = fields.encode(item, _rounded(item, value), exponent, saturate=True)
        except codec.CodecError:
            return missing
        return (
            float(raw) if isinstance(raw := codec.decode_raw(item.type, data), float) else int(raw)
        )

    return encode
