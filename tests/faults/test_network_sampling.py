"""Draws of a network: they have the promised figures, and the same seed gives the same draws.

The statistical tests have fixed seeds; their bounds are about four standard errors of the measured figure.
"""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import groupby
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress.faults.network import PROFILES, Network
from pytest_nos_stress.faults.network_sampling import NetworkSampler, OneWayDelays

ROUGH = Network(latency=0.08, p99=0.4, correlation=0.9, loss=0.1, burst=4)
SPREAD = ("uniform", "normal", "pareto", "paretonormal")


def round_trips(network: Network, count: int = 200_000, agent: str = "A") -> npt.NDArray[np.float64]:
    delays = NetworkSampler(network, 7, agent).block(count)
    return delays.request + delays.reply


def runs_of_loss(lost: npt.NDArray[np.bool_]) -> list[int]:
    return [len(list(run)) for is_lost, run in groupby(lost.tolist()) if is_lost]


def joined(blocks: list[OneWayDelays]) -> list[list[float]]:
    return [np.concatenate(column).tolist() for column in zip(*blocks, strict=True)]


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(0, 400), min_size=1, max_size=12),
    network=st.sampled_from(
        [ROUGH, *PROFILES.values(), *(Network(latency=1, p99=2, distribution=name) for name in SPREAD)]
    ),
)
def test_draws_do_not_depend_on_the_size_of_a_block(sizes: list[int], network: Network) -> None:
    draws = NetworkSampler(network, 7, "A")
    in_pieces = joined([draws.block(size) for size in sizes])
    at_once = joined([NetworkSampler(network, 7, "A").block(sum(sizes))])
    assert in_pieces == at_once


def test_seed_and_agent_decide_the_draws() -> None:
    def first(seed: int, agent: str) -> list[list[float]]:
        return joined([NetworkSampler(ROUGH, seed, agent).block(20)])

    assert first(1, "A") == first(1, "A")
    assert first(1, "A") != first(2, "A")
    assert first(1, "A") != first(1, "B")


def test_draws_are_the_same_in_every_process_and_stay_so() -> None:
    code = (
        "from pytest_nos_stress.faults.network import Network\n"
        "from pytest_nos_stress.faults.network_sampling import NetworkSampler\n"
        "delays = NetworkSampler(Network.of({'profile': 'retail', 'loss': 0.3}), 1, 'A').block(6)\n"
        "print(*(round(1e9 * delay) for delay in delays.request), *delays.lost)"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.strip()
        for hash_seed in ("1", "2")
    }
    assert outputs == {"5549773 11164978 41975709 27640387 53197377 59529377 1 1 1 1 1 0"}


@pytest.mark.parametrize("name", PROFILES)
def test_a_profiles_round_trips_have_its_median_and_p99(name: str) -> None:
    network = PROFILES[name]
    trips = round_trips(network)
    assert np.median(trips) == pytest.approx(network.latency, rel=0.02)
    assert np.percentile(trips, 99) == pytest.approx(network.p99, rel=0.05)


@pytest.mark.parametrize("distribution", SPREAD)
def test_every_distribution_has_the_median_and_p99_that_are_set(distribution: str) -> None:
    trips = round_trips(Network(latency=0.02, p99=0.05, distribution=distribution))
    assert np.median(trips) == pytest.approx(0.02, rel=0.02)
    assert np.percentile(trips, 99) == pytest.approx(0.05, rel=0.03)
    assert trips.min() >= 0


def test_jitter_is_half_the_width_of_a_uniform_delay() -> None:
    trips = round_trips(Network(latency=0.1, jitter=0.02, distribution="uniform"))
    assert (trips.min(), trips.max()) == (pytest.approx(0.08, abs=1e-4), pytest.approx(0.12, abs=1e-4))
    assert trips.std() == pytest.approx(0.02 / 3**0.5, rel=0.01)


@pytest.mark.parametrize("distribution", ["normal", "pareto"])
def test_jitter_is_the_standard_deviation_of_other_delays(distribution: str) -> None:
    trips = round_trips(Network(latency=1.0, jitter=0.02, distribution=distribution))
    # A Pareto delay of shape 3 has no fourth moment, so its standard deviation settles slowly.
    assert trips.std() == pytest.approx(0.02, rel=0.02 if distribution == "normal" else 0.12)


def test_a_pareto_delay_has_the_heavier_tail() -> None:
    tails = [
        np.percentile(round_trips(Network(latency=1.0, jitter=0.1, distribution=name)), 99.9)
        for name in ("normal", "paretonormal", "pareto")
    ]
    assert tails == sorted(tails)


def test_a_constant_delay_and_one_without_spread_take_the_median() -> None:
    for network in (Network(latency=0.1, distribution="constant"), Network(latency=0.1), Network()):
        assert np.abs(round_trips(network, 1000) - network.latency).max() < 1e-12


def test_both_delays_take_part_of_a_round_trip() -> None:
    delays = NetworkSampler(PROFILES["retail"], 7, "A").block(20_000)
    parts = delays.request / (delays.request + delays.reply)
    assert 0.25 <= parts.min() < 0.26
    assert 0.74 < parts.max() <= 0.75
    assert parts.mean() == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9, 0.99])
def test_successive_delays_correlate_as_set_from_the_first_on(correlation: float) -> None:
    network = Network(latency=1.0, jitter=0.05, distribution="normal", correlation=correlation)
    trips = round_trips(network)
    measured = float(np.corrcoef(trips[1:], trips[:-1])[0, 1])
    assert measured == pytest.approx(correlation, abs=0.01)
    firsts = [round_trips(network, 1, f"agent {number}")[0] for number in range(400)]
    assert np.std(firsts) == pytest.approx(0.05, rel=0.15)


@pytest.mark.parametrize(("loss", "burst"), [(0.01, 5), (0.1, 4), (0.5, 20), (0.3, 1), (0.9, 1)])
def test_each_direction_loses_the_set_share_in_runs_of_the_set_length(loss: float, burst: float) -> None:
    lost = NetworkSampler(Network(loss=loss, burst=burst), 7, "A").block(400_000).lost
    requests = lost == 1
    assert requests.mean() == pytest.approx(loss, rel=0.12)
    # A reply is only sent where the request arrived.
    assert (lost[~requests] == 2).mean() == pytest.approx(loss, rel=0.12)
    shortest = 1 / (1 - loss)
    assert np.mean(runs_of_loss(requests)) == pytest.approx(max(burst, shortest), rel=0.08)


def test_nothing_or_everything_can_be_lost() -> None:
    assert set(NetworkSampler(Network(loss=0), 7, "A").block(1000).lost) == {0}
    assert set(NetworkSampler(Network(loss=1, burst=5), 7, "A").block(1000).lost) == {1}


def test_another_loss_changes_no_delay() -> None:
    calm, lossy = Network(latency=1, p99=2), Network(latency=1, p99=2, loss=0.3)
    assert round_trips(calm, 100).tolist() == round_trips(lossy, 100).tolist()


def test_normal_draws_are_as_exact_as_their_source_says() -> None:
    from pytest_nos_stress.faults.network_sampling import _normal

    uniform = np.concatenate((np.linspace(0.0005, 0.9995, 2000), 10.0 ** np.arange(-15, -3)))
    exact = np.array([NormalDist().inv_cdf(share) for share in uniform.tolist()])
    assert np.abs(_normal(uniform) / np.where(exact == 0, 1, exact) - 1)[exact != 0].max() < 2e-9
