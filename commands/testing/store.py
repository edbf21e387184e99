"""The runs of a test session: each is made once, whichever test asks for it.

They lie in one folder, which the session's processes share. A lock beside a record keeps two of
them from making it at the same time; who comes later reads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...evaluation.judge import Judgement, judge, store_judgement
from ...evaluation.metrics import measure
from ...evaluation.reading import read_header
from ...evaluation.record import read_record
from ...evaluation.report import report_input, write_report
from ...evaluation.verdict import Verdict
from ...hil.bench import Bench
from ...scenarios.library import locate
from ...scenarios.load import load_scenario
from ..policies import named_policies
from ..run import exit_code_of, wants_traceback
from ..setup import setup_of
from .result import REPORT, ScenarioRun

if TYPE_CHECKING:
    from ...agents.policy import PolicyConfig
    from ...scenarios.model import Scenario

Measured = Mapping[str, float]

#: What a baseline that ended so makes of a run's verdict; however else it ended early: ABORTED.
_OF_STATUS: Final = {"error": Verdict.ERROR}


class ScenarioTestError(Exception):
    """A scenario cannot be run as a test; its text says what is wrong and where."""


@contextlib.contextmanager
def readable() -> Iterator[None]:
    """Turn every error that a user can mend into a `ScenarioTestError` with its text."""
    try:
        yield
    except Exception as problem:
        if isinstance(problem, ScenarioTestError) or exit_code_of(problem) is None:
            raise
        raise ScenarioTestError(str(problem)) from None


class RunStore:
    """The runs of a session, in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._bench: tuple[Path, Bench] | None = None
        self._measured: dict[Path, Measured | None] = {}

    def group(self, scenario: Scenario) -> Path:
        """Return where a scenario's runs lie: others of its name have a folder of their own."""
        same = scenario.model_copy(update={"seeds": ()}).hash()[:8]
        return self.folder / f"{scenario.name}-{same}"

    def run(
        self, scenario: Scenario, policy: PolicyConfig, seed: int, group: Path | None = None
    ) -> ScenarioRun:
        """Return the judged run of one of a scenario's policies on a seed, baselines before it.

        Args:
            scenario: which.
            policy: one of its policies.
            seed: any.
            group: folder of the scenario's runs; None: the scenario's own.

        Raises:
            ScenarioTestError: the run cannot be made as the scenario wants it.
            KeyboardInterrupt: a signal ended it.

        """
        with readable():
            folder = self.group(scenario) if group is None else group
            folder.mkdir(parents=True, exist_ok=True)
            baselines = {
                (baseline.label, True): self._baseline(scenario, baseline.label, seed, folder)
                for baseline in scenario.baselines
            }
            place = folder / f"{policy.label}-seed{seed}"
            with _lock(place):
                if not place.exists():
                    self._make(scenario, (policy.label, False), seed, folder, baselines)
                judgement = _judged(place)
            broken = [label for (label, _), values in baselines.items() if values is None]
            places = [folder / f"baseline-{label}-seed{seed}" for label in broken]
            ends = [read_header(place).status for place in places]
        notes = tuple(
            f"baseline '{label}' did not complete: see {place}"
            for label, place in zip(broken, places, strict=True)
        )
        worst = max((_OF_STATUS.get(end, Verdict.ABORTED) for end in ends), default=Verdict.PASS)
        return ScenarioRun(scenario.name, policy.label, seed, judgement, notes, worst)

    def _baseline(self, scenario: Scenario, label: str, seed: int, folder: Path) -> Measured | None:
        """Return what a baseline measures on a seed; None if its run did not complete."""
        place = folder / f"baseline-{label}-seed{seed}"
        if place not in self._measured:
            with _lock(place):
                if not place.exists():
                    self._make(scenario, (label, True), seed, folder, {})
            record = read_record(place)
            stored = record.stored_measurements.items()
            values = {key: math.nan if value is None else value for key, value in stored}
            self._measured[place] = values if record.header.status == "completed" else None
        return self._measured[place]

    def _make(
        self,
        scenario: Scenario,
        wanted: tuple[str, bool],
        seed: int,
        folder: Path,
        baselines: Mapping[tuple[str, bool], Measured | None],
    ) -> None:
        """Make the run of one policy (label and whether it is a baseline)."""
        others = {(policy.label, False): None for policy in scenario.policies}
        others |= {(policy.label, True): None for policy in scenario.baselines}
        finished = {key: baselines.get(key) for key in others if key != wanted}
        if self._bench is None or self._bench[0] != folder:
            rig = setup_of(scenario.rig, scenario)
            self._bench = folder, Bench(scenario, folder, measure=measure, rig=rig)
        (result,) = self._bench[1].run_seed(seed, folder, finished)
        outcome = result.outcome
        if outcome.cause == "signal":
            raise KeyboardInterrupt(f"{outcome.reason}; record: {result.folder}")
        if outcome.error is not None and wants_traceback():
            traceback.print_exception(outcome.error, file=sys.stderr)

    def load(self, file: str | Path, overrides: Mapping[str, Any]) -> Scenario:
        """Load a scenario with keys put over it, as a file that `extends` it would.

        Args:
            file: its file, or its name in the library.
            overrides: what such a file would hold.

        Raises:
            ScenarioTestError: file or overrides are not valid.

        """
        with readable():
            path = locate(str(file))
            scenario = load_scenario(path)
            if not overrides:
                return scenario
            # Names in the audit, which is no part of a run, might be gone.
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
    with readable():
        (policy,) = named_policies([name], (*scenario.policies, *scenario.baselines))
    if policy in scenario.policies:
        return scenario, policy
    return scenario.model_copy(update={"policies": (policy,), "audit": None}), policy


def _plain(value: Any) -> str:
    """Return what JSON does not know as a text: a path, a time."""
    return str(value.resolve() if isinstance(value, Path) else value)


def _judged(place: Path) -> Judgement:
    """Judge a record and write that into it; a page too where there is something to look into."""
    judgement = judge(place)
    store_judgement(judgement)
    page = place / REPORT
    if judgement.verdict is not Verdict.PASS and not page.exists():
        write_report(page, report_input(judgement))
    return judgement


@contextlib.contextmanager
def _lock(place: Path) -> Iterator[None]:
    """Hold the lock of a record; it is free again when its process ends, however that ends."""
    with place.with_name(f".{place.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
