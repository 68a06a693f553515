"""The smallest scenario that fails in the same way, found by trying smaller ones.

Source: delta debugging (Zeller and Hildebrandt 2002, "Simplifying and isolating failure-inducing input"): leave
out halves, then quarters, and so on down to single operations. After the operations come faults, delays and
agents, until nothing gets smaller any more. Each scenario is an explicit list of operations in virtual time, so
what is tried is what will be performed, and never tried twice.
"""

from __future__ import annotations

import functools
import itertools
import operator
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from pytest_nos_stress.results.result import StressResult
from pytest_nos_stress.scenario.planned_operations import PlannedOperation
from pytest_nos_stress.scenario.scenario import Scenario
from pytest_nos_stress.scenario.schedule import AgentSchedule

MOST_OPERATIONS: Final = 100_000
_MOST_SECONDS: Final = 60.0

Rows = tuple[PlannedOperation, ...]


class Shrunk(NamedTuple):
    """The smallest failing scenario, and how many were tried; None where the failure did not come again."""

    scenario: Scenario | None
    attempts: int
    out_of_time: bool


def performed_scenario(result: StressResult) -> Scenario:
    """What a run performed, as an explicit list in the order in which it began, for the virtual engine."""
    scenario = result.scenario
    most = scenario.operations_per_agent or MOST_OPERATIONS
    counts = [min(most, int(one["total_operations"])) for one in result.stats["agent_stats"].values()]
    plans = [AgentSchedule(scenario, name) for name in scenario.agent_names]
    blocks = [plan.block(0, count) for plan, count in zip(plans, counts, strict=True)]
    tie_breakers = [
        list(itertools.islice(plan.tie_breakers(), count)) for plan, count in zip(plans, counts, strict=True)
    ]
    records = result.records
    began = records["end"] - records["latency"].astype("int64")
    performed = []
    for start, agent, index, kind in zip(
        began.tolist(), records["agent"].tolist(), records["index"].tolist(), records["kind"].tolist(), strict=True
    ):
        block = blocks[agent]
        if index >= block.operation_codes.size:  # after the plan, while the target recovered
            continue
        task = int(block.operation_codes[index]) // scenario.fault_mix.count
        pause = 0.0 if block.think_times is None else float(block.think_times[index])
        names = scenario.agent_names[agent], scenario.task_names[task]
        fault = scenario.fault_mix.variants[kind].fault or result.first_faults.get((names[0], index))
        row = PlannedOperation(*names, fault, pause)
        performed.append((start, tie_breakers[agent][index], agent, row))
    performed.sort(key=operator.itemgetter(0, 1, 2))
    recovers = result.stats["recovery_operations"] is not None
    return with_operations(scenario, tuple(row for *_, row in performed), draws_too=recovers)


_WORLD: Final = ("missing_data", "faults", "retries", "network", "market")
"""What is around the target, and decides what the faults of a list do."""


def with_operations(scenario: Scenario, rows: Rows, *, draws_too: bool = False) -> Scenario:
    """The scenario with these operations in place of its own, in virtual time.

    ``draws_too`` is whether more are drawn after the list, so that it keeps what decides those.
    """
    drawn = ("tasks", "weights", "min_delay", "max_delay") if draws_too else ()
    kept = (*_WORLD, *drawn)
    return Scenario(
        operations=rows,
        seed=scenario.seed,
        engine="virtual",
        own_threads=scenario.own_threads,
        operation_timeout=scenario.operation_timeout,
        **{name: getattr(scenario, name) for name in kept},
    )


def shrink(
    start: Scenario,
    still_fails: Callable[[Scenario], bool],
    seconds: float = _MOST_SECONDS,
    *,
    draws_too: bool = False,
) -> Shrunk:
    """The smallest scenario found for which ``still_fails`` is true, beginning with ``start``.

    Where ``start`` does not fail, the same operations all at once are tried. Gives up after so many seconds.
    """
    made_of = functools.partial(with_operations, start, draws_too=draws_too)
    search = _Search(made_of, still_fails, time.monotonic() + seconds)
    rows: Rows | None = next((one for one in _beginnings(start.planned or ()) if search.fails(one)), None)
    if rows is None:
        return Shrunk(None, search.attempts, search.out_of_time)
    smaller = _simplify(rows, search)
    while smaller != rows:
        rows, smaller = smaller, _simplify(smaller, search)
    return Shrunk(made_of(rows), search.attempts, search.out_of_time)


class _Search:
    """Tries scenarios, each once, until the time is over; after that nothing fails any more."""

    def __init__(
        self, made_of: Callable[[Rows], Scenario], still_fails: Callable[[Scenario], bool], deadline: float
    ) -> None:
        self.attempts = 0
        self.out_of_time = False
        self._made_of = made_of
        self._still_fails = still_fails
        self._deadline = deadline
        self._known: dict[Rows, bool] = {}

    def fails(self, rows: Rows) -> bool:
        if not rows:
            return False
        if rows not in self._known:
            if self.attempts and time.monotonic() > self._deadline:
                self.out_of_time = True
                return False
            self.attempts += 1
            self._known[rows] = self._still_fails(self._made_of(rows))
        return self._known[rows]


def _beginnings(rows: Rows) -> Iterator[Rows]:
    yield rows
    yield tuple(one._replace(delay=0.0) for one in rows)


def _simplify(rows: Rows, search: _Search) -> Rows:
    rows = _without_agents(rows, search)
    rows = _without_operations(rows, search)
    rows = _replaced(rows, search, lambda one: one._replace(fault=None))
    rows = _replaced(rows, search, lambda one: one._replace(delay=0.0))
    return _with_fewer_agents(rows, search)


def _without_agents(rows: Rows, search: _Search) -> Rows:
    """Leave out all operations of an agent, one agent after another."""
    for agent in dict.fromkeys(one.agent for one in rows):
        others = tuple(one for one in rows if one.agent != agent)
        if search.fails(others):
            rows = others
    return rows


def _without_operations(rows: Rows, search: _Search) -> Rows:
    """Leave out runs of operations, of half the list at first and of one at last; later ones first."""
    size = max(1, len(rows) // 2)
    while True:
        at = len(rows)
        while at > 0:
            first = max(0, at - size)
            fewer = rows[:first] + rows[at:]
            if search.fails(fewer):
                rows = fewer
            at = min(first, len(rows))
        if size == 1:
            return rows
        size = max(1, min(size, len(rows)) // 2)


def _replaced(rows: Rows, search: _Search, simpler: Callable[[PlannedOperation], PlannedOperation]) -> Rows:
    """Make operations simpler: all, then halves, down to single ones."""
    size = len(rows)
    while True:
        for first in range(0, len(rows), size):
            part = tuple(map(simpler, rows[first : first + size]))
            tried = rows[:first] + part + rows[first + size :]
            if tried != rows and search.fails(tried):
                rows = tried
        if size == 1:
            return rows
        size = max(1, size // 2)


def _with_fewer_agents(rows: Rows, search: _Search) -> Rows:
    """Give an agent's operations to an earlier agent."""
    agents: Sequence[str] = list(dict.fromkeys(one.agent for one in rows))
    for later in reversed(agents):
        for earlier in agents[: agents.index(later)]:
            merged = tuple(one._replace(agent=earlier) if one.agent == later else one for one in rows)
            if search.fails(merged):
                rows = merged
                break
    return rows
