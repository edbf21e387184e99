"""A tape, or part of one, in other forms: pcapng with each frame's meaning, and CSV."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TextIO

from .decode import Decoder
from .meaning import Meaning
from .model import TapeFrame
from .reader import TapeReader
from .writer import Encoder, entry_of

CSV_COLUMNS: Final = ("number", "t_s", "utc", "bus", "direction", "hex", "meaning", "problem")

Told = tuple[TapeFrame, Meaning]


def told(
    reader: TapeReader,
    decoder: Decoder,
    bus: str | None = None,
    from_us: int | None = None,
    to_us: int | None = None,
) -> Iterator[Told]:
    """Yield the frames that are wanted with what they say.

    Frames before them are read too, since the answer to an earlier request is understood by it.
    """
    for frame in reader:
        if bus is not None and frame.bus != bus:
            continue
        meaning = decoder.meaning(frame)
        after = from_us is None or frame.t_us >= from_us
        if after and (to_us is None or frame.t_us <= to_us):
            yield frame, meaning


@contextlib.contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """Yield where to write a file that is to be there whole or not at all.

    It takes the name when it is complete; what was there before stays if it never is. A device or
    a pipe is written to as it is.

    Raises:
        OSError: the disk refuses, or there is no such folder; it names the path.
    """
    target = path.resolve()
    own = not target.exists() or target.is_file()
    place = target.with_name(target.name + ".new") if own else path
    try:
        yield place
        if own:
            place.replace(target)
    except BaseException as problem:
        if own:
            with contextlib.suppress(OSError):
                place.unlink()
        if isinstance(problem, OSError):
            problem.filename, problem.filename2 = str(path), None
        raise


def write_pcapng(path: Path, reader: TapeReader, frames: Iterable[Told]) -> int:
    """Write frames with their meaning as comments; return how many. Raises `OSError`."""
    encoder = Encoder(reader.header)
    count = 0
    with at_once(path) as place, place.open("wb") as stream:
        stream.write(encoder.head)
        for frame, meaning in frames:
            stream.write(encoder.encode(entry_of(frame, meaning.line())))
            count += 1
    return count


def write_csv(stream: TextIO, reader: TapeReader, frames: Iterable[Told]) -> int:
    """Write frames as CSV with a head line; return how many."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    count = 0
    for frame, meaning in frames:
        row = (frame.number, f"{frame.t_us / 1e6:.6f}", utc_text(reader, frame), frame.bus)
        writer.writerow((*row, frame.direction, frame.data.hex(), meaning.text, meaning.problem))
        count += 1
    return count


def utc_text(reader: TapeReader, frame: TapeFrame) -> str:
    """Return when a frame was on the wire, as scenario time in UTC."""
    when = reader.start_utc + dt.timedelta(microseconds=frame.t_us)
    return when.isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_dict(reader: TapeReader, frame: TapeFrame, meaning: Meaning) -> dict[str, Any]:
    """Return a frame as plain values."""
    row: dict[str, Any] = {"number": frame.number, "t_s": frame.t_us / 1e6}
    row |= {"utc": utc_text(reader, frame), "bus": frame.bus, "kind": frame.kind}
    row |= {"direction": frame.direction, "hex": frame.data.hex()}
    if frame.monotonic_ns is not None:
        row["monotonic_ns"] = frame.monotonic_ns
    return row | meaning.as_dict()
