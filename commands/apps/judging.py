"""Commands that judge with more than one run: suites, comparisons, baselines, bounds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import BracketOption, JsonOption

app = typer.Typer(rich_markup_mode=None)


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
    from ..suite.command import SuiteOptions
    from ..suite.command import suite as run_suite

    chosen = tuple(policy or ()), tuple(seed or ())
    options = SuiteOptions(suite, out, jobs, junit, resume, *chosen, bracket)
    raise typer.Exit(run_suite(options, as_json=as_json))


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
    from ..compare import CompareOptions
    from ..compare import compare as compare_folders

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
    from ..counterfactual import ReplayOptions
    from ..counterfactual import replay as show_to

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
    from ..audit import AuditOptions
    from ..audit import audit as audit_scenarios

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
    budget: Annotated[
        int, typer.Option(min=1, help="Simulations at most, half of them to decide.")
    ],
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
    from ..tune import TuneOptions
    from ..tune import tune as tune_policy

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
    from ..bound import BoundOptions
    from ..bound import bound as bound_scenario

    options = BoundOptions(scenario, tuple(dict.fromkeys(seed or ())))
    raise typer.Exit(bound_scenario(options, as_json=as_json))
