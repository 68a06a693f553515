"""A run from its start to its end: counts, repetition, durations, hangs, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress
from pytest_nos_stress import MultiAgentSimulator, Operation, RunFailed, StressResult, run_stress_test

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])
NO_WAIT: dict[str, Any] = {"min_delay": 0, "max_delay": 0}
NO_FAULTS: dict[str, Any] = {**NO_WAIT, "missing_data_prob": 0, "failure_prob": 0}
HANG = 60.0  # Far above what anything here takes: whatever reaches it hangs.
TIME_TO_END = 2 + 3  # The contract is 2 s for the run; the rest is for Python's own exit.
TakesLessThan = Callable[[float, Callable[[], float]], None]


def nothing() -> None:
    """A target that does nothing."""


def simulator(directory: Path, target: Any = nothing, **settings: Any) -> MultiAgentSimulator:
    return MultiAgentSimulator(target=target, output_dir=directory, **{**NO_WAIT, **settings})


def run(directory: Path, target: Any = nothing, **settings: Any) -> StressResult:
    return simulator(directory, target, **settings).run()


def rows(result: StressResult) -> dict[tuple[int, int], tuple[int, int]]:
    """Task and outcome of each operation by agent and index."""
    return {
        (int(row["agent"]), int(row["index"])): (int(row["task"]), int(row["outcome"])) for row in result.records
    }


def counts(result: StressResult) -> Any:
    """The four counts of run, agents and tasks."""
    keys = ("total_operations", "successful_operations", "failed_operations", "missing_data_events")
    parts: list[Any] = [result.stats, *result.stats["agent_stats"].values(), *result.stats["tasks"].values()]
    return [[part[key] for key in keys] for part in parts]


# Counts.


def test_every_agent_performs_its_operations_exactly_once_with_64_threads(tmp_path: Path) -> None:
    performed: list[tuple[str, int]] = []

    def note(operation: Operation) -> None:
        performed.append((operation.agent, operation.index))

    result = run(tmp_path, note, agents=64, operations_per_agent=250, missing_data_prob=0, failure_prob=0)
    assert len(performed) == len(set(performed)) == 64 * 250
    assert result.operations == result.successes == 64 * 250
    assert {agent["total_operations"] for agent in result.stats["agent_stats"].values()} == {250}


def test_the_four_counts_are_those_of_the_log_and_the_snapshot_with_64_threads(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        if operation.index % 13 == 0:
            raise LookupError(operation.id)

    result = run(tmp_path, fails, agents=64, operations_per_agent=100, gate=False)
    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    levels = [line.split(" - ")[1] for line in lines]
    assert len(lines) == result.operations == 6_400
    assert levels.count("INFO") == result.successes
    assert levels.count("ERROR") == result.failures
    assert levels.count("WARNING") == result.missing_data
    assert len(json.loads((tmp_path / "agent_memory_snapshot.json").read_text())) == result.successes


def test_real_rates_are_near_the_planned_ones(tmp_path: Path) -> None:
    result = run(tmp_path, agents=10, operations_per_agent=8_000, seed=1)
    # 80,000 draws: five standard deviations are at most 5 * sqrt(0.72 * 0.28 / 80,000) = 0.008; the seed is fixed.
    assert result.missing_data_rate == pytest.approx(0.20, abs=0.008)
    assert result.failure_rate == pytest.approx(0.08, abs=0.008)
    assert result.success_rate == pytest.approx(0.72, abs=0.008)


# Repetition.


def test_one_seed_gives_the_same_outcome_to_every_operation_in_every_run(tmp_path: Path) -> None:
    results = [run(tmp_path, agents=8, operations_per_agent=200, seed=42) for _ in range(3)]
    assert rows(results[0]) == rows(results[1]) == rows(results[2])
    assert counts(results[0]) == counts(results[1]) == counts(results[2])


def test_two_runs_without_a_seed_differ_and_say_how_to_repeat_them(tmp_path: Path) -> None:
    first, second = run(tmp_path, operations_per_agent=300), run(tmp_path, operations_per_agent=300)
    assert first.seed != second.seed
    assert rows(first) != rows(second)
    assert rows(run(tmp_path, operations_per_agent=300, seed=first.seed)) == rows(first)
    assert first.stats["seed"] == first.seed


def test_a_new_agent_changes_what_happens_to_no_other(tmp_path: Path) -> None:
    few = run(tmp_path, agents=["Ann", "Bob"], operations_per_agent=200, seed=1)
    more = run(tmp_path, agents=["Ann", "Bob", "Cy"], operations_per_agent=200, seed=1)
    assert {key: row for key, row in rows(more).items() if key[0] < 2} == rows(few)


def test_a_run_can_be_repeated_from_its_printed_scenario(tmp_path: Path) -> None:
    first = run(tmp_path, agents=3, tasks={"a": 3, "b": 1}, operations_per_agent=50)
    settings = json.loads((tmp_path / "simulation_statistics.json").read_text())["scenario"]
    again = MultiAgentSimulator(target=nothing, output_dir=tmp_path, **settings).run()
    assert rows(again) == rows(first)


def test_each_run_of_a_simulator_starts_from_zero(tmp_path: Path) -> None:
    repeated = simulator(tmp_path, agents=3, operations_per_agent=50, seed=2)
    first, second = repeated.run_simulation(), repeated.run_simulation()
    assert first["total_operations"] == second["total_operations"] == 150
    assert first["agent_stats"] == second["agent_stats"]
    assert len((tmp_path / "stress_test_results.log").read_text().splitlines()) == 150


def test_two_simulators_run_at_once_without_a_trace_of_each_other(tmp_path: Path) -> None:
    results: dict[str, StressResult] = {}

    def go(name: str) -> None:
        target = {name: nothing}
        results[name] = run(tmp_path / name, target, agents=[f"{name}er"], operations_per_agent=500, seed=1)

    threads = [threading.Thread(target=go, args=(name,)) for name in ("buy", "sell")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    for name, result in results.items():
        assert list(result.stats["agent_stats"]) == [f"{name}er"]
        lines = (tmp_path / name / "stress_test_results.log").read_text().splitlines()
        assert len(lines) == result.operations == 500
        assert all(f"{name}er " in line for line in lines)
    assert set(results) == {"buy", "sell"}


def test_run_stress_test_returns_what_is_in_the_file(tmp_path: Path) -> None:
    stats = run_stress_test(["Ann"], ["buy"], 0.5, 0.5, 20, 0, 0, str(tmp_path), target=nothing, seed=3)
    assert json.loads((tmp_path / "simulation_statistics.json").read_text()) == stats
    assert stats["total_operations"] == 20


def test_the_default_directory_is_made_where_one_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run_stress_test(["Ann"], operations_per_agent=2, **NO_WAIT)
    assert sorted(path.name for path in (tmp_path / "stress_test_output").iterdir()) == [
        "agent_memory_snapshot.json",
        "scenario.json",
        "simulation_statistics.json",
        "stress_test_report.html",
        "stress_test_results.log",
    ]


# By duration.


def test_a_run_by_duration_performs_the_beginning_of_the_plan_of_a_run_by_number(tmp_path: Path) -> None:
    by_time = run(tmp_path, agents=3, duration=0.3, seed=6, min_delay=0.001, max_delay=0.002)
    by_number = run(tmp_path, agents=3, operations_per_agent=by_time.operations, seed=6)
    plan = rows(by_number)
    performed = rows(by_time)
    assert len(performed) >= 3
    assert all(plan[key] == row for key, row in performed.items())
    for agent in range(3):
        indexes = sorted(index for number, index in performed if number == agent)
        assert indexes == list(range(len(indexes)))


@pytest.mark.parametrize("delay", [0, 0.01, 0.15])
def test_a_run_by_duration_ends_when_it_is_due(delay: float, tmp_path: Path) -> None:
    result = run(tmp_path, agents=3, duration="200ms", **NO_FAULTS | {"min_delay": delay, "max_delay": delay})
    assert result.status == "completed"
    assert delay <= result.stats["duration"] < HANG
    assert result.operations >= 3


def test_the_last_operation_of_a_run_by_duration_is_not_cut_short(tmp_path: Path) -> None:
    slept: list[float] = []

    def trade(operation: Operation) -> None:
        started = time.perf_counter()
        operation.sleep(0.15)
        slept.append(time.perf_counter() - started)

    result = run(tmp_path, trade, agents=2, duration=0.2, **NO_FAULTS)
    assert len(slept) == result.operations
    assert min(slept) >= 0.149
    assert result.stats["duration"] > 0.2


def test_a_run_without_an_operation_does_not_pass(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="no operation was performed") as caught:
        run(tmp_path, duration=0.1, min_delay=5, max_delay=5, gate=False)
    assert caught.value.result.operations == 0
    assert not caught.value.result.passed
    stats = json.loads((tmp_path / "simulation_statistics.json").read_text())
    assert stats["verdict"] == "failed"
    assert json.loads((tmp_path / "agent_memory_snapshot.json").read_text()) == []


# Hangs.


def agent_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(("agent", "stress"))]


@contextmanager
def released() -> Iterator[threading.Event]:
    """An event that a target can hang on; set in the end, so that its thread ends with the test."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()
        for thread in agent_threads():
            thread.join(HANG)


