"""The benchmark file as github-action-benchmark and Bencher read it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from pytest_nos_stress.reporting.ci import benchmark
from pytest_nos_stress.results.summary_types import Summary

Make = Callable[..., Summary]


def read_by_github_action_benchmark(text: str) -> list[dict[str, Any]]:
    """Read the file like ``extractPytestResult`` for ``tool: pytest``: bigger is better."""
    return [
        {
            "name": entry["fullname"],
            "value": entry["stats"]["ops"],
            "range": f"stddev: {entry['stats']['stddev']}",
            "extra": f"mean: {entry['stats']['mean']} sec, rounds: {entry['stats']['rounds']}",
        }
        for entry in json.loads(text)["benchmarks"]
    ]


def read_by_bencher(text: str, average: str = "mean") -> dict[str, tuple[float, float, float]]:
    """Read the file like ``AdapterPythonPytest``: nanoseconds, lower and upper. Raises if it rejects the file."""
    document = json.loads(text)
    assert isinstance(document["machine_info"], dict)
    assert isinstance(document["commit_info"], dict)
    values = {}
    for entry in document["benchmarks"]:
        name, stats = entry["fullname"], entry["stats"]
        assert isinstance(name, str)
        assert 0 < len(name.encode()) <= 1024
        assert all(isinstance(stats[field], int | float) for field in ("mean", "stddev", "median", "iqr"))
        value, spread = (stats["mean"], stats["stddev"]) if average == "mean" else (stats["median"], stats["iqr"])
        assert name not in values
        values[name] = (value * 1e9, (value - spread) * 1e9, (value + spread) * 1e9)
    return values


def test_both_read_the_percentiles_of_a_runs_latency(summary: Make) -> None:
    run = summary()
    text = benchmark.render([run])
    names = [f"{run['test']} latency {figure}" for figure in ("p50", "p95", "p99")]
    nanoseconds = [1_250_000.0, 2_500_000.0, 4_000_000.0]
    for average in ("mean", "median"):
        read = read_by_bencher(text, average)
        assert list(read) == names
        assert [value for value, _, _ in read.values()] == nanoseconds
        assert all(lower == value == upper for value, lower, upper in read.values())
    charted = read_by_github_action_benchmark(text)
    assert [entry["name"] for entry in charted] == names
    assert [entry["value"] for entry in charted] == [800.0, 400.0, 250.0]
    assert charted[0]["extra"] == "mean: 0.00125 sec, rounds: 1"


def test_a_slower_run_is_worse_for_both(summary: Make) -> None:
    quick = benchmark.render([summary()])
    slow = benchmark.render([summary(latency={"p50": 0.01, "p95": 0.02, "p99": 0.03})])
    for before, after in zip(
        read_by_github_action_benchmark(quick), read_by_github_action_benchmark(slow), strict=True
    ):
        assert after["value"] < before["value"]
    for name, (value, _, _) in read_by_bencher(slow).items():
        assert value > read_by_bencher(quick)[name][0]


def test_a_second_run_of_a_test_has_a_name_of_its_own(summary: Make) -> None:
    names = list(read_by_bencher(benchmark.render([summary(), summary(run=2)])))
    assert len(names) == 6
    assert names[3] == f"{summary()['test']} run 2 latency p50"


@pytest.mark.parametrize("status", ["hung", "interrupted", "aborted"])
def test_a_run_that_was_cut_short_is_left_out(failed: Make, status: str) -> None:
    assert json.loads(benchmark.render([failed(status=status)]))["benchmarks"] == []


def test_a_failed_run_was_measured_as_well_as_a_passed_one(failed: Make) -> None:
    document = json.loads(benchmark.render([failed()]))
    assert [entry["extra_info"]["verdict"] for entry in document["benchmarks"]] == ["failed"] * 3


def test_percentiles_of_too_few_operations_are_left_out(summary: Make) -> None:
    figures = [name.rpartition(" ")[2] for name in read_by_bencher(benchmark.render([summary(operations=99)]))]
    assert figures == ["p50", "p95"]
    assert read_by_bencher(benchmark.render([summary(operations=1)])) == {}


@pytest.mark.parametrize("nothing", [None, 0.0, math.nan, math.inf])
def test_a_latency_without_a_reciprocal_is_left_out(summary: Make, nothing: float | None) -> None:
    text = benchmark.render([summary(latency={"p50": nothing, "p95": nothing, "p99": 0.004})])
    assert [name.rpartition(" ")[2] for name in read_by_bencher(text)] == ["p99"]


def test_hostile_test_ids_are_names_and_nothing_else(hostile_runs: list[Summary]) -> None:
    text = benchmark.render(hostile_runs)
    text.encode()
    names = list(read_by_bencher(text))
    assert len(names) == 3 * len(hostile_runs)
    assert all(name.isprintable() for name in names)
    assert f"{hostile_runs[0]['test']} latency p50" in names


@pytest.mark.parametrize("letter", ["x", "é", "𝄞"])
def test_ids_too_long_for_bencher_are_shortened_and_stay_apart(summary: Make, letter: str) -> None:
    runs = [summary(test=letter * 2000), summary(test=letter * 2000 + "y")]
    assert len(read_by_bencher(benchmark.render(runs))) == 6
