"""Threads that do one job after another, for runs that are much shorter than starting a thread takes.

Guarantee: a thread without a job ends within a second, or at once by ``close()``; all are daemons.

Only one of them works at a time, so all stay on one processor (``processors``).
"""

from __future__ import annotations

import _thread
import contextvars
import threading
from collections.abc import Callable
from typing import Final

from . import processors

_IDLE_SECONDS: Final = 1.0
_NAME: Final = "stress worker"


class Worker:
    """A pooled thread. It sleeps on its ``baton``, in a job as between jobs, until somebody releases that."""

    def __init__(self, pool: Pool) -> None:
        # A real lock: batons are how turns are given away, not what agents wait for.
        self.baton = _thread.allocate_lock()
        self.baton.acquire()
        self.job: Callable[[Worker], None] | None = None
        self._pool = pool
        self.thread = threading.Thread(target=self._work, name=_NAME, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        self._pool.threads.add(_thread.get_ident())
        try:
            self._do_jobs()
        finally:
            self._pool.threads.discard(_thread.get_ident())

    def _do_jobs(self) -> None:
        processors.stay_on_one()
        while True:
            if not self.baton.acquire(timeout=_IDLE_SECONDS):
                if self._pool.dismiss(self):
                    return
                continue
            if self.job is None:
                return
            # Nothing that a job has set in its context is there for the next one.
            contextvars.Context().run(self.job, self)
            self.job = None
            self.thread.name = _NAME
            self._pool.take_back(self)


class Pool:
    """The idle workers of a process."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        """The identifiers of all its threads."""
        self._idle: list[Worker] = []
        self._lock = _thread.allocate_lock()

    def worker(self, name: str, job: Callable[[Worker], None]) -> Worker:
        """A worker that does the job once its baton is released. ``RuntimeError`` where no thread starts."""
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        worker = worker or Worker(self)
        worker.thread.name = name
        worker.job = job
        return worker

    def take_back(self, worker: Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def dismiss(self, worker: Worker) -> bool:
        """Whether the worker may end: not if somebody has just taken it."""
        with self._lock:
            if worker not in self._idle:
                return False
            self._idle.remove(worker)
            return True

    def close(self) -> None:
        """End the workers that are idle, and wait until they have ended."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.baton.release()
        for worker in idle:
            worker.thread.join()


WORKERS: Final = Pool()
"""The workers of this process."""
