"""The page as a file: well-formed, safe, without network, the same for the same input."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest

from wattbench.evaluation.report import ActuatorInfo, write_comparison, write_report

VOID = {"meta", "link", "input", "br", "rect", "line", "circle"}
EVIL = '<script>alert("1")</script>&\'{{numbers}}'


def dom_of(path, profile):
    """Return a page's elements after a browser has run its script."""
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--dump-dom", path.as_uri(),
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order, scripts kept by id."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.scripts, self.policy = [], [], [], [], ""
        self.text, self.names = "", set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.names.add(tag)
        assert len(attributes) == len(attrs), f"attribute twice in {tag}"
        assert not any(name.startswith("on") for name in attributes)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes[k] for k in ("src", "href", "action") if k in attributes]
        if attributes.get("http-equiv") == "Content-Security-Policy":
            self.policy = attributes["content"]
        if tag == "script":
            self.scripts.append([attributes.get("id", "main"), ""])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1][1] += data
        else:
            self.text += data

    @property
    def by_id(self):
        return dict(self.scripts)


def written(path, run):
    write_report(path, run)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def run(make_run):
    return make_run(rows=3600)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return written(tmp_path_factory.mktemp("report") / "report.html", run)


def test_well_formed_with_unique_ids(page):
    assert len(page.ids) == len(set(page.ids))
    assert {"verdict", "limits", "policies", "traces", "events", "identity"} <= set(page.ids)


def test_tells_verdict_limits_and_policies_without_script(page):
    assert "PASS" in page.text
    assert "All 6 limits are met" in page.text
    for word in ("smith", "pi", "zero", "Europe/Berlin", "wattbench judge partly_cloudy-smith-1"):
        assert word in page.text


def test_refers_to_nothing_outside(page):
    assert all(link.startswith("#") or link == "data:," for link in page.links)
    assert "default-src 'none'" in page.policy
    own = page.by_id["main"]
    for word in ("http", "fetch(", "XMLHttpRequest", "import(", "WebSocket", "sendBeacon"):
        assert word not in own


def test_style_loads_nothing(run, tmp_path):
    path = tmp_path / "report.html"
    write_report(path, run)
    style = re.search(r"<style>(.*?)</style>", path.read_text(encoding="utf-8"), re.S)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_policy_allows_exactly_its_two_scripts(page):
    import zlib

    library = zlib.decompress(base64.b64decode(page.by_id["wb-plotly"]))
    for source in (page.by_id["main"].encode(), library):
        digest = base64.b64encode(hashlib.sha256(source).digest()).decode()
        assert f"'sha256-{digest}'" in page.policy
    assert "unsafe-inline" not in page.policy.partition("script-src")[2]


def strict(text):
    def refuse(word):
        raise AssertionError(f"{word} in JSON")

    return json.loads(text, parse_constant=refuse)


def test_data_is_strict_json(page):
    (shown,) = strict(page.by_id["wb-runs"])
    assert shown["label"] == "smith, seed 1"
    assert [s["label"] for s in shown["spans"]][:3] == [
        "load stuck on b1", "meter freeze", "coordinator restart",
    ]  # fmt: skip
    assert {"grid", "grid_a", "grid_b", "grid_c", "pv", "controlled"} <= set(shown["series"])


def test_time_axis_starts_at_local_time(page, run):
    (shown,) = strict(page.by_id["wb-runs"])
    assert shown["start_ms"] == (run.start_utc.timestamp() + 7200) * 1000
    assert shown["zone"] == "Europe/Berlin (UTC+02:00)"


def test_missing_numbers_stay_out_of_json(run, tmp_path):
    truth = dict(run.streams["truth"])
    truth["load.a1.temperature_c"] = np.full(3600, np.nan)
    truth["grid.a.power_w"] = np.where(np.arange(3600) < 9, np.nan, truth["grid.a.power_w"])
    changed = replace(run, streams={**run.streams, "truth": truth})
    (shown,) = strict(written(tmp_path / "r.html", changed).by_id["wb-runs"])
    assert shown["actuators"][0]["state"] is None
    assert "grid_a" in shown["series"]


def test_escapes_everything(run, tmp_path):
    rows = [replace(row, name=EVIL) for row in run.policies]
    evil = replace(
        run, title=EVIL, scenario=EVIL, kind=EVIL, policy=EVIL, clock=EVIL, ended=EVIL,
        time_zone=EVIL, policies=rows, folder=EVIL, notes=[EVIL], verdict="ERROR", reason=EVIL,
        limits=[replace(r, metric=EVIL, reason=EVIL, vs=EVIL, verdict=EVIL) for r in run.limits],
        events=[{"t_sim_us": 0, "kind": EVIL, EVIL: EVIL}],
        identity=[replace(r, group=EVIL, name=EVIL, value=EVIL) for r in run.identity],
        actuators=[ActuatorInfo(EVIL, "load", EVIL, 0.0, 1.0)],
        objective_formula=EVIL,
    )  # fmt: skip
    path = tmp_path / "evil.html"
    page = written(path, evil)
    assert len(page.scripts) == 4
    assert EVIL in page.text
    assert "<script>alert" not in path.read_text(encoding="utf-8")
    assert strict(page.by_id["wb-runs"])[0]["actuators"][0]["id"] == EVIL


