"""What follows from a bracket's numbers, its file, and what judging makes of it."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.commands.run import judge as judge_command
from wattbench.evaluation.bracket import (
    BOUND,
    BUDGET_BOUND,
    REPLAY,
    ZERO,
    Bracket,
    read_bracket,
    write_bracket,
)
from wattbench.evaluation.files import RecordError
from wattbench.evaluation.judge import judge
from wattbench.evaluation.report import report_input, write_comparison
from wattbench.evaluation.report.bracket_part import axis
from wattbench.evaluation.report.bracket_part import bracket as section
from wattbench.evaluation.verdict import ExitCode, Verdict

PI, OWN = "pi-tuned", "smith"
VALUES = {ZERO: 1000.0, PI: 300.0, OWN: 250.0, REPLAY: 210.0, BUDGET_BOUND: 205.0, BOUND: 200.0}
CHANGES = {ZERO: 0.0, PI: 9.0, OWN: 9.0, REPLAY: 10.0}


def make(**changes: Any) -> Bracket:
    values = {**VALUES, **changes.pop("values", {})}
    given = {
        "trace_sha256": "t" * 64,
        "policy": OWN,
        "tuned_pi": PI,
        "objective_wh": {name: value for name, value in values.items() if value is not None},
        "changes_per_min_worst": CHANGES,
        "max_changes_per_min": 10.0,
        "lifted": {"dead_time": 230.0, "command_rate": 260.0},
        "lifted_how": {"dead_time": "lifted: all", "command_rate": "lifted: table"},
    }
    return Bracket(**{**given, **changes})


def test_numbers_by_hand() -> None:
    found = make()
    assert found.score(OWN) == 93.75  # 100 · (1000 − 250) / (1000 − 200)
    assert found.score(ZERO) == 0.0
    assert found.score(BOUND) == 100.0
    assert found.regret_wh(OWN) == 50.0
    assert found.regret_ratio(OWN) == 0.5  # 50 Wh, the PI's are 100 Wh
    assert found.gap_wh == 10.0
    assert found.share("dead_time") == 0.4  # (250 − 230) / 50
    assert found.share("command_rate") == -0.2  # (250 − 260) / 50: not clipped
    assert found.breaches() == ()
    assert found.summary() == (
        "score 93.8, regret 0.50 × pi-tuned's, gap 10 Wh (replayed optimum above the bound)"
    )
    assert make(policy=PI).summary().startswith("score 87.5, gap 10 Wh")


def test_shares_in_words_say_when_lifting_harms_or_leads_below_the_bound() -> None:
    found = make(lifted={"dead_time": 190.0, "command_rate": 260.0})
    assert found.share("dead_time") == pytest.approx(1.2)
    assert "below the bound, which holds with it" in found.explained("dead_time")
    assert "does worse without it" in found.explained("command_rate")
    assert found.explained("command_rate").startswith("command-rate limit: -20 % of the regret")
    same = make(lifted={"dead_time": 250.1})
    assert "next to none of the regret" in same.explained("dead_time")
    told = make(lifted={}, lifted_how={"command_rate": "not lifted: no such key"})
    assert told.explained("command_rate") == "command-rate limit: not lifted: no such key"


@pytest.mark.parametrize(
    ("zero", "bound", "scored"),
    [
        (1000.0, 990.1, False),  # 0.99 % of J of zero
        (1000.0, 989.9, True),
        (50.0, 49.2, False),  # 1.6 %, but less than 1 Wh
        (0.0, 0.0, False),
    ],
)
def test_no_score_where_there_is_next_to_nothing_to_win(zero, bound, scored) -> None:
    found = make(values={ZERO: zero, BOUND: bound, BUDGET_BOUND: None, OWN: zero + 5.0})
    assert (found.score(OWN) is not None) is scored
    assert ("score n/a (next to nothing to win" in found.summary()) is not scored


def test_what_is_missing_gives_no_numbers() -> None:
    found = make(values={BOUND: None, BUDGET_BOUND: None}, warnings=("no bound: it failed",))
    assert found.score(OWN) is found.regret_wh(OWN) is found.regret_ratio(OWN) is None
    assert found.share("dead_time") is found.gap_wh is found.range_wh is None
    assert found.summary() == "no bound: it failed"
    assert make(values={ZERO: None}).summary().startswith("score n/a (J of zero is missing)")
    perfect = make(values={OWN: 200.5})  # half a Wh of regret: shares of nothing
    assert perfect.share("dead_time") is None
    assert "next to no regret" in perfect.explained("dead_time")
    assert make(values={PI: 200.5}).regret_ratio(OWN) is None
    with pytest.raises(ValueError, match="the policy itself"):
        make(values={OWN: None})


@pytest.mark.parametrize("name", [ZERO, PI, OWN, REPLAY])
def test_nobody_is_below_the_bound(name) -> None:
    least = 200.0 - 200.0e-6 - 0.01
    assert make(values={name: least + 1e-3, BUDGET_BOUND: None}).breaches() == ()
    (breach,) = make(values={name: least - 1e-3, BUDGET_BOUND: None}).breaches()
    assert breach.startswith(f"J of {name} (199.989 Wh) is below the bound (200.000 Wh)")


def test_the_bound_within_the_budget_binds_those_who_keep_it() -> None:
    below = {OWN: 203.0}
    (breach,) = make(values=below).breaches()
    assert f"below the {BUDGET_BOUND} (205.000 Wh)" in breach
    assert make(values=below, changes_per_min_worst={**CHANGES, OWN: 11.0}).breaches() == ()
    unknown = {name: value for name, value in CHANGES.items() if name != OWN}
    assert make(values=below, changes_per_min_worst=unknown).breaches() == ()


@given(
    st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6)
)
def test_scores_order_policies_as_j_does(zero, pi, own, replay, bound) -> None:
    found = make(values={ZERO: zero, PI: pi, OWN: own, REPLAY: replay, BOUND: bound})
    own_score, pi_score = found.score(OWN), found.score(PI)
    if own_score is None or pi_score is None:
        assert zero - bound < max(0.01 * zero, 1.0)
    elif own < pi:
        assert own_score >= pi_score
    share, regret = found.share("dead_time"), found.regret_wh(OWN)
    if share is not None and regret is not None:
        assert share * regret == pytest.approx(own - 230.0, abs=1e-6)


def test_the_file_comes_back_and_damage_is_found(tmp_path) -> None:
    assert read_bracket(tmp_path) is None
    write_bracket(tmp_path, make())
    assert read_bracket(tmp_path) == make()
    path = tmp_path / "bracket.json"
    assert [file.name for file in tmp_path.iterdir()] == ["bracket.json"]
    good = path.read_text()
    damages = {
        good[:-20]: "is damaged",
        "[]": "no schema_version",
        good.replace("1000.0", "2000.0"): "was changed after it was written",
        good.replace('"schema_version": 1', '"schema_version": 2'): "newer wattbench",
    }
    for text, said in damages.items():
        path.write_text(text)
        with pytest.raises(RecordError, match=said):
            read_bracket(tmp_path)


@pytest.fixture
def judged(make_record, builders):
    """Return a function that judges a small record beside a bracket."""

    def make_judged(**changes: Any) -> tuple[Any, Any]:
        header = builders.header()
        header["scenario"]["limits"] = [{"metric": "export_energy", "max": 1000}]
        record = make_record(
            header=header,
            truth=builders.truth(60),
            commands=builders.commands(60),
            readings=builders.readings(60),
        )
        j_wh = judge(record.folder).measurements["objective@1"]
        assert math.isfinite(j_wh)
        values = {ZERO: 1000.0, PI: 300.0, OWN: j_wh, REPLAY: 0.0, BOUND: 0.0, BUDGET_BOUND: None}
        values |= changes.pop("values", {})
        sha = record.header.trace_sha256
        bracket = make(**{"trace_sha256": sha, "values": values, **changes})
        write_bracket(record.folder, bracket)
        return record, judge(record.folder)

    return make_judged


def test_judging_takes_the_bracket_from_the_folder(judged) -> None:
    record, found = judged()
    assert found.verdict is Verdict.PASS
    assert found.bracket is not None
    assert found.as_dict()["bracket"]["score"] == 100.0
    (record.folder / "bracket.json").unlink()
    without = judge(record.folder)
    assert without.verdict is Verdict.PASS
    assert without.bracket is None
    assert "bracket" not in without.as_dict()
    assert section(report_input(without)) == ""


def test_a_breach_is_an_error_and_the_limits_are_judged_all_the_same(judged, capsys) -> None:
    record, found = judged(values={BOUND: 5.0, REPLAY: 6.0})
    assert found.verdict is Verdict.ERROR
    assert found.exit_code is ExitCode.ERROR
    assert "is below the bound (5.000 Wh)" in found.reason
    assert [result.verdict for result in found.limits] == [Verdict.PASS]
    assert report_input(found).streams
    assert judge_command([record.folder], as_json=False) == 5
    assert "ERROR" in capsys.readouterr().out


def test_a_solver_that_failed_is_a_warning_and_no_verdict(judged, capsys) -> None:
    gone = {BOUND: None, REPLAY: None}
    record, found = judged(values=gone, warnings=("no bound: the solver gave up",))
    assert found.verdict is Verdict.PASS
    assert "no bound: the solver gave up" in found.warnings
    assert "no bound: the solver gave up" in section(report_input(found))
    assert judge_command([record.folder], as_json=False) == 0
    assert capsys.readouterr().out.count("the solver gave up") == 1


def test_a_bracket_of_another_run_is_refused(judged) -> None:
    _, found = judged(trace_sha256="0" * 64)
    assert found.verdict is Verdict.ERROR
    assert "belongs to another run" in found.reason
    _, found = judged(values={OWN: 7.0})
    assert found.verdict is Verdict.ERROR
    assert "gives J as 7 Wh" in found.reason


def test_a_damaged_bracket_is_an_error(judged) -> None:
    record, _ = judged()
    (record.folder / "bracket.json").write_text(json.dumps({"schema_version": 1}))
    found = judge(record.folder)
    assert found.verdict is Verdict.ERROR
    assert "bracket.json was changed" in found.reason


def test_the_report_shows_axis_shares_and_values(judged) -> None:
    _, found = judged(values={BOUND: -100.0, REPLAY: -90.0})
    html = section(report_input(found))
    assert "<h2>Between doing nothing and the best possible</h2>" in html
    for name in (ZERO, PI, OWN, REPLAY, BOUND):
        assert f'<th scope="row">{name}' in html
    assert html.count("<circle") == 5
    assert "dead time" in html
    assert "command-rate limit" in html


def test_a_page_with_several_runs_shows_the_bracket_of_each(judged, tmp_path) -> None:
    runs = [report_input(judged()[1]), report_input(judged()[1])]
    write_comparison(tmp_path / "report.html", runs)
    html = (tmp_path / "report.html").read_text()
    assert html.count('<svg class="bracket"') == 2
    assert html.count('<section id="bracket"') == html.count('<section id="bracket-1"') == 1
    assert '<a href="#bracket">' in html


def test_labels_of_the_axis_never_touch() -> None:
    close = {ZERO: 1000.0, PI: 201.5, OWN: 201.0, REPLAY: 200.5, BUDGET_BOUND: 200.2}
    drawn = axis(make(values=close))
    spots = [
        (float(x), float(y), len(label) * 8.0, "start" in kind)
        for kind, x, y, label in re.findall(
            r'<text class="([a-z ]+)" x="([\d.]+)" y="([\d.]+)">([^<]+)<', drawn
        )
    ]
    assert len(spots) == 6
    for x, y, width, start in spots:
        left = x if start else x - width
        for other_x, other_y, other_width, other_start in spots:
            other_left = other_x if other_start else other_x - other_width
            if (x, y) != (other_x, other_y) and y == other_y:
                assert left + width <= other_left or other_left + other_width <= left


def test_the_report_says_why_there_is_no_bracket(judged) -> None:
    _, found = judged(no_bracket="the clock was wall", objective_wh={OWN: 0.0}, lifted={})
    assert found.verdict is Verdict.PASS
    assert "No bracket: the clock was wall." in section(report_input(found))
    assert found.bracket is not None
    assert found.bracket.summary() == "no bracket: the clock was wall"


def test_sums_that_differ_by_rounding_leave_no_regret() -> None:
    bracket = Bracket(
        trace_sha256="0" * 64,
        policy="pi",
        objective_wh={"zero": 100.0, "pi": 0.1 + 0.2, "bound": 0.3},
    )
    assert bracket.regret_wh("pi") == 0.0
    assert bracket.regret_wh("zero") == 99.7
