"""What is drawn is what was recorded, with units on its axes, told apart by more than colour."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.dates import num2date
from matplotlib.figure import Figure

from wattbench.evaluation.metrics import measure
from wattbench.evaluation.plots import KINDS, NothingToDrawError, Subject, draw, read_subject
from wattbench.evaluation.plots.catalogue import OF_ONE
from wattbench.evaluation.plots.comparison import minute_means
from wattbench.evaluation.plots.style import local_days, palette, reduced

from .conftest import ROWS, MakeRun

OVER_TIME = ("power", "phases", "commands", "changes", "imbalance", "voltage", "tanks", "battery")
#: What an axis counts or measures, in the words of its label.
UNITS = ("(kW)", "(W)", "(V)", "(°C)", "(%)", "(kWh)", "(s)", "(kW),", "changes", "steps",
         "commands", "local time", "time to decide", "time at or above")  # fmt: skip

# G. M. Machado, M. M. Oliveira, L. A. F. Fernandes: A physiologically-based model for simulation of
# color vision deficiency. IEEE Trans. Vis. Comput. Graph. 15(6), 2009, table of severity 1.0; on
# linear RGB.
VISIONS = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def picture(kind: str, *subjects: Subject) -> Figure:
    return draw(kind, subjects)


def line_of(axis: Axes, label: str) -> Any:
    (line,) = [line for line in axis.get_lines() if str(line.get_label()).startswith(label)]
    return line


@pytest.mark.parametrize("kind", KINDS)
def test_every_axis_says_what_and_in_which_unit(
    kind: str, subject: Subject, other: Subject
) -> None:
    figure = picture(kind, subject, other)
    figure.canvas.draw()
    together = figure.get_supylabel()
    for axis in figure.get_axes():
        labels = [axis.get_ylabel() or together]
        shared = axis.get_shared_x_axes().get_siblings(axis)
        below = [a for a in figure.get_axes() if a in shared][-1]
        if not (kind == "comparison" and axis is figure.get_axes()[-1]):  # names below the bars
            labels.append(below.get_xlabel())
        for label in labels:
            assert any(unit in label for unit in UNITS), f"{kind}: '{label}'"


@pytest.mark.parametrize("kind", OVER_TIME)
def test_time_is_local_and_the_fault_is_shaded(kind: str, subject: Subject) -> None:
    figure = picture(kind, subject)
    start, end = local_days(subject.run, np.array([60.0, 120.0]))
    for axis in figure.get_axes():
        first, last = (num2date(x) for x in axis.get_xlim())
        assert (first.hour, first.minute, last.minute) == (17, 0, 10)  # 08:00 UTC in Tokyo
        boxes = [p.get_extents().transformed(axis.transData.inverted()) for p in axis.patches]
        assert any(np.allclose([b.x0, b.x1], [start, end], atol=1e-9) for b in boxes)
    assert "Asia/Tokyo (UTC+09:00)" in figure.get_axes()[-1].get_xlabel()
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["fault"]


def test_power_is_the_records(subject: Subject) -> None:
    grid, parts = picture("power", subject).get_axes()
    truth = subject.record.streams["truth"]
    net_kw = sum(truth[f"grid.{p}.power_w"] for p in "abc") / 1e3
    (line, _zero) = grid.get_lines()
    np.testing.assert_array_equal(line.get_ydata(), net_kw)
    expected = {
        "PV": truth["pv.power_w"],
        "PV available": truth["pv.available_power_w"],
        "household": sum(truth[f"household.{p}.power_w"] for p in "abc"),
        "controlled loads": sum(truth[f"load.{n}.power_w"] for n in ("a1", "b1", "c1")),
        "battery (+ discharge)": truth["battery.power_w"],
    }
    drawn = {line.get_label(): line.get_ydata() for line in parts.get_lines()}
    assert drawn.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(drawn[name], values / 1e3)


def test_import_is_filled_above_and_export_below_zero(subject: Subject) -> None:
    grid = picture("power", subject).get_axes()[0]
    fills = {str(c.get_label()): c for c in grid.collections}
    net_kw = subject.net_power_w() / 1e3
    for name, low, high in (("import", 0.0, net_kw.max()), ("export", net_kw.min(), 0.0)):
        y = np.concatenate([path.vertices[:, 1] for path in fills[name].get_paths()])
        assert (y.min(), y.max()) == pytest.approx((low, high), abs=1e-6)
        assert to_rgb(fills[name].get_facecolor()[0]) == to_rgb(palette()[name])


def test_phases_share_one_scale(subject: Subject) -> None:
    axes = picture("phases", subject).get_axes()
    assert len({axis.get_ylim() for axis in axes}) == 1
    for axis, phase in zip(axes, "abc", strict=True):
        power_w = subject.record.streams["truth"][f"grid.{phase}.power_w"]
        np.testing.assert_array_equal(axis.get_lines()[0].get_ydata(), power_w / 1e3)


def test_commands_stand_against_what_was_drawn(subject: Subject) -> None:
    for axis, load in zip(picture("commands", subject).get_axes(), ("a1", "b1", "c1"), strict=True):
        assert axis.get_title(loc="left").startswith(f"{load}: load, phase {load[0]}")
        commanded = line_of(axis, "commanded")
        assert commanded.get_drawstyle() == "steps-post"
        column = subject.record.streams["commands"][f"guarded.{load}_w"]
        np.testing.assert_array_equal(commanded.get_ydata(), column / 1e3)
        drawn = subject.record.streams["truth"][f"load.{load}.power_w"]
        np.testing.assert_array_equal(line_of(axis, "drawn").get_ydata(), drawn / 1e3)


def test_dead_time_is_measured_from_sending_to_effect(subject: Subject) -> None:
    step, counts = picture("dead_time", subject).get_axes()
    # c1 makes the largest step (to 1520 W) and takes effect after 1.4 s.
    assert step.get_title(loc="left").startswith("c1")
    assert line_of(step, "effective").get_xdata()[0] == pytest.approx(1.4)
    assert line_of(step, "acknowledged").get_xdata()[0] == pytest.approx(0.25)
    texts = [text.get_text() for text in counts.get_legend().get_texts()]
    assert sorted(texts) == ["acknowledged, median 0.25 s", "effective, median 1.3 s"]
    filled = [p for p in counts.patches if str(p.get_label()).startswith("effective")]
    assert max(filled[0].get_path().vertices[:, 1]) == ROWS / 20  # 30 commands, each load's alike


def test_changes_are_counted_in_every_sliding_minute(subject: Subject) -> None:
    (axis,) = picture("changes", subject).get_axes()
    line = line_of(axis, "changes")
    start = local_days(subject.run, 0.0)
    at_s = (np.asarray(line.get_xdata()) - start) * 86_400
    # A change at t + 0.02 s for t = 0, 20, 40 …; the window (t − 60 s, t] holds three at most.
    sent_s = np.arange(0, ROWS, 20) + 0.02
    for probe_s in (0.01, 0.5, 30.0, 45.0, 59.9, 61.0, 100.0, 599.0):
        counted = np.count_nonzero((sent_s > probe_s - 60) & (sent_s <= probe_s))
        shown = line.get_ydata()[np.searchsorted(at_s, probe_s, side="right") - 1]
        assert shown == counted, probe_s
    worst = subject.judgement.measurements["command_changes_per_min_worst@1"]
    assert max(line.get_ydata()) == worst
    assert line_of(axis, "limit 10 a minute").get_ydata()[0] == 10


def test_imbalance_is_the_metrics(subject: Subject) -> None:
    (axis,) = picture("imbalance", subject).get_axes()
    second = line_of(axis, "each second").get_ydata()
    measured = subject.judgement.measurements["phase_imbalance@1"]
    assert np.mean(second) == pytest.approx(measured)
    assert measured in [line.get_ydata()[0] for line in axis.get_lines()]
    minute = line_of(axis, "mean of the last 60 s").get_ydata()
    assert minute[100] == pytest.approx(np.mean(second[100:160]))
    assert line_of(axis, "limit of the mean").get_ydata()[0] == 500


def test_histogram_adds_up_to_the_time_with_export(subject: Subject) -> None:
    (axis,) = picture("export_histogram", subject).get_axes()
    export_w = -subject.net_power_w()
    assert sum(bar.get_height() for bar in axis.patches) == np.count_nonzero(export_w > 0)
    last = max(axis.patches, key=lambda bar: bar.get_x())
    assert last.get_x() + last.get_width() == pytest.approx(export_w.max() / 1e3)


def test_duration_curve_is_sorted_export(subject: Subject) -> None:
    (axis,) = picture("duration", subject).get_axes()
    (line,) = axis.get_lines()
    export_kw = np.sort(-subject.net_power_w())[::-1] / 1e3
    for seconds, kw in zip(line.get_xdata(), line.get_ydata(), strict=True):
        assert kw == pytest.approx(export_kw[round(seconds) - 1], abs=1e-4)


def test_tanks_and_battery_are_the_records(subject: Subject) -> None:
    (axis,) = picture("tanks", subject).get_axes()
    truth = subject.record.streams["truth"]
    for load in ("a1", "b1", "c1"):
        np.testing.assert_array_equal(
            line_of(axis, load).get_ydata(), truth[f"load.{load}.temperature_c"]
        )
    charge, power = picture("battery", subject).get_axes()
    np.testing.assert_allclose(charge.get_lines()[0].get_ydata(), 100 * truth["battery.soc"])
    np.testing.assert_allclose(power.get_lines()[0].get_ydata(), truth["battery.power_w"] / 1e3)


def test_cut_out_is_drawn_where_a_tank_comes_near_it(make_run: MakeRun, builders: Any) -> None:
    site = builders.header()["site"]
    for load in site["loads"]:
        load["tank"]["cut_out_c"] = 60.0
    (axis,) = picture("tanks", read_subject(make_run(site=site))).get_axes()
    assert line_of(axis, "cut-out 60 °C").get_ydata()[0] == 60


def test_latency_says_that_it_is_not_judged_in_virtual_time(subject: Subject) -> None:
    (axis,) = picture("latency", subject).get_axes()
    assert "not judged under clock virtual" in axis.get_xlabel()
    decide_s = subject.run.timing["decide"] / 1e9
    assert line_of(axis, "95 %").get_xdata()[0] == pytest.approx(np.percentile(decide_s, 95))


def test_comparison_draws_every_run(subject: Subject, other: Subject) -> None:
    power, energy, curve, bars = picture("comparison", subject, other).get_axes()
    for run in (subject, other):
        line = line_of(energy, run.run.label)
        exported = np.clip(-run.net_power_w(), 0, None).sum() / 3.6e6
        assert line.get_ydata()[-1] == pytest.approx(exported)
    assert len(curve.get_lines()) == 2
    heights = [bar.get_height() for bar in bars.patches]
    expected = [s.judgement.measurements["import_energy@1"] / 1e3 for s in (subject, other)]
    assert [heights[2], heights[6]] == pytest.approx(expected)
    minutes = line_of(power, subject.run.label).get_ydata()
    assert minutes[3] == pytest.approx(np.mean(subject.net_power_w()[180:240]) / 1e3)


def test_the_same_run_twice_is_told_apart(subject: Subject) -> None:
    power = picture("comparison", subject, subject).get_axes()[0]
    labels = [text.get_text() for text in power.get_legend().get_texts()]
    assert labels == ["pi, seed 1 (1)", "pi, seed 1 (2)"]


def test_runs_of_other_days_are_not_compared(subject: Subject, make_run: MakeRun) -> None:
    later = read_subject(make_run(start_utc="2025-06-22T08:00:00+00:00"))
    with pytest.raises(NothingToDrawError, match="no common start"):
        picture("comparison", subject, later)
    with pytest.raises(NothingToDrawError, match="2 to 6 runs"):
        picture("comparison", subject)


def test_minutes_hold_the_rows_that_end_in_them() -> None:
    times_s = np.array([1.0, 60.0, 61.0, 119.0, 200.0])
    starts, means = minute_means(times_s, np.array([1.0, 3.0, 10.0, 20.0, 7.0]))
    assert starts.tolist() == [0.0, 60.0, 180.0]
    assert means.tolist() == [2.0, 15.0, 7.0]


def test_a_peak_of_one_second_survives_a_day() -> None:
    values = np.zeros(86_400)
    values[12_345], values[70_001] = 9.0, -4.0
    x, y = reduced(np.arange(1, 86_401, dtype=np.float64), values)
    assert len(x) == len(y) < 10_000
    assert (y.max(), y.min()) == (9.0, -4.0)
    assert abs(x[np.argmax(y)] - 12_346) < 25
    assert np.all(np.diff(x) >= 0)


def linear(colour: Any) -> Any:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lab(rgb: Any) -> Any:
    """Return CIELAB of linear sRGB, white D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722],
                       [0.0193, 0.1192, 0.9505]])  # fmt: skip
    xyz = to_xyz @ np.clip(rgb, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def distance(one: Any, two: Any) -> float:
    """Return how far two colours differ for those who tell them apart the least."""
    return min(
        float(np.linalg.norm(lab(vision @ linear(one)) - lab(vision @ linear(two))))
        for vision in VISIONS.values()
    )


def dashes(line: Any) -> Any:
    return line._unscaled_dash_pattern


@pytest.mark.parametrize("kind", KINDS)
def test_lines_are_told_apart_whatever_colours_one_sees(
    kind: str, subject: Subject, other: Subject
) -> None:
    for axis in picture(kind, subject, other).get_axes():
        named = [line for line in axis.get_lines() if not str(line.get_label()).startswith("_")]
        for one, two in itertools.combinations(named, 2):
            apart = dashes(one) != dashes(two) or distance(one.get_color(), two.get_color()) > 20
            assert apart, f"{kind}: {one.get_label()} and {two.get_label()}"


def test_many_tanks_are_told_apart(subject: Subject) -> None:
    from wattbench.evaluation.plots.storage import _look

    looks = [_look(i) for i in range(10)]
    assert len(set(looks)) == 10
    for (one, dash), (two, other_dash) in itertools.combinations(looks, 2):
        assert dash != other_dash or distance(palette()[one], palette()[two]) > 20


def kinds_of(subject: Subject) -> Sequence[str]:
    found = []
    for kind in OF_ONE:
        try:
            picture(kind, subject)
        except NothingToDrawError:
            continue
        found.append(kind)
    return found


def test_only_what_the_record_has_is_drawn(make_run: MakeRun) -> None:
    truth_only = read_subject(make_run(streams=("truth",), timed=False, without=("battery.",)))
    assert kinds_of(truth_only) == [
        "power", "phases", "imbalance", "export_histogram", "duration", "voltage", "tanks",
    ]  # fmt: skip
    nothing = read_subject(make_run(streams=(), timed=False))
    assert kinds_of(nothing) == []
    no_truth = read_subject(make_run(streams=("readings", "commands"), without=("effective.",)))
    assert kinds_of(no_truth) == ["changes", "latency"]


def test_measuring_is_not_changed_by_drawing(subject: Subject) -> None:
    before = dict(subject.judgement.measurements)
    kinds_of(subject)
    np.testing.assert_equal(measure(subject.record), before)
