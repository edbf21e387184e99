"""ZDO requests: discovery, binding, joining; the network's start; the coordinator's own object."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import mt, zdo
from ..binary import CodecError, Reader, u8, u16, u32
from ..devices.end_device import EndDevice
from ..devices.zdo_server import capability
from ..mt_messages import BROADCAST_ALL, BROADCAST_FROM, ExtNetworkInfo, ZdoIncoming
from ..radio import RadioMessage
from .firmware import Firmware
from .formation import set_channel

_ANSWER_US: Final = 1000
_SCAN_US: Final = 60_000
_SUPERFRAME_US: Final = 15_360
_CHANGE_CHANNEL: Final = 0xFE
_NOT_STARTED: Final = 2
#: What a quiet flat looks like to an energy scan.
_ENERGY: Final = 0x50
_NEIGHBOURS_A_MESSAGE: Final = 3
_COORDINATOR_CAPABILITY: Final = 0x8F
_TI: Final = 0x0007
#: Requests that hosts make with their own command: data = destination, then the payload.
_PLAIN: Final = (
    zdo.NODE_DESC_REQ,
    zdo.POWER_DESC_REQ,
    zdo.SIMPLE_DESC_REQ,
    zdo.ACTIVE_EP_REQ,
    zdo.MATCH_DESC_REQ,
    zdo.BIND_REQ,
    zdo.UNBIND_REQ,
    zdo.MGMT_LQI_REQ,
    zdo.MGMT_RTG_REQ,
    zdo.MGMT_BIND_REQ,
    zdo.MGMT_LEAVE_REQ,
)


class ZdoCommands:
    """Answers requests of the subsystem ZDO."""

    def __init__(self, coordinator: Firmware) -> None:
        self._c = coordinator
        self._sequence = 0
        self._own: dict[int, Callable[[Reader], bytes | None]] = {
            zdo.NWK_ADDR_REQ: self._address,
            zdo.IEEE_ADDR_REQ: self._own_address,
            zdo.NODE_DESC_REQ: self._node_descriptor,
            zdo.POWER_DESC_REQ: lambda _: u8(zdo.SUCCESS) + u16(0) + u16(0xC110),
            zdo.SIMPLE_DESC_REQ: self._simple_descriptor,
            zdo.ACTIVE_EP_REQ: self._active_endpoints,
            zdo.MATCH_DESC_REQ: lambda _: zdo.ActiveEndpointsResponse(0, 0).encode(),
            zdo.BIND_REQ: lambda _: u8(zdo.SUCCESS),
            zdo.UNBIND_REQ: lambda _: u8(zdo.SUCCESS),
            zdo.MGMT_LQI_REQ: self._neighbours,
            zdo.MGMT_RTG_REQ: lambda _: bytes(4),
            zdo.MGMT_BIND_REQ: lambda _: bytes(4),
            zdo.MGMT_PERMIT_JOINING_REQ: self._permit,
            zdo.MGMT_NWK_UPDATE_REQ: self._update_network,
        }

    def handlers(self) -> dict[int, Callable[[Reader], bytes]]:
        """Return the handlers by command code."""
        plain = {0x2500 | cluster: self._plain(cluster) for cluster in _PLAIN}
        return {
            **plain,
            mt.ZDO_NWK_ADDR_REQ: self._nwk_address,
            mt.ZDO_IEEE_ADDR_REQ: self._ieee_address,
            mt.ZDO_MGMT_PERMIT_JOIN_REQ: self._permit_request,
            mt.ZDO_MGMT_NWK_UPDATE_REQ: self._update_request,
            mt.ZDO_NWK_DISCOVERY_REQ: self._discover,
            mt.ZDO_MSG_CB_REGISTER: self._register,
            mt.ZDO_MSG_CB_REMOVE: self._register,
            mt.ZDO_STARTUP_FROM_APP: self._startup,
            mt.ZDO_EXT_ROUTE_DISC: lambda r: _done(r, 2),
            mt.ZDO_EXT_ROUTE_CHK: lambda r: _done(r, 2),
            mt.ZDO_EXT_FIND_GROUP: self._find_group,
            mt.ZDO_EXT_ADD_GROUP: self._add_group,
            mt.ZDO_EXT_REMOVE_GROUP: self._remove_group,
            mt.ZDO_EXT_NWK_INFO: self._info,
        }

    # Requests of the host ----------------------------------------------------------------------

    def _plain(self, cluster: int) -> Callable[[Reader], bytes]:
        def handle(r: Reader) -> bytes:
            nwk = r.u16()
            return u8(self._ask(nwk, cluster, r.rest()))

        return handle

    def _ask(self, nwk: int, cluster: int, payload: bytes) -> int:
        self._sequence = sequence = (self._sequence + 1) & 0xFF
        if nwk == 0:
            self.ask_self(cluster, payload, sequence)
            return mt.SUCCESS
        if not self._c.is_up:
            return mt.INVALID_PARAMETER
        message = RadioMessage(nwk, cluster, u8(sequence) + payload, 0, 0, zdo.PROFILE)
        if self._c.buffer_full:
            return mt.BUFFER_FULL
        if nwk >= BROADCAST_FROM:
            self._c.network.broadcast(message, lambda _: None)
        else:
            self._c.network.unicast(nwk, message, lambda _: None, acked=False)
        return mt.SUCCESS

    def _nwk_address(self, r: Reader) -> bytes:
        payload = r.rest()
        Reader(payload, "NWK_addr_req").take(10)
        if int.from_bytes(payload[:8], "little") == self._c.ieee:
            return u8(self._ask(0, zdo.NWK_ADDR_REQ, payload))
        return u8(self._ask(BROADCAST_ALL, zdo.NWK_ADDR_REQ, payload))

    def _ieee_address(self, r: Reader) -> bytes:
        nwk = r.u16()
        return u8(self._ask(nwk, zdo.IEEE_ADDR_REQ, u16(nwk) + r.rest()))

    def _permit_request(self, r: Reader) -> bytes:
        _mode, nwk, duration_s, significance = r.u8(), r.u16(), r.u8(), r.u8()
        payload = zdo.encode_permit_join(duration_s, significance)
        if nwk == 0 or nwk >= BROADCAST_FROM:
            self.ask_self(zdo.MGMT_PERMIT_JOINING_REQ, payload, 0)
        if nwk != 0:
            self._ask(nwk, zdo.MGMT_PERMIT_JOINING_REQ, payload)
        if 0 < nwk < BROADCAST_FROM:
            self.permit_join(duration_s)  # by way of that router
        return u8(mt.SUCCESS)

    def permit_join(self, duration_s: int) -> None:
        """Open or close the network, and tell the host, as recent firmware does."""
        self._c.network.permit_join(duration_s)
        self._c.later(_ANSWER_US, lambda: self._c.send(mt.ZDO_PERMIT_JOIN_IND, u8(duration_s)))

    def _update_request(self, r: Reader) -> bytes:
        nwk, _mode, channels, duration = r.u16(), r.u8(), r.u32(), r.u8()
        payload = u32(channels) + u8(duration) + r.rest()
        target = 0 if nwk >= BROADCAST_FROM else nwk
        return u8(self._ask(target, zdo.MGMT_NWK_UPDATE_REQ, payload))

    def _discover(self, r: Reader) -> bytes:
        """Look for other networks: there are none here, and looking takes its time."""
        channels, exponent = r.u32().bit_count(), min(r.u8(), 14)
        took_us = channels * _SUPERFRAME_US * ((1 << exponent) + 1)
        done = u8(mt.SUCCESS)
        self._c.later(took_us, lambda: self._c.send(mt.ZDO_NWK_DISCOVERY_CNF, done))
        return done

    def _register(self, r: Reader) -> bytes:
        r.u16()
        self._c.all_zdo = True
        return u8(mt.SUCCESS)

    def _startup(self, r: Reader) -> bytes:
        r.u16()  # delay
        if self._c.is_up:
            self._c.send_state_later(_ANSWER_US)
            return u8(mt.SUCCESS)
        return u8(mt.SUCCESS if self._c.start_network(resume_only=True) else _NOT_STARTED)

    def _find_group(self, r: Reader) -> bytes:
        endpoint, group = r.u8(), r.u16()
        known = (endpoint, group) in self._c.groups
        return u8(mt.SUCCESS if known else mt.FAILURE) + u16(group) + u8(0)

    def _add_group(self, r: Reader) -> bytes:
        self._c.groups.add((r.u8(), r.u16()))
        return u8(mt.SUCCESS)

    def _remove_group(self, r: Reader) -> bytes:
        self._c.groups.discard((r.u8(), r.u16()))
        return u8(mt.SUCCESS)

    def _info(self, _: Reader) -> bytes:
        info, state = self._c.info, self._c.device_state
        if info is None or not self._c.is_up:
            return ExtNetworkInfo(0xFFFE, state, 0xFFFF, 0xFFFE, 0, 0, 0).encode()
        extended = int.from_bytes(info.extended_pan, "little")
        return ExtNetworkInfo(0, state, info.pan, 0, extended, 0, info.channel).encode()

    # Messages of devices -------------------------------------------------------------------------

    def incoming(self, source: int, cluster: int, payload: bytes, sequence: int) -> None:
        """Pass a ZDO message on, in each of the forms that the host has asked for."""
        c = self._c
        if c.nv.get(0x8F) == b"\x01" and cluster & zdo.RESPONSE:
            typed = self._typed(source, cluster, payload)
            if typed is not None:
                c.send(*typed)
        if c.all_zdo:
            message = ZdoIncoming(source, cluster, payload, sequence=sequence)
            c.send(mt.ZDO_MSG_CB_INCOMING, message.encode())

    @staticmethod
    def _typed(source: int, cluster: int, payload: bytes) -> tuple[int, bytes] | None:
        command = 0x4580 | cluster & 0x7F
        if cluster & ~zdo.RESPONSE in {zdo.NWK_ADDR_REQ, zdo.IEEE_ADDR_REQ}:
            try:
                return command, zdo.AddressResponse.decode(payload).encode_mt()
            except CodecError:
                return None
        return command, u16(source) + payload

    def announced(self, announce: zdo.DeviceAnnounce) -> None:
        """Tell the host of a device announce, in both forms."""
        data = announce.encode()
        self._c.send(mt.ZDO_END_DEVICE_ANNCE_IND, u16(announce.nwk) + data)
        if self._c.all_zdo:
            message = ZdoIncoming(announce.nwk, zdo.DEVICE_ANNCE, data, broadcast=True)
            self._c.send(mt.ZDO_MSG_CB_INCOMING, message.encode())

    @staticmethod
    def capability_of(device: EndDevice) -> int:
        """Return the capability bits of a device."""
        return capability(device.map)

    def overheard(self, message: RadioMessage) -> None:
        """Take part in what the host broadcasts to everybody: opening the network."""
        if message.cluster == zdo.MGMT_PERMIT_JOINING_REQ and len(message.payload) >= 2:
            self.permit_join(message.payload[1])

    # The coordinator's own device object ---------------------------------------------------------

    def ask_self(self, cluster: int, payload: bytes, sequence: int) -> None:
        """Answer a request to the coordinator itself, after the host's request is answered."""
        handler = self._own.get(cluster)
        try:
            back = u8(zdo.NOT_SUPPORTED) if handler is None else handler(Reader(payload, "ZDO"))
        except CodecError:
            back = u8(zdo.INVALID_REQUEST_TYPE)
        if back is None:
            return
        delay_us = _SCAN_US if cluster == zdo.MGMT_NWK_UPDATE_REQ else _ANSWER_US
        answer = back
        self._c.later(delay_us, lambda: self.incoming(0, cluster | zdo.RESPONSE, answer, sequence))

    def _address(self, r: Reader) -> bytes | None:
        if r.u64() != self._c.ieee:
            return None
        return self._addresses(bool(r.u8()))

    def _own_address(self, r: Reader) -> bytes:
        r.u16()
        return self._addresses(bool(r.u8()))

    def _addresses(self, extended: bool) -> bytes:
        members = tuple(one.nwk for one in self._c.network.members()) if extended else ()
        return zdo.AddressResponse(0, self._c.ieee, 0, members, extended=extended).encode()

    def _node_descriptor(self, r: Reader) -> bytes:
        descriptor = zdo.NodeDescriptor(
            zdo.COORDINATOR, _COORDINATOR_CAPABILITY, _TI, server_mask=0x2C41
        )
        return zdo.NodeDescriptorResponse(zdo.SUCCESS, r.u16(), descriptor).encode()

    def _simple_descriptor(self, r: Reader) -> bytes:
        nwk, number = r.u16(), r.u8()
        endpoint = self._c.endpoints.get(number)
        if endpoint is None:
            return zdo.SimpleDescriptorResponse(zdo.NOT_ACTIVE, nwk).encode()
        descriptor = zdo.SimpleDescriptor(
            number,
            endpoint.profile,
            endpoint.device,
            endpoint.version & 0x0F,
            endpoint.inputs,
            endpoint.outputs,
        )
        return zdo.SimpleDescriptorResponse(zdo.SUCCESS, nwk, descriptor).encode()

    def _active_endpoints(self, r: Reader) -> bytes:
        endpoints = tuple(sorted(self._c.endpoints))
        return zdo.ActiveEndpointsResponse(zdo.SUCCESS, r.u16(), endpoints).encode()

    def _neighbours(self, r: Reader) -> bytes:
        start, members = r.u8(), self._c.network.members()
        info = self._c.info
        pan = 0 if info is None else int.from_bytes(info.extended_pan, "little")
        told = members[start : start + _NEIGHBOURS_A_MESSAGE]
        entries = tuple(
            zdo.Neighbour(
                extended_pan=pan,
                ieee=one.ieee,
                nwk=one.nwk,
                logical_type=zdo.ROUTER if one.map.router else zdo.END_DEVICE,
                receiver_on=not one.map.sleepy,
                relationship=1,
                depth=1,
                lqi=160,
            )
            for one in told
        )
        return zdo.NeighbourTable(len(members), start, entries).encode()

    def _permit(self, r: Reader) -> bytes:
        self.permit_join(r.u8())
        return u8(zdo.SUCCESS)

    def _update_network(self, r: Reader) -> bytes | None:
        mask, duration = r.u32(), r.u8()
        channels = [channel for channel in range(11, 27) if mask >> channel & 1]
        if duration == _CHANGE_CHANNEL:
            if channels:
                set_channel(self._c.nv, channels[0])
                self._c.changed()
            return None
        head = u8(zdo.SUCCESS) + u32(mask) + u16(0) + u16(0) + u8(len(channels))
        return head + bytes([_ENERGY] * len(channels))


def _done(r: Reader, size: int) -> bytes:
    """Answer that all is well to a request of at least `size` bytes that changes nothing here."""
    r.take(size)
    return u8(mt.SUCCESS)
