"""Profiles from a user's own log: resampling, clock changes, and every error with its place."""

import gzip
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattbench.sim.profiles.config import FileHousehold, FilePv
from wattbench.sim.profiles.files import household_power, pv_per_peak
from wattbench.sim.profiles.findings import FileReport, ProfileError

START = datetime(2025, 6, 21, 10, tzinfo=UTC)
ZONE = "Europe/Berlin"


def rows(start: datetime, count: int, step_s: float, values: Any, zulu: bool = True) -> list[str]:
    stamps = [start + timedelta(seconds=i * step_s) for i in range(count)]
    tail = "Z" if zulu else ""
    at = [stamp.replace(tzinfo=None).isoformat() + tail for stamp in stamps]
    return [f"{stamp},{value}" for stamp, value in zip(at, values, strict=True)]


def write(path: Path, lines: list[str], header: str = "time,p") -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def load(
    path: Path, duration_s: int = 600, start: datetime = START, **keys: Any
) -> tuple[np.ndarray, FileReport]:
    tree = {"kind": "file", "path": path.name, "column": "p", "phases": "a", **keys}
    if any(name.startswith("column_") for name in keys):
        del tree["column"]
    config = FileHousehold.model_validate(tree)
    power_w, report = household_power(config, (1.0, 0.0, 0.0), start, duration_s, ZONE, path.parent)
    return power_w, report


def failure(path: Path, **keys: Any) -> ProfileError:
    with pytest.raises(ProfileError) as caught:
        load(path, **keys)
    assert str(path) in str(caught.value)
    assert caught.value.mend
    return caught.value


