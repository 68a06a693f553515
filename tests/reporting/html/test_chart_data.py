from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress._internal.outcome import ERROR, FAILED, MISSING, SUCCESS
from pytest_nos_stress.reporting.html.chart_data import MOST_AGENTS, chart_data
from pytest_nos_stress.results.grouped_stats import rounded

NAMES = {"success": SUCCESS, "failed": FAILED, "missing": MISSING, "error": ERROR}
MakeRun = Callable[..., Any]


@pytest.fixture(scope="module")
def run(draw_run: MakeRun) -> Any:
    return draw_run(700, 5, 3, seconds=20.0)


@pytest.fixture(scope="module")
def data(run: Any) -> dict[str, Any]:
    return chart_data(run)


def operations_of(run: Any) -> list[tuple[int, int, int, int, int]]:
    """Return agent, task, outcome (3 for errors), end and latency of each operation, read one by one."""
    rows = run.measured.records.to_array()
    return [
        (
            int(row["agent"]),
            int(row["task"]),
            ERROR if row["is_error"] else int(row["outcome"]),
            int(row["end"]),
            int(row["latency"]),
        )
        for row in rows
    ]


def chosen(run: Any, level: str, group: int) -> list[tuple[int, int, int, int, int]]:
    tasks = len(run.scenario.task_names)
    return [
        operation
        for operation in operations_of(run)
        if group
        == {"all": 0, "task": operation[1], "agent": operation[0], "pair": operation[0] * tasks + operation[1]}[
            level
        ]
    ]


def percentile(latencies: Sequence[int], share: float) -> float:
    ordered = sorted(latencies)
    rank = (len(ordered) - 1) * share
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


def assert_shows(shown: int, exact: float, digits: int) -> None:
    """Assert that a shown value is the exact value, rounded to that number of digits."""
    assert shown == pytest.approx(exact, rel=0.51 * 10.0 ** (1 - digits))


@pytest.mark.parametrize("level", ["all", "task", "agent", "pair"])
def test_figures_of_every_selection_are_those_of_its_operations(
    run: Any, data: dict[str, Any], level: str
) -> None:
    figures = data["levels"][level]
    groups = len(figures["samples"])
    assert groups == {"all": 1, "task": 3, "agent": 5, "pair": 15}[level]
    for group in range(groups):
        operations = chosen(run, level, group)
        latencies = [operation[4] for operation in operations]
        assert [row[group] for row in figures["counts"]] == [
            sum(operation[2] == outcome for operation in operations) for outcome in range(4)
        ]
        assert figures["samples"][group] == len(latencies)
        for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("max", 1.0)):
            assert_shows(figures["latency"][name][group], percentile(latencies, share), 4)
        assert_shows(figures["mean"][group], sum(latencies) / len(latencies), 4)


