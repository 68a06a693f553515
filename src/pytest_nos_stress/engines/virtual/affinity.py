"""The processor on which agents take turns.

Only one of them works at a time, and giving a turn to a thread on another processor was measured to take four to
fifteen times as long. Where the system does not let a thread choose its processor, nothing is done.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

if sys.platform == "linux":
    _ALLOWED = sorted(os.sched_getaffinity(0))

    def pin_to_one_cpu() -> None:
        """Keep the calling thread, and what it starts, on one processor: the same for all threads of a process."""
        _choose({_ALLOWED[os.getpid() % len(_ALLOWED)]})

    @contextlib.contextmanager
    def all_cpus() -> Iterator[None]:
        """In the block, the calling thread may be on any processor."""
        _choose(set(_ALLOWED))
        try:
            yield
        finally:
            pin_to_one_cpu()

    def _choose(processors: set[int]) -> None:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, processors)

else:

    def pin_to_one_cpu() -> None:
        """Nothing: the system chooses."""

    @contextlib.contextmanager
    def all_cpus() -> Iterator[None]:
        """Nothing: the system chooses."""
        yield
