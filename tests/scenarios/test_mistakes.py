"""Each mistake is one line: place, field, what is wrong, what is allowed, what was meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wattbench.scenarios.errors import ScenarioError

Errors = Callable[[str], list[ScenarioError]]

#: What is replaced, by what; then place, field and parts of the message of the only error.
MISTAKES = {
    "unknown key": (
        "title: A",
        "titel: A",
        (1, 1),
        "titel",
        ["unknown key; allowed: name, title", "'title'?"],
    ),
    "unknown key, far from all": (
        "title: A",
        "xyzzy: A",
        (1, 1),
        "xyzzy",
        ["unknown key; allowed: name"],
    ),
    "unknown key, valid elsewhere": (
        "title: A test",
        "latitude_deg: 48",
        (1, 1),
        "latitude_deg",
        ["did you mean 'profiles.site.latitude_deg'?"],
    ),
    "unit in the key": (
        "peak_power_w: 9 kW",
        "peak_power_kw: 9",
        (4, 8),
        "plant.pv.peak_power_kw",
        ["unknown key", "did you mean 'peak_power_w: 9 kW'?"],
    ),
    "unit missing in the key": (
        "duration_s: 4 h",
        "duration_h: 4",
        (14, 3),
        "clock.duration_h",
        ["did you mean 'duration_s: 4 h'?"],
    ),
    "wrong unit": (
        "3 kW",
        "3 kWh",
        (6, 41),
        "plant.loads[0].rated_power_w",
        ["wrong unit 'kWh': this is in W; allowed: W, kW, MW, mW"],
    ),
    "unit in wrong case": (
        "3 kW",
        "3 Kw",
        (6, 41),
        "plant.loads[0].rated_power_w",
        ["did you mean 'kW'?"],
    ),
    "number in quotes": (
        "rated_power_w: 2000",
        "rated_power_w: '2000'",
        (7, 41),
        "plant.loads[1].rated_power_w",
        ["got the text '2000'; allowed: a number, more than 0, at most 100000 W"],
    ),
    "out of range": (
        "rated_power_w: 2000",
        "rated_power_w: -2",
        (7, 41),
        "plant.loads[1].rated_power_w",
        ["-2 is out of range; allowed: more than 0, at most 100000 W"],
    ),
    "not a number": (
        "power_a_w: 300",
        "power_a_w: .nan",
        (11, 42),
        "profiles.household.power_a_w",
        ["NaN is not a finite number"],
    ),
    "infinite": (
        "power_a_w: 300",
        "power_a_w: .inf",
        (11, 42),
        "profiles.household.power_a_w",
        ["inf is not a finite number"],
    ),
    "truth value for a number": (
        "power_a_w: 300",
        "power_a_w: true",
        (11, 42),
        "profiles.household.power_a_w",
        ["got the truth value true; allowed: a number, at least 0 W"],
    ),
    "list for a mapping": (
        "{kind: generated, sky: clear}",
        "[clear]",
        (10, 7),
        "profiles.pv",
        ["got a list; allowed: a mapping with kind: generated, file"],
    ),
    "mapping for a list": (
        "  - {kind: smith}",
        "  kind: smith",
        (15, 1),
        "policies",
        ["got a mapping; allowed: a list of 1 … 32 items"],
    ),
    "null for a mapping": (
        "  start: 2025-06-21T10:00:00\n  duration_s: 4 h\n",
        "",
        (12, 1),
        "clock",
        ["got null; allowed: a mapping"],
    ),
    "empty list": (
        "\n  - {kind: smith}",
        " []",
        (15, 11),
        "policies",
        ["has 0 items; allowed: a list of 1 … 32 items"],
    ),
    "word": (
        "sky: clear",
        "sky: cleer",
        (10, 30),
        "profiles.pv.sky",
        ["got 'cleer'; allowed: clear, partly_cloudy", "did you mean 'clear'?"],
    ),
    "kind": (
        "kind: smith",
        "kind: smiht",
        (16, 12),
        "policies[0].kind",
        ["unknown kind 'smiht'; allowed: ", "did you mean 'smith'?"],
    ),
    "kind missing": (
        "{kind: smith}",
        "{name: smith}",
        (16, 5),
        "policies[0].kind",
        ["required key is missing; allowed: "],
    ),
    "plant's kind missing": (
        "  kind: export\n",
        "",
        (2, 1),
        "plant.kind",
        ["required key is missing; allowed: export"],
    ),
    "key missing": (
        "phase: a, ",
        "",
        (6, 7),
        "plant.loads[0].phase",
        ["required key is missing; allowed: a, b, c"],
    ),
    "section missing": (
        "policies:\n  - {kind: smith}\n",
        "",
        (1, 1),
        "policies",
        ["required key is missing; allowed: a list of 1"],
    ),
    "pattern": (
        "id: a1",
        "id: A1",
        (6, 12),
        "plant.loads[0].id",
        ["got 'A1'; allowed: a text matching"],
    ),
    "start without time": (
        "2025-06-21T10:00:00",
        "noon",
        (13, 10),
        "clock.start",
        ["got the text 'noon'; allowed: a time such as"],
    ),
    "start as a number": (
        "2025-06-21T10:00:00",
        "1750500000",
        (13, 10),
        "clock.start",
        ["got the number 1750500000"],
    ),
    "start long ago": (
        "2025-06-21T10:00:00",
        "0001-01-01T00:00:00",
        (13, 10),
        "clock.start",
        ["year 1; allowed: 1970 … 2100"],
    ),
    "start in the gap": (
        "2025-06-21T10:00:00",
        "2025-03-30T02:30:00",
        (13, 10),
        "clock.start",
        ["does not exist in Europe/Berlin"],
    ),
    "start in the overlap": (
        "2025-06-21T10:00:00",
        "2025-10-26T02:30:00",
        (13, 10),
        "clock.start",
        ["happens twice in Europe/Berlin; allowed: the time with +02:00 or +01:00"],
    ),
    "time zone": (
        "Europe/Berlin",
        "Europe/Berln",
        (9, 21),
        "profiles.site.time_zone",
        ["no IANA time zone", "Europe/Berlin"],
    ),
    "duration": (
        "duration_s: 4 h",
        "duration_s: 100.5",
        (14, 15),
        "clock.duration_s",
        ["must be a multiple of control_period_s (1 s)"],
    ),
    "model's own rule": (
        "rated_power_w: 2000",
        "rated_power_w: 5",
        (7, 7),
        "plant.loads[1].resolution_w",
        ["must not exceed rated_power_w"],
    ),
    "load id twice": (
        "id: b1",
        "id: a1",
        (7, 12),
        "plant.loads[1].id",
        ["id 'a1' is used twice; allowed: each id once in loads and chargers"],
    ),
    "charger with the id of a load": (
        "profiles:",
        "  chargers:\n    - {id: a1}\nprofiles:",
        (9, 12),
        "plant.chargers[0].id",
        ["id 'a1' is used twice; allowed: each id once in loads and chargers"],
    ),
    "load id reserved": (
        "id: b1",
        "id: grid",
        (7, 12),
        "plant.loads[1].id",
        [
            "id 'grid' is reserved: values of the plant itself are named so; "
            "allowed: any but battery, grid, household, pv"
        ],
    ),
    "too many loads on a phase": (
        "    - {id: a1,",
        "".join(f"    - {{id: x{n}, phase: a, rated_power_w: 1 kW}}\n" for n in range(4))
        + "    - {id: a1,",
        (6, 5),
        "plant.loads",
        ["phase a has 5 loads; allowed: at most 4 loads a phase"],
    ),
    "decimal comma": (
        "peak_power_w: 9 kW}",
        "peak_power_w: '9,5 kW'}",
        (4, 22),
        "plant.pv.peak_power_w",
        [
            "got the text '9,5 kW'; allowed: a number, 0 … 1000000 W; "
            "did you mean '9.5 kW', with a decimal point?"
        ],
    ),
    "decimal comma in a flow mapping": (
        "peak_power_w: 9 kW}",
        "peak_power_w: 9,5 kW}",
        (4, 24),
        "plant.pv.5 kW",
        [
            "unknown key; allowed: peak_power_w",
            "; did you mean a number with a decimal point, not a comma?",
        ],
    ),
    "decimal comma in a flow mapping, no unit": (
        "max_ratio: 0.9}",
        "max_ratio: 0,9}",
        (24, 53),
        "limits[1].9",
        ["; did you mean a number with a decimal point, not a comma?"],
    ),
    "decimal comma in a plain number": (
        "title: A test",
        "objective:\n  import_weight: 0,5",
        (2, 18),
        "objective.import_weight",
        ["got the text '0,5'; allowed: a number, 0 … 100; did you mean '0.5', with a"],
    ),
    "decimal comma in a limit": (
        "max: 1.2 kWh",
        "max: '1,2 kWh'",
        (23, 34),
        "limits[0].max",
        ["; did you mean '1.2 kWh', with a decimal point?"],
    ),
    "digits as a key with a value": (
        "peak_power_w: 9 kW}",
        "5 kW: 3}",
        (4, 8),
        "plant.pv.5 kW",
        ["unknown key; allowed: peak_power_w"],
    ),
    "null where it is refused": (
        "title: A test",
        "rig: null",
        (1, 6),
        "rig",
        ["got null; allowed: direct, emulated"],
    ),
    "fault on unknown load": (
        "{kind: meter_freeze,",
        "{kind: load_stuck_on, load: a9,",
        (21, 33),
        "faults[0].load",
        ["no load 'a9'; allowed: a1, b1"],
    ),
    "fault after the end": (
        "start_s: 600",
        "start_s: 4 h",
        (21, 35),
        "faults[0].start_s",
        ["starts at 14400 s, but the run ends at 14400 s"],
    ),
    "faults that contradict": (
        "duration_s: 60}\n",
        "duration_s: 60}\n  - {kind: meter_missing, start_s: 650, duration_s: 5}\n",
        (22, 5),
        "faults[1]",
        [
            "meter_missing contradicts meter_freeze at faults[0] (600 … 660 s)",
            "the meter's samples",
        ],
    ),
    "policy name twice": (
        "kind: zero}",
        "kind: zero, name: tuned}",
        (19, 22),
        "baselines[1].name",
        ["'tuned' is also the name of baselines[0]"],
    ),
    "metric": (
        "export_energy, max",
        "export_enrgy, max",
        (23, 14),
        "limits[0].metric",
        ["no metric 'export_enrgy'; did you mean 'export_energy'?"],
    ),
    "limit against nobody": (
        "vs: tuned",
        "vs: tuend",
        (24, 33),
        "limits[1].vs",
        ["no baseline 'tuend'; allowed: zero, tuned; did you mean 'tuned'?"],
    ),
    "limit against another judged policy": (
        "vs: tuned",
        "vs: smith",
        (24, 33),
        "limits[1].vs",
        ["no baseline 'smith'; allowed: zero, tuned"],
    ),
    "the same seed twice": (
        "title: A test",
        "seeds: [3, 4, 3]",
        (1, 8),
        "seeds",
        ["seed 3 is there twice; allowed: each once"],
    ),
    "a name for baselines": (
        "  - {kind: smith}",
        "  - {kind: smith, name: baseline-x}",
        (16, 25),
        "policies[0].name",
        ["a name must not begin with 'baseline-'"],
    ),
    "audit": (
        "title: A test",
        "audit: {passing: smyth}",
        (1, 18),
        "audit.passing",
        ["no policy or baseline 'smyth'", "did you mean 'smith'?"],
    ),
    "robustness without a broken policy": (
        "title: A test",
        "kind: robustness\naudit: {passing: smith}",
        (2, 1),
        "audit.broken",
        ["names the broken policy that must fail"],
    ),
    "seed": (
        "title: A test",
        "seeds: [1, -1]",
        (1, 12),
        "seeds[1]",
        ["-1 is out of range; allowed: 0 … "],
    ),
    "fraction for a whole number": (
        "title: A test",
        "seeds: [1.5]",
        (1, 9),
        "seeds[0]",
        ["got the number 1.5; allowed: a whole number"],
    ),
    "file": (
        "{kind: constant, power_a_w: 300}",
        "{kind: file, path: log.csv, column: p}",
        (11, 33),
        "profiles.household.path",
        ["no such file: 'log.csv'"],
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake_is_one_line(case: str, valid: str, errors: Errors) -> None:
    before, after, place, field, parts = MISTAKES[case]
    assert before in valid
    found = errors(valid.replace(before, after, 1))
    assert len(found) == 1, [str(error) for error in found]
    (error,) = found
    assert (error.field, (error.line, error.column)) == (field, place), str(error)
    for part in parts:
        assert part in error.message


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("title: A test", "rig: serial", "got 'serial'; allowed: direct, emulated"),
        ("title: A test", "seeds: 3", "got the number 3; allowed: a list of 1 … 1000 items"),
        ("title: A test", "edge: 3", "got the number 3; allowed: a mapping"),
        ("max: 1.2 kWh", "max: 1.2 kWh, vs: 3", "got the number 3; allowed: a text"),
        (
            "kind: smith}",
            "kind: smith, max_age_s: -1}",
            "-1 is out of range; allowed: more than 0, at most 3600 s",
        ),
        (
            "kind: smith}",
            "kind: smith, max_age_s: x}",
            "got the text 'x'; allowed: a number, more than 0, at most 3600 s, or null",
        ),
        (
            "kind: export",
            "kind: export\n  battery: 3",
            "got the number 3; allowed: a mapping or null",
        ),
        (
            "phase: b,",
            "phase: b, tank: 3,",
            "got the number 3; allowed: a mapping or null",
        ),
    ],
)
def test_null_is_offered_only_where_it_says_something(
    before: str, after: str, message: str, valid: str, errors: Errors
) -> None:
    (error,) = errors(valid.replace(before, after, 1))
    assert error.message == message


def test_each_id_that_is_used_again_is_told_at_its_own_place(valid: str, errors: Errors) -> None:
    more = "".join(
        f"    - {{id: {name}, phase: c, rated_power_w: 1 kW}}\n" for name in ("a1", "pv")
    )
    found = errors(valid.replace("id: b1", "id: a1").replace("profiles:", f"{more}profiles:"))
    assert [(error.line, error.column, error.field) for error in found] == [
        (7, 12, "plant.loads[1].id"),
        (8, 12, "plant.loads[2].id"),
        (9, 12, "plant.loads[3].id"),
    ]


def test_folder_for_a_file_is_told(valid: str, errors: Errors, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").mkdir()
    policy = "{kind: onnx, path: net.onnx, encoder: net.json}"
    found = errors(valid.replace("{kind: smith}", policy))
    assert [(error.field, error.message) for error in found] == [
        ("policies[0].path", "'net.onnx' is a folder; allowed: a file"),
        ("policies[0].encoder", "no such file: 'net.json'; allowed: a file"),
    ]


def test_valid_scenario_has_none(valid: str, errors: Errors) -> None:
    assert errors(valid) == []


def test_all_mistakes_at_once_without_noise(valid: str, errors: Errors) -> None:
    text = valid
    for before, after in [
        ("title: A test", "titel: A test"),
        ("peak_power_w: 9 kW", "peak_power_w: 9 kV"),
        ("rated_power_w: 3 kW", "rated_power_kw: -3"),
        ("rated_power_w: 2000", "rated_power_w: .nan, tank: {comfort_c: 75, volum_l: 1}"),
        ("sky: clear", "sky: cleer"),
        ("start_s: 600", "start_s: 5 h"),
        ("kind: smith", "kind: smyth"),
        ("max: 1.2 kWh", "max: 1.2 kW"),
        ("vs: tuned", "vs: tuend"),
    ]:
        assert before in text
        text = text.replace(before, after, 1)
    assert [error.field for error in errors(text)] == [
        "titel",
        "plant.pv.peak_power_w",
        "plant.loads[0].rated_power_kw",  # the key
        "plant.loads[0].rated_power_kw",  # its value, read as rated_power_w: -3 kW
        "plant.loads[1].rated_power_w",
        "plant.loads[1].tank.comfort_c",  # above the thermostat: found although keys are wrong
        "plant.loads[1].tank.volum_l",
        "profiles.pv.sky",
        "policies[0].kind",
        "faults[0].start_s",
        "limits[0].max",
        "limits[1].vs",
    ]


def test_rules_of_a_model_are_found_behind_an_unknown_key(valid: str, errors: Errors) -> None:
    text = valid.replace("id: b1", "id: a1").replace("pv: {peak", "colour: red\n  pv: {peak")
    assert [error.field for error in errors(text)] == ["plant.colour", "plant.loads[1].id"]


def test_periods_must_lie_on_the_grid(valid: str, errors: Errors) -> None:
    (error,) = errors(valid.replace("duration_s: 4 h", "duration_s: 4 h\n  control_period_s: 0.5"))
    assert error.field == "clock.control_period_s"
    assert "multiple of 0.2 s" in error.message
    assert (
        errors(valid.replace("duration_s: 4 h", "duration_s: 4 h\n  control_period_s: 0.4")) == []
    )


def test_faults_side_by_side_are_no_contradiction(valid: str, errors: Errors) -> None:
    after = "  - {kind: meter_missing, start_s: 660, duration_s: 5}\n"
    other = "  - {kind: meter_offset, offset_w: 3, start_s: 600, duration_s: 60}\n"
    assert errors(valid.replace("duration_s: 60}\n", f"duration_s: 60}}\n{after}{other}")) == []


def test_two_faults_contradict_on_one_load_only(valid: str, errors: Errors) -> None:
    def faults(first: str, second: str) -> str:
        lines = f"""
  - {{kind: load_stuck_on, load: {first}, start_s: 0, duration_s: 60}}
  - {{kind: load_vanished, load: {second}, start_s: 1 min, duration_s: 60}}
  - {{kind: load_stuck_off, load: {second}, start_s: 30, duration_s: 20}}
"""
        return valid.replace(
            valid[valid.index("\n  - {kind: meter") : valid.index("limits:")], lines
        )

    assert errors(faults("a1", "b1")) == []
    (error,) = errors(faults("a1", "a1"))
    assert error.field == "faults[2]"
    assert "load a1" in error.message


def test_named_file_is_found_beside_the_scenario(
    valid: str, write: Callable[[str, str], Path], errors: Errors
) -> None:
    log = write("time,p\n", "log.csv")
    text = valid.replace(
        "{kind: constant, power_a_w: 300}", "{kind: file, path: log.csv, column: p}"
    )
    assert log.is_file()
    assert errors(text) == []
