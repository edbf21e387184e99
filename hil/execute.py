"""One run from its first tick to its closed record, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from ..agents.policy import PolicyError
from ..evaluation.record import Record, RecordError, RecordWriter
from ..sim.clock import US_PER_S, Clock, to_us
from ..sim.faults import FaultConfig
from .assembly import Parts, build_loop
from .loop import ControlLoop
from .progress import Progress
from .rig import Driver, RigError
from .safestate import SafeStateResult, StopSignals, reach_safe_state

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
            self._writer.event(t_sim_us, kind, **data)
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
        outcome = _drive(parts, Events(writer), faults, signals, progress)
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


def _drive(
    parts: Parts,
    events: Events,
    faults: Sequence[FaultConfig],
    signals: StopSignals,
    progress: Progress,
) -> Outcome:
    """Run the loop to its end; if that comes early, reach the safe state."""
    clock, duration_us = parts.clock, parts.settings.duration_us
    _announce(faults, clock, duration_us, events)
    loop = build_loop(parts, events, progress.update, parts.settings)
    outcome = Outcome()
    begin_s = perf_counter()
    try:
        with signals.stopping(clock.cancel):
            clock.run(session(parts.driver, loop))
        parts.plant.advance(duration_us)
    except (asyncio.CancelledError, KeyboardInterrupt):
        outcome.end("signal", f"stopped by {signals.first or 'the caller'}")
    except PolicyError as error:
        outcome.end("policy", str(error), error)
    except RigError as error:
        outcome.end("rig", str(error), error)
    except RecordError as error:
        outcome.end("record", str(error), error)
    except Exception as error:
        outcome.end("inside", f"{type(error).__name__}: {error}", error)
    elapsed_s = max(perf_counter() - begin_s, 1e-9)
    reached_us = clock.now_us if outcome.cause else duration_us
    outcome.reached_us = reached_us
    outcome.speed_x_realtime = reached_us / US_PER_S / elapsed_s
    if outcome.cause:
        outcome.safe_state = _make_safe(parts, events, signals, outcome)
    return outcome


def _make_safe(
    parts: Parts, events: Events, signals: StopSignals, outcome: Outcome
) -> SafeStateResult:
    """Reach the safe state, whatever happens on the way; say what was measured."""
    clock = parts.clock
    try:
        events.event(clock.now_us, "run_stopped", cause=outcome.cause, reason=outcome.reason)
    except RecordError as error:
        outcome.error = outcome.error or error
    steps = reach_safe_state(clock, parts.driver, parts.plant, parts.safe_w, parts.log, events)
    try:
        with signals.stopping(clock.cancel):
            return clock.run(steps)
    except (asyncio.CancelledError, KeyboardInterrupt):
        note = f"waiting for the safe state was cut short by {signals.last or 'the caller'}"
    except Exception as error:
        note = f"the safe state could not be confirmed: {type(error).__name__}: {error}"
    return SafeStateResult(confirmed=False, confirmed_us=None, note=note)


def _close(parts: Parts, writer: RecordWriter, outcome: Outcome, measure: Measure) -> Measurements:
    """Write the streams, measure, close the record."""
    plant, log = parts.plant, parts.log
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
