"""Validation of a scenario: what its model says, and what only shows across its parts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from . import messages
from .checks import Parts, problems
from .files import names_file
from .model import PlantConfig, Scenario
from .slots import DISCRIMINATOR, slot_of
from .source import Node, Step
from .validate import Validation


class ScenarioValidation(Validation[Scenario]):
    """One validation of a scenario's tree."""

    def __init__(self, root: Node, *, complete: bool = True) -> None:
        """Validate ``root``; with ``complete`` False keys that are missing are not reported."""
        super().__init__(root, Scenario, complete=complete, names_file=names_file)

    def _across(self, parts: BaseModel | None) -> Iterable[tuple[Step, str]]:
        return problems(self._parts(parts))

    def _missing_more(self) -> None:
        slot = slot_of(PlantConfig)
        plant = self._root.child("plant")
        keys = plant.value if plant is not None else None
        if len(slot.members) == 1 and isinstance(keys, dict) and DISCRIMINATOR not in keys:
            self._report(("plant", DISCRIMINATOR), messages.missing_kind(slot))

    def _parts(self, parts: BaseModel | None) -> Parts:
        """Return what the checks across parts need, from the valid parts and the raw file."""
        plant = self._root.child("plant")
        loads = plant.child("loads") if plant is not None else None
        ids = None
        if loads is not None and isinstance(loads.value, list):
            found = [load.child("id") for load in loads.value]
            known = [node.value for node in found if node and isinstance(node.value, str)]
            ids = tuple(dict.fromkeys(known))
        duration = ("clock", "duration_s")
        clock = getattr(parts, "clock", None)
        profiles = getattr(parts, "profiles", None)
        zone = profiles.site.time_zone if profiles is not None else None
        return Parts(
            start=clock.start if clock and ("clock", "start") not in self._work.cut else None,
            duration_s=clock.duration_s if clock and duration not in self._work.cut else None,
            time_zone=zone if ("profiles", "site", "time_zone") not in self._work.cut else None,
            load_ids=ids,
            policy_names=self._policy_names(),
            policies=[*self._items(parts, "policies"), *self._items(parts, "baselines")],
            faults=self._items(parts, "faults"),
            limits=self._items(parts, "limits"),
            audit=getattr(parts, "audit", None),
            kind=getattr(parts, "kind", None),
            plant=None if self._plant_is_mended() else getattr(parts, "plant", None),
        )

    def _plant_is_mended(self) -> bool:
        return any(path[:1] == ("plant",) for path in self._work.tainted | self._work.cut)

    def _policy_names(self) -> list[tuple[Step, str]]:
        names = []
        for section in ("policies", "baselines"):
            node = self._root.child(section)
            for _, item in node.children() if node is not None else ():
                for key in ("name", DISCRIMINATOR):
                    name = item.child(key)
                    if name is not None and isinstance(name.value, str):
                        names.append((item.path, name.value))
                        break
        return names

    def _items(self, parts: BaseModel | None, section: str) -> list[tuple[Step, Any]]:
        """Return the valid items of a list with their paths in the file."""
        values = getattr(parts, section, None) or ()
        node = self._tree.child(section)
        nodes = [child for _, child in node.children()] if node is not None else []
        pairs = [(child.path, value) for child, value in zip(nodes, values, strict=False)]
        return [pair for pair in pairs if pair[0] not in self._work.tainted]
