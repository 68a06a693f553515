"""How long to wait, in real time, for a thread outside the run that may wake an agent.

Python does not say what a thread is about to do. So a thread that has used one of the agents' locks in this run is
waited for as long as an operation may take, one that has not for a second, and one that is itself
blocked in such a lock not at all.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from pytest_nos_stress.engines.base import INTERNAL_THREADS

from . import locks
from .worker import Worker

_WAIT_FOR_UNKNOWN_THREADS: Final = 1.0
_TIME_TO_RESUME: Final = 0.01


def wait_budget(workers: Sequence[Worker], caller: int, most: float) -> float:
    """Seconds in which a thread may wake an agent; 0 where there is none that could.

    ``workers`` are the agents' threads, ``caller`` the thread that looks after the run.
    """
    agents = {worker.thread.ident for worker in workers if worker.thread.is_alive()}
    threads = {thread.ident for thread in threading.enumerate() if thread.ident is not None}
    others = threads - agents - locks.ACTORS.keys() - INTERNAL_THREADS - {caller}
    at_work = others - locks.BLOCKED
    if at_work & locks.FOREIGN:
        return most
    if at_work:
        return min(_WAIT_FOR_UNKNOWN_THREADS, most)
    # A thread that an agent has just woken counts as blocked until it comes to run.
    return _TIME_TO_RESUME if others else 0.0
