"""What `wattbench replay` prints and stores."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..evaluation.counterfactual import Gap, Stretch
    from .counterfactual_source import Replayed

_SUMMARY_FILE, _STEPS_FILE = "counterfactual.json", "counterfactual.parquet"


def as_json(result: Replayed) -> dict[str, Any]:
    """Return what `--json` prints and the folder keeps."""
    from ..evaluation.counterfactual import as_dict

    source = result.source
    return {
        "source": source.name,
        "recorded_policy": source.controller,
        "policy": result.policy,
        "start_utc": source.start_utc,
        "seed": source.seed,
        "notes": source.notes,
        **as_dict(result.found),
    }


def lines(result: Replayed) -> list[str]:
    """Return what is printed for people."""
    from ..evaluation.counterfactual import LABEL

    source, found = result.source, result.found
    shown = [
        f"{result.policy} on what {source.name} measured under {source.controller}",
        LABEL,
        *(f"note: {note}" for note in source.notes),
        "",
    ]
    if found.not_asked:
        shown.append(f"{found.not_asked} steps: not asked (no reading, or one too old)")
    if not found.steps:
        return [*shown, "Nothing to compare: at no step is it known what was commanded."]
    if found.first is None:
        same = ", and its decisions in every bit" if found.decisions_identical else ""
        return [*shown, f"Same commands in all {found.steps} steps{same}."]
    shown += [
        f"Other commands in {found.differing} of {found.steps} steps ({found.share:.1%})",
        f"  first    {_span(found.first, source.start_utc)}",
    ]
    if found.longest is not None:
        shown.append(f"  longest  {_span(found.longest, source.start_utc)}")
    shown += ["", "difference     mean       greatest   bias"]
    shown += [_gap(gap) for gap in found.actuators]
    shown += [_gap(gap, "phase ") for gap in found.phases]
    shown += ["", "largest differences, where they are greatest"]
    for stretch in found.largest:
        shown.append(f"  {_moment(stretch.peak_us, source.start_utc)}")
        shown.append(f"    {source.controller}: {_powers(stretch.recorded_w)}")
        shown.append(f"    {result.policy}: {_powers(stretch.other_w)}")
    return shown


def store(folder: Path, result: Replayed, content: dict[str, Any]) -> None:
    """Write summary and steps into a folder.

    Raises:
        OSError: it cannot be written.
    """
    from ..evaluation.files import write_at_once
    from ..evaluation.model import json_text
    from ..evaluation.streams import write_parquet

    folder.mkdir(parents=True, exist_ok=True)
    observed, source = result.source.observed, result.source
    columns: dict[str, Any] = {"t_sim_us": observed.t_us, "asked": result.other.asked}
    for k, actuator in enumerate(source.site.actuators):
        columns[f"recorded.{actuator.id}_w"] = source.recorded.guarded_w[:, k]
        columns[f"decided.{actuator.id}_w"] = result.other.decided_w[:, k]
        columns[f"guarded.{actuator.id}_w"] = result.other.guarded_w[:, k]
    units = {name: "W" if name.endswith("_w") else "" for name in columns} | {"t_sim_us": "us"}
    write_parquet(folder / _STEPS_FILE, columns, units)
    write_at_once(folder / _SUMMARY_FILE, json_text(content) + "\n")


def _gap(gap: Gap, prefix: str = "") -> str:
    name = f"{prefix}{gap.name}"
    return f"  {name:<10} {gap.mean_w:8.1f} W {gap.max_w:8.0f} W {gap.bias_w:+8.1f} W"


def _span(stretch: Stretch, start_utc: str) -> str:
    last = "" if stretch.steps == 1 else f" to {stretch.to_us / 1e6:g} s ({stretch.steps} steps)"
    return f"{_moment(stretch.from_us, start_utc)}{last}"


def _moment(t_us: int, start_utc: str) -> str:
    from ..evaluation.divergence import utc_text

    return f"{t_us / 1e6:g} s ({utc_text(start_utc, t_us)})"


def _powers(powers_w: dict[str, float]) -> str:
    return ", ".join(f"{name} {power_w:g} W" for name, power_w in powers_w.items())
