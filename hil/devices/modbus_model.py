"""The Modbus side of a device profile: registers, points, SunSpec models, protocol limits."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ...sim.config import DurationS, Model

QUANTITY: Final = r"^[a-z][a-z0-9_]{0,47}$"
_REGISTER: Final = r"^[A-Za-z][A-Za-z0-9_]{0,47}$"

Address = Annotated[int, Field(ge=0, le=65535)]
Table = Literal["holding", "input", "coil", "discrete"]
WordOrder = Literal["big", "little"]
Access = Literal["r", "w", "rw"]
Function = Literal[1, 2, 3, 4, 5, 6, 15, 16, 22, 23, 43]
RegisterType = Literal[
    "bool",
    "uint16",
    "int16",
    "uint32",
    "int32",
    "uint64",
    "int64",
    "acc16",
    "acc32",
    "acc64",
    "float32",
    "float64",
    "enum16",
    "enum32",
    "bitfield16",
    "bitfield32",
    "bitfield64",
    "sunssf",
    "string",
]
RatingName = Literal["power_w", "charge_power_w", "capacity_wh", "current_a"]

#: Registers that a value of each type takes; a text takes what its profile says.
WIDTHS: Final[dict[str, int]] = {
    "bool": 1,
    **dict.fromkeys(("uint16", "int16", "acc16", "enum16", "bitfield16", "sunssf"), 1),
    **dict.fromkeys(("uint32", "int32", "acc32", "enum32", "bitfield32", "float32"), 2),
    **dict.fromkeys(("uint64", "int64", "acc64", "bitfield64", "float64"), 4),
}


class _Place(Model):
    table: Table = "holding"
    """holding and input are registers, coil and discrete are bits."""
    address: Address
    """Of the first register, zero-based as on the wire."""
    type: RegisterType = "uint16"
    length: int = Field(1, ge=1, le=64)
    """Registers that a `string` takes; two characters each."""
    word_order: WordOrder | None = None
    """big: high word first, of texts the first character in the high byte; little: the other way.
    null: as the map says."""

    @property
    def width(self) -> int:
        """Registers (or bits) that the value takes."""
        return WIDTHS.get(self.type, self.length)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.type == "bool") != (self.table in {"coil", "discrete"}):
            raise PydanticCustomError(
                "place", "type bool belongs to the tables coil and discrete, others to registers"
            )
        if self.address + self.width > 65536:
            raise PydanticCustomError("place", "address is too high: the value ends behind 65535")
        return self


class _Meaning(Model):
    """How a raw number becomes a value: ``value = sign × scale × raw × 10^scale register``."""

    quantity: str = Field(pattern=QUANTITY)
    """What it is: `power_w`, `import_energy_wh` …; SI, signs as in the plant."""
    scale: float = 1.0
    """What one count is in the unit of the quantity (0.1: tenths; 1000: kWh to Wh)."""
    sign: Literal[1, -1] = 1
    """−1 where the device counts the other way."""
    percent_of: RatingName | None = None
    """The value on the wire is a percentage of this rating; null: it is not."""
    low: float | None = None
    """Least valid value, in the unit of the quantity; null: none."""
    high: float | None = None
    """Greatest valid value; null: none."""
    poll_s: DurationS = Field(1.0, ge=0, le=86400)
    """How often a driver reads it; 0: once, on opening."""
    resolution: float | None = Field(None, gt=0)
    """The device rounds to multiples of this; null: only as the register does."""
    labels: dict[int, str] = Field(default_factory=dict)
    """Words for raw numbers (`1: idle`); the value is then a text."""
    also: dict[str, float] = Field(default_factory=dict)
    """Registers (in SunSpec points of the same model) that a driver writes after it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.scale == 0:
            raise PydanticCustomError("range", "scale must not be 0")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise PydanticCustomError("range", "low must not be above high")
        return self


class Point(_Meaning, _Place):
    """A quantity of the device at an address."""

    access: Access = "r"
    """Two points may share an address if one is only read and the other only written."""
    scale_register: str | None = None
    """Name of a register of type sunssf that holds the power of ten; null: none."""
    missing: int | None = None
    """Raw number that means: no value; null: every number is a value."""
    shows: str | None = None
    """Register, or point that is written, whose value it shows; null: it is measured."""


class Override(Model):
    """What a register commands while it holds certain numbers, whatever a client commands."""

    quantity: str = Field(pattern=QUANTITY)
    values: dict[int, float] = Field(min_length=1)
    """The command, in the unit of the quantity, by the number in the register."""


class Register(_Place):
    """Something without a quantity: a constant, or a setting that keeps what is written."""

    name: str = Field(pattern=_REGISTER)
    """By which watchdogs and points refer to it."""
    value: float | str = 0.0
    """After a reset, as in the register."""
    access: Access = "r"
    low: float | None = None
    """Least value that can be written; null: what the type takes."""
    high: float | None = None
    """Greatest value that can be written; null: what the type takes."""
    nonvolatile: bool = False
    """Kept in flash: it outlives a reset, and every write wears it."""
    overrides: Override | None = None
    """null: nothing."""


class Span(Model):
    """Addresses that can be read though nothing is there: they read as zero."""

    table: Table = "input"
    first: Address
    last: Address
    """Included."""

    @model_validator(mode="after")
    def _forwards(self) -> Self:
        if self.first > self.last:
            raise PydanticCustomError("range", "first must not be above last")
        return self


