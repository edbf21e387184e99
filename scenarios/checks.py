"""Checks across the parts of a scenario: names that must exist, times that must fit.

They run on whatever parts are valid, so that one mistake does not hide another.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..agents.policy import PolicyConfig
from ..sim.export.config import ExportPlantConfig
from ..sim.faults import FaultConfig, slot
from .messages import did_you_mean
from .model import Audit, utc_of
from .parameters import reserved
from .slots import number_text
from .source import Step, dotted

Problem = tuple[Step, str]

#: Years for which time zones and the sun's path are known well enough.
_YEARS = (1970, 2100)


@dataclass(slots=True)
class Parts:
    """The parts of a scenario that could be read; None where one could not.

    Lists hold their items with the path of each. ``load_ids`` and the names are those in the
    file, of invalid items too.
    """

    start: dt.datetime | None = None
    duration_s: float | None = None
    time_zone: str | None = None
    load_ids: tuple[str, ...] | None = None
    policy_names: list[tuple[Step, str]] = field(default_factory=list)
    policies: list[tuple[Step, PolicyConfig]] = field(default_factory=list)
    faults: list[tuple[Step, FaultConfig]] = field(default_factory=list)
    limits: list[tuple[Step, Any]] = field(default_factory=list)
    audit: Audit | None = None
    kind: str | None = None
    plant: ExportPlantConfig | None = None


def problems(parts: Parts) -> Iterator[Problem]:
    """Yield the path and message of everything that does not fit together."""
    yield from _start(parts)
    yield from _names(parts)
    yield from _faults(parts)
    yield from _contradictions(parts.faults)
    yield from _plant(parts)
    yield from _limits(parts)
    yield from _audit(parts)


def _start(parts: Parts) -> Iterator[Problem]:
    if parts.start is None or parts.time_zone is None:
        return
    first, last = _YEARS
    if not first <= parts.start.year <= last:
        yield ("clock", "start"), f"year {parts.start.year}; allowed: {first} … {last}"
        return
    try:
        utc_of(parts.start, parts.time_zone)
    except ValueError as problem:
        yield ("clock", "start"), str(problem)


def _names(parts: Parts) -> Iterator[Problem]:
    first: dict[str, Step] = {}
    for path, name in parts.policy_names:
        if name in first:
            message = f"'{name}' is also the name of {dotted(first[name])}; allowed: unique names"
            yield (*path, "name"), f"{message} (set name)"
        first.setdefault(name, path)
    for path, policy in parts.policies:
        refused = reserved(policy)
        if refused:
            yield (*path, "name"), refused


def _faults(parts: Parts) -> Iterator[Problem]:
    for path, fault in parts.faults:
        load = getattr(fault, "load", None)
        if load is not None and parts.load_ids is not None and load not in parts.load_ids:
            hint = did_you_mean(load, parts.load_ids)
            message = f"no load '{load}'; allowed: {', '.join(parts.load_ids)}{hint}"
            yield (*path, "load"), message
        if parts.duration_s is not None and fault.start_s >= parts.duration_s:
            end = number_text(parts.duration_s)
            message = f"starts at {number_text(fault.start_s)} s, but the run ends at {end} s"
            yield (*path, "start_s"), f"{message}; allowed: less than {end} s"


def _contradictions(faults: list[tuple[Step, FaultConfig]]) -> Iterator[Problem]:
    for index, (path, fault) in enumerate(faults):
        for other_path, other in faults[:index]:
            apart = (
                other.start_s + other.duration_s <= fault.start_s
                or fault.start_s + fault.duration_s <= other.start_s
            )
            if apart or slot(fault) != slot(other):
                continue
            end = number_text(other.start_s + other.duration_s)
            window = f"{number_text(other.start_s)} … {end} s"
            what = f"{fault.kind} contradicts {other.kind} at {dotted(other_path)} ({window})"
            yield path, f"{what}; allowed: one at a time on {slot(fault)}"
            break


def _plant(parts: Parts) -> Iterator[Problem]:
    if parts.plant is None:
        return
    weakness = parts.plant.weakness()
    if weakness is not None:
        yield ("plant",), weakness
    if parts.duration_s is None:
        return
    # What a car lacks is counted when it leaves, so it must leave before the run ends.
    for j, charger in enumerate(parts.plant.chargers):
        for s, session in enumerate(charger.sessions):
            if session.unplug_s > parts.duration_s:
                end = number_text(parts.duration_s)
                message = f"{number_text(session.unplug_s)} s is after the end of the run"
                path = ("plant", "chargers", j, "sessions", s, "unplug_s")
                yield path, f"{message}; allowed: at most {end} s"


def _limits(parts: Parts) -> Iterator[Problem]:
    baselines = (name for path, name in parts.policy_names if path[0] == "baselines")
    names = list(dict.fromkeys(baselines))
    for path, limit in parts.limits:
        against = getattr(limit, "vs", None)
        if against is not None and against not in names:
            allowed = ", ".join(names) or "none: list it under baselines"
            hint = did_you_mean(against, names)
            message = f"no baseline '{against}'; allowed: {allowed}{hint}"
            yield (*path, "vs"), message


def _audit(parts: Parts) -> Iterator[Problem]:
    if parts.audit is None:
        return
    names = list(dict.fromkeys(name for _, name in parts.policy_names))
    wanted: list[tuple[Step, str]] = [(("audit", "passing"), parts.audit.passing)]
    wanted += [(("audit", "broken", i), name) for i, name in enumerate(parts.audit.broken)]
    for path, name in wanted:
        if name not in names:
            hint = did_you_mean(name, names)
            yield path, f"no policy or baseline '{name}'; allowed: {', '.join(names)}{hint}"
    if parts.kind == "robustness" and not parts.audit.broken:
        message = "a robustness scenario names the broken policy that must fail; allowed: a name"
        yield ("audit", "broken"), message
