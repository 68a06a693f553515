"""The ``virtual`` engine: ordinary synchronous code, real threads, virtual time.

Problem: a stress test spends nearly all its time waiting, and threads never interleave the same way twice.

Choice: one agent runs at a time and keeps its turn until it pauses, sleeps by ``operation.sleep()``, or would
block in a lock (``locks``). Then the agent that is due next has its turn, and the clock, which nobody reads
but through us, is set to that moment. Agents due at the same moment have their turns in the order of their
operations' ranks, new operations before those that go on. This is discrete-event simulation (as in SimPy),
but with threads for processes, so that the target needs no change: each agent has a thread of its own, and a
turn is given from thread to thread like a baton. With ``own_threads=False`` operations are performed one after
another in one thread, which is much faster; an operation that sleeps or blocks keeps that thread, and another
one goes on.

Guarantees: one agent at a time; the order of turns is a function of pauses, sleeps, locks and ranks alone;
where no agent can go on, that is a deadlock with a report and never a hang; each agent that waits is then ended
by ``Abandoned``, so that every thread comes back. What a thread of the target's own does takes real time
and no virtual time.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any, ClassVar, Final

from pytest_nos_stress._internal.tracebacks import stack_of
from pytest_nos_stress.engines.base import (
    A,
    CrashedAgent,
    DeadlockReport,
    EngineAgent,
    EngineOptions,
    OnOperationEnd,
    StuckAgent,
)
from pytest_nos_stress.errors import Abandoned, SettingError

from . import foreign_threads, locks
from .actor import ENDED, VirtualClock, VirtualThread, describe
from .worker import Worker

_WATCH_INTERVAL: Final = 0.1
_GRACE: Final = 1.5
_LOOK_INTERVAL: Final = 0.01
_REAL_TIME_TO_ANSWER: Final = 0.1
_MOST_WAITS_AT_ONCE: Final = 100_000
_MOST_WAITS_ONCE_STOPPED: Final = 100

Wake = tuple[int, int, int, int, VirtualThread]
"""When, rank, the agent's number, the agent's count of waits, the agent."""


class VirtualEngine:
    """Runs agents one at a time, in virtual time."""

    uses_virtual_time: ClassVar[bool] = True
    runs_one_at_a_time: ClassVar[bool] = True
    repeats_schedules: ClassVar[bool] = True
    awaits_tasks: ClassVar[bool] = False
    supports_proxies: ClassVar[bool] = False

    def __init__(self, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        self.clock = VirtualClock()
        self.crashed: list[CrashedAgent] = []
        self.still_running: list[StuckAgent] = []
        self.timed_out: list[StuckAgent] = []
        self.cancelled: list[StuckAgent] = []
        self.deadlock: DeadlockReport | None = None
        self.completion_order: list[int] = []
        self.stopping = False
        self.turns = 0
        """How many turns were given: a number that does not grow is an agent that does not give its turn away."""
        self.running: VirtualThread | None = None
        self.unanswered: set[VirtualThread] = set()
        """Who waits for what no agent holds, and was given no real time for that yet."""
        self.awaits_others = False
        """Whether all agents wait, and a thread that is no agent's might wake one."""
        self._last_turn = (0, time.monotonic_ns())
        self._own_threads = options.own_threads
        self._operation_timeout = options.operation_timeout
        self._actors: list[VirtualThread] = []
        self._left = 0
        self._heap: list[Wake] = []
        self._woken: deque[tuple[VirtualThread, int]] = deque()
        self._signal = _locked()
        self._end_signal = _locked()
        self._has_begun = False
        self._has_ended = False
        self._given_up = False
        self._at_rendezvous: list[VirtualThread] = []
        self._workers: list[Worker] = []
        self._spare: list[Worker] = []
        self._handed: VirtualThread | None = None
        self._on_operation_end: OnOperationEnd | None = None
        self._every = self._until_next_call = 1
        self._caller = 0

    def run(
        self,
        agents: Sequence[EngineAgent],
        watch: Callable[[], None],
        on_operation_end: OnOperationEnd | None = None,
        every: int = 1,
    ) -> None:
        self._on_operation_end, self._every, self._until_next_call = on_operation_end, every, every
        self._caller = _thread.get_ident()
        self._actors = [VirtualThread(self, agent, number) for number, agent in enumerate(agents)]
        self._left = len(agents)
        for actor in self._actors:
            self.wake_at(actor, 0, actor.number)
        if not locks.ACTORS:
            locks.FOREIGN.clear()
        locks.switch_on()
        try:
            self._run(watch)
        finally:
            locks.switch_off()

    def stop(self) -> None:
        self.stopping = True
        _release(self._signal)

    def overdue(self, agents: Sequence[A], timeout_ns: int) -> dict[A, int]:
        turns, since = self._last_turn
        if self.turns != turns or self.awaits_others:
            self._last_turn = self.turns, time.monotonic_ns()
        elif self.running is not None and time.monotonic_ns() - since > timeout_ns:
            return {agents[self.running.number]: turns}
        return {}

    # What an agent's thread asks for while it has the turn.

    def wake_at(self, actor: VirtualThread, when: int, rank: int) -> None:
        actor.waits += 1
        heappush(self._heap, (when, rank, actor.number, actor.waits, actor))

    def wake_now(self, actor: VirtualThread, wait: int) -> None:
        """Called by whoever releases a lock; a thread that does not have the turn leaves the heap alone."""
        turn = locks.ACTORS.get(_thread.get_ident())
        if isinstance(turn, VirtualThread) and turn.engine is self:
            self.wake_at(actor, self.clock.now[0], actor.rank_going_on)
        else:
            self._woken.append((actor, wait))
            _release(self._signal)

    def give_turn_away(self, actor: VirtualThread) -> None:
        """Let others have their turns until it is this agent's again."""
        if self._given_up:
            raise Abandoned("the run has ended")
        following = self._next()
        if following is actor or following is None:
            return
        worker = actor.worker
        self._hand_to(following)
        if worker is not None:
            worker.baton.acquire()
        if self._given_up:
            raise Abandoned("the run has ended")

    def refuse_endless(self, actor: VirtualThread, nanoseconds: int) -> None:
        """End an operation that waits again and again: in virtual time it would do so for ever, and at once."""
        if self._given_up:
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

    # Who is next.

    def _next(self) -> VirtualThread | None:
        """The agent whose turn is next, with the clock at its time; None when all have ended."""
        heap, now = self._heap, self.clock.now
        while True:
            if self._woken:
                self._take_in_woken()
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
            self._find_somebody()

    def _take_in_woken(self) -> None:
        while self._woken:
            actor, wait = self._woken.popleft()
            if wait == actor.waits:
                self.wake_at(actor, self.clock.now[0], actor.rank_going_on)

    def _find_somebody(self) -> None:
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

    def _others_answer(self) -> bool:
        """Whether somebody is woken by a thread of the target's own before virtual time goes on.

        An agent that waits for such a thread is given its answer at the same instant if it comes soon in real
        time; else its timeout would be over at once. There is this time once for each wait.
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
            if time.monotonic() - began >= foreign_threads.wait_budget(self._workers, self._caller, most):
                return
            self._signal.acquire(timeout=_LOOK_INTERVAL)

    def _wake_all(self) -> None:
        """The run has been stopped: who waits at the rendezvous leaves, who waits for a lock is abandoned."""
        waiting, self._at_rendezvous = self._at_rendezvous, []
        for actor in self._actors:
            if actor.waiting_for is not None:
                actor.abandoned = True
                waiting.append(actor)
        for actor in waiting:
            self.wake_at(actor, self.clock.now[0], actor.rank_going_on)

    # An agent's turn.

    def _advance(self, actor: VirtualThread) -> bool:
        """Let the agent perform its next operation. Whether it has not ended yet."""
        try:
            if self.stopping:
                actor.life.close()
                pause: Any = ENDED
            else:
                actor.began, actor.waits_at_once = self.clock.now[0], 0
                pause = next(actor.life)
                if actor.performing:
                    self._note_operation(actor)
                if pause is ENDED:
                    actor.life.close()
        except BaseException as error:
            if not isinstance(error, Abandoned):
                self.crashed.append(CrashedAgent(actor.agent.name, error))
            self.stop()
            with contextlib.suppress(BaseException):
                actor.life.close()
            pause = ENDED
        actor.performing = False
        if pause is ENDED:
            actor.ended = True
            self._left -= 1
        elif pause is None:
            self._at_rendezvous.append(actor)
        else:
            actor.performing = True
            actor.rank = next(actor.tie_breakers)
            self.wake_at(actor, self.clock.now[0] + int(pause * 1e9), actor.rank)
        if self._at_rendezvous:
            self._meet()
        return not actor.ended

    def _note_operation(self, actor: VirtualThread) -> None:
        self.completion_order.append(actor.number)
        if self._on_operation_end is None:
            return
        self._until_next_call -= 1
        if not self._until_next_call:
            self._until_next_call = self._every
            self._on_operation_end(actor.agent)

    def _meet(self) -> None:
        """Once all that are left have come to the rendezvous, they go on."""
        if len(self._at_rendezvous) < self._left:
            return
        if not self._has_begun:
            self._has_begun = True
            self.clock.started_ns = self.clock.now[0]
        arrived, self._at_rendezvous = self._at_rendezvous, []
        for actor in arrived:
            self.wake_at(actor, self.clock.now[0], actor.number)

    # Threads.

    def _live(self, actor: VirtualThread, _worker: Worker) -> None:
        """An agent's whole life, in a thread of its own."""
        ident = _thread.get_ident()
        locks.ACTORS[ident] = actor
        try:
            while not self._given_up and self._advance(actor):
                self.give_turn_away(actor)
            following = None if self._given_up else self._next()
        except Abandoned:
            following = None
        finally:
            del locks.ACTORS[ident]
        self._hand_to(following)

    def _drive(self, worker: Worker) -> None:
        """The agents' operations, one after another in one thread; one that sleeps stays in its thread."""
        ident = _thread.get_ident()
        following = self._handed
        try:
            while following is not None and not self._given_up:
                if following.worker is None:
                    following.worker = worker
                    locks.ACTORS[ident] = following
                    self._advance(following)
                    following.worker = None
                    following = self._next()
                else:
                    self._spare.append(worker)
                    following.worker.baton.release()
                    worker.baton.acquire()
                    following = self._handed
        finally:
            locks.ACTORS.pop(ident, None)
        self._hand_to(following)

    def _hand_to(self, following: VirtualThread | None) -> None:
        """Give the turn to another agent, in whatever thread that is; where there is none, the run has ended."""
        if self._given_up:
            return
        self._handed = following
        if following is None:
            self._release_spare_threads()
            self._has_ended = True
            _release(self._end_signal)
        elif following.worker is not None:
            following.worker.baton.release()
        else:
            worker = self._spare.pop() if self._spare else self._worker("stress agents", self._drive)
            worker.baton.release()

    def _worker(self, name: str, job: Callable[[Worker], None]) -> Worker:
        worker = Worker(name, job)
        self._workers.append(worker)
        return worker

    def _release_spare_threads(self) -> None:
        while self._spare:
            self._spare.pop().baton.release()

    def _begin(self) -> None:
        if self._own_threads:
            for actor in self._actors:
                job = functools.partial(self._live, actor)
                try:
                    actor.worker = self._worker(f"agent {actor.agent.name}", job)
                except RuntimeError as error:
                    raise SettingError(
                        f"agents={len(self._actors)}: the system starts only {actor.number} threads ({error}); "
                        "must be fewer, or own_threads=False"
                    ) from None
        self._hand_to(self._next())

    def _run(self, watch: Callable[[], None]) -> None:
        try:
            self._begin()
            while not self._end_signal.acquire(timeout=_WATCH_INTERVAL) and not self.stopping:
                watch()
        except BaseException:
            self.stop()
            raise
        finally:
            if not self._has_ended and not self._end_signal.acquire(timeout=_GRACE):
                self._give_up()
            self._join()

    def _join(self) -> None:
        """No thread outlives the run but one that a hung operation holds."""
        held = self.running.worker if self._given_up and self.running else None
        deadline = time.monotonic() + _GRACE
        for worker in self._workers:
            if worker is not held:
                worker.thread.join(max(0.0, deadline - time.monotonic()))

    def _give_up(self) -> None:
        """An agent keeps its turn. Name it, and end the other threads, which wait for theirs."""
        self._given_up = True
        busy = self.running
        for actor in self._actors:
            if actor.worker is None:
                continue
            if actor is busy:
                self.still_running.append(StuckAgent(actor.agent.name, stack_of(actor.worker.thread.ident)))
            elif not actor.ended:
                _release(actor.worker.baton)
        self._release_spare_threads()


def _locked() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


def _release(signal: _thread.LockType) -> None:
    """Give a signal; one that has not been seen yet is the same one."""
    with contextlib.suppress(RuntimeError):
        signal.release()
