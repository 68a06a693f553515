"""The asyncio engine runs ``async def`` tasks with the same plans, records and files as other engines."""

from __future__ import annotations

import asyncio
import functools
import gc
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import (
    CheckFailed,
    MissingDataError,
    MultiAgentSimulator,
    Operation,
    RunFailed,
    SettingError,
    StressResult,
    ThresholdsNotMet,
    eventually,
    run_stress_test,
)
from pytest_nos_stress.scenario.operation import AsyncOperation

HANG = 60.0  # Far longer than any test takes: code that reaches it hangs.
NO_WAIT: dict[str, Any] = {"min_delay": 0, "max_delay": 0}
CALM: dict[str, Any] = {**NO_WAIT, "missing_data_prob": 0, "failure_prob": 0}


def simulator(directory: Path, target: Any, **options: Any) -> MultiAgentSimulator:
    return MultiAgentSimulator(target=target, output_dir=directory, **{**CALM, **options})


def run(directory: Path, target: Any, **options: Any) -> StressResult:
    return simulator(directory, target, **options).run()


def rows(result: StressResult) -> dict[tuple[int, int], tuple[int, int]]:
    """Return task and outcome of each operation, by agent and index."""
    return {
        (int(row["agent"]), int(row["index"])): (int(row["task"]), int(row["outcome"])) for row in result.records
    }


def stress_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stress")]


