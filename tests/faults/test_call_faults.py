"""Effect of each fault: the number of calls of the target, the duration, and the caller's exception."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, StressResult, faults
from pytest_nos_stress.faults.call_steps import follow, run_steps
from pytest_nos_stress.faults.mix import PlannedFault


def perform(tmp_path: Path, fault: str | dict[str, Any], **settings: Any) -> tuple[StressResult, Counter[str]]:
    """Run in virtual time with the fault at every call. Return the result, and executions by operation."""
    calls: Counter[str] = Counter()
    defaults = {
        "agents": 4,
        "operations_per_agent": 50,
        "missing_data_prob": 0,
        "failure_prob": 1,
        "seed": 3,
        "engine": "virtual",
        "min_delay": 0,
        "max_delay": 0,
        "faults": {fault: 1} if isinstance(fault, str) else fault,
    }
    simulator = MultiAgentSimulator(
        target={"buy": lambda operation: calls.update([operation.id])},
        output_dir=tmp_path,
        **{**defaults, **settings},
    )
    return simulator.run(), calls


def planned(fault: str, **parameters: Any) -> PlannedFault:
    """Return a planned call with this fault and these parameters."""
    mix = Scenario(faults={fault: parameters}, failure_prob=1, missing_data_prob=0).fault_mix
    return next(variant for variant in mix.variants if variant.fault == fault)


@pytest.mark.parametrize(
    ("fault", "called", "outcome", "least", "most"),
    [
        ("lost_request", 0, "failed", 0, 0),
        ("lost_reply", 1, "failed", 0, 0),
        ("overload", 0, "failed", 0, 0),
        ("reject", 0, "failed", 0, 0),
        ("clock", 0, "failed", 0, 0),
        ("lost_fill", 1, "failed", 0, 0),
        ("reject_but_filled", 1, "failed", 0, 0),
        ("late_status", 1, "success", 0.15, 0.25),
        ("duplicate_ack", 2, "success", 0, 0),
        ("late_execution", 1, "failed", 1.5, 4),
    ],
)
def test_each_fault_has_its_number_of_calls_its_outcome_and_its_duration(
    tmp_path: Path, fault: str, called: int, outcome: str, least: float, most: float
) -> None:
    result, calls = perform(tmp_path, fault, thresholds=[f"calls == {200 if called else 0}"])
    assert set(calls.values()) == ({called} if called else set())
    assert len(calls) == (200 if called else 0)
    assert (result.failures, result.successes) == ((200, 0) if outcome == "failed" else (0, 200))
    assert result.errors == 0
    assert result.stats["faults"] == {fault: 200}
    took = result.records["latency"] / 1e9
    assert least <= took.min() <= took.max() <= most
    assert bool(took.min() < took.max()) == (least < most)


def test_of_unknown_states_about_half_were_executed(tmp_path: Path) -> None:
    result, calls = perform(tmp_path, "unknown_state", operations_per_agent=500)
    # Five standard deviations of 2,000 draws.
    assert len(calls) == pytest.approx(1000, abs=5 * (2000 * 0.25) ** 0.5)
    assert set(calls.values()) == {1}
    assert (result.failures, result.errors, result.stats["faults"]) == (2000, 0, {"unknown_state": 2000})


@pytest.mark.parametrize(("executed", "called"), [(0, 0), (1, 200)])
def test_the_share_of_executed_unknown_states_can_be_set(tmp_path: Path, executed: float, called: int) -> None:
    _, calls = perform(tmp_path, {"unknown_state": {"executed": executed}}, thresholds=[f"calls == {called}"])
    assert calls.total() == called


def test_a_duplicate_acknowledgement_is_the_same_operation_twice(tmp_path: Path) -> None:
    _, calls = perform(tmp_path, "duplicate_ack")
    assert Counter(calls.values()) == {2: 200}


def test_parameters_of_time_are_kept(tmp_path: Path) -> None:
    result, _ = perform(tmp_path, {"late_status": {"delay": ("1s", 2)}})
    took = result.records["latency"] / 1e9
    assert 1 <= took.min() < took.max() <= 2
    result, _ = perform(tmp_path, {"late_execution": {"timeout": 5, "delay": "500ms"}})
    assert set((result.records["latency"] / 1e9).tolist()) == {5.5}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("lost_request", faults.RequestTimeout),
        ("lost_reply", faults.RequestTimeout),
        ("late_execution", faults.RequestTimeout),
        ("unknown_state", faults.RequestTimeout),
        ("overload", faults.ExchangeNotAvailable),
        ("reject", faults.RequestRejected),
        ("clock", faults.BadClock),
        ("lost_fill", faults.RequestTimeout),
        ("reject_but_filled", faults.RequestRejected),
    ],
)
def test_each_fault_has_its_exception_with_its_name(fault: str, error: type[Exception]) -> None:
    effect = planned(fault).effect(lambda: Random(1))
    assert type(effect.error) is error
    assert effect.error is not None
    assert effect.error.kind == fault
    waits: list[float] = []
    with pytest.raises(error):
        run_steps(follow(effect), lambda: "answer", waits.append)


@pytest.mark.parametrize("fault", ["unknown_state", "overload", "reject", "clock", "reject_but_filled"])
def test_an_error_has_status_and_code_and_its_message_shows_them(fault: str) -> None:
    error = planned(fault, status=499, code=-77).effect(lambda: Random(1)).error
    assert error is not None
    assert (error.status, error.code) == (499, -77)
    assert "HTTP 499" in str(error)
    assert "-77" in str(error)


@pytest.mark.parametrize(
    ("profile", "fault", "status", "code"),
    [
        ("binance", "unknown_state", 503, -1007),
        ("binance", "reject", 400, -2010),
        ("binance", "overload", 503, -1008),
        ("binance", "clock", 400, -1021),
        ("alpaca", "reject", 422, 42210000),
        ("alpaca", "unknown_state", 504, None),
        ("ib", "reject", None, 201),
        ("ib", "unknown_state", None, 1100),
    ],
)
def test_a_broker_answers_with_its_own_codes(profile: str, fault: str, status: int, code: int) -> None:
    mix = Scenario(faults=profile).fault_mix
    variant = next(variant for variant in mix.variants if variant.fault == fault)
    error = variant.effect(lambda: Random(1)).error
    assert error is not None
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize("profile", ["binance", "alpaca", "ib"])
def test_a_brokers_profile_causes_no_errors_and_all_its_faults_occur(tmp_path: Path, profile: str) -> None:
    result, _ = perform(
        tmp_path,
        profile,
        faults=profile,
        failure_prob=0.1,
        operations_per_agent=2_000,
        min_delay=2,  # within every broker's limit, so that calls come to their faults
        max_delay=2,
    )
    mix = Scenario(faults=profile).fault_mix
    drawn = {fault.reported_as for fault in mix.call_faults if fault.probability}
    assert set(result.stats["faults"]) >= drawn
    assert result.errors == 0
    assert result.operations == result.successes + result.failures == 8_000


def test_the_target_keeps_its_own_exception_where_it_is_called_and_its_reply_is_lost(tmp_path: Path) -> None:
    def buy(operation: Operation) -> None:
        raise ValueError("no funds")

    result = MultiAgentSimulator(
        target={"buy": buy},
        faults={"lost_reply": 1},
        gate=False,
        output_dir=tmp_path,
        agents=1,
        operations_per_agent=5,
        missing_data_prob=0,
        failure_prob=1,
        engine="virtual",
    ).run()
    assert [(error["type"], error["count"]) for error in result.error_types] == [("ValueError", 5)]
