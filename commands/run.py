"""What `wattbench run` and `wattbench judge` do: the bench and the evaluation put together.

Part of the command line: the bench knows no metric and the evaluation no plant, so that somebody
has to introduce them. Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from .problems import say
from .show import (
    EXIT_ABORTED,
    EXIT_ERROR,
    EXIT_RIG,
    EXIT_USAGE,
    RunReport,
    as_dict,
    judgement_lines,
    judgement_row,
    report_lines,
    table_lines,
    total_exit_code,
)

if TYPE_CHECKING:
    from ..evaluation.judge import Judgement
    from ..hil.bench import RunResult
    from ..hil.progress import Progress
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.model import Scenario


#: Set in the environment, it shows where an error came from.
_BASELINE = "baseline-"
_LONG_S, _LONG_RUN_S = 1.0, 2 * 3600.0
_TRACEBACK = "WATTBENCH_TRACEBACK"
_HOW = f"{_TRACEBACK}=1 says where"


class UsageError(Exception):
    """The command cannot be carried out as it was given; one line says why."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `wattbench run` was told; None where the scenario decides."""

    scenario: str
    out: Path
    policies: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    rig: str | None = None
    clock: str | None = None
    factor: float | None = None
    tape: bool | None = None
    replay: Path | None = None
    """A tape, or a run's folder with one, that plays the devices."""
    bracket: bool = True
    """Whether each judged run is put between `zero` and the bound."""


def run(options: RunOptions, *, as_json: bool) -> int:
    """Run a scenario, judge every record, write its reports; return the exit code."""
    report = RunReport()
    try:
        _run(options, report)
    except KeyboardInterrupt as stop:
        report.error, report.exit_code = str(stop) or "stopped by SIGINT", EXIT_ABORTED
    except Exception as problem:
        report.exit_code = exit_code_of(problem)
        report.error = str(problem)
        if report.exit_code is None:
            if wants_traceback():
                raise
            report.exit_code = EXIT_ERROR
            report.error = f"error inside: {type(problem).__name__}: {problem} ({_HOW})"
    if report.error:
        say(report.error)
    code = total_exit_code(report)
    if as_json:
        _print_json(as_dict(report, code))
    elif report.judged or report.baselines:
        _print_lines(table_lines(report))
        _print_lines(report_lines(report))
    return code


def judge(folders: Sequence[Path], *, as_json: bool) -> int:
    """Judge records again from their folders alone; return the exit code."""
    from ..evaluation.verdict import roll_up, suite_exit_code

    judgements, problems = _judge_all(folders)
    for problem in problems:
        print(f"wattbench: {problem}", file=sys.stderr)
    verdict = roll_up(judgement.verdict for judgement in judgements)
    code = int(suite_exit_code(judgement.exit_code for judgement in judgements))
    if problems:
        code = EXIT_USAGE
    if as_json:
        runs = [judgement_row(j) | {"judgement": j.as_dict()} for j in judgements]
        shown = {"verdict": None if problems else verdict.name, "exit_code": code, "runs": runs}
        _print_json(shown | ({"error": "\n".join(problems)} if problems else {}))
        return code
    for judgement in judgements:
        _print_lines(judgement_lines(judgement))
    return code


def _run(options: RunOptions, report: RunReport) -> None:
    from ..hil.bench import Bench
    from ..hil.progress import shown
    from ..hil.safestate import StopSignals
    from .replay import replay_setup
    from .setup import NAMED, setup_of

    with StopSignals(), shown() as progress:
        scenario = _scenario(options)
        from ..evaluation.metrics import measure

        def finish(result: RunResult) -> None:
            report.folder = result.folder.parent
            if result.outcome.error is not None and wants_traceback():
                traceback.print_exception(result.outcome.error)
            if result.baseline:
                report.baselines.append(result)
            else:
                if options.bracket:
                    _bracket(result, report, scenario, setup, progress)
                _finish_record(result, report)

        if options.replay is not None:
            setup: RigSetup | None = replay_setup(options.rig, options.replay, scenario)
        else:
            setup = setup_of(scenario.rig, scenario, progress.note)
        if setup is not None and (scenario.rig not in NAMED or options.replay is not None):
            # The record names the rig, not where its file lay.
            scenario = scenario.model_copy(update={"rig": setup.rig.name})
        bench = Bench(
            scenario,
            options.out,
            measure=measure,
            on_result=finish,
            progress=progress,
            rig=setup,
            taped=options.tape,
        )
        report.planned = [
            (policy.label, seed) for seed in scenario.seeds for policy in scenario.policies
        ]
        bench.run()
        if len(report.judged) > 1:
            _write_overview(report)


