"""The page: parts put together, scripts and numbers embedded, one file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

from ..files import write_at_once
from . import bracket_part, policies_part, record_part, verdict_part
from . import format as fmt
from .markup import SEVERITY, badge, sign, table, text, tone
from .model import ReportInput
from .packing import Packer, deflate_text, script_json
from .payload import detail_for, run_payload

_SCRIPTS = ("numbers.js", "figures.js", "page.js")
_LIBRARY_LEVEL = 4
"""Level 9 saves another 4 % of the library and takes three times as long."""
_VIRTUAL_NOTE = (
    "Measured on this machine while the clock was virtual: deciding took its declared time in the "
    "simulation, and these figures are not judged."
)
_WALL_NOTE = "Measured on this machine while the clock was paced; latency limits judge these."


def write_report(path: Path, run: ReportInput, library: Path | None = None) -> None:
    """Write one run's report as a self-contained HTML file.

    The same input gives the same bytes. Raises OSError if a file cannot be written.

    Args:
        path: of the report.
        run: what it shows.
        library: a folder in which the plotting library is to lie once, for many reports that refer
            to it by their place relative to it; None: it is in the report itself.

    """
    parts = [
        verdict_part.head(run),
        _nav([run]),
        verdict_part.limits(run),
        bracket_part.bracket(run),
        policies_part.policies(run),
        _plots([run]),
        record_part.events(run),
        record_part.identity(run),
    ]
    _write(path, run.title, parts, [run], library)


def write_comparison(path: Path, runs: Sequence[ReportInput]) -> None:
    """Write several policies and seeds of one scenario onto one page.

    The page shows one run's traces at a time, others laid over them on request. Raises ValueError
    if there are no runs, OSError if the file cannot be written.
    """
    if not runs:
        raise ValueError("a comparison needs at least one run")
    runs = list(runs)
    parts = [_comparison_head(runs), _nav(runs), policies_part.pooled(runs), _picker(runs)]
    parts += [
        f'<div data-run="{i}"><div class="head">{verdict_part.banner(run)}</div>'
        f"{_unique(verdict_part.limits(run) + bracket_part.bracket(run), i)}</div>"
        for i, run in enumerate(runs)
    ]
    parts.append(_plots(runs))
    parts += [
        f'<div data-run="{i}">'
        f"{_unique(record_part.events(run) + record_part.identity(run), i)}</div>"
        for i, run in enumerate(runs)
    ]
    _write(path, runs[0].title, parts, runs)


def _unique(html: str, index: int) -> str:
    """Return a part whose section ids occur once on the page: the first run's stay as they are."""
    return (
        html
        if index == 0
        else re.sub(r'<section id="([a-z]+)"', rf'<section id="\1-{index}"', html)
    )


def _nav(runs: Sequence[ReportInput]) -> str:
    places = ["limits", "policies", "traces", "loads", "distributions", "events", "identity"]
    if runs[0].bracket is not None:
        places.insert(1, "bracket")
    links = "".join(f'<a href="#{p}">{p.capitalize()}</a>' for p in places)
    return f'<nav aria-label="Parts of this page">{links}</nav>'


def _comparison_head(runs: Sequence[ReportInput]) -> str:
    first = runs[0]
    worst = max((tone(run.verdict) for run in runs), key=_severity)
    counts = {v: sum(tone(run.verdict) == v for run in runs) for v in SEVERITY}
    said = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    facts = [
        ("scenario", f"{first.scenario} ({first.kind})"),
        ("policies", ", ".join(dict.fromkeys(run.policy for run in runs))),
        ("seeds", ", ".join(str(s) for s in sorted({run.seed for run in runs}))),
        ("clock", first.clock),
        ("simulated", fmt.duration(first.duration_s)),
    ]
    items = "".join(f"<li><b>{name}</b>{text(value)}</li>" for name, value in facts)
    return (
        f'<header class="head" id="verdict"><div class="head-text"><h1>{text(first.title)}</h1>'
        f'<ul class="facts">{items}</ul></div><div class="banner {worst}" role="status">'
        f'{sign(worst)}<span class="word">{worst}</span>'
        f'<span class="why">Worst of {len(runs)} runs: {said}.</span></div></header>'
    )


def _severity(verdict: str) -> int:
    return SEVERITY.index(verdict) if verdict in SEVERITY else len(SEVERITY)


