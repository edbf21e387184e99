import asyncio
import json
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.zigbee.mqtt.bridge import Bridge, BridgeSettings
from wattbench.hil.zigbee.mqtt.driver import DeviceSettings, Zigbee2MqttDriver
from wattbench.hil.zigbee.mqtt.power import MqttPower, PowerSlot
from wattbench.sim.clock import VirtualClock

S = 1_000_000
IEEES = {"plug": "00:12:4b:00:00:00:00:01", "dimmer": "00:12:4b:00:00:00:00:02"}


class Bench:
    """A broker, a bridge with a plug and a dimmer (its name holds a slash), and the driver."""

    def __init__(self, z2m, clock, **settings) -> None:
        self.clock = clock
        self.broker = z2m.Broker(clock)
        self.plug = z2m.Device("kitchen", "0x00124b0000000001", z2m.PLUG, state="OFF", power=0)
        self.dimmer = z2m.Device(
            "cellar/tank", "0x00124b0000000002", z2m.DIMMER, state="OFF", brightness=0, power=0
        )
        self.z2m = z2m
        self.bridge = Bridge(clock, self.broker.connect, BridgeSettings(**settings))
        devices = {name: DeviceSettings(ieee) for name, ieee in IEEES.items()}
        self.driver = Zigbee2MqttDriver(clock, self.bridge, devices)

    async def start_bridge(self, online: bool = True) -> None:
        session = await self.broker.connect()
        self.fake = self.z2m.Bridge(session, [self.plug, self.dimmer])
        await self.fake.start(online)

    @asynccontextmanager
    async def opened(self):
        await self.start_bridge()
        await self.driver.open()
        try:
            yield self
        finally:
            await self.driver.close()
            await self.fake.stop()


def on_bench(z2m, work, **settings):
    with VirtualClock() as clock:
        bench = Bench(z2m, clock, **settings)

        async def main():
            async with bench.opened():
                return await work(bench)

        return clock.run(main())


def test_a_command_is_confirmed_by_the_state_and_says_when(z2m) -> None:
    async def work(b: Bench):
        sent_us = b.clock.now_us
        at_us = await b.driver.write("plug", "on", 1.0)
        assert sent_us + 50_000 <= at_us <= sent_us + 60_000
        assert b.driver.values("plug")["on"].value == 1.0
        assert b.plug.sets == [{"state": "ON"}]

    on_bench(z2m, work)


def test_identity_names_bridge_and_devices(z2m) -> None:
    async def work(b: Bench):
        identity = b.driver.identity()
        assert identity["version"] == "2.14.1"
        assert identity["devices"]["dimmer"]["name"] == "cellar/tank"
        assert identity["devices"]["plug"]["model"] == "P1"

    on_bench(z2m, work)


def test_the_wrong_model_is_refused_before_any_command(z2m) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)
        settings = {"plug": DeviceSettings(IEEES["plug"], model="P2")}
        bench.driver = Zigbee2MqttDriver(clock, bench.bridge, settings)

        async def main():
            await bench.start_bridge()
            with pytest.raises(RigError, match=r"'plug'.*has model 'P1', not 'P2'"):
                await bench.driver.open()

        clock.run(main())
        assert not bench.plug.sets


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"disabled": True}, "disabled"),
        ({"interview_completed": False}, "interviewed"),
        ({"interview_state": "IN_PROGRESS"}, "interviewed"),
        ({"ieee_address": "0x00124b00000000ff"}, "knows no device"),
    ],
)
def test_a_device_that_is_not_ready_is_an_error_of_the_rig(z2m, extra, message) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)
        bench.plug.extra = extra

        async def main():
            await bench.start_bridge()
            with pytest.raises(RigError, match=message):
                await bench.driver.open()

        clock.run(main())


def test_requests_are_repeated_until_the_bridge_has_subscribed(z2m) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)

        async def main():
            await bench.start_bridge()
            bench.fake.deaf_requests = 3
            await bench.driver.open()
            await bench.driver.close()

        clock.run(main())
        assert bench.fake.requests == ["health_check"] * 4
        assert 3 * S <= clock.now_us < 4 * S


