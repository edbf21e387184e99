"""How long a suite will take: from what was tried first, then from what its runs have taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ...scenarios.model import Scenario
    from .unit import Trial

#: Runs that must have finished before their own times say more than the trial's.
_ENOUGH_RUNS: Final = 4


class Estimate:
    """What is left to be done, in seconds of this machine."""

    def __init__(self, trials: Sequence[Trial], jobs: int) -> None:
        """Begin with what was tried: the slower half of several workers counts like the others."""
        count = max(len(trials), 1)
        self._run_s = sum(trial.run_s for trial in trials) / count
        self._second_s = sum(trial.second_s for trial in trials) / count
        self._jobs = jobs
        self._left_s = self._modelled_s = self._taken_s = 0.0
        self._runs = 0

    def add(self, experiment: Scenario, runs: int) -> None:
        """Plan runs of a scenario."""
        self._left_s += runs * self._of(experiment)

    def finished(self, experiment: Scenario, elapsed_s: float) -> None:
        """Take a run that has finished."""
        modelled_s = self._of(experiment)
        self._left_s -= modelled_s
        self._modelled_s += modelled_s
        self._taken_s += elapsed_s
        self._runs += 1

    def left_s(self) -> float:
        """Return the time until the end, with all workers busy."""
        pace = 1.0
        if self._runs >= _ENOUGH_RUNS and self._modelled_s > 0.0:
            pace = self._taken_s / self._modelled_s
        return max(self._left_s, 0.0) * pace / self._jobs

    def _of(self, experiment: Scenario) -> float:
        clock = experiment.clock
        if clock.mode == "wall":
            return self._run_s + clock.duration_s / clock.factor
        return self._run_s + clock.duration_s * self._second_s


def in_words(seconds: float) -> str:
    """Return a time as people say it: ``about 40 s``, ``about 2 h 10 min``, ``under a second``."""
    if seconds < 1.0:
        return "under a second"
    if seconds < 90.0:
        return f"about {seconds:.0f} s"
    minutes = round(seconds / 60.0)
    hours = f"{minutes // 60} h {minutes % 60} min"
    return f"about {minutes} min" if minutes < 90 else f"about {hours}"
