"""`wattbench fault`: faults of a running emulation, from a second terminal."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_Rig = Annotated[
    str | None,
    typer.Option("--rig", help="Which emulation, where several run: its rig, or its process id."),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.callback()
def fault() -> None:
    """Switch faults of a running `wattbench emulate` on and off."""


@app.command("list")
def list_faults(rig: _Rig = None, as_json: _Json = False) -> None:
    """Show buses and devices, the faults that are on, and those that are possible."""
    from ..fault import list_faults as run

    raise typer.Exit(run(rig, as_json=as_json))


@app.command("on")
def on(
    target: Annotated[str, typer.Argument(help="A bus or a device of the rig.")],
    kind: Annotated[str, typer.Argument(help="Kind of fault; `fault list` names them.")],
    parameters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[KEY=VALUE]…", help="Such as delay_s=0.5 probability=0.1."),
    ] = None,
    for_s: Annotated[
        str | None, typer.Option("--for", metavar="S", help="Ends by itself after this time.")
    ] = None,
    rig: _Rig = None,
    as_json: _Json = False,
) -> None:
    """Switch a fault on."""
    from ..fault import switch_on

    raise typer.Exit(switch_on(target, kind, parameters or [], for_s, rig, as_json=as_json))


@app.command("off")
def off(
    target: Annotated[str, typer.Argument(help="A bus or a device of the rig.")],
    kind: Annotated[str | None, typer.Argument(help="Kind of fault; default: all.")] = None,
    rig: _Rig = None,
    as_json: _Json = False,
) -> None:
    """Switch faults off."""
    from ..fault import switch_off

    raise typer.Exit(switch_off(target, kind, rig, as_json=as_json))
