"""Keeps a coordinator up: connects, starts it, and mends what breaks.

A lost port, or a reset of the stick that nobody asked for, is mended in the background, with pauses
that grow. What comes back must be the same coordinator with the same network, or it is given up;
who gives up says so in a `RigError` at every call from then on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

from ....sim.clock import US_PER_S, Clock, to_us
from ...errors import RigError
from ...wire import Tap
from .. import mt
from ..binary import CodecError, ieee_text
from .link import Connect, LinkDownError, LinkError, MtLink
from .sending import RetryPolicy, Sender
from .start import Coordinator, NetworkSettings, bring_up

State = Literal["closed", "starting", "up", "down", "given up"]


@dataclass(frozen=True, slots=True)
class HostSettings:
    """How the host behaves; times in seconds."""

    network: NetworkSettings = field(default_factory=NetworkSettings)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    open_attempts: int = 3
    backoff_s: float = 0.25
    """Pause before the second attempt to connect; doubles up to `backoff_most_s`."""
    backoff_most_s: float = 8.0
    give_up_s: float = 60.0
    """A coordinator that has been away for so long is given up."""
    ping_period_s: float = 10.0
    """A silent coordinator is asked whether it lives, on the wall clock; in virtual time nobody
    unplugs a stick unasked, and time would never stand still."""
    confirm_s: float = 0.1
    """How long the confirm of a broadcast is waited for: a full table shows in it. 0: not at all;
    the coordinator's answer is enough."""


@dataclass(slots=True)
class Counters:
    """What happened so far."""

    reconnects: int = 0
    resets: int = 0
    """Resets of the stick that nobody asked for."""
    malformed: int = 0
    """Indications whose content is no message."""
    refused_broadcasts: int = 0


