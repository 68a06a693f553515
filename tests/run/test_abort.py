"""A hopeless run is aborted early with a reason. A threshold that can still hold never aborts a run."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import (
    MultiAgentSimulator,
    Operation,
    Scenario,
    SettingError,
    StressResult,
    ThresholdsNotMet,
)
from pytest_nos_stress.results.judge import Verdict, evaluate_threshold
from pytest_nos_stress.results.run_metrics import RunMetrics
from pytest_nos_stress.results.threshold_parser import parse_threshold
from pytest_nos_stress.results.thresholds import Threshold


def breaks_down(operation: Operation) -> None:
    """Operations take 50 ms; from the thirtieth on they fail."""
    operation.sleep(0.05)
    if operation.index >= 30:
        raise ConnectionError("gone")


def simulator(directory: Path, target: Any = breaks_down, **options: Any) -> MultiAgentSimulator:
    defaults: dict[str, Any] = {
        "agents": 4,
        "operations_per_agent": 2_000,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 2,
        "engine": "virtual",
        "report": "none",
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **options})


def run(directory: Path, *thresholds: str, target: Any = breaks_down, **options: Any) -> StressResult:
    return simulator(directory, target, thresholds=thresholds, gate=False, **options).run()


def aborted_at(result: StressResult) -> float:
    """Return the moment at which a run was aborted, in seconds since its start."""
    aborted = result.stats["aborted"]
    assert aborted is not None
    return aborted["at"]


def test_a_hopeless_run_ends_early_and_says_when_and_by_what(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet) as caught:
        simulator(tmp_path, thresholds=["operations > 100", "error_rate < 50% abort"]).run()
    result, message = caught.value.result, str(caught.value)
    assert result.status == "aborted"
    assert 400 <= result.operations < 500
    at = aborted_at(result)
    assert at >= 5
    assert result.stats["aborted"] == {"threshold": "error_rate < 50% abort", "at": at}
    assert f"aborted after {at:.4g} s by error_rate < 50% abort" in message
    assert "error_rate < 50% abort failed: 7" in message.splitlines()[0]
    assert "1 of 2 thresholds did not pass" in message
    assert "ConnectionError" in message


def test_the_files_of_an_aborted_run_are_whole(tmp_path: Path) -> None:
    result = run(tmp_path, "error_rate < 50% abort", report="html")
    assert set(result.files) == set(tmp_path.iterdir())
    log = (tmp_path / "stress_test_results.log").read_text().splitlines()
    assert len(log) == result.operations == len(result.records)
    assert "aborted" in (tmp_path / "simulation_statistics.json").read_text()


def test_without_a_gate_an_aborted_run_has_not_passed(tmp_path: Path) -> None:
    result = run(tmp_path, "error_rate < 50% abort")
    assert (result.passed, result.stats["verdict"], result.status) == (False, "failed", "aborted")


@pytest.mark.parametrize(("abort", "earliest"), [("abort after 0s", 3), ("abort after 8s", 8), ("abort", 5)])
def test_a_run_is_not_aborted_before_its_grace_time(abort: str, earliest: float, tmp_path: Path) -> None:
    result = run(tmp_path, f"error_rate < 50% {abort}")
    assert earliest <= aborted_at(result) < earliest + 1


def test_the_grace_time_begins_with_the_phase_that_is_judged(tmp_path: Path) -> None:
    result = run(tmp_path, "error_rate < 50% abort after 1s", warmup=3, ramp=2)
    assert 6 <= aborted_at(result) < 7
    result = run(tmp_path, "error_rate{phase=warmup} < 10% abort after 1s", warmup=3, ramp=2)
    assert 3 <= aborted_at(result) < 5


def test_a_run_is_not_aborted_while_its_thresholds_pass(tmp_path: Path) -> None:
    thresholds = (
        "error_rate < 50% abort after 0s",
        "latency.p99 < 1s abort after 0s",
        "errors == 0 abort after 0s",
        "operations <= 120 abort after 0s",
        "throughput > 1/s over 1s abort after 0s",
        "fairness > 0.1 abort after 0s",
    )
    result = run(tmp_path, *thresholds, operations_per_agent=30)
    assert (result.operations, result.status, result.stats["aborted"], result.passed) == (
        120,
        "completed",
        None,
        True,
    )


def test_nothing_is_aborted_before_there_is_enough_data_for_a_percentile(tmp_path: Path) -> None:
    result = run(tmp_path, "latency.p99 < 1ms abort after 0s")
    assert 100 <= result.operations < 150
    result = run(
        tmp_path, "latency.p99.9 < 1ms abort after 0s", operations_per_agent=200, expected_errors=Exception
    )
    assert result.status == "completed"
    assert result.verdicts[0].verdict == "no data"


@pytest.mark.parametrize(
    "threshold",
    ["successes == 120 abort", "operations == 120 abort", "successes >= 120 abort", "failures != 0 abort"],
)
def test_what_may_still_come_true_ends_no_run(threshold: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="can still become true as the count grows"):
        run(tmp_path, f"{threshold} after 0s", operations_per_agent=30)


def test_a_count_that_cannot_come_true_any_more_ends_a_run(tmp_path: Path) -> None:
    result = run(tmp_path, "errors == 0 abort after 0s")
    assert (result.status, result.errors > 0) == ("aborted", True)
    assert result.operations < 150
    assert run(tmp_path, "operations < 50 abort after 0s").operations < 80


def test_a_run_is_aborted_by_whole_windows_only(tmp_path: Path) -> None:
    """The errors from 2.5 s to 3 s are half of the window that begins at 2 s, and all of one that ends at 3 s."""

    def fails_for_a_moment(operation: Operation) -> None:
        operation.sleep(0.05)
        if 50 <= operation.index < 60:
            raise ConnectionError("gone")

    settings: dict[str, Any] = {"operations_per_agent": 80, "expected_errors": ConnectionError}
    result = run(tmp_path, "failure_rate <= 50% over 1s abort after 0s", target=fails_for_a_moment, **settings)
    assert (result.status, result.passed) == ("completed", True)
    result = run(tmp_path, "failure_rate < 40% over 1s abort after 0s", target=fails_for_a_moment, **settings)
    assert (result.status, result.passed) == ("aborted", False)


def test_a_broken_window_ends_a_run(tmp_path: Path) -> None:
    result = run(tmp_path, "error_rate < 50% over 1s abort after 0s", operations_per_agent=2_000)
    assert result.status == "aborted"
    assert aborted_at(result) < 3.5
    assert result.verdicts[0].verdict == "failed"


def test_a_target_that_answers_nobody_any_more_ends_a_run(tmp_path: Path) -> None:
    def stalls(operation: Operation) -> None:
        operation.sleep(0.01 if operation.index < 20 else 3)

    began = time.monotonic()
    result = run(
        tmp_path,
        "throughput > 20/s over 500ms abort after 0s",
        target=stalls,
        engine="threads",
        operations_per_agent=22,
    )
    assert result.status == "aborted"
    assert aborted_at(result) < 2.5
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("own_threads", [True, False])
@pytest.mark.parametrize("checked", [{}, {"checks": [lambda: None], "every": 7}], ids=["", "with checks"])
def test_in_virtual_time_a_run_is_aborted_at_the_same_operation_each_time(
    own_threads: bool, checked: dict[str, Any], tmp_path: Path
) -> None:
    runs = [
        run(
            tmp_path / str(number),
            "error_rate < 50% abort after 1s",
            own_threads=own_threads,
            min_delay=0.01,
            max_delay=0.05,
            **checked,
        )
        for number in range(2)
    ]
    assert runs[0].stats["aborted"] == runs[1].stats["aborted"] != None  # noqa: E711
    assert np.array_equal(runs[0].records, runs[1].records)


async def breaks_down_on_a_loop(operation: Operation) -> None:
    await asyncio.sleep(0.005)
    if operation.index >= 30:
        raise ConnectionError("gone")


def breaks_down_soon(operation: Operation) -> None:
    operation.sleep(0.005)
    if operation.index >= 30:
        raise ConnectionError("gone")


@pytest.mark.parametrize(("engine", "target"), [("threads", breaks_down_soon), ("asyncio", breaks_down_on_a_loop)])
@pytest.mark.parametrize("checked", [{}, {"checks": [lambda: None], "every": 20}], ids=["", "with checks"])
def test_a_run_in_real_time_is_aborted_too(
    engine: str, target: Any, checked: dict[str, Any], tmp_path: Path
) -> None:
    result = run(
        tmp_path,
        "error_rate < 50% abort after 200ms",
        target=target,
        engine=engine,
        operations_per_agent=100_000,
        **checked,
    )
    assert result.status == "aborted"
    assert aborted_at(result) >= 0.2
    assert result.operations == len(result.records)
    assert result.verdicts[0].verdict == "failed"


def test_what_ended_after_the_run_was_aborted_does_not_mend_it(tmp_path: Path) -> None:
    """The run is aborted over one error in four; the operations on their way then are successful."""

    def one_fails(operation: Operation) -> None:
        operation.sleep(0.1 if operation.agent == "Agent_1" else 0.2)
        if operation.agent == "Agent_1":
            raise ConnectionError

    result = run(
        tmp_path,
        "error_rate < 60% abort after 0s",
        target=one_fails,
        operations_per_agent=10,
        every=1,
        checks=[lambda: None],
    )
    assert result.status == "aborted"
    assert result.verdicts[0].verdict == "failed"
    assert not result.passed


def test_a_phase_may_end_a_run(tmp_path: Path) -> None:
    result = run(tmp_path, "errors{phase=warmup} == 0 abort after 0s", warmup=10)
    assert (result.status, [phase.name for phase in result.phases]) == ("aborted", ["warmup"])
    result = run(tmp_path, "error_rate < 50% abort after 0s", warmup=10)
    assert aborted_at(result) >= 10


def test_an_aborted_run_is_repeated_from_its_scenario(tmp_path: Path) -> None:
    first = run(tmp_path / "1", "error_rate < 50% abort")
    again = MultiAgentSimulator(
        target=breaks_down,
        scenario=Scenario.from_json((tmp_path / "1" / "scenario.json").read_text()),
        thresholds=[parse_threshold("error_rate < 50% abort")],
        gate=False,
        report="none",
        output_dir=tmp_path / "2",
    ).run()
    assert np.array_equal(first.records, again.records)


def test_agents_wait_while_a_look_is_taken_however_long_it_takes_and_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two looks take longer than agents wait for a recorder that does not come to its turn."""
    performed: Counter[str] = Counter()
    not_taken_in: list[int] = []

    def judge_slowly(threshold: Threshold, run_metrics: RunMetrics, *, in_progress: bool) -> Verdict:
        if len(not_taken_in) < 2:
            time.sleep(0.7)  # Not for a race: so long does the look take.
            not_taken_in.append(performed.total() - run_metrics.measured.records.total)
        return evaluate_threshold(threshold, run_metrics, in_progress=in_progress)

    def works_without_a_pause(operation: Operation) -> None:
        performed[operation.agent] += 1
        sum(range(10_000))

    monkeypatch.setattr("pytest_nos_stress.run.abort.evaluate_threshold", judge_slowly)
    result = MultiAgentSimulator(
        target=works_without_a_pause,
        thresholds=["errors == 0 abort after 0s"],
        agents=2,
        duration=1.75,
        min_delay=0,
        max_delay=0,
        missing_data_prob=0,
        failure_prob=0,
        report="none",
        output_dir=tmp_path,
    ).run()
    assert not_taken_in
    # One operation of each agent on its way and one noted; the better look, for a machine that stands still.
    assert min(not_taken_in) <= 2 * 2
    assert result.passed
    assert result.operations == len(result.records) == performed.total()
    by_agent = {name: agent["total_operations"] for name, agent in result.stats["agent_stats"].items()}
    assert by_agent == dict(performed)
    assert len((tmp_path / "stress_test_results.log").read_text().splitlines()) == performed.total()
