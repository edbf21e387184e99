"""From a closed record to the row that a suite keeps of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ...evaluation.files import RecordError
from ...evaluation.model import content_hash, plain
from ...evaluation.suite.results import Cell, RunRow
from ..show import EXIT_RIG

if TYPE_CHECKING:
    from ...evaluation.header import RecordHeader
    from ...evaluation.judge import Judgement
    from ...hil.bench import RunResult
    from ...scenarios.model import Scenario

#: Of a record, how its run ended if it need not be run again.
_FINISHED: Final = ("completed", "error")


def row_of_result(cell: Cell, result: RunResult, elapsed_s: float) -> RunRow:
    """Judge a run that was closed just now and return its row.

    The judgement of a policy goes into its record, too. Raises `RecordError`.
    """
    from ...evaluation.judge import judge_closed, store_judgement
    from ...evaluation.verdict import suite_exit_code

    judgement = judge_closed(result.folder, result.measurements)
    if not cell.baseline:
        store_judgement(judgement)
    codes = [int(judgement.exit_code), *([EXIT_RIG] if result.outcome.cause == "rig" else [])]
    return _row(cell, judgement, int(suite_exit_code(codes)), elapsed_s)


def row_of_record(experiment: Scenario, cell: Cell, place: Path) -> RunRow | None:
    """Judge a record that a killed suite has closed but not noted; None if it must run again.

    A record of another policy, seed or scenario is none of this run, wherever it lies.
    """
    from ...evaluation.judge import judge, store_judgement

    try:
        judgement = judge(place)
    except RecordError:
        return None
    header = judgement.header
    if judgement.problems or header.status not in _FINISHED:
        return None
    if not _is_of(header, experiment, cell, place):
        return None
    if not cell.baseline:
        store_judgement(judgement)
    speed = header.speed_x_realtime or 0.0
    elapsed_s = header.duration_s / speed if speed else 0.0
    return _row(cell, judgement, int(judgement.exit_code), elapsed_s)


def _is_of(header: RecordHeader, experiment: Scenario, cell: Cell, place: Path) -> bool:
    """Return whether a record is that of a cell's run."""
    group = experiment.baselines if cell.baseline else experiment.policies
    (policy,) = (policy for policy in group if policy.label == cell.policy)
    return (
        header.seed == cell.seed
        and header.policy == plain({**policy.model_dump(mode="json"), "name": policy.label})
        and header.scenario_hash == content_hash(experiment.resolved())
        and bool(header.baselines) in _may_hold_baselines(experiment, cell, place)
    )


def _may_hold_baselines(experiment: Scenario, cell: Cell, place: Path) -> set[bool]:
    """Return whether the record of a run may hold what baselines have measured, and may not.

    A judged run holds it if there are any that completed; that of a baseline never does.
    """
    from ...evaluation.reading import read_header

    def completed(label: str) -> bool:
        try:
            header = read_header(place.with_name(f"baseline-{label}-seed{cell.seed}"))
        except RecordError:
            return False
        return header.status == "completed"

    if cell.baseline or not experiment.baselines:
        return {False}
    return {True} if any(completed(one.label) for one in experiment.baselines) else {True, False}


def _row(cell: Cell, judgement: Judgement, code: int, elapsed_s: float) -> RunRow:
    header, judged = judgement.header, not cell.baseline
    limits = (limit.as_dict() for limit in judgement.limits) if judged else ()
    return RunRow(
        cell,
        status=header.status,
        verdict=judgement.verdict.name if judged else None,
        exit_code=code if judged else None,
        reason=judgement.reason if judged else header.reason,
        limits=tuple(plain(limit) for limit in limits),
        measurements=plain(judgement.measurements),
        duration_s=header.duration_s,
        elapsed_s=round(elapsed_s, 4),
        trace_sha256=header.trace_sha256,
    )
