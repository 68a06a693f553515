"""Exceptions in what a target leaves behind are errors of its run, in every engine."""

from __future__ import annotations

import _thread
import asyncio
import concurrent.futures
import functools
import gc
import os
import re
import sys
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, StressResult, ThresholdsNotMet

ENGINES = ["threads", "virtual", "asyncio"]


def run(target: Any, engine: str, directory: Path, **settings: Any) -> StressResult:
    quiet = {"failure_prob": 0, "missing_data_prob": 0, "min_delay": 0, "max_delay": 0, "report": "none"}
    defaults = {"operations_per_agent": 3, "gate": False, "seed": 1}
    return MultiAgentSimulator(
        1, ["buy"], target=target, engine=engine, output_dir=directory, **{**quiet, **defaults, **settings}
    ).run()


def once(function: Callable[[], object]) -> Callable[[], None]:
    """Return a task that calls the function in its first operation only."""
    calls = iter([function])

    def task() -> None:
        for call in calls:
            call()

    return task


def fails() -> None:
    raise LookupError("no fill")


async def fails_soon() -> None:
    await asyncio.sleep(0.01)
    raise LookupError("no fill")


class Fragile:
    """An object whose finalizer fails."""

    def __init__(self) -> None:
        self.itself: object = None

    def __del__(self) -> None:
        raise LookupError("no fill")


def drops_a_cycle() -> None:
    fragile = Fragile()
    fragile.itself = fragile


def fails_in_a_loop_of_its_own() -> None:
    async def main() -> None:
        task = asyncio.ensure_future(fails_soon())
        await asyncio.wait([task])

    asyncio.run(main())


def fails_in_a_callback_of_a_loop_of_its_own() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(fails)
        await asyncio.sleep(0)

    asyncio.run(main())


def fails_in_a_callback_of_a_future() -> None:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.add_done_callback(lambda _: fails())
    future.set_result(1)


def fails_in_a_callback_of_a_reference() -> None:
    fragile = type("Order", (), {})()
    reference = weakref.ref(fragile, lambda _: fails())
    del fragile
    assert reference() is None


def starts_a_thread() -> None:
    threading.Thread(target=fails, name="feed").start()


def starts_a_raw_thread() -> None:
    feed = functools.partial(fails)
    is_alive = weakref.ref(feed)
    _thread.start_new_thread(feed, ())
    del feed
    while is_alive() is not None:  # nobody can join such a thread
        time.sleep(0.001)


def starts_a_timer() -> None:
    threading.Timer(0.02, fails).start()


def starts_a_thread_that_starts_a_thread() -> None:
    threading.Thread(target=starts_a_thread).start()


def returns_an_unawaited_coroutine_in_a_list() -> None:
    [fails_soon()]