class SunspecPoint(_Meaning):
    """A quantity at a point of a SunSpec model, whose layout gives address, type and scale."""

    access: Literal["r", "rw"] = "r"


class SunspecModel(Model):
    """One model of the chain; points that are not named here are not implemented."""

    id: int = Field(ge=1, le=65534)
    points: dict[str, SunspecPoint] = Field(default_factory=dict)
    """Quantities by point name; inside groups `PFWInj.PF` or `Crv[0].Pt[1].V`."""
    values: dict[str, float | str] = Field(default_factory=dict)
    """Constants, scale factors and settings by point name; scaled, as a client sees them."""
    counts: dict[str, int] = Field(default_factory=dict)
    """How often repeating groups repeat, by the name of the point that says so (`NPt: 4`)."""


class SunspecMap(Model):
    """The chain of SunSpec models that a device shows."""

    base: Literal[0, 40000, 50000] = 40000
    """Where "SunS" stands."""
    models: tuple[SunspecModel, ...] = Field(min_length=1, max_length=32)

    @model_validator(mode="after")
    def _common_first(self) -> Self:
        if self.models[0].id != 1:
            raise PydanticCustomError("sunspec", "models must begin with model 1, the common one")
        return self


class SerialLine(Model):
    """Settings of the line as the device leaves the factory."""

    baud_rate: int = Field(9600, ge=300, le=1_000_000)
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1


class ModbusMap(Model):
    """What a device says over Modbus."""

    transports: tuple[Literal["tcp", "rtu", "tls"], ...] = Field(("tcp",), min_length=1)
    """What it is offered with; the first is the usual one."""
    port: int = Field(502, ge=1, le=65535)
    unit: int = Field(1, ge=1, le=255)
    """Unit id as it leaves the factory."""
    unknown_unit: Literal["silent", "gateway"] = "silent"
    """What it does with requests for other units: nothing, or gateway exception 11."""
    any_unit: bool = False
    """Whether it answers to every unit id, as many TCP devices do."""
    functions: tuple[Function, ...] = Field((3, 4, 6, 16), min_length=1)
    """Function codes that it knows; others are refused with exception 1."""
    max_read_registers: int = Field(125, ge=1, le=125)
    """A request for more is refused with exception 3."""
    max_write_registers: int = Field(123, ge=1, le=123)
    """A request for more is refused with exception 3."""
    max_connections: int | None = Field(None, ge=1, le=1024)
    """TCP connections at a time; null: any number."""
    out_of_range: Literal["refuse", "clamp"] = "refuse"
    """What it does with a value outside of its range: exception 3, or the nearest one allowed."""
    word_order: WordOrder = "big"
    """Of points and registers that do not say their own."""
    same_tables: bool = False
    """Whether functions 3 and 4 read the same registers."""
    serial_line: SerialLine = SerialLine()
    spans: tuple[Span, ...] = Field((), max_length=64)
    """Gaps that read as zero; any other is refused with exception 2."""
    registers: tuple[Register, ...] = Field((), max_length=1000)
    points: tuple[Point, ...] = Field((), max_length=1000)
    sunspec: SunspecMap | None = None
    """null: it shows no SunSpec models."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        named = {register.name: register for register in self.registers}
        for section, names in (
            ("registers", [register.name for register in self.registers]),
            ("points", [f"{point.quantity} {point.access}" for point in self.points]),
        ):
            index = _repeated(names)
            if index is not None:
                raise _fault(
                    "'{name}' is there twice; allowed: once", (section, index), names[index]
                )
        written = {point.quantity for point in self.points if "w" in point.access}
        for index, point in enumerate(self.points):
            shown = None if point.shows in written else point.shows
            for name in (point.scale_register, shown, *point.also):
                if name is not None and name not in named:
                    raise _fault("there is no register '{name}'", ("points", index), name)
        for index, register in enumerate(self.registers):
            forced = register.overrides
            if forced is not None and forced.quantity not in written:
                raise _fault(
                    "'{name}' is no point that is written", ("registers", index), forced.quantity
                )
        taken: dict[tuple[str, int, str], str] = {}
        places: list[tuple[str, int, str, Point | Register]] = [
            *(("points", i, p.quantity, p) for i, p in enumerate(self.points)),
            *(("registers", i, r.name, r) for i, r in enumerate(self.registers)),
        ]
        for section, index, name, place in places:
            for cell in self._cells(place):
                if taken.setdefault(cell, name) != name:
                    raise _fault(
                        f"'{name}' lies on top of '{{name}}'", (section, index), taken[cell]
                    )
        return self

    def _cells(self, place: Point | Register) -> Iterable[tuple[str, int, str]]:
        table = "holding" if self.same_tables and place.table == "input" else place.table
        for address in range(place.address, place.address + place.width):
            yield from ((table, address, way) for way in place.access)


def _repeated(names: list[str]) -> int | None:
    seen: set[Hashable] = set()
    for index, name in enumerate(names):
        if name in seen:
            return index
        seen.add(name)
    return None


def _fault(message: str, at: tuple[str, int], name: str) -> PydanticCustomError:
    # Typed as a literal for translators; ours is put together.
    return PydanticCustomError("profile", message, {"name": name, "at": list(at)})  # type: ignore[arg-type,unused-ignore]
