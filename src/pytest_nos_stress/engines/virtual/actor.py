"""An agent in virtual time: its clock, its operations, and its waits.

An agent has the turn, or it waits: for a virtual time, for a lock, or for the other agents at a barrier. The
scheduler decides when the agent gets its next turn.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from pytest_nos_stress._internal.instrument import sleep
from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress._internal.tracebacks import stack_of
from pytest_nos_stress.engines.base import DeadlockReport, EngineAgent
from pytest_nos_stress.errors import Abandoned

from . import locks
from .worker import Worker

EPOCH_NS: Final = 1_767_623_400_000_000_000
"""Begin of virtual time, in ns since 1970: Monday 2026-01-05 at 14:30 UTC, when New York's exchanges open."""

ENDED: Final = object()
"""Value that an agent's body yields after its last operation."""
_RESUME_OFFSET: Final = 1 << 62


class Scheduler(Protocol):
    """The part of the scheduler that its agents use."""

    stopping: bool
    awaiting_foreign_answer: set[VirtualThread]
    """Agents that wait for something that no agent holds: a notification, or a foreign thread."""
    deadlock: DeadlockReport | None

    @property
    def clock(self) -> VirtualClock: ...

    def wake_at(self, actor: VirtualThread, when: int, rank: int) -> None:
        """Give the agent a turn at this time, in the order of ranks."""

    def wake_now(self, actor: VirtualThread, wait: int) -> None:
        """Give the agent a turn now, if its wait number ``wait`` has not ended. Can be called from any thread."""

    def abandon_if_endless(self, actor: VirtualThread, nanoseconds: int) -> None:
        """Raise ``Abandoned`` if the operation waits in an endless loop."""


class VirtualClock:
    """A clock that stands still while an agent runs, and jumps to the next event when all agents wait."""

    def __init__(self) -> None:
        self.now = [0]
        self.now_ns: Callable[[], int] = functools.partial(list.__getitem__, self.now, 0)
        self.wall_offset_ns = EPOCH_NS
        self.started_ns = 0

    def sleep(self, seconds: float) -> None:
        turn = locks.ACTORS.get(_thread.get_ident())
        if isinstance(turn, VirtualThread):
            turn.sleep(round(seconds * 1e9))
        else:
            sleep(max(0.0, seconds))


class VirtualThread:
    """An agent in the engine, and its turn for the locks.

    ``give_turn_away``: lets other agents have their turns, and returns when this agent gets the turn again.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        give_turn_away: Callable[[VirtualThread], None],
        agent: EngineAgent,
        number: int,
    ) -> None:
        self.agent = agent
        self.number = number
        self.body = _body(agent)
        self.tie_breakers = agent.tie_breakers
        self.rank = number
        self.waits = 0
        """Number of waits so far. Only the wake-up of the latest wait is valid."""
        self.worker: Worker | None = None
        """The agent's thread: its own, or the thread that performs its current operation."""
        self.performing = False
        self.ended = False
        self.abandoned = False
        self.began = 0
        """Virtual time in ns at which the current operation began."""
        self.instant_waits = 0
        """Number of successive waits of the current operation in which no virtual time passed."""
        self.waiting_for: locks.CooperatingLock | None = None
        self.scheduler = scheduler
        self._give_turn_away = give_turn_away

    @property
    def resume_priority(self) -> int:
        """The rank of an operation that continues. It comes after all operations that begin at the same time."""
        return self.rank | _RESUME_OFFSET

    def sleep(self, nanoseconds: int) -> None:
        self.scheduler.abandon_if_endless(self, max(0, nanoseconds))
        if not self.scheduler.stopping:
            self.scheduler.wake_at(self, self.now_ns() + max(0, nanoseconds), self.resume_priority)
            self._give_turn_away(self)

    def wait_for(self, lock: locks.CooperatingLock, timeout_ns: int | None) -> None:
        if self.abandoned:
            raise Abandoned("the run has ended")
        self.scheduler.abandon_if_endless(self, timeout_ns or 0)
        self.waits += 1
        if timeout_ns is not None:
            self.scheduler.wake_at(self, self.now_ns() + timeout_ns, self.resume_priority)
        waiter = (self, self.waits)
        lock.waiters.append(waiter)
        self.waiting_for = lock
        if lock.owner is None or lock.owner is self:
            self.scheduler.awaiting_foreign_answer.add(self)
        try:
            if not lock.is_free_for(self):  # a foreign thread may have released it in the meantime
                self._give_turn_away(self)
        finally:
            self.scheduler.awaiting_foreign_answer.discard(self)
            self.waiting_for = None
            with contextlib.suppress(ValueError):
                lock.waiters.remove(waiter)
        if self.abandoned:
            raise Abandoned("no agent can continue" if self.scheduler.deadlock else "the run has ended")

    def wake(self, wait: int) -> None:
        self.scheduler.wake_now(self, wait)

    def now_ns(self) -> int:
        return self.scheduler.clock.now[0]

    def __repr__(self) -> str:
        return f"<turn of {self.agent.name}>"


def _body(agent: EngineAgent) -> Generator[Any]:
    """Enter the agent's session, yield its pauses and then ``ENDED``, and leave the session when closed."""
    with agent.session(), contextlib.suppress(GeneratorExit):
        yield None
        yield from agent.operations()
        yield ENDED


def describe(actor: VirtualThread) -> str:
    """Describe what an agent waits for, followed by its stack."""
    lock = actor.waiting_for
    if lock is None:
        return f"{escape_controls(actor.agent.name)} waits for the other agents\n"
    owner = lock.owner
    if owner is actor:
        reason = "waits to be woken (by a condition, an event, a queue or its own lock)"
    elif isinstance(owner, VirtualThread):
        name = escape_controls(owner.agent.name)
        kept = (
            f" ({name}'s operation ended without releasing it)" if owner.ended or owner.waiting_for is None else ""
        )
        reason = f"waits for a lock that {name} holds{kept}"
    else:
        reason = "waits for a lock that a thread outside the run holds"
    stack = stack_of(actor.worker.thread.ident if actor.worker else None)
    return f"{escape_controls(actor.agent.name)} {reason}\n{stack}"
