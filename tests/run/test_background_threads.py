"""The end of a run waits for what threads, callbacks and executors of the target are about to raise."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, Operation, StressResult
from pytest_nos_stress.run import background_threads

ENGINES = ["threads", "virtual", "asyncio"]
OPERATIONS = 20


def run(target: Callable[..., object], engine: str, directory: Path) -> StressResult:
    settings: dict[str, Any] = {"failure_prob": 0, "missing_data_prob": 0, "min_delay": 0, "max_delay": 0}
    return MultiAgentSimulator(
        1,
        ["buy"],
        target=target,
        engine=engine,
        operations_per_agent=OPERATIONS,
        output_dir=directory,
        report="none",
        gate=False,
        **settings,
    ).run()


def fails(*_: object) -> None:
    raise LookupError("no fill")


@pytest.mark.parametrize("engine", ENGINES)
def test_raw_threads_that_have_not_run_yet_are_waited_for(engine: str, tmp_path: Path) -> None:
    result = run(lambda: start_new_thread(fails, ()), engine, tmp_path)

    assert (result.successes, result.errors) == (OPERATIONS, OPERATIONS)


def test_a_raw_thread_without_end_is_waited_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_threads, "_PATIENCE", 0.01)
    over = threading.Lock()
    over.acquire()

    def buy(operation: Operation) -> None:
        if operation.index == 0:
            start_new_thread(over.acquire, ())

    try:
        assert run(buy, "threads", tmp_path).errors == 0
        assert len(background_threads._endless_raw & background_threads.system_threads()) == 1
    finally:
        over.release()


@pytest.mark.parametrize("engine", ENGINES)
def test_callbacks_of_an_executors_futures_are_waited_for(engine: str, tmp_path: Path) -> None:
    def fails_after_a_while(_: object) -> None:
        time.sleep(0.005)
        fails()

    with concurrent.futures.ThreadPoolExecutor(OPERATIONS) as executor:
        result = run(lambda: executor.submit(int).add_done_callback(fails_after_a_while), engine, tmp_path)

    assert [(row["source"], row["count"]) for row in result.error_types] == [("callback of a future", OPERATIONS)]


def test_work_that_a_loop_gives_to_an_executor_has_its_agent(tmp_path: Path) -> None:
    async def buy() -> None:
        asyncio.get_running_loop().run_in_executor(None, fails)

    (row,) = run(buy, "asyncio", tmp_path).error_types

    assert (row["type"], row["agent"], row["count"]) == ("LookupError", "Agent_1", OPERATIONS)


def test_threads_from_before_the_run_continue_until_they_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = iter([{1: (7, 2)}, {1: (7, 4)}, {1: (8, 0)}, {1: (8, 0)}, {1: (8, 2)}])
    pauses: list[float] = []
    monkeypatch.setattr(background_threads, "_positions", lambda _: next(positions))
    monkeypatch.setattr(background_threads, "sleep", pauses.append)
    monkeypatch.setattr(background_threads, "_TIME_TO_CONTINUE", 60)

    background_threads.await_older_threads()

    assert (len(pauses), next(positions)) == (3, {1: (8, 2)})


def test_nobody_waits_where_there_are_no_older_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background_threads, "all_threads", list)
    monkeypatch.setattr(background_threads, "sleep", pytest.fail)

    background_threads.await_older_threads()
