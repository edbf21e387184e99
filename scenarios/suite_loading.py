"""Loading suites: from a file to a suite, or to everything that is wrong with it.

Each scenario is merged as YAML before it is validated, so that every mistake keeps the place where
it was written: in the scenario's file, or in the suite's.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from .devices import set_name
from .errors import Place, ScenarioError, ScenarioErrors
from .extends import merge_roots, read_base, resolve
from .load import is_scenario_root, is_suite_root
from .messages import did_you_mean
from .parameters import expand
from .scenario_validation import ScenarioValidation
from .source import Node, Step, dotted, read_document
from .suite import Stratum, Suite, SuiteFile, Variant, problems
from .validate import Validation

_TAKEN_OVER = ("policies", "baselines", "decision_rule")
#: Keys that a scenario's validity may depend on.
_OF_SCENARIOS = {"", "name", "scenarios", "variants", "policies", "baselines", "limits"}


def load_suite(path: str | Path) -> Suite:
    """Read and validate a suite file and every scenario in it.

    Raises `ScenarioErrors`: everything that is wrong with it, in order of position.
    """
    path = Path(path)
    document = read_document(path)
    if document.root is None:
        raise ScenarioErrors(document.errors)
    root = document.root
    if is_scenario_root(root):
        message = "this is a scenario, and a suite is wanted; a scenario is run by: wattbench run"
        text = f"{message} {shlex.quote(str(path))}"
        raise ScenarioErrors([ScenarioError.at(root.place, "", text)])
    set_name(root, path)
    root.number()
    document.errors += expand(root)
    validation = Validation(root, SuiteFile, checks=problems)
    errors = [*document.errors, *validation.errors]
    if errors or validation.result is None:
        errors = errors or [ScenarioError.at(Place(str(path)), "", "the file is not valid")]
        errors += _besides(path, root, errors)
        raise ScenarioErrors(sorted(errors, key=lambda error: (error.line, error.column)))
    composition = _Composition(path, validation.result, root)
    strata = composition.strata()
    if composition.errors:
        raise ScenarioErrors(composition.ordered())
    return Suite(path, validation.result, strata)


def _besides(path: Path, root: Node, errors: list[ScenarioError]) -> list[ScenarioError]:
    """Return what is wrong with the scenarios of a file that has mistakes, so that all is told.

    Where the mistakes may be why a scenario is not valid, only names of scenarios are looked at.
    """
    faulty = {error.field.partition(".")[0].partition("[")[0] for error in errors}
    if isinstance(root.value, dict) and not faulty & _OF_SCENARIOS:
        rest = {key: node for key, node in root.value.items() if key not in faulty}
        rest.setdefault("seeds", Node([Node(1, root.place, root.place)], root.place, root.place))
        tree = Node(rest, root.place, root.key_place)
        config = Validation(tree, SuiteFile, checks=problems).result
        if config is not None:
            composition = _Composition(path, config, tree)
            composition.strata()
            return composition.ordered()
    scenarios = root.child("scenarios")
    found = []
    for _, node in scenarios.children() if scenarios is not None else ():
        reference = node.child("scenario") or node
        if isinstance(reference.value, str):
            found += read_base(path, reference, dotted(reference.path)).errors
    return found


def is_suite(path: Path) -> bool:
    """Return whether a file is meant to be a suite rather than a scenario, by its keys."""
    root = read_document(path).root
    return root is not None and is_suite_root(root)


class _Composition:
    """Puts the suite's keys over its scenarios; gathers ``errors``."""

    def __init__(self, path: Path, config: SuiteFile, root: Node) -> None:
        self.errors: list[ScenarioError] = []
        self._path = path
        self._config = config
        self._root = root
        self._paths = dict(_places(root))

    def strata(self) -> tuple[Stratum, ...]:
        """Return every scenario in every variant; those with mistakes are left out."""
        found: list[Stratum] = []
        names: dict[str, int] = {}
        for index in range(len(self._config.scenarios)):
            mine = self._of_entry(index)
            for stratum in mine[:1]:
                if stratum.scenario in names:
                    where = f"scenarios[{names[stratum.scenario]}]"
                    message = f"'{stratum.scenario}' is also the name of {where}"
                    self._report(("scenarios", index, "name"), f"{message}; allowed: set a name")
                names.setdefault(stratum.scenario, index)
            found += mine
        self._check_intervals(found)
        return tuple(found)

    def ordered(self) -> list[ScenarioError]:
        """Return the errors by position, those in the suite's file first, each once."""
        mine = str(self._path)
        once = {(e.file, e.line, e.column, e.message): e for e in map(self._explained, self.errors)}
        return sorted(once.values(), key=lambda e: (e.file != mine, e.file, e.line, e.column))

    def _of_entry(self, index: int) -> list[Stratum]:
        node = self._root.find(("scenarios", index))[0]
        entry = self._config.scenarios[index]
        reference = node.child("scenario") or node
        tree = read_base(self._path, reference, dotted(("scenarios", index)))
        self.errors += tree.errors
        if tree.root is None:
            return []
        if is_suite_root(tree.root):
            self._report(("scenarios", index), "this is a suite; allowed: a scenario")
            return []
        set_name(tree.root, resolve(entry.scenario, self._path.parent))
        base_name = tree.root.child("name")
        named = node.child("name") if entry.name is not None else base_name
        found = []
        for variant, change in self._variants():
            merged = merge_roots(tree.root, self._own_keys())
            for over in (node.child("set"), change):
                if over is not None:
                    merged = merge_roots(merged, over)
            merged = self._with_limits(merged, named)
            merged.number()
            self.errors += expand(merged)
            validation = ScenarioValidation(merged, complete=tree.complete)
            self.errors += validation.errors
            if validation.result is not None:
                scenario = validation.result
                found.append(Stratum(scenario.name, variant, scenario))
        return found

    def _variants(self) -> list[tuple[str, Node | None]]:
        variants: tuple[Variant, ...] = self._config.variants
        if not variants:
            return [("", None)]
        return [
            (variant.name, self._root.find(("variants", index))[0].child("set"))
            for index, variant in enumerate(variants)
        ]

    def _own_keys(self) -> Node:
        """Return what the suite says of every scenario, as a mapping to be put over it."""
        root = self._root
        given = {key: root.child(key) for key in _TAKEN_OVER if getattr(self._config, key)}
        seeds = root.child("seeds")
        assert seeds is not None  # required
        numbers = [Node(seed, seeds.place, seeds.key_place) for seed in self._config.seeds]
        given["seeds"] = Node(numbers, seeds.place, seeds.key_place)
        keys = {key: node for key, node in given.items() if node is not None}
        return Node(keys, root.place, root.key_place)

    def _with_limits(self, merged: Node, named: Node | None) -> Node:
        """Return the scenario with the suite's limits behind its own, and without its audit."""
        assert isinstance(merged.value, dict)
        keys = {key: node for key, node in merged.value.items() if key != "audit"}
        if named is not None:
            keys["name"] = named
        own, added = keys.get("limits"), self._root.child("limits")
        if own is not None and added is not None:
            if isinstance(own.value, list) and isinstance(added.value, list):
                keys["limits"] = Node([*own.value, *added.value], own.place, own.key_place)
        elif added is not None:
            keys["limits"] = added
        return Node(keys, merged.place, merged.key_place)

    def _check_intervals(self, strata: list[Stratum]) -> None:
        for index, limit in enumerate(self._config.interval_limits):
            against = getattr(limit, "vs", None)
            for stratum in strata:
                names = [policy.label for policy in stratum.experiment.baselines]
                if against is None or against in names:
                    continue
                hint = did_you_mean(against, names)
                message = f"scenario '{stratum.name}' has no baseline '{against}'"
                allowed = ", ".join(names) or "none: list it under baselines"
                path: Step = ("interval_limits", index, "vs")
                self._report(path, f"{message}; allowed: {allowed}{hint}")
                break

    def _report(self, path: Step, message: str) -> None:
        node, depth = self._root.find(path)
        place = node.place if depth == len(path) else node.key_place
        self.errors.append(ScenarioError.at(place, dotted(path), message))

    def _explained(self, error: ScenarioError) -> ScenarioError:
        """Say where in the suite a key stands, or that it is the suite that asks for a scenario."""
        if error.file != str(self._path):
            note = f" (as suite '{self._config.name}' uses it)"
            return replace(error, message=error.message + note)
        path = self._paths.get((error.line, error.column))
        if path is None:
            return error
        own, last = dotted(path), error.field.rpartition(".")[2]
        message = error.message
        if last == "limits" and message.startswith("has 0 items"):
            message += "; the suite has no limits either, and a run without any is not judged"
        same = own.endswith(last) or own.startswith(error.field)
        return replace(error, field=own if same else f"{own}.{last}", message=message)


def _places(root: Node) -> Iterator[tuple[tuple[int, int], Step]]:
    """Yield the path of each value by its place, and by that of its key."""
    for _, child in root.children():
        for place in (child.key_place, child.place):
            yield (place.line, place.column), child.path
        yield from _places(child)
