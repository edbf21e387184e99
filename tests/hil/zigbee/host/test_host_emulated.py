"""The host against the emulated coordinator and its devices: memory, TCP and a pseudo-terminal."""

from __future__ import annotations

import asyncio
import os

import pytest

from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.zigbee import heater, zcl, zcl_types
from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.host import attributes, ports
from wattbench.hil.zigbee.host import link as link_module
from wattbench.hil.zigbee.host.heaters import HeaterSlots
from wattbench.hil.zigbee.host.host import HostSettings, ZigbeeHost
from wattbench.hil.zigbee.host.link import LinkDownError, MtLink
from wattbench.hil.zigbee.host.loads import LoadSlots, SwitchedLoad
from wattbench.hil.zigbee.host.sending import NoAnswerError, RetryPolicy
from wattbench.hil.zigbee.network import Network
from wattbench.hil.zigbee.radio import RadioMesh
from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
from wattbench.hil.zigbee.znp.serving import PtyEndpoint, port_of, serve_tcp
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import VirtualClock, WallClock
from wattbench.sim.edge.config import MeshConfig

S = 1_000_000
PLUG, SENSOR, HEATER = 0x00124B0000000200, 0x00124B0000000300, 0x00124B0000000100
QUIET = MeshConfig(loss_good=0.0, loss_bad=0.0, route_repair_probability=0.0)
ON, OFF = 0x01, 0x00
PROFILES = {PLUG: "zigbee_plug", SENSOR: "zigbee_temperature_sensor"}


class Site:
    """Three heaters, a plug and a sleepy sensor around an emulated coordinator, and a host."""

    def __init__(self, clock, mesh: MeshConfig = QUIET, **settings) -> None:
        self.clock = clock
        self.network = Network(clock, mesh=RadioMesh(mesh, seed=3), seed=3)
        names = {HEATER + k: "zigbee_heater" for k in range(3)} | PROFILES
        self.devices = {}
        for ieee, name in names.items():
            profile = load_device_profile(name)
            source = StandaloneSource(profile, ieee & 0xFF)
            self.devices[ieee] = EndDevice.from_profile(profile, source, ieee, clock)
            self.network.add(self.devices[ieee])
        self.coordinator = ZnpCoordinator(clock, self.network)
        self.host = ZigbeeHost(clock, settings=HostSettings(**settings))
        self.connect = ports.in_memory(clock, self.coordinator.protocol)

    async def open(self) -> None:
        await self.host.open(self.connect)
        await self.host.network.permit_join(30)
        await asyncio.sleep(5)
        await self.host.network.permit_join(0)


def on_site(work, **settings):
    with VirtualClock() as clock:
        site = Site(clock, **settings)

        async def main():
            await site.open()
            try:
                return await work(site)
            finally:
                await site.host.close()

        return clock.run(main())


def test_devices_join_and_say_who_they_are() -> None:
    async def work(s: Site):
        assert {device.ieee for device in s.host.devices} == set(s.devices)
        plug = await attributes.interview(s.host, PLUG)
        assert plug.identity() == {
            "ieee": "0x00124b0000000200",
            "manufacturer": "Wattbench",
            "model": "Plug Dim",
            "serial": "WB-PLG-0001",
            "date_code": plug.date_code,
            "firmware": "1.0.4",
        }
        assert not plug.sleepy
        assert zcl.ELECTRICAL_MEASUREMENT in plug.endpoints[1].inputs
        sensor = await attributes.interview(s.host, SENSOR)
        assert sensor.sleepy
        found = await attributes.read_identity(s.host, PLUG)
        assert (found.model, found.serial) == ("Plug Dim", "WB-PLG-0001")

    on_site(work)


