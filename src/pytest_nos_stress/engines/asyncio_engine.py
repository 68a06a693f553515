"""The ``asyncio`` engine: ``async def`` tasks of many agents on one event loop, in real time.

The agents are coroutines on one event loop. It is the loop of the options if they have one (the loop of the test's
async fixtures), otherwise a new loop with its own thread. The thread that called ``run`` only watches. So it
notices a task that blocks the loop, and Ctrl-C does not wait for that task.

Guarantees:

- No agent performs an operation before every agent has entered its session.
- An exception that leaves an agent is recorded, whatever its type.
- After ``stop()``, pauses and sleeps end at once. Operations have 1.3 s to end by themselves, then they are
  cancelled. Agents whose operations still do not end are reported with their stacks.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
import weakref
from asyncio import Event as LoopEvent
from asyncio import all_tasks, get_running_loop
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final

from pytest_nos_stress._internal.instrument import Event, perf_counter_ns, wall_ns
from pytest_nos_stress._internal.loops import Timer, call_later, wake, yield_once
from pytest_nos_stress._internal.tracebacks import stack_of, stack_of_awaiting
from pytest_nos_stress.errors import Abandoned

from . import leftovers
from .base import (
    CURRENT_AGENT,
    A,
    AsyncAgent,
    CrashedAgent,
    DeadlockReport,
    EngineAgent,
    EngineOptions,
    OnOperationEnd,
    StuckAgent,
)
from .own_loop import OwnLoop

_WATCH_INTERVAL: Final = 0.1
_GRACE: Final = 1.3
_GRACE_AFTER_CANCEL: Final = 0.3
_LONGEST_PAUSE: Final = 0.5
_MAX_IN_A_ROW: Final = 8
"""Number of operations that an agent without think time performs before it yields to the event loop."""
_ENDED: Final = object()


class LoopClock:
    """The machine's monotonic clock, with sleeps on an event loop. The end of the run ends them."""

    def __init__(self) -> None:
        self.now_ns: Callable[[], int] = perf_counter_ns
        self.wall_offset_ns = wall_ns() - self.now_ns()
        self.started_ns = self.now_ns()
        self._sleeping: set[asyncio.Future[None]] = set()
        self._stopped = False

    async def sleep(self, seconds: float) -> None:
        if self._stopped:
            await yield_once()  # a task that sleeps in a loop must not block the event loop
            return
        loop = get_running_loop()
        waking: asyncio.Future[None] = loop.create_future()
        timer = call_later(loop, max(0.0, seconds), wake, waking)
        self._sleeping.add(waking)
        try:
            await waking
        finally:
            timer.cancel()
            self._sleeping.discard(waking)

    def end_sleeps(self) -> None:
        """End all sleeps, now and in future. Call it on the loop."""
        self._stopped = True
        for waking in list(self._sleeping):
            wake(waking)


