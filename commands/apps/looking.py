"""Commands that show what was recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)


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
    from ..plot import PlotOptions
    from ..plot import plot as draw

    raise typer.Exit(draw(PlotOptions(tuple(runs), tuple(kind or ()), out, form)))


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN…", help="Folders of records, or of several.")
    ],
) -> None:
    """Write report.html into the folders of recorded runs, as `run` does."""
    from ..report import report as write_reports

    raise typer.Exit(write_reports(runs))
