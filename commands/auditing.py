"""The audit: does a scenario tell a good policy from a bad one?

A scenario is worth something only if bad policies fail in it and a good one passes. So every
policy that the scenario's `audit:` names, and every degenerate one, runs on several seeds:

- the *passing* policy passes at least nine of ten seeds;
- every degenerate policy fails on every seed tried;
- in a *discriminating* scenario the limits hold a floor under comfort, and the passing policy
  lowers the objective of doing nothing by 20 %;
- in a *robustness* scenario each *broken* policy fails on at least nine of ten seeds.

A policy's objective is an upper bound of the best possible one, so what it wins can be won.
"""

from __future__ import annotations

import contextlib
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from .pool import workers

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig
    from ..hil.bench import RunResult
    from ..scenarios.model import Audit, Scenario

Role = Literal["degenerate", "passing", "broken", "other"]

#: Policies that no scenario may reward, with their default parameters.
DEGENERATE: Final = ("zero", "always_on", "frozen", "random", "dither", "crash_early")
#: On how many seeds, from 1 on, policies are tried that are not the passing or a broken one.
FEW_SEEDS: Final = 3
#: Part of the seeds on which the passing policy passes, or a broken one fails.
ENOUGH: Final = 0.9
#: By how much the passing policy must improve the objective of `zero`.
LEAST_WIN: Final = 0.2

_FLOORS = ("unserved_energy", "delivered_heat")
_OBJECTIVE, _EXPORT = "objective@1", "export_energy@1"


class AuditError(Exception):
    """A scenario cannot be audited; one line says why."""


@dataclass(frozen=True, slots=True)
class AuditedRun:
    """What is kept of one run."""

    policy: str
    role: Role
    seed: int
    passed: bool
    failed: bool
    """Not the opposite of `passed`: a run can be inconclusive."""
    objective_wh: float
    export_wh: float
    failed_limits: tuple[str, ...]
    """Metrics whose limits were not kept, or how the run ended if it did not complete."""


@dataclass(slots=True)
class Tally:
    """All runs of one policy in one scenario."""

    policy: str
    role: Role
    runs: list[AuditedRun] = field(default_factory=list)

    @property
    def passed(self) -> int:
        """On how many seeds it passed."""
        return sum(run.passed for run in self.runs)

    @property
    def failed(self) -> int:
        """On how many seeds it failed."""
        return sum(run.failed for run in self.runs)

    def mean(self, quantity: str) -> float:
        """Return the mean of `objective_wh` or `export_wh` over the seeds that have a value."""
        values = [getattr(run, quantity) for run in self.runs]
        known = [value for value in values if math.isfinite(value)]
        return sum(known) / len(known) if known else math.nan

    def failed_limits(self) -> dict[str, int]:
        """Return how often each limit was not kept, the most frequent first."""
        names = [name for run in self.runs for name in run.failed_limits]
        counts = {name: names.count(name) for name in names}
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a scenario is held to."""

    holds: bool
    text: str


@dataclass(frozen=True, slots=True)
class ScenarioAudit:
    """What came of one scenario."""

    name: str
    kind: str
    tallies: tuple[Tally, ...]
    findings: tuple[Finding, ...]

    @property
    def holds(self) -> bool:
        """Whether the scenario is what it says it is."""
        return all(finding.holds for finding in self.findings)


def audit(
    files: Sequence[Path],
    *,
    seeds: int | None = None,
    jobs: int = 2,
    out: Path | None = None,
    on_audit: Callable[[ScenarioAudit], None] = lambda result: None,
) -> list[ScenarioAudit]:
    """Audit scenarios, one run after the other in each of ``jobs`` processes.

    Args:
        files: the scenarios' files.
        seeds: how many seeds are tried, from 1 on; default: what each scenario says.
        jobs: processes; 1 runs everything in this one.
        out: where the records are kept, in a folder a seed; default: nowhere.
        on_audit: told of each scenario as soon as its runs are done, in the order given.

    Raises:
        AuditError: a scenario has no `audit:`, or a run ended for a reason that is not its
            policy's.
        ScenarioErrors: a scenario is invalid.
    """
    from ..scenarios.load import load_scenario

    plans = []
    for file in files:
        scenario = load_scenario(file)
        wanted = _audit_of(scenario)
        _roles(scenario)  # complains before anything runs
        plans.append((file, scenario, wanted.seeds if seeds is None else seeds))
    results = []
    with _records(out) as folder, workers(jobs) as submit:
        submitted = [
            (
                scenario,
                count,
                [submit(run_seed, file, seed, folder) for seed in range(1, count + 1)],
            )
            for file, scenario, count in plans
        ]
        for scenario, count, parts in submitted:
            runs = [run for part in parts for run in part.result()]
            result = _scenario_audit(scenario, runs, count)
            results.append(result)
            on_audit(result)
    return results


def _audit_of(scenario: Scenario) -> Audit:
    if scenario.audit is None:
        raise AuditError(f"scenario '{scenario.name}' has no 'audit:' that says who must pass")
    return scenario.audit


def _roles(scenario: Scenario) -> dict[str, tuple[PolicyConfig, Role]]:
    """Return who runs, by name; a scenario's other policies run for comparison."""
    from ..agents.policy import POLICIES

    wanted = _audit_of(scenario)
    roles: dict[str, tuple[PolicyConfig, Role]] = {
        kind: (POLICIES[kind].config(), "degenerate") for kind in DEGENERATE
    }
    for policy in (*scenario.policies, *scenario.baselines):
        name = policy.label
        if name in DEGENERATE and roles[name][0] != policy:
            raise AuditError(
                f"scenario '{scenario.name}': '{name}' is the name of a degenerate policy with its "
                "default parameters; give the scenario's own one another name"
            )
        if name == wanted.passing:
            roles[name] = policy, "passing"
        elif name in wanted.broken:
            roles[name] = policy, "broken"
        elif name not in roles:
            roles[name] = policy, "other"
    return roles


