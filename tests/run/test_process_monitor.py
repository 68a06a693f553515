"""Samples of the process during a run: memory without our own records, and garbage collections."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import psutil
import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, StressResult
from pytest_nos_stress._internal.cpu import processors
from pytest_nos_stress._internal.system import system
from pytest_nos_stress.results.records import Batch, Records
from pytest_nos_stress.results.resources import ResourceSamples
from pytest_nos_stress.run.process_monitor import ProcessMonitor
from pytest_nos_stress.run.target import bind

MEGABYTE = 1_000_000


def some_records() -> Records:
    scenario = Scenario(agents=1, tasks=["buy"])
    return Records(scenario.agent_names, bind(lambda: None, scenario.task_names, "threads"), scenario.fault_mix)


class TickingClock:
    """A clock that advances by 0.1 s each time it is read. The run starts at the second reading."""

    started_ns = 100_000_000
    wall_offset_ns = 0

    def __init__(self) -> None:
        self.ticks = -1

    def now_ns(self) -> int:
        self.ticks += 1
        return self.ticks * 100_000_000

    def sleep(self, seconds: float) -> None:
        """Nobody sleeps."""


def monitor_with_memory(memory: list[int]) -> ProcessMonitor:
    """Vitals of a process with this much memory, look by look, and then that of the last."""
    monitor: Any = ProcessMonitor(TickingClock(), some_records())
    sizes = iter(memory)
    monitor._process = SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=next(sizes, memory[-1])))
    observed: ProcessMonitor = monitor
    return observed


def run(directory: Path, target: Any, **options: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": 2,
        "operations_per_agent": 40,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 1,
        "report": "none",
        "gate": False,
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **options}).run()


def test_a_target_that_keeps_what_it_gets_is_seen(tmp_path: Path) -> None:
    # So much that memory which earlier tests left, and which goes back to the system meanwhile, does not matter.
    allocated: list[bytearray] = []

    def leaks(operation: Operation) -> None:
        if operation.agent == "Agent_1" and operation.index == 20:
            allocated.append(bytearray(b"x") * (400 * MEGABYTE))
        operation.sleep(0.005)

    thresholds = ["memory.growth < 20MiB", "memory.growth > 200MB", "memory.peak >= 400MB"]
    result = run(tmp_path, leaks, thresholds=thresholds)
    assert [verdict.verdict for verdict in result.verdicts] == ["failed", "passed", "passed", "passed"]
    memory = result.stats["memory"]
    assert memory is not None
    assert 200 * MEGABYTE < memory["growth"] == memory["end"] - memory["start"]
    assert memory["peak"] >= memory["end"]
    assert result.vitals.memory.max() == memory["peak"]


def test_the_columns_of_the_records_are_not_taken_for_the_targets_memory() -> None:
    count = 2_000_000
    batch = Batch(
        agent=np.zeros(count, np.uint16),
        code=np.zeros(count, np.uint16),
        outcome=np.zeros(count, np.uint8),
        is_error=np.zeros(count, np.bool_),
        end=np.ones(count, np.int64),
        latency=np.ones(count, np.uint32),
        response_time=np.ones(count, np.uint32),
        errors={},
        called=np.ones(count, np.bool_),
        is_cut_short=np.zeros(count, np.bool_),
    )
    records = some_records()
    monitor = ProcessMonitor(TickingClock(), records)
    with monitor.observed(), monitor.working():
        records.append(batch)
    memory = monitor.samples.memory
    assert records.kept_bytes > 40 * MEGABYTE
    assert int(memory[-1] - memory[0]) < 30 * MEGABYTE  # and not the 44 of the columns


def test_there_is_a_look_at_the_start_and_one_at_the_end() -> None:
    monitor = monitor_with_memory([10, 30, 20])
    with monitor.observed() as look, monitor.working():
        look(0.5)
    samples = monitor.samples
    assert samples.seconds.tolist() == [0, 0, 0.1]
    assert samples.memory.tolist() == [10, 30, 20]
    assert samples.lag.tolist() == [0, 0.5, 0]
    assert all(samples.cpu >= 0)


def test_a_long_run_keeps_a_bounded_number_of_looks_and_the_worst_of_them() -> None:
    memory = [1_000 + number for number in range(20_000)]
    memory[7_777] = 1_000_000
    monitor = monitor_with_memory(memory)
    with monitor.observed() as look, monitor.working():
        for number in range(len(memory) - 2):
            look(9.0 if number == 12_345 else 0.001)
    samples = monitor.samples
    assert len({len(column) for column in samples}) == 1
    assert 1_000 < samples.seconds.size < 5_000
    assert np.all(np.diff(samples.seconds) > 0)
    assert samples.memory.max() == 1_000_000
    assert samples.lag.max() == 9
    assert samples.seconds[-1] == pytest.approx(len(memory) / 10 - 0.2)


def test_the_growth_of_a_long_run_counts_from_its_start() -> None:
    memory = [1_000 * number for number in range(20_000)]
    monitor = monitor_with_memory(memory)
    with monitor.observed() as look, monitor.working():
        for _ in range(len(memory) - 2):
            look(0.0)
    samples = monitor.samples
    assert int(samples.memory[-1] - samples.memory[0]) == memory[-1]


def test_looks_can_be_asked_for_while_more_are_taken() -> None:
    monitor = monitor_with_memory([10])
    lengths_seen: list[Any] = []

    def read() -> None:
        try:
            for _ in range(2_000):
                lengths_seen.append({len(column) for column in monitor.samples})
        except BaseException as error:
            lengths_seen.append(error)

    with monitor.observed() as look, monitor.working():
        reader = threading.Thread(target=read)
        reader.start()
        while reader.is_alive():
            look(0.0)
        reader.join()
    assert len(lengths_seen) == 2_000
    assert all(isinstance(lengths, set) and len(lengths) == 1 for lengths in lengths_seen)


def test_garbage_collections_are_counted_during_a_run_and_not_after_it() -> None:
    callbacks = list(gc.callbacks)
    monitor = monitor_with_memory([10])
    with monitor.observed(), monitor.working():
        gc.collect()
        gc.collect()
    seen = monitor.collections
    assert seen.collections >= 2
    assert 0 < seen.longest <= seen.seconds
    gc.collect()
    assert monitor.collections == seen
    assert gc.callbacks == callbacks


def test_nothing_is_left_behind_by_a_run_that_fails() -> None:
    callbacks = list(gc.callbacks)
    monitor = monitor_with_memory([10])
    with pytest.raises(KeyError), monitor.observed(), monitor.working():
        raise KeyError
    assert gc.callbacks == callbacks


def test_the_runs_own_collections_are_no_bottleneck_of_the_agents(tmp_path: Path) -> None:
    gc.disable()
    try:
        results = [run(tmp_path, lambda: None, operations_per_agent=2) for _ in range(3)]
    finally:
        gc.enable()
    for result in results:
        assert result.stats["harness"] is not None
        assert result.stats["harness"]["gc"] == {"collections": 0, "seconds": 0.0, "longest": 0.0}


def test_memory_is_sampled_from_the_moment_when_the_agents_begin() -> None:
    monitor = monitor_with_memory([10, 30])
    with monitor.observed() as look:
        look(0.5)
        with monitor.working():
            pass
    assert monitor.samples.memory.tolist() == [10, 30]
    assert monitor.samples.lag.tolist() == [0, 0]


def test_a_run_that_ends_before_its_agents_begin_has_one_sample() -> None:
    monitor = monitor_with_memory([10])
    with monitor.observed():
        pass
    assert monitor.samples.memory.tolist() == [10]
    assert (monitor.cores_used, monitor.machine_busy) == (0.0, 0.0)


LOOKS = 50_000
PEAKS = (1_000, 4_095, 7_777, 20_001, 33_333, LOOKS - 2)


@pytest.fixture(scope="module")
def long_run() -> ResourceSamples:
    """An hour and a half of looks, ten a second, with peaks of memory far apart."""
    memory = [1_000] * LOOKS
    memory[0] = 900
    for peak in PEAKS:
        memory[peak] = 1_000_000 + peak
    monitor = monitor_with_memory(memory)
    with monitor.observed() as look, monitor.working():
        for _ in range(LOOKS - 2):
            look(0.0)
    return monitor.samples


def test_the_looks_that_are_allocated_of_a_long_run_are_about_as_far_apart_at_its_start_as_at_its_end(
    long_run: ResourceSamples,
) -> None:
    gaps = np.diff(long_run.seconds)[:-1]  # the last look is at the end, whenever that is
    usual = float(np.median(gaps))
    assert usual / 2 <= gaps.min()
    assert gaps.max() <= 2 * usual


def test_the_peaks_of_a_long_run_are_allocated_and_its_first_look_as_it_was(long_run: ResourceSamples) -> None:
    assert {1_000_000 + peak for peak in PEAKS} <= set(long_run.memory.tolist())
    assert (long_run.seconds[0], long_run.memory[0]) == (0, 900)


def test_a_peak_right_after_the_start_of_a_long_run_is_allocated() -> None:
    monitor = monitor_with_memory([900, 1_000_000, 1_000])
    with monitor.observed() as look, monitor.working():
        for _ in range(5_000):
            look(0.0)
    assert monitor.samples.memory.max() == 1_000_000


def test_a_test_that_empties_the_list_of_those_who_are_told_of_collections_does_no_harm(tmp_path: Path) -> None:
    callbacks = list(gc.callbacks)
    try:
        result = run(tmp_path, gc.callbacks.clear, thresholds=["operations == 80"])
        assert gc.callbacks == []
    finally:
        gc.callbacks[:] = callbacks
    assert (result.passed, result.status) == (True, "completed")


# A measurement that the system refuses.

REFUSALS = [
    psutil.NoSuchProcess(1),
    psutil.AccessDenied(1),
    psutil.ZombieProcess(1),
    psutil.TimeoutExpired(1),
    PermissionError(13, "Permission denied", "/proc/stat"),
    FileNotFoundError(2, "No such file or directory", "/proc/1/statm"),
    NotImplementedError("platform not supported"),
    ValueError("could not convert"),
]


def refuse(error: Exception) -> Any:
    def measure(*_: object) -> Any:
        raise error

    return measure


@pytest.mark.parametrize("error", REFUSALS, ids=lambda error: type(error).__name__)
def test_memory_that_cannot_be_measured_is_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(psutil, "Process", refuse(error))
    result = run(tmp_path, lambda: None, gate=True)
    assert result.passed
    assert result.stats["memory"] is None
    (note,) = result.notes
    assert note.startswith("memory was not measured (")
    assert type(error).__name__ in note
    assert note in result.summary["notes"]
    assert result.stats["harness"]["cpu"] is not None


def test_only_a_threshold_on_memory_has_no_data_without_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(psutil, "Process", refuse(psutil.NoSuchProcess(1)))
    thresholds = ["memory.growth < 1GiB", "memory.peak < 900GiB over 10s", "operations == 80"]
    result = run(tmp_path, lambda: None, thresholds=thresholds)
    verdicts = {verdict.threshold.text: verdict.verdict for verdict in result.verdicts}
    assert [verdicts[text] for text in thresholds] == ["no data", "no data", "passed"]


def test_memory_that_was_measured_only_at_first_has_no_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []

    def memory_info() -> Any:
        if measured:
            raise psutil.AccessDenied(1)
        measured.append(1)
        return SimpleNamespace(rss=1_000_000_000)

    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(memory_info=memory_info))
    result = run(tmp_path, lambda: None, thresholds=["memory.growth < 1GiB"], report="html")
    assert result.stats["memory"] is None
    assert next(iter(result.verdicts)).verdict == "no data"
    assert "memory was not measured" in (result.output_dir / "stress_test_report.html").read_text()


def test_processor_time_that_cannot_be_measured_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "cpu_times", refuse(PermissionError(13, "Permission denied")))
    monkeypatch.setattr("pytest_nos_stress.run.process_monitor.process_time", refuse(OSError("no clock")))
    result = run(tmp_path, lambda operation: operation.sleep(0.02), gate=True, report="html")
    assert result.passed
    assert (result.stats["harness"]["cpu"], result.stats["harness"]["machine_busy"]) == (None, None)
    assert result.vitals.cpu.size == 0
    assert [note.partition(" was")[0] for note in result.notes] == [
        "use of the machine's processors",
        "processor time",
    ]


def test_virtual_time_measures_no_process_and_has_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "Process", refuse(psutil.NoSuchProcess(1)))
    assert run(tmp_path, lambda: None, engine="virtual", gate=True).notes == ()


def test_the_number_of_processors_needs_no_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "sched_getaffinity", refuse(PermissionError(1, "Operation not permitted")))
    assert processors() >= 1
