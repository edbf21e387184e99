"""What `wattbench audit` does: which scenarios, and what it shows of them.

A scenario's block goes to stdout as soon as its runs are done; errors go to stderr.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .problems import say
from .show import EXIT_ABORTED, EXIT_USAGE

if TYPE_CHECKING:
    from .auditing import ScenarioAudit, Tally

_EXIT_HOLDS, _EXIT_BROKEN = 0, 1
_HEADINGS = ("policy", "role", "passed", "mean J", "mean export", "limits not kept")


@dataclass(frozen=True, slots=True)
class AuditOptions:
    """What `wattbench audit` was told; without scenarios: the whole library."""

    scenarios: tuple[str, ...] = ()
    seeds: int | None = None
    jobs: int = 2
    out: Path | None = None


def audit(options: AuditOptions, *, as_json: bool) -> int:
    """Audit scenarios and print what was found; return the exit code."""
    from ..evaluation.model import json_text
    from ..evaluation.record import RecordError
    from ..hil.safestate import StopSignals
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError, locate, names
    from ..sim.profiles.findings import ProfileError
    from .auditing import AuditError
    from .auditing import audit as run_audit

    def show(result: ScenarioAudit) -> None:
        if not as_json:
            print("\n".join(block(result)), flush=True)

    try:
        files = [locate(name) for name in options.scenarios] or list(names().values())
        with StopSignals():
            results = run_audit(
                files, seeds=options.seeds, jobs=options.jobs, out=options.out, on_audit=show
            )
    except KeyboardInterrupt as stop:
        print(f"wattbench: {stop or 'stopped by SIGINT'}", file=sys.stderr)
        return EXIT_ABORTED
    except (AuditError, ScenarioErrors, UnknownScenarioError, ProfileError, RecordError) as problem:
        say(problem)
        return EXIT_USAGE
    broken = [result.name for result in results if not result.holds]
    code = _EXIT_BROKEN if broken else _EXIT_HOLDS
    if as_json:
        rows = [as_dict(result) for result in results]
        print(json_text({"holds": not broken, "exit_code": code, "scenarios": rows}))
    else:
        print(f"{len(results) - len(broken)} of {len(results)} scenarios hold")
        if broken:
            print(f"broken: {', '.join(broken)}")
    return code


def block(result: ScenarioAudit) -> list[str]:
    """Return a scenario's table and findings as lines."""
    lines = [f"{result.name} ({result.kind}): {'holds' if result.holds else 'BROKEN'}"]
    table = [_HEADINGS, *(_row(tally) for tally in result.tallies)]
    widths = [max(len(row[k]) for row in table) for k in range(len(_HEADINGS))]
    lines += [f"  {_aligned(row, widths)}" for row in table]
    lines += [f"  {'ok ' if f.holds else 'NOT'}  {f.text}" for f in result.findings]
    return [*lines, ""]


def as_dict(result: ScenarioAudit) -> dict[str, Any]:
    """Return what `--json` prints of a scenario."""
    policies = [
        {
            "policy": tally.policy,
            "role": tally.role,
            "seeds": len(tally.runs),
            "passed": tally.passed,
            "failed": tally.failed,
            "objective_wh": tally.mean("objective_wh"),
            "export_wh": tally.mean("export_wh"),
            "limits_not_kept": tally.failed_limits(),
        }
        for tally in result.tallies
    ]
    findings = [{"holds": f.holds, "text": f.text} for f in result.findings]
    return {
        "name": result.name,
        "kind": result.kind,
        "holds": result.holds,
        "findings": findings,
        "policies": policies,
    }


def _row(tally: Tally) -> tuple[str, ...]:
    limits = ", ".join(f"{name} {count}×" for name, count in tally.failed_limits().items())
    return (
        tally.policy,
        tally.role,
        f"{tally.passed}/{len(tally.runs)}",
        _kwh(tally.mean("objective_wh")),
        _kwh(tally.mean("export_wh")),
        limits,
    )


def _kwh(energy_wh: float) -> str:
    return f"{energy_wh / 1000:.2f} kWh" if math.isfinite(energy_wh) else "–"


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    right = {2, 3, 4}
    cells = [
        cell.rjust(width) if k in right else cell.ljust(width)
        for k, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()
