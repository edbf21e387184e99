"""What `wattbench compare` does: two runs, two suites, or a run and a golden trace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .problems import refuse
from .show import EXIT_ERROR, EXIT_USAGE

if TYPE_CHECKING:
    from ..evaluation.divergence import Tolerance
    from ..evaluation.regression import Allowances
    from ..evaluation.run_difference import RunComparison
    from ..evaluation.suite.difference import SuiteComparison

EXIT_SAME, EXIT_REGRESSION = 0, 1


class CompareError(Exception):
    """The command cannot be carried out as it was given; a line each says why."""


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """What `wattbench compare` was told."""

    folders: tuple[Path, ...]
    tolerances: tuple[str, ...] = ()
    """METRIC=VALUE."""
    tolerance_file: Path | None = None
    trace_tolerance: float | None = None
    golden: Path | None = None
    update: bool = False
    every: int | None = None


def compare(options: CompareOptions, *, as_json: bool) -> int:
    """Compare what was given, print it; return the exit code."""
    from ..evaluation.model import json_text
    from .compare_shown import as_dict, lines

    try:
        if options.update:
            return _update(options, as_json=as_json)
        found = _compare(options)
    except Exception as problem:
        code = _exit_code_of(problem)
        if code is None:
            raise
        return refuse(problem, code, as_json=as_json)
    code = EXIT_REGRESSION if found.regressions else EXIT_SAME
    if as_json:
        print(json_text({"exit_code": code, **as_dict(found)}))
    else:
        for line in lines(found):
            print(line)
    return code


def _exit_code_of(problem: Exception) -> int | None:
    """Return the exit code of an error that a user can mend, None for one inside."""
    from ..evaluation.files import DamagedError, RecordError
    from ..evaluation.regression import ToleranceError

    if isinstance(problem, DamagedError):
        return EXIT_ERROR
    usage = CompareError, RecordError, ToleranceError
    return EXIT_USAGE if isinstance(problem, usage) else None


def _compare(options: CompareOptions) -> RunComparison | SuiteComparison:
    from ..evaluation.divergence import EXACT
    from ..evaluation.golden import MACHINES, read_golden
    from ..evaluation.run_difference import compare_runs, compare_with_golden
    from ..evaluation.suite.results import IDENTITY_FILE

    tolerance = _tolerance(options.trace_tolerance)
    allowances = _allowances(options)
    if options.golden is not None:
        if len(options.folders) != 1:
            raise CompareError("--golden is held against one run; give one folder")
        if options.every is not None:
            raise CompareError("--every says what --update keeps; give it with --update")
        golden = read_golden(options.golden)
        run = _the_record(options.folders[0])
        return compare_with_golden(golden, run, tolerance or MACHINES, allowances)
    if options.every is not None:
        raise CompareError("--every says what --golden … --update keeps")
    if len(options.folders) != 2:
        raise CompareError("give two runs or two suites (or one run and --golden)")
    a, b = options.folders
    suites = [(folder / IDENTITY_FILE).exists() for folder in (a, b)]
    if suites[0] != suites[1]:
        run, suite = (a, b) if suites[1] else (b, a)
        raise CompareError(f"{suite} is a suite and {run} is none; give two of a kind")
    if suites[0]:
        if options.trace_tolerance is not None:
            raise CompareError("--trace-tolerance is for traces of runs; these are suites")
        from ..evaluation.suite.difference import compare_suites

        return compare_suites(a, b, allowances)
    return compare_runs(_the_record(a), _the_record(b), tolerance or EXACT, allowances)


def _update(options: CompareOptions, *, as_json: bool) -> int:
    """Keep a run as golden."""
    from ..evaluation.golden import store_golden
    from ..evaluation.model import json_text
    from ..evaluation.record import read_record
    from ..evaluation.run_difference import judged, side_of

    if options.golden is None:
        raise CompareError("--update says that a run becomes golden; give --golden FOLDER too")
    if len(options.folders) != 1:
        raise CompareError("--update keeps one run; give one folder")
    folder = _the_record(options.folders[0])
    record = read_record(folder)
    side, status = side_of(judged(record)), record.header.status
    if status != "completed":
        raise CompareError(f"{folder} was {status}; only a completed run is golden")
    every = options.every or 1
    store_golden(options.golden, record, side.measurements, side.verdict, every=every)
    if as_json:
        print(json_text({"exit_code": EXIT_SAME, "golden": str(options.golden)}))
    else:
        print(f"{options.golden}: {folder} is golden now")
    return EXIT_SAME


def _the_record(given: Path) -> Path:
    """Return the record that a folder is, or the only judged one in it."""
    from .run import UsageError, records_in

    try:
        found = records_in(given)
    except UsageError as problem:
        raise CompareError(str(problem)) from problem
    if len(found) > 1:
        names = ", ".join(path.name for path in found[:4])
        raise CompareError(f"{given} holds {len(found)} runs ({names}, …); name one of them")
    return found[0]


def _tolerance(given: float | None) -> Tolerance | None:
    from ..evaluation.divergence import Tolerance

    return None if given is None else Tolerance(given, given)


def _allowances(options: CompareOptions) -> Allowances:
    """Return the tolerances that were declared, or the defaults if none were."""
    from ..evaluation.regression import default_allowances, parse_allowances

    items: list[tuple[str, object]] = []
    if options.tolerance_file is not None:
        items += _from_file(options.tolerance_file)
    found = parse_allowances(items)
    for text in options.tolerances:
        metric, equals, value = text.partition("=")
        if not equals:
            raise CompareError(f"--tolerance {text}: expected METRIC=VALUE, such as objective=2%")
        found |= parse_allowances([(metric.strip(), value)])
    declared = options.tolerance_file is not None or bool(options.tolerances)
    return found if declared else default_allowances()


def _from_file(path: Path) -> Sequence[tuple[str, object]]:
    """Return the metrics and tolerances of a YAML file."""
    from ruamel.yaml import YAML
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.error import YAMLError

    from ..evaluation.regression import ToleranceError, parse_allowance

    try:
        content = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CompareError(f"{path}: no such file") from None
    except (OSError, ValueError) as problem:
        raise CompareError(f"{path} cannot be read: {problem}") from problem
    except YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        what = getattr(problem, "problem", None) or "is no YAML"
        raise CompareError(f"{path}{where}: {what}") from problem
    if not isinstance(content, CommentedMap) or not content:
        raise CompareError(f"{path}: expected metrics and tolerances, such as `objective: 2 %`")
    for metric, value in content.items():
        try:
            parse_allowance(str(metric), value)
        except ToleranceError as problem:
            line, column = content.lc.key(metric)
            raise CompareError(f"{path}:{line + 1}:{column + 1}: {problem}") from problem
    return [(str(metric), value) for metric, value in content.items()]
