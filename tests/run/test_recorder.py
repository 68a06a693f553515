"""All notes of agents are recorded once, in order, and are in the log within half a second."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_nos_stress
from pytest_nos_stress import MultiAgentSimulator, Operation, Scenario, StressResult
from pytest_nos_stress.results.records import Batch, Records
from pytest_nos_stress.scenario.operation import Task

TakesLessThan = Callable[[float, Callable[[], float]], None]

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])


def visible(directory: Path) -> list[str]:
    """Return the names of files, without the hidden claim of a run in progress or of a killed one."""
    return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))


def run(directory: Path, target: Any, **options: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": 2,
        "tasks": ["buy", "sell"],
        "operations_per_agent": 50,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 8,
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **options}).run()


def test_a_run_longer_than_the_recorders_interval_is_recorded_once_and_in_order(tmp_path: Path) -> None:
    performed: list[tuple[int, int]] = []

    def note(operation: Operation) -> None:
        operation.sleep(0.002)
        performed.append((int(operation.agent.removeprefix("Agent_")) - 1, operation.index))

    records = run(tmp_path, note, agents=5, operations_per_agent=250).records
    recorded = list(zip(records["agent"].tolist(), records["index"].tolist(), strict=True))
    assert sorted(recorded) == sorted(performed)
    assert len(set(recorded)) == 1_250


def test_an_error_stays_with_its_operation_over_many_batches(tmp_path: Path) -> None:
    def fails(operation: Operation) -> None:
        operation.sleep(0.001)
        if operation.random.random() < 0.3:
            raise LookupError(f"{operation.agent} at {operation.index}")

    result = run(tmp_path, fails, agents=4, operations_per_agent=400, gate=False)
    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    seen = dict.fromkeys(result.scenario.agent_names, 0)
    for line in lines:
        agent = line.split(" - ")[2].split()[0]
        if "LookupError" in line:
            assert line.endswith(f"LookupError: {agent} at {seen[agent]}")
        seen[agent] += 1
    assert sum("LookupError" in line for line in lines) == result.errors > 100


def test_latency_is_the_time_the_target_took(tmp_path: Path) -> None:
    took: dict[tuple[int, int], float] = {}

    def trade(operation: Operation) -> None:
        started = time.perf_counter()
        operation.sleep(0.003 * (operation.index % 3))
        took[int(operation.agent.removeprefix("Agent_")) - 1, operation.index] = time.perf_counter() - started

    records = run(tmp_path, trade, operations_per_agent=30).records
    for row in records:
        assert row["latency"] / 1e9 >= took[int(row["agent"]), int(row["index"])]
    assert sum(records["latency"].tolist()) / 1e9 < sum(took.values()) + 5  # A wide margin: no speed is asserted.


def test_a_latency_of_more_than_4_seconds_is_kept_exactly(tmp_path: Path) -> None:
    def trade(operation: Operation) -> None:
        operation.sleep(4.5 if operation.index == 1 else 0)

    result = run(tmp_path, trade, agents=1, operations_per_agent=3, engine="virtual")
    assert result.latency.max == 4.5
    assert result.records["latency"].max() == 4_500_000_000
    assert result.latency.min == 0
    assert result.response_time.max == 4.5


def test_the_response_time_of_the_first_operation_counts_from_the_common_start(tmp_path: Path) -> None:
    records = run(tmp_path, lambda operation: operation.sleep(0.01), operations_per_agent=3).records
    assert np.all(records["response_time"] >= records["latency"])
    assert np.all(records["latency"] >= 10_000_000)


def test_an_operation_that_was_not_called_has_no_latency(tmp_path: Path) -> None:
    result = run(tmp_path, lambda: time.sleep(0.001), failure_prob=0.5, missing_data_prob=0.5)
    records = result.records
    assert int(records["called"].sum()) == result.successes == result.stats["latency"]["count"]
    assert np.all(records["called"] == (records["outcome"] == 0))


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 2**40), max_size=20), max_size=8))
def test_durations_of_any_length_are_kept_exactly_whatever_batches_they_come_in(batches: list[list[int]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pytest_nos_stress.results.records._CHUNK_ROWS", 16)
        records = Records(["Ann"], [Task("buy", print, True)], Scenario().fault_mix)
        for batch in batches:
            size = len(batch)
            records.append(
                Batch(
                    agent=np.zeros(size, np.uint32),
                    code=np.zeros(size, np.uint16),
                    outcome=np.zeros(size, np.uint8),
                    is_error=np.zeros(size, np.bool_),
                    end=np.arange(size, dtype=np.int64),
                    latency=np.array(batch, np.int64),
                    response_time=np.array(batch, np.int64),
                    errors={},
                    called=np.ones(size, np.bool_),
                    is_cut_short=np.zeros(size, np.bool_),
                )
            )
    everything = [value for batch in batches for value in batch]
    assert records.column("latency").tolist() == records.column("response_time").tolist() == everything
    assert records.total == len(everything)


BUSY = """
import os, time
from pytest_nos_stress import MultiAgentSimulator