class AsyncioEngine:
    """An engine that runs agents as coroutines, on the user's event loop or on its own."""

    uses_virtual_time: ClassVar[bool] = False
    runs_one_at_a_time: ClassVar[bool] = False
    repeats_schedules: ClassVar[bool] = False
    awaits_tasks: ClassVar[bool] = True
    supports_proxies: ClassVar[bool] = True

    def __init__(self, options: EngineOptions | None = None) -> None:
        self.clock = LoopClock()
        self.crashed: list[CrashedAgent] = []
        self.still_running: list[StuckAgent] = []
        self.timed_out: list[StuckAgent] = []
        self.cancelled: list[StuckAgent] = []
        self.deadlock: DeadlockReport | None = None
        self.completion_order: list[int] = []
        self.operations_overlapped: bool | None = None
        self._loop = options.loop if options else None
        self._loop_thread: int | None = None
        self._stopping = False
        self._has_begun = False
        self._is_cancelling = False
        self._ended = Event()
        self._tasks: dict[asyncio.Task[None], AsyncAgent] = {}
        self._tasks_before: weakref.WeakSet[asyncio.Task[Any]] = weakref.WeakSet()
        self._missing_at_barrier = 0
        self._running = 0
        self._gate: LoopEvent
        self._safepoint: _Safepoint

    def run(
        self,
        agents: Sequence[AsyncAgent],
        watch: Callable[[], None],
        on_operation_end: OnOperationEnd | None = None,
        every: int = 1,
    ) -> None:
        own_loop = None if self._loop is not None else OwnLoop()
        loop = self._loop = self._loop or own_loop.loop  # type: ignore[union-attr]
        try:
            loop.call_soon_threadsafe(self._start_tasks, agents, on_operation_end, every)
            while not self._ended.wait(_WATCH_INTERVAL) and not self._stopping:
                watch()
        except BaseException:
            self.stop()
            raise
        finally:
            self._join()
            self._await_leftovers()
            if own_loop is not None:
                own_loop.close(None if self._ended.is_set() else _GRACE_AFTER_CANCEL)

    def stop(self) -> None:
        if not self._stopping and self._loop is not None:
            self._stopping = True
            self._loop.call_soon_threadsafe(self._wake_all)

    def overdue(self, agents: Sequence[A], timeout_ns: int) -> dict[A, int]:
        latest = self.clock.now_ns() - timeout_ns
        return {agent: since for agent in agents if (since := agent.busy_since()) is not None and since < latest}

    # The methods below run on the event loop.

    def _start_tasks(
        self, agents: Sequence[AsyncAgent], on_operation_end: OnOperationEnd | None, every: int
    ) -> None:
        self._loop_thread = threading.get_ident()
        self._missing_at_barrier = self._running = len(agents)
        self._gate = LoopEvent()
        self._safepoint = _Safepoint(on_operation_end, every)
        loop = get_running_loop()
        self._tasks_before = weakref.WeakSet(all_tasks())
        for agent in agents:
            task = loop.create_task(self._run_agent(agent))
            self._tasks[task] = agent
        for task in list(self._tasks):
            task.add_done_callback(self._leave)

    async def _run_agent(self, agent: AsyncAgent) -> None:
        """Run one agent from the beginning to the end of its session."""
        CURRENT_AGENT.set(agent)
        try:
            async with agent.async_session():
                await self._wait_at_barrier()
                await self._perform(agent)
        except asyncio.CancelledError as error:
            if not self._is_cancelling:
                self.crashed.append(CrashedAgent(agent.name, error))
                self.stop()
        except BaseException as error:
            self.crashed.append(CrashedAgent(agent.name, error))
            self.stop()

    async def _perform(self, agent: AsyncAgent) -> None:
        operations, safepoint = agent.operations(), self._safepoint
        sleep = self.clock.sleep
        in_a_row = 0
        item: Any = None if self._stopping else next(operations, _ENDED)
        while item is not _ENDED and not self._stopping:
            if item is None:
                await self._wait_at_barrier()
                item = next(operations, _ENDED)
                continue
            if hasattr(type(item), "__await__"):
                item = await self._send_awaited(operations, item)
                continue
            in_a_row = 0 if item else in_a_row + 1
            if item:
                await sleep(item)
            elif in_a_row % _MAX_IN_A_ROW == 0:
                await yield_once()
            if safepoint.is_due:
                await safepoint.wait()
            if self._stopping:
                return
            safepoint.performing += 1
            try:
                item = next(operations, _ENDED)
                while hasattr(type(item), "__await__"):
                    item = await self._send_awaited(operations, item)
            finally:
                safepoint.performed(agent)
        if inspect.iscoroutine(item):
            item.close()

    async def _send_awaited(self, operations: Any, awaitable: Any) -> Any:
        """Await what an operation has yielded, send back the result, and return what it yields next."""
        try:
            value = await awaitable
        except BaseException as error:
            if self._is_cancelling and isinstance(error, asyncio.CancelledError):
                error = Abandoned("the run has ended")
            return _next(operations.throw, error)
        return _next(operations.send, value)

    async def _wait_at_barrier(self) -> None:
        """Wait until every agent that has not ended has arrived."""
        gate = self._gate
        self._missing_at_barrier -= 1
        if not self._missing_at_barrier:
            self._open_barrier()
        await gate.wait()

    def _open_barrier(self) -> None:
        gate, self._gate = self._gate, LoopEvent()
        self._missing_at_barrier = self._running
        if self._stopping:
            self._gate.set()
        if not self._has_begun:
            self._has_begun = True
            self.clock.started_ns = self.clock.now_ns()
        gate.set()

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        self._running -= 1
        self._missing_at_barrier -= 1
        if not self._running:
            self._ended.set()
        elif not self._missing_at_barrier:
            self._open_barrier()

    def _wake_all(self) -> None:
        self.clock.end_sleeps()
        self._safepoint.release()
        self._gate.set()

    def _cancel_all(self) -> None:
        self._is_cancelling = True
        for task, agent in list(self._tasks.items()):
            if agent.busy_since() is not None:
                self.cancelled.append(StuckAgent(agent.name, stack_of_awaiting(task.get_coro())))
            task.cancel()

    def _name_still_running(self, named: Event) -> None:
        for task, agent in list(self._tasks.items()):
            self.still_running.append(StuckAgent(agent.name, stack_of_awaiting(task.get_coro())))
        names = {stuck.agent for stuck in self.still_running}
        self.cancelled = [stuck for stuck in self.cancelled if stuck.agent not in names]
        named.set()

    # The methods below run in the thread that called run().

    def _join(self) -> None:
        loop = self._loop
        if loop is None or self._ended.wait(_GRACE if self._stopping else None):
            return
        loop.call_soon_threadsafe(self._cancel_all)
        if self._ended.wait(_GRACE_AFTER_CANCEL):
            return
        named = Event()
        loop.call_soon_threadsafe(self._name_still_running, named)
        if not named.wait(_WATCH_INTERVAL):
            self.still_running.append(StuckAgent(self._blocking_agent(), stack_of(self._loop_thread)))

    def _await_leftovers(self) -> None:
        """Give the tasks that the target started time to end, so that their exceptions are known."""
        loop = self._loop
        if loop is None or self._stopping or not self._ended.is_set():
            return
        leftovers.await_tasks(loop, lambda: [task for task in all_tasks() if task not in self._tasks_before])

    def _blocking_agent(self) -> str:
        return next((agent.name for agent in self._tasks.values() if agent.busy_since() is not None), "no agent")


