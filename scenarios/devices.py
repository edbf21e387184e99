"""Device profiles: from a file, or the name of a shipped one, to a profile."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from .errors import Place, ScenarioError, ScenarioErrors
from .library import is_path
from .messages import did_you_mean
from .source import Node, Step, read_document

if TYPE_CHECKING:
    from ..hil.devices.model import DeviceProfile

M = TypeVar("M", bound=BaseModel)


class UnknownProfileError(LookupError):
    """A name that no shipped device profile has."""

    def __str__(self) -> str:
        return str(self.args[0])


def load_device_profile(argument: str | Path) -> DeviceProfile:
    """Return the device profile in a file, or the shipped one of that name.

    Raises `ScenarioErrors`: everything that is wrong with the file; `UnknownProfileError` for a
    name that is neither.
    """
    path = locate_profile(argument)
    return _load(path, path.stat().st_mtime_ns if path.is_file() else 0)


def locate_profile(argument: str | Path) -> Path:
    """Return the file that an argument means: a path, or the name of a shipped profile.

    Raises `UnknownProfileError` with the nearest name; a path that does not exist is returned as
    it is, and reading it says so.
    """
    from ..hil.devices.model import DEVICES_FOLDER, profile_names

    if isinstance(argument, Path) or is_path(argument):
        return Path(argument).expanduser()
    names = profile_names()
    if argument in names:
        return DEVICES_FOLDER / f"{argument}.yaml"
    near = difflib.get_close_matches(argument, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; allowed: {', '.join(names)}"
    raise UnknownProfileError(
        f"no device profile '{argument}'{hint} (a file is given by its path, ending in .yaml)"
    )


@functools.lru_cache(maxsize=64)
def _load(path: Path, _changed_ns: int) -> DeviceProfile:
    from ..hil.devices.model import DeviceProfile

    return load_model(path, DeviceProfile, name_from_file=True, checks=_problems)


def _problems(parts: BaseModel | None) -> Iterator[tuple[Step, str]]:
    yield from _sunspec_problems(parts)
    yield from _quantity_problems(parts)


def _quantity_problems(parts: BaseModel | None) -> Iterator[tuple[Step, str]]:
    """Yield quantities of actuators and safe bands that nothing on the bus writes or reads."""
    from ..hil.devices.model import quantities

    modbus, zigbee = getattr(parts, "modbus", None), getattr(parts, "zigbee", None)
    if modbus is None and zigbee is None:
        return
    written, read = quantities(modbus, zigbee, "w"), quantities(modbus, zigbee, "r")
    for index, actuator in enumerate(getattr(parts, "actuators", None) or ()):
        path: Step = ("actuators", index, "quantity")
        yield from _missing(path, actuator.quantity, written, "writes")
        if actuator.safe is not None:
            path = ("actuators", index, "safe", "quantity")
            yield from _missing(path, actuator.safe.quantity, read, "reads")


def _missing(
    path: Step, quantity: str, known: Iterable[str], does: str
) -> Iterator[tuple[Step, str]]:
    if quantity not in known:
        allowed = f"; allowed: {', '.join(sorted(known)) or 'none'}"
        hint = did_you_mean(quantity, known) or allowed
        yield path, f"no point {does} '{quantity}'{hint}"


def _sunspec_problems(parts: BaseModel | None) -> Iterator[tuple[Step, str]]:
    """Yield what a profile wants of SunSpec models that they do not have."""
    from ..hil.devices.sunspec import SunspecError, layout

    modbus = getattr(parts, "modbus", None)
    if modbus is None or modbus.sunspec is None:
        return
    for index, model in enumerate(modbus.sunspec.models):
        path: Step = ("modbus", "sunspec", "models", index)
        try:
            known = layout(model.id, tuple(model.counts.items())).points
        except SunspecError as problem:
            yield (*path, "id"), str(problem)
            continue
        for key, names in (("points", model.points), ("values", model.values)):
            for name in names:
                if name not in known:
                    message = f"SunSpec model {model.id} has no such point"
                    yield (*path, key, name), message + did_you_mean(name, known)


def load_model(
    path: Path,
    model: type[M],
    *,
    name_from_file: bool = False,
    names_file: Callable[[Step], bool] = lambda _: False,
    checks: Callable[[BaseModel | None], Iterable[tuple[Step, str]]] = lambda _: (),
) -> M:
    """Return the model in a YAML file that stands on its own (nothing is extended).

    With ``name_from_file`` a file that has no key `name` is named after itself. ``names_file`` and
    ``checks`` are `Validation`'s: which texts name files, and what is wrong that the model cannot
    say, from what is valid of it. Raises `ScenarioErrors`, in order of position.
    """
    made, _ = load_with_tree(
        path, model, name_from_file=name_from_file, names_file=names_file, checks=checks
    )
    return made


def load_with_tree(
    path: Path,
    model: type[M],
    *,
    name_from_file: bool = False,
    names_file: Callable[[Step], bool] = lambda _: False,
    checks: Callable[[BaseModel | None], Iterable[tuple[Step, str]]] = lambda _: (),
) -> tuple[M, Node]:
    """Return the model as `load_model` does, and what stands where in its file."""
    from .validate import Validation

    document = read_document(path)
    errors = list(document.errors)
    if document.root is None:
        raise ScenarioErrors(errors)
    if name_from_file:
        set_name(document.root, path)
    document.root.number()
    validation = Validation(document.root, model, names_file=names_file, checks=checks)
    errors += validation.errors
    if errors or validation.result is None:
        errors = errors or [ScenarioError.at(Place(str(path)), "", "the file is not valid")]
        raise ScenarioErrors(sorted(errors, key=lambda error: (error.line, error.column)))
    return validation.result, document.root


def set_name(root: Node, path: Path) -> None:
    """Name what does not name itself after its file."""
    if isinstance(root.value, dict) and "name" not in root.value:
        name = re.sub(r"[^a-z0-9_.-]", "_", path.stem.lower()).strip("_.-")[:64] or "unnamed"
        place = Place(str(path))
        root.value["name"] = Node(name, place, place, path=("name",))
