"""Statistics agree with a recount of the operations."""

from __future__ import annotations

import itertools
import json
import math
import statistics as standard
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, StressResult
from pytest_nos_stress.results.aggregation import aggregate, jain_index, summarise_durations
from pytest_nos_stress.results.measurements import Counts, Measurements
from pytest_nos_stress.results.records import Batch, Records
from pytest_nos_stress.results.statistics_types import (
    DurationFigures,
    ErrorTypeStatistics,
    HarnessStatistics,
    MemoryFigures,
    PhaseStatistics,
    Statistics,
    TaskStatistics,
    ThresholdStatistics,
)
from pytest_nos_stress.results.stats import iso_utc
from pytest_nos_stress.run.target import bind

KEYS = {"total_operations", "successful_operations", "failed_operations", "missing_data_events"}
OUTCOMES = ("successful_operations", "failed_operations", "missing_data_events")
NANOSECONDS = st.lists(st.integers(0, 2**40), min_size=1, max_size=60)


def sometimes_fails(operation: Operation) -> None:
    if operation.index % 7 == 3:
        raise LookupError(operation.agent)
    if operation.index % 11 == 5:
        raise TimeoutError


def run(directory: Path, target: Any = sometimes_fails, **changes: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": ["Ann", "Bob", "Cy"],
        "tasks": {"buy": 3, "sell": 1},
        "operations_per_agent": 200,
        "min_delay": 0,
        "max_delay": 0,
        "failure_mode": "mixed",
        "seed": 11,
        "output_dir": directory,
        "gate": False,
        "expected_errors": TimeoutError,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **changes}).run()


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    return run(tmp_path_factory.mktemp("run"))


def check_identities(stats: Any) -> None:
    parts = [stats, *stats["agent_stats"].values(), *stats["tasks"].values()]
    for part in parts:
        assert part["total_operations"] == sum(part[name] for name in OUTCOMES)
    for several in (stats["agent_stats"], stats["tasks"]):
        for name in KEYS:
            assert sum(part[name] for part in several.values()) == stats[name]


def test_the_statistics_have_the_seed_documents_keys(result: StressResult) -> None:
    assert set(result.stats) >= KEYS | {"start_time", "end_time", "agent_stats"}
    assert list(result.stats["agent_stats"]) == ["Ann", "Bob", "Cy"]
    assert all(set(counts) >= KEYS for counts in result.stats["agent_stats"].values())


def test_the_statistics_have_more_keys_than_the_seed_document(result: StressResult) -> None:
    assert set(result.stats) >= {"seed", "scenario", "tasks", "errors", "error_types", "latency", "response_time"}
    assert set(result.stats) >= {"throughput", "thresholds", "schema_version"}
    assert list(result.stats["tasks"]) == ["buy", "sell"]
    assert result.stats["seed"] == 11


def test_total_is_successful_and_failed_and_missing_for_run_agent_and_task(result: StressResult) -> None:
    check_identities(result.stats)
    assert result.stats["total_operations"] == 600