@pytest.fixture(autouse=True)
def nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Check that no thread outlives its run, and that every loop is closed (``gc`` warns of open ones)."""
    yield
    if not request.node.get_closest_marker("filterwarnings"):
        assert stress_threads() == []
    gc.collect()


async def nothing(operation: Operation) -> None:
    await asyncio.sleep(0)


def sync_nothing(operation: Operation) -> None:
    """A sync target."""


# The engine is selected automatically.


class Service:
    async def buy(self, operation: Operation) -> None:
        await asyncio.sleep(0)

    async def sell(self) -> None:
        await asyncio.sleep(0)


class Performs:
    async def __call__(self, operation: Operation) -> None:
        await asyncio.sleep(0)


async def with_price(price: float, operation: Operation) -> None:
    await asyncio.sleep(0)


ASYNC_TARGETS: dict[str, Any] = {
    "function": nothing,
    "object": Service(),
    "mapping": {"buy": nothing, "sell": Service().sell},
    "partial": functools.partial(with_price, 3.0),
    "callable object": Performs(),
}


@pytest.mark.parametrize("kind", list(ASYNC_TARGETS))
def test_async_tasks_select_the_asyncio_engine_and_are_awaited(tmp_path: Path, kind: str) -> None:
    result = run(tmp_path, ASYNC_TARGETS[kind], tasks=["buy", "sell"], agents=3, operations_per_agent=10)
    assert result.scenario.engine == "asyncio"
    assert result.successes == result.operations == 30
    assert result.stats["scenario"]["engine"] == "asyncio"


@pytest.mark.parametrize("engine", ["threads", "virtual"])
def test_other_engines_refuse_async_tasks_with_a_one_line_error(tmp_path: Path, engine: str) -> None:
    with pytest.raises(SettingError, match=r"async def, which engine .* must be .* engine='asyncio'") as caught:
        simulator(tmp_path, nothing, tasks=["buy"], engine=engine)
    assert "\n" not in str(caught.value)


def test_sync_tasks_beside_async_tasks_are_performed_on_the_same_loop(tmp_path: Path) -> None:
    threads: set[int] = set()

    async def buy(operation: Operation) -> None:
        threads.add(threading.get_ident())

    def sell() -> None:
        threads.add(threading.get_ident())

    result = run(tmp_path, {"buy": buy, "sell": sell}, agents=4, operations_per_agent=20)
    assert result.successes == 80
    assert {task["successful_operations"] > 0 for task in result.stats["tasks"].values()} == {True}
    assert len(threads) == 1


def test_sync_targets_run_under_the_asyncio_engine_if_it_is_set(tmp_path: Path) -> None:
    result = run(tmp_path, sync_nothing, tasks=["buy"], engine="asyncio", operations_per_agent=5)
    assert result.successes == 20


def test_a_sync_task_that_sleeps_on_the_loop_sleeps_or_is_an_error(tmp_path: Path) -> None:
    def rests(operation: Operation) -> None:
        operation.sleep(0.02)

    result = run(tmp_path, {"buy": rests}, engine="asyncio", agents=1, operations_per_agent=3, gate=False)
    assert result.stats["errors"] == 3 or result.latency.min >= 0.02


def test_the_embedded_exchange_trades_under_asyncio(tmp_path: Path) -> None:
    result = run(tmp_path, None, engine="asyncio", agents=4, operations_per_agent=25)
    assert result.successes == 100


# The plan, records and files are the same as with other engines.


def test_a_seed_has_the_same_outcomes_in_asyncio_threads_and_virtual_time(tmp_path: Path) -> None:
    async def trade_async(operation: Operation) -> None:
        ids.append((operation.agent, operation.index, operation.id, operation.random.random(), operation.fault))
        operation.market  # noqa: B018 - reading it is what fails

    def trade(operation: Operation) -> None:
        ids.append((operation.agent, operation.index, operation.id, operation.random.random(), operation.fault))
        operation.market  # noqa: B018

    seen = []
    options: dict[str, Any] = {"agents": 5, "tasks": ["buy", "sell"], "operations_per_agent": 100, "seed": 11}
    options |= {"missing_data_prob": 0.2, "failure_prob": 0.3, "failure_mode": "mixed"}
    for engine, target in (("asyncio", trade_async), ("threads", trade), ("virtual", trade)):
        ids: list[Any] = []
        result = run(tmp_path, target, engine=engine, **options)
        seen.append((rows(result), sorted(ids, key=str), result.stats["faults"]))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][2]["lost_reply"] > 0


def test_faults_and_retries_have_the_same_counts_in_asyncio_and_virtual_time(tmp_path: Path) -> None:
    async def buy_async(operation: Operation) -> None:
        return None

    options: dict[str, Any] = {"agents": 4, "tasks": ["buy"], "operations_per_agent": 50, "seed": 3}
    options |= {"failure_prob": 0.4, "faults": {"reject": 1, "overload": 1}, "gate": False}
    options |= {"retries": {"times": 2, "backoff": 0.001}, "network": "colo"}
    awaited = run(tmp_path, buy_async, **options)
    in_virtual_time = run(tmp_path, sync_nothing, engine="virtual", **options)
    assert rows(awaited) == rows(in_virtual_time)
    assert awaited.stats["faults"] == in_virtual_time.stats["faults"]
    assert awaited.stats["retries"] == in_virtual_time.stats["retries"] > 0


def test_the_log_has_every_operation_of_an_async_run_and_the_snapshot_the_successful_ones(tmp_path: Path) -> None:
    async def fails(operation: Operation) -> None:
        if operation.index % 5 == 0:
            raise LookupError(operation.id)

    result = run(tmp_path, fails, agents=20, operations_per_agent=50, missing_data_prob=0.1, gate=False, seed=1)
    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    levels = [line.split(" - ")[1] for line in lines]
    assert len(lines) == result.operations == 1_000
    assert levels.count("INFO") == result.successes
    assert levels.count("ERROR") == result.failures
    assert levels.count("WARNING") == result.missing_data
    snapshot = json.loads((tmp_path / "agent_memory_snapshot.json").read_text())
    assert len(snapshot) == result.successes
    assert [row["timestamp"] for row in snapshot] == sorted(row["timestamp"] for row in snapshot)


def test_thresholds_on_async_latency_are_judged(tmp_path: Path) -> None:
    async def slow(operation: AsyncOperation) -> None:
        await operation.sleep(0.02)

    with pytest.raises(ThresholdsNotMet, match="latency"):
        run(tmp_path, slow, agents=2, operations_per_agent=5, thresholds=["latency.med < 10ms"])
    result = run(tmp_path, slow, agents=2, operations_per_agent=5, thresholds=["latency.min >= 19ms"])
    assert result.latency.min >= 0.019


def test_agents_wait_at_the_same_time(tmp_path: Path) -> None:
    most = now = 0

    async def waits(operation: AsyncOperation) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await operation.sleep(0.05)
        now -= 1

    run(tmp_path, waits, agents=50, operations_per_agent=1)
    assert most == 50


def test_async_tasks_get_missing_data(tmp_path: Path) -> None:
    async def handles(operation: Operation) -> None:
        try:
            operation.market  # noqa: B018
        except MissingDataError:
            raise

    async def breaks(operation: Operation) -> None:
        try:
            operation.market  # noqa: B018
        except MissingDataError as error:
            raise ZeroDivisionError from error

    options: dict[str, Any] = {"tasks": ["buy"], "agents": 1, "operations_per_agent": 10, "missing_data_prob": 1}
    assert run(tmp_path, handles, gate=False, **options).missing_data == 10
    broken = run(tmp_path, breaks, gate=False, **options)
    assert broken.failures == broken.errors == 10


def test_a_lost_request_does_not_call_an_async_task_and_a_lost_reply_awaits_it(tmp_path: Path) -> None:
    called: list[int] = []

    async def buy(operation: Operation) -> None:
        await asyncio.sleep(0)
        called.append(operation.index)

    options: dict[str, Any] = {"tasks": ["buy"], "agents": 1, "operations_per_agent": 10, "failure_prob": 1}
    lost = run(tmp_path, buy, failure_mode="lost_request", gate=False, thresholds=["calls == 0"], **options)
    assert (lost.failures, lost.errors, called) == (10, 0, [])
    replies = run(tmp_path, buy, failure_mode="lost_reply", gate=False, **options)
    assert (replies.failures, replies.errors, called) == (10, 0, list(range(10)))


def test_a_run_ends_after_its_duration(tmp_path: Path) -> None:
    started = time.monotonic()
    result = run(tmp_path, nothing, agents=5, duration=0.3, min_delay=0.001, max_delay=0.002)
    assert result.successes == result.operations > 5
    assert time.monotonic() - started < HANG


def test_fault_windows_and_network_delays_use_real_time(tmp_path: Path) -> None:
    async def buy(operation: AsyncOperation) -> None:
        await operation.sleep(0.01)

    result = run(
        tmp_path,
        buy,
        agents=3,
        operations_per_agent=12,
        failure_prob=1,
        fault_windows=[(0, 0.1)],
        network="colo",
        gate=False,
    )
    assert 0 < result.failures < 36
    assert result.successes == 36 - result.failures


# Exceptions of tasks.


class Odd(BaseException):
    """An exception that is not an ``Exception``."""


ERRORS: dict[str, BaseException] = {
    "Exception": LookupError("no order"),
    "BaseException": Odd("odd"),
    "SystemExit": SystemExit(3),
    "KeyboardInterrupt": KeyboardInterrupt("of the target"),
    "CancelledError": asyncio.CancelledError("of the target"),
    "GeneratorExit": GeneratorExit(),
    "StopIteration": StopIteration(1),
    "StopAsyncIteration": StopAsyncIteration(),
    "ExceptionGroup": ExceptionGroup("many", [LookupError("a"), ValueError("b")]),
    "BaseExceptionGroup": BaseExceptionGroup("many", [Odd("a"), ValueError("b")]),
}


@pytest.mark.parametrize("when", ["at once", "after an await"])
@pytest.mark.parametrize("kind", list(ERRORS))
def test_every_type_of_exception_is_a_failure_of_its_operation_and_the_agent_continues(
    tmp_path: Path, kind: str, when: str
) -> None:
    async def fails(operation: Operation) -> None:
        if when != "at once":
            await asyncio.sleep(0)
        if operation.index == 1:
            raise ERRORS[kind]

    result = run(tmp_path, fails, agents=2, operations_per_agent=3, gate=False)
    assert (result.operations, result.failures, result.errors) == (6, 2, 2)
    (error,) = result.stats["error_types"]
    # A coroutine cannot raise StopIteration: the interpreter raises RuntimeError instead.
    expected = "RuntimeError" if kind == "StopIteration" else type(ERRORS[kind]).__name__
    assert error["type"].rsplit(".", 1)[-1] == expected
    assert "in fails" in error["traceback"]


def test_a_system_exit_in_a_child_task_of_the_target_is_an_error_and_the_run_ends(tmp_path: Path) -> None:
    async def child() -> None:
        raise SystemExit(3)

    async def exits(operation: Operation) -> None:
        await asyncio.gather(child())

    result = run(tmp_path, exits, agents=1, operations_per_agent=2, operation_timeout=2, gate=False)
    assert result.failures == result.errors == 2
    assert [error["type"] for error in result.stats["error_types"]] == ["SystemExit"]


def test_a_failed_task_group_is_one_failure_and_leaves_no_task(tmp_path: Path) -> None:
    async def child() -> None:
        raise LookupError("child")

    async def group(operation: Operation) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(child())
            tasks.create_task(asyncio.sleep(3600))

    started = time.monotonic()
    result = run(tmp_path, group, agents=3, operations_per_agent=3, gate=False)
    assert result.errors == 9
    assert result.stats["error_types"][0]["type"] == "ExceptionGroup"
    assert time.monotonic() - started < HANG


def test_a_timeout_in_the_target_is_a_failure_of_its_operation_only(tmp_path: Path) -> None:
    async def impatient(operation: Operation) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(3600)

    result = run(tmp_path, impatient, agents=3, operations_per_agent=2, gate=False)
    assert result.errors == 6
    assert result.stats["error_types"][0]["type"] == "TimeoutError"


def test_errors_of_async_tasks_fail_a_run_without_a_threshold_on_errors(tmp_path: Path) -> None:
    async def fails() -> None:
        raise LookupError("no order")

    with pytest.raises(ThresholdsNotMet, match=r"errors == 0") as caught:
        run(tmp_path, {"buy": fails}, agents=1, operations_per_agent=1)
    assert "no order" in str(caught.value)


# Sessions.


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_each_agent_enters_and_leaves_its_own_session_on_the_loop(tmp_path: Path, kind: str) -> None:
    events: list[tuple[str, str, int]] = []

    def note(event: str, agent: str) -> str:
        events.append((event, agent, threading.get_ident()))
        return f"session of {agent}"

    @contextmanager
    def session(agent: str) -> Iterator[str]:
        yield note("enter", agent)
        note("leave", agent)

    @asynccontextmanager
    async def async_session(agent: str) -> AsyncIterator[str]:
        await asyncio.sleep(0)
        yield note("enter", agent)
        await asyncio.sleep(0)
        note("leave", agent)

    async def buy(operation: Operation) -> None:
        note("perform", operation.agent)
        assert operation.context == f"session of {operation.agent}"

    run(tmp_path, buy, agents=4, operations_per_agent=5, per_agent=session if kind == "sync" else async_session)
    assert [event for event, _, _ in events[:4]] == ["enter"] * 4
    assert [event for event, _, _ in events].count("perform") == 20
    assert sorted(agent for event, agent, _ in events if event == "leave") == [f"Agent_{n}" for n in (1, 2, 3, 4)]
    assert len({thread for _, _, thread in events}) == 1


@pytest.mark.parametrize("where", ["entering", "leaving"])
@pytest.mark.parametrize("error", [OSError("refused"), SystemExit(2), asyncio.CancelledError()])
def test_a_failed_session_fails_the_run_and_names_the_agent(
    tmp_path: Path, where: str, error: BaseException
) -> None:
    @asynccontextmanager
    async def session(agent: str) -> AsyncIterator[None]:
        await asyncio.sleep(0)
        if where == "entering" and agent == "Agent_2":
            raise error
        yield
        if agent == "Agent_2":
            raise error

    performed: list[str] = []

    async def buy(operation: Operation) -> None:
        performed.append(operation.agent)

    started = time.monotonic()
    with pytest.raises(RunFailed, match="agent Agent_2 was lost") as caught:
        run(tmp_path, buy, agents=3, operations_per_agent=2, per_agent=session)
    assert type(error).__name__ in str(caught.value)
    assert caught.value.__cause__ is error
    assert time.monotonic() - started < HANG
    assert (performed == []) is (where == "entering")


def test_no_agent_performs_before_every_session_is_entered(tmp_path: Path) -> None:
    entered: list[str] = []
    too_early: list[str] = []

    @asynccontextmanager
    async def session(agent: str) -> AsyncIterator[None]:
        await asyncio.sleep(0.05 if agent == "Agent_3" else 0)
        entered.append(agent)
        yield

    async def buy(operation: Operation) -> None:
        if len(entered) < 3:
            too_early.append(operation.agent)

    assert run(tmp_path, buy, agents=3, operations_per_agent=2, per_agent=session).successes == 6
    assert too_early == []


# Checks.


def test_no_operation_is_in_progress_during_a_check(tmp_path: Path) -> None:
    inside = 0
    wakes = 0

    async def buy(operation: AsyncOperation) -> None:
        nonlocal inside
        inside += 1
        await operation.sleep(0.001)
        inside -= 1

    def no_agent_is_inside() -> bool:
        nonlocal wakes
        wakes += 1
        return inside == 0

    run(tmp_path, buy, agents=10, operations_per_agent=30, checks=[no_agent_is_inside], every=20)
    assert wakes > 5


def test_a_check_that_fails_during_the_run_ends_it(tmp_path: Path) -> None:
    performed = 0

    async def buy(operation: Operation) -> None:
        nonlocal performed
        performed += 1

    def few_are_performed() -> bool:
        return performed < 50

    with pytest.raises(CheckFailed, match="few_are_performed"):
        run(tmp_path, buy, agents=5, operations_per_agent=1_000, checks=[few_are_performed], every=10)
    assert performed < 5_000


def test_eventually_runs_operations_without_faults_until_the_target_recovers(tmp_path: Path) -> None:
    state = {"repaired": False, "planned": 0}

    async def buy(operation: Operation) -> None:
        state["planned"] += 1
        state["repaired"] = state["repaired"] or operation.index >= 12

    result = run(
        tmp_path,
        buy,
        agents=3,
        operations_per_agent=10,
        failure_prob=1,
        checks=[eventually("the book is repaired", lambda: state["repaired"])],
        gate=True,
    )
    assert state["repaired"]
    assert (result.stats["recovery_operations"] or 0) >= 3


# Hanging.


async def waits_forever() -> None:
    await asyncio.Event().wait()


class Released(threading.Event):
    """An event that ends a hung task after its run."""


released = Released()


async def swallows_cancellation() -> None:
    while not released.is_set():
        try:
            await asyncio.sleep(0.1)
        except asyncio.CancelledError:
            continue


async def blocks_the_loop() -> None:
    released.wait(HANG)


async def waits_in_a_pool() -> None:
    await asyncio.to_thread(released.wait, HANG)


HANGING: dict[str, Callable[[], Any]] = {
    "waits_forever": waits_forever,
    "swallows_cancellation": swallows_cancellation,
    "blocks_the_loop": blocks_the_loop,
    "waits_in_a_pool": waits_in_a_pool,
}


def assert_hangs_and_the_next_run_works(tmp_path: Path, how: str) -> None:
    async def buy(operation: Operation) -> None:
        if operation.agent == "Agent_2" and operation.index == 1:
            await HANGING[how]()

    released.clear()
    started = time.monotonic()
    with pytest.raises(RunFailed, match="hung") as caught:
        run(tmp_path, buy, tasks=["buy"], agents=3, operations_per_agent=3, operation_timeout=0.3)
    assert time.monotonic() - started < HANG / 2
    assert caught.value.result.stats["status"] == "hung"
    assert "agent Agent_2, task buy" in str(caught.value)
    assert how in str(caught.value), "the message must show a frame of the target"
    assert run(tmp_path, nothing, agents=3, operations_per_agent=3).successes == 9
    held = [thread for thread in threading.enumerate() if thread.name.startswith("stress")]
    assert all(thread.daemon for thread in held)
    released.set()
    for thread in held:
        thread.join(HANG)
    assert stress_threads() == []


@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
def test_a_hung_async_task_is_reported_with_its_stack_and_the_next_run_works(tmp_path: Path) -> None:
    assert_hangs_and_the_next_run_works(tmp_path, "waits_in_a_pool")


@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("short_grace")
@pytest.mark.parametrize("how", ["waits_forever", "swallows_cancellation", "blocks_the_loop"])
def test_every_kind_of_hung_async_task_is_reported_with_its_stack_and_the_next_run_works(
    tmp_path: Path, how: str
) -> None:
    assert_hangs_and_the_next_run_works(tmp_path, how)


@pytest.mark.usefixtures("short_grace")
def test_a_hung_session_is_named(tmp_path: Path) -> None:
    @asynccontextmanager
    async def session(agent: str) -> AsyncIterator[None]:
        if agent == "Agent_2":
            await asyncio.sleep(3600)
        yield

    with pytest.raises(RunFailed, match="agent Agent_2, entering per_agent"):
        run(tmp_path, nothing, agents=2, operations_per_agent=1, per_agent=session, operation_timeout=0.3)


@pytest.mark.usefixtures("short_grace")
def test_a_cancelled_operation_is_recorded_as_failed(tmp_path: Path) -> None:
    async def buy(operation: Operation) -> None:
        await asyncio.Event().wait()

    with pytest.raises(RunFailed) as caught:
        run(tmp_path, buy, agents=2, operations_per_agent=3, operation_timeout=0.3)
    result = caught.value.result
    assert result.operations == result.failures == 2
    assert len((tmp_path / "stress_test_results.log").read_text().splitlines()) == 2


# Stopping.


def test_sleeps_end_when_a_task_ends_the_run(tmp_path: Path) -> None:
    class Ends(Exception):
        """Ends the run."""

    async def buy(operation: AsyncOperation) -> None:
        if operation.agent == "Agent_1":
            raise Ends
        await operation.sleep(3600)

    started = time.monotonic()
    with pytest.raises(Ends):
        simulator(tmp_path, buy, agents=3, operations_per_agent=3).run(ending_errors=(Ends,))
    assert time.monotonic() - started < HANG


def test_think_times_end_when_a_task_ends_the_run(tmp_path: Path) -> None:
    class Ends(Exception):
        """Ends the run."""

    async def buy(operation: Operation) -> None:
        raise Ends

    started = time.monotonic()
    # With this seed, one agent is due at once and most agents are due after minutes.
    agents = [f"Agent_{n}" for n in range(200)]
    with pytest.raises(Ends):
        simulator(tmp_path, buy, agents=agents, max_delay=600, seed=7).run(ending_errors=(Ends,))
    assert time.monotonic() - started < HANG


def test_ctrl_c_ends_the_run_and_is_raised_after_the_files_are_written(tmp_path: Path) -> None:
    async def buy(operation: Operation) -> None:
        if operation.index == 2:
            signal.raise_signal(signal.SIGINT)

    prepared = simulator(tmp_path, buy, agents=1, operations_per_agent=100, seed=5, max_delay=0.01)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        prepared.run()
    assert time.monotonic() - started < HANG
    assert prepared.result is not None
    assert prepared.result.stats["status"] == "interrupted"
    stats = json.loads((tmp_path / "simulation_statistics.json").read_text())
    assert stats["interrupted"] is True


# Many agents.


def test_ten_thousand_agents_perform_one_operation_each_on_one_loop(tmp_path: Path) -> None:
    inside = 0
    all_are_inside = asyncio.Event()

    async def buy(operation: Operation) -> None:
        nonlocal inside
        inside += 1
        if inside == 10_000:
            all_are_inside.set()
        await all_are_inside.wait()

    threads = threading.active_count()
    result = run(tmp_path, buy, agents=10_000, operations_per_agent=1, operation_timeout=600)
    assert result.successes == 10_000
    assert threading.active_count() == threads


# In scripts: on the engine's loop or on the caller's.


def test_a_script_can_run_an_async_target_in_one_line(tmp_path: Path) -> None:
    stats = run_stress_test(target=nothing, output_dir=tmp_path, agents=2, operations_per_agent=3, **CALM)
    assert stats["successful_operations"] == 6


def test_run_async_performs_on_the_callers_loop_and_leaves_no_task(tmp_path: Path) -> None:
    loops = set()

    async def buy(operation: Operation) -> None:
        loops.add(asyncio.get_running_loop())

    async def main() -> StressResult:
        result = await simulator(tmp_path, buy, agents=4, operations_per_agent=5).run_async()
        assert loops == {asyncio.get_running_loop()}
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    assert asyncio.run(main()).successes == 20


def test_run_async_raises_what_run_raises(tmp_path: Path) -> None:
    async def fails() -> None:
        raise LookupError("no order")

    with pytest.raises(ThresholdsNotMet, match="no order"):
        asyncio.run(simulator(tmp_path, {"buy": fails}, agents=1, operations_per_agent=1).run_async())


def test_two_runs_awaited_at_once_have_separate_figures(tmp_path: Path) -> None:
    async def main() -> list[StressResult]:
        prepared = simulator(tmp_path / "one", nothing, agents=3, operations_per_agent=20)
        other = simulator(tmp_path / "two", nothing, agents=2, operations_per_agent=7)
        return list(await asyncio.gather(prepared.run_async(), other.run_async()))

    assert [result.successes for result in asyncio.run(main())] == [60, 14]


def test_run_async_of_a_sync_target_does_not_block_the_loop(tmp_path: Path) -> None:
    ticks = 0

    async def main() -> StressResult:
        nonlocal ticks
        run_ = asyncio.ensure_future(
            simulator(tmp_path, lambda: time.sleep(0.05), agents=2, operations_per_agent=4).run_async()
        )
        while not run_.done():
            ticks += 1
            await asyncio.sleep(0.01)
        return run_.result()

    assert asyncio.run(main()).successes == 8
    assert ticks > 3


def test_runs_work_with_an_eager_task_factory(tmp_path: Path) -> None:
    factory = getattr(asyncio, "eager_task_factory", None)
    if factory is None:
        pytest.skip("needs Python 3.12 or newer")

    async def main() -> StressResult:
        asyncio.get_running_loop().set_task_factory(factory)
        return await simulator(tmp_path, nothing, agents=5, operations_per_agent=5).run_async()

    assert asyncio.run(main()).successes == 25


def test_agents_see_the_contextvars_of_the_caller(tmp_path: Path) -> None:
    import contextvars

    tenant: contextvars.ContextVar[str] = contextvars.ContextVar("tenant", default="nobody")
    seen = set()

    async def buy(operation: Operation) -> None:
        seen.add(tenant.get())

    async def main() -> None:
        tenant.set("acme")
        await simulator(tmp_path, buy, agents=2, operations_per_agent=2).run_async()

    asyncio.run(main())
    assert seen == {"acme"}


def test_a_simulator_of_async_tasks_can_run_several_times(tmp_path: Path) -> None:
    prepared = simulator(tmp_path, nothing, agents=2, operations_per_agent=5, seed=3)
    assert [prepared.run().successes for _ in range(3)] == [10, 10, 10]


@pytest.mark.usefixtures("short_grace")
def test_a_task_that_polls_forever_is_hung_and_the_run_ends(tmp_path: Path) -> None:
    async def polls(operation: AsyncOperation) -> None:
        while True:
            await operation.sleep(0.001)

    began = time.monotonic()
    with pytest.raises(RunFailed, match="hung"):
        MultiAgentSimulator(
            target={"buy": polls},
            agents=2,
            operations_per_agent=1,
            max_delay=0,
            min_delay=0,
            missing_data_prob=0,
            failure_prob=0,
            operation_timeout=0.3,
            output_dir=tmp_path,
        ).run()
    assert time.monotonic() - began < 30
