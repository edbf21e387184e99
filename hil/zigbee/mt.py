"""MT, the serial protocol of TI's Zigbee coordinators: frames, command codes, messages.

A frame is ``FE length cmd0 cmd1 data fcs``; the check byte is the exclusive or of everything
between. The upper three bits of ``cmd0`` are the type, the lower five the subsystem. A request
(SREQ) is answered by one response (SRSP) with the same ``cmd1``; what happens later comes
unasked (AREQ). Public source: TI SWRA198, "Z-Stack Monitor and Test API".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import xor
from typing import Final

START: Final = 0xFE
MAX_DATA: Final = 250
_OVERHEAD: Final = 5  # start, length, cmd0, cmd1, check byte

TYPE_MASK: Final = 0xE000
SREQ: Final = 0x2000
AREQ: Final = 0x4000
SRSP: Final = 0x6000

# Subsystems.
SYS: Final = 1
AF: Final = 4
ZDO: Final = 5
UTIL: Final = 7
APP_CNF: Final = 15

# Commands: ``cmd0 << 8 | cmd1`` as the host (or, for an indication, the coordinator) sends them.
SYS_PING: Final = 0x2101
SYS_VERSION: Final = 0x2102
SYS_RESET_REQ: Final = 0x4100
SYS_RESET_IND: Final = 0x4180
SYS_SET_EXT_ADDR: Final = 0x2103
SYS_GET_EXT_ADDR: Final = 0x2104
SYS_NV_ITEM_INIT: Final = 0x2107
SYS_NV_READ: Final = 0x2108
SYS_NV_WRITE: Final = 0x2109
SYS_NV_DELETE: Final = 0x2112
SYS_NV_LENGTH: Final = 0x2113
SYS_SET_TX_POWER: Final = 0x2114
SYS_NV_READ_EXT: Final = 0x211C
SYS_NV_WRITE_EXT: Final = 0x211D
SYS_NVX_CREATE: Final = 0x2130
SYS_NVX_DELETE: Final = 0x2131
SYS_NVX_LENGTH: Final = 0x2132
SYS_NVX_READ: Final = 0x2133
SYS_NVX_WRITE: Final = 0x2134
AF_REGISTER: Final = 0x2400
AF_DATA_REQUEST: Final = 0x2401
AF_DATA_REQUEST_EXT: Final = 0x2402
AF_DELETE: Final = 0x2404
AF_DATA_CONFIRM: Final = 0x4480
AF_INCOMING_MSG: Final = 0x4481
AF_INCOMING_MSG_EXT: Final = 0x4482
AF_DATA_STORE: Final = 0x2411
AF_DATA_RETRIEVE: Final = 0x2412
ZDO_NWK_ADDR_REQ: Final = 0x2500
ZDO_IEEE_ADDR_REQ: Final = 0x2501
ZDO_NODE_DESC_REQ: Final = 0x2502
ZDO_SIMPLE_DESC_REQ: Final = 0x2504
ZDO_ACTIVE_EP_REQ: Final = 0x2505
ZDO_BIND_REQ: Final = 0x2521
ZDO_NWK_DISCOVERY_REQ: Final = 0x2526
ZDO_UNBIND_REQ: Final = 0x2522
ZDO_MGMT_LQI_REQ: Final = 0x2531
ZDO_MGMT_RTG_REQ: Final = 0x2532
ZDO_MGMT_BIND_REQ: Final = 0x2533
ZDO_MGMT_LEAVE_REQ: Final = 0x2534
ZDO_MGMT_PERMIT_JOIN_REQ: Final = 0x2536
ZDO_MGMT_NWK_UPDATE_REQ: Final = 0x2537
ZDO_MSG_CB_REGISTER: Final = 0x253E
ZDO_MSG_CB_REMOVE: Final = 0x253F
ZDO_STARTUP_FROM_APP: Final = 0x2540
ZDO_EXT_ROUTE_DISC: Final = 0x2545
ZDO_EXT_ROUTE_CHK: Final = 0x2546
ZDO_EXT_REMOVE_GROUP: Final = 0x2547
ZDO_EXT_FIND_GROUP: Final = 0x254A
ZDO_EXT_ADD_GROUP: Final = 0x254B
ZDO_EXT_NWK_INFO: Final = 0x2550
ZDO_NWK_ADDR_RSP: Final = 0x4580
ZDO_IEEE_ADDR_RSP: Final = 0x4581
ZDO_NODE_DESC_RSP: Final = 0x4582
ZDO_SIMPLE_DESC_RSP: Final = 0x4584
ZDO_ACTIVE_EP_RSP: Final = 0x4585
ZDO_BIND_RSP: Final = 0x45A1
ZDO_UNBIND_RSP: Final = 0x45A2
ZDO_MGMT_LQI_RSP: Final = 0x45B1
ZDO_MGMT_RTG_RSP: Final = 0x45B2
ZDO_MGMT_BIND_RSP: Final = 0x45B3
ZDO_MGMT_LEAVE_RSP: Final = 0x45B4
ZDO_MGMT_PERMIT_JOIN_RSP: Final = 0x45B6
ZDO_MGMT_NWK_UPDATE_NOTIFY: Final = 0x45B8
ZDO_STATE_CHANGE_IND: Final = 0x45C0
ZDO_END_DEVICE_ANNCE_IND: Final = 0x45C1
ZDO_SRC_RTG_IND: Final = 0x45C4
ZDO_NWK_DISCOVERY_CNF: Final = 0x45C7
ZDO_LEAVE_IND: Final = 0x45C9
ZDO_TC_DEV_IND: Final = 0x45CA
ZDO_PERMIT_JOIN_IND: Final = 0x45CB
ZDO_MSG_CB_INCOMING: Final = 0x45FF
UTIL_GET_DEVICE_INFO: Final = 0x2700
UTIL_LED_CONTROL: Final = 0x270A
UTIL_ASSOC_FIND_DEVICE: Final = 0x2749
UTIL_ASSOC_GET_WITH_ADDRESS: Final = 0x274A
UTIL_ASSOC_REMOVE: Final = 0x2763
UTIL_ASSOC_ADD: Final = 0x2764
APP_CNF_BDB_START_COMMISSIONING: Final = 0x2F05
APP_CNF_BDB_SET_CHANNEL: Final = 0x2F08
APP_CNF_BDB_COMMISSIONING_NOTIFICATION: Final = 0x4F80
RPC_ERROR: Final = 0x6000

# Codes of `RPC_ERROR`.
RPC_SUBSYSTEM: Final = 1
RPC_COMMAND: Final = 2
RPC_PARAMETER: Final = 3
RPC_LENGTH: Final = 4

# Status codes of SRSP and AF_DATA_CONFIRM.
SUCCESS: Final = 0x00
FAILURE: Final = 0x01
INVALID_PARAMETER: Final = 0x02
NV_ITEM_UNINIT: Final = 0x09
NV_OPER_FAILED: Final = 0x0A
NV_BAD_ITEM_LEN: Final = 0x0C
MEM_ERROR: Final = 0x10
BUFFER_FULL: Final = 0x11
APS_NO_ACK: Final = 0xB7
APS_DUPLICATE_ENTRY: Final = 0xB8
NWK_NO_ROUTE: Final = 0xCD
MAC_CHANNEL_ACCESS_FAILURE: Final = 0xE1
MAC_NO_ACK: Final = 0xE9
MAC_TRANSACTION_EXPIRED: Final = 0xF0


def response_to(command: int) -> int:
    """Return the code of the SRSP that answers an SREQ."""
    return (command & ~TYPE_MASK) | SRSP


@dataclass(frozen=True, slots=True)
class MtFrame:
    """One frame: a command code (``cmd0 << 8 | cmd1``) and up to 250 bytes."""

    command: int
    data: bytes = b""

    @property
    def kind(self) -> int:
        """`SREQ`, `AREQ` or `SRSP` (or 0, a poll, that nobody uses)."""
        return self.command & TYPE_MASK

    @property
    def subsystem(self) -> int:
        """Subsystem number: `SYS`, `AF`, `ZDO`, `UTIL`, `APP_CNF`."""
        return (self.command >> 8) & 0x1F

    def encode(self) -> bytes:
        """Return the bytes of the frame.

        Raises:
            ValueError: The data is longer than 250 bytes.
        """
        if len(self.data) > MAX_DATA:
            raise ValueError(f"an MT frame holds {MAX_DATA} bytes, not {len(self.data)}")
        body = bytes((len(self.data), self.command >> 8, self.command & 0xFF)) + self.data
        return bytes((START,)) + body + bytes((checksum(body),))


def checksum(body: bytes) -> int:
    """Return the exclusive or of all bytes between start byte and check byte."""
    return reduce(xor, body, 0)


class MtParser:
    """Finds frames in a stream of bytes, however cut; keeps less than one frame between calls.

    Whatever is no frame is skipped up to the next start byte and counted; nothing is raised. After
    a wrong check byte the search goes on right behind the start byte that misled it, so one false
    start byte costs no true frame.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self.skipped_bytes = 0
        self.bad_frames = 0

    def reset(self) -> None:
        """Forget what came in halves."""
        self._buffer = b""

    def feed(self, data: bytes) -> list[MtFrame]:
        """Return the frames that are complete now."""
        buffer = self._buffer + data if self._buffer else bytes(data)
        frames: list[MtFrame] = []
        at, end = 0, len(buffer)
        while True:
            start = buffer.find(START, at)
            if start < 0:
                self.skipped_bytes += end - at
                at = end
                break
            self.skipped_bytes += start - at
            at = start
            if end - at < 2:
                break
            size = buffer[at + 1] + _OVERHEAD
            if size > MAX_DATA + _OVERHEAD:
                self.bad_frames += 1
            elif end - at < size:
                break
            elif checksum(buffer[at + 1 : at + size - 1]) == buffer[at + size - 1]:
                command = buffer[at + 2] << 8 | buffer[at + 3]
                frames.append(MtFrame(command, buffer[at + 4 : at + size - 1]))
                at += size
                continue
            else:
                self.bad_frames += 1
            self.skipped_bytes += 1
            at += 1
        self._buffer = buffer[at:]
        return frames
