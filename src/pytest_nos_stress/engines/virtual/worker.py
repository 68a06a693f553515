"""Threads for agents that take turns.

A thread does one job and ends. A thread reused by the next run would keep its thread-local variables, and one
example of a search could affect the next. Starting and joining a thread was measured to take 80 us.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

from pytest_nos_stress._internal.instrument import Thread

from . import affinity


class Worker:
    """A thread with a job.

    It sleeps by acquiring its lock ``handoff``, before the job and during it. Releasing the lock wakes the thread.
    Raises ``RuntimeError`` if the system cannot start another thread.
    """

    def __init__(self, name: str, job: Callable[[Worker], None]) -> None:
        # A lock of the interpreter, because a cooperating lock would give the turn away.
        self.handoff = _thread.allocate_lock()
        self.handoff.acquire()
        self._job = job
        self.thread = Thread(target=self._work, name=name)
        self.thread.start()

    def _work(self) -> None:
        # Handing a turn to a thread on another processor takes far longer.
        affinity.pin_to_one_cpu()
        self.handoff.acquire()
        self._job(self)
