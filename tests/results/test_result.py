"""Attributes of a result that tests assert on."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import CheckFailed, MultiAgentSimulator, Operation, StressResult


def trade(operation: Operation) -> None:
    if operation.index % 10 == 9:
        raise LookupError("no such order")


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    return MultiAgentSimulator(
        agents=["Ann", "Bob"],
        tasks=["buy", "sell"],
        operations_per_agent=500,
        min_delay=0,
        max_delay=0,
        seed=5,
        target=trade,
        gate=False,
        output_dir=tmp_path_factory.mktemp("run"),
    ).run()


def test_counts_are_attributes(result: StressResult) -> None:
    assert result.operations == 1000
    assert result.operations == result.successes + result.failures + result.missing_data
    assert result.successes == result.stats["successful_operations"]
    assert result.failures == result.stats["failed_operations"]
    assert result.missing_data == result.stats["missing_data_events"]
    assert result.errors == result.stats["errors"]


def test_rates_are_attributes(result: StressResult) -> None:
    assert result.success_rate == result.successes / 1000
    assert result.failure_rate == result.failures / 1000
    assert result.missing_data_rate == result.missing_data / 1000
    assert result.error_rate == result.errors / 1000
    assert result.throughput == result.stats["throughput"] > 0


def test_latency_has_the_figures_of_the_statistics(result: StressResult) -> None:
    for name, durations in (("latency", result.latency), ("response_time", result.response_time)):
        figures: Any = dict(result.stats)[name]
        for figure in ("min", "mean", "med", "max", "stddev", "p50", "p90", "p95", "p99"):
            assert getattr(durations, figure) == pytest.approx(figures[figure]), figure
        assert durations.p99_9 == pytest.approx(figures["p99.9"])
        assert durations.percentile(99) == pytest.approx(figures["p99"])
        assert durations.percentile(99.9) == pytest.approx(figures["p99.9"])


def test_an_unknown_figure_is_an_attribute_error_that_lists_the_known_ones(result: StressResult) -> None:
    for name in ("p", "average", "pxx", "P99"):
        with pytest.raises(AttributeError, match="min, mean, med, max, stddev, p50"):
            getattr(result.latency, name)


@pytest.mark.parametrize("percent", [-1, 101, math.nan])
def test_a_percentile_outside_0_to_100_is_a_value_error(result: StressResult, percent: float) -> None:
    with pytest.raises(ValueError):
        result.latency.percentile(percent)


def test_a_result_has_seed_scenario_status_and_directory(result: StressResult) -> None:
    assert result.seed == result.scenario.seed == 5
    assert result.scenario.agent_names == ("Ann", "Bob")
    assert result.status == "completed"
    assert isinstance(result.output_dir, Path)
    assert sorted(path.name for path in result.files) == sorted(path.name for path in result.output_dir.iterdir())


def test_error_types_have_a_count_and_a_sample(result: StressResult) -> None:
    (error,) = result.error_types
    assert error["type"] == "LookupError"
    assert error["count"] == result.errors > 0
    assert error["message"] == "no such order"
    assert error["agent"] in ("Ann", "Bob")
    assert error["task"] in ("buy", "sell")
    assert "in trade" in error["traceback"]
    assert "pytest_nos_stress" not in error["traceback"]


def test_records_are_a_structured_array_with_a_row_for_each_operation(result: StressResult) -> None:
    records: Any = result.records
    assert isinstance(records, np.ndarray)
    assert records.size == 1000
    fields = ("agent", "task", "index", "outcome", "kind", "is_error", "called", "end", "latency", "response_time")
    assert records.dtype.names == fields
    names = np.array(result.scenario.agent_names)[records["agent"]]
    assert set(names.tolist()) == {"Ann", "Bob"}
    raised = (records["index"] % 10 == 9) & records["called"]
    assert np.all(records["outcome"][raised] == 1)
    assert int(raised.sum()) == result.errors


def test_the_repr_has_the_counts_and_the_seed(result: StressResult) -> None:
    text = repr(result)
    assert "1000 operations" in text
    assert f"{result.errors} errors" in text
    assert "seed 5" in text


def test_changing_a_records_array_does_not_change_the_result(result: StressResult) -> None:
    before = result.records
    taken = result.records
    taken["latency"] = 0
    assert np.array_equal(result.records, before)


# Checks after the run.


@pytest.mark.parametrize("answer", [None, True, [], "", {}])
def test_a_check_without_problems_passes(result: StressResult, answer: object) -> None:
    result.check(lambda: answer)


@pytest.mark.parametrize(
    ("answer", "words"), [(False, "it returned False"), (["Ann owes 5"], "['Ann owes 5']"), (5, "it returned 5")]
)
def test_a_check_with_problems_fails_the_test(result: StressResult, answer: object, words: str) -> None:
    def audit() -> object:
        return answer

    with pytest.raises(CheckFailed) as caught:
        result.check(audit)
    assert str(caught.value).startswith("check audit failed: ")
    assert words in str(caught.value)
    assert "(seed 5)" in str(caught.value)
    assert caught.value.result is result


def test_a_check_that_raises_fails_the_test_with_the_exception_as_cause(result: StressResult) -> None:
    def audit() -> None:
        raise LookupError("no account")

    with pytest.raises(CheckFailed, match="LookupError: no account") as caught:
        result.check(audit)
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_check_can_take_the_result(result: StressResult) -> None:
    def no_errors(measured: StressResult) -> bool:
        return measured.errors == 0

    with pytest.raises(CheckFailed, match="no_errors"):
        result.check(no_errors)
    result.check(lambda measured: measured.operations == 1000)


def test_a_run_without_checks_has_none(result: StressResult) -> None:
    assert result.checks == ()
    assert result.stats["checks"] == []


def test_the_statistics_count_the_calls_of_the_target(result: StressResult) -> None:
    assert result.stats["calls"] == int(result.records["called"].sum()) > 0
