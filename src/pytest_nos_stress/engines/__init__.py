"""Engines: what runs the agents.

An engine is given agents and runs each one's operations until they end or the run is stopped. It knows
nothing of faults, records or pytest: an agent is something with a name, a session and an iterator that
performs the next operation whenever it is advanced and gives back the pause before it.

What must come back during a run goes through two seams: ``after``, called when an operation has ended, and
``stop()``.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from pytest_nos_stress.config.options import SettingError

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


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
    def ranks(self) -> Iterator[int]:
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


class LostAgent(NamedTuple):
    """An agent that ended with an exception of its own, which is not that of an operation."""

    agent: str
    error: BaseException


class Unfinished(NamedTuple):
    """An agent that did not end when it was asked to, and where it is."""

    agent: str
    stack: str


class Standstill(NamedTuple):
    """No agent can go on: who waits for whom, a block of lines for each agent."""

    waiting: list[str]


A = TypeVar("A", bound=EngineAgent)

After = Callable[[EngineAgent], None]
"""Called by an agent that has performed an operation, while no other agent performs anything."""


class Engine(Protocol):
    """What runs agents."""

    lost: list[LostAgent]
    unfinished: list[Unfinished]
    overdue: list[Unfinished]
    """Agents whose operation was ended because it waited for longer than an operation may take."""
    cut_short: list[Unfinished]
    """Agents whose operation was ended when the run was stopped, because it did not end by itself."""
    deadlock: Standstill | None
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


def create(
    name: str,
    label: str = "engine",
    *,
    own_threads: bool = True,
    patience: float = 30.0,
    loop: AbstractEventLoop | None = None,
) -> Engine:
    """A new engine of that name. Raises ``SettingError``, under the label, for one that does not exist yet.

    ``own_threads`` and ``patience`` (seconds an agent may wait for a thread that is no agent's) are for the
    virtual engine, ``loop`` (a running event loop to use; default: one of its own) for asyncio.
    """
    if name == "threads":
        from .threads import ThreadsEngine

        return ThreadsEngine()
    if name == "virtual":
        from pytest_nos_stress.engines.virtual.engine import VirtualEngine

        return VirtualEngine(own_threads=own_threads, patience=patience)
    if name == "asyncio":
        from .asyncio_engine import AsyncioEngine

        return AsyncioEngine(loop)
    raise SettingError(f"{label}={name!r}: does not exist yet; allowed: 'threads', 'asyncio', 'virtual'")
