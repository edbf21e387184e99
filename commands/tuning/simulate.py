"""One simulation of a search: a policy on a scenario and a seed, of which only numbers are kept."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from .score import MEASURED

if TYPE_CHECKING:
    from ...agents.policy import PolicyConfig
    from ...scenarios.model import Scenario


class TuneError(Exception):
    """A policy cannot be tuned as it was asked for; one line says why."""


def simulate(scenario: Scenario, seed: int, policy: PolicyConfig) -> Mapping[str, float] | None:
    """Run a policy once; return the measurements that a score needs, by metric id.

    None: the policy failed. Its record goes to a folder that is removed at once.

    Raises:
        KeyboardInterrupt: the run was stopped by a signal.
        TuneError: the run ended for a reason that is not its policy's.
    """
    from ...evaluation.metrics import measure
    from ...hil.bench import Bench

    part = scenario.model_copy(update={"policies": (policy,), "seeds": (seed,)})
    with tempfile.TemporaryDirectory(prefix="wattbench-tune-", ignore_cleanup_errors=True) as out:
        (result,) = Bench(part, Path(out), measure=measure).run()
    outcome = result.outcome
    if outcome.cause == "signal":
        raise KeyboardInterrupt(outcome.reason)
    if outcome.cause == "policy":
        return None
    if outcome.cause:
        where = f"scenario '{scenario.name}', policy '{policy.label}', seed {seed}"
        raise TuneError(f"{where}: the run ended early: {outcome.reason}")
    return {key: result.measurements[key] for key in MEASURED}
