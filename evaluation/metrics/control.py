"""How restless a policy is: command changes, switchings, writes; and what became of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ..streams import TIME
from .registry import metric
from .run import Run

DEADBAND_W = 50.0
_MINUTE_US = 60_000_000
_ACK_WAIT_US = 10_000_000
_KIND_CHANGE, _KIND_SAFE = 1, 3
_STATUS_SENT = 0


@metric("1/min", source="commands", headline=True)
def command_changes_per_min_worst(run: Run) -> float:
    """Command changes in the worst sliding minute.

    The most changes in any window of 60 s, wherever it starts. A change is a command that was
    sent as one (refreshing is none, the loop's safe state neither) and that moves the set-point of
    any actuator by more than 50 W from that of the last change counted: small steps add up.
    """
    return float(most_in_a_minute(change_times_us(run)))


@metric("1/min", source="commands")
def command_changes_per_min_mean(run: Run) -> float:
    """Command changes a minute, on average over the run.

    Changes as in command_changes_per_min_worst, divided by the duration.
    """
    return len(change_times_us(run)) / run.steps_min


@metric("1/min", source="commands")
def any_action_change_per_min(run: Run) -> float:
    """Rate of steps whose action differs at all from the step before.

    Σ any(diff(decided) ≠ 0), divided by the duration of all steps: the definition common in the
    literature, without a dead-band. A policy with continuous output scores 60 at a period of 1 s.
    Steps in which the loop commanded the safe state are left out.
    """
    decided = run.command_matrix("decided")[:, _policys(run)]
    return int(_differs(decided[:, 1:], decided[:, :-1]).any(axis=0).sum()) / run.steps_min


@metric("count", source="commands")
def commands_sent(run: Run) -> float:
    """Broadcasts that the coordinator accepted, refreshes included.

    Rows of the commands with status 0.
    """
    return float(np.count_nonzero(run.commands["status"] == _STATUS_SENT))


@metric("count", source="commands")
def commands_refused(run: Run) -> float:
    """Broadcasts that were refused: broadcast table full, or coordinator down.

    Rows of the commands with status 1 or 2.
    """
    return float(np.count_nonzero(run.commands["status"] > _STATUS_SENT))


@metric("count", source="commands")
def writes_max(run: Run) -> float:
    """Set-points written into the load that got the most.

    Commands that became effective (refreshes included), the largest count of all actuators.
    """
    return float(_writes(run).max(initial=0))


@metric("count", source="commands")
def writes_total(run: Run) -> float:
    """Set-points written into all loads together.

    Commands that became effective (refreshes included), summed over the actuators.
    """
    return float(_writes(run).sum())


@metric("count", source="counter", headline=True)
def switchings_max(run: Run) -> float:
    """Switchings, off to on or on to off, of the load that switched most.

    The largest final value of the switching counters of loads and chargers.
    """
    return max(_switchings(run), default=0.0)


@metric("count", source="counter")
def switchings_total(run: Run) -> float:
    """Switchings of all loads together.

    Sum of the final values of the switching counters of loads and chargers.
    """
    return float(sum(_switchings(run)))


@metric("1", better="higher", source="commands")
def ack_rate(run: Run) -> float:
    """Share of commands that actuators acknowledged.

    Acks received over acks due (broadcasts sent × actuators), those of the last 10 s left out
    because their time is not over; no value if nothing was sent.
    """
    commands = run.commands
    end_us = int(commands[TIME][-1])
    due = (commands["status"] == _STATUS_SENT) & (commands["sent_us"] <= end_us - _ACK_WAIT_US)
    if not due.any():
        return float("nan")
    acked = [(commands[f"acked.{a.id}_us"][due] >= 0).mean() for a in run.site.actuators]
    return float(np.mean(acked))


@metric("count", source="commands")
def guard_interventions(run: Run) -> float:
    """Control steps at which the guard changed the policy's decision by more than 1 W.

    Rows in which any actuator's guarded value differs from the decided one, or the decided one is
    no number; those in which the loop commanded the safe state are left out.
    """
    change_w = np.abs(run.command_matrix("guarded") - run.command_matrix("decided"))
    return float(np.count_nonzero(~(change_w <= 1.0).all(axis=0) & _policys(run)))


@metric("s", source="readings")
def meter_age_max(run: Run) -> float:
    """Age of the oldest reading that the loop had to work with.

    max of the readings' age, from the first reading on (see stale_time for the time before).
    """
    ages_s = run.readings["meter.age_s"]
    known_s = ages_s[np.isfinite(ages_s)]
    return float(known_s.max()) if len(known_s) else float("nan")


@metric("s", source="readings")
def stale_time(run: Run) -> float:
    """Time in which the loop had no reading yet, or one that was older than allowed.

    Control steps whose reading is not of good quality, times the control period.
    """
    stale = np.count_nonzero(run.readings["meter.quality"])
    return float(stale) * run.site.control_period_s


def most_in_a_minute(times_us: NDArray[np.int64]) -> int:
    """Return the most of these rising times that any window (t − 60 s, t] holds."""
    first = np.searchsorted(times_us, times_us - _MINUTE_US, side="right")
    return int(np.max(np.arange(1, len(times_us) + 1) - first, initial=0))


def change_times_us(run: Run) -> NDArray[np.int64]:
    """Return when a counted command change was sent, µs; see command_changes_per_min_worst."""
    return run.once("change_times_us", lambda: _change_times_us(run))


def _change_times_us(run: Run) -> NDArray[np.int64]:
    commands = run.commands
    kind = commands["kind"]
    moved = (kind == _KIND_CHANGE) | (kind == _KIND_SAFE)
    rows = np.flatnonzero(moved & (commands["status"] == _STATUS_SENT))
    # Before the first command nothing is on, and PV is not limited.
    start = [a.high_w if a.kind == "pv_limit" else 0.0 for a in run.site.actuators]
    values = run.command_matrix("guarded")[:, rows].T.tolist()
    counted = list(_counted(values, (kind[rows] == _KIND_CHANGE).tolist(), start))
    times: NDArray[np.int64] = np.asarray(commands["sent_us"])[rows[counted]]
    return times


def _counted(
    values: list[list[float]], policy: list[bool], reference: list[float]
) -> Iterator[int]:
    """Yield the rows that count: beyond the dead-band from the last row that did.

    Lists, because each row depends on the one before and Python's floats are faster than arrays
    of a few elements. Rows that the loop commanded (safe state) move the reference uncounted.
    """
    for index, row in enumerate(values):
        if not policy[index]:
            reference = row
            continue
        for value, held in zip(row, reference, strict=True):
            if value - held > DEADBAND_W or held - value > DEADBAND_W:
                reference = row
                yield index
                break


def _policys(run: Run) -> NDArray[np.bool_]:
    """Return the rows whose commands are the policy's, not the loop's safe state."""
    rows: NDArray[np.bool_] = run.commands["kind"] != _KIND_SAFE
    return rows


def _differs(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Compare elementwise; NaN equals NaN."""
    differs: NDArray[np.bool_] = (left != right) & ~(np.isnan(left) & np.isnan(right))
    return differs


def _writes(run: Run) -> NDArray[np.int64]:
    names = [f"effective.{a.id}_us" for a in run.site.actuators]
    return np.array([np.count_nonzero(run.commands[n] >= 0) for n in names], dtype=np.int64)


def _switchings(run: Run) -> list[float]:
    consumers = run.of_kind("load", "charger")
    return [run.last(f"{a.kind}.{a.id}.switchings") for a in consumers]
