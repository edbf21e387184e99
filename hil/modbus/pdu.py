"""Modbus requests and answers without their framing: what a function code asks of a unit.

Source: MODBUS Application Protocol Specification V1.1b3 (modbus.org): layouts, limits, the order
in which a request is checked (function, counts, addresses, then the device), exception codes.
A PDU is the function code and its data, at most 253 bytes; everything is high byte first.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .unit import (
    DEVICE_FAILURE,
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    BitTable,
    ModbusRefusal,
    RegisterTable,
    Unit,
)

READ_COILS: Final = 1
READ_DISCRETE: Final = 2
READ_HOLDING: Final = 3
READ_INPUT: Final = 4
WRITE_COIL: Final = 5
WRITE_REGISTER: Final = 6
WRITE_COILS: Final = 15
WRITE_REGISTERS: Final = 16
MASK_WRITE: Final = 22
READ_WRITE: Final = 23
ENCAPSULATED: Final = 43
READ_DEVICE_ID: Final = 14
"""The only encapsulated interface (MEI type) that is served."""

MAX_PDU: Final = 253
MAX_READ_REGISTERS: Final = 125
MAX_WRITE_REGISTERS: Final = 123
MAX_READ_WRITE_REGISTERS: Final = 121
MAX_READ_BITS: Final = 2000
MAX_WRITE_BITS: Final = 1968

BROADCAST_FUNCTIONS: Final = frozenset(
    (WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS, MASK_WRITE)
)
"""What a broadcast may ask for: writing, without anything to read."""

_TWO = struct.Struct(">HH")
_THREE = struct.Struct(">HHH")
_MANY = struct.Struct(">HHB")
_READ_WRITE = struct.Struct(">HHHHB")
_COIL_VALUES: Final = {0x0000: False, 0xFF00: True}
_LAST_BASIC, _LAST_REGULAR, _LAST_OBJECT = 0x02, 0x7F, 0xFF
_STREAMS: Final = {1: _LAST_BASIC, 2: _LAST_REGULAR, 3: _LAST_OBJECT}
_INDIVIDUAL: Final = 4
_MAX_OBJECTS_BYTES: Final = MAX_PDU - 7


def exception(function: int, code: int) -> bytes:
    """Return the answer that refuses a function."""
    return bytes((function | 0x80, code))


def pack_bits(bits: Sequence[bool]) -> bytes:
    """Return bits as the bus carries them: the first is the lowest of the first byte."""
    value = 0
    for number, bit in enumerate(bits):
        if bit:
            value |= 1 << number
    return value.to_bytes((len(bits) + 7) // 8, "little")


def unpack_bits(data: bytes, count: int) -> list[bool]:
    """Return the first `count` bits of what `pack_bits` returns."""
    value = int.from_bytes(data, "little")
    return [bool(value >> number & 1) for number in range(count)]


def respond(unit: Unit, request: bytes, t_us: int) -> bytes:
    """Carry out a request and return the answer, a refusal included.

    Args:
        unit: The device that is asked.
        request: The function code and its data, at least one byte.
        t_us: Time of the clock in µs.

    Raises:
        Whatever the unit raises besides `ModbusRefusal`.
    """
    function = request[0]
    handle = _HANDLERS.get(function)
    try:
        if handle is None or function not in unit.functions:
            raise ModbusRefusal(ILLEGAL_FUNCTION)
        return handle(unit, request, t_us)
    except ModbusRefusal as refusal:
        return exception(function, refusal.code)


def _check(condition: bool, code: int) -> None:
    if not condition:
        raise ModbusRefusal(code)


def _read_registers(unit: Unit, table: RegisterTable, address: int, count: int, t_us: int) -> bytes:
    data = unit.read_registers(table, address, count, t_us)
    _check(len(data) == 2 * count, DEVICE_FAILURE)
    return data


def _reads_registers(unit: Unit, request: bytes, t_us: int) -> bytes:
    _check(len(request) == 5, ILLEGAL_VALUE)
    address, count = _TWO.unpack_from(request, 1)
    _check(1 <= count <= MAX_READ_REGISTERS, ILLEGAL_VALUE)
    _check(address + count <= 0x10000, ILLEGAL_ADDRESS)
    table: RegisterTable = "holding" if request[0] == READ_HOLDING else "input"
    data = _read_registers(unit, table, address, count, t_us)
    return bytes((request[0], len(data))) + data


def _reads_bits(unit: Unit, request: bytes, t_us: int) -> bytes:
    _check(len(request) == 5, ILLEGAL_VALUE)
    address, count = _TWO.unpack_from(request, 1)
    _check(1 <= count <= MAX_READ_BITS, ILLEGAL_VALUE)
    _check(address + count <= 0x10000, ILLEGAL_ADDRESS)
    table: BitTable = "coil" if request[0] == READ_COILS else "discrete"
    bits = unit.read_bits(table, address, count, t_us)
    _check(len(bits) == count, DEVICE_FAILURE)
    data = pack_bits(bits)
    return bytes((request[0], len(data))) + data


def _writes_coil(unit: Unit, request: bytes, t_us: int) -> bytes:
    _check(len(request) == 5, ILLEGAL_VALUE)
    address, value = _TWO.unpack_from(request, 1)
    _check(value in _COIL_VALUES, ILLEGAL_VALUE)
    unit.write_bits(address, (_COIL_VALUES[value],), t_us, WRITE_COIL)
    return request


def _writes_register(unit: Unit, request: bytes, t_us: int) -> bytes:
    _check(len(request) == 5, ILLEGAL_VALUE)
    address = int.from_bytes(request[1:3], "big")
    unit.write_registers(address, request[3:5], t_us, WRITE_REGISTER)
    return request


def _writes_coils(unit: Unit, request: bytes, t_us: int) -> bytes:
    _check(len(request) >= 6, ILLEGAL_VALUE)
    address, count, size = _MANY.unpack_from(request, 1)
    _check(1 <= count <= MAX_WRITE_BITS, ILLEGAL_VALUE)
    _check(size == (count + 7) // 8 == len(request) - 6, ILLEGAL_VALUE)
    _check(address + count <= 0x10000, ILLEGAL_ADDRESS)
    unit.write_bits(address, unpack_bits(request[6:], count), t_us, WRITE_COILS)
    return request[:5]


def _writes_registers(unit: Unit, request: bytes, t_us: int) -> bytes:
    _check(len(request) >= 6, ILLEGAL_VALUE)
    address, count, size = _MANY.unpack_from(request, 1)
    _check(1 <= count <= MAX_WRITE_REGISTERS, ILLEGAL_VALUE)
    _check(size == 2 * count == len(request) - 6, ILLEGAL_VALUE)
    _check(address + count <= 0x10000, ILLEGAL_ADDRESS)
    unit.write_registers(address, request[6:], t_us, WRITE_REGISTERS)
    return request[:5]


def _masks(unit: Unit, request: bytes, t_us: int) -> bytes:
    _check(len(request) == 7, ILLEGAL_VALUE)
    address, keep, put = _THREE.unpack_from(request, 1)
    value = int.from_bytes(_read_registers(unit, "holding", address, 1, t_us), "big")
    masked = (value & keep) | (put & ~keep)
    unit.write_registers(address, masked.to_bytes(2, "big"), t_us, MASK_WRITE)
    return request


def _reads_and_writes(unit: Unit, request: bytes, t_us: int) -> bytes:
    """Write, then read; a read that is refused must not leave the write done, so it is tried."""
    _check(len(request) >= 10, ILLEGAL_VALUE)
    source, count, target, written, size = _READ_WRITE.unpack_from(request, 1)
    _check(1 <= count <= MAX_READ_REGISTERS, ILLEGAL_VALUE)
    _check(1 <= written <= MAX_READ_WRITE_REGISTERS, ILLEGAL_VALUE)
    _check(size == 2 * written == len(request) - 10, ILLEGAL_VALUE)
    _check(source + count <= 0x10000 and target + written <= 0x10000, ILLEGAL_ADDRESS)
    _read_registers(unit, "holding", source, count, t_us)
    unit.write_registers(target, request[10:], t_us, READ_WRITE)
    data = _read_registers(unit, "holding", source, count, t_us)
    return bytes((READ_WRITE, len(data))) + data


def _identifies(unit: Unit, request: bytes, _t_us: int) -> bytes:
    """Read device identification, as a stream of objects or one alone (section 6.21)."""
    _check(len(request) >= 2 and request[1] == READ_DEVICE_ID, ILLEGAL_FUNCTION)
    _check(len(request) == 4, ILLEGAL_VALUE)
    code, first = request[2], request[3]
    _check(code in _STREAMS or code == _INDIVIDUAL, ILLEGAL_VALUE)
    objects = unit.identification()
    last = _STREAMS.get(code, first)
    if code != _INDIVIDUAL and (first not in objects or first > last):
        first = 0  # "as if object 0 were pointed out"
    listed = sorted(number for number in objects if first <= number <= last)
    _check(bool(listed), ILLEGAL_ADDRESS)
    body, fitting = bytearray(), 0
    for number in listed:
        value = bytes(objects[number])[: _MAX_OBJECTS_BYTES - 2]
        if len(body) + 2 + len(value) > _MAX_OBJECTS_BYTES:
            break
        body += bytes((number, len(value))) + value
        fitting += 1
    more = (0xFF, listed[fitting]) if fitting < len(listed) else (0, 0)
    head = (ENCAPSULATED, READ_DEVICE_ID, code, _conformity(objects), *more, fitting)
    return bytes(head) + bytes(body)


def _conformity(objects: Mapping[int, bytes]) -> int:
    """Return what kind of objects there are, and that each can be asked for alone (0x80)."""
    highest = max(objects)
    return 0x81 + (highest > _LAST_BASIC) + (highest > _LAST_REGULAR)


_HANDLERS: Final[dict[int, Callable[[Unit, bytes, int], bytes]]] = {
    READ_COILS: _reads_bits,
    READ_DISCRETE: _reads_bits,
    READ_HOLDING: _reads_registers,
    READ_INPUT: _reads_registers,
    WRITE_COIL: _writes_coil,
    WRITE_REGISTER: _writes_register,
    WRITE_COILS: _writes_coils,
    WRITE_REGISTERS: _writes_registers,
    MASK_WRITE: _masks,
    READ_WRITE: _reads_and_writes,
    ENCAPSULATED: _identifies,
}
FUNCTIONS: Final = frozenset(_HANDLERS)
"""Every function code that the server knows how to carry out."""
