"""The real time to wait for a foreign thread, one outside the run, that may wake an agent.

Python cannot tell what a thread is about to do. So the time depends on what the thread has done in this run:

- a thread that has used one of the agents' locks: as long as an operation may take,
- a thread that has not: one second,
- a thread that is itself blocked in such a lock: the time that a woken thread may need until it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pytest_nos_stress._internal.instrument import all_threads
from pytest_nos_stress.engines.base import INTERNAL_THREADS

from . import locks
from .worker import Worker

_WAIT_FOR_UNKNOWN_THREADS: Final = 1.0


def wait_budget(workers: Sequence[Worker], caller: int, max_seconds: float, seconds_to_resume: float) -> float:
    """Return the seconds to wait for a foreign thread to wake an agent; 0 if no thread can.

    ``workers``: the agents' threads. ``caller``: the thread that watches the run. ``seconds_to_resume``: the time
    to wait for a blocked thread, because a thread that an agent has just woken counts as blocked until it runs.
    """
    agents = {worker.thread.ident for worker in workers if worker.thread.is_alive()}
    threads = {thread.ident for thread in all_threads() if thread.ident is not None}
    others = threads - agents - locks.ACTORS.keys() - INTERNAL_THREADS - {caller}
    at_work = others - locks.BLOCKED
    if at_work & locks.FOREIGN:
        return max_seconds
    if at_work:
        return min(_WAIT_FOR_UNKNOWN_THREADS, max_seconds)
    return seconds_to_resume if others else 0.0
