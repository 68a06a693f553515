"""A safepoint pauses all agents between two operations, and never blocks a run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from pytest_nos_stress.engines.safepoint import Safepoint

HANG = 60.0


def perform(safepoint: Safepoint, operation: Callable[[], object], paused: Callable[[], None], times: int) -> None:
    for _ in range(times):
        with safepoint.operation(paused, lambda: False):
            operation()


def in_threads(number: int, action: Callable[[], None]) -> None:
    threads = [threading.Thread(target=action, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("every", [1, 3, 50])
def test_no_operation_is_in_progress_during_a_pause(every: int) -> None:
    lock = threading.Lock()
    in_progress, seen = [0], list[int]()

    def operation() -> None:
        with lock:
            in_progress[0] += 1
        time.sleep(0.0002)
        with lock:
            in_progress[0] -= 1

    safepoint = Safepoint(every)
    in_threads(6, lambda: perform(safepoint, operation, lambda: seen.append(in_progress[0]), 50))
    assert set(seen) == {0}
    assert len(seen) <= 300 // every


@pytest.mark.parametrize(("every", "pauses"), [(1, 12), (3, 4), (5, 2), (13, 0)])
def test_the_function_is_called_every_so_many_operations(every: int, pauses: int) -> None:
    seen: list[int] = []
    performed: list[int] = []
    perform(Safepoint(every), lambda: performed.append(0), lambda: seen.append(len(performed)), 12)
    assert seen == [every * number for number in range(1, pauses + 1)]


def test_an_operation_that_raises_an_exception_counts_and_ends() -> None:
    safepoint = Safepoint(2)
    seen: list[str] = []

    def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        perform(safepoint, fails, lambda: seen.append("paused"), 1)
    perform(safepoint, lambda: None, lambda: seen.append("paused"), 1)
    assert seen == ["paused"]


def test_an_exception_of_the_function_reaches_the_agent_and_ends_the_pause() -> None:
    safepoint = Safepoint(1)

    def fails() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        perform(safepoint, lambda: None, fails, 1)
    seen: list[str] = []
    in_threads(2, lambda: perform(safepoint, lambda: None, lambda: seen.append("paused"), 1))
    assert seen


def test_agents_that_wait_for_each_other_are_not_paused_forever() -> None:
    """Ann's operation ends when Bob's second one begins, so the call after Bob's first one is left out."""
    safepoint = Safepoint(1)
    in_first, second = threading.Event(), threading.Event()
    seen: list[str] = []

    def ann() -> None:
        def waits() -> None:
            in_first.set()
            assert second.wait(HANG)

        perform(safepoint, waits, lambda: seen.append("Ann"), 1)

    def bob() -> None:
        assert in_first.wait(HANG)
        perform(safepoint, lambda: None, lambda: seen.append("Bob"), 1)
        perform(safepoint, second.set, lambda: seen.append("Bob"), 1)

    threads = [threading.Thread(target=agent, daemon=True) for agent in (ann, bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG)
    assert not any(thread.is_alive() for thread in threads)


def test_a_stopped_run_pauses_no_agent() -> None:
    safepoint = Safepoint(1)
    has_paused, done = threading.Event(), threading.Event()

    def paused() -> None:
        has_paused.set()
        assert done.wait(HANG)

    thread = threading.Thread(target=lambda: perform(safepoint, lambda: None, paused, 1), daemon=True)
    thread.start()
    assert has_paused.wait(HANG)
    with safepoint.operation(lambda: None, lambda: True):
        done.set()
    thread.join(HANG)
    assert not thread.is_alive()
