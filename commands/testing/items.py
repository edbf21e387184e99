"""Scenario and suite files as pytest collects them: a test a run, a test an interval limit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ...agents.policy import PolicyConfig
from ...evaluation.verdict import Verdict
from ...scenarios.errors import ScenarioErrors
from ...scenarios.load import load_scenario
from ...scenarios.model import Scenario
from ...scenarios.suite import Suite
from ...scenarios.suite_loading import load_suite
from .store import RunStore, ScenarioTestError
from .suites import SuiteRun

INTERVALS = "interval_limits"


class NotPassedError(Exception):
    """The verdict is not PASS; the text says everything about it."""


class _Judged(pytest.Item):
    """A test that passes if a verdict is PASS."""

    def __init__(self, *, store: RunStore, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.add_marker(pytest.mark.wattbench)

    def repr_failure(
        self, excinfo: pytest.ExceptionInfo[BaseException], *args: Any, **kwargs: Any
    ) -> Any:
        """Return what was found, or what is wrong with the scenario, without a traceback."""
        if isinstance(excinfo.value, NotPassedError | ScenarioTestError):
            return str(excinfo.value)
        return super().repr_failure(excinfo, *args, **kwargs)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Return file, line and heading."""
        return self.path, None, self.nodeid.rpartition("/")[2]


class RunItem(_Judged):
    """One policy in one scenario on one seed."""

    def __init__(
        self,
        *,
        scenario: Scenario,
        policy: PolicyConfig,
        seed: int,
        group: Path | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scenario = scenario
        self.policy = policy
        self.seed = seed
        self.group = group

    def runtest(self) -> None:
        """Run, judge, report each limit as a property."""
        run = self.store.run(self.scenario, self.policy, self.seed, self.group)
        self.user_properties.extend(run.properties())
        if not run.passed:
            raise NotPassedError(run.text())


def _runs(
    parent: pytest.Collector, scenario: Scenario, store: RunStore, group: Path | None = None
) -> Iterable[RunItem]:
    """Yield the tests of a scenario, seed by seed, so that policies find their baselines made."""
    for seed in scenario.seeds:
        for policy in scenario.policies:
            yield RunItem.from_parent(
                parent,
                name=f"{policy.label}[seed {seed}]",
                store=store,
                scenario=scenario,
                policy=policy,
                seed=seed,
                group=group,
            )


class _File(pytest.File):
    def __init__(self, *, store: RunStore, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store

    def shown_path(self) -> Path:
        """Return the path as it is shown: relative to where pytest was called, if it lies there."""
        here = self.config.invocation_params.dir
        return self.path.relative_to(here) if self.path.is_relative_to(here) else self.path


class ScenarioFile(_File):
    """A scenario; its tests are its policies, each on each of its seeds."""

    def collect(self) -> Iterable[pytest.Item]:
        """Load the scenario and yield its tests."""
        try:
            scenario = load_scenario(self.shown_path())
        except ScenarioErrors as problem:
            raise self.CollectError(str(problem)) from None
        yield from _runs(self, scenario, self.store)


class SuiteFile(_File):
    """A suite; below it lie its scenarios, then its interval limits."""

    def collect(self) -> Iterable[pytest.Collector]:
        """Load the suite and yield a collector a scenario and variant, and that of the limits."""
        try:
            suite = load_suite(self.shown_path())
        except ScenarioErrors as problem:
            raise self.CollectError(str(problem)) from None
        run = SuiteRun(suite, self.store)
        for stratum in suite.strata:
            yield Stratum.from_parent(
                self,
                name=stratum.name,
                store=self.store,
                scenario=stratum.experiment,
                group=run.group(stratum),
            )
        if suite.config.interval_limits:
            yield Intervals.from_parent(self, name=INTERVALS, suite=suite, run=run)


class Stratum(pytest.Collector):
    """A scenario of a suite, in one variant."""

    def __init__(self, *, store: RunStore, scenario: Scenario, group: Path, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store = store
        self.scenario = scenario
        self.group = group

    def collect(self) -> Iterable[pytest.Item]:
        """Yield a test a policy and seed."""
        yield from _runs(self, self.scenario, self.store, self.group)


class Intervals(pytest.Collector):
    """What all runs of a suite together must keep."""

    def __init__(self, *, suite: Suite, run: SuiteRun, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.suite = suite
        self.run = run

    def collect(self) -> Iterable[pytest.Item]:
        """Yield a test an interval limit and policy."""
        labels = dict.fromkeys(
            policy.label for stratum in self.suite.strata for policy in stratum.experiment.policies
        )
        for label in labels:
            for limit in self.suite.config.interval_limits:
                yield IntervalItem.from_parent(
                    self,
                    name=f"{label}[{limit.text()}]",
                    store=self.run.store,
                    run=self.run,
                    policy=label,
                    text=limit.text(),
                )


class IntervalItem(_Judged):
    """One interval limit for one policy; runs that are lacking are made first."""

    def __init__(self, *, run: SuiteRun, policy: str, text: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run = run
        self.policy = policy
        self.text = text

    def runtest(self) -> None:
        """Judge the suite, report the interval as a property."""
        found = self.run.interval(self.policy, self.text)
        self.user_properties.extend(found.properties())
        if found.result.verdict is not Verdict.PASS:
            raise NotPassedError(found.text())
