"""The notes of agents become records if one agent runs at a time: order, times and errors."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, StressResult, cooperating_locks, eventually

each_way = pytest.mark.parametrize("own_threads", [True, False], ids=["own threads", "shared threads"])


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    """Do what ``pytest --stress`` does for a session."""
    with cooperating_locks():
        yield


def run(directory: Path, target: Any, **options: Any) -> StressResult:
    return MultiAgentSimulator(target=target, output_dir=directory, **options).run()


def seconds(nanoseconds: Any) -> list[float]:
    return [int(duration) / 1e9 for duration in nanoseconds]


@each_way
def test_latency_is_what_an_operation_took_and_think_time_is_no_part_of_it(
    own_threads: bool, tmp_path: Path
) -> None:
    scenario = Scenario(
        operations=[("Ann", "buy", None, 5), ("Ann", "buy", None, 7), ("Ann", "buy")],
        engine="virtual",
        own_threads=own_threads,
    )
    result = run(tmp_path, lambda operation: operation.sleep(2), scenario=scenario)
    assert seconds(result.records["latency"]) == [2, 2, 2]
    assert seconds(result.records["response_time"]) == [2, 2, 2]
    ends = result.records["end"]
    assert seconds(ends - ends[0]) == [0, 9, 11]


@each_way
def test_who_waits_for_the_others_before_it_recovers_is_not_late(own_threads: bool, tmp_path: Path) -> None:
    evaluations: list[int] = []

    def later() -> bool:
        evaluations.append(1)
        return len(evaluations) > 20

    scenario = Scenario(
        operations=[("Ann", "buy"), ("Bob", "buy", None, 100)],
        min_delay=0,
        max_delay=0,
        engine="virtual",
        own_threads=own_threads,
    )
    result = run(tmp_path, lambda: None, scenario=scenario, checks=[eventually("later", later)])
    assert result.operations > 4
    assert set(seconds(result.records["response_time"])) == {0}


@each_way
def test_what_ends_at_one_instant_is_recorded_in_the_order_in_which_it_ended(
    own_threads: bool, tmp_path: Path
) -> None:
    ended: list[tuple[str, int]] = []

    def trade(operation: Operation) -> None:
        operation.sleep(operation.random.choice([0, 1]))
        ended.append((operation.agent, operation.index))

    result = run(
        tmp_path,
        trade,
        agents=5,
        tasks=["buy"],
        operations_per_agent=20,
        min_delay=0,
        max_delay=0,
        missing_data_prob=0,
        failure_prob=0,
        seed=3,
        engine="virtual",
        own_threads=own_threads,
    )
    agents = result.scenario.agent_names
    assert [(agents[row["agent"]], int(row["index"])) for row in result.records] == ended
    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    assert [re.findall(r"- (Agent_\d) ", line)[0] for line in lines] == [agent for agent, _ in ended]


@each_way
def test_an_error_stays_with_its_operation_over_many_batches(own_threads: bool, tmp_path: Path) -> None:
    """The run is looked after several times while it goes on, and what has ended by then is taken."""

    def trade(operation: Operation) -> None:
        time.sleep(0.001)
        if operation.index % 7 == 3:
            raise LookupError(f"order {operation.agent} {operation.index}")

    result = run(
        tmp_path,
        trade,
        agents=3,
        tasks=["buy"],
        operations_per_agent=100,
        min_delay=0,
        max_delay=1,
        missing_data_prob=0,
        failure_prob=0,
        seed=3,
        engine="virtual",
        own_threads=own_threads,
        gate=False,
    )
    assert result.operations == 300
    failed = result.records[result.records["is_error"]]
    assert {int(index) % 7 for index in failed["index"]} == {3}
    assert result.errors == len(failed) == 3 * 14
    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    logged = [line.rpartition("order ")[2] for line in lines if "LookupError" in line]
    agents = result.scenario.agent_names
    assert logged == [f"{agents[row['agent']]} {row['index']}" for row in failed]