@settings(max_examples=15, deadline=None)
@given(
    agents=st.integers(1, 5),
    operations=st.integers(1, 40),
    missing=st.sampled_from([0, 0.2, 0.7, 1]),
    failure=st.sampled_from([0, 0.1, 0.5, 1]),
    mode=st.sampled_from(["lost_request", "lost_reply", "mixed"]),
)
def test_the_identities_hold_for_any_scenario(
    agents: int,
    operations: int,
    missing: float,
    failure: float,
    mode: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    stats = run(
        tmp_path_factory.mktemp("run"),
        agents=agents,
        operations_per_agent=operations,
        missing_data_prob=missing,
        failure_prob=failure,
        failure_mode=mode,
    ).stats
    check_identities(stats)
    assert stats["total_operations"] == agents * operations


def test_the_counts_agree_with_a_recount_of_the_records(result: StressResult) -> None:
    records = result.records
    stats: Any = result.stats
    by_outcome = Counter(records["outcome"].tolist())
    assert [by_outcome[number] for number in range(3)] == [stats[name] for name in OUTCOMES]
    for number, agent in enumerate(result.scenario.agent_names):
        counted = Counter(records["outcome"][records["agent"] == number].tolist())
        assert [counted[outcome] for outcome in range(3)] == [
            stats["agent_stats"][agent][name] for name in OUTCOMES
        ]
    for number, task in enumerate(result.scenario.task_names):
        counted = Counter(records["outcome"][records["task"] == number].tolist())
        assert [counted[outcome] for outcome in range(3)] == [stats["tasks"][task][name] for name in OUTCOMES]
    assert int(records["is_error"].sum()) == result.stats["errors"] > 0


def test_an_error_is_a_failed_operation(result: StressResult) -> None:
    records = result.records
    assert set(records["outcome"][records["is_error"]].tolist()) == {1}


def test_each_agents_records_are_numbered_in_order(result: StressResult) -> None:
    records = result.records
    for number in range(3):
        mine = records[records["agent"] == number]
        assert mine["index"].tolist() == list(range(200))
        assert np.all(np.diff(mine["end"]) >= 0)


def test_records_are_in_order_of_their_ends(result: StressResult) -> None:
    assert np.all(np.diff(result.records["end"]) >= 0)


def test_latency_is_summarised_over_the_operations_that_called_the_target(result: StressResult) -> None:
    records = result.records
    for metric in ("latency", "response_time"):
        samples = [value / 1e9 for value in records[metric][records["called"]].tolist()]
        figures = result.stats[metric]
        assert figures["count"] == len(samples)
        assert figures["min"] == pytest.approx(min(samples))
        assert figures["max"] == pytest.approx(max(samples))
        assert figures["mean"] == pytest.approx(standard.fmean(samples))
        assert figures["med"] == pytest.approx(standard.median(samples))
        assert figures["stddev"] == pytest.approx(standard.pstdev(samples), rel=1e-6)
        assert figures["p99"] == pytest.approx(percentile(samples, 99))


def test_a_task_has_the_latency_of_its_own_operations(tmp_path: Path) -> None:
    def sell_slowly(operation: Operation) -> None:
        operation.sleep(0.02 if operation.task == "sell" else 0)

    stats: Any = run(tmp_path, sell_slowly, operations_per_agent=10, tasks=["buy", "sell"]).stats
    assert stats["tasks"]["sell"]["latency"]["min"] >= 0.02
    assert stats["tasks"]["buy"]["latency"]["med"] < 0.02


def test_the_response_time_is_never_shorter_than_the_latency(result: StressResult) -> None:
    records = result.records
    assert np.all(records["response_time"] >= records["latency"])


def test_think_time_is_in_neither_latency_nor_response_time(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        lambda: None,
        agents=1,
        operations_per_agent=5,
        min_delay=0.05,
        max_delay=0.05,
        missing_data_prob=0,
    )
    assert result.stats["duration"] >= 5 * 0.05
    assert result.latency.med < 0.05
    assert result.response_time.min < 0.05


def test_rates_and_throughput_are_counts_over_totals(result: StressResult) -> None:
    stats = result.stats
    assert stats["success_rate"] == stats["successful_operations"] / 600
    assert stats["failure_rate"] == stats["failed_operations"] / 600
    assert stats["missing_data_rate"] == stats["missing_data_events"] / 600
    assert stats["error_rate"] == stats["errors"] / 600
    assert stats["throughput"] == pytest.approx(600 / stats["duration"])


def test_times_are_iso_8601_in_utc_with_offset_and_enclose_the_records(result: StressResult) -> None:
    stats = result.stats
    assert stats["start_time"].endswith("+00:00")
    assert stats["end_time"].endswith("+00:00")
    start, end = (datetime.fromisoformat(stats[name]) for name in ("start_time", "end_time"))
    assert end - start == pytest.approx(timedelta(seconds=stats["duration"]), abs=timedelta(microseconds=2))
    assert abs((datetime.now(end.tzinfo) - end).total_seconds()) < 600


def test_records_say_when_operations_ended_since_the_epoch(result: StressResult) -> None:
    start, end = (datetime.fromisoformat(result.stats[name]).timestamp() for name in ("start_time", "end_time"))
    ends = result.records["end"] / 1e9
    assert start - 0.001 <= ends.min()
    assert ends.max() <= end + 0.001


def test_expected_errors_are_counted_beside_the_errors(result: StressResult) -> None:
    assert set(result.stats["expected_error_types"]) == {"TimeoutError"}
    assert [error_type["type"] for error_type in result.stats["error_types"]] == ["LookupError"]
    assert result.stats["error_types"][0]["count"] == result.stats["errors"]


def test_the_statistics_are_json_that_any_program_reads(result: StressResult) -> None:
    text = (result.output_dir / "simulation_statistics.json").read_text()

    def no_constant(name: str) -> float:
        raise AssertionError(f"{name} is not JSON")

    assert json.loads(text, parse_constant=no_constant) == result.stats


def test_the_statistics_have_the_keys_of_their_types(result: StressResult) -> None:
    stats = result.stats
    assert set(stats) >= keys(Statistics)
    assert set(stats["phases"][0]) == keys(PhaseStatistics)
    assert set(stats["tasks"]["buy"]) == keys(TaskStatistics)
    assert set(stats["latency"]) == keys(DurationFigures)
    assert set(stats["memory"] or ()) == keys(MemoryFigures)
    assert set(stats["harness"]) == keys(HarnessStatistics)
    assert set(stats["error_types"][0]) == keys(ErrorTypeStatistics)
    assert set(stats["thresholds"][0]) == keys(ThresholdStatistics)


def keys(typed_dict: Any) -> set[str]:
    return set(typed_dict.__annotations__)


def percentile(samples: list[float], percent: float) -> float:
    """Interpolate linearly between the two nearest samples."""
    ordered = sorted(samples)
    rank = (len(ordered) - 1) * percent / 100
    below = math.floor(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)


@settings(deadline=None)
@given(NANOSECONDS, st.floats(min_value=0.1, max_value=99.9))
def test_percentiles_are_exact(samples: list[int], percent: float) -> None:
    column = np.array(samples, np.uint64)
    assert aggregate(column, f"p{percent!r}") == pytest.approx(
        percentile(list(map(float, samples)), percent) / 1e9
    )


@settings(deadline=None)
@given(NANOSECONDS)
def test_the_other_aggregations_agree_with_the_standard_library(samples: list[int]) -> None:
    column = np.array(samples, np.int64)
    assert aggregate(column, "min") == min(samples) / 1e9
    assert aggregate(column, "max") == max(samples) / 1e9
    assert aggregate(column, "mean") == pytest.approx(standard.fmean(samples) / 1e9)
    assert aggregate(column, "med") == pytest.approx(standard.median(samples) / 1e9)
    assert aggregate(column, "stddev") == pytest.approx(standard.pstdev(samples) / 1e9, abs=1e-12)


@settings(deadline=None)
@given(NANOSECONDS)
def test_a_summary_of_durations_agrees_with_each_aggregation(samples: list[int]) -> None:
    column = np.array(samples, np.uint32 if max(samples) < 2**32 else np.uint64)
    summary = dict(summarise_durations(column))
    assert summary.pop("count") == len(samples)
    assert summary == {name: pytest.approx(aggregate(column, name)) for name in summary}


def test_a_summary_of_nothing_has_no_figures() -> None:
    summary = dict(summarise_durations(np.array([], np.uint32)))
    assert summary.pop("count") == 0
    assert set(summary.values()) == {None}


@settings(deadline=None)
@given(st.integers(0, 4 * 10**18))
def test_a_time_stamp_keeps_its_microseconds(nanoseconds: int) -> None:
    text = iso_utc(nanoseconds)
    moment = datetime.fromisoformat(text)
    since = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    assert since // timedelta(microseconds=1) == nanoseconds // 1000
    assert len(text) == len("2026-11-22T06:26:05.655000+00:00")


OPERATIONS = st.lists(
    st.tuples(
        st.integers(0, 2),  # agent
        st.integers(0, 1),  # task
        st.sampled_from([0, 0, 1, 2]),  # outcome
        st.integers(0, 40),  # end, in units of a tenth of a second, so that many end on an edge
        st.integers(0, 15),  # latency in the same unit
    ),
    max_size=40,
)
UNIT = 100_000_000
STARTED = 7 * UNIT
Row = tuple[int, int, int, int, int]


def measurements(rows: list[Row], ended: int | None = None) -> Measurements:
    """Return measurements of operations given as agent, task, outcome, end and latency."""
    scenario = Scenario(agents=["Ann", "Bob", "Cy"], tasks=["buy", "sell"], missing_data_prob=0, failure_prob=0)
    records = Records(scenario.agent_names, bind(lambda: None, scenario.task_names, "threads"), scenario.fault_mix)
    agent, task, outcome, end, latency = (np.array([row[at] for row in rows], np.int64) for at in range(5))
    if rows:
        records.append(
            Batch(
                agent=agent,
                code=(task * scenario.fault_mix.count).astype(np.uint16),
                outcome=outcome.astype(np.uint8),
                is_error=outcome == 1,
                end=STARTED + end * UNIT,
                latency=latency * UNIT,
                response_time=(latency + 1) * UNIT,
                errors={},
                called=np.ones(end.size, np.bool_),
                is_cut_short=np.zeros(end.size, np.bool_),
            )
        )
    return Measurements(records, STARTED, None if ended is None else STARTED + ended * UNIT)


def check_figures(measured: Measurements, rows: list[Row]) -> None:
    """Assert that every figure agrees with a recount of these rows."""
    for agent, name in [(None, None), *enumerate(["Ann", "Bob", "Cy"])]:
        for task, task_name in [(None, None), *enumerate(["buy", "sell"])]:
            own = [row for row in rows if agent in (None, row[0]) and task in (None, row[1])]
            by_outcome = Counter(row[2] for row in own)
            expected = Counts(len(own), by_outcome[0], by_outcome[1], by_outcome[2], by_outcome[1])
            assert measured.counts(agent=name, task=task_name) == expected
            latency = measured.durations("latency", agent=name, task=task_name)
            assert sorted(latency.tolist()) == sorted(row[4] * UNIT for row in own)
            response_time = measured.durations("response_time", agent=name, task=task_name)
            assert sorted(response_time.tolist()) == sorted((row[4] + 1) * UNIT for row in own)
    successes = [sum(row[0] == agent and row[2] == 0 for row in rows) for agent in range(3)]
    assert measured.successes_by_agent().tolist() == successes
    assert measured.count_calls() == len(rows)


@settings(deadline=None, max_examples=60)
@given(rows=OPERATIONS, length=st.integers(1, 60), ended=st.none() | st.integers(40, 50))
def test_a_window_has_the_operations_that_ended_in_it(rows: list[Row], length: int, ended: int | None) -> None:
    run_end = max((row[3] for row in rows), default=0) if ended is None else ended
    expected = []
    for begin in range(0, max(run_end, 1), length):
        first = max(0, min(begin, run_end - length))
        is_last = first + length >= run_end
        own = [row for row in rows if first <= row[3] and (is_last or row[3] < first + length)]
        expected.append((first, min(first + length, run_end), own))
    windows = list(measurements(rows, ended).windows(length / 10))
    assert len(windows) == len(expected)
    for window, (first, end, own) in zip(windows, expected, strict=True):
        assert (window.started_ns, window.ended_ns) == (STARTED + first * UNIT, STARTED + end * UNIT)
        assert window.elapsed == pytest.approx((end - first) / 10)
        check_figures(window, own)


@settings(deadline=None, max_examples=60)
@given(rows=OPERATIONS, start=st.integers(0, 50), length=st.integers(0, 50))
def test_a_part_of_a_run_has_the_operations_that_began_in_it(rows: list[Row], start: int, length: int) -> None:
    end = start + length
    run_end = max((row[3] for row in rows), default=0)
    own = [row for row in rows if start <= row[3] - row[4] and (end >= run_end or row[3] - row[4] < end)]
    part = measurements(rows).begun_between(start / 10, end / 10)
    assert part.elapsed == pytest.approx(length / 10)
    check_figures(part, own)


def test_parts_of_a_run_that_follow_each_other_have_each_operation_once() -> None:
    rows = [(at % 3, at % 2, 0, at, at % 5) for at in range(5, 41)]
    measured = measurements(rows)
    parts = [measured.begun_between(first / 10, (first + 7) / 10) for first in range(0, 42, 7)]
    assert sum(part.counts().total for part in parts) == len(rows)


@settings(deadline=None, max_examples=200)
@given(rows=OPERATIONS)
def test_operations_overlap_if_one_begins_before_an_earlier_one_has_ended(rows: list[Row]) -> None:
    spans = [(row[3] - row[4], row[3]) for row in rows]
    expected = any(
        max(begun, other_begun) < min(ended, other_ended)  # both take time, and some of it is the same
        or begun < other_begun == other_ended < ended  # the other one takes no time, inside of this one
        for (begun, ended), (other_begun, other_ended) in itertools.permutations(spans, 2)
    )
    assert measurements(rows).operations_overlap() == expected


def test_an_overlap_among_many_operations_is_found() -> None:
    apart = [(at % 2, 0, 0, 10 * at, 1) for at in range(1, 6_000)]
    assert not measurements(apart).operations_overlap()
    assert measurements([*apart, (0, 0, 0, 50_001, 2)]).operations_overlap()


def test_many_windows_have_every_operation_once() -> None:
    rows = [(at % 3, 0, 0, at % 41, 1) for at in range(100)]
    windows = list(measurements(rows).windows(0.001))
    assert len(windows) == 4_000
    assert sum(window.counts().total for window in windows) == 100


@settings(deadline=None)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=50))
def test_fairness_is_jains_index(successes: list[int]) -> None:
    index = jain_index(np.array(successes))
    if not any(successes):
        assert index is None
        return
    assert index == pytest.approx(
        sum(successes) ** 2 / (len(successes) * sum(count * count for count in successes))
    )
    assert index is not None
    assert 1 / len(successes) <= index * (1 + 1e-9)
    assert index <= 1 + 1e-9


