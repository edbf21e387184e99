"""How a site's own log is written: stamps, numbers, units, sign, names of columns."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from ..config import Model
from .config import LogFormat, TimeZone

PHASES: Final = "abc"
POWER: Final = tuple(f"grid_power_{phase}" for phase in PHASES)
OPTIONAL: Final = (
    "grid_power_total",
    *(f"grid_voltage_{phase}" for phase in PHASES),
    *(f"grid_current_{phase}" for phase in PHASES),
    "pv_power",
)
IMPORTED: Final = tuple(f"import_kwh_{phase}" for phase in PHASES)
EXPORTED: Final = tuple(f"export_kwh_{phase}" for phase in PHASES)
COMMAND, ACK, REFERENCE = "command", "ack_received", "reference_power"
MOST_W: Final = 100_000.0
"""Power of a phase, or of a load, is less."""


class SiteLogFormat(Model):
    """How a site's log is written; the file of `wattbench replay --format`."""

    time_column: str = "timestamp"
    time_format: str | None = None
    """strptime pattern of stamps that are not ISO 8601 or seconds since 1970."""
    time_zone: TimeZone | None = None
    """Of stamps that carry no offset; default: the site's."""
    separator: Literal[",", ";", "\t", "|"] = ","
    decimal: Literal[".", ","] = "."
    power_unit: Literal["W", "kW"] = "W"
    """Of grid, PV and reference power."""
    command_unit: Literal["W", "kW"] = "W"
    sign: Literal["auto", "import_positive", "export_positive"] = "auto"
    """Of grid power; auto: as the counters say, import positive without counters."""
    columns: dict[str, str] = Field(default_factory=dict)
    """What the log calls a column, by the name that it has here."""

    def name(self, column: str) -> str:
        """Return what the log calls a column."""
        return self.columns.get(column, column)

    def log(self) -> LogFormat:
        """Return how stamps and numbers are written."""
        keys = "time_column", "time_format", "time_zone", "separator", "decimal"
        return LogFormat(**{key: getattr(self, key) for key in keys})
