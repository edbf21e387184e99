"""What pictures are drawn from: a record that is as it was written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..files import RecordError
from ..header import RecordHeader, SiteMeta
from ..judge import Judgement, judge
from ..limits import LimitResult
from ..metrics.run import Run
from ..reading import Record, read_record
from ..report import ReportInput, report_input
from ..report.model import Columns
from ..report.payload import PHASES, total
from ..report.spans import Span, event_spans, safe_spans, stale_spans
from ..streams import TIME

Floats = NDArray[np.float64]


class NothingToDrawError(Exception):
    """The record lacks what a picture shows; the message is a part of a sentence: "it has no …"."""


@dataclass(frozen=True)
class Subject:
    """One run to draw.

    Attributes:
        folder: the record's.
        run: as its report shows it.
        record: the record.
        judgement: what it is worth, with its limits.

    """

    folder: Path
    run: ReportInput
    record: Record
    judgement: Judgement

    @property
    def header(self) -> RecordHeader:
        """Who and what took part."""
        return self.record.header

    @property
    def site(self) -> SiteMeta:
        """The site's constants."""
        return self.record.header.site

    @property
    def title(self) -> str:
        """Scenario, policy and seed."""
        return f"{self.run.scenario} · {self.run.policy}, seed {self.run.seed}"

    @cached_property
    def measured(self) -> Run:
        """The record as the metrics read it."""
        return Run(self.record)

    @cached_property
    def spans(self) -> list[Span]:
        """When faults were on, readings stale, or the safe state commanded."""
        end_us = self.run.end_us
        return [
            *event_spans(self.run.events, end_us),
            *stale_spans(self.run.streams.get("readings", {}), end_us),
            *safe_spans(self.run.streams.get("commands", {}), end_us),
        ]

    def stream(self, name: str) -> Columns:
        """Return a stream; raises NothingToDrawError if it has no rows."""
        stream = self.run.streams.get(name, {})
        if len(stream.get(TIME, ())) == 0:
            raise NothingToDrawError(f"no rows of '{name}'")
        return stream

    def times_s(self, name: str) -> Floats:
        """Return the times of a stream's rows, s since the start of the run: [rows]."""
        times: Floats = np.asarray(self.stream(name)[TIME]) / 1e6
        return times

    def net_power_w(self) -> Floats:
        """Return net grid power over time, W: [rows], + import, means over each row."""
        power = total(self.stream("truth"), [f"grid.{phase}.power_w" for phase in PHASES])
        if power is None or not np.isfinite(power).any():
            raise NothingToDrawError("no grid power")
        return power

    def column(self, name: str, stream: str = "truth") -> Floats | None:
        """Return a column with any value in it; None if there is none."""
        values: NDArray[Any] | None = self.stream(stream).get(name)
        return None if values is None or not np.isfinite(values).any() else values

    def limit(self, metric: str) -> LimitResult | None:
        """Return the first limit on a metric whose bound is known."""
        found = (r for r in self.judgement.limits if r.limit.metric == metric)
        return next((r for r in found if np.isfinite(r.bound)), None)


def read_subject(folder: Path) -> Subject:
    """Read a record for drawing.

    Raises:
        RecordError: it cannot be read, or is not as it was written: a picture of it would show a
            run that never was.

    """
    judgement = judge(folder)
    if judgement.problems:
        raise RecordError(f"{folder}: {judgement.problems[0]}; nothing is drawn of it")
    record = read_record(folder)
    return Subject(folder, report_input(judgement, record), record, judgement)
