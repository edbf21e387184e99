"""Layouts of SunSpec models, made from the definitions that pysunspec2 ships.

The definitions are published by the SunSpec Alliance (github.com/sunspec/models, Apache-2.0);
names, types, sizes and scale factors are taken, no text. Run as a script this writes
``fixtures/sunspec``; a test holds the files against the definitions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "fixtures" / "sunspec"
MODELS = (1, 101, 102, 103, 111, 112, 113, 120, 121, 122, 123, 124, 201, 202, 203, 204, 213)
MODELS += (701, 702, 703, 704, 705, 706, 713, 714, 802)

HEAD = """\
# SunSpec model {id}: points in order, from the ID register on. Made from the model definitions of
# the SunSpec Alliance (Apache-2.0), as shipped in pysunspec2, by tests/wire/sunspec_layouts.py.
"""


def layout_text(number: int) -> str:
    """Return the YAML of a model's layout."""
    import sunspec2

    file = Path(sunspec2.__file__).parent / "models" / "json" / f"model_{number}.json"
    group = json.loads(file.read_text(encoding="utf-8"))["group"]
    lines = [HEAD.format(id=number), f"id: {number}\nname: {group['name']}\n"]
    lines += _group(group, "")
    return "".join(lines)


def _group(group: dict[str, Any], indent: str) -> list[str]:
    lines = [f"{indent}points:\n"] if group.get("points") else []
    lines += [f"{indent}  - {_point(point)}\n" for point in group.get("points", ())]
    if group.get("groups"):
        lines.append(f"{indent}groups:\n")
    for inner in group.get("groups", ()):
        lines.append(f"{indent}  - name: {inner['name']}\n")
        if "count" in inner:
            lines.append(f"{indent}    count: {inner['count']}\n")
        lines += _group(inner, indent + "    ")
    return lines


def _point(point: dict[str, Any]) -> str:
    parts = [f"name: {point['name']}", f"type: {point['type']}"]
    if point["type"] == "string":
        parts.append(f"size: {point['size']}")
    if "sf" in point:
        parts.append(f"sf: {point['sf']}")
    if point.get("access") == "RW":
        parts.append("access: rw")
        if point["type"].startswith("enum") and point.get("symbols"):
            numbers = ", ".join(str(symbol["value"]) for symbol in point["symbols"])
            parts.append(f"values: [{numbers}]")
    return "{" + ", ".join(parts) + "}"


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for model in MODELS:
        (FOLDER / f"{model}.yaml").write_text(layout_text(model), encoding="utf-8")
