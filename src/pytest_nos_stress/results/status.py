"""How a run ended, and how far one is that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    pass


COMPLETED, STOPPED, INTERRUPTED, HUNG, DEADLOCKED = "completed", "stopped", "interrupted", "hung", "deadlocked"
ABORTED = "aborted"


class Progress(NamedTuple):
    """How far a run is: counts so far, seconds since its start, and the share that is done (0 to 1)."""

    operations: int
    failures: int
    missing_data: int
    elapsed: float
    done: float