def _picker(runs: Sequence[ReportInput]) -> str:
    options = "".join(f'<option value="{i}">{text(r.label)}</option>' for i, r in enumerate(runs))
    rows = []
    for i, run in enumerate(runs):
        rows.append(
            f'<tr><th scope="row">{text(run.label)}</th><td>{badge(run.verdict)}</td>'
            f"<td>{text(verdict_part.why(run))}</td>"
            f'<td><label><input type="checkbox" data-overlay="{i}"> '
            f'lay over<span class="hidden"> {text(run.label)}</span></label></td></tr>'
        )
    heads = [("Run", False), ("Verdict", False), ("Why", False), ("Traces", False)]
    return (
        f'<section id="runs" class="long"><h2>Runs</h2>{table("", heads, rows)}'
        '<p class="picker"><label for="wb-choice">Everything below is about the run</label>'
        f'<select id="wb-choice">{options}</select></p></section>'
    )


def _plots(runs: Sequence[ReportInput]) -> str:
    """Return the empty plots, each with what it shows in words, for the script to fill."""
    buttons = "".join(
        f'<button type="button" data-view="{action}">{name}</button>'
        for action, name in (
            ("all", "Whole run"),
            ("closer", "Zoom in"),
            ("wider", "Zoom out"),
            ("earlier", "← Earlier"),
            ("later", "Later →"),
        )
    )
    clock = _VIRTUAL_NOTE if runs[0].clock == "virtual" else _WALL_NOTE
    return f"""<section id="traces" class="long"><h2>Traces</h2>
<div class="tools">{buttons}<span class="note">Drag to zoom, double-click for the whole run. Zoomed
out, each point pair is the smallest and the largest value of its interval: peaks are never lost.
</span></div>{_plot("wb-site", "Net grid power, phases, PV and consumers over time")}</section>
<section id="loads" class="long"><h2>Controlled devices</h2>
<p class="note">Area: power drawn. Dark line: the command after the guard. Dotted: temperature of
the tank, or charge, on the right axis. Shaded: faults.</p>
{_plot("wb-actuators", "Power, command and temperature of each controlled device over time")}
</section>
<section id="distributions"><div class="pair"><div><h2>Duration curve of export</h2>
<p class="note">For how long net export was at or above which power.</p>
{_plot("wb-curve", "Duration curve of export")}</div>
<div><h2>Decision latency</h2><p class="note">{clock}</p>
{_plot("wb-latency", "Histogram of decision latency")}</div></div></section>"""


def _plot(element: str, label: str) -> str:
    return (
        f'<div class="plot" id="{element}" role="img" aria-label="{label}">'
        '<p class="waiting">The plot needs JavaScript.</p></div>'
    )


def asset(name: str) -> str:
    """Return the text of a file of ``assets/``."""
    return resources.files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def filled(template: str, values: Mapping[str, str]) -> str:
    """Return a page: a template of ``assets/`` with each ``{{name}}`` replaced by its value."""
    return re.sub(r"\{\{(\w+)\}\}", lambda match: values[match[1]], asset(template))


def _library_source() -> bytes:
    return resources.files("plotly").joinpath("package_data", "plotly.min.js").read_bytes()


@lru_cache(maxsize=1)
def _embedded_library() -> tuple[str, str]:
    """Return the element that holds the plotting library, and what allows it to be run."""
    source = _library_source()
    packed = deflate_text(source, _LIBRARY_LEVEL)
    return f'<script type="text/plain" id="wb-plotly">{packed}</script>', _script_hash(source)


def _shared_library(page: Path, folder: Path) -> tuple[str, str]:
    """Return the element that loads the library from a folder, and what allows it to be run.

    The file is written if it is not there. Browsers hold no hash against a script on disk, so what
    is allowed is its origin.
    """
    file = folder / f"plotly-{version('plotly')}.min.js"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_at_once(file, _library_source().decode("utf-8"))
    place = quote(Path(os.path.relpath(file, page.parent)).as_posix())
    return f'<script src="{place}"></script>', "'self' file:"


def _script_hash(source: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(source).digest()).decode('ascii')}'"


def _write(
    path: Path,
    title: str,
    parts: Sequence[str],
    runs: Sequence[ReportInput],
    library: Path | None = None,
) -> None:
    packer = Packer()
    detail = detail_for(len(runs))
    packed = [run_payload(run, packer, detail) for run in runs]
    plotly, allowed = _embedded_library() if library is None else _shared_library(path, library)
    script = "\n(() => {\n" + "\n".join(asset(name) for name in _SCRIPTS) + "})();\n"
    values = {
        "allowed_scripts": f"{_script_hash(script.encode())} {allowed}",
        "title": text(f"{title} · wattbench"),
        "css": asset("report.css"),
        "body": "\n".join(part for part in parts if part),
        "runs": script_json(packed),
        "numbers": packer.text(),
        "plotly": plotly,
        "script": script,
    }
    write_at_once(path, filled("report.html", values))
