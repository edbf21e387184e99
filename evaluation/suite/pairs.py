"""Runs of a suite by policy, scenario and seed, and which of them make a pair."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..statistics import Samples
from .results import Cell, RunRow


@dataclass(frozen=True, slots=True)
class Paired:
    """Values of a policy and of a baseline, seed by seed.

    Attributes:
        policy: by stratum, the policy's values on all seeds of the suite, in order; NaN where
            there is no pair.
        baseline: the baseline's on the same seeds; the policy's own without a baseline.
        unfinished: planned pairs that are not in it: a run is missing or did not complete.
        valueless: pairs of completed runs that are not in it: a run has no value of the metric.
        unplanned: strata in which the baseline is not planned.
        copies: strata that are not in it, as all their runs repeat those of another byte for byte:
            they are the same evidence under another name.

    """

    policy: Samples
    baseline: Samples
    unfinished: int
    valueless: int
    unplanned: tuple[str, ...]
    copies: tuple[str, ...] = ()

    @property
    def left_out(self) -> int:
        """Planned pairs that are not in it."""
        return self.unfinished + self.valueless

    @property
    def pairs(self) -> int:
        """Pairs in it."""
        return sum(int(np.count_nonzero(~np.isnan(v))) for v in self.policy.values())

    @property
    def without_pairs(self) -> tuple[str, ...]:
        """Strata that have none."""
        return tuple(key for key, values in self.policy.items() if np.isnan(values).all())

    @property
    def differences(self) -> Samples:
        """The policy's values less the baseline's."""
        return {key: values - self.baseline[key] for key, values in self.policy.items()}


class SuiteRuns:
    """The finished runs of a plan."""

    def __init__(self, plan: Iterable[Cell], rows: Iterable[RunRow]) -> None:
        """Sort them; ``rows`` are of cells of the plan, each at most once."""
        self._seeds: dict[str, dict[str, list[int]]] = {}
        self._planned_baselines: dict[str, dict[str, list[int]]] = {}
        for cell in plan:
            group = self._planned_baselines if cell.baseline else self._seeds
            group.setdefault(cell.policy, {}).setdefault(cell.stratum, []).append(cell.seed)
        self._rows = {
            (row.cell.baseline, row.cell.policy, row.cell.stratum, row.cell.seed): row
            for row in rows
        }

    @property
    def policies(self) -> tuple[str, ...]:
        """Labels of the judged policies, in the plan's order."""
        return tuple(self._seeds)

    @property
    def baselines(self) -> tuple[str, ...]:
        """Labels of the baselines, in the plan's order."""
        return tuple(self._planned_baselines)

    def of_policy(self, policy: str) -> list[RunRow]:
        """Return the finished runs of a judged policy, by stratum and seed."""
        found = (
            self._rows.get((False, policy, stratum, seed))
            for stratum, seeds in self._seeds[policy].items()
            for seed in sorted(seeds)
        )
        return [row for row in found if row is not None]

    def beside(self, row: RunRow, baseline: str) -> RunRow | None:
        """Return the baseline's run on the same scenario and seed; None if there is none."""
        where = self._baseline(baseline, row.cell.stratum)
        return None if where is None else self._rows.get((*where, row.cell.stratum, row.cell.seed))

    def values(self, policy: str, metric: str) -> Paired:
        """Return a judged policy's values of a metric, without a baseline."""
        return self._pair(policy, metric, None)

    def paired(self, policy: str, baseline: str, metric: str) -> Paired:
        """Return a judged policy's values of a metric beside a baseline's on the same seeds.

        A judged policy stands for the baseline of its label where no run of its own does.
        """
        return self._pair(policy, metric, baseline)

    def _pair(self, policy: str, metric: str, baseline: str | None) -> Paired:
        planned = self._seeds[policy]
        order = {
            seed: k for k, seed in enumerate(sorted({s for of in planned.values() for s in of}))
        }
        own = {stratum: np.full(len(order), math.nan) for stratum in planned}
        other = {stratum: np.full(len(order), math.nan) for stratum in planned}
        unfinished = valueless = 0
        unplanned = []
        for stratum, seeds in planned.items():
            beside = None if baseline is None else self._baseline(baseline, stratum)
            if baseline is not None and beside is None:
                unplanned.append(stratum)
                continue
            for seed in sorted(seeds):
                rows = [self._rows.get((False, policy, stratum, seed))]
                if beside is not None:
                    rows.append(self._rows.get((*beside, stratum, seed)))
                found = [_value(row, metric) for row in rows]
                if any(value is None for value in found):
                    unfinished += 1
                elif any(not math.isfinite(value) for value in found if value is not None):
                    valueless += 1
                else:
                    own[stratum][order[seed]] = found[0]
                    other[stratum][order[seed]] = found[-1]
        copies = tuple(self._copies(policy, baseline, own, other))
        for stratum in copies:
            del own[stratum], other[stratum]
        return Paired(own, other, unfinished, valueless, tuple(unplanned), copies)

    def _copies(
        self, policy: str, baseline: str | None, own: Samples, other: Samples
    ) -> Iterator[str]:
        """Yield the strata whose runs have the traces and values of an earlier one's."""
        seen = set()
        for stratum in own:
            traces = self._traces(policy, baseline, stratum)
            content = traces, own[stratum].tobytes(), other[stratum].tobytes()
            if traces and content in seen:
                yield stratum
            seen.add(content)

    def _traces(self, policy: str, baseline: str | None, stratum: str) -> tuple[str, ...]:
        """Return the hashes of all traces of a stratum; none if a run, or its hash, is missing."""
        places = [(False, policy)]
        beside = None if baseline is None else self._baseline(baseline, stratum)
        places += [] if beside is None else [beside]
        rows = [
            self._rows.get((*place, stratum, seed))
            for place in places
            for seed in sorted(self._seeds[policy][stratum])
        ]
        found = [row.trace_sha256 for row in rows if row is not None and row.trace_sha256]
        return tuple(found) if len(found) == len(rows) else ()

    def _baseline(self, label: str, stratum: str) -> tuple[bool, str] | None:
        """Return where a baseline's runs of a stratum are found; None if none is planned."""
        if stratum in self._planned_baselines.get(label, {}):
            return True, label
        return (False, label) if stratum in self._seeds.get(label, {}) else None


def _value(row: RunRow | None, metric: str) -> float | None:
    """Return a completed run's value, NaN if it has none; None if the run is not completed."""
    if row is None or row.status != "completed":
        return None
    value = row.measurements.get(metric)
    return math.nan if value is None else float(value)
