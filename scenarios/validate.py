"""Validation of a file's tree against its model: all mistakes at once, each at its place.

pydantic stops at a model whose keys are wrong before it looks at how they fit together, and says
nothing of the models above. So the tree is mended where it is wrong (a misspelt key takes the
name that was meant, a bad value is cut out) and validated again until nothing new is found; what
cutting alone has caused is not reported.

`Validation` takes any model: scenarios (with their checks across parts: `scenario_validation`),
rigs, device profiles.
"""

from __future__ import annotations

import copy
import functools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import ErrorDetails

from . import messages
from .errors import ScenarioError, shorten
from .files import files_of
from .mending import Workpiece
from .slots import DISCRIMINATOR, Located, Slot, field_slot, is_model, locate, slot_of, stand_in
from .source import Node, Step, dotted

_MAX_ROUNDS = 50

#: Where the tree is mended, and what does it; returns whether that changed anything.
Mend = tuple[Step, Callable[[], bool]]

M = TypeVar("M", bound=BaseModel)


class Validation(Generic[M]):
    """One validation of a tree: gathers ``errors``; ``result`` is there if there are none.

    Checks that a model cannot make belong into a subclass: `_across`, `_missing_more`.
    """

    def __init__(
        self,
        root: Node,
        model: type[M],
        *,
        complete: bool = True,
        names_file: Callable[[Step], bool] = lambda _: False,
        checks: Callable[[BaseModel | None], Iterable[tuple[Step, str]]] = lambda _: (),
    ) -> None:
        """Validate ``root`` against ``model``.

        With ``complete`` False keys that are missing are not reported. ``names_file`` says of a
        path of keys whether the text there names a file, which then must exist and is made
        absolute; fields of type `Path` always do. ``checks`` returns what is wrong with how parts
        fit together, with paths in the file, from what is valid of them.
        """
        self.errors: list[ScenarioError] = []
        self.result: M | None = None
        self._model = model
        self._names_file = names_file
        self._checks = checks
        self._root = root
        self._complete = complete
        self._meant: set[Step] = set()
        self._reported: set[tuple[Step, str]] = set()
        self._work = Workpiece(root.copy())
        self._tree = self._work.tree
        self._named_files(self._tree)
        parts = self._settle()
        if parts is not None:
            self._files(parts)
        self._missing_sections()
        if complete:
            for path, message in self._across(parts):
                self._report(path, message)
        if not self.errors and complete:
            self._finish()

    def _finish(self) -> None:
        try:
            self.result = self._model.model_validate_json(_json(self._tree), strict=True)
        except ValidationError as problem:
            self._take(problem, slot_of(self._model))

    def _across(self, parts: BaseModel | None) -> Iterable[tuple[Step, str]]:
        """Return what is wrong with how parts fit together, where the model does not say."""
        return self._checks(parts)

    def _missing_more(self) -> None:
        """Report what is missing in sections that the model leaves open."""

    def _settle(self) -> BaseModel | None:
        """Validate and mend until the tree is valid; return what is valid of it."""
        model = _partial(self._model)
        for _ in range(_MAX_ROUNDS):
            try:
                return model.model_validate_json(_json(self._tree), strict=True)
            except ValidationError as problem:
                if not self._take(problem, slot_of(model)):
                    return None
        return None

    def _take(self, problem: ValidationError, slot: Slot) -> bool:
        """Report errors and mend the tree; return whether that changed it."""
        groups: dict[Step, list[tuple[ErrorDetails, Located]]] = defaultdict(list)
        for error in problem.errors(include_url=False):
            located = locate(slot, error["loc"])
            groups[located.path].append((error, located))
        self._meant = set(filter(None, (self._meant_path(*found[0]) for found in groups.values())))
        mends = [self._one(path, found) for path, found in groups.items()]
        # Deepest first, and the last item of a list first: a cut shifts the items behind it.
        mends.sort(key=lambda mend: _depth_first(mend[0]), reverse=True)
        changed = [mend() for _, mend in mends]
        return any(changed)

    def _meant_path(self, error: ErrorDetails, located: Located) -> Step | None:
        """Return the path that an unknown key was meant to have."""
        if error["type"] != "extra_forbidden" or located.above is None:
            return None
        node, _ = self._tree.find(located.path)
        meant = messages.meant_key(str(located.path[-1]), node.plain(), located.above.keys())
        return (*located.path[:-1], meant[0]) if meant is not None else None

    def _one(self, path: Step, found: list[tuple[ErrorDetails, Located]]) -> Mend:
        """Report the errors at one path as one; return what mends the tree, and where."""
        error, located = found[0]
        kind, slot = error["type"], located.slot
        node, depth = self._tree.find(path)
        own = (*node.path, *path[depth:])
        cut_out = path, functools.partial(self._work.cut_out, path)
        if kind == "extra_forbidden" and located.above is not None:
            keys = located.above.keys()
            message = messages.unknown_key(str(path[-1]), node.plain(), keys, _homes(self._model))
            self._report(own, message, at_key=True)
            return path, functools.partial(self._work.rename, path, keys)
        if kind == "missing":
            return self._missing(path, own, slot)
        if kind == "too_short" and self._long_enough(node, slot):
            return path, _nothing
        # The second: a validator made it None, having found fault with something else.
        if own in self._work.tainted or (error["input"] is None and node.value is not None):
            return cut_out
        if messages.is_kind_error(kind) and slot is not None:
            self._report_kind(own, node, slot)
            return cut_out
        texts = [messages.wrong_value(item, node.plain(), place.slot) for item, place in found]
        if len(found) > 1:
            texts = [messages.merged_union(texts, node.plain(), self._slot_at(path))]
        inside = messages.place_inside(error)
        if inside:
            return self._inside((*path, *inside), texts[0])
        model = slot.model if slot is not None else None
        named = messages.field_in_message(texts[0], model.model_fields) if model else None
        if named is None:
            self._report(own, texts[0])
            return cut_out
        self._report((*own, named), texts[0].removeprefix(f"{named} "))
        if node.child(named) is None:
            return cut_out
        return (*path, named), functools.partial(self._work.cut_out, (*path, named))

    def _inside(self, path: Step, message: str) -> Mend:
        """Report what a model says of one of its own parts, at ``path`` in the tree."""
        node, depth = self._tree.find(path)
        own = (*node.path, *path[depth:])
        if own not in self._work.cut:
            self._report(own, message, at_key=message.startswith("unknown key"))
        return path, functools.partial(self._work.cut_out, path)

    def _missing(self, path: Step, own: Step, slot: Slot | None) -> Mend:
        """Report a missing key and put a stand-in there; cut out what lacks it if there is none."""
        if path in self._meant:
            return path, _nothing
        if own not in self._work.cut and self._complete:
            self._report(own, messages.missing_key(slot))
        value = stand_in(slot) if slot is not None else None
        if value is None or own in self._work.added:
            return path[:-1], functools.partial(self._work.cut_out, path[:-1])
        return path, functools.partial(self._work.add, path, own, value)

    def _long_enough(self, node: Node, slot: Slot | None) -> bool:
        """Return whether a list is only too short because its items are wrong."""
        least = slot.bound("min_length") if slot is not None else None
        return least is not None and isinstance(node.value, list) and len(node.value) >= least

    def _slot_at(self, path: Step) -> Slot:
        """Return the slot at ``path`` in the tree as the model has it."""
        slot: Slot | None = slot_of(self._model)
        node: Node | None = self._tree
        for step in path:
            if slot is not None and len(slot.members) > 1 and node is not None:
                child = node.child(DISCRIMINATOR)
                slot = slot_of(slot.kinds[str(child.value)]) if child is not None else None
            if slot is None or node is None:
                break
            slot = slot.items() if isinstance(step, int) else slot.key(step)
            node = node.child(step)
        return slot or slot_of(Any)

    def _report_kind(self, own: Step, node: Node, slot: Slot) -> None:
        child = node.child(DISCRIMINATOR)
        path = (*own, DISCRIMINATOR)
        if child is not None:
            if not child.spoiled:
                self._report(path, messages.wrong_kind(child.plain(), slot))
        elif self._complete and path not in self._work.cut:
            self._report(path, messages.missing_kind(slot))

    def _missing_sections(self) -> None:
        if not self._complete or not isinstance(self._root.value, dict):
            return
        for name, field in self._model.model_fields.items():
            if (
                field.is_required()
                and name not in self._root.value
                and name not in self._tree_keys()
            ):
                self._report((name,), messages.missing_key(field_slot(field)))
        self._missing_more()

    def _tree_keys(self) -> dict[str, Node]:
        return self._tree.value if isinstance(self._tree.value, dict) else {}

    def _report(self, path: Step, message: str, *, at_key: bool = False) -> None:
        """Add an error at a path of the file; where that does not exist, at the nearest above."""
        if (path, message) in self._reported:
            return
        self._reported.add((path, message))
        node, depth = self._root.find(path)
        at_key = at_key or depth < len(path) or isinstance(node.value, dict)
        place = node.key_place if at_key else node.place
        self.errors.append(ScenarioError.at(place, dotted(path), message))

    def _named_files(self, node: Node) -> None:
        """Check files that are named by a key, before anything around them is cut out."""
        for step, child in node.children():
            if isinstance(child.value, str) and self._names_file((*node.path, step)):
                self._file(child, Path(child.value))
            self._named_files(child)

    def _files(self, parts: BaseModel) -> None:
        """Check files that are named by the type of their field."""
        for path, file in files_of(parts):
            node, depth = self._tree.find(path)
            if depth == len(path):
                self._file(node, file)

    def _file(self, node: Node, file: Path) -> None:
        """Make the path of a file absolute, seen from the file that names it."""
        try:
            target = (Path(node.place.file).parent / file.expanduser()).resolve()
            exists, folder = target.is_file(), target.is_dir()
        except (OSError, ValueError, RuntimeError):
            exists = folder = False
        if exists:
            node.value = str(target)
        elif folder:
            self._report(node.path, f"{shorten(str(file))} is a folder; allowed: a file")
        else:
            self._report(node.path, f"no such file: {shorten(str(file))}; allowed: a file")


