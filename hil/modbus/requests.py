"""Requests as a client sends them, and what it accepts as their answers.

An answer is a value only if it has the function of its request and exactly the length or the echo
that belongs to it. Source: MODBUS Application Protocol Specification V1.1b3 (modbus.org).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from .errors import ModbusError, ModbusRefusedError
from .unit import BitTable, RegisterTable

_READS: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
_WRITE_COIL: Final = 5
_WRITE_REGISTER: Final = 6
_WRITE_COILS: Final = 15
_WRITE_REGISTERS: Final = 16
_READ_DEVICE_ID: Final = 43
_MEI_TYPE: Final = 14
_HEAD: Final = struct.Struct(">BHH")
_LARGEST: Final = 253


@dataclass(frozen=True, slots=True)
class Request:
    """A request without unit and framing."""

    pdu: bytes
    """Function code and data."""
    prefix: bytes
    """How its answer begins: function code, then byte count or echo."""
    size: int
    """Bytes of its answer, 0: not known before."""
    what: str
    """For messages."""

    @property
    def function(self) -> int:
        """Function code."""
        return self.pdu[0]


def read(table: RegisterTable | BitTable, address: int, count: int) -> Request:
    """Functions 1 to 4."""
    pdu = _HEAD.pack(_READS[table], address, count)
    size = 2 * count if table in {"holding", "input"} else (count + 7) // 8
    what = f"{table} {address}…{address + count - 1}"
    return Request(pdu, bytes((pdu[0], size)), 2 + size, what)


def write_register(address: int, data: bytes) -> Request:
    """Function 6; ``data`` are two bytes."""
    pdu = _HEAD.pack(_WRITE_REGISTER, address, int.from_bytes(data, "big"))
    return Request(pdu, pdu, 5, f"write of {address}")


def write_registers(address: int, data: bytes) -> Request:
    """Function 16; ``data`` are two bytes a register."""
    head = _HEAD.pack(_WRITE_REGISTERS, address, len(data) // 2)
    what = f"write of {address}…{address + len(data) // 2 - 1}"
    return Request(head + bytes((len(data),)) + data, head, 5, what)


def write_coil(address: int, value: bool) -> Request:
    """Function 5."""
    pdu = _HEAD.pack(_WRITE_COIL, address, 0xFF00 if value else 0)
    return Request(pdu, pdu, 5, f"write of coil {address}")


def write_coils(address: int, values: Sequence[bool]) -> Request:
    """Function 15."""
    head = _HEAD.pack(_WRITE_COILS, address, len(values))
    bits = sum(1 << number for number, value in enumerate(values) if value)
    data = bits.to_bytes((len(values) + 7) // 8, "little")
    what = f"write of coils {address}…{address + len(values) - 1}"
    return Request(head + bytes((len(data),)) + data, head, 5, what)


def read_identification(level: int, first: int) -> Request:
    """Function 43/14, from object ``first`` on."""
    head = bytes((_READ_DEVICE_ID, _MEI_TYPE, level))
    return Request(head + bytes((first,)), head, 0, "identification")


def check(request: Request, answer: bytes) -> None:
    """Raise unless an answer is that to a request."""
    function = request.pdu[0]
    if answer[0] == function | 0x80 and len(answer) == 2:
        raise ModbusRefusedError(f"{request.what} refused with code {answer[1]}", answer[1])
    if not answer.startswith(request.prefix) or request.size not in {0, len(answer)}:
        shown = answer[:8].hex(" ")
        raise ModbusError(
            f"{request.what}: the answer does not fit the request: {shown}, {len(answer)} bytes"
        )


def fits(request: Request, answer: bytes) -> bool:
    """Return whether an answer may be that to a request, a refusal included."""
    if len(answer) == 2 and answer[0] == request.pdu[0] | 0x80:
        return True
    return answer.startswith(request.prefix) and request.size in {0, len(answer)}


def bits(answer: bytes, count: int) -> list[bool]:
    """Return the bits of an answer to `read_bits`."""
    packed = int.from_bytes(answer[2:], "little")
    return [bool(packed >> number & 1) for number in range(count)]


def objects(answer: bytes) -> tuple[bool, int, dict[int, bytes]]:
    """Return of an answer to `read_identification` whether more follow, from where, and objects."""
    if len(answer) < 7:
        raise ModbusError("the identification is cut short")
    found: dict[int, bytes] = {}
    at = 7
    for _ in range(answer[6]):
        end = at + 2 + answer[at + 1] if at + 1 < len(answer) else _LARGEST + 1
        if end > len(answer):
            raise ModbusError("the identification is cut short")
        found[answer[at]] = answer[at + 2 : end]
        at = end
    return answer[4] == 0xFF, answer[5], found
