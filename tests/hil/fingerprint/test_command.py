"""`rig fingerprint` and `rig drift` as a user meets them."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from wattbench.commands.fingerprint import FingerprintOptions, drift, fingerprint
from wattbench.hil.fingerprint.endpoint import EndpointError, parse_endpoint
from wattbench.scenarios.devices import load_device_profile

SERVER = """
import sys
from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.modbus.server import ModbusServer
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import WallClock

class Told(StandaloneSource):
    def command(self, quantity, value, t_us):
        print("command", value, flush=True)
        super().command(quantity, value, t_us)

profile = load_device_profile("mypv_ac_elwa_2")
with WallClock() as clock:
    device = EmulatedDevice(profile, Told(profile, 1), clock)
    server = ModbusServer({1: device}, clock)
    async def serve():
        host, port = await server.serve_tcp()
        print(port, flush=True)
        await clock.sleep_until(120_000_000)
    clock.run(serve())
"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("127.0.0.1:1502/1", "modbus-tcp://127.0.0.1:1502/1"),
        ("inverter.lan", "modbus-tcp://inverter.lan:502"),
        ("modbus-tcp://10.0.0.7/3", "modbus-tcp://10.0.0.7:502/3"),
        ("modbus-rtu:///dev/ttyUSB0/17?baud=19200&parity=even", "modbus-rtu:///dev/ttyUSB0/17"),
        ("modbus-rtu:///dev/pts/x", "modbus-rtu:///dev/pts/x"),
    ],
)
def test_endpoints(text: str, shown: str) -> None:
    assert str(parse_endpoint(text)) == shown


def test_line_settings_of_an_endpoint() -> None:
    line = parse_endpoint("modbus-rtu:///dev/ttyS1/2?baud=19200&parity=even&stop_bits=2").line
    assert (line.baud, line.parity, line.stop_bits) == (19200, "E", 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://x",
        "host:port",
        "host/0",
        "host/256",
        "host:99999",
        "modbus-rtu://host/1",
        "modbus-rtu:///dev/x/1?speed=1",
        "modbus-rtu:///dev/x/1?baud=1",
        "a b",
    ],
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(EndpointError):
        parse_endpoint(text)


def test_a_device_of_a_rig_is_measured_and_its_profile_written(tmp_path: Path, capsys) -> None:
    out = tmp_path / "elwa.yaml"
    code = fingerprint(FingerprintOptions("elwa", rig="zoo", out=out), as_json=True)
    content = json.loads(capsys.readouterr().out)
    assert code == content["exit_code"] == 0
    assert content["safe"] is True
    shipped, written = load_device_profile("mypv_ac_elwa_2"), load_device_profile(out)
    assert written.modbus == shipped.modbus
    for name, value in {"dead_time_s": 1.0, "ramp_s": 2.0}.items():
        assert content["estimates"][name]["value"] == pytest.approx(
            value, abs=content["estimates"][name]["uncertainty"]
        )
        half = 2 * written.measured.uncertainty[f"actuators.0.{name}"]
        assert abs(getattr(written.actuators[0], name) - value) <= half
    assert written.actuators[0].watchdog.timeout_s == pytest.approx(60, abs=10)
    assert out.read_text().startswith("# Measured by `wattbench rig fingerprint`")
    # The device as it was measured, and as its data sheet says: nothing has drifted.
    assert drift(FingerprintOptions("elwa", rig="zoo", against=out), as_json=False) == 0
    assert "nothing has drifted" in capsys.readouterr().out


def test_a_heater_behind_a_coordinator(tmp_path: Path, capsys) -> None:
    out = tmp_path / "heater.yaml"
    assert fingerprint(FingerprintOptions("heater", rig="zoo", out=out), as_json=True) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["safe"] is True
    for name, value in {"dead_time_s": 1.0, "ramp_s": 2.0, "watchdog_timeout_s": 60.0}.items():
        found = content["estimates"][name]
        assert abs(found["value"] - value) <= found["uncertainty"], name
    written = load_device_profile(out)
    # How fast the mesh answers is not written down as the device's.
    assert "timing.answer_s" not in written.measured.uncertainty
    assert drift(FingerprintOptions("heater", rig="zoo"), as_json=False) == 0
    capsys.readouterr()