KNOWN_AGENT = {
    "thread": starts_a_thread,
    "thread of a thread": starts_a_thread_that_starts_a_thread,
    "timer": starts_a_timer,
    "finalizer": Fragile,
    "callback of a future": fails_in_a_callback_of_a_future,
    "callback of a reference": fails_in_a_callback_of_a_reference,
    "unawaited coroutine": returns_an_unawaited_coroutine_in_a_list,
}
LOOPS = {
    "task of an own loop": fails_in_a_loop_of_its_own,
    "callback of an own loop": fails_in_a_callback_of_a_loop_of_its_own,
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("leaves", KNOWN_AGENT.values(), ids=KNOWN_AGENT)
def test_an_exception_left_behind_is_an_error_of_the_run_with_its_agent(
    leaves: Callable[[], object], engine: str, tmp_path: Path
) -> None:
    result = run(once(leaves), engine, tmp_path)

    assert (result.operations, result.successes, result.failures, result.errors) == (3, 3, 0, 1)
    assert not result.passed
    assert result.stats["background_errors"] == 1
    assert re.fullmatch(r"1 error came from the background, at .+: no operation raised it\.", result.finding)
    (error_type,) = result.error_types
    assert error_type["type"] in ("LookupError", "RuntimeWarning")
    assert (error_type["agent"], error_type["task"], error_type["count"]) == ("Agent_1", "buy", 1)
    assert error_type["source"] != "operation"


@pytest.mark.parametrize("engine", ["threads", "virtual"])
@pytest.mark.parametrize("leaves", LOOPS.values(), ids=LOOPS)
def test_an_exception_in_a_loop_of_the_target_is_an_error_with_its_agent(
    leaves: Callable[[], object], engine: str, tmp_path: Path
) -> None:
    result = run(once(leaves), engine, tmp_path)

    assert (result.successes, result.errors) == (3, 1)
    assert result.error_types[0]["type"] == "LookupError"
    assert result.error_types[0]["agent"] == "Agent_1"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("leaves", [drops_a_cycle, starts_a_raw_thread], ids=lambda leaves: leaves.__name__)
def test_an_error_whose_agent_is_not_known_is_an_error_too(
    leaves: Callable[[], object], engine: str, tmp_path: Path
) -> None:
    result = run(once(leaves), engine, tmp_path)

    assert (result.successes, result.errors) == (3, 1)
    assert result.error_types[0]["agent"] is None


def test_tasks_and_callbacks_on_the_event_loop_are_looked_at(tmp_path: Path) -> None:
    kept: list[asyncio.Task[None]] = []

    async def buy() -> None:
        loop = asyncio.get_running_loop()
        loop.create_task(fails_soon(), name="dropped")  # noqa: RUF006
        kept.append(loop.create_task(fails_soon(), name="kept"))
        loop.call_soon(fails)
        loop.call_later(0.01, fails)

    result = run(buy, "asyncio", tmp_path, operations_per_agent=1)

    assert (result.successes, result.errors) == (1, 4)
    assert {(row["source"], row["agent"], row["count"]) for row in result.error_types} == {
        ("asyncio task 'fails_soon'", "Agent_1", 2),
        ("callback 'fails'", "Agent_1", 2),
    }


def test_a_failed_future_of_the_event_loop_that_the_target_keeps_is_an_error(tmp_path: Path) -> None:
    kept = []

    async def buy() -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_exception(LookupError("no fill"))
        kept.append(future)

    result = run(buy, "asyncio", tmp_path)

    assert [(row["type"], row["count"]) for row in result.error_types] == [("LookupError", 3)]


def test_a_timer_of_the_event_loop_that_is_due_soon_is_waited_for(tmp_path: Path) -> None:
    async def buy() -> None:
        asyncio.get_running_loop().call_later(0.05, fails)
        asyncio.get_running_loop().call_later(60, fails)

    result = run(buy, "asyncio", tmp_path, operations_per_agent=1)

    assert [(row["type"], row["agent"], row["count"]) for row in result.error_types] == [
        ("LookupError", "Agent_1", 1)
    ]


def test_system_exit_in_a_callback_of_the_event_loop_is_an_error(tmp_path: Path) -> None:
    async def buy() -> None:
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.sleep(0.01)

    result = run(buy, "asyncio", tmp_path, operations_per_agent=1)

    assert [(row["type"], row["count"]) for row in result.error_types] == [("SystemExit", 1)]


def test_system_exit_in_a_task_that_the_operation_awaits_is_counted_once(tmp_path: Path) -> None:
    async def exits() -> None:
        sys.exit(3)

    async def buy() -> None:
        await asyncio.get_running_loop().create_task(exits())

    result = run(buy, "asyncio", tmp_path, operations_per_agent=1)

    assert (result.failures, result.errors) == (1, 1)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("engine", ENGINES)
def test_exceptions_that_end_a_program_are_errors_in_a_thread(
    error: BaseException, engine: str, tmp_path: Path
) -> None:
    def ends() -> None:
        raise error

    result = run(once(lambda: threading.Thread(target=ends).start()), engine, tmp_path)

    assert result.error_types[0]["type"] == type(error).__name__


@pytest.mark.parametrize("engine", ENGINES)
def test_a_thread_that_exits_without_a_code_is_no_error(engine: str, tmp_path: Path) -> None:
    assert run(once(lambda: threading.Thread(target=sys.exit).start()), engine, tmp_path).passed


@pytest.mark.parametrize("engine", ENGINES)
def test_expected_errors_are_expected_in_the_background_too(engine: str, tmp_path: Path) -> None:
    result = run(starts_a_thread, engine, tmp_path, expected_errors=(LookupError,))

    assert result.passed
    assert result.stats["expected_error_types"] == {"LookupError": 3}


def test_an_unexpected_error_breaks_the_gate_with_its_place_and_traceback(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet) as caught:
        run(once(starts_a_thread), "threads", tmp_path, gate=True)

    message = str(caught.value)
    assert "threshold errors == 0 failed: 1" in message
    assert "1 x LookupError, for example thread 'feed' of agent Agent_1, task buy:" in message
    assert "in fails" in message


def test_the_log_names_the_error(tmp_path: Path) -> None:
    run(once(starts_a_thread), "threads", tmp_path)

    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    assert len(lines) == 4
    assert any(
        line.endswith(" - ERROR - Agent_1 left a background error in thread 'feed': LookupError: no fill")
        for line in lines
    )


def test_thresholds_of_agents_and_tasks_count_the_errors_that_they_left_behind(tmp_path: Path) -> None:
    thresholds = ["errors{agent=Agent_1} == 0", "errors{task=buy} == 0", "error_rate < 1%"]
    result = run(once(starts_a_thread), "threads", tmp_path, thresholds=thresholds)

    assert [verdict.verdict for verdict in result.verdicts] == ["failed"] * 3
    assert result.stats["tasks"]["buy"]["errors"] == 1
    assert result.stats["phases"][0]["errors"] == 1
    assert sum(result.history["errors"]) == 1


def test_an_error_of_no_agent_is_not_hidden_by_a_threshold_on_agents(tmp_path: Path) -> None:
    result = run(once(drops_a_cycle), "threads", tmp_path, thresholds=["errors{agent=Agent_1} == 0"])

    assert [verdict.verdict for verdict in result.verdicts] == ["passed", "failed"]


def test_more_errors_than_operations_are_a_rate_of_one(tmp_path: Path) -> None:
    def buy() -> None:
        starts_a_thread()
        starts_a_thread()

    result = run(buy, "threads", tmp_path)

    assert (result.errors, result.error_rate) == (6, 1.0)


@pytest.mark.parametrize("engine", ["threads", "virtual"])
def test_a_returned_future_that_fails_later_is_an_error(engine: str, tmp_path: Path) -> None:
    def buy() -> object:
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        threading.Timer(0.02, future.set_exception, [LookupError("no fill")]).start()
        return future

    result = run(buy, engine, tmp_path)

    assert [(row["type"], row["agent"], row["count"]) for row in result.error_types] == [
        ("LookupError", "Agent_1", 3)
    ]


@pytest.fixture
def executor() -> Iterator[concurrent.futures.Executor]:
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        yield executor


def fails_late() -> None:
    time.sleep(0.02)
    fails()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("work", [fails, fails_late], ids=lambda work: work.__name__)
def test_the_exception_of_dropped_work_of_an_executor_is_an_error(
    work: Callable[[], object], engine: str, executor: concurrent.futures.Executor, tmp_path: Path
) -> None:
    def buy() -> None:
        executor.submit(work)

    result = run(buy, engine, tmp_path)

    (row,) = result.error_types
    assert (row["type"], row["agent"], row["task"], row["count"]) == ("LookupError", "Agent_1", "buy", 3)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failed_future_that_the_target_keeps_is_an_error_once(
    engine: str, executor: concurrent.futures.Executor, tmp_path: Path
) -> None:
    kept = []

    def buy() -> None:
        kept.append(executor.submit(fails))

    result = run(buy, engine, tmp_path)

    assert [row["count"] for row in result.error_types] == [3]
    assert all(isinstance(future.exception(), LookupError) for future in kept)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exception_of_an_executor_that_the_target_handles_is_no_error(
    engine: str, executor: concurrent.futures.Executor, tmp_path: Path
) -> None:
    def buy() -> None:
        with pytest.raises(LookupError):
            executor.submit(fails).result()
        assert isinstance(executor.submit(fails).exception(), LookupError)

    assert run(buy, engine, tmp_path).passed


def test_work_that_the_loop_awaits_in_an_executor_fails_its_operation_only(tmp_path: Path) -> None:
    result = run(lambda: asyncio.to_thread(fails), "asyncio", tmp_path)

    assert (result.failures, result.errors, result.stats["background_errors"]) == (3, 3, 0)


def test_the_traceback_of_work_in_an_executor_has_no_frame_of_ours(
    executor: concurrent.futures.Executor, tmp_path: Path
) -> None:
    result = run(lambda: executor.submit(fails).result(), "threads", tmp_path)

    assert "pytest_nos_stress" not in result.error_types[0]["traceback"]


@pytest.fixture
def loop_in_a_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.mark.parametrize("engine", ["threads", "virtual"])
def test_work_on_a_loop_in_another_thread_is_an_error_with_its_agent(
    engine: str, loop_in_a_thread: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    def buy() -> None:
        asyncio.run_coroutine_threadsafe(fails_soon(), loop_in_a_thread)
        loop_in_a_thread.call_soon_threadsafe(lambda: loop_in_a_thread.create_task(fails_soon()))
        loop_in_a_thread.call_soon_threadsafe(fails)

    result = run(buy, engine, tmp_path)

    assert {(row["source"].split(" ")[0], row["agent"], row["count"]) for row in result.error_types} == {
        ("future", "Agent_1", 3),
        ("asyncio", "Agent_1", 3),
        ("callback", "Agent_1", 3),
    }


def test_a_returned_future_that_does_not_end_is_an_error(tmp_path: Path) -> None:
    result = run(concurrent.futures.Future, "threads", tmp_path, operations_per_agent=1)

    assert result.errors == 1
    assert "was pending when the run ended" in result.error_types[0]["message"]


def test_threads_that_still_run_are_named_and_no_error(tmp_path: Path) -> None:
    released = threading.Event()

    def buy() -> None:
        for name in ("heartbeat", "feed", "feed"):
            threading.Thread(target=released.wait, args=(30,), name=name).start()

    result = run(once(buy), "threads", tmp_path)
    released.set()

    assert result.passed
    assert result.notes == ("threads that operations started still run: 2 x 'feed', 'heartbeat'",)


def test_idle_threads_of_an_executor_are_not_waited_for(tmp_path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        result = run(lambda: executor.submit(int).result(), "threads", tmp_path)

    assert result.notes == ()


def test_a_thread_that_was_there_before_the_run_belongs_to_it(tmp_path: Path) -> None:
    due = threading.Event()

    def feed() -> None:
        due.wait(30)
        fails()

    thread = threading.Thread(target=feed)
    thread.start()

    def buy() -> None:
        due.set()
        thread.join()

    result = run(buy, "threads", tmp_path)

    assert [(row["type"], row["agent"]) for row in result.error_types] == [("LookupError", None)]


def test_garbage_from_before_the_run_is_not_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: others.append(args.exc_type))
    gc.disable()
    try:
        drops_a_cycle()
        result = run(gc.collect, "threads", tmp_path)
    finally:
        gc.enable()
    gc.collect()

    assert result.errors == 0
    assert others == [LookupError]


@pytest.fixture
def frozen() -> Iterator[None]:
    """Exempt all objects from garbage collection, as a program does that starts workers."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("frozen")
def test_garbage_is_told_apart_in_a_process_that_has_frozen_its_objects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: others.append(args.exc_type))
    drops_a_cycle()
    assert run(lambda: None, "threads", tmp_path).errors == 0
    assert others == [LookupError]
    assert run(once(drops_a_cycle), "threads", tmp_path).errors == 1
    assert gc.get_freeze_count() > 0


def seen_by_the_hook_before(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Set a hook for exceptions of threads, and return the list of those that reach it."""
    seen: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_value))
    return seen