def run_seed(file: Path, seed: int, folder: Path) -> list[AuditedRun]:
    """Run every policy of a scenario's audit that takes part in ``seed``.

    Its records go to a folder of their own under ``folder`` and are removed by who made that.
    """
    from ..evaluation.judge import judge
    from ..evaluation.metrics import measure
    from ..hil.bench import Bench
    from ..scenarios.load import load_scenario

    scenario = load_scenario(file)
    roles = {
        name: (policy, role)
        for name, (policy, role) in _roles(scenario).items()
        if role in {"passing", "broken"} or seed <= FEW_SEEDS
    }
    compared = {limit.vs for limit in scenario.limits} | {"zero"}
    part = scenario.model_copy(
        update={
            "policies": tuple(policy for policy, _ in roles.values()),
            "baselines": tuple(b for b in scenario.baselines if b.label in compared),
            "seeds": (seed,),
        }
    )
    runs: list[AuditedRun] = []

    def finish(result: RunResult) -> None:
        _complain(scenario.name, result)
        if not result.baseline:
            role = roles[result.policy][1]
            runs.append(_audited(result, role, judge(result.folder)))

    Bench(part, folder / f"seed{seed}", measure=measure, on_result=finish).run()
    return runs


def _complain(scenario: str, result: RunResult) -> None:
    """Raise if a run ended for a reason that says nothing about its policy."""
    outcome = result.outcome
    if outcome.cause == "signal":
        raise KeyboardInterrupt(outcome.reason)
    if outcome.cause not in {"", "policy"}:
        where = f"scenario '{scenario}', policy '{result.policy}', seed {result.seed}"
        raise AuditError(f"{where}: the run ended early: {outcome.reason}")


def _audited(result: RunResult, role: Role, judgement: Any) -> AuditedRun:
    from ..evaluation.verdict import Verdict

    measured = judgement.measurements
    completed = result.outcome.status == "completed"
    if completed:
        bad = [
            r.limit.entry.name for r in judgement.limits if r.verdict not in {None, Verdict.PASS}
        ]
    else:
        bad = [f"run: {result.outcome.status}"]
    return AuditedRun(
        result.policy,
        role,
        result.seed,
        judgement.verdict is Verdict.PASS,
        judgement.verdict >= Verdict.FAIL,
        # half a run's energy compares with nothing
        measured.get(_OBJECTIVE, math.nan) if completed else math.nan,
        measured.get(_EXPORT, math.nan) if completed else math.nan,
        tuple(dict.fromkeys(bad)),
    )


def _scenario_audit(scenario: Scenario, runs: Sequence[AuditedRun], seeds: int) -> ScenarioAudit:
    tallies = {name: Tally(name, role) for name, (_, role) in _roles(scenario).items()}
    for run in runs:
        tallies[run.policy].runs.append(run)
    findings = list(_findings(scenario, tallies, math.ceil(ENOUGH * seeds)))
    return ScenarioAudit(scenario.name, scenario.kind, tuple(tallies.values()), tuple(findings))


def _findings(scenario: Scenario, tallies: dict[str, Tally], enough: int) -> Iterator[Finding]:
    """Yield what the scenario is held to; ``enough`` is the least number of seeds."""
    passing = next(tally for tally in tallies.values() if tally.role == "passing")
    yield Finding(
        passing.passed >= enough,
        f"{passing.policy} passes {passing.passed} of {len(passing.runs)} seeds "
        f"(at least {enough})",
    )
    for tally in tallies.values():
        if tally.role == "broken":
            yield Finding(
                tally.failed >= enough,
                f"{tally.policy} fails {tally.failed} of {len(tally.runs)} seeds "
                f"(at least {enough})",
            )
    lucky = [
        f"{tally.policy} (seed {', '.join(str(run.seed) for run in tally.runs if not run.failed)})"
        for tally in tallies.values()
        if tally.role == "degenerate" and tally.failed < len(tally.runs)
    ]
    yield Finding(
        not lucky,
        f"these do not fail: {', '.join(lucky)}" if lucky else "every degenerate policy fails",
    )
    if scenario.kind != "discriminating":
        return
    floors = [limit for limit in scenario.limits if limit.entry.name in _FLOORS]
    held = any(limit.upper == (limit.entry.name == "unserved_energy") for limit in floors)
    word = "the limits hold" if held else "no limit holds"
    yield Finding(held, f"{word} a floor under comfort ({' or '.join(_FLOORS)})")
    yield _win(passing, tallies["zero"])


def _win(passing: Tally, zero: Tally) -> Finding:
    """Compare objectives on the seeds that both ran."""
    of_zero = {run.seed: run.objective_wh for run in zero.runs}
    pairs = [(run.objective_wh, of_zero[run.seed]) for run in passing.runs if run.seed in of_zero]
    before = sum(pair[1] for pair in pairs)
    share = 1.0 - sum(pair[0] for pair in pairs) / before if before > 0 else math.nan
    return Finding(
        share >= LEAST_WIN,
        f"{passing.policy} improves J of zero by {100 * share:.0f} % "
        f"(at least {100 * LEAST_WIN:.0f} %)",
    )


@contextlib.contextmanager
def _records(out: Path | None) -> Iterator[Path]:
    """Yield where records go; without ``out`` a folder that is removed in the end."""
    if out is not None:
        yield out
        return
    folder = Path(tempfile.mkdtemp(prefix="wattbench-audit-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
