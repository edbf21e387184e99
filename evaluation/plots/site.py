"""Pictures of the site over time: power, phases, their imbalance, voltages."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..report import format as fmt
from ..report.payload import PHASES, total
from .style import draw_line, draw_signed, legend, mark, new_figure, over_time, palette
from .subject import Floats, NothingToDrawError, Subject

_MINUTE_ROWS = 60
#: Phases differ in colour and in dashes.
PHASE_LINES = (("import", "-"), ("export", "--"), ("load", ":"))


def power(subject: Subject) -> Figure:
    """Draw net grid power, export shaded, and below it what makes it up, in kW."""
    times_s, net_w = subject.times_s("truth"), subject.net_power_w()
    figure, (grid, parts) = new_figure([subject], "Grid power and what makes it up", [2.6, 2.4])
    grid.set_title("net over the phases")
    grid.set_ylabel("grid power (kW)")
    draw_signed(grid, subject, times_s, net_w)
    legend(grid)
    parts.set_ylabel("power (kW)")
    colours, looks = palette(), {"pv": "-", "household": ":", "load": "-", "battery": "--"}
    for colour, name, values in _parts(subject):
        draw_line(
            parts, subject, times_s, values / 1e3, color=colours[colour],
            linestyle="--" if "available" in name else looks[colour], label=name,
        )  # fmt: skip
    legend(parts)
    over_time(figure, [grid, parts], subject)
    return figure


def _parts(subject: Subject) -> list[tuple[str, str, Floats]]:
    """Return colour, name and power of what makes up grid power."""
    truth = subject.stream("truth")
    kinds = {"load": "load", "charger": "charger"}
    drawn = [f"{kinds[a.kind]}.{a.id}.power_w" for a in subject.run.actuators if a.kind in kinds]
    available, pv = subject.column("pv.available_power_w"), subject.column("pv.power_w")
    curtailed = available is not None and pv is not None and bool(np.any(available - pv > 1.0))
    found = [
        ("pv", "PV available", available if curtailed else None),
        ("pv", "PV", pv),
        ("household", "household", total(truth, [f"household.{p}.power_w" for p in PHASES])),
        ("load", "controlled loads", total(truth, drawn)),
        ("battery", "battery (+ discharge)", subject.column("battery.power_w")),
    ]
    return [(colour, name, values) for colour, name, values in found if values is not None]


def phases(subject: Subject) -> Figure:
    """Draw grid power of each phase, export shaded, in kW; all on one scale."""
    times_s = subject.times_s("truth")
    found = {p: subject.column(f"grid.{p}.power_w") for p in PHASES}
    drawn = {phase: values for phase, values in found.items() if values is not None}
    if not drawn:
        raise NothingToDrawError("no grid power of a phase")
    figure, axes = new_figure(
        [subject], "Grid power of each phase", [1.7] * len(drawn), one_scale=True
    )
    for axis, (phase, values) in zip(axes, drawn.items(), strict=True):
        axis.set_title(f"phase {phase}")
        axis.set_ylabel("grid power (kW)")
        draw_signed(axis, subject, times_s, values)
    legend(axes[0])
    over_time(figure, axes, subject)
    return figure


def imbalance(subject: Subject) -> Figure:
    """Draw the standard deviation of grid power over the phases, as phase_imbalance takes it."""
    times_s = subject.times_s("truth")
    found = [subject.column(f"grid.{phase}.power_w") for phase in PHASES]
    powers = [values for values in found if values is not None]
    if len(powers) < len(PHASES):
        raise NothingToDrawError("no grid power of all three phases")
    spread_w = np.std(np.stack(powers), axis=0)
    figure, (axis,) = new_figure([subject], "Imbalance of the phases", [2.8])
    axis.set_ylabel("standard deviation over the phases (W)")
    colours = palette()
    draw_line(
        axis, subject, times_s, spread_w, color=colours["household"], linewidth=0.5,
        alpha=0.7, label="each second",
    )  # fmt: skip
    if len(spread_w) >= _MINUTE_ROWS:
        minute_w = np.convolve(spread_w, np.full(_MINUTE_ROWS, 1 / _MINUTE_ROWS), "valid")
        late_s = times_s[_MINUTE_ROWS - 1 :]
        draw_line(
            axis, subject, late_s, minute_w, color=colours["import"], label="mean of the last 60 s"
        )
    mean_w = subject.judgement.measurements.get("phase_imbalance@1", float("nan"))
    if np.isfinite(mean_w):
        mark(axis, mean_w, f"mean {fmt.quantity(mean_w, 'W')}", "text", "-.")
    if (limit := subject.limit("phase_imbalance@1")) is not None:
        mark(axis, limit.bound, f"limit of the mean {fmt.quantity(limit.bound, 'W')}", "fail")
    axis.set_ylim(bottom=0.0)
    legend(axis, columns=3)
    over_time(figure, [axis], subject)
    return figure


def voltage(subject: Subject) -> Figure:
    """Draw the voltage of each phase with the band that is admissible, in V."""
    times_s, site, colours = subject.times_s("truth"), subject.site, palette()
    figure, (axis,) = new_figure([subject], "Voltage at the connection", [2.8])
    axis.set_ylabel("phase to neutral (V)")
    drawn = 0
    for phase, (colour, dashes) in zip(PHASES, PHASE_LINES, strict=True):
        values = subject.column(f"grid.{phase}.voltage_v")
        if values is not None:
            drawn += 1
            draw_line(
                axis, subject, times_s, values, color=colours[colour], linestyle=dashes,
                linewidth=0.8, label=f"phase {phase}",
            )  # fmt: skip
    if not drawn:
        raise NothingToDrawError("no voltage")
    low_v, high_v = site.voltage_low_v, site.voltage_high_v
    mark(axis, low_v, f"admissible: {low_v:g} … {high_v:g} V", "fail", "-.")
    mark(axis, high_v, "_", "fail", "-.")
    legend(axis, columns=4)
    over_time(figure, [axis], subject)
    return figure