def test_hooks_are_as_before_after_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_by_the_hook_before(monkeypatch)

    def hooks() -> list[object]:
        return [
            threading.excepthook,
            threading.Thread.start,
            sys.unraisablehook,
            asyncio.BaseEventLoop.create_task,
            asyncio.BaseEventLoop.default_exception_handler,
            vars(warnings)["_warn_unawaited_coroutine"],
            dict(vars(concurrent.futures.Future)),
            list(gc.callbacks),
            gc.get_freeze_count(),
        ]

    before = hooks()
    run(starts_a_thread, "threads", tmp_path)

    assert hooks() == before
    assert seen == []


def test_ctrl_c_in_the_middle_of_a_finalizer_is_not_lost(tmp_path: Path) -> None:
    class Interrupted:
        def __del__(self) -> None:
            raise KeyboardInterrupt

    settings: dict[str, Any] = {"min_delay": 0, "max_delay": 0, "failure_prob": 0, "missing_data_prob": 0}
    simulator = MultiAgentSimulator(
        1, target=lambda operation: operation.sleep(30), output_dir=tmp_path, report="none", **settings
    )
    interrupted = [Interrupted()]

    with pytest.raises(KeyboardInterrupt):
        simulator.run(progress=lambda _: interrupted.clear())
    assert simulator.result is not None
    assert (simulator.result.status, simulator.result.errors) == ("interrupted", 0)


