"""Who has the next turn in virtual time, and when.

A discrete-event simulation, as in SimPy: a heap of wakes, and a clock that is set to the moment of the earliest
one. Agents due at the same moment have their turns in the order of their operations' ranks, new operations before
operations that continue.

Guarantee: the order of turns is a function of pauses, sleeps, locks and ranks alone. If no agent can continue,
that is a deadlock with a report, and never a hang.
"""

from __future__ import annotations

import _thread
import contextlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Final

from pytest_nos_stress._internal.tracebacks import stack_of
from pytest_nos_stress.engines.base import DeadlockReport, StuckAgent
from pytest_nos_stress.errors import Abandoned

from . import locks
from .actor import VirtualClock, VirtualThread, describe

_POLL_INTERVAL: Final = 0.01
_REAL_TIME_TO_ANSWER: Final = 0.1
_MOST_WAITS_AT_ONCE: Final = 100_000
_MOST_WAITS_ONCE_STOPPED: Final = 100

Wake = tuple[int, int, int, int, VirtualThread]
"""When, rank, the agent's number, the agent's count of waits, the agent."""


class Scheduler:
    """Decides which agent has the next turn, and sets the clock to the moment of that turn."""

    def __init__(self, operation_timeout: float) -> None:
        self.clock = VirtualClock()
        self.stopping = False
        self.given_up = False
        """Whether the run was left while an agent keeps its turn: nobody has a turn any more."""
        self.turns = 0
        """How many turns were given. The number does not grow while an agent keeps its turn."""
        self.running: VirtualThread | None = None
        self.awaits_others = False
        """Whether all agents wait, and a thread that is no agent's might wake one."""
        self.unanswered: set[VirtualThread] = set()
        """Agents that wait for what no agent holds, and were given no real time for that yet."""
        self.deadlock: DeadlockReport | None = None
        self.timed_out: list[StuckAgent] = []
        self._operation_timeout = operation_timeout
        self._actors: Sequence[VirtualThread] = ()
        self._left = 0
        self._has_begun = False
        self._at_barrier: list[VirtualThread] = []
        self._heap: list[Wake] = []
        self._woken: deque[tuple[VirtualThread, int]] = deque()
        self._signal = taken_lock()
        self._wait_budget: Callable[[float], float] = float

    def start(self, actors: Sequence[VirtualThread], wait_budget: Callable[[float], float]) -> None:
        """Make every agent due now, in the order of the list.

        ``wait_budget`` takes the most seconds to wait and returns the seconds of real time that make sense.
        """
        self._actors, self._left = actors, len(actors)
        self._wait_budget = wait_budget
        for actor in actors:
            self.wake_at(actor, 0, actor.number)

    def stop(self) -> None:
        """Let nobody wait for a later moment any more. From any thread, any number of times."""
        self.stopping = True
        signal(self._signal)

    def wake_at(self, actor: VirtualThread, when: int, rank: int) -> None:
        """Give the agent a turn at this time, among the agents due then by rank. From the thread with the turn."""
        actor.waits += 1
        heappush(self._heap, (when, rank, actor.number, actor.waits, actor))

    def wake_now(self, actor: VirtualThread, wait: int) -> None:
        """Give the agent a turn now, if it still waits in this one of its waits. From any thread.

        A thread that does not have the turn leaves the heap alone.
        """
        turn = locks.ACTORS.get(_thread.get_ident())
        if isinstance(turn, VirtualThread) and turn.scheduler is self:
            self.wake_at(actor, self.clock.now[0], actor.resume_priority)
        else:
            self._woken.append((actor, wait))
            signal(self._signal)

    def wait_at_barrier(self, actor: VirtualThread) -> None:
        """Let the agent wait until every other one has come as far."""
        self._at_barrier.append(actor)
        self._open_full_barrier()

    def end(self, actor: VirtualThread) -> None:
        """Give the agent no turn any more."""
        actor.ended = True
        self._left -= 1
        if self._at_barrier:
            self._open_full_barrier()

    def refuse_endless(self, actor: VirtualThread, nanoseconds: int) -> None:
        """End an operation that waits again and again: in virtual time it would wait forever, and at once."""
        if self.given_up:
            raise Abandoned("the run has ended")
        actor.waits_at_once = 0 if nanoseconds and not self.stopping else actor.waits_at_once + 1
        if self.stopping and actor.waits_at_once > _MOST_WAITS_ONCE_STOPPED:
            raise Abandoned("the run has ended")
        lasts = self.clock.now[0] - actor.began
        if self.stopping or (lasts <= self._operation_timeout * 1e9 and actor.waits_at_once < _MOST_WAITS_AT_ONCE):
            return
        self.timed_out.append(StuckAgent(actor.agent.name, stack_of(_thread.get_ident())))
        self.stop()
        raise Abandoned(f"the operation still waits after {lasts / 1e9:g} s of virtual time")

    def next(self) -> VirtualThread | None:
        """Return the agent that has the next turn, with the clock at its time; None when all have ended."""
        heap, now = self._heap, self.clock.now
        while True:
            if self._woken:
                self._drain_woken()
            while heap:
                when, rank, number, wait, actor = heappop(heap)
                if wait == actor.waits and not actor.ended:
                    if when > now[0] and not self.stopping:
                        if self.unanswered and self._others_answer():
                            heappush(heap, (when, rank, number, wait, actor))
                            break
                        now[0] = when
                    self.turns += 1
                    self.running = actor
                    return actor
            if self._woken:
                continue
            if not self._left:
                return None
            self._wake_somebody()

    def _drain_woken(self) -> None:
        while self._woken:
            actor, wait = self._woken.popleft()
            if wait == actor.waits:
                self.wake_at(actor, self.clock.now[0], actor.resume_priority)

    def _open_full_barrier(self) -> None:
        """Once all agents that are left have come to the barrier, they continue."""
        if len(self._at_barrier) < self._left:
            return
        if not self._has_begun:
            self._has_begun = True
            self.clock.started_ns = self.clock.now[0]
        arrived, self._at_barrier = self._at_barrier, []
        for actor in arrived:
            self.wake_at(actor, self.clock.now[0], actor.number)

    def _wake_somebody(self) -> None:
        """All agents wait. Wake one, or find that none can be woken."""
        if self.stopping:
            self._wake_all()
            return
        self.awaits_others = True
        self._await_others(self._operation_timeout)
        self.awaits_others = False
        if not self._woken and not self.stopping:
            waiting = [describe(actor) for actor in self._actors if not actor.ended]
            self.deadlock = DeadlockReport(waiting, (self.clock.now[0] - self.clock.started_ns) / 1e9)
            self.stop()

    def _wake_all(self) -> None:
        """The run was stopped: agents at the barrier leave, agents that wait for a lock are abandoned."""
        waiting, self._at_barrier = self._at_barrier, []
        for actor in self._actors:
            if actor.waiting_for is not None:
                actor.abandoned = True
                waiting.append(actor)
        for actor in waiting:
            self.wake_at(actor, self.clock.now[0], actor.resume_priority)

    def _others_answer(self) -> bool:
        """Return whether a thread of the target's own wakes an agent before virtual time continues.

        An agent that waits for such a thread is given its answer at the same instant if the answer comes soon in
        real time; else its timeout would be over at once. There is this time once for each wait.
        """
        self._await_others(_REAL_TIME_TO_ANSWER)
        if self._woken:
            return True
        self.unanswered.clear()
        return False

    def _await_others(self, most: float) -> None:
        """Let threads of the target's own wake an agent, in so many seconds of real time at most."""
        began = time.monotonic()
        while not self._woken and not self.stopping:
            if time.monotonic() - began >= self._wait_budget(most):
                return
            self._signal.acquire(timeout=_POLL_INTERVAL)


def taken_lock() -> _thread.LockType:
    """Return a lock of the interpreter's that somebody else has to release first."""
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def signal(lock: _thread.LockType) -> None:
    """Release a taken lock; two signals that nobody has seen yet are one."""
    with contextlib.suppress(RuntimeError):
        lock.release()
