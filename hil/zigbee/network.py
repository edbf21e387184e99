"""The surroundings of an emulated coordinator: end devices, and the radio between them.

The network knows who is in reach, who may join, and when a message arrives; the coordinator is
told through `Sink`. A device stays in the network whose address and key it has learnt: when the
coordinator forms another one, it is out of reach until it joins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from ...sim.clock import Clock, to_us
from ...sim.random import generator
from .devices.end_device import NO_ADDRESS, EndDevice
from .mt import MAC_NO_ACK, MAC_TRANSACTION_EXPIRED, NWK_NO_ROUTE, SUCCESS
from .mt_messages import BROADCAST_ALL, BROADCAST_ROUTERS
from .radio import NEVER, NO_ACK_AFTER_US, Mesh, RadioMesh, RadioMessage

_JOIN_US: Final = (500_000, 2_000_000)
"""From the opening of the network to the end of a device's joining, at least and at most."""
_REJOIN_US: Final = 1_500_000
_LEAVE_US: Final = 200_000
_ROUTE_SEARCH_US: Final = 500_000
#: How long a parent keeps a message for a sleeping child (Z-Stack: 7.68 s).
_INDIRECT_US: Final = 7_680_000
_MAC_ACK_US: Final = 6_000


class Sink(Protocol):
    """The coordinator as its surroundings see it."""

    @property
    def ieee(self) -> int:
        """IEEE address of the coordinator."""

    def message_arrived(self, device: EndDevice, message: RadioMessage) -> None:
        """Take a message from a device."""

    def device_joined(self, device: EndDevice) -> None:
        """Take note of a new device."""

    def device_announced(self, device: EndDevice) -> None:
        """Take note of where a device is."""

    def device_left(self, device: EndDevice, *, rejoin: bool) -> None:
        """Take note that a device has left."""

    def changed(self) -> None:
        """Save what must survive a restart."""


