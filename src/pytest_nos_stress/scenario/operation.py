"""Operation: the argument of a task's function.

A run makes one for each operation whose task takes it, so making one must be cheap. It holds three references. The
id, the random generator and the market are made when they are first read.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pytest_nos_stress._internal.seeding import derived_rng, derived_uuid

if TYPE_CHECKING:
    from pytest_nos_stress.market import Market


class OperationAgent(Protocol):
    """Interface of an agent for its operations."""

    name: str
    context: Any

    @property
    def seed(self) -> int: ...
    @property
    def market(self) -> Market: ...
    def sleep(self, seconds: float) -> Any: ...
    def announce(self, event: str) -> None: ...
    def now(self) -> float: ...


class Operation:
    """One task, performed once by one agent.

    ``task`` is the task's name. ``index`` is the operation's number within its agent, from 0.
    """

    __slots__ = ("_agent", "_random", "index", "task")

    fault: ClassVar[str | None] = None
    """Name of the planned fault, such as ``missing_data`` or ``lost_reply``; None without a fault.

    A simulated client can read it to decide on a retry. A real system under test cannot know it.
    """
    task: str
    index: int
    _random: Random

    def __init__(self, agent: OperationAgent, task: str, index: int) -> None:
        self._agent = agent
        self.task = task
        self.index = index

    @property
    def agent(self) -> str:
        """Name of the agent."""
        return self._agent.name

    @property
    def context(self) -> Any:
        """Value of the agent's ``per_agent`` context manager; None without one."""
        return self._agent.context

    @property
    def id(self) -> str:
        """UUID of this operation, the same in every run with the seed. Suitable as an idempotency key."""
        return derived_uuid(self._agent.seed, self.agent, self.index)

    @property
    def random(self) -> Random:
        """Random generator of this operation, seeded by the run's seed, the agent and the index."""
        try:
            return self._random
        except AttributeError:
            self._random = derived_rng(self._agent.seed, self.agent, self.index)
            return self._random

    @property
    def market(self) -> Market:
        """Market data of the operation: ``market.symbols``, ``market.quote(symbol)`` and more.

        Raises ``MissingDataError`` if the plan gives the operation no data.
        """
        return self._agent.market

    def sleep(self, seconds: float) -> None:
        """Wait by the engine's clock. The wait ends early if the run is stopped."""
        self._agent.sleep(seconds)

    def now(self) -> float:
        """Return the seconds since the epoch by the engine's clock."""
        return self._agent.now()

    def announce(self, event: str) -> None:
        """Announce an event by its name. The fault windows that wait for this event begin."""
        self._agent.announce(event)

    def __repr__(self) -> str:
        return f"<Operation {self.index} of {self.agent}: {self.task}>"


class SyncOperation(Operation):
    """An operation of a plain function on an event loop. It cannot wait: that would block the whole loop."""

    __slots__ = ()

    def sleep(self, seconds: float) -> None:
        raise RuntimeError(
            f"operation.sleep({seconds!r}): would block every agent on the event loop; "
            f"use async def {self.task}(operation) and await operation.sleep(...)"
        )


class AsyncOperation(Operation):
    """An operation of the asyncio engine. ``sleep`` must be awaited: ``await operation.sleep(seconds)``."""

    __slots__ = ()

    async def sleep(self, seconds: float) -> None:  # type: ignore[override]
        """Wait by the engine's clock while other agents continue. The wait ends early if the run is stopped."""
        await self._agent.sleep(seconds)


TaskFunction = Callable[..., Any]


class Task(NamedTuple):
    """One task of a target: its name and the function that performs it.

    ``takes_operation``: True if the function takes the ``Operation``. ``is_async``: True if it returns a
    coroutine.
    """

    name: str
    function: TaskFunction
    takes_operation: bool
    is_async: bool = False
