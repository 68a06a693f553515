"""Scenarios that Hypothesis draws: their bounds, their shrinking, and the example to paste."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from pytest_nos_stress import (
    CheckFailed,
    MultiAgentSimulator,
    Operation,
    PlannedOperation,
    Scenario,
    SettingError,
    cooperating_locks,
)
from pytest_nos_stress.strategies import scenarios

QUIET = settings(
    deadline=None, database=None, max_examples=40, derandomize=True, suppress_health_check=list(HealthCheck)
)
FAULTS = ["missing_data", "lost_request", "lost_reply"]


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    """Replace the locks, as ``pytest --stress`` does for a session."""
    with cooperating_locks():
        yield


def planned(scenario: Scenario) -> tuple[PlannedOperation, ...]:
    assert scenario.planned is not None
    return scenario.planned


def for_all(strategy: st.SearchStrategy[Scenario], holds: Callable[[Scenario], object]) -> None:
    @QUIET
    @given(strategy)
    def check(scenario: Scenario) -> None:
        assert holds(scenario)

    check()


def smallest(
    strategy: st.SearchStrategy[Scenario], condition: Callable[[Scenario], bool], *, shrink: bool = True
) -> Scenario:
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    quiet = settings(QUIET, max_examples=1_000, phases=phases)
    return find(strategy, condition, settings=quiet)


# Bounds.


@QUIET
@given(data=st.data())
def test_bounds_are_kept(data: st.DataObject) -> None:
    agents = tuple(sorted(data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))))
    operations = tuple(sorted(data.draw(st.tuples(st.integers(1, 20), st.integers(1, 20)))))
    tasks = data.draw(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True))
    faults = data.draw(st.lists(st.sampled_from(FAULTS), unique=True))
    delays = data.draw(st.lists(st.sampled_from([0.0, 0.5, 2.0, 9.0]), unique=True))
    scenario = data.draw(
        scenarios(tasks, (agents[0], agents[1]), (operations[0], operations[1]), faults, delays, own_threads=False)
    )
    assert agents[0] <= len(scenario.agent_names) <= agents[1]
    assert operations[0] <= len(planned(scenario)) <= operations[1]
    assert set(scenario.task_names) <= set(tasks)
    assert {operation.fault for operation in planned(scenario)} <= {None, *faults}
    assert min(operation.delay for operation in planned(scenario)) >= min(delays, default=0.0)
    assert (scenario.engine, scenario.own_threads) == ("virtual", False)


def test_a_single_number_is_the_exact_count() -> None:
    for_all(
        scenarios(agents=3, operations=7),
        lambda scenario: (len(scenario.agent_names), len(planned(scenario))) == (3, 7),
    )


def test_an_empty_list_of_faults_gives_no_faults() -> None:
    for_all(scenarios(faults=[]), lambda scenario: not any(operation.fault for operation in planned(scenario)))


def test_an_empty_list_of_delays_gives_no_delays() -> None:
    for_all(scenarios(delays=[]), lambda scenario: not any(operation.delay for operation in planned(scenario)))


def test_delays_can_be_text_with_a_unit() -> None:
    for_all(
        scenarios(delays=["50ms", "1m"]),
        lambda scenario: all(operation.delay == 0.05 or operation.delay >= 60 for operation in planned(scenario)),
    )


@pytest.mark.parametrize(
    "allowed",
    [
        *(lambda operation, fault=fault: operation.fault == fault for fault in [None, *FAULTS]),
        *(lambda operation, task=task: operation.task == task for task in ("buy", "sell", "hedge", "rebalance")),
        lambda operation: operation.delay >= 60,
        lambda operation: operation.agent == "Agent_8",
    ],
    ids=["no fault", *FAULTS, "buy", "sell", "hedge", "rebalance", "long delay", "eighth agent"],
)
def test_every_allowed_value_is_drawn(allowed: Callable[[PlannedOperation], bool]) -> None:
    smallest(scenarios(), lambda scenario: any(map(allowed, planned(scenario))), shrink=False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"agents": 0}, "agents=0: must be a whole number from 1 up"),
        ({"agents": (0, 3)}, "agents=(0, 3): must be"),
        ({"agents": (5, 2)}, "agents=(5, 2): the minimum must not be above the maximum"),
        ({"agents": (1, 1_001)}, "up to 1000"),
        ({"agents": (1, 2, 3)}, "agents=(1, 2, 3): must be"),
        ({"agents": "many"}, "agents='many': must be"),
        ({"agents": True}, "agents=True: must be"),
        ({"agents": 1.5}, "agents=1.5: must be"),
        ({"operations": 0}, "operations=0: must be"),
        ({"operations": (9, 3)}, "operations=(9, 3): the minimum must not be above the maximum"),
        ({"operations": (1, None)}, "operations=(1, None): must be"),
        ({"faults": "lost_reply"}, "faults='lost_reply': must be a list"),
        ({"faults": ["explode"]}, "unknown fault 'explode'; allowed: missing_data, gap, "),
        ({"faults": [None]}, "unknown fault None; allowed: "),
        ({"delays": 5}, "delays=5: must be a list"),
        ({"delays": [-1]}, "scenarios: delays=-1: must be seconds from 0 up"),
        ({"delays": ["soon"]}, "delays='soon'"),
        ({"tasks": []}, "scenarios: tasks=[]: there are no tasks"),
        ({"tasks": ["a", "a"]}, "duplicate task 'a'"),
        ({"tasks": "buy"}, "scenarios: tasks='buy'"),
        ({"engine": "warp"}, "scenarios: engine='warp'"),
        ({"agents": 5, "operations": 2, "own_threads": "no"}, "own_threads='no'"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_a_wrong_argument_is_one_line(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError) as caught:
        scenarios(**arguments)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


# The simplest scenario.


def test_the_simplest_scenario_is_one_operation_without_fault_and_delay() -> None:
    simplest = smallest(scenarios(["buy", "sell"]), lambda _: True)
    assert simplest == Scenario(operations=[("Agent_1", "buy")], engine="virtual")
    assert simplest.seed == 0


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (
            lambda operations: any(operation.fault == "lost_reply" for operation in operations),
            [("Agent_1", "buy", "lost_reply")],
        ),
        (
            lambda operations: any(operation.task == "sell" and operation.delay > 1 for operation in operations),
            [("Agent_1", "sell", None, 60.0)],
        ),
        (
            lambda operations: len({operation.agent for operation in operations if operation.task == "sell"}) >= 2,
            [("Agent_1", "sell"), ("Agent_2", "sell")],
        ),
    ],
    ids=["a lost reply", "a long delay", "two agents"],
)
def test_a_failing_scenario_is_reduced_to_its_smallest_form(
    condition: Callable[[tuple[PlannedOperation, ...]], bool], expected: list[Any]
) -> None:
    operations = planned(smallest(scenarios(["buy", "sell"]), lambda scenario: condition(planned(scenario))))
    assert sorted(map(str, operations)) == sorted(map(str, [PlannedOperation(*row) for row in expected]))


# The failure.


class Shop:
    """Sells its only share twice if the reply to the first sale is lost and the client retries."""

    def __init__(self) -> None:
        self.shares = 1

    def sell(self, operation: Operation) -> None:
        for _ in range(2 if operation.fault == "lost_reply" else 1):
            if self.shares or operation.fault == "lost_reply":
                self.shares -= 1

    def buy(self) -> None:
        self.shares += 1

    def never_oversold(self) -> bool:
        return self.shares >= 0


def perform(scenario: Scenario) -> None:
    shop = Shop()
    with tempfile.TemporaryDirectory() as directory:
        MultiAgentSimulator(
            target=shop, scenario=scenario, checks=[shop.never_oversold], output_dir=directory
        ).run()


def test_the_failure_shows_an_example_to_paste_which_fails_the_same_way() -> None:
    @settings(
        database=None,
        derandomize=True,
        deadline=None,
        max_examples=300,
        phases=[Phase.generate, Phase.shrink],
    )
    @given(scenario=scenarios(["buy", "sell"]))
    def no_share_is_sold_twice(scenario: Scenario) -> None:
        perform(scenario)

    with pytest.raises(CheckFailed, match="never_oversold") as caught:
        no_share_is_sold_twice()
    examples = [note for note in caught.value.__notes__ if note.startswith("@example(")]
    assert len(examples) == 1
    pasted = re.fullmatch(r"@example\((?:\w+=)?(Scenario\(.*\))\)", examples[0])
    assert pasted is not None
    scenario = eval(pasted[1], {"Scenario": Scenario})
    assert [tuple(operation)[1:3] for operation in planned(scenario)] == [("sell", "lost_reply")]
    with pytest.raises(CheckFailed, match="never_oversold") as again:
        perform(scenario)
    first_line = str(caught.value).splitlines()[0]
    assert str(again.value).splitlines()[0] == first_line


@QUIET
@given(scenarios(["buy", "sell"], agents=(1, 4), operations=(1, 15)))
def test_every_drawn_scenario_can_be_performed(scenario: Scenario) -> None:
    with tempfile.TemporaryDirectory() as directory:
        result = MultiAgentSimulator(
            target={"buy": lambda: None, "sell": lambda: None}, scenario=scenario, output_dir=directory
        ).run()
    assert result.operations == len(planned(scenario))
    assert result.errors == 0


@QUIET
@given(st.one_of(scenarios(), scenarios(["buy"], agents=(2, 3)), scenarios(delays=[0.1, 1e-7])))
def test_every_drawn_scenario_survives_repr_and_json(scenario: Scenario) -> None:
    assert eval(repr(scenario), {"Scenario": Scenario}) == scenario
    assert Scenario.from_json(scenario.to_json()) == scenario
    assert {scenario: 1}[Scenario.from_json(scenario.to_json())] == 1
