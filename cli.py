"""The command line: parses, calls, prints. What the commands do is elsewhere."""

from __future__ import annotations

import contextlib
import errno
import importlib
import io
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO, cast

import typer

if TYPE_CHECKING:
    from .scenarios.report import CheckResult

app = typer.Typer(
    name="wattbench",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

#: What a command line that cannot be parsed ends in; the library exports only this subclass of it.
_WrongUsage = cast(type[Exception], typer.BadParameter.__base__)

#: Exit codes, as the documentation lists them.
EXIT_PASS, EXIT_FAIL, EXIT_USAGE, EXIT_ABORTED, EXIT_ERROR = 0, 1, 2, 4, 5

#: Of a place that was named wrongly, in contrast to a disk that is full or broken.
_NOT_THERE = {errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EACCES, errno.EEXIST, errno.EROFS}

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
BracketOption = Annotated[
    bool,
    typer.Option(
        "--bracket/--no-bracket",
        help="Put what is judged between doing nothing and the best possible; takes time. Of a "
        "suite: each policy's runs on first seeds.",
    ),
]


def _print_version(wanted: bool) -> None:
    if wanted:
        from . import __version__

        typer.echo(f"wattbench {__version__}")
        raise typer.Exit(EXIT_PASS)


@app.callback()
def wattbench(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say which it is."),
    ] = False,
) -> None:
    """Run energy-control policies in scenarios, judge them, tell why."""