def trade(operation):
    {work}
    now = time.time()
    if operation.index == 0 and operation.agent == "Agent_1":
        print("running", flush=True)
    os.pwrite(progress, b"%020.6f" % now, 20 * agents[operation.agent])

progress = os.open("progress", os.O_RDWR | os.O_CREAT)
agents = {{f"Agent_{{n + 1}}": n for n in range(4)}}
MultiAgentSimulator(4, ["buy"], 0, 0, 10**9, {delay}, {delay}, "out", target=trade, seed=1).run()
"""


@pytest.mark.parametrize(
    ("work", "delay"),
    [("pass", 0.001), ("sum(range(2_000))", 0)],
    ids=["agents that wait", "agents that use the processor"],
)
def test_a_killed_process_leaves_whole_lines_that_are_at_most_half_a_second_behind(
    work: str, delay: float, tmp_path: Path, takes_less_than: TakesLessThan
) -> None:
    # The contract is half a second; the other half is for a machine that is busy with other tests.
    takes_less_than(0.5 + 0.5, lambda: seconds_behind(work, delay, tmp_path))
    assert visible(tmp_path / "out") == ["stress_test_results.log"]


def seconds_behind(work: str, delay: float, tmp_path: Path) -> float:
    """Kill a run. Returns by how much its log ends before its last operation."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY.format(work=work, delay=delay)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        first_line = process.stdout.readline()
        time.sleep(1.5)  # Not for a race: so that the log has something to be behind of.
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    assert first_line == "running\n", errors
    log = (tmp_path / "out" / "stress_test_results.log").read_bytes()
    assert log.endswith(b"\n")
    lines = log.decode().splitlines()
    pattern = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - INFO - Agent_\d successfully completed buy")
    assert all(pattern.fullmatch(line) for line in lines)
    logged_until = max(datetime.strptime(line[:23], "%Y-%m-%d %H:%M:%S,%f").timestamp() for line in lines)
    progress = (tmp_path / "progress").read_bytes()
    performed_until = max(float(progress[at : at + 20]) for at in range(0, len(progress), 20))
    return performed_until - logged_until


def test_the_log_can_be_followed_during_a_run(tmp_path: Path) -> None:
    lines_seen: list[int] = []

    def watch(operation: Operation) -> None:
        deadline = time.monotonic() + 60
        if operation.index != 20:
            return
        while time.monotonic() < deadline:
            lines = (tmp_path / "stress_test_results.log").read_bytes().count(b"\n")
            if lines >= 20:
                lines_seen.append(lines)
                return
            time.sleep(0.01)

    run(tmp_path, watch, agents=1, operations_per_agent=21)
    assert lines_seen == [20]


def test_statistics_are_not_there_before_the_run_has_ended(tmp_path: Path) -> None:
    (tmp_path / "simulation_statistics.json").write_text(json.dumps({"of": "an earlier run"}))
    seen: list[list[str]] = []

    def look(operation: Operation) -> None:
        seen.append(visible(tmp_path))

    run(tmp_path, look, agents=1, operations_per_agent=3)
    assert seen == [["stress_test_results.log"]] * 3


def test_ctrl_c_while_the_last_lines_are_written_waits_for_them(tmp_path: Path) -> None:
    """On a slow disk, also where an interrupted `Thread.join` takes a running thread for an ended one."""
    script = """
import os, signal, threading, time
import pytest_nos_stress.reporting.files.log as log
from pytest_nos_stress import MultiAgentSimulator

write_all, slow = log.write_all, threading.Event()

def write_slowly(file, data):
    for at in range(0, len(data), 4096):
        write_all(file, data[at : at + 4096])
        if not any(thread.name.startswith("agent ") for thread in threading.enumerate()):
            if not slow.is_set():
                slow.set()
                os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.02)

log.write_all = write_slowly
try:
    MultiAgentSimulator(2, ["a"], 0, 0, 2000, 0, 0, "out", target={"a": lambda: None}).run()
except KeyboardInterrupt:
    print("interrupted", slow.is_set(), sum(1 for _ in open("out/stress_test_results.log")))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["interrupted", "True", "4000"]
    assert len(json.loads((tmp_path / "out" / "agent_memory_snapshot.json").read_text())) == 4000
    assert json.loads((tmp_path / "out" / "simulation_statistics.json").read_text())["interrupted"] is True
