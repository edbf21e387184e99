"""Messages to devices: what is sent again, what is waited for, and how failure is told.

**Retry policy.** A unicast is tried up to `RetryPolicy.attempts` times, when the coordinator has no
room for it (BUFFER_FULL, MEM_ERROR) or the mesh says that it did not arrive (MAC_NO_ACK, NO_ROUTE,
EXPIRED, CHANNEL_ACCESS_FAILURE, APS_NO_ACK), after a pause that doubles; NO_ROUTE looks for a route
first. All attempts have the same sequence number and share one time limit. A message that was
delivered but not answered is sent again only if the caller says that this does no harm (reads,
writes, configuration). Broadcasts are never repeated: each takes an entry of a table that holds
eight.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass
from typing import Final

from ...errors import ReadingError
from .. import mt
from ..binary import u16
from ..mt_messages import ADDRESS_BROADCAST, AfDataRequest
from ..zcl import SUCCESS, ZclFrame
from .link import LinkDownError, LinkTimeoutError, MtLink
from .start import ENDPOINT

_ACK_AND_ROUTE: Final = 0x30
"""AF options: APS acknowledgement, discover a route if there is none."""
RADIUS: Final = 30
_UNSURE: Final = -1
"""The coordinator's answer was lost: the message may be on its way."""
_SILENT: Final = -2
"""It was delivered, but no answer came."""
_NAMES: Final = {
    _SILENT: "no answer",
    _UNSURE: "the coordinator did not answer",
    mt.MEM_ERROR: "no memory",
    mt.BUFFER_FULL: "buffer full",
    mt.APS_NO_ACK: "no acknowledgement from the device",
    mt.NWK_NO_ROUTE: "no route",
    mt.MAC_CHANNEL_ACCESS_FAILURE: "channel busy",
    mt.MAC_NO_ACK: "no acknowledgement from the next hop",
    mt.MAC_TRANSACTION_EXPIRED: "the device did not fetch it",
}
_AGAIN: Final = frozenset(_NAMES)
_EXT: Final = struct.Struct("<BQBHBHBBBH")
"""AF_DATA_REQUEST_EXT: address mode, address, endpoint, PAN, own endpoint, cluster, transaction,
options, radius, length."""
TABLE_FULL: Final = frozenset({mt.BUFFER_FULL, mt.MEM_ERROR})
"""Answers to a broadcast that mean: no room now."""


class DeviceError(ReadingError):
    """A device did not do as asked, this time."""


class DeliveryError(DeviceError):
    """A message did not arrive; `status` is the coordinator's code."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class NoAnswerError(DeviceError):
    """A device did not answer in time."""


class RefusedError(DeviceError):
    """A device answered that it will not; `status` is the code of the cluster library."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how long a unicast is tried."""

    attempts: int = 3
    pause_s: float = 0.25
    """Before the second attempt; twice as long before each further one."""
    timeout_s: float = 5.0
    """For the answer, all attempts together."""
    sleepy_timeout_s: float = 12.0
    """The same for devices that listen only when they poll (7.5 s at most)."""
    again_s: float = 1.5
    """What may be sent again is, after so long without an answer."""


@dataclass(slots=True)
class Call:
    """A unicast under way: which answer belongs to it."""

    nwk: int
    endpoint: int
    cluster: int
    request: ZclFrame
    response: int | None
    """Command of the answer; None: the default response."""
    wake: asyncio.Future[None]
    answer: ZclFrame | None = None
    status: int | None = None
    """Of the data confirm, if it came."""
    transaction: int = -1

    def takes(self, endpoint: int, cluster: int, frame: ZclFrame) -> bool:
        """Return whether a frame with the right sequence number answers this call."""
        asked = self.request
        if cluster != self.cluster or endpoint != self.endpoint:
            return False
        if frame.from_server == asked.from_server:
            return False
        if frame.is_default_response:
            about = len(frame.payload) >= 2 and frame.payload[0] == asked.command
            # With an answer of its own due, only a refusal takes its place.
            return about and (self.response is None or frame.payload[1] != SUCCESS)
        return (
            frame.command == self.response
            and frame.cluster_command == asked.cluster_command
            and frame.manufacturer == asked.manufacturer
        )

    def rouse(self) -> None:
        """Wake whoever waits."""
        if not self.wake.done():
            self.wake.set_result(None)