@app.command()
def check(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Files or library names.")],
    resolved: Annotated[
        bool, typer.Option("--resolved", help="Print what they are with all that they extend.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Validate scenarios and suites; say everything that is wrong with them."""
    from .scenarios.report import check_report, resolved_yaml

    results = [_with_its_files(check_report(file)) for file in files]
    if as_json:
        rows = [result.as_dict(resolved=resolved) for result in results]
        typer.echo(json.dumps({"files": rows, "ok": all(result.ok for result in results)}))
    else:
        for result in results:
            for error in result.errors:
                typer.echo(str(error), err=True)
            if result.found is not None and resolved:
                typer.echo(resolved_yaml(result.found, result.path), nl=False)
            elif result.found is not None:
                typer.echo(f"{result.path}: ok ({result.found.name})")
    raise typer.Exit(EXIT_PASS if all(result.ok for result in results) else EXIT_USAGE)


def _with_its_files(result: CheckResult) -> CheckResult:
    """Check what valid scenarios name as well: networks and logs."""
    from .scenarios.files import files_of

    for scenario in result.scenarios():
        if any(files_of(scenario)):
            from .commands.rehearsal import what_fails

            result = result.with_problem(what_fails(scenario))
    return result


@app.command()
def schema(
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the JSON Schema to this file only.")
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 1 if a file is out of date.")
    ] = False,
) -> None:
    """Write the JSON Schema and the reference pages from the models."""
    from .evaluation import reference
    from .scenarios import schema as generated

    if out is None:
        files = {**generated.generated_files(), **reference.generated_files()}
    else:
        files = {out: generated.schema_text()}
    changed = generated.drifted(files) if check_only else generated.write(files)
    for path in changed:
        typer.echo(f"{path}: {'out of date' if check_only else 'written'}", err=check_only)
    raise typer.Exit(EXIT_FAIL if check_only and changed else EXIT_PASS)


@app.command("list")
def list_scenarios(as_json: JsonOption = False) -> None:
    """Show the scenarios of the library and the suites, one line each."""
    from .scenarios.listing import entries, suites

    found, several = entries(), suites()
    if as_json:
        rows = [{"name": e.name, "kind": e.kind, "title": e.title} for e in found]
        more = [{"name": e.name, "title": e.title} for e in several]
        typer.echo(json.dumps({"scenarios": rows, "suites": more}))
        return
    found += several
    width = max((len(entry.name) for entry in found), default=0)
    for entry in found:
        typer.echo(f"{entry.name:<{width}}  {entry.kind:<14}  {entry.title}")


@app.command()
def run(
    scenario: Annotated[str, typer.Argument(help="A scenario file, or a name in the library.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(
            help="Judge this policy instead of the scenario's: one of its policies or baselines, "
            "a kind of policy, tuned-pi or another parameter file (.yaml), or a .onnx file with "
            "its encoder (.json) beside it. Repeatable."
        ),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed instead of the scenario's. Repeatable.")
    ] = None,
    rig: Annotated[
        str | None,
        typer.Option(envvar="WATTBENCH_RIG", help="direct, emulated, or a rig file (lab.yaml)."),
    ] = None,
    clock: Annotated[
        str | None, typer.Option(envvar="WATTBENCH_CLOCK", help="virtual or wall.")
    ] = None,
    factor: Annotated[
        float | None,
        typer.Option(
            help="Simulated seconds a second, for --clock wall: at most 1000 with --rig direct, 20 "
            "with emulated devices, 1 with real ones."
        ),
    ] = None,
    tape: Annotated[
        bool | None,
        typer.Option(
            "--tape/--no-tape", help="Record every frame; default: where devices are real."
        ),
    ] = None,
    replay: Annotated[
        Path | None,
        typer.Option(
            help="A tape, or a run's folder with one, in place of the devices: once more without "
            "the rig. Rig, policy and seed are the tape's where they are not given."
        ),
    ] = None,
    bracket: BracketOption = True,
    out: Annotated[
        Path, typer.Option(envvar="WATTBENCH_OUT", help="Folder that the records go to.")
    ] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Run a scenario: its baselines, its policies, every seed; judge and report."""
    from .commands.run import RunOptions
    from .commands.run import run as run_scenario

    chosen = tuple(policy or ()), tuple(seed or ())
    options = RunOptions(scenario, out, *chosen, rig, clock, factor, tape, replay, bracket)
    raise typer.Exit(run_scenario(options, as_json=as_json))


@app.command()
def judge(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of records, or one of a suite.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Judge records again, from their folders alone; nothing is written."""
    from .commands.suite.judging import judge as judge_folders

    raise typer.Exit(judge_folders(runs, as_json=as_json))


@app.command()
def suite(
    suite: Annotated[str, typer.Argument(help="A suite's file, or the name of a shipped one.")],
    policy: Annotated[
        list[str] | None,
        typer.Option(help="Judge this policy instead of the suite's, as in `run`. Repeatable."),
    ] = None,
    seed: Annotated[
        list[int] | None, typer.Option(help="Seed instead of the suite's. Repeatable.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes that run side by side.")] = 2,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the suite's last folder under --out; begin if none is."
        ),
    ] = False,
    junit: Annotated[Path | None, typer.Option(help="Write the JUnit file here, too.")] = None,
    bracket: BracketOption = True,
    out: Annotated[
        Path, typer.Option(envvar="WATTBENCH_OUT", help="Folder that the suite's folder is in.")
    ] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Run a suite: scenarios, policies, baselines, seeds; judge all of it together."""
    from .commands.suite.command import SuiteOptions
    from .commands.suite.command import suite as run_suite

    chosen = tuple(policy or ()), tuple(seed or ())
    options = SuiteOptions(suite, out, jobs, junit, resume, *chosen, bracket)
    raise typer.Exit(run_suite(options, as_json=as_json))


@app.command()
def plot(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of records, or of several.")
    ],
    kind: Annotated[
        list[str] | None,
        typer.Option(
            help="power, phases, commands, dead_time, changes, imbalance, export_histogram, "
            "duration, voltage, tanks, battery, latency, or comparison (of two runs or more). "
            "Repeatable; default: all that the records have data for."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder that the files go to.")] = Path("plots"),
    form: Annotated[str, typer.Option("--format", help="png or svg.")] = "png",
) -> None:
    """Draw pictures of recorded runs into files, for print and slides."""
    from .commands.plot import PlotOptions
    from .commands.plot import plot as draw

    raise typer.Exit(draw(PlotOptions(tuple(runs), tuple(kind or ()), out, form)))


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of records, or of several.")
    ],
) -> None:
    """Write report.html into the folders of recorded runs, as `run` does."""
    from .commands.report import report as write_reports

    raise typer.Exit(write_reports(runs))


@app.command()
def compare(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="A [B]", help="Two runs, two suites, or one run with --golden."),
    ],
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC=VALUE",
            help="How much worse a metric may get: 5%, '20 Wh', or a number. Repeatable. "
            "Metrics that are not named are then not held.",
        ),
    ] = None,
    tolerances: Annotated[
        Path | None, typer.Option(help="YAML file of metrics and tolerances.")
    ] = None,
    trace_tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Values of a trace differ beyond this, absolute plus relative; default: 0, with "
            "--golden 1e-9.",
        ),
    ] = None,
    golden: Annotated[
        Path | None, typer.Option(help="Folder of a golden trace that the run must not leave.")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Keep the run as golden, in place of what was there.")
    ] = False,
    every: Annotated[
        int | None,
        typer.Option(min=1, max=3600, help="With --update: keep one row of so many; default: 1."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs or two suites; tell where traces part; exit 1 on a regression."""
    from .commands.compare import CompareOptions
    from .commands.compare import compare as compare_folders

    options = CompareOptions(
        tuple(folders), tuple(tolerance or ()), tolerances, trace_tolerance, golden, update, every
    )
    raise typer.Exit(compare_folders(options, as_json=as_json))


@app.command("replay")
def replay_policy(
    policy: Annotated[
        str,
        typer.Option(
            help="A policy or baseline of the scenario, a kind, tuned-pi, a .yaml or a .onnx."
        ),
    ],
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="Folder of a record.", show_default=False)
    ] = None,
    log: Annotated[
        list[Path] | None,
        typer.Option(help="Your own log instead of a run: a folder or a file. Repeatable."),
    ] = None,
    site: Annotated[
        str | None, typer.Option(help="With --log: the scenario that describes the loads.")
    ] = None,
    log_format: Annotated[
        Path | None,
        typer.Option("--format", help="With --log: YAML with its columns, unit, sign, stamps."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write summary and all steps to this folder.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what was measured in a run to another policy: what it would have decided there.

    Counterfactual, open loop: nothing is simulated again. To play a run's devices from its tape,
    see `wattbench run --replay`.
    """
    from .commands.counterfactual import ReplayOptions
    from .commands.counterfactual import replay as show_to

    options = ReplayOptions(policy, run, tuple(log or ()), site, log_format, out)
    raise typer.Exit(show_to(options, as_json_text=as_json))


@app.command()
def audit(
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SCENARIO]…", help="Files or library names; default: the library."),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=1, max=100, help="How many seeds are tried; default: the scenario's."),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes that run side by side.")] = 2,
    out: Annotated[
        Path | None, typer.Option(help="Keep the records in this folder; default: nowhere.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Hold scenarios to what they promise: bad policies fail in them, a good one passes."""
    from .commands.audit import AuditOptions
    from .commands.audit import audit as audit_scenarios

    options = AuditOptions(tuple(scenarios or ()), seeds, jobs, out)
    raise typer.Exit(audit_scenarios(options, as_json=as_json))


@app.command()
def tune(
    policy: Annotated[str, typer.Argument(help="A kind of policy: pi, smith, threshold.")],
    suite: Annotated[
        list[str],
        typer.Argument(
            metavar="SUITE…",
            help="What it is trained on: suites with training seeds, or scenarios; files or names.",
        ),
    ],
    budget: Annotated[int, typer.Option(min=1, help="Simulations at most, half of them to decide.")],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes that run side by side.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 2, help="Of the search.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="The parameter file; default: POLICY-tuned.yaml.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a search that was stopped or killed.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Search for a policy's best parameters, on training seeds; write them with their origin."""
    from .commands.tune import TuneOptions
    from .commands.tune import tune as tune_policy

    options = TuneOptions(policy, tuple(suite), budget, jobs, seed, out, resume)
    raise typer.Exit(tune_policy(options, as_json=as_json))


@app.command()
def bound(
    scenario: Annotated[
        str,
        typer.Argument(help="A scenario file, a name in the library, or the folder of a run."),
    ],
    seed: Annotated[
        list[int] | None,
        typer.Option(min=0, max=2**53, help="Seed instead of the scenario's. Repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what no policy can beat in a scenario, and what a plan made with foresight reaches."""
    from .commands.bound import BoundOptions
    from .commands.bound import bound as bound_scenario

    options = BoundOptions(scenario, tuple(dict.fromkeys(seed or ())))
    raise typer.Exit(bound_scenario(options, as_json=as_json))


@app.command()
def emulate(
    rig: Annotated[str, typer.Argument(help="A rig file, or a shipped rig (export, zoo).")],
    scenario: Annotated[
        str | None,
        typer.Option(
            help="Put the plant of this scenario behind the devices; default: power of "
            "their own flows."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 1,
    memory: Annotated[
        Path | None,
        typer.Option(help="Folder in which coordinators keep what survives a restart."),
    ] = None,
) -> None:
    """Serve a rig's emulated devices until stopped; one JSON line an endpoint comes first."""
    from .commands.emulate import EmulateOptions
    from .commands.emulate import emulate as serve

    raise typer.Exit(serve(EmulateOptions(rig, scenario, seed, memory)))


for _name in ("bench", "fault", "rig", "tape"):
    # Light: each module imports what it runs when it runs.
    app.add_typer(importlib.import_module(f".commands.apps.{_name}", __package__).app, name=_name)


class _Patient:
    """A stream whose reader may leave: what a run has found does not depend on who listens.

    Without it, `wattbench run … | head` would end with the exit code of a failed run.
    """

    def __init__(self, stream: TextIO | None, ignored: tuple[type[Exception], ...]) -> None:
        self._whole = self._stream = stream
        self._ignored = ignored

    def write(self, text: str) -> int:
        self._try(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(lambda stream: stream.flush())

    def isatty(self) -> bool:
        return self._stream is not None and self._stream.isatty()

    def fileno(self) -> int:
        if self._stream is None:
            raise OSError("there is no such stream")
        return self._stream.fileno()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)

    def _try(self, action: Callable[[TextIO], object]) -> None:
        if self._stream is None:
            return
        try:
            action(self._stream)
        except self._ignored:
            # So that the interpreter's last flush finds somebody who takes it.
            with contextlib.suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            self._stream = None


def _stop_at_once(number: int, _frame: object) -> None:
    name = signal.Signals(number).name
    with contextlib.suppress(OSError):
        os.write(2, f"wattbench: stopped by {name}\n".encode())
    os._exit(EXIT_ABORTED)


def _refuse(problem: Any) -> int:
    """Say what is wrong with the command line, with --json on stdout too; return the exit code."""
    problem.show()
    if "--json" in sys.argv:
        said: dict[str, Any] = {"verdict": None, "exit_code": EXIT_USAGE, "runs": []}
        print(json.dumps(said | {"error": problem.format_message()}))
    return EXIT_USAGE


def main() -> None:
    """Run the command line; an unexpected exception is one line and exit code 5."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Until a run takes over and after it is closed: nothing is open that could be lost.
        signal.signal(number, _stop_at_once)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # no encoding of a terminal stops a message
            stream.reconfigure(errors="backslashreplace")
    sys.stdout = cast(TextIO, _Patient(sys.stdout, (BrokenPipeError,)))
    sys.stderr = cast(TextIO, _Patient(sys.stderr, (OSError, ValueError)))
    try:
        code = app(prog_name="wattbench", standalone_mode=False)
    except _WrongUsage as problem:
        sys.exit(_refuse(problem))
    except OSError as problem:
        if os.environ.get("WATTBENCH_TRACEBACK"):
            raise
        where = problem.filename or "what was found"
        print(f"wattbench: cannot write {where}: {problem.strerror or problem}", file=sys.stderr)
        sys.exit(EXIT_USAGE if problem.errno in _NOT_THERE else EXIT_ERROR)
    except Exception as problem:
        if os.environ.get("WATTBENCH_TRACEBACK"):
            raise
        what = f"{type(problem).__name__}: {problem}"
        print(
            f"wattbench: error inside: {what} (WATTBENCH_TRACEBACK=1 says where)", file=sys.stderr
        )
        sys.exit(EXIT_ERROR)
    else:
        sys.exit(code or EXIT_PASS)
    finally:
        # The exit code stands: a signal while the interpreter ends must not put another there.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
