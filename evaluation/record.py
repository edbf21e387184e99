"""The record of a run: a folder from which everything in the verdict can be computed again.

``record.json`` (identity and outcome), ``trace/*.parquet`` (simulated streams, byte-identical for
one seed), ``timing.parquet`` (measured times), ``events.jsonl``, ``measurements.json``.
"""

from __future__ import annotations

import contextlib
from asyncio import CancelledError
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .files import MissingColumnError, RecordError, first_line, hash_files, replace_text, writing
from .header import SCHEMA_VERSION, RecordHeader, SafeState, Status
from .model import content_hash, json_text, plain
from .reading import PARTIAL, Record, read_record, trace_hash, validated
from .streams import TIME, Columns, Stream, check_columns, memory_stream, write_parquet

__all__ = [
    "MissingColumnError",
    "Record",
    "RecordError",
    "RecordHeader",
    "RecordWriter",
    "Status",
    "Stream",
    "read_record",
    "trace_hash",
]

_KILLED = "the process ended before it could close the record"
_WRITERS_FIELDS = frozenset(RecordHeader.model_fields) - {
    "wattbench_version", "scenario", "policy", "rig", "profiles_hash", "packages", "machine",
    "git_revision", "seed", "start_utc", "site", "baselines", "scenario_hash", "policy_hash",
    "rig_hash",
}  # fmt: skip


