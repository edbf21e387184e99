"""Golden traces: kept, read back, held against; damage is one line."""

from __future__ import annotations

import errno
import json

import numpy as np
import pytest

from wattbench.evaluation import golden
from wattbench.evaluation.divergence import Tolerance
from wattbench.evaluation.golden import differs, hold_against, read_golden, store_golden
from wattbench.evaluation.identity import identity_of, scenario_keys, unlike
from wattbench.evaluation.record import RecordError, RecordHeader


@pytest.fixture
def record(make_record, builders):
    """Return a function that makes a record whose power at row 30 is given."""

    def make(power_w: float = 0.0, rows: int = 60, **header):
        power = np.zeros(rows)
        power[30] = power_w
        return make_record(
            header=builders.header(**header),
            truth=builders.truth(rows, grid__a__power_w=power),
            commands=builders.commands(rows),
            readings=builders.readings(rows),
        )

    return make


def test_what_is_kept_is_what_is_held_against(record, tmp_path) -> None:
    golden_run = record()
    store_golden(tmp_path / "golden", golden_run, golden_run.stored_measurements, "PASS")
    kept = read_golden(tmp_path / "golden")
    assert kept.verdict == "PASS"
    assert kept.identity == identity_of(golden_run.header)
    assert kept.measurements["export_energy@1"] == 0.0
    assert "decision_latency_p99@1" not in kept.measurements, "the machine's, not the run's"
    assert not differs(hold_against(kept, record()))
    found = hold_against(kept, record(5.0))
    assert found.first is not None
    assert (found.first.t_sim_us, found.first.first.b) == (31_000_000, 5.0)
    assert not differs(hold_against(kept, record(1e-10)))
    assert differs(hold_against(kept, record(1e-10), Tolerance()))


def test_another_length_is_another_trace(record, tmp_path) -> None:
    store_golden(tmp_path / "golden", record(), {})
    assert differs(hold_against(read_golden(tmp_path / "golden"), record(rows=61)))
    assert differs(hold_against(read_golden(tmp_path / "golden"), record(rows=59)))


def test_thinned_traces_are_small_and_compare_the_rows_they_have(record, tmp_path) -> None:
    golden_run = record()
    store_golden(tmp_path / "whole", golden_run, {})
    store_golden(tmp_path / "thin", golden_run, {}, every=5)
    thin = read_golden(tmp_path / "thin")
    assert thin.trace.streams["truth"].rows == 12
    assert not differs(hold_against(thin, record()))
    assert not differs(hold_against(thin, record(5.0))), "row 30 is not one of those kept"
    assert thin.trace.streams["truth"]["t_sim_us"][0] == 5_000_000
    assert differs(hold_against(thin, record(rows=54))), "a run that ends earlier lacks a row"


@pytest.mark.parametrize("every", [7, 3600])
@pytest.mark.parametrize("rows", [31, 59, 61, 120])
def test_a_thinned_trace_has_the_length_of_the_run(record, tmp_path, every, rows) -> None:
    """Also where the rows that are kept are the same, or there would be none."""
    store_golden(tmp_path / "thin", record(), {}, every=every)
    thin = read_golden(tmp_path / "thin")
    assert not differs(hold_against(thin, record()))
    found = hold_against(thin, record(rows=rows))
    assert differs(found)
    assert found.notes[0].startswith(f"truth ends at 60 s and {rows} s: compared up to")


def test_a_golden_trace_of_before_has_no_ends(record, tmp_path) -> None:
    store_golden(tmp_path, record(), {}, every=7)
    content = json.loads((tmp_path / "golden.json").read_text())
    del content["ends_us"]
    (tmp_path / "golden.json").write_text(json.dumps(content))
    assert not differs(hold_against(read_golden(tmp_path), record()))


def test_an_update_replaces_and_leaves_nothing_half_written(record, tmp_path) -> None:
    store_golden(tmp_path / "golden", record(), {})
    store_golden(tmp_path / "golden", record(5.0), {}, every=2)
    assert not differs(hold_against(read_golden(tmp_path / "golden"), record(5.0)))
    names = {path.name for path in (tmp_path / "golden").iterdir()}
    assert names == {"golden.json", "truth.parquet", "readings.parquet", "commands.parquet"}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "golden.json").unlink(), "is missing; --update"),
        (lambda folder: (folder / "golden.json").write_text("{"), "is damaged"),
        (lambda folder: (folder / "golden.json").write_text("[]"), "is damaged"),
        (lambda folder: (folder / "golden.json").write_text("{}"), "is damaged: identity"),
        (lambda folder: (folder / "truth.parquet").unlink(), "truth.parquet is missing"),
        (lambda folder: (folder / "truth.parquet").write_bytes(b"PAR1"), "is damaged"),
    ],
)
def test_damage_is_one_line(record, tmp_path, damage, message) -> None:
    folder = tmp_path / "golden"
    store_golden(folder, record(), {})
    damage(folder)
    with pytest.raises(RecordError) as refused:
        hold_against(read_golden(folder), record())
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_newer_version_is_refused(record, tmp_path) -> None:
    store_golden(tmp_path, record(), {})
    content = json.loads((tmp_path / "golden.json").read_text())
    (tmp_path / "golden.json").write_text(json.dumps(content | {"schema_version": 99}))
    with pytest.raises(RecordError, match="newer wattbench"):
        read_golden(tmp_path)


def test_what_two_runs_differ_in_is_said_once_and_in_words(builders) -> None:
    def header(**changes) -> RecordHeader:
        return RecordHeader.model_validate(
            {**builders.header(**changes), "policy_hash": str(changes.get("policy"))}
        )

    a = header()
    assert unlike(identity_of(a), identity_of(a)) == ()
    other_policy = header(policy={"kind": "smith"}, seed=2, packages={"numpy": "3"})
    said = unlike(identity_of(a), identity_of(other_policy))
    assert said == ("policy (pi, smith)", "seed (1, 2)", "numpy (2, 3)")
    clock = {"mode": "virtual", "factor": 1.0, "duration_s": 60.0}
    longer = header(scenario={**builders.header()["scenario"], "clock": clock})
    keys = scenario_keys(a, longer)
    assert keys == ("clock.duration_s",)
    said = unlike(identity_of(a), identity_of(longer), keys)
    assert said == ("scenario (small: clock.duration_s)", "duration (0 s, 60 s)")
    # who takes part and how it is judged is no part of the experiment
    limits = header(scenario={**builders.header()["scenario"], "limits": [1], "seeds": [1, 2]})
    assert unlike(identity_of(a), identity_of(limits)) == ("limits",)


def test_a_disk_that_refuses_leaves_what_was_there(record, tmp_path, monkeypatch) -> None:
    store_golden(tmp_path / "golden", record(), {})
    before = {path.name: path.read_bytes() for path in (tmp_path / "golden").iterdir()}

    def full(path, text):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(golden, "write_at_once", full)
    with pytest.raises(OSError, match="No space left"):
        store_golden(tmp_path / "golden", record(5.0), {})
    after = {path.name: path.read_bytes() for path in (tmp_path / "golden").iterdir()}
    assert after == before
