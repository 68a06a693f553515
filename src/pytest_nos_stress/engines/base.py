"""Protocols between engines, agents and whoever runs an engine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


INTERNAL_THREADS: Final[set[int]] = set()
"""Threads of this package that wake no agent, by their identifiers."""


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


class EngineOptions(NamedTuple):
    """What a run tells its engine. An engine uses the options that concern it."""

    own_threads: bool = True
    """A thread for each agent, where agents run one at a time."""
    operation_timeout: float = 30.0
    """Seconds that an operation may take."""
    loop: AbstractEventLoop | None = None
    """A running event loop for agents that are awaited; None makes one."""


A = TypeVar("A", bound=EngineAgent)
OnOperationEnd = Callable[[EngineAgent], None]
"""Called by an agent that has performed an operation, while no other agent performs anything."""

CAPABILITIES: Final = (
    "uses_virtual_time",
    "runs_one_at_a_time",
    "repeats_schedules",
    "awaits_tasks",
    "supports_proxies",
)
"""What every engine class must declare; the meaning of each is with ``Engine``."""


class Engine(Protocol):
    """What runs agents, and what it can do."""

    uses_virtual_time: ClassVar[bool]
    """Time passes only in pauses and sleeps, so that no machine decides how long anything takes."""
    runs_one_at_a_time: ClassVar[bool]
    """No two agents perform at the same time. The engine then fills ``completion_order``."""
    repeats_schedules: ClassVar[bool]
    """Two runs of one scenario perform the same operations in the same order."""
    awaits_tasks: ClassVar[bool]
    """Agents share an event loop, on which what a task returns is awaited."""
    supports_proxies: ClassVar[bool]
    """Faults at a TCP proxy make sense under this engine."""

    crashed: list[CrashedAgent]
    timed_out: list[StuckAgent]
    """Agents whose operation was ended because it waited for longer than an operation may take."""
    cancelled: list[StuckAgent]
    """Agents whose operation was ended when the run was stopped, because it did not end by itself."""
    still_running: list[StuckAgent]
    """Agents whose operation could not be ended."""
    deadlock: DeadlockReport | None
    completion_order: list[int]
    """The agent's place in ``run``'s list for each operation, in the order of their ends. The reader removes
    what it reads. Stays empty where agents perform at the same time: there the clock orders operations."""

    def __init__(self, options: EngineOptions | None = None) -> None: ...

    @property
    def clock(self) -> Clock: ...

    def run(
        self,
        agents: Sequence[Any],
        watch: Callable[[], None],
        on_operation_end: OnOperationEnd | None = None,
        every: int = 1,
    ) -> None:
        """Run the agents to their end; ``watch`` is called about ten times a second in the meantime.

        ``on_operation_end`` is called once in ``every`` operations; an exception of it crashes the agent. Once
        stopped, ``run`` returns within two seconds, whatever the agents do. An exception of ``watch``, and
        ``KeyboardInterrupt``, stops the run and is raised.
        """

    def overdue(self, agents: Sequence[A], timeout_ns: int) -> dict[A, int]:
        """Return the agents that have been at one activity for longer than a timeout in real time.

        The value identifies that activity: it stays the same as long as the activity does.
        """

    def stop(self) -> None:
        """Let no further operation begin, and end every pause and sleep. From any thread, any number of times."""