def _nothing() -> bool:
    return False


def _json(node: Node) -> str:
    return json.dumps(node.plain())


def _depth_first(path: Step) -> tuple[int, tuple[tuple[int, str], ...]]:
    """Return a sort key: deeper is more, and of two items of one list the later is more."""
    return len(path), tuple((s, "") if isinstance(s, int) else (-1, s) for s in path)


@functools.cache
def _partial(model: type[BaseModel]) -> type[BaseModel]:
    """Return a model with every key optional, so that parts validate on their own."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        optional = copy.copy(field)
        if field.is_required():
            optional.default = None
        fields[name] = (optional.annotation, optional)
    return create_model(f"Partial{model.__name__}", __base__=model.__base__, **fields)


@functools.cache
def _homes(root: type[BaseModel]) -> dict[str, str]:
    """Return for each key below the top its place, where it has only one outside of lists."""
    places: dict[str, list[str]] = defaultdict(list)

    def visit(slot: Slot, path: Step) -> None:
        models = [slot.model] if slot.model else [m for m in slot.members if is_model(m)]
        for model in models:
            for name, field in model.model_fields.items():
                places[name].append(dotted((*path, name)))
                visit(field_slot(field), (*path, name))

    visit(slot_of(root), ())
    return {name: found[0] for name, found in places.items() if len(set(found)) == 1}
