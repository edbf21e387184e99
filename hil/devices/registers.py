"""What the registers of an emulated device hold, and what may be written to them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ..modbus.unit import ILLEGAL_ADDRESS, ILLEGAL_VALUE, ModbusRefusal
from . import codec, fields
from .fields import Field, FieldMap
from .image import RegisterImage
from .latch import Latch
from .modbus_model import ModbusMap, Table
from .model import DeviceProfile
from .source import Value

#: Quantities that name a device; they do not change.
IDENTITY: Final = ("manufacturer", "model", "serial", "firmware")


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a client may write: the value as it sees it, and as a number."""

    item: Field
    value: Value
    number: float


class Registers:
    """Settings, identity and measured values of a device, in its registers and bits."""

    def __init__(
        self, profile: DeviceProfile, modbus: ModbusMap, identity: Mapping[str, str]
    ) -> None:
        self.map: FieldMap = fields.resolve(profile)
        self.wear: Counter[str] = Counter()
        """Writes of each register that is kept in flash."""
        self._shown: Mapping[str, Value | None] = {}
        self._mirrored: dict[str, Value | None] = {}
        self._profile = profile
        self._modbus = modbus
        self._identity = identity
        self._settings: dict[str, Value | None] = {}
        self._bits: dict[tuple[Table, int], bool] = {}
        self._image = RegisterImage(self.map.fields, modbus)
        self._exponents = self._scale_factors()
        self._writable = {(i.table, i.address): i for i in self.map.fields if i.writable}
        self._mirrors: dict[str, list[Field]] = {}
        for item in self.map.fields:
            if item.shows is not None:
                self._mirrors.setdefault(item.shows, []).append(item)
        self._measured = tuple(filter(self._is_measured, self.map.fields))
        self._latch = Latch(
            self._measured, self._exponents, self._image, same_tables=modbus.same_tables
        )
        self._measured_bits = tuple(item for item in self._measured if item.is_bit)
        self.quantities = tuple(dict.fromkeys(str(item.quantity) for item in self._measured))
        """What is measured."""

    @staticmethod
    def _is_measured(item: Field) -> bool:
        known = item.quantity is None or item.quantity in IDENTITY or item.shows is not None
        return not known and not item.writable

    def _scale_factors(self) -> dict[str, int | None]:
        factors: dict[str, int | None] = {"": 0}
        for item in self.map.fields:
            if item.type == "sunssf":
                known = isinstance(item.default, int | float)
                factors[item.name] = int(float(item.default or 0)) if known else None
        return factors

    def start(self, *, factory: bool = True) -> None:
        """Set everything to what it is after power comes on.

        With ``factory`` also what is kept in flash.
        """
        for item in self.map.fields:
            if self._is_measured(item) or item.shows is not None:
                continue
            if item.nonvolatile and not factory:
                continue
            value = self._initial(item)
            if value is None:
                self._settings[item.name] = None
                self._image.store(item, fields.missing_bytes(item))
            else:
                self.set(item.name, value)

    def _initial(self, item: Field) -> Value | None:
        own = {"1.SN": "serial", "1.Vr": "firmware"}.get(item.name, item.quantity or "")
        if own in self._identity:
            return self._identity[own]
        if item.default is not None or item.quantity is None:
            return item.default
        actuator = self._profile.actuator(item.quantity)
        return actuator.default if actuator is not None else 0.0

    def setting(self, name: str) -> Value | None:
        """Return what a register holds, as a client sees it; None: nothing."""
        return self._settings.get(name)

    def set(self, name: str, value: Value) -> None:
        """Change what a register holds, and what shows it."""
        item = self.map.named[name]
        self._settings[name] = value
        if item.is_bit:
            self._bits[(item.table, item.address)] = bool(value)
            return
        exponent = self._exponent(item) or 0
        self._image.store(item, fields.encode(item, value, exponent, saturate=True))
        for mirror in self._mirrors.get(name, ()):
            raw = codec.encode_raw(mirror.type, value, mirror.width, mirror.word_order)
            self._image.store(mirror, raw)
            self._mirrored[str(mirror.quantity)] = fields.decode(mirror, raw)

    def _exponent(self, item: Field) -> int | None:
        return self._exponents.get(item.scale_name or "", 0)

    def show(self, values: Mapping[str, Value | None]) -> None:
        """Put what was measured into registers and bits."""
        self._shown = values
        self._latch.take(values)
        for item in self._measured_bits:
            self._bits[(item.table, item.address)] = bool(values[str(item.quantity)])

    def latest(self, quantity: str) -> Value | None:
        """Return what was measured last of a quantity."""
        if quantity in self._mirrored:
            return self._mirrored[quantity]
        return self._shown[quantity] if quantity in self.quantities and self._shown else None

    def lacks_values(self, table: Table, address: int, count: int) -> bool:
        """Return whether measured values lie there that cannot be shown as missing."""
        same = self._modbus.same_tables
        return any(
            item.missing is None
            and (item.table == table or same)
            and item.address < address + count
            and address < item.end
            for item in self._measured
        )

    def read(self, table: Table, address: int, count: int) -> bytes:
        """Return registers. Raises `ModbusRefusal` where there are none."""
        self._latch.settle(table, address, count)
        return self._image.read(table, address, count)

    def read_bits(self, table: Table, address: int, count: int) -> Sequence[bool]:
        """Return bits. Raises `ModbusRefusal` where there are none."""
        spans = [span for span in self._modbus.spans if span.table == table]
        bits = []
        for place in range(address, address + count):
            bit = self._bits.get((table, place))
            if bit is None and not any(span.first <= place <= span.last for span in spans):
                raise ModbusRefusal(ILLEGAL_ADDRESS)
            bits.append(bool(bit))
        return bits

    def accept(self, address: int, data: bytes) -> list[Accepted]:
        """Return what a client writes to holding registers. Raises `ModbusRefusal`."""
        items = []
        place, end = address, address + len(data) // 2
        while place < end:
            item = self._writable.get(("holding", place))
            if item is None or item.end > end:
                raise ModbusRefusal(ILLEGAL_ADDRESS)
            items.append(item)
            place = item.end
        places = [(item, 2 * (item.address - address)) for item in items]
        return [self._value(item, data[at : at + 2 * item.width]) for item, at in places]

    def accept_bits(self, address: int, values: Sequence[bool]) -> list[Accepted]:
        """Return what a client writes to coils. Raises `ModbusRefusal`."""
        accepted = []
        for place, value in enumerate(values, address):
            item = self._writable.get(("coil", place))
            if item is None:
                raise ModbusRefusal(ILLEGAL_ADDRESS)
            accepted.append(Accepted(item, float(value), float(value)))
        return accepted

    def apply(self, accepted: Sequence[Accepted]) -> None:
        """Write what was accepted."""
        for one in accepted:
            self.set(one.item.name, one.value)
            if one.item.nonvolatile:
                self.wear[one.item.name] += 1

    def _value(self, item: Field, data: bytes) -> Accepted:
        raw = codec.decode_raw(item.type, data, item.word_order)
        if isinstance(raw, str):
            # Bytes that are no text would come back longer than they were.
            if len(raw.encode()) > 2 * item.width:
                raise ModbusRefusal(ILLEGAL_VALUE)
            return Accepted(item, raw, 0.0)
        if not math.isfinite(raw) or (item.allowed and int(raw) not in item.allowed):
            raise ModbusRefusal(ILLEGAL_VALUE)
        if item.labels:
            if int(raw) not in item.labels:
                raise ModbusRefusal(ILLEGAL_VALUE)
            return Accepted(item, item.labels[int(raw)], float(raw))
        value = fields.decode(item, data, self._exponent(item))
        if value is None or isinstance(value, str):
            raise ModbusRefusal(ILLEGAL_VALUE)
        low, high = self._range(item)
        # What a register can only hold in steps is not refused for the last part of one.
        slack = abs(item.factor) * 1e-9
        if not low - slack <= value <= high + slack:
            if self._modbus.out_of_range == "refuse":
                raise ModbusRefusal(ILLEGAL_VALUE)
            value = min(max(value, low), high)
        if item.resolution is not None:
            value = round(value / item.resolution) * item.resolution
        return Accepted(item, value, value)

    def _range(self, item: Field) -> tuple[float, float]:
        low, high = item.low, item.high
        actuator = self._profile.actuator(item.quantity) if item.quantity is not None else None
        if actuator is not None:
            low = actuator.low if low is None else low
            high = actuator.high if high is None else high
        return (-math.inf if low is None else low, math.inf if high is None else high)
