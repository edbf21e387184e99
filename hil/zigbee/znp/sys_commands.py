"""SYS requests: ping, version, addresses, NV memory; and APP_CNF: commissioning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import mt
from ..binary import Reader, u8, u16, u32
from . import nv as items
from .firmware import Firmware

#: SYS, AF, ZDO, UTIL, GP and APP_CNF are there.
_CAPABILITIES: Final = 0x0659
#: Transport revision, product (Z-Stack 3.x.0), version 2.7.1; then a revision like a date.
VERSION: Final = bytes((2, 1, 2, 7, 1))
REVISION: Final = 20240710
_MOST_READ: Final = 246
_FORMATION: Final = 0x04
_STEERING: Final = 0x02
_COMMISSIONING_IN_PROGRESS: Final = 1
_FORMATION_FAILURE: Final = 8
_STEERING_OPEN_S: Final = 180
#: Legacy items, seen as an extended table.
_LEGACY: Final = 0


class SysCommands:
    """Answers requests of the subsystems SYS and APP_CNF."""

    def __init__(self, coordinator: Firmware) -> None:
        self._c = coordinator

    def handlers(self) -> dict[int, Callable[[Reader], bytes]]:
        """Return the handlers by command code."""
        return {
            mt.SYS_PING: lambda _: u16(_CAPABILITIES),
            mt.SYS_VERSION: self._version,
            mt.SYS_GET_EXT_ADDR: lambda _: self._c.nv.get(items.EXTADDR),
            mt.SYS_SET_EXT_ADDR: self._set_address,
            mt.SYS_NV_ITEM_INIT: self._init,
            mt.SYS_NV_READ: lambda r: self._read(r.u16(), r.u8()),
            mt.SYS_NV_READ_EXT: lambda r: self._read(r.u16(), r.u16()),
            mt.SYS_NV_WRITE: lambda r: self._write(r.u16(), r.u8(), r.take(r.u8())),
            mt.SYS_NV_WRITE_EXT: lambda r: self._write(r.u16(), r.u16(), r.take(r.u16())),
            mt.SYS_NV_DELETE: self._delete,
            mt.SYS_NV_LENGTH: lambda r: u16(len(self._c.nv.get(r.u16()))),
            mt.SYS_SET_TX_POWER: lambda r: _done(r, 1),
            0x210C: lambda _: self._c.rng.bytes(2),  # SYS_RANDOM
            0x210F: lambda r: _done(r, 1) + r.take(1),  # SYS_STACK_TUNE
            mt.SYS_NVX_CREATE: self._create_extended,
            mt.SYS_NVX_DELETE: self._delete_extended,
            mt.SYS_NVX_LENGTH: lambda r: u32(len(self._extended(_key(r)) or b"")),
            mt.SYS_NVX_READ: self._read_extended,
            mt.SYS_NVX_WRITE: self._write_extended,
            0x2135: self._update_extended,  # SYS_NV_UPDATE
            mt.APP_CNF_BDB_START_COMMISSIONING: self._commission,
            mt.APP_CNF_BDB_SET_CHANNEL: self._set_channel,
            0x2F04: lambda _: u8(mt.SUCCESS),  # APP_CNF_BDB_ADD_INSTALLCODE
            0x2F06: lambda _: u8(mt.SUCCESS),  # APP_CNF_BDB_SET_JOINUSESINSTALLCODEKEY
            0x2F07: lambda _: u8(mt.SUCCESS),  # APP_CNF_BDB_SET_ACTIVE_DEFAULT_CENTRALIZED_KEY
            0x2F09: lambda _: u8(mt.SUCCESS),  # APP_CNF_BDB_SET_TC_REQUIRE_KEY_EXCHANGE
        }

    def _version(self, _: Reader) -> bytes:
        return VERSION + u32(REVISION)

    def _set_address(self, r: Reader) -> bytes:
        self._c.nv.put(items.EXTADDR, r.take(8))
        return u8(mt.SUCCESS)

    # NV memory --------------------------------------------------------------------------------

    def _init(self, r: Reader) -> bytes:
        item, length, given = r.u16(), r.u16(), r.take(r.u8())
        nv = self._c.nv
        if item in nv.items:
            return u8(mt.SUCCESS)
        nv.put(item, given[:length] + b"\xff" * (length - len(given[:length])))
        return u8(mt.NV_ITEM_UNINIT)  # it did not exist, now it does

    def _read(self, item: int, offset: int) -> bytes:
        value = self._c.nv.items.get(item)
        if value is None or offset > len(value):
            return u8(mt.INVALID_PARAMETER if value is None else mt.NV_OPER_FAILED) + u8(0)
        part = value[offset : offset + _MOST_READ]
        return u8(mt.SUCCESS) + u8(len(part)) + part

    def _write(self, item: int, offset: int, data: bytes) -> bytes:
        old = self._c.nv.items.get(item)
        if old is None:
            return u8(mt.NV_ITEM_UNINIT)
        new = self._c.nv.patch(old, offset, data)
        if new is None:
            return u8(mt.NV_BAD_ITEM_LEN)
        self._c.nv.put(item, new)
        return u8(mt.SUCCESS)

    def _delete(self, r: Reader) -> bytes:
        item, length = r.u16(), r.u16()
        old = self._c.nv.items.get(item)
        if old is None:
            return u8(mt.NV_ITEM_UNINIT)
        if len(old) != length:
            return u8(mt.NV_BAD_ITEM_LEN)
        self._c.nv.delete(item)
        return u8(mt.SUCCESS)

    def _extended(self, key: items.Extended) -> bytes | None:
        nv = self._c.nv
        if key[:2] == (items.ZSTACK, _LEGACY):
            return nv.items.get(key[2])
        return nv.extended.get(key)

    def _put(self, key: items.Extended, value: bytes) -> None:
        if key[:2] == (items.ZSTACK, _LEGACY):
            self._c.nv.put(key[2], value)
        else:
            self._c.nv.put_extended(key, value)

    def _create_extended(self, r: Reader) -> bytes:
        key, length = _key(r), r.u32()
        if self._extended(key) is not None:
            return u8(mt.NV_OPER_FAILED)
        if not 0 < length <= 0xFFF:
            return u8(mt.NV_BAD_ITEM_LEN)
        self._put(key, bytes(length))
        return u8(mt.SUCCESS)

    def _delete_extended(self, r: Reader) -> bytes:
        key = _key(r)
        if self._extended(key) is None:
            return u8(mt.NV_ITEM_UNINIT)
        if key[:2] == (items.ZSTACK, _LEGACY):
            self._c.nv.delete(key[2])
        else:
            del self._c.nv.extended[key]
            self._c.nv.changed += 1
        return u8(mt.SUCCESS)

    def _read_extended(self, r: Reader) -> bytes:
        value, offset, length = self._extended(_key(r)), r.u16(), r.u8()
        if value is None or offset + min(length, 1) > len(value):
            return u8(mt.NV_ITEM_UNINIT if value is None else mt.NV_OPER_FAILED) + u8(0)
        part = value[offset : offset + min(length, _MOST_READ)]
        return u8(mt.SUCCESS) + u8(len(part)) + part

    def _write_extended(self, r: Reader) -> bytes:
        key, offset, data = _key(r), r.u16(), r.take(r.u8())
        old = self._extended(key)
        if old is None:
            return u8(mt.NV_ITEM_UNINIT)
        new = self._c.nv.patch(old, offset, data)
        if new is None:
            return u8(mt.NV_BAD_ITEM_LEN)
        self._put(key, new)
        return u8(mt.SUCCESS)

    def _update_extended(self, r: Reader) -> bytes:
        self._put(_key(r), r.take(r.u8()))
        return u8(mt.SUCCESS)

    # Commissioning ----------------------------------------------------------------------------

    def _set_channel(self, r: Reader) -> bytes:
        primary, mask = bool(r.u8()), r.u32()
        if primary:
            self._c.channel_mask = mask
        return u8(mt.SUCCESS)

    def _commission(self, r: Reader) -> bytes:
        mode = r.u8()
        if mode & _FORMATION:
            existed = self._c.start_network()
            self._notify(1000, _COMMISSIONING_IN_PROGRESS, 2, _FORMATION)
            # Of a network that is there already none can be formed; it is brought up all the same.
            status = _FORMATION_FAILURE if existed else mt.SUCCESS
            self._notify(self._c.formation_us, status, 2, 0)
        elif mode & _STEERING and self._c.is_up:
            self._c.zdo.permit_join(_STEERING_OPEN_S)
            self._notify(1000, mt.SUCCESS, 1, 0)
        return u8(mt.SUCCESS)

    def _notify(self, delay_us: int, status: int, mode: int, remaining: int) -> None:
        data = bytes((status, mode, remaining))
        command = mt.APP_CNF_BDB_COMMISSIONING_NOTIFICATION
        self._c.later(delay_us, lambda: self._c.send(command, data))


def _key(r: Reader) -> items.Extended:
    return r.u8(), r.u16(), r.u16()


def _done(r: Reader, size: int) -> bytes:
    """Answer that all is well to a request of at least `size` bytes that changes nothing here."""
    r.take(size)
    return u8(mt.SUCCESS)
