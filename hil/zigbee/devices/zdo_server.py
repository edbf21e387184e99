"""The device object of an end device: descriptors, binding, leaving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from ...devices.model import ZigbeeMap
from .. import zdo
from ..binary import CodecError, Reader, u8, u16

MAX_BINDINGS: Final = 16


class Node(Protocol):
    """What the device object knows of its device."""

    ieee: int
    nwk: int
    map: ZigbeeMap
    bindings: list[zdo.Binding]

    def leave(self, *, rejoin: bool = False) -> None:
        """Leave the network after the answer is sent."""


def capability(zigbee: ZigbeeMap) -> int:
    """Return the capability bits of a device."""
    bits = zdo.ALLOCATE_ADDRESS
    bits |= zdo.FULL_FUNCTION if zigbee.router else 0
    bits |= zdo.MAINS_POWERED if zigbee.power_source == "mains" else 0
    return bits | (0 if zigbee.sleepy else zdo.RECEIVER_ON)


def node_descriptor(zigbee: ZigbeeMap) -> zdo.NodeDescriptor:
    """Return the node descriptor of a device."""
    kind = zdo.ROUTER if zigbee.router else zdo.END_DEVICE
    return zdo.NodeDescriptor(kind, capability(zigbee), zigbee.manufacturer_code)


class DeviceObject:
    """Answers ZDO requests; payloads without sequence number."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._handlers: dict[int, Callable[[Reader], bytes | None]] = {
            zdo.NWK_ADDR_REQ: self._address,
            zdo.IEEE_ADDR_REQ: self._own_address,
            zdo.NODE_DESC_REQ: self._node_descriptor,
            zdo.POWER_DESC_REQ: self._power_descriptor,
            zdo.SIMPLE_DESC_REQ: self._simple_descriptor,
            zdo.ACTIVE_EP_REQ: self._active_endpoints,
            zdo.MATCH_DESC_REQ: self._match,
            zdo.BIND_REQ: self._bind,
            zdo.UNBIND_REQ: self._unbind,
            zdo.MGMT_LQI_REQ: self._neighbours,
            zdo.MGMT_RTG_REQ: lambda _: u8(zdo.SUCCESS) + bytes(3),
            zdo.MGMT_BIND_REQ: self._binding_table,
            zdo.MGMT_LEAVE_REQ: self._leave,
            zdo.MGMT_PERMIT_JOINING_REQ: lambda _: u8(zdo.SUCCESS),
            zdo.DEVICE_ANNCE: lambda _: None,
            zdo.PARENT_ANNCE: lambda _: None,
        }

    def answer(self, cluster: int, payload: bytes, broadcast: bool) -> bytes | None:
        """Return the payload of the answer, None when the request gets none.

        Broadcast requests are answered only by those whom they concern.
        """
        if cluster & zdo.RESPONSE:
            return None
        handler = self._handlers.get(cluster)
        try:
            if handler is not None:
                answered = handler(Reader(payload, "ZDO request"))
                quiet = broadcast and cluster != zdo.NWK_ADDR_REQ
                return None if quiet else answered
        except CodecError:
            return None if broadcast else u8(zdo.INVALID_REQUEST_TYPE)
        return None if broadcast else u8(zdo.NOT_SUPPORTED)

    def _address(self, r: Reader) -> bytes | None:
        ieee, extended = r.u64(), bool(r.u8())
        if ieee != self._node.ieee:
            return None
        return self._addresses(extended)

    def _own_address(self, r: Reader) -> bytes | None:
        nwk, extended = r.u16(), bool(r.u8())
        return self._addresses(extended) if nwk == self._node.nwk else None

    def _addresses(self, extended: bool) -> bytes:
        node = self._node
        return zdo.AddressResponse(zdo.SUCCESS, node.ieee, node.nwk, extended=extended).encode()

    def _mine(self, r: Reader) -> int:
        nwk = r.u16()
        return zdo.SUCCESS if nwk == self._node.nwk else zdo.DEVICE_NOT_FOUND

    def _node_descriptor(self, r: Reader) -> bytes:
        status = self._mine(r)
        descriptor = node_descriptor(self._node.map) if status == zdo.SUCCESS else None
        return zdo.NodeDescriptorResponse(status, self._node.nwk, descriptor).encode()

    def _power_descriptor(self, r: Reader) -> bytes:
        status = self._mine(r)
        mains = self._node.map.power_source == "mains"
        # Always on, or on periodically; source available and used; level 100 %.
        descriptor = u16(0xC110 if mains else 0xC441)
        return u8(status) + u16(self._node.nwk) + (descriptor if status == zdo.SUCCESS else b"")

    def _simple_descriptor(self, r: Reader) -> bytes:
        status, number, nwk = self._mine(r), r.u8(), self._node.nwk
        if status == zdo.SUCCESS and not 1 <= number <= 240:
            status = zdo.INVALID_ENDPOINT
        for one in self._node.map.endpoints:
            if status == zdo.SUCCESS and one.id == number:
                descriptor = zdo.SimpleDescriptor(
                    one.id,
                    one.profile_id,
                    one.device_id,
                    inputs=tuple(one.server_clusters),
                    outputs=tuple(one.client_clusters),
                )
                return zdo.SimpleDescriptorResponse(status, nwk, descriptor).encode()
        return zdo.SimpleDescriptorResponse(status or zdo.NOT_ACTIVE, nwk).encode()

    def _active_endpoints(self, r: Reader) -> bytes:
        status = self._mine(r)
        endpoints = tuple(one.id for one in self._node.map.endpoints)
        told = endpoints if status == zdo.SUCCESS else ()
        return zdo.ActiveEndpointsResponse(status, self._node.nwk, told).encode()

    def _match(self, r: Reader) -> bytes:
        status, profile = self._mine(r), r.u16()
        inputs, outputs = set(r.words(r.u8())), set(r.words(r.u8()))
        matches = [
            one.id
            for one in self._node.map.endpoints
            if one.profile_id == profile
            and (inputs & set(one.server_clusters) or outputs & set(one.client_clusters))
        ]
        return zdo.ActiveEndpointsResponse(status, self._node.nwk, tuple(matches)).encode()

    def _bind(self, r: Reader) -> bytes:
        binding = zdo.Binding.take(r)
        if binding.source_ieee != self._node.ieee:
            return u8(zdo.NOT_SUPPORTED)
        endpoint = next(
            (one for one in self._node.map.endpoints if one.id == binding.source_endpoint), None
        )
        if endpoint is None:
            return u8(zdo.INVALID_ENDPOINT)
        if binding in self._node.bindings:
            return u8(zdo.SUCCESS)
        if len(self._node.bindings) >= MAX_BINDINGS:
            return u8(zdo.TABLE_FULL)
        self._node.bindings.append(binding)
        return u8(zdo.SUCCESS)

    def _unbind(self, r: Reader) -> bytes:
        binding = zdo.Binding.take(r)
        if binding not in self._node.bindings:
            return u8(zdo.NO_ENTRY)
        self._node.bindings.remove(binding)
        return u8(zdo.SUCCESS)

    def _neighbours(self, r: Reader) -> bytes:
        start = r.u8()
        return zdo.NeighbourTable(0, start, ()).encode()

    def _binding_table(self, r: Reader) -> bytes:
        start, bindings = r.u8(), self._node.bindings
        told = bindings[start : start + 3]
        head = u8(zdo.SUCCESS) + u8(len(bindings)) + u8(start) + u8(len(told))
        return head + b"".join(binding.encode() for binding in told)

    def _leave(self, r: Reader) -> bytes:
        ieee, flags = r.u64(), r.u8()
        if ieee not in {0, self._node.ieee}:
            return u8(zdo.DEVICE_NOT_FOUND)
        self._node.leave(rejoin=bool(flags & 0x80))
        return u8(zdo.SUCCESS)


def binding_state(bindings: list[zdo.Binding]) -> list[list[Any]]:
    """Return bindings as JSON-able data."""
    return [
        [one.source_ieee, one.source_endpoint, one.cluster, one.target, one.target_endpoint]
        for one in bindings
    ]
