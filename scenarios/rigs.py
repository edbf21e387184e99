"""Rig files: from a file, or the name of a shipped one, to a rig with its addresses filled in.

A text in a rig file may name environment variables, `${NAME}` or `${NAME:-default}`: one file then
serves several stations, and passwords stay out of it.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .devices import UnknownProfileError, load_device_profile, set_name
from .errors import Place, ScenarioError, ScenarioErrors
from .library import is_path
from .messages import did_you_mean
from .source import Node, Step, dotted, read_document

if TYPE_CHECKING:
    from pydantic import BaseModel

    from ..hil.devices.model import DeviceProfile
    from ..hil.rigs.model import Rig

#: Where the shipped rigs are.
FOLDER: Final = Path(__file__).parents[1] / "fixtures" / "rigs"

#: What `emulated` stands for wherever a rig is asked for.
EMULATED: Final = "emulated"
EMULATED_RIG: Final = "export"

_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_NAME: Final = re.compile(r"^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$", re.DOTALL)


class UnknownRigError(LookupError):
    """A name that no shipped rig has."""

    def __str__(self) -> str:
        return str(self.args[0])


def rig_names() -> tuple[str, ...]:
    """Return the names of the shipped rigs, sorted."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


def locate_rig(argument: str | Path) -> Path:
    """Return the file that an argument means: a path, or the name of a shipped rig.

    `emulated` means the shipped rig `export`, as it does in `wattbench run`.

    Raises `UnknownRigError` with the nearest name; a path that does not exist is returned as it
    is, and reading it says so.
    """
    if isinstance(argument, Path) or is_path(argument) or Path(argument).is_file():
        return Path(argument).expanduser()
    names = rig_names()
    if argument == EMULATED:
        argument = EMULATED_RIG
    if argument in names:
        return FOLDER / f"{argument}.yaml"
    near = difflib.get_close_matches(argument, names, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise UnknownRigError(
        f"no rig '{argument}' comes with the package{hint} (a file is given by its path, ending "
        "in .yaml)"
    )


def load_rig(argument: str | Path, environment: Mapping[str, str] | None = None) -> Rig:
    """Return the rig in a file, or the shipped one of that name.

    Paths of files in it (profiles, keys, certificates) are made absolute, seen from the rig file.

    Args:
        argument: path or name.
        environment: variables that the file may name; default: those of the process.

    Raises:
        ScenarioErrors: everything that is wrong with the file.
        UnknownRigError: a name that no shipped rig has.
    """
    from ..hil.rigs.model import Rig
    from .validate import Validation

    class RigValidation(Validation[Rig]):
        def _files(self, parts: BaseModel) -> None:
            """No field is of type `Path`, and the `path` of a bus is a port, not a file."""

    path = locate_rig(argument)
    document = read_document(path)
    errors = list(document.errors)
    root = document.root
    if root is None:
        raise ScenarioErrors(errors)
    set_name(root, path)
    root.number()
    errors += _expand(root, os.environ if environment is None else environment)
    _profile_paths(root)
    validation = RigValidation(root, Rig, names_file=_names_file)
    errors += validation.errors
    rig = validation.result
    if rig is not None and not errors:
        errors += _profile_errors(rig, root)
    if errors or rig is None:
        errors = errors or [ScenarioError.at(Place(str(path)), "", "the file is not valid")]
        raise ScenarioErrors(sorted(errors, key=lambda error: (error.line, error.column)))
    return rig


def load_profiles(rig: Rig) -> dict[str, DeviceProfile]:
    """Return the device profiles of a rig by the name under which its devices have them.

    Raises `ScenarioErrors` where a profile is not valid.
    """
    return {device.profile: load_device_profile(device.profile) for device in rig.devices}


def expand(text: str, environment: Mapping[str, str]) -> str:
    """Return a text with its environment variables filled in; raise ValueError with a message."""

    def value(match: re.Match[str]) -> str:
        found = _NAME.match(match.group(1))
        if found is None:
            raise ValueError(
                f"'{match.group()}' names no environment variable; allowed: ${{NAME}} or "
                "${NAME:-default}"
            )
        name, default = found.groups()
        if environment.get(name):
            return environment[name]
        if default is None:
            raise ValueError(
                f"environment variable {name} is not set; allowed: set it, or give a default, "
                f"${{{name}:-…}}"
            )
        return default

    return _VARIABLE.sub(value, text)


def _expand(node: Node, environment: Mapping[str, str]) -> list[ScenarioError]:
    """Fill in the variables of all texts below a node; return what is wrong with them."""
    errors = []
    if isinstance(node.value, str) and "${" in node.value:
        try:
            node.value = expand(node.value, environment)
        except ValueError as problem:
            errors.append(ScenarioError.at(node.place, dotted(node.path), str(problem)))
            node.value, node.spoiled = None, True
    for _, child in node.children():
        errors += _expand(child, environment)
    return errors


def _names_file(path: Step) -> bool:
    return path[-1] in {"ca_path", "certificate_path", "key_path"}


def _profile_paths(root: Node) -> None:
    """Make paths of device profiles absolute, seen from the rig file."""
    devices = root.child("devices")
    for _, device in devices.children() if devices is not None else ():
        node = device.child("profile")
        if node is not None and isinstance(node.value, str) and is_path(node.value):
            node.value = str((Path(node.place.file).parent / node.value).resolve())


def _profile_errors(rig: Rig, root: Node) -> list[ScenarioError]:
    """Return what is wrong with the profiles that devices name, and how they fit their bus."""
    errors: list[ScenarioError] = []
    for index, device in enumerate(rig.devices):
        node, _ = root.find(("devices", index, "profile"))
        field = f"devices[{index}].profile"
        try:
            profile = load_device_profile(device.profile)
        except UnknownProfileError as problem:
            errors.append(ScenarioError.at(node.place, field, str(problem)))
            continue
        except ScenarioErrors as problem:
            errors += [error for error in problem.errors if error not in errors]
            continue
        problem_text = _misfit(profile, rig.bus(device.bus))
        if problem_text:
            errors.append(ScenarioError.at(node.place, field, problem_text))
    return errors or _point_errors(rig, root)


def _point_errors(rig: Rig, root: Node) -> list[ScenarioError]:
    """Return which points the rig names that the profiles of its devices do not have."""
    from ..hil.devices.model import readable

    errors: list[ScenarioError] = []
    profiles = load_profiles(rig)
    for path, device, point in rig.named_points():
        known = readable(profiles[device.profile])
        if point not in known:
            node, _ = root.find(path)
            near = did_you_mean(point, known) or f"; allowed: {', '.join(sorted(known))}"
            text = f"profile '{device.profile}' of device '{device.id}' has no point '{point}'"
            errors.append(ScenarioError.at(node.place, dotted(path), text + near))
    return errors


def _misfit(profile: DeviceProfile, bus: Any) -> str:
    """Return why a device cannot be on a bus; empty if it can."""
    spoken = "zigbee" if bus.kind in {"znp", "zigbee2mqtt"} else "modbus"
    if profile.bus != spoken:
        return f"'{profile.name}' speaks {profile.bus}, and bus '{bus.id}' is {bus.kind}"
    if profile.modbus is not None:
        transport = bus.kind.removeprefix("modbus-")
        if transport == "rtu" and "rtu" not in profile.modbus.transports:
            spoken = ", ".join(profile.modbus.transports)
            return f"'{profile.name}' speaks Modbus over {spoken}, and bus '{bus.id}' is a line"
    return ""
