"""Locks made while stress tests are on behave like real locks in every thread that is not an agent's."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress
from pytest_nos_stress import MultiAgentSimulator, Operation, cooperating_locks
from pytest_nos_stress.engines.virtual import locks

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])
HANG = 60.0
each_kind = pytest.mark.parametrize("kind", ["Lock", "RLock"])


@pytest.fixture(autouse=True)
def locks_on() -> Iterator[None]:
    """Let ``threading`` make cooperating locks, as ``pytest --stress`` does for a session."""
    with cooperating_locks():
        yield


def made(kind: str) -> Any:
    return getattr(threading, kind)()


def in_thread(action: Callable[[], Any]) -> Any:
    """Run an action in a new thread and return its result. Fails if the thread does not end."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(action()), daemon=True)
    thread.start()
    thread.join(HANG)
    assert results, "the thread did not end"
    return results[0]


def virtual(directory: Path, target: Any, **options: Any) -> Any:
    settings = {"engine": "virtual", "tasks": ["buy"], "min_delay": 0, "max_delay": 0, "seed": 1}
    calm = {"missing_data_prob": 0, "failure_prob": 0}
    return MultiAgentSimulator(target=target, output_dir=directory, **{**settings, **calm, **options}).run()


# Switching on and off.


def test_threading_has_its_original_locks_after_the_block() -> None:
    code = """
import queue, threading, time
names = ["Lock", "RLock", "_allocate_lock", "_time"]
before = [getattr(threading, name) for name in names] + [queue.time]
from pytest_nos_stress import MultiAgentSimulator, cooperating_locks
def now():
    return [getattr(threading, name) for name in names] + [queue.time]
with cooperating_locks():
    assert now() != before
    with cooperating_locks():
        pass
    assert now() != before
    MultiAgentSimulator(2, operations_per_agent=2, engine="virtual", seed=1).run()
    assert now() != before
assert now() == before
MultiAgentSimulator(2, operations_per_agent=2, engine="virtual", seed=1).run()
assert now() == before
try:
    with cooperating_locks():
        raise LookupError
except LookupError:
    pass
assert now() == before
assert type(threading.Lock()).__module__ == "_thread"
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": SOURCE},
        cwd="/tmp",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_a_lock_made_in_the_block_works_after_it() -> None:
    code = """
import threading
from pytest_nos_stress import cooperating_locks
with cooperating_locks():
    lock, condition, event = threading.RLock(), threading.Condition(), threading.Event()
with lock, lock:
    pass
thread = threading.Thread(target=event.set)
thread.start()
assert event.wait(20)
thread.join()
with condition:
    assert not condition.wait(0.01)
