"""What `wattbench bench latency` does: measure, show, write, compare.

The table goes to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .problems import say

if TYPE_CHECKING:
    from ..hil.latency.gates import Judged, Rule
    from ..hil.latency.measure import LatencyRun
    from ..scenarios.model import Scenario

EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_INCONCLUSIVE = 0, 1, 2, 3
EXIT_ABORTED, EXIT_ERROR, EXIT_RIG, EXIT_UNSAFE = 4, 5, 6, 7

_PLANT_STEP_S = 0.2
"""Control periods are multiples of it."""


class _UsageError(Exception):
    """The command cannot be carried out as it was given; one line says why."""


@dataclass(frozen=True, slots=True)
class LatencyOptions:
    """What `wattbench bench latency` was told."""

    rig: str
    policy: str = "pi"
    scenario: str = "demo"
    seconds: float = 60.0
    period_s: float | None = None
    deadline_s: float | None = None
    json_path: Path | None = None
    compare: Path | None = None
    fail: tuple[str, ...] = ()


def latency(options: LatencyOptions) -> int:
    """Measure, show, write, compare; return the exit code."""
    from ..agents.policy import PolicyError
    from ..evaluation.record import RecordError
    from ..hil.errors import RigError
    from ..hil.latency.gates import ComparisonError, RuleError
    from ..hil.latency.measure import LatencyError
    from ..hil.latency.reference import ReferenceUnavailableError
    from ..hil.selection import UnknownPolicyError
    from ..scenarios.devices import UnknownProfileError
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError
    from ..scenarios.rigs import UnknownRigError
    from ..sim.profiles.findings import ProfileError
    from .setup import SetupError

    usage = (
        *(RuleError, ComparisonError, LatencyError, PolicyError, ProfileError, SetupError),
        *(UnknownPolicyError, UnknownProfileError, UnknownRigError, UnknownScenarioError),
        *(ScenarioErrors, _UsageError),
    )
    try:
        return _latency(options)
    except usage as problem:
        return _said(problem, EXIT_USAGE)
    except KeyboardInterrupt as stop:
        return _said(str(stop) or "stopped by SIGINT", EXIT_ABORTED)
    except RigError as problem:
        return _said(problem, EXIT_RIG)
    except (RecordError, ReferenceUnavailableError) as problem:
        return _said(problem, EXIT_ERROR)


def _said(problem: object, code: int) -> int:
    say(problem)
    return code


def _latency(options: LatencyOptions) -> int:
    from ..evaluation.files import write_at_once
    from ..evaluation.model import json_text
    from ..hil import identity
    from ..hil.latency.gates import parse_rule
    from ..hil.latency.measure import SPANS, measure
    from ..hil.latency.report import document
    from ..hil.progress import shown
    from ..hil.safestate import StopSignals
    from .setup import setup_of

    # Everything that can be wrong with the command line comes before minutes of measuring.
    rules = [parse_rule(text, SPANS) for text in options.fail]
    earlier = None if options.compare is None else _earlier(options.compare, rules)
    if rules and earlier is None:
        raise _UsageError("--fail says what must not get worse than --compare FILE; give that too")
    _check_out(options.json_path)
    scenario = _scenario(options)
    setup = setup_of(scenario.rig, scenario)
    with StopSignals() as signals, shown() as progress:
        run = measure(
            scenario,
            setup,
            options.rig,
            scenario.policies[0],
            signals,
            progress,
            deadline_s=options.deadline_s,
        )
    if run.outcome.cause:
        safe = run.outcome.safe_state
        code = EXIT_UNSAFE if safe is not None and not safe.confirmed else EXIT_ABORTED
        return _said(run.outcome.reason, code)
    content = document(run, _machine_info(identity.machine()), identity.git_revision())
    if options.json_path is not None:
        write_at_once(options.json_path, json_text(content, None))
    _show(run, content)
    if options.json_path is not None:
        print(f"wrote {options.json_path}")
    if earlier is None:
        return EXIT_PASS
    judged = _judge(rules, content, earlier)
    _show_gates(judged, content, earlier)
    verdicts = {one.verdict for one in judged}
    if "fail" in verdicts:
        return EXIT_FAIL
    return EXIT_INCONCLUSIVE if "inconclusive" in verdicts else EXIT_PASS


def _scenario(options: LatencyOptions) -> Scenario:
    """Load the scenario and cut it down to one policy, on the wall clock, without faults."""
    from ..scenarios.library import locate
    from ..scenarios.load import load_scenario
    from .policies import named_policies

    scenario = load_scenario(locate(options.scenario))
    period_s = options.period_s or scenario.clock.control_period_s
    steps = period_s / _PLANT_STEP_S
    if not math.isfinite(steps) or abs(steps - round(steps)) > 1e-9 or not 1 <= steps <= 1500:
        raise _UsageError(f"--period is {period_s:g}; allowed: multiples of 0.2 up to 300 s")
    if options.deadline_s is not None and not 0 < options.deadline_s <= 3600:
        raise _UsageError(f"--deadline is {options.deadline_s:g}; allowed: above 0, at most 3600 s")
    if options.seconds < 10 * period_s:
        raise _UsageError(
            f"--seconds is {options.seconds:g}; allowed: at least {10 * period_s:g}, ten periods"
        )
    clock = scenario.clock.model_copy(
        update={
            "mode": "wall",
            "factor": 1.0,
            "duration_s": float(options.seconds),
            "control_period_s": period_s,
            # At every other step something is written, even if the policy has nothing new to say.
            "refresh_s": 1.5 * period_s,
        }
    )
    own = (*scenario.policies, *scenario.baselines)
    changed: Scenario = scenario.model_copy(
        update={
            "clock": clock,
            "rig": options.rig,
            "policies": named_policies((options.policy,), own),
            "baselines": (),
            "limits": (),
            "faults": (),
            "audit": None,
        }
    )
    return changed


def _check_out(path: Path | None) -> None:
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise _UsageError(f"--json: cannot write to {path}; allowed: a file in a folder that is")


def _earlier(path: Path, rules: list[Rule]) -> Mapping[str, Any]:
    """Read an earlier measurement and see that it has what the rules need."""
    from ..hil.latency.gates import ComparisonError, measured_of

    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise _UsageError(f"--compare: {path}: {problem.strerror or problem}") from None
    except ValueError:
        raise _UsageError(f"--compare: {path} is no JSON") from None
    if not isinstance(content, dict) or "wattbench_latency" not in content:
        raise _UsageError(f"--compare: {path} was not written by `bench latency --json`")
    for rule in rules:
        try:
            measured_of(content, rule.span)
        except ComparisonError as problem:
            raise _UsageError(f"--compare: {path}: {problem}") from None
    return content


def _judge(
    rules: list[Rule], content: Mapping[str, Any], earlier: Mapping[str, Any]
) -> list[Judged]:
    from ..hil.latency.gates import judge, measured_of

    return [
        judge(rule, measured_of(content, rule.span), measured_of(earlier, rule.span))
        for rule in rules
    ]


def _machine_info(machine: Mapping[str, Any]) -> dict[str, Any]:
    """Return the machine as pytest-benchmark names its parts."""
    import platform

    return {
        "node": platform.node(),
        "processor": platform.processor(),
        "machine": platform.machine(),
        "python_implementation": platform.python_implementation(),
        "python_version": platform.python_version(),
        "system": platform.system(),
        "release": platform.release(),
        "cpu": {"count": machine.get("processors", 0)},
        "wattbench": dict(machine),
    }


def _show(run: LatencyRun, content: Mapping[str, Any]) -> None:
    from ..hil.latency.report import rows

    said = content["wattbench_latency"]
    table = _table("span", "p50", "p95", "p99", "max", "÷ reference", "n")
    for row in rows(run):
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.3g}"
        times = [_ms(row[key]) for key in ("p50_s", "p95_s", "p99_s", "max_s")]
        table.add_row(row["name"], *times, ratio, str(row["count"]))
    _print(table)
    print(
        f"rig {run.rig}, policy {run.policy}, {run.steps} steps of {run.period_s:g} s: "
        f"{said['deadline_misses']} ticks missed their deadline of {run.deadline_s:g} s, "
        f"{said['skipped']} of them skipped"
    )
    if math.isfinite(said["reference_spread"]):
        print(f"the machine's speed wandered by {said['reference_spread']:.2f}x")


def _show_gates(
    judged: list[Judged], content: Mapping[str, Any], earlier: Mapping[str, Any]
) -> None:
    from ..hil.latency.gates import ComparisonError, measured_of

    then, now = earlier["wattbench_latency"], content["wattbench_latency"]
    for key in ("rig", "policy", "scenario", "period_s"):
        if then.get(key) != now[key]:
            said = f"{key} was {then.get(key)}, is {now[key]}"
            print(f"wattbench: not the same measurement: {said}", file=sys.stderr)
    table = _table("gate", "earlier p50", "now p50", "factor", "95 %", "verdict")
    for one in judged:
        medians = []
        for document in (earlier, content):
            try:
                values = measured_of(document, one.rule.span).values
                medians.append(_ms(float(sorted(values)[(len(values) - 1) // 2])))
            except ComparisonError:
                medians.append("–")
        factor = one.factor
        between = f"{factor.low:.2f} … {factor.high:.2f}"
        table.add_row(str(one.rule), *medians, f"{factor.value:.2f}", between, one.verdict)
    if judged:
        _print(table)
    for one in judged:
        if one.reason:
            print(f"{one.rule}: {one.verdict}: {one.reason}")


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3f} ms"


def _table(*headings: str) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(headings):
        table.add_column(heading, justify="left" if number == 0 else "right", no_wrap=True)
    return table


def _print(table: Any) -> None:
    from rich.console import Console

    # Wide enough for every column also where there is no terminal.
    width = None if sys.stdout.isatty() else 120
    Console(file=sys.stdout, width=width, highlight=False).print(table)
