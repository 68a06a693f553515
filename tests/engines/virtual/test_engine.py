"""The virtual engine runs ordinary synchronous code one agent at a time, repeatably and in virtual time."""

from __future__ import annotations

import _thread
import itertools
import json
import os
import queue
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress
from pytest_nos_stress import (
    CheckFailed,
    Deadlock,
    MultiAgentSimulator,
    Operation,
    RunFailed,
    Scenario,
    SettingError,
    StressResult,
    ThresholdsNotMet,
    cooperating_locks,
)
from pytest_nos_stress.engines.base import EngineOptions
from pytest_nos_stress.engines.virtual.engine import VirtualEngine

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])
HANG = 60.0  # Far longer than any test takes: code that reaches it hangs.
TakesLessThan = Callable[[float, Callable[[], float]], None]
FILES = ("stress_test_results.log", "agent_memory_snapshot.json", "simulation_statistics.json", "scenario.json")
START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
CALM: dict[str, Any] = {
    "engine": "virtual",
    "tasks": ["buy"],
    "seed": 1,
    "min_delay": 0,
    "max_delay": 0,
    "missing_data_prob": 0,
    "failure_prob": 0,
}
each_way = pytest.mark.parametrize("own_threads", [True, False], ids=["own threads", "shared threads"])


EARLIER: set[threading.Thread] = set()
"""Threads of earlier tests that still run."""


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    """Let ``threading`` make cooperating locks, as ``pytest --stress`` does for a session."""
    EARLIER.update(agent_threads())
    with cooperating_locks():
        yield
    EARLIER.clear()


def simulator(directory: Path, target: Any, **options: Any) -> MultiAgentSimulator:
    if "scenario" in options:
        return MultiAgentSimulator(target=target, output_dir=directory, **options)
    return MultiAgentSimulator(target=target, output_dir=directory, **{**CALM, **options})


def run(directory: Path, target: Any, **options: Any) -> StressResult:
    return simulator(directory, target, **options).run()


def content(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in FILES}


def rows(result: StressResult) -> dict[tuple[int, int], tuple[int, int]]:
    """Return task and outcome of each operation, by agent and index."""
    return {
        (int(row["agent"]), int(row["index"])): (int(row["task"]), int(row["outcome"])) for row in result.records
    }


def agent_threads() -> list[threading.Thread]:
    """Return the agents' threads of this test's runs that still run."""
    return [
        thread
        for thread in set(threading.enumerate()) - EARLIER
        if thread.name.startswith(("agent ", "stress agents"))
    ]


@contextmanager
def deadline(seconds: float = HANG) -> Iterator[None]:
    """Raise ``TimeoutError`` if the block does not end. Uses a signal: the engine would wait for a thread."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"the block did not end within {seconds:g} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def outcome_of(action: Callable[[], object], seconds: float = HANG) -> BaseException | None:
    """Return the exception that an action raises, or None. It is ``TimeoutError`` if the action does not end."""
    with deadline(seconds):
        try:
            action()
        except BaseException as error:
            return error
    return None


def wait_until(condition: Callable[[], bool]) -> None:
    last = time.monotonic() + HANG
    while not condition() and time.monotonic() < last:
        time.sleep(0.01)
    assert condition()


class Exchange:
    """An order service with a lock, a queue and sleeps. It sometimes fails."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.book: queue.Queue[str] = queue.Queue()

    def buy(self, operation: Operation) -> None:
        with self.lock:
            operation.sleep(operation.random.uniform(0, 0.2))
            self.book.put(operation.id)

    def sell(self, operation: Operation) -> None:
        try:
            self.book.get(timeout=0.1)
        except queue.Empty:
            operation.sleep(0.05)
            raise LookupError(f"no order for {operation.agent}") from None


def trade(directory: Path, **options: Any) -> StressResult:
    settings = {
        "agents": 5,
        "tasks": {"buy": 2, "sell": 1},
        "operations_per_agent": 40,
        "min_delay": 0.05,
        "max_delay": 0.15,
        "missing_data_prob": 0.2,
        "failure_prob": 0.1,
        "failure_mode": "mixed",
        "operation_timeout": 600,
        "gate": False,
    }
    return run(directory, Exchange(), **{**settings, **options})


# Two runs with the same seed.


@each_way
def test_two_runs_of_a_seed_write_identical_files(own_threads: bool, tmp_path: Path) -> None:
    for name in ("first", "second"):
        trade(tmp_path / name, own_threads=own_threads)
    assert content(tmp_path / "first") == content(tmp_path / "second")
    assert (tmp_path / "first" / FILES[0]).read_text().count("LookupError: no order for") >= 1


def test_runs_with_own_threads_and_with_shared_threads_have_the_same_operations_in_the_same_order(
    tmp_path: Path,
) -> None:
    own, shared = (trade(tmp_path / str(own), own_threads=own) for own in (True, False))
    assert (tmp_path / "True" / FILES[0]).read_bytes() == (tmp_path / "False" / FILES[0]).read_bytes()
    assert (tmp_path / "True" / FILES[1]).read_bytes() == (tmp_path / "False" / FILES[1]).read_bytes()
    assert own.records.tobytes() == shared.records.tobytes()


@each_way
def test_another_seed_is_another_run(own_threads: bool, tmp_path: Path) -> None:
    for seed in (1, 2):
        trade(tmp_path / str(seed), own_threads=own_threads, seed=seed)
    first, second = content(tmp_path / "1"), content(tmp_path / "2")
    assert all(first[name] != second[name] for name in FILES)


def test_the_written_scenario_repeats_the_run(tmp_path: Path) -> None:
    trade(tmp_path / "first")
    scenario = Scenario.from_json((tmp_path / "first" / "scenario.json").read_text())
    run(tmp_path / "second", Exchange(), scenario=scenario, gate=False)
    assert content(tmp_path / "first") == content(tmp_path / "second")


@each_way
def test_each_run_of_a_simulator_is_the_same_run(own_threads: bool, tmp_path: Path) -> None:
    prepared = simulator(tmp_path, lambda operation: operation.sleep(0.5), agents=3, own_threads=own_threads)
    prepared.run()
    first = content(tmp_path)
    prepared.run()
    assert content(tmp_path) == first


