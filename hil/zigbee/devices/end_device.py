"""An emulated end device: it joins, answers, reports, sleeps, vanishes and comes back."""

from __future__ import annotations

from typing import Any, Final, Protocol

from ....sim.clock import Clock, to_us
from ...devices.model import DeviceProfile, ZigbeeMap
from .. import zcl, zdo
from ..mt_messages import BROADCAST_FROM
from ..radio import RadioMessage
from ..zcl import Attribute, ReportingRecord, ZclFrame
from .attributes import TYPES, AttributeTable, DeviceSource, Key
from .behaviour import Request
from .dispatch import Dispatcher, build_behaviours
from .reporting import NEVER_US, Reporter
from .zdo_server import DeviceObject, binding_state

NO_ADDRESS: Final = 0xFFFE
_FAST_POLL_US: Final = 250_000
_FAST_AFTER_JOIN_US: Final = 60_000_000
_FAST_AFTER_DATA_US: Final = 3_000_000


class Uplink(Protocol):
    """What a device knows of its network."""

    def upstream(
        self, device: EndDevice, message: RadioMessage, sent_us: int, arrival_us: int | None = None
    ) -> None:
        """Send to the coordinator; `arrival_us` overrules the radio (−1: lost)."""

    def device_left(self, device: EndDevice, *, rejoin: bool) -> None:
        """Take note that a device is about to leave."""

    def device_back(self, device: EndDevice) -> None:
        """Take note that a device has power again: it rejoins, or looks for a network."""

    @property
    def coordinator_ieee(self) -> int:
        """IEEE address of the coordinator."""


