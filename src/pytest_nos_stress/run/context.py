"""Context of a run: the state that its agents share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from pytest_nos_stress._internal.instrument import Lock
from pytest_nos_stress._internal.tracebacks import strip_internal_frames
from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.faults.context import CurrentOperation
from pytest_nos_stress.faults.mix import CALL, PlannedFault
from pytest_nos_stress.faults.rate_limits import RateLimits
from pytest_nos_stress.faults.retries import Retries
from pytest_nos_stress.faults.transport import FaultyTransport
from pytest_nos_stress.faults.windows import OpenWindows
from pytest_nos_stress.scenario.operation import Operation, Task
from pytest_nos_stress.scenario.scenario import Scenario

from .background import BackgroundErrors
from .calls import TaskCall, TaskCaller
from .returned_values import ReturnedValues

if TYPE_CHECKING:
    from pytest_nos_stress.engines.base import Clock
    from pytest_nos_stress.market import Market

_NEVER: Final = 1 << 62


class Recovery(Protocol):
    """The phase without faults after the plan. It ends when its conditions have come true."""

    def begin(self, now: int) -> None:
        """Called by each agent after all agents have performed their plans. The first call begins the phase."""

    most_operations: int
    """Most operations that an agent performs in the phase."""

    @property
    def deadline_ns(self) -> int: ...

    @property
    def has_begun(self) -> bool: ...

    def is_over(self, now: int) -> bool: ...


class RunContext:
    """State that the agents of a run share: scenario, target, clock and market."""

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
        """True if agents' calls meet the planned faults of calls; else clients or proxies meet them."""
        self.network_at_calls = network_at_calls
        """True if agents' calls go over the scenario's network; else proxies are in its place."""
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
        """True while checks look at the target and no agent performs anything."""
        self.on_end: list[Callable[[], Any]] = []
        """Called when all agents have ended, on an event loop; the results are awaited."""
        self._at_work = len(scenario.agent_names)
        self._market: Market | None = None
        self._lock = Lock()
        self.background_errors = BackgroundErrors(clock.now_ns, expected_errors)
        self.returned = ReturnedValues(self.background_errors.watch)
        self.calls: list[TaskCall | None] = []
        """Functions that call the target, by operation code; None if the target is not called."""
        self.operation_types: list[type[Operation] | None] = []
        """Type of the operation to call it with, by operation code; None for a call without one."""
        caller = self._task_caller()
        for task in tasks:
            for planned in self.fault_mix.variants:
                call, operation = caller.call_of(task, planned)
                self.calls.append(call)
                self.operation_types.append(operation)

    @property
    def seed(self) -> int:
        return self.scenario.seed

    @property
    def lists_operations(self) -> bool:
        """True if the scenario lists its operations, with their faults, in place of drawn ones."""
        return self.scenario.planned is not None

    @property
    def deadline_ns(self) -> int:
        """End of a run by duration, on the engine's clock; never for a run by number of operations."""
        if self.scenario.duration is None:
            return _NEVER
        return self.clock.started_ns + round(self.scenario.duration * 1e9)

    @property
    def market(self) -> Market:
        """The market that all operations see. The first access makes it."""
        if self._market is None:
            with self._lock:
                self._market = self._market or self._open_market()
        return self._market

    def now(self) -> float:
        return (self.clock.now_ns() + self.clock.wall_offset_ns) / 1e9

    def elapsed(self) -> float:
        """Seconds since the run's start."""
        return (self.clock.now_ns() - self.clock.started_ns) / 1e9

    def sleep(self, seconds: float) -> Any:
        """Wait by the engine's clock. On an event loop, return the awaitable."""
        return self.clock.sleep(seconds)

    def faults_are_active(self, operation: CurrentOperation | None) -> bool:
        """Return True if planned faults act on a call in this operation; None is a call outside of operations."""
        if operation is not None:
            return operation.agent.faults_are_active
        if not self.has_begun or self.is_paused or not self._at_work:
            return False
        has_recovered = self.recovery is not None and self.recovery.has_begun
        return not has_recovered and (self.windows is None or self.windows.are_open())

    def begin(self) -> None:
        """Called by each agent before its first operation. The first call runs the ``on_start`` functions."""
        with self._lock:
            if self.has_begun:
                return
            self.has_begun = True
        for begin in self.on_start:
            begin()

    def is_last(self) -> bool:
        """Called once by each agent when it has performed everything. Return True for the last agent."""
        with self._lock:
            self._at_work -= 1
            return not self._at_work

    def listed_fault(self, operation: CurrentOperation | None) -> PlannedFault:
        """Return the fault of a call that a list has planned for the operation, or an ordinary call."""
        scenario, mix = self.scenario, self.fault_mix
        if operation is None or scenario.planned is None:
            return mix.variants[CALL]
        places = scenario.positions_of[operation.agent.name]
        index = operation.index
        fault = scenario.planned[places[index]].fault if index < len(places) else None
        planned = mix.variants[mix.number_of[fault]]
        return mix.variants[CALL] if planned.is_missing_data else planned

    def announce(self, event: str) -> None:
        """Report an event, a text. Fault windows that wait for it begin."""
        if self.windows is not None:
            self.windows.announce(event)

    def ends_with(self, error: BaseException) -> bool:
        """Return True if this exception ends the run; then stop the run and keep the exception."""
        if not issubclass(type(error), self._ending_errors):
            return False
        with self._lock:
            # When it is raised again, its internal frames are finished generators, which would confuse a reader.
            self.ended_by = self.ended_by or error.with_traceback(strip_internal_frames(error))
        self._stop()
        return True

    def _open_market(self) -> Market:
        from pytest_nos_stress.market.specification import open_market

        start = (self.clock.started_ns + self.clock.wall_offset_ns) / 1e9
        return open_market(self.scenario.market, seed=self.scenario.seed, clock=self.now, start=start)

    def _task_caller(self) -> TaskCaller:
        scenario = self.scenario
        transport = FaultyTransport(
            self.elapsed,
            retries=Retries.of(scenario.retries),
            network=scenario.network if self.network_at_calls else None,
            limits=RateLimits.of(scenario.faults) if self.faults_at_calls else None,
        )
        return TaskCaller(
            transport,
            seed=scenario.seed,
            sleep=self.clock.sleep,
            awaits=self.awaits,
            faults_at_calls=self.faults_at_calls,
        )
