"""Threads for agents that take turns.

A thread does one job and ends: threads that were kept for the next run would bring their thread-local variables
with them, and what one example of a search has put there would be found by the next. Starting and joining one
was measured to take 80 us.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable

from . import affinity


class Worker:
    """A thread with a job, which sleeps on its lock ``handoff`` before and in the job until the lock is released.

    Raises ``RuntimeError`` where the system starts no more threads.
    """

    def __init__(self, name: str, job: Callable[[Worker], None]) -> None:
        # A lock of the interpreter's: turns are handed over by it, and no agent waits for it.
        self.handoff = _thread.allocate_lock()
        self.handoff.acquire()
        self._job = job
        self.thread = threading.Thread(target=self._work, name=name, daemon=True)
        self.thread.start()

    def _work(self) -> None:
        # Giving a turn to a thread on another processor takes far longer.
        affinity.pin_to_one_cpu()
        self.handoff.acquire()
        self._job(self)
