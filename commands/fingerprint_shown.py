"""What `wattbench rig fingerprint` and `drift` show and write."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..hil.devices.model import DeviceProfile
    from ..hil.fingerprint.drift import Row
    from ..hil.fingerprint.plan import Findings


def as_dict(found: Findings) -> dict[str, Any]:
    """Return what `--json` prints of a measurement."""
    return {
        "complete": found.complete,
        "estimates": {name: value.as_dict() for name, value in found.estimates.items()},
        "facts": found.facts,
        "not_told": found.untold,
        "identity": found.identity,
        "safe": found.safe,
        "safe_note": found.safe_note,
    }


def print_findings(found: Findings) -> None:
    """Print a line for each parameter."""
    from ..hil.fingerprint.profile import stated

    for name, estimate in found.estimates.items():
        value, half = stated(estimate)
        note = f"  ({estimate.note})" if estimate.note else ""
        print(f"{name:<20} {value:>10g} ± {half:<9g} {estimate.unit:<2}{note}".rstrip())
    for name, fact in found.facts.items():
        print(f"{name:<20} {fact:>10}")
    for name, reason in found.untold.items():
        print(f"{name:<20} not told: {reason}")


def print_rows(rows: list[Row]) -> None:
    """Print the table of a comparison."""
    print(f"{'parameter':<20} {'profile':>10} {'±':>9} {'measured':>10} {'±':>9}  verdict")
    for row in rows:
        seen = "–" if row.measured is None else f"{row.measured:.4g}"
        half = "–" if row.uncertainty is None else f"{row.uncertainty:.2g}"
        note = f" ({row.note})" if row.note and row.verdict != "ok" else ""
        print(
            f"{row.name:<20} {row.profile:>10.4g} {row.tolerance:>9.2g} {seen:>10} {half:>9}  "
            f"{row.verdict}{note}"
        )


def profile_yaml(
    profile: DeviceProfile, found: Findings, base: str, where: str, today: dt.date
) -> str:
    """Return the profile as YAML, with how each number was found as comments at the top."""
    import io

    from ruamel.yaml import YAML

    from ..hil.fingerprint.profile import stated

    lines = [
        f"# Measured by `wattbench rig fingerprint`, {today.isoformat()} ({where}).",
        f"# Register map: {base}. Value ± half of the 95 % interval:",
    ]
    for name, estimate in found.estimates.items():
        note = f"; {estimate.note}" if estimate.note else ""
        value, half = stated(estimate)
        unit = f" {estimate.unit}" if estimate.unit else ""
        lines.append(f"#   {name}: {value:g} ± {half:g}{unit}, {estimate.method}{note}")
    lines += [f"#   {name}: not told, {reason}" for name, reason in found.untold.items()]
    lines.append("# measured.uncertainty holds standard uncertainties: half of these.")
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.width = None, 100
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(profile.model_dump(mode="json", exclude_defaults=True), stream)
    return "\n".join(lines) + "\n" + stream.getvalue()
