"""Threads that do one job after another."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from pytest_nos_stress.engines.pool import Pool, Worker

HANG = 20.0


@pytest.fixture
def pool() -> Iterator[Pool]:
    one = Pool()
    yield one
    one.close()


def perform(pool: Pool, name: str = "job") -> threading.Thread:
    """Have a job done by a worker; returns the worker's thread."""
    done = threading.Event()
    names: list[str] = []

    def job(worker: Worker) -> None:
        names.append(threading.current_thread().name)
        done.set()

    worker = pool.worker(name, job)
    worker.baton.release()
    assert done.wait(HANG)
    assert names == [name]
    return worker.thread


def wait_for_idle(pool: Pool, thread: threading.Thread) -> None:
    deadline = time.monotonic() + HANG
    while thread.name == "job" and time.monotonic() < deadline:
        time.sleep(0.001)


def test_a_worker_does_one_job_after_another_in_one_thread(pool: Pool) -> None:
    first = perform(pool)
    wait_for_idle(pool, first)
    deadline = time.monotonic() + HANG
    while (second := perform(pool)) is not first and time.monotonic() < deadline:
        wait_for_idle(pool, second)
    assert second is first


def test_a_job_does_not_begin_before_its_baton_is_given(pool: Pool) -> None:
    begun = threading.Event()
    worker = pool.worker("job", lambda _: begun.set())
    assert not begun.wait(0.02)
    worker.baton.release()
    assert begun.wait(HANG)


def test_jobs_at_the_same_time_have_threads_of_their_own(pool: Pool) -> None:
    together = threading.Barrier(3)

    def job(worker: Worker) -> None:
        together.wait(HANG)

    workers = [pool.worker("job", job) for _ in range(3)]
    for worker in workers:
        worker.baton.release()
    for worker in workers:
        wait_for_idle(pool, worker.thread)
    assert len({worker.thread for worker in workers}) == 3
    assert not together.broken


def test_a_worker_without_a_job_ends_by_itself(pool: Pool) -> None:
    thread = perform(pool)
    thread.join(HANG)
    assert not thread.is_alive()
    assert perform(pool) is not thread


def test_close_ends_idle_workers_at_once_and_the_pool_can_be_used_again(pool: Pool) -> None:
    thread = perform(pool)
    deadline = time.monotonic() + HANG
    while thread.is_alive() and time.monotonic() < deadline:
        pool.close()
    assert not thread.is_alive()
    assert perform(pool).ident is not None


def test_workers_are_daemons_so_that_no_job_keeps_the_process(pool: Pool) -> None:
    assert perform(pool).daemon


@pytest.mark.skipif(sys.platform != "linux", reason="needs sched_getaffinity")
def test_the_processors_of_the_process_stay_as_they_were(pool: Pool) -> None:
    before = os.sched_getaffinity(0)
    perform(pool)
    assert os.sched_getaffinity(0) == before
