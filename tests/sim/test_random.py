"""Named generators: the seed and the name say everything."""

from __future__ import annotations

import hashlib

import numpy as np

from wattbench.sim.random import generator, key


def test_key_is_a_hash_of_seed_and_names() -> None:
    digest = hashlib.blake2b(b"12/pv/clouds", digest_size=8).digest()
    assert key(12, "pv", "clouds") == int.from_bytes(digest, "little")


def test_draws_are_those_of_philox() -> None:
    # Philox 4x64-10 (Salmon et al., SC 2011) for that key and counter 1, worked out apart.
    assert key(1, "pv", "clouds") == 8819790774638428065
    raw = generator(1, "pv", "clouds").bit_generator.random_raw(4)
    assert [int(word) for word in raw] == [
        14912529012482981019,
        2214506200376275121,
        1724601673123029700,
        18080796689505558613,
    ]


def test_same_name_same_draws() -> None:
    first, second = generator(3, "household"), generator(3, "household")
    assert first.random(100).tobytes() == second.random(100).tobytes()


def test_other_seed_or_name_gives_unrelated_draws() -> None:
    base = generator(3, "household").random(10_000)
    for other in (
        generator(4, "household"),
        generator(3, "pv"),
        generator(3, "household", "a"),
        generator(33, "household"),
        generator(-3, "household"),
    ):
        assert abs(np.corrcoef(base, other.random(10_000))[0, 1]) < 0.05


def test_drawing_from_one_does_not_move_another() -> None:
    expected = generator(5, "b").random(5)
    generator(5, "a").random(1000)
    np.testing.assert_array_equal(generator(5, "b").random(5), expected)
