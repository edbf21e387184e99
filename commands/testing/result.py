"""What a test is told of a run, and what it reports."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from ...evaluation.judge import Judgement
from ...evaluation.limits import LimitResult
from ...evaluation.model import json_text
from ...evaluation.record import Record, read_record
from ...evaluation.streams import Stream
from ...evaluation.verdict import Verdict
from ..show import judgement_lines

#: Page of a record.
REPORT: Final = "report.html"


@dataclass(frozen=True, repr=False)
class ScenarioRun:
    """A judged run.

    Attributes:
        scenario: the scenario's name.
        policy: the policy's label.
        seed: the run's.
        judgement: verdict, limits and measurements, as `wattbench judge` finds them.
        notes: what went wrong beside the run: baselines that ended early.
        of_baselines: the worst of what these make of it; PASS if all completed.

    """

    scenario: str
    policy: str
    seed: int
    judgement: Judgement
    notes: tuple[str, ...] = ()
    of_baselines: Verdict = Verdict.PASS

    @property
    def verdict(self) -> Verdict:
        """PASS, INCONCLUSIVE, FAIL, ABORTED or ERROR; a baseline that broke counts."""
        return max(self.judgement.verdict, self.of_baselines)

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    @property
    def reason(self) -> str:
        """Why the verdict is not PASS, in one line; empty for PASS."""
        if self.verdict is not self.judgement.verdict:
            return self.notes[0]
        return self.judgement.reason

    @property
    def limits(self) -> tuple[LimitResult, ...]:
        """Every limit of the scenario, judged, in its order."""
        return self.judgement.limits

    @property
    def folder(self) -> Path:
        """The record."""
        return self.judgement.folder

    @cached_property
    def measurements(self) -> dict[str, float]:
        """What was measured, by metric: ``export_energy``, and with its version."""
        by_id = self.judgement.measurements
        # The newest version of a metric comes last and has its plain name.
        return {key.partition("@")[0]: by_id[key] for key in sorted(by_id)} | dict(by_id)

    @cached_property
    def record(self) -> Record:
        """The record, read: header, events, streams."""
        return read_record(self.folder)

    def stream(self, name: str) -> Stream:
        """Return a stream: ``truth``, ``readings`` or ``commands``; columns by name of the point.

        Raises:
            MissingColumnError: the record has no such stream.

        """
        return self.record.stream(name)

    def text(self) -> str:
        """Return who was judged, the verdict, every limit, and where the record is."""
        _, *rest = judgement_lines(self.judgement)
        reason = f": {self.reason}" if self.reason else ""
        who = f"{self.scenario} · {self.policy} · seed {self.seed}"
        lines = [f"{self.verdict.name}{reason}  ({who})", *rest]
        if self.verdict is Verdict.INCONCLUSIVE:
            lines.append("INCONCLUSIVE fails a test: neither passing nor failing was shown")
        safe = self.judgement.header.safe_state
        if safe.confirmed is not None:
            lines.append(f"safe state: {safe.note}")
        lines += self.notes
        page = self.folder / REPORT
        return "\n".join([*lines, f"record: {page if page.exists() else self.folder}"])

    def __repr__(self) -> str:
        who = f"{self.scenario} · {self.policy} · seed {self.seed}"
        return f"<{who}: {self.verdict.name}{f': {self.reason}' if self.reason else ''}>"

    def properties(self) -> list[tuple[str, str]]:
        """Return what a test reports: identity, verdict and, one each, the limits."""
        header = self.judgement.header
        found = [
            ("scenario", self.scenario),
            ("policy", self.policy),
            ("seed", str(self.seed)),
            ("verdict", self.verdict.name),
            ("scenario_hash", header.scenario_hash),
            ("trace_sha256", header.trace_sha256 or ""),
            ("record", str(self.folder)),
        ]
        return found + [limit_property(result) for result in self.limits]


def limit_property(result: LimitResult) -> tuple[str, str]:
    """Return a limit as a property: its text, and metric, value, bound, unit, verdict as JSON."""
    value = {
        "metric": result.limit.metric,
        "measured": result.measured,
        "bound": result.bound,
        "unit": result.unit,
        "verdict": result.word,
    }
    return f"limit: {result.limit.text()}", json_text(value, indent=None)
