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

from pytest_nos_stress import PlannedOperation, Scenario, SettingError
from pytest_nos_stress.scenario.scenario import FIELDS

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


# An explicit list of operations.

FAULTS = [None, "missing_data", "lost_request", "lost_reply"]


@st.composite
def listed(draw: st.DrawFn) -> Scenario:
    agents, tasks = draw(NAMES), draw(NAMES)
    row = st.one_of(
        st.tuples(st.sampled_from(agents), st.sampled_from(tasks)),
        st.tuples(st.sampled_from(agents), st.sampled_from(tasks), st.sampled_from(FAULTS), st.floats(0, 1e6)),
        st.builds(
            PlannedOperation,
            st.sampled_from(agents),
            st.sampled_from(tasks),
            st.sampled_from(FAULTS),
            st.just(0.0),
        ),
    )
    more: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "agents": st.permutations([*agents, "one more"]),
                "tasks": st.one_of(
                    st.just([*tasks, "one more"]),
                    st.fixed_dictionaries(dict.fromkeys([*tasks, "one more"], WEIGHTS)),
                ),
                "seed": st.integers(),
                "engine": st.sampled_from(["threads", "virtual"]),
                "own_threads": st.booleans(),
                "operation_timeout": st.floats(1e-3, 1e6),
                "failure_prob": PROBABILITIES,
            },
        )
    )
    if "one more" in (*agents, *tasks):
        more.pop("agents", None)
        more.pop("tasks", None)
    return Scenario(operations=draw(st.lists(row, min_size=1, max_size=8)), **more)


@settings(deadline=None)
@given(listed())
def test_a_list_survives_repr_and_json_and_is_a_key(scenario: Scenario) -> None:
    again = eval(repr(scenario), {"Scenario": Scenario})
    assert again == scenario
    assert (again.agent_names, again.task_names) == (scenario.agent_names, scenario.task_names)
    assert Scenario.from_json(scenario.to_json()) == scenario
    assert pickle.loads(pickle.dumps(scenario)) == scenario
    assert {scenario: 1}[again] == 1


@settings(deadline=None)
@given(scenarios())
def test_a_scenario_without_a_list_survives_json(scenario: Scenario) -> None:
    assert Scenario.from_json(scenario.to_json()) == scenario


@pytest.mark.parametrize(
    "fields",
    [
        {"operations": [("StockAgent_A", "x")], "agents": list(Scenario().agent_names)},
        {"operations": [("Ann", "buy")], "tasks": ["buy", "sell", "hedge", "rebalance"]},
        {"operations": [("Ann", "buy")], "agents": ["Bob", "Ann"]},
        {"operations": [("Ann", "buy")], "tasks": {"buy": 2, "sell": 1}},
        {"operations": [("Agent_2", "buy")], "agents": 3},
    ],
    ids=["default agents", "default tasks", "another order", "weights", "a count"],
)
def test_agents_and_tasks_that_are_in_no_operation_survive_the_repr(fields: dict[str, Any]) -> None:
    scenario = Scenario(**fields)
    assert eval(repr(scenario), {"Scenario": Scenario}) == scenario


def test_a_task_of_a_list_named_by_a_string_enum_is_printed_as_code_too() -> None:
    class Side(str, enum.Enum):  # noqa: UP042 - what much code still has
        BUY = "buy"

    scenario = Scenario(operations=[("Ann", Side.BUY)])
    assert eval(repr(scenario), {"Scenario": Scenario}) == scenario


def test_the_repr_tells_only_what_is_not_the_default() -> None:
    assert repr(Scenario()) == "Scenario(operations_per_agent=100)"
    assert (
        repr(Scenario(seed=3, engine="virtual", duration=5)) == "Scenario(duration=5.0, seed=3, engine='virtual')"
    )
    rows = [("Ann", "buy"), ("Bob", "sell", "lost_reply"), ("Ann", "buy", None, 0.5)]
    assert repr(Scenario(operations=rows)) == f"Scenario(operations={rows})"


def test_agents_and_tasks_are_those_of_the_list_in_the_order_in_which_they_come() -> None:
    scenario = Scenario(operations=[("Bob", "sell"), ("Ann", "buy"), ("Bob", "buy")])
    assert scenario.agent_names == ("Bob", "Ann")
    assert scenario.task_names == ("sell", "buy")
    assert scenario.number_of_operations == 3
    assert scenario.operations_per_agent is None


def test_rows_may_be_tuples_lists_or_planned_operations_and_delays_text() -> None:
    rows: list[Any] = [
        ("Ann", "buy"),
        ["Ann", "buy", "lost_reply"],
        ("Ann", "buy", None, "500ms"),
        PlannedOperation("Ann", "buy", delay=2),
    ]
    assert Scenario(operations=iter(rows)).planned == (
        PlannedOperation("Ann", "buy"),
        PlannedOperation("Ann", "buy", "lost_reply"),
        PlannedOperation("Ann", "buy", None, 0.5),
        PlannedOperation("Ann", "buy", None, 2.0),
    )


def test_one_field_of_a_list_can_be_replaced() -> None:
    scenario = Scenario(operations=[("Ann", "buy", "lost_reply", 1)], seed=1)
    assert dataclasses.replace(scenario, seed=2) == Scenario(operations=[("Ann", "buy", "lost_reply", 1)], seed=2)