def test_a_bridge_that_died_is_not_believed_though_its_topic_says_online(z2m) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)

        async def main():
            await bench.start_bridge()
            await asyncio.sleep(0.1)
            await bench.fake.stop()
            with pytest.raises(RigError, match="may be old"):
                await bench.driver.open()

        clock.run(main())
        assert clock.now_us < 25 * S


def test_silence_names_the_topic(z2m) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)
        with pytest.raises(RigError, match=r"said nothing on 'zigbee2mqtt/bridge/state'"):
            clock.run(bench.driver.open())


def test_no_broker_and_wrong_credentials_are_errors_at_once(z2m) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)
        bench.broker.up = False
        with pytest.raises(RigError, match="no MQTT broker"):
            clock.run(bench.driver.open())
        bench.broker.up, bench.broker.refuses = True, True
        with pytest.raises(RigError, match="bad password"):
            clock.run(bench.driver.open())
        assert clock.now_us == 0


def test_a_deaf_device_costs_one_reading_and_the_time_out(z2m) -> None:
    async def work(b: Bench):
        b.plug.deaf = True
        before_us = b.clock.now_us
        with pytest.raises(ReadingError, match="did not confirm on = 1 within 5 s"):
            await b.driver.write("plug", "on", 1.0)
        assert b.clock.now_us - before_us == 5 * S
        b.plug.deaf = False
        await b.driver.write("plug", "on", 0.0)

    on_bench(z2m, work)


def test_a_failure_that_zigbee2mqtt_logs_ends_the_waiting(z2m) -> None:
    async def work(b: Bench):
        b.plug.fails = "no network route"
        before_us = b.clock.now_us
        with pytest.raises(ReadingError, match="no network route"):
            await b.driver.write("plug", "on", 1.0)
        assert b.clock.now_us - before_us < S
        assert "no network route" in b.bridge.problems[-1]

    on_bench(z2m, work)


def test_another_value_confirms_nothing(z2m) -> None:
    async def work(b: Bench):
        b.plug.deaf = True
        writing = asyncio.ensure_future(b.driver.write("plug", "on", 1.0))
        await asyncio.sleep(0.5)
        await b.fake.tell_state("kitchen")  # still OFF
        await asyncio.sleep(0.5)
        assert not writing.done()
        b.plug.state["state"] = "ON"
        await b.fake.tell_state("kitchen")
        assert await writing > S

    on_bench(z2m, work)


def test_retained_states_are_no_readings(z2m) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)

        async def main():
            await bench.start_bridge()
            bench.fake.retain_states = True
            bench.plug.state["power"] = 1234
            await bench.fake.tell_state("kitchen")
            await bench.driver.open()
            await asyncio.sleep(1)
            assert bench.driver.values("plug") == {}
            await bench.fake.tell_state("kitchen")
            await asyncio.sleep(1)
            assert bench.driver.values("plug")["power_w"].value == 1234
            await bench.driver.close()

        clock.run(main())


def test_a_value_keeps_its_age_when_something_else_changed(z2m) -> None:
    async def work(b: Bench):
        b.plug.state["power"] = 500
        await b.fake.tell_state("kitchen")
        await asyncio.sleep(100)
        b.plug.state["state"] = "ON"
        await b.fake.tell_state("kitchen")
        await asyncio.sleep(1)
        values = b.driver.values("plug")
        assert values["on"].received_us > 100 * S
        assert values["power_w"].received_us < S
        await asyncio.sleep(250)
        values = b.driver.values("plug")
        assert (values["power_w"].quality, values["on"].quality) == ("stale", "good")

    on_bench(z2m, work)


def test_poll_asks_one_property_after_the_other(z2m) -> None:
    async def work(b: Bench):
        b.plug.state |= {"power": 77, "energy": 1.0}
        values = await b.driver.poll("plug")
        assert values["power_w"].value == 77
        assert values["energy_wh"].value == 1000
        b.plug.deaf = True
        with pytest.raises(ReadingError, match="no answer within 5 s"):
            await b.driver.poll("plug")

    on_bench(z2m, work)


