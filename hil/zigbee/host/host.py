"""The host: one coordinator, the devices of its network, and messages to and from them.

While the coordinator is away (see `connection`) requests fail at once, and broadcasts are refused
with the status "coordinator down".
"""

from __future__ import annotations

from typing import Any, Final

from ....sim.clock import Clock
from ....sim.edge.channel import STATUS_COORDINATOR_DOWN, STATUS_SENT, STATUS_TABLE_FULL
from ...errors import ReadingError
from ...wire import Tap
from .. import mt
from ..binary import ieee_text
from ..mt_messages import BROADCAST_LISTENING
from ..zcl import ZclFrame
from .connection import Connection, HostSettings
from .devices import Device, DeviceTable
from .network import Network
from .receiving import Receiver
from .sending import TABLE_FULL, DeviceError, RefusedError, Sender

__all__ = ["ALL_ENDPOINTS", "DEFAULT_RESPONSE", "HostSettings", "ZigbeeHost"]

_DEFAULTS: Final = HostSettings()
ALL_ENDPOINTS: Final = 0xFF
DEFAULT_RESPONSE: Final = None
"""As `response` of a request: the answer is the default response."""


class ZigbeeHost(Connection):
    """One coordinator and the devices of its network."""

    def __init__(
        self,
        clock: Clock,
        *,
        name: str = "zigbee",
        settings: HostSettings = _DEFAULTS,
        tap: Tap | None = None,
    ) -> None:
        """Describe the host; `name` is its bus in messages and on the tape."""
        super().__init__(clock, name, settings, Sender(settings.retry), tap)
        self.devices = DeviceTable()
        self.network = Network(self)
        self.receiver = Receiver(clock, self.devices, self.sender, self.network.look_up)
        self.on_up = self.network.came_back
        self.handlers |= {
            mt.AF_INCOMING_MSG: self.receiver.incoming,
            mt.AF_DATA_CONFIRM: lambda data, _: self.sender.confirmed(data),
            mt.ZDO_TC_DEV_IND: self.network.joined,
            mt.ZDO_END_DEVICE_ANNCE_IND: self.network.announced,
            mt.ZDO_LEAVE_IND: self.network.left,
        }

    async def close(self) -> None:
        """Disconnect; the network goes on without the host."""
        await super().close()
        await self.network.close()

    def identity(self) -> dict[str, Any]:
        """Return what the record says: coordinator, its firmware, and the devices."""
        return {
            "driver": "znp",
            "coordinator": self.coordinator.identity() if self.coordinator else None,
            "devices": {ieee_text(one.ieee): one.identity() for one in self.devices},
        }

    async def request(
        self,
        ieee: int,
        cluster: int,
        command: int,
        payload: bytes = b"",
        *,
        response: int | None = DEFAULT_RESPONSE,
        cluster_command: bool = True,
        endpoint: int | None = None,
        manufacturer: int | None = None,
        timeout_s: float | None = None,
        attempts: int | None = None,
        harmless: bool = False,
    ) -> ZclFrame:
        """Send a command to a device and return its answer.

        `response` is the command of the answer that is due, None for the default response.
        Set `attempts` to 1 for what must not happen twice (toggle, step). What is `harmless` to
        repeat (a read, an absolute set-point) is sent again when the answer fails to come.

        Raises `RefusedError` when the device answers with a failure, other `ReadingError` when no
        answer came, `RigError` when the coordinator is given up.
        """
        self.check()
        device = await self.network.find(ieee)
        frame = ZclFrame(
            sequence=self.sender.next_sequence(device.nwk),
            command=command,
            payload=payload,
            cluster_command=cluster_command,
            manufacturer=manufacturer,
            no_default_response=response is not None,
        )
        if timeout_s is None:
            retry = self._settings.retry
            timeout_s = retry.sleepy_timeout_s if device.sleepy else retry.timeout_s
        again_s = self._settings.retry.again_s if harmless and not device.sleepy else None
        try:
            answer = await self.sender.call(
                device.nwk,
                device.endpoint_with(cluster) if endpoint is None else endpoint,
                cluster,
                frame,
                response,
                timeout_s=timeout_s,
                attempts=attempts,
                again_s=again_s,
                name=_name(device),
            )
        except DeviceError:
            device.doubtful = True
            raise
        if answer.is_default_response and answer.payload[1]:
            status = answer.payload[1]
            raise RefusedError(
                f"{_name(device)} refuses command {command:#04x} of cluster {cluster:#06x}: "
                f"status {status:#04x}",
                status,
            )
        return answer

    async def broadcast(
        self,
        cluster: int,
        command: int,
        payload: bytes = b"",
        *,
        manufacturer: int | None = None,
        address: int = BROADCAST_LISTENING,
        endpoint: int = ALL_ENDPOINTS,
    ) -> tuple[int, int]:
        """Send a cluster command to everybody who listens; return (sequence, status).

        The status is 0 sent, 1 refused because the coordinator has no room, 2 not sent because it
        is away; the sequence is that of the frame. Raises `RigError` once it is given up.
        """
        sequence = self.sender.next_sequence()
        frame = ZclFrame(
            sequence=sequence,
            command=command,
            payload=payload,
            cluster_command=True,
            manufacturer=manufacturer,
            no_default_response=True,
        ).encode()
        return sequence, await self.send_to_all(address, endpoint, cluster, frame)

    async def send_to_all(self, address: int, endpoint: int, cluster: int, frame: bytes) -> int:
        """Broadcast an encoded frame of the cluster library; return the status as `broadcast`."""
        self.check_given_up()
        if self.state != "up":
            return STATUS_COORDINATOR_DOWN
        try:
            status = await self.sender.broadcast(
                address, endpoint, cluster, frame, self._settings.confirm_s
            )
        except ReadingError:
            return STATUS_COORDINATOR_DOWN
        if status == mt.SUCCESS:
            return STATUS_SENT
        self.counters.refused_broadcasts += 1
        return STATUS_TABLE_FULL if status in TABLE_FULL else STATUS_COORDINATOR_DOWN


def _name(device: Device) -> str:
    return f"{device.model or 'device'} {ieee_text(device.ieee)}"
