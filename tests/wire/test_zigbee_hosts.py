"""zigpy-znp and zigbee-herdsman, unmodified, against the emulated coordinator.

Each forms a network, lets a plug, a heater and a sleepy sensor join, interviews them, switches,
dims, reads, binds and receives reports; then it stops, the emulator restarts from its file, and
the host finds its network and devices again.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

HERE = Path(__file__).parent

pytestmark = pytest.mark.slow


def check_full(events, bench, record_property):
    assert len(events["joined"]) == len(events["interviewed"]) == 3
    models = {event["model"] for event in events["interviewed"]}
    assert models == {device.profile.identity.model for device in bench.devices.values()}
    assert "stopped" in events
    record_property("cold_start_s", events["started"][0]["s"])
    record_property("switch_p50_ms", events["switched"][0]["p50_ms"])
    record_property("switch_p95_ms", events["switched"][0]["p95_ms"])
    print(json.dumps({name: events[name][0] for name in ("started", "switched", "stopped")}))


def zigpy(python, mode, folder):
    return [python, HERE / "zigpy_client.py", mode, folder]


@pytest.mark.parametrize("kind", ["tcp", "pty"])
def test_zigpy_znp(zigpy_python, stage, tmp_path, record_property, kind):
    memory = tmp_path / "nv.json"
    bench = stage(nv_path=memory)
    events = bench.drive(zigpy(zigpy_python, "full", tmp_path), kind)
    check_full(events, bench, record_property)
    assert events["dimmed"][0]["status"] == 0
    values = events["read"][0]["values"]
    assert values["ac_power_divisor"] == 10
    assert 2000 < values["rms_voltage"] < 2600
    assert events["bound"][0] == {"status": 0, "reporting": [0], "s": events["bound"][0]["s"]}
    assert events["reported"][0]["different"] >= 3
    assert 0 < events["sensed"][0]["raw"] < 4000
    bench.coordinator.save()

    again = stage(nv_path=memory)
    warm = again.drive(zigpy(zigpy_python, "warm", tmp_path), kind)
    assert warm["started"][0]["pan"] == events["started"][0]["pan"]
    assert [one.identity is None for one in again.devices.values()] == [True, False, False]
    record_property("warm_start_s", warm["started"][0]["s"])
    print(json.dumps(warm["started"][0]), json.dumps(warm["switched"][0]))


@pytest.mark.parametrize("kind", ["tcp", "pty"])
def test_zigbee_herdsman(herdsman, stage, tmp_path, record_property, kind):
    node, module = herdsman
    memory = tmp_path / "nv.json"
    env = {"NODE_PATH": str(module.parent)}
    script = HERE / "node" / "herdsman.js"
    bench = stage(nv_path=memory)
    url = "tcp://127.0.0.1:{}"
    events = bench.drive([node, script, "full", tmp_path], kind, url, env=env)
    check_full(events, bench, record_property)
    assert events["started"][0]["result"] == "reset"
    assert events["dimmed"][0]["currentLevel"] == 127
    assert events["read"][0]["acPowerDivisor"] == 10
    assert events["reported"][0]["reports"] >= 3
    assert 0 < events["sensed"][0]["measuredValue"] < 4000
    assert events["neighbours"][0]["count"] == 3
    bench.coordinator.save()

    again = stage(nv_path=memory)
    warm = again.drive([node, script, "warm", tmp_path], kind, url, env=env)
    assert warm["started"][0]["result"] == "resumed"
    assert [one.identity is None for one in again.devices.values()] == [True, False, False]
    record_property("warm_start_s", warm["started"][0]["s"])
    print(json.dumps(warm["started"][0]), json.dumps(warm["switched"][0]))


def test_herdsman_restores_its_network_into_a_new_stick(herdsman, stage, tmp_path):
    """The stick is replaced: network, keys and devices come out of the host's backup."""
    node, module = herdsman
    env = {"NODE_PATH": str(module.parent)}
    script = HERE / "node" / "herdsman.js"
    url = "tcp://127.0.0.1:{}"
    bench = stage()
    bench.drive([node, script, "full", tmp_path], url=url, env=env)
    before, plug = bench.coordinator.info, next(iter(bench.devices.values()))
    # The memory is as from the factory; the devices are still in the old network.
    bench.coordinator.lose_configuration()
    warm = bench.drive([node, script, "warm", tmp_path], url=url, env=env)
    assert warm["started"][0]["result"] == "restored"
    assert bench.coordinator.info.identity == before.identity
    assert plug.identity is None  # it was reached, switched, and told to leave


def test_zigpys_tools(zigpy_python, stage, tmp_path):
    """Backup, scans, wiping and restoring with the tools that come with zigpy-znp."""
    bench = stage()
    bench.drive(zigpy(zigpy_python, "full", tmp_path))

    def tool(name, *arguments):
        bench.drive([zigpy_python, "-m", f"zigpy_znp.tools.{name}", *arguments])

    first, second = tmp_path / "first.json", tmp_path / "second.json"
    tool("network_backup", "-o", first)
    tool("energy_scan", "--num-scans", "1")
    tool("network_scan", "--num_scans", "1")
    tool("nvram_read", "-o", tmp_path / "memory.json")
    tool("nvram_reset")
    assert bench.coordinator.info is None
    tool("network_restore", "-i", first)
    tool("network_backup", "-o", second)
    before, after = (json.loads(path.read_text()) for path in (first, second))
    assert len(before["devices"]) == 3
    assert after["devices"] == before["devices"]
    assert after["network_key"]["key"] == before["network_key"]["key"]
    assert after["network_key"]["frame_counter"] > before["network_key"]["frame_counter"]
