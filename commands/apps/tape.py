"""`wattbench tape`: look at what was on the buses of a run, export it, play it back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A tape (tape.pcapng), or the folder of a run.")
]
_Bus = Annotated[str | None, typer.Option("--bus", help="Only this bus.")]
_From = Annotated[
    str | None, typer.Option("--from", metavar="S", help="From this simulated time on.")
]
_To = Annotated[str | None, typer.Option("--to", metavar="S", help="Up to this simulated time.")]


@app.callback()
def tape() -> None:
    """Show, export and replay what was on the buses of a run."""


@app.command("show")
def show(
    file: _File,
    bus: _Bus = None,
    from_s: _From = None,
    to_s: _To = None,
    as_hex: Annotated[bool, typer.Option("--hex", help="Print each frame's bytes too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line, a line a frame.")
    ] = False,
) -> None:
    """Print every frame with its time, bus, direction and meaning."""
    from ..tape import Wanted
    from ..tape import show as run

    wanted = Wanted(file, bus, from_s, to_s)
    raise typer.Exit(run(wanted, as_hex=as_hex, as_json=as_json))


@app.command("export")
def export(
    file: _File,
    pcapng: Annotated[
        Path | None, typer.Option("--pcapng", metavar="OUT", help="For Wireshark and tshark.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT", help="A table; - is stdout.")
    ] = None,
    bus: _Bus = None,
    from_s: _From = None,
    to_s: _To = None,
) -> None:
    """Write a tape, or part of it, as pcapng or CSV with each frame's meaning."""
    from ..tape import Wanted
    from ..tape import export as run

    raise typer.Exit(run(Wanted(file, bus, from_s, to_s), pcapng, csv))


@app.command("replay")
def replay(
    file: _File,
    bus: _Bus = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the first bus; 0: any free one.")
    ] = 0,
    immediate: Annotated[
        bool, typer.Option("--immediate", help="Answer at once, not after the recorded time.")
    ] = False,
    hold: Annotated[
        bool,
        typer.Option("--hold", help="Go on with a request's last answer where the tape ends."),
    ] = False,
) -> None:
    """Play the devices of a tape: each request is answered as it was then, until stopped."""
    from ..tape import replay as run

    raise typer.Exit(run(file, bus, host, port, immediate=immediate, hold=hold))
