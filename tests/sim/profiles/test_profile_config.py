"""Configuration of profiles."""

import pytest
from pydantic import ValidationError

from wattbench.sim.profiles.config import ProfilesConfig


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"site": {"time_zone": "Europe/Belin"}}, "nearest: Europe/Berlin"),
        ({"site": {"time_zone": "../etc/passwd"}}, "no IANA time zone"),
        ({"site": {"latitude_deg": 91}}, "less than or equal to 90"),
        ({"pv": {"kind": "generated", "sky": "stormy"}}, "partly_cloudy"),
        ({"pv": {"kind": "moon"}}, "'generated', 'file'"),
        ({"pv": {"kind": "file", "path": "x.csv"}}, "column"),
        ({"household": {"kind": "generated", "homes": 0}}, "greater than or equal to 1"),
        ({"household": {"kind": "generated", "daily_energy_wh": "10 kW"}}, "wrong unit 'kW'"),
        ({"household": {"kind": "file", "path": "x.csv"}}, "column_a"),
        (
            {"household": {"kind": "file", "path": "x.csv", "column": "p", "column_a": "q"}},
            "either column",
        ),
        (
            {"pv": {"kind": "file", "path": "x", "column": "p", "log": {"decimal": ","}}},
            "is the separator ';'?",
        ),
    ],
)
def test_mistakes_are_named(tree: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ProfilesConfig.model_validate(tree)


def test_texts_with_units_are_read() -> None:
    config = ProfilesConfig.model_validate(
        {"household": {"kind": "generated", "daily_energy_wh": "10 kWh"}}
    )
    assert config.household.kind == "generated"
    assert config.household.daily_energy_wh == 10_000
