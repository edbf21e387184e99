"""What the loop writes down each control step, into arrays made before the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..sim.edge import meter
from ..sim.edge.meter import MeterReading
from ..sim.points import Actuator

Stream = tuple[dict[str, NDArray[Any]], dict[str, str]]
"""Columns and the unit of each."""

GOOD, STALE, NONE_YET = range(3)
"""Quality of a reading."""
HOLD, CHANGE, REFRESH, SAFE = range(4)
"""Kind of a command."""
NOT_SENT: Final = -1

_PHASES = "abc"
METER_COLUMNS: Final = (
    *((f"meter.{p}.power_w", "W", meter.POWER_A + k) for k, p in enumerate(_PHASES)),
    ("meter.total.power_w", "W", meter.POWER_TOTAL),
    *((f"meter.{p}.voltage_v", "V", meter.VOLTAGE_A + k) for k, p in enumerate(_PHASES)),
    *((f"meter.{p}.current_a", "A", meter.CURRENT_A + k) for k, p in enumerate(_PHASES)),
    ("meter.pv.power_w", "W", meter.PV_POWER),
    ("meter.net.import_energy_wh", "Wh", meter.IMPORT_NET),
    ("meter.net.export_energy_wh", "Wh", meter.EXPORT_NET),
)
"""Of the stream `readings`: name, unit, and the field of a sample (`sim.edge.meter`). Every field
that a policy can observe is among them, so that a run can be shown to another policy."""
_METER_FIELDS: Final = np.array([field for _, _, field in METER_COLUMNS])
_SPANS: Final = ("sample", "observe", "decide", "guard", "command")


class Log:
    """The streams `readings` and `commands`, and the measured times, of up to `steps` steps."""

    def __init__(self, steps: int, actuators: Sequence[Actuator], reports: Sequence[str]) -> None:
        """Make the arrays; `reports` are the ids of the loads that report their power."""
        n = len(actuators)
        steps += 1  # for the row of a run that is cut short
        self.rows = 0
        """Steps that were finished."""
        self._sampled = 0
        self._ended = 0
        self._ids = [actuator.id for actuator in actuators]
        self._reports = list(reports)
        self._reading_int = np.zeros((steps, 4), np.int64)
        self._age_s = np.zeros(steps)
        self._meter = np.full((steps, len(METER_COLUMNS)), np.nan)
        self._report_w = np.full((steps, len(self._reports)), np.nan)
        self._command_int = np.full((steps, 5), NOT_SENT, np.int64)
        self._decided_w = np.full((steps, n), np.nan)
        self._guarded_w = np.full((steps, n), np.nan)
        self._timing = np.zeros((steps, 2 + len(_SPANS)), np.int64)

    @property
    def begun(self) -> bool:
        """Return whether a step was begun; before that nothing is commanded."""
        return self._sampled > 0

    def reading(
        self,
        t_us: int,
        reading: MeterReading | None,
        age_s: float,
        quality: int,
        reports_w: NDArray[np.float64] | None,
    ) -> None:
        """Write what was sampled in the current step; `reports_w` begins with the loads'."""
        row = self.rows
        self._sampled = row + 1
        self._age_s[row] = age_s
        if reading is None:
            self._reading_int[row] = (t_us, -1, -1, quality)
        else:
            self._reading_int[row] = (t_us, reading.sampled_us, reading.published_us, quality)
            self._meter[row] = reading.values[_METER_FIELDS]
        if reports_w is not None:
            self._report_w[row] = reports_w[: len(self._reports)]

    def command(
        self,
        t_us: int,
        decided_w: NDArray[np.float64],
        guarded_w: NDArray[np.float64],
        seq: int,
        kind: int,
        status: int,
        sent_us: int,
    ) -> None:
        """Write what was decided in the current step, and what became of it."""
        row = self.rows
        self._decided_w[row] = decided_w
        self._guarded_w[row] = guarded_w
        self._command_int[row] = (t_us, seq, kind, status, sent_us)

    def safe_state(self, t_us: int, safe_w: NDArray[np.float64], seq: int, status: int) -> None:
        """Write the safe command that ended the run: the row of the step that was cut short.

        What the policy decided in that step, if it did, never became a command.
        """
        row = self.rows
        sampled = self._sampled > row
        # A step that had not begun may share the microsecond of the last one.
        last_us = int(self._command_int[row - 1, 0]) if row else -1
        stamp_us = int(self._reading_int[row, 0]) if sampled else max(t_us, last_us + 1)
        self._guarded_w[row] = safe_w
        self._command_int[row] = (stamp_us, seq, SAFE, status, t_us)
        self._ended = 1

    def timing(self, mono_ns: tuple[int, int, int, int, int, int, int]) -> None:
        """End the current step.

        `mono_ns` are readings of the machine's clock: before sampling, after it, after observing,
        deciding, guarding, then before and after the command was handed over.
        """
        t0, t1, t2, t3, t4, t5, t6 = mono_ns
        row = self.rows
        self._timing[row] = (row, t0, t1 - t0, t2 - t1, t3 - t2, t4 - t3, t6 - t5)
        self.rows = row + 1

    def readings(self) -> Stream:
        """Return the stream `readings` of the steps that sampled."""
        n = self._sampled
        ints = self._reading_int[:n]
        columns: dict[str, NDArray[Any]] = {
            "t_sim_us": ints[:, 0].copy(),
            "meter.sampled_us": ints[:, 1],
            "meter.received_us": ints[:, 2],
            "meter.age_s": self._age_s[:n],
            "meter.quality": ints[:, 3].astype(np.int8),
        }
        units = {"meter.sampled_us": "us", "meter.received_us": "us", "meter.age_s": "s"}
        units |= {"t_sim_us": "us", "meter.quality": ""}
        for k, (name, unit, _) in enumerate(METER_COLUMNS):
            columns[name], units[name] = self._meter[:n, k], unit
        for k, load in enumerate(self._reports):
            columns[f"load.{load}.report_w"] = self._report_w[:n, k]
            units[f"load.{load}.report_w"] = "W"
        return columns, units

    def commands(
        self,
        acked_us: Callable[[int], NDArray[np.int64]],
        effective_us: Callable[[int], NDArray[np.int64]],
    ) -> Stream:
        """Return the stream `commands`, the one that ended the run early included.

        The two functions return, for a broadcast's sequence number, the time of each actuator's
        ack and of its set-point's becoming effective, −1 for none.
        """
        n, width = self.rows + self._ended, len(self._ids)
        ints = self._command_int[:n]
        columns: dict[str, NDArray[Any]] = {
            "t_sim_us": ints[:, 0].copy(),
            "seq": ints[:, 1],
            "kind": ints[:, 2].astype(np.int8),
            "status": ints[:, 3].astype(np.int8),
        }
        units = {"t_sim_us": "us", "seq": "", "kind": "", "status": ""}
        acked = np.full((n, width), -1, np.int64)
        effective = np.full((n, width), -1, np.int64)
        for row in np.flatnonzero(ints[:, 1] >= 0):
            acked[row] = acked_us(int(ints[row, 1]))
            effective[row] = effective_us(int(ints[row, 1]))
        for prefix, matrix, suffix in (
            ("decided", self._decided_w[:n], "w"),
            ("guarded", self._guarded_w[:n], "w"),
        ):
            for k, name in enumerate(self._ids):
                columns[f"{prefix}.{name}_{suffix}"] = matrix[:, k]
                units[f"{prefix}.{name}_{suffix}"] = "W"
        columns["sent_us"], units["sent_us"] = ints[:, 4], "us"
        for prefix, times in (("acked", acked), ("effective", effective)):
            for k, name in enumerate(self._ids):
                columns[f"{prefix}.{name}_us"] = times[:, k]
                units[f"{prefix}.{name}_us"] = "us"
        return columns, units

    def timings(self) -> dict[str, NDArray[np.int64]]:
        """Return the measured times of the steps that were finished."""
        table = self._timing[: self.rows]
        columns = {"step": table[:, 0].copy(), "t_mono_ns": table[:, 1]}
        return columns | {f"{span}_ns": table[:, 2 + k] for k, span in enumerate(_SPANS)}
