"""Limits that all callers share: requests per window, bans for callers that ignore the limit, maintenance."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult, eventually
from pytest_nos_stress.faults import Banned, ExchangeNotAvailable, RateLimited
from pytest_nos_stress.faults.rate_limits import RateLimits

RATE = {"limit": 3, "per": 10.0, "tolerated": 2, "ban": 100.0, "status": None, "code": -1003}


def refusals(limits: RateLimits, *moments: float) -> list[str | None]:
    return [None if error is None else error.kind for error in (limits.check(moment) for moment in moments)]


def run(tmp_path: Path, faults: dict[str, Any], **settings: Any) -> StressResult:
    defaults = {
        "agents": 5,
        "operations_per_agent": 100,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 5,
        "engine": "virtual",
        "target": {"buy": lambda: None},
        "output_dir": tmp_path,
        "faults": faults,
    }
    return MultiAgentSimulator(**{**defaults, **settings}).run()


def test_each_window_lets_the_limit_of_requests_pass() -> None:
    limits = RateLimits({"rate_limit": {**RATE, "tolerated": None}})
    assert refusals(limits, 0, 1, 2, 3, 9.9) == [None, None, None, "rate_limit", "rate_limit"]
    assert refusals(limits, 10, 11, 12, 13) == [None, None, None, "rate_limit"]
    assert refusals(limits, 45, 49, 49, 49.9, 50) == [None, None, None, "rate_limit", None]


def test_a_request_after_retry_after_seconds_passes() -> None:
    limits = RateLimits({"rate_limit": RATE})
    for _ in range(3):
        assert limits.check(4.0) is None
    error = limits.check(4.0)
    assert isinstance(error, RateLimited)
    assert (error.kind, error.status, error.code, error.retry_after) == ("rate_limit", 429, -1003, 6.0)
    assert error.retry_after is not None
    assert limits.check(4.0 + error.retry_after) is None


def test_callers_that_ignore_refusals_are_banned_longer_each_time() -> None:
    limits = RateLimits({"rate_limit": RATE})
    assert refusals(limits, *[0] * 5) == [None] * 3 + ["rate_limit"] * 2
    banned = limits.check(1.0)
    assert isinstance(banned, Banned)
    assert (banned.kind, banned.status, banned.retry_after) == ("ip_ban", 418, 100.0)
    assert refusals(limits, 50, 100.9) == ["ip_ban", "ip_ban"]
    assert refusals(limits, 101, 101, 101, 101, 101) == [None] * 3 + ["rate_limit"] * 2
    again = limits.check(101)
    assert again is not None
    assert again.retry_after == 200.0
    assert refusals(limits, 300.9, 301.1) == ["ip_ban", None]


def test_without_a_number_tolerated_there_is_no_ban() -> None:
    limits = RateLimits({"rate_limit": {**RATE, "tolerated": None}})
    assert set(refusals(limits, *[1] * 1000)) == {None, "rate_limit"}


def test_no_ban_is_longer_than_three_days() -> None:
    limits = RateLimits({"rate_limit": {**RATE, "limit": 1, "tolerated": 0, "ban": 86_400.0}})
    moment, longest = 0.0, 0.0
    for _ in range(40):
        error = limits.check(moment)
        if isinstance(error, Banned):
            longest = max(longest, error.retry_after or 0)
            moment += error.retry_after or 0
    assert longest == 3 * 86_400


@pytest.mark.parametrize("per", [0.1, 0.3, 0.7, 1.0, 60.0])
def test_waiting_for_retry_after_seconds_always_helps(per: float) -> None:
    """Also true if a window's length is not an exact binary number: waits are exact to the nanosecond."""
    limits = RateLimits({"rate_limit": {**RATE, "limit": 1, "per": per, "tolerated": None}})
    moment = 0
    for _ in range(200):
        assert limits.check(moment / 1e9) is None
        refused = limits.check(moment / 1e9)
        assert refused is not None
        assert refused.retry_after is not None
        moment += max(1, round(refused.retry_after * 1e9))


