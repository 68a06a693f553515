"""Garbage of earlier runs: cycles of objects that only a full garbage collection finds.

Objects of a run are old when the run ends, because its last collection has seen them. So the garbage of many short
runs would stay until the interpreter makes a full collection, which it seldom does.
"""

from __future__ import annotations

import gc
from typing import Final

from pytest_nos_stress._internal.instrument import perf_counter

YOUNG: Final = 1
"""Generation up to which a collection takes 0.1 ms."""
_RUNS_BETWEEN_COLLECTIONS: Final = 10
_COLLECT_AFTER: Final = 1.0
"""Seconds from one full collection to the next, if there are fewer runs: a collection takes 10 to 20 ms."""
_LONGEST_SHARE: Final = 20
_SLOW_COLLECTION: Final = 0.1
"""Seconds of a collection from which on only the time counts, and not the number of runs."""


class EarlierGarbage:
    """Collects garbage now and then. It takes a twentieth of the time at most if there are many objects."""

    def __init__(self) -> None:
        self._runs_since = 0
        self._next_collection = perf_counter() + _COLLECT_AFTER
        self._is_slow = False

    def collect_if_due(self) -> None:
        """Collect if it is time.

        In a process that has exempted objects from collection itself, young garbage is always collected. A run
        exempts nothing there, and would find it.
        """
        if gc.get_freeze_count():
            gc.collect(YOUNG)
        self._runs_since += 1
        began = perf_counter()
        has_many_runs = self._runs_since >= _RUNS_BETWEEN_COLLECTIONS and not self._is_slow
        if began < self._next_collection and not has_many_runs:
            return
        gc.collect()
        took = perf_counter() - began
        self._is_slow = took > _SLOW_COLLECTION
        self._next_collection = began + max(_COLLECT_AFTER, _LONGEST_SHARE * took)
        self._runs_since = 0
