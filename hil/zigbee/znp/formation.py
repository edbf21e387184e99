"""Forming a network: from settings in memory to the network information base (NIB).

The NIB has the layout of a chip with aligned structures, 116 bytes (layout: zigbee-herdsman's
`nib` structure, MIT). Hosts compare its fields with their configuration to decide whether the
coordinator is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from ..binary import u16, u32
from . import nv as item
from .nv import NvMemory

NIB_BYTES: Final = 116
_CHANNEL: Final = 24
_PAN: Final = 36
_STATE: Final = 38
_CHANNEL_MASK: Final = 40
_EXTENDED_PAN: Final = 57
_UPDATE_ID: Final = 114
_DEFAULT_CHANNEL: Final = 11
_FIRST_COUNTER: Final = 1250


@dataclass(frozen=True, slots=True)
class NetworkIdentity:
    """What makes a network the same network to a device: address of the network, and its key."""

    extended_pan: bytes
    key: bytes


@dataclass(frozen=True, slots=True)
class NetworkInfo:
    """The network as the memory has it."""

    pan: int
    channel: int
    channel_mask: int
    extended_pan: bytes
    key: bytes
    update_id: int

    @property
    def identity(self) -> NetworkIdentity:
        """What devices recognise the network by."""
        return NetworkIdentity(self.extended_pan, self.key)


def read_network(nv: NvMemory) -> NetworkInfo | None:
    """Return the network in memory, None when there is none or it is not whole."""
    nib, key = nv.get(item.NIB), nv.get(item.ACTIVE_KEY)
    if len(nib) < NIB_BYTES or len(key) < 17:
        return None
    return NetworkInfo(
        pan=int.from_bytes(nib[_PAN : _PAN + 2], "little"),
        channel=nib[_CHANNEL],
        channel_mask=int.from_bytes(nib[_CHANNEL_MASK : _CHANNEL_MASK + 4], "little"),
        extended_pan=nib[_EXTENDED_PAN : _EXTENDED_PAN + 8],
        key=key[1:17],
        update_id=nib[_UPDATE_ID],
    )


def form_network(nv: NvMemory, channel_mask: int, rng: np.random.Generator) -> NetworkInfo:
    """Form the network that the memory asks for, and note it there; what is not set is drawn.

    `channel_mask` is what the host set for the formation; 0: the mask in memory counts.
    """
    mask = channel_mask or int.from_bytes(nv.get(item.CHANNELS, b"\x00"), "little")
    channels = [channel for channel in range(11, 27) if mask >> channel & 1]
    channel = channels[0] if channels else _DEFAULT_CHANNEL
    pan = int.from_bytes(nv.get(item.PAN_ID, b"\xff\xff"), "little")
    if pan == 0xFFFF:
        pan = int(rng.integers(1, 0xFFF0))
    key = nv.get(item.PRECONFIGURED_KEY)[:16]
    if len(key) < 16 or key in {bytes(16), b"\xff" * 16}:
        key = rng.bytes(16)
    info = NetworkInfo(pan, channel, mask or 1 << channel, _extended_pan(nv), key, 0)
    _note(nv, info)
    return info


def _extended_pan(nv: NvMemory) -> bytes:
    for number in (item.APS_USE_EXT_PANID, item.EXTENDED_PAN_ID):
        value = nv.get(number)[:8]
        if len(value) == 8 and value not in {bytes(8), b"\xff" * 8}:
            return value
    return nv.get(item.EXTADDR)


def _note(nv: NvMemory, info: NetworkInfo) -> None:
    key = b"\x00" + info.key
    nv.put(item.NIB, _nib(info, nv.get(item.EXTADDR)))
    nv.put(item.ON_A_NETWORK, b"\x01")
    nv.put(item.ACTIVE_KEY, key)
    nv.put(item.ALTERNATE_KEY, key)
    nv.put(item.EXTENDED_PAN_ID, info.extended_pan)
    # The item's structure: key number and key (17), padding, frame counter.
    nv.put(item.NETWORK_KEY, key + bytes(3) + u32(_FIRST_COUNTER))
    security = u32(_FIRST_COUNTER) + info.extended_pan
    nv.put_extended((item.ZSTACK, item.SECURITY_TABLE, 0), security)


def _nib(info: NetworkInfo, ieee: bytes) -> bytes:
    nib = bytearray(NIB_BYTES)
    nib[0:8] = bytes((0, 5, 2, 30, 15, 30, 0, 30))
    nib[8:16] = bytes((0, 2, 0, 1, 5, 0, 0x0F, 0))  # security level 5
    nib[16:18] = u16(7)  # transaction persistence
    nib[18:22] = bytes((2, 5, 30, 0))
    nib[22:24] = u16(0)  # own short address
    nib[_CHANNEL] = info.channel
    nib[26:28] = u16(0)
    nib[28:36] = ieee
    nib[_PAN : _PAN + 2] = u16(info.pan)
    nib[_STATE] = 8  # router: the network is up
    nib[_CHANNEL_MASK : _CHANNEL_MASK + 4] = u32(info.channel_mask)
    nib[44:48] = bytes((15, 15, 0, 0))
    nib[_EXTENDED_PAN : _EXTENDED_PAN + 8] = info.extended_pan
    nib[65] = 1  # key loaded
    nib[102:109] = bytes((15, 3, 0, 1, 120, 30, 1))
    nib[110:112] = u16(0)  # network manager
    nib[_UPDATE_ID] = info.update_id
    return bytes(nib)


def set_channel(nv: NvMemory, channel: int) -> None:
    """Move the network to another channel and count the update."""
    nib = bytearray(nv.get(item.NIB))
    if len(nib) < NIB_BYTES:
        return
    nib[_CHANNEL] = channel
    nib[_CHANNEL_MASK : _CHANNEL_MASK + 4] = u32(1 << channel)
    nib[_UPDATE_ID] = (nib[_UPDATE_ID] + 1) & 0xFF
    nv.put(item.NIB, bytes(nib))


def skip_frame_counters(nv: NvMemory) -> None:
    """Count on by as much as may have been sent since the counter was last saved."""
    key = (item.ZSTACK, item.SECURITY_TABLE, 0)
    entry = nv.extended.get(key, b"")
    if len(entry) >= 4:
        counter = int.from_bytes(entry[:4], "little") + _FIRST_COUNTER
        nv.put_extended(key, u32(counter & 0xFFFFFFFF) + entry[4:])
