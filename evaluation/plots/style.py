"""The look of every picture: colours of the report, time axes, faults shaded.

Figures are built without pyplot, which keeps them all in one global list.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import matplotlib.dates
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from .. import report
from ..report import format as fmt
from ..report.decimate import bucket_extremes, bucket_starts
from ..report.model import ReportInput
from ..report.spans import Span
from .subject import Floats, NothingToDrawError, Subject

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DATES: Any = matplotlib.dates
"""That module says no types."""
#: Width of a page of A4 between margins, inches.
WIDTH_IN = 7.2
_BUCKETS = 4000
"""A line keeps the extremes of so many parts of the run: finer than a page can be printed."""
_HATCHES = {"fault": "///", "state": "..", "safe": "xx"}
_TONES = {"fault": "fail", "state": "muted", "safe": "aborted"}
_SAID = {"fault": "fault", "state": "stale reading or silent meter", "safe": "safe state commanded"}
_DAY_S = 86_400.0
_TICKS_S = (
    *(10.0**power for power in range(-8, 2)),
    60.0, 600.0, 3600.0, 21_600.0, 86_400.0, 604_800.0,
)  # fmt: skip
#: Lines of several runs in one picture differ in colour and in dashes.
RUN_LINES: tuple[tuple[str, Any], ...] = (
    ("import", "-"),
    ("export", "--"),
    ("load", "-."),
    ("battery", ":"),
    ("pv", (0, (6, 1, 1, 1, 1, 1))),
    ("command", (0, (1, 3))),
)
_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.0,
    "hatch.linewidth": 0.35,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "savefig.dpi": 160,
    "svg.hashsalt": "wattbench",
    # A name such as "a$b" is no formula.
    "text.parse_math": False,
}

_INKS = {
    "text.color": "text",
    "axes.labelcolor": "text",
    "axes.edgecolor": "text",
    "xtick.color": "muted",
    "ytick.color": "muted",
    "grid.color": "line",
}


@lru_cache(maxsize=1)
def palette() -> dict[str, str]:
    """Return the light colours of the report's style sheet by name, ``#rrggbb``."""
    sheet = resources.files(report).joinpath("assets", "report.css")
    light = sheet.read_text(encoding="utf-8").partition("}")[0]
    return dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})", light))


@contextmanager
def drawing() -> Iterator[None]:
    """Draw with these settings, whatever the user's own are; they are put back afterwards."""
    with mpl.rc_context():
        mpl.rcdefaults()
        colours = palette()
        ink: dict[str, Any] = dict.fromkeys(
            ("text.color", "axes.labelcolor", "axes.edgecolor"), colours["text"]
        )
        ticks: dict[str, Any] = dict.fromkeys(("xtick.color", "ytick.color"), colours["muted"])
        settings: Any = _SETTINGS | ink | ticks | {"grid.color": colours["line"]}
        mpl.rcParams.update(settings)
        yield


