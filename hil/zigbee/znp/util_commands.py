"""UTIL requests: the device's state, its children, its light."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import mt
from ..binary import Reader, u8, u16
from ..devices.end_device import NO_ADDRESS, EndDevice
from . import nv as items
from .firmware import Firmware

#: Coordinator, router and end device: what the chip could be.
_DEVICE_TYPE: Final = 7
_CHILD: Final = 1
_NO_RELATION: Final = 0xFF
_ASSOCIATION_BYTES: Final = 36
_MOST_LISTED: Final = 100


class UtilCommands:
    """Answers requests of the subsystem UTIL."""

    def __init__(self, coordinator: Firmware) -> None:
        self._c = coordinator

    def handlers(self) -> dict[int, Callable[[Reader], bytes]]:
        """Return the handlers by command code."""
        return {
            mt.UTIL_GET_DEVICE_INFO: self._info,
            mt.UTIL_LED_CONTROL: lambda r: _done(r, 1),
            0x2748: self._count,  # UTIL_ASSOC_COUNT
            mt.UTIL_ASSOC_FIND_DEVICE: self._find,
            mt.UTIL_ASSOC_GET_WITH_ADDRESS: self._get,
            mt.UTIL_ASSOC_REMOVE: lambda r: _done(r, 8),
            mt.UTIL_ASSOC_ADD: lambda r: _done(r, 8),
        }

    def _info(self, _: Reader) -> bytes:
        c = self._c
        nwk = 0 if c.is_up else NO_ADDRESS
        members = [one.nwk for one in c.network.members()][:_MOST_LISTED]
        head = u8(mt.SUCCESS) + c.nv.get(items.EXTADDR) + u16(nwk) + u8(_DEVICE_TYPE)
        return head + u8(c.device_state) + u8(len(members)) + b"".join(map(u16, members))

    def _count(self, _: Reader) -> bytes:
        return u16(len(self._c.network.members()))

    def _find(self, r: Reader) -> bytes:
        number, members = r.u8(), self._c.network.members()
        return _association(members[number] if number < len(members) else None)

    def _get(self, r: Reader) -> bytes:
        ieee, nwk = r.u64(), r.u16()
        for index, one in enumerate(self._c.network.members()):
            if ieee == one.ieee or (ieee in {0, (1 << 64) - 1} and nwk == one.nwk):
                return _association(one, index)
        return _association(None)


def _association(device: EndDevice | None, index: int = 0) -> bytes:
    """Return an entry of the list of children, with the layout of aligned structures."""
    nwk = NO_ADDRESS if device is None else device.nwk
    relation = _NO_RELATION if device is None else _CHILD
    entry = u16(nwk) + u16(index) + u8(relation)
    return entry + bytes(_ASSOCIATION_BYTES - len(entry))


def _done(r: Reader, size: int) -> bytes:
    """Answer that all is well to a request of at least `size` bytes that changes nothing here."""
    r.take(size)
    return u8(mt.SUCCESS)