def test_same_input_same_bytes(run, tmp_path):
    for name in ("one.html", "two.html"):
        write_report(tmp_path / name, run)
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_a_day_stays_below_three_megabytes(make_run, tmp_path):
    write_report(tmp_path / "day.html", make_run(rows=86_400))
    assert (tmp_path / "day.html").stat().st_size < 3_000_000


def test_early_abort_still_makes_a_page(run, tmp_path):
    bare = replace(
        run, verdict="ABORTED", ended="interrupted: Ctrl-C", reason="the run was interrupted",
        limits=[], policies=[], streams={}, events=[], timing={}, identity=[], actuators=[],
    )  # fmt: skip
    page = written(tmp_path / "bare.html", bare)
    assert "ABORTED" in page.text
    assert "the run was interrupted" in page.text
    (shown,) = strict(page.by_id["wb-runs"])
    assert (shown["series"], shown["curve"], shown["latency"]) == ({}, None, None)


def test_streams_without_rows(run, tmp_path):
    empty = {
        name: {key: column[:0] for key, column in stream.items()}
        for name, stream in run.streams.items()
    }
    page = written(tmp_path / "empty.html", replace(run, streams=empty))
    assert strict(page.by_id["wb-runs"])[0]["series"] == {}


def test_failure_says_which_limit_was_missed(make_run, tmp_path):
    page = written(tmp_path / "fail.html", make_run(rows=3600, verdict="FAIL"))
    assert re.search(r"1 of 6 limits is missed: import .* at most .* allowed", page.text)


def test_near_miss_shows_enough_digits(run, tmp_path):
    row = replace(run.limits[0], measured=1200.4, bound=1200.0, verdict="FAIL")
    page = written(tmp_path / "near.html", replace(run, limits=[row], verdict="FAIL"))
    assert "1.2004" in page.text


def test_best_value_is_marked_in_words_too(page):
    assert "★best" in page.text


def test_virtual_clock_does_not_judge_latency(page, make_run, tmp_path):
    assert "these figures are not judged" in page.text
    wall = written(tmp_path / "wall.html", make_run(rows=3600, clock="wall"))
    assert "these figures are not judged" not in wall.text


def test_comparison(make_run, tmp_path):
    runs = [
        make_run(rows=3600, policy=policy, seed=seed, verdict=verdict)
        for policy, verdict in (("smith", "PASS"), ("pi", "FAIL"))
        for seed in (1, 2)
    ]
    write_comparison(tmp_path / "all.html", runs)
    page = Page((tmp_path / "all.html").read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    assert "Worst of 4 runs: 2 PASS, 2 FAIL." in page.text
    assert "Means over seeds 1, 2" in page.text
    labels = [shown["label"] for shown in strict(page.by_id["wb-runs"])]
    assert labels == ["smith, seed 1", "smith, seed 2", "pi, seed 1", "pi, seed 2"]


def test_comparison_of_nothing_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one"):
        write_comparison(tmp_path / "none.html", [])


def test_many_reports_share_one_library(run, tmp_path):
    library = tmp_path / "assets here"
    places = [tmp_path / "runs" / name / "report.html" for name in ("one", "two")]
    for path in places:
        path.parent.mkdir(parents=True)
        write_report(path, run, library)
        page = Page(path.read_text(encoding="utf-8"))
        (link,) = [link for link in page.links if link.endswith(".js")]
        assert (path.parent / unquote(link)).samefile(next(library.iterdir()))
        assert "wb-plotly" not in page.by_id
        assert path.stat().st_size < 500_000
    assert len(list(library.iterdir())) == 1
    assert places[0].read_bytes() == places[1].read_bytes()


def test_shared_library_is_the_embedded_one(page, run, tmp_path):
    import zlib

    write_report(tmp_path / "report.html", run, tmp_path)
    (file,) = tmp_path.glob("*.js")
    assert file.read_bytes() == zlib.decompress(base64.b64decode(page.by_id["wb-plotly"]))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
@pytest.mark.parametrize("there", [True, False])
def test_a_browser_takes_the_shared_library(run, tmp_path, there):
    path = tmp_path / "runs" / "one" / "report.html"
    path.parent.mkdir(parents=True)
    write_report(path, run, tmp_path / "assets")
    if not there:
        next((tmp_path / "assets").iterdir()).unlink()
    dom = dom_of(path, tmp_path / "profile")
    assert len(re.findall(r"class=\"plot js-plotly-plot\"", dom)) == (4 if there else 0)
    told = '<p class="waiting">The plotting library is not where this page looks for it'
    assert (told in dom) != there


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_a_browser_draws_every_plot(make_run, tmp_path):
    write_report(tmp_path / "report.html", make_run(rows=3600))
    dom = dom_of(tmp_path / "report.html", tmp_path / "profile")
    assert len(re.findall(r"class=\"plot js-plotly-plot\"", dom)) == 4
    assert 'class="waiting"' not in dom
