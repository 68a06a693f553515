"""What faults know of the run in which they act."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from pytest_nos_stress.scenario.operation import Operation

if TYPE_CHECKING:
    pass


class CurrentOperation:
    """An operation that is being performed: its agent and index, and how often each wire was called in it."""

    __slots__ = ("agent", "calls", "index")

    def __init__(self, operation: Operation) -> None:
        self.agent: Any = operation._performer
        self.index = operation.index
        self.calls: dict[Any, int] = {}


CURRENT_OPERATION: ContextVar[CurrentOperation | None] = ContextVar("operation being performed", default=None)
"""The operation that is performed in this thread or coroutine."""
