"""Who is in the network and where: joins, announces, leaves, and finding devices by address.

Short addresses change; a device is known by its IEEE address. After a start the host knows nobody:
devices are found when they are asked for, in the stick's memory or else by asking the network, or
when a message comes from an address that nobody is known to have. A device that was not reached is
looked for again before the next message to it, once in a while.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from ....sim.clock import US_PER_S, Clock
from ...errors import ReadingError, RigError
from .. import mt, zdo
from ..binary import CodecError, Reader, ieee_text, u8, u16, u64
from ..mt_messages import (
    ADDRESS_BROADCAST,
    BROADCAST_ROUTERS,
    LeaveIndication,
    TcDeviceJoined,
)
from .addresses import StickAddresses
from .devices import Device, DeviceTable
from .link import LinkError
from .sending import NoAnswerError, RefusedError

_TIMEOUT_S: Final = 3.0
"""For the answer to a question about a device, each time it is asked."""
_ATTEMPTS: Final = 3
_LOOK_UP_PAUSE_US: Final = 30 * US_PER_S
_MOST_LOOK_UPS: Final = 4
_ANSWER: Final = 0x2080
"""ZDO answer = request + this: 25 02 → 45 82."""

DeviceCallback = Callable[[str, Device], None]
"""Called with ``joined``, ``announced`` or ``left``, and the device."""


class Host(Protocol):
    """What the network needs of the host that it belongs to."""

    devices: DeviceTable

    @property
    def clock(self) -> Clock:
        """The clock that times of messages come from."""

    @property
    def is_up(self) -> bool:
        """Whether the coordinator's network runs."""

    def expect(self, command: int, condition: Callable[[bytes], bool]) -> asyncio.Future[bytes]:
        """Return the future of the next indication of a kind whose data meets a condition."""

    async def srsp(self, command: int, data: bytes = b"", timeout_s: float = 2.0) -> bytes:
        """Send a request to the coordinator itself and return its answer."""


