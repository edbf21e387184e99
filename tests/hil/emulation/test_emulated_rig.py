"""The emulated devices of a rig: in memory, at addresses, under faults."""

from __future__ import annotations

import asyncio
import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.emulation.rig import EmulatedRig, Endpoint
from wattbench.hil.emulation.sources import METER_FIELDS
from wattbench.hil.modbus.bus import ModbusBus
from wattbench.hil.modbus.client import ModbusClient
from wattbench.hil.modbus.driver import ModbusDevice
from wattbench.hil.modbus.server import ServeError
from wattbench.hil.modbus.tls import client_context, create_certificates
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.rigs.concrete import RigSetup
from wattbench.hil.rigs.model import Rig
from wattbench.hil.wirefaults.targets import FaultTargetError
from wattbench.scenarios.rigs import load_profiles, load_rig
from wattbench.sim.clock import VirtualClock, WallClock
from wattbench.sim.faults import BusDrop, DeviceReboot, ValueStuck

S = 1_000_000
LAN = {"id": "lan", "kind": "modbus-tcp", "port": 0}
LINE = {"id": "line", "kind": "modbus-rtu"}
MESH = {"id": "mesh", "kind": "znp"}
METER = {"id": "meter", "profile": "eastron_sdm630", "bus": "lan"}
HEATER = {"id": "heater", "profile": "zigbee_heater", "bus": "mesh"}


def device(
    clock: Any, rig: EmulatedRig, name: str, *quantities: str, unit: int | None = None
) -> ModbusDevice:
    """Return a driver that reaches a device in memory."""
    found = next(one for one in rig.devices if one.id == name)
    client = ModbusClient.in_memory(
        clock, rig.protocol(found.bus.id), one_way_us=1000, name="c", timeout_s=0.5
    )
    unit = found.unit if unit is None else unit
    return ModbusDevice(
        found.profile, ModbusBus(clock, client), unit, name=name, quantities=quantities
    )


def shipped(name: str) -> RigSetup:
    rig = load_rig(name)
    return RigSetup(rig, load_profiles(rig))


def test_a_pattern_is_one_device_an_actuator(bench) -> None:
    with VirtualClock() as clock:
        rig = EmulatedRig(shipped("export"), clock, site=bench.site())
        assert [(one.id, one.serves) for one in rig.devices] == [
            ("grid_meter", ("grid",)),
            ("inverter", ("pv",)),
            ("battery", ("battery",)),
            ("charger-west", ("charger.west",)),
            ("heater-a1", ("load.a1",)),
            ("heater-b1", ("load.b1",)),
        ]
        assert [one.slot for one in rig.devices if one.ieee] == [0, 1]
        assert len({one.ieee for one in rig.devices if one.ieee}) == 2


def test_devices_are_as_large_as_what_they_stand_for(bench) -> None:
    with VirtualClock() as clock:
        rig = EmulatedRig(shipped("export"), clock, site=bench.site())
        by_id = {one.id: one.profile for one in rig.devices}
        assert by_id["heater-b1"].ratings.power_w == 3000.0
        assert by_id["battery"].ratings.power_w == 4000.0
        assert by_id["battery"].ratings.charge_power_w == 5000.0
        assert by_id["charger-west"].ratings.phases == 3


def test_a_scenario_without_chargers_has_no_chargers_bus(bench) -> None:
    with VirtualClock() as clock:
        rig = EmulatedRig(shipped("export"), clock, site=bench.site(chargers=[], battery=None))
        assert set(rig.servers) == {"meter_lan", "inverter_lan"}
        assert set(rig.meshes) == {"mesh"}


def test_a_meter_in_memory_says_what_the_plant_has(bench) -> None:
    async def read(clock: VirtualClock, rig: EmulatedRig) -> tuple[float, float]:
        meter = device(clock, rig, "meter", "power_w", "voltage_a_v")
        await meter.open()
        await clock.sleep_until(30 * S)
        await meter.poll(clock.now_us)
        return meter.number("power_w"), meter.number("voltage_a_v")

    site, twin = bench.site(), bench.plant()
    with VirtualClock() as clock:
        setup = bench.setup([LAN], [METER | {"serves": ["grid"]}])
        power_w, volts = clock.run(read(clock, EmulatedRig(setup, clock, site=site)))
    sample = twin.reading(30 * S)
    assert sample is not None
    assert power_w == pytest.approx(sample.values[METER_FIELDS["power_w"]], abs=5.0)
    assert volts == pytest.approx(230.0, abs=5.0)


