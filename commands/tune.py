"""What `wattbench tune` does: which policy on which scenarios, and what it shows of the search.

What was found goes to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .problems import say
from .show import EXIT_ABORTED, EXIT_ERROR, EXIT_USAGE

if TYPE_CHECKING:
    from .tuning.found import Tried, Tuned
    from .tuning.plan import Plan


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """What `wattbench tune` was told; without ``out`` the file is called after the policy."""

    policy: str
    suite: tuple[str, ...]
    budget: int
    jobs: int = 2
    seed: int = 1
    out: Path | None = None
    resume: bool = False


def tune(options: TuneOptions, *, as_json: bool) -> int:
    """Tune a policy and write its parameter file and the picture; return the exit code."""
    from concurrent.futures.process import BrokenProcessPool

    from ..evaluation.files import RecordError, write_at_once
    from ..evaluation.model import json_text
    from ..hil.safestate import StopSignals
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError
    from ..sim.profiles.findings import ProfileError
    from .tuning.plan import plan_of
    from .tuning.plot import write_front
    from .tuning.result import check_free, command_text, file_text, name_of
    from .tuning.simulate import TuneError
    from .tuning.tuning import tune as search

    out = options.out if options.out is not None else Path(f"{options.policy}-tuned.yaml")
    journal, picture = out.with_name(f"{out.name}.partial"), out.with_suffix(".png")
    try:
        with StopSignals():
            check_free(out, picture)
            plan = plan_of(options.policy, options.suite, options.budget, options.seed)
            tuned = search(
                plan,
                journal,
                jobs=options.jobs,
                resume=options.resume,
                on_step=_Progress(plan),
            )
            write_at_once(out, file_text(tuned, command_text(options.suite, tuned), name_of(out)))
            write_front(picture, tuned)
            journal.unlink()
    except KeyboardInterrupt as stop:
        print(f"wattbench: {stop or 'stopped by SIGINT'}", file=sys.stderr)
        _say_what_is_left(journal)
        return EXIT_ABORTED
    except BrokenProcessPool:
        print("wattbench: a worker process was killed or ran out of memory; its simulation is lost",
              file=sys.stderr)  # fmt: skip
        _say_what_is_left(journal)
        return EXIT_ERROR
    except (TuneError, ScenarioErrors, UnknownScenarioError, ProfileError, RecordError) as problem:
        say(problem)
        return EXIT_ERROR if isinstance(problem, RecordError) else EXIT_USAGE
    if as_json:
        print(json_text(as_dict(tuned, out, picture)))
    else:
        print("\n".join(lines(tuned, out, picture)))
    return 0


def _say_what_is_left(journal: Path) -> None:
    if journal.exists():
        print(f"wattbench: what was found so far is in {journal}; --resume goes on from there",
              file=sys.stderr)  # fmt: skip


def as_dict(tuned: Tuned, out: Path, picture: Path) -> dict[str, Any]:
    """Return what `--json` prints."""
    from .tuning.result import provenance_of

    provenance = provenance_of(tuned, "")
    ratios = ("default_objective_ratio", "rule_objective_ratio", "tuned_objective_ratio")
    wanted = (*ratios, "reduction", "finalists", "front")
    return {
        "exit_code": 0,
        "policy": tuned.plan.kind,
        "parameters": dict(tuned.tried[tuned.chosen].parameters),
        "points": len(tuned.tried),
        "used_simulations": tuned.simulations,
        **{key: provenance[key] for key in wanted},
        "file": str(out),
        "picture": str(picture),
    }


def lines(tuned: Tuned, out: Path, picture: Path) -> list[str]:
    """Return what is printed: the finalists, the gain of the chosen one, then its values."""
    plan, tried = tuned.plan, tuned.tried
    rows: list[tuple[str, ...]] = [("", "J / J of zero", "export", "added import", "changes/min")]
    for index, point in tuned.finals.items():
        name = f"{point.origin} {index}" if point.origin == "search" else point.origin
        rows.append(_row(f"{name}, chosen" if index == tuned.chosen else name, point))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    shown = [
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    values = ", ".join(f"{key} {value:g}" for key, value in tried[tuned.chosen].parameters.items())
    shown += ["", _gain(tuned), "", f"{plan.kind}: {values}"]
    shown += [f"{len(tuned.front)} of {len(tried)} points are on the front: {picture}", str(out)]
    return shown


def _gain(tuned: Tuned) -> str:
    """Return what the chosen point gains, with the seeds on which that was seen."""
    from .tuning.final import reduction_of

    found = reduction_of(tuned)
    seeds = len(tuned.plan.final_seeds(tuned.plan.training[0]))
    where = f"{len(tuned.finals)} finalists on {seeds} seeds that the search had not seen"
    if tuned.chosen == 0 or found is None:
        return f"{where}: {'the defaults stay' if found is not None else 'the defaults failed'}"
    gain = f"{where}: J {100 * found.estimate:.1f} % below the defaults'"
    if not found.known:
        return gain
    return f"{gain} ({100 * found.level:g} %: {100 * found.low:.1f} to {100 * found.high:.1f} %)"


def _row(name: str, point: Tried) -> tuple[str, ...]:
    score = point.score
    if score is None:
        return name, "failed", "", "", ""
    return (
        name if score.feasible else f"{name} (breaks limits)",
        f"{score.objective_ratio:.4f}",
        f"{100 * score.export_share:.2f} %",
        f"{100 * score.added_import_share:.2f} %",
        f"{score.changes_per_min:.2f}",
    )


class _Progress:
    """Says on stderr how far the search and the final are."""

    def __init__(self, plan: Plan) -> None:
        self._begin_s = perf_counter()
        final = plan.finalists * len(plan.final_runs)
        self._total = plan.points * len(plan.search_runs) + final
        print(
            f"{plan.kind}: {self._total} of the budget's {plan.budget} simulations: {plan.points} "
            f"points × {len(plan.search_runs)} to search, {plan.finalists} finalists × "
            f"{len(plan.final_runs)} to decide",
            file=sys.stderr,
        )

    def __call__(self, tried: Sequence[Tried], finals: Sequence[Tried]) -> None:
        from .tuning.search import BATCH

        if not finals and len(tried) % BATCH:
            return
        done = sum(len(point.runs) for point in (*tried, *finals))
        stage = "final" if finals else "search"
        scores = [point.score for point in finals or tried if point.score is not None]
        ratios = [score.objective_ratio for score in scores if score.feasible]
        best = f"{min(ratios):.4f}" if ratios else "none"
        left_s = (perf_counter() - self._begin_s) * (self._total - done) / done
        print(
            f"{stage}: {done}/{self._total} simulations, least J / J of zero: {best}, about "
            f"{max(left_s, 0.0):.0f} s left",
            file=sys.stderr,
            flush=True,
        )
