"""Which runs a suite consists of, in a fixed order, and what makes it the same suite again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...evaluation.suite.results import Cell, SuiteIdentity, hash_of

if TYPE_CHECKING:
    from ...scenarios.model import Scenario
    from ...scenarios.suite import Stratum, Suite


@dataclass(frozen=True, slots=True)
class Unit:
    """All runs of one stratum on one seed: they share profiles, and policies their baselines."""

    experiment: Scenario
    seed: int
    cells: tuple[Cell, ...]

    @property
    def stratum(self) -> str:
        """Scenario and variant."""
        return self.cells[0].stratum


def units(suite: Suite) -> tuple[Unit, ...]:
    """Return what is to be run: stratum by stratum, seed by seed; in each the baselines first."""
    return tuple(
        Unit(stratum.experiment, seed, tuple(_cells(stratum, seed)))
        for stratum in suite.strata
        for seed in suite.config.seeds
    )


def _cells(stratum: Stratum, seed: int) -> Iterable[Cell]:
    experiment = stratum.experiment
    for policies, baseline in ((experiment.baselines, True), (experiment.policies, False)):
        for policy in policies:
            yield Cell(stratum.scenario, stratum.variant, policy.label, seed, baseline)


def identity(suite: Suite, planned: Sequence[Unit]) -> SuiteIdentity:
    """Return what `suite.json` says."""
    from ... import __version__
    from ...hil import identity as here

    resolved = suite.resolved()
    return SuiteIdentity(
        name=suite.name,
        title=suite.config.title,
        suite=resolved,
        suite_hash=hash_of(resolved),
        plan=tuple(cell for unit in planned for cell in unit.cells),
        wattbench_version=__version__,
        git_revision=here.git_revision(),
        packages=here.packages(),
        machine=here.machine(),
    )


def differences(before: SuiteIdentity, now: SuiteIdentity) -> list[str]:
    """Say what makes runs of one suite no runs of the other; empty if nothing does."""
    found = []
    if before.suite_hash != now.suite_hash:
        found += _changes(before, now) or ["the suite's scenarios or limits"]
    if before.wattbench_version != now.wattbench_version:
        found.append(f"wattbench {before.wattbench_version} is {now.wattbench_version} now")
    if before.git_revision != now.git_revision:
        found.append(f"revision {before.git_revision} is {now.git_revision} now")
    for name in sorted(before.packages.keys() | now.packages.keys()):
        versions = before.packages.get(name, "missing"), now.packages.get(name, "missing")
        if versions[0] != versions[1]:
            found.append(f"{name} {versions[0]} is {versions[1]} now")
    return found


def _changes(before: SuiteIdentity, now: SuiteIdentity) -> list[str]:
    """Say which parts of a suite differ."""
    old, new = _strata(before), _strata(now)
    both = [(name, old[name], new[name]) for name in old if name in new]
    changed = list(dict.fromkeys(text for _, a, b in both for text in _of_labels(a, b)))
    changed += [
        f"scenario '{name}'"
        for name, a, b in both
        if a["hash"] != b["hash"] and not any(_of_labels(a, b))
    ]
    changed += [f"scenario '{name}' is gone" for name in old if name not in new]
    changed += [f"scenario '{name}' is new" for name in new if name not in old]
    rest = ("seeds", "interval_limits")
    changed += [key for key in rest if _plain(before, key) != _plain(now, key)]
    if changed[4:]:
        changed[3:] = [f"{len(changed) - 3} more"]
    return changed


def _strata(one: SuiteIdentity) -> dict[str, Mapping[str, Any]]:
    """Return what a suite says of its strata, by their names."""
    found = {}
    for stratum in one.suite.get("strata", ()):
        cell = Cell(stratum["scenario"], stratum["variant"], "", 0, baseline=False)
        found[cell.stratum] = stratum
    return found


def _of_labels(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield which policies or baselines of a stratum are others."""
    for key in ("policies", "baselines"):
        if list(before[key]) != list(now[key]):
            was, are = (", ".join(one[key]) or "none" for one in (before, now))
            yield f"{key} ({was}; now {are})"


def _plain(one: SuiteIdentity, key: str) -> object:
    """Return a part of a resolved suite as it is after it was written as JSON."""
    from ...evaluation.model import json_text

    return json_text(one.suite.get(key))


def with_choices(suite: Suite, policies: Sequence[str], seeds: Collection[int]) -> Suite:
    """Return the suite with what the command line says in place of its policies and seeds.

    Raises:
        UnknownPolicyError: a name is no policy.
        ScenarioErrors: a parameter file is not valid.
    """
    from ..policies import named_policies

    changes: dict[str, object] = {}
    if seeds:
        changes["seeds"] = tuple(dict.fromkeys(seeds))
    strata = []
    for stratum in suite.strata:
        experiment = stratum.experiment
        mine = dict(changes)
        if policies:
            own = (*experiment.policies, *experiment.baselines)
            mine["policies"] = named_policies(policies, own)
        strata.append(replace(stratum, experiment=experiment.model_copy(update=mine)))
    if policies:  # the file's are not run; each stratum says its own
        changes["policies"] = ()
    config = suite.config.model_copy(update=changes)
    return replace(suite, config=config, strata=tuple(strata))
