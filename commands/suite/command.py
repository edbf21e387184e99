"""What `wattbench suite` does, from its options to its exit code.

Results go to stdout, progress and errors to stderr.
"""

from __future__ import annotations

import shlex
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..problems import say
from ..run import UsageError, exit_code_of, wants_traceback
from ..show import EXIT_ABORTED, EXIT_ERROR, EXIT_USAGE
from .judging import finish, print_json, show

if TYPE_CHECKING:
    from ...evaluation.suite.judgement import SuiteJudgement
    from ...evaluation.suite.results import SuiteIdentity
    from ...scenarios.suite import Suite
    from ..pool import Submit
    from .plan import Unit
    from .progress import SuiteProgress
    from .runner import Runner


@dataclass(frozen=True, slots=True)
class SuiteOptions:
    """What `wattbench suite` was told."""

    suite: str
    out: Path
    jobs: int = 2
    junit: Path | None = None
    resume: bool = False
    policies: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    bracket: bool = True


@dataclass(slots=True)
class _Ended:
    """How far the command has come, and what ended it early."""

    folder: Path | None = None
    error: str = ""
    exit_code: int = 0


def suite(options: SuiteOptions, *, as_json: bool) -> int:
    """Run a suite, or what is left of it, and judge it; return the exit code."""
    from .folder import ResumeError

    ended = _Ended()
    judgement = None
    try:
        judgement = _suite(options, ended)
    except KeyboardInterrupt as stop:
        ended.error, ended.exit_code = str(stop) or "stopped by SIGINT", EXIT_ABORTED
    except Exception as problem:
        ended.error, ended.exit_code = _told(problem)
        if isinstance(problem, ResumeError):
            ended.folder = None  # going on is what cannot be done now
    if judgement is not None:
        return show(judgement, as_json=as_json)
    say(ended.error)
    if ended.folder is not None:
        print(
            f"wattbench: finished runs are kept in {ended.folder}; to go on: {command(options)}",
            file=sys.stderr,
        )
    if as_json:
        folder = None if ended.folder is None else str(ended.folder)
        verdict = {EXIT_USAGE: None, EXIT_ABORTED: "ABORTED"}.get(ended.exit_code, "ERROR")
        content = {"verdict": verdict, "exit_code": ended.exit_code, "folder": folder}
        print_json({**content, "error": ended.error})
    return ended.exit_code


def command(options: SuiteOptions) -> str:
    """Return the command that takes a suite up again."""
    words = ["wattbench", "suite", options.suite, "--out", str(options.out), "--resume"]
    words += [word for name in options.policies for word in ("--policy", name)]
    words += [word for seed in options.seeds for word in ("--seed", str(seed))]
    words += ["--jobs", str(options.jobs)]
    words += [] if options.junit is None else ["--junit", str(options.junit)]
    words += [] if options.bracket else ["--no-bracket"]
    return shlex.join(words)


def _suite(options: SuiteOptions, ended: _Ended) -> SuiteJudgement:
    from ...hil.safestate import StopSignals
    from .folder import in_use
    from .plan import identity, units
    from .progress import shown

    with StopSignals():
        with shown() as progress:
            chosen = load(options)
            planned = units(chosen)
            said = identity(chosen, planned)
            ended.folder = _taken_up(options, said)
            if ended.folder is None:
                _run(options, chosen, planned, said, progress, ended)
            else:
                with in_use(ended.folder):
                    _run(options, chosen, planned, said, progress, ended)
        assert ended.folder is not None
        return finish(ended.folder, options.junit)


