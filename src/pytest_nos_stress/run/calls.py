"""Calls of tasks' functions: directly, or through the run's transport.

A run without a network, limits or retries calls a target directly; everything else goes through the transport.
This is decided once for each task and planned fault, so that an ordinary call costs nothing more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from pytest_nos_stress._internal.outcome import SUCCESS
from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress.faults.call_steps import Steps, run_steps, run_steps_async
from pytest_nos_stress.faults.context import CURRENT_OPERATION, CurrentOperation
from pytest_nos_stress.faults.errors import InjectedFault, is_injected
from pytest_nos_stress.faults.mix import PlannedFault
from pytest_nos_stress.faults.transport import (
    EnteringAgent,
    FastPath,
    FaultyTransport,
    OneWayDelays,
    PlannedCall,
)
from pytest_nos_stress.scenario.operation import AsyncOperation, Operation, SyncOperation, Task
from pytest_nos_stress.scenario.operation_market import operation_type

TaskCall = Callable[..., Any]


class CallingAgent(EnteringAgent, Protocol):
    """An agent, as its calls see it."""

    name: str

    def one_way_delays(self, index: int) -> OneWayDelays | None:
        """Return the planned delays of an operation's messages; None without a network."""

    def fault_of_attempt(self, index: int, number: int) -> PlannedFault:
        """Return the planned fault of a later attempt at an operation."""

    def on_fault(self, fault: InjectedFault) -> None:
        """Called when an attempt meets a fault that was not planned for the operation."""

    def on_retry(self) -> None:
        """Called when an attempt failed and a retry follows."""

    def on_success(self, index: int, planned: PlannedFault) -> None:
        """Called when the last attempt at an operation succeeded."""

    def on_unplanned_entry(self, index: int, *, entered: bool) -> None:
        """Called if an operation entered the target's function although none was planned, or did not enter it."""

    def on_unmet(self, planned: PlannedFault) -> None:
        """Called if an operation ended before it came to its planned fault."""

    def on_unplanned_fault(self, planned: PlannedFault) -> None:
        """Called if a retry meets a fault that does not raise an exception."""


class TaskCaller:
    """Makes the calls of one run.

    ``seed`` is the run's, ``sleep`` waits by its clock, and ``awaits`` is True on an event loop.
    ``faults_at_calls`` False: clients or proxies meet the faults of calls, in the operation that makes them.
    """

    def __init__(
        self,
        transport: FaultyTransport,
        *,
        seed: int,
        sleep: Callable[[float], Any],
        awaits: bool,
        faults_at_calls: bool,
    ) -> None:
        self.transport = transport
        self.sleep = sleep
        self.awaits = awaits
        self.faults_at_calls = faults_at_calls
        self._seed = seed

    def call_of(self, task: Task, planned: PlannedFault) -> tuple[TaskCall | None, type[Operation] | None]:
        """Return how to call a task under a planned fault, and the type of the operation to call it with.

        The call is None if the target is not called, the type if the call takes no operation.
        """
        if planned.is_missing_data and not task.takes_operation:
            return None, None
        # Variants that differ in their probability alone share one type.
        base: Any = self._base_type(task)
        operation = operation_type(planned._replace(probability=0.0), base)
        if self.transport.does_nothing and self.faults_at_calls and not planned.row.needs_transport:
            function = task.function if planned.enters_target(takes_operation=task.takes_operation) else None
            return function, operation if task.takes_operation else None
        return _TransportedCall(self, task, planned).call, operation

    def _base_type(self, task: Task) -> type[Operation]:
        if not self.awaits:
            return Operation
        return AsyncOperation if task.is_async else SyncOperation

    def send(
        self, task: Task, planned: PlannedFault, operation: Operation, first_error: Exception | None = None
    ) -> Any:
        """Call a task's function through the transport; on an event loop, return the awaitable.

        ``first_error``: the exception of the first attempt, if that attempt has been made already.
        """
        agent: Any = operation._agent
        index = operation.index
        call = PlannedCall(
            agent.name,
            planned,
            agent.one_way_delays(index),
            functools.partial(agent.fault_of_attempt, index),
            functools.partial(derived_rng, "call", self._seed, agent.name, index),
        )
        observer = _OperationObserver(agent, index, planned)
        steps = observer.observed(self.transport.steps(call, observer, first_error))

        def enter() -> Any:
            agent.entered = index
            return task.function(operation) if task.takes_operation else task.function()

        return (run_steps_async if self.awaits else run_steps)(steps, enter, self.sleep)


