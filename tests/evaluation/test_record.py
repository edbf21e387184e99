"""Writing and reading records: identity of bytes, interruption, damage, errors of the disk."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from wattbench.evaluation import reading
from wattbench.evaluation.judge import judge
from wattbench.evaluation.record import (
    MissingColumnError,
    RecordError,
    RecordWriter,
    read_record,
    trace_hash,
)
from wattbench.evaluation.streams import open_parquet, write_parquet

GOLDEN = Path(__file__).parents[1] / "fixtures" / "records" / "v1"


@pytest.fixture
def writer(tmp_path, builders):
    return RecordWriter(tmp_path / "run", builders.header())


def write_truth(writer, builders, rows=5, **changes):
    truth = builders.truth(rows, **changes)
    writer.write_stream("truth", truth, builders.units(truth))
    return truth


def test_what_was_written_is_read(writer, builders):
    truth = write_truth(writer, builders, grid__a__power_w=[1.0, np.nan, -3.0, 4.0, 5.0])
    writer.write_timing({"step": np.arange(3), "t_mono_ns": np.arange(3), "decide_ns": np.ones(3)})
    writer.event(1_000_000, "fault_start", fault="meter_freeze", power_w=np.float64(2.5))
    folder = writer.close(
        "completed", measurements={"export_energy@1": 2.0, "ack_rate@1": float("nan")},
        safe_state={"confirmed": True}, speed_x_realtime=1234.5,
    )  # fmt: skip
    record = read_record(folder)
    stream = record.stream("truth")
    assert next(iter(stream)) == "t_sim_us"
    assert stream.rows == 5
    for name, values in truth.items():
        np.testing.assert_array_equal(stream[name], values)
        assert stream[name].dtype == values.dtype
    assert stream.units["grid.a.power_w"] == "W"
    assert record.timing is not None
    assert list(record.spans()) == ["decide"]
    assert record.events == (
        {"t_sim_us": 1_000_000, "kind": "fault_start", "fault": "meter_freeze", "power_w": 2.5},
    )
    assert record.stored_measurements == {"export_energy@1": 2.0, "ack_rate@1": None}
    assert record.header.status == "completed"
    assert record.header.safe_state.confirmed is True
    assert record.header.speed_x_realtime == 1234.5
    assert record.header.scenario_name == "small"
    assert record.intact


def test_the_record_under_way_can_be_measured_without_reading_back(writer, builders):
    write_truth(writer, builders)
    assert writer.record().stream("truth").rows == 5


def test_units_are_in_the_column_metadata(writer, builders):
    write_truth(writer, builders)
    schema = pq.read_schema(writer.partial / "trace" / "truth.parquet")
    assert schema.names[0] == "t_sim_us"
    assert schema.field("t_sim_us").metadata == {b"unit": b"us"}
    assert schema.field("grid.b.voltage_v").metadata == {b"unit": b"V"}
    assert b"pandas" not in (schema.metadata or {})


def test_equal_data_gives_equal_bytes_and_hash(tmp_path, builders):
    folders = []
    for name in ("one", "two"):
        writer = RecordWriter(tmp_path / name, builders.header())
        write_truth(writer, builders, grid__a__power_w=np.linspace(-1, 1, 5))
        writer.event(5, "kettle", phase="a")
        folders.append(writer.close("completed"))
    for file in ("trace/truth.parquet", "events.jsonl", "record.json", "measurements.json"):
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes()
    assert trace_hash(folders[0]) == trace_hash(folders[1])


def test_one_bit_of_data_changes_the_hash(tmp_path, builders):
    hashes = set()
    for value in (1.0, np.nextafter(1.0, 2.0)):
        writer = RecordWriter(tmp_path / repr(float(value)), builders.header())
        write_truth(writer, builders, grid__a__power_w=value)
        hashes.add(trace_hash(writer.close("completed")))
    assert len(hashes) == 2


def test_json_is_strict(writer, builders):
    write_truth(writer, builders)
    folder = writer.close("completed", measurements={"ack_rate@1": float("nan")})

    def refuse(constant):
        raise AssertionError(constant)

    for file in ("record.json", "measurements.json"):
        json.loads((folder / file).read_text(), parse_constant=refuse)


def test_until_it_is_closed_the_record_says_interrupted(writer, builders):
    write_truth(writer, builders)
    writer.event(3, "fault_start", fault="meter_freeze")
    assert not writer.folder.exists()
    record = read_record(writer.partial)
    assert record.header.status == "interrupted"
    assert "before it could close" in record.header.reason
    assert len(record.events) == 1
    with pytest.raises(RecordError, match=r"was interrupted and left .*run\.partial"):
        read_record(writer.folder)


def test_a_killed_process_leaves_a_record_that_says_so(tmp_path, builders):
    script = textwrap.dedent(
        """
        import json, os, signal, sys
        from wattbench.evaluation.record import RecordWriter
        writer = RecordWriter(sys.argv[1], json.loads(sys.argv[2]))
        writer.event(7, "started")
        writer._events.write('{"t_sim_us": 8, "ki')
        writer._events.flush()
        (writer.partial / "trace" / "truth.parquet").write_bytes(b"PAR1 half a file")
        os.kill(os.getpid(), signal.SIGKILL)
        """
    )
    header = json.dumps(builders.header())
    command = [sys.executable, "-c", script, str(tmp_path / "run"), header]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    record = read_record(tmp_path / "run.partial")
    assert record.header.status == "interrupted"
    assert record.streams == {}
    assert record.events == ({"t_sim_us": 7, "kind": "started"},)


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (ValueError("policy returned NaN\nand more"), "error", "ValueError: policy returned NaN"),
        (KeyboardInterrupt(), "interrupted", "KeyboardInterrupt"),
        (asyncio.CancelledError(), "interrupted", "CancelledError"),
        (SystemExit(143), "interrupted", "SystemExit: 143"),
    ],
)
def test_an_exception_closes_the_record_and_is_its_reason(writer, error, status, reason):
    with pytest.raises(type(error)), writer:
        raise error
    header = read_record(writer.folder).header
    assert (header.status, header.reason) == (status, reason)


def test_leaving_the_writer_open_is_an_error_of_the_run(writer):
    with writer:
        pass
    assert read_record(writer.folder).header.status == "error"


def test_leftovers_of_a_killed_run_are_kept(writer, tmp_path, builders):
    second = RecordWriter(tmp_path / "run", builders.header())
    assert second.partial != writer.partial
    second.close("completed")
    assert read_record(writer.partial).header.status == "interrupted"
    with pytest.raises(RecordError, match="appeared during the run"):
        writer.close("completed")
    with pytest.raises(RecordError, match="exists already"):
        RecordWriter(tmp_path / "run", builders.header())


def bad(**changes):
    columns = {"t_sim_us": np.arange(3), "x.power_w": np.zeros(3)}
    return {name: value for name, value in (columns | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (bad(t_sim_us=None), "lacks its first column 't_sim_us'"),
        (bad(t_sim_us=np.arange(3.0)), "must be one-dimensional int64"),
        (bad(t_sim_us=np.array([0, 2, 2])), "does not rise at row 2"),
        (bad(**{"x.power_w": np.zeros(2)}), r"'x.power_w' has shape \(2,\), expected \(3,\)"),
        (bad(**{"x.power_w": np.array(["a"] * 3)}), "not numbers"),
        (bad(y=np.zeros(3)), "'y' has no unit"),
    ],
)
def test_columns_that_do_not_fit_are_refused(writer, columns, message):
    with pytest.raises(RecordError, match=message):
        writer.write_stream("truth", columns, {"x.power_w": "W"})


def test_a_stream_is_written_once(writer, builders):
    write_truth(writer, builders)
    with pytest.raises(RecordError, match="written already"):
        write_truth(writer, builders)


def test_a_missing_stream_or_column_is_named(writer, builders):
    write_truth(writer, builders)
    record = read_record(writer.close("completed"))
    with pytest.raises(MissingColumnError, match="no stream 'commands'"):
        record.stream("commands")
    with pytest.raises(MissingColumnError, match=r"'truth' has no column 'grid\.d\.power_w'"):
        record.stream("truth")["grid.d.power_w"]


def test_a_header_that_lacks_something_is_refused(tmp_path, builders):
    header = builders.header()
    del header["site"]["main_fuse_a"]
    with pytest.raises(RecordError, match=r"site\.main_fuse_a: field required"):
        RecordWriter(tmp_path / "run", header)
    with pytest.raises(RecordError, match="status is the writer's to set"):
        RecordWriter(tmp_path / "run", builders.header(status="completed"))
    with pytest.raises(RecordError, match="set cannot be written as JSON"):
        RecordWriter(tmp_path / "run", builders.header(machine={"x": {1}}))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def closed(writer, builders):
    write_truth(writer, builders, rows=500, grid__a__power_w=np.sin(np.arange(500)))
    return writer.close("completed", measurements={"export_energy@1": 0.0})


def truncate(path, share=0.5):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "record.json").unlink(), "record.json is missing; is this the folder of"),
        (lambda f: truncate(f / "record.json"), "record.json is damaged"),
        (lambda f: (f / "record.json").write_text("[]"), "not a JSON object"),
        (lambda f: (f / "record.json").write_text("{}"), "no schema_version"),
        (lambda f: truncate(f / "trace/truth.parquet"), r"truth.parquet is damaged"),
        (lambda f: truncate(f / "measurements.json"), "measurements.json is damaged"),
        (lambda f: (f / "events.jsonl").unlink(), "events.jsonl is missing"),
        (lambda f: (f / "events.jsonl").write_text('{"a"'), "events.jsonl:1 is damaged"),
        (shutil.rmtree, "is missing"),
    ],
)
def test_damage_is_one_line_that_says_where(closed, damage, message):
    damage(closed)
    with pytest.raises(RecordError, match=message) as caught:
        read_record(closed)
    assert "\n" not in str(caught.value)


def test_damage_inside_a_column_is_found_when_it_is_read(closed):
    path = closed / "trace" / "truth.parquet"
    content = bytearray(path.read_bytes())
    where = pq.ParquetFile(path).metadata.row_group(0).column(1).data_page_offset
    content[where : where + 40] = b"\xff" * 40
    path.write_bytes(content)
    record = read_record(closed)
    with pytest.raises(RecordError, match="damaged"):
        record.stream("truth")["grid.a.power_w"]


def test_a_newer_schema_asks_for_an_update(closed):
    path = closed / "record.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema_version": 99}))
    with pytest.raises(RecordError, match=r"newer wattbench .*update"):
        read_record(closed)


def test_older_schemas_are_brought_up_step_by_step(closed, monkeypatch):
    def renamed(raw):
        return {**raw, "schema_version": 2, "seed": raw["seed"] + 41}

    monkeypatch.setitem(reading._UPGRADES, 1, renamed)
    monkeypatch.setattr(reading, "SCHEMA_VERSION", 2)
    record = read_record(closed)
    assert record.header.seed == 42
    assert record.intact


def test_a_place_that_cannot_be_written_is_one_line(tmp_path, builders):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match=r"cannot write .*choose another folder"):
        RecordWriter(tmp_path / "file" / "run", builders.header())


def test_a_full_disk_is_one_line(writer, builders):
    """A limit on file sizes stands in for the disk; the signal it would send is ignored."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(RecordError, match=r"cannot write .*free space") as caught:
            write_truth(writer, builders, rows=5000, grid__a__power_w=np.random.rand(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "\n" not in str(caught.value)


def test_the_golden_record_of_schema_1_is_read():
    """Written once by `golden_record.py` beside it; every later version must read it so."""
    record = read_record(GOLDEN)
    assert record.intact
    assert record.header.schema_version == 1
    assert record.header.policy_name == "pi"
    assert record.header.trace_sha256 == trace_hash(GOLDEN)
    assert record.stream("truth").rows == 120
    assert record.stream("truth").units["grid.a.power_w"] == "W"
    assert record.stream("truth")["grid.a.power_w"][:3].tolist() == [-1000.0, -990.0, -980.0]
    assert record.stream("commands")["seq"].dtype == np.int64
    assert record.events[0]["kind"] == "fault_start"
    assert record.stored_measurements["peak_export_1s@1"] == 1000.0
    assert set(record.spans()) == {"sample", "observe", "decide", "guard", "command"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_line(tmp_path, builders):
    tmp_path.chmod(0o500)
    with pytest.raises(RecordError, match="Permission denied"):
        RecordWriter(tmp_path / "run", builders.header())


def test_closing_twice_is_refused(writer):
    writer.close("completed")
    with pytest.raises(RecordError, match="closed already"):
        writer.close("completed")


def test_measurements_must_be_an_object(closed):
    (closed / "measurements.json").write_text('{"measurements": [1]}')
    with pytest.raises(RecordError, match="'measurements' is no object"):
        read_record(closed)


def test_without_timing_there_are_no_spans(closed):
    assert read_record(closed).spans() == {}


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("kind", ["f8", "f4", "i8", "i4", "i2", "i1", "u1", "u2", "u8", "?"])
def test_columns_of_every_kind_come_back_as_they_were(tmp_path, kind: str, rows: int) -> None:
    values = np.array([0, 1, 0, 3, 1][:rows]).astype(kind)
    if kind[0] == "f":
        values[rows // 2 :] = np.nan
    columns = {"t_sim_us": np.arange(rows, dtype=np.int64), "x": np.repeat(values, 2)[::2]}
    write_parquet(tmp_path / "x.parquet", columns, {"x": "W"})
    back = open_parquet("x", tmp_path / "x.parquet")["x"]
    assert back.dtype == values.dtype
    assert back.tobytes() == values.tobytes()
    expected = pq.read_table(tmp_path / "x.parquet").column("x").to_numpy()
    np.testing.assert_array_equal(back, expected)


@pytest.mark.parametrize(("confirmed", "code"), [(True, 4), (False, 7)])
def test_what_the_guardian_measured_after_a_killed_run_counts(writer, confirmed, code):
    """The record of a killed run is left as it was; the guardian's word lies beside it."""
    said = {"confirmed": confirmed, "note": "measured 1.2 s after it was needed: heater 0 W"}
    (writer.partial / "safe_state.json").write_text(json.dumps(said))
    judgement = judge(writer.partial)
    assert judgement.header.safe_state.confirmed is confirmed
    assert "heater 0 W" in judgement.header.safe_state.note
    assert judgement.exit_code == code
    assert not judgement.problems


def test_a_guardians_file_that_does_not_say_is_damage(writer):
    (writer.partial / "safe_state.json").write_text('{"confirmed": "yes"}')
    with pytest.raises(RecordError, match=r"safe_state\.json is damaged"):
        read_record(writer.partial)
