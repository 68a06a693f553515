"""Sketches have the figures of their runs, are small, and are validated when read."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress.results.baselines.comparison import compare
from pytest_nos_stress.results.baselines.encoding import from_json, to_json
from pytest_nos_stress.results.baselines.sketch import MOST_BLOCKS, RunSketch

Make = Callable[..., Any]


def figure(sketch: RunSketch, metric: str, aggregation: str | None = None, task: str | None = None) -> float:
    value = compare(sketch, [sketch], metric, aggregation, task).value
    assert value is not None
    return value


def exactly(samples: Any, aggregation: str) -> float:
    percent = {"min": 0.0, "med": 50.0, "max": 100.0}.get(aggregation)
    if aggregation in ("mean", "stddev"):
        return float(np.mean(samples) if aggregation == "mean" else np.std(samples))
    return float(np.percentile(samples, float(aggregation[1:]) if percent is None else percent))


@pytest.mark.parametrize("aggregation", ["p1", "p25", "med", "p95", "p99", "mean", "stddev", "min", "max"])
def test_durations_agree_with_the_run_to_about_1_percent(columns: Make, aggregation: str) -> None:
    run = columns(size=4_000)
    for metric, samples in (("latency", run["latency_ns"]), ("response_time", run["response_ns"])):
        exact = exactly(samples, aggregation)
        assert figure(RunSketch.of(**run), metric, aggregation) == pytest.approx(exact / 1e9, rel=0.011)


def test_counts_rates_and_throughput_agree_with_the_run(columns: Make) -> None:
    run = columns(erring=0.05)
    run["outcome"][:100], run["is_error"][:100] = 2, False
    sketch = RunSketch.of(**run)
    failed, errors, total = int((run["outcome"] == 1).sum()), int(run["is_error"].sum()), 1_600
    measured = {
        name: figure(sketch, name)
        for name in ("operations", "successes", "failures", "errors", "missing_data", "failure_rate", "error_rate")
    }
    assert measured == {
        "operations": total,
        "successes": total - failed - 100,
        "failures": failed,
        "errors": errors,
        "missing_data": 100,
        "failure_rate": failed / total,
        "error_rate": errors / total,
    }
    elapsed = (int(run["end_ns"].max()) - run["started_ns"]) / 1e9
    assert figure(sketch, "throughput") == pytest.approx(total / elapsed)


def test_a_task_has_its_own_figures(columns: Make) -> None:
    run = columns()
    run["latency_ns"] = np.where(run["task"] == 1, 9_000_000, 1_000_000)
    sketch = RunSketch.of(**run)
    assert figure(sketch, "latency", "p50", "buy") == pytest.approx(1e-3, rel=0.011)
    assert figure(sketch, "latency", "p50", "sell") == pytest.approx(9e-3, rel=0.011)
    assert figure(sketch, "operations", task="sell") == int((run["task"] == 1).sum())


def test_operations_that_did_not_call_the_target_have_no_latency(columns: Make) -> None:
    run = columns()
    run["called"] = run["latency_ns"] < 2_000_000
    assert figure(RunSketch.of(**run), "latency", "max") < 2.03e-3


def test_a_small_run_has_fewer_blocks_and_a_large_run_has_the_maximum(make_sketch: Make) -> None:
    assert [make_sketch(size=size).blocks for size in (1, 50, 100, 5_000)] == [1, 10, 20, MOST_BLOCKS]


def test_a_run_without_operations_or_time_has_a_sketch(columns: Make) -> None:
    run = columns(size=20)
    run |= {"end_ns": np.full(20, 5_000), "latency_ns": np.zeros(20, np.uint32)}
    assert RunSketch.of(**run).operations == 20
    empty: Any = {name: value[:0] if isinstance(value, np.ndarray) else value for name, value in run.items()}
    assert RunSketch.of(**empty).operations == 0


def test_the_json_of_a_run_is_small(make_sketch: Make) -> None:
    sizes = {size: len(json.dumps(to_json(make_sketch(size=size)))) for size in (400, 4_000, 100_000)}
    assert sizes[400] < 4_000
    assert sizes[4_000] < 16_000
    assert sizes[100_000] < 64_000


def test_a_sketch_survives_json(make_sketch: Make) -> None:
    text = json.dumps(to_json(make_sketch(size=500)), sort_keys=True)
    assert json.dumps(to_json(from_json(json.loads(text))), sort_keys=True) == text


def packed(numbers: list[int]) -> str:
    return base64.b64encode(zlib.compress(np.array(numbers, "<u4").tobytes())).decode()


@pytest.mark.parametrize(
    "change",
    [
        {"tasks": []},
        {"tasks": ["buy", "buy"]},
        {"tasks": ["buy", 7]},
        {"tasks": "buy"},
        {"seconds": []},
        {"seconds": [float("nan")] * 30},
        {"seconds": [-1.0] * 30},
        {"seconds": [True] * 30},
        {"seconds": [1.0]},
        {"seconds": [1.0] * 100_000},
        {"counts": "not base64!"},
        {"counts": "ü"},
        {"counts": base64.b64encode(b"not zlib").decode()},
        {"counts": packed([1, 2, 3])},
        {"counts": None},
        {"durations": {}},
        {"durations": None},
        {"durations": {"latency": packed([1, 2]), "response_time": packed([])}},
        {"durations": {"latency": packed([10_000, 1, 1]), "response_time": packed([])}},
        {"durations": {"latency": packed([0, 5_000, 1]), "response_time": packed([])}},
        {"durations": {"latency": packed([]), "response_time": packed([0] * 9_000_000)}},
    ],
    ids=lambda change: str(change)[:40],
)
def test_json_that_is_not_a_sketch_is_refused(make_sketch: Make, change: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        from_json({**to_json(make_sketch(size=500)), **change})
