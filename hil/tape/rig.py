"""A tape in the place of a rig's devices, for a whole run without the rig.

Every request of the run's drivers is answered as it was then, a command with other values too. No
plant follows what is commanded: what flows at the connection is what the recorded meter said, and
loads that nobody measured are taken to do what they are told. What the run asks for and the tape
does not have, or commands otherwise than then, is an event, and the run does not count: from there
on it is not what happened.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

from ...sim.clock import US_PER_S, Clock
from ...sim.export.plant import ExportPlant
from ..errors import RigError
from ..real_site import ConnectionLog, RealSite
from ..rigs.model import Zigbee2MqttBus
from .model import TapeError
from .reader import TapeReader
from .replay import Replay

ONE_WAY_US: Final = 0
"""The recorded times have the way of a message in them."""
_SHORT_US: Final = 5 * US_PER_S
"""A tape that ends this much earlier than the run has not seen it to its end."""


class HasBuses(Protocol):
    """A rig as far as a replay needs it."""

    @property
    def buses(self) -> Any:
        """Its buses."""


class TapedRig:
    """The devices' ends of a rig's buses, played from a tape.

    Raises:
        RigError: the file is no tape, or a tape cannot stand for this rig.
    """

    def __init__(self, path: Path, rig: HasBuses, clock: Clock) -> None:
        self.path = path
        self._clock = clock
        try:
            reader = TapeReader(path)
            self._replay = Replay(reader, clock, hold=True, loose=True)
            self.sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        except (TapeError, OSError) as error:
            raise RigError(str(error)) from error
        self.damage = reader.damage
        self.end_us = self._replay.end_us
        """Time of the last frame."""
        for bus in rig.buses:
            if isinstance(bus, Zigbee2MqttBus):
                raise RigError(f"bus '{bus.id}': what passes zigbee2mqtt is on no tape")
        self.on_event: Callable[..., object] | None = None
        """Told of what could not be matched: kind, and data by name."""
        for name, played in self._replay.buses.items():
            played.on_missed = partial(self._tell, "replay_missed", name)
            played.on_altered = partial(self._tell, "replay_altered", name)
            played.on_held = partial(self._tell, "replay_held", name)

    def protocol(self, bus: str) -> Callable[[], asyncio.Protocol]:
        """Return what makes the devices' end of a connection; raises `RigError`."""
        if bus not in self._replay.buses:
            known = ", ".join(self._replay.buses)
            raise RigError(f"{self.path}: bus '{bus}' is not on the tape; it has {known}")
        return self._replay.buses[bus].protocol

    def identity(self) -> dict[str, str]:
        """Return what the record says about the tape."""
        return {"tape": self.path.name, "sha256": self.sha256}

    def problem(self, end_us: int) -> str | None:
        """Return why a run that lasted until `end_us` is not what happened then; None: it is."""
        found = []
        if self.end_us < end_us - _SHORT_US:
            rest = "" if self.damage is None else f" ({self.damage})"
            found.append(
                f"the tape ends at second {self.end_us / US_PER_S:.0f} of "
                f"{end_us / US_PER_S:.0f}{rest}; what came after is its last answers again"
            )
        buses = self._replay.buses.values()
        for text, counts in (
            ("requests have no answer on the tape", [bus.missed for bus in buses]),
            ("commands are not those on the tape", [bus.altered for bus in buses]),
        ):
            first = next((what for one in counts for what in one), None)
            if first is not None:
                times = sum(sum(one.values()) for one in counts)
                found.append(f"{times} {text}, at first {first}")
        return "; ".join(found) or None

    def _tell(self, kind: str, bus: str, what: str) -> None:
        if self.on_event is not None:
            self.on_event(max(self._clock.now_us, 0), kind, bus=bus, what=what)


class TapedSite(RealSite):
    """The site of a replayed run; at its end it says whether it was the recorded one."""

    def __init__(
        self, twin: ExportPlant, clock: Clock, log: ConnectionLog, taped: TapedRig, end_us: int
    ) -> None:
        super().__init__(twin, clock, log)
        self._taped, self._end_us = taped, end_us
        self._told = False

    def advance(self, to_us: int) -> None:
        """Simulate the twin; raises `RigError`, once, at the end of a run that does not count."""
        super().advance(to_us)
        if to_us >= self._end_us and not self._told:
            self._told = True
            problem = self._taped.problem(self._end_us)
            if problem is not None:
                raise RigError(f"replay: {problem}")


class NoGuard:
    """In place of a real rig's session: there is nothing to be guarded."""

    def expect(self, within_s: float) -> None:
        """Nobody waits."""

    def may_write(self) -> None:
        """Let everything be written: it goes nowhere."""

    def broken(self, reason: str) -> RigError:
        """Return the error for what then put the rig out of use; here it only ends the run."""
        return RigError(f"replay: {reason}")
