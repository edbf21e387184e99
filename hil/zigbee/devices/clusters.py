"""Clusters with commands: basic, identify, groups, scenes, on/off, level; firmware updates.

Commands and attributes: Zigbee Cluster Library Specification (07-5123), chapters 3 and 11.
"""

from __future__ import annotations

from typing import Final

from .. import zcl
from .. import zcl_types as types
from ..binary import Reader, u8, u16, u32
from ..zcl import ZclFrame
from .attributes import Item, Key
from .behaviour import ANSWERED, Behaviour, Request

_STEP_US: Final = 200_000
_MAX_LEVEL: Final = 254
_QUERY_AFTER_JOIN_US: Final = 30_000_000


class Basic(Behaviour):
    """Basic: only a reset to factory settings, which is accepted and does nothing."""

    def command(self, request: Request) -> int | None:
        """Take 0x00, reset to factory defaults."""
        return zcl.SUCCESS if request.frame.command == 0x00 else None


class Identify(Behaviour):
    """Identify: a time that counts down."""

    def prepare(self) -> None:
        """Add IdentifyTime."""
        self._until_us = 0

        def write(value: types.Value, t_us: int) -> int:
            self._until_us = t_us + int(value or 0) * 1_000_000
            return zcl.SUCCESS

        self.host.table.add(self.key(0x0000), Item(types.UINT16, self._left_s, write))

    def _left_s(self, t_us: int) -> int:
        return max(0, -(-(self._until_us - t_us) // 1_000_000))

    def command(self, request: Request) -> int | None:
        """Take identify, identify query and trigger effect."""
        command = request.frame.command
        if command == 0x00:
            seconds = Reader(request.frame.payload, "identify").u16()
            self._until_us = request.t_us + seconds * 1_000_000
            return zcl.SUCCESS
        if command == 0x01:
            left_s = self._left_s(request.t_us)
            return self.respond(request, 0x00, u16(left_s)) if left_s else zcl.SUCCESS
        return zcl.SUCCESS if command == 0x40 else None


class Groups(Behaviour):
    """Groups: membership of the endpoint."""

    def prepare(self) -> None:
        """Add NameSupport: none."""
        self.host.table.add_setting(self.key(0x0000), types.BITMAP8, 0)

    def command(self, request: Request) -> int | None:
        """Take add, view, get membership, remove, remove all."""
        r = Reader(request.frame.payload, "groups command")
        command, groups = request.frame.command, self.host.groups
        if command == 0x00:
            group = r.u16()
            groups.setdefault(group, set()).add(self.endpoint)
            return self.respond(request, 0x00, u8(zcl.SUCCESS) + u16(group))
        if command == 0x01:
            group = r.u16()
            status = zcl.SUCCESS if self._member(group) else zcl.NOT_FOUND
            return self.respond(request, 0x01, u8(status) + u16(group) + u8(0))
        if command == 0x02:
            asked = r.words(r.u8())
            mine = [group for group in sorted(groups) if self._member(group)]
            told = [group for group in mine if not asked or group in asked]
            payload = u8(16 - min(16, len(mine))) + u8(len(told)) + b"".join(map(u16, told))
            return self.respond(request, 0x02, payload)
        if command == 0x03:
            group = r.u16()
            status = zcl.SUCCESS if self._member(group) else zcl.NOT_FOUND
            groups.get(group, set()).discard(self.endpoint)
            return self.respond(request, 0x03, u8(status) + u16(group))
        if command == 0x04:
            for members in groups.values():
                members.discard(self.endpoint)
            return zcl.SUCCESS
        return None

    def _member(self, group: int) -> bool:
        return self.endpoint in self.host.groups.get(group, set())


class Scenes(Behaviour):
    """Scenes: a table with no room; devices that only switch have little to remember."""

    def prepare(self) -> None:
        """Add what the cluster must have."""
        for number, kind in ((0, types.UINT8), (1, types.UINT8), (2, types.UINT16)):
            self.host.table.add_setting(self.key(number), kind, 0)
        self.host.table.add_setting(self.key(3), types.BOOLEAN, False)
        self.host.table.add_setting(self.key(4), types.BITMAP8, 0)

    def command(self, request: Request) -> int | None:
        """Answer add, view, remove, remove all, store and get membership: nothing there."""
        r = Reader(request.frame.payload, "scenes command")
        command = request.frame.command
        if command in {0x00, 0x04}:
            group, scene = r.u16(), r.u8()
            payload = u8(zcl.INSUFFICIENT_SPACE) + u16(group) + u8(scene)
            return self.respond(request, command, payload)
        if command in {0x01, 0x02}:
            group, scene = r.u16(), r.u8()
            return self.respond(request, command, u8(zcl.NOT_FOUND) + u16(group) + u8(scene))
        if command == 0x03:
            return self.respond(request, command, u8(zcl.SUCCESS) + u16(r.u16()))
        if command == 0x06:
            return self.respond(request, command, u8(zcl.SUCCESS) + u8(0) + u16(r.u16()) + u8(0))
        return zcl.NOT_FOUND if command == 0x05 else None


class OnOff(Behaviour):
    """On/off: off, on, toggle, with the effects that lamps make of them ignored."""

    def prepare(self) -> None:
        """Add OnOff (kept by the device if no quantity is behind it) and StartUpOnOff."""
        table = self.host.table
        table.add_setting(self.key(0x0000), types.BOOLEAN, False)
        table.add_setting(self.key(0x4003), types.ENUM8, 0xFF, writable=True)

    def powered(self, t_us: int) -> None:
        """Switch as StartUpOnOff says: 0 off, 1 on, 2 the other way, 255 as it was."""
        choice = self.number(0x4003, t_us, 255.0)
        if choice in {0.0, 1.0}:
            self.switch(bool(choice), t_us)
        elif choice == 2.0:
            self.switch(not self.number(0x0000, t_us), t_us)

    def command(self, request: Request) -> int | None:
        """Take off, on, toggle; off with effect; on with timed off (which stays on)."""
        command, t_us = request.frame.command, request.t_us
        if command in {0x00, 0x40}:
            self.switch(False, t_us)
        elif command in {0x01, 0x41, 0x42}:
            self.switch(True, t_us)
        elif command == 0x02:
            self.switch(not self.number(0x0000, t_us), t_us)
        else:
            return None
        return zcl.SUCCESS

    def switch(self, on: bool, t_us: int) -> None:
        """Switch, and report."""
        key = self.key(0x0000)
        if self.host.table.quantity(key) is None:
            self.host.table.set(key, on)
        else:
            self.host.table.command(key, float(on), t_us)
        self.host.look()


class Level(Behaviour):
    """Level control: moves in steps of 0.2 s over the transition time."""

    def prepare(self) -> None:
        """Add the attributes and stand still."""
        self._target = 0.0
        self._begin = 0.0
        self._begin_us = 0
        self._end_us = 0
        self._moves = 0
        table = self.host.table
        table.add_setting(self.key(0x0000), types.UINT8, _MAX_LEVEL)
        table.add_setting(self.key(0x0001), types.UINT16, 0)
        table.add_setting(self.key(0x000F), types.BITMAP8, 0, writable=True)
        table.add_setting(self.key(0x0011), types.UINT8, 0xFF, writable=True)

    def command(self, request: Request) -> int | None:
        """Take move to level, move, step and stop, each with or without on/off."""
        r = Reader(request.frame.payload, "level command")
        command, t_us = request.frame.command, request.t_us
        if command > 0x07:
            return None
        kind, switches = command & 0x03, command >= 0x04
        now = self.number(0x0000, t_us)
        if kind == 0:
            level, tenths = r.u8(), r.u16() if r.left >= 2 else 0xFFFF
            self._move(min(level, _MAX_LEVEL), _transition_s(tenths), switches, t_us)
        elif kind == 1:
            down, rate = r.u8(), r.u8()
            target = 0.0 if down else float(_MAX_LEVEL)
            per_s = rate if 0 < rate < 255 else 50
            self._move(target, abs(target - now) / per_s, switches, t_us)
        elif kind == 2:
            down, step = r.u8(), r.u8()
            tenths = r.u16() if r.left >= 2 else 0xFFFF
            target = min(max(now - step if down else now + step, 0), _MAX_LEVEL)
            self._move(target, _transition_s(tenths), switches, t_us)
        else:
            self._moves += 1
        return zcl.SUCCESS

    def _move(self, target: float, duration_s: float, switches: bool, t_us: int) -> None:
        self._moves += 1
        self._target, self._begin = target, self.number(0x0000, t_us)
        self._begin_us, self._end_us = t_us, t_us + round(duration_s * 1e6)
        if switches and target > 0:
            self._switch(True, t_us)
        self._step(self._moves, switches)

    def _step(self, move: int, switches: bool) -> None:
        if move != self._moves:
            return
        t_us = self.host.clock.now_us
        span_us = self._end_us - self._begin_us
        done = 1.0 if t_us >= self._end_us else (t_us - self._begin_us) / span_us
        self._set(self._begin + (self._target - self._begin) * done, t_us)
        if done < 1.0:
            next_us = min(t_us + _STEP_US, self._end_us)
            self.host.clock.schedule(next_us, lambda: self._step(move, switches))
        elif switches and self._target == 0:
            self._switch(False, t_us)

    def _set(self, level: float, t_us: int) -> None:
        key = self.key(0x0000)
        if self.host.table.quantity(key) is None:
            self.host.table.set(key, round(level))
        else:
            self.host.table.command(key, float(round(level)), t_us)
        self.host.look()

    def _switch(self, on: bool, t_us: int) -> None:
        key = Key(self.endpoint, zcl.ON_OFF, 0x0000)
        if self.host.table.quantity(key) is None:
            self.host.table.set(key, on)
        else:
            self.host.table.command(key, float(on), t_us)


def _transition_s(tenths: int) -> float:
    return 0.0 if tenths == 0xFFFF else tenths / 10


class OtaClient(Behaviour):
    """Client of firmware updates: asks for an image after joining and when told of one."""

    def prepare(self) -> None:
        """Add the client's attributes; hosts read them in the other direction."""
        self.last_status: int | None = None
        """Status of the last answer to a query; 0x98: no image."""
        values: tuple[tuple[int, int, types.Value], ...] = (
            (0x0000, types.IEEE_ADDRESS, 0xFFFFFFFFFFFFFFFF),
            (0x0001, types.UINT32, 0xFFFFFFFF),
            (0x0002, types.UINT32, 0x00000001),
            (0x0003, types.UINT16, 0xFFFF),
            (0x0006, types.ENUM8, 0),
            (0x0007, types.UINT16, self.manufacturer),
            (0x0008, types.UINT16, 0x0001),
        )
        for number, kind, value in values:
            key = Key(self.endpoint, self.cluster, number, client=True)
            self.host.table.add_setting(key, kind, value)

    @property
    def manufacturer(self) -> int:
        """Manufacturer code that the query names."""
        return int(getattr(self.host, "manufacturer_code", 0))

    def joined(self, t_us: int) -> None:
        """Ask for an image some time after joining."""
        self.host.clock.schedule(t_us + _QUERY_AFTER_JOIN_US, self.query)

    def query(self) -> None:
        """Send Query Next Image Request."""
        payload = u8(0) + u16(self.manufacturer) + u16(0x0001) + u32(0x00000001)
        sequence = self.host.next_sequence()
        frame = ZclFrame(sequence, 0x01, payload, cluster_command=True)
        self.host.send(self.endpoint, self.cluster, frame, client=True)

    def command(self, request: Request) -> int | None:
        """Take image notify (ask then) and the answer to a query."""
        if request.frame.command == 0x00:
            self.query()
            return ANSWERED
        if request.frame.command == 0x02:
            self.last_status = Reader(request.frame.payload, "query response").u8()
            return zcl.SUCCESS
        return None
