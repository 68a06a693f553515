"""A point in a run of real threads at which no operation is under way.

An invariant looked at while agents are in the middle of something is broken more often than not. So agents
are held before their next operation until those under way have ended, then the caller has its turn, and all
go on (a safepoint, as the runtimes of garbage-collected languages call it).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

_PATIENCE: Final = 0.5


class Safepoint:
    """Calls ``at_rest`` once in ``every`` operations, with all agents at rest.

    Agents that wait for each other's next operations cannot all be at rest: then the call is left out.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._until_next = every
        self._under_way = 0
        self._holding = False
        self._changed = threading.Condition()

    @contextmanager
    def operation(self, at_rest: Callable[[], None], stopped: Callable[[], bool]) -> Iterator[None]:
        with self._changed:
            while self._holding and not stopped():
                self._changed.wait(_PATIENCE)
            self._under_way += 1
        try:
            yield
        finally:
            is_due = self._leave()
        if is_due:
            self._rest(at_rest)

    def _leave(self) -> bool:
        with self._changed:
            self._under_way -= 1
            self._until_next -= 1
            is_due = self._until_next <= 0 and not self._holding
            if is_due:
                self._until_next = self._every
                self._holding = True
            self._changed.notify_all()
            return is_due

    def _rest(self, at_rest: Callable[[], None]) -> None:
        deadline = time.monotonic() + _PATIENCE
        try:
            with self._changed:
                while self._under_way and (left := deadline - time.monotonic()) > 0:
                    self._changed.wait(left)
                all_rest = not self._under_way
            if all_rest:
                at_rest()
        finally:
            with self._changed:
                self._holding = False
                self._changed.notify_all()
