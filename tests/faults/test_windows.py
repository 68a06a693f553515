"""Fault windows: planned faults take effect in them, and nowhere else."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, RunFailed, Scenario, SettingError, StressResult
from pytest_nos_stress.faults.windows import OpenWindows, read_windows, windows_of


def run(target: Any, tmp_path: Path, **settings: Any) -> StressResult:
    defaults = {"agents": 4, "operations_per_agent": 200, "failure_prob": 0.5, "seed": 5, "engine": "virtual"}
    return MultiAgentSimulator(target={"buy": target}, output_dir=tmp_path, **{**defaults, **settings}).run()


def began(result: StressResult) -> Any:
    """Return the start of each operation, in seconds after the run's start."""
    moments = result.records["end"] - result.records["latency"].astype("int64")
    start = np.datetime64(result.stats["start_time"].replace("+00:00", ""), "ns").astype("int64")
    return (moments - start) / 1e9


def inside(result: StressResult) -> Any:
    """Return, for each operation, True if planned faults took effect."""
    return result.records["kind"] != result.scenario.fault_mix.faults_disabled


@pytest.mark.parametrize(
    ("windows", "spans"),
    [
        ((5, 10), [(5, 10)]),
        ([(5, 10)], [(5, 10)]),
        (("5s", "10s"), [(5, 10)]),
        ([(0, 2), (10, None)], [(0, 2), (10, 1e9)]),
        ([(5, 8), (7, 10)], [(5, 10)]),
        ((5, None), [(5, 1e9)]),
    ],
)
def test_faults_take_effect_in_their_windows_and_nowhere_else(
    tmp_path: Path, windows: Any, spans: list[tuple[float, float]]
) -> None:
    result = run(lambda: None, tmp_path, fault_windows=windows)
    moments, on = began(result), inside(result)
    expected = np.logical_or.reduce([(begin <= moments) & (moments < end) for begin, end in spans])
    assert on.any()
    assert not on.all()
    assert (on == expected).all()
    assert set(result.records["outcome"][~on].tolist()) == {0}
    assert result.failures + result.missing_data == sum(result.stats["faults"].values()) > 0


@pytest.mark.parametrize("by", ["operation", "simulator"])
def test_a_window_may_begin_with_an_event(tmp_path: Path, by: str) -> None:
    at: list[float] = []

    def buy(operation: Operation) -> None:
        if operation.agent == "Agent_1" and operation.index == 60:
            at.append(operation.now())
            announce = operation.announce if by == "operation" else simulator.announce
            announce("failover")

    simulator = MultiAgentSimulator(
        target={"buy": buy},
        agents=4,
        operations_per_agent=200,
        failure_prob=0.5,
        seed=5,
        engine="virtual",
        missing_data_prob=0,
        fault_windows={"after": "failover", "from": 1, "lasts": 3},
        output_dir=tmp_path,
    )
    result = simulator.run()
    moments, on = began(result), inside(result)
    (announced,) = at
    start = result.records["end"].min() / 1e9 - moments.min()
    assert on.any()
    assert moments[on].min() == pytest.approx(announced - start + 1, abs=0.2)
    assert moments[on].max() == pytest.approx(announced - start + 4, abs=0.2)


def test_an_event_that_is_announced_twice_begins_its_window_once(tmp_path: Path) -> None:
    def buy(operation: Operation) -> None:
        operation.announce("failover")

    result = run(buy, tmp_path, fault_windows={"after": "failover", "lasts": 2})
    assert began(result)[inside(result)].max() < 2.5


def test_a_run_whose_windows_never_begin_has_tested_nothing_and_does_not_pass(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"after.*failover.*no operation began in any of them") as caught:
        run(
            lambda operation: operation.announce("lunch"),
            tmp_path,
            fault_windows={"after": "failover"},
            missing_data_prob=0,
        )
    result = caught.value.result
    assert result.successes == result.operations == 800
    assert result.stats["faults"] == {}


def test_an_announcement_without_windows_or_without_a_run_has_no_effect(tmp_path: Path) -> None:
    simulator = MultiAgentSimulator(
        target={"buy": lambda operation: operation.announce("lunch")},
        tasks=["buy"],
        engine="virtual",
        operations_per_agent=3,
        output_dir=tmp_path,
    )
    simulator.announce("lunch")
    assert simulator.run().errors == 0


def test_a_second_run_waits_for_its_own_event(tmp_path: Path) -> None:
    runs: list[int] = []

    def buy(operation: Operation) -> None:
        if len(runs) == 1:
            operation.announce("failover")

    simulator = MultiAgentSimulator(
        target={"buy": buy},
        engine="virtual",
        fault_windows={"after": "failover"},
        failure_prob=1,
        operations_per_agent=5,
        output_dir=tmp_path,
    )
    runs.append(1)
    assert simulator.run().stats["faults"]
    runs.append(2)
    with pytest.raises(RunFailed, match="no operation began"):
        simulator.run()


