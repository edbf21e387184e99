"""Scenarios as tests: one run at a time, each made once in a session, whichever test asks for it.

What pytest's plugin runs. A session's records lie in one folder, which its processes share: a lock
beside each record keeps two of them from making it at the same time, and who comes later reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import sys
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..evaluation.judge import Judgement, judge, store_judgement
from ..evaluation.limits import LimitResult
from ..evaluation.metrics import measure
from ..evaluation.model import json_text
from ..evaluation.record import Record, read_record
from ..evaluation.report import report_input, write_report
from ..evaluation.streams import Stream
from ..evaluation.verdict import Verdict
from ..hil.bench import Bench, RunResult
from ..hil.selection import select_policies
from ..scenarios.library import locate
from ..scenarios.load import load_scenario
from .run import TRACEBACK, exit_code_of
from .setup import setup_of
from .show import judgement_lines

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig
    from ..scenarios.model import Scenario

_REPORT = "report.html"


class ScenarioTestError(Exception):
    """A scenario cannot be run as a test; its text says what is wrong and where."""


@dataclass(frozen=True)
class ScenarioRun:
    """A judged run.

    Attributes:
        scenario: the scenario's name.
        policy: the policy's label.
        seed: the run's.
        judgement: verdict, limits and measurements, as `wattbench judge` finds them.
        notes: what went wrong beside the run: baselines that ended early.

    """

    scenario: str
    policy: str
    seed: int
    judgement: Judgement
    notes: tuple[str, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """PASS, INCONCLUSIVE, FAIL, ABORTED or ERROR."""
        return self.judgement.verdict

    @property
    def passed(self) -> bool:
        """Whether the verdict is PASS."""
        return self.verdict is Verdict.PASS

    @property
    def reason(self) -> str:
        """Why the verdict is not PASS, in one line; empty for PASS."""
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
        page = self.folder / _REPORT
        return "\n".join([*lines, f"record: {page if page.exists() else self.folder}"])

    def __str__(self) -> str:
        return self.text()

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


class RunStore:
    """The runs of a session, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._benches: dict[str, Bench] = {}
        self._measured: dict[Path, Mapping[str, float] | None] = {}

    def run(self, scenario: Scenario, policy: PolicyConfig, seed: int) -> ScenarioRun:
        """Return the judged run of one of a scenario's policies on a seed, baselines before it.

        Raises:
            ScenarioTestError: the run cannot be made as the scenario wants it.
            KeyboardInterrupt: a signal ended it.

        """
        with _readable():
            folder = self._group(scenario)
            measured: dict[str, Mapping[str, float]] = {}
            notes = []
            for baseline in scenario.baselines:
                values = self._baseline(scenario, baseline, seed, folder)
                if values is None:
                    notes.append(f"baseline '{baseline.label}' did not complete")
                else:
                    measured[baseline.label] = values
            place = folder / f"{policy.label}-seed{seed}"
            with _lock(place):
                if not place.exists():
                    bench = self._bench(scenario, folder)
                    _checked(bench.run_one(policy, seed, folder, measured))
                judgement = _judged(place)
        return ScenarioRun(scenario.name, policy.label, seed, judgement, tuple(notes))

    def _baseline(
        self, scenario: Scenario, policy: PolicyConfig, seed: int, folder: Path
    ) -> Mapping[str, float] | None:
        """Return what a baseline measures on a seed; None if its run did not complete."""
        place = folder / f"baseline-{policy.label}-seed{seed}"
        if place not in self._measured:
            with _lock(place):
                if not place.exists():
                    bench = self._bench(scenario, folder)
                    _checked(bench.run_one(policy, seed, folder, {}, baseline=True))
                record = read_record(place)
            stored = record.stored_measurements.items()
            values = {key: math.nan if value is None else value for key, value in stored}
            self._measured[place] = values if record.header.status == "completed" else None
        return self._measured[place]

    def _group(self, scenario: Scenario) -> Path:
        """Return the folder of a scenario's runs: others of its name have one of their own."""
        same = scenario.model_copy(update={"seeds": ()}).hash()[:8]
        folder = self.folder / f"{scenario.name}-{same}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _bench(self, scenario: Scenario, folder: Path) -> Bench:
        """Return the scenario's bench, which keeps the profiles of the last seed."""
        if folder.name not in self._benches:
            setup = setup_of(scenario.rig, scenario)
            bench = Bench(scenario, self.folder, measure=measure, rig=setup)
            self._benches = {folder.name: bench}  # tests come scenario by scenario
        return self._benches[folder.name]

    def load(self, file: str | Path, overrides: Mapping[str, Any]) -> Scenario:
        """Load a scenario with keys put over it, as a file that `extends` it would.

        Args:
            file: its file, or its name in the library.
            overrides: what such a file would hold; paths in it are absolute.

        Raises:
            ScenarioTestError: file or overrides are not valid.

        """
        with _readable():
            path = locate(str(file))
            scenario = load_scenario(path)
            if not overrides:
                return scenario
            # Of the audit, which is no part of a run, names might be gone.
            keys = {"extends": str(path.resolve()), "name": scenario.name, "audit": None}
            text = json.dumps({**keys, **overrides}, indent=2, default=_plain)  # JSON is YAML
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            written = self.folder / f"overrides-{scenario.name}-{digest}.yaml"
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(text + "\n", encoding="utf-8")
            return load_scenario(written)


def chosen_policy(scenario: Scenario, name: str | None) -> tuple[Scenario, PolicyConfig]:
    """Return the policy that a name stands for, and the scenario in which it is judged.

    Args:
        scenario: whose policies and baselines can be named.
        name: as for ``wattbench run --policy``; None: the scenario's only policy.

    Raises:
        ScenarioTestError: there is none, or more than one.

    """
    if name is None:
        if len(scenario.policies) > 1:
            labels = ", ".join(policy.label for policy in scenario.policies)
            raise ScenarioTestError(
                f"scenario '{scenario.name}' has several policies; give policy=, one of: {labels}"
            )
        return scenario, scenario.policies[0]
    with _readable():
        (policy,) = select_policies([name], (*scenario.policies, *scenario.baselines))
    if policy in scenario.policies:
        return scenario, policy
    return scenario.model_copy(update={"policies": (policy,), "audit": None}), policy


def _plain(value: Any) -> str:
    """Return what JSON does not know as a text: a path, a time."""
    return str(value.resolve()) if isinstance(value, Path) else str(value)


def _checked(result: RunResult) -> None:
    """Pass a signal on; show where an error came from to who wants to know."""
    outcome = result.outcome
    if outcome.cause == "signal":
        raise KeyboardInterrupt(f"{outcome.reason}; record: {result.folder}")
    if outcome.error is not None and os.environ.get(TRACEBACK):
        traceback.print_exception(outcome.error, file=sys.stderr)


def _judged(place: Path) -> Judgement:
    """Judge a record and write that into it; a page too where there is something to look into."""
    judgement = judge(place)
    store_judgement(judgement)
    page = place / _REPORT
    if judgement.verdict is not Verdict.PASS and not page.exists():
        write_report(page, report_input(judgement))
    return judgement


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Turn every error that a user can mend into one that says only that."""
    try:
        yield
    except Exception as problem:
        if isinstance(problem, ScenarioTestError) or exit_code_of(problem) is None:
            raise
        raise ScenarioTestError(str(problem)) from problem


@contextlib.contextmanager
def _lock(place: Path) -> Iterator[None]:
    """Hold the lock of a record; it is free again when its process ends, however that ends."""
    with place.with_name(f".{place.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
