"""The page of features names every feature, in the order of the vector, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from wattbench.agents.encoders import EncoderConfig, InputRule, OutputRule
from wattbench.agents.feature_names import FEATURE_NAMES

DOCS = Path(__file__).resolve().parents[2] / "docs"


def first_cells(page: Path) -> list[str]:
    rows = [line for line in page.read_text().splitlines() if line.startswith("| `")]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


def test_every_feature_is_listed_in_order() -> None:
    assert first_cells(DOCS / "reference" / "features.md") == list(FEATURE_NAMES)


def test_every_key_of_an_encoder_is_listed() -> None:
    keys = [key for key in EncoderConfig.model_fields if key not in {"inputs", "output"}]
    keys += [f"inputs[].{key}" for key in InputRule.model_fields]
    keys += [f"output.{key}" for key in OutputRule.model_fields]
    assert first_cells(DOCS / "concepts" / "onnx-policy.md") == keys
