"""Messages inside MT frames that both ends of the serial line speak.

Layouts: TI SWRA198. Each class is the data of one command; `encode` and `decode` are inverse.
`AfIncoming` carries three bytes that the document does not have (MAC source and radius) and that
hosts expect.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final, Self

from .binary import Reader, u8, u16, u64, words

ADDRESS_NONE: Final = 0
ADDRESS_GROUP: Final = 1
ADDRESS_SHORT: Final = 2
ADDRESS_IEEE: Final = 3
ADDRESS_BROADCAST: Final = 0x0F

#: First of the broadcast addresses: 0xFFFC routers, 0xFFFD always listening, 0xFFFF everybody.
BROADCAST_FROM: Final = 0xFFF8
BROADCAST_ROUTERS: Final = 0xFFFC
BROADCAST_LISTENING: Final = 0xFFFD
BROADCAST_ALL: Final = 0xFFFF

_INCOMING: Final = struct.Struct("<HHHBBBBBIBB")
_TRAILER: Final = struct.Struct("<HB")


@dataclass(frozen=True, slots=True)
class AfRegister:
    """AF_REGISTER: an endpoint of the host."""

    endpoint: int
    profile: int
    device: int
    version: int = 0
    latency: int = 0
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return the data of the frame."""
        head = u8(self.endpoint) + u16(self.profile) + u16(self.device) + u8(self.version)
        inputs = u8(len(self.inputs)) + words(self.inputs)
        return head + u8(self.latency) + inputs + u8(len(self.outputs)) + words(self.outputs)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "AF_REGISTER")
        head = (r.u8(), r.u16(), r.u16(), r.u8(), r.u8())
        return cls(*head, inputs=r.words(r.u8()), outputs=r.words(r.u8()))


@dataclass(frozen=True, slots=True)
class AfDataRequest:
    """AF_DATA_REQUEST: send to a short address."""

    destination: int
    destination_endpoint: int
    source_endpoint: int
    cluster: int
    transaction: int
    payload: bytes
    options: int = 0
    radius: int = 30

    def encode(self) -> bytes:
        """Return the data of the frame."""
        head = u16(self.destination) + u8(self.destination_endpoint) + u8(self.source_endpoint)
        head += u16(self.cluster) + u8(self.transaction) + u8(self.options) + u8(self.radius)
        return head + u8(len(self.payload)) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "AF_DATA_REQUEST")
        head = (r.u16(), r.u8(), r.u8(), r.u16(), r.u8())
        options, radius = r.u8(), r.u8()
        return cls(*head, payload=r.take(r.u8()), options=options, radius=radius)


@dataclass(frozen=True, slots=True)
class AfDataRequestExt:
    """AF_DATA_REQUEST_EXT: send to a group, a short or an IEEE address, or everybody.

    `mode` is one of the `ADDRESS_*`; `destination` is a group, a short address or an IEEE address
    accordingly. A payload that fits no frame is announced by its length alone and follows with
    AF_DATA_STORE: `length` is then larger than ``len(payload)``.
    """

    mode: int
    destination: int
    destination_endpoint: int
    source_endpoint: int
    cluster: int
    transaction: int
    payload: bytes
    options: int = 0
    radius: int = 30
    pan: int = 0
    length: int = -1

    def encode(self) -> bytes:
        """Return the data of the frame."""
        head = u8(self.mode) + u64(self.destination) + u8(self.destination_endpoint)
        head += u16(self.pan) + u8(self.source_endpoint) + u16(self.cluster)
        head += u8(self.transaction) + u8(self.options) + u8(self.radius)
        length = len(self.payload) if self.length < 0 else self.length
        return head + u16(length) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "AF_DATA_REQUEST_EXT")
        mode, destination, endpoint, pan = r.u8(), r.u64(), r.u8(), r.u16()
        source, cluster, transaction = r.u8(), r.u16(), r.u8()
        options, radius, length = r.u8(), r.u8(), r.u16()
        if mode not in {ADDRESS_IEEE}:
            destination &= 0xFFFF
        head = (mode, destination, endpoint, source, cluster, transaction, r.rest())
        return cls(*head, options=options, radius=radius, pan=pan, length=length)


@dataclass(frozen=True, slots=True)
class AfDataConfirm:
    """AF_DATA_CONFIRM: what became of a request."""

    status: int
    endpoint: int
    transaction: int

    def encode(self) -> bytes:
        """Return the data of the frame."""
        return bytes((self.status, self.endpoint, self.transaction))

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "AF_DATA_CONFIRM")
        return cls(r.u8(), r.u8(), r.u8())


