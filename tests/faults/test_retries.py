"""Retries: an agent retries a failed operation under the same id, and waits longer each time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, SettingError, StressResult

ALWAYS_LOST: dict[str, Any] = {
    "failure_prob": 1,
    "operations_per_agent": 1,
    "agents": 1,
    "thresholds": ["calls == 0"],
}


def run(target: Any, tmp_path: Path, **settings: Any) -> StressResult:
    defaults = {"agents": 4, "operations_per_agent": 100, "missing_data_prob": 0, "seed": 5, "engine": "virtual"}
    return MultiAgentSimulator(target={"buy": target}, output_dir=tmp_path, **{**defaults, **settings}).run()


def test_nothing_is_retried_by_default(tmp_path: Path) -> None:
    ids: Counter[str] = Counter()
    result = run(
        lambda operation: ids.update([operation.id]), tmp_path, failure_prob=0.5, failure_mode="lost_reply"
    )
    assert set(ids.values()) == {1}
    assert result.stats["retries"] == 0


def test_an_operation_with_a_lost_reply_is_retried_under_the_same_id(tmp_path: Path) -> None:
    ids: Counter[str] = Counter()
    settings = {"failure_prob": 0.5, "failure_mode": "lost_reply", "retries": 3}
    result = run(lambda operation: ids.update([operation.id]), tmp_path, **settings)
    assert len(ids) == 400
    assert set(ids.values()) == {1, 2, 3, 4}
    assert sum(ids.values()) == 400 + result.stats["retries"]


def test_success_after_retries_is_success(tmp_path: Path) -> None:
    def nothing(operation: Operation) -> None: ...

    without = run(nothing, tmp_path, failure_prob=0.5)
    result = run(nothing, tmp_path, failure_prob=0.5, retries=2)
    # Three attempts fail with 0.5 ** 3; five standard deviations of 400 draws.
    assert without.failure_rate == pytest.approx(0.5, abs=0.125)
    assert result.failure_rate == pytest.approx(0.125, abs=0.083)
    assert result.errors == 0
    counted: list[Any] = [result.stats, *result.stats["agent_stats"].values(), *result.stats["tasks"].values()]
    for counts in counted:
        parts = ("successful_operations", "failed_operations", "missing_data_events")
        assert counts["total_operations"] == sum(counts[part] for part in parts)
    assert result.stats["faults"]["lost_request"] > 400 * 0.5 - 50


def test_an_operation_fails_if_all_attempts_fail(tmp_path: Path) -> None:
    result = run(lambda: None, tmp_path, failure_prob=1, retries=2, thresholds=["calls == 0"])
    assert (result.failures, result.errors, result.stats["retries"]) == (400, 0, 800)
    assert result.stats["faults"] == {"lost_request": 1200}


def test_the_wait_doubles_in_virtual_time(tmp_path: Path) -> None:
    settings = {**ALWAYS_LOST, "min_delay": 0, "max_delay": 0}
    result = run(lambda: None, tmp_path, retries={"times": 3, "backoff": 0.5}, **settings)
    assert result.stats["duration"] == pytest.approx(0.5 + 1 + 2)
    result = run(lambda: None, tmp_path, retries={"times": 3, "backoff": "100ms", "factor": 3}, **settings)
    assert result.stats["duration"] == pytest.approx(0.1 + 0.3 + 0.9)


def test_no_wait_is_longer_than_a_minute(tmp_path: Path) -> None:
    settings = {**ALWAYS_LOST, "min_delay": 0, "max_delay": 0}
    retries = {"times": 3, "backoff": 1000}
    result = run(lambda: None, tmp_path, retries=retries, operation_timeout=1000, **settings)
    assert result.stats["duration"] == pytest.approx(180)


def test_every_allowed_number_and_factor_gives_a_finite_wait(tmp_path: Path) -> None:
    retries = {"times": 1000, "backoff": 0, "factor": 3600}
    result = run(lambda: None, tmp_path, retries=retries, gate=False, **ALWAYS_LOST)
    assert result.error_types == []
    assert result.stats["retries"] == 1000


def test_a_target_that_is_not_idempotent_is_found_and_the_retries_are_counted(tmp_path: Path) -> None:
    seen: set[str] = set()

    def buy(operation: Operation) -> None:
        if operation.id in seen:
            raise KeyError("a second order of this id")
        seen.add(operation.id)

    result = run(buy, tmp_path, failure_prob=1, failure_mode="lost_reply", retries=3, gate=False)
    assert result.errors == result.failures == 400
    assert [error["type"] for error in result.error_types] == ["KeyError"]
    assert result.stats["retries"] == 400


def test_a_real_exception_is_not_retried(tmp_path: Path) -> None:
    calls: list[str] = []

    def buy(operation: Operation) -> None:
        calls.append(operation.id)
        raise ValueError("no funds")

    result = run(buy, tmp_path, failure_prob=0, retries=5, gate=False)
    assert len(calls) == result.errors == 400


def test_bursts_of_overload_may_last_longer_than_a_retry(tmp_path: Path) -> None:
    """A retry during the burst can fail again. Otherwise one retry would cure every overload."""
    result = run(lambda: None, tmp_path, failure_prob=0.5, faults={"overload": 1}, retries=1)
    assert result.failures > 0


def test_retries_are_the_same_in_every_run(tmp_path: Path) -> None:
    first, second = (
        run(lambda: None, tmp_path, failure_prob=0.4, faults="binance", retries=2).records for _ in range(2)
    )
    assert first.tobytes() == second.tobytes()


@pytest.mark.parametrize(
    ("retries", "words"),
    [
        (-1, ["retries=-1", "from 0"]),
        (True, ["retries=True", "a number from 0 to 1000"]),
        (2.5, ["retries=2.5"]),
        ("3", ["retries='3'"]),
        (1001, ["times is 1001", "to 1000"]),
        ({"tries": 3}, ["no such parameter 'tries'", "times, backoff, factor"]),
        ({"times": -1}, ["times is -1"]),
        ({"backoff": -1}, ["backoff is -1", "from 0 to 3600"]),
        ({"factor": 0.5}, ["factor is 0.5", "from 1 to 3600"]),
        ({"backoff": "soon"}, ["backoff is 'soon'"]),
    ],
    ids=str,
)
def test_bad_retries_are_refused_in_one_line(retries: Any, words: list[str]) -> None:
    with pytest.raises(SettingError) as caught:
        Scenario(retries=retries)
    assert len(str(caught.value).splitlines()) == 1
    assert [word for word in words if word not in str(caught.value)] == []
