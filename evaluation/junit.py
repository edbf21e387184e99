"""JUnit XML of judgements: one suite a run, one case a limit; equal judgements, equal text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from .judge import Judgement
from .limits import LimitResult
from .units import format_quantity
from .verdict import Verdict

#: Characters that XML 1.0 cannot hold, escaped or not.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(judgements: Sequence[Judgement]) -> str:
    """Return the JUnit document of one or more runs.

    FAIL is a failure; ERROR, ABORTED and INCONCLUSIVE are errors of that type, since nothing was
    shown; a limit that is not judged is skipped. Where the run itself, not a limit, decides the
    verdict (aborted, damaged record, no limits), a case called ``run`` says so; where a safe state
    was not confirmed, a failed case called ``safe state`` does.
    """
    root = ET.Element("testsuites", name="wattbench")
    for judgement in judgements:
        _suite(root, judgement)
    return document(root)


def document(root: ET.Element) -> str:
    """Return a tree as the text of a file."""
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "unicode") + "\n"


def _suite(root: ET.Element, judgement: Judgement) -> None:
    header = judgement.header
    name = f"{header.scenario_name}.{header.policy_name}.seed{header.seed}"
    suite = ET.SubElement(root, "testsuite", name=clean(name))
    add_properties(
        suite,
        {
            "verdict": judgement.verdict.name,
            "exit_code": str(int(judgement.exit_code)),
            "scenario": header.scenario_name,
            "scenario_hash": header.scenario_hash,
            "policy": header.policy_name,
            "policy_hash": header.policy_hash,
            "rig": header.rig_name,
            "rig_hash": header.rig_hash,
            "profiles_hash": header.profiles_hash,
            "trace_sha256": header.trace_sha256 or "",
            "seed": str(header.seed),
            "clock": header.clock_mode,
            "decision_rule": header.decision_rule,
            "git_revision": header.git_revision or "",
            "wattbench_version": header.wattbench_version,
        },
    )
    for result in judgement.limits:
        _limit_case(suite, name, result)
    decided = roll_up_of(judgement.limits)
    if decided is not judgement.verdict:
        case = ET.SubElement(suite, "testcase", classname=clean(name), name="run", time="0")
        add_outcome(case, judgement.verdict, judgement.reason)
    if header.safe_state.confirmed is False:
        case = ET.SubElement(suite, "testcase", classname=clean(name), name="safe state", time="0")
        message = clean(f"safe state not confirmed: {header.safe_state.note}")
        ET.SubElement(case, "failure", type="UNSAFE", message=message).text = message
    count_cases(suite)


def count_cases(suite: ET.Element) -> None:
    """Write into a suite how many cases it has, and how many did not pass."""
    cases = suite.findall("testcase")
    for tag in ("failure", "error", "skipped"):
        attribute = {"failure": "failures", "error": "errors"}.get(tag, tag)
        suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
    suite.set("tests", str(len(cases)))


def roll_up_of(results: Sequence[LimitResult]) -> Verdict | None:
    """Return the most severe verdict of limits; None if none was judged."""
    return max((r.verdict for r in results if r.verdict is not None), default=None)


def _limit_case(suite: ET.Element, classname: str, result: LimitResult) -> None:
    limit = result.limit
    case = ET.SubElement(
        suite, "testcase", classname=clean(classname), name=clean(limit.text()), time="0"
    )
    add_properties(
        case,
        {
            "metric": limit.metric,
            "measured": f"{result.measured:.9g}",
            "bound": f"{result.bound:.9g}",
            "unit": result.unit,
            **({"uncertainty": result.rule} if result.rule else {}),
        },
    )
    measured = format_quantity(result.measured, result.unit)
    bound = format_quantity(result.bound, result.unit)
    sign = "at most" if limit.upper else "at least"
    text = f"{limit.entry.name}: measured {measured}, allowed {sign} {bound}"
    add_outcome(case, result.verdict, f"{text}; {result.reason}" if result.reason else text)


def add_outcome(case: ET.Element, verdict: Verdict | None, message: str) -> None:
    """Add what came of a case: nothing for PASS; skipped for None, which is not judged."""
    if verdict is None:
        ET.SubElement(case, "skipped", message=clean(message))
    elif verdict is not Verdict.PASS:
        tag = "failure" if verdict is Verdict.FAIL else "error"
        element = ET.SubElement(case, tag, type=verdict.name, message=clean(message))
        element.text = clean(message)


def add_properties(parent: ET.Element, values: Mapping[str, str]) -> None:
    """Add properties by name."""
    properties = ET.SubElement(parent, "properties")
    for name, value in values.items():
        ET.SubElement(properties, "property", name=name, value=clean(value))


def clean(text: str) -> str:
    """Return a text in which XML can hold every character."""
    return _FORBIDDEN.sub("\ufffd", text)
