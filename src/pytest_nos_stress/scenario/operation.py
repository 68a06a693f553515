"""Operation: what a task is handed.

One is made for each operation whose target wants it, so it holds three references; whatever costs more
(the id, the random generator, the market) is made when first read.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol

from pytest_nos_stress._internal.seeding import derived_rng, derived_uuid

if TYPE_CHECKING:
    from pytest_nos_stress.market import Market


class OperationAgent(Protocol):
    """The agent as its operations see it."""

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

    ``task`` is the task's name, ``index`` the operation's number within its agent, from 0.
    """

    __slots__ = ("_agent", "_random", "index", "task")

    fault: ClassVar[str | None] = None
    """What is planned to go wrong with it: ``missing_data``, ``lost_reply``, another fault's name, or None. A
    client under test that sends again when a reply is lost reads this; a system under test has no way to
    know.
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
        """The agent's name."""
        return self._agent.name

    @property
    def context(self) -> Any:
        """The value of the agent's ``per_agent`` context manager; None where there is none."""
        return self._agent.context

    @property
    def id(self) -> str:
        """A UUID that is this operation's alone, and the same in every run of the seed: an idempotency key."""
        return derived_uuid(self._agent.seed, self.agent, self.index)

    @property
    def random(self) -> Random:
        """A random generator of this operation's own, seeded by run seed, agent and index."""
        try:
            return self._random
        except AttributeError:
            self._random = derived_rng(self._agent.seed, self.agent, self.index)
            return self._random

    @property
    def market(self) -> Market:
        """The market data of the operation: ``market.symbols`` and ``market.quote(symbol)``.

        Raises ``MissingDataError`` where the plan has taken the data away.
        """
        return self._agent.market

    def sleep(self, seconds: float) -> None:
        """Wait by the engine's clock; a run that is stopped ends the wait early."""
        self._agent.sleep(seconds)

    def now(self) -> float:
        """Seconds since the epoch by the engine's clock."""
        return self._agent.now()

    def announce(self, event: str) -> None:
        """Say that an event has taken place: the fault windows that wait for it begin."""
        self._agent.announce(event)

    def __repr__(self) -> str:
        return f"<Operation {self.index} of {self.agent}: {self.task}>"


class SyncOperation(Operation):
    """An operation of a plain function beside ``async def`` ones: it cannot wait without stopping all of them."""

    __slots__ = ()

    def sleep(self, seconds: float) -> None:
        raise RuntimeError(
            f"operation.sleep({seconds!r}) in a plain function would stop every agent on the event loop; "
            f"must be async def {self.task}(operation), with await operation.sleep(...)"
        )


class AsyncOperation(Operation):
    """An operation of the asyncio engine: ``await operation.sleep(seconds)``; all else is as in any other."""

    __slots__ = ()

    async def sleep(self, seconds: float) -> None:  # type: ignore[override]
        """Wait by the engine's clock while other agents go on; a run that is stopped ends the wait early."""
        await self._agent.sleep(seconds)


TaskFunction = Callable[..., Any]


class Task(NamedTuple):
    """One task of a target: its name, the function that performs it, and whether that takes the Operation."""

    name: str
    function: TaskFunction
    takes_operation: bool
    is_async: bool = False