def _scenario(options: RunOptions) -> Scenario:
    """Load the scenario and put what the command line says over it."""
    from ..scenarios.library import locate
    from ..scenarios.load import load_scenario
    from .policies import named_policies

    scenario = load_scenario(locate(options.scenario))
    if options.replay is not None:
        options = _as_recorded(options, options.replay)
    _one_of("--clock", options.clock, ("virtual", "wall"))
    given: dict[str, Any] = {"mode": options.clock, "factor": options.factor}
    clock = scenario.clock.model_copy(
        update={key: value for key, value in given.items() if value is not None}
    )
    if options.factor is not None and clock.mode != "wall":
        raise UsageError("--factor paces the wall clock; give --clock wall too")
    if options.factor is not None and not 0 < options.factor <= 1000:
        raise UsageError(f"--factor is {options.factor:g}; allowed: more than 0, at most 1000")
    if any(seed < 0 or seed > 2**53 for seed in options.seeds):
        raise UsageError("--seed: allowed: 0 … 2^53")
    changes: dict[str, Any] = {"clock": clock}
    if options.rig is not None:
        changes["rig"] = options.rig
    if options.seeds:
        changes["seeds"] = tuple(dict.fromkeys(options.seeds))
    if options.replay is not None:
        # What it was compared with is on other tapes.
        changes["baselines"] = ()
    if options.policies:
        own = (*scenario.policies, *scenario.baselines)
        changes["policies"] = named_policies(options.policies, own)
        # The audit names policies of the file, which may not take part now.
        changes["audit"] = None
    changed: Scenario = scenario.model_copy(update=changes)
    if options.replay is not None and len(changed.policies) * len(changed.seeds) != 1:
        raise UsageError("a tape is of one run; give one --policy and one --seed")
    return changed


def _as_recorded(options: RunOptions, tape: Path) -> RunOptions:
    """Return options for a replay: what was not given is as it was when the tape was recorded."""
    from .replay import header_of, recorded

    if options.clock == "wall":
        raise UsageError("a tape is replayed in virtual time; leave --clock wall out")
    given = {"policies": options.policies, "seeds": options.seeds}
    found = recorded(header_of(tape)) | {key: value for key, value in given.items() if value}
    return replace(options, clock="virtual", **found)


def _one_of(option: str, value: str | None, allowed: Sequence[str]) -> None:
    if value is not None and value not in allowed:
        raise UsageError(f"{option} is '{value}'; allowed: {', '.join(allowed)}")


def _bracket(
    result: RunResult,
    report: RunReport,
    scenario: Scenario,
    rig: RigSetup | None,
    progress: Progress,
) -> None:
    """Write the bracket of a judged run; say so before where it will take long, and how long."""
    from .bracketing import write_bracket

    label = f"{scenario.name} · {result.policy} · seed {result.seed}"
    if scenario.clock.duration_s >= _LONG_RUN_S:
        progress.note(f"{label}: bracket (--no-bracket leaves it out) …")
    begin_s = perf_counter()
    try:
        bracket = write_bracket(result.folder, scenario, rig)
    except KeyboardInterrupt:
        # The run itself is over and can be judged; what it is compared with must wait.
        _finish_record(result, report)
        raise
    elapsed_s = perf_counter() - begin_s
    if bracket is not None and elapsed_s > _LONG_S:
        progress.note(f"{label}: bracket in {elapsed_s:.1f} s")


