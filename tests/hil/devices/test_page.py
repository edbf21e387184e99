"""The page on device profiles: its examples are profiles."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from wattbench.hil.devices.model import profile_names
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.scenarios.devices import load_device_profile

from .conftest import Bench, S, refusal

PAGE = Path(__file__).resolve().parents[3] / "docs" / "concepts" / "device-profiles.md"
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_the_example_is_a_device(tmp_path: Path) -> None:
    path = tmp_path / "rod.yaml"
    path.write_text(EXAMPLES[0], encoding="utf-8")
    profile = load_device_profile(path)
    bench = Bench(profile, StandaloneSource(profile))
    assert bench.read("serial") == "R-0001"
    bench.write("power_setpoint_w", 1010)
    # 1.5 s of dead time, 4 s for 2000 W, in steps of 50 W
    assert [bench.at(t).read("power_w") for t in (1.4, 2.5, 10)] == [0.0, 500.0, 1000.0]
    assert bench.at(90).read("power_w") == 0.0
    assert refusal(bench.write, "timeout", 601) == 3
    assert bench.device.hold_us(100 * S, 3) == 40_000
    assert bench.device.hold_us(100 * S + 50_000, 3) is None


def test_the_sunspec_example_is_one(tmp_path: Path) -> None:
    path = tmp_path / "inverter.yaml"
    head = (
        "kind: inverter\nidentity: {manufacturer: M, model: N}\nratings: {power_w: 8 kW}\nmodbus:\n"
    )
    path.write_text(head + textwrap.indent(EXAMPLES[1], "  "), encoding="utf-8")
    bench = Bench(load_device_profile(path))
    bench.write("power_limit_w", 4000)
    bench.write("123.WMaxLim_Ena", 1)
    assert bench.last == ("power_limit_w", 4000.0)


def test_the_page_lists_every_profile() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert not [name for name in profile_names() if f"`{name}`" not in text]
