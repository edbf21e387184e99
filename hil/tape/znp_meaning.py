"""What the frames between host and Zigbee coordinator say: the MT command, and ZCL inside of it."""

from __future__ import annotations

from typing import Any, Final

from ..zigbee import heater, mt, zcl
from ..zigbee.binary import CodecError
from ..zigbee.mt_messages import (
    AfDataConfirm,
    AfDataRequest,
    AfDataRequestExt,
    AfIncoming,
    TcDeviceJoined,
    ZdoIncoming,
)
from .meaning import Meaning, number_text

_PREFIXES: Final = ("SYS_", "AF_", "ZDO_", "UTIL_", "APP_CNF_", "RPC_ERROR")
COMMANDS: Final[dict[int, str]] = {
    value: name
    for name, value in vars(mt).items()
    if name.startswith(_PREFIXES) and isinstance(value, int) and value > 0xFF
}
_CLUSTERS: Final = {
    zcl.BASIC: "Basic",
    zcl.POWER_CONFIGURATION: "Power",
    zcl.IDENTIFY: "Identify",
    zcl.GROUPS: "Groups",
    zcl.SCENES: "Scenes",
    zcl.ON_OFF: "OnOff",
    zcl.LEVEL_CONTROL: "Level",
    zcl.TIME: "Time",
    zcl.OTA: "OTA",
    zcl.POLL_CONTROL: "PollControl",
    zcl.TEMPERATURE: "Temperature",
    zcl.HUMIDITY: "Humidity",
    zcl.METERING: "Metering",
    zcl.ELECTRICAL_MEASUREMENT: "ElectricalMeasurement",
    heater.CLUSTER: "Heater",
}
_GENERAL: Final = {
    zcl.READ_ATTRIBUTES: "read",
    zcl.READ_ATTRIBUTES_RESPONSE: "read response",
    zcl.WRITE_ATTRIBUTES: "write",
    zcl.WRITE_ATTRIBUTES_UNDIVIDED: "write undivided",
    zcl.WRITE_ATTRIBUTES_RESPONSE: "write response",
    zcl.WRITE_ATTRIBUTES_NO_RESPONSE: "write without response",
    zcl.CONFIGURE_REPORTING: "configure reporting",
    zcl.CONFIGURE_REPORTING_RESPONSE: "configure reporting response",
    zcl.READ_REPORTING: "read reporting",
    zcl.READ_REPORTING_RESPONSE: "read reporting response",
    zcl.REPORT_ATTRIBUTES: "report",
    zcl.DEFAULT_RESPONSE: "default response",
    zcl.DISCOVER_ATTRIBUTES: "discover",
    zcl.DISCOVER_ATTRIBUTES_RESPONSE: "discover response",
}


def read(frame: bytes) -> Meaning:
    """Return what a frame says; never raises."""
    parser = mt.MtParser()
    found = parser.feed(frame)
    if len(found) != 1 or parser.skipped_bytes:
        if frame[:1] == bytes((mt.START,)) and len(frame) > 4:
            whole = len(frame) == frame[1] + 5
            wrong = "wrong check byte" if whole else "cut, or several frames"
            return Meaning(f"{len(frame)} bytes", {}, wrong)
        return Meaning(f"{len(frame)} bytes", {}, "not a frame")
    message = found[0]
    name, suffix = _name(message)
    fields: dict[str, Any] = {"command": name + suffix}
    try:
        details = _details(message, fields)
    except (CodecError, ValueError, IndexError) as problem:
        return Meaning(name + suffix, fields, str(problem))
    return Meaning(f"{name}{suffix}{details}", fields)


def _name(message: mt.MtFrame) -> tuple[str, str]:
    if message.kind == mt.SRSP and message.command != mt.RPC_ERROR:
        asked = (message.command & ~mt.TYPE_MASK) | mt.SREQ
        return COMMANDS.get(asked, f"0x{asked:04X}"), " response"
    return COMMANDS.get(message.command, f"0x{message.command:04X}"), ""


