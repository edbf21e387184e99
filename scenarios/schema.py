"""JSON Schema of scenarios, suites, device profiles and rigs, for editors.

Generated from the models, under version control.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .slots import DISCRIMINATOR, field_slot, is_model

#: Where the schema comes with the package.
SCHEMA_FILE = Path(__file__).parent / "schema" / "scenario.schema.json"
DEVICE_SCHEMA_FILE = SCHEMA_FILE.with_name("device.schema.json")
RIG_SCHEMA_FILE = SCHEMA_FILE.with_name("rig.schema.json")
SUITE_SCHEMA_FILE = SCHEMA_FILE.with_name("suite.schema.json")

_PARAMETERS = (
    "Name of a shipped parameter file, or the path of one (relative to this file). Its values are "
    "this policy's defaults."
)
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def schema_text() -> str:
    """Return the JSON Schema of a scenario file, the same text for the same models."""
    from .model import ScenarioFile

    schema = _schema(ScenarioFile)
    _add_parameters(schema)
    # A file that extends another one may leave out any key, at any depth outside of lists.
    for model in _overridable(schema):
        model.pop("required", None)
    return _text(schema)


def device_schema_text() -> str:
    """Return the JSON Schema of a device profile."""
    from ..hil.devices.model import DeviceProfile

    return _named_after_its_file(DeviceProfile)


def rig_schema_text() -> str:
    """Return the JSON Schema of a rig file."""
    from ..hil.rigs.model import Rig

    return _named_after_its_file(Rig)


def suite_schema_text() -> str:
    """Return the JSON Schema of a suite file."""
    from .suite import SuiteFile

    schema = _schema(SuiteFile)
    _add_parameters(schema)
    return _text(_without_name(schema))


def _named_after_its_file(model: type[BaseModel]) -> str:
    return _text(_without_name(_schema(model)))


def _without_name(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema with the name optional: a file that gives none is named after itself."""
    schema["required"] = [name for name in schema["required"] if name != "name"]
    return schema


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    schema = model.model_json_schema(mode="validation")
    _bound_quantities(schema, model)
    for node in _mappings(schema):
        _name_kind(node, schema)
        if isinstance(node.get("title"), str):
            del node["title"]
    return schema


def _add_parameters(schema: dict[str, Any]) -> None:
    """Add the key that refers to a parameter file: it is gone once a file is loaded."""
    from ..agents.policy import POLICIES
    from .parameters import KEY

    for kind in POLICIES.values():
        properties = schema["$defs"][kind.config.__name__]["properties"]
        properties[KEY] = {"type": "string", "description": _PARAMETERS}


def _text(schema: dict[str, Any]) -> str:
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
    return json.dumps(head, indent=1, ensure_ascii=False) + "\n"


def generated_files() -> dict[Path, str]:
    """Return the files that are generated from the models, with the texts that they should have.

    The reference belongs to the documentation, which only a checkout has.
    """
    from .reference import (
        device_reference_text,
        reference_text,
        rig_reference_text,
        suite_reference_text,
    )

    files = {
        SCHEMA_FILE: schema_text(),
        DEVICE_SCHEMA_FILE: device_schema_text(),
        RIG_SCHEMA_FILE: rig_schema_text(),
        SUITE_SCHEMA_FILE: suite_schema_text(),
    }
    checkout = Path(__file__).parent.parent
    if (checkout / "pyproject.toml").is_file():
        reference = checkout / "docs" / "reference"
        files[reference / "scenario.md"] = reference_text()
        files[reference / "device-profile.md"] = device_reference_text()
        files[reference / "rig.md"] = rig_reference_text()
        files[reference / "suite.md"] = suite_reference_text()
    return files


def drifted(files: dict[Path, str]) -> list[Path]:
    """Return the files that do not exist or have another text."""
    return [
        path
        for path, text in files.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]


def write(files: dict[Path, str]) -> list[Path]:
    """Write the files that differ; return which did."""
    changed = drifted(files)
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(files[path], encoding="utf-8")
    return changed


def _name_kind(node: dict[str, Any], schema: dict[str, Any]) -> None:
    """Make ``kind`` required in the members of a union, which a default would leave open."""
    discriminator = node.get("discriminator")
    if not isinstance(discriminator, dict) or "oneOf" not in node:
        return
    for reference in discriminator["mapping"].values():
        member = schema["$defs"][reference.rsplit("/", 1)[-1]]
        required = [name for name in member.get("required", []) if name != DISCRIMINATOR]
        member["required"] = [DISCRIMINATOR, *required]
    # Not oneOf: where keys may be left out, a mapping can fit several members.
    node["anyOf"] = node.pop("oneOf")
    del node["discriminator"]


def _bound_quantities(schema: dict[str, Any], root: type[BaseModel]) -> None:
    """Give the numbers of quantities their ranges, which pydantic leaves out beside the texts."""
    for model in _models(root):
        node = schema if model is root else schema["$defs"].get(model.__name__, {})
        for name, field in model.model_fields.items():
            slot = field_slot(field)
            if slot.unit is None:
                continue
            for item in _mappings(node.get("properties", {}).get(name)):
                if item.get("type") == "number":
                    bounds = {keyword: slot.bound(word) for word, keyword in _BOUNDS.items()}
                    item.update({word: n for word, n in bounds.items() if n is not None})
                for word in _BOUNDS:
                    item.pop(word, None)


def _models(root: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a model and all that its fields take, at any depth."""
    found = [root]
    for model in found:
        for field in model.model_fields.values():
            slot = field_slot(field)
            members = (slot.items() or slot.values() or slot).members
            found += [member for member in members if is_model(member) and member not in found]
    return found


def _overridable(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the schemas of the mappings that can be merged: all on the way without a list."""
    definitions = schema.get("$defs", {})
    found: list[dict[str, Any]] = []

    def visit(node: Any) -> None:
        if not isinstance(node, dict):
            return
        if "$ref" in node:
            visit(definitions[node["$ref"].rsplit("/", 1)[-1]])
        for option in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
            visit(option)
        if "properties" in node and not any(node is known for known in found):
            found.append(node)
            for child in node["properties"].values():
                visit(child)

    visit(schema)
    return found


def _mappings(node: Any) -> list[dict[str, Any]]:
    """Return all mappings of a JSON value."""
    if isinstance(node, dict):
        return [node, *(found for child in node.values() for found in _mappings(child))]
    if isinstance(node, list):
        return [found for child in node for found in _mappings(child)]
    return []