def test_equal_scenarios_are_equal_however_they_are_written() -> None:
    scenario = Scenario(agents=2, tasks=["buy"], seed=1)
    other = Scenario(agents=["Agent_1", "Agent_2"], tasks=("buy",), operations_per_agent=100, seed=1)
    assert scenario == other
    assert hash(scenario) == hash(other)
    assert scenario != Scenario(agents=2, tasks=["buy"], seed=2)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"operations": []}, "operations=[]: must have at least one"),
        ({"operations": "buy"}, "operations='buy': must be a list"),
        ({"operations": {"Ann": "buy"}}, "operations={'Ann': 'buy'}: must be a list"),
        ({"operations": 5}, "operations=5: must be a list"),
        ({"operations": ["ab"]}, "operations[0]='ab': must be (agent, task)"),
        ({"operations": [("Ann", "buy"), ("Ann",)]}, "operations[1]=('Ann',): must be"),
        ({"operations": [("Ann", "buy", None, 1, 2)]}, "operations[0]="),
        ({"operations": [(1, "buy")]}, "agent and task must be names"),
        ({"operations": [("Ann", " ")]}, "agent and task must be names"),
        (
            {"operations": [("Ann", "buy", "explode")]},
            "operations[0]: unknown fault 'explode'; allowed: None, missing_data, ",
        ),
        ({"operations": [("Ann", "buy", ["x"])]}, "operations[0]: unknown fault ['x']"),
        ({"operations": [("Ann", "buy", None, -1)]}, "operations[0]: delay=-1: must be seconds from 0 up"),
        ({"operations": [("Ann", "buy", None, "soon")]}, "operations[0]: delay='soon'"),
        ({"operations": [("Ann", "buy", None, float("nan"))]}, "operations[0]: delay=nan"),
        ({"operations": [("Ann", "buy", None, None)]}, "operations[0]: delay=None"),
        ({"operations": [("Ann", "buy")], "agents": ["Bob"]}, "operations[0]: unknown agent 'Ann'; allowed: Bob"),
        ({"operations": [("Ann", "buy")], "tasks": ["sell"]}, "operations[0]: unknown task 'buy'; allowed: sell"),
        ({"operations": [("Ann", "buy")], "operations_per_agent": 100}, "operations_per_agent=100 and operations"),
        ({"operations": [("Ann", "buy")], "duration": 5}, "duration=5 and operations: give one or the other"),
        ({"own_threads": "yes"}, "own_threads='yes': must be True or False"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, dict) else "",
)
def test_a_bad_list_is_refused_in_one_line(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        Scenario(**fields)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def nested(levels: int) -> Any:
    """Return a list in a list, and so on."""
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


def stored(**changed: Any) -> str:
    values = json.loads(Scenario(operations=[("Ann", "buy")]).to_json()) | changed
    return json.dumps(values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not JSON"),
        ("{'seed': 1}", "not JSON"),
        ("[" * 100_000 + "]" * 100_000, "nested more than 32 levels deep"),
        ('{"version": 1', "not JSON"),
        (stored(market=nested(900)), "nested more than 32 levels deep"),
        (stored(market={"replay": nested(40)}), "nested more than 32 levels deep"),
        ('{"version": 1, "seed": 1, "seed": 2}', "duplicate key 'seed'"),
        ('{"version": 1, "failure_prob": NaN}', "NaN is not JSON"),
        (f'{{"version": 1, "seed": {"9" * 5000}}}', "a number has 5000 digits"),
        (b"\xff\xfe", "not UTF-8"),
        ("[]", "[] is not a scenario; must be what Scenario.to_json() writes"),
        ("5", "5 is not a scenario"),
        ("{}", "{} is not a scenario"),
        (stored(version=2), "version 2; must be 1"),
        (stored(version="1"), "version '1'; must be 1"),
        (stored(version=None), "version None; must be 1"),
        (stored(colour="red"), "'colour' is not a field of a scenario; allowed: agents, tasks"),
        (stored(weights=[1]), "'weights' is not a field"),
        (stored(seed="lucky"), "seed='lucky': must be a whole number"),
        (stored(seed=None), "seed=None"),
        (stored(engine="warp"), "engine='warp'"),
        (stored(operations=[]), "operations=[]"),
        (stored(operations=[["Bob", "buy", None, 0]]), "unknown agent 'Bob'"),
        (stored(operations=[["Ann", "buy", "x", 0]]), "fault 'x'"),
        (stored(operations_per_agent=5), "give one or the other"),
        (stored(agents=0), "agents=0"),
        (stored(agents=None), "agents=None"),
    ],
    ids=lambda text: text[-60:] if isinstance(text, str) else "",
)
def test_text_that_is_not_a_scenario_is_refused_in_one_line_with_its_label(text: str | bytes, words: str) -> None:
    with pytest.raises(SettingError) as caught:
        Scenario.from_json(text, "scenario file 'a.json'")
    assert str(caught.value).startswith("scenario file 'a.json': ")
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", [name for name in FIELDS if name != "operations"])
@pytest.mark.parametrize("levels", [20, 40, 900, 100_000])
def test_a_nested_value_of_a_setting_is_refused_in_one_line(name: str, levels: int) -> None:
    for value in (nested(levels), {"a": nested(levels)}):
        given: dict[str, Any] = {name: value}
        with pytest.raises(SettingError) as caught:
            Scenario(**given)
        assert str(caught.value).startswith(name)
        assert len(str(caught.value).splitlines()) == 1


def test_a_scenario_file_can_have_a_byte_order_mark() -> None:
    scenario = Scenario(seed=7)
    assert Scenario.from_json("\ufeff" + scenario.to_json()) == scenario
    assert Scenario.from_json(b"\xef\xbb\xbf" + scenario.to_json().encode()) == scenario


def test_the_json_of_a_list_has_one_row_per_line() -> None:
    text = Scenario(operations=[("Ann", "buy"), ("Bob", "sell", "lost_reply", 0.5)]).to_json()
    lines = text.splitlines()
    assert '  ["Ann", "buy", null, 0.0],' in lines
    assert '  ["Bob", "sell", "lost_reply", 0.5]' in lines
    assert lines[1] == ' "version": 1,'