class Sender:
    """Sends over a link, and joins confirms and answers to what was sent."""

    def __init__(self, policy: RetryPolicy) -> None:
        """Begin without a link."""
        self.policy = policy
        self.link: MtLink | None = None
        self._calls: dict[tuple[int, int], Call] = {}
        self._confirms: dict[int, Call | asyncio.Future[int]] = {}
        self._sequence = 0
        self._transaction = 0
        self.retries = 0
        self.late_answers = 0

    def next_sequence(self, nwk: int = -1) -> int:
        """Return a sequence number that no call to this device has now."""
        for _ in range(256):
            self._sequence = (self._sequence + 1) & 0xFF
            if (nwk, self._sequence) not in self._calls:
                return self._sequence
        raise DeviceError(f"256 requests to the device {nwk:#06x} are under way")

    async def call(
        self,
        nwk: int,
        endpoint: int,
        cluster: int,
        request: ZclFrame,
        response: int | None,
        *,
        timeout_s: float | None = None,
        attempts: int | None = None,
        again_s: float | None = None,
        name: str = "",
    ) -> ZclFrame:
        """Send a frame to a device and return its answer.

        With `again_s` it is sent again when no answer came for so long. Raises `DeliveryError`,
        `NoAnswerError`, or `LinkError` when the coordinator fails.
        """
        loop = asyncio.get_running_loop()
        call = Call(nwk, endpoint, cluster, request, response, loop.create_future())
        key = (nwk, request.sequence)
        self._calls[key] = call
        limit_s = self.policy.timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit_s):
                return await self._tries(call, attempts or self.policy.attempts, again_s, name)
        except TimeoutError:
            arrived = "took the message, but" if call.status == SUCCESS else "took no message and"
            raise NoAnswerError(
                f"{name or hex(nwk)} {arrived} gave no answer within {limit_s:g} s"
            ) from None
        finally:
            del self._calls[key]
            self._confirms.pop(call.transaction, None)

    async def broadcast(
        self, address: int, endpoint: int, cluster: int, frame: bytes, confirm_s: float = 0.0
    ) -> int:
        """Send a frame to everybody; return the coordinator's status.

        With `confirm_s` the confirm is waited for that long; its status counts then, since a full
        table shows there. None in time means success: the coordinator took the message.
        """
        transaction = self._next_transaction()
        message = _EXT.pack(
            ADDRESS_BROADCAST,
            address,
            endpoint,
            0,
            ENDPOINT,
            cluster,
            transaction,
            0,
            RADIUS,
            len(frame),
        )
        confirm: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._confirms[transaction] = confirm
        try:
            answer = await self._link().request(mt.AF_DATA_REQUEST_EXT, message + frame)
            status = answer[0] if answer else mt.FAILURE
            if status == mt.SUCCESS and confirm_s > 0:
                if not confirm.done():
                    timer = confirm.get_loop().call_later(confirm_s, _assume_success, confirm)
                    await confirm
                    timer.cancel()
                status = confirm.result()
            return status
        finally:
            if self._confirms.get(transaction) is confirm:
                del self._confirms[transaction]

    def post(self, nwk: int, endpoint: int, cluster: int, frame: bytes) -> None:
        """Send a frame to a device; nobody cares whether it arrives."""
        if self.link is not None:
            message = self._message(nwk, endpoint, cluster, self._next_transaction(), frame)
            self.link.post(mt.AF_DATA_REQUEST, message)

    def confirmed(self, data: bytes) -> None:
        """Take an AF_DATA_CONFIRM: status, endpoint, transaction."""
        if len(data) < 3:
            return
        waiting = self._confirms.pop(data[2], None)
        if isinstance(waiting, asyncio.Future):
            if not waiting.done():
                waiting.set_result(data[0])
        elif waiting is not None:
            waiting.status = data[0]
            if data[0] != mt.SUCCESS:
                waiting.rouse()

    def answered(self, nwk: int, endpoint: int, cluster: int, frame: ZclFrame) -> bool:
        """Take a frame from a device; return whether it answers a call."""
        call = self._calls.get((nwk, frame.sequence))
        if call is None or call.answer is not None or not call.takes(endpoint, cluster, frame):
            return False
        call.answer = frame
        call.rouse()
        return True

    def fail_all(self, why: str) -> None:
        """Fail every call under way: what was sent is lost."""
        for call in self._calls.values():
            if not call.wake.done():
                call.wake.set_exception(LinkDownError(why))
                call.wake.exception()  # looked at, even if the call ends otherwise
        self._confirms.clear()

    async def _tries(self, call: Call, attempts: int, again_s: float | None, name: str) -> ZclFrame:
        status = mt.FAILURE
        for attempt in range(attempts):
            if attempt:
                self.retries += 1
                if status != _SILENT:
                    await self._pause(call, status, attempt)
            if call.answer is None:
                last = again_s is None or attempt + 1 == attempts
                status = await self._try(call, None if last else again_s)
            if call.answer is not None:
                return call.answer
            if status not in _AGAIN:
                break
        reason = _NAMES.get(status) or f"status {status:#04x}"
        raise DeliveryError(
            f"{name or hex(call.nwk)} is not reached: {reason} ({attempts} attempts)", status
        )

    async def _try(self, call: Call, limit_s: float | None) -> int:
        """Send once and wait for the answer, or for the news that it did not arrive."""
        self._confirms.pop(call.transaction, None)
        call.transaction, call.status = self._next_transaction(), None
        call.wake = asyncio.get_running_loop().create_future()
        self._confirms[call.transaction] = call
        frame = call.request.encode()
        message = self._message(call.nwk, call.endpoint, call.cluster, call.transaction, frame)
        try:
            answer = await self._link().request(mt.AF_DATA_REQUEST, message)
        except LinkTimeoutError:
            return _UNSURE
        status = answer[0] if answer else mt.FAILURE
        if status != mt.SUCCESS:
            return status
        if call.answer is None:
            try:
                async with asyncio.timeout(limit_s):
                    await call.wake
            except TimeoutError:
                return _SILENT
        return mt.SUCCESS if call.status is None else call.status

    async def _pause(self, call: Call, status: int, attempt: int) -> None:
        if status == mt.NWK_NO_ROUTE:
            discover = u16(call.nwk) + bytes((1, RADIUS))
            await self._link().request(mt.ZDO_EXT_ROUTE_DISC, discover)
        call.wake = asyncio.get_running_loop().create_future()
        if call.answer is None:
            # An answer to the attempt that was thought lost may come all the same.
            await asyncio.wait([call.wake], timeout=self.policy.pause_s * 2 ** (attempt - 1))

    def _link(self) -> MtLink:
        if self.link is None:
            raise LinkDownError("the coordinator is away; connecting again")
        return self.link

    def _next_transaction(self) -> int:
        for _ in range(256):
            self._transaction = (self._transaction + 1) & 0xFF
            if self._transaction not in self._confirms:
                return self._transaction
        raise DeviceError("256 messages are under way")

    def _message(
        self, nwk: int, endpoint: int, cluster: int, transaction: int, frame: bytes
    ) -> bytes:
        return AfDataRequest(
            destination=nwk,
            destination_endpoint=endpoint,
            source_endpoint=ENDPOINT,
            cluster=cluster,
            transaction=transaction,
            payload=frame,
            options=_ACK_AND_ROUTE,
            radius=RADIUS,
        ).encode()


def _assume_success(confirm: asyncio.Future[int]) -> None:
    if not confirm.done():
        confirm.set_result(mt.SUCCESS)
