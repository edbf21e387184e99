"""The conversation with zigbee2mqtt: is it there, which devices has it, requests and answers.

What is odd about it, and what is done:

- ``bridge/state`` is retained, so "online" may be the word of a process long dead; a health check
  is asked for and answered before anything else. It says online before it has subscribed to its
  requests, so a request is repeated until it is answered.
- Device states may be retained too. How old such a value is nobody knows, so it is no reading.
- Names may contain slashes, so each device's topic is subscribed to by its full name.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ....sim.clock import US_PER_S, Clock, to_us
from ...errors import ReadingError, RigError
from .session import BrokerError, BrokerLostError, BrokerRefusedError, Connect, Message, Session

MAX_PAYLOAD: Final = 4_000_000
"""Longer messages are ignored (a device list of hundreds of devices has a few hundred kB)."""

StateCallback = Callable[[str, Mapping[str, Any], int, bool], None]
"""Called with name, state, receive time in µs, and whether it was retained."""


@dataclass(frozen=True, slots=True)
class BridgeSettings:
    """How long the driver waits for whom, seconds."""

    base_topic: str = "zigbee2mqtt"
    online_timeout_s: float = 20.0
    """For zigbee2mqtt to be online and to answer, when the rig is opened."""
    request_timeout_s: float = 10.0
    repeat_s: float = 1.0
    """A request without an answer is sent again after this long."""
    backoff_s: float = 0.5
    """Wait before the second attempt to connect; doubles up to `backoff_most_s`."""
    backoff_most_s: float = 8.0
    give_up_s: float = 60.0
    """After so long without broker or bridge the rig is given up."""


class Bridge:
    """zigbee2mqtt as a driver sees it: one broker connection, kept up while it is wanted."""

    def __init__(self, clock: Clock, connect: Connect, settings: BridgeSettings) -> None:
        """Describe the connection; `open` makes it."""
        self._clock, self._connect, self._settings = clock, connect, settings
        self._base = settings.base_topic.strip("/")
        self._session: Session | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._pending: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._number = 0
        self._names: set[str] = set()
        self._down_since_us: int | None = None
        self._failure: RigError | None = None
        self._listed = False
        """Whether the devices were told on this connection."""
        self.online = False
        """What ``bridge/state`` said last, on a connection that stands."""
        self.info: dict[str, Any] = {}
        self.devices: dict[str, dict[str, Any]] = {}
        """zigbee2mqtt's device list by friendly name."""
        self.availability: dict[str, bool] = {}
        self.problems: list[str] = []
        """Its latest warnings and errors, newest last."""
        self.reconnects = 0
        self.ignored = 0
        """Messages that were no sense: not JSON, too long, unknown topics."""
        self.on_devices: Callable[[], None] = lambda: None
        """Called when the device list came anew: names and devices may have changed."""
        self.on_state: StateCallback = lambda name, state, t_us, retained: None
        self.on_problem: Callable[[str], None] = lambda text: None

    @property
    def failure(self) -> RigError | None:
        """Return why the bridge was given up, None while it is not."""
        return self._failure

    async def open(self) -> None:
        """Connect, wait until zigbee2mqtt is online, answers, and has told its devices.

        Raises `RigError`, which says which of these did not happen.
        """
        limit_us = self._clock.now_us + to_us(self._settings.online_timeout_s)
        try:
            self._session = await self._connect()
            await self._subscribe(self._session)
        except BrokerError as error:
            await self._drop()
            raise RigError(str(error)) from error
        self._task = asyncio.ensure_future(self._keep_up())
        self._task.add_done_callback(self._receiving_ended)
        try:
            await self._wait(lambda: self.online, limit_us, self._offline_text)
            await self._health(limit_us)
            await self._wait(
                lambda: self._listed, limit_us, lambda: "told no device list (bridge/devices)"
            )
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect."""
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        await self._drop()

    async def watch(self, names: set[str]) -> None:
        """Follow the states and the availability of devices, now and after every reconnect."""
        self._names |= names
        if self._session is not None and names:
            try:
                await self._session.subscribe(self._device_topics(names))
            except BrokerRefusedError as error:
                raise RigError(str(error)) from error
            except BrokerLostError as error:
                raise ReadingError(str(error)) from error

    async def publish(self, topic: str, payload: Mapping[str, Any]) -> None:
        """Publish below the base topic; raises `ReadingError` while the bridge is away."""
        self.check(asking=topic.startswith("bridge/"))
        session = self._session
        assert session is not None
        try:
            await session.publish(f"{self._base}/{topic}", json.dumps(payload).encode())
        except BrokerError as error:
            raise ReadingError(str(error)) from error

    async def request(
        self, name: str, payload: Mapping[str, Any], timeout_s: float | None = None
    ) -> Any:
        """Return the data of the answer to ``bridge/request/<name>``, asked until it comes.

        Raises `ReadingError` when no answer came in time, or the answer is an error.
        """
        limit_s = self._settings.request_timeout_s if timeout_s is None else timeout_s
        self._number += 1
        transaction = f"wattbench-{self._number}"
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[transaction] = future
        try:
            async with asyncio.timeout(limit_s):
                while not future.done():
                    await self.publish(
                        f"bridge/request/{name}", {**payload, "transaction": transaction}
                    )
                    await asyncio.wait([future], timeout=self._settings.repeat_s)
        except TimeoutError:
            raise ReadingError(
                f"zigbee2mqtt gave no answer to '{name}' within {limit_s:g} s"
            ) from None
        finally:
            del self._pending[transaction]
        answer = future.result()
        if answer.get("status") != "ok":
            raise ReadingError(f"zigbee2mqtt refuses '{name}': {answer.get('error', 'no reason')}")
        return answer.get("data")

    def check(self, asking: bool = False) -> None:
        """Raise `RigError` when the bridge was given up, `ReadingError` while it is away.

        While it has not told its devices on this connection, it can be asked, but nobody knows
        whom a name means.
        """
        if self._failure is not None:
            raise self._failure
        if self._session is None:
            raise ReadingError("the MQTT broker is away; connecting again")
        if not self.online:
            raise ReadingError("zigbee2mqtt is offline")
        if not self._listed and not asking:
            raise ReadingError("zigbee2mqtt has not told its devices yet")

    async def _keep_up(self) -> None:
        """Receive for ever; connect again when the broker is lost, until that takes too long."""
        while self._failure is None:
            try:
                assert self._session is not None
                while True:
                    message = await self._session.receive()
                    try:
                        self._take(message)
                    except (TypeError, ValueError, LookupError, AttributeError):
                        self.ignored += 1  # of a shape that nobody foresaw
            except BrokerLostError as error:
                self._went_down()
                await self._drop()
                await self._reconnect(error)

    def _receiving_ended(self, task: asyncio.Task[None]) -> None:
        # Whatever ends it that nobody foresaw must not leave the driver waiting.
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(f"the conversation with zigbee2mqtt broke off: {error!r}")

    async def _reconnect(self, cause: BrokerError) -> None:
        wait_s = self._settings.backoff_s
        since_us = self._clock.now_us
        while self._session is None:
            if self._clock.now_us - since_us >= to_us(self._settings.give_up_s):
                self._fail(f"{cause}; gave up after {self._settings.give_up_s:g} s")
                return
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._settings.backoff_most_s)
            session = None
            try:
                session = await self._connect()
                await self._subscribe(session)
                self._session = session
                self.reconnects += 1
            except BrokerError as error:
                cause = error
                if session is not None:
                    await session.close()
                if isinstance(error, BrokerRefusedError):
                    self._fail(str(error))
                    return

    async def _subscribe(self, session: Session) -> None:
        below = ("state", "info", "devices", "logging", "response/#")
        await session.subscribe(tuple(f"{self._base}/bridge/{topic}" for topic in below))
        if self._names:
            await session.subscribe(self._device_topics(self._names))

    def _device_topics(self, names: set[str]) -> tuple[str, ...]:
        return tuple(
            f"{self._base}/{name}{suffix}"
            for name in sorted(names)
            for suffix in ("", "/availability")
        )

    async def _health(self, limit_us: int) -> None:
        left_s = max((limit_us - self._clock.now_us) / US_PER_S, 0.001)
        try:
            await self.request("health_check", {}, left_s)
        except ReadingError as error:
            raise RigError(
                f"{error}; its topic '{self._base}/bridge/state' says online, but that may be old: "
                "check that zigbee2mqtt runs"
            ) from error

    async def _wait(
        self, done: Callable[[], bool], limit_us: int, otherwise: Callable[[], str]
    ) -> None:
        left_s = max((limit_us - self._clock.now_us) / US_PER_S, 0.001)
        try:
            async with asyncio.timeout(left_s):
                while not done():
                    if self._failure is not None:
                        raise self._failure
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            limit_s = self._settings.online_timeout_s
            raise RigError(f"zigbee2mqtt {otherwise()} within {limit_s:g} s") from None

    def _offline_text(self) -> str:
        topic = f"'{self._base}/bridge/state'"
        if self._down_since_us is not None:
            return f"says that it is offline on {topic}, and did not come up"
        return f"said nothing on {topic} (does it run? is the base topic right?)"

    def _went_down(self) -> None:
        self.online = False
        if self._down_since_us is None:
            self._down_since_us = since_us = self._clock.now_us
            due_us = since_us + to_us(self._settings.give_up_s)
            loop = asyncio.get_running_loop()
            loop.call_later(self._settings.give_up_s, self._still_down, since_us, due_us)
        self._changed.set()

    def _still_down(self, since_us: int, _due_us: int) -> None:
        if self._down_since_us == since_us and self._task is not None:
            self._fail(f"zigbee2mqtt was away for {self._settings.give_up_s:g} s")

    def _fail(self, text: str) -> None:
        if self._failure is None:
            self._failure = RigError(text)
        self._changed.set()

    async def _drop(self) -> None:
        self._listed = False
        session, self._session = self._session, None
        if session is not None:
            with contextlib.suppress(BrokerError):
                await session.close()

    def _take(self, message: Message) -> None:
        topic = message.topic.removeprefix(f"{self._base}/")
        content = _json(message.payload)
        if topic == message.topic or content is None:
            self.ignored += 1
        elif topic.startswith("bridge/"):
            self._take_bridge(topic.removeprefix("bridge/"), content)
        elif topic.endswith("/availability") and topic.removesuffix("/availability") in self._names:
            self.availability[topic.removesuffix("/availability")] = _state(content) == "online"
        elif topic in self._names and isinstance(content, dict):
            self.on_state(topic, content, self._clock.now_us, message.retained)
        else:
            self.ignored += 1

    def _take_bridge(self, topic: str, content: Any) -> None:
        if topic == "state":
            if _state(content) == "online":
                self.online, self._down_since_us = True, None
                self._changed.set()
            else:
                self._went_down()
        elif topic == "info" and isinstance(content, dict):
            self.info = content
        elif topic == "devices" and isinstance(content, list):
            named = [one for one in content if isinstance(one, dict)]
            self.devices = {str(one.get("friendly_name")): one for one in named}
            self._listed = True
            self._changed.set()
            self.on_devices()
        elif topic.startswith("response/") and isinstance(content, dict):
            future = self._pending.get(str(content.get("transaction")))
            if future is not None and not future.done():
                future.set_result(content)
        elif topic == "logging" and isinstance(content, dict):
            if str(content.get("level")) in {"warning", "error"}:
                text = str(content.get("message"))
                self.problems = [*self.problems[-19:], text]
                self.on_problem(text)
        else:
            self.ignored += 1


def _state(content: Any) -> str:
    """Return the word of a state: `{"state": "online"}`, or the bare word of older versions."""
    word = content.get("state") if isinstance(content, dict) else content
    return word if isinstance(word, str) else ""


def _json(payload: bytes) -> Any:
    """Return the content of a message, None if it has none; a bare word counts as text."""
    if len(payload) > MAX_PAYLOAD:
        return None
    if payload in {b"online", b"offline"}:
        return payload.decode()
    try:
        return json.loads(payload, parse_constant=lambda name: None)
    except (ValueError, RecursionError):
        return None
