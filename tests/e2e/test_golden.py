"""Golden traces: what runs look like, held over versions and machines.

A change of physics, edge, profiles, features or control shows here first, with the first column
and second that differ. If it is meant: `pytest tests/e2e/test_golden.py --update-golden`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.evaluation.golden import differs, hold_against, read_golden, store_golden
from wattbench.evaluation.metrics import measure
from wattbench.evaluation.record import Record, read_record
from wattbench.hil.bench import Bench
from wattbench.scenarios.library import locate
from wattbench.scenarios.load import load_scenario

GOLDEN = Path(__file__).resolve().parents[2] / "fixtures" / "golden"

#: By folder: the scenario, the policy, how many rows one is kept of.
KEPT = {
    # ten minutes of everything
    "site": (str(GOLDEN / "site.yaml"), "pi", 5),
    # of the library
    "cloud_edges": ("cloud_edges", "smith", 60),
}
MOST_BYTES = 200_000


def run(scenario: str, policy: str, out: Path) -> Record:
    """Return the record of one policy on the first seed."""
    whole = load_scenario(locate(scenario))
    (chosen,) = [p for p in (*whole.policies, *whole.baselines) if p.label == policy]
    changes = {"policies": (chosen,), "baselines": (), "seeds": whole.seeds[:1], "audit": None}
    (result,) = Bench(whole.model_copy(update=changes), out, measure=measure).run()
    return read_record(result.folder)


@pytest.mark.parametrize("name", KEPT)
def test_trace_is_the_golden_one(name, tmp_path, request) -> None:
    scenario, policy, every = KEPT[name]
    record = run(scenario, policy, tmp_path)
    if request.config.getoption("--update-golden"):
        store_golden(GOLDEN / name, record, record.stored_measurements, every=every)
    golden = read_golden(GOLDEN / name)
    found = hold_against(golden, record)
    assert not differs(found), (
        f"the first difference: {found.first}; columns that ever differ: {dict(found.differing)}; "
        f"only in the golden one: {found.only_in_a}, in this one: {found.only_in_b}; {found.notes}"
    )
    assert golden.trace.streams["truth"].rows > 50
    assert sum(path.stat().st_size for path in (GOLDEN / name).iterdir()) < MOST_BYTES


def test_a_policy_that_decides_otherwise_does_not_pass_for_the_golden_one(tmp_path) -> None:
    scenario, _, _ = KEPT["site"]
    text = Path(scenario).read_text().replace("{kind: pi}", "{kind: threshold}")
    path = tmp_path / "site.yaml"
    path.write_text(text)
    found = hold_against(read_golden(GOLDEN / "site"), run(str(path), "threshold", tmp_path))
    assert found.first is not None
    assert found.decisions is not None
