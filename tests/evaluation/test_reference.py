"""The metric reference: complete, and as it lies in the documentation."""

from __future__ import annotations

from wattbench.evaluation.metrics import METRICS
from wattbench.evaluation.reference import generated_files, reference_text


def test_every_metric_is_described() -> None:
    text = reference_text()
    for entry in METRICS.values():
        assert f"| `{entry.id}` |" in text
        assert entry.description, f"{entry.id}: no description"
        assert f"**`{entry.id}`** — {entry.formula}" in text
        assert entry.formula, f"{entry.id}: no formula"


def test_the_page_is_up_to_date() -> None:
    for path, text in generated_files().items():
        assert path.read_text(encoding="utf-8") == text, "run `make docs`"
