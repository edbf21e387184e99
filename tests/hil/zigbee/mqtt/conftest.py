"""A broker in memory and a bridge that behaves as zigbee2mqtt does, as far as a driver sees it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from wattbench.hil.zigbee.mqtt.session import (
    BrokerLostError,
    BrokerRefusedError,
    Message,
)
from wattbench.sim.clock import VirtualClock

BASE = "zigbee2mqtt"


def matches(pattern: str, topic: str) -> bool:
    wanted, have = pattern.split("/"), topic.split("/")
    for k, part in enumerate(wanted):
        if part == "#":
            return True
        if k >= len(have) or part not in {"+", have[k]}:
            return False
    return len(wanted) == len(have)


class MemorySession:
    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue()
        self.patterns: list[str] = []

    async def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self._broker.check(self)
        self._broker.publish(topic, payload, retain)

    async def subscribe(self, topics: tuple[str, ...]) -> None:
        self._broker.check(self)
        for topic in topics:
            self.patterns.append(topic)
            for name, payload in self._broker.retained.items():
                if matches(topic, name):
                    self._queue.put_nowait(Message(name, payload, True))

    async def receive(self) -> Message:
        message = await self._queue.get()
        if message is None:
            raise BrokerLostError("lost the MQTT broker in memory")
        return message

    async def close(self) -> None:
        self._broker.sessions.discard(self)

    def deliver(self, message: Message | None) -> None:
        if message is None or any(matches(p, message.topic) for p in self.patterns):
            self._queue.put_nowait(message)


class MemoryBroker:
    """Delivers after a delay of its own; can die, refuse, and come back."""

    def __init__(self, clock: VirtualClock, delay_us: int = 1000) -> None:
        self.clock, self.delay_us = clock, delay_us
        self.sessions: set[MemorySession] = set()
        self.retained: dict[str, bytes] = {}
        self.published: list[tuple[int, str, bytes]] = []
        self.up, self.refuses = True, False
        self.connects = 0

    async def connect(self) -> MemorySession:
        self.connects += 1
        if not self.up:
            raise BrokerLostError("no MQTT broker in memory")
        if self.refuses:
            raise BrokerRefusedError("the MQTT broker in memory refuses: bad password")
        session = MemorySession(self)
        self.sessions.add(session)
        return session

    def check(self, session: MemorySession) -> None:
        if session not in self.sessions:
            raise BrokerLostError("lost the MQTT broker in memory")

    def publish(self, topic: str, payload: bytes, retain: bool = False) -> None:
        self.published.append((self.clock.now_us, topic, payload))
        if retain:
            self.retained[topic] = payload
        message = Message(topic, payload, False)
        due_us = self.clock.now_us + self.delay_us
        for session in list(self.sessions):
            self.clock.schedule(due_us, lambda s=session: s.deliver(message))

    def die(self) -> None:
        self.up = False
        for session in list(self.sessions):
            session.deliver(None)
        self.sessions.clear()


def numeric(name: str, access: int = 5, unit: str = "", **more: Any) -> dict[str, Any]:
    return {"type": "numeric", "name": name, "property": name, "access": access, "unit": unit} | (
        more
    )


def binary(name: str = "state", access: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "type": "binary",
        "name": name,
        "property": name,
        "access": access,
        "value_on": "ON",
        "value_off": "OFF",
    } | more


PLUG = [
    {"type": "switch", "features": [binary()]},
    numeric("power", unit="W"),
    numeric("energy", unit="kWh"),
    numeric("linkquality", access=1, unit="lqi", value_min=0, value_max=255),
]
DIMMER = [
    {
        "type": "light",
        "features": [binary(), numeric("brightness", access=7, value_min=0, value_max=254)],
    },
    numeric("power", unit="W"),
]
HEATER = [
    numeric("power_setpoint", access=7, unit="W", value_min=0, value_max=3500, value_step=10),
    numeric("power", unit="kW"),
]
SENSOR = [numeric("temperature", access=1, unit="°C"), numeric("battery", access=1, unit="%")]


class FakeDevice:
    def __init__(self, name: str, ieee: str, exposes: list[Any], **state: Any) -> None:
        self.name, self.ieee, self.exposes = name, ieee, exposes
        self.state: dict[str, Any] = state
        self.delay_s = 0.05
        self.deaf = False
        """Takes commands without ever answering."""
        self.fails = ""
        """Why every command fails."""
        self.sets: list[dict[str, Any]] = []
        self.extra: dict[str, Any] = {}

    def entry(self) -> dict[str, Any]:
        return {
            "friendly_name": self.name,
            "ieee_address": self.ieee,
            "manufacturer": "Acme",
            "model_id": "P1",
            "software_build_id": "1.2",
            "interview_completed": True,
            "disabled": False,
            "definition": {"model": "P-1", "vendor": "Acme", "exposes": self.exposes},
        } | self.extra


class FakeBridge:
    """zigbee2mqtt with scripted devices, on any session that can publish retained messages."""

    def __init__(self, session: Any, devices: list[FakeDevice]) -> None:
        self.session = session
        self.devices = {device.name: device for device in devices}
        self.deaf_requests = 0
        """So many requests are lost, as between its "online" and its subscription."""
        self.requests: list[str] = []
        self.retain_states = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def say(self, topic: str, content: Any, retain: bool = False) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        await self.session.publish(f"{BASE}/{topic}", data, retain)

    async def start(self, online: bool = True) -> None:
        verbs = [f"{BASE}/{name}/{verb}" for name in self.devices for verb in ("set", "get")]
        await self.session.subscribe((f"{BASE}/bridge/request/#", *verbs))
        self.task = asyncio.ensure_future(self._serve())
        if online:
            await self.come_online()

    async def come_online(self) -> None:
        await self.say("bridge/state", {"state": "online"}, True)
        info = {"version": "2.14.1", "coordinator": {"type": "ZStack", "ieee_address": "0x01"}}
        await self.say("bridge/info", info, True)
        await self.say("bridge/devices", [d.entry() for d in self.devices.values()], True)

    async def tell_state(self, name: str) -> None:
        await self.say(name, self.devices[name].state, self.retain_states)

    async def stop(self) -> None:
        tasks = [self.task, *self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    async def _serve(self) -> None:
        while True:
            message = await self.session.receive()
            topic = message.topic.removeprefix(f"{BASE}/")
            content = json.loads(message.payload)
            if topic.startswith("bridge/request/"):
                await self._answer(topic.removeprefix("bridge/request/"), content)
            else:
                name, _, verb = topic.rpartition("/")
                if name in self.devices:
                    task = asyncio.ensure_future(self._do(self.devices[name], verb, content))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _answer(self, name: str, content: dict[str, Any]) -> None:
        self.requests.append(name)
        if self.deaf_requests:
            self.deaf_requests -= 1
            return
        answer = {"status": "ok", "data": {}, "transaction": content.get("transaction")}
        if name == "permit_join" and content.get("time", 0) > 254:
            answer |= {"status": "error", "error": "Invalid payload"}
        await self.say(f"bridge/response/{name}", answer)

    async def _do(self, device: FakeDevice, verb: str, content: dict[str, Any]) -> None:
        if device.deaf:
            return
        await asyncio.sleep(device.delay_s)
        if device.fails and verb == "set":
            text = f"Publish 'set' 'state' to '{device.name}' failed: '{device.fails}'"
            await self.say("bridge/logging", {"level": "error", "message": text})
            return
        if verb == "set":
            device.sets.append(content)
            device.state |= content
        await self.tell_state(device.name)


@pytest.fixture(scope="session")
def z2m() -> SimpleNamespace:
    return SimpleNamespace(
        BASE=BASE,
        Broker=MemoryBroker,
        Bridge=FakeBridge,
        Device=FakeDevice,
        PLUG=PLUG,
        DIMMER=DIMMER,
        HEATER=HEATER,
        SENSOR=SENSOR,
        numeric=numeric,
        binary=binary,
        matches=matches,
    )
