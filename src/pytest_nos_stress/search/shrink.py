"""Find the smallest scenario that fails in the same way, by trying smaller ones.

Source: delta debugging (Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input"): leave
out halves, then quarters, and so on down to single operations. After the operations, simplify faults, delays and
agents. Repeat until nothing gets smaller. Each scenario is an explicit list of operations in virtual time, so a
run performs exactly the operations that were tried. No scenario is tried twice.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from pytest_nos_stress._internal.instrument import perf_counter
from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.scenario.planned_operations import PlannedOperation
from pytest_nos_stress.scenario.scenario import Scenario
from pytest_nos_stress.scenario.schedule import AgentSchedule

MOST_OPERATIONS: Final = 100_000
_MOST_SECONDS: Final = 60.0

Operations = tuple[PlannedOperation, ...]


class Shrunk(NamedTuple):
    """The result of a search."""

    scenario: Scenario | None
    """The smallest failing scenario; None if the failure did not repeat."""
    attempts: int
    """The number of scenarios that were tried."""
    out_of_time: bool
    """True if the search stopped at its time limit."""


def performed_scenario(result: StressResult) -> Scenario:
    """Return the operations of a run, in the order in which they began, as a scenario for the virtual engine."""
    scenario = result.scenario
    most = scenario.operations_per_agent or MOST_OPERATIONS
    counts = [min(most, int(agent["total_operations"])) for agent in result.stats["agent_stats"].values()]
    schedules = [AgentSchedule(scenario, name) for name in scenario.agent_names]
    blocks = [schedule.block(0, count) for schedule, count in zip(schedules, counts, strict=True)]
    tie_breakers = [
        list(itertools.islice(schedule.tie_breakers(), count))
        for schedule, count in zip(schedules, counts, strict=True)
    ]
    records = result.records
    starts = records["end"] - records["latency"].astype("int64")
    performed = []
    for start, agent, index, kind in zip(
        starts.tolist(),
        records["agent"].tolist(),
        records["index"].tolist(),
        records["kind"].tolist(),
        strict=True,
    ):
        block = blocks[agent]
        if index >= block.operation_codes.size:  # the operation belongs to the recovery phase, after the plan
            continue
        task = int(block.operation_codes[index]) // scenario.fault_mix.count
        delay = 0.0 if block.think_times is None else float(block.think_times[index])
        names = scenario.agent_names[agent], scenario.task_names[task]
        fault = scenario.fault_mix.variants[kind].fault or result.first_faults.get((names[0], index))
        operation = PlannedOperation(*names, fault, delay)
        performed.append((start, tie_breakers[agent][index], agent, operation))
    performed.sort(key=operator.itemgetter(0, 1, 2))
    has_recovery = result.stats["recovery_operations"] is not None
    operations = tuple(operation for *_, operation in performed)
    return with_operations(scenario, operations, has_recovery=has_recovery)


_ENVIRONMENT: Final = ("missing_data", "faults", "retries", "network", "market")
"""Settings of the target's environment, which decide the effect of the faults in a list."""


def with_operations(scenario: Scenario, operations: Operations, *, has_recovery: bool = False) -> Scenario:
    """Return a scenario for the virtual engine with these operations instead of the scenario's own.

    ``has_recovery``: True if a recovery phase follows, whose operations are drawn. The settings that decide them
    are then kept.
    """
    drawing = ("tasks", "weights", "min_delay", "max_delay") if has_recovery else ()
    return Scenario(
        operations=operations,
        seed=scenario.seed,
        engine="virtual",
        own_threads=scenario.own_threads,
        operation_timeout=scenario.operation_timeout,
        **{name: getattr(scenario, name) for name in (*_ENVIRONMENT, *drawing)},
    )


