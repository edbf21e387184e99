"""The library of scenarios: each says what it is for, and holds what it promises.

The slow part is the audit: degenerate and broken policies fail, the passing one passes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wattbench.commands.auditing import audit
from wattbench.evaluation.metrics import measure
from wattbench.evaluation.record import read_record
from wattbench.hil.bench import Bench
from wattbench.scenarios.library import names
from wattbench.scenarios.load import load_scenario

LIBRARY = names()
#: The demonstration lasts a day; three seeds of it take as long as ten of an hour.
SEEDS = {"demo": 3}
DEGENERATE = {"zero", "always_on", "frozen", "random", "dither", "crash_early"}


def test_library_is_as_large_as_promised() -> None:
    kinds = [load_scenario(path).kind for path in LIBRARY.values()]
    assert kinds.count("discriminating") >= 6
    assert kinds.count("robustness") >= 6


@pytest.mark.parametrize("name", LIBRARY)
def test_scenario_begins_with_what_it_is_for_and_its_kind(name: str) -> None:
    text = LIBRARY[name].read_text()
    comment = re.match(r"(?:#.*\n)+", text)
    assert comment is not None
    scenario = load_scenario(LIBRARY[name])
    assert scenario.kind in comment.group().lower()
    assert scenario.title
    assert scenario.audit is not None
    limited = {limit.metric.partition("@")[0] for limit in scenario.limits}
    assert {"added_import_energy", "safety_violations"} <= limited
    if scenario.kind == "discriminating":
        assert limited & {"unserved_energy", "delivered_heat"}


def test_the_same_seed_gives_the_same_trace(tmp_path: Path) -> None:
    scenario = load_scenario(LIBRARY["export/weak_mesh"])
    clock = scenario.clock.model_copy(update={"duration_s": 300.0})
    policies = scenario.policies[:1]
    short = scenario.model_copy(update={"clock": clock, "policies": policies, "baselines": ()})
    hashes = []
    for seed in (1, 1, 2):
        once = short.model_copy(update={"seeds": (seed,)})
        (result,) = Bench(once, tmp_path, measure=measure).run()
        hashes.append(read_record(result.folder).header.trace_sha256)
    assert hashes[0] == hashes[1]
    assert hashes[0] != hashes[2]


@pytest.mark.slow
@pytest.mark.parametrize("name", LIBRARY)
def test_scenario_holds_what_it_promises(name: str) -> None:
    (result,) = audit([LIBRARY[name]], seeds=SEEDS.get(name.rpartition("/")[2]), jobs=2)
    broken = [finding.text for finding in result.findings if not finding.holds]
    assert result.holds, broken
    tried = {tally.policy: tally for tally in result.tallies}
    assert set(tried) >= DEGENERATE
    assert all(tried[policy].passed == 0 for policy in DEGENERATE)
