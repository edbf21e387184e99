"""Pictures of export as a distribution: histogram, duration curve."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from ..report.payload import export_curve
from .style import logarithmic_s, new_figure, palette
from .subject import NothingToDrawError, Subject

_BINS = 50


def export_histogram(subject: Subject) -> Figure:
    """Draw for how long export was at which power; times without export are told, not drawn."""
    net_w, row_s = subject.net_power_w(), subject.measured.row_s
    export = net_w < 0.0
    if not export.any():
        raise NothingToDrawError("no export")
    share = float(row_s[export].sum() / row_s.sum())
    figure, (axis,) = new_figure([subject], "Histogram of export", [2.8], over_time=False)
    axis.set_title(f"net export in {100 * share:.3g} % of the time; means over each second")
    axis.hist(
        -net_w[export] / 1e3, _BINS, weights=row_s[export], color=palette()["export"], alpha=0.75
    )
    axis.set_yscale("log")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.set_xlim(left=0.0)
    axis.set_xlabel("export power (kW)")
    axis.set_ylabel("time (s), logarithmic")
    return figure


def duration(subject: Subject) -> Figure:
    """Draw the duration curve of export: for how long it was at or above which power."""
    figure, (axis,) = new_figure([subject], "Duration curve of export", [2.8], over_time=False)
    curve = export_curve(subject.stream("truth"))
    if curve is None:
        raise NothingToDrawError("no export")
    colours = palette()
    seconds, power_kw = np.array(curve["s"]), np.array(curve["w"]) / 1e3
    axis.fill_between(seconds, power_kw, color=(colours["export"], 0.18), linewidth=0)
    axis.plot(seconds, power_kw, color=colours["export"], linewidth=1.6)
    axis.set_ylim(bottom=0.0)
    axis.set_xlabel("time at or above (logarithmic)")
    axis.set_ylabel("export power (kW)")
    logarithmic_s(axis)
    return figure