class RecordWriter:
    """Writes a record beside its final place and renames it when it is closed.

    Until then the folder is called ``NAME.partial`` (with a number if that exists), and its
    ``record.json`` says that the run was interrupted: what a killed process leaves behind.
    As a context manager it closes the record on an exception and says why.
    """

    def __init__(self, folder: Path, header: Mapping[str, Any]) -> None:
        """Create the folder and its preliminary `record.json`.

        Args:
            folder: final place; must not exist.
            header: the fields of `RecordHeader` up to `rig_hash`.

        Raises:
            RecordError: the folder exists or cannot be made, or the header is not valid.

        """
        self.folder = Path(folder)
        self.closed = False
        given = _WRITERS_FIELDS & set(header)
        if given:
            raise RecordError(f"record header: {', '.join(sorted(given))} is the writer's to set")
        valid = validated({**_plain_header(header), "reason": _KILLED}, self.folder)
        hashes = {
            "scenario_hash": valid.scenario_hash or content_hash(valid.scenario),
            "policy_hash": valid.policy_hash or content_hash(valid.policy),
            "rig_hash": valid.rig_hash or content_hash(valid.rig),
        }
        self._header = valid.model_copy(update=hashes)
        self._streams: dict[str, Stream] = {}
        self._timing: Stream | None = None
        self._event_list: list[dict[str, Any]] = []
        if self.folder.exists():
            raise RecordError(f"{self.folder} exists already; remove it or choose another folder")
        self.partial = _make_partial(self.folder)
        with writing(self.partial):
            (self.partial / "trace").mkdir()
            # Line by line, so that a killed run keeps the events up to its end.
            self._events = (self.partial / "events.jsonl").open("w", encoding="utf-8", buffering=1)
        self._write_header()

    def write_stream(self, name: str, columns: Columns, units: Mapping[str, str]) -> None:
        """Write one stream of simulated quantities to ``trace/NAME.parquet``.

        Args:
            name: ``truth``, ``readings`` or ``commands``.
            columns: arrays of one length; ``t_sim_us`` (int64 µs, rising) becomes the first.
            units: unit of each column, ``""`` for plain numbers.

        Raises:
            RecordError: the columns do not fit together, or the disk refuses.

        """
        if name in self._streams:
            raise RecordError(f"stream '{name}' is written already")
        ordered = check_columns(name, columns, units, TIME)
        units = {**units, TIME: "us"}
        with writing(self.partial):
            write_parquet(self.partial / "trace" / f"{name}.parquet", ordered, units)
        self._streams[name] = memory_stream(name, ordered, units)

    def write_timing(self, columns: Columns) -> None:
        """Write measured times to ``timing.parquet``.

        Args:
            columns: ``step`` (int64, rising), ``t_mono_ns`` and, per span, ``sample_ns``,
                ``observe_ns``, ``decide_ns``, ``guard_ns``, ``command_ns``.

        Raises:
            RecordError: the columns do not fit together, or the disk refuses.

        """
        units = {name: "ns" if name.endswith("_ns") else "" for name in columns}
        ordered = check_columns("timing", columns, units, "step")
        with writing(self.partial):
            write_parquet(self.partial / "timing.parquet", ordered, units)
        self._timing = memory_stream("timing", ordered, units)

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        """Append one simulated event to ``events.jsonl``."""
        entry = plain({"t_sim_us": int(t_sim_us), "kind": kind, **data})
        with writing(self.partial):
            self._events.write(json_text(entry, indent=None) + "\n")
        self._event_list.append(entry)

    def record(self) -> Record:
        """Return what has been written so far as a record, for measuring without reading back."""
        return Record(
            self.partial, self._header, self._streams, self._timing, tuple(self._event_list), {}
        )

    def close(
        self,
        status: Status,
        reason: str = "",
        measurements: Mapping[str, float] | None = None,
        *,
        safe_state: Mapping[str, Any] | None = None,
        unseen_s: Mapping[str, float] | None = None,
        speed_x_realtime: float | None = None,
    ) -> Path:
        """Finish the record: measurements, hashes, `record.json` last, then the final name.

        Args:
            status: ``completed``, ``interrupted``, ``aborted`` or ``error``.
            reason: why, if it was not completed.
            measurements: value per metric id, as `metrics.measure` returns.
            safe_state: fields of `SafeState`.
            unseen_s: for how long each device that the truth comes from showed nothing.
            speed_x_realtime: simulated per elapsed time.

        Returns:
            The final folder.

        Raises:
            RecordError: the disk refuses, or the final folder appeared meanwhile.

        """
        if self.closed:
            raise RecordError(f"{self.folder} is closed already")
        with writing(self.partial):
            self._events.close()
        stored = {"schema_version": SCHEMA_VERSION, "measurements": dict(measurements or {})}
        replace_text(self.partial / "measurements.json", json_text(stored))
        timing = self.partial / "timing.parquet"
        self._header = self._header.model_copy(
            update={
                "status": status,
                "reason": reason,
                "safe_state": SafeState.model_validate(dict(safe_state or {})),
                "unseen_s": dict(unseen_s or {}),
                "speed_x_realtime": speed_x_realtime,
                "trace_sha256": trace_hash(self.partial),
                "timing_sha256": hash_files([timing], self.partial) if self._timing else None,
                "events_sha256": hash_files([self.partial / "events.jsonl"], self.partial),
            }
        )
        self._write_header()
        if self.folder.exists():
            raise RecordError(
                f"{self.folder} appeared during the run; it is kept at {self.partial}"
            )
        with writing(self.folder):
            self.partial.rename(self.folder)
        self.closed = True
        return self.folder

    def _write_header(self) -> None:
        content = self._header.model_dump(mode="json", exclude={"content_sha256"})
        content["content_sha256"] = content_hash(content)
        replace_text(self.partial / "record.json", json_text(content))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.closed:
            return
        if error is None:
            self.close("error", "the run ended without closing its record")
            return
        stopped = isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit | CancelledError)
        text = str(error).strip()
        reason = f"{type(error).__name__}: {first_line(error)}" if text else type(error).__name__
        # The error under way says more than a second one from a full disk would.
        with contextlib.suppress(RecordError):
            self.close("interrupted" if stopped else "error", reason)


def _plain_header(header: Mapping[str, Any]) -> dict[str, Any]:
    """Return a header as JSON types only; raises `RecordError` for anything else in it."""
    try:
        content: dict[str, Any] = plain(header)
    except TypeError as error:
        raise RecordError(f"record header: {error}") from error
    return content


def _make_partial(folder: Path) -> Path:
    """Create the temporary folder; a leftover of an earlier run is kept and gets a neighbour."""
    number = 1
    while True:
        suffix = PARTIAL if number == 1 else f"{PARTIAL}{number}"
        candidate = folder.with_name(folder.name + suffix)
        with writing(candidate):
            try:
                candidate.parent.mkdir(parents=True, exist_ok=True)
                candidate.mkdir()
            except FileExistsError:
                if not candidate.is_dir():
                    raise
                number += 1
                continue
        return candidate
