"""What engines and agents are to each other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    pass


class Clock(Protocol):
    """Time as an engine keeps it: nanoseconds that never step back, anchored once to the wall clock."""

    started_ns: int
    """When the agents were let go, on the clock of ``now_ns``."""
    wall_offset_ns: int
    """What to add to ``now_ns`` for nanoseconds since the epoch."""

    @property
    def now_ns(self) -> Callable[[], int]:
        """Gives the time; a property, so that a hot loop calls the clock itself."""

    def sleep(self, seconds: float) -> Any:
        """Wait; on an event loop, what this gives is to be awaited."""


class EngineAgent(Protocol):
    """An agent as an engine sees it."""

    name: str

    @property
    def tie_breakers(self) -> Iterator[int]:
        """For each operation its place among those due at the same instant, the lowest first."""

    def busy_since(self) -> int | None:
        """When what it does now began, on the engine's clock; None between operations."""

    def session(self) -> AbstractContextManager[None]:
        """Entered and left around all operations, where the agent's operations run."""

    def operations(self) -> Iterator[float | None]:
        """Each value is the pause in seconds before an operation, which asking for the next value performs.

        None is no pause and no operation: the agent waits until every other one has come as far.
        """


class AsyncAgent(EngineAgent, Protocol):
    """An agent whose operations are awaited."""

    def operations(self) -> Generator[Any, Any, None]:
        """As any agent's, with awaitables amid operations, whose answers are sent back or thrown in."""

    def async_session(self) -> AbstractAsyncContextManager[None]:
        """As ``session``, entered and left on the event loop."""


class CrashedAgent(NamedTuple):
    """An agent that ended with an exception that no operation raised."""

    agent: str
    error: BaseException


class StuckAgent(NamedTuple):
    """An agent whose operation did not end by itself, and the stack of that operation."""

    agent: str
    stack: str


class DeadlockReport(NamedTuple):
    """The agents of a run in which no agent can continue."""

    waiting: list[str]
    """For each agent a block of lines: what it waits for, who holds it, and where the agent is."""
    elapsed: float
    """Seconds of the engine's time from the start of the run to the deadlock."""


A = TypeVar("A", bound=EngineAgent)
After = Callable[[EngineAgent], None]
"""Called by an agent that has performed an operation, while no other agent performs anything."""


class Engine(Protocol):
    """What runs agents."""

    crashed: list[CrashedAgent]
    still_running: list[StuckAgent]
    timed_out: list[StuckAgent]
    """Agents whose operation was ended because it waited for longer than an operation may take."""
    cancelled: list[StuckAgent]
    """Agents whose operation was ended when the run was stopped, because it did not end by itself."""
    deadlock: DeadlockReport | None
    sequence: list[int] | None
    """The agents' places in ``run``'s list, one for each operation in the order of their ends; None where
    agents perform at the same time, so that only the clock orders them. Who reads it takes out what is read."""

    @property
    def clock(self) -> Clock: ...

    def run(
        self, agents: Sequence[Any], watch: Callable[[], None], after: After | None = None, every: int = 1
    ) -> None:
        """Run the agents to their end; ``watch`` is called some ten times a second in the meantime.

        ``after`` is called once in ``every`` operations; what it raises loses the agent. Once stopped, it
        returns within two seconds, whatever the agents do. What ``watch`` raises, and ``KeyboardInterrupt``,
        stops the run and is raised.
        """

    def late(self, agents: Sequence[A], timeout_ns: int) -> dict[A, int]:
        """The agents that have been at one thing for longer, in real time, each with a number for that thing."""

    def stop(self) -> None:
        """Let no further operation begin, and end every pause and sleep. From any thread, any number of times."""
