"""What was found so far, on disk: `FILE.partial`, one JSON line a point, then one a finalist.

A search is the same whenever it runs again, so resuming one is to run it again and to take what
was simulated already in the order in which it was written.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .simulate import TuneError

_LONG: Final = {"training": "scenarios or training seeds", "versions": "versions"}

Measured = Mapping[str, float] | None


class Journal:
    """The points of a search with what their runs measured."""

    def __init__(self, path: Path, identity: Mapping[str, Any], *, resume: bool) -> None:
        """Open the journal of a search; ``identity`` is all that decides its points.

        Raises:
            TuneError: there is one already and it is not to be resumed, or it is of another
                search, or damaged.
            OSError: it cannot be read or written.
        """
        self.path = path
        self._known: deque[tuple[Mapping[str, float], list[Measured]]] = deque()
        if path.exists():
            if not resume:
                raise TuneError(
                    f"{path} holds an unfinished search: --resume continues it; remove it to begin "
                    "anew"
                )
            self._read(identity)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(identity) + "\n", encoding="utf-8")

    def take(self, parameters: Mapping[str, float]) -> list[Measured] | None:
        """Return what the runs of the next point measured, None if they were not made."""
        if not self._known:
            return None
        before, runs = self._known.popleft()
        if before != parameters:
            raise TuneError(f"{self.path} has points of another search; remove the file")
        return runs

    def add(self, parameters: Mapping[str, float], runs: Sequence[Measured]) -> None:
        """Write a point; it is on disk when this returns."""
        line = json.dumps({"parameters": dict(parameters), "runs": list(runs)})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, identity: Mapping[str, Any]) -> None:
        text = self.path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]  # a kill may have cut the last line short
        try:
            head, *lines = [json.loads(line) for line in whole.splitlines()]
            self._known.extend((line["parameters"], line["runs"]) for line in lines)
        except (ValueError, TypeError, KeyError) as problem:
            raise TuneError(f"{self.path} is damaged ({problem}); remove it") from None
        wanted = json.loads(json.dumps(identity))
        if head != wanted:
            raise TuneError(
                f"{self.path} is of another search ({_difference(head, wanted)}); remove it, or "
                "choose another --out"
            )
        if whole != text:
            self.path.write_text(whole, encoding="utf-8")


def _difference(before: Any, now: Mapping[str, Any]) -> str:
    """Return in what two searches differ, with both values where they are short."""
    if not isinstance(before, dict):
        return "what it began with is not known"
    told = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if old == new:
            continue
        if isinstance(old, dict | list) or isinstance(new, dict | list):
            told.append(f"other {_LONG.get(key, key)}")
        else:
            told.append(f"{key} {old}, now {new}")
    return "; ".join(told)
