"""The bench: a scenario's baselines and policies, seed by seed, into records.

What a record is worth is not decided here: measuring is handed in by the caller, and so is what
happens to a closed record (judging, reporting), because the bench knows no metric.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..agents.policy import PolicyConfig, PolicyError
from ..evaluation.record import RecordError
from ..sim.clock import US_PER_S, VirtualClock, to_us
from ..sim.profiles.build import SiteProfiles
from ..sim.profiles.build import build as build_profiles
from .assembly import Experiment, assemble, build_loop, loop_settings, record_header
from .errors import RigError
from .execute import Measure, Measurements, Outcome, execute, session
from .loop import LoopSettings
from .progress import Progress, Silent
from .rigs.concrete import RigSetup
from .safestate import StopSignals
from .world import World, open_world

_WARM_UP_S = 5.0


@dataclass(frozen=True, slots=True)
class RunResult:
    """One run that was recorded."""

    policy: str
    seed: int
    baseline: bool
    folder: Path
    outcome: Outcome
    measurements: Measurements


class Bench:
    """Runs one scenario."""

    def __init__(
        self,
        experiment: Experiment,
        out: Path,
        *,
        measure: Measure,
        on_result: Callable[[RunResult], None] = lambda result: None,
        progress: Progress | None = None,
        rig: RigSetup | None = None,
        taped: bool | None = None,
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            experiment: the scenario.
            out: folder under which `<scenario>/<policy>-seed<k>/` are made, baselines as
                `baseline-<policy>-seed<k>/`. A scenario's folder that exists is kept as it is, and
                the new one gets a number.
            measure: measures a record.
            on_result: told of each record as soon as it is closed, baselines included.
            progress: told how far each run is.
            rig: the devices that stand between loop and plant; None: function calls.
            taped: whether every frame is recorded; None: on rigs with real devices.
        """
        self.experiment = experiment
        self._out = out
        self._measure = measure
        self._on_result = on_result
        self._progress: Progress = Silent() if progress is None else progress
        self._settings = loop_settings(experiment.clock)
        self._warm: set[str] = set()
        self._rig = rig
        self._taped = rig is not None and (rig.real if taped is None else taped)

    def run(self) -> list[RunResult]:
        """Run baselines, then policies, for every seed; a signal ends the run and all after it.

        Raises:
            FolderError: the folder cannot be made where it is wanted.
            RecordError: the disk refuses.
            PolicyError: a policy cannot be built.
            ProfileError: a user's log cannot be used.
            Interrupted: a signal came while no run was under way.
        """
        results: list[RunResult] = []
        with StopSignals() as signals:
            first = self.rehearse()
            folder = new_folder(self._out, self.experiment.name)
            if folder.name != self.experiment.name:
                taken = self._out / self.experiment.name
                self._progress.note(f"{taken} exists and is kept: this run goes to {folder}")
            for seed in self.experiment.seeds:
                profiles = first if seed == self.experiment.seeds[0] else self._profiles(seed)
                results += self._run_seed(seed, profiles, folder, {}, signals)
                if self.is_over(results[-1].outcome):
                    break
        return results

    def run_seed(
        self, seed: int, folder: Path, finished: Mapping[tuple[str, bool], Measurements | None]
    ) -> list[RunResult]:
        """Run what is not finished of one seed, without a rehearsal; else like `run`.

        Args:
            seed: which.
            folder: the runs' folders are made in it.
            finished: by label and whether it is a baseline, the runs that are there already; of a
                baseline what it measured, None if it is no yardstick.
        """
        with StopSignals() as signals:
            return self._run_seed(seed, self._profiles(seed), folder, finished, signals)

    def _run_seed(
        self,
        seed: int,
        profiles: SiteProfiles,
        folder: Path,
        finished: Mapping[tuple[str, bool], Measurements | None],
        signals: StopSignals,
    ) -> list[RunResult]:
        results: list[RunResult] = []
        measured: dict[str, Measurements] = {}
        for policy, baseline in self._schedule():
            key = policy.label, baseline
            if key in finished:
                values = finished[key]
                if baseline and values is not None:
                    measured[policy.label] = values
                continue
            result = self._run_one(
                policy, seed, profiles, measured, folder, signals, baseline=baseline
            )
            if baseline and result.outcome.status == "completed":
                # What a run that broke off has measured is no yardstick.
                measured[policy.label] = result.measurements
            results.append(result)
            with signals.shielded():  # a closed record is judged, then a signal counts
                self._on_result(result)
            if self.is_over(result.outcome):
                break
        return results

    def is_over(self, outcome: Outcome) -> bool:
        """Return whether nothing is run after a run that ended so: stopped, or its rig is gone."""
        return outcome.cause == "signal" or self._rig_is_gone(outcome)

    def _rig_is_gone(self, outcome: Outcome) -> bool:
        """Return whether nothing more can be run on the rig: it is broken, or not available."""
        if self._rig is None or not self._rig.real:
            return False
        from .rigs.errors import RigBrokenError

        safe = outcome.safe_state
        unsafe = safe is not None and not safe.confirmed
        never_armed = safe is None and outcome.cause == "rig"
        return unsafe or never_armed or isinstance(outcome.error, RigBrokenError)

    def rehearse(self) -> SiteProfiles:
        """Build the first seed's profiles and every policy once; return the profiles.

        A file that cannot be used is found here, before anything is run or written.

        Raises:
            PolicyError: a policy cannot be built.
            ProfileError: a user's log cannot be used.
        """
        seed = self.experiment.seeds[0]
        profiles = self._profiles(seed)
        for policy, _ in self._schedule():
            with VirtualClock() as clock:
                assemble(self.experiment, World(clock), policy, seed, profiles)
        return profiles

    def _schedule(self) -> Iterator[tuple[PolicyConfig, bool]]:
        """Yield policies and whether each is a baseline; these come first."""
        yield from ((policy, True) for policy in self.experiment.baselines)
        yield from ((policy, False) for policy in self.experiment.policies)

    def _profiles(self, seed: int) -> SiteProfiles:
        experiment = self.experiment
        profiles = build_profiles(
            experiment.profiles,
            experiment.plant,
            experiment.start_utc(),
            -(-self._settings.duration_us // US_PER_S),
            seed,
        )
        if seed == experiment.seeds[0]:  # logs of a user are the same for every seed
            for report in profiles.reports:
                self._progress.note(str(report))
        return profiles

    def _run_one(
        self,
        policy: PolicyConfig,
        seed: int,
        profiles: SiteProfiles,
        baselines: Mapping[str, Measurements],
        folder: Path,
        signals: StopSignals,
        *,
        baseline: bool,
    ) -> RunResult:
        """Run one policy on one seed into one record."""
        experiment = self.experiment
        self._warm_up(policy, seed, profiles)
        place = folder / f"{'baseline-' if baseline else ''}{policy.label}-seed{seed}"
        with open_world(experiment, self._rig, seed, profiles) as world:
            parts = assemble(
                experiment, world, policy, seed, profiles, self._rig, taped=self._taped
            )
            header = record_header(experiment, parts, policy, seed, profiles, baselines)
            label = f"{experiment.name} · {policy.label} · seed {seed}"
            self._progress.start(label, self._settings.duration_us)
            outcome = Outcome()
            try:
                outcome, measured = execute(
                    parts,
                    place,
                    header,
                    experiment.faults,
                    signals,
                    measure=self._measure,
                    progress=self._progress,
                )
            finally:
                status: str = outcome.status
                if outcome.reached_us is None:
                    # Something was raised, perhaps by a signal just after the record was closed.
                    status = "completed" if place.exists() else "not recorded"
                self._progress.finish(status, outcome.reached_us)
        return RunResult(policy.label, seed, baseline, place, outcome, measured)

    def _warm_up(self, policy: PolicyConfig, seed: int, profiles: SiteProfiles) -> None:
        """Run a few seconds that nobody records, so that compiling is no part of the run.

        Under the wall clock it would be the first control step's delay.
        """
        if policy.label in self._warm:
            return
        self._warm.add(policy.label)
        full = self._settings
        duration_us = min(to_us(_WARM_UP_S), full.duration_us)
        short = LoopSettings(duration_us, full.period_us, full.decision_delay_us, full.refresh_us)
        with VirtualClock() as clock:
            parts = assemble(self.experiment, World(clock), policy, seed, profiles)
            loop = build_loop(parts, _NoEvents(), lambda t_us: None, short)
            try:
                clock.run(session(parts.driver, loop))
            except (PolicyError, RigError):
                return  # it will happen again in the run, and be recorded there


class FolderError(RecordError):
    """Records cannot go where they were told to go."""


class _NoEvents:
    """Drops the events of a warm-up."""

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        """Drop an event."""


def new_folder(out: Path, name: str) -> Path:
    """Make and return the folder of a scenario's runs; one that exists is kept and not used.

    Raises:
        FolderError: it cannot be made there.
        RecordError: the disk refuses.
    """
    number = 1
    while True:
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            out.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
        except FileExistsError:
            if not out.is_dir():
                raise FolderError(f"cannot write to {out}: it is a file") from None
            number += 1
        except OSError as error:
            refused = {errno.ENOSPC, errno.EDQUOT, errno.EIO}
            kind = RecordError if error.errno in refused else FolderError
            raise kind(f"cannot write to {folder}: {error.strerror}") from error
        else:
            return folder
