"""A profile resolved to fields: for every quantity and setting, where it is and how it is coded.

Plain points have their address in the profile. Points of SunSpec models lie where the chain of
models puts them: computed from the profile for an emulated device, given for a real one, whose
models were found by `sunspec.discover`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from . import codec
from .modbus_model import (
    Access,
    Point,
    Register,
    SunspecMap,
    SunspecModel,
    SunspecPoint,
    Table,
    WordOrder,
)
from .model import DeviceProfile
from .sunspec import END, MARKER, Layout, SunspecError, layout

Value = float | str


@dataclass(frozen=True, slots=True)
class Field:
    """A value in registers or a bit: its place, its coding, its meaning."""

    name: str
    """Of a plain register its name, of a SunSpec point ``103.W``, else the quantity."""
    quantity: str | None
    """None for a constant, setting or scale factor."""
    table: Table
    address: int
    type: str
    width: int
    word_order: WordOrder = "big"
    factor: float = 1.0
    """Sign, scale and percentage in one."""
    scale_name: str | None = None
    """Name of the field that holds the power of ten."""
    access: Access = "r"
    missing: codec.Raw | None = None
    """Raw value that means: no value."""
    default: Value | None = None
    """Value after a reset, of a field without a quantity; None: not implemented."""
    low: float | None = None
    high: float | None = None
    resolution: float | None = None
    poll_s: float = 1.0
    allowed: tuple[int, ...] = ()
    """Raw numbers that may be written, of an enumeration that says so."""
    labels: Mapping[int, str] = field(default_factory=dict)
    also: Mapping[str, float] = field(default_factory=dict)
    """Raw values of fields, by name, that are written after it."""
    nonvolatile: bool = False
    shows: str | None = None
    """Name of the field whose value it shows."""

    @property
    def readable(self) -> bool:
        """Whether it can be read."""
        return "r" in self.access

    @property
    def writable(self) -> bool:
        """Whether it can be written."""
        return "w" in self.access

    @property
    def end(self) -> int:
        """Address behind it."""
        return self.address + self.width

    @property
    def is_bit(self) -> bool:
        """Whether it is a coil or a discrete input."""
        return self.type == "bool"


def decode(item: Field, data: bytes, exponent: int | None = 0) -> Value | None:
    """Return the value in a field's registers; None if the device says that it has none.

    ``exponent`` is that of its scale factor, None if that is not implemented.
    """
    raw = codec.decode_raw(item.type, data, item.word_order)
    if isinstance(raw, str):
        return raw or None
    if item.quantity == "serial":
        return str(int(raw))
    if raw == item.missing or not math.isfinite(raw):
        return None
    if exponent is None or exponent not in codec.SCALE_FACTORS:
        return None
    if item.labels:
        return item.labels.get(int(raw), str(int(raw)))
    return codec.scale(raw, item.factor, exponent)


def encode(item: Field, value: Value, exponent: int = 0, *, saturate: bool = False) -> bytes:
    """Return the registers of a value. Raises `codec.CodecError` where it does not fit.

    With ``saturate`` a number that is too large becomes the largest that the type takes, as
    devices do with what they measure.
    """
    raw: codec.Raw = value
    if isinstance(value, str) and item.type != "string":
        raw = _label(item, value)
    elif not isinstance(value, str):
        raw = codec.unscale(value, item.factor, exponent)
        raw = _rounded(item, raw, saturate)
    return codec.encode_raw(item.type, raw, item.width, item.word_order)


def _rounded(item: Field, raw: float, saturate: bool) -> float:
    bounds = codec.limits(item.type)
    if bounds is None or not math.isfinite(raw):
        return raw
    raw = round(raw)
    low, high = bounds
    if item.missing is not None and isinstance(item.missing, int):
        # The number that means "no value" is not one that can be shown.
        low, high = low + (item.missing == low), high - (item.missing == high)
    if saturate:
        return min(max(raw, low), high)
    if not low <= raw <= high:
        raise codec.CodecError(f"{item.name}: {raw} does not fit into {item.type}")
    return raw


def _label(item: Field, word: str) -> int:
    for raw, label in item.labels.items():
        if label == word:
            return raw
    if word.lstrip("-").isdigit():
        return int(word)
    raise codec.CodecError(f"{item.name}: '{word}'; allowed: {', '.join(item.labels.values())}")


def missing_bytes(item: Field) -> bytes:
    """Return the registers of a field that has no value: as the device says so, else zeros."""
    if item.missing is None:
        return bytes(2 * item.width)
    return codec.encode_raw(item.type, item.missing, item.width, item.word_order)


@dataclass(frozen=True)
class FieldMap:
    """All fields of a device."""

    fields: tuple[Field, ...]
    named: Mapping[str, Field]
    models: Mapping[int, int]
    """Address of the ID register by SunSpec model."""

    def reading(self, quantity: str) -> Field | None:
        """Return the field that a quantity is read from, None if there is none."""
        return next(self._of(quantity, "r"), None)

    def writing(self, quantity: str) -> Field | None:
        """Return the field that a quantity is written to, None if there is none."""
        return next(self._of(quantity, "w"), None)

    def quantities(self, access: Access = "r") -> tuple[str, ...]:
        """Return the quantities that can be read (or written), each once."""
        names = (f.quantity for f in self.fields if f.quantity and access in f.access)
        return tuple(dict.fromkeys(names))

    def _of(self, quantity: str, access: str) -> Iterator[Field]:
        return (f for f in self.fields if f.quantity == quantity and access in f.access)


def writes(
    fields: FieldMap, quantity: str, value: Value, exponents: Mapping[str, int]
) -> tuple[tuple[Field, bytes], ...]:
    """Return what a client writes, in order, to set a quantity: the field, then what goes with it.

    ``exponents`` are the device's scale factors by field name. Raises `codec.CodecError` for a
    value outside of the field's range, or a quantity that cannot be written.
    """
    item = fields.writing(quantity)
    if item is None:
        raise codec.CodecError(f"'{quantity}' cannot be written to this device")
    if not isinstance(value, str):
        low = -math.inf if item.low is None else item.low
        high = math.inf if item.high is None else item.high
        if not low <= value <= high:
            raise codec.CodecError(f"{quantity}: {value:g} is outside of {low:g} … {high:g}")
    first = encode(item, value, exponents.get(item.scale_name or "", 0))
    rest = []
    for name, raw in item.also.items():
        other = fields.named[name]
        rest.append((other, codec.encode_raw(other.type, raw, other.width, other.word_order)))
    return ((item, first), *rest)


_CACHED: Final = 128
#: By identity, since profiles have no hash; the profile is kept so that its identity stays its own.
_CACHE: Final[dict[int, tuple[DeviceProfile, FieldMap]]] = {}


def resolve(profile: DeviceProfile, models: Mapping[int, int] | None = None) -> FieldMap:
    """Return the fields of a Modbus profile.

    ``models`` are the addresses of a real device's SunSpec models by id; without them the models
    lie back to back from the profile's base. Models that the device lacks are left out.

    Raises `SunspecError` for a point that its model does not have.
    """
    if models is not None:
        return _resolve(profile, models)
    if len(_CACHE) > _CACHED:
        _CACHE.clear()
    known = _CACHE.get(id(profile))
    if known is None or known[0] is not profile:
        known = _CACHE[id(profile)] = (profile, _resolve(profile, None))
    return known[1]


def _resolve(profile: DeviceProfile, models: Mapping[int, int] | None) -> FieldMap:
    modbus = profile.modbus
    if modbus is None:
        raise SunspecError(f"'{profile.name}' is no Modbus device")
    fields = [_point(profile, point) for point in modbus.points]
    fields += [_register(profile, register) for register in modbus.registers]
    places: dict[int, int] = {}
    if modbus.sunspec is not None:
        places = dict(models) if models is not None else _places(profile)
        for model in modbus.sunspec.models:
            if model.id in places:
                fields += _model(profile, model, places[model.id])
        if models is None:
            fields += _frame(modbus.sunspec, places)
    ordered = tuple(sorted(fields, key=lambda item: (item.table, item.address)))
    return FieldMap(ordered, {item.name: item for item in fields}, places)


def _point(profile: DeviceProfile, point: Point) -> Field:
    order = profile.modbus.word_order if profile.modbus is not None else "big"
    return Field(
        name=point.quantity if point.access != "w" else f"{point.quantity} (write)",
        quantity=point.quantity,
        table=point.table,
        address=point.address,
        type=point.type,
        width=point.width,
        word_order=point.word_order or order,
        factor=_factor(profile, point),
        scale_name=point.scale_register,
        access=point.access,
        missing=point.missing,
        low=point.low,
        high=point.high,
        resolution=point.resolution,
        poll_s=point.poll_s,
        labels=point.labels,
        also=point.also,
        shows=point.shows,
    )


def _factor(profile: DeviceProfile, point: Point | SunspecPoint) -> float:
    share = getattr(profile.ratings, point.percent_of) / 100.0 if point.percent_of else 1.0
    return point.sign * point.scale * share


def _register(profile: DeviceProfile, register: Register) -> Field:
    order = profile.modbus.word_order if profile.modbus is not None else "big"
    return Field(
        name=register.name,
        quantity=None,
        table=register.table,
        address=register.address,
        type=register.type,
        width=register.width,
        word_order=register.word_order or order,
        access=register.access,
        default=register.value,
        low=register.low,
        high=register.high,
        poll_s=0.0,
        nonvolatile=register.nonvolatile,
    )


def layout_of(model: SunspecModel) -> Layout:
    """Return the layout of a profile's model, groups repeated as it says."""
    return layout(model.id, tuple(model.counts.items()))