def test_no_thread_outlives_a_run(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    run(tmp_path, agents=20, operations_per_agent=5)
    assert set(threading.enumerate()) <= before


def test_no_file_stays_open_after_a_run_whatever_became_of_it(tmp_path: Path) -> None:
    def fails() -> None:
        raise LookupError

    def go() -> None:
        run(tmp_path, agents=2, operations_per_agent=5)
        with pytest.raises(RunFailed):
            run(tmp_path, fails, agents=2, operations_per_agent=50)

    go()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        go()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.usefixtures("short_grace")
def test_a_target_that_hangs_fails_the_run_which_names_agent_task_and_stack(tmp_path: Path) -> None:
    with released() as event:

        def waits_for_a_lock_of_its_own(operation: Operation) -> None:
            if operation.agent == "Bob" and operation.index == 3:
                event.wait(HANG)

        with pytest.raises(RunFailed) as caught:
            run(
                tmp_path,
                waits_for_a_lock_of_its_own,
                agents=["Ann", "Bob"],
                tasks=["sell"],
                operations_per_agent=10,
                operation_timeout=0.3,
                missing_data_prob=0,
                failure_prob=0,
            )
        held = agent_threads()
        assert [thread.name for thread in held] == ["agent Bob"]
        assert held[0].daemon
    message = str(caught.value)
    assert "hung" in message
    assert "agent Bob, task sell" in message
    assert "in waits_for_a_lock_of_its_own" in message
    assert "Ann" not in message
    result = caught.value.result
    assert result.status == "hung"
    assert not result.passed
    assert "Bob" in result.stats["reason"]
    assert result.stats["agent_stats"]["Ann"]["total_operations"] == 10
    assert result.stats["agent_stats"]["Bob"]["total_operations"] == 3
    assert json.loads((tmp_path / "simulation_statistics.json").read_text())["status"] == "hung"


def test_an_operation_that_is_slower_than_the_timeout_but_ends_is_hung_too(tmp_path: Path) -> None:
    def slow(operation: Operation) -> None:
        time.sleep(0.12)

    with pytest.raises(RunFailed, match="hung") as caught:
        run(
            tmp_path,
            slow,
            agents=1,
            operations_per_agent=1,
            operation_timeout=0.05,
            **{**NO_FAULTS, "gate": False},
        )
    assert caught.value.result.status == "hung"
    assert not caught.value.result.passed


def test_a_long_think_time_is_no_hang(tmp_path: Path) -> None:
    result = run(
        tmp_path, agents=1, operations_per_agent=1, operation_timeout=0.05, min_delay=0.3, max_delay=0.3, seed=1
    )
    assert result.status == "completed"


def test_many_operations_that_each_take_less_than_the_timeout_are_no_hang(tmp_path: Path) -> None:
    result = run(
        tmp_path, lambda op: op.sleep(0.01), agents=2, operations_per_agent=60, operation_timeout=0.4, **NO_FAULTS
    )
    assert result.status == "completed"


def ends(action: Callable[[], object]) -> BaseException | None:
    """Return the exception that an action raises. Fail if the action does not end."""
    raised: list[BaseException | None] = []

    def go() -> None:
        try:
            action()
        except BaseException as error:
            raised.append(error)
        else:
            raised.append(None)

    thread = threading.Thread(target=go, daemon=True)
    thread.start()
    thread.join(HANG)
    assert raised, "the run did not end"
    return raised[0]


@pytest.mark.usefixtures("short_grace")
def test_a_session_that_hangs_when_it_is_entered_fails_the_run(tmp_path: Path) -> None:
    with released() as event:

        @contextmanager
        def session(agent: str) -> Iterator[None]:
            event.wait(HANG)
            yield

        error = ends(lambda: run(tmp_path, agents=["Ann"], per_agent=session, operation_timeout=0.3))
    assert isinstance(error, RunFailed)
    assert "Ann, entering per_agent" in str(error)


@pytest.mark.usefixtures("short_grace")
def test_a_session_that_hangs_when_it_is_left_fails_the_run(tmp_path: Path) -> None:
    with released() as event:

        @contextmanager
        def session(agent: str) -> Iterator[None]:
            yield
            event.wait(HANG)

        error = ends(lambda: run(tmp_path, agents=["Ann"], per_agent=session, operation_timeout=0.3))
    assert isinstance(error, RunFailed)
    assert "Ann" in str(error)


def test_sleeping_operations_are_woken_when_another_hangs(tmp_path: Path) -> None:
    with released() as event:

        def trade(operation: Operation) -> None:
            if operation.agent == "Ann":
                event.wait(HANG)
            else:
                operation.sleep(HANG)

        started = time.monotonic()
        with pytest.raises(RunFailed):
            run(tmp_path, trade, agents=["Ann", "Bob"], operations_per_agent=1, operation_timeout=0.3, **NO_FAULTS)
        assert time.monotonic() - started < HANG / 2
        assert [thread.name for thread in agent_threads()] == ["agent Ann"]


# Ctrl-C and kill.


def seconds_to_end_by_ctrl_c(code: str, directory: Path, recording: float = 0.0) -> float:
    """Press Ctrl-C in a Python process once it is in its run; it must say that it was interrupted."""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            first_line = process.stdout.readline()
            time.sleep(recording)
            pressed = time.monotonic()
            process.send_signal(signal.SIGINT)
            output, errors = process.communicate(timeout=HANG)
            seconds = time.monotonic() - pressed
        finally:
            process.kill()
    assert (first_line + output, process.returncode) == ("running\ninterrupted\n", 0), errors
    return seconds


INTERRUPTED = """
import threading
from pytest_nos_stress import MultiAgentSimulator

def trade(operation):
    if operation.agent == "Agent_3" and operation.index == 2:
        print("running", flush=True)

try:
    MultiAgentSimulator(3, ["buy"], 0, 0, {operations}, {min}, {max}, "out", target=trade, seed=1).run()
except KeyboardInterrupt:
    assert threading.active_count() == 1, threading.enumerate()
    print("interrupted")
"""


@pytest.mark.parametrize(("shortest", "longest"), [(0, 0), (0.01, 0.02)])
def test_ctrl_c_ends_a_run_within_2_seconds_and_keeps_what_was_recorded(
    shortest: float, longest: float, tmp_path: Path, takes_less_than: TakesLessThan
) -> None:
    code = INTERRUPTED.format(operations=10**9, min=shortest, max=longest)
    # Recording for a moment is not for a race: so that there is something to keep.
    takes_less_than(TIME_TO_END, lambda: seconds_to_end_by_ctrl_c(code, tmp_path, recording=0.3))
    stats = json.loads((tmp_path / "out" / "simulation_statistics.json").read_text())
    assert stats["interrupted"] is True
    assert stats["verdict"] == "failed"
    assert stats["total_operations"] >= 9
    with (tmp_path / "out" / "stress_test_results.log").open() as log:
        assert sum(1 for _ in log) == stats["total_operations"]


def test_ctrl_c_ends_a_run_whose_target_does_not_answer(tmp_path: Path, takes_less_than: TakesLessThan) -> None:
    code = """
import time
from pytest_nos_stress import MultiAgentSimulator

def trade(operation):
    if operation.index == 3:
        print("running", flush=True)
        time.sleep(600)

try:
    MultiAgentSimulator(1, ["buy"], 0, 0, 10, 0, 0, "out", target=trade, seed=1, operation_timeout=900).run()
except KeyboardInterrupt:
    print("interrupted")
"""
    takes_less_than(TIME_TO_END, lambda: seconds_to_end_by_ctrl_c(code, tmp_path))
    stats = json.loads((tmp_path / "out" / "simulation_statistics.json").read_text())
    assert (stats["interrupted"], stats["total_operations"]) == (True, 3)


def test_ctrl_c_ends_a_long_delay(tmp_path: Path, takes_less_than: TakesLessThan) -> None:
    code = """
import threading
from pytest_nos_stress import MultiAgentSimulator

class Note:
    def __init__(self, agent): pass
    def __enter__(self): print("running", flush=True)
    def __exit__(self, *exception): pass

try:
    MultiAgentSimulator(1, ["buy"], min_delay=600, max_delay=600, output_dir="out", per_agent=Note).run()
except KeyboardInterrupt:
    assert threading.active_count() == 1, threading.enumerate()
    print("interrupted")
"""
    takes_less_than(TIME_TO_END, lambda: seconds_to_end_by_ctrl_c(code, tmp_path, recording=0.2))
    stats = json.loads((tmp_path / "out" / "simulation_statistics.json").read_text())
    assert stats["interrupted"] is True
    assert json.loads((tmp_path / "out" / "agent_memory_snapshot.json").read_text()) == []


def test_a_completed_run_is_not_marked_interrupted(tmp_path: Path) -> None:
    assert run(tmp_path, operations_per_agent=1, **NO_FAULTS).stats["interrupted"] is False


def test_a_session_that_swallows_exceptions_cannot_hide_operations_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("a fault of the agent's own")

    monkeypatch.setattr("pytest_nos_stress.run.agent.Agent._raised", fail)
    swallowing = suppress(Exception)
    with pytest.raises(RunFailed, match="of 200 operations were performed"):
        run(
            tmp_path,
            lambda operation: 1 / (operation.index - 5),
            agents=2,
            operations_per_agent=100,
            missing_data_prob=0,
            failure_prob=0,
            per_agent=lambda _: swallowing,
            gate=False,
        )


def test_a_number_of_operations_and_a_duration_exclude_each_other_even_where_it_is_the_default(
    tmp_path: Path,
) -> None:
    with pytest.raises(ValueError, match="give one or the other"):
        MultiAgentSimulator(operations_per_agent=100, duration=1, output_dir=tmp_path)