def test_impossible_values_are_counted_and_the_last_good_one_stays(z2m) -> None:
    async def work(b: Bench):
        b.plug.state["power"] = 500
        await b.fake.tell_state("kitchen")
        await asyncio.sleep(1)
        for wrong in ("NaN", None, "500 W", 1e12, True):
            b.plug.state["power"] = wrong
            await b.fake.tell_state("kitchen")
        await asyncio.sleep(1)
        assert b.driver.values("plug")["power_w"].value == 500
        assert b.driver.devices["plug"].rejected == 4

    on_bench(z2m, work)


def test_availability_makes_values_stale(z2m) -> None:
    async def work(b: Bench):
        await b.fake.tell_state("kitchen")
        await b.fake.say("kitchen/availability", {"state": "offline"}, True)
        await asyncio.sleep(1)
        assert not b.driver.available("plug")
        assert b.driver.values("plug")["on"].quality == "stale"
        await b.fake.say("kitchen/availability", b"online", True)
        await asyncio.sleep(1)
        assert b.driver.available("plug")

    on_bench(z2m, work)


def test_the_broker_dies_and_comes_back(z2m) -> None:
    async def work(b: Bench):
        b.broker.die()
        await asyncio.sleep(0.1)
        with pytest.raises(ReadingError, match="broker is away"):
            await b.driver.write("plug", "on", 1.0)
        b.broker.up = True
        await b.fake.stop()
        await b.start_bridge()
        await asyncio.sleep(5)
        await b.driver.write("plug", "on", 1.0)
        assert b.bridge.reconnects == 1

    on_bench(z2m, work)


def test_a_name_that_now_means_another_device_gets_no_command(z2m) -> None:
    async def work(b: Bench):
        b.plug.name, b.dimmer.name = "other", "kitchen"
        b.fake.devices = {device.name: device for device in (b.plug, b.dimmer)}
        await b.fake.session.subscribe((f"{z2m.BASE}/other/set", f"{z2m.BASE}/other/get"))
        await b.fake.come_online()
        await asyncio.sleep(1)
        await b.driver.write("plug", "on", 1.0)
        assert b.plug.sets == [{"state": "ON"}]
        assert b.dimmer.sets == []
        assert b.driver.devices["plug"].name == "other"

    on_bench(z2m, work)


@pytest.mark.parametrize("change", ["gone", "exchanged"])
def test_a_device_that_is_gone_or_another_one_gets_no_command(z2m, change) -> None:
    async def work(b: Bench):
        b.driver.devices["plug"].settings = DeviceSettings(IEEES["plug"], model="P1")
        if change == "gone":
            del b.fake.devices["kitchen"]
        else:
            b.plug.extra = {"model_id": "P9"}
        await b.fake.come_online()
        await asyncio.sleep(1)
        with pytest.raises(RigError, match=r"knows no device|has model 'P9', not 'P1'"):
            await b.driver.write("plug", "on", 1.0)
        assert b.plug.sets == []
        await b.driver.write("dimmer", "level", 0.5)
        b.plug.extra = {}
        b.fake.devices["kitchen"] = b.plug
        await b.fake.come_online()
        await asyncio.sleep(1)
        await b.driver.write("plug", "on", 1.0)

    on_bench(z2m, work)


def test_no_command_goes_out_before_the_devices_are_told_anew(z2m) -> None:
    async def work(b: Bench):
        del b.broker.retained[f"{z2m.BASE}/bridge/devices"]
        for session in list(b.broker.sessions):
            session.deliver(None)
        await asyncio.sleep(2)
        with pytest.raises(ReadingError, match="not told its devices yet"):
            await b.driver.write("plug", "on", 1.0)

    on_bench(z2m, work)


def test_a_broker_that_stays_away_is_given_up_and_its_attempts_are_bounded(z2m) -> None:
    async def work(b: Bench):
        connects = b.broker.connects
        b.broker.die()
        await asyncio.sleep(120)
        assert b.broker.connects - connects < 15
        with pytest.raises(RigError, match=r"away|gave up"):
            await b.driver.write("plug", "on", 1.0)
        with pytest.raises(RigError):
            b.driver.values("plug")

    on_bench(z2m, work)