def test_a_plug_is_switched_and_read() -> None:
    async def work(s: Site):
        await s.host.request(PLUG, zcl.ON_OFF, OFF)
        await asyncio.sleep(2)
        assert await attributes.read(s.host, PLUG, zcl.ON_OFF, [0]) == {0: False}
        found = await attributes.read(
            s.host, PLUG, zcl.ELECTRICAL_MEASUREMENT, [0x050B, 0x0505, 0x0600, 0x0601, 0x7777]
        )
        assert 0x7777 not in found
        volts = found[0x0505] * attributes.scaling(found, 0x0600, 0x0601)
        assert 200 < volts < 260
        assert found[0x050B] == 0

    on_site(work)


def test_reports_come_after_binding_and_configuration() -> None:
    async def work(s: Site):
        await attributes.bind(s.host, PLUG, zcl.ELECTRICAL_MEASUREMENT)
        record = zcl.ReportingRecord(0x0505, zcl_types.UINT16, 1, 5, 1)
        await attributes.configure_reporting(s.host, PLUG, zcl.ELECTRICAL_MEASUREMENT, [record])
        seen = []
        s.host.receiver.on_report.append(
            lambda ieee, cluster, attribute, value, t_us: seen.append((ieee, attribute, value))
        )
        await asyncio.sleep(30)
        volts = [value for ieee, attribute, value in seen if (ieee, attribute) == (PLUG, 0x0505)]
        assert len(volts) >= 5
        assert all(2000 < value < 2600 for value in volts)

    on_site(work)


def test_heaters_get_their_slots_and_acknowledge() -> None:
    async def work(s: Site):
        slots = HeaterSlots(s.host, {k: HEATER + k for k in range(3)})
        await slots.start()
        seq, status = await slots.set_power({0: 100.0, 1: 200.0, 2: 9000.0})
        assert status == 0
        await asyncio.sleep(2)
        assert set(slots.acked_us(seq)) == {0, 1, 2}
        # A heater takes what it is rated for.
        assert slots.accepted_w == {0: 100.0, 1: 200.0, 2: 3500.0}

    on_site(work)


def test_heaters_report_their_power_when_asked_to() -> None:
    async def work(s: Site):
        slots = HeaterSlots(s.host, {k: HEATER + k for k in range(3)}, report_period_s=5.0)
        await slots.start()
        await slots.set_power({0: 1000.0, 1: 0.0, 2: 3000.0})
        await asyncio.sleep(30)
        reports = slots.power_reports
        assert reports[0].value == pytest.approx(1000, abs=20)
        assert reports[1].value == pytest.approx(0, abs=20)
        assert reports[2].value == pytest.approx(3000, abs=60)
        assert all(s.clock.now_us - one.received_us < 7 * S for one in reports.values())

    on_site(work)


def test_a_heater_that_lost_its_slot_is_told_it_again() -> None:
    async def work(s: Site):
        slots = HeaterSlots(s.host, {k: HEATER + k for k in range(3)})
        await slots.start()
        record = zcl.Attribute(heater.ATTRIBUTE_SLOT, zcl_types.UINT8, 0)
        await attributes.write(
            s.host, HEATER + 2, heater.CLUSTER, [record], manufacturer=heater.MANUFACTURER
        )
        # It now obeys slot 0, and says so.
        seq, _ = await slots.set_power({0: 100.0, 2: 300.0})
        await asyncio.sleep(5)
        assert set(slots.acked_us(seq)) == {0}
        assert (slots.wrong, slots.repaired) == (1, 1)
        seq, _ = await slots.set_power({0: 100.0, 2: 300.0})
        await asyncio.sleep(5)
        assert set(slots.acked_us(seq)) == {0, 2}

    on_site(work)


def test_a_heater_that_is_not_there_is_an_error_of_the_rig() -> None:
    async def work(s: Site):
        s.devices[HEATER + 1].vanish()
        slots = HeaterSlots(s.host, {k: HEATER + k for k in range(3)})
        with pytest.raises(RigError, match=r"heater 0x00124b0000000101 of slot 1: "):
            await slots.start()

    on_site(work)


