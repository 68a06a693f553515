"""Background errors: exceptions of what a target left behind, outside of operations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .selection import Selection


class BackgroundError(NamedTuple):
    """An error in a thread, a task or a callback that the target left behind.

    ``at`` is nanoseconds on the engine's clock. ``agent`` and ``task`` are those of the operation in which the
    target started the work; None if they are not known.
    """

    at: int
    agent: str | None
    task: str | None

    def is_in(self, selection: Selection) -> bool:
        """Return True if a selection contains the error. No selection by the state of faults does."""
        return (
            selection.faults is None
            and selection.agent in (None, self.agent)
            and selection.task in (None, self.task)
        )


def within(errors: Sequence[BackgroundError], started_ns: int, ended_ns: int) -> list[BackgroundError]:
    """Return the errors of a span of time. The end is not part of it, unless the span has no length."""
    return [error for error in errors if started_ns <= error.at < max(ended_ns, started_ns + 1)]


def moved_into(errors: Sequence[BackgroundError], started_ns: int, ended_ns: int) -> list[BackgroundError]:
    """Return the errors with times inside a run: before its first operation and after its last is its edge."""
    last = max(started_ns, ended_ns - 1)
    return [error._replace(at=min(max(error.at, started_ns), last)) for error in errors]
