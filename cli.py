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

from .commands.apps.options import BracketOption, JsonOption

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


# Light: each module imports what it runs when it runs. Without a name its commands are ours.
for _name in ("judging", "looking"):
    app.add_typer(importlib.import_module(f".commands.apps.{_name}", __package__).app)
for _name in ("bench", "fault", "rig", "tape"):
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