def test_a_process_that_the_target_forks_reports_its_exceptions_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    monkeypatch.setattr(threading, "excepthook", lambda args: os.write(writing, str(args.exc_value).encode()))

    def buy() -> None:
        with warnings.catch_warnings(action="ignore"):
            process = os.fork()
        if not process:
            thread = threading.Thread(target=fails)
            thread.start()
            thread.join()
            os._exit(0)
        os.waitpid(process, 0)

    result = run(buy, "threads", tmp_path, operations_per_agent=1)
    os.close(writing)

    assert result.passed
    assert os.read(reading, 100) == b"no fill"
    os.close(reading)


def test_an_exception_after_the_run_is_not_the_next_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = seen_by_the_hook_before(monkeypatch)
    due = threading.Event()

    def feed() -> None:
        due.wait(30)
        fails()

    threads: list[threading.Thread] = []

    def starts() -> None:
        threads.append(threading.Thread(target=feed))
        threads[0].start()

    first = run(once(starts), "threads", tmp_path)

    def ends() -> None:
        due.set()
        threads[0].join()

    second = run(ends, "threads", tmp_path)

    assert (first.errors, second.errors) == (0, 0)
    assert [str(error) for error in seen] == ["no fill"]


def test_runs_in_several_threads_have_their_own_errors(tmp_path: Path) -> None:
    results: dict[int, StressResult] = {}
    together = threading.Barrier(2, timeout=30)

    def of(number: int) -> None:
        def buy() -> None:
            together.wait()
            if number:
                starts_a_thread()
            together.wait()

        results[number] = run(buy, "threads", tmp_path / str(number))

    threads = [threading.Thread(target=of, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (results[0].errors, results[1].errors) == (0, 3)


def test_a_hook_that_the_target_sets_gets_the_exceptions(tmp_path: Path) -> None:
    seen: list[str] = []
    before = threading.excepthook

    def buy() -> None:
        threading.excepthook = lambda args: seen.append(str(args.exc_type))
        thread = threading.Thread(target=fails)
        thread.start()
        thread.join()

    try:
        result = run(buy, "threads", tmp_path, operations_per_agent=1)
    finally:
        threading.excepthook = before

    assert (result.errors, len(seen)) == (0, 1)
