"""Parameter files: how a policy takes their values over, and what is said of bad ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wattbench.commands.policies import named_policies
from wattbench.hil.selection import UnknownPolicyError
from wattbench.scenarios import parameters
from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.parameters import (
    UnknownParametersError,
    load_parameters,
    shipped_names,
    tuned_policy,
)

Write = Callable[..., Path]
FILE = """\
parameters:
  kind: pi
  kp: 0.31
  deadband_w: 0.12 kW
"""


@pytest.fixture
def scenario(valid: str) -> Callable[[str], str]:
    """The valid scenario with another entry for its policy."""
    return lambda entry: valid.replace("{kind: smith}", entry)


def errors_of(path: Path) -> list[str]:
    with pytest.raises(ScenarioErrors) as caught:
        load_scenario(path)
    return [str(error) for error in caught.value.errors]


def line_of(path: Path, text: str) -> int:
    lines = path.read_text().splitlines()
    return next(number for number, line in enumerate(lines, start=1) if text in line)


def test_values_are_defaults_and_the_entry_wins(write: Write, scenario: Callable) -> None:
    write(FILE, "lab.yaml")
    entry = "{kind: pi, parameters: lab.yaml, name: mine, kp: 0.4}"
    (policy,) = load_scenario(write(scenario(entry))).policies
    assert policy.model_dump(include={"name", "kp", "deadband_w"}) == {
        "name": "mine",
        "kp": 0.4,
        "deadband_w": 120.0,
    }


def test_the_resolved_scenario_holds_plain_values(write: Write, scenario: Callable) -> None:
    write(FILE, "lab.yaml")
    short = load_scenario(write(scenario("{kind: pi, parameters: lab.yaml}"), "case.yaml"))
    plain = "{kind: pi, name: pi-own, kp: 0.31, deadband_w: 120}"
    long = load_scenario(write(scenario(plain), "plain/case.yaml"))
    assert short == long
    assert short.hash() == long.hash()
    assert "parameters" not in short.resolved()["policies"][0]


def test_a_file_is_found_from_the_file_that_names_it(write: Write, scenario: Callable) -> None:
    write(FILE, "base/lab.yaml")
    write(scenario("{kind: pi, parameters: lab.yaml}"), "base/base.yaml")
    (policy,) = load_scenario(write("extends: base/base.yaml\n", "own.yaml")).policies
    assert policy.label == "pi-own"


def test_baselines_take_them_too(write: Write, valid: str) -> None:
    write(FILE, "lab.yaml")
    text = valid.replace("{kind: pi, name: tuned}", "{kind: pi, parameters: lab.yaml, name: tuned}")
    baselines = load_scenario(write(text)).baselines
    assert baselines[1].model_dump()["kp"] == 0.31


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (FILE.replace("kp", "kq"), 3, "parameters.kq: unknown key"),
        (FILE.replace("0.31", "31"), 3, "0 … 10"),
        (FILE.replace("0.12 kW", "3 s"), 4, "wrong unit 's'"),
        ("parameters: {kp: 1}\n", 1, "kind"),
        ("provenance: {}\n", 1, "parameters"),
        ("parameters: {kind: pi\n", 2, "YAML syntax"),
        (FILE + "provenanse: 1\n", 5, "provenanse: unknown key"),
    ],
)
def test_a_bad_file_is_named_with_its_line(
    write: Write, scenario: Callable, content: str, line: int, message: str
) -> None:
    file = write(content, "lab.yaml")
    found = errors_of(write(scenario("{kind: pi, parameters: lab.yaml}")))
    assert any(text.startswith(f"{file}:{line}:") and message in text for text in found), found


def test_parameters_of_another_kind(write: Write, scenario: Callable) -> None:
    file = write(FILE, "lab.yaml")
    case = write(scenario("{kind: smith, parameters: lab.yaml}"))
    (found,) = errors_of(case)
    assert found.startswith(f"{case}:{line_of(case, 'parameters:')}:")
    assert f"{file}:2:9 has parameters of kind pi; allowed: a file for kind smith" in found


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere.yaml", "no such file: 'nowhere.yaml'"),
        ("pj", "no parameters 'pj' come with the package"),
        ("3", "got 3; allowed: the path of a YAML file"),
    ],
)
def test_a_reference_that_leads_nowhere(
    write: Write, scenario: Callable, reference: str, message: str
) -> None:
    case = write(scenario(f"{{kind: pi, parameters: {reference}}}"))
    (found,) = errors_of(case)
    assert found.startswith(f"{case}:{line_of(case, 'parameters:')}:")
    assert message in found


def test_names_on_the_command_line(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(FILE, "shipped/pi.yaml")
    monkeypatch.setattr(parameters, "FOLDER", tmp_path / "shipped")
    monkeypatch.setattr(parameters, "_shipped", {})
    for name in ("tuned-pi", str(file)):
        policy = tuned_policy(name)
        assert policy is not None
        assert (policy.label, policy.model_dump()["kp"]) == ("pi-tuned", 0.31)
    named = tuned_policy(str(write(FILE + "  name: ours\n", "named.yaml")))
    assert named is not None
    assert named.label == "ours"
    assert tuned_policy("pi") is None
    with pytest.raises(UnknownParametersError, match="did you mean 'pi'"):
        tuned_policy("tuned-pii")


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_files_are_valid_and_say_where_they_come_from(name: str) -> None:
    file = load_parameters(parameters.FOLDER / f"{name}.yaml")
    provenance = file.provenance
    assert provenance is not None
    assert provenance.used_simulations <= provenance.budget_simulations
    (chosen,) = [point for point in provenance.finalists if point.chosen]
    (on_front,) = [point for point in provenance.front if point.chosen]
    values = file.parameters.model_dump()
    assert {key: values[key] for key in chosen.parameters} == chosen.parameters
    assert on_front.parameters == chosen.parameters
    kept = [point.objective_ratio for point in provenance.finalists if point.kept_limits]
    assert chosen.objective_ratio == min(kept) == provenance.tuned_objective_ratio
    for part in provenance.training:
        assert not set(part.search_seeds) & set(part.final_seeds)
        assert not {*part.search_seeds, *part.final_seeds} & set(range(1, 101))


def test_the_controllers_come_tuned() -> None:
    assert {"pi", "smith", "threshold"} <= set(shipped_names())


@pytest.mark.parametrize(
    ("entry", "label"),
    [
        ("{kind: pi, parameters: pi}", "pi-tuned"),
        ("{kind: pi, parameters: pi, name: pi-tuned}", "pi-tuned"),
        ("{kind: pi, parameters: pi, kp: 0.001}", "pi-own"),
        ("{kind: pi, parameters: pi, max_age_s: 9 s}", "pi-own"),
        ("{kind: pi, parameters: pi, kp: 0.001, name: mine}", "mine"),
        ("{kind: zero, name: zero}", "zero"),
        ("{kind: zero, name: nothing}", "nothing"),
        ("{kind: onnx-like, name: x}", ""),
    ],
)
def test_only_the_shipped_values_are_called_tuned(
    write: Write, scenario: Callable, entry: str, label: str
) -> None:
    case = write(scenario(entry).replace("  - {kind: zero}\n", ""))
    if not label:
        assert "unknown kind" in errors_of(case)[0]
        return
    (policy,) = load_scenario(case).policies
    assert policy.label == label


@pytest.mark.parametrize(
    ("entry", "at", "message"),
    [
        ("{kind: always_on, name: zero}", "zero", "'zero' is the name of kind zero alone"),
        (
            "{kind: pi, kp: 0.03, name: pi-tuned}",
            "pi-tuned",
            "'pi-tuned' is the name of kind pi with the",
        ),
        ("{kind: smith, parameters: smith, name: pi-tuned}", "pi-tuned", "parameters: pi}"),
        ("{kind: pi, parameters: pi, kp: 0.01, name: pi-tuned}", "pi-tuned", "another name"),
    ],
)
def test_a_name_that_means_something_else_is_refused_where_it_stands(
    write: Write, scenario: Callable, entry: str, at: str, message: str
) -> None:
    text = scenario(entry).replace("  - {kind: zero}\n", "")
    case = write(text)
    (found,) = errors_of(case)
    line = line_of(case, entry)
    column = case.read_text().splitlines()[line - 1].index(f"name: {at}") + len("name: ") + 1
    assert found.startswith(f"{case}:{line}:{column}: policies[0].name: ")
    assert message in found
    assert "; allowed: another name" in found


def test_a_file_of_ones_own_is_not_called_tuned_on_the_command_line(write: Write) -> None:
    policy = tuned_policy(str(write(FILE, "mine.yaml")))
    assert policy is not None
    assert policy.label == "pi-own"
    shipped = (parameters.FOLDER / "pi.yaml").read_text()
    copied = tuned_policy(str(write(shipped, "copy.yaml")))
    assert copied is not None
    assert copied.label == "pi-tuned"  # the values count, not where the file lies


def test_a_network_must_not_take_a_reserved_name(tmp_path: Path) -> None:
    for name in ("zero", "pi-tuned"):
        for suffix in (".onnx", ".json"):
            (tmp_path / f"{name}{suffix}").write_text("{}")
        with pytest.raises(UnknownPolicyError, match=f"'{name}' is the name of kind"):
            named_policies([str(tmp_path / f"{name}.onnx")], ())
