"""The ``virtual`` engine: ordinary synchronous code and real threads in virtual time.

Problem: a stress test spends nearly all its time waiting, and threads never interleave the same way twice.

Solution: one agent runs at a time. It keeps its turn until it pauses, sleeps by ``operation.sleep()``, or would
block in a lock (``locks``). Then the agent that is due next gets the turn (``scheduler``), and the virtual clock
is set to its time. The target needs no change: each agent has its own thread, and a turn is handed from thread to
thread. With ``own_threads=False`` one thread performs operations one after another, which is much faster. An
operation that sleeps or blocks keeps its thread, and another thread continues.

Guarantees: one agent runs at a time, in an order that a scenario always repeats. In a deadlock, ``Abandoned`` ends
every waiting agent, so that all threads end. Threads that the target starts take real time and no virtual time.
"""

from __future__ import annotations

import _thread
import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from pytest_nos_stress._internal.instrument import perf_counter, perf_counter_ns
from pytest_nos_stress._internal.tracebacks import stack_of
from pytest_nos_stress.engines.base import (
    CURRENT_AGENT,
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
from .actor import ENDED, VirtualThread
from .scheduler import Scheduler, signal, taken_lock
from .worker import Worker

_WATCH_INTERVAL: Final = 0.1
_GRACE: Final = 1.5


class VirtualEngine:
    """An engine that runs one agent at a time, in virtual time."""

    uses_virtual_time: ClassVar[bool] = True
    runs_one_at_a_time: ClassVar[bool] = True
    repeats_schedules: ClassVar[bool] = True
    awaits_tasks: ClassVar[bool] = False
    supports_proxies: ClassVar[bool] = False

    def __init__(self, options: EngineOptions | None = None) -> None:
        options = options or EngineOptions()
        self._scheduler = Scheduler(options.operation_timeout)
        self.clock = self._scheduler.clock
        self.crashed: list[CrashedAgent] = []
        self.timed_out = self._scheduler.timed_out
        self.cancelled: list[StuckAgent] = []
        self.still_running: list[StuckAgent] = []
        self.completion_order: list[int] = []
        self.operations_overlapped: bool | None = False
        self._own_threads = options.own_threads
        self._actors: list[VirtualThread] = []
        self._workers: list[Worker] = []
        self._idle_workers: list[Worker] = []
        self._turn_given_to: VirtualThread | None = None
        self._has_ended = False
        self._end_signal = taken_lock()
        self._last_turn = (0, perf_counter_ns())
        self._on_operation_end: OnOperationEnd | None = None
        self._every = self._until_next_call = 1

    @property
    def deadlock(self) -> DeadlockReport | None:
        return self._scheduler.deadlock

    def run(
        self,
        agents: Sequence[EngineAgent],
        watch: Callable[[], None],
        on_operation_end: OnOperationEnd | None = None,
        every: int = 1,
    ) -> None:
        self._on_operation_end, self._every, self._until_next_call = on_operation_end, every, every
        self._actors = [
            VirtualThread(self._scheduler, self._wait_in_operation, agent, number)
            for number, agent in enumerate(agents)
        ]
        wait_budget = functools.partial(foreign_threads.wait_budget, self._workers, _thread.get_ident())
        self._scheduler.start(self._actors, wait_budget)
        if not locks.ACTORS:
            locks.FOREIGN.clear()
        locks.switch_on()
        try:
            self._run(watch)
        finally:
            locks.switch_off()

    def stop(self) -> None:
        self._scheduler.stop()

    def overdue(self, agents: Sequence[A], timeout_ns: int) -> dict[A, int]:
        turns, since = self._last_turn
        scheduler = self._scheduler
        if scheduler.turns != turns or scheduler.awaits_foreign_threads:
            self._last_turn = scheduler.turns, perf_counter_ns()
        elif scheduler.running is not None and perf_counter_ns() - since > timeout_ns:
            return {agents[scheduler.running.number]: turns}
        return {}

    def _run(self, watch: Callable[[], None]) -> None:
        try:
            self._begin()
            while not self._end_signal.acquire(timeout=_WATCH_INTERVAL) and not self._scheduler.stopping:
                watch()
        except BaseException:
            self.stop()
            raise
        finally:
            if not self._has_ended and not self._end_signal.acquire(timeout=_GRACE):
                self._give_up()
            self._join()

    def _begin(self) -> None:
        if self._own_threads:
            for actor in self._actors:
                job = functools.partial(self._perform_all, actor)
                try:
                    actor.worker = self._start_worker(f"agent {actor.agent.name}", job)
                except RuntimeError as error:
                    raise SettingError(
                        f"agents={len(self._actors)}: the system starts only {actor.number} threads ({error}); "
                        "must be fewer, or own_threads=False"
                    ) from None
        self._hand_to(self._scheduler.next())

    # An agent's turn

    def _advance(self, actor: VirtualThread) -> bool:
        """Let the agent perform its next operation. Return False if the agent has ended."""
        scheduler = self._scheduler
        try:
            if scheduler.stopping:
                actor.body.close()
                pause: Any = ENDED
            else:
                actor.began, actor.instant_waits = scheduler.clock.now[0], 0
                pause = next(actor.body)
                if actor.performing:
                    self._note_operation(actor)
                if pause is ENDED:
                    actor.body.close()
        except BaseException as error:
            if not isinstance(error, Abandoned):
                self.crashed.append(CrashedAgent(actor.agent.name, error))
            scheduler.stop()
            with contextlib.suppress(BaseException):
                actor.body.close()
            pause = ENDED
        actor.performing = False
        if pause is ENDED:
            scheduler.end(actor)
            return False
        if pause is None:
            scheduler.wait_at_barrier(actor)
            return True
        actor.performing = True
        actor.rank = next(actor.tie_breakers)
        scheduler.wake_at(actor, scheduler.clock.now[0] + int(pause * 1e9), actor.rank)
        return True

    def _note_operation(self, actor: VirtualThread) -> None:
        self.completion_order.append(actor.number)
        if self._on_operation_end is None:
            return
        self._until_next_call -= 1
        if not self._until_next_call:
            self._until_next_call = self._every
            self._on_operation_end(actor.agent)

    # Threads, and handing a turn from one to another

    def _perform_all(self, actor: VirtualThread, _worker: Worker) -> None:
        """Perform all operations of an agent, in the agent's own thread."""
        CURRENT_AGENT.set(actor.agent)
        ident = _thread.get_ident()
        locks.ACTORS[ident] = actor
        scheduler = self._scheduler
        try:
            while not scheduler.given_up and self._advance(actor):
                self._give_turn_away(actor)
            next_actor = None if scheduler.given_up else scheduler.next()
        except Abandoned:
            next_actor = None
        finally:
            del locks.ACTORS[ident]
        self._hand_to(next_actor)

    def _perform_any(self, worker: Worker) -> None:
        """Perform the operations of all agents one after another, in one thread.

        An operation that sleeps keeps its thread, and another thread continues.
        """
        ident = _thread.get_ident()
        next_actor = self._turn_given_to
        scheduler = self._scheduler
        try:
            while next_actor is not None and not scheduler.given_up:
                if next_actor.worker is None:
                    next_actor.worker = worker
                    locks.ACTORS[ident] = next_actor
                    self._advance(next_actor)
                    next_actor.worker = None
                    next_actor = scheduler.next()
                else:
                    self._idle_workers.append(worker)
                    next_actor.worker.handoff.release()
                    worker.handoff.acquire()
                    next_actor = self._turn_given_to
        finally:
            locks.ACTORS.pop(ident, None)
        self._hand_to(next_actor)

    def _wait_in_operation(self, actor: VirtualThread) -> None:
        """Let other agents have their turns while this agent sleeps or waits in the middle of an operation."""
        self._give_turn_away(actor, in_operation=True)

    def _give_turn_away(self, actor: VirtualThread, *, in_operation: bool = False) -> None:
        """Let other agents have their turns until this agent gets the turn again."""
        if self._scheduler.given_up:
            raise Abandoned("the run has ended")
        next_actor = self._scheduler.next()
        if next_actor is actor or next_actor is None:
            return
        if in_operation and actor.performing and next_actor.performing:
            # The records cannot tell: operations that wait for each other may take no virtual time.
            self.operations_overlapped = True
        worker = actor.worker
        self._hand_to(next_actor)
        if worker is not None:
            worker.handoff.acquire()
        if self._scheduler.given_up:
            raise Abandoned("the run has ended")

    def _hand_to(self, next_actor: VirtualThread | None) -> None:
        """Give the turn to another agent, in the agent's thread. None ends the run."""
        if self._scheduler.given_up:
            return
        self._turn_given_to = next_actor
        if next_actor is None:
            self._release_idle_workers()
            self._has_ended = True
            signal(self._end_signal)
        elif next_actor.worker is not None:
            next_actor.worker.handoff.release()
        else:
            worker = (
                self._idle_workers.pop()
                if self._idle_workers
                else self._start_worker("stress agents", self._perform_any)
            )
            worker.handoff.release()

    def _start_worker(self, name: str, job: Callable[[Worker], None]) -> Worker:
        worker = Worker(name, job)
        self._workers.append(worker)
        return worker

    def _release_idle_workers(self) -> None:
        while self._idle_workers:
            self._idle_workers.pop().handoff.release()

    def _join(self) -> None:
        """Wait for the end of every thread, except the thread of a hung operation."""
        running = self._scheduler.running
        held = running.worker if self._scheduler.given_up and running else None
        deadline = perf_counter() + _GRACE
        for worker in self._workers:
            if worker is not held:
                worker.thread.join(max(0.0, deadline - perf_counter()))

    def _give_up(self) -> None:
        """Report the agent that does not give its turn away, and end the other threads."""
        self._scheduler.given_up = True
        hung = self._scheduler.running
        for actor in self._actors:
            if actor.worker is None:
                continue
            if actor is hung:
                self.still_running.append(StuckAgent(actor.agent.name, stack_of(actor.worker.thread.ident)))
            elif not actor.ended:
                signal(actor.worker.handoff)
        self._release_idle_workers()
