"""AF requests: endpoints of the host, and messages to devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .. import mt
from ..binary import Reader, u8
from ..mt_messages import (
    ADDRESS_BROADCAST,
    ADDRESS_GROUP,
    ADDRESS_IEEE,
    ADDRESS_NONE,
    BROADCAST_FROM,
    AfDataConfirm,
    AfDataRequest,
    AfDataRequestExt,
    AfRegister,
)
from ..radio import RadioMessage
from ..zdo import PROFILE
from .firmware import Firmware

_ACK_REQUEST: Final = 0x10
_MOST_PAYLOAD: Final = 1600
_LOCAL_US: Final = 1000
_HOME_AUTOMATION: Final = 0x0104


class AfCommands:
    """Answers requests of the subsystem AF."""

    def __init__(self, coordinator: Firmware) -> None:
        self._c = coordinator
        self._stored: tuple[AfDataRequestExt, bytearray] | None = None

    def clear(self) -> None:
        """Forget a message that was on its way in from the host."""
        self._stored = None

    def handlers(self) -> dict[int, Callable[[Reader], bytes]]:
        """Return the handlers by command code."""
        return {
            mt.AF_REGISTER: self._register,
            mt.AF_DELETE: self._delete,
            mt.AF_DATA_REQUEST: self._request,
            mt.AF_DATA_REQUEST_EXT: self._request_ext,
            mt.AF_DATA_STORE: self._store,
        }

    def _register(self, r: Reader) -> bytes:
        endpoint = AfRegister.decode(r.rest())
        if endpoint.endpoint in self._c.endpoints:
            return u8(mt.APS_DUPLICATE_ENTRY)
        if not 1 <= endpoint.endpoint <= 254:
            return u8(mt.INVALID_PARAMETER)
        self._c.endpoints[endpoint.endpoint] = endpoint
        return u8(mt.SUCCESS)

    def _delete(self, r: Reader) -> bytes:
        known = self._c.endpoints.pop(r.u8(), None) is not None
        return u8(mt.SUCCESS if known else mt.INVALID_PARAMETER)

    def _request(self, r: Reader) -> bytes:
        one = AfDataRequest.decode(r.rest())
        message = self._message(
            one.destination,
            one.cluster,
            one.payload,
            one.source_endpoint,
            one.destination_endpoint,
            group=False,
        )
        return u8(self._send(message, one.transaction, acked=bool(one.options & _ACK_REQUEST)))

    def _request_ext(self, r: Reader) -> bytes:
        one = AfDataRequestExt.decode(r.rest())
        if one.length > len(one.payload):
            if one.length > _MOST_PAYLOAD:
                return u8(mt.INVALID_PARAMETER)
            self._stored = one, bytearray(one.length)
            return u8(mt.SUCCESS)
        return u8(self._send_ext(one, one.payload[: one.length]))

    def _store(self, r: Reader) -> bytes:
        index, data = r.u16(), r.take(r.u8())
        if self._stored is None:
            return u8(mt.FAILURE)
        one, buffer = self._stored
        if not data:  # everything is there
            self._stored = None
            return u8(self._send_ext(one, bytes(buffer)))
        if index + len(data) > len(buffer):
            return u8(mt.INVALID_PARAMETER)
        buffer[index : index + len(data)] = data
        return u8(mt.SUCCESS)

    def _send_ext(self, one: AfDataRequestExt, payload: bytes) -> int:
        destination = one.destination
        if one.mode == ADDRESS_IEEE:
            device = self._c.network.devices.get(destination)
            own = destination == self._c.ieee
            destination = 0 if own else 0xFFFE if device is None else device.nwk
        elif one.mode == ADDRESS_BROADCAST:
            destination = max(destination, BROADCAST_FROM)
        elif one.mode == ADDRESS_NONE:
            return mt.INVALID_PARAMETER  # to bindings of the host's own: there are none
        message = self._message(
            destination,
            one.cluster,
            payload,
            one.source_endpoint,
            one.destination_endpoint,
            group=one.mode == ADDRESS_GROUP,
        )
        return self._send(message, one.transaction, acked=bool(one.options & _ACK_REQUEST))

    def _message(
        self, nwk: int, cluster: int, payload: bytes, source: int, target: int, *, group: bool
    ) -> RadioMessage:
        endpoint = self._c.endpoints.get(source)
        profile = _HOME_AUTOMATION if endpoint is None else endpoint.profile
        if source == 0 and not group and target == 0:
            profile = PROFILE
        return RadioMessage(nwk, cluster, payload, source, target, profile, group)

    def _send(self, message: RadioMessage, transaction: int, *, acked: bool) -> int:
        source = message.source_endpoint
        if source != 0 and source not in self._c.endpoints:
            return mt.INVALID_PARAMETER

        def done(status: int) -> None:
            confirm = AfDataConfirm(status, source, transaction)
            self._c.send(mt.AF_DATA_CONFIRM, confirm.encode())

        if not self._c.is_up and message.destination != 0:
            return mt.INVALID_PARAMETER
        if self._c.buffer_full:
            self._c.later(_LOCAL_US, lambda: done(mt.BUFFER_FULL))
            return mt.SUCCESS
        life_done = self._until_reset(done)
        if message.group or message.destination >= BROADCAST_FROM:
            self._c.network.broadcast(message, life_done)
            if message.profile == PROFILE:
                self._c.zdo.overheard(message)
        elif message.destination == 0:
            self._c.later(_LOCAL_US, lambda: done(mt.SUCCESS))
            self._loop_back(message)
        else:
            self._c.network.unicast(message.destination, message, life_done, acked=acked)
        return mt.SUCCESS

    def _until_reset(self, done: Callable[[int], None]) -> Callable[[int], None]:
        life = self._c.life

        def guarded(status: int) -> None:
            if life == self._c.life:
                done(status)

        return guarded

    def _loop_back(self, message: RadioMessage) -> None:
        if message.profile == PROFILE:
            if message.payload:
                self._c.zdo.ask_self(message.cluster, message.payload[1:], message.payload[0])
        else:
            self._c.later(2 * _LOCAL_US, lambda: self._c.incoming(0, message))
