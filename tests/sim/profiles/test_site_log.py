"""A site's own log: what is taken from it, what is found in it, every error with file and line."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from wattbench.sim.edge import meter
from wattbench.sim.profiles.findings import ProfileError
from wattbench.sim.profiles.site_format import SiteLogFormat
from wattbench.sim.profiles.site_log import SiteLog, read_site_log

ZONE = "Europe/Berlin"
NOON_US = 1_750_500_000_000_000  # 2025-06-21T10:00:00Z


def table(rows: int = 400, **columns) -> pd.DataFrame:
    """Return a meter's log of one row a second, 1 kW of export on phase a."""
    stamps = pd.to_datetime(NOON_US + np.arange(rows) * 1_000_000, unit="us", utc=True)
    quiet = {"grid_power_a": -1000.0, "grid_power_b": 200.0, "grid_power_c": 300.0}
    quiet |= {f"grid_voltage_{phase}": 231.0 for phase in "abc"}
    return pd.DataFrame({"timestamp": stamps.strftime("%Y-%m-%dT%H:%M:%S.%fZ"), **quiet, **columns})


def read(folder: Path, frame: pd.DataFrame, suffix: str = ".csv", **form) -> SiteLog:
    path = folder / f"meter{suffix}"
    separator = form.get("separator", ",")
    if suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep=separator, decimal=form.get("decimal", "."))
    return read_site_log([folder], SiteLogFormat(**form), ZONE)


def refusal(folder: Path, frame: pd.DataFrame, **form) -> str:
    with pytest.raises(ProfileError) as refused:
        read(folder, frame, **form)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_a_meters_log_is_read(tmp_path, suffix) -> None:
    log = read(tmp_path, table(pv_power=4000.0, grid_current_a=4.5), suffix)
    assert log.at_us[0] == NOON_US
    assert len(log.at_us) == 400
    sample = log.values[0]
    assert sample[meter.POWER_A : meter.POWER_A + 4].tolist() == [-1000.0, 200.0, 300.0, -500.0]
    assert sample[meter.VOLTAGE_A] == 231.0
    assert sample[meter.CURRENT_A] == 4.5
    assert sample[meter.CURRENT_A + 1] == pytest.approx(200.0 / 231.0)
    assert sample[meter.PV_POWER] == 4000.0
    assert any("no currents" in note for note in log.notes)
    assert not any("no PV power" in note for note in log.notes)
    assert any("taken as import positive" in note for note in log.notes)


def test_names_units_and_numbers_are_as_the_format_says(tmp_path) -> None:
    frame = table().rename(columns={"timestamp": "zeit", "grid_power_a": "P1"})
    for column in ("P1", "grid_power_b", "grid_power_c"):
        frame[column] /= 1000.0
    form = {"time_column": "zeit", "columns": {"grid_power_a": "P1"}, "power_unit": "kW"}
    log = read(tmp_path, frame, separator=";", decimal=",", sign="export_positive", **form)
    assert log.values[0, meter.POWER_A] == 1000.0
    assert log.values[0, meter.POWER_TOTAL] == 500.0
    assert any("grid power is export_positive" in note for note in log.notes)


def test_stamps_without_offset_are_the_sites(tmp_path) -> None:
    frame = table()
    frame["timestamp"] = frame["timestamp"].str.removesuffix("Z").str.replace("T10", "T12")
    assert read(tmp_path, frame).at_us[0] == NOON_US
    assert read(tmp_path, frame, time_zone="UTC").at_us[0] == NOON_US + 7200 * 1_000_000


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_sign_is_the_one_that_the_counters_show(tmp_path, sign) -> None:
    rows = 1800
    power_w = np.where(np.arange(rows) % 3 == 0, 3000.0, -600.0)
    kwh = {"import": np.maximum(power_w, 0), "export": np.maximum(-power_w, 0)}
    counters = {
        f"{way}_kwh_{phase}": np.cumsum(kwh[way]) / 3.6e6 * (phase == "a")
        for way in kwh
        for phase in "abc"
    }
    frame = table(rows, grid_power_a=sign * power_w, grid_power_b=0.0, grid_power_c=0.0, **counters)
    log = read(tmp_path, frame)
    np.testing.assert_array_equal(log.values[:, meter.POWER_A], power_w)
    word = "import" if sign > 0 else "export"
    assert any(f"grid power is {word} positive, as its counters show" in n for n in log.notes)


def test_gaps_over_five_minutes_are_reported_with_their_row(tmp_path) -> None:
    frame = table(1000).drop(index=range(200, 600)).drop(index=range(700, 710))
    (note,) = [n for n in read(tmp_path, frame).notes if "5 min" in n]
    assert "meter.csv: row 201," in note
    assert "the longest gap is 401 s" in note


def test_single_odd_rows_are_left_out_and_told(tmp_path) -> None:
    frame = table(400)
    frame.loc[7, "grid_voltage_b"] = 0.0
    frame.loc[9, "grid_power_a"] = 1e6
    frame.loc[11, "grid_power_c"] = np.nan
    log = read(tmp_path, frame)
    assert len(log.at_us) == 397
    told = "\n".join(log.notes)
    assert "row 9," in told
    assert "'grid_voltage_b' is 0 V, not within 200 … 260 V: row left out" in told
    assert "row 11," in told
    assert "row 13," in told


