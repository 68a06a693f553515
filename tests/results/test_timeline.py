"""Time series agree with a recount of the operations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult
from pytest_nos_stress.results.timeline import time_series


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> StressResult:
    def varies(operation: Operation) -> None:
        operation.sleep(operation.random.choice([0, 0.01, 0.02, 0.3]))
        if operation.random.random() < 0.2:
            raise LookupError

    return MultiAgentSimulator(
        agents=3,
        operations_per_agent=120,
        max_delay=0.05,
        min_delay=0,
        missing_data_prob=0.2,
        failure_prob=0.2,
        seed=9,
        engine="virtual",
        target=varies,
        report="none",
        gate=False,
        output_dir=tmp_path_factory.mktemp("run"),
    ).run()


@pytest.mark.parametrize("parts", [1, 2, 7, 60, 500])
def test_each_bucket_has_the_operations_that_ended_in_it(result: StressResult, parts: int) -> None:
    series: Any = time_series(result.measured, parts)
    measured, rows = result.measured, result.records
    ends = np.sort(measured.records.column("end")) - measured.started_ns
    length = measured.ended_ns - measured.started_ns
    buckets = [min(int(end) * parts // length, parts - 1) for end in ends.tolist()]
    assert [len(values) for values in series.values()] == [parts] * 5
    assert series["seconds"] == pytest.approx([part * length / 1e9 / parts for part in range(parts)])
    for part in range(parts):
        own = rows[[bucket == part for bucket in buckets]]
        assert series["operations"][part] == own.size
        assert series["failures"][part] == int((own["outcome"] == 1).sum())
        assert series["errors"][part] == int(own["is_error"].sum())
        latencies = sorted(own["latency"][own["called"]].tolist())
        by_rank = latencies[math.ceil(len(latencies) * 99 / 100) - 1] / 1e9 if latencies else None
        assert series["p99"][part] == by_rank


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 200, 1_000])
def test_the_percentile_is_by_nearest_rank(count: int, tmp_path: Path) -> None:
    def slower_and_slower(operation: Operation) -> None:
        operation.sleep((operation.index + 1) / 1000)

    run = MultiAgentSimulator(
        agents=1,
        operations_per_agent=count,
        max_delay=0,
        min_delay=0,
        missing_data_prob=0,
        failure_prob=0,
        engine="virtual",
        target=slower_and_slower,
        report="none",
        output_dir=tmp_path,
    ).run()
    assert time_series(run.measured, 1)["p99"] == [pytest.approx(math.ceil(count * 99 / 100) / 1000)]


def test_a_run_that_took_no_time_is_in_one_bucket(tmp_path: Path) -> None:
    run = MultiAgentSimulator(
        operations_per_agent=5,
        max_delay=0,
        min_delay=0,
        engine="virtual",
        target=lambda: None,
        report="none",
        output_dir=tmp_path,
    ).run()
    series: Any = time_series(run.measured)
    assert sum(series["operations"]) == run.operations == max(series["operations"])
    assert series["p99"] == [None] * 60
