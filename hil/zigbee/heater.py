"""The power-controlled heater's own cluster: watts for many loads in one broadcast.

Cluster 0xFC57 with manufacturer code 0x1257, both made up for this bench (the code is in nobody's
name here). Twelve loads fill a payload of 68 bytes, header of the cluster library included; more
do not fit one broadcast. Powers go in hundredths of a watt.

========== ===================== ========================================================
command    direction             payload
========== ===================== ========================================================
0x00       host → heaters        u8 flags (bit 0: ack wanted), u8 sequence, u8 count,
                                 count x (u8 slot, u32 power; 0xFFFFFFFF: unchanged)
0x01       heater → host         u8 sequence, u8 slot, u32 accepted power
========== ===================== ========================================================

Attributes: 0x0000 slot (u8, writable), 0x0001 set-point (u32), 0x0002 rated power (u32),
0x0003 watchdog in seconds (u16, 0: none).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Self

from .binary import CodecError, Reader, u8, u32

CLUSTER: Final = 0xFC57
MANUFACTURER: Final = 0x1257
SET_POWER: Final = 0x00
ACK: Final = 0x01
ATTRIBUTE_SLOT: Final = 0x0000
ATTRIBUTE_SETPOINT: Final = 0x0001
ATTRIBUTE_RATED: Final = 0x0002
ATTRIBUTE_WATCHDOG: Final = 0x0003
MAX_LOADS: Final = 12
UNCHANGED: Final = 0xFFFFFFFF
_ACK_WANTED: Final = 0x01


_PAIR: Final = struct.Struct("<BI")


@lru_cache(maxsize=64)
def _decode(payload: bytes) -> tuple[int, tuple[tuple[int, float | None], ...], bool]:
    # Every heater of a network decodes the same broadcast.
    r = Reader(payload, "set power")
    flags, sequence, count = r.u8(), r.u8(), r.u8()
    pairs = _PAIR.iter_unpack(r.take(count * _PAIR.size))
    powers = tuple((slot, None if raw == UNCHANGED else raw / 100) for slot, raw in pairs)
    return sequence, powers, bool(flags & _ACK_WANTED)


@dataclass(frozen=True, slots=True)
class SetPower:
    """Set-points in watts by slot; None leaves a load as it is."""

    sequence: int
    powers_w: tuple[tuple[int, float | None], ...]
    ack: bool = True

    def encode(self) -> bytes:
        """Return the payload of the command.

        Raises:
            CodecError: There are more than twelve loads, or a power is negative or too large.
        """
        if len(self.powers_w) > MAX_LOADS:
            raise CodecError(f"{len(self.powers_w)} loads; one broadcast holds {MAX_LOADS}")
        head = u8(_ACK_WANTED if self.ack else 0) + u8(self.sequence) + u8(len(self.powers_w))
        return head + b"".join(u8(slot) + _centiwatts(power) for slot, power in self.powers_w)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the command; raises `CodecError` when it is too short."""
        return cls(*_decode(payload))


@dataclass(frozen=True, slots=True)
class Ack:
    """What a heater took over from a set-power command."""

    sequence: int
    slot: int
    accepted_w: float

    def encode(self) -> bytes:
        """Return the payload of the command."""
        return u8(self.sequence) + u8(self.slot) + _centiwatts(self.accepted_w)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the ack; raises `CodecError` when it is too short."""
        r = Reader(payload, "set power ack")
        return cls(r.u8(), r.u8(), r.u32() / 100)


def _centiwatts(power_w: float | None) -> bytes:
    if power_w is None:
        return u32(UNCHANGED)
    raw = round(power_w * 100)
    if not 0 <= raw < UNCHANGED:
        raise CodecError(f"a power of {power_w} W does not fit the command")
    return u32(raw)
