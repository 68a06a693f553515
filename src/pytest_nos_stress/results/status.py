"""Statuses of a run that has ended, and the progress of a run that has not."""

from __future__ import annotations

from typing import NamedTuple

COMPLETED, STOPPED, INTERRUPTED, HUNG, DEADLOCKED = "completed", "stopped", "interrupted", "hung", "deadlocked"
ABORTED = "aborted"


class Progress(NamedTuple):
    """Progress of a run: counts so far, seconds since its start, and the share that is done (0 to 1)."""

    operations: int
    failures: int
    missing_data: int
    elapsed: float
    done: float
