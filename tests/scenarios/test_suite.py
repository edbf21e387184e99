"""Suite files: what they mean, and what is said of mistakes in them, at which place."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from wattbench.evaluation.suite.results import hash_of
from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.library import SUITES, UnknownScenarioError, locate, locate_suite
from wattbench.scenarios.listing import suites
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.suite import Suite
from wattbench.scenarios.suite_loading import is_suite, load_suite

Write = Callable[[str, str], Path]

GOOD = """\
title: A test
scenarios:
  - site.yaml
  - {scenario: ./site.yaml, name: short, set: {clock: {duration_s: 10 min}, faults: []}}
variants:
  - {name: plain}
  - {name: far, set: {edge: {mesh: {hops: 4}}}}
policies:
  - {kind: pi, name: mine}
baselines:
  - {kind: zero}
  - {kind: pi, name: tuned}
seeds: {first: 3, count: 2}
training_seeds: [7, 9]
limits:
  - {metric: import_energy, vs: tuned, max_ratio: 1.1}
decision_rule: simple
interval_limits:
  - {metric: export_energy, vs: tuned, min_reduction: 10 %}
"""


@pytest.fixture
def file(write: Write, valid: str) -> Callable[[str], Path]:
    """Write a suite beside the scenario that it names."""
    write(valid, "site.yaml")
    return lambda text: write(text, "all.yaml")


def mistakes(path: Path) -> list[str]:
    with pytest.raises(ScenarioErrors) as raised:
        load_suite(path)
    root = f"{path.parent}/"
    return [str(error).removeprefix(root) for error in raised.value.errors]


def hashes(suite: Suite) -> list[str]:
    return [stratum.experiment.hash() for stratum in suite.strata]


def test_every_scenario_runs_with_every_variant(file: Callable[[str], Path]) -> None:
    suite = load_suite(file(GOOD))
    assert suite.name == "all"
    assert [stratum.name for stratum in suite.strata] == [
        "site@plain", "site@far", "short@plain", "short@far",
    ]  # fmt: skip
    assert [s.experiment.clock.duration_s for s in suite.strata] == [14400, 14400, 600, 600]
    assert [s.experiment.edge.mesh.hops for s in suite.strata] == [2, 4, 2, 4]
    assert [len(s.experiment.faults) for s in suite.strata] == [1, 1, 0, 0]
    assert [s.experiment.name for s in suite.strata] == ["site", "site", "short", "short"]


def test_the_suite_decides_policies_seeds_and_adds_limits(file: Callable[[str], Path]) -> None:
    suite = load_suite(file(GOOD))
    assert (suite.config.seeds, suite.config.training_seeds) == ((3, 4), (7, 9))
    for stratum in suite.strata:
        one = stratum.experiment
        assert [policy.label for policy in one.policies] == ["mine"]
        assert [policy.label for policy in one.baselines] == ["zero", "tuned"]
        assert one.seeds == (3, 4)
        assert one.decision_rule == "simple"
        assert [limit.metric for limit in one.limits] == [
            "export_energy@1", "export_energy@1", "import_energy@1",
        ]  # fmt: skip


def test_what_a_suite_leaves_out_is_each_scenarios_own(file: Callable[[str], Path]) -> None:
    (stratum,) = load_suite(file("scenarios: [site.yaml]\nseeds: [1]\n")).strata
    assert (stratum.name, stratum.variant) == ("site", "")
    assert [policy.label for policy in stratum.experiment.policies] == ["smith"]
    assert [policy.label for policy in stratum.experiment.baselines] == ["zero", "tuned"]
    assert len(stratum.experiment.limits) == 2
    assert stratum.experiment.decision_rule == "guarded"


def test_set_may_empty_the_scenarios_limits(file: Callable[[str], Path]) -> None:
    text = """\
        scenarios: [{scenario: site.yaml, set: {limits: []}}]
        seeds: [1]
        """
    limit = "limits: [{metric: export_energy, max: 1 kWh}]\n"
    (stratum,) = load_suite(file(text + limit)).strata
    assert [limit.max for limit in stratum.experiment.limits] == [1000.0]
    assert mistakes(file(text)) == [
        "all.yaml:1:49: scenarios[0].set.limits: has 0 items; allowed: a list of 1 … 100 items; "
        "the suite has no limits either, and a run without any is not judged"
    ]


def test_the_hash_is_of_what_runs(file: Callable[[str], Path], valid: str) -> None:
    suite = load_suite(file(GOOD))
    known = hash_of(suite.resolved())
    assert suite.hash() == known  # the one that `check` shows, and the one that a folder keeps
    same = load_suite(file(GOOD.replace("title: A test", "title: Other words")))
    assert (hash_of(same.resolved()), hashes(same)) == (known, hashes(suite))
    for change in (("10 min", "20 min"), ("count: 2", "count: 3"), ("10 %", "11 %")):
        assert hash_of(load_suite(file(GOOD.replace(*change))).resolved()) != known
    path = file(GOOD)
    (path.parent / "site.yaml").write_text(valid.replace("9 kW", "8 kW"))
    assert hash_of(load_suite(path).resolved()) != known


def test_the_hash_does_not_depend_on_where_the_files_lie(
    file: Callable[[str], Path], tmp_path: Path
) -> None:
    path = file(GOOD)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(path.parent, elsewhere)
    moved = load_suite(elsewhere / "all.yaml")
    assert hash_of(moved.resolved()) == hash_of(load_suite(path).resolved())


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        (("title:", "titel:"), "1:1: titel: unknown key;*did you mean 'title'?"),
        (("- site.yaml", "- sight.yaml"), "3:5: scenarios[0]: no such file: 'sight.yaml'; did you"),
        (("- site.yaml", "- export/cler_day"), "3:5: scenarios[0]: no scenario 'export/cler_day'*"),
        (("- site.yaml", "- 7"), "3:5: scenarios[0]: got the number 7; allowed: a mapping"),
        (("name: short, ", ""), "4:5: scenarios[1].name: 'site' is also the name of scenarios[0]"),
        (
            ("duration_s: 10 min", "duration_s: 10 kW"),
            "4:68: scenarios[1].set.clock.duration_s: wrong unit 'kW'",
        ),
        (
            ("duration_s: 10 min", "durations: 10"),
            "4:56: scenarios[1].set.clock.durations: unknown key*did you mean 'duration_s'?",
        ),
        (("faults: []", "seeds: [1]"), "4:84: scenarios[1].set.seeds: cannot be set in a suite"),
        (("name: far", "name: plain"), "7:12: variants[1].name: 'plain' is also the name of"),
        (("hops: 4", "hops: -4"), "7:43: variants[1].set.edge.mesh.hops: -4 is out of range"),
        (("kind: pi, name: mine", "kind: pj"), "9:12: policies[0].kind: unknown kind 'pj'"),
        (("name: mine", "name: tuned"), "12:22: baselines[1].name: 'tuned' is also the name of"),
        (("count: 2", "cont: 2"), "13:19: seeds.cont: unknown key*did you mean 'count'?"),
        (("count: 2", "count: 0"), "13:26: seeds.count: got 0; allowed: a whole number, 1 … 1000"),
        ((", count: 2", ""), "13:1: seeds.count: required key is missing; allowed: a whole number"),
        (("{first: 3, count: 2}", "[]"), "13:8: seeds: has 0 items; allowed: a list of 1 … 1000"),
        (("{first: 3, count: 2}", "[5, 5]"), "13:8: seeds: seed 5 is there twice"),
        (("[7, 9]", "[7, 4]"), "14:17: training_seeds: seed 4 is in seeds too"),
        (("import_energy", "import"), "16:14: limits[0].metric: no metric 'import'; did you mean"),
        (("import_energy, vs: tuned", "import_energy, vs: pi"), "16:33: limits[0].vs: no baseline"),
        (
            ("export_energy, vs: tuned", "export_energy, vs: pi"),
            "19:33: interval_limits[0].vs: scenario 'site@plain' has no baseline 'pi'",
        ),
    ],
)
def test_mistakes_are_told_with_their_place(
    file: Callable[[str], Path], change: tuple[str, str], mistake: str
) -> None:
    text = GOOD.replace(*change)
    assert text != GOOD
    begin, _, end = mistake.partition("*")
    found = [m for m in mistakes(file(text)) if m.startswith(f"all.yaml:{begin}")]
    assert found, mistakes(file(text))
    assert end in found[0]


def test_one_mistake_is_told_once_however_many_scenarios_meet_it(
    file: Callable[[str], Path],
) -> None:
    found = mistakes(file(GOOD.replace("hops: 4", "hops: many")))
    assert len(found) == 1


def test_a_limit_that_lacks_its_baseline_is_told_where_it_stands(
    file: Callable[[str], Path],
) -> None:
    found = mistakes(file("scenarios: [site.yaml]\nseeds: [1]\nbaselines: [{kind: zero}]\n"))
    assert found == [
        "site.yaml:24:33: limits[1].vs: no baseline 'tuned'; allowed: zero (as suite 'all' uses it)"
    ]


def test_one_round_tells_all_mistakes(file: Callable[[str], Path]) -> None:
    text = """\
