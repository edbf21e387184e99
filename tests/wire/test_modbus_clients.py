"""Other clients from PyPI, unmodified, against emulated meters: over TCP and on a serial line."""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

import pytest

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.modbus.line import LineSettings
from wattbench.hil.modbus.server import ModbusServer
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import WallClock

SDM630, EM24 = 1, 2
METERS = {SDM630: "eastron_sdm630", EM24: "carlo_gavazzi_em24"}


def need(name: str) -> ModuleType:
    """Return a client's module; skip, or fail if it was promised, when it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if os.environ.get("WATTBENCH_WIRE") == "1":
            pytest.fail(f"{name} is missing: pip install it")
        pytest.skip(f"{name} is missing: pip install it")


def served(
    visit: Callable[[Any], None], *, line: bool = False, names: Mapping[int, str] = METERS
) -> None:
    """Let a client that blocks visit devices, both meters by default, from a thread of its own."""
    with WallClock() as clock:
        units = {}
        for unit, name in names.items():
            profile = load_device_profile(name)
            units[unit] = EmulatedDevice(profile, StandaloneSource(profile, unit), clock)
        settings = LineSettings(9600) if line else None
        server = ModbusServer(units, clock, framing="rtu" if line else "tcp", line=settings)

        async def run() -> None:
            place = await server.serve_pty() if line else await server.serve_tcp()
            try:
                await asyncio.to_thread(visit, place)
            finally:
                await server.close()

        clock.run(run())


def test_pymodbustcp() -> None:
    client, utils = need("pyModbusTCP.client"), need("pyModbusTCP.utils")

    def visit(place: tuple[str, int]) -> None:
        meter = client.ModbusClient(host=place[0], port=place[1], unit_id=SDM630, timeout=5)
        words = meter.read_input_registers(0, 60)
        volts = [utils.decode_ieee(raw) for raw in utils.word_list_to_long(words)[:3]]
        assert all(200 < each < 260 for each in volts)
        assert meter.read_input_registers(0, 62) is None
        assert meter.last_except == 3
        assert meter.read_coils(0, 8) is None
        assert meter.last_except == 1
        assert meter.read_device_identification() is None
        assert meter.last_except == 1
        meter.unit_id = EM24
        assert meter.read_holding_registers(0x000B, 1) == [1648]
        assert meter.write_single_register(0xA000, 7)
        meter.unit_id = 9
        assert meter.read_holding_registers(0x000B, 1) is None
        assert meter.last_except == 11
        meter.close()

    served(visit)


def test_umodbus() -> None:
    client, errors = need("umodbus.client.tcp"), need("umodbus.exceptions")

    def visit(place: tuple[str, int]) -> None:
        with socket.create_connection(place, timeout=5) as sock:
            request = client.read_holding_registers(EM24, 0x000B, 1)
            assert client.send_message(request, sock) == [1648]
            request = client.write_single_register(EM24, 0xA000, 7)
            assert client.send_message(request, sock) == 7
            request = client.read_input_registers(SDM630, 0, 62)
            with pytest.raises(errors.IllegalDataValueError):
                client.send_message(request, sock)

    served(visit)


def test_minimalmodbus() -> None:
    client = need("minimalmodbus")

    def visit(path: str) -> None:
        meter = client.Instrument(path, SDM630)
        other = client.Instrument(path, EM24)
        silent = client.Instrument(path, 7)
        # One port under three names. The time is for a whole answer: the server shares this
        # process with the client, and may be kept waiting for seconds on a busy machine.
        meter.serial.timeout = 20.0
        assert 200 < meter.read_float(0, functioncode=4) < 260
        assert len(meter.read_registers(0, 60, functioncode=4)) == 60
        assert other.read_register(0x000B) == 1648
        order = client.BYTEORDER_LITTLE_SWAP
        volts = other.read_long(0, signed=True, byteorder=order) / 10
        assert 200 < volts < 260
        meter.serial.timeout = 3.0  # waited for in full: the answer is shorter than expected
        with pytest.raises(client.IllegalRequestError, match="illegal data value"):
            meter.read_registers(0, 62, functioncode=4)
        meter.serial.timeout = 0.2
        with pytest.raises(client.NoResponseError):
            silent.read_register(0)
        meter.serial.close()

    served(visit, line=True)


def test_sunspec_devices_say_who_made_them() -> None:
    """Function 43/14, as pyModbusTCP asks for it."""
    client = need("pyModbusTCP.client")

    def visit(place: tuple[str, int]) -> None:
        inverter = client.ModbusClient(host=place[0], port=place[1], unit_id=1, timeout=5)
        found = inverter.read_device_identification()
        assert found is not None, inverter.last_except
        assert (found.vendor_name, found.product_code) == (b"Wattbench", b"Sun 10 kW")
        assert found.major_minor_revision == b"1.8.2"
        inverter.close()

    served(visit, names={1: "sunspec_inverter"})
