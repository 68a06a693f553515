"""The package's clocks, locks and threads work while a test has replaced those of the standard library."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult
from pytest_nos_stress._internal import instrument, loops

SECONDS = 0.05
REPLACED = (
    "time.time",
    "time.time_ns",
    "time.monotonic",
    "time.monotonic_ns",
    "time.perf_counter",
    "time.perf_counter_ns",
    "time.process_time",
    "time.sleep",
    "time.strftime",
    "time.localtime",
    "time.gmtime",
    "datetime.datetime",
    "threading.Lock",
    "threading.RLock",
    "threading.Condition",
    "threading.Event",
    "threading.Thread",
    "threading.current_thread",
    "threading.enumerate",
    "asyncio.Event",
    "asyncio.all_tasks",
    "asyncio.get_running_loop",
    "asyncio.new_event_loop",
    "asyncio.sleep",
    "asyncio.wait",
    "asyncio.wait_for",
)
really_sleep, really_sleep_on_loop = time.sleep, asyncio.sleep


@contextlib.contextmanager
def replaced() -> Iterator[None]:
    """Replace clocks, sleep, locks and threads of the standard library by mocks."""
    with contextlib.ExitStack() as patches:
        for name in REPLACED:
            patches.enter_context(mock.patch(name))
        yield


async def yields() -> None:
    await asyncio.sleep(0)


async def waits() -> None:
    await really_sleep_on_loop(SECONDS)


def sleeps_virtually(operation: Operation) -> None:
    operation.sleep(1)


def blocks() -> None:
    really_sleep(SECONDS)


def run(directory: Path, task: Callable[..., object], **settings: Any) -> StressResult:
    calm: dict[str, Any] = {"min_delay": 0.001, "max_delay": 0.001, "missing_data_prob": 0, "failure_prob": 0}
    few: dict[str, Any] = {"agents": 2, "operations_per_agent": 2, "report": "none", "output_dir": directory}
    return MultiAgentSimulator(target={"buy": task}, gate=False, **{**few, **calm, **settings}).run()


def assert_in_real_time(result: StressResult, began: float) -> None:
    """Require a run's latencies, times and log to be those of the real time."""
    assert (result.operations, result.errors) == (4, 0)
    assert result.latency.min >= SECONDS
    ended = time.time()
    for name in ("start_time", "end_time"):
        moment = datetime.datetime.fromisoformat(str(result.stats[name]))
        assert began - 1 < moment.timestamp() < ended + 1
    for line in (result.output_dir / "stress_test_results.log").read_text().splitlines():
        moment = datetime.datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S")
        assert began - 2 < moment.timestamp() < ended + 2


@pytest.mark.parametrize("task", [blocks, waits])
def test_a_run_measures_real_time_whatever_a_test_has_replaced(tmp_path: Path, task: Callable[[], object]) -> None:
    began = time.time()
    with replaced():
        result = run(tmp_path, task)
    assert_in_real_time(result, began)


@pytest.mark.parametrize("name", ["Lock", "RLock", "Condition", "Event"])
def test_a_test_may_forbid_locks(tmp_path: Path, name: str) -> None:
    with mock.patch.object(threading, name, side_effect=AssertionError("locks are forbidden")):
        results = [run(tmp_path, blocks), run(tmp_path, yields)]
    assert [(result.operations, result.errors) for result in results] == [(4, 0), (4, 0)]


def test_virtual_time_needs_nothing_that_a_test_may_replace(tmp_path: Path) -> None:
    with replaced():
        result = run(tmp_path, sleeps_virtually, engine="virtual")
    assert (result.operations, result.errors, result.latency.min) == (4, 0, 1.0)


