"""Pictures of several runs together: before and after, or policies side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..report import format as fmt
from ..report.payload import export_curve
from .style import RUN_LINES, draw_line, legend, logarithmic_s, new_figure, over_time, palette
from .subject import Floats, NothingToDrawError, Subject

_METRICS = (
    ("objective@1", "objective J"),
    ("export_energy@1", "export"),
    ("import_energy@1", "import"),
    ("unserved_energy@1", "unserved"),
)


def comparison(subjects: Sequence[Subject]) -> Figure:
    """Draw several runs of one scenario: power, export so far, duration curves, energies.

    Raises:
        NothingToDrawError: there are fewer than two runs, more than six, or they did not start at
            the same time of the same day, so that one time axis would not hold for them.

    """
    if not 2 <= len(subjects) <= len(RUN_LINES):
        raise NothingToDrawError(f"no 2 to {len(RUN_LINES)} runs to compare")
    if len({(s.run.start_utc, s.run.time_zone) for s in subjects}) > 1:
        raise NothingToDrawError("no common start in scenario time")
    first = subjects[0]
    powers = [subject.net_power_w() for subject in subjects]
    figure, (power, energy, curve, bars) = new_figure(
        subjects, "Runs compared", [2.2, 1.8, 1.9, 1.9], over_time=False
    )
    energy.sharex(power)
    longest = max(subjects, key=lambda subject: subject.run.end_us)
    power.set_title("net, means of each minute")
    power.set_ylabel("grid power (kW), + import")
    energy.set_ylabel("export so far (kWh)")
    colours = palette()
    power.axhline(0.0, color=colours["muted"], linewidth=0.6)
    labels = _labels(subjects)
    for subject, net_w, label, look in zip(subjects, powers, labels, RUN_LINES, strict=False):
        line: dict[str, Any] = {"color": colours[look[0]], "linestyle": look[1], "label": label}
        times_s = subject.times_s("truth")
        minutes_s, minutes_w = minute_means(times_s, net_w)
        held = np.append(minutes_w, minutes_w[-1]) / 1e3
        draw_line(power, first, np.append(minutes_s, times_s[-1]), held, steps=True, **line)
        exported = np.cumsum(np.clip(-net_w, 0, None) * subject.measured.row_s) / 3.6e6
        draw_line(energy, first, times_s, exported, **line)
        _duration(curve, subject, line)
    curve.set_xlabel("time at or above (logarithmic)")
    curve.set_ylabel("export power (kW)")
    logarithmic_s(curve)
    _energies(bars, subjects)
    legend(power, columns=3)
    faults = [span for span in longest.spans if span.kind == "fault"]
    over_time(figure, [power, energy], longest, faults)
    return figure


def _labels(subjects: Sequence[Subject]) -> list[str]:
    """Return the runs' names, numbered where they alone would not tell which is meant."""
    names = [subject.run.label for subject in subjects]
    return [
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    ]


def minute_means(times_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return the start of each minute that has rows, s, and the mean of its rows.

    Rows stand at the end of what they are a mean of: that at 60 s belongs to the first minute.
    """
    minute = np.ceil(times_s / 60.0).astype(np.int64) - 1
    starts, index = np.unique(minute, return_inverse=True)
    means: Floats = np.bincount(index, weights=values) / np.bincount(index)
    return starts.astype(np.float64) * 60.0, means


def _duration(axis: Axes, subject: Subject, line: dict[str, Any]) -> None:
    found = export_curve(subject.stream("truth"))
    if found is not None:
        axis.plot(np.array(found["s"]), np.array(found["w"]) / 1e3, **line)


def _energies(axis: Axes, subjects: Sequence[Subject]) -> None:
    """Draw the runs' energies as bars, written beside them."""
    colours, hatches = palette(), ("", "////", "....", "\\\\\\\\", "xxxx", "----")
    width = 0.8 / len(subjects)
    for i, subject in enumerate(subjects):
        found = [subject.judgement.measurements.get(key, np.nan) for key, _ in _METRICS]
        places = np.arange(len(_METRICS)) + (i - (len(subjects) - 1) / 2) * width
        bars = axis.bar(
            places, np.array(found) / 1e3, width, facecolor=(colours[RUN_LINES[i][0]], 0.55),
            edgecolor=colours["text"], linewidth=0.4, hatch=hatches[i],
        )  # fmt: skip
        axis.bar_label(bars, [fmt.quantity(value, "Wh") for value in found], fontsize=6, padding=1)
    axis.set_xticks(range(len(_METRICS)), [name for _, name in _METRICS])
    axis.grid(visible=False, axis="x")
    axis.margins(y=0.15)
    axis.set_ylabel("energy (kWh)")