@pytest.mark.parametrize("level", ["all", "agent", "pair"])
def test_an_operation_is_in_the_step_in_which_it_ended(run: Any, data: dict[str, Any], level: str) -> None:
    course = data["levels"][level]["course"]
    steps, length = course["steps"], 20_000_000_000
    for group in range(len(data["levels"][level]["samples"])):
        operations = chosen(run, level, group)
        for step in range(steps):
            inside = [
                operation for operation in operations if min(operation[3] * steps // length, steps - 1) == step
            ]
            cell = group * steps + step
            assert [row[cell] for row in course["counts"]] == [
                sum(operation[2] == outcome for operation in inside) for outcome in range(4)
            ]
            assert course["samples"][cell] == len(inside)
            if inside:
                assert_shows(
                    course["latency"]["p95"][cell], percentile([operation[4] for operation in inside], 0.95), 3
                )
            else:
                assert course["latency"]["p95"][cell] == -1


def test_the_distribution_is_that_of_the_samples_up_to_the_longest(run: Any, data: dict[str, Any]) -> None:
    curve = data["levels"]["task"]["curve"]
    values = iter(curve["values"])
    for group, size in enumerate(curve["sizes"]):
        latencies = [operation[4] for operation in chosen(run, "task", group)]
        points = [next(values) for _ in range(size)]
        for number, point in enumerate(points[:-1]):
            assert_shows(point, percentile(latencies, 1 - 10 ** (-number / curve["perDecade"])), 4)
        assert_shows(points[-1], max(latencies), 4)
        assert all(point <= later for point, later in pairwise(points))


def test_operations_whose_target_was_not_called_have_no_latency() -> None:
    from pytest_nos_stress import MultiAgentSimulator

    result = MultiAgentSimulator(
        agents=2,
        operations_per_agent=200,
        min_delay=0,
        max_delay=0,
        failure_prob=0.5,
        seed=3,
        engine="virtual",
        target={"buy": lambda operation: operation.sleep(0.01)},
        gate=False,
    ).run()
    data = chart_data(result)
    everything = data["levels"]["all"]
    assert everything["samples"] == [result.stats["calls"]]
    assert 0 < everything["samples"][0] < result.operations
    assert everything["latency"]["p50"] == [10_000_000]


def test_a_run_that_took_no_modelled_time_has_no_latency() -> None:
    from pytest_nos_stress import MultiAgentSimulator

    result = MultiAgentSimulator(
        agents=2, operations_per_agent=10, seed=3, engine="virtual", target={"buy": lambda: None}, gate=False
    ).run()
    data = chart_data(result)
    assert data["levels"]["all"]["samples"] == [0]
    assert data["levels"]["all"]["latency"]["p99"] == [-1]
    assert data["levels"]["all"]["curve"]["values"] == []


def test_a_run_without_operations_has_data_without_operations(make_run: MakeRun) -> None:
    data = chart_data(make_run([], [], [], [], [], agents=["A", "B"], tasks=["buy"], duration=1.0))
    assert data["levels"]["all"]["counts"] == [[0], [0], [0], [0]]
    assert data["findings"] == []
    json.dumps(data, allow_nan=False)


def test_of_too_many_agents_the_worst_are_listed_and_all_are_counted(make_run: MakeRun) -> None:
    agents = MOST_AGENTS + 100
    agent = np.repeat(np.arange(agents), 3)
    outcome = np.zeros(agent.size, int)
    outcome[agent == agents - 1] = ERROR
    run = make_run(
        agent,
        np.zeros(agent.size),
        outcome,
        np.linspace(0, 1, agent.size),
        np.full(agent.size, 1e-3),
        agents=[f"A{number}" for number in range(agents)],
        tasks=["buy"],
    )
    data = chart_data(run)
    assert len(data["agents"]) == MOST_AGENTS
    assert data["agents"][-1] == f"A{agents - 1}"
    assert data["agentsInAll"] == agents
    assert sum(row[0] for row in data["levels"]["all"]["counts"]) == agent.size
    assert data["levels"]["agent"]["counts"][ERROR][-1] == 3


def test_if_not_all_selections_fit_over_time_the_worst_are_kept(draw_run: MakeRun) -> None:
    data = chart_data(draw_run(30_000, 300, 10))
    pairs = data["levels"]["pair"]
    without_success = np.array(pairs["counts"])[1:].sum(axis=0)
    errors = np.array(pairs["counts"])[ERROR]
    assert 0 < len(pairs["shown"]) < 3000
    left_out = np.setdiff1d(np.arange(3000), pairs["shown"])
    worst_left_out = max(zip(errors[left_out], without_success[left_out], strict=True))
    mildest_shown = min(zip(errors[pairs["shown"]], without_success[pairs["shown"]], strict=True))
    assert mildest_shown >= worst_left_out
    assert len(pairs["course"]["samples"]) == len(pairs["shown"]) * pairs["course"]["steps"]


def test_names_reach_the_data_without_control_characters(make_run: MakeRun) -> None:
    run = make_run([0], [0], [0], [1], [1e-3], agents=["a\x1b[31m\n\ud800"], tasks=["</script>"])
    data = chart_data(run)
    assert data["agents"] == ["a\\x1b[31m\\n\\ud800"]
    assert data["tasks"] == ["</script>"]


def test_more_fault_windows_than_can_be_told_apart_are_joined_over_their_smallest_gaps(draw_run: MakeRun) -> None:
    spans = [(float(at), at + 0.5) for at in range(150)] + [(200.0, 201.0)]
    bands = chart_data(draw_run(50, 2, 2, seconds=210.0, fault_spans=spans))["bands"]
    assert len(bands) == 100
    assert bands[-1] == {"kind": "faults", "start": 200.0, "end": 201.0}
    assert bands[0]["start"] == 0.0
    assert bands[-2]["end"] == 149.5


@pytest.mark.parametrize(
    ("nanoseconds", "digits", "shown"),
    [
        (123456.0, 4, 123500),
        (123456.0, 3, 123000),
        (7.0, 4, 7),
        (0.0, 3, 0),
        (math.nan, 4, -1),
        (9.9996e9, 4, 10_000_000_000),
    ],
)
def test_durations_have_as_many_digits_as_people_read(nanoseconds: float, digits: int, shown: int) -> None:
    assert rounded(np.array([nanoseconds]), digits) == [shown]


def test_operations_of_agents_that_are_not_listed_are_in_no_other_agents_course(draw_run: Any) -> None:
    level = chart_data(draw_run(20_000, MOST_AGENTS + 200, 1))["levels"]["agent"]
    steps = level["course"]["steps"]
    for counts, course in zip(level["counts"], level["course"]["counts"], strict=True):
        assert np.reshape(course, (MOST_AGENTS, steps)).sum(axis=1).tolist() == counts


def test_response_times_have_a_distribution_of_their_own(run: Any, data: dict[str, Any]) -> None:
    latencies = [operation[4] for operation in operations_of(run)]
    assert data["responseTimes"]["samples"] == [len(latencies)]
    assert_shows(data["responseTimes"]["curve"]["values"][-1], max(latencies), 4)


def test_the_moment_in_which_a_run_was_aborted_is_marked(draw_run: MakeRun) -> None:
    run = draw_run(50, 2, 2)
    run.stats["aborted"] = {"threshold": "errors == 0 abort", "at": 12.5}
    assert {"at": 12.5, "text": "aborted", "chart": "outcomes"} in chart_data(run)["marks"]
