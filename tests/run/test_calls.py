"""``called`` is noted where the target's function is entered: a call that was refused before is no call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, RunFailed, StressResult, ThresholdsNotMet

ENGINES = ("threads", "asyncio", "virtual")
WORLDS: dict[str, dict[str, Any]] = {
    "a broker's limit": {"faults": {"rate_limit": {"limit": 5, "per": 60.0}, "reject": 1}},
    "a limit and retries": {
        "faults": {"rate_limit": {"limit": 5, "per": 60.0}, "lost_reply": 1},
        "retries": {"times": 2, "backoff": 0},
    },
    "maintenance": {
        "faults": {"maintenance": {"at": 0.0, "lasts": 3600.0}},
        "missing_data_prob": 0,
        "thresholds": ["calls == 0"],
    },
    "lost requests, sent again": {"failure_mode": "lost_request", "retries": {"times": 2, "backoff": 0}},
    "lost requests": {"failure_mode": "mixed"},
    "a partition": {
        "network": {"latency": "100us", "partitions": [(0, 3600)], "timeout": 0.001},
        "thresholds": ["calls == 0"],
    },
    "a lossy network": {"network": {"latency": "100us", "loss": "30%", "timeout": 0.001}, "retries": 1},
    "late and repeated executions": {
        "faults": {"late_execution": {"timeout": 0.001, "delay": (0, 0.001)}, "duplicate_ack": 1, "overload": 1}
    },
    "closed fault windows": {"faults": {"reject": 1}, "fault_windows": [{"after": "open", "lasts": 3600}]},
}


class EntryCounter:
    """A target that notes its own calls: the operations that entered it."""

    def __init__(self) -> None:
        self.entered: set[tuple[str, int]] = set()
        self._lock = threading.Lock()

    def trade(self, operation: Operation) -> None:
        if operation.index == 4:
            operation.announce("open")
        with self._lock:
            self.entered.add((operation.agent, operation.index))

    async def trade_async(self, operation: Operation) -> None:
        self.trade(operation)
        await asyncio.sleep(0)


def run(directory: Path, target: object, **settings: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": 3,
        "operations_per_agent": 12,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0.2,
        "failure_prob": 0.4,
        "seed": 5,
        "report": "none",
        "gate": False,
    }
    return MultiAgentSimulator(target=target, output_dir=directory, **defaults | settings).run()


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("engine", ENGINES)
def test_records_and_statistics_say_which_operations_entered_the_target(
    engine: str, world: str, tmp_path: Path
) -> None:
    target = EntryCounter()
    function: Callable[..., Any] = target.trade_async if engine == "asyncio" else target.trade
    result = run(tmp_path, {"trade": function}, engine=engine, **WORLDS[world])
    called = result.records[result.records["called"]]
    names = result.scenario.agent_names
    assert {(names[row["agent"]], int(row["index"])) for row in called} == target.entered
    assert result.stats["calls"] == len(target.entered)


def test_a_refused_call_has_no_latency(tmp_path: Path) -> None:
    entered: list[int] = []

    def trade(operation: Operation) -> None:
        entered.append(operation.index)
        operation.sleep(0.05)

    result = run(
        tmp_path,
        trade,
        agents=16,
        operations_per_agent=200,
        faults="alpaca",
        failure_prob=0.1,
        missing_data_prob=0,
        engine="virtual",
    )
    operations = {(row["agent"], row["index"]) for row in result.records[result.records["called"]]}
    assert result.stats["calls"] == len(operations) < 300
    assert len(entered) >= len(operations)
    assert result.latency.p50 == pytest.approx(0.05)
    assert result.latency.min == pytest.approx(0.05)


def test_faults_are_counted_where_calls_come_to_them(tmp_path: Path) -> None:
    """A call that the exchange refuses at its limit does not come to the fault that was planned for it."""
    result = run(
        tmp_path,
        lambda: None,
        agents=1,
        operations_per_agent=100,
        faults={"rate_limit": {"limit": 10, "per": 3600.0, "tolerated": None}, "late_status": 1},
        failure_prob=1,
        missing_data_prob=0,
        engine="virtual",
    )
    assert result.stats["faults"] == {"late_status": 10, "rate_limit": 90}


def test_injected_exceptions_are_no_expected_errors(tmp_path: Path) -> None:
    def trade(operation: Operation) -> None:
        if operation.index % 2:
            raise LookupError("no such order")

    result = run(
        tmp_path,
        trade,
        faults={"rate_limit": {"limit": 20, "per": 3600.0}, "reject": 1},
        expected_errors=(LookupError, OSError),
        engine="virtual",
    )
    assert set(result.stats["expected_error_types"]) == {"LookupError"}
    failed = int(np.sum(result.records["outcome"] == 1))
    assert failed > sum(result.stats["expected_error_types"].values())


@pytest.mark.parametrize("settings", [{"missing_data_prob": 1.0}, {"failure_prob": 1, "faults": {"reject": 1}}])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_never_calls_its_target_fails(engine: str, settings: dict[str, Any], tmp_path: Path) -> None:
    def fails() -> None:
        raise ZeroDivisionError

    async def fails_on_loop() -> None:
        raise ZeroDivisionError

    target = {"a": fails_on_loop if engine == "asyncio" else fails}
    wanted: dict[str, Any] = {"missing_data_prob": 0, "failure_prob": 0, "engine": engine, **settings}
    with pytest.raises(RunFailed, match="the target was never called: faults came first in 36 operations"):
        run(tmp_path, target, **wanted)
    with pytest.raises(RunFailed, match="never called"):
        run(tmp_path, target, thresholds=["calls < 5", "calls{task=a} == 0"], **wanted)
    for threshold in ("calls == 0", "calls <= 0", "calls < 1"):
        assert run(tmp_path, target, thresholds=[threshold], **wanted).passed
    with pytest.raises(ThresholdsNotMet, match="calls == 0 failed: 36"):
        run(
            tmp_path,
            {"a": (lambda: None)},
            failure_prob=0,
            missing_data_prob=0,
            thresholds=["calls == 0"],
            gate=True,
        )


def test_the_embedded_exchange_may_have_faults_at_every_operation(tmp_path: Path) -> None:
    assert run(tmp_path, None, missing_data_prob=1).stats["missing_data_events"] == 36
    assert run(tmp_path, None, missing_data_prob=0, failure_prob=1).stats["calls"] == 0


def test_a_threshold_on_calls_can_name_agent_task_and_faults(tmp_path: Path) -> None:
    result = run(tmp_path, {"a": lambda: None, "b": lambda: None}, missing_data_prob=0, engine="virtual")
    called = result.records[result.records["called"]]
    by_task = {name: int((called["task"] == number).sum()) for number, name in enumerate(called.tasks)}
    assert 0 < by_task["a"] < result.stats["calls"] == sum(by_task.values())
    thresholds = [f"calls{{task={name}}} == {count}" for name, count in by_task.items()]
    thresholds += [f"calls{{agent=Agent_1}} == {int((called['agent'] == 0).sum())}", "calls{faults=off} == 0"]
    again = run(
        tmp_path,
        {"a": lambda: None, "b": lambda: None},
        missing_data_prob=0,
        engine="virtual",
        thresholds=thresholds,
    )
    assert [verdict.verdict for verdict in again.verdicts[: len(by_task) + 1]] == ["passed"] * 3
