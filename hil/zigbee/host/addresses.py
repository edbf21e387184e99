"""Short addresses from the stick's own memory, without a message over the air.

Asking the network where a device is takes a broadcast, and with it an entry of a table that holds
eight, which set-points need. The stick knows the devices of its network:
UTIL_ADDRMGR_EXT_ADDR_LOOKUP (TI SWRA198) says one's address; firmware without it keeps the same
table in NV memory (system 1, item 1: user, padding, short address, IEEE address in 12 bytes an
entry; layout as in zigbee-herdsman, MIT).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from .. import mt
from ..binary import u8, u16, u64
from .link import CommandError

_LOOK_UP: Final = 0x2740
_ZSTACK: Final = 1
_ADDRESS_TABLE: Final = 1
_ENTRY: Final = 12
_MOST_ENTRIES: Final = 512
_LAST_ADDRESS: Final = 0xFFF7
"""Above are broadcast addresses, and what stands for none."""

Ask = Callable[[int, bytes], Awaitable[bytes]]
"""Sends a request to the coordinator itself."""


class StickAddresses:
    """What the stick remembers of where devices are."""

    def __init__(self, ask: Ask) -> None:
        """`ask(command, data)` returns the coordinator's answer."""
        self._ask = ask
        self._has_look_up = True
        self._table: dict[int, int] | None = None

    def forget(self) -> None:
        """Read the table anew the next time: the stick was away, or a device has joined."""
        self._table = None

    async def look_up(self, ieee: int) -> int | None:
        """Return a device's short address, None if the stick does not know it.

        Raises `LinkError` when the stick does not answer.
        """
        if self._has_look_up:
            try:
                answer = await self._ask(_LOOK_UP, u64(ieee))
                return _valid(int.from_bytes(answer[:2], "little")) if len(answer) >= 2 else None
            except CommandError:
                self._has_look_up = False
        try:
            if self._table is None:
                self._table = await self._read()
        except CommandError:
            self._table = {}
        return self._table.get(ieee)

    async def _read(self) -> dict[int, int]:
        table: dict[int, int] = {}
        for number in range(_MOST_ENTRIES):
            key = u8(_ZSTACK) + u16(_ADDRESS_TABLE) + u16(number)
            answer = await self._ask(mt.SYS_NVX_READ, key + u16(0) + u8(_ENTRY))
            entry = answer[2:]
            if answer[:1] != u8(mt.SUCCESS) or len(entry) < _ENTRY:
                break  # the end of the table
            nwk = _valid(int.from_bytes(entry[2:4], "little"))
            if entry[0] and nwk is not None:
                table[int.from_bytes(entry[4:12], "little")] = nwk
        return table


def _valid(nwk: int) -> int | None:
    return nwk if 0 < nwk <= _LAST_ADDRESS else None
