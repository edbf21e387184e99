"""The safe state: how a run that is cut short ends, and signals that cut it short.

Whatever ends a run early, the safe values go to every actuator, again and again until the plant's
truth shows each of them at its safe value, or until a stated time has passed. What the record says
is what was measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..sim.clock import US_PER_S, Clock
from ..sim.plant import Plant
from .loop import EventSink
from .rig import SENT, Driver
from .streams import Log

TIMEOUT_US: Final = 30 * US_PER_S
"""The safe state must be reached within this simulated time, plus the longest minimum on time of
an actuator: until that has passed, a load refuses to switch off."""
_RESEND_US: Final = 5 * US_PER_S
_RETRY_US: Final = US_PER_S
_CHECK_US: Final = US_PER_S // 5
_PATIENCE_S: Final = 3.0
EXIT_NOT_SAFE: Final = 7
_GIVE_UP: Final = (
    b"wattbench: the run does not react to signals (a policy that never returns?): gave up; "
    b"a record under way says interrupted, the safe state is not confirmed\n"
)
_IN_FLIGHT_US: Final = 10 * US_PER_S
"""No earlier command is still on its way after this."""


class Interrupted(KeyboardInterrupt):
    """A signal that could not wait: a second one, or one before there was a run to stop."""

    def __init__(self, name: str) -> None:
        super().__init__(f"stopped by {name}")
        self.signal_name = name


@dataclass(frozen=True, slots=True)
class SafeStateResult:
    """What was measured after safe values were commanded."""

    confirmed: bool
    confirmed_us: int | None
    note: str

    def fields(self) -> dict[str, Any]:
        """Return what the record keeps."""
        return {
            "confirmed": self.confirmed,
            "confirmed_us": self.confirmed_us,
            "note": self.note,
        }


class _LastResort:
    """Ends the process when signals are not even heard any more.

    Python hands a signal to its handler between two steps of Python code. A policy that hangs in
    compiled code (an endless loop in an ONNX graph) takes no such step, and no second signal would
    break in. So a thread of its own listens on the wake-up socket; if two signals came and the
    handler has not run for a while, the record stays as it is (interrupted), and that is said.
    """

    def __init__(self, heard: list[str]) -> None:
        self._heard = heard
        self._ends: tuple[socket.socket, socket.socket] | None = None
        self._before = -1

    def start(self, numbers: Iterable[int]) -> None:
        """Listen for these signals."""
        self._ends = socket.socketpair()
        for end in self._ends:
            end.setblocking(False)
        self._before = signal.set_wakeup_fd(self._ends[1].fileno(), warn_on_full_buffer=False)
        arguments = (self._ends[0], frozenset(numbers))
        threading.Thread(target=self._listen, args=arguments, daemon=True).start()

    def stop(self) -> None:
        """Listen no longer."""
        if self._ends is not None:
            signal.set_wakeup_fd(self._before)
            self._ends[1].close()  # ends the thread
            self._ends = None

    def _listen(self, end: socket.socket, numbers: frozenset[int]) -> None:
        end.setblocking(True)
        came = 0
        with end:
            while data := end.recv(16):
                came += sum(number in numbers for number in data)
                if came >= 2 and not self._heard_within(_PATIENCE_S):
                    os.write(2, _GIVE_UP)
                    os._exit(EXIT_NOT_SAFE)

    def _heard_within(self, seconds: float) -> bool:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            if len(self._heard) >= 2:
                return True
            time.sleep(0.05)
        return False


class StopSignals:
    """Ctrl-C, SIGTERM and SIGHUP as orderly ends of a run; handlers stand only inside `with`.

    While a run is under way (`stopping`) the first signal asks it to stop, and a second one breaks
    into whatever does not listen, such as a policy that computes for ever. While a record is being
    closed (`shielded`) signals are noted but do not interrupt. At any other time they raise
    `Interrupted`.
    """

    def __init__(self) -> None:
        self.received: list[str] = []
        self._phase: Literal["open", "running", "shielded"] = "open"
        self._stop: Callable[[], None] | None = None
        self._before: dict[int, Any] = {}
        self._last_resort = _LastResort(self.received)

    @property
    def first(self) -> str:
        """Name of the first signal received, empty if none was."""
        return self.received[0] if self.received else ""

    @property
    def last(self) -> str:
        """Name of the last signal received, empty if none was."""
        return self.received[-1] if self.received else ""

    def __enter__(self) -> Self:
        # Only the main thread may set handlers; elsewhere whoever owns it stops the run.
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._received)
            self._last_resort.start(self._before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._last_resort.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    @contextlib.contextmanager
    def stopping(self, stop: Callable[[], None]) -> Iterator[None]:
        """Within, the first signal calls `stop()`."""
        self._stop = stop
        self._phase = "running"
        try:
            yield
        finally:
            self._phase = "open"
            self._stop = None

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Within, signals wait; one that came is raised at the end unless the run had stopped."""
        before, self._phase = self._phase, "shielded"
        heard = len(self.received)
        try:
            yield
        finally:
            self._phase = before
        if heard == 0 and self.received:
            raise Interrupted(self.first)

    def _received(self, number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        self.received.append(name)
        if self._phase == "shielded":
            return
        if self._phase == "running" and self._stop is not None and len(self.received) == 1:
            self._stop()
            return
        raise Interrupted(name)


async def reach_safe_state(
    clock: Clock,
    driver: Driver,
    plant: Plant,
    safe_w: NDArray[np.float64],
    log: Log,
    events: EventSink,
) -> SafeStateResult:
    """Command the safe values and wait until the truth shows them.

    Refused commands are repeated every second, taken ones every five until each actuator has acted
    on one. An actuator that never does (it has left the network) counts as safe once it stands at
    its safe value and no earlier command can still be on its way. Errors of the driver count as
    refusals, so that nothing keeps this from trying on. A run that had not begun has commanded
    nothing, maybe could not: where everybody stands at the safe value, that is the end of it.
    """
    begin_us = clock.now_us
    untouched = not log.begun
    timeout_us = TIMEOUT_US + max(round(a.min_on_s * US_PER_S) for a in plant.actuators)
    sequence: list[int] = []
    acted = np.zeros(len(safe_w), bool)
    send_us = begin_us
    while True:
        now_us = clock.now_us
        if now_us >= send_us:
            seq, status = await _send(driver, safe_w, events, now_us)
            if send_us == begin_us:
                log.safe_state(now_us, safe_w, seq, status)
            if status == SENT:
                sequence.append(seq)
            send_us = now_us + (_RESEND_US if status == SENT else _RETRY_US)
        plant.advance(now_us)
        for seq in sequence:
            effective_us = driver.effective_us(seq)
            acted |= (effective_us >= 0) & (effective_us <= plant.now_us)
        waited_us = now_us - begin_us
        settled = untouched or acted.all() or waited_us >= _IN_FLIGHT_US
        if (sequence or untouched) and settled and plant.within_safe_band():
            # The trace has whole seconds: let it end with one that shows what was just measured.
            plant.advance((now_us // US_PER_S + 2) * US_PER_S)
            return _result(events, now_us, waited_us, len(sequence), confirmed=True)
        if waited_us >= timeout_us:
            return _result(events, now_us, waited_us, len(sequence), confirmed=False)
        if acted.all():
            send_us = begin_us + timeout_us  # all have it; what is left is to wait for the effect
        await clock.sleep_until(now_us + _CHECK_US)


async def _send(
    driver: Driver, safe_w: NDArray[np.float64], events: EventSink, now_us: int
) -> tuple[int, int]:
    seq, status, reason = -1, -1, ""
    try:
        seq, status = await driver.write(safe_w)
    except asyncio.CancelledError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    events.event(now_us, "safe_state_command", seq=seq, status=status, reason=reason)
    return seq, status


def _result(
    events: EventSink, now_us: int, waited_us: int, sent: int, *, confirmed: bool
) -> SafeStateResult:
    after_s = waited_us / US_PER_S
    events.event(now_us, "safe_state", confirmed=confirmed, after_s=after_s, broadcasts=sent)
    what = "shows" if confirmed else "does not show"
    times = "broadcast" if sent == 1 else "broadcasts"
    note = (
        f"the plant's truth {what} every actuator at its safe value {after_s:.1f} s "
        f"after the run was stopped ({sent} {times} of safe values taken)"
    )
    return SafeStateResult(confirmed, now_us if confirmed else None, note)