def _places(profile: DeviceProfile) -> dict[int, int]:
    assert profile.modbus is not None
    assert profile.modbus.sunspec is not None
    address = profile.modbus.sunspec.base + len(MARKER) // 2
    places = {}
    for model in profile.modbus.sunspec.models:
        places[model.id] = address
        address += 2 + layout_of(model).length
    return places


def _model(profile: DeviceProfile, model: SunspecModel, address: int) -> Iterable[Field]:
    found = layout_of(model)
    for name in (*model.points, *model.values):
        if name not in found.points:
            raise SunspecError(f"SunSpec model {model.id} has no point '{name}'")
    defaults: dict[str, Value] = {"ID": float(model.id), "L": float(found.length)}
    defaults |= {name: float(count) for name, count in model.counts.items()}
    defaults |= model.values
    if model.id == 1:
        who = profile.identity
        common = {"Mn": who.manufacturer, "Md": who.model, "Vr": who.firmware, "SN": who.serial}
        defaults = {**common, **defaults, "DA": defaults.get("DA", float(_unit(profile)))}
    for point in found.points.values():
        meaning = model.points.get(point.name)
        known = meaning is not None or point.name in defaults
        place = f"{model.id}.{point.name}"
        yield Field(
            name=place,
            quantity=meaning.quantity if meaning else None,
            table="holding",
            address=address + point.offset,
            type=point.type,
            width=point.width,
            factor=_factor(profile, meaning) if meaning else 1.0,
            scale_name=f"{model.id}.{point.scale_point}" if point.scale_point else None,
            access=_access(meaning, point.writable and known),
            missing=codec.missing_raw(point.type),
            default=defaults.get(point.name),
            low=meaning.low if meaning else None,
            high=meaning.high if meaning else None,
            resolution=meaning.resolution if meaning else None,
            allowed=point.allowed,
            poll_s=meaning.poll_s if meaning else 0.0,
            labels=meaning.labels if meaning else {},
            also={f"{model.id}.{k}": v for k, v in meaning.also.items()} if meaning else {},
        )


def _frame(sunspec: SunspecMap, places: Mapping[int, int]) -> Iterable[Field]:
    """Yield what stands before the first and behind the last model."""
    last = sunspec.models[-1]
    end = places[last.id] + 2 + layout_of(last).length
    for name, address, kind, value in (
        ("sunspec.marker", sunspec.base, "uint32", int.from_bytes(MARKER, "big")),
        ("sunspec.end", end, "uint16", END),
        ("sunspec.end_length", end + 1, "uint16", 0),
    ):
        width = codec.width_of(kind)
        yield Field(name, None, "holding", address, kind, width, default=float(value), poll_s=0.0)


def _access(meaning: SunspecPoint | None, writable: bool) -> Access:
    if not writable or (meaning is not None and meaning.access == "r"):
        return "r"
    return "rw"


def _unit(profile: DeviceProfile) -> int:
    return profile.modbus.unit if profile.modbus is not None else 1