"""
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": SOURCE}, check=True, timeout=60, cwd="/tmp"
    )


# The same behaviour as real locks.


@each_kind
def test_a_held_lock_keeps_out_every_other_thread(kind: str) -> None:
    lock = made(kind)
    with lock:
        assert in_thread(lambda: lock.acquire(blocking=False)) is False
        assert in_thread(lambda: lock.acquire(timeout=0.01)) is False
        assert in_thread(lambda: lock.acquire(timeout=0)) is False

    def takes() -> bool:
        with lock:
            return True

    assert in_thread(takes)


@each_kind
def test_a_released_lock_goes_to_the_waiting_thread(kind: str) -> None:
    lock = made(kind)
    lock.acquire()
    waiting = threading.Event()
    taken: list[bool] = []

    def waits() -> None:
        waiting.set()
        taken.append(lock.acquire(timeout=HANG))

    thread = threading.Thread(target=waits, daemon=True)
    thread.start()
    assert waiting.wait(HANG)
    assert taken == []
    lock.release()
    thread.join(HANG)
    assert taken == [True]


@each_kind
def test_a_with_block_releases_the_lock_after_an_exception(kind: str) -> None:
    lock = made(kind)
    with pytest.raises(LookupError), lock:
        raise LookupError
    assert in_thread(lambda: lock.acquire(blocking=False))


@each_kind
def test_a_timeout_takes_real_time(kind: str) -> None:
    lock = made(kind)
    with lock:

        def waits() -> float:
            before = time.monotonic()
            assert not lock.acquire(timeout=0.05)
            return time.monotonic() - before

        assert 0.04 < in_thread(waits) < HANG


@each_kind
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"blocking": False, "timeout": 1}, ValueError),
        ({"timeout": -2}, ValueError),
        ({"timeout": threading.TIMEOUT_MAX * 2}, OverflowError),
        ({"timeout": "soon"}, TypeError),
    ],
)
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("by_an_agent", [False, True], ids=["thread", "agent"])
def test_invalid_arguments_raise_the_same_exception_as_a_real_lock(
    by_an_agent: bool, held: bool, kind: str, arguments: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    lock = made(kind)
    raised: list[type[BaseException] | None] = []

    def tries(_: object = None) -> None:
        try:
            lock.acquire(**arguments)
        except Exception as problem:
            raised.append(type(problem))
        else:
            raised.append(None)

    if held:
        lock.acquire()
    if by_an_agent:
        virtual(tmp_path, tries, agents=1, operations_per_agent=1)
    else:
        in_thread(tries)
    assert raised == [error]


@each_kind
def test_releasing_a_free_lock_is_an_error(kind: str) -> None:
    with pytest.raises(RuntimeError):
        made(kind).release()


def test_another_thread_can_release_a_lock_but_not_an_rlock() -> None:
    lock, own = threading.Lock(), threading.RLock()

    def release() -> bool:
        lock.release()
        return True

    lock.acquire()
    own.acquire()
    in_thread(release)
    assert lock.acquire(blocking=False)

    def release_by_another() -> str:
        try:
            own.release()
        except RuntimeError as error:
            return str(error)
        return "released"

    assert in_thread(release_by_another) == "cannot release un-acquired lock"
    assert in_thread(lambda: own.acquire(blocking=False)) is False


def test_an_agent_cannot_release_another_agents_rlock(tmp_path: Path) -> None:
    lock = threading.RLock()

    def works(operation: Operation) -> None:
        if operation.agent == "Ann":
            with lock:
                operation.sleep(2)
        else:
            operation.sleep(1)
            lock.release()

    result = virtual(tmp_path, works, agents=["Ann", "Bob"], operations_per_agent=1, gate=False)
    assert [error["message"] for error in result.error_types] == ["cannot release un-acquired lock"]
    assert result.errors == 1


def test_an_rlock_is_free_after_as_many_releases_as_acquires() -> None:
    lock = threading.RLock()
    for _ in range(3):
        lock.acquire()
    for _ in range(2):
        lock.release()
    assert in_thread(lambda: lock.acquire(blocking=False)) is False
    lock.release()
    assert in_thread(lambda: lock.acquire(blocking=False)) is True


@each_kind
def test_locked_is_true_while_the_lock_is_held(kind: str) -> None:
    lock = made(kind)
    assert not lock.locked()
    with lock:
        assert lock.locked()
        assert in_thread(lock.locked)
    assert not lock.locked()


@each_kind
def test_a_condition_with_either_lock_waits_and_is_notified(kind: str) -> None:
    condition = threading.Condition(made(kind))
    orders: list[int] = []
    taken: list[int] = []

    def consume() -> None:
        with condition:
            while len(taken) < 3:
                if not condition.wait_for(lambda: orders, HANG):
                    return
                taken.append(orders.pop())

    thread = threading.Thread(target=consume, daemon=True)
    thread.start()
    for number in range(3):
        with condition:
            orders.append(number)
            condition.notify_all()
        deadline = time.monotonic() + HANG
        while orders and time.monotonic() < deadline:
            time.sleep(0.001)
    thread.join(HANG)
    assert taken == [0, 1, 2]


def test_a_waiting_condition_releases_an_rlock_that_was_acquired_twice() -> None:
    condition = threading.Condition()

    def notify() -> bool:
        with condition:
            condition.notify()
        return True

    with condition, condition:
        thread = threading.Thread(target=notify, daemon=True)
        thread.start()
        assert condition.wait(HANG)
        assert in_thread(lambda: condition.acquire(blocking=False)) is False
    thread.join(HANG)


@each_kind
def test_wait_and_notify_need_the_lock_of_the_condition(kind: str) -> None:
    condition = threading.Condition(made(kind))
    for call in (condition.wait, condition.notify):
        with pytest.raises(RuntimeError, match="un-acquired lock"):
            call()


def test_real_threads_lose_no_update_under_a_cooperating_lock() -> None:
    lock, counted = threading.Lock(), [0]

    def count() -> None:
        for _ in range(2_000):
            with lock:
                value = counted[0]
                counted[0] = value + 1

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(count) for _ in range(8)]:
            future.result(HANG)
    assert counted == [16_000]


def test_a_queue_with_cooperating_locks_works_between_real_threads() -> None:
    orders: queue.Queue[int] = queue.Queue(3)
    with ThreadPoolExecutor(2) as pool:
        taken = pool.submit(lambda: [orders.get(timeout=HANG) for _ in range(200)])

        def produce() -> None:
            for number in range(200):
                orders.put(number, timeout=HANG)

        pool.submit(produce)
        assert taken.result(HANG) == list(range(200))


def test_events_timers_and_barriers_work_between_real_threads() -> None:
    event, barrier = threading.Event(), threading.Barrier(2)
    timer = threading.Timer(0.01, event.set)
    timer.start()
    assert event.wait(HANG)
    timer.join(HANG)
    thread = threading.Thread(target=barrier.wait, args=(HANG,))
    thread.start()
    barrier.wait(HANG)
    thread.join(HANG)
    assert not barrier.broken


def test_a_real_thread_and_agents_that_sleep_exclude_each_other_by_one_lock(tmp_path: Path) -> None:
    lock = threading.Lock()
    inside: list[str] = []
    together: list[int] = []
    over = threading.Event()

    def enters(name: str) -> None:
        inside.append(name)
        together.append(len(inside))

    def other() -> None:
        while not over.is_set():
            with lock:
                enters("thread")
                inside.remove("thread")
            time.sleep(0.001)

    def works(operation: Operation) -> None:
        with lock:
            enters(operation.agent)
            operation.sleep(1)
            time.sleep(0.001)
            inside.remove(operation.agent)

    thread = threading.Thread(target=other, daemon=True)
    thread.start()
    try:
        result = virtual(tmp_path, works, agents=3, operations_per_agent=10, operation_timeout=100)
    finally:
        over.set()
        thread.join(HANG)
    assert result.operations == 30
    assert set(together) == {1}


def test_no_agents_are_registered_after_a_run(tmp_path: Path) -> None:
    before = dict(locks.ACTORS)
    for own_threads in (True, False):
        virtual(tmp_path, lambda operation: operation.sleep(1), agents=4, own_threads=own_threads)
        deadline = time.monotonic() + HANG
        while dict(locks.ACTORS) != before and time.monotonic() < deadline:
            time.sleep(0.001)
        assert dict(locks.ACTORS) == before


def test_threads_that_are_not_an_agents_have_real_timeouts(tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []

    def works(operation: Operation) -> None:
        seen.append((time.monotonic(), in_thread(locks.monotonic)))
        operation.sleep(100_000)

    virtual(tmp_path, works, agents=1, operations_per_agent=2, operation_timeout="300h")
    assert all(abs(here - there) < HANG for here, there in seen)
    assert abs(locks.monotonic() - time.monotonic()) < HANG


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_can_use_its_locks() -> None:
    code = """
import os, threading
from pytest_nos_stress import cooperating_locks
with cooperating_locks():
    event = threading.Event()
    child = os.fork()
    if not child:
        thread = threading.Thread(target=event.set)
        thread.start()
        os._exit(0 if event.wait(20) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": SOURCE}, check=True, timeout=60, cwd="/tmp"
    )
