"""References of scenarios, suites, device profiles and rigs, written from the models."""

from __future__ import annotations

import datetime as dt
import inspect
import json
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ..sim.config import UNITS
from .slots import DISCRIMINATOR, Slot, field_slot, literals, range_text, slot_of, type_text

_HEAD = """# Scenario reference

This page is generated from the configuration models; `wattbench schema` writes it anew and
`wattbench schema --check` tells whether it is up to date. JSON Schema for editors:
`scenarios/schema/scenario.schema.json`.

A scenario is a YAML file. `wattbench check FILE` reports all mistakes in it, each as
`file:line:column: field: what is wrong; allowed …`.

**Quantities.** A number counts in the unit that its key ends in (`power_w: 1500`); a text may name
another unit (`power_w: 1.5 kW`). Units: {units}.

**Extending.** `extends: ../base.yaml` takes over another file, `extends: export/clear_day` a
scenario of the library. Mappings merge key by key; lists and single values replace. A mapping
that names another `kind` replaces the one it overrides. `name` is not taken over, nor is an
`audit` of policies that are replaced.

**Tuned parameters.** `parameters: pi` in a policy's entry takes over the values of the shipped
parameter file `pi`, `parameters: lab.yaml` those of a file; keys of the entry win. Without `name`
it is then called `pi-tuned` if its values are those of the shipped file, `pi-own` if they are
others. No other policy may be called `pi-tuned`, and only one of kind `zero` may be called `zero`.
See [tuning](../concepts/tuning.md).

**Files** that a scenario names are found from the YAML file that names them.

"""


_DEVICE_HEAD = """# Device profile reference

This page is generated from the configuration models; `wattbench schema` writes it anew and
`wattbench schema --check` tells whether it is up to date. JSON Schema for editors:
`scenarios/schema/device.schema.json`. How to write a profile:
[device profiles](../concepts/device-profiles.md).

A number counts in the unit that its key ends in (`refresh_s: 0.2`); a text may name another unit
(`refresh_s: 200 ms`).

"""


_RIG_HEAD = """# Rig file reference

This page is generated from the configuration models; `wattbench schema` writes it anew and
`wattbench schema --check` tells whether it is up to date. JSON Schema for editors:
`scenarios/schema/rig.schema.json`. What rigs are, with an example: [rigs](../concepts/rigs.md).

A number counts in the unit that its key ends in (`power_w: 1500`); a text may name another unit
(`power_w: 1.5 kW`). Any text may name environment variables, `${NAME}` or `${NAME:-default}`.

"""


_SUITE_HEAD = """# Suite reference

This page is generated from the configuration models; `wattbench schema` writes it anew and
`wattbench schema --check` tells whether it is up to date. JSON Schema for editors:
`scenarios/schema/suite.schema.json`. What suites are, with an example:
[suites](../concepts/suites.md). Policies are described in the
[scenario reference](scenario.md), metrics in [theirs](metrics.md).

"""


def reference_text() -> str:
    """Return the scenario reference in Markdown, the same text for the same models."""
    from .model import ScenarioFile

    units = "; ".join(", ".join(f"`{name}`" for name in spellings) for spellings in UNITS.values())
    return _page(_HEAD.format(units=units), "The scenario", ScenarioFile)


def device_reference_text() -> str:
    """Return the device profile reference in Markdown, the same text for the same models."""
    from ..hil.devices.model import DeviceProfile

    return _page(_DEVICE_HEAD, "The profile", DeviceProfile)


def rig_reference_text() -> str:
    """Return the rig file reference in Markdown, the same text for the same models."""
    from ..hil.rigs.model import Rig

    return _page(_RIG_HEAD, "The rig", Rig)


def suite_reference_text() -> str:
    """Return the suite reference in Markdown, the same text for the same models."""
    from ..agents.policy import POLICIES
    from .suite import SuiteFile

    shown_elsewhere = {kind.config for kind in POLICIES.values()}
    return _page(_SUITE_HEAD, "The suite", SuiteFile, shown_elsewhere)


def _page(
    head: str, title: str, root: type[BaseModel], elsewhere: Iterable[type[BaseModel]] = ()
) -> str:
    """Return the page of a model and all below it, without those that are shown elsewhere."""
    parts = [head]
    seen = set(elsewhere)
    parts.append(f"## {title}\n\n")
    parts.append(_table(root, list(root.model_fields)))
    for name, field in root.model_fields.items():
        section = _section(name, field_slot(field), 2, seen)
        if section:
            parts.append(section)
    return "".join(parts).rstrip("\n") + "\n"