def test_of_rows_with_one_stamp_the_last_counts(tmp_path) -> None:
    frame = table(400)
    frame.loc[5, "timestamp"] = frame.loc[4, "timestamp"]
    frame.loc[5, "grid_power_a"] = 77.0
    log = read(tmp_path, frame)
    assert len(log.at_us) == 399
    assert log.values[4, meter.POWER_A] == 77.0
    assert any("same stamp: the last counts" in note for note in log.notes)


def test_a_stamp_that_is_years_away_is_told_before_anything_is_built(tmp_path) -> None:
    frame = table(20)
    frame.loc[0, "timestamp"] = "1970-01-01T00:00:00.000000Z"
    said = refusal(tmp_path, frame)
    assert "meter.csv:3: " in said
    assert "days, 20" in said
    assert "of them right before this row; correct the time stamps" in said


def test_a_power_beyond_all_numbers_is_no_warning_of_python(tmp_path) -> None:
    frame = table(400).assign(grid_power_a=1e306)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "0 usable rows" in refusal(tmp_path, frame, power_unit="kW")


def test_errors_name_file_and_line(tmp_path) -> None:
    frame = table()
    frame.loc[[20, 21], "timestamp"] = frame.loc[[21, 20], "timestamp"].to_numpy()
    said = refusal(tmp_path, frame)
    assert f"{tmp_path / 'meter.csv'}:23: " in said
    assert "the time goes back by 1 s" in said
    wrong_unit = refusal(tmp_path, table(grid_power_a=250_000.0))
    assert f"{tmp_path / 'meter.csv'}:2: " in wrong_unit
    assert "not within |P| < 100 kW (400 of 400 rows); correct the unit" in wrong_unit
    assert "not within 200 … 260 V" in refusal(tmp_path, table(grid_voltage_a=120.0))
    assert "no file has the meter's columns" in refusal(
        tmp_path, table().drop(columns="grid_power_a")
    )


def write_commands(folder: Path, *texts: str, **columns: list[str]) -> None:
    stamps = pd.to_datetime(NOON_US + np.arange(len(texts)) * 5_000_000, unit="us", utc=True)
    frame = pd.DataFrame({"timestamp": stamps.astype(str), "command": list(texts), **columns})
    frame.to_csv(folder / "zigbee.csv", index=False)


def test_commands_are_ragged_lists_a_phase(tmp_path) -> None:
    write_commands(tmp_path, "[[1500, 0], [], [2.5]]", "[[0,0],[],[0]]", ack_received=["true", "0"])
    log = read(tmp_path, table())
    assert [command.power_w for command in log.commands] == [
        ((1500, 0), (), (2.5,)),
        ((0, 0), (), (0,)),
    ]
    assert log.commands[1].at_us == NOON_US + 5_000_000
    assert any("1 of 2 commands were not acknowledged" in note for note in log.notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[1], [], [-5]]", "a negative command (-5 W)"),
        ("[[1], []]", "is no command"),
        ("[[1], [], 5]", "is no command"),
        ("[[1], [], [true]]", "is no command"),
        ("[[1], [], [NaN]]", "is no command"),
        ("[[1], [], [1e999]]", "is no command"),
        ('[[1], [], ["5"]]', "is no command"),
        ("all off", "is no command"),
        ("[[1], [], [" + "9" * 400 + "]]", "is no command"),
        ("[" * 9000, "is no command"),
        ("[[1], [], [250000]]", "a command of 250 kW for one load"),
        ("", "is no command"),
    ],
)
def test_what_is_no_command_is_refused_with_its_line(tmp_path, text, said) -> None:
    write_commands(tmp_path, "[[1], [], [2]]", text)
    message = refusal(tmp_path, table())
    assert f"{tmp_path / 'zigbee.csv'}:3: " in message
    assert said in message


def test_the_controllers_set_point_has_the_meters_sign(tmp_path) -> None:
    stamps = table(3)["timestamp"]
    frame = pd.DataFrame({"timestamp": stamps, "reference_power": 50.0, "kp": 0.5})
    frame.to_csv(tmp_path / "pi.csv", index=False)
    assert read(tmp_path, table()).reference_w.tolist() == [50.0] * 3
    log = read(tmp_path, table(), sign="export_positive")
    assert log.reference_w.tolist() == [-50.0] * 3


def test_other_files_are_left_out_and_two_of_a_kind_refused(tmp_path) -> None:
    (tmp_path / "notes.txt").write_text("day,weather\n1,sunny\n")
    assert any(
        "notes.txt: has no columns that are known" in n for n in read(tmp_path, table()).notes
    )
    (tmp_path / "second.csv").write_text((tmp_path / "meter.csv").read_text())
    assert "is a second log of the meter" in refusal(tmp_path, table())


def test_a_folder_or_file_that_is_not_there_is_told(tmp_path) -> None:
    with pytest.raises(ProfileError, match="holds no log"):
        read_site_log([tmp_path], SiteLogFormat(), ZONE)
    with pytest.raises(ProfileError, match="no such file"):
        read_site_log([tmp_path / "gone.csv"], SiteLogFormat(), ZONE)
