"""Protocols of engines and of the agents that they run."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop


INTERNAL_THREADS: Final[set[int]] = set()
"""Identifiers of this package's threads, which never wake an agent."""


class Clock(Protocol):
    """The clock of an engine: nanoseconds that never go back, anchored once to the wall clock."""

    started_ns: int
    """Time of ``now_ns`` at which the agents began to perform operations."""
    wall_offset_ns: int
    """Nanoseconds to add to ``now_ns`` to get nanoseconds since the epoch."""

    @property
    def now_ns(self) -> Callable[[], int]:
        """A function that returns the time. It is a property, so that hot loops call the clock directly."""

    def sleep(self, seconds: float) -> Any:
        """Wait. On an event loop it returns an awaitable instead."""


class EngineAgent(Protocol):
    """An agent as an engine sees it."""

    name: str

    @property
    def tie_breakers(self) -> Iterator[int]:
        """For each operation its rank among the operations due at the same instant. The lowest rank goes first."""

    def busy_since(self) -> int | None:
        """Return the time of the engine's clock at which the current activity began; None between operations."""

    def session(self) -> AbstractContextManager[None]:
        """Return the session: a context manager around all operations, in the same thread."""

    def operations(self) -> Iterator[float | None]:
        """Return an iterator over pauses in seconds. Asking for the next value performs the next operation.

        None stands for a barrier instead of a pause: the agent waits there until all other agents have arrived.
        """


CURRENT_AGENT: Final[ContextVar[EngineAgent | None]] = ContextVar("current agent", default=None)
"""Agent of this thread or coroutine. Tasks and callbacks of an event loop inherit it.

In virtual time, a thread that several agents share does not have it.
"""


class AsyncAgent(EngineAgent, Protocol):
    """An agent whose operations are awaited."""

    def operations(self) -> Generator[Any, Any, None]:
        """Return a generator of pauses that also yields the awaitables of its operations.

        The engine awaits them, and sends the result or throws the exception into the generator.
        """

    def async_session(self) -> AbstractAsyncContextManager[None]:
        """Return the session, to be entered and left on the event loop."""


class CrashedAgent(NamedTuple):
    """An agent that ended with an exception which its operations did not raise."""

    agent: str
    error: BaseException


class StuckAgent(NamedTuple):
    """An agent whose operation did not end by itself, and the operation's stack."""

    agent: str
    stack: str


class DeadlockReport(NamedTuple):
    """The agents of a run in which no agent can continue."""

    waiting: list[str]
    """A block of lines per agent: what it waits for, which agent holds it, and the stack."""
    elapsed: float
    """Seconds on the engine's clock from the start of the run to the deadlock."""


class EngineOptions(NamedTuple):
    """Options of an engine. Each engine uses those that apply to it."""

    own_threads: bool = True
    """True if each agent gets its own thread under an engine that runs one agent at a time."""
    operation_timeout: float = 30.0
    """Seconds that an operation may take."""
    loop: AbstractEventLoop | None = None
    """The running event loop that awaits the agents' tasks. None: the engine makes a loop."""


A = TypeVar("A", bound=EngineAgent)
OnOperationEnd = Callable[[EngineAgent], None]
"""A function to call with the agent that has performed an operation, while no agent performs one."""

CAPABILITIES: Final = (
    "uses_virtual_time",
    "runs_one_at_a_time",
    "repeats_schedules",
    "awaits_tasks",
    "supports_proxies",
)
"""Class attributes that every engine must declare. ``Engine`` describes each."""


class Engine(Protocol):
    """An engine: it runs agents, and declares its capabilities."""

    uses_virtual_time: ClassVar[bool]
    """True if time passes only in pauses and sleeps, so that the machine's speed does not affect durations."""
    runs_one_at_a_time: ClassVar[bool]
    """True if two agents never perform at the same time. The engine must then fill ``completion_order``."""
    repeats_schedules: ClassVar[bool]
    """True if two runs of the same scenario perform the same operations in the same order."""
    awaits_tasks: ClassVar[bool]
    """True if agents share an event loop, which awaits what their tasks return."""
    supports_proxies: ClassVar[bool]
    """True if faults at a TCP proxy work under this engine."""

    crashed: list[CrashedAgent]
    timed_out: list[StuckAgent]
    """Agents whose operation was ended because it waited longer than ``operation_timeout``."""
    cancelled: list[StuckAgent]
    """Agents whose operation did not end by itself when the run was stopped, and was ended."""
    still_running: list[StuckAgent]
    """Agents whose operation could not be ended."""
    deadlock: DeadlockReport | None
    completion_order: list[int]
    """For each operation, in the order of their ends, the index of its agent in the list given to ``run``.

    The reader removes what it reads. Empty if agents perform at the same time: the clock then orders operations.
    """

    operations_overlapped: bool | None
    """True if an operation was performed while another one was in progress; None if the records' times tell."""

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
        """Run the agents until all of them end. Calls ``watch`` about ten times a second.

        ``on_operation_end`` is called every ``every`` operations. If it raises an exception, the agent counts as
        crashed. After ``stop()``, ``run`` returns within two seconds, whatever the agents do. An exception of
        ``watch``, or ``KeyboardInterrupt``, stops the run and is raised.
        """

    def overdue(self, agents: Sequence[A], timeout_ns: int) -> dict[A, int]:
        """Return the agents whose current activity has lasted longer than a timeout in real time.

        The value identifies the activity: it changes when the agent begins another one.
        """

    def stop(self) -> None:
        """Start no further operation, and end all pauses and sleeps.

        Can be called from any thread, any number of times.
        """