def test_one_heater_can_be_told_alone_beside_the_broadcasts() -> None:
    async def work(s: Site):
        slots = HeaterSlots(s.host, {k: HEATER + k for k in range(3)})
        await slots.start()
        payload = heater.SetPower(200, ((1, 700.0),)).encode()
        answer = await s.host.request(
            HEATER + 1,
            heater.CLUSTER,
            heater.SET_POWER,
            payload,
            response=heater.ACK,
            manufacturer=heater.MANUFACTURER,
            harmless=True,
        )
        assert heater.Ack.decode(answer.payload) == heater.Ack(200, 1, 700.0)

    on_site(work)


def test_heaters_and_a_dimmer_take_watts_together() -> None:
    async def work(s: Site):
        heaters = HeaterSlots(s.host, {k: HEATER + k for k in range(3)})
        loads = LoadSlots(s.host, heaters, {5: SwitchedLoad(PLUG, 2000.0)}, report_period_s=2.0)
        await loads.start()
        seq, status = await loads.set_power({0: 100.0, 1: 200.0, 2: 0.0, 5: 500.0})
        assert status == 0
        await asyncio.sleep(5)
        assert set(loads.acked_us(seq)) == {0, 1, 2, 5}
        level = s.devices[PLUG].source.measure("level", s.clock.now_us)
        assert level == pytest.approx(0.25, abs=0.01)
        assert 5 in loads.power_reports
        seq, _ = await loads.set_power({5: 0.0})
        await asyncio.sleep(5)
        assert set(loads.acked_us(seq)) == {5}
        assert not s.devices[PLUG].source.measure("on", s.clock.now_us)
        assert loads.acked_us(-1) == loads.acked_us(99) == {}
        with pytest.raises(RigError, match="no load has one of the slots"):
            await LoadSlots(s.host, None, {}).set_power({0: 1.0})

    on_site(work)


def test_only_the_newest_command_waits_behind_a_slow_plug() -> None:
    async def work(s: Site):
        loads = LoadSlots(s.host, None, {5: SwitchedLoad(PLUG, 2000.0, means="on")})
        await loads.start()
        s.devices[PLUG].vanish()
        numbers = [(await loads.set_power({5: power_w}))[0] for power_w in (0.0, 2000.0, 0.0)]
        await asyncio.sleep(1)
        numbers += [(await loads.set_power({5: power_w}))[0] for power_w in (2000.0, 0.0)]
        await asyncio.sleep(20)
        assert all(loads.acked_us(seq) == {} for seq in numbers)
        assert len(loads.refusals) == 2
        s.devices[PLUG].reappear()
        await asyncio.sleep(5)
        seq, _ = await loads.set_power({5: 2000.0})
        await asyncio.sleep(2)
        assert set(loads.acked_us(seq)) == {5}
        await loads.close()

    on_site(work)


def test_a_sensor_is_no_load() -> None:
    async def work(s: Site):
        loads = LoadSlots(s.host, None, {5: SwitchedLoad(SENSOR, 2000.0)})
        with pytest.raises(RigError, match="cannot be switched"):
            await loads.start()

    on_site(work)


def test_a_full_broadcast_table_is_refused_and_empties_again() -> None:
    async def work(s: Site):
        slots = HeaterSlots(s.host, {k: HEATER + k for k in range(3)})
        await asyncio.sleep(10)
        statuses = [(await slots.set_power({0: 1.0}))[1] for _ in range(10)]
        assert statuses == [0] * 8 + [1] * 2
        await asyncio.sleep(10)
        assert (await slots.set_power({0: 1.0}))[1] == 0

    on_site(work)


def test_a_sleepy_device_is_waited_for() -> None:
    async def work(s: Site):
        await attributes.interview(s.host, SENSOR)
        await asyncio.sleep(120)  # its fast polling after joining is over
        before_us = s.clock.now_us
        found = await attributes.read(s.host, SENSOR, zcl.TEMPERATURE, [0])
        assert -2000 < found[0] < 5000
        assert s.clock.now_us - before_us < 8 * S

    on_site(work)


