"""The end of a suite: it is judged from its folder, written down and shown."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..run import judge as judge_records
from ..show import EXIT_ERROR, EXIT_USAGE

if TYPE_CHECKING:
    from ...evaluation.suite.judgement import SuiteJudgement


def judge(folders: Sequence[Path], *, as_json: bool) -> int:
    """Judge records, or one suite, again from their folders alone; return the exit code."""
    from ...evaluation.files import DamagedError, RecordError
    from ...evaluation.suite.judge import judge_suite
    from ...evaluation.suite.results import IDENTITY_FILE

    if len(folders) != 1 or not (folders[0] / IDENTITY_FILE).is_file():
        return judge_records(folders, as_json=as_json)
    try:
        return show(judge_suite(folders[0]), as_json=as_json)
    except RecordError as problem:
        print(f"wattbench: {problem}", file=sys.stderr)
        damaged = isinstance(problem, DamagedError)
        code = EXIT_ERROR if damaged else EXIT_USAGE
        if as_json:
            verdict = "ERROR" if damaged else None
            print_json({"verdict": verdict, "exit_code": code, "error": str(problem)})
        return code


def finish(folder: Path, junit: Path | None) -> SuiteJudgement:
    """Judge a suite, and write its summary, JUnit file (to ``junit`` too) and report.

    Raises:
        RecordError: the folder cannot be read, or the disk refuses.
    """
    from ...evaluation.files import replace_text, writing
    from ...evaluation.report.suite import write_suite_report
    from ...evaluation.suite.judge import judge_suite, store_suite
    from ...evaluation.suite.junit import suite_junit_xml

    judgement = judge_suite(folder)
    store_suite(judgement)
    text = suite_junit_xml(judgement).rstrip("\n")
    for path in (folder / "junit.xml", *([] if junit is None else [junit])):
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, text)
    write_suite_report(judgement)
    return judgement


def show(judgement: SuiteJudgement, *, as_json: bool) -> int:
    """Print a judged suite; return its exit code."""
    from ...evaluation.suite.text import suite_lines

    code = int(judgement.exit_code)
    if as_json:
        print_json(judgement.as_dict())
        return code
    for line in suite_lines(judgement):
        print(line)
    report = judgement.folder / "report.html"
    if report.exists():
        print(report)
    return code


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    from ...evaluation.model import json_text

    print(json_text(content))