class _TransportedCall:
    """A task's function, called through the transport, or as the operation in which clients are called.

    ``call`` takes the operation. On an event loop it returns the awaitable. It tells the agent if the operation
    entered the target's function although none was planned, or did not enter it.
    """

    def __init__(self, caller: TaskCaller, task: Task, planned: PlannedFault) -> None:
        self._caller = caller
        self._task = task
        self._planned = planned
        self._enters_target = planned.enters_target(takes_operation=task.takes_operation)
        self._fast_path: FastPath | None = None
        is_ordinary = planned.fault is None and not planned.switched_off
        if not caller.awaits and (is_ordinary or planned.is_missing_data):
            self._fast_path = caller.transport.fast_path(task.function, caller.sleep)
        if caller.faults_at_calls:
            self.call: TaskCall = self._send_async if caller.awaits else self._send
        else:
            self.call = self._send_async_in_operation if caller.awaits else self._send_in_operation

    def _send(self, operation: Operation) -> Any:
        fast_path = self._fast_path
        agent: Any = operation._agent
        index = operation.index
        try:
            if fast_path is None:
                return self._caller.send(self._task, self._planned, operation)
            try:
                argument = (operation,) if self._task.takes_operation else ()
                return fast_path.make(argument, agent.one_way_delays(index), agent, index)
            except Exception as error:
                if not is_injected(error):
                    raise
                return self._caller.send(self._task, self._planned, operation, error)
        finally:
            if (agent.entered == index) is not self._enters_target:
                agent.on_unplanned_entry(index, entered=not self._enters_target)

    async def _send_async(self, operation: Operation) -> Any:
        agent: Any = operation._agent
        index = operation.index
        try:
            return await self._caller.send(self._task, self._planned, operation)
        finally:
            if (agent.entered == index) is not self._enters_target:
                agent.on_unplanned_entry(index, entered=not self._enters_target)

    def _send_in_operation(self, operation: Operation) -> Any:
        token = CURRENT_OPERATION.set(_current(operation))
        try:
            return self._send(operation)
        finally:
            CURRENT_OPERATION.reset(token)

    async def _send_async_in_operation(self, operation: Operation) -> Any:
        token = CURRENT_OPERATION.set(_current(operation))
        try:
            return await self._send_async(operation)
        finally:
            CURRENT_OPERATION.reset(token)


class _OperationObserver:
    """Reports what happens to the call of one operation to its agent."""

    __slots__ = ("_agent", "_index", "_is_met", "_planned", "on_fault", "on_retry")

    def __init__(self, agent: CallingAgent, index: int, planned: PlannedFault) -> None:
        self._agent = agent
        self._index = index
        self._planned = planned
        # If the first attempt entered the target, it was handed the planned data.
        self._is_met = agent.entered == index
        self.on_fault = agent.on_fault
        self.on_retry = agent.on_retry

    def on_success(self) -> None:
        self._agent.on_success(self._index, self._planned)

    def on_met(self, planned: PlannedFault, *, is_first: bool) -> None:
        self._is_met = self._is_met or is_first
        if not is_first and planned.fault is not None and planned.outcome == SUCCESS:
            self._agent.on_unplanned_fault(planned)

    def observed(self, steps: Steps) -> Steps:
        """Return the steps. At their end, the agent hears of a planned fault that was not met."""
        try:
            return (yield from steps)
        finally:
            if self._planned.fault is not None and not self._is_met:
                self._agent.on_unmet(self._planned)


def _current(operation: Operation) -> CurrentOperation:
    agent: Any = operation._agent
    return CurrentOperation(agent, operation.index)