class EndDevice:
    """One device, made from a profile; values come from its source.

    `autojoin` devices join by themselves when the network opens, as factory-new ones do; others
    wait for `Network.join`. `sample_s` is how often reported values are looked at. `watchdog` is
    False for a heater whose source falls back by itself when commands stay away.
    """

    def __init__(
        self,
        profile: DeviceProfile,
        source: DeviceSource,
        ieee: int,
        clock: Clock,
        *,
        autojoin: bool = True,
        sample_s: float = 1.0,
        watchdog: bool = True,
    ) -> None:
        if profile.zigbee is None:
            raise ValueError(f"device profile '{profile.name}' does not speak Zigbee")
        self.profile = profile
        self.map: ZigbeeMap = profile.zigbee
        self.ieee = ieee
        self.clock = clock
        self.source = source
        self.autojoin = autojoin
        self.watchdog = watchdog
        self.nwk = NO_ADDRESS
        self.identity: object | None = None
        """Of the network that it is in; None: in none."""
        self.powered = True
        self.groups: dict[int, set[int]] = {}
        self.bindings: list[zdo.Binding] = []
        self.manufacturer_code = self.map.manufacturer_code
        self.table = AttributeTable(profile, source)
        self.reporter = Reporter(self.table, self._report, self._bound, to_us(sample_s))
        self._object = DeviceObject(self)
        self._uplink: Uplink | None = None
        self._answer_us = to_us(profile.timing.answer_s)
        self._sequence = 0
        self._looks = 0
        self._look_us = NEVER_US
        self._fast_until_us = 0
        self._behaviours = build_behaviours(self, self.map)
        self._dispatcher = Dispatcher(self, self._behaviours)
        self._factory_groups()
        self._factory_reporting()

    @classmethod
    def from_profile(
        cls,
        profile: DeviceProfile,
        source: DeviceSource,
        ieee: int,
        clock: Clock,
        *,
        watchdog: bool = True,
    ) -> EndDevice:
        """Return a device as its profile says, looked at as often as it refreshes."""
        sample_s = max(profile.timing.refresh_s, 0.1)
        return cls(profile, source, ieee, clock, sample_s=sample_s, watchdog=watchdog)

    def attach(self, uplink: Uplink) -> None:
        """Belong to a network's surroundings; not yet joined."""
        self._uplink = uplink
        for behaviour in self._behaviours.values():
            behaviour.powered(self.clock.now_us)

    # Life -------------------------------------------------------------------------------------

    def vanish(self) -> None:
        """Lose power or radio: nothing is received or sent until `reappear`."""
        self.powered = False
        self._looks += 1

    def reappear(self) -> None:
        """Get power back: settings, network, bindings and reporting are still there."""
        if self.powered:
            return
        self.powered = True
        t_us = self.clock.now_us
        for behaviour in self._behaviours.values():
            behaviour.powered(t_us)
        if self._uplink is not None:
            self._uplink.device_back(self)
        self.look()

    def leave(self, *, rejoin: bool = False) -> None:
        """Leave the network; with `rejoin` come back at once, else forget everything learnt."""
        if self._uplink is not None and self.identity is not None:
            self._uplink.device_left(self, rejoin=rejoin)

    def joined(self, identity: object, nwk: int) -> None:
        """Be in a network under a short address (told by the network)."""
        self.identity, self.nwk = identity, nwk
        t_us = self.clock.now_us
        self._fast_until_us = t_us + _FAST_AFTER_JOIN_US
        for behaviour in self._behaviours.values():
            behaviour.joined(t_us)
        self.look()

    def forget(self) -> None:
        """Be in no network and as from the factory (told by the network)."""
        self.identity, self.nwk = None, NO_ADDRESS
        self.bindings.clear()
        self.reporter.clear()
        self._factory_reporting()
        self.groups = {}
        self._factory_groups()

    def state(self) -> dict[str, Any]:
        """Return what the device keeps without power."""
        return {
            "nwk": self.nwk,
            "bindings": binding_state(self.bindings),
            "groups": {str(group): sorted(members) for group, members in self.groups.items()},
            "reporting": self.reporter.state(),
            "settings": self.table.state(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what `state` returned; where it was is told by `joined`."""
        self.bindings = [zdo.Binding(*row) for row in state["bindings"]]
        self.groups = {int(group): set(members) for group, members in state["groups"].items()}
        self.table.restore(state["settings"])
        self.reporter.clear()
        self.reporter.restore(state["reporting"], self.clock.now_us)

    # Listening --------------------------------------------------------------------------------

    def hears_us(self, t_us: int) -> int:
        """Return when a message that is at its parent since `t_us` reaches the device."""
        if not self.map.sleepy:
            return t_us
        fast = t_us < self._fast_until_us
        interval_us = _FAST_POLL_US if fast else to_us(self.map.poll_interval_s)
        phase_us = self.ieee * 7919 % interval_us
        return t_us + interval_us - (t_us - phase_us) % interval_us

    def receive(self, message: RadioMessage, reply_us: int | None = None) -> None:
        """Take a message that has reached the device."""
        t_us = self.clock.now_us
        self._fast_until_us = max(self._fast_until_us, t_us + _FAST_AFTER_DATA_US)
        if message.destination_endpoint == 0 and not message.group:
            self._device_object(message, t_us)
        else:
            self._dispatcher.take(message, t_us, reply_us)

    def _device_object(self, message: RadioMessage, t_us: int) -> None:
        if not message.payload:
            return
        broadcast = message.destination >= BROADCAST_FROM
        answer = self._object.answer(message.cluster, message.payload[1:], broadcast)
        if answer is None:
            return
        payload = message.payload[:1] + answer
        back = RadioMessage(0, message.cluster | zdo.RESPONSE, payload, 0, 0, zdo.PROFILE)
        self._up(back, t_us + self._answer_us)
        self.look()  # a new binding may have something to report

    # Sending ----------------------------------------------------------------------------------

    def next_sequence(self) -> int:
        """Return a sequence number for a frame of the device's own."""
        self._sequence = (self._sequence + 1) & 0xFF
        return self._sequence

    def send(self, endpoint: int, cluster: int, frame: ZclFrame, *, client: bool) -> None:
        """Send a frame of the device's own to the coordinator's first endpoint."""
        message = RadioMessage(0, cluster, frame.encode(), endpoint, 1)
        self._up(message, self.clock.now_us)

    def acknowledge(self, frame: ZclFrame, request: Request) -> None:
        """Send a unicast reply, to a broadcast too; the mesh may have drawn its arrival."""
        asked = request.message
        endpoint = self.map.endpoints[0].id
        message = RadioMessage(0, asked.cluster, frame.encode(), endpoint, asked.source_endpoint)
        self._up(message, request.t_us + self._answer_us, request.reply_us)

    def look(self) -> None:
        """Report what is due, and look again when something may be."""
        if not self.powered or self.identity is None:
            return
        self._looks += 1
        self._look_us = self.reporter.look(self.clock.now_us)
        if self._look_us < NEVER_US:
            looks = self._looks
            self.clock.schedule(self._look_us, lambda: self._look_again(looks))

    def _look_again(self, looks: int) -> None:
        if looks == self._looks:
            self.look()

    def _report(self, key: Key, records: list[Attribute]) -> None:
        targets = [
            one.target_endpoint
            for one in self.bindings
            if (one.source_endpoint, one.cluster) == (key.endpoint, key.cluster)
            and one.target_endpoint is not None
            and self._uplink is not None
            and one.target == self._uplink.coordinator_ieee
        ]
        for target in targets or [1]:
            frame = ZclFrame(
                sequence=self.next_sequence(),
                command=zcl.REPORT_ATTRIBUTES,
                payload=zcl.encode_attributes(records),
                from_server=not key.client,
                manufacturer=key.manufacturer,
                no_default_response=True,
            )
            message = RadioMessage(0, key.cluster, frame.encode(), key.endpoint, target)
            self._up(message, self.clock.now_us)

    def _bound(self, endpoint: int, cluster: int) -> bool:
        return any(
            (one.source_endpoint, one.cluster) == (endpoint, cluster) for one in self.bindings
        )

    def answer(self, endpoint: int, message: RadioMessage, frame: ZclFrame, t_us: int) -> None:
        """Send the answer to a message that arrived at a time."""
        back = RadioMessage(
            0, message.cluster, frame.encode(), endpoint, message.source_endpoint, message.profile
        )
        self._up(back, t_us + self._answer_us)

    def _up(self, message: RadioMessage, sent_us: int, arrival_us: int | None = None) -> None:
        if self._uplink is not None and self.powered and self.identity is not None:
            self._uplink.upstream(self, message, sent_us, arrival_us)

    # Building ---------------------------------------------------------------------------------

    def _factory_groups(self) -> None:
        for endpoint in self.map.endpoints:
            for group in endpoint.groups:
                self.groups.setdefault(group, set()).add(endpoint.id)

    def _factory_reporting(self) -> None:
        for key, one in self.table.profiles():
            if one.reporting is not None:
                kind = TYPES[one.type]
                record = ReportingRecord(
                    one.id,
                    kind,
                    round(one.reporting.min_s),
                    round(one.reporting.max_s),
                    one.reporting.change,
                )
                self.reporter.configure(key, record, self.clock.now_us, unbound=True)
