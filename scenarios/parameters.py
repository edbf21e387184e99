"""Parameter files: a policy's values and where they come from, as ``wattbench tune`` writes them.

``{kind: pi, parameters: pi}`` in a list of policies takes over the values of the shipped file
``pi``, ``parameters: lab.yaml`` those of a file seen from the one that names it. What stands
beside it wins. Like ``extends``, it is gone once a scenario is loaded: plain values are left, each
with its place in the file that wrote it.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from ..sim.config import Model
from .devices import load_model, load_with_tree
from .errors import ScenarioError, ScenarioErrors, shorten
from .extends import merge
from .files import names_file
from .library import is_path
from .model import PolicyConfig
from .source import Node, dotted

#: Where the shipped files are.
FOLDER: Final = Path(__file__).parents[1] / "fixtures" / "tuned"
KEY: Final = "parameters"
#: What tells a shipped file from a kind of policy on the command line: `tuned-pi`.
PREFIX: Final = "tuned-"
#: What a policy with the values of the shipped file is called: `pi-tuned`. Nobody else is.
SUFFIX: Final = "-tuned"
#: What one with other values out of a file is called that has no name of its own: `pi-own`.
OWN_SUFFIX: Final = "-own"
#: The policy that everything is held against.
ZERO: Final = "zero"
_SECTIONS: Final = ("policies", "baselines")


class TrainedOn(Model):
    """One scenario of the training."""

    scenario: str
    """Its name."""
    hash: str
    """Of its resolved content."""
    search_seeds: tuple[int, ...]
    """Those on which points were searched."""
    final_seeds: tuple[int, ...]
    """Those, all others, on which the finalists ran and the choice was made."""
    import_weight: float
    """What one kWh of import costs in its J, in kWh of export."""
    unserved_weight: float
    """What one kWh of unserved load energy costs in its J, in kWh of export."""
    default_objective_wh: float | None
    """Mean J over the final's seeds with the policy's default parameters; null: it failed."""
    tuned_objective_wh: float
    """Mean J over the final's seeds with the parameters of this file."""


class Reduction(Model):
    """By how much J is below that of the defaults on the final's seeds, as a share.

    It is slightly too good: the chosen point is the best of the few finalists there.
    """

    estimate: float
    """1 − exp(mean over scenarios and seeds of ln(J / J of the defaults))."""
    low: float | None = None
    """Lower end of the paired bootstrap interval; null: there are too few pairs for one."""
    high: float | None = None
    level: float
    pairs: int
    scenarios: int


class Finalist(Model):
    """A point that ran again on the final's seeds."""

    search_objective_ratio: float | None
    """J in the search, as a share of `zero`'s; null: the policy failed in a run."""
    objective_ratio: float | None
    """J in the final, likewise: what decides."""
    kept_limits: bool
    """Whether the limits on changes and safety were kept in the final."""
    origin: str
    """defaults, rule (a published one) or search."""
    chosen: bool
    """Whether the file's parameters are this point's."""
    parameters: dict[str, int | float]


class FrontPoint(Model):
    """A point of the search that no other one beats in every objective."""

    export_share: float
    """Export, as a share of `zero`'s; mean over the search's runs, like all that follow."""
    added_import_share: float
    """Import beyond `zero`'s, as a share of `zero`'s export."""
    changes_per_min: float
    """Command changes a minute."""
    objective_ratio: float
    """J, as a share of `zero`'s; geometric mean."""
    origin: str
    """defaults, rule (a published one) or search."""
    chosen: bool = False
    """Whether the file's parameters are this point's."""
    parameters: dict[str, int | float]


class Provenance(Model):
    """Where the parameters of a file come from."""

    command: str
    """The command that made the file."""
    training: tuple[TrainedOn, ...]
    budget_simulations: int = Field(ge=1)
    """Simulations that the search and the final were allowed."""
    used_simulations: int = Field(ge=1)
    """Simulations that were made: a point takes one on each scenario and seed."""
    objectives: tuple[str, ...]
    """What the front is of."""
    choice: str
    """Why the chosen point was taken."""
    optimiser: str
    """The library's sampler and how it was used."""
    optimiser_seed: int
    default_objective_ratio: float | None
    """J of the default parameters in the final, as a share of `zero`'s; geometric mean. Null: the
    policy failed in a run."""
    rule_objective_ratio: float | None = None
    """J of the parameters that a published rule gives; null: none that kept the limits."""
    tuned_objective_ratio: float
    """J of the parameters of this file."""
    reduction: Reduction | None = None
    """Of J against the defaults; null: the defaults failed in a run."""
    finalists: tuple[Finalist, ...]
    front: tuple[FrontPoint, ...]
    versions: dict[str, str | None]
    """Of wattbench, Python and packages, and the git revision."""


class ParameterFile(Model):
    """A parameter file."""

    parameters: PolicyConfig
    """A policy's kind and values, as in a scenario's list of policies."""
    provenance: Provenance | None = None
    """Where they come from; null: written by hand."""


class UnknownParametersError(LookupError):
    """A name that no shipped parameter file has."""

    def __str__(self) -> str:
        return str(self.args[0])


