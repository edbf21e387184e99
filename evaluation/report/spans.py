"""Spans of a run that are shaded: faults, stale readings, safe state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .model import Columns

_SAFE_STATE = 3
_TOLD_ELSEWHERE = {"run", "staleness"}
_MERGE_PARTS = 1000
"""Gaps shorter than this part of the run cannot be seen: spans across them are drawn as one."""


@dataclass(frozen=True, slots=True)
class Span:
    """Something that lasted from ``start_us`` to ``end_us``."""

    kind: Literal["fault", "state", "safe"]
    label: str
    target: str
    """Actuator it concerns; empty: the site as a whole."""
    start_us: int
    end_us: int


def event_spans(events: Iterable[Mapping[str, Any]], end_us: int) -> list[Span]:
    """Pair each event ``X_start`` with the next ``X_end`` of the same fault and target.

    ``fault_start`` and ``fault_end`` name the fault in ``fault`` and, where it concerns one device,
    that device in ``target`` or ``load``; other pairs are states of the loop (``meter_silent``).
    Staleness is left out, for the readings tell it (`stale_spans`). What never ends lasts until
    ``end_us``. An end without a start is ignored: it says nothing about when it began.
    """
    open_since: dict[tuple[str, str, str], list[int]] = {}
    spans = []
    for event in events:
        what, _, edge = str(event.get("kind", "")).rpartition("_")
        if edge not in {"start", "end"} or what in _TOLD_ELSEWHERE:
            continue
        name = str(event.get("fault", what))
        key = (what, name, str(event.get("target") or event.get("load") or ""))
        at = int(event["t_sim_us"])
        if edge == "start":
            open_since.setdefault(key, []).append(at)
        elif open_since.get(key):
            spans.append(_span(key, open_since[key].pop(0), at))
    for key, starts in open_since.items():
        spans.extend(_span(key, at, max(at, end_us)) for at in starts)
    # Faults first: a page that has too many spans drops the last.
    return sorted(spans, key=lambda s: (s.kind, s.start_us, s.label, s.end_us))


def _span(key: tuple[str, str, str], start_us: int, end_us: int) -> Span:
    what, name, target = key
    label = f"{name.replace('_', ' ')} {target}".strip()
    return Span("fault" if what == "fault" else "state", label, target, start_us, end_us)


def stale_spans(readings: Columns, end_us: int) -> list[Span]:
    """Return when the loop had no fresh reading (``meter.quality`` other than 0)."""
    if "meter.quality" not in readings:
        return []
    return _runs(readings, readings["meter.quality"] != 0, "state", "stale or no reading", end_us)


def safe_spans(commands: Columns, end_us: int) -> list[Span]:
    """Return when the loop commanded the safe state (``kind`` 3)."""
    if "kind" not in commands:
        return []
    return _runs(commands, commands["kind"] == _SAFE_STATE, "safe", "safe state commanded", end_us)


def _runs(
    stream: Columns,
    active: NDArray[np.bool_],
    kind: Literal["state", "safe"],
    label: str,
    end_us: int,
) -> list[Span]:
    """Return the runs of active rows; a run lasts until the row after it."""
    times = np.append(np.asarray(stream["t_sim_us"], dtype=np.int64), end_us)
    edges = np.diff(np.concatenate(([0], active.astype(np.int8), [0])))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    merged: list[list[int]] = []
    for start, end in zip(times[starts].tolist(), times[ends].tolist(), strict=True):
        if merged and start - merged[-1][1] <= end_us // _MERGE_PARTS:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return [Span(kind, label, "", start, end) for start, end in merged]