def test_a_command_in_memory_reaches_the_plant(bench) -> None:
    async def write(clock: VirtualClock, rig: EmulatedRig) -> None:
        heater = device(clock, rig, "heater", "power_w")
        await heater.open()
        await heater.write("power_setpoint_w", 600.0)
        await clock.sleep_until(60 * S)
        await heater.poll(clock.now_us)
        assert heater.number("power_w") == pytest.approx(600.0, rel=0.05)

    site = bench.site()
    with VirtualClock() as clock:
        elwa = {"id": "heater", "profile": "mypv_ac_elwa_2", "bus": "lan", "serves": ["load.b1"]}
        clock.run(write(clock, EmulatedRig(bench.setup([LAN], [elwa]), clock, site=site)))
    assert site.effects.of_wire(0, site.index("b1")) > 0
    assert site.terminals.load_power_w(1) == pytest.approx(600.0, rel=0.05)


def test_two_devices_with_one_unit_on_a_bus(bench) -> None:
    setup = bench.setup([LAN], [METER, METER | {"id": "other"}])
    with VirtualClock() as clock, pytest.raises(RigError, match="unit 1 is taken on bus 'lan'"):
        EmulatedRig(setup, clock)


def test_a_pattern_on_one_bus_counts_units_up(bench) -> None:
    loads = [{"id": f"a{k}", "phase": "a", "rated_power_w": 2000} for k in range(1, 4)]
    elwa = {"id": "heater", "profile": "mypv_ac_elwa_2", "bus": "lan", "serves": ["load.*"]}
    with VirtualClock() as clock:
        rig = EmulatedRig(bench.setup([LAN], [elwa]), clock, site=bench.site(loads=loads))
        assert [(one.id, one.unit) for one in rig.devices] == [
            ("heater-a1", 1), ("heater-a2", 2), ("heater-a3", 3),
        ]  # fmt: skip


def test_what_the_plant_does_not_have_is_said(bench) -> None:
    setup = bench.setup([LAN], [METER | {"serves": ["household"]}])
    with VirtualClock() as clock, pytest.raises(RigError) as told:
        EmulatedRig(setup, clock, site=bench.site())
    assert str(told.value) == (
        "device 'meter' serves 'household', which the scenario's plant does not have"
    )


def test_devices_behind_zigbee2mqtt_cannot_be_emulated(bench) -> None:
    setup = bench.setup([{"id": "mesh", "kind": "zigbee2mqtt"}], [HEATER])
    with VirtualClock() as clock, pytest.raises(RigError, match="zigbee2mqtt cannot be emulated"):
        EmulatedRig(setup, clock)


def test_without_a_site_power_of_their_own_flows(bench) -> None:
    async def read(clock: VirtualClock, rig: EmulatedRig) -> set[float]:
        meter = device(clock, rig, "meter", "power_w")
        await meter.open()
        seen = set()
        for second in range(10, 70, 10):
            await clock.sleep_until(second * S)
            await meter.poll(clock.now_us)
            seen.add(meter.number("power_w"))
        return seen

    with VirtualClock() as clock:
        rig = EmulatedRig(bench.setup([LAN], [METER]), clock)
        assert isinstance(rig.source(rig.devices[0]), StandaloneSource)
        seen = clock.run(read(clock, rig))
    assert len(seen) >= 3
    assert all(value == value for value in seen)


def test_a_device_alone_on_tcp_may_answer_to_any_unit(bench) -> None:
    """Whether it does is its profile's to say."""

    async def answers(clock: VirtualClock, rig: EmulatedRig, name: str, unit: int) -> bool:
        link = device(clock, rig, name, "power_w", unit=unit)
        try:
            await link.open()
            await link.poll(clock.now_us)
        except (ReadingError, RigError):
            return False
        return True

    one = {"id": "one", "profile": "keba_p30", "bus": "lan"}
    for any_unit in (False, True):
        setup = bench.setup([LAN], [one])
        profile = setup.profiles["keba_p30"]
        modbus = profile.modbus.model_copy(update={"any_unit": any_unit})
        changed = {"keba_p30": profile.model_copy(update={"modbus": modbus})}
        with VirtualClock() as clock:
            rig = EmulatedRig(RigSetup(setup.rig, changed), clock)
            assert clock.run(answers(clock, rig, "one", rig.devices[0].unit))
            assert clock.run(answers(clock, rig, "one", 77)) == any_unit


