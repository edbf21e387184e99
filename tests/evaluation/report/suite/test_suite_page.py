"""The suite's page as a file: well-formed, safe, alone, the same for the same input, small."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from wattbench.evaluation.report.suite import intervals, write_suite_report
from wattbench.evaluation.report.suite.runs import why
from wattbench.evaluation.statistics import Interval
from wattbench.evaluation.suite.judgement import Rate, SuiteJudgement
from wattbench.evaluation.suite.results import Cell
from wattbench.evaluation.verdict import ExitCode, Verdict

from .conftest import MakeSuite, bracket_of, make_row, no_interval

VOID = {"meta", "link", "br", "rect", "line", "circle", "path"}
EVIL = '<script>alert("1")</script>&\'{{css}}'


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.names: list[str] = []
        self.classes: list[str] = []
        self.policy = self.text = ""
        self.rows: list[list[str]] = []
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        attributes = dict(attrs)
        assert len(attributes) == len(attrs), f"attribute twice in {tag}"
        assert not any(name.startswith("on") for name in attributes)
        self.names.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[k] for k in ("src", "href", "action") if k in attributes]
        self.classes.append(attributes.get("class", ""))
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.text += data
        if "tr" in self.open and self.rows and self.rows[-1]:
            self.rows[-1][-1] += data

    def row(self, *starts: str) -> list[str]:
        """Return the one row whose first cells begin with these texts."""
        (found,) = [
            row
            for row in self.rows
            if len(row) >= len(starts)
            and all(cell.strip().startswith(s) for cell, s in zip(row, starts, strict=False))
        ]
        return found


def page_of(judgement: SuiteJudgement) -> Page:
    return Page(write_suite_report(judgement))


@pytest.fixture
def page(suite_of: MakeSuite) -> Page:
    return page_of(suite_of())


def test_every_section_is_there_and_linked(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    parts = ["verdict", "matrix", "intervals", "comparisons", "brackets", "rates", "worst", "runs",
             "identity"]  # fmt: skip
    assert [part for part in parts if part not in page.ids] == []
    within = [link[1:] for link in page.links if link.startswith("#")]
    assert set(parts) - {"verdict"} <= set(within)
    assert set(within) <= set(page.ids)


def test_needs_neither_script_nor_network(page: Page) -> None:
    assert "script" not in page.names
    assert page.policy.startswith("default-src 'none'")
    assert "script-src" not in page.policy
    assert not [link for link in page.links if ":" in link and link != "data:,"]
    assert "url(" not in page.source
    assert "@import" not in page.source


def test_links_lead_to_what_is_there(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    made = judgement.folder / judgement.rows[0].cell.folder / "report.html"
    made.write_text("made before")
    links = [link for link in page_of(judgement).links if link.startswith("runs/")]
    assert {row.cell.folder for row in judgement.rows} <= {link.rstrip("/") for link in links}
    assert made.relative_to(judgement.folder).as_posix() in links
    assert [link for link in links if not (judgement.folder / unquote(link)).exists()] == []


def test_a_record_that_is_gone_is_not_linked(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    gone = judgement.rows[0].cell.folder
    (judgement.folder / gone).rmdir()
    page = page_of(judgement)
    assert f"{gone}/" not in page.links
    assert "gone" in page.text


def test_matrix_counts_verdicts_by_letter(page: Page) -> None:
    # Three scenarios, four seeds; `gate` misses seed 2 of each; baselines are not counted.
    assert [cell.split() for cell in page.row("cloudy_01", "P")[1:]] == [
        ["P", "4"], ["F", "1", "P", "3"], ["F", "1", "P", "7"],
    ]  # fmt: skip
    total = next(row for row in page.rows if row[0] == "all")
    assert [cell.split() for cell in total[1:]] == [
        ["P", "12"], ["F", "3", "P", "9"], ["F", "3", "P", "21"],
    ]  # fmt: skip
    assert "count FAIL" in page.classes
    assert page.row("export_energy ≤ pi")[2].split() == ["F", "3", "P", "9"]


def test_banner_counts_what_the_verdict_is_made_of(page: Page) -> None:
    assert "3 FAIL, 21 PASS of 24 judged runs; 1 INCONCLUSIVE, 1 PASS of 2 limits" in page.text
    assert "exit code1" in page.text


def test_interval_is_drawn_where_its_numbers_say(page: Page) -> None:
    row = page.row("? INCONCLUSIVE", "gate")
    assert row[3:5] == ["12.0\u202f%", "7.00\u202f% … 17.0\u202f% (95\u202f%)"]
    assert row[-1] == "the interval straddles the bound; about 12 further seeds"
    # Estimates 20 % and 12 %, ends 7 % … 25 %, bound 10 %: what is drawn has these ratios.
    part = page.source.partition('id="intervals"')[2].partition("</section>")[0]
    dots = [float(d.partition('"')[0]) for d in part.split('class="dot" cx="')[1:]]
    marks = [float(d.partition('"')[0]) for d in part.split('class="mark" x1="')[1:]]
    px_per_percent = (dots[0] - dots[1]) / 8
    assert marks == [marks[0]] * 2
    assert (dots[1] - marks[0]) / px_per_percent == pytest.approx(2, abs=0.02)


def test_bracket_is_ordered_and_scored(page: Page) -> None:
    part = page.source.partition('id="brackets"')[2].partition("</table>")[0]
    places = [part.index(f">{name}<") for name in ("zero", "pi-tuned", "smith", "replayed optimum",
                                                  "bound")]  # fmt: skip
    assert places == sorted(places)
    shown = next(row for row in page.rows if row[0] == "smith" and "kWh" in row[2])
    assert shown[2:] == ["0.800\u202fkWh", "85.0", "0.741\u202fkWh", "0.84"]
    pi = next(row for row in page.rows if row[0] == "pi-tuned")
    # 100 · (5000 − 940) / (5000 − 59)
    assert pi[3] == "82.2"
    assert "smith, dead time: 40 % of the regret (J 800 Wh, without it 500 Wh)" in page.text


def test_bracket_without_a_range_has_no_score(suite_of: MakeSuite) -> None:
    flat = bracket_of(policy="pi", objective_wh={"zero": 100.0, "pi": 99.8, "bound": 99.5})
    page = page_of(suite_of(brackets={"flat": (flat,)}))
    assert page.row("pi", "", "0.0998")[3] == "n/a"


def test_policies_of_a_scenario_share_an_axis(suite_of: MakeSuite) -> None:
    common = {"zero": 5000.0, "bound": 1000.0}
    both = tuple(
        bracket_of(policy=name, objective_wh={**common, name: value})
        for name, value in (("smith", 2000.0), ("mine", 1500.0))
    )
    page = page_of(suite_of(brackets={"one": both}))
    part = page.source.partition('id="brackets"')[2].partition("</table>")[0]
    assert part.count("class=judged") == 2
    assert part.count(">zero<") == 1
    assert page.row("mine", "", "1.50")[3] == "87.5"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"no_bracket": "it has a real rig"}, "No bracket: it has a real rig."),
        ({"warnings": ("no bound: the solver gave up",)}, "no bound: the solver gave up"),
        ({"lifted_how": {"command_rate": "not lifted: no such key"}}, "not lifted: no such key"),
    ],
)
def test_a_bracket_says_what_it_lacks(
    suite_of: MakeSuite, content: dict[str, Any], said: str
) -> None:
    own = bracket_of(policy="smith", objective_wh={"smith": 4.0}, **content)
    page = page_of(suite_of(brackets={"odd": (own,)}))
    assert said in page.text


def test_rates_are_rounded_to_the_safe_side() -> None:
    rate = Rate("smith", "safety_violations@1", 0.0, 500.0, 1 / 166.904, "rate < 1 in 166 h")
    assert "1 in 166 h</td>" in intervals.rates([rate])


def test_rates_say_what_is_not_excluded(page: Page) -> None:
    row = page.row("smith", "safety violations")
    assert [cell.replace("\u202f", " ") for cell in row[2:5]] == ["0", "12 h", "1 in 4 h"]


def test_worst_seeds_come_first_with_their_command(page: Page) -> None:
    part = page.text.partition("Worst seeds")[2]
    assert page.row("✗ FAIL", "gate", "cloudy_00", "2")[-1] == (
        "wattbench report runs/cloudy_00/gate-seed2"
    )
    gate = [row for row in page.rows if row[1:2] == ["gate"] and row[-1].startswith("wattbench")]
    assert [row[0] for row in gate] == ["✗ FAIL"] * 3 + ["✓ PASS"] * 2
    assert "% of what is allowed" in part


def test_what_is_missing_is_told(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    cut = judgement.rows[:-2]
    missing = tuple(row.cell for row in judgement.rows[-2:])
    page = page_of(replace(judgement, rows=cut, missing=missing))
    assert "34 of 36 planned" in page.text
    assert "2 runs not finished" in page.text
    assert "– missing" in page.text


def test_escapes_everything(suite_of: MakeSuite) -> None:
    name = EVIL.replace("/", "")  # a slash would be another folder
    judgement = suite_of(policies=(name,), failing=(name,), problems=(EVIL,), warnings=(EVIL,))
    rows = tuple(
        replace(row, reason=EVIL, limits=({"limit": EVIL, "metric": EVIL, "verdict": EVIL},))
        for row in judgement.rows
    )
    identity = replace(judgement.identity, name=EVIL, title=EVIL, machine={EVIL: EVIL})
    evil = replace(
        judgement,
        rows=rows,
        identity=identity,
        interval_limits=tuple(
            replace(r, text=EVIL, metric=EVIL, reason=EVIL) for r in judgement.interval_limits
        ),
        comparisons=tuple(
            replace(c, baseline=EVIL, metric=EVIL, by_stratum={EVIL: no_interval()})
            for c in judgement.comparisons
        ),
        rates=(Rate(EVIL, EVIL, math.nan, math.nan, math.nan, EVIL),),
        brackets={
            EVIL: (
                bracket_of(policy=EVIL, objective_wh={EVIL: 1.0, "bound": 0.5}, warnings=(EVIL,)),
            )
        },
    )
    page = page_of(evil)
    assert "script" not in page.names
    assert EVIL in page.text
    assert "<script>alert" not in page.source
    links = [link for link in page.links if link.startswith("runs/")]
    assert links
    assert all((judgement.folder / unquote(link)).is_dir() for link in links)


def test_odd_names_survive_a_shell(suite_of: MakeSuite) -> None:
    page = page_of(suite_of(policies=("my policy; rm",), failing=("my policy; rm",)))
    assert "wattbench report 'runs/cloudy_00/my policy; rm-seed2'" in page.text


def without_numbers(judgement: SuiteJudgement) -> SuiteJudgement:
    none = no_interval()
    return replace(
        judgement,
        interval_limits=tuple(
            replace(r, interval=none, bound=math.nan) for r in judgement.interval_limits
        ),
        comparisons=tuple(
            replace(c, reduction=none, interquartile_mean=none, probability_of_improvement=none,
                    by_stratum={"cloudy_00": none})
            for c in judgement.comparisons
        ),
        rates=(Rate("smith", "safety_violations@1", 0.0, 0.0, math.inf, "no time"),),
        rows=tuple(
            replace(row, measurements=dict.fromkeys(row.measurements), limits=())
            for row in judgement.rows
        ),
    )  # fmt: skip


def half_an_interval(judgement: SuiteJudgement) -> SuiteJudgement:
    half = Interval(0.2, math.nan, math.inf, 0.95, 1, 1)
    limits = tuple(replace(r, interval=half) for r in judgement.interval_limits)
    return replace(judgement, interval_limits=limits)


def empty(judgement: SuiteJudgement) -> SuiteJudgement:
    return SuiteJudgement(
        judgement.folder, replace(judgement.identity, plan=(), title=""), Verdict.INCONCLUSIVE,
        ExitCode.INCONCLUSIVE, (),
    )  # fmt: skip


@pytest.mark.parametrize("change", [without_numbers, half_an_interval, empty])
def test_gaps_are_gaps(
    suite_of: MakeSuite, change: Callable[[SuiteJudgement], SuiteJudgement]
) -> None:
    page = page_of(change(suite_of()))
    assert not {"nan", "inf", "None"} & set(page.text.split())
    for attribute in ('="nan', '="inf', "Mnan", "Minf", "Hnan", "Hinf"):
        assert attribute not in page.source
    assert "No run of this suite has a" in page.text or change is not empty


def test_same_judgement_same_bytes(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    first = write_suite_report(judgement).read_bytes()
    assert write_suite_report(judgement).read_bytes() == first


def test_a_thousand_runs_stay_below_two_megabytes(suite_of: MakeSuite) -> None:
    policies = tuple(f"policy-{i}" for i in range(9))
    judgement = suite_of(10, policies, 10, failing=policies)
    assert len(judgement.rows) == 1000
    page = page_of(judgement)
    assert len(page.source) < 2_000_000
    # Folded away scenario by scenario: the page opens on its summaries.
    assert sum(1 for i in page.ids if i.startswith("runs-")) == 10
    details = [i for i, name in enumerate(page.names) if name == "details"]
    assert details
    assert "<details open" not in page.source


def test_disk_that_refuses(suite_of: MakeSuite, tmp_path: Path) -> None:
    judgement = suite_of()
    with pytest.raises(OSError, match="nowhere"):
        write_suite_report(replace(judgement, folder=tmp_path / "nowhere"))


def test_aborted_baseline_is_shown(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    cell = Cell("cloudy_00", "", "pi", 9, True)
    row = replace(make_row(cell, np.random.default_rng(1)), status="error", reason="it burst")
    page = page_of(replace(judgement, rows=(*judgement.rows, row)))
    assert "it burst" in page.text


def test_decision_rule_is_declared(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    identity = replace(judgement.identity, suite={"decision_rule": "guarded"})
    assert "decision ruleguarded" in page_of(replace(judgement, identity=identity)).text
    assert "decision rule" not in page_of(judgement).text


def test_endlessly_worse_is_said_so(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    worse = Interval(-math.inf, -math.inf, 0.1, 0.95, 10, 1)
    found = tuple(replace(c, reduction=worse) for c in judgement.comparisons)
    page = page_of(replace(judgement, comparisons=found))
    assert "\u2212∞ … 10.0\u202f% (95\u202f%)" in page.text


def test_more_seeds_than_anybody_runs(suite_of: MakeSuite) -> None:
    judgement = suite_of(failing=(), verdict=Verdict.INCONCLUSIVE)
    limits = tuple(replace(r, further_seeds=1001) for r in judgement.interval_limits)
    page = page_of(replace(judgement, interval_limits=limits))
    assert "More than 1000 more seeds a scenario would probably settle it." in page.text


def test_objective_stands_open_and_other_metrics_are_folded(page: Page) -> None:
    part = page.source.partition('id="comparisons"')[2].partition("</section>")[0]
    objective, folded = part.split("2 other metrics against pi")
    assert "objective J</b> against pi" in objective
    assert "export energy</b> against pi" in folded
    assert "import energy</b> against pi" in folded
    assert part.count("<details>") == part.count("</details>") == 4  # three by scenario, one of all


def test_values_that_differ_look_different_in_the_unit_of_the_largest(suite_of: MakeSuite) -> None:
    values = {"zero": 20_000.0, "pi-tuned": 29.1, "smith": 26.4, "bound": 3.1}
    page = page_of(suite_of(brackets={"wide": (bracket_of(policy="smith", objective_wh=values),)}))
    said = {
        row[0]: (row[2], row[4])
        for row in page.rows
        if row and row[0] in values and "kWh" in row[2]
    }
    assert {name: cells[0] for name, cells in said.items()} == {
        "zero": "20\u202fkWh", "pi-tuned": "0.0291\u202fkWh", "smith": "0.0264\u202fkWh",
        "bound": "0.00310\u202fkWh",
    }  # fmt: skip
    assert said["pi-tuned"][1] == "0.0260\u202fkWh"  # regret


def test_limits_of_one_table_share_a_unit(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    first, second = judgement.interval_limits
    limit = {"text": "export_energy ≤ 1 kWh", "unit": "Wh", "bound": 1000.0, "upper": True}
    small = replace(first.interval, estimate=27.6, low=20.0, high=31.5)
    large = replace(second.interval, estimate=1540.0, low=1210.0, high=1900.0)
    both = replace(first, interval=small, **limit), replace(second, interval=large, **limit)
    page = page_of(replace(judgement, interval_limits=both))
    shown = [
        row[3:5] for row in page.rows if len(row) == 7 and "kWh …" in row[4].replace("\u202f", "")
    ]
    assert shown == [
        ["0.0276\u202fkWh", "0.0200\u202fkWh … 0.0315\u202fkWh (95\u202f%)"],
        ["1.54\u202fkWh", "1.21\u202fkWh … 1.90\u202fkWh (95\u202f%)"],
    ]


def test_a_limit_is_glossed_by_its_metric_alone(page: Page) -> None:
    assert "reduction ≥ 10 %, lower bound (export energy)" in page.text


def test_every_letter_of_the_matrix_is_explained(page: Page) -> None:
    for word in ("P PASS", "F FAIL", "N not judged", "– planned and not finished"):
        assert word in page.text


def test_nothing_that_did_not_happen_is_a_close_thing(suite_of: MakeSuite) -> None:
    judgement = suite_of()
    none = {"metric": "safety_violations@1", "unit": "count", "measured": 0.0, "bound": 0.0,
            "direction": "max", "verdict": "PASS"}  # fmt: skip
    half = {"metric": "export_energy@1", "unit": "Wh", "measured": 5.0, "bound": 10.0,
            "direction": "max", "verdict": "PASS"}  # fmt: skip
    row = replace(judgement.rows[0], reason="", limits=(none,))
    assert why(row) == "nothing happened that must not"
    assert why(replace(row, limits=(none, half))).startswith("tightest: export energy, 50")
