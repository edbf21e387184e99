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

from .show import EXIT_ABORTED, EXIT_ERROR, EXIT_USAGE

if TYPE_CHECKING:
    from .tuning.tuning import Plan, Tried, Tuned


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
    from ..evaluation.model import json_text
    from ..evaluation.record import RecordError
    from ..hil.safestate import StopSignals
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError
    from ..sim.profiles.findings import ProfileError
    from .tuning.plan import plan_of
    from .tuning.plot import write_front
    from .tuning.result import command_text, file_text, write_file
    from .tuning.simulate import TuneError
    from .tuning.tuning import tune as search

    out = options.out if options.out is not None else Path(f"{options.policy}-tuned.yaml")
    journal, picture = out.with_name(f"{out.name}.partial"), out.with_suffix(".png")
    try:
        with StopSignals():
            plan = plan_of(options.policy, options.suite, options.budget, options.seed)
            tuned = search(
                plan,
                journal,
                jobs=options.jobs,
                resume=options.resume,
                on_batch=_Progress(plan),
            )
            write_file(out, file_text(tuned, command_text(options.suite, tuned), out.stem))
            write_front(picture, tuned)
            journal.unlink()
    except KeyboardInterrupt as stop:
        print(f"wattbench: {stop or 'stopped by SIGINT'}", file=sys.stderr)
        if journal.exists():
            print(f"wattbench: what was found so far is in {journal}; --resume goes on from there",
                  file=sys.stderr)  # fmt: skip
        return EXIT_ABORTED
    except (TuneError, ScenarioErrors, UnknownScenarioError, ProfileError, RecordError) as problem:
        for line in str(problem).splitlines():
            print(f"wattbench: {line}", file=sys.stderr)
        return EXIT_ERROR if isinstance(problem, RecordError) else EXIT_USAGE
    if as_json:
        print(json_text(as_dict(tuned, out, picture)))
    else:
        print("\n".join(lines(tuned, out, picture)))
    return 0


def as_dict(tuned: Tuned, out: Path, picture: Path) -> dict[str, Any]:
    """Return what `--json` prints."""
    from .tuning.result import provenance_of

    provenance = provenance_of(tuned, "")
    wanted = ("default_objective_ratio", "rule_objective_ratio", "tuned_objective_ratio", "front")
    return {
        "exit_code": 0,
        "policy": tuned.plan.kind,
        "parameters": dict(tuned.tried[tuned.chosen].parameters),
        "points": len(tuned.tried),
        "used_simulations": provenance["used_simulations"],
        **{key: provenance[key] for key in wanted},
        "file": str(out),
        "picture": str(picture),
    }


def lines(tuned: Tuned, out: Path, picture: Path) -> list[str]:
    """Return what is printed: the starts and the chosen point, then its values."""
    tried = tuned.tried
    rows: list[tuple[str, ...]] = [("", "J / J of zero", "export", "added import", "changes/min")]
    rows += [_row(point.origin, point) for point in tried if point.origin != "search"]
    rows.append(_row("chosen", tried[tuned.chosen]))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    shown = [
        "  ".join(
            cell.rjust(width) if k else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    values = ", ".join(f"{key} {value:g}" for key, value in tried[tuned.chosen].parameters.items())
    shown += ["", f"{tuned.plan.kind}: {values}"]
    shown += [f"{len(tuned.front)} of {len(tried)} points are on the front: {picture}", str(out)]
    return shown


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
    """Says after each batch how far the search is, on stderr."""

    def __init__(self, plan: Plan) -> None:
        self._begin_s = perf_counter()
        runs, points = len(plan.runs), plan.points
        print(
            f"{plan.kind}: {points} points of {runs} simulations, {points * runs} of the budget's "
            f"{plan.budget}",
            file=sys.stderr,
        )

    def __call__(self, tried: Sequence[Tried], points: int) -> None:
        scores = [point.score for point in tried if point.score is not None]
        ratios = [score.objective_ratio for score in scores if score.feasible]
        best = f"{min(ratios):.4f}" if ratios else "none"
        left_s = (perf_counter() - self._begin_s) * (points - len(tried)) / len(tried)
        print(
            f"{len(tried)}/{points} points, least J / J of zero: {best}, about {left_s:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