def _section(path: str, slot: Slot, level: int, seen: set[type[BaseModel]]) -> str:
    """Return the headings and tables of the models at a place that were not shown yet."""
    slot = slot.items() or slot.values() or slot
    models = [model for model in _models(slot) if model not in seen]
    kinds = {model: kind for kind, model in slot.kinds.items()}
    heading = "#" * min(level, 5)
    text = ""
    common = _common(models)
    if common:
        text += f"{heading} `{path}`, every kind\n\n{_table(models[0], common)}"
    for model in models:
        seen.add(model)
        title = f"`{path}`" + (f" with `{DISCRIMINATOR}: {kinds[model]}`" if model in kinds else "")
        known = {*common, DISCRIMINATOR} if model in kinds else {*common}
        own = [name for name in model.model_fields if name not in known]
        text += f"{heading} {title}\n\n{_about(model)}{_table(model, own)}"
    for model in models:
        for name, field in model.model_fields.items():
            text += _section(f"{path}.{name}", field_slot(field), level + 1, seen)
    return text


def _common(models: list[type[BaseModel]]) -> list[str]:
    """Return the keys that are the same in all of several models."""
    if len(models) < 2:
        return []
    first, *others = models
    return [
        name
        for name, field in first.model_fields.items()
        if all(repr(model.model_fields.get(name)) == repr(field) for model in others)
    ]


def _models(slot: Slot) -> list[type[BaseModel]]:
    if len(slot.members) > 1:
        return list(dict.fromkeys(slot.kinds.values()))
    return [slot.model] if slot.model is not None else []


def _about(model: type[BaseModel]) -> str:
    text = inspect.getdoc(model) or ""
    return f"{text}\n\n" if text else ""


def _table(model: type[BaseModel], names: list[str]) -> str:
    if not names:
        return ""
    lines = ["| key | value | unit | range | default | |", "|---|---|---|---|---|---|"]
    for name in names:
        field = model.model_fields[name]
        slot = field_slot(field)
        unit = slot.unit or (slot.items() or slot).unit or ""
        cells = [
            f"`{name}`",
            _value(slot),
            "" if unit == "1" else unit,
            _range(slot),
            _default(slot),
            " ".join((field.description or "").split()),
        ]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n\n"


def _value(slot: Slot) -> str:
    items = slot.items()
    if items is not None:
        return f"list of: {_value(items)}"
    if len(slot.members) == 1 and literals(slot.annotation):
        words = [f"`{json.dumps(word).strip(chr(34))}`" for word in literals(slot.annotation)]
        return ", ".join([*words, "null"] if slot.nullable else words)
    if len(slot.members) > 1 and slot.kinds:
        return f"mapping, `{DISCRIMINATOR}`: " + ", ".join(f"`{kind}`" for kind in slot.kinds)
    names = _named(slot)
    if names:
        return ", ".join(f"`{name}`" for name in names)
    words = [_word(slot, member) for member in slot.members]
    return " or ".join(dict.fromkeys([*words, "null"] if slot.nullable else words))


def _named(slot: Slot) -> list[str]:
    """Return the values that a field's schema lists for a text, without their versions."""
    extra = slot.field.json_schema_extra if slot.field is not None else None
    values = extra.get("enum", []) if isinstance(extra, dict) else []
    listed = values if isinstance(values, list) else []
    return [value for value in listed if isinstance(value, str) and "@" not in value]


def _word(slot: Slot, member: Any) -> str:
    text = type_text(slot_of(member, slot.metadata)).removeprefix("a ").removeprefix("the ")
    kind, matching, pattern = text.partition(" matching ")
    return f"{kind}{matching}`{pattern}`" if matching else text


def _range(slot: Slot) -> str:
    return range_text(slot).removesuffix(f" {slot.unit}" if slot.unit not in {None, "1"} else "")


def _default(slot: Slot) -> str:
    if slot.default is PydanticUndefined:
        from_file = slot.field is not None and "file's name" in (slot.field.description or "")
        return "file's name" if from_file else "**required**"
    return _shown(slot.default)


def _shown(value: Any) -> str:
    if isinstance(value, BaseModel):
        return "its defaults"
    if isinstance(value, tuple | list):
        if any(isinstance(item, BaseModel) for item in value):
            return f"{len(value)} items"
        return "`[" + ", ".join(str(item) for item in value) + "]`"
    if isinstance(value, dt.datetime):
        return f"`{value.isoformat()}`"
    if value == "":
        return "empty"
    if isinstance(value, float):
        return f"`{value:.12g}`"
    return f"`{json.dumps(value, default=str, ensure_ascii=False).strip(chr(34))}`"