KEYS_OF_BUS = {
    "modbus-tcp": {"device", "profile", "bus", "host", "port", "unit"},
    "modbus-rtu": {"device", "profile", "bus", "path", "unit"},
    "znp": {"device", "profile", "bus", "ieee"},
}


def test_endpoints_of_the_zoo(bench) -> None:
    async def serve(clock: WallClock) -> list[Endpoint]:
        rig = EmulatedRig(shipped("zoo"), clock, with_faults=True)
        endpoints = await rig.serve()
        for endpoint in endpoints:
            if endpoint.port is not None:
                socket.create_connection((endpoint.host, endpoint.port), 5).close()
            else:
                assert endpoint.path is not None
                assert Path(endpoint.path).exists()
            assert rig.seen(endpoint.device).requests >= 0
        await rig.close()
        for endpoint in endpoints:
            if endpoint.port is not None:
                with pytest.raises(OSError, match="refused"):
                    socket.create_connection((endpoint.host, endpoint.port), 5)
        return endpoints

    with WallClock() as clock:
        endpoints = clock.run(serve(clock))
    assert [one.device for one in endpoints] == [
        one.id for bus in shipped("zoo").rig.buses for one in shipped("zoo").rig.devices
        if one.bus == bus.id
    ]  # fmt: skip
    for endpoint in endpoints:
        row = endpoint.as_dict()
        place = {"path"} if endpoint.path else {"host", "port"}
        assert set(row) == KEYS_OF_BUS[endpoint.bus] | place
    assert {one.bus for one in endpoints} == set(KEYS_OF_BUS)
    assert len({one.port for one in endpoints if one.bus == "modbus-tcp"}) == 9


def test_paths_are_links_that_are_made_and_removed(bench, tmp_path: Path) -> None:
    line, mesh = tmp_path / "line", tmp_path / "mesh"
    line.symlink_to("/dev/pts/left-over")
    meter = METER | {"bus": "line"}
    setup = bench.setup([LINE | {"path": str(line)}, MESH | {"path": str(mesh)}], [meter, HEATER])

    async def main() -> list[Endpoint]:
        rig = EmulatedRig(setup, clock)
        endpoints = await rig.serve()
        for link in (line, mesh):
            assert link.is_symlink()
            assert link.exists()
        await rig.close()
        return endpoints

    with WallClock() as clock:
        endpoints = clock.run(main())
    assert [one.path for one in endpoints] == [str(line), str(mesh)]
    assert not line.is_symlink()
    assert not mesh.is_symlink()


