"""``stress_test_results.log``: a line for every operation, in the words and the format of the seed document."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
SUCCESS = re.compile(rf"{STAMP} - INFO - (?P<agent>\w+) successfully completed (?P<task>\w+)")
MISSING = re.compile(rf"{STAMP} - WARNING - (?P<agent>\w+) encountered missing data during (?P<task>\w+) task\.")
FAILED = re.compile(rf"{STAMP} - ERROR - (?P<agent>\w+) failed to complete (?P<task>\w+) task\.(: (?P<error>.+))?")


def run(directory: Path, target: Any = lambda: None, **given: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": ["StockAgent_A", "ForexAgent_B"],
        "tasks": ["buy", "sell"],
        "operations_per_agent": 100,
        "min_delay": 0,
        "max_delay": 0,
        "seed": 2,
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **given}).run()


def lines(directory: Path) -> list[str]:
    text = (directory / "stress_test_results.log").read_text()
    assert text.endswith("\n")
    return text[:-1].split("\n")


def matched(pattern: re.Pattern[str], directory: Path) -> list[re.Match[str]]:
    return [match for match in map(pattern.fullmatch, lines(directory)) if match]


def test_a_success_is_in_the_seeds_words(tmp_path: Path) -> None:
    run(tmp_path, missing_data_prob=0, failure_prob=0)
    assert len(matched(SUCCESS, tmp_path)) == len(lines(tmp_path)) == 200


def test_missing_data_is_in_the_seeds_words(tmp_path: Path) -> None:
    run(tmp_path, missing_data_prob=1, thresholds=["calls == 0"])
    assert len(matched(MISSING, tmp_path)) == len(lines(tmp_path)) == 200


def test_an_injected_failure_is_in_the_seeds_words_and_nothing_else(tmp_path: Path) -> None:
    run(tmp_path, missing_data_prob=0, failure_prob=1, thresholds=["calls == 0"])
    assert [match["error"] for match in matched(FAILED, tmp_path)] == [None] * 200


def test_an_error_follows_the_seeds_words(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise LookupError("no such order")

    run(tmp_path, fails, missing_data_prob=0, failure_prob=0, gate=False)
    assert [match["error"] for match in matched(FAILED, tmp_path)] == ["LookupError: no such order"] * 200


def test_an_error_without_a_message_is_named(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        raise LookupError

    run(tmp_path, fails, missing_data_prob=0, failure_prob=0, gate=False, operations_per_agent=1)
    assert all("LookupError" in line for line in lines(tmp_path))
    assert len(matched(FAILED, tmp_path)) == 2


def test_the_lines_are_the_statistics(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        if operation.index == 7:
            raise LookupError

    stats: Any = run(tmp_path, fails, gate=False).stats
    for pattern, key in (
        (SUCCESS, "successful_operations"),
        (FAILED, "failed_operations"),
        (MISSING, "missing_data_events"),
    ):
        found = matched(pattern, tmp_path)
        assert len(found) == stats[key] > 0
        for agent, of_agent in stats["agent_stats"].items():
            assert sum(match["agent"] == agent for match in found) == of_agent[key]
        for task, of_task in stats["tasks"].items():
            assert sum(match["task"] == task for match in found) == of_task[key]


def test_time_stamps_are_local_times_in_order(tmp_path: Path) -> None:
    before = time.time()
    run(tmp_path, min_delay=0.001, max_delay=0.002)
    after = time.time()
    stamps = [datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp() for line in lines(tmp_path)]
    assert before - 1 <= stamps[0]
    assert stamps[-1] <= after + 1
    one_agents = [stamp for stamp, line in zip(stamps, lines(tmp_path), strict=True) if "StockAgent_A" in line]
    assert one_agents == sorted(one_agents)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/St_Johns"])
def test_time_stamps_are_those_of_logging(zone: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import logging

    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        result = run(tmp_path, agents=1, operations_per_agent=1, missing_data_prob=0, failure_prob=0)
        end = datetime.fromisoformat(result.stats["end_time"]).timestamp()
        entry = logging.makeLogRecord({"created": end, "msecs": int(end * 1000) % 1000})
        minute = logging.Formatter().formatTime(entry)[:16]
        assert lines(tmp_path)[0].startswith(minute)
    finally:
        monkeypatch.undo()
        time.tzset()


def test_each_agents_lines_are_in_the_order_of_its_operations(tmp_path: Path) -> None:
    tasks: dict[str, list[str]] = {"StockAgent_A": [], "ForexAgent_B": []}

    def note(operation: Operation) -> None:
        tasks[operation.agent].append(operation.task)

    run(tmp_path, note, missing_data_prob=0, failure_prob=0)
    for agent, performed in tasks.items():
        assert [match["task"] for match in matched(SUCCESS, tmp_path) if match["agent"] == agent] == performed


def test_names_with_format_characters_are_written_as_they_are(tmp_path: Path) -> None:
    run(
        tmp_path,
        agents=["{agent} %s"],
        tasks=["{task:>9}"],
        operations_per_agent=1,
        missing_data_prob=0,
        failure_prob=0,
    )
    assert lines(tmp_path)[0].endswith(" - INFO - {agent} %s successfully completed {task:>9}")
