"""An agent in virtual time: its clock, its body, what it waits for.

An agent has the turn or waits for it: for a moment of virtual time, for a lock, or for the other agents. The
scheduler decides when the agent has its next turn.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import time
from collections.abc import Callable, Generator
from typing import Any, Final, Protocol

from pytest_nos_stress._internal.text import escape_controls
from pytest_nos_stress._internal.tracebacks import stack_of
from pytest_nos_stress.engines.base import DeadlockReport, EngineAgent
from pytest_nos_stress.errors import Abandoned

from . import locks
from .worker import Worker

EPOCH_NS: Final = 1_767_623_400_000_000_000
"""When virtual time begins: Monday 2026-01-05 at 14:30 UTC, when New York's exchanges open."""

ENDED: Final = object()
"""What the body of an agent yields after its last operation."""
_RESUMES: Final = 1 << 62


class Scheduler(Protocol):
    """The scheduler, as its agents see it."""

    stopping: bool
    unanswered: set[VirtualThread]
    """Agents that wait for what no agent holds (to be woken, or for a thread of the target's own)."""
    deadlock: DeadlockReport | None

    @property
    def clock(self) -> VirtualClock: ...

    def wake_at(self, actor: VirtualThread, when: int, rank: int) -> None:
        """Give the agent a turn at this time, among the agents due then by rank."""

    def wake_now(self, actor: VirtualThread, wait: int) -> None:
        """From any thread: give the agent a turn now, if it still waits in this one of its waits."""

    def refuse_endless(self, actor: VirtualThread, nanoseconds: int) -> None:
        """Raise ``Abandoned`` if an operation waits again and again."""


class VirtualClock:
    """Time that stands still while agents run and jumps to the next event when none does."""

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
            time.sleep(max(0.0, seconds))


class VirtualThread:
    """An agent in the engine, and its turn as the locks see it.

    ``give_turn_away`` lets other agents have their turns and returns when it is this agent's again.
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
        """How often it has waited: of its wakes, only that of the last wait is valid."""
        self.worker: Worker | None = None
        """The thread the agent is in: its own, or that of an operation which has begun and not ended."""
        self.performing = False
        self.ended = False
        self.abandoned = False
        self.began = 0
        """When its operation began."""
        self.waits_at_once = 0
        """How often its operation has waited without time going on."""
        self.waiting_for: locks.CooperatingLock | None = None
        self.scheduler = scheduler
        self._give_turn_away = give_turn_away

    @property
    def resume_priority(self) -> int:
        """The rank with which an operation continues: after all operations that begin at that instant."""
        return self.rank | _RESUMES

    def sleep(self, nanoseconds: int) -> None:
        self.scheduler.refuse_endless(self, max(0, nanoseconds))
        if not self.scheduler.stopping:
            self.scheduler.wake_at(self, self.now_ns() + max(0, nanoseconds), self.resume_priority)
            self._give_turn_away(self)

    def wait_for(self, lock: locks.CooperatingLock, timeout_ns: int | None) -> None:
        if self.abandoned:
            raise Abandoned("the run has ended")
        self.scheduler.refuse_endless(self, timeout_ns or 0)
        self.waits += 1
        if timeout_ns is not None:
            self.scheduler.wake_at(self, self.now_ns() + timeout_ns, self.resume_priority)
        waiter = (self, self.waits)
        lock.waiters.append(waiter)
        self.waiting_for = lock
        if lock.owner is None or lock.owner is self:
            self.scheduler.unanswered.add(self)
        try:
            if not lock.is_free_for(self):  # else released meanwhile, by a thread that is no agent's
                self._give_turn_away(self)
        finally:
            self.scheduler.unanswered.discard(self)
            self.waiting_for = None
            with contextlib.suppress(ValueError):
                lock.waiters.remove(waiter)
        if self.abandoned:
            raise Abandoned("no agent could go on" if self.scheduler.deadlock else "the run has ended")

    def wake(self, wait: int) -> None:
        self.scheduler.wake_now(self, wait)

    def now_ns(self) -> int:
        return self.scheduler.clock.now[0]

    def __repr__(self) -> str:
        return f"<turn of {self.agent.name}>"


def _body(agent: EngineAgent) -> Generator[Any]:
    """The agent's session, with its operations in it; ends when it is closed."""
    with agent.session(), contextlib.suppress(GeneratorExit):
        yield None
        yield from agent.operations()
        yield ENDED


def describe(actor: VirtualThread) -> str:
    """What an agent waits for, and where."""
    lock = actor.waiting_for
    if lock is None:
        return f"{escape_controls(actor.agent.name)} waits for the others\n"
    owner = lock.owner
    if owner is actor:
        what = "waits to be woken (by a condition, an event, a queue or its own lock)"
    elif isinstance(owner, VirtualThread):
        ended = ", which has no more operations" if owner.ended or owner.waiting_for is None else ""
        what = f"waits for a lock that {escape_controls(owner.agent.name)} holds{ended}"
    else:
        what = "waits for a lock that a thread holds which is no agent's"
    stack = stack_of(actor.worker.thread.ident if actor.worker else None)
    return f"{escape_controls(actor.agent.name)} {what}\n{stack}"
