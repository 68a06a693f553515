"""A scenario is a value: validated, frozen, and printable as the code that makes it."""

from __future__ import annotations

import copy
import dataclasses
import enum
import json
import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress import Scenario, SettingError

NAMES = st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=4, unique=True)
WEIGHTS = st.floats(min_value=1e-6, max_value=1e6)
PROBABILITIES = st.floats(min_value=0, max_value=1)


@st.composite
def scenarios(draw: st.DrawFn) -> Scenario:
    names = draw(NAMES)
    shortest, longest = sorted(draw(st.tuples(st.floats(0, 60), st.floats(0, 60))))
    length = draw(
        st.one_of(
            st.just({}),
            st.fixed_dictionaries({"operations_per_agent": st.integers(1, 10**9)}),
            st.fixed_dictionaries({"duration": st.floats(min_value=1e-3, max_value=1e6)}),
        )
    )
    settings: dict[str, Any] = {
        "agents": draw(st.one_of(st.integers(1, 30), NAMES)),
        "tasks": draw(st.one_of(st.just(names), st.fixed_dictionaries(dict.fromkeys(names, WEIGHTS)))),
        "missing_data_prob": draw(PROBABILITIES),
        "failure_prob": draw(PROBABILITIES),
        "min_delay": shortest,
        "max_delay": longest,
        "failure_mode": draw(st.sampled_from(["lost_request", "lost_reply", "mixed"])),
        "seed": draw(st.integers()),
        "operation_timeout": draw(st.floats(min_value=1e-3, max_value=1e6)),
        **length,
    }
    return Scenario(**settings)


@settings(deadline=None)
@given(scenarios())
def test_the_repr_is_python_that_makes_an_equal_scenario(scenario: Scenario) -> None:
    assert eval(repr(scenario), {"Scenario": Scenario}) == scenario


@settings(deadline=None)
@given(scenarios())
def test_the_dict_survives_json_and_makes_an_equal_scenario(scenario: Scenario) -> None:
    assert Scenario(**json.loads(json.dumps(scenario.to_dict()))) == scenario


@settings(deadline=None)
@given(scenarios())
def test_a_scenario_can_be_pickled_copied_and_used_as_a_key(scenario: Scenario) -> None:
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    assert copy.deepcopy(scenario) == scenario
    assert {scenario: 1}[scenario] == 1


def test_equal_weights_that_are_not_1_survive_the_repr() -> None:
    scenario = Scenario(tasks={"buy": 2, "sell": 2})
    assert eval(repr(scenario), {"Scenario": Scenario}) == scenario


def test_a_scenario_with_one_field_replaced_keeps_the_weights() -> None:
    scenario = Scenario(tasks={"buy": 3, "sell": 1}, seed=1)
    assert dataclasses.replace(scenario, seed=2) == Scenario(tasks={"buy": 3, "sell": 1}, seed=2)


def test_tasks_named_by_a_string_enum_are_printed_as_code_too() -> None:
    class Side(str, enum.Enum):  # noqa: UP042 - what much code still has
        BUY = "buy"

    scenario = Scenario(tasks=[Side.BUY])
    assert eval(repr(scenario), {"Scenario": Scenario}) == scenario
    assert scenario.task_names == ("buy",)


def test_the_defaults_are_the_seed_documents() -> None:
    scenario = Scenario()
    assert scenario.agent_names == ("StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D")
    assert scenario.task_names == ("buy", "sell", "hedge", "rebalance")
    assert (scenario.missing_data_prob, scenario.failure_prob) == (0.2, 0.1)
    assert (scenario.operations_per_agent, scenario.min_delay, scenario.max_delay) == (100, 0.05, 0.15)


def test_a_scenario_by_duration_has_no_number_of_operations() -> None:
    scenario = Scenario(duration="2m")  # type: ignore[arg-type] # text with a unit is allowed too
    assert (scenario.duration, scenario.operations_per_agent) == (120.0, None)


def test_a_scenario_cannot_be_changed() -> None:
    scenario = Scenario()
    with pytest.raises(dataclasses.FrozenInstanceError):
        scenario.seed = 5  # type: ignore[misc]


def test_a_list_given_to_a_scenario_can_change_without_changing_it() -> None:
    agents = ["Ann", "Bob"]
    scenario = Scenario(agents=agents)
    agents.append("Cy")
    assert scenario.agent_names == ("Ann", "Bob")


def test_a_count_of_agents_is_printed_as_a_count() -> None:
    assert "agents=3," in repr(Scenario(agents=3))


@pytest.mark.parametrize(
    "wrong",
    [
        {"agents": []},
        {"tasks": {"buy": -1}},
        {"missing_data_prob": 1.5},
        {"min_delay": 2, "max_delay": 1},
        {"duration": 1, "operations_per_agent": 10},
        {"seed": "x"},
    ],
    ids=str,
)
def test_a_scenario_that_is_not_allowed_cannot_be_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(wrong))):
        Scenario(**wrong)
