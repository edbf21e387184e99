"""From a stick in whatever state to a coordinator that is up: resume its network, or form one.

An existing network is never wiped: a stick that runs another network than the rig says is an error
for a person to resolve. Whether there is one follows from the stick's NIB (network information
base). Sequence and items: TI SWRA198 and zigbee-herdsman (MIT).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ...errors import RigError
from .. import mt
from ..binary import CodecError, u8, u16, u32, u64
from ..heater import CLUSTER as HEATER
from ..mt_messages import AfRegister, ExtNetworkInfo
from ..zcl import (
    BASIC,
    ELECTRICAL_MEASUREMENT,
    HOME_AUTOMATION,
    HUMIDITY,
    LEVEL_CONTROL,
    METERING,
    ON_OFF,
    OTA,
    TEMPERATURE,
    TIME,
)
from .link import CommandError, LinkError, LinkTimeoutError, MtLink

ENDPOINT: Final = 1
COORDINATOR_UP: Final = 9
"""Device state of a coordinator whose network runs."""
_SOFT_RESET: Final = 1
_FORMATION: Final = 4
_BOOTLOADER_SKIP: Final = b"\xef"
_PRODUCTS: Final = {1: "Z-Stack 3.x.0", 2: "Z-Stack 3.0.x"}

# NV items.
_STARTUP_OPTION: Final = 0x0003
_NIB: Final = 0x0021
_EXTENDED_PAN: Final = 0x002D
_APS_EXTENDED_PAN: Final = 0x0047
_CONFIGURED: Final = 0x0060
_KEY: Final = 0x0062
_KEY_ENABLE: Final = 0x0063
_PAN: Final = 0x0083
_CHANNELS: Final = 0x0084
_LOGICAL_TYPE: Final = 0x0087
_DIRECT_CALLBACKS: Final = 0x008F
_CLEAR_NETWORK: Final = 0x02
_IS_CONFIGURED: Final = 0x55

Expect = Callable[[int, Callable[[bytes], bool]], "asyncio.Future[bytes]"]
"""Returns the future of the next indication of a kind whose data meets a condition."""


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """The network that the coordinator has, or is to form."""

    channel: int = 15
    pan_id: int | None = None
    """None: whatever the stick has; drawn when a network is formed."""
    extended_pan_id: int | None = None
    key: bytes | None = field(default=None, repr=False)
    """16 bytes; None: drawn. Used for forming only, never read back or written down."""
    form: Literal["if_absent", "never"] = "if_absent"
    random: Callable[[int], bytes] = os.urandom
    """Where what is drawn comes from; seeded in emulation."""
    timeout_s: float = 60.0
    """For the network to be up; forming scans channels and takes seconds."""


@dataclass(frozen=True, slots=True)
class Coordinator:
    """Who the coordinator is and which network it runs."""

    ieee: int
    product: str
    release: str
    revision: int
    """Of the firmware; reads like a date."""
    channel: int
    pan_id: int
    extended_pan_id: int
    formed: bool
    """Whether the network was formed just now, so that no device can know it."""

    def identity(self) -> dict[str, Any]:
        """Return what the record says."""
        return {
            "ieee": f"0x{self.ieee:016x}",
            "firmware": f"{self.product} {self.release}, {self.revision}",
            "channel": self.channel,
            "pan_id": f"0x{self.pan_id:04x}",
            "extended_pan_id": f"0x{self.extended_pan_id:016x}",
        }


async def bring_up(link: MtLink, expect: Expect, settings: NetworkSettings) -> Coordinator:
    """Return the coordinator, with its network up and the host's endpoint registered.

    Raises:
        LinkError: It did not answer, or refused a command that it needs.
        RigError: It runs another network than is wanted, or none and must not form one.
    """
    start = _Start(link, expect, settings)
    try:
        return await start.run()
    except CodecError as error:
        raise LinkError(f"the coordinator's answer makes no sense: {error}") from error


class _Start:
    def __init__(self, link: MtLink, expect: Expect, settings: NetworkSettings) -> None:
        self._link, self._expect, self._settings = link, expect, settings

    async def run(self) -> Coordinator:
        await self._ping()
        product, release, revision = await self._version()
        exists = await self._has_network()
        if not exists and self._settings.form == "never":
            raise RigError(
                "the coordinator has no network; let it form one first (form: if_absent)"
            )
        if exists:
            await self._direct_callbacks()
            await self._resume()
        else:
            await self._form()
        again = self._expect(mt.SYS_RESET_IND, lambda data: True)
        info = await self._network()
        self._check(info)
        await self._register()
        ieee = int.from_bytes(_exactly(await self._link.request(mt.SYS_GET_EXT_ADDR), 8), "little")
        if again.done():
            raise LinkError("the coordinator was reset while it was started")
        again.cancel()
        return Coordinator(
            ieee=ieee,
            product=product,
            release=release,
            revision=revision,
            channel=info.channel,
            pan_id=info.pan,
            extended_pan_id=info.extended_pan,
            formed=not exists,
        )

    async def _ping(self) -> None:
        """Find out whether it answers; a boot loader that waits for an update is told to go on."""
        try:
            await self._link.request(mt.SYS_PING, timeout_s=1.0)
        except LinkTimeoutError:
            self._link.write_raw(_BOOTLOADER_SKIP)
            await asyncio.sleep(1.0)
            await self._link.request(mt.SYS_PING, timeout_s=1.0)

    async def _version(self) -> tuple[str, str, int]:
        data = await self._link.request(mt.SYS_VERSION)
        if len(data) < 5:
            raise LinkError("the coordinator does not say its version")
        product = _PRODUCTS.get(data[1])
        if product is None:
            raise RigError(
                f"the coordinator's firmware (product {data[1]}) is not Z-Stack 3; flash one that "
                "is (Z-Stack 3.x.0 on CC2652 and CC1352)"
            )
        revision = int.from_bytes(data[5:9], "little")
        return product, ".".join(str(part) for part in data[2:5]), revision

    async def _has_network(self) -> bool:
        nib = await self._read_nv(_NIB)
        if nib is None:
            return False
        # Aligned (116 bytes, CC2652): PAN id at 36. Packed ones are another product.
        return len(nib) != 116 or nib[36:38] != b"\xff\xff"

    async def _direct_callbacks(self) -> None:
        """Make ZDO answers arrive; the firmware reads the item when it boots."""
        if await self._read_nv(_DIRECT_CALLBACKS) != b"\x01":
            await self._write_nv(_DIRECT_CALLBACKS, b"\x01")
            await self._reset()

    async def _resume(self) -> None:
        info = await self._link.request(mt.UTIL_GET_DEVICE_INFO)
        if len(info) >= 13 and info[12] == COORDINATOR_UP:
            return
        up = self._expect(mt.ZDO_STATE_CHANGE_IND, _is_up)
        # 0 restored, 1 new; 2 means that it will not start.
        status = await self._link.request(mt.ZDO_STARTUP_FROM_APP, u16(100), 10.0)
        if status[:1] not in {b"\x00", b"\x01"}:
            raise LinkError(f"the coordinator does not start its network ({status.hex()})")
        await self._within(up, self._settings.timeout_s, "did not start its network")

    async def _form(self) -> None:
        settings = self._settings
        pan_id = settings.pan_id or 1 + int.from_bytes(settings.random(2), "little") % 0xFFFD
        extended = settings.extended_pan_id or int.from_bytes(settings.random(8), "little")
        key = settings.key or settings.random(16)
        if len(key) != 16:
            raise RigError(f"a network key has 16 bytes, not {len(key)}")
        await self._write_nv(_STARTUP_OPTION, u8(_CLEAR_NETWORK))
        await self._reset()
        mask = u32(1 << settings.channel)
        for item, value in (
            (_LOGICAL_TYPE, b"\x00"),
            (_KEY_ENABLE, b"\x00"),
            (_DIRECT_CALLBACKS, b"\x01"),
            (_CHANNELS, mask),
            (_PAN, u16(pan_id)),
            (_EXTENDED_PAN, u64(extended)),
            (_APS_EXTENDED_PAN, u64(extended)),
            (_KEY, key),
        ):
            await self._write_nv(item, value)
        await self._status(mt.APP_CNF_BDB_SET_CHANNEL, b"\x01" + mask)
        await self._status(mt.APP_CNF_BDB_SET_CHANNEL, b"\x00" + u32(0))
        up = self._expect(mt.ZDO_STATE_CHANGE_IND, _is_up)
        await self._status(mt.APP_CNF_BDB_START_COMMISSIONING, u8(_FORMATION))
        await self._within(up, settings.timeout_s, "formed no network (is the PAN id in use?)")
        await self._write_nv(_STARTUP_OPTION, b"\x00")
        await self._write_nv(_CONFIGURED, u8(_IS_CONFIGURED))

    async def _within(self, future: asyncio.Future[bytes], limit_s: float, failed: str) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await future
        except TimeoutError:
            raise LinkTimeoutError(f"the coordinator {failed} within {limit_s:g} s") from None

    async def _network(self) -> ExtNetworkInfo:
        """Return the network's numbers; after forming they take a while to settle."""
        for _ in range(10):
            info = ExtNetworkInfo.decode(await self._link.request(mt.ZDO_EXT_NWK_INFO))
            if info.pan not in {0, 0xFFFF} and info.channel:
                return info
            await asyncio.sleep(1.0)
        raise LinkError("the coordinator's network does not come up")

    def _check(self, info: ExtNetworkInfo) -> None:
        wanted = self._settings
        differs = [
            f"{name} {found:#x}, not {asked:#x}"
            for name, found, asked in (
                ("PAN id", info.pan, wanted.pan_id),
                ("extended PAN id", info.extended_pan, wanted.extended_pan_id),
            )
            if asked is not None and asked != found
        ]
        if differs:
            raise RigError(
                f"the coordinator runs another network: {'; '.join(differs)}. Correct the rig "
                "file, or clear the stick by hand (its devices would have to join anew)"
            )

    async def _register(self) -> None:
        mine = AfRegister(
            endpoint=ENDPOINT,
            profile=HOME_AUTOMATION,
            device=0x0005,  # configuration tool
            inputs=(BASIC, TIME, OTA),
            outputs=(
                *(BASIC, ON_OFF, LEVEL_CONTROL, TEMPERATURE, HUMIDITY),
                *(METERING, ELECTRICAL_MEASUREMENT, HEATER),
            ),
        )
        await self._status(mt.AF_REGISTER, mine.encode(), also=mt.APS_DUPLICATE_ENTRY)

    async def _reset(self) -> None:
        booted = self._expect(mt.SYS_RESET_IND, lambda data: True)
        self._link.send(mt.SYS_RESET_REQ, u8(_SOFT_RESET))
        await self._within(booted, 10.0, "did not come back from its reset")

    async def _status(self, command: int, data: bytes, also: int = mt.SUCCESS) -> None:
        answer = await self._link.request(command, data, 10.0)
        if not answer or answer[0] not in {mt.SUCCESS, also}:
            raise CommandError(f"the coordinator refuses command {command:04x}: {answer.hex()}")

    async def _read_nv(self, item: int) -> bytes | None:
        length = int.from_bytes(
            _exactly(await self._link.request(mt.SYS_NV_LENGTH, u16(item)), 2), "little"
        )
        if length == 0:
            return None
        value = b""
        while len(value) < length:
            answer = await self._link.request(mt.SYS_NV_READ_EXT, u16(item) + u16(len(value)))
            if len(answer) < 3 or answer[0] != mt.SUCCESS or answer[1] == 0:
                raise LinkError(f"the coordinator cannot read its NV item {item:#06x}")
            value += answer[2 : 2 + answer[1]]
        return value[:length]

    async def _write_nv(self, item: int, value: bytes) -> None:
        # Creates the item with this value if it is absent; answers 9 then, 0 if it was there.
        head = u16(item) + u16(len(value)) + u8(len(value))
        # The network's key goes on no tape.
        secret = item == _KEY
        masked = head + bytes(len(value)) if secret else None
        created = await self._link.request(mt.SYS_NV_ITEM_INIT, head + value, shown=masked)
        if created[:1] == u8(mt.NV_ITEM_UNINIT):
            return
        if created[:1] != u8(mt.SUCCESS):
            raise LinkError(f"the coordinator cannot create its NV item {item:#06x}")
        head = u16(item) + u16(0) + u16(len(value))
        masked = head + bytes(len(value)) if secret else None
        written = await self._link.request(mt.SYS_NV_WRITE_EXT, head + value, shown=masked)
        if written[:1] != u8(mt.SUCCESS):
            raise LinkError(f"the coordinator cannot write its NV item {item:#06x}")


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise LinkError(f"the coordinator answered with {len(data)} bytes where {size} are due")
    return data


def _is_up(data: bytes) -> bool:
    return data[:1] == u8(COORDINATOR_UP)
