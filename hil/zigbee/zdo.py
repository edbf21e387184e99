"""Zigbee Device Object: clusters and payloads of the profile 0x0000, without sequence number.

Over the air every message begins with a sequence number, which hosts and coordinators add and
strip. Source: Zigbee Specification (document 05-3474), chapter 2.4. An IEEE address is a number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Self

from .binary import Reader, u8, u16, u64, words

PROFILE: Final = 0x0000

NWK_ADDR_REQ: Final = 0x0000
IEEE_ADDR_REQ: Final = 0x0001
NODE_DESC_REQ: Final = 0x0002
POWER_DESC_REQ: Final = 0x0003
SIMPLE_DESC_REQ: Final = 0x0004
ACTIVE_EP_REQ: Final = 0x0005
MATCH_DESC_REQ: Final = 0x0006
DEVICE_ANNCE: Final = 0x0013
PARENT_ANNCE: Final = 0x001F
BIND_REQ: Final = 0x0021
UNBIND_REQ: Final = 0x0022
MGMT_LQI_REQ: Final = 0x0031
MGMT_RTG_REQ: Final = 0x0032
MGMT_BIND_REQ: Final = 0x0033
MGMT_LEAVE_REQ: Final = 0x0034
MGMT_PERMIT_JOINING_REQ: Final = 0x0036
MGMT_NWK_UPDATE_REQ: Final = 0x0038
RESPONSE: Final = 0x8000
"""Set in the cluster of an answer."""

SUCCESS: Final = 0x00
INVALID_REQUEST_TYPE: Final = 0x80
DEVICE_NOT_FOUND: Final = 0x81
INVALID_ENDPOINT: Final = 0x82
NOT_ACTIVE: Final = 0x83
NOT_SUPPORTED: Final = 0x84
NO_ENTRY: Final = 0x88
TABLE_FULL: Final = 0x8C

COORDINATOR: Final = 0
ROUTER: Final = 1
END_DEVICE: Final = 2

# Capability bits of a device announce.
FULL_FUNCTION: Final = 0x02
MAINS_POWERED: Final = 0x04
RECEIVER_ON: Final = 0x08
ALLOCATE_ADDRESS: Final = 0x80

BIND_TO_GROUP: Final = 0x01
BIND_TO_IEEE: Final = 0x03


@dataclass(frozen=True, slots=True)
class DeviceAnnounce:
    """A device says where it is: on joining and rejoining."""

    nwk: int
    ieee: int
    capability: int

    def encode(self) -> bytes:
        """Return the payload."""
        return u16(self.nwk) + u64(self.ieee) + u8(self.capability)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(payload, "device announce")
        return cls(r.u16(), r.u64(), r.u8())


@dataclass(frozen=True, slots=True)
class NodeDescriptor:
    """What kind of node a device is."""

    logical_type: int
    capability: int
    manufacturer: int
    max_buffer: int = 82
    max_incoming: int = 255
    server_mask: int = 0x2C00
    max_outgoing: int = 255
    descriptor_capability: int = 0
    band: int = 0x40
    """Upper byte-half of the second byte: 0x40 is 2.4 GHz."""

    def encode(self) -> bytes:
        """Return the 13 bytes of the descriptor."""
        head = u8(self.logical_type) + u8(self.band) + u8(self.capability)
        head += u16(self.manufacturer) + u8(self.max_buffer) + u16(self.max_incoming)
        return (
            head + u16(self.server_mask) + u16(self.max_outgoing) + u8(self.descriptor_capability)
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the descriptor; raises `CodecError` when it is too short."""
        r = Reader(payload, "node descriptor")
        logical, band, capability, manufacturer = r.u8() & 0x07, r.u8(), r.u8(), r.u16()
        buffer, incoming, mask, outgoing = r.u8(), r.u16(), r.u16(), r.u16()
        head = (logical, capability, manufacturer, buffer, incoming, mask, outgoing)
        return cls(*head, descriptor_capability=r.u8(), band=band)


@dataclass(frozen=True, slots=True)
class SimpleDescriptor:
    """What an endpoint is and which clusters it serves (inputs) and uses (outputs)."""

    endpoint: int
    profile: int
    device: int
    version: int = 1
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return the descriptor without its length."""
        head = u8(self.endpoint) + u16(self.profile) + u16(self.device) + u8(self.version & 0x0F)
        inputs = u8(len(self.inputs)) + words(self.inputs)
        return head + inputs + u8(len(self.outputs)) + words(self.outputs)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the descriptor; raises `CodecError` when it is too short."""
        r = Reader(payload, "simple descriptor")
        head = (r.u8(), r.u16(), r.u16(), r.u8() & 0x0F)
        return cls(*head, inputs=r.words(r.u8()), outputs=r.words(r.u8()))


