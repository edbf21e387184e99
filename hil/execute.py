"""One run from its first tick to its closed record, however it ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, Literal

from ..agents.policy import PolicyError
from ..evaluation.record import Record, RecordError, RecordWriter
from ..sim.clock import US_PER_S, Clock, to_us
from ..sim.faults import FaultConfig
from .assembly import Parts, build_loop
from .loop import ControlLoop
from .progress import Progress
from .rig import Driver, RigError
from .safestate import SafeStateResult, StopSignals, reach_safe_state

_LATE_S: Final = 1.0
"""A run whose rig opens later than this after its beginning does not begin,"""
_BUSY_S: Final = 0.1
"""unless it is less than this by the clock of the machine, which may have been busy."""

if TYPE_CHECKING:
    from .rigs.session import RigSession

Measurements = Mapping[str, float]
Measure = Callable[[Record], Measurements]
Cause = Literal["", "signal", "policy", "rig", "record", "inside"]
"""Who ended a run early: nobody, a signal, the policy, a device, the disk, or an error in here."""


@dataclass(slots=True)
class Outcome:
    """How a run ended."""

    cause: Cause = ""
    reason: str = ""
    safe_state: SafeStateResult | None = None
    """What was measured after a run that ended early."""
    speed_x_realtime: float = 0.0
    """Simulated per elapsed time of the loop, assembling and recording left out."""
    error: Exception | None = None
    reached_us: int | None = None
    """Simulated time at which the loop ended; None before it did."""

    @property
    def status(self) -> Literal["completed", "aborted", "error"]:
        """The record's word for it."""
        if not self.cause:
            return "completed"
        return "aborted" if self.cause in {"signal", "rig"} else "error"

    def end(self, cause: Cause, reason: str, error: Exception | None = None) -> None:
        """Note who ended the run and why."""
        self.cause, self.reason, self.error = cause, reason, error


class Events:
    """The record's events; a full disk must not keep the safe state from being reached."""

    def __init__(self, writer: RecordWriter) -> None:
        self._writer = writer
        self._broken = False

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        """Write an event; the first failure is raised, what follows is dropped."""
        if self._broken:
            return
        try:
            # While a rig is opened the clock stands before zero.
            self._writer.event(max(t_sim_us, 0), kind, **data)
        except RecordError:
            self._broken = True
            raise


def execute(
    parts: Parts,
    folder: Path,
    header: Mapping[str, Any],
    faults: Sequence[FaultConfig],
    signals: StopSignals,
    *,
    measure: Measure,
    progress: Progress,
) -> tuple[Outcome, Measurements]:
    """Run a loop to its end and record it.

    If the end comes early, the actuators are brought to their safe values first. What is raised
    from here is a record that could not be written (`RecordError`), after that.
    """
    with RecordWriter(folder, header) as writer:
        if parts.tape is not None:
            parts.tape.begin(writer.partial)
        outcome = _drive(parts, Events(writer), faults, signals, progress, writer.partial)
        with signals.shielded():
            measured = _close(parts, writer, outcome, measure)
    if outcome.cause == "record" and outcome.error is not None:
        raise outcome.error
    return outcome, measured


async def session(driver: Driver, loop: ControlLoop) -> None:
    """Open the rig, run the loop, close the rig."""
    await driver.open()
    try:
        await loop.run()
    finally:
        await driver.close()


async def _work(parts: Parts, loop: ControlLoop, folder: Path) -> None:
    """Open the rig and run the loop; the rig stays open, since it may have to be made safe.

    Raises:
        RigError: the rig is not available, locked, broken, or took too long to open.
    """
    rig = parts.session
    if rig is not None:
        await rig.open(folder)
        await rig.check(parts.clock)
    await parts.driver.open()
    if rig is not None:
        rig.arm()
    parts.begin()
    late_s = parts.clock.now_us / US_PER_S
    if late_s > allowed_lateness_s(parts.clock):
        raise RigError(f"opening the rig took {late_s:.1f} s longer than a run allows for")
    await loop.run()


def allowed_lateness_s(clock: Clock) -> float:
    """Return how far into a run, in simulated seconds, its rig may be opened."""
    busy_s = _BUSY_S * clock.factor if clock.mode == "wall" else 0.0
    return max(_LATE_S, busy_s)


def _drive(
    parts: Parts,
    events: Events,
    faults: Sequence[FaultConfig],
    signals: StopSignals,
    progress: Progress,
    folder: Path,
) -> Outcome:
    """Run the loop to its end; if that comes early, or the rig is real, reach the safe state."""
    clock, duration_us = parts.clock, parts.settings.duration_us
    _announce(faults, clock, duration_us, events)
    loop = build_loop(parts, events, progress.update, parts.settings)
    outcome = Outcome()
    begin_s = perf_counter()
    if parts.session is not None:
        parts.session.on_lost = lambda error: clock.cancel()
    try:
        with signals.stopping(clock.cancel):
            clock.run(_work(parts, loop, folder))
        parts.plant.advance(duration_us)
    except (asyncio.CancelledError, KeyboardInterrupt):
        lost = None if parts.session is None else parts.session.lost
        if lost is not None:
            outcome.end("rig", str(lost), lost)
        else:
            outcome.end("signal", f"stopped by {signals.first or 'the caller'}")
    except PolicyError as error:
        outcome.end("policy", str(error), error)
    except RigError as error:
        outcome.end("rig", str(error), error)
        if parts.session is not None:
            parts.session.failed(error)
    except RecordError as error:
        outcome.end("record", str(error), error)
    except Exception as error:
        outcome.end("inside", f"{type(error).__name__}: {error}", error)
    elapsed_s = max(perf_counter() - begin_s, 1e-9)
    reached_us = max(clock.now_us, 0) if outcome.cause else duration_us
    outcome.reached_us = reached_us
    outcome.speed_x_realtime = reached_us / US_PER_S / elapsed_s
    if outcome.cause:
        _note_stop(clock, events, outcome)
        if clock.mode == "wall" and not parts.replayed and parts.log.begun:
            progress.note(f"{outcome.reason}; {_being_made_safe(parts)}")
    if parts.session is not None:
        outcome.safe_state = _hand_back(parts, parts.session, events, signals)
    elif outcome.cause and not parts.replayed:
        outcome.safe_state = _make_safe(parts, events, signals)
    with contextlib.suppress(Exception, asyncio.CancelledError):
        clock.run(parts.driver.close())
    return outcome