def test_maintenance_refuses_all_in_its_time_and_none_outside() -> None:
    limits = RateLimits({"maintenance": {"at": 60.0, "lasts": 10.0, "status": None, "code": 1100}})
    assert refusals(limits, 0, 59.9, 60, 69.9, 70) == [None, None, "maintenance", "maintenance", None]
    error = limits.check(62.0)
    assert isinstance(error, ExchangeNotAvailable)
    assert (error.status, error.code, error.retry_after) == (503, 1100, 8.0)


def test_agents_share_the_limit_in_virtual_time(tmp_path: Path) -> None:
    faults = {"rate_limit": {"limit": 10, "per": 1.0, "tolerated": None}}
    result = run(tmp_path, faults)
    seconds = (result.records["end"] - result.records["end"].min()) / 1e9
    passed = seconds[result.records["outcome"] == 0]
    # 5 agents with think times of 0.1 s are about 50 requests a second; 10 of them pass.
    assert result.successes == pytest.approx(10 * result.stats["duration"], rel=0.15)
    assert result.failures == result.stats["faults"]["rate_limit"] > 300
    assert len(passed) == result.successes
    assert result.errors == 0


def test_agents_that_ignore_refusals_are_banned_in_virtual_time(tmp_path: Path) -> None:
    result = run(tmp_path, {"rate_limit": {"limit": 20, "per": 1.0, "tolerated": 5, "ban": 2.0}})
    met = result.stats["faults"]
    assert met["rate_limit"] >= 5
    assert met["ip_ban"] > met["rate_limit"]
    assert result.failures == met["rate_limit"] + met["ip_ban"]


def test_limits_are_the_same_in_every_run(tmp_path: Path) -> None:
    faults = {"rate_limit": {"limit": 20, "per": 1.0, "tolerated": 5, "ban": 2.0}}
    first, second = (run(tmp_path, faults).records.tobytes() for _ in range(2))
    assert first == second


def test_a_simulator_that_runs_again_begins_with_fresh_limits(tmp_path: Path) -> None:
    simulator = MultiAgentSimulator(
        target={"buy": lambda: None},
        faults={"rate_limit": {"limit": 20, "per": 1000}},
        missing_data_prob=0,
        operations_per_agent=20,
        agents=2,
        engine="virtual",
        output_dir=tmp_path,
    )
    assert simulator.run().successes == simulator.run().successes == 20


def test_operations_with_faults_off_meet_no_limit(tmp_path: Path) -> None:
    faults = {"rate_limit": {"limit": 1, "per": 1000, "tolerated": 0}}
    result = run(tmp_path, faults, fault_windows=[(2, 4)])
    inside = result.records["kind"] != result.scenario.fault_mix.faults_disabled
    assert set(result.records["outcome"][~inside].tolist()) == {0}
    assert result.failures == inside.sum() - 1


def test_a_system_that_recovers_meets_no_limit(tmp_path: Path) -> None:
    calls: list[str] = []

    def buy(operation: Operation) -> None:
        calls.append(operation.id)

    result = run(
        tmp_path,
        {"rate_limit": {"limit": 1, "per": 1000, "tolerated": 0}},
        target={"buy": buy},
        checks=[eventually("ten orders", lambda: len(calls) >= 10)],
    )
    assert (result.successes, result.failures) == (len(calls), 499)


def test_maintenance_in_a_run(tmp_path: Path) -> None:
    result = run(tmp_path, {"maintenance": {"at": 3.0, "lasts": 2.0}})
    assert result.failures == result.stats["faults"]["maintenance"]
    assert result.failures == pytest.approx(100, rel=0.2)


def test_real_threads_are_let_through_up_to_the_limit_and_no_further(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        {"rate_limit": {"limit": 100, "per": 1000, "tolerated": None}},
        engine="threads",
        min_delay=0,
        max_delay=0,
    )
    assert (result.successes, result.failures) == (100, 400)


def test_threads_that_meet_at_the_start_of_a_window_all_have_their_share_of_it() -> None:
    limits = RateLimits({"rate_limit": {**RATE, "limit": 100}})
    limits._lock = Together(2)  # type: ignore[assignment]
    answers: list[Any] = []
    threads = [threading.Thread(target=lambda: answers.append(limits.check(0.0))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [None, None]


class Together:
    """A lock that no thread gets before all threads wait for it, as can happen by chance."""

    def __init__(self, threads: int) -> None:
        self._all = threading.Barrier(threads, timeout=60)
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._all.wait()
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()
