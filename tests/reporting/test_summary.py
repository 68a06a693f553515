"""The summary of a run, from which all outputs take their figures."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, StressResult
from pytest_nos_stress.reporting import terminal
from pytest_nos_stress.reporting.summary import RunInfo, formatted, properties, summarise
from pytest_nos_stress.results.summary_types import Summary

HOSTILE = "\x1b[31m<b>\n::error::\ud800|"


def perform(output_dir: Path, **given: Any) -> StressResult:
    values: dict[str, Any] = {
        "agents": ["Ann", HOSTILE],
        "engine": "virtual",
        "operations_per_agent": 50,
        "seed": 3,
        "output_dir": output_dir,
        "report": "none",
        "gate": False,
    }
    return MultiAgentSimulator(**(values | given)).run()


def fail(operation: Any) -> None:
    operation.sleep(0.01)
    if operation.index == 40:
        raise ValueError(HOSTILE)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    return perform(
        tmp_path_factory.mktemp("out"),
        target={"buy": fail},
        missing_data_prob=0,
        failure_prob=0,
        thresholds=["latency.p99 < 50ms", "failure_rate < 1% over 1s"],
        label=HOSTILE,
    )


def plain(value: Any) -> bool:
    """Return True if a value has builtin types only, and every text is one line without control characters."""
    if isinstance(value, dict):
        return type(value) is dict and all(plain(name) and plain(one) for name, one in value.items())
    if isinstance(value, list):
        return type(value) is list and all(map(plain, value))
    if isinstance(value, str):
        return type(value) is str and (value.isprintable() or not value)
    return value is None or type(value) in (bool, int, float)


def test_a_summary_is_of_built_in_types_and_holds_nothing_that_a_terminal_would_obey(result: StressResult) -> None:
    assert plain(result.summary)
    assert json.loads(json.dumps(result.summary)) == result.summary


def test_a_summary_has_the_counts_rates_and_percentiles_of_the_statistics(result: StressResult) -> None:
    summary: Any = result.summary
    stats: Any = result.stats
    assert (summary["operations"], summary["failures"], summary["errors"]) == (100, 2, 2)
    for name in ("success_rate", "failure_rate", "error_rate", "missing_data_rate", "throughput", "fairness"):
        assert summary[name] == stats[name]
    for name in ("p50", "p95", "p99", "max", "mean"):
        assert summary["latency"][name] == stats["latency"][name]
        assert summary["response_time"][name] == stats["response_time"][name]


def test_a_summary_has_the_thresholds_and_the_reason_of_the_failure(result: StressResult) -> None:
    summary = result.summary
    assert (summary["verdict"], summary["passed"], summary["status"]) == ("failed", False, "completed")
    asked = {one["wanted"]: one["verdict"] for one in summary["thresholds"]}
    assert asked == {
        "latency.p99 < 50ms": "passed",
        "failure_rate < 1% over 1s": "failed",
        "errors == 0": "failed",
    }
    assert summary["failure"].startswith("threshold failure_rate < 1% over 1s failed: ")
    (error,) = summary["error_types"]
    assert (error["type"], error["count"], error["task"]) == ("ValueError", 2, "buy")


def test_the_history_adds_up_to_the_counts(result: StressResult) -> None:
    history: Any = result.summary["history"]
    assert sum(history["operations"]) == 100
    assert sum(history["errors"]) == 2
    assert len({len(column) for column in history.values()}) == 1


def test_paths_are_relative_to_where_the_run_was_started_or_absolute_above_it(result: StressResult) -> None:
    directory = result.output_dir
    below = summarise(result, RunInfo("test", directory=directory.parent))
    assert below["directory"] == directory.name
    assert below["files"]["log"] == f"{directory.name}{os.sep}stress_test_results.log"
    beside = summarise(result, RunInfo("test", directory=directory / "elsewhere"))
    assert beside["directory"] == str(directory)
    assert set(below["files"]) == {"log", "snapshot", "statistics", "scenario"}


def test_the_caller_provides_the_test_and_the_command_that_repeats_it(result: StressResult) -> None:
    about = RunInfo("a.py::test_b", 3, "a.py", 7, repeat=lambda run: f"repeat {run.seed}")
    summary = summarise(result, about)
    assert [summary[name] for name in ("test", "run", "file", "line")] == ["a.py::test_b", 3, "a.py", 7]
    assert summary["repeat"] == "repeat 3"


def test_figures_have_units_and_missing_figures_are_left_out(result: StressResult, tmp_path: Path) -> None:
    texts = formatted(result.summary)
    assert [texts[name] for name in ("operations", "failure_rate", "latency p50")] == ["100", "2%", "10 ms"]
    uncalled = perform(
        tmp_path, target=lambda: None, missing_data_prob=0, failure_prob=1, thresholds=["calls == 0"]
    )
    assert formatted(uncalled.summary)["latency p99"] == "-"
    assert formatted(uncalled.summary)["failure_rate"] == "100%"


def test_figures_for_junit_are_numbers_in_base_units(result: StressResult) -> None:
    described = properties(result.summary)
    assert (described["operations"], described["failed"], described["latency_p50"]) == (100, 2, 0.01)
    assert (described["verdict"], described["status"]) == ("failed", "completed")
    assert described["failure"] == result.summary["failure"]
    assert described["threshold_1"].startswith("latency.p99 < 50ms passed: ")


@pytest.mark.parametrize("passing", [True, False])
def test_a_run_that_is_judged_is_passed_or_failed_and_so_is_its_summary(tmp_path: Path, passing: bool) -> None:
    thresholds = ["operations > 1" if passing else "operations > 1000"]
    summary: Summary = perform(tmp_path, target=lambda: None, thresholds=thresholds).summary
    assert summary["passed"] == passing
    assert summary["verdict"] == ("passed" if passing else "failed")
    assert bool(summary["failure"]) != passing


def test_a_run_in_virtual_time_has_no_memory_figures(result: StressResult) -> None:
    assert result.summary["memory"] is None
    assert "memory_peak" not in properties(result.summary)


def test_errors_during_warm_up_are_noted_although_the_run_passes(tmp_path: Path) -> None:
    def first_fails(operation: Any) -> None:
        operation.sleep(0.01)
        if operation.index == 0:
            raise ConnectionError("not there yet")

    given: dict[str, Any] = {"agents": 2, "missing_data_prob": 0, "failure_prob": 0}
    given |= {"min_delay": 0, "max_delay": 0, "warmup": 0.1, "thresholds": ["failure_rate < 1%"]}
    result = perform(tmp_path, target={"buy": first_fails}, **given)
    assert result.passed
    (note,) = result.summary["notes"]
    assert note == "thresholds do not judge the warmup (until 0.1 s): 20 operations, 2 failed, 2 errors"
    assert f"  {note}" in terminal.summary([result.summary])
    calm = perform(tmp_path, target={"buy": lambda operation: operation.sleep(0.01)}, **given)
    assert (calm.passed, calm.summary["notes"]) == (True, [])


def test_figures_for_junit_that_were_not_measured_are_left_out(tmp_path: Path) -> None:
    uncalled = perform(
        tmp_path, target=lambda: None, missing_data_prob=0, failure_prob=1, thresholds=["calls == 0"]
    )
    described = properties(uncalled.summary)
    assert None not in described.values()
    assert [name for name in described if name.startswith(("latency", "response_time", "fairness"))] == []
    assert (described["failed"], described["failure_rate"], described["success_rate"]) == (100, 1, 0)


def test_a_note_has_the_number_of_errors_from_the_background_beside_those_of_operations(tmp_path: Path) -> None:
    def buy(operation: Any) -> None:
        if operation.index == 0:
            thread = threading.Thread(target=confirm)
            thread.start()
            thread.join()
        elif operation.index == 1:
            raise ValueError("rejected")

    def confirm() -> None:
        raise LookupError("no fill")

    settings = {"agents": 1, "operations_per_agent": 3, "missing_data_prob": 0, "failure_prob": 0}
    result = perform(tmp_path, target={"buy": buy}, engine="threads", min_delay=0, max_delay=0, **settings)
    assert result.errors == 2
    assert "1 of 2 errors came from the background: no operation raised them" in result.summary["notes"]
    assert "One error, at" in result.finding
