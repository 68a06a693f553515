"""The settings ``missing_data`` and ``faults``: names, weights, parameters, and messages for bad values."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pytest_nos_stress import Scenario, SettingError
from pytest_nos_stress.faults.catalogue import PROFILES, call_faults, data_faults
from pytest_nos_stress.faults.settings import drawn_call_faults, planned_states

KINDS_OF_DATA = tuple(data_faults())
FAULTS_OF_CALLS = tuple(call_faults())


def shares(scenario: Scenario) -> dict[str | None, float]:
    """Return the probability of each drawn fault."""
    probabilities: dict[str | None, float] = {}
    for variant in scenario.fault_mix.variants:
        if variant.probability:
            name = variant.reported_as
            probabilities[name] = probabilities.get(name, 0.0) + variant.probability
    return probabilities


@pytest.mark.parametrize("name", KINDS_OF_DATA)
def test_every_kind_of_missing_data_may_stand_alone(name: str) -> None:
    scenario = Scenario(missing_data=name, missing_data_prob=0.3, failure_prob=0)
    fault = "missing_data" if name == "unavailable" else name
    assert shares(scenario) == {fault: pytest.approx(0.3)}


@pytest.mark.parametrize("name", FAULTS_OF_CALLS)
def test_every_fault_may_stand_alone(name: str) -> None:
    scenario = Scenario(faults={name: 1}, missing_data_prob=0, failure_prob=0.3)
    assert shares(scenario) == {name: pytest.approx(0.3)}


def test_weights_divide_the_probability_and_need_no_scale() -> None:
    small = Scenario(missing_data={"stale": 3, "gap": 1}, missing_data_prob=0.2, failure_prob=0)
    large = Scenario(missing_data={"stale": 300, "gap": 100.0}, missing_data_prob=0.2, failure_prob=0)
    assert shares(small) == shares(large) == {"stale": pytest.approx(0.15), "gap": pytest.approx(0.05)}


def test_very_large_weights_keep_their_proportions() -> None:
    scenario = Scenario(missing_data={"stale": 1e308, "gap": 1e308}, missing_data_prob=0.2, failure_prob=0)
    assert shares(scenario) == {"stale": pytest.approx(0.1), "gap": pytest.approx(0.1)}


def test_a_fault_with_parameters_has_the_weight_1_or_its_own() -> None:
    scenario = Scenario(
        faults={"reject": {"status": 422}, "clock": {"weight": 3}}, missing_data_prob=0, failure_prob=0.4
    )
    assert shares(scenario) == {"reject": pytest.approx(0.1), "clock": pytest.approx(0.3)}


def test_a_weight_of_0_leaves_a_fault_out() -> None:
    assert "reject" not in shares(Scenario(faults={"reject": 0, "clock": 1}))


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_can_be_selected_or_changed(profile: str) -> None:
    named = shares(Scenario(faults=profile))
    assert named == shares(Scenario(faults={"profile": profile}))
    assert sum(named.values()) == pytest.approx(0.2 + 0.1)


def test_one_fault_of_a_profile_may_be_left_out() -> None:
    drawn = shares(Scenario(faults={"profile": "binance", "reject": 0}))
    assert "reject" not in drawn
    assert "unknown_state" in drawn


def test_one_fault_of_a_profile_may_be_changed() -> None:
    drawn = shares(Scenario(faults={"profile": "alpaca", "reject": 1_000_000}, failure_prob=0.5))
    assert drawn["reject"] == pytest.approx(0.5, rel=0.01)


def test_a_limit_of_a_profile_can_be_switched_off() -> None:
    assert set(planned_states(Scenario(faults="ib").faults)) == {"rate_limit", "maintenance"}
    faults = {"profile": "ib", "maintenance": False}
    assert set(planned_states(Scenario(faults=faults).faults)) == {"rate_limit"}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"missing_data": "fog"}, ["missing_data", "no such kind 'fog'", *KINDS_OF_DATA]),
        ({"missing_data": {"stael": 1}}, ["no such kind 'stael'", "did you mean 'stale'?"]),
        ({"missing_data": {}}, ["there are no kinds"]),
        ({"missing_data": 5}, ["missing_data=5", "names of kinds"]),
        ({"missing_data": ["stale"]}, ["missing_data=['stale']", "names of kinds"]),
        ({"missing_data": {1: 1}}, ["missing_data={1: 1}", "names of kinds"]),
        ({"missing_data": {"stale": -1}}, ["the weight of 'stale' is -1", "from 0 up"]),
        ({"missing_data": {"stale": "3"}}, ["the weight of 'stale' is '3'"]),
        ({"missing_data": {"stale": True}}, ["the weight of 'stale' is True"]),
        ({"missing_data": {"stale": float("nan")}}, ["the weight of 'stale' is nan"]),
        ({"missing_data": {"stale": float("inf")}}, ["the weight of 'stale' is inf"]),
        ({"missing_data": {"stale": None}}, ["the weight of 'stale' is None"]),
        ({"missing_data": {"stale": 0, "gap": 0}}, ["all weights are 0"]),
        ({"missing_data": {"stale": {"weight": 0}}}, ["all weights are 0"]),
        ({"missing_data": {"stale": {"old": 5}}}, ["'stale' has no parameter 'old'", "its parameters: age"]),
        (
            {"missing_data": {"unavailable": {"age": 5}}},
            ["'unavailable' has no parameter 'age'", "its parameters: none"],
        ),
        ({"missing_data": {"stale": {"age": -5}}}, ["'age' of 'stale' is -5", "a pair of them in order"]),
        ({"missing_data": {"stale": {"age": (9, 5)}}}, ["'age' of 'stale' is (9, 5)", "in order"]),
        ({"missing_data": {"stale": {"age": (1, 2, 3)}}}, ["'age' of 'stale' is (1, 2, 3)"]),
        ({"missing_data": {"stale": {"age": "soon"}}}, ["'age' of 'stale' is 'soon'"]),
        ({"missing_data": {"missing_bar": {"share": 1.5}}}, ["'share' of 'missing_bar' is 1.5", "from 0 to 1"]),
        ({"missing_data": {"silence": {"median": -1}}}, ["'median' of 'silence' is -1", "from 0 up"]),
        ({"faults": "binanse"}, ["faults", "no such profile 'binanse'", "'binance'", "binance, alpaca, ib"]),
        ({"faults": {"profile": "ftx"}}, ["no such profile 'ftx'", "binance, alpaca, ib"]),
        ({"faults": {"explode": 1}}, ["no such kind 'explode'", *FAULTS_OF_CALLS, "rate_limit", "maintenance"]),
        ({"faults": {}}, ["there are no faults"]),
        ({"faults": 5}, ["faults=5", "a broker's name"]),
        ({"faults": {"reject": -0.1}}, ["the weight of 'reject' is -0.1"]),
        ({"faults": {"reject": 0, "clock": 0}}, ["all weights are 0"]),
        ({"faults": {"reject": {"http": 403}}}, ["'reject' has no parameter 'http'", "status, code"]),
        ({"faults": {"unknown_state": {"executed": 2}}}, ["'executed' of 'unknown_state' is 2", "from 0 to 1"]),
        ({"faults": {"overload": {"burst": 0.5}}}, ["'burst' of 'overload' is 0.5", "from 1 up"]),
        ({"faults": {"rate_limit": 5}}, ["'rate_limit' is 5", "True, False or a mapping of limit, per"]),
        ({"faults": {"rate_limit": {"limit": 0}}}, ["'limit' of 'rate_limit' is 0", "from 1 up"]),
        ({"faults": {"rate_limit": {"per": 0}}}, ["'per' of 'rate_limit' is 0"]),
        ({"faults": {"maintenance": {"until": 9}}}, ["'maintenance' has no parameter 'until'", "at, lasts"]),
        ({"faults": {"reject": {"code": b"x"}}}, ["'code' of 'reject'"]),
        ({"faults": {"reject": {"status": float("nan")}}}, ["'status' of 'reject'"]),
        ({"faults": {"late_status": {"delay": 1e12}}}, ["'delay' of 'late_status'"]),
        (
            {"faults": "binance", "failure_mode": "lost_reply"},
            ["failure_mode='lost_reply'", "faults", "one or the other"],
        ),
    ],
    ids=str,
)
def test_a_bad_value_is_refused_in_one_line_with_the_allowed_values(
    settings: dict[str, Any], words: list[str]
) -> None:
    with pytest.raises(SettingError) as caught:
        Scenario(**settings)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"missing_data": {"stale": {"age": "500ms"}}},
        {"missing_data": {"stale": {"age": ("1s", "2m")}}},
        {"faults": {"late_execution": {"timeout": "2s", "delay": ["1s", 3]}}},
    ],
    ids=str,
)
def test_times_may_be_text_with_a_unit(settings: dict[str, Any]) -> None:
    variants = Scenario(**settings).fault_mix.variants
    (fault,) = [variant for variant in variants if variant.probability and variant.parameters]
    values = [value if isinstance(value, tuple) else (value,) for value in fault.parameters.values()]
    assert all(isinstance(number, float) for numbers in values for number in numbers)


@pytest.mark.parametrize(
    "faults",
    [{"rate_limit": {"limit": "5", "per": "1m", "ban": "2m"}}, {"maintenance": {"at": "5s", "lasts": "1s"}}],
)
def test_times_of_limits_may_be_text_with_a_unit_too(faults: dict[str, Any]) -> None:
    (parameters,) = planned_states(Scenario(faults=faults).faults).values()
    assert [name for name, value in parameters.items() if isinstance(value, str)] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"missing_data": {"stale": {"age": [5, 9]}, "gap": 2}},
        {"faults": {"profile": "ib", "reject": {"code": "R-1", "weight": 2}, "rate_limit": False}},
        {"faults": "binance"},
    ],
    ids=str,
)
def test_repr_and_json_make_an_equal_scenario(settings: dict[str, Any]) -> None:
    scenario = Scenario(**settings)
    again = Scenario.from_json(scenario.to_json())
    assert again == scenario == eval(repr(scenario), {"Scenario": Scenario})
    assert hash(again) == hash(scenario)
    assert again.fault_mix.variants == scenario.fault_mix.variants
    assert json.loads(scenario.to_json())["version"] == 1


def test_changing_the_users_mapping_afterwards_has_no_effect() -> None:
    kinds = {"stale": {"age": [5, 9]}}
    scenario = Scenario(missing_data=kinds)
    kinds["stale"]["age"].append(7)
    kinds["gap"] = {}
    assert scenario == Scenario(missing_data={"stale": {"age": (5, 9)}})


def test_a_changed_parameter_keeps_the_other_parameters_of_a_profiles_fault() -> None:
    faults = Scenario(faults={"profile": "ib", "rate_limit": {"limit": 10}, "reject": 5}).faults
    limit = planned_states(faults)["rate_limit"]
    assert (limit["limit"], limit["per"], limit["ban"], limit["code"]) == (10, 1.0, 10.0, 100)
    reject = next(drawn for drawn in drawn_call_faults(faults) if drawn.fault.name == "reject")
    assert (reject.weight, reject.parameters["code"]) == (5, 201)
