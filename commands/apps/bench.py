"""`wattbench bench`: how fast this machine runs a policy on a rig."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def bench() -> None:
    """Measure how fast this machine runs a policy on a rig."""


@app.command()
def latency(
    rig: Annotated[
        str, typer.Argument(metavar="RIG", help="direct, emulated, a rig file, or its name.")
    ],
    policy: Annotated[
        str,
        typer.Option(help="A kind of policy, one of the scenario's, or a .onnx file."),
    ] = "pi",
    scenario: Annotated[
        str, typer.Option(help="Whose site it controls: a file, or a name in the library.")
    ] = "demo",
    seconds: Annotated[float, typer.Option(min=5, max=86400, help="How long.")] = 60.0,
    period: Annotated[
        float | None,
        typer.Option(metavar="S", help="Between steps, in multiples of 0.2; default: scenario's."),
    ] = None,
    deadline: Annotated[
        float | None, typer.Option(metavar="S", help="Of a step after its tick; default: period.")
    ] = None,
    json_path: Annotated[
        Path | None, typer.Option("--json", help="Write pytest-benchmark's JSON to this file.")
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="A file that --json wrote earlier, to compare with.")
    ] = None,
    fail: Annotated[
        list[str] | None,
        typer.Option(metavar="RULE", help="p50:1.3x, ratio:1.2x, step.ratio:1.5x. Repeatable."),
    ] = None,
) -> None:
    """Measure what a control step takes, span by span, against the machine's own speed."""
    from ..latency import LatencyOptions
    from ..latency import latency as run

    options = LatencyOptions(
        rig=rig,
        policy=policy,
        scenario=scenario,
        seconds=seconds,
        period_s=period,
        deadline_s=deadline,
        json_path=json_path,
        compare=compare,
        fail=tuple(fail or ()),
    )
    raise typer.Exit(run(options))