def test_a_port_that_is_in_use_is_said(bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, WallClock() as clock:
        port = other.getsockname()[1]
        for bus in ({**LAN, "port": port}, {**MESH, "host": "127.0.0.1", "port": port}):
            devices = [METER] if bus["id"] == "lan" else [HEATER]
            rig = EmulatedRig(bench.setup([bus], devices), clock)

            async def serve(rig: EmulatedRig = rig) -> None:
                try:
                    await rig.serve()
                finally:
                    await rig.close()

            with pytest.raises(ServeError, match=f"port {port}.*in use") as told:
                clock.run(serve())
            assert "\n" not in str(told.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the program openssl is missing")
def test_a_bus_with_tls(bench, tmp_path: Path) -> None:
    made = create_certificates(tmp_path)

    def bus(certificate: Path, key: Path) -> dict[str, Any]:
        files = {"ca_path": made.authority, "certificate_path": certificate, "key_path": key}
        return {**LAN, "kind": "modbus-tls", **{name: str(path) for name, path in files.items()}}

    async def talk(clock: WallClock, rig: EmulatedRig) -> float:
        (endpoint,) = await rig.serve()
        assert endpoint.bus == "modbus-tls"
        assert endpoint.host is not None
        assert endpoint.port is not None
        tls = client_context(made.client, made.client_key, made.authority)
        client = ModbusClient.tcp(
            clock, endpoint.host, endpoint.port, tls=tls, name="c", timeout_s=5.0
        )
        profile = rig.devices[0].profile
        link = ModbusDevice(
            profile, ModbusBus(clock, client), 1, name="m", quantities=["power_w"], timeout_s=5.0
        )
        await link.open()
        await asyncio.sleep(1.5)
        await link.poll(clock.now_us)
        link_value = link.number("power_w")
        await rig.close()
        return link_value

    with WallClock() as clock:
        setup = bench.setup([bus(made.server, made.server_key)], [METER])
        assert clock.run(talk(clock, EmulatedRig(setup, clock))) != 0.0


def test_faults_of_a_scenario_bend_frames_at_their_times(bench) -> None:
    told: list[tuple[str, bool, int]] = []

    async def read(clock: VirtualClock, rig: EmulatedRig) -> list[bool]:
        meter = device(clock, rig, "meter", "power_w")
        await meter.open()
        heard = []
        for second in range(5, 60, 5):
            await clock.sleep_until(second * S)
            try:
                await meter.poll(clock.now_us)
                heard.append(True)
            except ReadingError:
                heard.append(False)
        return heard

    fault = BusDrop(start_s=12, duration_s=9, target="lan", probability=1.0)
    with VirtualClock() as clock:
        rig = EmulatedRig(
            bench.setup([LAN], [METER]),
            clock,
            faults=[fault],
            on_fault=lambda fault, on: told.append((fault.kind, on, clock.now_us)),
        )
        heard = clock.run(read(clock, rig))
    assert heard[:4] == [True, True, False, False]
    assert heard[-1] is True
    assert told == [("bus_drop", True, 12 * S), ("bus_drop", False, 21 * S)]


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (BusDrop(start_s=1, duration_s=1, target="lam"), "no target 'lam'.*did you mean 'lan'"),
        (DeviceReboot(start_s=1, duration_s=1, target="lan"), "'lan' is no emulated device"),
        (BusDrop(start_s=1, duration_s=1, target="heater"), "allowed: target 'mesh'"),
    ],
)
def test_faults_on_what_is_not_there(bench, fault: Any, said: str) -> None:
    setup = bench.setup([LAN, MESH], [METER, HEATER])
    with VirtualClock() as clock, pytest.raises(FaultTargetError, match=said):
        EmulatedRig(setup, clock, faults=[fault])


def test_a_value_that_is_stuck(bench) -> None:
    async def read(clock: VirtualClock, rig: EmulatedRig) -> list[float]:
        heater = device(clock, rig, "heater", "power_w")
        await heater.open()
        await heater.write("power_setpoint_w", 1000.0)
        values = []
        for second in (30, 45, 90):
            await clock.sleep_until(second * S)
            if second == 45:
                await heater.write("power_setpoint_w", 200.0)
                await clock.sleep_until(65 * S)
            await heater.poll(clock.now_us)
            values.append(heater.number("power_w"))
        return values

    site = bench.site()
    elwa = {"id": "heater", "profile": "mypv_ac_elwa_2", "bus": "lan", "serves": ["load.b1"]}
    fault = ValueStuck(start_s=40, duration_s=30, target="heater", quantity="power_w")
    with VirtualClock() as clock:
        rig = EmulatedRig(bench.setup([LAN], [elwa]), clock, site=site, faults=[fault])
        first, stuck, after = clock.run(read(clock, rig))
    assert first == pytest.approx(1000.0, rel=0.05)
    assert stuck == first, "it goes on saying what was"
    assert after == pytest.approx(200.0, rel=0.1)


def test_without_faults_frames_pass_untouched(bench) -> None:
    with VirtualClock() as clock:
        rig = EmulatedRig(bench.setup([LAN], [METER]), clock)
        assert rig.targets is None
        live = EmulatedRig(bench.setup([LAN], [METER]), clock, with_faults=True)
        assert live.targets is not None
        live.targets.on("lan", "bus_drop", {})
        assert live.seen("meter").faults == ["bus_drop"]


def test_real_devices_are_left_alone(bench) -> None:
    real = {
        "id": "far", "profile": "mypv_ac_elwa_2", "bus": "far_lan", "emulated": False,
        "serves": ["load.b1"],
    }  # fmt: skip
    far = {**LAN, "id": "far_lan", "port": 1502}
    setup = bench.setup([LAN, far], [METER | {"serves": ["grid"]}, real])
    with VirtualClock() as clock:
        rig = EmulatedRig(setup, clock, site=bench.site())
        assert [one.id for one in rig.devices] == ["meter"]
        assert set(rig.servers) == {"lan"}


def test_rigs_are_models() -> None:
    assert isinstance(shipped("zoo").rig, Rig)
    assert not shipped("export").rig.real