def test_the_statistics_of_two_runs_are_the_same_to_the_byte(tmp_path: Path) -> None:
    def buy(operation: Operation) -> None:
        if operation.index == 30:
            operation.announce("failover")

    files = []
    for _ in range(2):
        run(
            buy,
            tmp_path,
            faults="binance",
            fault_windows=[(1, 2), {"after": "failover", "lasts": 4}],
            missing_data={"stale": 1, "gap": 1},
            network="retail",
            retries=1,
        )
        files.append((tmp_path / "simulation_statistics.json").read_bytes())
    assert files[0] == files[1]


def test_real_threads_keep_to_the_windows_too(tmp_path: Path) -> None:
    result = run(
        lambda: None,
        tmp_path,
        engine="threads",
        fault_windows=(0.1, 0.2),
        min_delay=0.001,
        max_delay=0.003,
        missing_data_prob=0,
    )
    on = inside(result)
    moments = began(result)[on]
    assert moments.size
    assert moments.min() > 0.099
    assert set(result.records["outcome"][~on].tolist()) == {0}


def test_many_threads_may_announce_the_same_event_at_once() -> None:
    """One announcement begins the window. The others have no effect and raise nothing."""
    errors: list[BaseException] = []
    switch_interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(300):
            windows = OpenWindows(
                windows_of([{"after": "failover", "from": n} for n in range(50)]) or (), lambda: 1.0
            )
            start = threading.Barrier(4)

            def announce() -> None:
                start.wait()  # noqa: B023
                try:
                    windows.announce("failover")  # noqa: B023
                except BaseException as error:
                    errors.append(error)

            threads = [threading.Thread(target=announce) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert windows.are_open()
    finally:
        sys.setswitchinterval(switch_interval)
    assert errors == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5s-10s", [(5, 10)]),
        ("5-10", [(5, 10)]),
        ("60s-", [(60, None)]),
        ("500ms-1m", [(0.5, 60)]),
        ("failover+10s", [{"after": "failover", "lasts": 10}]),
        ("failover+", [{"after": "failover"}]),
        ("1s-2s, 5s-10s,fail-over+1m", [(1, 2), (5, 10), {"after": "fail-over", "lasts": 60}]),
    ],
)
def test_windows_may_be_text(text: str, value: Any) -> None:
    assert windows_of(read_windows(text)) == windows_of(value)


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([], ["there are no windows"]),
        (5, ["fault_windows=5", "(from, to)"]),
        ("5s-10s", ["fault_windows='5s-10s'", "(from, to)", "{'after': event, 'lasts': seconds}"]),
        ((10, 5), ["(10, 5) must end after it begins"]),
        ((5, 5), ["(5, 5) must end after it begins"]),
        ([(1, 2, 3)], ["(1, 2, 3) is not a window", "(from, to)"]),
        ((-1, 5), ["-1 is not a time", "from 0 up"]),
        (("soon", 5), ["'soon' is not a time"]),
        (("5 parsecs", 9), ["'5 parsecs' is not a time"]),
        ({"after": ""}, ["is not a window"]),
        ({"after": 5}, ["is not a window"]),
        ({"from": 1, "lasts": 2}, ["is not a window", "'after'"]),
        ({"after": "x", "until": 5}, ["is not a window"]),
        ({"after": "x", "lasts": -5}, ["-5 is not a time"]),
        ([(1, 2), "x"], ["'x' is not a window"]),
    ],
    ids=str,
)
def test_bad_windows_are_refused_in_one_line(windows: Any, words: list[str]) -> None:
    with pytest.raises(SettingError) as caught:
        Scenario(fault_windows=windows)
    assert len(str(caught.value).splitlines()) == 1
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    "windows", [(5, 10), [(0, 1), (2, None)], {"after": "x"}, [{"after": "x", "from": 1, "lasts": 0.7}, (1, 2)]]
)
def test_repr_and_json_make_an_equal_scenario(windows: Any) -> None:
    scenario = Scenario(fault_windows=windows)
    assert Scenario.from_json(scenario.to_json()) == scenario == eval(repr(scenario), {"Scenario": Scenario})


@pytest.mark.parametrize(
    "event", [None, 5, b"failover", lambda: "failover"], ids=["None", "number", "bytes", "function"]
)
def test_an_event_that_is_not_a_text_is_refused(event: Any) -> None:
    windows = OpenWindows(windows_of({"after": "failover"}) or (), lambda: 1.0)
    with pytest.raises(TypeError, match=r"^announce: event=.*: must be the name of an event$"):
        windows.announce(event)
    windows.announce("failover")
    assert windows.are_open()
