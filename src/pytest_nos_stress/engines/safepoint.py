"""Safepoints: moments in a run of real threads at which no operation is in progress.

Invariants of the target often do not hold in the middle of an operation. So agents are paused before their next
operation until all current operations have ended. Then a function is called, and all agents continue. Runtimes
with garbage collection call such a moment a safepoint.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from pytest_nos_stress._internal.instrument import Condition, perf_counter

_MAX_WAIT: Final = 0.5


class Safepoint:
    """Pauses all agents every ``every`` operations to call a function.

    If agents cannot all be paused within half a second, because they wait for each other's next operations, the
    call is left out.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._until_next = every
        self._performing = 0
        self._holding = False
        self._changed = Condition()

    @contextmanager
    def operation(self, paused: Callable[[], None], stopped: Callable[[], bool]) -> Iterator[None]:
        """Enclose an operation. Waits before it during a pause; calls ``paused`` after it if a pause is due.

        ``stopped``: returns True once the run is stopped; no agent is paused from then on.
        """
        with self._changed:
            while self._holding and not stopped():
                self._changed.wait(_MAX_WAIT)
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
        deadline = perf_counter() + _MAX_WAIT
        try:
            with self._changed:
                while self._performing and (remaining := deadline - perf_counter()) > 0:
                    self._changed.wait(remaining)
                all_paused = not self._performing
            if all_paused:
                paused()
        finally:
            with self._changed:
                self._holding = False
                self._changed.notify_all()