def _details(message: mt.MtFrame, fields: dict[str, Any]) -> str:
    data = message.data
    match message.command:
        case mt.RPC_ERROR:
            fields |= {"error": data[0], "asked": data[1:3].hex()}
            return f": error {data[0]} for {data[1:3].hex(' ')}"
        case mt.AF_DATA_REQUEST:
            sent = AfDataRequest.decode(data)
            return _message(f" to 0x{sent.destination:04X}", sent, fields)
        case mt.AF_DATA_REQUEST_EXT:
            ext = AfDataRequestExt.decode(data)
            return _message(f" to 0x{ext.destination:04X}", ext, fields)
        case mt.AF_INCOMING_MSG:
            came = AfIncoming.decode(data)
            fields["source"] = came.source
            return _message(f" from 0x{came.source:04X}", came, fields)
        case mt.AF_DATA_CONFIRM:
            confirm = AfDataConfirm.decode(data)
            fields |= {"status": confirm.status, "transaction": confirm.transaction}
            return f": transaction {confirm.transaction}, status 0x{confirm.status:02X}"
        case mt.ZDO_MSG_CB_INCOMING:
            zdo = ZdoIncoming.decode(data)
            fields |= {"source": zdo.source, "cluster": zdo.cluster}
            return f" from 0x{zdo.source:04X}: ZDO cluster 0x{zdo.cluster:04X}"
        case mt.ZDO_TC_DEV_IND:
            joined = TcDeviceJoined.decode(data)
            fields |= {"nwk": joined.nwk, "ieee": f"{joined.ieee:016x}"}
            return f": 0x{joined.nwk:04X} is {joined.ieee:016x}"
    if message.kind == mt.SRSP and len(data) == 1:
        fields["status"] = data[0]
        return f": status 0x{data[0]:02X}"
    return f": {data.hex(' ')}" if 0 < len(data) <= 16 else ""


def _message(
    where: str, message: AfDataRequest | AfDataRequestExt | AfIncoming, fields: dict[str, Any]
) -> str:
    cluster = message.cluster
    fields["cluster"] = cluster
    if isinstance(message, AfDataRequest | AfDataRequestExt):
        fields |= {"destination": message.destination, "transaction": message.transaction}
        if message.destination_endpoint == 0:
            return f"{where}: ZDO cluster 0x{cluster:04X}"
    try:
        frame = zcl.ZclFrame.decode(message.payload)
        inside = _zcl(cluster, frame, fields)
    except (CodecError, ValueError) as problem:
        inside = str(problem)
    return f"{where}: {_CLUSTERS.get(cluster, f'cluster 0x{cluster:04X}')} {inside}"


def _zcl(cluster: int, frame: zcl.ZclFrame, fields: dict[str, Any]) -> str:
    fields |= {"zcl_command": frame.command, "zcl_sequence": frame.sequence}
    if frame.cluster_command:
        if cluster == heater.CLUSTER and frame.command == heater.SET_POWER:
            order = heater.SetPower.decode(frame.payload)
            fields["powers_w"] = {str(slot): power for slot, power in order.powers_w}
            powers = " ".join(f"{slot}={number_text(power)}" for slot, power in order.powers_w)
            return f"set power #{order.sequence}: {powers}"
        if cluster == heater.CLUSTER and frame.command == heater.ACK:
            ack = heater.Ack.decode(frame.payload)
            fields |= {"slot": ack.slot, "accepted_w": ack.accepted_w}
            return f"ack #{ack.sequence}: slot {ack.slot}, {number_text(ack.accepted_w)} W"
        return f"command 0x{frame.command:02X} {frame.payload.hex(' ')}".rstrip()
    text = _GENERAL.get(frame.command, f"general 0x{frame.command:02X}")
    if frame.command == zcl.READ_ATTRIBUTES:
        wanted = zcl.decode_attribute_ids(frame.payload)
        fields["attributes"] = list(wanted)
        return f"{text} {' '.join(f'0x{one:04X}' for one in wanted)}"
    if frame.command == zcl.READ_ATTRIBUTES_RESPONSE:
        records = zcl.decode_read_records(frame.payload)
        values = {f"0x{one.attribute:04X}": one.value for one in records}
    elif frame.command in {zcl.REPORT_ATTRIBUTES, zcl.WRITE_ATTRIBUTES}:
        values = {
            f"0x{one.attribute:04X}": one.value for one in zcl.decode_attributes(frame.payload)
        }
    elif frame.is_default_response and len(frame.payload) > 1:
        fields["status"] = frame.payload[1]
        return f"{text} to 0x{frame.payload[0]:02X}, status 0x{frame.payload[1]:02X}"
    else:
        return text
    shown = {name: _plain(value) for name, value in values.items()}
    fields["values"] = shown
    return f"{text} {' '.join(f'{name}={value}' for name, value in shown.items())}"


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, int | float | str | bool | None) else str(value)