@each_way
def test_a_new_agent_does_not_change_the_plans_of_the_others(own_threads: bool, tmp_path: Path) -> None:
    few = trade(tmp_path, agents=["Ann", "Bob"], own_threads=own_threads)
    more = trade(tmp_path, agents=["Ann", "Bob", "Cy"], own_threads=own_threads)
    planned = {key: row[0] for key, row in rows(more).items() if key[0] < 2}
    assert planned == {key: row[0] for key, row in rows(few).items()}


def order_of_agents(directory: Path, **options: Any) -> list[str]:
    order: list[str] = []
    run(directory, lambda operation: order.append(operation.agent), **{"agents": 6, **options})
    return order


@each_way
def test_the_seed_decides_the_order_of_agents_that_are_due_at_the_same_time(
    own_threads: bool, tmp_path: Path
) -> None:
    orders = [
        order_of_agents(tmp_path, operations_per_agent=3, seed=seed, own_threads=own_threads)
        for seed in (1, 2, 3, 1)
    ]
    assert orders[0] == orders[3]
    assert len(set(map(tuple, orders))) == 3
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_a_run_does_not_depend_on_the_hash_seed_of_python(tmp_path: Path) -> None:
    code = """
import threading
from pytest_nos_stress import MultiAgentSimulator, cooperating_locks
with cooperating_locks():
    lock = threading.Lock()
    def trade(operation):
        with lock:
            operation.sleep(operation.random.random())
    MultiAgentSimulator(4, operations_per_agent=20, engine="virtual", seed=4, output_dir="out", target=trade).run()
"""
    written = []
    for hash_seed in ("0", "1"):
        directory = tmp_path / hash_seed
        directory.mkdir()
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": SOURCE, "PYTHONHASHSEED": hash_seed},
            check=True,
            timeout=60,
        )
        written.append(content(directory / "out"))
    assert written[0] == written[1]


