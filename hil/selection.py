"""Which policies a run takes, by the names given for it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pydantic import ValidationError

from ..agents.policy import POLICIES, PolicyConfig

_MODEL_SUFFIX = ".onnx"


class UnknownPolicyError(LookupError):
    """A name that is no policy; the message gives the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


def select_policies(
    names: Iterable[str],
    own: Sequence[PolicyConfig],
    tuned: Callable[[str], PolicyConfig | None] = lambda name: None,
) -> tuple[PolicyConfig, ...]:
    """Return the configurations that names stand for, each once, in the order given.

    A name is one of the scenario's own policies or baselines (``own``), any kind of policy (with
    its defaults), what ``tuned`` finds (the policy of a parameter file; None: it is none), or the
    path of an ONNX file with its encoder (``.json``) beside it. What ``tuned`` raises is raised.

    Raises:
        UnknownPolicyError: it is none of these.
    """
    chosen: dict[str, PolicyConfig] = {}
    for name in names:
        policy = _select(name, own, tuned)
        if policy.label in chosen and chosen[policy.label] != policy:
            raise UnknownPolicyError(
                f"--policy {name}: another one given is called '{policy.label}', too; allowed: a "
                "name of its own (name: … beside kind, in its YAML file)"
            )
        chosen[policy.label] = policy
    return tuple(chosen.values())


def _select(
    name: str, own: Sequence[PolicyConfig], tuned: Callable[[str], PolicyConfig | None]
) -> PolicyConfig:
    for policy in own:
        if policy.label == name:
            return policy
    found = tuned(name)
    if found is not None:
        return found
    if Path(name).suffix == _MODEL_SUFFIX:
        return _network(Path(name))
    if name in POLICIES:
        try:
            return POLICIES[name].config()
        except ValidationError as error:
            first = error.errors()[0]
            what = f"{'.'.join(map(str, first['loc']))}: {first['msg'].lower()}"
            raise UnknownPolicyError(
                f"a policy of kind '{name}' needs parameters ({what}); list it in the scenario"
            ) from None
    known = list(dict.fromkeys([*(policy.label for policy in own), *POLICIES]))
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    raise UnknownPolicyError(
        f"no policy '{name}'; {hint}allowed: {', '.join(known)}, or the path of a .onnx or "
        "parameter (.yaml) file"
    )


def _network(path: Path) -> PolicyConfig:
    encoder = path.with_suffix(".json")
    for file in (path, encoder):
        if not file.is_file():
            what = "the encoder of that network" if file is encoder else "that network"
            problem = "is a folder; allowed: a file" if file.is_dir() else "no such file"
            raise UnknownPolicyError(f"{file}: {problem} ({what})")
    label = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem).lstrip("_.-")[:64] or "network"
    return POLICIES["onnx"].config.model_validate(
        {"name": label, "path": str(path.resolve()), "encoder": str(encoder.resolve())}
    )