def test_a_bridge_that_goes_offline_is_given_up_unless_it_returns(z2m) -> None:
    async def work(b: Bench):
        await b.fake.say("bridge/state", {"state": "offline"}, True)
        await asyncio.sleep(30)
        with pytest.raises(ReadingError, match="offline"):
            await b.driver.write("plug", "on", 1.0)
        await b.fake.come_online()
        await asyncio.sleep(60)
        await b.driver.write("plug", "on", 1.0)
        await b.fake.say("bridge/state", {"state": "offline"}, True)
        await asyncio.sleep(61)
        with pytest.raises(RigError, match="away for 60 s"):
            await b.driver.write("plug", "on", 1.0)

    on_bench(z2m, work)


def test_a_refused_request_says_why(z2m) -> None:
    async def work(b: Bench):
        await b.driver.permit_join(60)
        with pytest.raises(ReadingError, match="Invalid payload"):
            await b.driver.permit_join(900)

    on_bench(z2m, work)


def test_watts_go_out_as_what_each_device_understands(z2m) -> None:
    async def work(b: Bench):
        power = MqttPower(
            b.clock, b.driver, {1: PowerSlot("plug", 2000.0), 4: PowerSlot("dimmer", 1000.0)}
        )
        power.start()
        assert power.means == {1: "on", 4: "level"}
        seq, status = await power.set_power({1: 1500.0, 4: 250.0})
        assert (seq, status) == (0, 0)
        await asyncio.sleep(1)
        assert set(power.acked_us(seq)) == {1, 4}
        assert b.plug.sets == [{"state": "ON"}]
        assert b.dimmer.sets == [{"brightness": 64}]
        b.plug.deaf = True
        seq, status = await power.set_power({1: 0.0, 4: 0.0})
        await asyncio.sleep(10)
        assert (status, set(power.acked_us(seq))) == (0, {4})
        assert b.dimmer.sets[-1] == {"state": "OFF"}
        b.plug.state["power"] = 1400
        await b.fake.tell_state("kitchen")
        await asyncio.sleep(1)
        assert power.power_reports[1].value == 1400
        b.broker.die()
        await asyncio.sleep(0.1)
        assert await power.set_power({1: 0.0}) == (-1, 2)

    on_bench(z2m, work)


def test_a_sensor_takes_no_power(z2m) -> None:
    with VirtualClock() as clock:
        bench = Bench(z2m, clock)
        bench.plug.exposes = z2m.SENSOR

        async def main():
            async with bench.opened():
                power = MqttPower(clock, bench.driver, {1: PowerSlot("plug", 2000.0)})
                with pytest.raises(RigError, match="takes no power"):
                    power.start()
                with pytest.raises(RigError, match="no command 'on'"):
                    await bench.driver.write("plug", "on", 1.0)
                with pytest.raises(ReadingError, match="only reports"):
                    await bench.driver.poll("plug")

        clock.run(main())


topics = st.sampled_from(
    [
        *("bridge/state", "bridge/info", "bridge/devices", "bridge/logging", "bridge/response/x"),
        *("kitchen", "kitchen/availability", "bridge/health"),
    ]
)
payloads = st.binary(max_size=40) | st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["state", "power", "level", "message", "x"]), inner)
    ),
    max_leaves=6,
).map(lambda content: json.dumps(content).encode())


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(topics, payloads), max_size=12))
def test_nothing_that_is_published_ends_the_driver(z2m, messages) -> None:
    async def work(b: Bench):
        for topic, payload in messages:
            await b.fake.say(topic, payload)
        await asyncio.sleep(1)
        for value in b.driver.values("plug").values():
            assert isinstance(value.value, float | int)
            assert abs(value.value) <= 1e12
        await b.fake.come_online()
        await asyncio.sleep(1)
        await b.driver.write("plug", "on", 1.0)

    on_bench(z2m, work)
