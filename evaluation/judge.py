"""Judge a record from its folder alone: measure again, apply its limits, check its integrity."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .bracket import Bracket, read_bracket
from .files import RecordError, hash_files, replace_text
from .header import SCHEMA_VERSION, RecordHeader
from .limits import LimitConfig, LimitResult, judge_limit
from .metrics import METRICS, measure
from .model import json_text
from .reading import Record, read_header, read_record, trace_hash
from .verdict import ExitCode, Verdict, exit_code, roll_up

_RELATIVE_TOLERANCE = 1e-9
_OBJECTIVE = "objective@1"
_STREAMS = ("truth", "readings", "commands")

_OF_STATUS = {
    "interrupted": Verdict.ABORTED,
    "aborted": Verdict.ABORTED,
    "error": Verdict.ERROR,
}


@dataclass(frozen=True)
class Judgement:
    """What a record is worth.

    Attributes:
        folder: the record.
        header: its `record.json`.
        verdict: the most severe of the limits', the run's status and the record's integrity.
        exit_code: the command line's.
        limits: every limit of the scenario, in its order.
        measurements: computed again, by metric id.
        problems: what makes the record worthless as evidence; each is an ERROR.
        warnings: what a reader should know.
        bracket: where the policy stands between `zero` and the bound, as `bracket.json` has it.
        breaches: who is below a bound that no policy can be below; each is an ERROR, not of the
            policy but of the bench.

    """

    folder: Path
    header: RecordHeader
    verdict: Verdict
    exit_code: ExitCode
    limits: tuple[LimitResult, ...]
    measurements: Mapping[str, float]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    bracket: Bracket | None = None
    breaches: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why the verdict is what it is, in one line; empty for PASS."""
        if self.problems or self.breaches:
            return (*self.problems, *self.breaches)[0]
        if self.header.status != "completed":
            return f"the run was {_ended(self.header)}"
        worst = [r for r in self.limits if r.verdict is self.verdict]
        if self.verdict is Verdict.PASS:
            return ""
        if not worst:
            return "no limit was judged"
        detail = f": {worst[0].reason}" if worst[0].reason else ""
        more = f" (and {len(worst) - 1} more)" if len(worst) > 1 else ""
        return f"{worst[0].limit.text()}{detail}{more}"

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        shown = {
            "verdict": self.verdict.name,
            "exit_code": int(self.exit_code),
            "reason": self.reason,
            "limits": [result.as_dict() for result in self.limits],
            "problems": [*self.problems, *self.breaches],
            "warnings": list(self.warnings),
        }
        return shown | ({} if self.bracket is None else {"bracket": self.bracket.figures()})


def judge(folder: Path) -> Judgement:
    """Judge a record; reads only.

    A run that was not completed is ABORTED (ERROR if it ended in an error) and its limits are not
    judged. A record whose files are not those that were written is an ERROR, and so is a J below
    the bound in its ``bracket.json``: its limits are judged, but the bench is not to be trusted.

    Raises:
        RecordError: the folder is no record, or cannot be read at all.

    """
    record = read_record(folder)
    problems = damage(record)
    measurements = dict.fromkeys(METRICS, math.nan) if problems else measure(record)
    warnings = () if problems else tuple(_differences(record, measurements))
    return _judged(record.folder, record.header, measurements, problems, warnings)


def judge_closed(folder: Path, measurements: Mapping[str, float]) -> Judgement:
    """Judge a record that this process has just closed, by what it measured of it then.

    The verdict is that of `judge`, without reading the streams back from disk.

    Raises:
        RecordError: `record.json` cannot be read.

    """
    return _judged(Path(folder), read_header(folder), measurements, [], ())


def _judged(
    folder: Path,
    header: RecordHeader,
    measurements: Mapping[str, float],
    problems: list[str],
    warnings: tuple[str, ...],
) -> Judgement:
    limits, invalid = _limits(header)
    bracket, wrong = (None, []) if problems else _bracket(folder, header, measurements)
    problems += invalid + wrong
    breaches = () if bracket is None else bracket.breaches()
    warnings += () if bracket is None else bracket.warnings
    if header.status == "completed" and not problems:
        results = tuple(judge_limit(limit, measurements, header) for limit in limits)
        verdict = roll_up(r.verdict for r in results if r.verdict is not None)
    else:
        why = "the record is damaged" if problems else f"the run was {_ended(header)}"
        results = tuple(_unjudged(limit, measurements, header, why) for limit in limits)
        verdict = Verdict.ERROR if problems else _OF_STATUS[header.status]
    if breaches:
        verdict = Verdict.ERROR
    return Judgement(
        folder,
        header,
        verdict,
        exit_code(verdict, safe_state_confirmed=header.safe_state.confirmed),
        results,
        measurements,
        tuple(problems),
        warnings,
        bracket,
        breaches,
    )