def test_a_minute_log_holds_its_values_by_the_second(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", rows(START, 11, 60, range(100, 1200, 100)))
    power_w, report = load(path)
    assert power_w.shape == (3, 601)
    assert power_w[0, 0] == power_w[0, 59] == 100.0
    assert power_w[0, 60] == pytest.approx(200.0)
    assert power_w[1:].sum() == 0.0
    assert (report.rows, report.usual_interval_s, report.findings) == (11, 60.0, [])


@pytest.mark.parametrize(("unit", "value"), [("W", 1200), ("kW", 1.2), ("Wh", 20), ("kWh", 0.02)])
def test_units(tmp_path: Path, unit: str, value: float) -> None:
    path = write(tmp_path / "log.csv", rows(START, 12, 60, [value] * 12))
    power_w, _ = load(path, unit=unit)
    np.testing.assert_allclose(power_w[0], 1200.0, rtol=1e-9)


def test_counters_become_mean_power_and_may_not_run_backwards(tmp_path: Path) -> None:
    readings = [1000 + 20 * i for i in range(12)]
    path = write(tmp_path / "log.csv", rows(START, 12, 60, readings))
    power_w, _ = load(path, unit="Wh_counter")
    np.testing.assert_allclose(power_w[0], 1200.0, rtol=1e-9)
    readings[7] = 3
    path = write(tmp_path / "log.csv", rows(START, 12, 60, readings))
    error = failure(path, unit="Wh_counter")
    assert (error.row, error.stamp) == (9, "2025-06-21T10:07:00Z")
    assert "backwards" in error.what


def test_stamps_at_the_end_of_their_interval(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", rows(START, 12, 60, range(12)))
    power_w, _ = load(path, log={"stamp": "end"})
    assert power_w[0, 0] == pytest.approx(1.0)
    assert power_w[0, 60] == pytest.approx(2.0)


def test_resampling_hold_and_linear(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", rows(START, 12, 60, range(0, 1200, 100)))
    held, _ = load(path, log={"resampling": "hold"})
    linear, _ = load(path, log={"resampling": "linear"})
    assert held[0, 119] == 100.0
    assert linear[0, 90] == pytest.approx(150.0)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    steps=st.lists(st.floats(0.15, 40.0), min_size=40, max_size=80),
    values=st.lists(st.floats(0.0, 5000.0), min_size=81, max_size=81),
)
def test_mean_keeps_the_energy_of_an_uneven_log(
    tmp_path: Path, steps: list[float], values: list[float]
) -> None:
    at = np.concatenate(([0.0], np.round(np.cumsum(steps), 3)))
    stamps = [(START + timedelta(seconds=float(s))).isoformat() for s in at]
    lines = [f"{s},{v!r}" for s, v in zip(stamps, values[: len(at)], strict=True)]
    path = write(tmp_path / "log.csv", lines)
    seconds = int(at[-1])
    power_w, _ = load(path, duration_s=seconds - 1, log={"max_gap_s": 3600})
    edges = np.minimum(np.append(at, at[-1]), seconds)
    energy = float(np.sum(np.array(values[: len(at)]) * np.diff(edges)))
    assert power_w[0].sum() == pytest.approx(energy, rel=1e-9, abs=1e-6)


def test_three_columns_a_sign_and_german_numbers(tmp_path: Path) -> None:
    lines = [f"21.06.2025 12:{i:02d};-1,5;-0,25;0,0" for i in range(12)]
    path = write(tmp_path / "log.csv", lines, "time;x;y;z")
    power_w, _ = load(
        path, column_a="x", column_b="y", column_c="z", unit="kW", sign="export_positive",
        log={"separator": ";", "decimal": ",", "time_format": "%d.%m.%Y %H:%M"},
    )  # fmt: skip
    np.testing.assert_allclose(power_w[:, 0], [1500.0, 250.0, 0.0])


def test_a_grid_meters_log_with_pv_gives_the_household(tmp_path: Path) -> None:
    lines = [f"2025-06-21T10:{i:02d}:00Z,-2500,3000" for i in range(12)]
    path = write(tmp_path / "log.csv", lines, "time,grid,pv")
    power_w, _ = load(path, column="grid", pv_column="pv")
    np.testing.assert_allclose(power_w[0], 500.0)
    error = failure(path, column="grid")
    assert "pv_column" in error.mend
    assert error.row == 2


@pytest.mark.parametrize("aware", [True, False])
def test_parquet_gzip_and_epoch(tmp_path: Path, aware: bool) -> None:
    times = pd.date_range("2025-06-21T12:00", periods=12, freq="60s", tz=ZONE)
    frame = pd.DataFrame(
        {"time": times if aware else times.tz_localize(None), "p": np.arange(12.0)}
    )
    frame.to_parquet(tmp_path / "log.parquet")
    power_w, _ = load(tmp_path / "log.parquet")
    lines = [f"{int(stamp.timestamp()) * 1000},{i}" for i, stamp in enumerate(times)]
    (tmp_path / "log.csv.gz").write_bytes(gzip.compress("\n".join(["time,p", *lines]).encode()))
    again, _ = load(tmp_path / "log.csv.gz")
    np.testing.assert_array_equal(power_w, again)
    assert power_w[0, 60] == pytest.approx(1.0)


def test_pv_is_scaled_by_its_rating_and_small_negatives_are_cut(tmp_path: Path) -> None:
    write(tmp_path / "log.csv", rows(START, 12, 60, [2.5, -0.01] * 6))
    config = FilePv(kind="file", path="log.csv", column="p", unit="kW", peak_power_w=5000)
    power, report = pv_per_peak(config, 9000.0, START, 600, ZONE, tmp_path)
    assert power[0] == 0.5
    assert power[60] == pytest.approx(0.0, abs=1e-12)
    (finding,) = report.findings
    assert (finding.kind, finding.count, finding.row) == ("negative", 6, 3)
    assert "2025-06-21T10:01:00Z" in str(report)
    wrong = FilePv(kind="file", path="log.csv", column="p", unit="kW", peak_power_w=5)
    with pytest.raises(ProfileError, match=r":2: .*2\.5 kW from an array of 0\.005 kW"):
        pv_per_peak(wrong, 9000.0, START, 600, ZONE, tmp_path)


def test_pv_with_the_wrong_sign_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", rows(START, 12, 60, [-2500] * 12))
    config = FilePv(kind="file", path=path.name, column="p")
    with pytest.raises(ProfileError, match=r"100 % of the energy is negative; PV power is ≥ 0"):
        pv_per_peak(config, 9000.0, START, 600, ZONE, tmp_path)


def with_gap() -> list[str]:
    lines = rows(START, 12, 60, range(0, 1200, 100))
    return lines[:3] + lines[7:]


def test_a_long_gap_is_an_error_with_its_place(tmp_path: Path) -> None:
    error = failure(write(tmp_path / "log.csv", with_gap()))
    assert (error.row, error.stamp) == (4, "2025-06-21T10:02:00Z")
    assert "nothing for 300 s" in error.what
    assert "fill" in error.mend


@pytest.mark.parametrize(
    ("fill", "middle_w"), [("hold", 200.0), ("zero", 0.0), ("linear", 200.0 + 500.0 * 120 / 240)]
)
def test_a_long_gap_is_filled_as_told(tmp_path: Path, fill: str, middle_w: float) -> None:
    power_w, report = load(write(tmp_path / "log.csv", with_gap()), log={"fill": fill})
    assert power_w[0, 300] == pytest.approx(middle_w)
    assert power_w[0, 150] == pytest.approx(200.0)
    assert power_w[0, 430] == pytest.approx(700.0)
    (finding,) = report.findings
    assert (finding.kind, finding.row) == ("gap", 4)
    assert f"filled by {fill}" in finding.text


def test_a_short_gap_and_one_outside_the_run_are_only_reported(tmp_path: Path) -> None:
    _, report = load(write(tmp_path / "log.csv", with_gap()), log={"max_gap_s": 300})
    assert [finding.kind for finding in report.findings] == ["gap"]
    _, report = load(write(tmp_path / "log.csv", with_gap()), duration_s=120)
    assert [finding.kind for finding in report.findings] == ["gap"]


def test_missing_values_duplicates_and_blank_rows_are_reported(tmp_path: Path) -> None:
    lines = rows(START, 12, 60, range(0, 1200, 100))
    lines[3] = lines[3].split(",")[0] + ","
    lines.insert(6, lines[5].split(",")[0] + ",600")
    lines.insert(9, "")
    power_w, report = load(write(tmp_path / "log.csv", lines))
    found = {finding.kind: (finding.row, finding.count) for finding in report.findings}
    assert found == {"blank": (11, 1), "no_value": (5, 1), "duplicate": (8, 1), "gap": (4, 1)}
    assert power_w[0, 300] == pytest.approx(550.0)  # mean of the two rows of 10:05
    assert power_w[0, 200] == pytest.approx(200.0)


def test_going_back_in_time_is_an_error(tmp_path: Path) -> None:
    lines = rows(START, 12, 60, range(12))
    lines[4], lines[5] = lines[5], lines[4]
    error = failure(write(tmp_path / "log.csv", lines))
    assert (error.row, error.stamp) == (7, "2025-06-21T10:04:00Z")
    assert "goes back by 60 s" in error.what


def autumn(passes: int) -> list[str]:
    clock = [f"2025-10-26T01:{m:02d}:00" for m in range(0, 60, 15)]
    clock += [f"2025-10-26T02:{m:02d}:00" for m in range(0, 60, 15)] * passes
    clock += [f"2025-10-26T03:{m:02d}:00" for m in range(0, 60, 15)]
    return [f"{stamp},{100 * i}" for i, stamp in enumerate(clock)]


def test_the_repeated_hour_of_autumn_is_told_apart(tmp_path: Path) -> None:
    start = datetime(2025, 10, 25, 23, tzinfo=UTC)  # 01:00 CEST
    power_w, report = load(write(tmp_path / "log.csv", autumn(2)), 4 * 3600, start)
    np.testing.assert_allclose(power_w[0, 450:14_400:900], 100.0 * np.arange(16))
    (finding,) = report.findings
    assert (finding.kind, finding.row, finding.count) == ("repeated_hour", 6, 8)


def test_an_hour_logged_once_leaves_a_gap_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", autumn(1))
    start = datetime(2025, 10, 25, 23, tzinfo=UTC)
    error = failure(path, duration_s=3 * 3600, start=start)
    assert (error.row, error.stamp) == (9, "2025-10-26T02:45:00")
    _, report = load(path, 3 * 3600, start, log={"fill": "hold"})
    assert {finding.kind for finding in report.findings} == {"repeated_hour", "gap"}
    _, report = load(path, 3 * 3600, start, log={"time_zone": "Etc/GMT-2"})
    assert report.findings == []


def test_the_skipped_hour_of_spring_is_an_error(tmp_path: Path) -> None:
    stamps = pd.date_range("2025-03-30T01:00", "2025-03-30T04:00", freq="15min")
    path = write(tmp_path / "log.csv", [f"{stamp.isoformat()},5" for stamp in stamps])
    start = datetime(2025, 3, 30, 0, tzinfo=UTC)
    error = failure(path, start=start)
    assert (error.row, error.stamp) == (6, "2025-03-30T02:00:00")
    assert "does not exist in Europe/Berlin" in error.what
    assert "Etc/GMT-1" in error.mend
    power_w, _ = load(path, 600, start, log={"time_zone": "Etc/GMT-1"})
    assert power_w[0, 0] == 5.0


def test_a_log_that_does_not_cover_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", rows(START, 12, 60, range(12)))
    error = failure(path, duration_s=7200)
    assert "covers 2025-06-21T10:00:00Z to 2025-06-21T10:11:00Z" in error.what
    assert "needs 2025-06-21T10:00:00Z to 2025-06-21T12:00:00Z" in error.what
    assert "clock.start" in error.mend
    early = failure(path, start=START - timedelta(hours=1))
    assert "needs 2025-06-21T09:00:00Z to 2025-06-21T09:10:00Z" in early.what


def test_a_little_missing_at_the_edges_is_held_and_reported(tmp_path: Path) -> None:
    path = write(tmp_path / "log.csv", rows(START, 12, 60, [7.0] * 12))
    for start in (START - timedelta(seconds=90), START + timedelta(seconds=200)):
        power_w, report = load(path, start=start)
        np.testing.assert_allclose(power_w[0], 7.0)
        assert [finding.kind for finding in report.findings] == ["edge"]


def test_a_missing_file_column_and_wrong_separator(tmp_path: Path) -> None:
    assert "no such file" in failure(tmp_path / "nothing.csv").what
    assert "is not a file" in failure(tmp_path).what
    path = write(tmp_path / "log.csv", rows(START, 12, 60, range(12)), "time,power_w")
    error = failure(path, column="powr_w")
    assert error.what == "has no column 'powr_w'"
    assert error.mend == "did you mean 'power_w'?"
    assert "the file has: time, power_w" in failure(path, column="zzz").mend
    path = write(tmp_path / "log.csv", ["2025-06-21T10:00:00Z;1"], "time;p")
    assert "';'" in failure(path).mend
    assert "unknown kind of file" in failure(write(tmp_path / "log.xlsx", [])).what


def damaged(tmp_path: Path) -> dict[str, Path]:
    frame = pd.DataFrame({"time": pd.date_range(START, periods=500, freq="1s"), "p": 1.0})
    frame.to_parquet(tmp_path / "cut.parquet")
    whole = (tmp_path / "cut.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    text = "\n".join(["time,p", *rows(START, 500, 1, np.random.default_rng(1).random(500))])
    zipped = gzip.compress(text.encode())
    (tmp_path / "cut.csv.gz").write_bytes(zipped[: len(zipped) // 2])
    (tmp_path / "zip.csv.gz").write_bytes(b"no gzip at all")
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "empty.parquet").write_bytes(b"")
    (tmp_path / "header.csv").write_text("time,p\n")
    (tmp_path / "binary.csv").write_bytes(bytes(range(256)) * 20)
    (tmp_path / "latin.csv").write_bytes("time,p\n2025-06-21T10:00Z,1 °\n".encode("latin-1"))
    write(tmp_path / "wide.csv", ["2025-06-21T10:00:00Z,1", "2025-06-21T10:01:00Z,1,2,3"])
    write(tmp_path / "one.csv", rows(START, 1, 60, [1]))
    (tmp_path / "text.parquet").write_text("time,p\n")
    return {path.name: path for path in tmp_path.iterdir()}


def test_damaged_files_give_typed_errors(tmp_path: Path) -> None:
    for path in damaged(tmp_path).values():
        failure(path)


def test_a_file_cut_off_within_its_last_row(tmp_path: Path) -> None:
    lines = rows(START, 12, 60, range(12))
    error = failure(write(tmp_path / "log.csv", [*lines[:-1], "2025-06-2"]))
    assert (error.row, error.stamp) == (13, "2025-06-2")
    assert "cut off" in error.mend


@pytest.mark.parametrize(
    ("value", "what", "mend"),
    [
        ("n.v.", "'n.v.' is not a number", "empty"),
        ("1,5", "'1,5' is not a number", "decimal"),
        ("inf", "is infinite", "empty"),
    ],
)
def test_values_that_are_no_numbers(tmp_path: Path, value: str, what: str, mend: str) -> None:
    lines = [line.replace(",", ";") for line in rows(START, 12, 60, range(12))]
    lines[4] = lines[4].split(";")[0] + ";" + value
    path = write(tmp_path / "log.csv", lines, "time;p")
    error = failure(path, log={"separator": ";"})
    assert error.row == 6
    assert error.stamp == "2025-06-21T10:04:00Z"
    assert what in error.what
    assert mend in error.mend


def test_stamps_that_are_no_times_or_of_two_kinds(tmp_path: Path) -> None:
    lines = rows(START, 12, 60, range(12))
    lines[2] = "soon,3"
    error = failure(write(tmp_path / "log.csv", lines))
    assert (error.row, error.stamp, error.what) == (4, "soon", "is not a time")
    lines = rows(START, 12, 60, range(12))
    lines[2] = lines[2].replace("Z", "")
    error = failure(write(tmp_path / "log.csv", lines))
    assert (error.row, error.what) == (4, "a stamp without UTC offset among others")


def test_one_damaged_number_among_epoch_stamps_is_named(tmp_path: Path) -> None:
    lines = [f"{int(START.timestamp()) + 60 * i},{i}" for i in range(12)]
    lines[7] = "17505O0420,7"
    error = failure(write(tmp_path / "log.csv", lines))
    assert (error.row, error.stamp, error.what) == (9, "17505O0420", "is not a time")


def test_text_in_a_parquet_column_is_refused(tmp_path: Path) -> None:
    frame = pd.DataFrame({"time": pd.date_range(START, periods=5, freq="60s"), "p": ["a"] * 5})
    frame.to_parquet(tmp_path / "log.parquet")
    assert "not numbers" in failure(tmp_path / "log.parquet").what
