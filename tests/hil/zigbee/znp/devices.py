"""Devices for tests: profiles of a plug, a heater and a sleepy sensor, and a source of values."""

from __future__ import annotations

from wattbench.hil.devices.model import DeviceProfile

EM, METERING = 0x0B04, 0x0702


class Values:
    """A source that holds numbers and remembers commands."""

    def __init__(self, **values):
        self.values = values
        self.commands = []

    def measure(self, quantity, t_us):
        return self.values.get(quantity)

    def command(self, quantity, value, t_us):
        self.commands.append((t_us, quantity, value))
        self.values[quantity] = value


def attribute(cluster, number, kind, quantity=None, **more):
    return {"cluster": cluster, "id": number, "type": kind, "quantity": quantity, **more}


def _power(divisor):
    return [
        attribute(EM, 0x0000, "map32", value=9),
        attribute(EM, 0x0505, "uint16", "voltage_a_v", divisor=10),
        attribute(EM, 0x0508, "uint16", "current_a_a", divisor=1000),
        attribute(EM, 0x050B, "int16", "power_w", divisor=divisor),
        attribute(EM, 0x0600, "uint16", value=1),
        attribute(EM, 0x0601, "uint16", value=10),
        attribute(EM, 0x0602, "uint16", value=1),
        attribute(EM, 0x0603, "uint16", value=1000),
        attribute(EM, 0x0604, "uint16", value=1),
        attribute(EM, 0x0605, "uint16", value=divisor),
        attribute(METERING, 0x0000, "uint48", "energy_wh"),
        attribute(METERING, 0x0200, "map8", value=0),
        attribute(METERING, 0x0300, "enum8", value=0),
        attribute(METERING, 0x0301, "uint24", value=1),
        attribute(METERING, 0x0302, "uint24", value=1000),
        attribute(METERING, 0x0303, "map8", value=0x2B),
        attribute(METERING, 0x0306, "map8", value=0),
        attribute(METERING, 0x0400, "int24", "power_w"),
        attribute(6, 0, "bool", "on"),
    ]


def profile(name, kind, zigbee, model, timing=None):
    return DeviceProfile.model_validate(
        {
            "name": name,
            "kind": kind,
            "identity": {"manufacturer": "wattbench", "model": model, "firmware": "1.2"},
            "timing": timing or {},
            "zigbee": zigbee,
        }
    )


def plug_profile():
    level = attribute(8, 0, "uint8", "level", divisor=254)
    return profile(
        "plug",
        "plug",
        {
            "manufacturer_code": 0x1257,
            "endpoints": [
                {
                    "device_id": 0x0051,
                    "server_clusters": [0, 3, 4, 5, 6, 8, METERING, EM],
                    "client_clusters": [0x0019],
                }
            ],
            "attributes": [*_power(10), level],
        },
        "WB-Plug",
    )


def heater_profile(slot=1, watchdog_s=0):
    own = {"manufacturer_code": 0x1257}
    return profile(
        "heater",
        "heater",
        {
            "manufacturer_code": 0x1257,
            "endpoints": [
                {"device_id": 0x0051, "server_clusters": [0, 3, 4, 6, METERING, EM, 0xFC57]}
            ],
            "attributes": [
                *_power(1),
                attribute(0xFC57, 0, "uint8", value=slot, access="rw", **own),
                attribute(0xFC57, 1, "uint32", "power_setpoint_w", divisor=100, **own),
                attribute(0xFC57, 2, "uint32", "max_power_w", divisor=100, **own),
                attribute(0xFC57, 3, "uint16", value=watchdog_s, access="rw", **own),
            ],
        },
        "WB-Heater",
    )


def sensor_profile():
    return profile(
        "sensor",
        "sensor",
        {
            "manufacturer_code": 0x1257,
            "power_source": "battery",
            "router": False,
            "sleepy": True,
            "endpoints": [{"device_id": 0x0302, "server_clusters": [0, 1, 3, 0x0402, 0x0405]}],
            "attributes": [
                attribute(1, 0x20, "uint8", value=30),
                attribute(1, 0x21, "uint8", "battery_soc", divisor=200),
                attribute(0x0402, 0, "int16", "temperature_c", divisor=100),
                attribute(0x0402, 1, "int16", value=-4000),
                attribute(0x0402, 2, "int16", value=12500),
                attribute(0x0405, 0, "uint16", "humidity", divisor=10000),
            ],
        },
        "WB-Sensor",
    )
