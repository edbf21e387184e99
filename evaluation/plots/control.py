"""Pictures of control: commands and their effects, dead time, changes a minute, latency."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..metrics.control import change_times_us
from ..report import format as fmt
from ..report.model import ActuatorInfo
from .style import (
    draw_line,
    legend,
    local_days,
    logarithmic_s,
    mark,
    new_figure,
    over_time,
    palette,
)
from .subject import Floats, NothingToDrawError, Subject

_BEFORE_S, _AFTER_S = 10.0, 30.0
_BINS = 40
_KIND_CHANGE = 1
_MINUTE_US = 60_000_000
_ROOMS = {"battery": "battery", "pv_limit": "pv"}
_TONES = {"battery": "battery", "pv_limit": "pv"}


def _drawn_w(subject: Subject, actuator: ActuatorInfo) -> Floats | None:
    room = _ROOMS.get(actuator.kind, f"{actuator.kind}.{actuator.id}")
    return subject.column(f"{room}.power_w")


def _commanded_w(subject: Subject, actuator: ActuatorInfo) -> Floats | None:
    return subject.column(f"guarded.{actuator.id}_w", "commands")


def commands(subject: Subject) -> Figure:
    """Draw each actuator's command after the guard against the power that it drew, in kW."""
    shown = [a for a in subject.run.actuators if _commanded_w(subject, a) is not None]
    if not shown:
        raise NothingToDrawError("no commands")
    subject.stream("truth")
    heights = [1.0 if len(shown) > 3 else 1.8] * len(shown)
    figure, axes = new_figure([subject], "Commands and what was drawn", heights)
    for axis, actuator in zip(axes, shown, strict=True):
        _device(axis, subject, actuator)
    legend(axes[0])
    over_time(figure, axes, subject)
    figure.supylabel("power (kW)", fontsize=8)
    return figure


def _device(axis: Axes, subject: Subject, actuator: ActuatorInfo) -> None:
    colours, power_w = palette(), _drawn_w(subject, actuator)
    phase = f", phase {actuator.phases}" if len(actuator.phases) == 1 else ""
    kind = actuator.kind.replace("_", " ")
    axis.set_title(f"{actuator.id}: {kind}{phase}, up to {fmt.quantity(actuator.high_w, 'W')}")
    if power_w is not None:
        tone = colours[_TONES.get(actuator.kind, "load")]
        draw_line(
            axis, subject, subject.times_s("truth"), power_w / 1e3, color=tone, linewidth=1.6,
            alpha=0.75, label="drawn (truth)",
        )  # fmt: skip
    commanded_w = _commanded_w(subject, actuator)
    assert commanded_w is not None
    draw_line(
        axis, subject, subject.times_s("commands"), commanded_w / 1e3, steps=True,
        color=colours["command"], linewidth=0.7, linestyle="--", label="commanded",
    )  # fmt: skip
    top = max(abs(actuator.low_w), abs(actuator.high_w)) / 1e3
    axis.set_ylim(min(0.0, 1.1 * actuator.low_w / 1e3), 1.15 * top)


def dead_time(subject: Subject) -> Figure:
    """Draw one step from command to effect, and how long effects took in the whole run."""
    sent_us, delays = _delays(subject)
    figure, (step, counts) = new_figure(
        [subject], "Dead time: from command to effect", [2.4, 2.2], over_time=False
    )
    actuator, row = _largest_step(subject, sent_us)
    _one_step(step, subject, actuator, row)
    colours = palette()
    counts.set_title("all commands at all actuators")
    counts.set_xlabel("since the command was sent (s)")
    counts.set_ylabel("commands")
    top_s = max(float(values.max()) for values in delays.values())
    edges = np.linspace(0.0, max(top_s, 1e-3), _BINS + 1).tolist()
    looks: dict[str, tuple[str, Literal["step", "stepfilled"], float]] = {
        "effective": ("load", "stepfilled", 0.35),
        "acknowledged": ("command", "step", 1.0),
    }
    for name, values in delays.items():
        colour, kind, alpha = looks[name]
        counts.hist(
            values, edges, histtype=kind, color=colours[colour], alpha=alpha,
            label=f"{name}, median {np.median(values):.2g} s",
        )  # fmt: skip
    legend(counts)
    return figure


def _delays(subject: Subject) -> tuple[Floats, dict[str, Floats]]:
    """Return when commands were sent, µs, and after which time, s, each came about anywhere."""
    stream = subject.stream("commands")
    if not {"sent_us", "status", "kind"} <= set(stream):
        raise NothingToDrawError("no commands that were sent")
    sent_us = np.asarray(stream["sent_us"])
    rows = np.asarray(stream["status"]) == 0
    found = {}
    for name, column in (("effective", "effective"), ("acknowledged", "acked")):
        values = []
        for actuator in subject.run.actuators:
            reached = stream.get(f"{column}.{actuator.id}_us")
            if reached is not None:
                there = rows & (np.asarray(reached) >= 0)
                values.append((np.asarray(reached)[there] - sent_us[there]) / 1e6)
        if values and any(len(v) for v in values):
            found[name] = np.concatenate(values)
    if "effective" not in found:
        raise NothingToDrawError("no command that took effect")
    return sent_us, found