@pytest.mark.parametrize("engine", ["threads", "asyncio", "virtual"])
def test_a_hung_operation_is_noticed_while_time_stands_still(
    tmp_path: Path, engine: str, short_grace: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def hangs() -> None:
        released.wait()

    async def hangs_on_the_loop() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 1)
    simulator = MultiAgentSimulator(
        1,
        target={"buy": hangs_on_the_loop if engine == "asyncio" else hangs},
        engine=engine,
        operations_per_agent=1,
        operation_timeout=0.2,
        missing_data_prob=0,
        failure_prob=0,
        output_dir=tmp_path,
    )
    with pytest.raises(Exception, match=r"took longer than operation_timeout|deadlock"):
        simulator.run()
    released.set()


def test_timers_end_on_a_loop_whose_clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep() -> list[float]:
        began = instrument.perf_counter()
        await asyncio.gather(loops.sleep(SECONDS), loops.sleep(2 * SECONDS), loops.sleep(0))
        first = instrument.perf_counter() - began
        sleeping = asyncio.ensure_future(loops.sleep(3600))
        await loops.sleep(0)
        sleeping.cancel()
        await asyncio.gather(sleeping, return_exceptions=True)
        return [first]

    loop = asyncio.SelectorEventLoop()
    monkeypatch.setattr(loop, "time", lambda: 0.0)
    try:
        (seconds,) = loop.run_until_complete(sleep())
    finally:
        loop.close()
    assert seconds >= 2 * SECONDS
    for thread in threading.enumerate():
        if thread.name == "stress timers":
            thread.join(60)
            assert not thread.is_alive()


def test_agents_pause_in_real_time_on_a_users_loop_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> StressResult:
        simulator = MultiAgentSimulator(
            2,
            target={"buy": yields},
            operations_per_agent=2,
            min_delay=0.01,
            max_delay=0.01,
            missing_data_prob=0,
            failure_prob=0,
            output_dir=tmp_path,
        )
        return await simulator.run_async()

    loop = asyncio.SelectorEventLoop()
    monkeypatch.setattr(loop, "time", lambda: 0.0)
    try:
        result = loop.run_until_complete(main())
    finally:
        loop.close()
    assert result.operations == 4
    assert result.stats["duration"] >= 0.02


def test_a_loop_of_the_package_keeps_real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = loops.new_loop()
    try:
        monkeypatch.setattr(time, "monotonic", lambda: 0.0)
        monkeypatch.setattr(type(loop), "time", lambda _: 0.0)  # as freezegun's real_asyncio does
        began = instrument.perf_counter()
        loop.run_until_complete(asyncio.wait_for(asyncio.sleep(SECONDS), 60))
        assert instrument.perf_counter() - began >= SECONDS
    finally:
        loop.close()


def test_a_loop_with_a_clock_in_c_is_left_alone() -> None:
    loop: Any = SimpleNamespace(time=lambda: 0.0, call_later=lambda *arguments: arguments)
    assert loops.new_loop(lambda: loop) is loop
    timer: Any = loops.call_later(loop, 1.0, print)
    assert timer == (1.0, print)


def test_locks_are_real_while_threading_makes_cooperating_ones() -> None:
    code = """
from pytest_nos_stress import cooperating_locks
from pytest_nos_stress._internal import instrument
with cooperating_locks():
    locks = [instrument.Lock(), instrument.Event()._cond._lock, instrument.Condition()._lock]
print({type(lock).__module__ for lock in locks})
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert process.stdout.strip() == "{'_thread'}"


def test_a_frozen_test_may_be_the_first_to_import_the_package() -> None:
    code = """
import time
real = time.perf_counter_ns
time.time = time.perf_counter = lambda: 0.0
time.time_ns = time.perf_counter_ns = time.monotonic_ns = lambda: 0
from pytest_nos_stress._internal import instrument
began = real()
assert began <= instrument.perf_counter_ns() <= real()
print(instrument.wall_ns() / 1e9)
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert abs(float(process.stdout) - time.time()) < 60


def test_a_waiting_thread_is_woken_by_an_event_and_by_its_timeout() -> None:
    event = instrument.Event()
    assert not event.wait(0.001)
    thread = instrument.Thread(event.wait, name="waits")
    thread.start()
    event.set()
    thread.join(60)
    assert not thread.is_alive()
