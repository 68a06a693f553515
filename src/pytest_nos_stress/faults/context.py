"""Interface between faults and the run: protocols that the run implements, and the current operation."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from .mix import FaultMix, PlannedFault


class OperationAgent(Protocol):
    """Interface of an agent for the clients that are called in its operations."""

    name: str

    @property
    def faults_are_active(self) -> bool:
        """False if the run has switched faults off for the agent's current operation."""


class CurrentOperation:
    """An operation in progress: its agent, its index, and the number of calls in it, by client."""

    __slots__ = ("agent", "calls", "index")

    def __init__(self, agent: OperationAgent, index: int) -> None:
        self.agent = agent
        self.index = index
        self.calls: dict[object, int] = {}


CURRENT_OPERATION: ContextVar[CurrentOperation | None] = ContextVar("operation being performed", default=None)
"""Operation in progress in this thread or coroutine; None outside of operations."""


class FaultContext(Protocol):
    """Interface of a run for flaky clients."""

    @property
    def seed(self) -> int: ...

    @property
    def fault_mix(self) -> FaultMix: ...

    @property
    def awaits(self) -> bool:
        """True if the run uses an event loop, so that a plain call must not wait by the run's clock."""

    @property
    def lists_operations(self) -> bool:
        """True if the scenario has an explicit list of operations, with their faults."""

    @property
    def on_end(self) -> list[Callable[[], Any]]:
        """Functions that the run calls when all agents have ended, on its event loop. It awaits their results."""

    def elapsed(self) -> float:
        """Return the seconds since the run's start."""

    def sleep(self, seconds: float) -> Any:
        """Wait by the run's clock."""

    def faults_are_active(self, operation: CurrentOperation | None) -> bool:
        """Return True if planned faults affect a call in this operation; None is a call outside of operations."""

    def listed_fault(self, operation: CurrentOperation | None) -> PlannedFault:
        """Return the fault of calls that the explicit list plans for the operation, or an ordinary call."""
