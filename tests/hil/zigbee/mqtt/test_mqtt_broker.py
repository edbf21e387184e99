"""The driver over real sockets, with a broker that the test starts itself."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager

import pytest

from wattbench.hil.modbus.tls import create_certificates
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.zigbee.mqtt.bridge import Bridge, BridgeSettings
from wattbench.hil.zigbee.mqtt.driver import DeviceSettings, Zigbee2MqttDriver
from wattbench.hil.zigbee.mqtt.session import (
    BrokerLostError,
    BrokerRefusedError,
    BrokerSettings,
    Message,
    connector,
)
from wattbench.sim.clock import VirtualClock, WallClock

amqtt = pytest.importorskip("amqtt.broker")
aiomqtt = pytest.importorskip("aiomqtt")


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@asynccontextmanager
async def broker(port: int, anonymous: bool = True, tls=None):
    logging.getLogger("amqtt").setLevel(logging.CRITICAL)
    logging.getLogger("transitions").setLevel(logging.CRITICAL)
    plugin = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    listener = {"type": "tcp", "bind": f"127.0.0.1:{port}"}
    if tls is not None:
        listener |= {"ssl": True, "certfile": str(tls.server), "keyfile": str(tls.server_key)}
    config = {
        "listeners": {"default": listener},
        "plugins": {plugin: {"allow_anonymous": anonymous}},
    }
    server = amqtt.Broker(config)
    await server.start()
    try:
        yield server
    finally:
        if server.transitions.state != "stopped":
            await server.shutdown()


class ClientSession:
    """What the fake bridge needs: a session that can publish retained messages."""

    def __init__(self, client) -> None:
        self._client = client

    async def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        await self._client.publish(topic, payload, retain=retain)

    async def subscribe(self, topics: tuple[str, ...]) -> None:
        await self._client.subscribe([(topic, 0) for topic in topics])

    async def receive(self) -> Message:
        message = await anext(self._client.messages)
        return Message(str(message.topic), message.payload, bool(message.retain))


def on_wall(work):
    with WallClock() as clock:

        async def bounded():
            async with asyncio.timeout(30):
                return await work(clock)

        return clock.run(bounded())


def driver_on(clock, port, **settings):
    bridge = Bridge(clock, connector(BrokerSettings(port=port)), BridgeSettings(**settings))
    devices = {"plug": DeviceSettings("00:12:4b:00:00:00:00:01")}
    return Zigbee2MqttDriver(clock, bridge, devices)


def test_a_plug_is_switched_through_a_broker(z2m) -> None:
    port = free_port()
    plug = z2m.Device("kitchen/plug", "0x00124b0000000001", z2m.PLUG, state="OFF", power=12)

    async def work(clock):
        async with broker(port), aiomqtt.Client("127.0.0.1", port) as client:
            fake = z2m.Bridge(ClientSession(client), [plug])
            await fake.start()
            driver = driver_on(clock, port)
            await driver.open()
            await driver.write("plug", "on", 1.0)
            assert plug.sets == [{"state": "ON"}]
            assert driver.values("plug")["power_w"].value == 12
            await driver.close()
            await fake.stop()

    on_wall(work)


def test_the_broker_dies_mid_run_and_the_driver_gives_up_in_time(z2m) -> None:
    port = free_port()
    plug = z2m.Device("plug", "0x00124b0000000001", z2m.PLUG, state="OFF")

    async def work(clock):
        async with broker(port) as server, aiomqtt.Client("127.0.0.1", port) as client:
            fake = z2m.Bridge(ClientSession(client), [plug])
            await fake.start()
            driver = driver_on(clock, port, give_up_s=1.0, backoff_s=0.1)
            await driver.open()
            fake.task.cancel()
            await client.__aexit__(None, None, None)
            await server.shutdown()
            with pytest.raises((ReadingError, RigError)):
                await driver.write("plug", "on", 1.0)
            while driver.bridge.failure is None:
                await asyncio.sleep(0.05)
            with pytest.raises(RigError):
                await driver.write("plug", "on", 1.0)
            await driver.close()

    on_wall(work)


def test_nobody_listens(z2m) -> None:
    async def work(clock):
        with pytest.raises(BrokerLostError, match="check that it runs"):
            await connector(BrokerSettings(port=free_port(), timeout_s=2.0))()

    on_wall(work)


def test_a_wrong_password_is_refused_and_never_shown() -> None:
    port = free_port()

    async def work(clock):
        async with broker(port, anonymous=False):
            settings = BrokerSettings(port=port, password="hunter2")
            with pytest.raises(BrokerRefusedError, match="check user and password") as caught:
                await connector(settings)()
            assert "hunter2" not in f"{caught.value} {settings}"

    on_wall(work)


def test_credentials_come_from_the_environment_and_a_ca_means_tls() -> None:
    variables = {
        "WATTBENCH_MQTT_USER": "me",
        "WATTBENCH_MQTT_PASSWORD": "secret",
        "WATTBENCH_MQTT_CA": "ca.pem",
    }
    settings = BrokerSettings.from_environment(variables, "broker", 1883)
    assert (settings.user, settings.password, settings.tls) == ("me", "secret", True)
    assert settings.where == "mqtts://broker:1883"
    given = BrokerSettings.from_environment(variables, "broker", 1883, user="you", tls=False)
    assert (given.user, given.tls) == ("you", False)


def test_tls_verifies_who_the_broker_is(tmp_path) -> None:
    port = free_port()
    good, other = (create_certificates(tmp_path / name) for name in ("good", "other"))

    async def work(clock):
        async with broker(port, tls=good):
            for files, trusted in ((good, True), (other, False)):
                settings = BrokerSettings(port=port, tls=True, ca_path=str(files.authority))
                if trusted:
                    session = await connector(settings)()
                    await session.close()
                else:
                    with pytest.raises(BrokerRefusedError, match=r"is not trusted.*ca_path"):
                        await connector(settings)()

    on_wall(work)


def test_on_the_virtual_clock_there_is_no_real_broker() -> None:
    with VirtualClock() as clock, pytest.raises(BrokerRefusedError, match="wall clock only"):
        clock.run(open_session())


async def open_session():
    await connector(BrokerSettings())()


def test_a_certificate_that_is_not_there_is_said_before_connecting() -> None:
    async def work(clock):
        settings = BrokerSettings(tls=True, ca_path="/nowhere/ca.pem")
        with pytest.raises(BrokerRefusedError, match="ca_path"):
            await connector(settings)()

    on_wall(work)
