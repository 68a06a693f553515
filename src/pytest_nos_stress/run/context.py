"""The world of a run: what its agents share, and how their tasks' functions are called in it.

A run without a network, limits or retries calls a target directly; everything else goes by way of a delivery.
Which of the two it is, is decided once for each kind of plan, so that an ordinary call costs nothing more.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress._internal.tracebacks import strip_internal_frames
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.faults.call_faults import run_steps, run_steps_async
from pytest_nos_stress.faults.context import CURRENT_OPERATION, CurrentOperation
from pytest_nos_stress.faults.errors import InjectedFault, is_injected
from pytest_nos_stress.faults.mix import CALL, PlannedFault
from pytest_nos_stress.faults.transport import Call, FastPath, FaultyTransport, OneWayDelays
from pytest_nos_stress.faults.windows import OpenWindows
from pytest_nos_stress.scenario.operation import AsyncOperation, Operation, SyncOperation, Task
from pytest_nos_stress.scenario.operation_market import operation_type
from pytest_nos_stress.scenario.scenario import Scenario

if TYPE_CHECKING:
    from pytest_nos_stress.engines.base import Clock
    from pytest_nos_stress.market import Market

_NEVER: Final = 1 << 62
_DIRECT: Final = (None, "missing_data", "lost_request", "lost_reply")
"""What needs no delivery where a call has no way to go: the fault only decides whether the target is called."""


class Recovery(Protocol):
    """The phase without faults after the plan, which ends when what was to become true has become so."""

    def begin(self, now: int) -> None:
        """Called by each agent when all have performed their plans; the first call begins the phase."""

    most_operations: int
    """How many operations an agent performs in it at most."""

    @property
    def deadline_ns(self) -> int: ...

    @property
    def has_begun(self) -> bool: ...

    def is_over(self, now: int) -> bool: ...


class Caller(Protocol):
    """An agent, as its calls see it."""

    name: str

    def one_way_delays(self, index: int) -> OneWayDelays | None:
        """What the plan says of an operation's ways through the network."""

    def fault_of_attempt(self, index: int, number: int) -> PlannedFault: ...

    def on_fault(self, fault: InjectedFault) -> None:
        """An attempt has met a fault that was not planned for the operation."""

    def on_retry(self) -> None:
        """An attempt has failed, and there is to be another one."""

    def on_success(self, index: int, kind: PlannedFault) -> None:
        """The last attempt at an operation has ended well."""


