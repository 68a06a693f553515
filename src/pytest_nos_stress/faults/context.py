"""What faults know of the run in which they act: protocols that the run satisfies, and the current operation."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from .mix import FaultMix, PlannedFault


class OperationAgent(Protocol):
    """The agent of an operation in which a client is called."""

    name: str

    @property
    def faults_are_active(self) -> bool:
        """False while the run has switched faults off for the operation that the agent performs."""


class CurrentOperation:
    """An operation that is being performed: its agent and index, and each client's number of calls in it."""

    __slots__ = ("agent", "calls", "index")

    def __init__(self, agent: OperationAgent, index: int) -> None:
        self.agent = agent
        self.index = index
        self.calls: dict[object, int] = {}


CURRENT_OPERATION: ContextVar[CurrentOperation | None] = ContextVar("operation being performed", default=None)
"""The operation that is performed in this thread or coroutine."""


class FaultContext(Protocol):
    """A run, as the clients that meet its faults see it."""

    @property
    def seed(self) -> int: ...

    @property
    def fault_mix(self) -> FaultMix: ...

    @property
    def awaits(self) -> bool:
        """True on an event loop, where a call in this thread must not wait by the run's clock."""

    @property
    def lists_operations(self) -> bool:
        """True if the scenario lists its operations, with their faults, in place of drawn ones."""

    @property
    def on_end(self) -> list[Callable[[], Any]]:
        """Called when all agents have ended, on an event loop; the results are awaited."""

    def elapsed(self) -> float:
        """Seconds since the run's start."""

    def sleep(self, seconds: float) -> Any:
        """Wait by the run's clock."""

    def faults_are_active(self, operation: CurrentOperation | None) -> bool:
        """Tell whether planned faults act on a call in this operation; None: a call in no operation."""

    def listed_fault(self, operation: CurrentOperation | None) -> PlannedFault:
        """Return the fault of a call that a list has planned for the operation, or an ordinary call."""
