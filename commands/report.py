"""What `wattbench report` does: writes a recorded run's page anew, or for the first time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .run import UsageError, records_in
from .show import EXIT_USAGE

_EXIT_PASS: Final = 0
_ASSETS: Final = "assets"
_DEPTH: Final = 3
"""A run lies in runs/<scenario>/<run> below its suite's folder."""


def report(runs: Sequence[Path]) -> int:
    """Write ``report.html`` into records' folders, print the files' names; return the exit code."""
    from ..evaluation.files import RecordError
    from ..evaluation.judge import judge
    from ..evaluation.report import report_input, write_report

    problems = []
    for given in runs:
        try:
            for folder in records_in(given):
                page = folder / "report.html"
                write_report(page, report_input(judge(folder)), shared_library(folder))
                print(page)
        except (RecordError, UsageError) as problem:
            problems.append(str(problem))
    for line in problems:
        print(f"wattbench: {line}", file=sys.stderr)
    return EXIT_USAGE if problems else _EXIT_PASS


def shared_library(folder: Path) -> Path | None:
    """Return where the suite that a run belongs to keeps the plotting library; None outside one."""
    from ..evaluation.suite.results import IDENTITY_FILE

    for above in folder.resolve().parents[:_DEPTH]:
        if (above / IDENTITY_FILE).is_file():
            return above / _ASSETS
    return None
