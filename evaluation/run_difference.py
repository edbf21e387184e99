"""Two runs, or a run and a golden trace: measurements, verdicts, and where the traces part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .divergence import Divergence, Tolerance, find_divergence, trace_of
from .files import DamagedError
from .golden import Golden, differs, hold_against
from .identity import identity_of, scenario_keys, unlike
from .judge import Judgement, judge_record
from .metrics import METRICS
from .reading import Record, read_record
from .regression import Allowances, Change, changes, got_worse
from .units import format_quantity


@dataclass(frozen=True)
class Side:
    """One of two runs, or a golden trace."""

    place: str
    policy: str
    verdict: str | None
    measurements: Mapping[str, float | None]


@dataclass(frozen=True)
class RunComparison:
    """What came of comparing two runs.

    Attributes:
        a: the run before.
        b: the run after.
        unlike: in what they differ beforehand.
        changes: of every metric.
        divergence: of their traces.
        golden: whether the first is a golden trace, which the second must not leave.
        every: one row of so many was compared.

    """

    a: Side
    b: Side
    unlike: tuple[str, ...]
    changes: tuple[Change, ...]
    divergence: Divergence
    golden: bool = False
    every: int = 1

    @property
    def regressions(self) -> list[str]:
        """What makes the exit code 1, a line each."""
        found = []
        if self.golden and differs(self.divergence):
            found.append("the trace is not the golden one")
        if got_worse(self.a.verdict, self.b.verdict):
            found.append(f"verdict: {self.a.verdict} became {self.b.verdict}")
        for change in self.changes:
            if change.regression and change.b is None:
                found.append(f"{change.metric}: no value in B")
            elif change.regression:
                unit = METRICS[change.metric].unit
                worse, allowed = (
                    format_quantity(value, unit) for value in (change.worse_by, change.allowed)
                )
                found.append(f"{change.metric}: worse by {worse}, allowed: {allowed}")
        return found


def compare_runs(a: Path, b: Path, tolerance: Tolerance, allowances: Allowances) -> RunComparison:
    """Compare two recorded runs.

    Raises:
        DamagedError: a record is not as it was written.
        RecordError: a folder is no record, or cannot be read.

    """
    one, other = (read_record(folder) for folder in (a, b))
    before, after = (side_of(judged(record)) for record in (one, other))
    keys = scenario_keys(one.header, other.header)
    return RunComparison(
        before,
        after,
        unlike(identity_of(one.header), identity_of(other.header), keys),
        changes(before.measurements, after.measurements, allowances),
        find_divergence(trace_of(one), trace_of(other), tolerance),
    )


def compare_with_golden(
    golden: Golden, run: Path, tolerance: Tolerance, allowances: Allowances
) -> RunComparison:
    """Hold a recorded run against a golden trace.

    Raises:
        DamagedError: the record is not as it was written.
        RecordError: a file of either cannot be read.

    """
    record = read_record(run)
    side = side_of(judged(record))
    return RunComparison(
        Side(str(golden.folder), golden.identity.policy, golden.verdict, golden.measurements),
        side,
        unlike(golden.identity, identity_of(record.header)),
        changes(golden.measurements, side.measurements, allowances),
        hold_against(golden, record, tolerance),
        golden=True,
        every=golden.trace.every,
    )


def judged(record: Record) -> Judgement:
    """Judge a record.

    Raises:
        DamagedError: it is not as it was written.

    """
    judgement = judge_record(record)
    if judgement.problems:
        lines = (f"{record.folder}: {problem}" for problem in judgement.problems)
        raise DamagedError("\n".join(lines))
    return judgement


def side_of(judgement: Judgement) -> Side:
    """Return what is compared of a judged record."""
    header = judgement.header
    return Side(
        str(judgement.folder), header.policy_name, judgement.verdict.name, judgement.measurements
    )