def test_a_device_without_power_costs_one_reading_and_comes_back() -> None:
    async def work(s: Site):
        s.devices[PLUG].vanish()
        with pytest.raises(ReadingError):
            await s.host.request(PLUG, zcl.ON_OFF, ON)
        s.devices[PLUG].reappear()
        await asyncio.sleep(5)
        await s.host.request(PLUG, zcl.ON_OFF, ON)

    on_site(work)


def test_half_the_messages_lost_is_mended_by_trying_again() -> None:
    bad = MeshConfig(loss_good=0.3, loss_bad=0.3)

    async def work(s: Site):
        done = 0
        for _ in range(50):
            try:
                await s.host.request(PLUG, zcl.ON_OFF, ON)
                done += 1
            except ReadingError:
                pass
        # 1 - 0.3^3 arrive, 70 % of the answers come back.
        assert done >= 25
        assert s.host.sender.retries > 5

    with VirtualClock() as clock:
        site = Site(clock, retry=RetryPolicy(timeout_s=3.0))

        async def main():
            await site.open()
            site.network.mesh = RadioMesh(bad, seed=5)
            await work(site)
            await site.host.close()

        clock.run(main())


def test_after_a_restart_of_the_host_devices_are_found_by_address() -> None:
    async def work(s: Site):
        await s.host.close()
        again = ZigbeeHost(s.clock)
        await again.open(s.connect)
        assert not again.coordinator.formed
        assert len(again.devices) == 0
        await again.request(PLUG, zcl.ON_OFF, ON)
        with pytest.raises(NoAnswerError):
            await again.request(0x00124B00000000FF, zcl.ON_OFF, ON)
        await again.close()

    on_site(work)


def test_a_stuck_stick_is_found_out_and_used_again_after_its_reset() -> None:
    async def work(s: Site):
        s.coordinator.stuck = True
        status = (await s.host.broadcast(zcl.ON_OFF, ON))[1]
        assert status == 2
        await asyncio.sleep(15)
        assert s.host.state == "down"
        s.coordinator.reset()
        await asyncio.sleep(15)
        assert s.host.state == "up"
        await s.host.request(PLUG, zcl.ON_OFF, ON)

    on_site(work)


def test_a_reboot_with_lost_configuration_gives_the_coordinator_up() -> None:
    async def work(s: Site):
        s.coordinator.lose_configuration()
        await asyncio.sleep(5)
        with pytest.raises(RigError, match="has no network"):
            await s.host.request(PLUG, zcl.ON_OFF, ON)

    on_site(work)


def test_a_device_that_leaves_is_noticed() -> None:
    async def work(s: Site):
        await s.host.network.remove(PLUG)
        await asyncio.sleep(2)
        assert not s.host.devices.get(PLUG).present
        with pytest.raises(ReadingError):
            await s.host.request(PLUG, zcl.ON_OFF, ON)

    on_site(work)


def test_one_seed_gives_one_trace() -> None:
    class Tape(list):
        def frame(self, bus, direction, t_us, data) -> None:
            self.append((direction, t_us, data))

    def once():
        tape = Tape()
        with VirtualClock() as clock:
            site = Site(clock)
            drawn = iter([b"\x01\x02", bytes(range(8)), bytes(16)])
            network = site.host._settings.network
            object.__setattr__(network, "random", lambda count: next(drawn))
            site.host._tap = tape

            async def main():
                await site.open()
                slots = HeaterSlots(site.host, {k: HEATER + k for k in range(3)})
                await slots.start()
                await slots.set_power({0: 100.0})
                await asyncio.sleep(3)
                await site.host.close()

            clock.run(main())
        return tape

    first, second = once(), once()
    assert len(first) > 100
    assert first == second


# Real transports


def on_wall(work, **settings):
    with WallClock() as clock:
        site = Site(clock, **settings)
        site.coordinator.formation_us = 1000

        async def main():
            async with asyncio.timeout(20):
                await work(site)

        clock.run(main())