class _Safepoint:
    """Pauses all agents between two operations, every ``every`` operations, to call a function."""

    def __init__(self, on_operation_end: OnOperationEnd | None, every: int) -> None:
        self._on_operation_end = on_operation_end
        self._every = every
        self._count = 0
        self._released = LoopEvent()
        self._timeout: Timer | None = None
        self.performing = 0
        self.is_due = False

    async def wait(self) -> None:
        while self.is_due:
            await self._released.wait()

    def performed(self, agent: EngineAgent) -> None:
        self.performing -= 1
        if self._on_operation_end is None:
            return
        self._count += 1
        if self._count % self._every == 0 and not self.is_due:
            self.is_due = True
            self._timeout = call_later(get_running_loop(), _LONGEST_PAUSE, self.release)
        if self.is_due and not self.performing:
            try:
                self._on_operation_end(agent)
            finally:
                self.release()

    def release(self) -> None:
        """Let all agents continue.

        Called after the function, or after half a second: agents that wait for each other's next operations cannot
        all be paused.
        """
        if self._timeout is not None:
            self._timeout.cancel()
        self.is_due = False
        released, self._released = self._released, LoopEvent()
        released.set()


def _next(advance: Callable[[Any], Any], value: Any) -> Any:
    try:
        return advance(value)
    except StopIteration:
        return _ENDED
