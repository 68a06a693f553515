"""Transport of calls through network, limits, faults and retries."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult
from pytest_nos_stress.faults import RateLimited


def run(target: Any, tmp_path: Path, **settings: Any) -> StressResult:
    defaults = {
        "agents": 4,
        "operations_per_agent": 100,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 5,
        "engine": "virtual",
    }
    return MultiAgentSimulator(target={"buy": target}, output_dir=tmp_path, **{**defaults, **settings}).run()


def nothing(operation: Operation) -> None:
    """A target whose answer takes no time."""


def refuse(operation: Operation) -> None:
    raise ValueError("no funds")


def milliseconds(result: StressResult) -> Any:
    return result.records["latency"] / 1e6


# Over the network.


def test_a_profile_gives_the_delays_that_it_promises(tmp_path: Path) -> None:
    took = milliseconds(run(nothing, tmp_path, network="retail", agents=20, operations_per_agent=200))
    # Correlated draws: 4,000 of them are worth about 1,300; the median of those is within a fifth.
    assert np.median(took) == pytest.approx(80, rel=0.2)
    assert np.percentile(took, 99) == pytest.approx(400, rel=0.5)


def test_the_network_is_the_same_for_a_seed_and_another_for_another(tmp_path: Path) -> None:
    first, second, other = (
        run(nothing, tmp_path, network="retail", seed=seed).records.tobytes() for seed in (1, 1, 2)
    )
    assert first == second
    assert first != other


@pytest.mark.parametrize("own_threads", [True, False])
def test_own_threads_of_the_virtual_engine_do_not_change_delays(tmp_path: Path, own_threads: bool) -> None:
    settings = {"network": "retail", "faults": "binance", "failure_prob": 0.3, "retries": 2, "seed": 9}
    default = run(nothing, tmp_path, **settings)
    other = run(nothing, tmp_path, own_threads=own_threads, **settings)
    assert default.records.tobytes() == other.records.tobytes()


def test_lost_messages_fail_as_often_as_the_network_loses_them_and_cost_the_timeout(tmp_path: Path) -> None:
    calls: list[str] = []
    network = {"latency": "10ms", "loss": 0.1, "timeout": 2}
    result = run(lambda operation: calls.append(operation.id), tmp_path, network=network, operations_per_agent=500)
    # Either of two messages is lost: 1 - 0.9 ** 2; five standard deviations of 2,000.
    assert result.failure_rate == pytest.approx(0.19, abs=0.045)
    assert result.errors == 0
    lost = result.stats["faults"]
    assert set(lost) == {"lost_request", "lost_reply"}
    assert result.failures == sum(lost.values())
    assert len(calls) == 2000 - lost["lost_request"]
    failed = result.records["outcome"] == 1
    assert milliseconds(result)[failed].min() >= 2000
    assert milliseconds(result)[~failed].max() == pytest.approx(10)


def test_agents_queue_for_a_narrow_link(tmp_path: Path) -> None:
    network = {"bandwidth": 1000, "message_size": 500}
    settings = {"network": network, "min_delay": 0, "max_delay": 0, "operations_per_agent": 5}
    alone = run(nothing, tmp_path, agents=1, **settings)
    assert set(milliseconds(alone).tolist()) == {1000}
    many = run(nothing, tmp_path, agents=4, **settings)
    # 4 x 5 operations of two messages, half a second each, one after another.
    assert many.stats["duration"] == pytest.approx(20)
    assert np.median(milliseconds(many)) == pytest.approx(4000, rel=0.3)


def test_in_a_partition_the_agents_concerned_are_cut_off(tmp_path: Path) -> None:
    calls: dict[str, list[float]] = defaultdict(list)

    def buy(operation: Operation) -> None:
        calls[operation.agent].append(operation.now())

    network = {"partitions": [{"from": 3, "to": 6, "agents": ["Ann"]}]}
    result = run(buy, tmp_path, network=network, agents=["Ann", "Bob"])
    start = datetime.fromisoformat(result.stats["start_time"]).timestamp()
    assert not [moment for moment in calls["Ann"] if 3 <= moment - start < 6]
    assert [moment for moment in calls["Bob"] if 3 <= moment - start < 6]
    assert len(calls["Bob"]) == 100
    assert result.errors == 0
    assert result.failures == result.stats["faults"]["partition"] == 100 - len(calls["Ann"]) > 0


@pytest.mark.parametrize("faults", [{"reject": 1}, {"overload": 1}])
def test_a_refusal_travels_back_as_any_answer_does(tmp_path: Path, faults: dict[str, Any]) -> None:
    network = {"latency": "100ms"}
    result = run(nothing, tmp_path, network=network, faults=faults, failure_prob=1, thresholds=["calls == 0"])
    assert milliseconds(result) == pytest.approx(100)


def test_an_exception_of_the_target_travels_back_as_any_answer_does(tmp_path: Path) -> None:
    result = run(refuse, tmp_path, network={"latency": "100ms"}, gate=False)
    assert milliseconds(result) == pytest.approx(100)


def test_a_limits_refusal_travels_back_as_any_answer_does(tmp_path: Path) -> None:
    faults = {"rate_limit": {"limit": 1, "per": 1000, "tolerated": None}}
    result = run(nothing, tmp_path, network={"latency": "100ms"}, faults=faults)
    assert result.failures == 399
    assert milliseconds(result) == pytest.approx(100)


# Late.


def test_a_late_execution_comes_after_all_retries_under_the_same_id(tmp_path: Path) -> None:
    calls: list[tuple[str, float]] = []
    result = run(
        lambda operation: calls.append((operation.id, operation.now())),
        tmp_path,
        faults={"late_execution": {"timeout": 1, "delay": (0.5, 3)}},
        failure_prob=1,
        retries={"times": 2, "backoff": 0.1},
        agents=1,
        operations_per_agent=20,
    )
    of_operation: dict[str, list[float]] = defaultdict(list)
    for operation, when in calls:
        of_operation[operation].append(when)
    assert {len(times) for times in of_operation.values()} == {3}
    ended = (result.records["end"] - result.records["latency"].astype("int64")) / 1e9
    for began, times in zip(ended.tolist(), of_operation.values(), strict=True):
        # Three timeouts of a second and waits of 0.1 and 0.2 s: then the agent has given up.
        assert min(times) >= began + 3.3 - 1e-6
        assert times == sorted(times)


def test_an_idempotent_target_executes_an_operation_once_whatever_comes_late(tmp_path: Path) -> None:
    executed: set[str] = set()
    result = run(
        lambda operation: executed.add(operation.id),
        tmp_path,
        faults={"late_execution": 1, "lost_reply": 1, "duplicate_ack": 1},
        failure_prob=0.6,
        retries=3,
    )
    assert result.errors == 0
    assert result.successes <= len(executed) <= 400


def test_late_requests_are_executed_in_the_order_of_their_times(tmp_path: Path) -> None:
    times: list[float] = []
    run(
        lambda operation: times.append(operation.now()),
        tmp_path,
        faults={"late_execution": {"timeout": 0, "delay": (0.5, 30)}},
        failure_prob=1,
        retries={"times": 1, "backoff": 0},
        agents=1,
        operations_per_agent=30,
        operation_timeout=100,
    )
    pairs = list(zip(times[::2], times[1::2], strict=True))
    # Two draws between 0.5 and 30 s differ; where the second is due first, it is executed first.
    assert all(first < second for first, second in pairs)


# What counts.


def test_an_exception_raised_from_a_fault_is_a_failure_and_any_other_is_an_error(tmp_path: Path) -> None:
    def translate(operation: Operation) -> None:
        try:
            raise RateLimited("slow down", "rate_limit")
        except RateLimited as fault:
            raise RuntimeError("no order") from fault

    def stumble(operation: Operation) -> None:
        try:
            raise RateLimited("slow down", "rate_limit")
        except RateLimited:
            raise RuntimeError("handler is wrong")  # noqa: B904

    translated = run(translate, tmp_path)
    assert (translated.failures, translated.errors) == (400, 0)
    stumbled = run(stumble, tmp_path, gate=False)
    assert (stumbled.failures, stumbled.errors) == (400, 400)


def test_counts_by_agent_and_task_add_up_whatever_goes_wrong(tmp_path: Path) -> None:
    result = run(
        nothing,
        tmp_path,
        faults="binance",
        failure_prob=0.4,
        missing_data_prob=0.2,
        missing_data={"stale": 1, "gap": 1},
        network="cross-continent",
        retries=1,
    )
    parts = ("successful_operations", "failed_operations", "missing_data_events")
    stats: Any = result.stats
    for of in ("agent_stats", "tasks"):
        for part in ("total_operations", *parts):
            assert stats[part] == sum(counts[part] for counts in stats[of].values())
    assert result.operations == 400 == result.successes + result.failures + result.missing_data


def test_planned_faults_are_the_same_in_every_engine(tmp_path: Path) -> None:
    async def nothing_awaited(operation: Operation) -> None: ...

    settings = {
        "faults": {"lost_reply": 2, "reject": 1, "duplicate_ack": 1, "overload": 1},
        "failure_prob": 0.3,
        "missing_data": {"stale": 3, "gap": 1},
        "missing_data_prob": 0.2,
        "min_delay": 0,
        "max_delay": 0,
        "seed": 11,
        "retries": {"times": 1, "backoff": 0},
    }
    virtual = run(nothing, tmp_path, **settings).stats
    for engine, target in (("threads", nothing), ("asyncio", nothing_awaited)):
        stats = run(target, tmp_path, engine=engine, **settings).stats
        for name in ("faults", "retries", "agent_stats"):
            assert stats[name] == virtual[name], (engine, name)


def test_another_agent_changes_no_agents_faults(tmp_path: Path) -> None:
    settings = {
        "faults": "binance",
        "failure_prob": 0.3,
        "missing_data": {"stale": 3, "gap": 1},
        "missing_data_prob": 0.2,
    }
    few, many = (run(nothing, tmp_path, agents=agents, **settings) for agents in (2, 7))
    for number in (0, 1):
        kinds = [run.records["kind"][run.records["agent"] == number].tolist() for run in (few, many)]
        assert kinds[0] == kinds[1]


def test_response_time_is_never_below_latency(tmp_path: Path) -> None:
    records = run(nothing, tmp_path, network="retail", faults="ib", failure_prob=0.3, retries=1).records
    assert (records["response_time"] >= records["latency"]).all()
    for agent in range(4):
        ends = records["end"][records["agent"] == agent].tolist()
        assert all(before <= after for before, after in pairwise(ends))