def test_over_tcp() -> None:
    async def work(s: Site):
        server = await serve_tcp(s.coordinator.protocol)
        number = port_of(server)
        await s.host.open(ports.tcp("127.0.0.1", number))
        assert s.host.coordinator.formed
        assert (await s.host.broadcast(zcl.ON_OFF, ON))[1] == 0
        await s.host.close()
        server.close()
        await server.wait_closed()
        with pytest.raises(LinkDownError, match="no coordinator at"):
            await ports.tcp("127.0.0.1", number)(asyncio.Protocol())

    on_wall(work)


def test_a_stick_that_falls_silent_is_pinged_and_found_out(monkeypatch) -> None:
    monkeypatch.setattr(link_module, "TIMEOUT_S", 0.05)

    async def work(s: Site):
        await s.host.open(s.connect)
        s.coordinator.stuck = True
        while s.host.state == "up":
            await asyncio.sleep(0.01)
        assert (await s.host.broadcast(zcl.ON_OFF, ON))[1] != 0
        s.coordinator.reset()
        while s.host.state != "up":
            await asyncio.sleep(0.01)
        assert (await s.host.broadcast(zcl.ON_OFF, ON))[1] == 0
        await s.host.close()

    on_wall(work, ping_period_s=0.1)


def test_over_a_pseudo_terminal_that_is_unplugged_and_plugged_in_again(tmp_path) -> None:
    link = tmp_path / "stick"

    async def work(s: Site):
        port = PtyEndpoint(s.coordinator.protocol(), link)
        await s.host.open(ports.serial(str(link)))
        assert (await s.host.broadcast(zcl.ON_OFF, ON))[1] == 0
        with pytest.raises(LinkDownError, match="in use"):
            await ports.serial(str(link))(asyncio.Protocol())
        port.close()
        while s.host.state == "up":
            await asyncio.sleep(0.01)
        assert (await s.host.broadcast(zcl.ON_OFF, ON))[1] == 2
        port = PtyEndpoint(s.coordinator.protocol(), link)
        while s.host.state != "up":
            await asyncio.sleep(0.05)
        assert (await s.host.broadcast(zcl.ON_OFF, ON))[1] == 0
        await s.host.close()
        port.close()

    on_wall(work)


@pytest.mark.parametrize(
    ("path", "rate", "message"),
    [
        ("/nowhere/ttyUSB9", 115200, "cannot be opened"),
        (os.devnull, 115200, "cannot be set to 115200 baud"),
        ("/nowhere", 12345, "12345 baud"),
    ],
)
def test_a_port_that_is_none_is_said(path, rate, message) -> None:
    async def work():
        with pytest.raises(LinkDownError, match=message):
            await ports.serial(path, rate)(asyncio.Protocol())

    with WallClock() as clock:
        clock.run(work())


def test_a_pseudo_terminal_takes_more_than_its_buffer_holds() -> None:
    """What the port does not take at once goes out later, in order."""

    class Peer(asyncio.Protocol):
        def __init__(self) -> None:
            self.received = b""

        def data_received(self, data: bytes) -> None:
            self.received += data

    async def work():
        peer = Peer()
        port = PtyEndpoint(peer)
        transport = await ports.serial(port.path)(asyncio.Protocol())
        sent = b"".join(k.to_bytes(4, "little") for k in range(12_000))
        transport.write(sent[:40_000])
        transport.write(sent[40_000:])
        async with asyncio.timeout(10):
            while len(peer.received) < len(sent):
                await asyncio.sleep(0.01)
        assert peer.received == sent
        transport.close()
        port.close()

    with WallClock() as clock:
        clock.run(work())


def test_a_link_is_no_transport_of_its_own() -> None:
    """Frames before the connection stands are refused, not lost."""

    async def work(clock):
        link = MtLink(clock, "zigbee", lambda *a: None, lambda *a: None)
        with pytest.raises(LinkDownError):
            await link.request(0x2101)
        link.post(0x2101)
        link.send(0x4100)
        assert link.dropped == 1

    with VirtualClock() as clock:
        clock.run(work(clock))
