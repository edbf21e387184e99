"""``extends``: what is merged, what replaces, and whose line an error names."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.extends import read_tree
from wattbench.scenarios.load import load_scenario

Write = Callable[[str, str], Path]


def tree_of(path: Path) -> object:
    tree = read_tree(path)
    assert tree.errors == []
    assert tree.root is not None
    return tree.root.plain()


def test_mappings_merge_lists_and_scalars_replace(write: Write) -> None:
    write(
        "name: base\ntitle: t\na: {x: 1, y: {z: 2, w: 3}}\nlist: [1, 2]\nb: {x: 1}\n", "base.yaml"
    )
    child = write("extends: base.yaml\na: {y: {z: 9}}\nlist: [3]\nb: null\nc: 4\n", "sub.yaml")
    assert tree_of(child) == {
        "title": "t",
        "a": {"x": 1, "y": {"z": 9, "w": 3}},
        "list": [3],
        "b": None,
        "c": 4,
    }


def test_another_kind_replaces_the_mapping(write: Write) -> None:
    write("kind: discriminating\npv: {kind: generated, sky: clear}\n", "base.yaml")
    child = write("extends: base.yaml\nkind: robustness\npv: {kind: file, path: x}\n", "sub.yaml")
    assert tree_of(child) == {"kind": "robustness", "pv": {"kind": "file", "path": "x"}}


def test_chain_through_folders(write: Write) -> None:
    write("a: 1\nb: 1\nc: 1\n", "base.yaml")
    write("extends: ../base.yaml\nb: 2\nc: 2\n", "mid/middle.yaml")
    assert tree_of(write("extends: mid/middle.yaml\nc: 3\n", "top.yaml")) == {
        "a": 1,
        "b": 2,
        "c": 3,
    }


def test_errors_name_the_file_that_wrote_the_key(write: Write, valid: str) -> None:
    base = write(valid.replace("sky: clear", "sky: cleer"), "base.yaml")
    text = "extends: base.yaml\nclock:\n  duration_s: 4 kW\nfaults:\n  - {kind: meter_freez}\n"
    child = write(text, "child.yaml")
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(child)
    places = [(e.file, e.line, e.column, e.field) for e in raised.value.errors]
    assert places == [
        (str(child), 3, 15, "clock.duration_s"),
        (str(child), 5, 12, "faults[0].kind"),
        (str(base), 10, 30, "profiles.pv.sky"),
    ]


def test_name_comes_from_the_own_file(write: Write, valid: str) -> None:
    write("name: the_base\n" + valid, "base.yaml")
    assert load_scenario(write("extends: base.yaml\n", "My Site.yaml")).name == "my_site"


def test_files_are_found_from_the_yaml_that_names_them(write: Write, valid: str) -> None:
    log = write("time,p\n", "data/log.csv")
    household = "{kind: file, path: log.csv, column: p}"
    base = valid.replace("{kind: constant, power_a_w: 300}", household)
    write(base, "data/base.yaml")
    scenario = load_scenario(write("extends: data/base.yaml\n", "child.yaml"))
    assert Path(scenario.resolved()["profiles"]["household"]["path"]) == log


def test_library_name_is_extended(
    write: Write, valid: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = write(valid, "library/export/sunny.yaml")
    monkeypatch.setattr("wattbench.scenarios.library.ROOT", base.parents[1])
    child = write("extends: export/sunny\ntitle: mine\n", "mine.yaml")
    assert load_scenario(child).title == "mine"
    with pytest.raises(ScenarioErrors, match=r"mine\.yaml:1:10: extends: no scenario 'suny'"):
        load_scenario(write("extends: suny\n", "mine.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("extends: nowhere.yaml\n", "1:10: extends: no such file: 'nowhere.yaml'"),
        (
            "extends: bse.yaml\n",
            "1:10: extends: no such file: 'bse.yaml'; did you mean 'base.yaml'?",
        ),
        (
            "extends: dir.yaml\n",
            "1:10: extends: 'dir.yaml' is a folder; "
            "allowed: the path of a YAML file or the name of a scenario",
        ),
        ("extends: case.yaml\n", "1:10: extends: cycle: case.yaml → case.yaml"),
        ("extends: loop.yaml\n", "1:10: extends: cycle: case.yaml → loop.yaml → case.yaml"),
        ("extends: [base.yaml]\n", "1:10: extends: got a list; allowed: the path"),
        ("extends: 3\n", "1:10: extends: got 3; allowed: the path"),
        ("extends: ./\0.yaml\n", "control character"),
        (f"extends: {'x' * 5000}.yaml\n", "1:10: extends: "),
        ("extends: broken.yaml\n", "broken.yaml:2:1: YAML syntax"),
    ],
)
def test_what_cannot_be_extended(
    write: Write, valid: str, text: str, message: str, tmp_path: Path
) -> None:
    write(valid, "base.yaml")
    write("extends: case.yaml\n", "loop.yaml")
    write("a: [\n", "broken.yaml")
    (tmp_path / "dir.yaml").mkdir()
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(write(text, "case.yaml"))
    assert len(raised.value.errors) == 1
    assert message in str(raised.value)


def test_folder_is_not_proposed_as_the_file_that_was_meant(write: Write, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").mkdir()
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(write("extends: bse.yaml\n", "case.yaml"))
    assert "no such file: 'bse.yaml'" in str(raised.value)
    assert "base.yaml" not in str(raised.value)


def test_behind_a_missing_base_only_certain_mistakes_are_told(write: Write) -> None:
    text = """\
        extends: nowhere.yaml
        clock: {duration_s: 4 kW}
        limits: [{metric: export_energy, vs: pi, max_ratio: 0.9}]
        """
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(write(textwrap.dedent(text), "case.yaml"))
    assert [error.field for error in raised.value.errors] == ["extends", "clock.duration_s"]


AUDITED = "audit: {passing: smith, broken: [zero]}\n"


@pytest.mark.parametrize("own", ["policies: [{kind: threshold}]", "baselines: [{kind: always_on}]"])
def test_an_audit_of_policies_that_were_replaced_is_not_taken_over(
    write: Write, valid: str, own: str
) -> None:
    write(valid + AUDITED, "base.yaml")
    again = load_scenario(write("extends: base.yaml\nseeds: [7]\n", "seeds.yaml"))
    assert again.audit is not None
    limits = "limits: [{metric: export_energy, max: 1 kWh}]\n"
    child = load_scenario(write(f"extends: base.yaml\n{own}\n{limits}", "child.yaml"))
    assert child.audit is None


def test_an_audit_of_policies_that_are_there_is_taken_over(write: Write, valid: str) -> None:
    write(valid + AUDITED, "base.yaml")
    more = "extends: base.yaml\npolicies: [{kind: smith}, {kind: threshold}]\n"
    assert load_scenario(write(more, "more.yaml")).audit is not None


def test_an_own_audit_is_checked(write: Write, valid: str) -> None:
    write(valid + AUDITED, "base.yaml")
    text = "extends: base.yaml\npolicies: [{kind: threshold}]\naudit: {passing: smyth}\n"
    child = write(text, "child.yaml")
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(child)
    assert any(error.file == str(child) and error.line == 3 for error in raised.value.errors)
