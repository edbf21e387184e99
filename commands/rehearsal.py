"""Whether what a scenario names outside of itself can be used: networks, encoders, logs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..agents.policy import PolicyError
from ..hil.bench import Bench
from ..hil.safestate import Interrupted, StopSignals
from ..sim.profiles.findings import ProfileError
from .show import EXIT_ABORTED

if TYPE_CHECKING:
    from ..scenarios.model import Scenario


def what_fails(scenario: Scenario) -> str:
    """Build profiles and policies as a run would; return what is wrong, empty for nothing."""
    bench = Bench(scenario, Path(), measure=lambda record: {})
    try:
        with StopSignals():  # a network may never return, and then hears no other handler
            bench.rehearse()
    except (PolicyError, ProfileError) as problem:
        return str(problem)
    except Interrupted as stop:
        print(f"wattbench: {stop}", file=sys.stderr)
        raise SystemExit(EXIT_ABORTED) from None
    return ""