class Network:
    """End devices around a coordinator."""

    def __init__(
        self,
        clock: Clock,
        devices: Iterable[EndDevice] = (),
        mesh: Mesh | None = None,
        seed: int = 0,
    ) -> None:
        self.clock = clock
        self.mesh: Mesh = RadioMesh(seed=seed) if mesh is None else mesh
        self.devices: dict[int, EndDevice] = {}
        self.identity: object | None = None
        """Of the network that the coordinator runs now; None: it is down."""
        self.open_until_us = 0
        self._sink: Sink | None = None
        self._rng = generator(seed, "zigbee", "network")
        for device in devices:
            self.add(device)

    def add(self, device: EndDevice) -> None:
        """Put a device into reach; it joins when the network opens, if it joins by itself."""
        self.devices[device.ieee] = device
        device.attach(self)
        if self.is_open:
            self._join_soon(device)

    def attach(self, sink: Sink) -> None:
        """Belong to a coordinator."""
        self._sink = sink

    @property
    def coordinator_ieee(self) -> int:
        """IEEE address of the coordinator, 0 without one."""
        return 0 if self._sink is None else self._sink.ieee

    @property
    def is_open(self) -> bool:
        """Whether devices may join now."""
        return self.identity is not None and self.clock.now_us < self.open_until_us

    def members(self) -> list[EndDevice]:
        """Return the devices that are in the coordinator's network, by IEEE address."""
        if self.identity is None:
            return []
        known = [one for one in self.devices.values() if one.identity == self.identity]
        return sorted(known, key=lambda one: one.ieee)

    def member(self, nwk: int) -> EndDevice | None:
        """Return the member with a short address."""
        return next((one for one in self.members() if one.nwk == nwk), None)

    # Joining ----------------------------------------------------------------------------------

    def permit_join(self, duration_s: int) -> None:
        """Open the network for a time (255: until closed), or close it (0)."""
        t_us = self.clock.now_us
        self.open_until_us = 1 << 62 if duration_s == 255 else t_us + duration_s * 1_000_000
        if self.is_open:
            for device in self.devices.values():
                self._join_soon(device)

    def _join_soon(self, device: EndDevice) -> None:
        if not device.autojoin or not device.powered or self._is_member(device):
            return
        least_us, most_us = _JOIN_US
        delay_us = least_us + int(self._rng.random() * (most_us - least_us))
        self.clock.schedule(self.clock.now_us + delay_us, lambda: self._join_if_open(device))

    def _is_member(self, device: EndDevice) -> bool:
        return self.identity is not None and device.identity == self.identity

    def _join_if_open(self, device: EndDevice) -> None:
        if self.is_open and device.powered and not self._is_member(device):
            self.join(device)

    def join(self, device: EndDevice) -> bool:
        """Let a device join now if the network is open; return whether it did."""
        if not self.is_open or not device.powered or self._sink is None:
            return False
        if device.identity is not None:
            device.forget()
        device.joined(self.identity, self._free_address())
        self._sink.device_joined(device)
        self._announce(device)
        return True

    def _announce(self, device: EndDevice) -> None:
        arrival_us = self.clock.now_us + to_us(0.1)

        def announce() -> None:
            if self._sink is not None and device.powered and self._is_member(device):
                self._sink.device_announced(device)
                self._sink.changed()

        self.clock.schedule(arrival_us, announce)

    def _free_address(self) -> int:
        taken = {one.nwk for one in self.devices.values()} | {0, NO_ADDRESS}
        while True:
            nwk = int(self._rng.integers(1, 0xFFF0))
            if nwk not in taken:
                return nwk

    def rejoin(self, device: EndDevice, *, new_address: bool = False) -> None:
        """Let a member come back, with another short address if asked, and announce itself."""
        if not self._is_member(device):
            return
        if new_address:
            device.joined(self.identity, self._free_address())
        self._announce(device)

    def device_left(self, device: EndDevice, *, rejoin: bool) -> None:
        """Take note that a device is about to leave."""
        self.clock.schedule(self.clock.now_us + _LEAVE_US, lambda: self._leave(device, rejoin))

    def _leave(self, device: EndDevice, rejoin: bool) -> None:
        if not self._is_member(device):
            return
        if self._sink is not None:
            self._sink.device_left(device, rejoin=rejoin)
        if rejoin:
            back_us = self.clock.now_us + _REJOIN_US
            self.clock.schedule(back_us, lambda: self.rejoin(device))
        else:
            device.forget()
        if self._sink is not None:
            self._sink.changed()

    def device_back(self, device: EndDevice) -> None:
        """Take note that a device has power again: it announces itself, or looks for a network."""
        if self._is_member(device):
            self.rejoin(device)
        elif self.is_open:
            self._join_soon(device)

    # Messages ---------------------------------------------------------------------------------

    def unicast(
        self, nwk: int, message: RadioMessage, done: Callable[[int], None], *, acked: bool
    ) -> None:
        """Send to a short address; `done(status)` is called when the coordinator knows.

        With `acked` that is when the device's acknowledgement is back, else when the first hop has
        it.
        """
        t_us = self.clock.now_us
        device = self.member(nwk)
        if device is None:
            self._at(t_us + _ROUTE_SEARCH_US, lambda: done(NWK_NO_ROUTE))
            return
        result = self.mesh.unicast(t_us, device.ieee, message)
        if result.arrival_us == NEVER:
            self._at(result.confirm_us, lambda: done(result.status))
            return
        if device.map.sleepy:
            self._indirect(device, message, result.arrival_us, done)
        elif not device.powered:
            # A router that is gone acknowledges nothing; nor does its neighbour find it.
            self._at(t_us + NO_ACK_AFTER_US, lambda: done(MAC_NO_ACK))
        else:
            confirm_us = result.confirm_us if acked else t_us + _MAC_ACK_US
            self._deliver(device, message, result.arrival_us)
            self._at(confirm_us, lambda: done(result.status))

    def _indirect(
        self,
        device: EndDevice,
        message: RadioMessage,
        parent_us: int,
        done: Callable[[int], None],
    ) -> None:
        polled_us = device.hears_us(parent_us)
        if not device.powered or polled_us - parent_us > _INDIRECT_US:
            self._at(parent_us + _INDIRECT_US, lambda: done(MAC_TRANSACTION_EXPIRED))
            return
        self._deliver(device, message, polled_us)
        self._at(polled_us + _MAC_ACK_US, lambda: done(SUCCESS))

    def broadcast(self, message: RadioMessage, done: Callable[[int], None]) -> None:
        """Send to everybody, to all that listen, to routers, or to a group."""
        t_us = self.clock.now_us
        heard = [one for one in self.members() if _listens(one, message)]
        result = self.mesh.broadcast(t_us, message, [one.ieee for one in heard])
        if result.status == SUCCESS:
            for device in heard:
                arrival_us = result.arrivals_us.get(device.ieee, NEVER)
                reply_us = result.replies_us.get(device.ieee)
                if arrival_us != NEVER:
                    self._deliver(device, message, device.hears_us(arrival_us), reply_us)
        self._at(max(result.confirm_us, t_us), lambda: done(result.status))

    def _deliver(
        self, device: EndDevice, message: RadioMessage, at_us: int, reply_us: int | None = None
    ) -> None:
        identity = self.identity

        def arrive() -> None:
            if device.powered and device.identity == identity:
                device.receive(message, reply_us)

        self._at(at_us, arrive)

    def upstream(
        self, device: EndDevice, message: RadioMessage, sent_us: int, arrival_us: int | None = None
    ) -> None:
        """Send from a device to the coordinator; a given arrival overrules the radio."""
        at_us = arrival_us
        if at_us is None:
            at_us = self.mesh.upstream(sent_us, device.ieee, message)
        if at_us == NEVER:
            return

        def arrive() -> None:
            if self._sink is not None and self._is_member(device):
                self._sink.message_arrived(device, message)

        self._at(at_us, arrive)

    def _at(self, t_us: int, callback: Callable[[], None]) -> None:
        self.clock.schedule(t_us, callback)


def _listens(device: EndDevice, message: RadioMessage) -> bool:
    if not message.group and message.destination == BROADCAST_ALL:
        return True
    if not message.group and message.destination == BROADCAST_ROUTERS:
        return device.map.router
    return not device.map.sleepy
