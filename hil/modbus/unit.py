"""What a Modbus server asks of a device behind it: a unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, Protocol

ILLEGAL_FUNCTION: Final = 1
ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
DEVICE_FAILURE: Final = 4
DEVICE_BUSY: Final = 6
GATEWAY_PATH: Final = 10
GATEWAY_NO_ANSWER: Final = 11

BitTable = Literal["coil", "discrete"]
RegisterTable = Literal["holding", "input"]


class ModbusRefusal(Exception):  # noqa: N818 - the protocol's word for it is exception
    """A unit answers a request with an exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception code {code}")
        self.code = code


class Unit(Protocol):
    """One device on a bus. Addresses are zero-based as on the wire, times µs of the clock.

    The server has checked counts and lengths against the protocol (at most 125 registers and 2000
    bits a read, 123 and 1968 a write, within 0 … 65535); the unit applies its own narrower limits
    and raises `ModbusRefusal`.
    """

    functions: frozenset[int]
    """Function codes that it knows; any other is refused as illegal."""

    def read_registers(self, table: RegisterTable, address: int, count: int, t_us: int) -> bytes:
        """Return ``2 * count`` bytes, high byte first."""

    def write_registers(self, address: int, data: bytes, t_us: int, function: int) -> None:
        """Write ``len(data) / 2`` holding registers; all or nothing."""

    def read_bits(self, table: BitTable, address: int, count: int, t_us: int) -> Sequence[bool]:
        """Return ``count`` bits."""

    def write_bits(self, address: int, values: Sequence[bool], t_us: int, function: int) -> None:
        """Write coils; all or nothing."""

    def identification(self) -> Mapping[int, bytes]:
        """Return the objects of function 43/14 by number (0 vendor, 1 product, 2 revision)."""

    def hold_us(self, t_us: int, function: int) -> int | None:
        """Return how long a request that came at ``t_us`` is worked on; None: no answer at all."""
