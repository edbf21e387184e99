"""What a finished search leaves: the parameter file with its provenance."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .final import reduction_of
from .found import Tried, Tuned
from .plan import SEARCH_SEEDS
from .score import OBJECTIVES, Score, mean_objective_wh
from .search import BATCH
from .simulate import TuneError

_CHOICE: Final = (
    "the starts and the points with the least J in the search (geometric mean over the runs, as a "
    "share of that of `zero`) ran again on the final's seeds; the one with the least J there, and "
    "there alone, is taken. Points that break a limit on changes or safety are left out"
)
_OPTIMISER: Final = (
    f"Optuna's TPESampler (multivariate), asked and told in batches of {BATCH}; half of the points "
    "for the front, half for J"
)
_HEAD: Final = """# Parameters of the policy '{kind}', found by a search. {where}:
#   - {{kind: {kind}, parameters: {name}}}
# Made by: {command}
"""
_PLAIN: Final = re.compile(r"[A-Za-z_][\w./-]*")


def command_text(arguments: tuple[str, ...], tuned: Tuned) -> str:
    """Return the command that leads to the same file; where it is written does not matter."""
    plan = tuned.plan
    given = shlex.join(arguments)
    return f"wattbench tune {plan.kind} {given} --budget {plan.budget} --seed {plan.seed}"


def name_of(out: Path) -> str:
    """Return what scenarios beside a parameter file call it; a shipped one has its short name."""
    from ...scenarios.parameters import FOLDER

    return out.stem if out.resolve().parent == FOLDER.resolve() else out.name


def file_text(tuned: Tuned, command: str, name: str) -> str:
    """Return the parameter file; ``name`` is what scenarios call it."""
    from ...scenarios.report import yaml_text

    kind = tuned.plan.kind
    parameters = {"kind": kind, **tuned.tried[tuned.chosen].parameters}
    lines = "\n#   ".join(command.splitlines())  # a path may hold a line's end
    where = "In a list of policies"
    if Path(name).suffix:  # none of the shipped
        where += f" (the path is seen from there; or --policy {name})"
    head = _HEAD.format(kind=kind, where=where, name=_quoted(name), command=lines)
    values = yaml_text({"parameters": parameters})
    provenance = yaml_text({"provenance": provenance_of(tuned, command)}, leaves_in_line=True)
    text = f"{head}{values}{provenance}"
    return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def _quoted(name: str) -> str:
    """Return a name as YAML takes it inside of braces."""
    return name if _PLAIN.fullmatch(name) else json.dumps(name)


def provenance_of(tuned: Tuned, command: str) -> dict[str, Any]:
    """Return where the chosen parameters come from, as plain values."""
    from ...scenarios.parameters import Provenance

    plan, finals = tuned.plan, tuned.finals
    rules = [_ratio(point) for point in finals.values() if point.origin == "rule"]
    content = {
        "command": command,
        "training": list(_training(tuned)),
        "budget_simulations": plan.budget,
        "used_simulations": tuned.simulations,
        "objectives": OBJECTIVES,
        "choice": _CHOICE,
        "optimiser": _OPTIMISER,
        "optimiser_seed": plan.seed,
        "default_objective_ratio": _ratio(finals[0]),
        "rule_objective_ratio": min((r for r in rules if r is not None), default=None),
        "tuned_objective_ratio": _ratio(finals[tuned.chosen]),
        "reduction": _reduction(tuned),
        "finalists": [_finalist(tuned, index) for index in finals],
        "front": [_front_point(tuned, index) for index in tuned.front],
        "versions": _versions(),
    }
    return Provenance.model_validate(content).model_dump(mode="json")


def _training(tuned: Tuned) -> Any:
    """Yield each scenario with J before and after in the final."""
    begin = 0
    default, chosen = tuned.finals[0], tuned.finals[tuned.chosen]
    for part in tuned.plan.training:
        seeds = tuned.plan.final_seeds(part)
        end = begin + len(seeds)
        yield {
            "scenario": part.scenario.name,
            "hash": part.scenario.hash(),
            "search_seeds": part.seeds[:SEARCH_SEEDS],
            "final_seeds": seeds,
            "import_weight": part.scenario.objective.import_weight,
            "unserved_weight": part.scenario.objective.unserved_weight,
            "default_objective_wh": _mean_wh(default, begin, end),
            "tuned_objective_wh": _mean_wh(chosen, begin, end),
        }
        begin = end


def _mean_wh(tried: Tried, begin: int, end: int) -> float | None:
    runs = [run for run in tried.runs[begin:end] if run is not None]
    return _short(mean_objective_wh(runs)) if len(runs) == end - begin else None


def _ratio(tried: Tried) -> float | None:
    return None if tried.score is None else _short(tried.score.objective_ratio)


def _reduction(tuned: Tuned) -> Mapping[str, Any] | None:
    found = reduction_of(tuned)
    if found is None:
        return None
    ends = {"low": found.low, "high": found.high} if found.known else {}
    shares = {"estimate": found.estimate, **ends}
    return {
        **{key: _short(value) for key, value in shares.items()},
        "level": found.level,
        "pairs": found.pairs,
        "scenarios": found.strata,
    }


def _finalist(tuned: Tuned, index: int) -> Mapping[str, Any]:
    point = tuned.finals[index]
    return {
        "search_objective_ratio": _ratio(tuned.tried[index]),
        "objective_ratio": _ratio(point),
        "kept_limits": point.score is not None and point.score.feasible,
        "origin": point.origin,
        "chosen": index == tuned.chosen,
        "parameters": dict(point.parameters),
    }


def _front_point(tuned: Tuned, index: int) -> Mapping[str, Any]:
    tried = tuned.tried[index]
    score = tried.score
    assert isinstance(score, Score)  # on the front are only points that were scored
    numbers = ("export_share", "added_import_share", "changes_per_min", "objective_ratio")
    return {
        **{name: _short(getattr(score, name)) for name in numbers},
        "origin": tried.origin,
        "chosen": index == tuned.chosen,
        "parameters": dict(tried.parameters),
    }


def _short(value: float) -> float:
    """Return a number with six digits: more would differ between machines."""
    return float(f"{value:.6g}")


def _versions() -> dict[str, str | None]:
    import optuna

    from ... import __version__
    from ...hil import identity

    found = {"wattbench": __version__, "git_revision": identity.git_revision()}
    return {**found, **identity.packages(), "optuna": optuna.__version__}


def check_free(path: Path, picture: Path) -> None:
    """Refuse to write over what no search has made; what one has made can be made again.

    Raises:
        TuneError: there is such a file, or no command would take it for parameters.
    """
    from ...scenarios.errors import ScenarioErrors
    from ...scenarios.parameters import load_parameters

    if path.suffix not in {".yaml", ".yml"}:
        raise TuneError(f"--out {path}: allowed: a name that ends in .yaml")
    if not path.exists():
        if picture.exists():
            raise TuneError(f"{picture} is there already; choose another --out, or remove it")
        return
    try:
        made = load_parameters(path).provenance is not None
    except ScenarioErrors:
        made = False
    if not made:
        raise TuneError(
            f"{path} is there already, and is no file of an earlier search that could be made "
            "again; choose another --out, or remove it"
        )
