"""Parameters of a site's profiles: where it lies, its sky, its household, or a user's own log."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from ..config import (
    AngleDeg,
    AreaM2,
    DurationS,
    EnergyWh,
    Fraction,
    LengthM,
    Model,
    PowerW,
    TemperatureC,
)
from ..export.config import Phase, Phases

Sky = Literal["clear", "partly_cloudy", "overcast", "cloud_edges", "mixed"]
Appliance = Literal[
    "fridge",
    "lighting",
    "electronics",
    "kettle",
    "oven",
    "hob",
    "washing_machine",
    "dishwasher",
    "dryer",
    "heat_pump",
]
PowerUnit = Literal["W", "kW", "Wh", "kWh", "Wh_counter", "kWh_counter"]


def _known_zone(name: str) -> str:
    if name in {"localtime", "posixrules", "Factory"}:  # what they mean depends on the machine
        raise PydanticCustomError("time_zone", _ZONE_HELP, {"name": name})
    try:
        ZoneInfo(name)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError, others are malformed keys
        raise PydanticCustomError("time_zone", _ZONE_HELP, {"name": name}) from None
    except KeyError:
        import difflib
        from zoneinfo import available_timezones

        near = difflib.get_close_matches(name, sorted(available_timezones()), n=1, cutoff=0.5)
        hint = f"; nearest: {near[0]}" if near else ""
        raise PydanticCustomError("time_zone", _ZONE_HELP + hint, {"name": name}) from None
    return name


_ZONE_HELP = "'{name}' is no IANA time zone (such as Europe/Berlin, UTC, Etc/GMT-1)"

TimeZone = Annotated[str, AfterValidator(_known_zone)]


class Site(Model):
    """Where the site lies."""

    latitude_deg: AngleDeg = Field(48.1, ge=-90, le=90)
    longitude_deg: AngleDeg = Field(11.6, ge=-180, le=180)
    """East is positive."""
    altitude_m: LengthM = Field(500.0, ge=-430, le=6000)
    time_zone: TimeZone = "Europe/Berlin"
    """IANA name; the household and the draws live by this clock, changes included."""


class GeneratedPv(Model):
    """PV power from a clear sky and a stochastic cloud field."""

    kind: Literal["generated"] = "generated"
    sky: Sky = "partly_cloudy"
    """mixed: spells of clear, partly cloudy and overcast sky; cloud_edges: short and brutal."""
    tilt_deg: AngleDeg = Field(35.0, ge=0, le=90)
    """0: flat."""
    azimuth_deg: AngleDeg = Field(180.0, ge=0, le=360)
    """Where the modules face: 90 east, 180 south, 270 west."""
    array_area_m2: AreaM2 | None = Field(None, gt=0, le=10_000_000)
    """Area over which clouds are averaged; default: 5 m² a kWp."""
    linke_turbidity: float | None = Field(None, ge=1, le=8)
    """Haze: 2 very clear, 3 rural, 5 polluted; default: pvlib's climatology for place and month."""
    ambient_c: TemperatureC = Field(20.0, ge=-40, le=50)
    """Air temperature by day: warm modules yield less."""
    system_loss: Fraction = Field(0.1, ge=0, lt=1)
    """Soiling, mismatch, wiring and conversion; the inverter's limit is the plant's."""


class LogFormat(Model):
    """How a log tells the time and what to do between its rows."""

    time_column: str = "time"
    """ISO 8601 stamps, seconds or milliseconds of the Unix epoch, or `time_format`."""
    time_format: str | None = None
    """strptime pattern of stamps that are not ISO 8601, such as `%d.%m.%Y %H:%M`."""
    time_zone: TimeZone | None = None
    """Of stamps that carry no offset; default: the site's."""
    stamp: Literal["start", "end"] = "start"
    """Whether a stamp marks the start or the end of the interval that its row describes."""
    separator: Literal[",", ";", "\t", "|"] = ","
    decimal: Literal[".", ","] = "."
    resampling: Literal["mean", "hold", "linear"] = "mean"
    """To one row a second. mean: keeps the energy; hold: the last row's value; linear: between."""
    max_gap_s: DurationS | None = Field(None, gt=0)
    """A longer silence is an error unless `fill` says otherwise; default: twice the log's usual
    interval."""
    fill: Literal["error", "hold", "linear", "zero"] = "error"
    """What stands in a gap longer than `max_gap_s`."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if self.separator == "," and self.decimal == ",":
            raise PydanticCustomError(
                "separator", "separator and decimal are both ','; is the separator ';'?", {}
            )
        return self


class FilePv(Model):
    """PV power from a user's own log."""

    kind: Literal["file"]
    path: str = Field(min_length=1)
    """CSV (.csv, .txt, also gzipped) or Parquet (.parquet), relative to the scenario."""
    column: str
    unit: PowerUnit = "W"
    """Wh and kWh: energy of each row's interval; …_counter: a running total."""
    peak_power_w: PowerW | None = Field(None, gt=0)
    """Rating of the logged array: its power is scaled to the plant's; default: not scaled."""
    log: LogFormat = LogFormat()


