"""Calls of tasks' functions: directly, or through the run's transport.

A run without a network, limits or retries calls a target directly; everything else goes through the transport.
This is decided once for each task and planned fault, so that an ordinary call costs nothing more.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Protocol

from pytest_nos_stress._internal.seeding import derived_rng
from pytest_nos_stress.faults.call_steps import run_steps, run_steps_async
from pytest_nos_stress.faults.context import CURRENT_OPERATION, CurrentOperation
from pytest_nos_stress.faults.errors import InjectedFault, is_injected
from pytest_nos_stress.faults.mix import PlannedFault
from pytest_nos_stress.faults.transport import FastPath, FaultyTransport, OneWayDelays, PlannedCall
from pytest_nos_stress.scenario.operation import AsyncOperation, Operation, SyncOperation, Task
from pytest_nos_stress.scenario.operation_market import operation_type

TaskCall = Callable[..., Any]


class CallingAgent(Protocol):
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
            function = task.function if planned.calls_target else None
            return function, operation if task.takes_operation else None
        return _TransportedCall(self, task, planned), operation

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
        function = functools.partial(task.function, operation) if task.takes_operation else task.function
        steps = self.transport.steps(call, _OperationObserver(agent, index, planned), first_error)
        return (run_steps_async if self.awaits else run_steps)(steps, function, self.sleep)


class _TransportedCall:
    """A task's function, called through the transport, or as the operation in which clients are called."""

    def __init__(self, caller: TaskCaller, task: Task, planned: PlannedFault) -> None:
        self._caller = caller
        self._task = task
        self._planned = planned
        self._fast_path: FastPath | None = None
        is_ordinary = planned.fault is None and not planned.switched_off
        if not caller.awaits and (is_ordinary or planned.is_missing_data):
            self._fast_path = caller.transport.fast_path(task.function, caller.sleep)
        if caller.faults_at_calls:
            self._call = self._send
        else:
            self._call = self._send_async_in_operation if caller.awaits else self._send_in_operation

    def __call__(self, operation: Operation) -> Any:
        return self._call(operation)

    def _send(self, operation: Operation) -> Any:
        fast_path = self._fast_path
        if fast_path is None:
            return self._caller.send(self._task, self._planned, operation)
        agent: Any = operation._agent
        try:
            return fast_path.make(
                (operation,) if self._task.takes_operation else (), agent.one_way_delays(operation.index)
            )
        except Exception as error:
            if not is_injected(error):
                raise
            return self._caller.send(self._task, self._planned, operation, error)

    def _send_in_operation(self, operation: Operation) -> Any:
        token = CURRENT_OPERATION.set(_current(operation))
        try:
            return self._send(operation)
        finally:
            CURRENT_OPERATION.reset(token)

    async def _send_async_in_operation(self, operation: Operation) -> Any:
        token = CURRENT_OPERATION.set(_current(operation))
        try:
            return await self._send(operation)
        finally:
            CURRENT_OPERATION.reset(token)


class _OperationObserver:
    """Reports what happens to the call of one operation to its agent."""

    __slots__ = ("_agent", "_index", "_planned", "on_fault", "on_retry")

    def __init__(self, agent: CallingAgent, index: int, planned: PlannedFault) -> None:
        self._agent = agent
        self._index = index
        self._planned = planned
        self.on_fault = agent.on_fault
        self.on_retry = agent.on_retry

    def on_success(self) -> None:
        self._agent.on_success(self._index, self._planned)


def _current(operation: Operation) -> CurrentOperation:
    agent: Any = operation._agent
    return CurrentOperation(agent, operation.index)
