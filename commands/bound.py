"""What `wattbench bound` does: what could be won in a scenario, and how much of it a plan wins."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .show import EXIT_ABORTED, EXIT_ERROR

if TYPE_CHECKING:
    from ..hil.bench import RunResult
    from ..scenarios.model import Scenario
    from ..sim.export.bound.model import Bound

_OBJECTIVE: Final = "objective@1"
_TRACEBACK: Final = "WATTBENCH_TRACEBACK"
_LITTLE: Final = 0.01
"""Where the bound is no more than this part below `zero`, there is nothing to be won."""


@dataclass(frozen=True, slots=True)
class BoundOptions:
    """What `wattbench bound` was told."""

    scenario: str
    """A scenario, or the folder of a run."""
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Bracket:
    """One seed: what doing nothing costs, what the plan does, what nobody can go below."""

    seed: int
    zero_wh: float
    replay_wh: float
    bound: Bound

    @property
    def breached(self) -> bool:
        """Whether a run went below what no run can: an error inside."""
        return min(self.zero_wh, self.replay_wh) < self.bound.objective_wh

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        bound = self.bound
        return {
            "seed": self.seed,
            "zero_wh": self.zero_wh,
            "replay_wh": self.replay_wh,
            "with_budget_wh": bound.with_budget_wh,
            "no_budget_reason": bound.no_budget_reason,
            "bound_wh": bound.objective_wh,
            "max_changes_per_min": bound.max_changes_per_min,
            "nothing_to_win": self.nothing_to_win,
            "notes": list(bound.notes),
            "solver": dict(bound.solver),
        }

    @property
    def nothing_to_win(self) -> bool:
        """Whether doing nothing is as good as anything: a score would divide by nothing."""
        return self.zero_wh - self.bound.objective_wh <= _LITTLE * abs(self.zero_wh)


def bound(options: BoundOptions, *, as_json: bool) -> int:
    """Print the bound, its plan replayed, and `zero`, seed by seed; return the exit code."""
    name, code, error = options.scenario, 0, ""
    brackets: list[Bracket] = []
    try:
        scenario, seeds = _of(options)
        name = scenario.name
        for seed in seeds:
            brackets.append(_bracket(scenario, seed))
    except KeyboardInterrupt as stop:
        code, error = EXIT_ABORTED, str(stop) or "stopped by SIGINT"
    except Exception as problem:
        if os.environ.get(_TRACEBACK):
            raise
        code, error = _told(problem)
    breached = [f"seed {bracket.seed}" for bracket in brackets if bracket.breached]
    if breached and not code:
        code = EXIT_ERROR
        error = f"error inside: a run went below the bound ({', '.join(breached)})"
    if error:
        print(f"wattbench: {error}", file=sys.stderr)
    if as_json:
        from ..evaluation.model import json_text

        shown: dict[str, Any] = {"scenario": name, "exit_code": code}
        shown["seeds"] = [bracket.as_dict() for bracket in brackets]
        print(json_text(shown | ({"error": error} if error else {})))
    elif brackets:
        for line in _lines(brackets):
            print(line)
    return code


def _told(problem: Exception) -> tuple[int, str]:
    """Return exit code and message of what went wrong."""
    from ..sim.export.bound.model import BoundError
    from .run import exit_code_of

    if isinstance(problem, BoundError):
        return EXIT_ERROR, str(problem)
    code = exit_code_of(problem)
    if code is not None:
        return code, str(problem)
    what = f"{type(problem).__name__}: {problem}"
    return EXIT_ERROR, f"error inside: {what} ({_TRACEBACK}=1 says where)"


def _of(options: BoundOptions) -> tuple[Scenario, Sequence[int]]:
    """Return the scenario and the seeds: those given, or what file or record say."""
    from ..scenarios.library import UnknownScenarioError, locate
    from ..scenarios.load import load_scenario
    from .run import UsageError, records_in

    folder = Path(options.scenario)
    if (folder / "record.json").exists():
        scenario, seed = scenario_of_record(folder)
        return scenario, options.seeds or (seed,)
    try:
        path = locate(options.scenario)
    except UnknownScenarioError:
        if not folder.is_dir():
            raise
        path = folder
    if path.is_dir():
        inside = records_in(folder)
        raise UsageError(
            f"{folder} is the folder of {len(inside)} judged runs, and a bound is of one scenario "
            f"and seed; name one: {inside[0]}"
        )
    scenario = load_scenario(path)
    return scenario, options.seeds or scenario.seeds


def scenario_of_record(folder: Path) -> tuple[Scenario, int]:
    """Return the scenario and the seed that a run's record names.

    Raises:
        RecordError: the record is damaged, or of a scenario that this version cannot read.
    """
    from pydantic import ValidationError

    from ..evaluation.reading import read_record
    from ..evaluation.record import RecordError
    from ..scenarios.model import Scenario

    header = read_record(folder).header
    # Which devices took part is no matter: the bound is the plant's.
    content = {**header.scenario, "rig": "direct"}
    try:
        return Scenario.model_validate(content), header.seed
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecordError(
            f"{folder}: its scenario is not valid here: {where}: {first['msg']}"
        ) from None


def _bracket(scenario: Scenario, seed: int) -> Bracket:
    """Compute the bound, and run its plan and `zero`; nothing is kept but the bound."""
    from ..agents.baselines.degenerate import ZeroConfig
    from ..hil.progress import shown
    from .bounding import bound_of, replay_of, run_alone

    with shown() as progress, tempfile.TemporaryDirectory(prefix="wattbench-") as folder:
        progress.note(f"{scenario.name} · bound · seed {seed}")
        found = bound_of(scenario, seed)
        folders = Path(folder, "replay"), Path(folder, "zero")
        replayed = _objective(replay_of(scenario, seed, found, folders[0], progress))
        zero = _objective(run_alone(scenario, seed, ZeroConfig(), folders[1], progress))
    return Bracket(seed, zero, replayed, found)


def _objective(result: RunResult) -> float:
    """Return J of a run that ended as it should."""
    if result.outcome.cause == "signal":
        raise KeyboardInterrupt(result.outcome.reason)
    if result.outcome.status != "completed":
        raise RuntimeError(f"{result.policy} {result.outcome.status}: {result.outcome.reason}")
    return float(result.measurements[_OBJECTIVE])


def _lines(brackets: Sequence[Bracket]) -> list[str]:
    from ..evaluation.units import format_quantity

    def energy(value_wh: float | None) -> str:
        return "–" if value_wh is None else format_quantity(value_wh, "Wh")

    rows: list[tuple[str, ...]] = [
        ("seed", "J of zero", "replayed optimum", "bound in budget", "bound")
    ]
    for one in brackets:
        found = one.bound
        values = one.zero_wh, one.replay_wh, found.with_budget_wh, found.objective_wh
        rows.append((str(one.seed), *(energy(value) for value in values)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    first = brackets[0].bound
    lines.append(f"Budget: {first.max_changes_per_min} changes of command in any minute.")
    for one in brackets:
        if one.nothing_to_win:
            lines.append(f"Seed {one.seed}: doing nothing is as good as anything; no score.")
    reasons = dict.fromkeys(b.bound.no_budget_reason for b in brackets if b.bound.no_budget_reason)
    lines += [f"No bound in budget: {reason}." for reason in reasons]
    return lines