scenarios:
  - {scenario: nosuch_one}
  - {scenario: site.yaml, set: {clock: {duraton_s: 3 min}}}
seeds: {first: 1, cnt: 3}
interval_limits: [{metric: export_enrgy, max: 1 kWh}]
"""
    found = [line.partition("; ")[0] for line in mistakes(file(text))]
    assert found == [
        "all.yaml:2:16: scenarios[0].scenario: no scenario 'nosuch_one' in the library (a file is "
        "given by its path, ending in .yaml)",
        "all.yaml:3:41: scenarios[1].set.clock.duraton_s: unknown key",
        "all.yaml:4:19: seeds.cnt: unknown key",
        "all.yaml:5:28: interval_limits[0].metric: no metric 'export_enrgy'",
    ]
    # What may be the suite's fault is not told of a scenario: only its name is looked at.
    text = text.replace("seeds:", "limits: [{metric: nosuch, max: 1}]\nseeds:")
    found = [line.split(": ")[1] for line in mistakes(file(text))]
    assert found[:2] == ["scenarios[0].scenario", "limits[0].metric"]


def test_names_of_shipped_suites() -> None:
    assert locate_suite("smoke_export") == SUITES / "smoke_export.yaml"
    with pytest.raises(UnknownScenarioError, match=r"no suite 'smoke_exprt'.*'smoke_export'"):
        locate_suite("smoke_exprt")
    assert {"acceptance_export", "smoke_export"} <= {entry.name for entry in suites()}


@pytest.mark.parametrize("name", [entry.name for entry in suites()])
def test_shipped_suites_are_valid(name: str) -> None:
    suite = load_suite(locate_suite(name))
    assert suite.config.title
    assert suite.config.training_seeds


def test_a_suite_is_told_from_a_scenario(file: Callable[[str], Path]) -> None:
    path = file(GOOD)
    assert is_suite(path)
    assert not is_suite(path.parent / "site.yaml")
    assert is_suite(file("sceanrios: [a]\nvariants: []\n"))


def test_a_file_of_the_other_kind_is_told_with_the_command_for_it(write: Write, valid: str) -> None:
    scenario = write(valid, "my roof.yaml")
    suite = write("title: t\nscenarios: [export/clear_day]\nseeds: [1]\n", "both.yaml")
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(suite)
    assert str(raised.value) == (
        f"{suite}:2:1: this is a suite, and a scenario is wanted; a suite is run by: "
        f"wattbench suite {suite}"
    )
    with pytest.raises(ScenarioErrors) as raised:
        load_suite(scenario)
    assert str(raised.value) == (
        f"{scenario}:1:1: this is a scenario, and a suite is wanted; a scenario is run by: "
        f"wattbench run '{scenario}'"
    )


def test_a_name_of_the_other_kind_is_told_with_the_command_for_it() -> None:
    with pytest.raises(UnknownScenarioError, match="a suite is run by: wattbench suite acceptance"):
        locate("acceptance_export")
    with pytest.raises(UnknownScenarioError, match="is run by: wattbench run cloud_edges"):
        locate_suite("cloud_edges")
