"""Which cluster of a device a message is for, and what it gets as an answer.

A default response is due unless it is not wanted *and* all went well; to what was broadcast nobody
answers. A message to a cluster that is not there is answered too, one to an endpoint that is not
there is not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Protocol

from ...devices.model import ZigbeeMap
from .. import heater, zcl
from ..binary import CodecError
from ..mt_messages import BROADCAST_FROM
from ..radio import RadioMessage
from ..zcl import ZclFrame
from .attributes import Key
from .behaviour import ANSWERED, Behaviour, Host, Request
from .clusters import Basic, Groups, Identify, Level, OnOff, OtaClient, Scenes
from .general import GeneralCommands
from .heating import HeaterControl
from .reporting import Reporter

_ALL_ENDPOINTS: Final = 0xFF
_UNSUPPORTED_MANUFACTURER_COMMAND: Final = 0x83

#: (endpoint, cluster, whether the client's side) → what it does.
Behaviours = dict[tuple[int, int, bool], Behaviour]

_SERVERS: Final[dict[int, type[Behaviour]]] = {
    zcl.BASIC: Basic,
    zcl.IDENTIFY: Identify,
    zcl.GROUPS: Groups,
    zcl.SCENES: Scenes,
    zcl.ON_OFF: OnOff,
    zcl.LEVEL_CONTROL: Level,
    heater.CLUSTER: HeaterControl,
}
_CLIENTS: Final[dict[int, type[Behaviour]]] = {zcl.OTA: OtaClient}


@lru_cache(maxsize=64)
def _decode(payload: bytes) -> ZclFrame:
    # A broadcast is the same for all who hear it.
    return ZclFrame.decode(payload)


class Node(Host, Protocol):
    """What the dispatcher knows of its device."""

    map: ZigbeeMap
    reporter: Reporter

    def answer(self, endpoint: int, message: RadioMessage, frame: ZclFrame, t_us: int) -> None:
        """Send the answer to a message that arrived at a time."""


def build_behaviours(host: Host, zigbee: ZigbeeMap) -> Behaviours:
    """Return what the clusters of a device do, as far as they have commands."""
    made: Behaviours = {}
    for endpoint in zigbee.endpoints:
        for cluster in endpoint.server_clusters:
            if cluster in _SERVERS:
                behaviour = _SERVERS[cluster](host, endpoint.id, cluster)
                made[endpoint.id, cluster, False] = behaviour
        for cluster in endpoint.client_clusters:
            if cluster in _CLIENTS:
                behaviour = _CLIENTS[cluster](host, endpoint.id, cluster)
                made[endpoint.id, cluster, True] = behaviour
    return made


class Dispatcher:
    """Takes the messages for a device's endpoints."""

    def __init__(self, device: Node, behaviours: Behaviours) -> None:
        self._device = device
        self._behaviours = behaviours
        self._general = GeneralCommands(device.table, device.reporter)

    def take(self, message: RadioMessage, t_us: int, reply_us: int | None) -> None:
        """Take a message; `reply_us` is when a reply to a broadcast is back, if that is known."""
        for endpoint in self._addressed(message):
            self._deliver(endpoint, message, t_us, reply_us)

    def _addressed(self, message: RadioMessage) -> list[int]:
        if message.group:
            return sorted(self._device.groups.get(message.destination, ()))
        wanted = message.destination_endpoint
        return [one.id for one in self._device.map.endpoints if wanted in {one.id, _ALL_ENDPOINTS}]

    def _deliver(
        self, endpoint: int, message: RadioMessage, t_us: int, reply_us: int | None
    ) -> None:
        try:
            frame = _decode(message.payload)
        except CodecError:
            return
        quiet = message.group or message.destination >= BROADCAST_FROM
        cluster, client = message.cluster, frame.from_server

        def answer(back: ZclFrame) -> None:
            if not quiet:
                self._device.answer(endpoint, message, back, t_us)

        if not self._serves(endpoint, cluster, client):
            if not (frame.is_default_response or (client and frame.cluster_command)):
                answer(frame.default_response(zcl.UNSUPPORTED_CLUSTER))
            return
        if not frame.cluster_command:
            back = self._general.answer(frame, self._key_of(endpoint, cluster, frame), t_us)
            if back is not None:
                answer(back)
            self._device.look()
            return
        request = Request(frame, message, t_us, answer, reply_us)
        status = self._command(self._behaviours.get((endpoint, cluster, client)), request)
        own = self._behaviours.get((endpoint, heater.CLUSTER, False))
        if cluster == zcl.ON_OFF and status == zcl.SUCCESS and own is not None:
            own.switched(t_us)
        if status != ANSWERED and not (frame.no_default_response and status == zcl.SUCCESS):
            answer(frame.default_response(status))

    @staticmethod
    def _command(behaviour: Behaviour | None, request: Request) -> int:
        if behaviour is None:
            return zcl.UNSUPPORTED_CLUSTER_COMMAND
        if request.frame.manufacturer not in {None, heater.MANUFACTURER}:
            return _UNSUPPORTED_MANUFACTURER_COMMAND
        try:
            status = behaviour.command(request)
        except CodecError:
            return zcl.MALFORMED_COMMAND
        return zcl.UNSUPPORTED_CLUSTER_COMMAND if status is None else status

    def _serves(self, endpoint: int, cluster: int, client: bool) -> bool:
        for one in self._device.map.endpoints:
            if one.id == endpoint:
                return cluster in (one.client_clusters if client else one.server_clusters)
        return False

    @staticmethod
    def _key_of(endpoint: int, cluster: int, frame: ZclFrame) -> Callable[[int], Key]:
        return lambda number: Key(endpoint, cluster, number, frame.manufacturer, frame.from_server)