@pytest.mark.parametrize(
    ("successes", "index"),
    [([5, 5, 5, 5], 1.0), ([1], 1.0), ([8, 0, 0, 0], 0.25), ([3, 1], 0.8), ([0, 0], None), ([4, 4, 0, 0], 0.5)],
)
def test_fairness_by_hand(successes: list[int], index: float | None) -> None:
    assert jain_index(np.array(successes)) == index


def test_the_statistics_have_the_fairness_between_agents(result: StressResult) -> None:
    successes = [counts["successful_operations"] for counts in result.stats["agent_stats"].values()]
    assert result.stats["fairness"] == jain_index(np.array(successes))


def test_a_part_without_operations_has_empty_figures() -> None:
    measured = measurements([])
    assert measured.counts() == Counts(0, 0, 0, 0, 0)
    assert measured.elapsed == 0
    (window,) = measured.windows(1.0)
    assert window.counts().total == 0
    assert [window.elapsed for window in measurements([], 25).windows(1.0)] == [1, 1, 1]


def test_the_figures_of_many_tasks_are_those_of_their_own_operations() -> None:
    numbers = np.random.default_rng(5)
    scenario = Scenario(agents=["Ann", "Bob", "Cy"], tasks=[f"task {at}" for at in range(60)])
    bound = bind(lambda: None, scenario.task_names, "threads")
    records = Records(scenario.agent_names, bound, scenario.fault_mix)
    for batch, size in enumerate((400, 0, 1, 700)):
        outcome = numbers.integers(0, 3, size).astype(np.uint8)
        task = numbers.integers(0, 59, size)  # nobody performs the last task
        latency = numbers.integers(1, 2**33, size)
        records.append(
            Batch(
                agent=numbers.integers(0, 3, size),
                code=(
                    task * scenario.fault_mix.count + numbers.integers(0, scenario.fault_mix.count, size)
                ).astype(np.uint16),
                outcome=outcome,
                is_error=(outcome == 1) & (numbers.random(size) < 0.5),
                end=STARTED + np.arange(size) + 1_000 * batch,
                latency=latency,
                response_time=latency + 1,
                errors={},
                called=numbers.random(size) < 0.5,
                is_cut_short=np.zeros(size, np.bool_),
            )
        )
    whole = Measurements(records, STARTED)
    for measured in (whole, whole.begun_between(-10, 0), next(whole.windows(1e-6))):
        rows = measured.records
        assert rows.total > 0
        called, task = rows.column("called"), rows.task()
        assert 0 < called.sum() < rows.total
        for at, name in enumerate(rows.tasks):
            for metric in ("latency", "response_time"):
                expected = rows.column(metric)[called & (task == at)].tolist()
                assert measured.durations(metric, task=name).tolist() == expected
        measured.forget_samples()
        first = rows.column("latency")[called & (task == 0)].tolist()
        assert measured.durations("latency", task="task 0").tolist() == first
        parts = [measured.counts(agent, name) for agent in rows.agents for name in rows.tasks]
        assert measured.counts() == Counts(*(sum(column) for column in zip(*parts, strict=True)))
        assert measured.counts().errors == int(rows.column("is_error").sum()) > 0
    assert whole.counts().total == 1_101
    assert whole.durations("latency", task="task 59").size == 0
