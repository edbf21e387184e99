"""What `wattbench bound` does: what could be won in a scenario, and how much of it a plan wins."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .problems import say
from .show import EXIT_ABORTED, EXIT_ERROR

if TYPE_CHECKING:
    from ..evaluation.bracket import Bracket
    from ..scenarios.model import Scenario
    from ..sim.export.bound.model import Bound

_TRACEBACK: Final = "WATTBENCH_TRACEBACK"


@dataclass(frozen=True, slots=True)
class BoundOptions:
    """What `wattbench bound` was told."""

    scenario: str
    """A scenario, or the folder of a run."""
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """One seed: what doing nothing costs, what the plan does, what nobody can go below."""

    seed: int
    bound: Bound
    bracket: Bracket

    def as_dict(self) -> dict[str, Any]:
        """Return plain data."""
        from ..evaluation.bracket import REPLAY, ZERO

        bound, objective_wh = self.bound, self.bracket.objective_wh
        return {
            "seed": self.seed,
            "zero_wh": objective_wh[ZERO],
            "replay_wh": objective_wh[REPLAY],
            "with_budget_wh": bound.with_budget_wh,
            "no_budget_reason": bound.no_budget_reason,
            "bound_wh": bound.objective_wh,
            "gap_wh": self.bracket.gap_wh,
            "max_changes_per_min": bound.max_changes_per_min,
            "nothing_to_win": self.nothing_to_win,
            "notes": list(bound.notes),
            "solver": dict(bound.solver),
        }

    @property
    def nothing_to_win(self) -> bool:
        """Whether doing nothing is as good as anything: a score would divide by nothing."""
        from ..evaluation.bracket import REPLAY

        return self.bracket.score(REPLAY) is None


def bound(options: BoundOptions, *, as_json: bool) -> int:
    """Print the bound, its plan replayed, and `zero`, seed by seed; return the exit code."""
    name, code, error = options.scenario, 0, ""
    found: list[Found] = []
    try:
        scenario, seeds = _of(options)
        name = scenario.name
        for seed in seeds:
            found.append(_found(scenario, seed))
    except KeyboardInterrupt as stop:
        code, error = EXIT_ABORTED, str(stop) or "stopped by SIGINT"
    except Exception as problem:
        if os.environ.get(_TRACEBACK):
            raise
        code, error = _told(problem)
    breaches = [f"seed {one.seed}: {text}" for one in found for text in one.bracket.breaches()]
    if breaches and not code:
        code, error = EXIT_ERROR, "\n".join(breaches)
    say(error)
    if as_json:
        from ..evaluation.model import json_text

        shown: dict[str, Any] = {"scenario": name, "exit_code": code}
        shown["seeds"] = [one.as_dict() for one in found]
        print(json_text(shown | ({"error": error} if error else {})))
    elif found:
        for line in _lines(found):
            print(line)
    return code


def _told(problem: Exception) -> tuple[int, str]:
    """Return exit code and message of what went wrong."""
    from ..sim.export.bound.model import BoundError
    from .measuring import MeasureError
    from .run import exit_code_of

    if isinstance(problem, BoundError | MeasureError):
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


def _found(scenario: Scenario, seed: int) -> Found:
    """Compute the bound, and run its plan and `zero`; nothing is kept but the bound."""
    from ..agents.baselines.degenerate import ZeroConfig
    from ..evaluation.bracket import BOUND, BUDGET_BOUND, REPLAY, ZERO, Bracket
    from ..hil.progress import shown
    from .bounding import bound_of, replay_of, run_alone
    from .measuring import measured_of

    with shown() as progress, tempfile.TemporaryDirectory(prefix="wattbench-") as folder:
        progress.note(f"{scenario.name} · bound · seed {seed}")
        found = bound_of(scenario, seed)
        folders = Path(folder, "replay"), Path(folder, "zero")
        replayed = measured_of(replay_of(scenario, seed, found, folders[0], progress))
        zero = measured_of(run_alone(scenario, seed, ZeroConfig(), folders[1], progress))
    ran = {ZERO: zero, REPLAY: replayed}
    bounds = {BOUND: found.objective_wh}
    if found.with_budget_wh is not None:
        bounds[BUDGET_BOUND] = found.with_budget_wh
    bracket = Bracket(
        trace_sha256="",  # of no record
        policy=ZERO,
        objective_wh={name: one.objective_wh for name, one in ran.items()} | bounds,
        changes_per_min_worst={name: one.changes_per_min_worst for name, one in ran.items()},
        max_changes_per_min=found.max_changes_per_min,
    )
    return Found(seed, found, bracket)


def _lines(seeds: Sequence[Found]) -> list[str]:
    from ..evaluation.bracket import BOUND, BUDGET_BOUND, REPLAY, ZERO
    from ..evaluation.units import format_quantity

    def energy(value_wh: float | None) -> str:
        return "–" if value_wh is None else format_quantity(value_wh, "Wh")

    rows: list[tuple[str, ...]] = [
        ("seed", "J of zero", "replayed optimum", "bound in budget", "bound", "gap")
    ]
    for one in seeds:
        of = one.bracket.objective_wh
        values = of[ZERO], of[REPLAY], of.get(BUDGET_BOUND), of[BOUND], one.bracket.gap_wh
        rows.append((str(one.seed), *(energy(value) for value in values)))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(c.rjust(w) for c, w in zip(row, widths, strict=True)) for row in rows]
    first = seeds[0].bound
    lines.append("The true optimum lies in the gap, between the bound and the replayed optimum.")
    lines.append(f"Budget: {first.max_changes_per_min} changes of command in any minute.")
    for one in seeds:
        if one.nothing_to_win:
            lines.append(f"Seed {one.seed}: doing nothing is as good as anything; no score.")
    reasons = dict.fromkeys(b.bound.no_budget_reason for b in seeds if b.bound.no_budget_reason)
    lines += [f"No bound in budget: {reason}." for reason in reasons]
    return lines
