"""The golden trace: what ten minutes of everything look like, held over versions and machines.

A change of physics, edge, profiles, features or control shows here first, with the first column
and second that differ. If it is meant: `pytest tests/e2e/test_golden.py --update-golden`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wattbench.evaluation.metrics import measure
from wattbench.hil.bench import Bench
from wattbench.scenarios.load import load_scenario

GOLDEN = Path(__file__).resolve().parents[2] / "fixtures" / "golden"
EVERY_S = 5
# One machine repeats itself bit by bit (tested elsewhere); two differ in the last bits of sines.
TOLERANCE = 1e-9


def _stream(folder: Path, name: str) -> dict[str, np.ndarray]:
    table = pq.read_table(folder / "trace" / f"{name}.parquet")
    return {column: table[column].to_numpy() for column in table.column_names}


def test_trace_is_the_golden_one(tmp_path, request):
    scenario = load_scenario(GOLDEN / "site.yaml")
    (result,) = Bench(scenario, tmp_path, measure=measure).run()
    now = {
        f"{name}:{column}": values[EVERY_S - 1 :: EVERY_S].astype(float)
        for name in ("truth", "readings", "commands")
        for column, values in _stream(result.folder, name).items()
    }
    path = GOLDEN / "trace.parquet"
    if request.config.getoption("--update-golden"):
        pq.write_table(pa.table(now), path, compression="zstd")
    golden = pq.read_table(path)
    assert set(now) == set(golden.column_names)
    for column in golden.column_names:
        was, values = golden[column].to_numpy(), now[column]
        same = np.isclose(values, was, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        first = int(np.argmin(same))
        assert same.all(), (
            f"{column} differs first at {(first + 1) * EVERY_S} s: "
            f"{values[first]!r}, golden {was[first]!r}"
        )