class Connection:
    """One coordinator, kept up for as long as it is wanted."""

    def __init__(
        self, clock: Clock, name: str, settings: HostSettings, sender: Sender, tap: Tap | None
    ) -> None:
        """Describe the connection; `handlers` take the indications, by command."""
        self._clock, self._name, self._settings, self._tap = clock, name, settings, tap
        self._connect: Connect | None = None
        self._link: MtLink | None = None
        self._task: asyncio.Task[None] | None = None
        self._ping: asyncio.TimerHandle | None = None
        self._expected: dict[int, list[tuple[Callable[[bytes], bool], asyncio.Future[bytes]]]] = {}
        self._failure: RigError | None = None
        self._down_since_us = -1
        self.sender = sender
        self.state: State = "closed"
        self.coordinator: Coordinator | None = None
        self.counters = Counters()
        self.handlers: dict[int, Callable[[bytes, int], None]] = {mt.SYS_RESET_IND: self._reset}
        self.on_up: Callable[[], None] = lambda: None
        """Called whenever the network is up, at first and again."""

    async def open(self, connect: Connect) -> None:
        """Connect and bring the network up; raises `RigError` when that cannot be done."""
        self._connect = connect
        self.state = "starting"
        wait_s = self._settings.backoff_s
        for attempt in range(self._settings.open_attempts):
            if attempt:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, self._settings.backoff_most_s)
            try:
                await self._attempt()
            except (LinkError, OSError) as error:
                cause = error
            except BaseException:
                await self.close()
                raise
            else:
                return
        await self.close()
        raise RigError(f"{self._name}: {cause}") from cause

    async def close(self) -> None:
        """Disconnect; the network goes on without the host."""
        self.state = "closed"
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait([task])
        if self._ping is not None:
            self._ping.cancel()
        self._drop("closed")

    @property
    def clock(self) -> Clock:
        """The clock that times of messages come from."""
        return self._clock

    @property
    def is_up(self) -> bool:
        """Whether the coordinator's network runs and requests can be sent."""
        return self.state == "up"

    def check_given_up(self) -> None:
        """Raise `RigError` when the coordinator is given up."""
        if self._failure is not None:
            raise self._failure

    def check(self) -> None:
        """Raise `RigError` when the coordinator is given up, `LinkDownError` while it is away."""
        self.check_given_up()
        if self.state != "up":
            raise LinkDownError(f"{self._name}: the coordinator is {self.state}")

    async def srsp(self, command: int, data: bytes = b"", timeout_s: float = 2.0) -> bytes:
        """Send a request to the coordinator itself and return its answer."""
        self.check()
        assert self._link is not None
        return await self._link.request(command, data, timeout_s)

    def expect(self, command: int, condition: Callable[[bytes], bool]) -> asyncio.Future[bytes]:
        """Return the future of the next indication of a kind whose data meets a condition."""
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        waiting = self._expected.setdefault(command, [])
        waiting.append(entry)

        def done(ended: asyncio.Future[bytes]) -> None:
            waiting.remove(entry)
            if not ended.cancelled():
                ended.exception()  # looked at, even if nobody waits any more

        future.add_done_callback(done)
        return future

    def _indication(self, command: int, data: bytes, t_us: int) -> None:
        try:
            handler = self.handlers.get(command)
            if handler is not None:
                handler(data, t_us)
            for condition, future in self._expected.get(command, ()):
                if not future.done() and condition(data):
                    future.set_result(data)
        except (CodecError, IndexError):
            self.counters.malformed += 1

    async def _attempt(self) -> None:
        """Connect if there is no connection, and bring the network up."""
        assert self._connect is not None
        if self._link is None or not self._link.open:
            link = MtLink(self._clock, self._name, self._indication, self._lost, self._tap)
            await self._connect(link)
            self._link = self.sender.link = link
        network, known = self._settings.network, self.coordinator
        if known is not None:
            # It may have lost its network meanwhile; a new one would be without its devices.
            network = replace(network, form="never", extended_pan_id=known.extended_pan_id)
        found = await bring_up(self._link, self.expect, network)
        if known is not None and known.ieee != found.ieee:
            raise RigError(
                f"{self._name}: another coordinator is on the port: {ieee_text(found.ieee)}, "
                f"not {ieee_text(known.ieee)}"
            )
        self.coordinator = found
        self.state = "up"
        self.on_up()
        self._down_since_us = -1
        self._schedule_ping()

    def _lost(self, link: MtLink, why: str) -> None:
        if link is self._link:
            self._drop(why)
            self._mend(why)

    def _reset(self, _data: bytes, _t_us: int) -> None:
        """Start anew after a reset that nobody asked for: endpoints and callbacks are gone."""
        if self.state == "up":
            self.counters.resets += 1
            self.sender.fail_all(f"{self._name}: the stick was reset")
            self._mend("the stick was reset")

    def _mend(self, why: str) -> None:
        if self.state != "up":
            return  # opening, mending or closing: who does that learns of it from the link
        self.state = "down"
        self._down_since_us = self._clock.now_us
        self._task = asyncio.ensure_future(self._restore(why))

    async def _restore(self, why: str) -> None:
        wait_s = self._settings.backoff_s
        limit_us = self._down_since_us + to_us(self._settings.give_up_s)
        while self.state == "down":
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, self._settings.backoff_most_s)
            try:
                left_s = (limit_us - self._clock.now_us) / US_PER_S
                async with asyncio.timeout(max(left_s, 0.001)):
                    await self._attempt()
                self.counters.reconnects += 1
            except (LinkError, OSError) as error:  # a time-out is an OSError
                why = str(error) or why
                if self._clock.now_us >= limit_us:
                    self._give_up(f"{self._name}: gave up the coordinator: {why}")
            except RigError as error:
                self._give_up(str(error))
            except Exception as error:
                # Whatever nobody foresaw must not leave everybody waiting for ever.
                self._give_up(f"{self._name}: gave up the coordinator: {error!r}")
                raise

    def _give_up(self, text: str) -> None:
        self.state = "given up"
        self._failure = RigError(text)
        self._drop(text)

    def _drop(self, why: str) -> None:
        link, self._link, self.sender.link = self._link, None, None
        if link is not None:
            link.close()
        for waiting in list(self._expected.values()):
            for _, future in list(waiting):
                if not future.done():
                    future.set_exception(LinkDownError(f"{self._name}: {why}"))
        self.sender.fail_all(f"{self._name}: {why}")

    def _schedule_ping(self) -> None:
        if self._clock.mode != "wall":
            return
        if self._ping is not None:
            self._ping.cancel()
        loop = asyncio.get_running_loop()
        self._ping = loop.call_later(self._settings.ping_period_s, self._ping_if_silent)

    def _ping_if_silent(self) -> None:
        link = self._link
        if link is None or self.state != "up":
            return
        if self._clock.now_us - link.heard_us >= to_us(self._settings.ping_period_s / 2):
            link.post(mt.SYS_PING)
        self._schedule_ping()
