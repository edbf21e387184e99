"""From a judged record to what its report shows."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from typing import Any

from ..header import ActuatorMeta, RecordHeader
from ..judge import Judgement
from ..limits import LimitResult
from ..metrics import METRICS, Metric
from ..reading import Record, read_record
from .format import number
from .model import ActuatorInfo, IdentityRow, LimitRow, MetricInfo, PolicyRow, ReportInput

_OBJECTIVE = "objective@1"


def report_input(judgement: Judgement, record: Record | None = None) -> ReportInput:
    """Return what the report of a judged record shows.

    Args:
        judgement: as `judge` returns it.
        record: the record, if it is at hand; otherwise it is read from the judgement's folder.
            Its columns are read when the report is written.

    Raises:
        RecordError: the record cannot be read.

    """
    record = record or read_record(judgement.folder)
    header, scenario = record.header, record.header.scenario
    return ReportInput(
        title=str(scenario.get("title") or header.scenario_name),
        scenario=header.scenario_name,
        kind=str(scenario.get("kind", "")),
        policy=header.policy_name,
        seed=header.seed,
        clock=header.clock_mode,
        verdict=judgement.verdict.name,
        ended=f"{header.status}: {header.reason}" if header.reason else header.status,
        reason=judgement.reason,
        notes=(*judgement.problems, *judgement.breaches, *judgement.warnings),
        bracket=judgement.bracket,
        start_utc=_start(header),
        time_zone=str(_inner(scenario, "profiles", "site").get("time_zone", "UTC")),
        duration_s=float(_inner(scenario, "clock").get("duration_s", 0.0)),
        limits=[_limit(result) for result in judgement.limits],
        policies=_policies(header, judgement.measurements),
        metrics={key: _metric(entry, header.clock_mode) for key, entry in METRICS.items()},
        objective=_OBJECTIVE,
        objective_formula=_formula(scenario),
        # Traces that are not those that were written would show a run that never was.
        streams={} if judgement.problems else record.streams,
        events=record.events,
        actuators=[_actuator(a) for a in header.site.actuators],
        timing={} if judgement.problems else record.spans(),
        identity=_identity(header),
        folder=judgement.folder.name,
    )


def _inner(mapping: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """Return a nested mapping; an empty one where there is none."""
    for key in keys:
        inner = mapping.get(key)
        mapping = inner if isinstance(inner, Mapping) else {}
    return mapping


def _start(header: RecordHeader) -> dt.datetime:
    start = dt.datetime.fromisoformat(header.start_utc)
    return start if start.tzinfo else start.replace(tzinfo=dt.UTC)


def _known(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _limit(result: LimitResult) -> LimitRow:
    notes = (result.reason or (result.limit.text() if result.limit.vs else ""), result.rule)
    return LimitRow(
        metric=result.limit.metric,
        unit=result.unit,
        measured=_known(result.measured),
        bound=_known(result.bound),
        direction="max" if result.limit.upper else "min",
        verdict=result.word,
        vs=result.limit.vs,
        reason="; ".join(note for note in notes if note),
    )


def _policies(header: RecordHeader, measured: Mapping[str, float]) -> list[PolicyRow]:
    own = PolicyRow(
        header.policy_name, True, {key: _known(value) for key, value in measured.items()}
    )
    baselines = [
        PolicyRow(name, False, values)
        for name, values in header.baselines.items()
        if name != header.policy_name
    ]
    return [own, *baselines]


def _metric(entry: Metric, clock_mode: str) -> MetricInfo:
    rule = f"{entry.rule}, from {entry.source}" if entry.rule else f"from {entry.source}"
    title = "objective J" if entry.name == "objective" else ""
    return MetricInfo(
        unit=entry.unit,
        better=entry.better,
        title=title,
        headline=entry.headline and not (entry.wall_only and clock_mode != "wall"),
        help=f"{entry.description} ({rule}). {entry.formula}",
    )


def _formula(scenario: Mapping[str, Any]) -> str:
    """Return J with the scenario's weights."""
    weights = _inner(scenario, "objective")
    if not {"import_weight", "unserved_weight"} <= weights.keys():
        return ""
    imports, unserved = (number(float(weights[f"{k}_weight"])) for k in ("import", "unserved"))
    return (
        f"J = export + curtailed + {imports} · import + {unserved} · unserved energy "
        f"+ {imports} · max(0, energy stored at the start − at the end)"
    )


def _actuator(actuator: ActuatorMeta) -> ActuatorInfo:
    shares = zip("abc", actuator.phase_shares, strict=True)
    phases = "".join(phase for phase, share in shares if share)
    return ActuatorInfo(actuator.id, actuator.kind, phases, actuator.low_w, actuator.high_w)


def _identity(header: RecordHeader) -> list[IdentityRow]:
    """Return who and what took part, in groups."""
    safe = header.safe_state
    confirmed = {True: "yes", False: "no", None: "not measured"}[safe.confirmed]
    speed = header.speed_x_realtime
    groups: dict[str, dict[str, object]] = {
        "Run": {
            "seed": header.seed,
            "rig": header.rig_name,
            "start (UTC)": header.start_utc,
            "speed": None if speed is None else f"{number(round(speed))} × real time",
            "record schema": header.schema_version,
        },
        "Safe state": {
            "confirmed": confirmed,
            "at": None if safe.confirmed_us is None else f"{number(safe.confirmed_us / 1e6)} s",
            "note": safe.note,
        },
        "Hashes": {
            "scenario": header.scenario_hash,
            "policy": header.policy_hash,
            "rig": header.rig_hash,
            "profiles": header.profiles_hash,
            "traces": header.trace_sha256,
            "events": header.events_sha256,
            "git revision": header.git_revision,
        },
        "Versions": {"wattbench": header.wattbench_version, **header.packages},
        "Machine": dict(header.machine),
    }
    return [
        IdentityRow(group, name.replace("_", " "), str(value))
        for group, rows in groups.items()
        for name, value in rows.items()
        if value is not None and value != ""
    ]
