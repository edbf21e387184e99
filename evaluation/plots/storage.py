"""Pictures of what stores energy: tanks, battery."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from .style import RUN_LINES, draw_line, legend, mark, new_figure, over_time, palette, require
from .subject import NothingToDrawError, Subject

_COLOURS = ("import", "export", "load", "battery", "pv")


def _look(index: int) -> tuple[str, Any]:
    """Return colour and dashes: colours that some do not tell apart never share their dashes."""
    count = len(_COLOURS)
    return _COLOURS[index % count], RUN_LINES[(index + index // count) % count][1]


def tanks(subject: Subject) -> Figure:
    """Draw the temperature of each load's tank, with the cut-outs, in °C."""
    times_s, colours = subject.times_s("truth"), palette()
    found = [(a.id, subject.column(f"load.{a.id}.temperature_c")) for a in subject.run.actuators]
    drawn = [(name, values) for name, values in found if values is not None]
    if not drawn:
        raise NothingToDrawError("no tank")
    figure, (axis,) = new_figure([subject], "Temperatures of the tanks", [3.2])
    axis.set_ylabel("temperature (°C)")
    for index, (name, values) in enumerate(drawn):
        colour, dashes = _look(index)
        draw_line(
            axis, subject, times_s, values, color=colours[colour], linestyle=dashes, label=name
        )
    cut_outs = sorted(
        {load.tank.cut_out_c for load in subject.site.loads if load.tank and load.tank.cut_out_c}
    )
    hottest = max(float(values.max()) for _, values in drawn)
    for cut_out_c in cut_outs:
        if cut_out_c < hottest + 15.0:  # otherwise the tanks would be one flat line
            mark(axis, cut_out_c, f"cut-out {cut_out_c:g} °C", "fail", "-.")
    legend(axis)
    over_time(figure, [axis], subject)
    return figure


def battery(subject: Subject) -> Figure:
    """Draw the battery's state of charge in % and its power in kW, + discharge."""
    soc = require(subject.column("battery.soc"), "no battery")
    power_w = require(subject.column("battery.power_w"), "no battery")
    times_s, colours = subject.times_s("truth"), palette()
    figure, (charge, power) = new_figure([subject], "Battery", [2.2, 2.0])
    charge.set_ylabel("state of charge (%)")
    draw_line(charge, subject, times_s, 100.0 * soc, color=colours["battery"])
    charge.set_ylim(0.0, 100.0)
    power.set_ylabel("power (kW), + discharge")
    draw_line(power, subject, times_s, power_w / 1e3, color=colours["battery"], linewidth=0.8)
    power.axhline(0.0, color=colours["muted"], linewidth=0.6)
    over_time(figure, [charge, power], subject)
    return figure