def _note_stop(clock: Clock, events: Events, outcome: Outcome) -> None:
    try:
        events.event(
            max(clock.now_us, 0), "run_stopped", cause=outcome.cause, reason=outcome.reason
        )
    except RecordError as error:
        outcome.error = outcome.error or error


def _being_made_safe(parts: Parts) -> str:
    """Return what whoever waits should know, lest they cut it short."""
    if parts.session is not None:
        return "the rig is made safe, and measured"
    return "waiting until safe values have taken effect; a second signal gives that up"


def _make_safe(parts: Parts, events: Events, signals: StopSignals) -> SafeStateResult:
    """Reach the safe state, whatever happens on the way; say what was measured."""
    clock = parts.clock
    steps = reach_safe_state(clock, parts.driver, parts.plant, parts.safe_w, parts.log, events)
    try:
        with signals.stopping(clock.cancel):
            return clock.run(steps)
    except (asyncio.CancelledError, KeyboardInterrupt):
        note = f"waiting for the safe state was cut short by {signals.last or 'the caller'}"
    except RigError as error:
        note = f"the safe state could not be confirmed: {error}"
    except Exception as error:
        note = f"the safe state could not be confirmed: {type(error).__name__}: {error}"
    return SafeStateResult(confirmed=False, confirmed_us=None, note=note)


def _hand_back(
    parts: Parts, rig: RigSession, events: Events, signals: StopSignals
) -> SafeStateResult | None:
    """Command safe values, close the rig, and have the guardian measure that it is safe.

    None: the rig was never armed, so nothing was written. A signal does not keep anybody from
    this: the guardian goes on by itself in any case.
    """
    clock = parts.clock
    # A lease that is lost from here on cancels nothing: what follows is what it would lead to.
    rig.on_lost = None

    async def work() -> dict[str, Any]:
        if rig.armed and rig.lost is None:
            with contextlib.suppress(Exception):
                seq, status = await parts.driver.write(parts.safe_w)
                parts.log.safe_state(max(clock.now_us, 0), parts.safe_w, seq, status)
        with contextlib.suppress(Exception):
            await parts.driver.close()
        return await rig.end()

    measured: dict[str, Any] = {"confirmed": False, "note": "nothing was measured"}
    try:
        with signals.shielded():
            measured = clock.run(work())
    except KeyboardInterrupt:
        pass  # heard meanwhile; the run is over in any case
    except asyncio.CancelledError:
        measured["note"] = "the lease was lost meanwhile: it is for the guardian to say"
    except Exception as error:
        measured["note"] = f"{type(error).__name__}: {error}"
    if measured.get("confirmed") is None:
        return None
    confirmed, t_us = bool(measured["confirmed"]), max(clock.now_us, 0)
    with contextlib.suppress(RecordError):
        events.event(t_us, "safe_state", **{k: v for k, v in measured.items() if k != "kind"})
    note = str(measured.get("note", ""))
    return SafeStateResult(confirmed, t_us if confirmed else None, note)


def _close(parts: Parts, writer: RecordWriter, outcome: Outcome, measure: Measure) -> Measurements:
    """Write the streams, measure, close the record."""
    plant, log = parts.plant, parts.log
    if parts.tape is not None:
        parts.tape.end()
        if parts.tape.problem is not None:
            writer.event(parts.clock.now_us, "tape_incomplete", reason=parts.tape.problem)
    writer.write_stream("truth", *plant.truth())
    writer.write_stream("readings", *log.readings())
    writer.write_stream("commands", *log.commands(parts.driver.acked_us, parts.driver.effective_us))
    writer.write_timing(log.timings())
    measured = measure(writer.record())
    writer.close(
        outcome.status,
        outcome.reason,
        measured,
        safe_state=None if outcome.safe_state is None else outcome.safe_state.fields(),
        unseen_s=parts.driver.unseen_s(),
        speed_x_realtime=outcome.speed_x_realtime,
    )
    return measured


def _announce(
    faults: Sequence[FaultConfig], clock: Clock, duration_us: int, events: Events
) -> None:
    """Have the beginning and the end of each fault written when they come."""

    def later(t_us: int, kind: str, fault: FaultConfig) -> None:
        details = fault.model_dump(mode="json", exclude={"kind", "start_s", "duration_s"})
        if t_us <= duration_us:
            clock.schedule(t_us, lambda: events.event(t_us, kind, fault=fault.kind, **details))

    for fault in faults:
        begin_us = to_us(fault.start_s)
        later(begin_us, "fault_start", fault)
        later(begin_us + to_us(fault.duration_s), "fault_end", fault)