def _largest_step(subject: Subject, sent_us: Floats) -> tuple[ActuatorInfo, int]:
    """Return the actuator and row of the policy's largest change that took effect."""
    changes = np.asarray(subject.stream("commands")["kind"]) == _KIND_CHANGE
    best: tuple[float, ActuatorInfo, int] | None = None
    for actuator in subject.run.actuators:
        commanded = _commanded_w(subject, actuator)
        reached = subject.stream("commands").get(f"effective.{actuator.id}_us")
        if commanded is None or reached is None or _drawn_w(subject, actuator) is None:
            continue
        change = np.abs(np.diff(commanded, prepend=0.0))
        change[~changes | (np.asarray(reached) < 0)] = 0.0
        row = int(np.argmax(change))
        if best is None or change[row] > best[0]:
            best = (float(change[row]), actuator, row)
    if best is None or best[0] == 0.0 or len(sent_us) == 0:
        raise NothingToDrawError("no change of a command that took effect")
    return best[1], best[2]


def _one_step(axis: Axes, subject: Subject, actuator: ActuatorInfo, row: int) -> None:
    colours, stream = palette(), subject.stream("commands")
    sent_s = float(stream["sent_us"][row]) / 1e6
    power_w, commanded_w = _drawn_w(subject, actuator), _commanded_w(subject, actuator)
    assert power_w is not None
    assert commanded_w is not None
    when = fmt.local_time(subject.run.start_utc, subject.run.time_zone, sent_s)
    axis.set_title(f"{actuator.id}, the largest step, {when:%H:%M:%S}")
    axis.set_xlabel("since the command was sent (s)")
    axis.set_ylabel("power (kW)")
    rows_s = np.diff(subject.times_s("truth"))
    every = f"means of {float(np.median(rows_s)):g} s" if len(rows_s) else "means"
    for name, source, values, style, colour, where in (
        # Rows are means up to their time: one can rise before the moment in it of the effect.
        (f"drawn (truth, {every})", "truth", power_w, "-", "load", "steps-pre"),
        ("commanded", "commands", commanded_w, "--", "command", "steps-post"),
    ):
        since_s = subject.times_s(source) - sent_s
        near = (since_s >= -_BEFORE_S - 1) & (since_s <= _AFTER_S + 1)
        axis.plot(
            since_s[near], values[near] / 1e3, color=colours[colour], linestyle=style,
            drawstyle=where, linewidth=1.3, label=name,
        )  # fmt: skip
    for column, name, style in (("acked", "acknowledged", ":"), ("effective", "effective", "-.")):
        reached = stream.get(f"{column}.{actuator.id}_us")
        if reached is not None and reached[row] >= 0:
            at_s = float(reached[row]) / 1e6 - sent_s
            label = f"{name} after {at_s:.3g} s"
            axis.axvline(at_s, color=colours["fail"], linestyle=style, linewidth=1.0, label=label)
    axis.set_xlim(-_BEFORE_S, _AFTER_S)
    legend(axis, columns=2)


def changes(subject: Subject) -> Figure:
    """Draw how many command changes the last 60 s held, at every moment, with its limit."""
    subject.stream("commands")
    times_us = change_times_us(subject.measured)
    # One more at each change, one less when it is 60 s old; what happens at once is one step.
    edges_us, place = np.unique(
        np.concatenate([[0], times_us, times_us + _MINUTE_US]), return_inverse=True
    )
    steps = np.concatenate([[0.0], np.ones(len(times_us)), -np.ones(len(times_us))])
    held = np.cumsum(np.bincount(place, weights=steps))
    inside = edges_us <= subject.run.end_us
    at_s = np.append(edges_us[inside], subject.run.end_us) / 1e6
    held = np.append(held[inside], held[inside][-1])
    figure, (axis,) = new_figure([subject], "Command changes in every sliding minute", [2.8])
    axis.set_ylabel("changes in the last 60 s")
    axis.plot(
        local_days(subject.run, at_s), held, drawstyle="steps-post",
        color=palette()["import"], label="changes beyond 50 W",
    )  # fmt: skip
    if (limit := subject.limit("command_changes_per_min_worst@1")) is not None:
        mark(axis, limit.bound, f"limit {limit.bound:g} a minute", "fail")
    axis.set_ylim(0.0, max(1.0, float(held.max()), limit.bound if limit else 0.0) * 1.1)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    legend(axis)
    over_time(figure, [axis], subject)
    return figure


def latency(subject: Subject) -> Figure:
    """Draw how long deciding took on the machine, logarithmic, with percentiles."""
    ns = subject.run.timing.get("decide")
    if ns is None or len(ns) == 0:
        raise NothingToDrawError("no measured times of decisions")
    decide_s = np.maximum(np.asarray(ns, dtype=np.float64) / 1e9, 1e-7)
    figure, (axis,) = new_figure([subject], "Decision latency", [2.8], over_time=False)
    low, high = float(decide_s.min()), float(decide_s.max())
    edges = np.geomspace(0.9 * low, 1.1 * high, _BINS + 1).tolist()
    colours = palette()
    axis.hist(decide_s, edges, histtype="stepfilled", color=colours["import"], alpha=0.6)
    for share, style in ((50, "-"), (95, "--"), (99, "-.")):
        at_s = float(np.percentile(decide_s, share))
        axis.axvline(
            at_s, color=colours["text"], linestyle=style, linewidth=0.9,
            label=f"{share} % within {fmt.quantity(at_s, 's')}",
        )  # fmt: skip
    judged = "" if subject.run.clock == "wall" else "; not judged under clock virtual"
    axis.set_xlabel(f"time to decide, measured on this machine{judged}")
    axis.set_ylabel("control steps")
    logarithmic_s(axis)
    legend(axis)
    return figure