@dataclass(frozen=True, slots=True)
class AfIncoming:
    """AF_INCOMING_MSG: a message for an endpoint of the host."""

    source: int
    source_endpoint: int
    destination_endpoint: int
    cluster: int
    payload: bytes
    group: int = 0
    broadcast: bool = False
    lqi: int = 160
    secured: bool = False
    timestamp: int = 0
    sequence: int = 0
    mac_source: int = 0
    radius: int = 29

    def encode(self) -> bytes:
        """Return the data of the frame."""
        head = _INCOMING.pack(
            self.group,
            self.cluster,
            self.source,
            self.source_endpoint,
            self.destination_endpoint,
            self.broadcast,
            self.lqi,
            self.secured,
            self.timestamp,
            self.sequence,
            len(self.payload),
        )
        return head + self.payload + _TRAILER.pack(self.mac_source, self.radius)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message, with or without the trailing bytes; `CodecError` when too short."""
        r = Reader(data, "AF_INCOMING_MSG")
        group, cluster, source, source_endpoint = r.u16(), r.u16(), r.u16(), r.u8()
        destination_endpoint, broadcast, lqi, secured = r.u8(), r.u8(), r.u8(), r.u8()
        timestamp, sequence, payload = r.u32(), r.u8(), r.take(r.u8())
        trailer = r.left >= 3
        return cls(
            source=source,
            source_endpoint=source_endpoint,
            destination_endpoint=destination_endpoint,
            cluster=cluster,
            payload=payload,
            group=group,
            broadcast=bool(broadcast),
            lqi=lqi,
            secured=bool(secured),
            timestamp=timestamp,
            sequence=sequence,
            mac_source=r.u16() if trailer else source,
            radius=r.u8() if trailer else 0,
        )


@dataclass(frozen=True, slots=True)
class ZdoIncoming:
    """ZDO_MSG_CB_INCOMING: any ZDO message; the payload has no sequence number in front."""

    source: int
    cluster: int
    payload: bytes
    broadcast: bool = False
    secured: bool = False
    sequence: int = 0
    mac_destination: int = 0

    def encode(self) -> bytes:
        """Return the data of the frame."""
        head = u16(self.source) + u8(self.broadcast) + u16(self.cluster) + u8(self.secured)
        return head + u8(self.sequence) + u16(self.mac_destination) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "ZDO_MSG_CB_INCOMING")
        source, broadcast, cluster, secured = r.u16(), r.u8(), r.u16(), r.u8()
        sequence, mac_destination = r.u8(), r.u16()
        return cls(
            source, cluster, r.rest(), bool(broadcast), bool(secured), sequence, mac_destination
        )


@dataclass(frozen=True, slots=True)
class TcDeviceJoined:
    """ZDO_TC_DEV_IND: a device has joined."""

    nwk: int
    ieee: int
    parent: int

    def encode(self) -> bytes:
        """Return the data of the frame."""
        return u16(self.nwk) + u64(self.ieee) + u16(self.parent)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "ZDO_TC_DEV_IND")
        return cls(r.u16(), r.u64(), r.u16())


@dataclass(frozen=True, slots=True)
class LeaveIndication:
    """ZDO_LEAVE_IND: a device has left."""

    nwk: int
    ieee: int
    request: bool = False
    remove: bool = False
    rejoin: bool = False

    def encode(self) -> bytes:
        """Return the data of the frame."""
        flags = u8(self.request) + u8(self.remove) + u8(self.rejoin)
        return u16(self.nwk) + u64(self.ieee) + flags

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "ZDO_LEAVE_IND")
        return cls(r.u16(), r.u64(), bool(r.u8()), bool(r.u8()), bool(r.u8()))


@dataclass(frozen=True, slots=True)
class ExtNetworkInfo:
    """ZDO_EXT_NWK_INFO: the coordinator's own place in its network."""

    nwk: int
    state: int
    pan: int
    parent: int
    extended_pan: int
    parent_ieee: int
    channel: int

    def encode(self) -> bytes:
        """Return the data of the frame."""
        head = u16(self.nwk) + u8(self.state) + u16(self.pan) + u16(self.parent)
        return head + u64(self.extended_pan) + u64(self.parent_ieee) + u8(self.channel)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(data, "ZDO_EXT_NWK_INFO")
        return cls(r.u16(), r.u8(), r.u16(), r.u16(), r.u64(), r.u64(), r.u8())
