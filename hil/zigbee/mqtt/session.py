"""A connection to an MQTT broker; the only module that knows aiomqtt.

The driver sees the `Session` protocol, so that it also runs on the virtual clock with a broker in
memory. aiomqtt opens its connection in a thread, because paho's `connect` blocks; all else happens
on the loop. Sockets need the wall clock with factor 1.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import aiomqtt
from aiomqtt.exceptions import MqttConnectError

from ....sim.clock import ClockError

_QUEUE: Final = 20_000
"""Messages that may wait for the driver; what comes on top is dropped by the client."""
_UNAVAILABLE: Final = frozenset({3, 136})
"""Reason codes (MQTT 3.1.1, 5) that may be over the next time."""
_VARIABLES: Final = {
    "user": "WATTBENCH_MQTT_USER",
    "password": "WATTBENCH_MQTT_PASSWORD",
    "ca_path": "WATTBENCH_MQTT_CA",
    "certificate_path": "WATTBENCH_MQTT_CERTIFICATE",
    "key_path": "WATTBENCH_MQTT_KEY",
}


class BrokerError(Exception):
    """The broker cannot be used; the text says which broker, why, and how to mend it."""


class BrokerRefusedError(BrokerError):
    """The broker answered, and will answer the same next time: credentials, certificates."""


class BrokerLostError(BrokerError):
    """The broker is not there, or no longer."""


class Message(NamedTuple):
    """What came in on a topic."""

    topic: str
    payload: bytes
    retained: bool
    """Kept by the broker from before this subscription: of unknown age."""


class Session(Protocol):
    """An open connection to a broker."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker; raises `BrokerLostError`."""

    async def subscribe(self, topics: tuple[str, ...]) -> None:
        """Subscribe; retained messages come first. Raises `BrokerError`."""

    async def receive(self) -> Message:
        """Return the next message; raises `BrokerLostError` when there will be none."""

    async def close(self) -> None:
        """Disconnect; never raises."""


Connect = Callable[[], Awaitable[Session]]


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where a broker is and how to get in; the password never shows in a text of it."""

    host: str = "127.0.0.1"
    port: int = 1883
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    """Encrypted, with the broker's certificate verified against `ca_path` or the system's list."""
    ca_path: str | None = None
    certificate_path: str | None = None
    """Of this client, where the broker wants one; with `key_path`."""
    key_path: str | None = None
    keepalive_s: int = 10
    """A dead connection is found after one and a half times this."""
    timeout_s: float = 5.0

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str], host: str, port: int, **given: str | bool | None
    ) -> BrokerSettings:
        """Return settings; what is not given comes from ``WATTBENCH_MQTT_…``.

        The variables are USER, PASSWORD, CA, CERTIFICATE and KEY. A CA, or a certificate, means
        TLS, and so does port 8883.
        """
        texts = {
            name: given.get(name) or environment.get(variable) or None
            for name, variable in _VARIABLES.items()
        }
        tls = given.get("tls")
        if tls is None:
            tls = port == 8883 or bool(texts["ca_path"] or texts["certificate_path"])
        return cls(host, port, tls=bool(tls), **texts)  # type: ignore[arg-type]

    @property
    def where(self) -> str:
        """Return the broker's address in words."""
        return f"{'mqtts' if self.tls else 'mqtt'}://{self.host}:{self.port}"


class MqttSession:
    """A session over aiomqtt."""

    def __init__(self, client: aiomqtt.Client, where: str) -> None:
        """Wrap a connected client; use `connect`."""
        self._client = client
        self._where = where
        self._messages = client.messages

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker, at most once."""
        try:
            await self._client.publish(topic, payload, qos=0)
        except aiomqtt.MqttError as error:
            raise self._lost(error) from error

    async def subscribe(self, topics: tuple[str, ...]) -> None:
        """Subscribe to topics in one request."""
        try:
            codes = await self._client.subscribe([(topic, 0) for topic in topics])
        except aiomqtt.MqttError as error:
            raise self._lost(error) from error
        refused = [t for t, code in zip(topics, codes, strict=False) if _failed(code)]
        if refused:
            raise BrokerRefusedError(
                f"the broker at {self._where} refuses the subscription to {', '.join(refused)}; "
                "allow it in the broker's access list"
            )

    async def receive(self) -> Message:
        """Return the next message."""
        try:
            message = await anext(self._messages)
        except (aiomqtt.MqttError, StopAsyncIteration) as error:
            raise self._lost(error) from error
        payload = message.payload
        data = payload if isinstance(payload, bytes) else str(payload or "").encode()
        return Message(str(message.topic), data, bool(message.retain))

    async def close(self) -> None:
        """Disconnect."""
        with contextlib.suppress(aiomqtt.MqttError, OSError, ValueError):  # lost before
            await self._client.__aexit__(None, None, None)

    def _lost(self, error: BaseException) -> BrokerLostError:
        cause = error.__cause__ or error
        return BrokerLostError(f"lost the MQTT broker at {self._where}: {cause}")


def _failed(code: object) -> bool:
    value = getattr(code, "value", code)
    return isinstance(value, int) and value >= 0x80


def connector(settings: BrokerSettings) -> Connect:
    """Return what opens a session with these settings."""

    async def connect() -> Session:
        client = aiomqtt.Client(
            settings.host,
            settings.port,
            username=settings.user,
            password=settings.password,
            keepalive=settings.keepalive_s,
            timeout=settings.timeout_s,
            tls_context=_tls_context(settings) if settings.tls else None,
            max_queued_incoming_messages=_QUEUE,
        )
        try:
            await client.__aenter__()
        except aiomqtt.MqttError as error:
            raise _connect_error(settings, error) from error
        except ClockError as error:
            raise BrokerRefusedError(
                f"the MQTT broker at {settings.where} is a real one; it is reached on the wall "
                "clock only"
            ) from error
        return MqttSession(client, settings.where)

    return connect


def _tls_context(settings: BrokerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.ca_path)
        if settings.certificate_path is not None:
            context.load_cert_chain(settings.certificate_path, settings.key_path)
    except (OSError, ssl.SSLError) as error:
        raise BrokerRefusedError(
            f"the certificates for {settings.where} cannot be loaded: {error}; check "
            "ca_path, certificate_path and key_path"
        ) from error
    return context


def _connect_error(settings: BrokerSettings, error: aiomqtt.MqttError) -> BrokerError:
    if isinstance(error, MqttConnectError):
        code = getattr(error.rc, "value", error.rc)
        words = str(error).partition("] ")[2] or str(error)
        if code in _UNAVAILABLE:
            return BrokerLostError(f"the MQTT broker at {settings.where} is not ready: {words}")
        return BrokerRefusedError(
            f"the MQTT broker at {settings.where} refuses the connection: {words}; check user "
            "and password (WATTBENCH_MQTT_USER, WATTBENCH_MQTT_PASSWORD)"
        )
    if "certificate" in str(error).lower():
        return BrokerRefusedError(
            f"the MQTT broker at {settings.where} is not trusted: {error}; check ca_path"
        )
    return BrokerLostError(
        f"no MQTT broker at {settings.where}: {error}; check that it runs, and host and port"
    )
