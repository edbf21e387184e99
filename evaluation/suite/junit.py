"""JUnit XML of a judged suite, from its results alone; equal judgements, equal text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from ..junit import add_outcome, add_properties, clean, count_cases, document
from ..units import format_quantity
from ..verdict import ExitCode, Verdict
from .judgement import IntervalLimitResult, SuiteJudgement
from .results import RunRow
from .text import shown, shown_interval


def suite_junit_xml(judgement: SuiteJudgement) -> str:
    """Return the JUnit document of a suite.

    A test suite a run, named ``<scenario> <policy> seed <k>``, with a case a limit; one called
    ``interval limits`` with a case a limit and policy; one called ``suite`` with a case for every
    problem, planned run that is lacking, and baseline that did not complete. FAIL is a failure;
    ERROR, ABORTED and INCONCLUSIVE are errors of that type, since nothing was shown.
    """
    identity = judgement.identity
    root = ET.Element("testsuites", name=clean(f"wattbench suite {identity.name}"))
    add_properties(root, _suite_properties(judgement))
    _of_suite(root, judgement)
    if judgement.interval_limits:
        suite = ET.SubElement(root, "testsuite", name="interval limits", time="0")
        for result in judgement.interval_limits:
            _interval_case(suite, result)
        count_cases(suite)
    for row in judgement.rows:
        if not row.cell.baseline:
            _run(root, row)
    return document(root)


def _suite_properties(judgement: SuiteJudgement) -> dict[str, str]:
    identity = judgement.identity
    versions = {f"version.{name}": str(text) for name, text in sorted(identity.packages.items())}
    return {
        "suite": identity.name,
        "suite_hash": identity.suite_hash,
        "verdict": judgement.verdict.name,
        "exit_code": str(int(judgement.exit_code)),
        "decision_rule": judgement.decision_rule,
        "git_revision": identity.git_revision or "",
        "wattbench_version": identity.wattbench_version,
        **versions,
    }


def _of_suite(root: ET.Element, judgement: SuiteJudgement) -> None:
    """Add what is neither a run's nor a limit's; nothing if there is none of it."""
    suite = ET.Element("testsuite", name="suite", time="0")
    for problem in judgement.problems:
        _case(suite, "suite", "problem", Verdict.ERROR, problem)
    for cell in judgement.missing:
        name = f"{cell.stratum} {cell.policy} seed {cell.seed}"
        _case(suite, "suite", name, Verdict.INCONCLUSIVE, "the run is not finished")
    for row in judgement.rows:
        if row.cell.baseline and row.status != "completed":
            verdict = Verdict.ERROR if row.status == "error" else Verdict.ABORTED
            name = f"{row.cell.stratum} ({row.cell.policy}) seed {row.cell.seed}"
            _case(suite, "suite", name, verdict, row.reason or f"the baseline's run: {row.status}")
    if len(suite):
        count_cases(suite)
        root.append(suite)


def _interval_case(suite: ET.Element, result: IntervalLimitResult) -> None:
    name = f"{result.policy}: {result.text}"
    case = ET.SubElement(suite, "testcase", classname="interval limits", name=clean(name), time="0")
    interval = result.interval
    add_properties(
        case,
        {
            "metric": result.metric,
            "measured": f"{interval.estimate:.9g}",
            "low": f"{interval.low:.9g}",
            "high": f"{interval.high:.9g}",
            "level": f"{interval.level:g}",
            "bound": f"{result.bound:.9g}",
            "unit": result.unit,
            "pairs": str(interval.pairs),
        },
    )
    sign = "at most" if result.upper else "at least"
    measured = shown_interval(interval, result.unit)
    text = f"measured {measured}, allowed {sign} {shown(result.bound, result.unit)}"
    add_outcome(case, result.verdict, f"{text}; {result.reason}" if result.reason else text)


def _run(root: ET.Element, row: RunRow) -> None:
    cell = row.cell
    name = clean(f"{cell.stratum} {cell.policy} seed {cell.seed}")
    suite = ET.SubElement(root, "testsuite", name=name, time=f"{row.elapsed_s:.3f}")
    add_properties(
        suite,
        {
            "verdict": row.verdict or "",
            "exit_code": "" if row.exit_code is None else str(row.exit_code),
            "scenario": cell.scenario,
            "variant": cell.variant,
            "policy": cell.policy,
            "seed": str(cell.seed),
            "record": cell.folder,
            "trace_sha256": row.trace_sha256 or "",
        },
    )
    for limit in row.limits:
        _limit_case(suite, name, limit)
    verdict = Verdict[row.verdict or "ERROR"]
    of_limits = max((found for limit in row.limits if (found := _verdict(limit))), default=None)
    if verdict is not (of_limits or Verdict.PASS):
        _case(suite, name, "run", verdict, row.reason)
    if row.exit_code == ExitCode.UNSAFE:
        case = ET.SubElement(suite, "testcase", classname=name, name="safe state", time="0")
        message = "safe state not confirmed"
        ET.SubElement(case, "failure", type="UNSAFE", message=message).text = message
    count_cases(suite)


def _limit_case(suite: ET.Element, classname: str, limit: Mapping[str, Any]) -> None:
    name = clean(str(limit["limit"]))
    case = ET.SubElement(suite, "testcase", classname=classname, name=name, time="0")
    unit = str(limit["unit"])
    kept = ("metric", "measured", "bound", "unit", "uncertainty", "decision_rule")
    add_properties(
        case,
        {key: _text(limit[key]) for key in kept if limit.get(key) is not None},
    )
    measured, bound = (format_quantity(limit[key], unit) for key in ("measured", "bound"))
    sign = "at most" if limit["direction"] == "max" else "at least"
    text = f"measured {measured}, allowed {sign} {bound}"
    reason = limit.get("reason")
    add_outcome(case, _verdict(limit), f"{text}; {reason}" if reason else text)


def _text(value: Any) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def _verdict(limit: Mapping[str, Any]) -> Verdict | None:
    """Return a limit's verdict; None where it was not judged."""
    word = limit.get("verdict")
    return None if word is None else Verdict[word]


def _case(suite: ET.Element, classname: str, name: str, verdict: Verdict, message: str) -> None:
    case = ET.SubElement(suite, "testcase", classname=classname, name=clean(name), time="0")
    add_outcome(case, verdict, message)
