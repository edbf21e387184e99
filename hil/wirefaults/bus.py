"""Bus faults at work: what passes a bus is bent by the faults that are active on it.

Everything random is drawn from the seed, the fault's kind, its target and how many began before
it, in the order of the frames: one seed gives one course of events in virtual time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...sim.clock import Clock, to_us
from ...sim.faults import (
    BusBabble,
    BusBadCrc,
    BusCorrupt,
    BusDelay,
    BusDisconnect,
    BusDrop,
    BusDuplicate,
    BusException,
    BusFault,
    BusJitter,
    BusWrongTransaction,
    DeviceReboot,
    PortVanish,
)
from ...sim.random import generator
from ..wire import Delivery, Direction
from . import frames
from .frames import BusKind

_CUTTING = (BusDisconnect, PortVanish, DeviceReboot)
_KEPT_ANSWERS = 8
_NOISE_BYTES = 32
_NEVER = -(1 << 62)
"""Before any time: clocks may begin before zero."""


@dataclass(eq=False, slots=True)
class ActiveFault:
    """A fault that acts on a bus, on all of it or on the frames of one Modbus unit."""

    fault: BusFault
    bus: str
    unit: int | None
    rng: np.random.Generator
    frames_bent: int = 0
    ended: bool = False

    def happens(self) -> bool:
        """Draw whether it happens to this frame."""
        probability: float = getattr(self.fault, "probability", 1.0)
        return probability >= 1.0 or self.rng.random() < probability


@dataclass(eq=False, slots=True)
class _Line:
    """State of one bus."""

    kind: BusKind
    active: list[ActiveFault] = field(default_factory=list)
    due_us: dict[Direction, int] = field(
        default_factory=lambda: {"request": _NEVER, "answer": _NEVER}
    )
    """When the last frame of a direction arrives: none overtakes another."""
    links: list[tuple[Callable[[bytes], object], Callable[[], object]]] = field(
        default_factory=list
    )
    answers: deque[bytes] = field(default_factory=lambda: deque(maxlen=_KEPT_ANSWERS))


class BusFaults:
    """The faults of all buses of a rig: a `WireFault`.

    Args:
        seed: of the run.
        clock: whose time faults are timed by.
        buses: kind of each bus by name.
    """

    def __init__(self, seed: int, clock: Clock, buses: Mapping[str, BusKind] | None = None) -> None:
        self._seed = seed
        self._clock = clock
        self._lines: dict[str, _Line] = {}
        self._begun = 0
        for name, kind in (buses or {}).items():
            self.add_bus(name, kind)

    def add_bus(self, name: str, kind: BusKind) -> None:
        """Make a bus known; until then its frames pass as they are."""
        self._lines.setdefault(name, _Line(kind))

    def begin(self, fault: BusFault, bus: str, unit: int | None = None) -> ActiveFault:
        """Have a fault act on a bus from now on, or on one unit's frames, until `end`."""
        line = self._lines[bus]
        rng = generator(self._seed, "bus fault", fault.kind, fault.target, str(self._begun))
        self._begun += 1
        active = ActiveFault(fault, bus, unit, rng)
        line.active.append(active)
        if unit is None and isinstance(fault, _CUTTING):
            for _, close in list(line.links):
                close()
        if isinstance(fault, BusBabble):
            self._babble_later(line, active, fault)
        return active

    def end(self, active: ActiveFault) -> None:
        """End a fault; frames already on their way still arrive late."""
        line = self._lines[active.bus]
        if not active.ended:
            active.ended = True
            line.active.remove(active)

    def requests(self, bus: str, t_us: int, frame: bytes) -> Sequence[Delivery]:
        """Return what of a request reaches the device, and what comes back in its place."""
        return self._passed(bus, "request", t_us, frame)

    def answers(self, bus: str, t_us: int, frame: bytes) -> Sequence[Delivery]:
        """Return what of an answer reaches the host."""
        return self._passed(bus, "answer", t_us, frame)

    def quiet(self, bus: str, t_us: int) -> bool:
        """Return whether no fault acts on a bus and nothing that one held up is under way."""
        line = self._lines.get(bus)
        if line is None:
            return True
        due_us = line.due_us
        return not line.active and due_us["request"] <= t_us and due_us["answer"] <= t_us

    def accepts(self, bus: str, t_us: int) -> bool:
        """Return whether connections to a bus stand."""
        line = self._lines.get(bus)
        return line is None or not any(
            active.unit is None and isinstance(active.fault, _CUTTING) for active in line.active
        )

    def attach(
        self, bus: str, send: Callable[[bytes], object], close: Callable[[], object]
    ) -> Callable[[], None]:
        """Take note of a connection; return what to call when it is lost."""
        line = self._lines.get(bus)
        if line is None:
            return lambda: None
        link = send, close
        line.links.append(link)

        def detach() -> None:
            if link in line.links:
                line.links.remove(link)

        return detach

    def _passed(
        self, bus: str, direction: Direction, t_us: int, frame: bytes
    ) -> Sequence[Delivery]:
        line = self._lines.get(bus)
        if line is None or (not line.active and line.due_us[direction] <= t_us):
            return (Delivery(0, frame),)
        if direction == "answer":
            line.answers.append(frame)
        unit = frames.unit_of(line.kind, frame)
        passed = [Delivery(0, frame)]
        for active in line.active:
            if active.unit is not None and active.unit != unit:
                continue
            before = passed
            passed = [bent for one in before for bent in _bend(active, line.kind, direction, one)]
            active.frames_bent += passed != before
        return [self._in_order(line, direction, t_us, one) for one in passed]

    @staticmethod
    def _in_order(line: _Line, direction: Direction, t_us: int, one: Delivery) -> Delivery:
        way: Direction = "answer" if one.back else direction
        due_us = max(t_us + one.delay_us, line.due_us[way])
        line.due_us[way] = due_us
        return Delivery(due_us - t_us, one.data, one.back)

    def _babble_later(self, line: _Line, active: ActiveFault, fault: BusBabble) -> None:
        gap_us = max(1, round(active.rng.exponential(to_us(fault.period_s))))
        self._clock.schedule(self._clock.now_us + gap_us, lambda: self._babble(line, active, fault))

    def _babble(self, line: _Line, active: ActiveFault, fault: BusBabble) -> None:
        if active.ended:
            return
        data = active.rng.bytes(int(active.rng.integers(1, _NOISE_BYTES + 1)))
        if fault.content == "answers" and line.answers:
            data = line.answers[int(active.rng.integers(len(line.answers)))]
        for send, _ in list(line.links):
            send(data)
        active.frames_bent += bool(line.links)
        self._babble_later(line, active, fault)


