"""A point in a run of real threads at which no operation is being performed.

An invariant is usually broken while agents are in the middle of an operation. So agents are held before their next
operation until the current operations have ended, then a function is called, and all agents continue (a safepoint,
in the words of garbage-collected runtimes).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_LONGEST_WAIT: Final = 0.5


class Safepoint:
    """Calls ``paused`` once in ``every`` operations, with all agents paused.

    Agents that wait for each other's next operations cannot all be paused: then the call is left out.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._until_next = every
        self._performing = 0
        self._holding = False
        self._changed = threading.Condition()

    @contextmanager
    def operation(self, paused: Callable[[], None], stopped: Callable[[], bool]) -> Iterator[None]:
        with self._changed:
            while self._holding and not stopped():
                self._changed.wait(_LONGEST_WAIT)
            self._performing += 1
        try:
            yield
        finally:
            is_due = self._leave()
        if is_due:
            self._pause(paused)

    def _leave(self) -> bool:
        with self._changed:
            self._performing -= 1
            self._until_next -= 1
            is_due = self._until_next <= 0 and not self._holding
            if is_due:
                self._until_next = self._every
                self._holding = True
            self._changed.notify_all()
            return is_due

    def _pause(self, paused: Callable[[], None]) -> None:
        deadline = time.monotonic() + _LONGEST_WAIT
        try:
            with self._changed:
                while self._performing and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                all_paused = not self._performing
            if all_paused:
                paused()
        finally:
            with self._changed:
                self._holding = False
                self._changed.notify_all()