def shrink(
    start: Scenario,
    still_fails: Callable[[Scenario], bool],
    seconds: float = _MOST_SECONDS,
    *,
    has_recovery: bool = False,
) -> Shrunk:
    """Find a scenario, as small as possible, for which ``still_fails`` returns True. Begin with ``start``.

    If ``start`` does not fail, the same operations are tried without delays. The search stops after ``seconds``
    (default: 60). ``has_recovery``: as for ``with_operations``.
    """
    scenario_of = functools.partial(with_operations, start, has_recovery=has_recovery)
    search = _Search(scenario_of, still_fails, perf_counter() + seconds)
    operations = next(filter(search.fails, _starting_points(start.planned or ())), None)
    if operations is None:
        return Shrunk(None, search.attempts, search.out_of_time)
    smaller = _simplify(operations, search)
    while smaller != operations:
        operations, smaller = smaller, _simplify(smaller, search)
    return Shrunk(scenario_of(operations), search.attempts, search.out_of_time)


class _Search:
    """Tries each scenario at most once. After the deadline, untried scenarios count as not failing."""

    def __init__(
        self,
        scenario_of: Callable[[Operations], Scenario],
        still_fails: Callable[[Scenario], bool],
        deadline: float,
    ) -> None:
        self.attempts = 0
        self.out_of_time = False
        self._scenario_of = scenario_of
        self._still_fails = still_fails
        self._deadline = deadline
        self._tried: dict[Operations, bool] = {}

    def fails(self, operations: Operations) -> bool:
        if not operations:
            return False
        if operations not in self._tried:
            if self.attempts and perf_counter() > self._deadline:
                self.out_of_time = True
                return False
            self.attempts += 1
            self._tried[operations] = self._still_fails(self._scenario_of(operations))
        return self._tried[operations]


def _starting_points(operations: Operations) -> Iterator[Operations]:
    yield operations
    yield tuple(operation._replace(delay=0.0) for operation in operations)


def _simplify(operations: Operations, search: _Search) -> Operations:
    operations = _without_agents(operations, search)
    operations = _without_operations(operations, search)
    operations = _replaced(operations, search, lambda operation: operation._replace(fault=None))
    operations = _replaced(operations, search, lambda operation: operation._replace(delay=0.0))
    return _with_fewer_agents(operations, search)


def _without_agents(operations: Operations, search: _Search) -> Operations:
    """Leave out all operations of an agent, for one agent after another."""
    for agent in dict.fromkeys(operation.agent for operation in operations):
        others = tuple(operation for operation in operations if operation.agent != agent)
        if search.fails(others):
            operations = others
    return operations


def _without_operations(operations: Operations, search: _Search) -> Operations:
    """Leave out sequences of operations, from half the list down to single operations, from the list's end."""
    size = max(1, len(operations) // 2)
    while True:
        end = len(operations)
        while end > 0:
            start = max(0, end - size)
            fewer = operations[:start] + operations[end:]
            if search.fails(fewer):
                operations = fewer
            end = min(start, len(operations))
        if size == 1:
            return operations
        size = max(1, min(size, len(operations)) // 2)


def _replaced(
    operations: Operations, search: _Search, simplified: Callable[[PlannedOperation], PlannedOperation]
) -> Operations:
    """Simplify operations: all at once, then halves, down to single operations."""
    size = len(operations)
    while True:
        for start in range(0, len(operations), size):
            part = tuple(map(simplified, operations[start : start + size]))
            simpler = operations[:start] + part + operations[start + size :]
            if simpler != operations and search.fails(simpler):
                operations = simpler
        if size == 1:
            return operations
        size = max(1, size // 2)


def _with_fewer_agents(operations: Operations, search: _Search) -> Operations:
    """Move all operations of an agent to an earlier agent, beginning with the last agent."""
    agents: Sequence[str] = list(dict.fromkeys(operation.agent for operation in operations))
    for later in reversed(agents):
        for earlier in agents[: agents.index(later)]:
            merged = tuple(
                operation._replace(agent=earlier) if operation.agent == later else operation
                for operation in operations
            )
            if search.fails(merged):
                operations = merged
                break
    return operations
