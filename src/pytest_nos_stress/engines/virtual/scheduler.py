"""The scheduler of virtual time: it decides which agent has the next turn, and sets the clock.

A discrete-event simulation, as in SimPy: a heap of wake-ups, and a clock that is set to the time of the earliest
one. Agents that are due at the same time have their turns in the order of their operations' ranks. New operations
come before operations that continue.

Guarantees: the order of turns depends only on pauses, sleeps, locks and ranks. If no agent can continue, the run
ends with a report of the deadlock, and never hangs.
"""

from __future__ import annotations

import _thread
import contextlib
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Final

from pytest_nos_stress._internal.instrument import perf_counter
from pytest_nos_stress._internal.tracebacks import stack_of
from pytest_nos_stress.engines.base import DeadlockReport, StuckAgent
from pytest_nos_stress.errors import Abandoned

from . import locks
from .actor import VirtualClock, VirtualThread, describe

_POLL_INTERVAL: Final = 0.01
_MAX_REAL_TIME_TO_ANSWER: Final = 0.1
_SECONDS_TO_RESUME: Final = 0.01
# Too short a time would report a false deadlock on a busy machine.
_SECONDS_TO_RESUME_BEFORE_DEADLOCK: Final = 0.5
_MAX_INSTANT_WAITS: Final = 100_000
_MAX_INSTANT_WAITS_ONCE_STOPPED: Final = 100

Wake = tuple[int, int, int, int, VirtualThread]
"""A wake-up: virtual time in ns, rank, the agent's number, the agent's count of waits, the agent."""


