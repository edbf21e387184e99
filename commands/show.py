"""What `wattbench run` shows in the end: exit code, table, JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluation.judge import Judgement
    from ..hil.bench import RunResult
    from ..hil.execute import Outcome

EXIT_USAGE, EXIT_ABORTED, EXIT_ERROR, EXIT_RIG, EXIT_UNSAFE = 2, 4, 5, 6, 7

#: Columns of the final table: heading and metric.
_COLUMNS = (
    ("export", "export_energy@1"),
    ("import", "import_energy@1"),
    ("unserved", "unserved_energy@1"),
    ("peak export", "peak_export_1min@1"),
    ("changes/min", "command_changes_per_min_worst@1"),
    ("J", "objective@1"),
)


@dataclass(slots=True)
class RunReport:
    """What came of the runs so far."""

    judged: list[tuple[RunResult, Judgement]] = field(default_factory=list)
    baselines: list[RunResult] = field(default_factory=list)
    folder: Path | None = None
    planned: list[tuple[str, int]] = field(default_factory=list)
    """Policy and seed of the runs that are to be judged."""
    error: str = ""
    exit_code: int | None = None
    """Of what ended the command early; None if nothing did."""


def total_exit_code(report: RunReport) -> int:
    """Return the exit code of all runs and of what ended the command."""
    from ..evaluation.verdict import suite_exit_code

    if report.exit_code == EXIT_USAGE:
        return EXIT_USAGE
    codes = [int(judgement.exit_code) for _, judgement in report.judged]
    # What a replay lacks is no rig.
    replays = [result for result, judgement in report.judged if judgement.header.replayed]
    results = [result for result, _ in report.judged] + report.baselines
    for result in results:
        codes += outcome_codes(result.outcome, on_rig=result not in replays)
    if report.exit_code is not None:
        codes.append(report.exit_code)
    return int(suite_exit_code(codes))


def outcome_codes(outcome: Outcome, *, on_rig: bool = True) -> list[int]:
    """Return the exit codes that how a run ended gives by itself, whoever was judged."""
    safe = outcome.safe_state
    codes = [EXIT_UNSAFE] if safe is not None and not safe.confirmed else []
    if outcome.cause == "rig" and on_rig:
        codes.append(EXIT_RIG)
    elif outcome.status == "aborted":
        codes.append(EXIT_ABORTED)
    elif outcome.status == "error":
        codes.append(EXIT_ERROR)
    return codes


def as_dict(report: RunReport, code: int) -> dict[str, Any]:
    """Return what `--json` prints."""
    from ..evaluation.verdict import Verdict, roll_up

    of_status = {"aborted": Verdict.ABORTED, "error": Verdict.ERROR}
    verdicts = [judgement.verdict for _, judgement in report.judged]
    # A baseline that did not end well has no judgement, but it is not passed over either.
    statuses = [baseline.outcome.status for baseline in report.baselines]
    if report.exit_code is not None:
        statuses.append("aborted" if report.exit_code in {EXIT_ABORTED, EXIT_RIG} else "error")
    verdicts += [of_status[status] for status in statuses if status in of_status]
    verdict = None if code == EXIT_USAGE else roll_up(verdicts).name
    rows = [
        judgement_row(judgement)
        | {
            "speed_x_realtime": result.outcome.speed_x_realtime,
            "measurements": judgement.measurements,
        }
        | ({} if judgement.bracket is None else {"bracket": judgement.bracket.figures()})
        for result, judgement in report.judged
    ]
    shown: dict[str, Any] = {"verdict": verdict, "exit_code": code, "runs": rows}
    return shown | ({"error": report.error} if report.error else {})


def judgement_row(judgement: Judgement) -> dict[str, Any]:
    """Return who was judged, where, and how."""
    return {
        "policy": judgement.header.policy_name,
        "seed": judgement.header.seed,
        "path": str(judgement.folder),
        "verdict": judgement.verdict.name,
    }


def judgement_lines(judgement: Judgement) -> list[str]:
    """Return the verdict on a record, each of its limits, and what else a reader should know."""
    from ..evaluation.units import format_quantity

    reason = f": {judgement.reason}" if judgement.reason else ""
    lines = [f"{judgement.verdict.name:<12}  {judgement.folder}{reason}"]
    for result in judgement.limits:
        measured = f"measured {format_quantity(result.measured, result.unit)}"
        if result.limit.vs is not None:
            measured += f", bound {format_quantity(result.bound, result.unit)}"
        lines.append(f"  {result.word:<12}  {result.limit.text()}  ({measured})")
    summary = "" if judgement.bracket is None else judgement.bracket.summary()
    said = [*(*judgement.problems, *judgement.breaches)[1:], *judgement.warnings]
    if summary and summary not in said:
        said.insert(0, summary)
    return lines + [f"  {line}" for line in said]


def table_lines(report: RunReport) -> list[str]:
    """Return the final table: a line a policy, baselines in parentheses; means over the seeds."""
    groups: dict[tuple[str, bool], list[tuple[Mapping[str, float], str]]] = {}
    for result, judgement in report.judged:
        row = judgement.measurements, judgement.verdict.name
        groups.setdefault((result.policy, False), []).append(row)
    for baseline in report.baselines:
        note = "" if baseline.outcome.status == "completed" else baseline.outcome.status
        groups.setdefault((baseline.policy, True), []).append((baseline.measurements, note))
    lines = [["policy", *(heading for heading, _ in _COLUMNS), "verdict"]]
    for (name, is_baseline), rows in groups.items():
        values = [_mean([measured.get(key) for measured, _ in rows], key) for _, key in _COLUMNS]
        verdict = _verdicts([word for _, word in rows])
        lines.append([f"({name})" if is_baseline else name, *values, verdict])
    widths = [max(len(line[k]) for line in lines) for k in range(len(lines[0]))]
    return [
        "  ".join(
            cell.ljust(width) if k in {0, len(line) - 1} else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _mean(values: Sequence[float | None], key: str) -> str:
    from ..evaluation.metrics import METRICS
    from ..evaluation.units import format_quantity

    known = [value for value in values if value is not None and math.isfinite(value)]
    mean = sum(known) / len(known) if known else None
    return format_quantity(mean, METRICS[key].unit).removesuffix(" 1/min")


def _verdicts(words: Sequence[str]) -> str:
    """Return a verdict, or how often each came: ``PASS``, ``8 PASS, 2 FAIL``."""
    counts = {word: words.count(word) for word in words if word}
    if len(words) == 1 or not counts:
        return words[0] if words else ""
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def report_lines(report: RunReport) -> list[str]:
    """Return where the reports are, and why a run did not pass."""
    lines = [""]
    for result in report.baselines:
        if result.outcome.status != "completed":
            status, name = result.outcome.status.upper(), f"({result.policy}), seed {result.seed}"
            lines.append(f"{status}  {name}: {result.outcome.reason}")
            if result.outcome.safe_state is not None:
                lines.append(f"  safe state: {result.outcome.safe_state.note}")
            lines.append(f"  {result.folder}")
    for result, judgement in report.judged:
        reason = f": {judgement.reason}" if judgement.reason else ""
        name = f"{result.policy}, seed {result.seed}"
        lines.append(f"{judgement.verdict.name}  {name}{reason}")
        safe = result.outcome.safe_state
        if safe is not None:
            lines.append(f"  safe state: {safe.note}")
        if judgement.bracket is not None:
            lines.append(f"  {judgement.bracket.summary()}")
        lines.append(f"  {judgement.folder / 'report.html'}")
    if len(report.judged) > 1 and report.folder is not None and not report.error:
        lines.append(f"All runs: {report.folder / 'report.html'}")
    judged = {(result.policy, result.seed) for result, _ in report.judged}
    missed = [f"{name}, seed {seed}" for name, seed in report.planned if (name, seed) not in judged]
    if missed:
        more = f" and {len(missed) - 5} more" if len(missed) > 5 else ""
        lines.append(f"Not run: {'; '.join(missed[:5])}{more}")
    return lines
