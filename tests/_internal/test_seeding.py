"""Keys of random streams stay those of release 0.1.0, because every seed that users noted depends on them."""

from __future__ import annotations

import random

import pytest

from pytest_nos_stress._internal.seeding import derived_rng, derived_uuid, drawn_seed, phase_of, stream_key


@pytest.mark.parametrize(
    ("parts", "first"),
    [
        ((7, "Ann", 3), 0.7737918028280875),
        (("client", 7, 1, "Ann", 3, 0), 0.5041479681599204),
        (("proxy", 7, "proxy 0 1", 2), 0.5741404217969485),
        (("feed", 7, "\udc80", 0), 0.9866209760148286),
    ],
)
def test_a_generator_draws_the_numbers_of_release_0_1_0(parts: tuple[object, ...], first: float) -> None:
    assert derived_rng(*parts).random() == first


@pytest.mark.parametrize(
    ("key", "recorded"),
    [
        (stream_key(7, "Ann"), 0xC18431094D4BC3E018B027CB23BB7C63),
        (stream_key(-1, "Änn\udc80"), 0xEB80BA3E0ED4A02FFFE0FF596D5BA91D),
        (stream_key(7, "Ann", "attempt", 2), 0x18C6B83F8386C2EB10768D2EA3B42F54),
        (stream_key(7, "Ann", "burst", "overload"), 0x437283AE5ED2DA11B6D4EC5518BF9E1C),
        (stream_key(7, phase_of("Ann", "recovering"), "network"), 0x894D4987242B52EB8F44D30D2B08A1E2),
        (stream_key(7, "p 0", "toxic", "slow"), 0x1E19E039026EFD13B6059463F5661D10),
    ],
)
def test_a_key_is_that_of_release_0_1_0(key: int, recorded: int) -> None:
    assert key == recorded


def test_an_id_is_that_of_release_0_1_0() -> None:
    assert derived_uuid(7, "Ann\udc80", 3) == "43c07ed1-1c9b-56ec-9db8-4a26d03602da"


def test_different_parts_give_different_streams() -> None:
    parts = [
        (7, "Ann", 1),
        (7, "Ann", 2),
        (8, "Ann", 1),
        (7, "Bob", 1),
        ("feed", 7, "Ann", 1),
        (
            7,
            "Ann1",
        ),
    ]
    assert len({derived_rng(*stream).random() for stream in parts}) == len(parts)
    assert len({derived_uuid(*stream) for stream in parts}) == len(parts)
    keys = {
        stream_key(7, "Ann"),
        stream_key(7, "Ann", "rank"),
        stream_key(7, "Ann", "attempt", 1),
        stream_key(8, "Ann"),
    }
    assert len(keys) == 4


def test_a_drawn_seed_does_not_depend_on_what_a_test_has_made_of_random(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "SystemRandom", None)
    monkeypatch.setattr("os.urandom", lambda size: bytes(size))
    seeds = set()
    for _ in range(10):
        random.seed(1)
        seeds.add(drawn_seed())
    assert len(seeds) > 1
    assert all(0 <= seed < 1 << 32 for seed in seeds)
