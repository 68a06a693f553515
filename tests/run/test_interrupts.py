"""A signal handler that raises (an alarm, a timeout) interrupts a run as Ctrl-C does: its files are written."""

from __future__ import annotations

import asyncio
import json
import os
import pkgutil
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from pytest_nos_stress import AsyncOperation, MultiAgentSimulator, Operation, sometimes
from pytest_nos_stress.results import stats
from pytest_nos_stress.run import event_loop


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
    figures = json.loads((directory / "simulation_statistics.json").read_text())
    assert (figures["status"], figures["interrupted"], figures["verdict"]) == ("interrupted", True, "failed")
    assert figures["reason"].endswith(f"{raised.__qualname__}: the test's time is over")
    assert 0 < figures["total_operations"] == figures["successful_operations"]
    log = (directory / "stress_test_results.log").read_text().splitlines()
    assert len(log) == figures["total_operations"]


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
    figures = json.loads((tmp_path / "simulation_statistics.json").read_text())
    assert figures["reason"].endswith(f"{alarm.__qualname__}: the test's time is over")


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


def ring() -> None:
    os.kill(os.getpid(), signal.SIGALRM)


def rings_before(function: Callable[..., Any], ring: Callable[[], object] = ring) -> Callable[..., Any]:
    """Return a function that rings once, at its first call, and does what ``function`` does."""
    left = [ring]

    def rings(*args: Any, **options: Any) -> Any:
        while left:
            left.pop()()
        return function(*args, **options)

    return rings


class RingsWhenDeleted:
    def __del__(self) -> None:
        ring()


PLACES = {
    "a directory is prepared": "pytest_nos_stress.reporting.files.paths.make_directory",
    "memory is measured": "psutil.Process.memory_info",
    "the hooks are set": "pytest_nos_stress.run.background_hooks.system_threads",
    "a thread is started": "pytest_nos_stress.run.recorder.Thread.start",
    "the last threads are waited for": "pytest_nos_stress.run.background_hooks.join_threads",
    "statistics are computed": "pytest_nos_stress.results.stats.compute",
    "a file is written": "pytest_nos_stress.reporting.writer.write_atomic",
    "a report is rendered": "pytest_nos_stress.scenario.scenario.Scenario.to_json",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@pytest.mark.parametrize("engine", ["threads", "virtual", "asyncio"])
def test_an_alarm_is_not_lost_whatever_the_run_does_when_it_rings(
    engine: str, place: str, tmp_path: Path, alarm: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, _, name = place.rpartition(".")
    monkeypatch.setattr(place, rings_before(getattr(pkgutil.resolve_name(owner), name)))
    run = simulator(tmp_path, lambda: None, operations_per_agent=3, engine=engine)

    with pytest.raises(alarm, match="the test's time is over"):
        run.run()

    figures = json.loads((tmp_path / "simulation_statistics.json").read_text())
    assert (figures["status"], figures["verdict"]) == ("interrupted", "failed")
    assert figures["reason"].endswith(f"{alarm.__qualname__}: the test's time is over")
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".log"}


def test_an_alarm_in_a_finalizer_is_not_lost(
    tmp_path: Path, alarm: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python only prints what a finalizer raises."""
    place = "pytest_nos_stress.results.stats.compute"
    monkeypatch.setattr(place, rings_before(stats.compute, RingsWhenDeleted))

    with pytest.raises(alarm, match="the test's time is over"):
        simulator(tmp_path, lambda: None, operations_per_agent=3).run()
    assert json.loads((tmp_path / "simulation_statistics.json").read_text())["status"] == "interrupted"


@pytest.mark.parametrize("kind", ["check", "condition"])
def test_an_alarm_ends_a_check_that_hangs_and_is_no_failure_of_the_check(
    kind: str, tmp_path: Path, alarm: type[BaseException]
) -> None:
    def hangs() -> bool:
        ring()
        time.sleep(3600)
        return True

    checks = [hangs if kind == "check" else sometimes("hangs", hangs)]
    run = simulator(tmp_path, lambda: None, operations_per_agent=3, engine="threads", checks=checks)
    with pytest.raises(alarm, match="the test's time is over"):
        run.run()

    assert run.result is not None
    assert (run.result.status, [check.verdict for check in run.result.checks]) == ("interrupted", ["no data"])


def test_a_second_alarm_ends_the_writing_of_files_at_once(tmp_path: Path, alarm: type[BaseException]) -> None:
    def rings_twice(_: object) -> None:
        ring()
        ring()

    with pytest.raises(alarm):
        simulator(tmp_path, waits, operations_per_agent=20, report=["html"]).run(progress=rings_twice)
    check_files(tmp_path, alarm)


def test_a_handler_that_does_not_raise_does_not_end_the_run(tmp_path: Path) -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    try:
        result = simulator(tmp_path, ring_once, operations_per_agent=10).run()
    finally:
        signal.signal(signal.SIGALRM, before)

    assert (result.status, rung) == ("completed", [signal.SIGALRM])


def test_an_alarm_at_the_very_end_of_a_run_on_the_loop_of_the_test_is_raised(
    tmp_path: Path, alarm: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def until_the_end(ended: asyncio.Future[Any], _: object) -> None:
        await ended
        ring()

    monkeypatch.setattr(event_loop, "_until", until_the_end)
    with pytest.raises(alarm):
        asyncio.run(simulator(tmp_path, waits_on_loop, operations_per_agent=3).run_async())
