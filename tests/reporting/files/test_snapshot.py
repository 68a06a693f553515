"""``agent_memory_snapshot.json``: the successful operations, in time order."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, StressResult

TIME_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")


def run(directory: Path, **given: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": ["Ann", "Bob with a longer name"],
        "tasks": ["buy", "rebalance"],
        "operations_per_agent": 200,
        "min_delay": 0,
        "max_delay": 0,
        "seed": 2,
        "target": lambda: None,
        "output_dir": directory,
    }
    return MultiAgentSimulator(**{**defaults, **given}).run()


def snapshot(directory: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads((directory / "agent_memory_snapshot.json").read_bytes())
    return rows


def test_each_row_has_agent_task_and_timestamp_in_utc(tmp_path: Path) -> None:
    run(tmp_path)
    rows = snapshot(tmp_path)
    assert all(list(row) == ["agent", "task", "timestamp"] for row in rows)
    assert all(TIME_STAMP.fullmatch(row["timestamp"]) for row in rows)


def test_the_rows_are_the_successful_operations(tmp_path: Path) -> None:
    result = run(tmp_path)
    rows = snapshot(tmp_path)
    assert len(rows) == result.successes
    by_agent = Counter(row["agent"] for row in rows)
    by_task = Counter(row["task"] for row in rows)
    for name, part in result.stats["agent_stats"].items():
        assert by_agent[name] == part["successful_operations"] > 0
    for name, part in result.stats["tasks"].items():
        assert by_task[name] == part["successful_operations"] > 0


def test_the_rows_are_in_time_order_and_within_the_run(tmp_path: Path) -> None:
    result = run(tmp_path, agents=8, min_delay=0.001, max_delay=0.003)
    stamps = [datetime.fromisoformat(row["timestamp"]) for row in snapshot(tmp_path)]
    assert stamps == sorted(stamps)
    assert datetime.fromisoformat(result.stats["start_time"]) <= stamps[0]
    assert stamps[-1] <= datetime.fromisoformat(result.stats["end_time"])


def test_a_run_that_takes_turns_of_seconds_is_stamped_right(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        agents=1,
        operations_per_agent=4,
        min_delay=0.3,
        max_delay=0.3,
        missing_data_prob=0,
        failure_prob=0,
    )
    stamps = [datetime.fromisoformat(row["timestamp"]).timestamp() for row in snapshot(tmp_path)]
    start = datetime.fromisoformat(result.stats["start_time"]).timestamp()
    assert all(stamp - start >= 0.3 * number - 0.001 for number, stamp in enumerate(stamps, 1))


def test_without_a_success_the_snapshot_is_an_empty_list(tmp_path: Path) -> None:
    run(tmp_path, missing_data_prob=1, thresholds=["calls == 0"])
    assert snapshot(tmp_path) == []


@pytest.mark.parametrize("operations", [1, 2, 8_191, 8_192, 8_193, 20_000])
def test_the_snapshot_is_json_whatever_its_length(operations: int, tmp_path: Path) -> None:
    run(tmp_path, agents=1, operations_per_agent=operations, missing_data_prob=0, failure_prob=0)
    assert len(snapshot(tmp_path)) == operations


def test_names_of_any_characters_come_back_as_they_were(tmp_path: Path) -> None:
    names = ['"', "\\", "\n", "株", "x" * 300, "\x1b[0m", "\0", "a b "]
    names = [f"{name}." for name in names]
    run(tmp_path, agents=names, tasks=names, operations_per_agent=50, missing_data_prob=0, failure_prob=0)
    assert {row["agent"] for row in snapshot(tmp_path)} == set(names)
    assert {row["task"] for row in snapshot(tmp_path)} == set(names)
