"""Awaiting a run, and running on a loop that stands still."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, SettingError
from pytest_nos_stress.run.event_loop import run_in_thread, run_on_current_loop
from pytest_nos_stress.scenario.operation import AsyncOperation

HANG = 60.0
TakesLessThan = Callable[[float, Callable[[], float]], None]
CALM: dict[str, Any] = {"min_delay": 0, "max_delay": 0, "missing_data_prob": 0, "failure_prob": 0}


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that is the current one of this thread and does not run."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close()


def simulator(directory: Path, target: Any, **options: Any) -> MultiAgentSimulator:
    return MultiAgentSimulator(target=target, output_dir=directory, **{**CALM, "agents": 2, **options})


async def rests(operation: AsyncOperation) -> None:
    await operation.sleep(0.01)


def never(_: BaseException) -> None:
    pytest.fail("nobody interrupts here")


def test_what_a_function_returns_or_raises_comes_out_of_the_await() -> None:
    class Odd(BaseException):
        """No Exception."""

    def raises() -> None:
        raise Odd("from the thread")

    assert asyncio.run(run_in_thread(lambda: 42, never)) == 42
    with pytest.raises(Odd, match="from the thread"):
        asyncio.run(run_in_thread(raises, never))


def test_a_cancelled_await_ends_the_function_first_and_leaves_no_thread() -> None:
    ended = threading.Event()
    order: list[str] = []

    def waits() -> None:
        ended.wait(HANG)
        order.append("function ended")

    async def main() -> None:
        task = asyncio.create_task(run_in_thread(waits, lambda _: ended.set()))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        order.append("await ended")

    asyncio.run(main())
    assert order == ["function ended", "await ended"]
    assert not [thread for thread in threading.enumerate() if thread.name == "stress run"]


def test_a_run_on_a_loop_that_stands_still_performs_there(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    seen = set()

    async def buy(operation: Operation) -> None:
        seen.add((asyncio.get_running_loop(), threading.get_ident()))

    assert run_on_current_loop(simulator(tmp_path, buy, operations_per_agent=3)).successes == 6
    assert seen == {(loop, threading.get_ident())}
    assert not loop.is_closed()


def test_a_run_without_a_current_loop_has_its_own_and_leaves_none(tmp_path: Path) -> None:
    seen = set()

    async def buy(operation: Operation) -> None:
        seen.add(threading.get_ident())

    def in_new_thread() -> None:
        results.append(run_on_current_loop(simulator(tmp_path, buy, operations_per_agent=3)).successes)

    results: list[int] = []
    thread = threading.Thread(target=in_new_thread)
    thread.start()
    thread.join(HANG)
    assert results == [6]
    assert thread.ident not in seen


def test_in_a_main_thread_that_never_had_a_loop_none_is_made_and_left_open(tmp_path: Path) -> None:
    """``asyncio.get_event_loop`` makes one there, up to Python 3.13."""
    policy = asyncio.get_event_loop_policy() if not hasattr(asyncio, "EventLoop") else None
    if policy is not None:
        asyncio.set_event_loop_policy(None)
    threads = set()

    async def buy(operation: Operation) -> None:
        threads.add(threading.get_ident())

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        run_on_current_loop(simulator(tmp_path, buy, operations_per_agent=3))
        asyncio.set_event_loop(None)
        gc.collect()
    assert [str(warning.message) for warning in seen if issubclass(warning.category, ResourceWarning)] == []
    assert threads != {threading.get_ident()}


def test_a_closed_current_loop_is_passed_over(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    loop.close()
    assert run_on_current_loop(simulator(tmp_path, rests, operations_per_agent=2)).successes == 4


def test_a_sync_target_does_not_touch_the_current_loop(tmp_path: Path, loop: asyncio.AbstractEventLoop) -> None:
    threads = set()

    def buy() -> None:
        threads.add(threading.get_ident())

    run_on_current_loop(simulator(tmp_path, buy, operations_per_agent=2))
    assert threading.get_ident() not in threads


def test_a_run_inside_of_a_running_loop_is_refused_in_one_line(tmp_path: Path) -> None:
    async def main() -> None:
        run_on_current_loop(simulator(tmp_path, rests))

    with pytest.raises(SettingError, match=r"await stress_simulator\.run_async") as caught:
        asyncio.run(main())
    assert "\n" not in str(caught.value)


def cancelled_run(directory: Path, *, cancels: int, wait: float) -> tuple[Any, float, float]:
    """Cancel an awaited run. Returns its status, how long that took, and for how long the loop stood still."""

    async def main() -> tuple[Any, float, float]:
        prepared = simulator(directory, rests, operations_per_agent=500)
        task = asyncio.create_task(prepared.run_async())
        await asyncio.sleep(wait)
        standstill = 0.0

        async def watch() -> None:
            nonlocal standstill
            while True:
                before = time.monotonic()
                await asyncio.sleep(0.01)
                standstill = max(standstill, time.monotonic() - before)

        watching = asyncio.create_task(watch())
        await asyncio.sleep(0)
        started = time.monotonic()
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        took = time.monotonic() - started
        await asyncio.sleep(0.02)
        watching.cancel()
        assert {other for other in asyncio.all_tasks() if not other.done()} <= {watching, asyncio.current_task()}
        return prepared.result and prepared.result.stats["status"], took, standstill

    return asyncio.run(main())


def test_a_cancelled_run_is_interrupted_and_its_files_say_so(
    tmp_path: Path, takes_less_than: TakesLessThan
) -> None:
    def seconds_to_end() -> float:
        status, took, _ = cancelled_run(tmp_path, cancels=1, wait=0.4)
        assert status == "interrupted"
        return took

    takes_less_than(2.5, seconds_to_end)
    assert json.loads((tmp_path / "simulation_statistics.json").read_text())["interrupted"] is True


def test_a_run_that_is_cancelled_as_soon_as_it_begins_ends_as_soon(
    tmp_path: Path, takes_less_than: TakesLessThan
) -> None:
    def seconds_to_end() -> float:
        status, took, _ = cancelled_run(tmp_path, cancels=1, wait=0)
        assert status in (None, "interrupted")
        return took

    takes_less_than(3, seconds_to_end)  # the run itself takes more than 5 s


def test_a_run_that_is_cancelled_twice_does_not_stop_the_loop(
    tmp_path: Path, takes_less_than: TakesLessThan
) -> None:
    def longest_standstill() -> float:
        status, _, standstill = cancelled_run(tmp_path, cancels=2, wait=0.4)
        assert status == "interrupted"
        return standstill

    takes_less_than(1, longest_standstill)


def test_a_timeout_around_a_run_ends_it(tmp_path: Path) -> None:
    prepared = simulator(tmp_path, rests, operations_per_agent=500)

    async def main() -> None:
        async with asyncio.timeout(0.4):
            await prepared.run_async()

    with pytest.raises(TimeoutError):
        asyncio.run(main())
    assert prepared.result is not None
    assert prepared.result.stats["status"] == "interrupted"


@pytest.mark.parametrize("engine", ["threads", "virtual", "asyncio"])
def test_ctrl_c_does_nothing_to_a_run_in_a_process_that_ignores_it(engine: str, tmp_path: Path) -> None:
    """A shell starts its background jobs so."""

    def press(operation: Operation) -> None:
        if operation.index == 2:
            os.kill(os.getpid(), signal.SIGINT)

    async def press_on_loop(operation: Operation) -> None:
        press(operation)

    target = press_on_loop if engine == "asyncio" else press
    run = simulator(tmp_path, {"buy": target}, engine=engine, operations_per_agent=5)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        result = asyncio.run(run.run_async()) if engine == "asyncio" else run.run()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert (result.status, result.successes) == ("completed", 10)