def _finish_record(result: RunResult, report: RunReport) -> None:
    """Judge a closed record and write verdict, report and JUnit into its folder."""
    from ..evaluation.files import replace_text
    from ..evaluation.judge import judge as judge_folder
    from ..evaluation.judge import store_judgement
    from ..evaluation.junit import junit_xml
    from ..evaluation.report import report_input, write_report

    judgement = judge_folder(result.folder)
    report.judged.append((result, judgement))
    with _writing(result.folder):
        store_judgement(judgement)
        replace_text(result.folder / "junit.xml", junit_xml([judgement]).rstrip("\n"))
        write_report(result.folder / "report.html", report_input(judgement))


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say which folder's reports could not be written, and that the record is whole."""
    from ..evaluation.record import RecordError

    try:
        yield
    except OSError as problem:
        raise RecordError(
            f"{folder}: cannot write the reports ({problem.strerror or problem}); the records are "
            f"complete: free some space, then `wattbench judge {folder}` tells the verdict"
        ) from problem


def _write_overview(report: RunReport) -> None:
    """Write one page and one JUnit file over all judged runs, beside their folders."""
    from ..evaluation.files import replace_text
    from ..evaluation.junit import junit_xml
    from ..evaluation.report import report_input, write_comparison

    assert report.folder is not None
    judgements = [judgement for _, judgement in report.judged]
    with _writing(report.folder):
        replace_text(report.folder / "junit.xml", junit_xml(judgements).rstrip("\n"))
        write_comparison(report.folder / "report.html", [report_input(j) for j in judgements])


def wants_traceback() -> bool:
    """Return whether errors are to be shown with where they came from."""
    return bool(os.environ.get(_TRACEBACK))


def exit_code_of(problem: Exception) -> int | None:
    """Return the exit code of an error that a user can mend, None for one inside."""
    from ..agents.policy import PolicyError
    from ..evaluation.record import RecordError
    from ..hil.bench import FolderError
    from ..hil.errors import RigError
    from ..hil.selection import UnknownPolicyError
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError
    from ..scenarios.rigs import UnknownRigError
    from ..sim.profiles.findings import ProfileError
    from .setup import SetupError

    named = (UnknownScenarioError, UnknownPolicyError, UnknownRigError)
    usage = (ScenarioErrors, UsageError, SetupError, ProfileError, PolicyError, FolderError)
    if isinstance(problem, (*named, *usage)):
        return EXIT_USAGE
    if isinstance(problem, RigError):
        return EXIT_RIG
    return EXIT_ERROR if isinstance(problem, RecordError | OSError) else None


def _judge_all(folders: Sequence[Path]) -> tuple[list[Judgement], list[str]]:
    """Judge every record; what cannot be read is told and does not keep the others from it."""
    from ..evaluation.judge import judge as judge_folder
    from ..evaluation.record import RecordError

    judgements, problems = [], []
    for given in folders:
        try:
            for folder in records_in(given):
                judgements.append(judge_folder(folder))
        except (RecordError, UsageError) as problem:
            problems.append(str(problem))
        except Exception as problem:
            if wants_traceback():
                raise
            problems.append(f"{given}: damaged record ({type(problem).__name__}: {problem})")
    return judgements, problems


def records_in(given: Path) -> list[Path]:
    """Return the record that a folder is, or the judged records inside it, a suite's too.

    Raises:
        UsageError: the folder holds none.

    """
    if (given / "record.json").exists() or (given / "trace").exists() or not given.is_dir():
        return [given]
    from ..evaluation.suite.results import IDENTITY_FILE

    baselines: list[str] = []
    for depth in ("*", "*/*"):  # a scenario's folder, or the one that runs go to
        below = given / "runs" if (given / IDENTITY_FILE).is_file() else given
        inside = sorted(path.parent for path in below.glob(f"{depth}/record.json"))
        found = [path for path in inside if not path.name.startswith(_BASELINE)]
        if found:
            return found
        baselines += [str(path) for path in inside]
    if baselines:
        raise UsageError(
            f"{given} holds records of baselines only; to judge one, name it: {baselines[0]}"
        )
    suites = sorted(path.parent for path in given.glob(f"*/{IDENTITY_FILE}"))
    if suites:
        raise UsageError(f"{given} holds no records but suites; name one: {suites[0]}")
    raise UsageError(f"{given} is no record and holds none")


def _print_lines(lines: Sequence[str]) -> None:
    for line in lines:
        print(line)


def _print_json(content: Mapping[str, Any]) -> None:
    from ..evaluation.model import json_text

    print(json_text(content))