def store_judgement(judgement: Judgement) -> None:
    """Write a judgement into the record's ``measurements.json``, beside the measurements.

    Raises:
        RecordError: the file cannot be written.

    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "measurements": judgement.measurements,
        "judgement": judgement.as_dict(),
    }
    replace_text(judgement.folder / "measurements.json", json_text(content))


def damage(record: Record) -> list[str]:
    """Say which files are not those that were written."""
    folder, header = record.folder, record.header
    if not record.intact:
        return ["record.json was changed after the run"]
    if header.trace_sha256 is None:
        return []  # never closed: nothing to hold it against
    problems = []
    if trace_hash(folder) != header.trace_sha256:
        missing = [name for name in _STREAMS if not (folder / "trace" / f"{name}.parquet").exists()]
        gone = f" ({', '.join(missing)} missing)" if missing else ""
        problems.append(
            f"trace/ was changed after the run{gone}: its hash differs from the record's"
        )
    for name, expected in (
        ("timing.parquet", header.timing_sha256),
        ("events.jsonl", header.events_sha256),
    ):
        path = folder / name
        present = hash_files([path], folder) if path.exists() else None
        if present is None and expected is not None:
            problems.append(f"{name} is missing")
        elif present != expected:
            problems.append(f"{name} was changed after the run: its hash differs from the record's")
    return problems


def _bracket(
    folder: Path, header: RecordHeader, measurements: Mapping[str, float]
) -> tuple[Bracket | None, list[str]]:
    """Return the record's bracket, and what is wrong with it; then there is none."""
    try:
        bracket = read_bracket(folder)
    except RecordError as error:
        return None, [str(error)]
    if bracket is None:
        return None, []
    if bracket.trace_sha256 != header.trace_sha256:
        return None, ["bracket.json belongs to another run: its trace hash is not this record's"]
    measured, stated = measurements[_OBJECTIVE], bracket.objective_wh[bracket.policy]
    if not math.isclose(measured, stated, rel_tol=_RELATIVE_TOLERANCE, abs_tol=1e-6):
        return None, [f"bracket.json gives J as {stated:g} Wh, the trace as {measured:g} Wh"]
    return bracket, []


def _limits(header: RecordHeader) -> tuple[list[LimitConfig], list[str]]:
    """Return the scenario's limits, and what is wrong with those that cannot be read."""
    limits, problems = [], []
    for number, raw in enumerate(header.scenario.get("limits") or (), start=1):
        try:
            limits.append(LimitConfig.model_validate(raw))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            place = f"{where}: " if where else ""
            problems.append(f"limit {number} cannot be read: {place}{first['msg']}")
    if (rule := header.scenario.get("decision_rule", header.decision_rule)) != header.decision_rule:
        problems.append(f"decision_rule is {rule!r}, which is none; allowed: simple, guarded")
    return limits, problems


def _unjudged(
    limit: LimitConfig, measurements: Mapping[str, float], header: RecordHeader, why: str
) -> LimitResult:
    result = judge_limit(limit, measurements, header)
    return LimitResult(limit, result.measured, result.bound, None, why)


def _ended(header: RecordHeader) -> str:
    word = "ended by an error" if header.status == "error" else header.status
    return f"{word}: {header.reason}" if header.reason else word


def _differences(record: Record, measurements: Mapping[str, float]) -> list[str]:
    """Say where the stored measurements differ from those computed again."""
    warnings = []
    for key, stored in record.stored_measurements.items():
        if key not in measurements:
            continue  # a metric's older version
        before = math.nan if stored is None else float(stored)
        now = measurements[key]
        same = (math.isnan(before) and math.isnan(now)) or math.isclose(
            before, now, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_RELATIVE_TOLERANCE
        )
        if not same:
            warnings.append(f"{key} was stored as {before:g} and is {now:g} computed again")
    return warnings


__all__ = ["Judgement", "RecordError", "judge", "judge_closed", "store_judgement"]