@dataclass(frozen=True, slots=True)
class Binding:
    """Reports of a cluster go from a source to a target: an endpoint of a device, or a group."""

    source_ieee: int
    source_endpoint: int
    cluster: int
    target: int
    """IEEE address, or group number when `target_endpoint` is None."""
    target_endpoint: int | None

    def encode(self) -> bytes:
        """Return the payload of a bind or unbind request."""
        head = u64(self.source_ieee) + u8(self.source_endpoint) + u16(self.cluster)
        if self.target_endpoint is None:
            return head + u8(BIND_TO_GROUP) + u16(self.target)
        return head + u8(BIND_TO_IEEE) + u64(self.target) + u8(self.target_endpoint)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        return cls.take(Reader(payload, "bind request"))

    @classmethod
    def take(cls, r: Reader) -> Self:
        """Take a binding from the front of a message."""
        head = (r.u64(), r.u8(), r.u16())
        if r.u8() == BIND_TO_GROUP:
            return cls(*head, target=r.u16(), target_endpoint=None)
        return cls(*head, target=r.u64(), target_endpoint=r.u8())


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An entry of a neighbour table."""

    extended_pan: int
    ieee: int
    nwk: int
    logical_type: int
    receiver_on: bool
    relationship: int
    """0 parent, 1 child, 2 sibling."""
    depth: int
    lqi: int

    def encode(self) -> bytes:
        """Return the 22 bytes of the entry."""
        kind = self.logical_type | (int(self.receiver_on) << 2) | (self.relationship << 4)
        head = u64(self.extended_pan) + u64(self.ieee) + u16(self.nwk) + u8(kind)
        return head + u8(0x02) + u8(self.depth) + u8(self.lqi)  # 0x02: permit join not known

    @classmethod
    def take(cls, r: Reader) -> Self:
        """Take an entry from the front of a message."""
        pan, ieee, nwk, kind = r.u64(), r.u64(), r.u16(), r.u8()
        r.u8()
        kinds = (kind & 0x03, bool(kind >> 2 & 0x03 == 1), kind >> 4 & 0x07)
        return cls(pan, ieee, nwk, *kinds, depth=r.u8(), lqi=r.u8())


@dataclass(frozen=True, slots=True)
class NeighbourTable:
    """Part of a neighbour table: the answer to Mgmt_Lqi_req."""

    total: int
    start: int
    entries: tuple[Neighbour, ...]
    status: int = SUCCESS

    def encode(self) -> bytes:
        """Return the payload."""
        head = u8(self.status) + u8(self.total) + u8(self.start) + u8(len(self.entries))
        return head + b"".join(entry.encode() for entry in self.entries)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(payload, "Mgmt_Lqi_rsp")
        status = r.u8()
        if status != SUCCESS:
            return cls(0, 0, (), status)
        total, start, count = r.u8(), r.u8(), r.u8()
        return cls(total, start, tuple(Neighbour.take(r) for _ in range(count)))


@dataclass(frozen=True, slots=True)
class NodeDescriptorResponse:
    """Answer to Node_Desc_req."""

    status: int
    nwk: int
    descriptor: NodeDescriptor | None = None

    def encode(self) -> bytes:
        """Return the payload."""
        head = u8(self.status) + u16(self.nwk)
        return head + (self.descriptor.encode() if self.descriptor else b"")

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(payload, "Node_Desc_rsp")
        status, nwk = r.u8(), r.u16()
        return cls(status, nwk, NodeDescriptor.decode(r.rest()) if status == SUCCESS else None)


@dataclass(frozen=True, slots=True)
class SimpleDescriptorResponse:
    """Answer to Simple_Desc_req."""

    status: int
    nwk: int
    descriptor: SimpleDescriptor | None = None

    def encode(self) -> bytes:
        """Return the payload."""
        body = self.descriptor.encode() if self.descriptor else b""
        return u8(self.status) + u16(self.nwk) + u8(len(body)) + body

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(payload, "Simple_Desc_rsp")
        status, nwk = r.u8(), r.u16()
        if status != SUCCESS:
            return cls(status, nwk)
        return cls(status, nwk, SimpleDescriptor.decode(r.take(r.u8())))


@dataclass(frozen=True, slots=True)
class ActiveEndpointsResponse:
    """Answer to Active_EP_req."""

    status: int
    nwk: int
    endpoints: tuple[int, ...] = ()

    def encode(self) -> bytes:
        """Return the payload."""
        return u8(self.status) + u16(self.nwk) + u8(len(self.endpoints)) + bytes(self.endpoints)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message; raises `CodecError` when it is too short."""
        r = Reader(payload, "Active_EP_rsp")
        return cls(r.u8(), r.u16(), tuple(r.take(r.u8())) if r.left else ())


@dataclass(frozen=True, slots=True)
class AddressResponse:
    """Answer to NWK_addr_req and IEEE_addr_req; the serial protocol swaps the last two fields."""

    status: int
    ieee: int
    nwk: int
    associated: tuple[int, ...] = ()
    start: int = 0
    extended: bool = False

    def encode(self) -> bytes:
        """Return the payload as it goes over the air."""
        head = u8(self.status) + u64(self.ieee) + u16(self.nwk)
        if not self.extended:
            return head
        return head + u8(len(self.associated)) + u8(self.start) + words(self.associated)

    def encode_mt(self) -> bytes:
        """Return the data of ZDO_NWK_ADDR_RSP and ZDO_IEEE_ADDR_RSP: start before number."""
        head = u8(self.status) + u64(self.ieee) + u16(self.nwk) + u8(self.start)
        return head + u8(len(self.associated)) + words(self.associated)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Return the message as it goes over the air; raises `CodecError` when it is too short."""
        r = Reader(payload, "address response")
        head = (r.u8(), r.u64(), r.u16())
        if r.left < 2:
            return cls(*head)
        count, start = r.u8(), r.u8()
        return cls(*head, associated=r.words(count), start=start, extended=True)


def encode_nwk_request(ieee: int, start: int = 0, extended: bool = False) -> bytes:
    """Return the payload of NWK_addr_req: which short address has this IEEE address?"""
    return u64(ieee) + u8(extended) + u8(start)


def encode_permit_join(duration_s: int, significance: int = 1) -> bytes:
    """Return the payload of Mgmt_Permit_Joining_req."""
    return u8(duration_s) + u8(significance)


def encode_leave(ieee: int, rejoin: bool = False, remove_children: bool = False) -> bytes:
    """Return the payload of Mgmt_Leave_req."""
    return u64(ieee) + u8((int(rejoin) << 7) | (int(remove_children) << 6))
