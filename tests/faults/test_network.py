"""The setting ``network``: its forms, its values and its messages."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from pytest_nos_stress import SettingError
from pytest_nos_stress.faults.network import PROFILES, Network, Partition

EVERY_PARAMETER = {
    "latency": "20ms",
    "p99": "90ms",
    "distribution": "pareto",
    "correlation": 0.5,
    "loss": "2%",
    "burst": 4,
    "bandwidth": "10Mbit/s",
    "message_size": 1000,
    "timeout": "3s",
    "partitions": [(1, 2), {"from": "3s", "to": 4.5, "agents": ["A", "B"]}],
}


def made(value: Any) -> Network:
    network = Network.of(value)
    assert network is not None
    return network


def test_none_is_no_network() -> None:
    assert Network.of(None) is None


def test_the_profiles_have_the_published_medians_and_p99s_of_round_trips() -> None:
    assert {name: (network.latency, network.p99) for name, network in PROFILES.items()} == {
        "colo": (50e-6, 150e-6),
        "same-region": (0.015, 0.060),
        "cross-continent": (0.250, 0.800),
        "retail": (0.080, 0.400),
    }


def test_a_profile_is_selected_by_name() -> None:
    assert made("retail") == PROFILES["retail"]


def test_parameters_may_start_from_a_profile() -> None:
    network = made({"profile": "retail", "loss": 0.1})
    assert network.loss == 0.1
    assert (network.latency, network.bandwidth) == (PROFILES["retail"].latency, PROFILES["retail"].bandwidth)


def test_a_profiles_spread_keeps_its_proportion_to_another_latency() -> None:
    network = made({"profile": "retail", "latency": "20ms"})
    assert [network.latency, network.p99] == pytest.approx([0.020, 0.100])


def test_a_profiles_spread_gives_way_to_jitter_or_to_none() -> None:
    assert made({"profile": "retail", "jitter": "5ms"}).p99 is None
    assert made({"profile": "retail", "distribution": "constant"}).p99 is None


def test_jitter_without_a_distribution_means_a_normal_one() -> None:
    assert made({"latency": "80ms", "jitter": "10ms"}).distribution == "normal"


def test_text_can_hold_all_parameters() -> None:
    assert made("retail, loss=2%, latency=20ms") == made({"profile": "retail", "loss": 0.02, "latency": 0.02})
    assert made("latency=80ms,bandwidth=10Mbit/s") == Network(latency=0.08, bandwidth=1_250_000)


@pytest.mark.parametrize(
    ("text", "bytes_per_second"),
    [
        ("10Mbit/s", 1_250_000),
        ("10 Mbps", 1_250_000),
        ("200KB/s", 200_000),
        ("200kB/s", 200_000),
        ("1.5GB/s", 1.5e9),
        ("64 bit/s", 8),
        ("500B/s", 500),
        ("5e3", 5_000),
        (4096, 4096),
    ],
)
def test_bandwidths_are_bytes_per_second_or_text_with_a_unit(text: object, bytes_per_second: float) -> None:
    assert made({"bandwidth": text}).bandwidth == pytest.approx(bytes_per_second)


@pytest.mark.parametrize("value", [*PROFILES, EVERY_PARAMETER, {}, {"latency": 1, "jitter": 0.5}])
def test_a_network_survives_builtin_types_json_pickling_and_pasting(value: Any) -> None:
    network = made(value)
    assert made(network) is network
    assert made(network.to_dict()) == network
    assert made(json.loads(json.dumps(network.to_dict()))) == network
    assert pickle.loads(pickle.dumps(network)) == network
    assert eval(repr(network), {"Network": Network}) == network
    assert len({network, made(value)}) == 1


def test_partitions_are_for_all_agents_or_for_those_named() -> None:
    assert made(EVERY_PARAMETER).partitions == (Partition(1, 2), Partition(3, 4.5, ("A", "B")))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("dialup", "network='dialup': no such profile; allowed: colo, same-region, cross-continent, retail"),
        ({"profile": 3}, "network=3: no such profile; allowed: colo, same-region, cross-continent, retail"),
        ({"los": 0.1}, "network: los: no such parameter; did you mean 'loss'?"),
        ({"profil": "retail"}, "network: profil: no such parameter; did you mean 'profile'?"),
        ({"loss": 1.5}, "network: loss=1.5: must be a share from 0 to 1, or text such as '2%'"),
        ({"loss": float("nan")}, "network: loss=nan: must be a share from 0 to 1, or text such as '2%'"),
        ({"burst": 0}, "network: burst=0: must be a number of messages from 1 up"),
        ({"correlation": 1}, "network: correlation=1: must be a number from 0 to 0.99"),
        ({"timeout": 0}, "network: timeout=0: must be seconds above 0, or text with a unit such as '30s'"),
        ({"latency": -1}, "network: latency=-1: must be seconds from 0 up, or text with a unit such as '50ms'"),
        (
            {"bandwidth": "10Mb"},
            "network: bandwidth='10Mb': must be bytes per second above 0, or text such as '10Mbit/s' or '200KB/s'",
        ),
        ({"message_size": 0}, "network: message_size=0: must be a whole number of bytes from 1 up"),
        (
            {"distribution": "cauchy"},
            "network: distribution='cauchy': must be lognormal, uniform, normal, pareto, paretonormal or constant",
        ),
        ({"latency": 2, "p99": 1}, "network: p99=1: must not be below latency=2"),
        ({"p99": 1}, "network: p99=1: distribution='lognormal' needs latency above 0"),
        ({"latency": 1, "p99": 2, "jitter": 1}, "network: p99=2 and jitter=1: give one or the other"),
        (
            {"latency": 1, "jitter": 1, "distribution": "lognormal"},
            "network: jitter=1: distribution='lognormal' takes p99 instead of jitter",
        ),
        (
            {"latency": 1, "p99": 2, "distribution": "constant"},
            "network: p99=2: must be omitted with distribution='constant', which has no spread",
        ),
        (5, "network=5: must be a profile's name, parameters or a Network"),
        ("retail,slow", "network='slow': must be name=value, such as loss=2%"),
    ],
)
def test_a_bad_network_is_refused_in_one_line(value: Any, message: str) -> None:
    with pytest.raises(SettingError) as raised:
        Network.of(value)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    "partitions",
    [
        "now",
        3,
        [3],
        [(2, 1)],
        [(1, 1)],
        [(-1, 1)],
        {"from": 1, "to": 2},
        [{"from": 1}],
        [(1, 2, "A")],
        [(1, 2, [])],
    ],
)
def test_bad_partitions_are_refused_in_one_line(partitions: Any) -> None:
    with pytest.raises(SettingError, match=r"^network: partitions=.*: must be a list of \(from, to\) in seconds"):
        Network(partitions=partitions)


def test_text_that_is_not_a_number_is_refused_in_one_line_for_every_parameter() -> None:
    for name in EVERY_PARAMETER:
        with pytest.raises(SettingError, match=rf"^network: {name}='much': must be [^\n]*$"):
            Network.of({name: "much"})
