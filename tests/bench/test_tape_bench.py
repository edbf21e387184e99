"""Speed of the tape: what a frame costs the loop, writing, reading, telling its meaning."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.hil.modbus import framing
from wattbench.hil.tape.decode import Decoder
from wattbench.hil.tape.model import TapeBus, TapeDevice, TapeHeader
from wattbench.hil.tape.reader import TapeReader
from wattbench.hil.tape.writer import Tape
from wattbench.scenarios.devices import load_device_profile

PROFILE = "eastron_sdm630"
HEADER = TapeHeader(
    0, "virtual", (TapeBus("lan", "modbus-tcp"),), (TapeDevice("meter", "lan", PROFILE, 1),)
)
REQUEST = framing.tcp_frame(1, 1, bytes((4, 0, 0, 0, 54)))
ANSWER = framing.tcp_frame(1, 1, bytes((4, 108)) + bytes(108))
PAIRS = 5000


def _record(path: Path, limit: int) -> Tape:
    tape = Tape(path, HEADER, buffer_frames=limit)
    for k in range(PAIRS):
        tape.frame("lan", "request", 1000 * k, REQUEST)
        tape.frame("lan", "answer", 1000 * k + 500, ANSWER)
    return tape


@pytest.mark.parametrize("what", ["in the loop", "with writing"])
def test_writing(benchmark, tmp_path: Path, what: str):
    """A frame in the loop is an entry in a list; encoding and writing come in batches."""
    limit = 1 << 30 if what == "in the loop" else 512

    def run():
        return _record(tmp_path / "tape.pcapng", limit)

    for tape in [benchmark.pedantic(run, rounds=10, warmup_rounds=1)]:
        tape.close()
    benchmark.extra_info["frames_per_s"] = 2 * PAIRS / benchmark.stats["median"]


def test_reading_with_meaning(benchmark, tmp_path: Path):
    """Every frame decoded, with values by the device's profile."""
    path = tmp_path / "tape.pcapng"
    _record(path, 512).close()
    profiles = {PROFILE: load_device_profile(PROFILE)}

    def run():
        reader = TapeReader(path)
        decoder = Decoder(reader.header, profiles)
        return sum(bool(decoder.meaning(frame).text) for frame in reader)

    assert benchmark.pedantic(run, rounds=3) == 2 * PAIRS
    benchmark.extra_info["frames_per_s"] = 2 * PAIRS / benchmark.stats["median"]