def test_a_device_that_is_not_what_its_profile_says(tmp_path: Path, capsys) -> None:
    text = Path(load_device_profile.__globals__["locate_profile"]("mypv_ac_elwa_2")).read_text()
    other = tmp_path / "other.yaml"
    other.write_text(text.replace("dead_time_s: 1", "dead_time_s: 3"))
    options = FingerprintOptions("elwa", rig="zoo", against=other, watchdog_limit_s=0)
    assert drift(options, as_json=True) == 1
    content = json.loads(capsys.readouterr().out)
    assert content["drifted"] == ["dead_time_s"]
    assert drift(options, as_json=False) == 1
    assert "drifted: dead_time_s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (FingerprintOptions("127.0.0.1:1"), "--profile"),
        (FingerprintOptions("127.0.0.1:1", profile="no_such"), "no_such"),
        (FingerprintOptions("127.0.0.1:1", profile="zigbee_plug"), "no Modbus device"),
        (FingerprintOptions("a b"), "no endpoint"),
        (FingerprintOptions("nobody", rig="zoo"), "allowed: sdm630"),
        (FingerprintOptions("plug", rig="zoo"), "measured are Modbus devices"),
        (FingerprintOptions("elwa", rig="zoo", max_power_w=-1), "--max-power"),
        (FingerprintOptions("elwa", rig="zoo", max_power_w=50), "too narrow"),
        (FingerprintOptions("elwa", rig="zoo", watchdog_limit_s=-1), "--watchdog-limit"),
        (FingerprintOptions("127.0.0.1:1", profile="mypv_ac_elwa_2"), "nobody can be asked"),
        (FingerprintOptions("elwa", rig="zoo", out=Path("/no/such/folder/x.yaml")), "--out"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(options, said: str, capsys, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert fingerprint(options, as_json=False) == 2
    assert said in capsys.readouterr().err


def test_nobody_at_the_endpoint_is_exit_6(tmp_path: Path, capsys) -> None:
    options = FingerprintOptions(
        "127.0.0.1:1", profile="mypv_ac_elwa_2", yes=True, out=tmp_path / "x.yaml"
    )
    assert fingerprint(options, as_json=True) == 6
    assert "127.0.0.1:1" in json.loads(capsys.readouterr().out)["error"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_leaves_the_device_safe_and_writes_nothing(tmp_path: Path) -> None:
    """Over a socket and the wall clock, as on a real device."""
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = int(server.stdout.readline())
            command = (
                "import sys; from pathlib import Path;"
                "from wattbench.commands import fingerprint as f;"
                "from wattbench.hil.fingerprint import plan as s;"
                "f._plan = lambda options: s.Plan(answers=20, idle_s=0.5, still_s=1.0);"
                f"o = f.FingerprintOptions('127.0.0.1:{port}/1', profile='mypv_ac_elwa_2',"
                " yes=True, out=Path('out.yaml'));"
                "sys.exit(f.fingerprint(o, as_json=True))"
            )
            measuring = subprocess.Popen(
                [sys.executable, "-c", command],
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            values = []
            while len(values) < 2 or values[-1] == 0.0:
                values.append(float(server.stdout.readline().split()[1]))
            time.sleep(0.5)
            measuring.send_signal(signal.SIGINT)
            out, err = measuring.communicate(timeout=60)
            assert measuring.returncode == 4, err
            content = json.loads(out)
            assert content["safe"] is True
            assert not content["complete"]
            assert list(tmp_path.iterdir()) == []
        finally:
            server.kill()
            rest = [float(line.split()[1]) for line in server.stdout]
    assert rest[-1] == 0.0


def test_an_uncertainty_larger_than_its_value_is_told() -> None:
    """As a careless search and replace over a fingerprint leaves it."""
    from wattbench.hil.devices.model import Measured
    from wattbench.hil.fingerprint.drift import compare, doubtful
    from wattbench.hil.fingerprint.plan import Findings

    profile = load_device_profile("mypv_ac_elwa_2")
    path = "actuators.0.dead_time_s"
    value = profile.actuators[0].dead_time_s
    for uncertainty, told in ((0.1 * value, 0), (value, 1)):
        known = Measured(uncertainty={path: uncertainty})
        rows = compare(profile.model_copy(update={"measured": known}), Findings(), 0)
        lines = doubtful(rows)
        assert len(lines) == told
        assert all(path in line for line in lines)
