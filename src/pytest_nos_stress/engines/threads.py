"""The ``threads`` engine: a real thread for each agent, in real time.

Guarantees:

- No agent performs an operation before every agent has entered its session. Then all agents start at once.
- An exception that leaves an agent is recorded, whatever its type.
- After ``stop()`` the run ends within two seconds. A thread that the target still holds by then is a daemon, and
  is reported with its stack.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import ClassVar, Final

from pytest_nos_stress._internal.instrument import (
    Condition,
    Event,
    Lock,
    Thread,
    perf_counter,
    perf_counter_ns,
    wall_ns,
)
from pytest_nos_stress._internal.tracebacks import stack_of
from pytest_nos_stress.errors import SettingError

from .base import (
    CURRENT_AGENT,
    A,
    CrashedAgent,
    DeadlockReport,
    EngineAgent,
    EngineOptions,
    OnOperationEnd,
    StuckAgent,
)
from .safepoint import Safepoint

_WATCH_INTERVAL: Final = 0.1
_GRACE: Final = 1.5
_WOKEN_AT_ONCE: Final = 8
_ENDED: Final = -1.0


class RealClock:
    """The machine's monotonic clock. The end of the run ends its sleeps."""

    def __init__(self, stopped: Event) -> None:
        self._stopped = stopped
        self.now_ns: Callable[[], int] = perf_counter_ns
        self.wall_offset_ns = wall_ns() - self.now_ns()
        self.started_ns = self.now_ns()

    def sleep(self, seconds: float) -> None:
        self._stopped.wait(seconds)


class _Gate:
    """A gate that agents wait at until it is opened.

    Eight agents are woken at first, and each agent that passes wakes the next one. So the processor never has to
    wake all agents at once.
    """

    def __init__(self) -> None:
        self._is_open = False
        self._changed = Condition()

    def open(self) -> None:
        with self._changed:
            self._is_open = True
            self._changed.notify(_WOKEN_AT_ONCE)

    def pass_through(self) -> None:
        with self._changed:
            while not self._is_open:
                self._changed.wait()
            self._changed.notify()


class ThreadsEngine:
    """An engine that runs each agent in its own real thread."""

    uses_virtual_time: ClassVar[bool] = False
    runs_one_at_a_time: ClassVar[bool] = False
    repeats_schedules: ClassVar[bool] = False
    awaits_tasks: ClassVar[bool] = False
    supports_proxies: ClassVar[bool] = True

    def __init__(self, _options: EngineOptions | None = None) -> None:
        self._stopped = Event()
        self._stopping = False
        self._has_begun = False
        self._gate = _Gate()
        self._all_ended = Event()
        self._lock = Lock()
        self._missing_at_barrier = 0
        self._running = 0
        self._threads: dict[Thread, EngineAgent] = {}
        self._on_operation_end: OnOperationEnd | None = None
        self._safepoint = Safepoint(1)
        self.clock = RealClock(self._stopped)
        self.crashed: list[CrashedAgent] = []
        self.still_running: list[StuckAgent] = []
        self.timed_out: list[StuckAgent] = []
        self.cancelled: list[StuckAgent] = []
        self.deadlock: DeadlockReport | None = None
        self.completion_order: list[int] = []
        self.operations_overlapped: bool | None = None

    def run(
        self,
        agents: Sequence[EngineAgent],
        watch: Callable[[], None],
        on_operation_end: OnOperationEnd | None = None,
        every: int = 1,
    ) -> None:
        self._missing_at_barrier = self._running = len(agents)
        self._on_operation_end, self._safepoint = on_operation_end, Safepoint(every)
        try:
            self._start_threads(agents)
            while not self._all_ended.wait(_WATCH_INTERVAL) and not self._stopping:
                watch()
        except BaseException:
            self.stop()
            raise
        finally:
            self._join()

    def stop(self) -> None:
        self._stopping = True
        self._stopped.set()
        self._gate.open()

    def overdue(self, agents: Sequence[A], timeout_ns: int) -> dict[A, int]:
        latest = self.clock.now_ns() - timeout_ns
        return {agent: since for agent in agents if (since := agent.busy_since()) is not None and since < latest}

    def _start_threads(self, agents: Sequence[EngineAgent]) -> None:
        for agent in agents:
            thread = Thread(target=self._run_agent, args=(agent,), name=f"agent {agent.name}")
            self._threads[thread] = agent
            try:
                thread.start()
            except RuntimeError as error:
                raise SettingError(
                    f"agents={len(agents)}: the system starts only {len(self._threads) - 1} threads ({error}); "
                    "must be fewer"
                ) from None

    def _run_agent(self, agent: EngineAgent) -> None:
        """Run one agent from the beginning to the end of its session, in its own thread."""
        CURRENT_AGENT.set(agent)
        try:
            with agent.session():
                self._wait_at_barrier()
                if self._on_operation_end is None:
                    self._perform(agent)
                else:
                    self._perform_with_safepoints(agent, functools.partial(self._on_operation_end, agent))
        except BaseException as error:
            self.crashed.append(CrashedAgent(agent.name, error))
            self.stop()
        finally:
            self._leave()

    def _perform(self, agent: EngineAgent) -> None:
        if self._stopping:
            return
        wait = self._stopped.wait
        for pause in agent.operations():
            if pause:
                wait(pause)
            elif pause is None:
                self._wait_at_barrier()
            if self._stopping:
                return

    def _perform_with_safepoints(self, agent: EngineAgent, paused: Callable[[], None]) -> None:
        """Perform the agent's operations, each inside the safepoint, which calls ``paused`` when due."""
        operations = agent.operations()
        pause = None if self._stopping else next(operations, _ENDED)
        while pause is not _ENDED and not self._stopping:
            if pause is None:
                self._wait_at_barrier()
                pause = next(operations, _ENDED)
                continue
            if pause:
                self._stopped.wait(pause)
            if self._stopping:
                return
            with self._safepoint.operation(paused, self._stopped.is_set):
                pause = next(operations, _ENDED)

    def _wait_at_barrier(self) -> None:
        """Wait until every agent that has not ended has arrived. The last one to arrive opens the barrier."""
        with self._lock:
            gate = self._gate
            self._missing_at_barrier -= 1
            is_last = not self._missing_at_barrier
        if is_last:
            self._open_barrier()
        gate.pass_through()

    def _open_barrier(self) -> None:
        gate = self._gate
        with self._lock:
            self._missing_at_barrier = self._running
            self._gate = _Gate()
            if self._stopping:
                self._gate.open()
        if not self._has_begun:
            self._has_begun = True
            self.clock.started_ns = self.clock.now_ns()
        gate.open()

    def _leave(self) -> None:
        with self._lock:
            self._running -= 1
            self._missing_at_barrier -= 1
            is_last, all_have_arrived = not self._running, not self._missing_at_barrier
        if is_last:
            self._all_ended.set()
        elif all_have_arrived:
            self._open_barrier()

    def _join(self) -> None:
        deadline = perf_counter() + _GRACE
        for thread in self._threads:
            if thread.ident is None:
                continue
            thread.join(max(0.0, deadline - perf_counter()))
        for thread, agent in self._threads.items():
            if thread.is_alive():
                self.still_running.append(StuckAgent(agent.name, stack_of(thread.ident)))