def shipped_names() -> tuple[str, ...]:
    """Return the names of the shipped parameter files, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def locate_parameters(argument: str, directory: Path = Path()) -> Path:
    """Return the file that an argument means: a path seen from ``directory``, or a shipped name.

    Raises `UnknownParametersError` with the nearest name; a path that does not exist is returned
    as it is, and reading it says so.
    """
    if is_path(argument):
        return directory / Path(argument).expanduser()
    names = shipped_names()
    if argument in names:
        return FOLDER / f"{argument}.yaml"
    near = difflib.get_close_matches(argument, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; allowed: {', '.join(names)}"
    raise UnknownParametersError(
        f"no parameters '{argument}' come with the package{hint} (a file is given by its path, "
        "ending in .yaml)"
    )


def load_parameters(path: Path) -> ParameterFile:
    """Read and validate a parameter file.

    Raises `ScenarioErrors`: everything that is wrong with it.
    """
    return load_model(path, ParameterFile, names_file=names_file)


def tuned_policy(name: str) -> PolicyConfig | None:
    """Return the policy that a name on the command line means: ``tuned-pi`` or a YAML file.

    None: it means neither.

    Raises:
        ScenarioErrors: the file is not valid.
        UnknownParametersError: no shipped file has that name.
    """
    if is_path(name) and Path(name).suffix in {".yaml", ".yml"}:
        path = locate_parameters(name)
    elif name.startswith(PREFIX):
        path = locate_parameters(name.removeprefix(PREFIX))
    else:
        return None
    policy = load_parameters(path).parameters
    if policy.name is not None:
        return policy
    suffix = SUFFIX if has_shipped_values(policy) else OWN_SUFFIX
    return policy.model_copy(update={"name": f"{policy.label}{suffix}"})


def has_shipped_values(policy: PolicyConfig) -> bool:
    """Return whether a policy's values are those of the shipped file of its kind."""
    kind = _kind_of(policy)
    path = FOLDER / f"{kind}.yaml"
    if kind not in _shipped and path.is_file():
        _shipped[kind] = _nameless(load_parameters(path).parameters)
    return _shipped.get(kind) == _nameless(policy)


def reserved(policy: PolicyConfig) -> str:
    """Return why a policy must not have its name, empty if it may.

    `zero` and `pi-tuned` stand for what everybody means by them: metrics, scores and claims are
    held against policies of these names.
    """
    name, kind = policy.label, _kind_of(policy)
    if name == ZERO and kind != ZERO:
        return f"'{ZERO}' is the name of kind {ZERO} alone; allowed: another name"
    tuned = name.removesuffix(SUFFIX)
    if tuned == name or tuned not in shipped_names():
        return ""
    if kind == tuned and has_shipped_values(policy):
        return ""
    return (
        f"'{name}' is the name of kind {tuned} with the values of the shipped file alone, and "
        f"this one has others; allowed: another name, or {{kind: {tuned}, parameters: {tuned}}}"
    )


def _kind_of(policy: PolicyConfig) -> str:
    return str(type(policy).model_fields["kind"].default)


def _nameless(policy: PolicyConfig) -> PolicyConfig:
    return policy.model_copy(update={"name": None})


_shipped: Final[dict[str, PolicyConfig]] = {}
"""Values of the shipped files that were read, by kind."""


def expand(root: Node) -> list[ScenarioError]:
    """Put the values of parameter files into the policies and baselines of a merged tree.

    Returns what is wrong; a policy whose file cannot be used keeps what stands beside it.
    """
    errors: list[ScenarioError] = []
    for items, index, item in _entries(root):
        reference = item.value.pop(KEY) if isinstance(item.value, dict) else None
        if reference is None or reference.spoiled:
            continue
        try:
            items[index] = _merged(item, reference)
        except ScenarioErrors as problem:
            errors.extend(problem.errors)
            # With the name that it would have, so that it is not taken for another one.
            kind = item.child("kind")
            if isinstance(item.value, dict) and kind is not None and "name" not in item.value:
                name = f"{kind.plain()}{OWN_SUFFIX}"
                item.value["name"] = Node(name, reference.place, reference.key_place)
    return errors


def _entries(root: Node) -> Iterator[tuple[list[Node], int, Node]]:
    for section in _SECTIONS:
        node = root.child(section)
        if node is not None and isinstance(node.value, list):
            for index, item in enumerate(node.value):
                if item.child(KEY) is not None:
                    yield node.value, index, item


def _merged(item: Node, reference: Node) -> Node:
    """Return a policy's entry over the values of the file that it refers to."""

    def wrong(message: str) -> ScenarioErrors:
        field = dotted((*item.path, KEY))
        return ScenarioErrors([ScenarioError.at(reference.place, field, message)])

    if not isinstance(reference.value, str):
        what = shorten(reference.plain())
        raise wrong(f"got {what}; allowed: the path of a YAML file or a shipped name")
    try:
        path = locate_parameters(reference.value, Path(reference.place.file).parent)
    except UnknownParametersError as problem:
        raise wrong(str(problem)) from None
    if not path.is_file():
        raise wrong(f"no such file: {shorten(reference.value)}; allowed: a parameter file")
    file, root = load_with_tree(path, ParameterFile, names_file=names_file)
    if path == FOLDER / path.name:
        _shipped[path.stem] = _nameless(file.parameters)
    values = root.child(KEY)
    assert values is not None  # it is valid
    assert isinstance(values.value, dict)
    kind, wanted = str(values.value["kind"].value), item.child("kind")
    if wanted is not None and wanted.value != kind:
        raise wrong(
            f"{values.value['kind'].place} has parameters of kind {kind}; allowed: a file for "
            f"kind {wanted.plain()}"
        )
    merged = merge(values, item)
    assert isinstance(merged.value, dict)
    if "name" not in merged.value:
        suffix = SUFFIX if _has_shipped_values(merged) else OWN_SUFFIX
        merged.value["name"] = Node(f"{kind}{suffix}", reference.place, reference.key_place)
    merged.number(item.path)
    return merged


def _has_shipped_values(entry: Node) -> bool:
    """Whether a policy's entry, which may have mistakes, has the values of the shipped file."""
    try:
        text = json.dumps({"parameters": entry.plain()})
        policy = ParameterFile.model_validate_json(text, strict=True).parameters
    except ValidationError:
        return False
    return has_shipped_values(policy)
