"""Keep agents that take turns on one processor.

Only one agent works at a time, and handing a turn to a thread on another processor was measured to take four to
fifteen times as long. The functions do nothing if the system does not let a thread choose its processor.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from pytest_nos_stress._internal.cpu import allowed_processors
from pytest_nos_stress._internal.system import system

if sys.platform == "linux":
    _ALLOWED = allowed_processors()

    def pin_to_one_cpu() -> None:
        """Keep the calling thread, and threads that it starts, on the one processor that this process uses."""
        if _ALLOWED:
            _choose({_ALLOWED[system.getpid() % len(_ALLOWED)]})

    @contextlib.contextmanager
    def all_cpus() -> Iterator[None]:
        """Allow the calling thread to use all processors in the block."""
        _choose(set(_ALLOWED))
        try:
            yield
        finally:
            pin_to_one_cpu()

    def _choose(processors: set[int]) -> None:
        with contextlib.suppress(OSError):
            system.sched_setaffinity(0, processors)

else:

    def pin_to_one_cpu() -> None:
        """Do nothing: this system does not let a thread choose its processor."""

    @contextlib.contextmanager
    def all_cpus() -> Iterator[None]:
        """Do nothing: this system does not let a thread choose its processor."""
        yield