def new_figure(
    subjects: Sequence[Subject],
    what: str,
    heights_in: Sequence[float],
    *,
    over_time: bool = True,
    one_scale: bool = False,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with its title and one axes a height.

    Axes over time share their x axis, and with ``one_scale`` the y axis too.
    """
    figure = Figure(figsize=(WIDTH_IN, sum(heights_in) + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    names = subjects[0].title if len(subjects) == 1 else subjects[0].run.scenario
    figure.suptitle(f"{what}\n{names}", x=0.01, ha="left", fontsize=10, linespacing=1.4)
    axes = figure.subplots(
        len(heights_in), 1, sharex=over_time, sharey=one_scale, squeeze=False,
        height_ratios=list(heights_in),
    )  # fmt: skip
    return figure, list(axes[:, 0])


def local_days(run: ReportInput, seconds: Floats | float) -> Any:
    """Return times in the run as local time, in the days that matplotlib counts in."""
    start = fmt.local_time(run.start_utc, run.time_zone)
    return float(_DATES.date2num(start)) + np.asarray(seconds) / _DAY_S


def over_time(
    figure: Figure, axes: Sequence[Axes], subject: Subject, spans: Sequence[Span] | None = None
) -> None:
    """Give axes one local time axis over the whole run, and shade on them what lasted.

    ``spans``: what to shade; by default all faults, stale readings and safe states of the run.
    """
    spans = subject.spans if spans is None else spans
    run = subject.run
    locator = _DATES.AutoDateLocator(minticks=4, maxticks=9, tz=dt.UTC)
    for axis in axes:
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(_DATES.ConciseDateFormatter(locator, tz=dt.UTC))
        axis.set_xlim(*local_days(run, np.array([0.0, max(run.end_us / 1e6, 1.0)])))
        _shade(axis, subject, spans)
    axes[-1].set_xlabel(f"local time, {fmt.zone_label(run.start_utc, run.time_zone)}")
    kinds = list(dict.fromkeys(span.kind for span in spans))
    if kinds:
        patches = [Patch(label=_SAID[kind], **_look(kind)) for kind in kinds]
        figure.legend(handles=patches, loc="outside lower left", ncols=len(patches))


def _shade(axis: Axes, subject: Subject, spans: Sequence[Span]) -> None:
    for span in spans:
        start, end = local_days(subject.run, np.array([span.start_us, span.end_us]) / 1e6)
        axis.axvspan(start, end, zorder=0.5, **_look(span.kind))


def _look(kind: str) -> dict[str, Any]:
    tone = palette()[_TONES[kind]]
    return {
        "facecolor": (tone, 0.10),
        "edgecolor": (tone, 0.5),
        "hatch": _HATCHES[kind],
        "linewidth": 0.4,
    }


def legend(axis: Axes, columns: int = 6) -> None:
    """Put a legend above the axes, right of its title."""
    axis.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns,
        borderaxespad=0.2, handlelength=1.8, columnspacing=1.2,
    )  # fmt: skip


def draw_line(
    axis: Axes,
    subject: Subject,
    times_s: Floats,
    values: Floats,
    *,
    steps: bool = False,
    **look: Any,
) -> None:
    """Draw values over time; of a long run the extremes of each part, so that no peak is lost."""
    x, y = reduced(times_s, values)
    axis.plot(local_days(subject.run, x), y, drawstyle="steps-post" if steps else "default", **look)


def reduced(times_s: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Return points to draw: all, or the smallest and largest value of each of 4000 parts."""
    buckets = bucket_extremes(values, _BUCKETS)
    if buckets.second is None:
        return times_s, np.asarray(values, dtype=np.float64)
    starts = bucket_starts(np.round(np.asarray(times_s) * 1e6).astype(np.int64), _BUCKETS) / 1e6
    # Both values lie somewhere in the bucket: a quarter and three quarters into it.
    widths = np.diff(starts, append=float(times_s[-1]))
    x = np.column_stack([starts + 0.25 * widths, starts + 0.75 * widths]).ravel()
    return x, np.column_stack([buckets.first, buckets.second]).ravel()


def draw_signed(axis: Axes, subject: Subject, times_s: Floats, power_w: Floats) -> None:
    """Draw grid power with import above zero and export below it filled in their colours."""
    x_s, y_kw = reduced(times_s, power_w / 1e3)
    x, colours = local_days(subject.run, x_s), palette()
    for side, name, hatch in ((y_kw >= 0, "import", None), (y_kw <= 0, "export", "\\\\\\\\")):
        axis.fill_between(
            x, y_kw, 0.0, where=side, interpolate=True, label=name, hatch=hatch, linewidth=0,
            facecolor=(colours[name], 0.45), edgecolor=(colours[name], 0.9),
        )  # fmt: skip
    axis.plot(x, y_kw, color=colours["text"], linewidth=0.5)
    axis.axhline(0.0, color=colours["muted"], linewidth=0.6)


def mark(axis: Axes, value: float, label: str, colour: str, style: Any = "--") -> None:
    """Draw a horizontal line at a value; the legend names it, unless its label begins with _."""
    axis.axhline(value, color=palette()[colour], linewidth=1.0, linestyle=style, label=label)


def logarithmic_s(axis: Axes) -> None:
    """Make the x axis, in seconds, logarithmic, with ticks that people count in."""
    axis.set_xscale("log")
    low, high = axis.get_xlim()
    ticks = [tick for tick in _TICKS_S if low <= tick <= high]
    axis.set_xticks(
        ticks or [low, high],
        [fmt.quantity(t, "s") if t < 60 else fmt.duration(t) for t in ticks or [low, high]],
    )
    axis.set_xticks([], minor=True)


def require(values: Floats | None, what: str) -> Floats:
    """Return values; raises NothingToDrawError if there are none."""
    if values is None:
        raise NothingToDrawError(what)
    return values
