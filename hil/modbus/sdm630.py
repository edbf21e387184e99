"""Register map of an Eastron SDM630-like meter, as both ends of the bus see it.

Measurements are input registers (function 4): two registers each, an IEEE 754 float32, high word
and high byte first, at zero-based addresses. At most 60 registers are read at once. Powers are in
W with + for import, energies in kWh.

An SDM630 has no time stamp. The meter in memory adds one block of holding registers (function 3),
so that a client can tell a new sample from a repeated one: the end of its averaging window as the
meter's own clock tells it, a signed 64-bit number of microseconds, high word first, −1 before the
first sample. A second unit behind the same address measures the PV inverter: its total power is
the PV power, positive when the inverter feeds in.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ...sim.edge import meter

READ_HOLDING: Final = 3
READ_INPUT: Final = 4

GRID_UNIT: Final = 1
PV_UNIT: Final = 2

MAX_REGISTERS: Final = 60
INPUT_REGISTERS: Final = 378
"""Size of the input register table; what is not in the map reads as zero."""

TOTAL_POWER: Final = 52
STAMP_ADDRESS: Final = 0xF000
STAMP_REGISTERS: Final = 4
_STAMP = struct.Struct(">q")


@dataclass(frozen=True, slots=True)
class Measurement:
    """A float32 at `address` that carries a meter field, times `scale`."""

    address: int
    field: int
    scale: float


def _per_phase(address: int, field: int, scale: float = 1.0) -> tuple[Measurement, ...]:
    return tuple(Measurement(address + 2 * phase, field + phase, scale) for phase in range(3))


_WH_TO_KWH = 1e-3

GRID_MAP: Final = (
    *_per_phase(0, meter.VOLTAGE_A),
    *_per_phase(6, meter.CURRENT_A),
    *_per_phase(12, meter.POWER_A),
    Measurement(TOTAL_POWER, meter.POWER_TOTAL, 1.0),
    Measurement(72, meter.IMPORT_NET, _WH_TO_KWH),
    Measurement(74, meter.EXPORT_NET, _WH_TO_KWH),
    *_per_phase(346, meter.IMPORT_A, _WH_TO_KWH),
    *_per_phase(352, meter.EXPORT_A, _WH_TO_KWH),
)
PV_MAP: Final = (Measurement(TOTAL_POWER, meter.PV_POWER, 1.0),)

UNITS: Final = {GRID_UNIT: GRID_MAP, PV_UNIT: PV_MAP}


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of input registers that is read at once."""

    unit: int
    address: int
    count: int

    def measurements(self) -> tuple[Measurement, ...]:
        """Return the measurements that lie inside."""
        end = self.address + self.count
        return tuple(m for m in UNITS[self.unit] if self.address <= m.address <= end - 2)


#: The reads that together bring every field of a sample.
BLOCKS: Final = (
    Block(GRID_UNIT, 0, 54),
    Block(GRID_UNIT, 72, 4),
    Block(GRID_UNIT, 346, 12),
    Block(PV_UNIT, TOTAL_POWER, 2),
)


def encode_block(unit: int, address: int, count: int, values: NDArray[np.float64]) -> bytes:
    """Return the bytes of `count` input registers of a unit; registers outside its map are zero.

    A float of which only one half is asked for is cut in two, as on the wire.
    """
    image = bytearray(2 * (count + 2))
    for item in UNITS[unit]:
        offset = item.address - address
        if -1 <= offset < count:
            struct.pack_into(">f", image, 2 * (offset + 1), values[item.field] * item.scale)
    return bytes(image[2 : 2 * (count + 1)])


def decode_block(block: Block, data: bytes, values: NDArray[np.float64]) -> None:
    """Write the measurements of a block's bytes into the fields of a sample."""
    for item in block.measurements():
        (raw,) = struct.unpack_from(">f", data, 2 * (item.address - block.address))
        values[item.field] = raw / item.scale


def encode_stamp(sampled_us: int) -> bytes:
    """Return the bytes of the time stamp block."""
    return _STAMP.pack(sampled_us)


def decode_stamp(data: bytes) -> int:
    """Return the time stamp in µs, −1 before the first sample."""
    return int(_STAMP.unpack(data)[0])
