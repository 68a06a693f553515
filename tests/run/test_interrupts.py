"""A signal handler that raises (an alarm, a timeout) interrupts a run as Ctrl-C does: its files are written."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pytest_nos_stress import AsyncOperation, MultiAgentSimulator, Operation


class OutOfTime(BaseException):
    """Raised by the handler, as ``pytest.fail`` raises: no ``Exception``."""


class TooLate(Exception):
    """Raised by another handler."""


@pytest.fixture(params=[OutOfTime, TooLate])
def alarm(request: pytest.FixtureRequest) -> Iterator[type[BaseException]]:
    """Let an alarm raise an exception in the main thread."""

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise request.param("the test's time is over")

    before = signal.signal(signal.SIGALRM, ring)
    yield request.param
    assert signal.getsignal(signal.SIGALRM) is ring
    signal.signal(signal.SIGALRM, before)


def ring_once(operation: Operation) -> None:
    """Ring in the middle of the run."""
    if operation.agent == "Agent_1" and operation.index == 5:
        os.kill(os.getpid(), signal.SIGALRM)


def waits(operation: Operation) -> None:
    ring_once(operation)
    operation.sleep(0.01)


def waits_in_real_time(operation: Operation) -> None:
    ring_once(operation)
    time.sleep(0.01)


async def waits_on_loop(operation: AsyncOperation) -> None:
    ring_once(operation)
    await operation.sleep(0.01)


async def computes_on_loop(operation: Operation) -> None:
    ring_once(operation)
    end = time.monotonic() + 0.01
    while time.monotonic() < end:
        pass


def simulator(directory: Path, target: Any, **settings: Any) -> MultiAgentSimulator:
    defaults: dict[str, Any] = {
        "agents": 2,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "operations_per_agent": 100_000,
        "report": "none",
    }
    return MultiAgentSimulator(target={"buy": target}, output_dir=directory, **defaults | settings)


def check_files(directory: Path, raised: type[BaseException]) -> None:
    stats = json.loads((directory / "simulation_statistics.json").read_text())
    assert (stats["status"], stats["interrupted"], stats["verdict"]) == ("interrupted", True, "failed")
    assert stats["reason"].endswith(f"{raised.__qualname__}: the test's time is over")
    assert 0 < stats["total_operations"] == stats["successful_operations"]
    log = (directory / "stress_test_results.log").read_text().splitlines()
    assert len(log) == stats["total_operations"]


@pytest.mark.parametrize(
    ("engine", "target"),
    [("threads", waits), ("virtual", waits_in_real_time), ("asyncio", waits_on_loop)],
)
@pytest.mark.parametrize("own_threads", [True, False])
def test_the_files_are_written_before_the_exception_goes_on(
    engine: str, target: Any, own_threads: bool, tmp_path: Path, alarm: type[BaseException]
) -> None:
    with pytest.raises(alarm, match="the test's time is over"):
        simulator(tmp_path, target, engine=engine, own_threads=own_threads).run()
    check_files(tmp_path, alarm)


@pytest.mark.parametrize("target", [waits_on_loop, computes_on_loop])
def test_an_alarm_on_the_loop_of_the_test_is_no_error_of_an_operation(
    target: Any, tmp_path: Path, alarm: type[BaseException]
) -> None:
    """Python runs signal handlers in the main thread: in the middle of the code that the agents perform there."""

    async def main() -> None:
        await simulator(tmp_path, target).run_async()

    with pytest.raises(alarm, match="the test's time is over"):
        asyncio.run(main())
    check_files(tmp_path, alarm)


def test_an_alarm_in_the_first_operation_is_the_reason_although_none_was_performed(
    tmp_path: Path, alarm: type[BaseException]
) -> None:
    def blocks(operation: Operation) -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        operation.sleep(3600)

    run = simulator(tmp_path, blocks, operation_timeout="2h", engine="threads", agents=1)
    with pytest.raises(alarm):
        run.run()
    stats = json.loads((tmp_path / "simulation_statistics.json").read_text())
    assert stats["reason"].endswith(f"{alarm.__qualname__}: the test's time is over")


def test_operations_that_an_interrupted_run_left_behind_are_named(
    tmp_path: Path, alarm: type[BaseException]
) -> None:
    all_are_in = threading.Barrier(5)
    released = threading.Event()

    def blocks() -> None:
        if all_are_in.wait() == 0:
            os.kill(os.getpid(), signal.SIGALRM)
        released.wait()

    run = simulator(tmp_path, blocks, operation_timeout="2h", engine="threads", agents=5)
    try:
        with pytest.raises(alarm):
            run.run()
    finally:
        released.set()
    assert run.result is not None
    *named, others = run.result.summary["notes"]
    assert len(named) == 3
    place = re.escape(f'File "{__file__}"')
    for note in named:
        assert re.fullmatch(rf"agent Agent_\d had not ended its operation: {place}, line \d+, in blocks", note)
    assert others == "2 more agents had not ended an operation"