class Scheduler:
    """A scheduler, which gives agents their turns and sets the clock to the time of each turn."""

    def __init__(self, operation_timeout: float) -> None:
        self.clock = VirtualClock()
        self.stopping = False
        self.given_up = False
        """True if the run was given up because an agent does not give its turn away. No agent gets a turn then."""
        self.turns = 0
        """Number of turns given so far. It does not grow while an agent keeps its turn."""
        self.running: VirtualThread | None = None
        self.awaits_foreign_threads = False
        """True while all agents wait and a foreign thread may wake one of them."""
        self.awaiting_foreign_answer: set[VirtualThread] = set()
        """Agents that may wait for a foreign thread, and have not been given real time for its answer yet."""
        self.deadlock: DeadlockReport | None = None
        self.timed_out: list[StuckAgent] = []
        self._operation_timeout = operation_timeout
        self._actors: Sequence[VirtualThread] = ()
        self._not_ended = 0
        self._has_begun = False
        self._at_barrier: list[VirtualThread] = []
        self._heap: list[Wake] = []
        self._woken: deque[tuple[VirtualThread, int]] = deque()
        self._signal = taken_lock()
        self._wait_budget: Callable[[float, float], float] = max

    def start(self, actors: Sequence[VirtualThread], wait_budget: Callable[[float, float], float]) -> None:
        """Make every agent due now, in the order of the list.

        ``wait_budget``: a function from a maximum, and the time for a blocked thread to resume, to the seconds of
        real time to wait for foreign threads.
        """
        self._actors, self._not_ended = actors, len(actors)
        self._wait_budget = wait_budget
        for actor in actors:
            self.wake_at(actor, 0, actor.number)

    def stop(self) -> None:
        """End all waits for a later time. Can be called from any thread, any number of times."""
        self.stopping = True
        signal(self._signal)

    def wake_at(self, actor: VirtualThread, when: int, rank: int) -> None:
        """Give the agent a turn at this time, in the order of ranks. Call it from the thread with the turn."""
        actor.waits += 1
        heappush(self._heap, (when, rank, actor.number, actor.waits, actor))

    def wake_now(self, actor: VirtualThread, wait: int) -> None:
        """Give the agent a turn now, if its wait number ``wait`` has not ended. Can be called from any thread.

        A thread without the turn does not touch the heap: it appends to a queue that ``next()`` drains.
        """
        turn = locks.ACTORS.get(_thread.get_ident())
        if isinstance(turn, VirtualThread) and turn.scheduler is self:
            self.wake_at(actor, self.clock.now[0], actor.resume_priority)
        else:
            self._woken.append((actor, wait))
            signal(self._signal)

    def wait_at_barrier(self, actor: VirtualThread) -> None:
        """Let the agent wait until all other agents have arrived."""
        self._at_barrier.append(actor)
        self._open_full_barrier()

    def end(self, actor: VirtualThread) -> None:
        """Mark the agent as ended. It gets no further turn."""
        actor.ended = True
        self._not_ended -= 1
        if self._at_barrier:
            self._open_full_barrier()

    def abandon_if_endless(self, actor: VirtualThread, nanoseconds: int) -> None:
        """Raise ``Abandoned`` if the operation waits in an endless loop.

        An operation is endless if it lasts longer than the timeout in virtual time, or waits 100,000 times without
        any virtual time passing. Once the run is stopped, 100 waits are enough.
        """
        if self.given_up:
            raise Abandoned("the run has ended")
        actor.instant_waits = 0 if nanoseconds and not self.stopping else actor.instant_waits + 1
        if self.stopping and actor.instant_waits > _MAX_INSTANT_WAITS_ONCE_STOPPED:
            raise Abandoned("the run has ended")
        elapsed_ns = self.clock.now[0] - actor.began
        if self.stopping or (
            elapsed_ns <= self._operation_timeout * 1e9 and actor.instant_waits < _MAX_INSTANT_WAITS
        ):
            return
        self.timed_out.append(StuckAgent(actor.agent.name, stack_of(_thread.get_ident())))
        self.stop()
        raise Abandoned(f"the operation still waits after {elapsed_ns / 1e9:g} s of virtual time")

    def next(self) -> VirtualThread | None:
        """Set the clock to the next turn and return its agent, or None if all agents have ended."""
        heap, now = self._heap, self.clock.now
        while True:
            if self._woken:
                self._drain_woken()
            while heap:
                when, rank, number, wait, actor = heappop(heap)
                if wait == actor.waits and not actor.ended:
                    if when > now[0] and not self.stopping:
                        if self.awaiting_foreign_answer and self._foreign_thread_answers():
                            heappush(heap, (when, rank, number, wait, actor))
                            break
                        now[0] = when
                    self.turns += 1
                    self.running = actor
                    return actor
            if self._woken:
                continue
            if not self._not_ended:
                return None
            self._wake_waiting_agent()

    def _drain_woken(self) -> None:
        while self._woken:
            actor, wait = self._woken.popleft()
            if wait == actor.waits:
                self.wake_at(actor, self.clock.now[0], actor.resume_priority)

    def _open_full_barrier(self) -> None:
        """Let the agents at the barrier continue if all agents that have not ended are there."""
        if len(self._at_barrier) < self._not_ended:
            return
        if not self._has_begun:
            self._has_begun = True
            self.clock.started_ns = self.clock.now[0]
        arrived, self._at_barrier = self._at_barrier, []
        for actor in arrived:
            self.wake_at(actor, self.clock.now[0], actor.number)

    def _wake_waiting_agent(self) -> None:
        """Wake an agent, or report a deadlock if no agent can be woken. Called when all agents wait."""
        if self.stopping:
            self._wake_all()
            return
        self.awaits_foreign_threads = True
        self._await_foreign_threads(self._operation_timeout, _SECONDS_TO_RESUME_BEFORE_DEADLOCK)
        self.awaits_foreign_threads = False
        if not self._woken and not self.stopping:
            waiting = [describe(actor) for actor in self._actors if not actor.ended]
            self.deadlock = DeadlockReport(waiting, (self.clock.now[0] - self.clock.started_ns) / 1e9)
            self.stop()

    def _wake_all(self) -> None:
        """Wake all agents after ``stop()``. Those that wait for a lock are abandoned."""
        waiting, self._at_barrier = self._at_barrier, []
        for actor in self._actors:
            if actor.waiting_for is not None:
                actor.abandoned = True
                waiting.append(actor)
        for actor in waiting:
            self.wake_at(actor, self.clock.now[0], actor.resume_priority)

    def _foreign_thread_answers(self) -> bool:
        """Wait a short real time, once per wait, for a foreign thread. Return True if it wakes an agent.

        Without this time, virtual time would jump to the end of the waiting agent's timeout at once. With it, the
        agent gets an answer at the same virtual time if the answer comes soon in real time.
        """
        self._await_foreign_threads(_MAX_REAL_TIME_TO_ANSWER, _SECONDS_TO_RESUME)
        if self._woken:
            return True
        self.awaiting_foreign_answer.clear()
        return False

    def _await_foreign_threads(self, max_seconds: float, seconds_to_resume: float) -> None:
        """Wait until a foreign thread wakes an agent, for at most ``max_seconds`` of real time.

        If all foreign threads are blocked, wait only ``seconds_to_resume``.
        """
        began = perf_counter()
        while not self._woken and not self.stopping:
            if perf_counter() - began >= self._wait_budget(max_seconds, seconds_to_resume):
                return
            self._signal.acquire(timeout=_POLL_INTERVAL)


def taken_lock() -> _thread.LockType:
    """Return an acquired lock of the interpreter. To acquire it again, another thread must release it."""
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def signal(lock: _thread.LockType) -> None:
    """Release a lock from ``taken_lock()``. Does nothing if it is already released."""
    with contextlib.suppress(RuntimeError):
        lock.release()