def _bend(
    active: ActiveFault, kind: BusKind, direction: Direction, one: Delivery
) -> Sequence[Delivery]:
    """Return what one fault makes of one frame on its way."""
    fault = active.fault
    if one.back or getattr(fault, "direction", "both") not in {"both", direction}:
        return (one,)
    match fault:
        case BusDelay():
            return (Delivery(one.delay_us + to_us(fault.delay_s), one.data),)
        case BusJitter():
            more_us = round(active.rng.random() * to_us(fault.delay_s))
            return (Delivery(one.delay_us + more_us, one.data),)
        case BusDrop():
            return () if active.happens() else (one,)
        case BusDuplicate():
            return (one, one) if active.happens() else (one,)
        case BusCorrupt() if active.happens():
            header = fault.part == "header"
            bent = frames.corrupted(kind, one.data, active.rng, header=header)
            return (Delivery(one.delay_us, bent),)
        case BusBadCrc() if active.happens():
            return (Delivery(one.delay_us, frames.bad_check(kind, one.data, active.rng)),)
        case BusWrongTransaction() if direction == "answer" and active.happens():
            return (Delivery(one.delay_us, frames.wrong_transaction(one.data, active.rng)),)
        case BusException() if direction == "request" and active.happens():
            answer = frames.refusal(kind, one.data, fault.code)
            return (one,) if answer is None else (Delivery(one.delay_us, answer, back=True),)
        case BusDisconnect() | PortVanish() | DeviceReboot():
            return ()  # of a unit behind a bus that others use: it is silent
        case _:
            return (one,)
