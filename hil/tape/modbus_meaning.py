"""What Modbus frames say: function, unit, addresses, and values by the device's profile.

Source: MODBUS Application Protocol Specification V1.1b3. An answer does not say which registers it
holds, so it is understood through its request: by the transaction id on TCP, by order on a line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..devices.fields import Field, FieldMap, decode
from ..modbus import framing
from ..wire import Direction
from .meaning import Meaning, hex_words, number_text

FUNCTIONS: Final = {
    1: "read coils",
    2: "read discrete inputs",
    3: "read holding registers",
    4: "read input registers",
    5: "write coil",
    6: "write register",
    7: "read exception status",
    8: "diagnostics",
    11: "get event counter",
    15: "write coils",
    16: "write registers",
    17: "report server id",
    20: "read file",
    21: "write file",
    22: "mask register",
    23: "write and read registers",
    24: "read queue",
    43: "read device identification",
}
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledge, wait",
    6: "busy",
    7: "negative acknowledge",
    8: "parity error",
    10: "no path through the gateway",
    11: "no answer behind the gateway",
}
_TABLES: Final = {1: "coil", 2: "discrete", 3: "holding", 4: "input", 23: "holding"}
_PENDING: Final = 256
_SHOWN_WORDS: Final = 8


@dataclass(frozen=True, slots=True)
class _Request:
    unit: int
    pdu: bytes

    @property
    def function(self) -> int:
        return self.pdu[0]

    def place(self) -> tuple[int, int] | None:
        """Return the address and count that are read or written."""
        if len(self.pdu) < 5:
            return None
        address = int.from_bytes(self.pdu[1:3], "big")
        single = self.function in {5, 6, 22}
        return address, 1 if single else int.from_bytes(self.pdu[3:5], "big")


@dataclass(slots=True)
class _Plan:
    """What lies where in a range of registers: bytes from and to."""

    values: list[tuple[str, Field, int, int]] = field(default_factory=list)
    factors: list[tuple[Field, int, int]] = field(default_factory=list)
    """Scale factors."""


class ModbusMeaning:
    """Understands the frames of one bus, in order.

    Args:
        kind: of the bus.
        maps: fields of the known devices by unit.
        one_table: units that answer functions 3 and 4 with the same registers.
    """

    def __init__(
        self,
        kind: str,
        maps: Mapping[int, FieldMap],
        one_table: frozenset[int] = frozenset(),
    ) -> None:
        self._serial = kind == "modbus-rtu"
        self._maps = maps
        self._one_table = one_table
        self._asked: dict[int, _Request] = {}
        self._last: _Request | None = None
        self._exponents: dict[tuple[int, str], int] = {}
        """Newest scale factors by unit and name."""
        self._plans: dict[tuple[int, str, int, int, bool], _Plan] = {}

    def read(self, direction: Direction, frame: bytes) -> Meaning:
        """Return what a frame says; never raises."""
        unit, pdu, number, problem = self._opened(frame)
        if unit is None or not pdu:
            return Meaning(f"{len(frame)} bytes", {}, problem)
        fields: dict[str, Any] = {"unit": unit, "function": pdu[0] & 0x7F}
        if number is not None:
            fields["transaction"] = number
        one = _Request(unit, pdu)
        if direction == "request":
            self._remember(number, one)
            return self._request(one, fields, problem)
        asked = self._last if number is None else self._asked.pop(number, None)
        if asked is None:
            problem = problem or "nobody asked for it"
        elif asked.unit != unit or asked.function != pdu[0] & 0x7F:
            problem = problem or (
                f"the answer to another request (unit {asked.unit}, function {asked.function})"
            )
            asked = None
        return self._answer(one, asked, fields, problem)

    def _opened(self, frame: bytes) -> tuple[int | None, bytes, int | None, str]:
        """Return unit, PDU, transaction id and what is wrong."""
        if self._serial:
            if len(frame) < framing.MIN_RTU:
                return None, b"", None, "too short for a frame"
            problem = "" if framing.crc(frame) == 0 else "wrong CRC"
            return frame[0], frame[1:-2], None, problem
        if len(frame) < framing.MBAP.size + 1:
            return None, b"", None, "too short for a frame"
        number, protocol, length, unit = framing.MBAP.unpack_from(frame)
        problem = ""
        if protocol:
            problem = f"protocol id {protocol}"
        elif length + 6 != len(frame):
            problem = f"length {length}, but {len(frame) - 6} bytes follow it"
        return unit, frame[framing.MBAP.size :], number, problem

    def _remember(self, number: int | None, one: _Request) -> None:
        if number is None:
            self._last = one
            return
        self._asked[number] = one
        if len(self._asked) > _PENDING:
            del self._asked[next(iter(self._asked))]

    def _request(self, one: _Request, fields: dict[str, Any], problem: str) -> Meaning:
        text = f"unit {one.unit}: {FUNCTIONS.get(one.function, f'function {one.function}')}"
        place = one.place()
        if place is None or one.function in {8, 43}:
            return Meaning(text, fields, problem)
        address, count = place
        fields |= {"address": address, "count": count}
        text += f" {_range(address, count)}"
        written = _written(one.pdu)
        if written is not None:
            values = self._values(one.unit, "holding", address, written, fields, writing=True)
            text += f" = {_short(written)}{values}"
        elif one.function in {5, 15}:
            text += f" = {one.pdu[3 if one.function == 5 else 6 :].hex(' ')}"
        return Meaning(text, fields, problem)

    def _answer(
        self, one: _Request, asked: _Request | None, fields: dict[str, Any], problem: str
    ) -> Meaning:
        function = one.pdu[0] & 0x7F
        text = f"unit {one.unit}: {FUNCTIONS.get(function, f'function {function}')}"
        place = asked.place() if asked else None
        if place is not None and function not in {8, 43}:
            text += f" {_range(*place)}"
            fields |= {"address": place[0], "count": place[1]}
        if one.pdu[0] & 0x80:
            code = one.pdu[1] if len(one.pdu) > 1 else 0
            fields["exception"] = code
            return Meaning(
                f"{text}: refused, {code} ({EXCEPTIONS.get(code, 'unknown')})", fields, problem
            )
        table = _TABLES.get(function)
        if table is None:
            return Meaning(f"{text}: done", fields, problem)
        data = one.pdu[2:]
        if len(one.pdu) < 2 or one.pdu[1] != len(data):
            return Meaning(text, fields, problem or "byte count and length differ")
        if function in {1, 2}:
            return Meaning(f"{text} = {data.hex(' ')}", fields | {"bits": data.hex()}, problem)
        if place is not None and 2 * place[1] != len(data):
            problem = problem or f"{len(data) // 2} registers instead of {place[1]}"
        elif place is not None and not problem:
            values = self._values(one.unit, table, place[0], data, fields)
            return Meaning(f"{text} = {_short(data)}{values}", fields, problem)
        return Meaning(f"{text} = {_short(data)}", fields, problem)

    def _values(
        self,
        unit: int,
        table: str,
        address: int,
        data: bytes,
        fields: dict[str, Any],
        *,
        writing: bool = False,
    ) -> str:
        fields["registers"] = data.hex()
        known = self._maps.get(unit)
        if known is None:
            return ""
        key = unit, table, address, len(data) // 2, writing
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = self._plan(known, *key)
        for item, begin, end in plan.factors:
            self._exponents[unit, item.name] = int.from_bytes(data[begin:end], "big", signed=True)
        if not plan.values:
            return ""
        named = {
            name: self._value(unit, item, data[begin:end]) for name, item, begin, end in plan.values
        }
        fields["values"] = named
        return "; " + " ".join(f"{name}={number_text(value)}" for name, value in named.items())

    def _plan(
        self, known: FieldMap, unit: int, table: str, address: int, count: int, writing: bool
    ) -> _Plan:
        """Find out once what lies where in an answer or a write that comes again and again."""
        plan = _Plan()
        tables = {"holding", "input"} if unit in self._one_table else {table}
        for item in known.fields:
            if item.table not in tables or item.address < address or item.end > address + count:
                continue
            begin, end = 2 * (item.address - address), 2 * (item.end - address)
            if item.type == "sunssf":
                plan.factors.append((item, begin, end))
            meant = item.quantity is not None or writing
            if meant and (item.writable if writing else item.readable):
                plan.values.append((item.quantity or item.name, item, begin, end))
        return plan

    def _value(self, unit: int, item: Field, data: bytes) -> float | str | None:
        exponent: int | None = 0
        if item.scale_name is not None:
            exponent = self._exponents.get((unit, item.scale_name))
        try:
            return decode(item, data, exponent)
        except (ValueError, OverflowError):
            return None


def _written(pdu: bytes) -> bytes | None:
    """Return the registers that a request writes, None if it writes none."""
    if pdu[0] == 6:
        return pdu[3:5]
    if pdu[0] == 16 and len(pdu) > 6:
        return pdu[6:]
    return None


def _range(address: int, count: int) -> str:
    return str(address) if count == 1 else f"{address}…{address + count - 1}"


def _short(data: bytes) -> str:
    rest = len(data) // 2 - _SHOWN_WORDS
    return hex_words(data[: 2 * _SHOWN_WORDS]) + (f" … {rest} more" if rest > 0 else "")
