"""The emulated coordinator: a CC2652 with TI's ZNP firmware, as hosts see it.

A request (SREQ) is answered at once; what it sets off follows as indications (AREQ). What is in
RAM (endpoints, callbacks, whether the network is up) is lost by a reset, what is in NV memory
survives it, and a restart of the emulator too if a file is given. Unknown requests are answered
with an RPC error, as the firmware does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ....sim.clock import Clock, to_us
from ....sim.random import generator
from ...wire import Tap, WireFault
from .. import mt
from ..binary import CodecError, Reader, u8
from ..devices.end_device import EndDevice
from ..mt import MtFrame
from ..mt_messages import AfIncoming, AfRegister, LeaveIndication, TcDeviceJoined
from ..network import Network
from ..radio import RadioMessage
from ..zdo import PROFILE, DeviceAnnounce
from . import nv as items
from .af_commands import AfCommands
from .connection import ZnpConnection
from .formation import (
    NetworkIdentity,
    NetworkInfo,
    form_network,
    read_network,
    skip_frame_counters,
)
from .nv import NvMemory
from .sys_commands import VERSION, SysCommands
from .util_commands import UtilCommands
from .zdo_commands import ZdoCommands

HOLD: Final = 0
STARTING: Final = 8
UP: Final = 9
_SAVE_AFTER_US: Final = 50_000
_KNOWN_SUBSYSTEMS: Final = frozenset({mt.SYS, mt.AF, mt.ZDO, mt.UTIL, mt.APP_CNF})
#: Reasons of a reset indication.
POWER_UP: Final = 0
WATCHDOG: Final = 2

Handler = Callable[[Reader], bytes]


class ZnpCoordinator:
    """A coordinator with its memory, in front of a network of emulated devices.

    `nv_path` names the file that memory survives in (None: nowhere). `formation_s` is what forming
    or resuming a network takes, `reset_s` a reset. Raises `NvFileError` for a file of another kind.

    The bench may set `buffer_full` (every message is refused with status 0x11) and `stuck` (the
    firmware hangs: nothing is answered until `reset`).
    """

    def __init__(
        self,
        clock: Clock,
        network: Network,
        nv_path: Path | None = None,
        *,
        ieee: int = 0x00124B00B0A70001,
        bus: str = "znp",
        faults: WireFault | None = None,
        tap: Tap | None = None,
        seed: int = 0,
        formation_s: float = 0.3,
        reset_s: float = 0.1,
    ) -> None:
        self.clock = clock
        self.network = network
        self.bus = bus
        self.faults = faults
        self.tap = tap
        self.buffer_full = False
        self.stuck = False
        self.rng = generator(seed, "zigbee", "coordinator")
        self.nv = NvMemory(ieee, self.rng.bytes(16))
        self.formation_us = to_us(formation_s)
        self._reset_us = to_us(reset_s)
        self._path = nv_path
        self._save_pending = False
        self.life = 0
        """Counts resets."""
        self._booting = False
        self._connection: ZnpConnection | None = None
        self._clear_ram()
        self.sys = SysCommands(self)
        self.af = AfCommands(self)
        self.zdo = ZdoCommands(self)
        self.util = UtilCommands(self)
        self._handlers: dict[int, Handler] = {
            **self.sys.handlers(),
            **self.af.handlers(),
            **self.zdo.handlers(),
            **self.util.handlers(),
        }
        network.attach(self)
        self._load()

    def _clear_ram(self) -> None:
        self.device_state = HOLD
        self.endpoints: dict[int, AfRegister] = {}
        self.groups: set[tuple[int, int]] = set()
        self.all_zdo = False
        """Whether every ZDO message is passed on to the host (ZDO_MSG_CB_REGISTER)."""
        self.channel_mask = 0

    @property
    def ieee(self) -> int:
        """The coordinator's IEEE address; restoring a backup changes it."""
        return int.from_bytes(self.nv.get(items.EXTADDR), "little")

    @property
    def is_up(self) -> bool:
        """Whether the network runs."""
        return self.device_state == UP

    @property
    def info(self) -> NetworkInfo | None:
        """The network in memory."""
        return read_network(self.nv)

    # Hosts ------------------------------------------------------------------------------------

    def protocol(self) -> asyncio.Protocol:
        """Return the coordinator's end of one connection; the newest host is the one heard."""
        return ZnpConnection(self)

    def connected(self, connection: ZnpConnection) -> None:
        """Take note of a host; the one before is dropped, as it may be half dead."""
        before, self._connection = self._connection, connection
        if before is not None and before is not connection:
            before.close()

    def disconnected(self, connection: ZnpConnection) -> None:
        """Take note that a host has gone."""
        if self._connection is connection:
            self._connection = None

    def handle(self, frame: MtFrame) -> None:
        """Take a frame from a host."""
        if self.stuck or self._booting:
            return
        if frame.command == mt.SYS_RESET_REQ:
            self.reset()
        elif frame.kind == mt.SREQ:
            changes = self.nv.changed
            self.send(*self._answer(frame))
            if self.nv.changed != changes:
                self.changed()

    def _answer(self, frame: MtFrame) -> tuple[int, bytes]:
        handler = self._handlers.get(frame.command)
        if handler is None:
            known = frame.subsystem in _KNOWN_SUBSYSTEMS
            return _refusal(frame, mt.RPC_COMMAND if known else mt.RPC_SUBSYSTEM)
        try:
            return mt.response_to(frame.command), handler(Reader(frame.data, "request"))
        except CodecError:
            return _refusal(frame, mt.RPC_LENGTH)

    def send(self, command: int, data: bytes) -> None:
        """Send a frame to the host, if there is one."""
        if self._connection is not None and not self.stuck:
            self._connection.send(MtFrame(command, data[: mt.MAX_DATA]))

    def later(self, delay_us: int, act: Callable[[], object]) -> None:
        """Do something after a delay, unless a reset comes first."""
        life = self.life

        def due() -> None:
            if life == self.life:
                act()

        self.clock.schedule(self.clock.now_us + delay_us, due)

    # Life -------------------------------------------------------------------------------------

    def reset(self, reason: int = POWER_UP) -> None:
        """Restart the firmware: RAM is lost, the host is told when it is up again."""
        self.life += 1
        self._booting, self.stuck = True, False
        self._clear_ram()
        self.af.clear()
        self.network.identity = None
        self.network.open_until_us = 0
        self.network.mesh.reset(self.clock.now_us)
        self._wipe()
        self.later(self._reset_us, lambda: self._booted(reason))

    def _wipe(self) -> None:
        option = (self.nv.get(items.STARTUP_OPTION) or b"\x00")[0]
        if option & items.CLEAR_CONFIG:
            self.nv.clear_configuration()
        if option & items.CLEAR_NETWORK:
            self.nv.clear_network()
        if option:
            self.nv.put(items.STARTUP_OPTION, b"\x00")
        self.nv.complete()
        self.changed()

    def _booted(self, reason: int) -> None:
        self._booting = False
        self.send(mt.SYS_RESET_IND, u8(reason) + VERSION)

    def lose_configuration(self) -> None:
        """Restart with the memory as it left the factory: the network is gone."""
        self.nv.factory()
        self.changed()
        self.reset()

    def start_network(self, *, resume_only: bool = False) -> bool:
        """Bring the network up after a while; return whether it was there before.

        With `resume_only` nothing happens unless there is one in memory.
        """
        existed = self.info is not None
        if existed or not resume_only:
            self.device_state = STARTING
            self.send_state_later(1000)
            self.later(self.formation_us, self._up)
        return existed

    def _up(self) -> None:
        info = self.info
        if info is None:
            info = form_network(self.nv, self.channel_mask, self.rng)
        else:
            skip_frame_counters(self.nv)
        self.changed()
        self.device_state = UP
        self.network.identity = info.identity
        self.send(mt.ZDO_STATE_CHANGE_IND, u8(UP))

    def send_state_later(self, delay_us: int) -> None:
        """Tell the host the state that the device is in now, after its request is answered."""
        state = self.device_state
        self.later(delay_us, lambda: self.send(mt.ZDO_STATE_CHANGE_IND, u8(state)))

    # What devices tell -------------------------------------------------------------------------

    def message_arrived(self, device: EndDevice, message: RadioMessage) -> None:
        """Pass a device's message on to the host."""
        if not self.is_up:
            return
        if message.profile == PROFILE and message.destination_endpoint == 0:
            payload = message.payload
            self.zdo.incoming(device.nwk, message.cluster, payload[1:], payload[0])
        else:
            self.incoming(device.nwk, message)

    def incoming(self, source: int, message: RadioMessage) -> None:
        """Pass a message for an endpoint on, if the host has registered that."""
        if message.destination_endpoint not in self.endpoints:
            return
        frame = AfIncoming(
            source=source,
            source_endpoint=message.source_endpoint,
            destination_endpoint=message.destination_endpoint,
            cluster=message.cluster,
            payload=message.payload,
            # The firmware's clock counts 320 µs.
            timestamp=self.clock.now_us // 320 & 0xFFFFFFFF,
            mac_source=source,
        )
        self.send(mt.AF_INCOMING_MSG, frame.encode())

    def device_joined(self, device: EndDevice) -> None:
        """Remember a new device and tell the host."""
        self.nv.remember_device(device.ieee, device.nwk)
        self.send(mt.ZDO_TC_DEV_IND, TcDeviceJoined(device.nwk, device.ieee, 0).encode())
        self.changed()

    def device_announced(self, device: EndDevice) -> None:
        """Tell the host where a device is."""
        self.nv.remember_device(device.ieee, device.nwk)
        announce = DeviceAnnounce(device.nwk, device.ieee, self.zdo.capability_of(device))
        self.zdo.announced(announce)

    def device_left(self, device: EndDevice, *, rejoin: bool) -> None:
        """Forget a device that has left, and tell the host."""
        if not rejoin:
            self.nv.forget_device(device.ieee)
        left = LeaveIndication(device.nwk, device.ieee, rejoin=rejoin)
        self.send(mt.ZDO_LEAVE_IND, left.encode())

    # Memory -----------------------------------------------------------------------------------

    def changed(self) -> None:
        """Save what must survive a restart, soon; many changes make one file."""
        if self._path is None or self._save_pending:
            return
        self._save_pending = True
        self.clock.schedule(self.clock.now_us + _SAVE_AFTER_US, self.save)

    def save(self) -> None:
        """Write the file now."""
        self._save_pending = False
        if self._path is None:
            return
        devices = {
            f"{one.ieee:016x}": {
                **one.state(),
                "extended_pan": one.identity.extended_pan.hex(),
                "key": one.identity.key.hex(),
            }
            for one in self.network.devices.values()
            if isinstance(one.identity, NetworkIdentity)
        }
        items.save_state(self._path, {"coordinator": self.nv.state(), "devices": devices})

    def _load(self) -> None:
        state = None if self._path is None else items.load_state(self._path)
        if state is None:
            return
        try:
            self._restore(state)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            assert self._path is not None
            raise items.not_a_memory(self._path, f"{type(error).__name__} {error}") from error

    def _restore(self, state: dict[str, Any]) -> None:
        self.nv.restore(state["coordinator"])
        for name, kept in state["devices"].items():
            device = self.network.devices.get(int(name, 16))
            if device is not None:
                pan, key = bytes.fromhex(kept["extended_pan"]), bytes.fromhex(kept["key"])
                device.restore(kept)
                device.joined(NetworkIdentity(pan, key), int(kept["nwk"]))


def _refusal(frame: MtFrame, code: int) -> tuple[int, bytes]:
    return mt.RPC_ERROR, bytes((code, frame.command >> 8, frame.command & 0xFF))
