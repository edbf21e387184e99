"""The metric reference of the documentation, written from the registry."""

from __future__ import annotations

from pathlib import Path

from .metrics import METRICS, Metric

_HEAD = """# Metrics

This page is generated from the registry; `wattbench schema` writes it anew and
`wattbench schema --check` tells whether it is up to date. What they are for, and how they make one
objective: [objective and metrics](../concepts/objective-and-metrics.md).

A limit names a metric (`export_energy`, its newest version) or an id (`export_energy@1`). *Rule*
says whether the phases are netted first. *Source* says what a value is computed from: everything
but commands, readings and measured time is the plant's truth. Metrics marked *wall* are measured
always and judged under the clock `wall` only.

"""
_UNITS = {"1": "", "count": "count"}
_BETTER = {"lower": "↓", "higher": "↑", None: ""}


def reference_text() -> str:
    """Return the page in Markdown, the same text for the same metrics."""
    table = ["| metric | unit | better | rule | source | |", "|---|---|---|---|---|---|"]
    table += [_row(entry) for entry in METRICS.values()]
    formulas = [f"**`{entry.id}`** — {entry.formula}" for entry in METRICS.values()]
    return _HEAD + "\n".join(table) + "\n\n## Formulas\n\n" + "\n\n".join(formulas) + "\n"


def generated_files() -> dict[Path, str]:
    """Return the page under its path, or nothing where there is no checkout to write it to."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / "pyproject.toml").is_file():
        return {}
    return {checkout / "docs" / "reference" / "metrics.md": reference_text()}


def _row(entry: Metric) -> str:
    cells = [
        f"`{entry.id}`",
        _UNITS.get(entry.unit, entry.unit),
        _BETTER[entry.better],
        entry.rule,
        entry.source + (" (wall)" if entry.wall_only else ""),
        entry.description,
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
