"""Which policies a command's options name: of a scenario, kinds, networks, parameter files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..agents.policy import PolicyConfig


def named_policies(names: Iterable[str], own: Sequence[PolicyConfig]) -> tuple[PolicyConfig, ...]:
    """Return the configurations that names stand for, each once, in the order given.

    ``own`` are the scenario's policies and baselines, which come first.

    Raises:
        UnknownPolicyError: a name stands for nothing.
        ScenarioErrors: a parameter file is not valid.
    """
    from ..hil.selection import UnknownPolicyError, select_policies
    from ..scenarios.parameters import UnknownParametersError, reserved, tuned_policy

    try:
        chosen = select_policies(names, own, tuned_policy)
    except UnknownParametersError as problem:
        raise UnknownPolicyError(str(problem)) from None
    for refused in filter(None, map(reserved, chosen)):
        raise UnknownPolicyError(f"--policy: {refused}")
    return chosen