def test_two_concurrent_runs_do_not_affect_each_other(tmp_path: Path) -> None:
    alone = {name: trade(tmp_path / f"alone {name}", seed=name) for name in (5, 6)}
    threads = [
        threading.Thread(target=trade, args=(tmp_path / str(name),), kwargs={"seed": name}) for name in alone
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    for name in alone:
        assert content(tmp_path / str(name)) == content(tmp_path / f"alone {name}")


# Time.


@each_way
def test_the_default_run_lasts_about_ten_seconds_of_virtual_time(own_threads: bool, tmp_path: Path) -> None:
    def default_run() -> None:
        results.append(MultiAgentSimulator(engine="virtual", own_threads=own_threads, output_dir=tmp_path).run())

    results: list[StressResult] = []
    assert outcome_of(default_run, 5) is None
    assert results[0].operations == 400
    assert 8 < results[0].stats["duration"] < 12


@each_way
def test_timestamps_in_all_files_come_from_the_virtual_clock(own_threads: bool, tmp_path: Path) -> None:
    scenario = Scenario(
        operations=[("Ann", "buy", None, 60), ("Bob", "buy", None, 90.5), ("Ann", "buy", None, 60)],
        engine="virtual",
        own_threads=own_threads,
    )
    seen: list[float] = []
    run(tmp_path, lambda operation: seen.append(operation.now()), scenario=scenario)
    due = [START + timedelta(seconds=second) for second in (60, 90.5, 120)]
    assert seen == [moment.timestamp() for moment in due]
    lines = (tmp_path / FILES[0]).read_text().splitlines()
    local = [moment.astimezone().strftime("%Y-%m-%d %H:%M:%S,%f")[:-3] for moment in due]
    assert [line.split(" - ")[0] for line in lines] == local
    snapshot = json.loads((tmp_path / FILES[1]).read_text())
    assert [datetime.fromisoformat(row["timestamp"]) for row in snapshot] == due
    stats = json.loads((tmp_path / FILES[2]).read_text())
    assert datetime.fromisoformat(stats["start_time"]) == START
    assert datetime.fromisoformat(stats["end_time"]) == due[-1]
    assert stats["duration"] == 120


class Held:
    """Locks, queues and events that are never released, filled or set."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.lock.acquire()
        self.condition = threading.Condition()
        self.plain_condition = threading.Condition(threading.Lock())
        self.event = threading.Event()
        self.semaphore = threading.Semaphore(0)
        self.barrier = threading.Barrier(2)
        self.queue: queue.Queue[int] = queue.Queue()
        self.full: queue.Queue[int] = queue.Queue(1)
        self.full.put(1)
        self.priorities: queue.PriorityQueue[int] = queue.PriorityQueue()


def wait_in(condition: threading.Condition) -> bool:
    with condition:
        return condition.wait(7)


def wait_for_predicate(condition: threading.Condition) -> bool:
    with condition:
        return condition.wait_for(lambda: False, 7)


def raises(kind: type[BaseException], action: Callable[[], object]) -> bool:
    with pytest.raises(kind):
        action()
    return False


WAITS: dict[str, Callable[[Held, Operation], object]] = {
    "operation.sleep": lambda _, operation: operation.sleep(7),
    "Lock": lambda held, _: held.lock.acquire(timeout=7),
    "Condition": lambda held, _: wait_in(held.condition),
    "Condition with a Lock": lambda held, _: wait_in(held.plain_condition),
    "Condition.wait_for": lambda held, _: wait_for_predicate(held.condition),
    "Event": lambda held, _: held.event.wait(7),
    "Semaphore": lambda held, _: held.semaphore.acquire(timeout=7),
    "Barrier": lambda held, _: raises(threading.BrokenBarrierError, lambda: held.barrier.wait(7)),
    "Queue.get": lambda held, _: raises(queue.Empty, lambda: held.queue.get(timeout=7)),
    "Queue.put": lambda held, _: raises(queue.Full, lambda: held.full.put(2, timeout=7)),
    "PriorityQueue.get": lambda held, _: raises(queue.Empty, lambda: held.priorities.get(timeout=7)),
}


@each_way
@pytest.mark.parametrize("way", WAITS)
def test_a_wait_with_a_timeout_takes_virtual_time(way: str, own_threads: bool, tmp_path: Path) -> None:
    held = Held()
    took: list[float] = []
    answers: list[object] = []

    def waits(operation: Operation) -> None:
        before = operation.now()
        answers.append(WAITS[way](held, operation))
        took.append(operation.now() - before)

    options: dict[str, Any] = {"agents": 1, "operations_per_agent": 1, "own_threads": own_threads}
    assert outcome_of(lambda: run(tmp_path, waits, **options), 5) is None
    assert took == [7]
    assert not any(answers)


@each_way
def test_other_agents_continue_while_one_waits_with_a_timeout(own_threads: bool, tmp_path: Path) -> None:
    held = Held()
    scenario = Scenario(
        operations=[("Ann", "wait"), ("Bob", "look", None, 3), ("Bob", "look", None, 5)],
        engine="virtual",
        own_threads=own_threads,
    )
    done: list[str] = []

    def wait(operation: Operation) -> None:
        assert not held.lock.acquire(timeout=7)
        done.append("wait")

    run(tmp_path, {"wait": wait, "look": lambda: done.append("look")}, scenario=scenario)
    assert done == ["look", "wait", "look"]


@each_way
def test_a_wait_ends_at_the_virtual_time_of_its_answer(own_threads: bool, tmp_path: Path) -> None:
    held = Held()
    scenario = Scenario(
        operations=[("Ann", "wait"), ("Bob", "give", None, 2.5)], engine="virtual", own_threads=own_threads
    )
    took: list[float] = []

    def wait(operation: Operation) -> None:
        before = operation.now()
        assert held.event.wait(7)
        took.append(operation.now() - before)

    run(tmp_path, {"wait": wait, "give": held.event.set}, scenario=scenario)
    assert took == [2.5]


def test_time_sleep_and_computations_take_no_virtual_time(tmp_path: Path) -> None:
    def works(operation: Operation) -> None:
        time.sleep(0.002)
        sum(range(1_000))

    result = run(tmp_path, works, agents=2, operations_per_agent=5)
    assert result.stats["duration"] == 0
    assert str(result.latency.max) == "nan"


def test_a_duration_is_in_virtual_time(tmp_path: Path) -> None:
    result = run(tmp_path, lambda: None, agents=3, duration="1h", min_delay=60, max_delay=60)
    assert result.operations == 3 * 59
    assert result.stats["duration"] == 59 * 60


@pytest.mark.parametrize("seconds", [0, -5])
def test_a_sleep_of_zero_or_negative_seconds_takes_no_time(seconds: float, tmp_path: Path) -> None:
    assert run(tmp_path, lambda operation: operation.sleep(seconds), agents=2).stats["duration"] == 0


# One at a time.


@each_way
def test_two_agents_are_never_in_code_that_does_not_wait_at_the_same_time(
    own_threads: bool, tmp_path: Path
) -> None:
    inside, most = 0, 0

    def tells(operation: Operation) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.0005)
        most = max(most, inside)
        inside -= 1
        operation.sleep(0.01)

    run(tmp_path, tells, agents=8, operations_per_agent=10, own_threads=own_threads)
    assert most == 1


class Account:
    """An account that sells its share twice if two agents check for it before one of them takes it."""

    def __init__(self, pause: float) -> None:
        self.shares = 1
        self.pause = pause

    def sell(self, operation: Operation) -> None:
        if self.shares:
            if self.pause:
                operation.sleep(self.pause)
            self.shares -= 1


@each_way
def test_a_check_then_act_race_over_a_sleep_is_found(own_threads: bool, tmp_path: Path) -> None:
    account = Account(pause=0.1)
    with pytest.raises(CheckFailed, match="never_oversold"):

        def never_oversold() -> bool:
            return account.shares >= 0

        run(tmp_path, account, tasks=["sell"], agents=2, checks=[never_oversold], own_threads=own_threads)


@each_way
def test_code_that_does_not_wait_is_not_interrupted(own_threads: bool, tmp_path: Path) -> None:
    account = Account(pause=0)
    run(tmp_path, account, tasks=["sell"], agents=8, operations_per_agent=20, own_threads=own_threads)
    assert account.shares == 0


@each_way
@pytest.mark.parametrize("kind", ["Lock", "RLock", "Semaphore", "Condition"])
def test_other_agents_wait_for_a_lock_that_an_agent_holds_during_a_sleep(
    kind: str, own_threads: bool, tmp_path: Path
) -> None:
    lock = getattr(threading, kind)()
    inside: list[str] = []
    most: list[int] = []

    def works(operation: Operation) -> None:
        with lock:
            inside.append(operation.agent)
            operation.sleep(1)
            most.append(len(inside))
            inside.remove(operation.agent)

    result = run(tmp_path, works, agents=5, operations_per_agent=4, own_threads=own_threads, operation_timeout=99)
    assert most == [1] * 20
    assert result.stats["duration"] == 20


@each_way
def test_the_holder_of_an_rlock_can_acquire_it_again(own_threads: bool, tmp_path: Path) -> None:
    lock = threading.RLock()

    def works(operation: Operation) -> None:
        with lock, lock:
            operation.sleep(1)
            with lock:
                operation.sleep(1)

    result = run(tmp_path, works, agents=3, operations_per_agent=1, own_threads=own_threads)
    assert result.stats["duration"] == 6


@each_way
def test_waiters_get_a_lock_in_the_order_of_their_arrival(own_threads: bool, tmp_path: Path) -> None:
    lock = threading.Lock()
    agents = ["Dan", "Ann", "Cy", "Bob", "Eve"]
    order: list[str] = []

    def works(operation: Operation) -> None:
        with lock:
            order.append(operation.agent)
            operation.sleep(10)

    scenario = Scenario(
        operations=[(agent, "buy", None, number * 0.5) for number, agent in enumerate(agents)],
        engine="virtual",
        own_threads=own_threads,
        operation_timeout=600,
    )
    run(tmp_path, works, scenario=scenario)
    assert order == agents


@each_way
def test_an_agent_that_acquires_a_lock_again_at_once_does_not_overtake_the_waiters(
    own_threads: bool, tmp_path: Path
) -> None:
    lock = threading.Lock()
    order: list[str] = []

    def works(operation: Operation) -> None:
        for _ in range(2):
            with lock:
                order.append(operation.agent)
                operation.sleep(10)

    scenario = Scenario(
        operations=[("Ann", "buy"), ("Bob", "buy", None, 1), ("Cy", "buy", None, 2)],
        engine="virtual",
        own_threads=own_threads,
        operation_timeout=600,
    )
    run(tmp_path, works, scenario=scenario)
    assert order == ["Ann", "Bob", "Cy"] * 2


@each_way
def test_an_agent_without_think_time_does_not_starve_the_others_of_a_lock(
    own_threads: bool, tmp_path: Path
) -> None:
    lock = threading.Lock()

    def works(operation: Operation) -> None:
        with lock:
            operation.sleep(1)

    result = run(tmp_path, works, agents=2, operations_per_agent=20, own_threads=own_threads, operation_timeout=99)
    # An operation waits one second for the other agent, then holds the lock for one second.
    assert result.latency.max <= 2


@each_way
def test_a_queue_keeps_its_order_between_agents(own_threads: bool, tmp_path: Path) -> None:
    orders: queue.Queue[int] = queue.Queue(2)
    taken: list[int] = []

    def produce(operation: Operation) -> None:
        orders.put(operation.index)

    def consume(operation: Operation) -> None:
        taken.append(orders.get())
        operation.sleep(0.5)

    scenario = Scenario(
        operations=[("consumer", "consume")] * 10 + [("producer", "produce", None, 0.1)] * 10,
        engine="virtual",
        own_threads=own_threads,
        operation_timeout=60,
    )
    run(tmp_path, {"produce": produce, "consume": consume}, scenario=scenario)
    assert taken == list(range(10))


@each_way
def test_agents_meet_at_a_barrier_of_the_target(own_threads: bool, tmp_path: Path) -> None:
    barrier = threading.Barrier(3)
    met: list[float] = []

    def meet(operation: Operation) -> None:
        operation.sleep(int(operation.agent[-1]))
        barrier.wait()
        met.append(operation.now() - START.timestamp())

    run(tmp_path, meet, agents=3, operations_per_agent=2, own_threads=own_threads)
    assert met == [3, 3, 3, 6, 6, 6]


# Threads of the target.


@each_way
def test_a_thread_of_the_target_can_wake_an_agent(own_threads: bool, tmp_path: Path) -> None:
    taken: list[int] = []

    def asks(operation: Operation) -> None:
        answers: queue.Queue[int] = queue.Queue()

        def answer() -> None:
            time.sleep(0.05)
            answers.put(operation.index)

        thread = threading.Thread(target=answer)
        thread.start()
        taken.append(answers.get())
        thread.join()

    result = run(tmp_path, asks, agents=2, operations_per_agent=2, own_threads=own_threads)
    assert sorted(taken) == [0, 0, 1, 1]
    assert result.stats["duration"] == 0


@each_way
def test_an_agent_can_wait_for_a_future_of_the_targets_pool(own_threads: bool, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        taken: list[int] = []

        def asks(operation: Operation) -> None:
            taken.append(pool.submit(lambda: operation.index).result())

        result = run(tmp_path, asks, agents=3, operations_per_agent=10, own_threads=own_threads)
    assert sorted(taken) == sorted(list(range(10)) * 3)
    assert result.stats["duration"] == 0


@each_way
def test_agents_wait_for_a_pool_that_was_started_before_the_run(own_threads: bool, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()

        def asks(operation: Operation) -> None:
            pool.submit(time.sleep, 0.2).result()

        run(tmp_path, asks, agents=1, operations_per_agent=2, own_threads=own_threads)


@each_way
def test_agents_wait_for_a_thread_that_was_started_before_the_run(own_threads: bool, tmp_path: Path) -> None:
    asked: queue.Queue[int | None] = queue.Queue()
    answers: queue.Queue[int] = queue.Queue()

    def serve() -> None:
        while (order := asked.get()) is not None:
            time.sleep(0.2)
            answers.put(order)

    server = threading.Thread(target=serve, daemon=True)
    server.start()
    taken: list[int] = []

    def asks(operation: Operation) -> None:
        asked.put(operation.index)
        taken.append(answers.get())

    try:
        run(tmp_path, asks, agents=1, operations_per_agent=2, own_threads=own_threads)
    finally:
        asked.put(None)
        server.join(HANG)
    assert taken == [0, 1]


@each_way
def test_agents_still_wait_for_an_answer_after_an_earlier_one_came_during_another_agents_turn(
    own_threads: bool, tmp_path: Path
) -> None:
    first: queue.Queue[int] = queue.Queue()
    second: queue.Queue[int] = queue.Queue()
    bob_works, answered = _thread.allocate_lock(), _thread.allocate_lock()
    bob_works.acquire()
    answered.acquire()

    def answer_while_bob_works() -> None:
        bob_works.acquire()
        first.put(1)
        answered.release()

    def answer_late() -> None:
        time.sleep(0.1)
        second.put(2)

    taken: list[int] = []

    def works(operation: Operation) -> None:
        if operation.agent == "Bob":
            bob_works.release()
            answered.acquire()
            return
        threading.Thread(target=answer_while_bob_works).start()
        taken.append(first.get())
        threading.Thread(target=answer_late).start()
        taken.append(second.get())

    scenario = Scenario(operations=[("Ann", "buy"), ("Bob", "buy")], engine="virtual", own_threads=own_threads)
    run(tmp_path, works, scenario=scenario)
    assert taken == [1, 2]


@each_way
def test_starting_and_joining_a_thread_takes_no_virtual_time_and_keeps_the_turn(
    own_threads: bool, tmp_path: Path
) -> None:
    inside: list[str] = []
    most: list[int] = []

    def asks(operation: Operation) -> None:
        inside.append(operation.agent)
        thread = threading.Thread(target=time.sleep, args=(0.003,))
        thread.start()
        thread.join()
        most.append(len(inside))
        inside.remove(operation.agent)

    result = run(tmp_path, asks, agents=4, operations_per_agent=5, own_threads=own_threads)
    assert most == [1] * 20
    assert result.stats["duration"] == 0


# Deadlocks.


def both_ways(operation: Operation) -> None:
    """Acquire two locks, in opposite order for the two agents."""
    first, second = (LOCKS["a"], LOCKS["b"]) if operation.agent == "Ann" else (LOCKS["b"], LOCKS["a"])
    with first:
        operation.sleep(1)
        with second:
            pass


def keeps_it(operation: Operation) -> None:
    """Acquire a lock without releasing it."""
    if operation.agent == "Bob":
        operation.sleep(1)
    LOCKS["a"].acquire()


def hungry(operation: Operation) -> None:
    """Wait for an item of a queue that stays empty."""
    LOCKS["queue"].get()


def taken_twice(operation: Operation) -> None:
    """Acquire a lock twice that is not reentrant."""
    LOCKS["a" if operation.agent == "Ann" else "b"].acquire()
    LOCKS["a" if operation.agent == "Ann" else "b"].acquire()


LOCKS: dict[str, Any] = {}
DEADLOCKS: list[tuple[Callable[[Operation], None], list[str]]] = [
    (
        both_ways,
        [
            "Ann waits for a lock that Bob holds\n",
            "Bob waits for a lock that Ann holds\n",
            "deadlock after 1 s of virtual time",
        ],
    ),
    (keeps_it, ["Bob waits for a lock that Ann holds (Ann's operation ended without releasing it)\n"]),
    (hungry, ["Ann waits to be woken", "Bob waits to be woken", "deadlock after 0 s of virtual time"]),
    (taken_twice, ["Ann waits to be woken", "Bob waits to be woken"]),
]


@pytest.fixture
def some_locks() -> None:
    LOCKS.update(a=threading.Lock(), b=threading.Lock(), queue=queue.Queue())


@each_way
@pytest.mark.parametrize(("target", "words"), DEADLOCKS, ids=[target.__name__ for target, _ in DEADLOCKS])
def test_a_deadlock_report_names_the_waiting_agents_the_holders_and_the_stacks(
    target: Callable[[Operation], None], words: list[str], own_threads: bool, some_locks: None, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "agents": ["Ann", "Bob"],
        "operations_per_agent": 1,
        "own_threads": own_threads,
        "operation_timeout": 5,
    }
    error = outcome_of(lambda: run(tmp_path, target, **options))
    assert isinstance(error, Deadlock)
    message = str(error)
    assert all(word in message for word in words), message
    waiting = sum("waits" in line for line in message.splitlines())
    assert message.count(f"in {target.__name__}\n") == waiting
    assert error.result.status == "deadlocked"
    assert not error.result.passed
    stats = json.loads((tmp_path / FILES[2]).read_text())
    assert (stats["status"], stats["verdict"]) == ("deadlocked", "failed")
    wait_until(lambda: not agent_threads())
    assert run(tmp_path, lambda operation: operation.sleep(1), **options).status == "completed"


@each_way
def test_operations_ended_by_a_deadlock_are_not_errors_of_the_target(
    own_threads: bool, some_locks: None, tmp_path: Path
) -> None:
    with pytest.raises(Deadlock) as caught:
        run(tmp_path, hungry, agents=2, own_threads=own_threads, operation_timeout=5)
    assert caught.value.result.error_types == []
    assert caught.value.result.errors == 0


def test_a_deadlock_after_a_run_in_shared_threads_is_reported_without_waiting_for_the_timeout(
    some_locks: None, tmp_path: Path
) -> None:
    run(tmp_path, lambda operation: operation.sleep(1), agents=6, operations_per_agent=2, own_threads=False)
    options: dict[str, Any] = {"agents": 2, "own_threads": False, "operation_timeout": 8}
    assert isinstance(outcome_of(lambda: run(tmp_path, hungry, **options), 5), Deadlock)


@each_way
def test_a_deadlock_report_says_that_a_thread_outside_the_run_holds_the_lock(
    own_threads: bool, some_locks: None, tmp_path: Path
) -> None:
    with LOCKS["a"], pytest.raises(Deadlock, match="waits for a lock that a thread outside the run holds"):
        run(
            tmp_path,
            keeps_it,
            agents=["Ann"],
            operations_per_agent=1,
            own_threads=own_threads,
            operation_timeout=5,
        )


@each_way
def test_a_deadlock_report_does_not_name_an_agent_that_held_the_lock_in_an_earlier_run(
    own_threads: bool, some_locks: None, tmp_path: Path
) -> None:
    def takes() -> None:
        with LOCKS["a"]:
            pass

    options: dict[str, Any] = {"operations_per_agent": 1, "own_threads": own_threads, "operation_timeout": 5}
    run(tmp_path, takes, agents=["Ann"], **options)
    with LOCKS["a"], pytest.raises(Deadlock) as caught:
        run(tmp_path, takes, agents=["Bob"], **options)
    assert "Ann" not in str(caught.value)
    assert "Bob waits for a lock that a thread outside the run holds" in str(caught.value)


@pytest.mark.skipif(sys.platform != "linux", reason="needs sched_getaffinity")
@each_way
def test_threads_of_the_target_can_use_all_processors(own_threads: bool, tmp_path: Path) -> None:
    allowed: list[set[int]] = []

    def works() -> None:
        thread = threading.Thread(target=lambda: allowed.append(os.sched_getaffinity(0)))
        thread.start()
        thread.join()

    run(tmp_path, works, agents=1, operations_per_agent=1, own_threads=own_threads)
    assert allowed == [os.sched_getaffinity(0)]


@each_way
@pytest.mark.parametrize("kind", ["Lock", "RLock"])
def test_agents_that_wait_in_a_condition_end_after_a_deadlock(
    kind: str, own_threads: bool, tmp_path: Path
) -> None:
    condition = threading.Condition(getattr(threading, kind)())

    def waits(operation: Operation) -> None:
        with condition:
            condition.wait()

    error = outcome_of(lambda: run(tmp_path, waits, agents=3, own_threads=own_threads, operation_timeout=5))
    assert isinstance(error, Deadlock)
    wait_until(lambda: not agent_threads())
    assert condition.acquire(blocking=False)


@each_way
def test_a_target_that_catches_every_exception_still_ends_in_a_deadlock(
    own_threads: bool, some_locks: None, tmp_path: Path
) -> None:
    def stubborn(operation: Operation) -> None:
        try:
            LOCKS["queue"].get()
        except BaseException:
            return

    options: dict[str, Any] = {"agents": 2, "operations_per_agent": 5, "operation_timeout": 5}
    error = outcome_of(lambda: run(tmp_path, stubborn, own_threads=own_threads, **options))
    assert isinstance(error, Deadlock)
    wait_until(lambda: not agent_threads())


# Agents that do not give their turn away.


@each_way
@pytest.mark.usefixtures("short_grace")
def test_an_agent_in_an_endless_loop_is_reported_as_hung_and_the_others_end(
    own_threads: bool, tmp_path: Path
) -> None:
    over: list[bool] = []

    def never_ends() -> None:
        while not over:
            time.sleep(0.001)

    def works(operation: Operation) -> None:
        operation.sleep({"Ann": 3, "Bob": 50, "Cy": 60}[operation.agent])
        if operation.agent == "Ann":
            never_ends()

    options: dict[str, Any] = {
        "agents": ["Ann", "Bob", "Cy"],
        "operations_per_agent": 2,
        "own_threads": own_threads,
    }
    try:
        started = time.monotonic()
        error = outcome_of(
            lambda: run(tmp_path, works, **options, operation_timeout=0.3, min_delay=99, max_delay=99)
        )
        assert time.monotonic() - started < HANG
        assert isinstance(error, RunFailed)
        message = str(error)
        first, second = message.splitlines()[:2]
        assert first == "hung: agent Ann, task buy took longer than operation_timeout=0.3 s"
        assert second == "  agent Ann, task buy"
        assert "in never_ends" in message
        assert "Bob" not in message
        assert error.result.status == "hung"
        assert json.loads((tmp_path / FILES[2]).read_text())["status"] == "hung"
        wait_until(lambda: len(agent_threads()) <= 1)
        assert all(thread.daemon for thread in agent_threads())
    finally:
        over.append(True)
    wait_until(lambda: not agent_threads())


@each_way
@pytest.mark.usefixtures("short_grace")
def test_a_hung_run_does_not_affect_the_next_run(own_threads: bool, tmp_path: Path) -> None:
    trade(tmp_path / "before", own_threads=own_threads)
    stuck = _thread.allocate_lock()
    stuck.acquire()

    def hangs(operation: Operation) -> None:
        operation.sleep(1)
        stuck.acquire()

    error = outcome_of(lambda: run(tmp_path, hangs, agents=2, operation_timeout=0.2, own_threads=own_threads))
    assert isinstance(error, RunFailed)
    trade(tmp_path / "after", own_threads=own_threads)
    stuck.release()
    assert content(tmp_path / "before") == content(tmp_path / "after")


# Sessions.


class Sessions:
    """A session that records the threads it is entered and left in, and the exception it is left by."""

    def __init__(self) -> None:
        self.threads: dict[str, list[int]] = {}
        self.left: dict[str, object] = {}

    @contextmanager
    def __call__(self, agent: str) -> Iterator[str]:
        self.threads[agent] = [threading.get_ident()]
        try:
            yield f"connection of {agent}"
        except BaseException as error:
            self.left[agent] = error
            raise
        else:
            self.left[agent] = None
        self.threads[agent].append(threading.get_ident())


def test_each_agent_enters_and_leaves_its_session_in_its_own_thread(tmp_path: Path) -> None:
    sessions = Sessions()
    contexts: set[tuple[str, str]] = set()

    def works(operation: Operation) -> None:
        contexts.add((operation.agent, operation.context))
        operation.sleep(1)
        sessions.threads[operation.agent].append(threading.get_ident())

    run(tmp_path, works, agents=["Ann", "Bob", "Cy"], operations_per_agent=5, per_agent=sessions)
    assert contexts == {(agent, f"connection of {agent}") for agent in ("Ann", "Bob", "Cy")}
    assert {agent: len(set(threads)) for agent, threads in sessions.threads.items()} == dict.fromkeys(
        ("Ann", "Bob", "Cy"), 1
    )
    assert len({threads[0] for threads in sessions.threads.values()}) == 3
    assert sessions.left == dict.fromkeys(("Ann", "Bob", "Cy"))


@each_way
def test_agents_leave_their_sessions_when_a_run_is_stopped(own_threads: bool, tmp_path: Path) -> None:
    sessions = Sessions()
    performed: list[str] = []

    def never() -> bool:
        return len(performed) < 5

    with pytest.raises(CheckFailed):
        run(
            tmp_path,
            lambda operation: performed.append(operation.agent),
            agents=["Ann", "Bob", "Cy"],
            per_agent=sessions,
            checks=[never],
            own_threads=own_threads,
        )
    assert sessions.left == dict.fromkeys(("Ann", "Bob", "Cy"))


@each_way
@pytest.mark.parametrize("where", ["enter", "leave"])
def test_an_exception_in_a_session_fails_the_run_which_names_the_agent(
    where: str, own_threads: bool, tmp_path: Path
) -> None:
    left: list[str] = []

    @contextmanager
    def session(agent: str) -> Iterator[None]:
        if (agent, where) == ("Bob", "enter"):
            raise ConnectionError("refused")
        yield
        if (agent, where) == ("Bob", "leave"):
            raise ConnectionError("refused")
        left.append(agent)

    with pytest.raises(RunFailed, match="agent Bob was lost: ConnectionError: refused") as caught:
        run(tmp_path, lambda: None, agents=["Ann", "Bob", "Cy"], per_agent=session, own_threads=own_threads)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert set(left) <= {"Ann", "Cy"}
    wait_until(lambda: not agent_threads())


@each_way
def test_no_agent_performs_before_all_have_entered_their_sessions(own_threads: bool, tmp_path: Path) -> None:
    entered: list[str] = []
    seen: set[int] = set()
    lock = threading.Lock()

    @contextmanager
    def session(agent: str) -> Iterator[None]:
        with lock:
            entered.append(agent)
        yield

    run(tmp_path, lambda: seen.add(len(entered)), agents=7, per_agent=session, own_threads=own_threads)
    assert seen == {7}


# Ctrl-C, and exceptions of every type.


@each_way
def test_ctrl_c_ends_a_run_writes_its_records_and_leaves_its_sessions(own_threads: bool, tmp_path: Path) -> None:
    sessions = Sessions()
    operations: list[int] = []

    def works(operation: Operation) -> None:
        operation.sleep(1)
        time.sleep(0.002)

    def progress(seen: Any) -> None:
        operations.append(seen.operations)
        if operations[-1] > 3:
            raise KeyboardInterrupt

    prepared = simulator(
        tmp_path, works, agents=3, operations_per_agent=1_000_000, per_agent=sessions, own_threads=own_threads
    )
    assert isinstance(outcome_of(lambda: prepared.run(progress=progress)), KeyboardInterrupt)
    assert prepared.result is not None
    stats = json.loads((tmp_path / FILES[2]).read_text())
    assert (stats["status"], stats["interrupted"], stats["verdict"]) == ("interrupted", True, "failed")
    assert stats["total_operations"] > 3
    assert len((tmp_path / FILES[0]).read_text().splitlines()) == stats["total_operations"]
    assert stats["errors"] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*FILES, "stress_test_report.html"])
    assert sessions.left == dict.fromkeys(["Agent_1", "Agent_2", "Agent_3"])
    wait_until(lambda: not agent_threads())


@each_way
def test_ctrl_c_ends_a_run_with_a_hung_target(
    own_threads: bool, tmp_path: Path, takes_less_than: TakesLessThan
) -> None:
    stuck = _thread.allocate_lock()
    stuck.acquire()

    def hangs(operation: Operation) -> None:
        if operation.index == 2:
            stuck.acquire()

    def progress(_: object) -> None:
        raise KeyboardInterrupt

    prepared = simulator(tmp_path, hangs, agents=1, operations_per_agent=9, own_threads=own_threads)

    def seconds_to_end() -> float:
        started = time.monotonic()
        assert isinstance(outcome_of(lambda: prepared.run(progress=progress)), KeyboardInterrupt)
        return time.monotonic() - started

    try:
        takes_less_than(2 + 3, seconds_to_end)  # The contract is 2 s.
    finally:
        stuck.release()
    assert json.loads((tmp_path / FILES[2]).read_text())["total_operations"] == 2


class Ends(BaseException):
    """An exception that ends a test, like that of ``pytest.skip``."""


@each_way
def test_an_agent_that_waits_when_a_task_ends_the_run_is_not_an_error(
    own_threads: bool, some_locks: None, tmp_path: Path
) -> None:
    def works(operation: Operation) -> None:
        if operation.agent == "Ann":
            LOCKS["queue"].get()
        operation.sleep(1)
        raise Ends("not today")

    prepared = simulator(tmp_path, works, agents=["Ann", "Bob"], operations_per_agent=1, own_threads=own_threads)
    with pytest.raises(Ends, match="not today"):
        prepared.run(ending_errors=(Ends,))


@each_way
@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), StopIteration(), Ends()])
def test_every_type_of_exception_is_a_failure_of_its_operation(
    error: BaseException, own_threads: bool, tmp_path: Path
) -> None:
    def works(operation: Operation) -> None:
        operation.sleep(0.5)
        if operation.index == 1:
            raise error

    result = run(tmp_path, works, agents=3, operations_per_agent=4, own_threads=own_threads, gate=False)
    assert (result.operations, result.failures, result.errors) == (12, 3, 3)
    assert result.status == "completed"


# Gates.


def test_a_latency_without_virtual_time_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet) as caught:
        run(tmp_path, lambda: None, agents=2, thresholds=["latency.p50 < 1s", "latency{task=buy}.max < 1s"])
    verdicts = [(verdict.threshold.text, verdict.verdict) for verdict in caught.value.result.verdicts]
    assert verdicts == [
        ("latency.p50 < 1s", "no data"),
        ("latency{task=buy}.max < 1s", "no data"),
        ("errors == 0", "passed"),
    ]


@each_way
def test_a_latency_in_virtual_time_is_evaluated(own_threads: bool, tmp_path: Path) -> None:
    target = {"fast": lambda operation: operation.sleep(0.01), "slow": lambda operation: operation.sleep(2)}
    result = run(
        tmp_path,
        target,
        tasks=["fast", "slow"],
        agents=2,
        own_threads=own_threads,
        thresholds=["latency{task=fast}.max <= 10ms", "latency{task=slow}.min >= 2s", "latency.max < 1s"],
        gate=False,
    )
    assert [verdict.verdict for verdict in result.verdicts] == ["passed", "passed", "failed", "passed"]


def test_a_task_without_virtual_time_has_no_latency_even_if_another_task_has_one(tmp_path: Path) -> None:
    target = {"instant": lambda: None, "slow": lambda operation: operation.sleep(2)}
    thresholds = ["latency{task=instant}.max < 1s"]
    result = run(tmp_path, target, tasks=list(target), agents=2, thresholds=thresholds, gate=False)
    assert [verdict.verdict for verdict in result.verdicts] == ["no data", "passed"]


def test_the_throughput_of_a_run_without_virtual_time_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(ThresholdsNotMet, match="no data"):
        run(tmp_path, lambda: None, agents=2, thresholds=["throughput > 1/s"])


def test_a_throughput_in_virtual_time_is_evaluated(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        lambda: None,
        agents=2,
        operations_per_agent=10,
        min_delay=1,
        max_delay=1,
        thresholds=["throughput == 2/s"],
    )
    assert result.throughput == 2


# Invalid settings.


def test_an_async_target_is_a_one_line_error_that_says_what_to_do(tmp_path: Path) -> None:
    async def buy(operation: Operation) -> None:
        """Never called."""

    with pytest.raises(SettingError, match=r"'buy' is async def.*engine 'virtual'.*sync function") as caught:
        simulator(tmp_path, {"buy": buy})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("how", ["simulator", "scenario"])
def test_a_duration_without_think_times_is_a_one_line_error(how: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"engine": "virtual", "duration": 5, "min_delay": 0, "max_delay": 0}
    with pytest.raises(SettingError, match=r"duration=5.*max_delay above 0.*number of operations") as caught:
        _ = simulator(tmp_path, lambda: None, **options) if how == "simulator" else Scenario(**options)
    assert len(str(caught.value).splitlines()) == 1


# Explicit scenarios.


def performed_in_order(directory: Path, scenario: Scenario) -> list[tuple[str, str]]:
    order: list[tuple[str, str]] = []
    run(directory, lambda operation: order.append((operation.agent, operation.task)), scenario=scenario)
    return order


@each_way
def test_listed_operations_that_are_due_at_the_same_time_are_performed_in_the_order_of_the_list(
    own_threads: bool, tmp_path: Path
) -> None:
    draw = random.Random(5)
    listed = [(draw.choice("ABCDE"), draw.choice(["buy", "sell"])) for _ in range(60)]
    scenario = Scenario(operations=listed, engine="virtual", own_threads=own_threads)
    assert performed_in_order(tmp_path, scenario) == listed
    lines = (tmp_path / FILES[0]).read_text().splitlines()
    assert [re.findall(r"- (\w) successfully completed (\w+)", line)[0] for line in lines] == listed


@each_way
def test_delays_of_listed_operations_are_think_times_of_the_agents(own_threads: bool, tmp_path: Path) -> None:
    scenario = Scenario(
        operations=[("A", "a1", None, 3), ("B", "b1", None, "2s"), ("A", "a2"), ("B", "b2", None, 2), ("C", "c1")],
        engine="virtual",
        own_threads=own_threads,
    )
    order = [task for _, task in performed_in_order(tmp_path, scenario)]
    assert order == ["c1", "b1", "a1", "a2", "b2"]


@each_way
def test_listed_operations_get_their_faults(own_threads: bool, tmp_path: Path) -> None:
    called: list[tuple[int, str | None]] = []

    def works(operation: Operation) -> None:
        called.append((operation.index, operation.fault))
        _ = operation.market.symbols

    faults = [None, "missing_data", "lost_request", "lost_reply"]
    scenario = Scenario(
        operations=[("Ann", "buy", fault) for fault in faults], engine="virtual", own_threads=own_threads
    )
    result = run(tmp_path, works, scenario=scenario)
    assert called == [(0, None), (1, "missing_data"), (3, "lost_reply")]
    assert [int(row["outcome"]) for row in result.records] == [0, 2, 1, 1]
    assert (result.successes, result.missing_data, result.failures, result.errors) == (1, 1, 2, 0)


def test_listed_operations_are_performed_under_real_threads_too(tmp_path: Path) -> None:
    done: dict[str, list[str]] = {"Ann": [], "Bob": []}
    scenario = Scenario(
        operations=[("Ann", "buy"), ("Bob", "sell", None, "10ms"), ("Ann", "sell", "lost_reply")], engine="threads"
    )
    result = run(tmp_path, lambda operation: done[operation.agent].append(operation.task), scenario=scenario)
    assert done == {"Ann": ["buy", "sell"], "Bob": ["sell"]}
    assert (result.operations, result.failures) == (3, 1)


def test_an_agent_without_operations_is_in_the_statistics(tmp_path: Path) -> None:
    scenario = Scenario(agents=["Ann", "Bob"], operations=[("Ann", "buy")], engine="virtual")
    result = run(tmp_path, lambda: None, scenario=scenario)
    assert {name: agent["total_operations"] for name, agent in result.stats["agent_stats"].items()} == {
        "Ann": 1,
        "Bob": 0,
    }


# The engine without the rest of the package.


class Actor:
    """A simple agent, instead of one of a stress run."""

    def __init__(self, name: str, times: int = 3, fails: dict[str, BaseException] | None = None) -> None:
        self.name = name
        self.performed = 0
        self.tie_breakers: Iterator[int] = itertools.count()
        self._times = times
        self._fails = fails or {}

    def busy_since(self) -> int | None:
        return None

    def _fail(self, where: str) -> None:
        if where in self._fails:
            raise self._fails[where]

    @contextmanager
    def session(self) -> Iterator[None]:
        self._fail("enter")
        yield
        self._fail("leave")

    def operations(self) -> Iterator[float]:
        for _ in range(self._times):
            yield 1.0
            self._fail("perform")
            self.performed += 1


def watch_nothing() -> None:
    """Do nothing."""


@each_way
@pytest.mark.parametrize("error", [ValueError("lost"), SystemExit(1), KeyboardInterrupt()])
@pytest.mark.parametrize("where", ["enter", "perform", "leave"])
def test_an_exception_that_leaves_an_agent_is_recorded_whatever_its_type(
    error: BaseException, where: str, own_threads: bool
) -> None:
    engine = VirtualEngine(EngineOptions(own_threads))
    engine.run([Actor("broken", fails={where: error}), Actor("other")], watch_nothing)
    assert [(crash.agent, crash.error) for crash in engine.crashed] == [("broken", error)]
    assert engine.still_running == []


@each_way
def test_stop_can_be_called_any_number_of_times_even_before_the_start(own_threads: bool) -> None:
    engine = VirtualEngine(EngineOptions(own_threads))
    engine.stop()
    engine.stop()
    actor = Actor("a")
    engine.run([actor], watch_nothing)
    engine.stop()
    assert actor.performed == 0


@each_way
def test_agents_that_are_due_at_the_same_time_have_their_turns_in_the_order_of_their_ranks(
    own_threads: bool,
) -> None:
    engine = VirtualEngine(EngineOptions(own_threads))
    actors = [Actor(name) for name in "abc"]
    actors[0].tie_breakers, actors[1].tie_breakers, actors[2].tie_breakers = (
        iter([9, 1, 2]),
        iter([5, 5, 5]),
        iter([1, 9, 9]),
    )
    engine.run(actors, watch_nothing)
    assert engine.completion_order == [2, 1, 0, 0, 1, 2, 0, 1, 2]


@each_way
def test_512_agents_have_their_turns(own_threads: bool) -> None:
    actors = [Actor(f"a{number}", times=2) for number in range(512)]
    VirtualEngine(EngineOptions(own_threads)).run(actors, watch_nothing)
    assert sum(actor.performed for actor in actors) == 1024