def load(options: SuiteOptions) -> Suite:
    """Return the suite with what the command line says over it.

    Raises:
        ScenarioErrors: the file, or one that it names, is not valid.
        UnknownScenarioError: no suite has that name.
        UnknownPolicyError: a name is no policy.
        UsageError: a seed is out of range, or one that parameters are trained on.
    """
    from ...scenarios.library import locate_suite
    from ...scenarios.suite_loading import load_suite
    from .plan import with_choices

    if any(seed < 0 or seed > 2**53 for seed in options.seeds):
        raise UsageError("--seed: allowed: 0 … 2^53")
    suite = load_suite(locate_suite(options.suite))
    trained = sorted(set(options.seeds) & set(suite.config.training_seeds))
    if trained:
        raise UsageError(
            f"--seed {trained[0]}: it is among the suite's training_seeds, on which parameters may "
            "have been tuned; allowed: any other seed"
        )
    return with_choices(suite, options.policies, options.seeds)


def _taken_up(options: SuiteOptions, now: SuiteIdentity) -> Path | None:
    """Return the folder that is taken up again, None if the suite begins."""
    from .folder import check_same, latest

    folder = latest(options.out, now.name) if options.resume else None
    if folder is not None:
        check_same(folder, now)
    return folder


def _run(
    options: SuiteOptions,
    chosen: Suite,
    planned: Sequence[Unit],
    said: SuiteIdentity,
    progress: SuiteProgress,
    ended: _Ended,
) -> None:
    """Run what is not finished, into the folder that there is or a new one."""
    from ...hil.bench import new_folder
    from ..pool import workers
    from .folder import begin, finished_rows, in_use
    from .runner import Runner
    from .work import Work

    resumed = ended.folder
    work = Work(planned, said.suite_hash)
    runner = Runner(work, options.jobs, progress)
    if resumed is not None:
        work.rows = finished_rows(resumed, said.plan)
        runner.take_over(resumed)
    with workers(options.jobs, runner.listener) as submit:
        if not work.open():
            assert resumed is not None  # a suite that begins has runs
            progress.say(f"{resumed}: all {len(said.plan)} runs are there")
            if options.bracket:
                runner.bracket(submit, resumed)
            return
        progress.say(_size(chosen, planned, len(work.rows)))
        progress.say("each scenario is built once, and a first one tried out ...")
        runner.prepare(submit)
        progress.say(_duration(runner, options))
        if resumed is not None:
            _work(runner, submit, resumed, bracket=options.bracket)
            return
        folder = new_folder(options.out, chosen.name)
        begin(folder, said)
        ended.folder = folder
        progress.say(f"results go to {folder}")
        with in_use(folder):
            _work(runner, submit, folder, bracket=options.bracket)


def _work(runner: Runner, submit: Submit, folder: Path, *, bracket: bool) -> None:
    runner.run(submit, folder)
    if bracket:
        runner.bracket(submit, folder)


def _size(chosen: Suite, planned: Sequence[Unit], done: int) -> str:
    runs = sum(len(unit.cells) for unit in planned)
    factors = [counted(len({stratum.scenario for stratum in chosen.strata}), "scenario")]
    if chosen.config.variants:
        factors.append(counted(len(chosen.config.variants), "variant"))
    factors.append(counted(len(chosen.config.seeds), "seed"))
    text = f"suite {chosen.name}: {' × '.join(factors)}, {counted(runs, 'run')} with baselines"
    return f"{text}, {done} of them finished" if done else text


def _duration(runner: Runner, options: SuiteOptions) -> str:
    from .estimate import in_words

    left = in_words(runner.estimate.left_s())
    brackets = ", then the brackets" if options.bracket else ""
    return f"the runs take {left} with {counted(options.jobs, 'job')}{brackets}"


def counted(number: int, noun: str) -> str:
    """Return a number of things: ``1 job``, ``2 jobs``."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _told(problem: Exception) -> tuple[str, int]:
    """Return an error in words and its exit code."""
    from .folder import ResumeError
    from .runner import StoppedError

    if isinstance(problem, StoppedError):
        return problem.stop.reason, problem.stop.exit_code
    if isinstance(problem, ResumeError):
        return str(problem), EXIT_USAGE
    code = exit_code_of(problem)
    if code is not None:
        return str(problem), code
    if wants_traceback():
        traceback.print_exception(problem)
    return f"error inside: {type(problem).__name__}: {problem}", EXIT_ERROR