class RunContext:
    """What the agents of a run share: scenario, target, clock, market, and how a run is ended from within."""

    def __init__(
        self,
        scenario: Scenario,
        tasks: Sequence[Task],
        clock: Clock,
        *,
        stop: Callable[[], None],
        recovery: Recovery | None = None,
        per_agent: Callable[[str], Any] | None = None,
        expected_errors: tuple[type[BaseException], ...] = (),
        ending_errors: tuple[type[BaseException], ...] = (),
        faults_at_calls: bool = True,
        network_at_calls: bool = True,
    ) -> None:
        self.scenario = scenario
        self.tasks = tasks
        self.clock = clock
        self.fault_mix = scenario.fault_mix
        self.faults_at_calls = faults_at_calls
        """Whether planned faults of calls are those of agents' calls; else clients of the target meet them."""
        self.network_at_calls = network_at_calls
        """Whether agents' calls go over the scenario's network; else proxies are in its place."""
        self.awaits = engine_class(scenario.engine).awaits_tasks
        self.windows = (
            None if scenario.fault_windows is None else OpenWindows(scenario.fault_windows, self.elapsed)
        )
        self.recovery = recovery
        self.per_agent = per_agent
        self.expected_errors = expected_errors
        self.ended_by: BaseException | None = None
        self._ending_errors = ending_errors
        self._stop = stop
        self.on_start: list[Callable[[], None]] = []
        """Called once, when all sessions are entered and the first agent begins."""
        self.has_begun = False
        self.is_paused = False
        """Whether checks look at the target, while no agent performs anything."""
        self.on_end: list[Callable[[], Any]] = []
        """What is left to be awaited when all agents have ended, on an event loop."""
        self._at_work = len(scenario.agent_names)
        self._market: Market | None = None
        self._lock = threading.Lock()
        self.delivery = FaultyTransport(scenario, self.elapsed, network=network_at_calls, limits=faults_at_calls)
        self.calls: list[Callable[..., Any] | None] = []
        self.makes: list[type[Operation] | None] = []
        for task in tasks:
            for kind in self.fault_mix.variants:
                call, make = self._way(task, kind)
                self.calls.append(call)
                self.makes.append(make)

    @property
    def deadline_ns(self) -> int:
        """When a run by duration ends, on the engine's clock."""
        if self.scenario.duration is None:
            return _NEVER
        return self.clock.started_ns + round(self.scenario.duration * 1e9)

    @property
    def market(self) -> Market:
        """The market all operations see, made when one first looks."""
        if self._market is None:
            with self._lock:
                self._market = self._market or self._open_market()
        return self._market

    def now(self) -> float:
        return (self.clock.now_ns() + self.clock.wall_offset_ns) / 1e9

    def elapsed(self) -> float:
        """Seconds since the run's start."""
        return (self.clock.now_ns() - self.clock.started_ns) / 1e9

    def faults_are_active(self, current: CurrentOperation | None) -> bool:
        """Whether planned faults take place for a call made in this operation, or in none."""
        if current is not None:
            return bool(current.agent.may_fail)
        if not self.has_begun or self.is_paused or not self._at_work:
            return False
        has_recovered = self.recovery is not None and self.recovery.has_begun
        return not has_recovered and (self.windows is None or self.windows.are_open())

    def begin(self) -> None:
        """An agent begins its operations."""
        with self._lock:
            if self.has_begun:
                return
            self.has_begun = True
        for begin in self.on_start:
            begin()

    def is_last(self) -> bool:
        """Called once by each agent that has performed everything: whether all have."""
        with self._lock:
            self._at_work -= 1
            return not self._at_work

    def listed_fault(self, current: CurrentOperation | None) -> PlannedFault:
        """The fault of a call that a list has planned for an operation; an ordinary call if there is none."""
        scenario, kinds = self.scenario, self.fault_mix
        if current is None or scenario.planned is None:
            return kinds.variants[CALL]
        agent, index = current.agent, current.index
        places = scenario.places_of[agent.name]
        fault = scenario.planned[places[index]].fault if index < len(places) else None
        kind = kinds.variants[kinds.number_of[fault]]
        return kinds.variants[CALL] if kind.is_missing_data else kind

    def announce(self, event: str) -> None:
        """An event has taken place, with which fault windows may begin."""
        if self.windows is not None:
            self.windows.announce(event)

    def ends_with(self, error: BaseException) -> bool:
        """Whether this exception ends the run; if so, the run is stopped and the exception kept."""
        if not issubclass(type(error), self._ending_errors):
            return False
        with self._lock:
            # Its frames here are dead generators by the time it is raised again; nobody should look into them.
            self.ended_by = self.ended_by or error.with_traceback(strip_internal_frames(error))
        self._stop()
        return True

    def _open_market(self) -> Market:
        from pytest_nos_stress.market.specification import open_market

        start = (self.clock.started_ns + self.clock.wall_offset_ns) / 1e9
        return open_market(self.scenario.market, seed=self.scenario.seed, clock=self.now, start=start)

    def _way(self, task: Task, kind: PlannedFault) -> tuple[Callable[..., Any] | None, type[Operation] | None]:
        """How a task is called under a kind of plan, and what with."""
        if kind.is_missing_data and not task.takes_operation:
            return None, None
        base: Any = self._operation_of(task)
        make = operation_type(kind._replace(probability=0.0), base)
        is_plain = kind.fault in _DIRECT or kind.is_missing_data
        if self.delivery.does_nothing and self.faults_at_calls and is_plain:
            return (task.function if kind.calls else None), (make if task.takes_operation else None)
        return _Delivered(self, task, kind), make

    def _operation_of(self, task: Task) -> type[Operation]:
        if not self.awaits:
            return Operation
        return AsyncOperation if task.is_async else SyncOperation

    def deliver(self, task: Task, kind: PlannedFault, operation: Operation, met: Exception | None = None) -> Any:
        """Call a task's function by way of the delivery; under asyncio, give what is to be awaited for it.

        ``met``: what the first attempt has met, where that has been made already.
        """
        agent: Any = operation._performer
        index = operation.index
        call = Call(
            agent.name,
            kind,
            agent.one_way_delays(index),
            functools.partial(agent.fault_of_attempt, index),
            functools.partial(derived_rng, "call", self.scenario.seed, agent.name, index),
        )
        function = functools.partial(task.function, operation) if task.takes_operation else task.function
        steps = self.delivery.steps(call, _Notes(agent, index, kind), met)
        if self.awaits:
            return run_steps_async(steps, function, self.clock.sleep)
        return run_steps(steps, function, self.clock.sleep)


class _Delivered:
    """A task's function, called by way of the run's delivery, or as the operation that clients act in."""

    def __init__(self, world: RunContext, task: Task, kind: PlannedFault) -> None:
        self._world = world
        self._task = task
        self._kind = kind
        self._ordinary: FastPath | None = None
        if not world.awaits and (kind.is_missing_data or (kind.fault is None and not kind.switched_off)):
            self._ordinary = world.delivery.ordinary(task.function, world.clock.sleep)
        if world.faults_at_calls:
            self._call = self._deliver
        else:
            self._call = self._deliver_async_in_operation if world.awaits else self._deliver_in_operation

    def __call__(self, operation: Operation) -> Any:
        return self._call(operation)

    def _deliver(self, operation: Operation) -> Any:
        ordinary = self._ordinary
        if ordinary is None:
            return self._world.deliver(self._task, self._kind, operation)
        agent: Any = operation._performer
        try:
            return ordinary.make(
                (operation,) if self._task.takes_operation else (), agent.one_way_delays(operation.index)
            )
        except Exception as error:
            if not is_injected(error):
                raise
            return self._world.deliver(self._task, self._kind, operation, error)

    def _deliver_in_operation(self, operation: Operation) -> Any:
        token = CURRENT_OPERATION.set(CurrentOperation(operation))
        try:
            return self._deliver(operation)
        finally:
            CURRENT_OPERATION.reset(token)

    async def _deliver_async_in_operation(self, operation: Operation) -> Any:
        token = CURRENT_OPERATION.set(CurrentOperation(operation))
        try:
            return await self._deliver(operation)
        finally:
            CURRENT_OPERATION.reset(token)


class _Notes:
    """What a delivery tells of one operation, for its agent."""

    __slots__ = ("_agent", "_index", "_kind", "on_fault", "on_retry")

    def __init__(self, agent: Caller, index: int, kind: PlannedFault) -> None:
        self._agent = agent
        self._index = index
        self._kind = kind
        self.on_fault = agent.on_fault
        self.on_retry = agent.on_retry

    def on_success(self) -> None:
        self._agent.on_success(self._index, self._kind)
