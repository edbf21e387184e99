"""A suite in a test session: its runs one by one, and what they show together."""

from __future__ import annotations

import fcntl
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...evaluation.model import json_text
from ...evaluation.suite.judge import judge_suite
from ...evaluation.suite.judgement import IntervalLimitResult, SuiteJudgement
from ...evaluation.suite.results import RESULTS_FILE, append_row, hash_of
from ...evaluation.suite.text import shown, shown_interval
from ...evaluation.verdict import Verdict
from ...scenarios.suite import Stratum, Suite
from ..suite.folder import begin
from ..suite.plan import identity, units
from ..suite.rows import row_of_record
from .store import RunStore, ScenarioTestError, readable


@dataclass(frozen=True)
class IntervalFound:
    """An interval limit, judged, and where the suite's runs are."""

    result: IntervalLimitResult
    folder: Path

    def properties(self) -> list[tuple[str, str]]:
        """Return the limit as a property: its text, and what was found as JSON."""
        result = self.result
        value = {
            "metric": result.metric,
            "measured": result.interval.estimate,
            "low": result.interval.low,
            "high": result.interval.high,
            "bound": result.bound,
            "unit": result.unit,
            "verdict": result.verdict.name,
        }
        about = [("policy", result.policy), ("suite", str(self.folder))]
        return [*about, (f"limit: {result.text}", json_text(value, indent=None))]

    def text(self) -> str:
        """Return verdict, interval and bound."""
        result = self.result
        reason = f": {result.reason}" if result.reason else ""
        lines = [
            f"{result.verdict.name}: {result.text}, {result.policy}{reason}",
            f"  measured {shown_interval(result.interval, result.unit)}, "
            f"bound {shown(result.bound, result.unit)}",
        ]
        if result.verdict is Verdict.INCONCLUSIVE:
            lines.append("INCONCLUSIVE fails a test: neither passing nor failing was shown")
        return "\n".join([*lines, f"suite: {self.folder}"])


class SuiteRun:
    """A suite's runs, in a folder like that of ``wattbench suite``."""

    def __init__(self, suite: Suite, store: RunStore) -> None:
        self.suite = suite
        self.store = store
        self.folder = store.folder / f"{suite.name}-{hash_of(suite.resolved())[:8]}"

    def group(self, stratum: Stratum) -> Path:
        """Return where the runs of a scenario and variant lie."""
        return self.folder / "runs" / stratum.name

    def interval(self, policy: str, text: str) -> IntervalFound:
        """Return an interval limit, judged for a policy; makes the runs that are lacking.

        Raises:
            ScenarioTestError: a run cannot be made.
            KeyboardInterrupt: a signal ended it.

        """
        for result in self._judgement.interval_limits:
            if (result.policy, result.text) == (policy, text):
                return IntervalFound(result, self.folder)
        problems = "; ".join(self._judgement.problems)
        raise ScenarioTestError(f"{self.folder}: '{text}' was not judged: {problems}")

    @cached_property
    def _judgement(self) -> SuiteJudgement:
        for stratum in self.suite.strata:
            for seed in self.suite.config.seeds:
                for policy in stratum.experiment.policies:
                    group = self.group(stratum)
                    if not (group / f"{policy.label}-seed{seed}").exists():
                        self.store.run(stratum.experiment, policy, seed, group)
        planned = units(self.suite)
        with readable(), (self.folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (self.folder / RESULTS_FILE).exists():
                said = identity(self.suite, planned)
                begin(self.folder, said)
                for unit, cell in ((one, cell) for one in planned for cell in one.cells):
                    row = row_of_record(unit.experiment, cell, self.folder / cell.folder)
                    if row is not None:
                        append_row(self.folder, row, said.suite_hash)
            return judge_suite(self.folder)