class HouseholdEvent(Model):
    """One use of an appliance that the scenario wants to see at a certain time."""

    appliance: Literal[
        "kettle", "oven", "hob", "washing_machine", "dishwasher", "dryer", "heat_pump"
    ]
    start_s: DurationS = Field(ge=0)
    """Since the start of the run."""
    phase: Phase | None = None
    """Default: where the home has that appliance."""


class GeneratedHousehold(Model):
    """Household load from an appliance event model."""

    kind: Literal["generated"] = "generated"
    homes: int = Field(1, ge=1, le=100)
    """More than one: a population of different sizes around `daily_energy_wh`."""
    daily_energy_wh: EnergyWh = Field(24_000.0, ge=1000, le=200_000)
    """Of the median home: 24 kWh is the US sample, 10 kWh a European one without heat pump."""
    occupancy: Literal["varied", "working", "home", "away"] = "varied"
    """working: nobody in on weekdays; home: somebody in all day; away: nobody at all."""
    appliances: tuple[Appliance, ...] = (
        "fridge",
        "lighting",
        "electronics",
        "kettle",
        "oven",
        "hob",
        "washing_machine",
        "dishwasher",
        "dryer",
        "heat_pump",
    )
    """What the homes have, beside their base load."""
    phases: Phases = "abc"
    """abc: circuits spread over the phases, differently in each home; else all on one phase."""
    events: tuple[HouseholdEvent, ...] = ()
    """Forced uses in the first home, on top of what happens anyway."""


class FileHousehold(Model):
    """Household load from a user's own log."""

    kind: Literal["file"]
    path: str = Field(min_length=1)
    """CSV (.csv, .txt, also gzipped) or Parquet (.parquet), relative to the scenario."""
    column: str | None = None
    """Total of the site; or give `column_a`, `column_b`, `column_c`."""
    phases: Phases = "abc"
    """Where `column` flows: spread evenly, or on one phase."""
    column_a: str | None = None
    column_b: str | None = None
    column_c: str | None = None
    unit: PowerUnit = "W"
    """Wh and kWh: energy of each row's interval; …_counter: a running total."""
    sign: Literal["import_positive", "export_positive"] = "import_positive"
    """Which way the log counts; in here consumption is positive."""
    pv_column: str | None = None
    """If the columns are those of the grid meter: the PV power (≥ 0, same unit) logged beside
    them. It is added on the plant's PV phases, so that the household remains."""
    power_factor: float = Field(0.95, gt=0, le=1)
    """Of the household, inductive."""
    log: LogFormat = LogFormat()

    @model_validator(mode="after")
    def _columns(self) -> Self:
        phased = [self.column_a, self.column_b, self.column_c]
        if (self.column is None) == all(name is None for name in phased):
            raise PydanticCustomError(
                "columns", "give either column, or column_a, column_b, column_c", {}
            )
        return self


class ConstantHousehold(Model):
    """A household that draws the same power all the time; without keys: none at all."""

    kind: Literal["constant"]
    power_a_w: PowerW = Field(0.0, ge=0)
    power_b_w: PowerW = Field(0.0, ge=0)
    power_c_w: PowerW = Field(0.0, ge=0)
    power_factor: float = Field(1.0, gt=0, le=1)
    """Inductive."""


PvProfile = Annotated[GeneratedPv | FilePv, Field(discriminator="kind")]
HouseholdProfile = Annotated[
    GeneratedHousehold | FileHousehold | ConstantHousehold, Field(discriminator="kind")
]


class ProfilesConfig(Model):
    """Everything that comes to the plant from outside, one value a second."""

    site: Site = Site()
    pv: PvProfile = GeneratedPv()
    household: HouseholdProfile = GeneratedHousehold()