class Network:
    """Devices and their addresses."""

    def __init__(self, host: Host) -> None:
        """Serve a host; its table is `host.devices`."""
        self._host = host
        self._stick = StickAddresses(host.srsp)
        self._asked_us: dict[int, int] = {}
        self._look_ups: set[asyncio.Task[None]] = set()
        self.on_device: list[DeviceCallback] = []

    async def permit_join(self, seconds: int) -> None:
        """Let devices join for up to 254 s; 0 ends it. Raises `ReadingError`."""
        if not 0 <= seconds <= 254:
            raise RigError(f"devices may join for 0 to 254 s, not {seconds}")
        data = u8(ADDRESS_BROADCAST) + u16(BROADCAST_ROUTERS) + u8(seconds) + u8(0)
        answer = await self._host.srsp(mt.ZDO_MGMT_PERMIT_JOIN_REQ, data)
        if answer[:1] != b"\x00":
            raise LinkError(f"the coordinator lets nobody join ({answer.hex()})")

    async def find(self, ieee: int) -> Device:
        """Return the device with an IEEE address; the stick or the network says where it is.

        Raises `NoAnswerError` when nobody knows.
        """
        known = self._host.devices.get(ieee)
        if known is not None and known.present:
            if known.doubtful:
                await self._find_again(known)
            return known
        if known is None:
            nwk = await self._stick.look_up(ieee)
            if nwk is not None and self._host.devices.at(nwk) is None:
                return self._host.devices.place(ieee, nwk)
        return await self._search(ieee, _ATTEMPTS)

    async def _find_again(self, device: Device) -> None:
        """Ask the network, unless that was done lately, where a device is that was not reached."""
        now_us = self._host.clock.now_us
        device.doubtful = False
        last_us = device.sought_us
        if last_us is not None and now_us - last_us < _LOOK_UP_PAUSE_US:
            return
        device.sought_us = now_us
        with contextlib.suppress(NoAnswerError):  # then it is where it was, or nowhere
            await self._search(device.ieee, 1)

    async def _search(self, ieee: int, attempts: int) -> Device:
        address = u64(ieee)
        data = await self._ask(
            mt.ZDO_NWK_ADDR_REQ,
            address + u8(0) + u8(0),
            lambda answer: answer[1:9] == address,
            f"device {ieee_text(ieee)}",
            attempts,
        )
        r = Reader(data, "ZDO_NWK_ADDR_RSP")
        if r.u8() != zdo.SUCCESS:
            raise NoAnswerError(f"nobody knows where device {ieee_text(ieee)} is")
        r.u64()
        return self._host.devices.place(ieee, r.u16())

    async def wait_for_join(self, ieee: int | None, timeout_s: float) -> Device:
        """Return the next device that announces itself, or the one with an address.

        Raises `NoAnswerError` when none came in time. Call it before the device joins.
        """
        wanted = None if ieee is None else u64(ieee)
        future = self._host.expect(
            mt.ZDO_END_DEVICE_ANNCE_IND,
            lambda data: len(data) >= 13 and (wanted is None or data[4:12] == wanted),
        )
        try:
            async with asyncio.timeout(timeout_s):
                announced = zdo.DeviceAnnounce.decode((await future)[2:])
        except TimeoutError:
            who = "no device" if ieee is None else f"device {ieee_text(ieee)} has not"
            raise NoAnswerError(f"{who} joined within {timeout_s:g} s") from None
        return self._host.devices.place(announced.ieee, announced.nwk)

    async def remove(self, ieee: int) -> None:
        """Ask a device to leave the network."""
        device = await self.find(ieee)
        data = u16(device.nwk) + u64(ieee) + u8(0)
        await self.ask_device(device, mt.ZDO_MGMT_LEAVE_REQ, data)
        self._host.devices.remove(ieee)

    async def ask_device(self, device: Device, command: int, data: bytes) -> bytes:
        """Send a ZDO request that `device` answers; return the answer behind source and status.

        Raises `NoAnswerError`, or `RefusedError` when the status is not success.
        """
        source = u16(device.nwk)
        name = f"{device.model or 'device'} {ieee_text(device.ieee)}"
        answer = await self._ask(command, data, lambda a: a[:2] == source and len(a) > 2, name)
        if answer[2] != zdo.SUCCESS:
            raise RefusedError(
                f"{name} refuses the request {command:04x}: status {answer[2]:#04x}", answer[2]
            )
        return answer[3:]

    def came_back(self) -> None:
        """Take note that the stick was away: it may know other addresses now."""
        self._stick.forget()

    def joined(self, data: bytes, _t_us: int) -> None:
        """Take ZDO_TC_DEV_IND: a device has joined, and will announce itself."""
        message = TcDeviceJoined.decode(data)
        self._stick.forget()
        self._tell("joined", self._host.devices.place(message.ieee, message.nwk))

    def announced(self, data: bytes, t_us: int) -> None:
        """Take ZDO_END_DEVICE_ANNCE_IND: where a device is now."""
        r = Reader(data, "ZDO_END_DEVICE_ANNCE_IND")
        r.u16()
        message = zdo.DeviceAnnounce.decode(r.rest())
        device = self._host.devices.place(message.ieee, message.nwk)
        device.heard_us, device.capability = t_us, message.capability
        self._tell("announced", device)

    def left(self, data: bytes, _t_us: int) -> None:
        """Take ZDO_LEAVE_IND; who is about to rejoin keeps its place."""
        message = LeaveIndication.decode(data)
        if not message.rejoin:
            device = self._host.devices.remove(message.ieee)
            if device is not None:
                self._tell("left", device)

    def look_up(self, nwk: int) -> None:
        """Find out in the background who has a short address; at most now and then."""
        now_us = self._host.clock.now_us
        last_us = self._asked_us.get(nwk)
        recent = last_us is not None and now_us - last_us < _LOOK_UP_PAUSE_US
        if recent or not self._host.is_up or len(self._look_ups) >= _MOST_LOOK_UPS:
            return
        self._asked_us[nwk] = now_us
        if len(self._asked_us) > 256:
            self._asked_us.clear()
        task = asyncio.ensure_future(self._look_up(nwk))
        self._look_ups.add(task)
        task.add_done_callback(self._look_ups.discard)

    async def close(self) -> None:
        """End what goes on in the background."""
        for task in list(self._look_ups):
            task.cancel()
        if self._look_ups:
            await asyncio.wait(self._look_ups)

    async def _look_up(self, nwk: int) -> None:
        try:
            data = await self._ask(
                mt.ZDO_IEEE_ADDR_REQ,
                u16(nwk) + u8(0) + u8(0),
                lambda answer: answer[9:11] == u16(nwk),
                f"device {nwk:#06x}",
            )
            r = Reader(data, "ZDO_IEEE_ADDR_RSP")
            r.u8()
            self._host.devices.place(r.u64(), nwk)
        except (ReadingError, RigError, CodecError):
            pass  # the next message from it asks again

    async def _ask(
        self,
        command: int,
        data: bytes,
        condition: Callable[[bytes], bool],
        name: str,
        attempts: int = _ATTEMPTS,
    ) -> bytes:
        """Send a ZDO request and return the indication that answers it."""
        for _ in range(attempts):
            future = self._host.expect(command + _ANSWER, condition)
            try:
                answer = await self._host.srsp(command, data)
                if answer[:1] != b"\x00":
                    raise LinkError(f"the coordinator refuses {command:04x} ({answer.hex()})")
                async with asyncio.timeout(_TIMEOUT_S):
                    return await future
            except TimeoutError:
                continue
            finally:
                future.cancel()
        raise NoAnswerError(f"{name} gave no answer to {command:04x} ({attempts} attempts)")

    def _tell(self, event: str, device: Device) -> None:
        for callback in self.on_device:
            callback(event, device)
