"""`wattbench rig`: check a rig, lock it, see how it is; what its devices are like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

_Rig = Annotated[
    str,
    typer.Argument(
        metavar="RIG", help="A rig file, or a shipped one: export (also called emulated), zoo."
    ),
]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_For = Annotated[
    str, typer.Option("--for", metavar="TIME", help="How long it stays yours: 90 min, 2 h.")
]


@app.callback()
def rig() -> None:
    """Check rigs, lock them, see how they are; measure what their devices are like."""


@app.command()
def check(
    rig: _Rig,
    scenario: Annotated[
        str | None, typer.Argument(help="A scenario that it is to realise: file or library name.")
    ] = None,
    clock: Annotated[str | None, typer.Option(help="As in `run`: virtual or wall.")] = None,
    factor: Annotated[float | None, typer.Option(help="As in `run`.")] = None,
    as_json: _Json = False,
) -> None:
    """Say what is wrong with a rig, and why it cannot realise a scenario."""
    from ..rig import CheckOptions
    from ..rig import check as run

    raise typer.Exit(run(CheckOptions(rig, scenario, clock, factor), as_json=as_json))


@app.command()
def lock(
    rig: _Rig,
    reason: Annotated[str, typer.Option(help="For those who find it locked.")] = "",
    for_: _For = "1 h",
    wait: Annotated[
        bool, typer.Option("--wait", help="Stand in the queue until it is free.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Reserve a rig: others cannot run on it."""
    from ..rig import lock as run

    raise typer.Exit(run(rig, reason=reason, for_text=for_, wait=wait, as_json=as_json))


@app.command()
def unlock(rig: _Rig, as_json: _Json = False) -> None:
    """End one's own reservation."""
    from ..rig import unlock as run

    raise typer.Exit(run(rig, as_json=as_json))


@app.command()
def status(rig: _Rig, as_json: _Json = False) -> None:
    """Show who has a rig, who waits, whether it is broken, how it was left."""
    from ..rig import status as run

    raise typer.Exit(run(rig, as_json=as_json))


@app.command()
def steal(
    rig: _Rig,
    reason: Annotated[str, typer.Option(help="Kept in the audit log.")],
    for_: _For = "1 h",
    as_json: _Json = False,
) -> None:
    """Take a rig away from whoever has it; a run on it makes it safe and ends."""
    from ..rig import steal as run

    raise typer.Exit(run(rig, reason=reason, for_text=for_, as_json=as_json))


@app.command()
def clear(
    rig: _Rig,
    by: Annotated[str, typer.Option(help="Who has looked at the rig.")],
    reason: Annotated[str, typer.Option(help="What was found and done.")],
    as_json: _Json = False,
) -> None:
    """Put a broken rig into use again."""
    from ..rig import clear as run

    raise typer.Exit(run(rig, by=by, reason=reason, as_json=as_json))


@app.command("power-cycle")
def power_cycle(
    rig: _Rig,
    device: Annotated[str, typer.Argument(help="A device that an outlet of the rig feeds.")],
    as_json: _Json = False,
) -> None:
    """Switch the outlet that feeds a device off and on again."""
    from ..rig import power_cycle as run

    raise typer.Exit(run(rig, device, as_json=as_json))


_Device = Annotated[
    str,
    typer.Argument(
        metavar="DEVICE",
        help="127.0.0.1:1502/1, modbus-tcp://host:port/unit, modbus-rtu:///dev/ttyUSB0/unit, or "
        "with --rig the id of a device.",
    ),
]
_OfRig = Annotated[str | None, typer.Option("--rig", help="The rig that the device belongs to.")]
_Profile = Annotated[
    str | None, typer.Option(help="Device profile whose register map is used; file or name.")
]
_MaxPower = Annotated[
    float | None, typer.Option("--max-power", metavar="W", help="No set-point above this.")
]
_Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before anything is commanded.")]
_Passive = Annotated[bool, typer.Option("--passive", help="Command nothing; only read.")]
_Repeats = Annotated[
    int | None, typer.Option(min=1, max=1000, help="How often each experiment is repeated.")
]
_Watchdog = Annotated[
    float | None,
    typer.Option("--watchdog-limit", metavar="S", help="How long an expiry is waited for."),
]


@app.command()
def fingerprint(
    device: _Device,
    rig: _OfRig = None,
    profile: _Profile = None,
    out: Annotated[
        Path | None, typer.Option(help="The profile goes here; default: DEVICE.fingerprint.yaml.")
    ] = None,
    max_power_w: _MaxPower = None,
    repeats: _Repeats = None,
    watchdog_limit_s: _Watchdog = None,
    passive: _Passive = False,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Measure how a device behaves, and write it down as a device profile."""
    from ..fingerprint import FingerprintOptions
    from ..fingerprint import fingerprint as run

    options = FingerprintOptions(
        device=device,
        rig=rig,
        profile=profile,
        out=out,
        yes=yes,
        passive=passive,
        max_power_w=max_power_w,
        repeats=repeats,
        watchdog_limit_s=watchdog_limit_s,
    )
    raise typer.Exit(run(options, as_json=as_json))


@app.command()
def drift(
    device: _Device,
    rig: _OfRig = None,
    profile: _Profile = None,
    against: Annotated[
        Path | None, typer.Option(help="Compare with this profile instead of the device's own.")
    ] = None,
    max_power_w: _MaxPower = None,
    repeats: _Repeats = None,
    watchdog_limit_s: _Watchdog = None,
    passive: _Passive = False,
    yes: _Yes = False,
    as_json: _Json = False,
) -> None:
    """Measure how a device behaves, and compare that with its profile."""
    from ..fingerprint import FingerprintOptions
    from ..fingerprint import drift as run

    options = FingerprintOptions(
        device=device,
        rig=rig,
        profile=profile,
        against=against,
        yes=yes,
        passive=passive,
        max_power_w=max_power_w,
        repeats=repeats,
        watchdog_limit_s=watchdog_limit_s,
    )
    raise typer.Exit(run(options, as_json=as_json))
