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

from wattbench.evaluation.report.suite import write_suite_report
from wattbench.evaluation.suite.judgement import Interval, Rate, SuiteJudgement
from wattbench.evaluation.suite.results import Cell
from wattbench.evaluation.verdict import ExitCode, Verdict

from .conftest import MakeSuite, make_row, no_interval

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
    assert row[3:5] == ["12.0\u202f%", "7.0\u202f% … 17.0\u202f% (95\u202f%)"]
    assert "about 12 more seeds a scenario would probably settle it" in row[-1]
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
    assert "Without the dead time: J 0.500" in page.text


def test_bracket_without_a_range_has_no_score(suite_of: MakeSuite) -> None:
    content = {"objective_wh": {"zero": 100.0, "pi": 99.8, "bound": 99.5}}
    page = page_of(suite_of(brackets={"flat": content}))
    assert page.row("pi", "", "0.100")[3] == "n/a"


@pytest.mark.parametrize(
    "content",
    [
        {},
        {"objective_wh": {}},
        {"objective_wh": {"zero": math.nan, "bound": None}},
        {"objective_wh": None, "no_bracket": "it has a battery"},
        {"objective_wh": {"zero": 5.0, "pi": 4.0}, "score": {"pi": None}},
        {"objective_wh": {"zero": 5.0, "bound": 5.0}, "score": None, "lifted": None},
    ],
)
def test_bracket_of_anything(suite_of: MakeSuite, content: dict[str, Any]) -> None:
    page = page_of(suite_of(brackets={"odd": content}))
    assert "odd" in page.text
    assert "nan" not in page.source.lower().replace("nand", "")


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
        brackets={EVIL: {"objective_wh": {EVIL: 1.0, "bound": 0.5}, "lifted": {EVIL: 1.0}}},
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
