"""Reading a record, of this or any older schema version."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .files import MissingColumnError, RecordError, first_line, hash_files
from .header import SCHEMA_VERSION, RecordHeader, SafeState, Status
from .model import content_hash_of_json
from .streams import Stream, open_parquet

#: What a record's folder is called, after its name, until it is closed.
PARTIAL = ".partial"
GUARDIAN_FILE = "safe_state.json"
"""Written into a run's folder by the process that makes a rig safe when its run is gone."""

#: Steps from one schema version's raw JSON to the next version's, by the version they start from.
_UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}


@dataclass(frozen=True)
class Record:
    """A run as it was recorded; streams that were not written are absent.

    Attributes:
        folder: where it lies.
        header: `record.json`.
        streams: the streams under `trace/` by name: `truth`, `readings`, `commands`.
        timing: measured times per step, None if none were written.
        events: simulated events, each with `t_sim_us` and `kind`.
        stored_measurements: as computed when the run ended; NaN as None.
        intact: whether `record.json` is as it was written.

    """

    folder: Path
    header: RecordHeader
    streams: Mapping[str, Stream]
    timing: Stream | None
    events: tuple[dict[str, Any], ...]
    stored_measurements: Mapping[str, float | None]
    intact: bool = True

    def stream(self, name: str) -> Stream:
        """Return a stream under `trace/`; raises `MissingColumnError` if it was not written."""
        if name not in self.streams:
            raise MissingColumnError(f"{self.folder} has no stream '{name}'")
        return self.streams[name]

    def spans(self) -> dict[str, Any]:
        """Return the measured nanoseconds of each step by span (sample, observe, decide, …)."""
        timing = self.timing
        if timing is None:
            return {}
        names = [n for n in timing if n.endswith("_ns") and n != "t_mono_ns"]
        return {name.removesuffix("_ns"): timing[name] for name in names}


def read_record(folder: Path) -> Record:
    """Read a record; its streams' columns are read when they are first used.

    Raises:
        RecordError: a file is missing, damaged, or of a newer schema than this version reads.

    """
    folder = Path(folder)
    raw = _read_json(folder / "record.json", _missing_hint(folder))
    intact = raw.get("content_sha256") == content_hash_of_json(
        {key: value for key, value in raw.items() if key != "content_sha256"}
    )
    header = _as_left(validated(_upgraded(raw, folder), folder), folder)
    stored = folder / "measurements.json"
    measurements = _read_json(stored, "").get("measurements") if stored.exists() else {}
    if not isinstance(measurements, dict):
        raise RecordError(f"{stored} is damaged: 'measurements' is no object")
    timing = folder / "timing.parquet"
    return Record(
        folder,
        header,
        _open_streams(folder, header),
        open_parquet("timing", timing) if timing.exists() else None,
        tuple(_read_events(folder / "events.jsonl", header.status)),
        measurements,
        intact,
    )


def _as_left(header: RecordHeader, folder: Path) -> RecordHeader:
    """Return the header of a killed run with what the rig's guardian measured after it."""
    path = folder / GUARDIAN_FILE
    if header.safe_state.confirmed is not None or not path.exists():
        return header
    measured = _read_json(path, "")
    confirmed, note = measured.get("confirmed"), measured.get("note", "")
    if not isinstance(confirmed, bool) or not isinstance(note, str):
        raise RecordError(f"{path} is damaged: it does not say whether the rig was safe")
    return header.model_copy(update={"safe_state": SafeState(confirmed=confirmed, note=note)})


def read_header(folder: Path) -> RecordHeader:
    """Read `record.json` alone. Raises `RecordError` as `read_record` does."""
    folder = Path(folder)
    raw = _read_json(folder / "record.json", _missing_hint(folder))
    return _as_left(validated(_upgraded(raw, folder), folder), folder)


def _open_streams(folder: Path, header: RecordHeader) -> dict[str, Stream]:
    """Open the streams; in a record that was never closed, leave out those half written."""
    streams = {}
    for path in _trace_files(folder):
        try:
            streams[path.stem] = open_parquet(path.stem, path)
        except RecordError:
            if header.trace_sha256 is not None:
                raise
    return streams


def trace_hash(folder: Path) -> str:
    """Return the SHA-256 over names and bytes of ``trace/*.parquet``."""
    return hash_files(_trace_files(Path(folder)), Path(folder))


def _trace_files(folder: Path) -> list[Path]:
    return sorted((folder / "trace").glob("*.parquet"))


def _missing_hint(folder: Path) -> str:
    partial = folder.with_name(folder.name + PARTIAL)
    if partial.is_dir():
        return f"; its run was interrupted and left {partial}"
    return "; is this the folder of a run?" if folder.is_dir() else "; there is no such folder"


def _read_json(path: Path, hint: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing{hint}") from error
    except OSError as error:
        raise RecordError(f"cannot read {path}: {first_line(error)}") from error
    except ValueError as error:
        raise RecordError(f"{path} is damaged: {first_line(error)}") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path} is damaged: not a JSON object")
    return content


def _read_events(path: Path, status: Status) -> Iterator[dict[str, Any]]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing") from error
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path}: {first_line(error)}") from error
    for number, line in enumerate(lines, start=1):
        try:
            event = json.loads(line)
        except ValueError as error:
            if number == len(lines) and status == "interrupted":
                return  # the line that was being written when the process was killed
            raise RecordError(f"{path}:{number} is damaged: {first_line(error)}") from error
        yield event


def _upgraded(raw: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Bring raw JSON of any older schema version to the present one."""
    version = raw.get("schema_version")
    if not isinstance(version, int) or version < 1:
        raise RecordError(f"{folder / 'record.json'} is damaged: no schema_version")
    if version > SCHEMA_VERSION:
        raise RecordError(
            f"{folder} was written by a newer wattbench (schema {version}; this one reads up to "
            f"{SCHEMA_VERSION}): update wattbench"
        )
    while version < SCHEMA_VERSION:
        raw = _UPGRADES[version](raw)
        version += 1
    return raw


def validated(raw: dict[str, Any], folder: Path) -> RecordHeader:
    """Return `record.json` as a model; raises `RecordError` with its first problem."""
    try:
        return RecordHeader.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(
            f"{folder / 'record.json'}: {where}: {first['msg'].lower()} "
            f"({error.error_count()} problem(s) in all)"
        ) from error
