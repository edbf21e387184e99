"""Generated files: the schema and the reference say what the models say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.rigs.model import Rig, RigDevice, Safe
from wattbench.scenarios import schema
from wattbench.scenarios.model import ScenarioFile
from wattbench.scenarios.reference import reference_text, rig_reference_text


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(schema.schema_text())
    return loaded


def test_generated_files_are_up_to_date() -> None:
    stale = schema.drifted(schema.generated_files())
    assert not stale, f"out of date, run `wattbench schema`: {stale}"


def test_texts_are_deterministic() -> None:
    assert schema.schema_text() == schema.schema_text()
    assert reference_text() == reference_text()


def test_write_and_drift(tmp_path: Path) -> None:
    files = {tmp_path / "a" / "x.json": "1\n"}
    assert schema.drifted(files) == list(files)
    assert schema.write(files) == list(files)
    assert schema.write(files) == []
    next(iter(files)).write_text("2\n")
    assert schema.drifted(files) == list(files)


def test_schema_refuses_unknown_keys_and_knows_all_sections(document: dict[str, Any]) -> None:
    assert document["additionalProperties"] is False
    assert list(document["properties"]) == list(ScenarioFile.model_fields)


def test_a_file_that_extends_another_may_leave_out_keys(document: dict[str, Any]) -> None:
    assert "required" not in document
    assert "required" not in document["$defs"]["Clock"]
    assert "loads" not in document["$defs"]["ExportPlantConfig"].get("required", [])


def test_items_of_lists_need_their_keys(document: dict[str, Any]) -> None:
    assert set(document["$defs"]["Load"]["required"]) == {"id", "phase", "rated_power_w"}
    assert "kind" in document["$defs"]["MeterFreeze"]["required"]


def test_quantities_are_numbers_in_a_range_or_texts(document: dict[str, Any]) -> None:
    duration = document["$defs"]["Clock"]["properties"]["duration_s"]
    number = {"type": "number", "minimum": 1, "maximum": 31 * 86400}
    assert duration["anyOf"] == [number, {"type": "string"}]
    assert duration["unit"] == "s"


def test_reference_has_every_key_with_unit_and_range() -> None:
    text = reference_text()
    row = "| `duration_s` | number | s | 1 … 2678400 | **required** |"
    assert row in text
    assert "| `initial_soc` | number |  | 0 … 1 | `0.5` |" in text
    assert "## `policies` with `kind: smith`" in text
    for name in ScenarioFile.model_fields:
        assert f"| `{name}` |" in text


def test_rig_reference_has_every_key_and_kind_of_bus() -> None:
    text = rig_reference_text()
    for name in (*Rig.model_fields, *RigDevice.model_fields, *Safe.model_fields):
        assert f"| `{name}` |" in text
    for kind in ("modbus-tcp", "modbus-tls", "modbus-rtu", "znp", "zigbee2mqtt"):
        assert f"## `buses` with `kind: {kind}`" in text
