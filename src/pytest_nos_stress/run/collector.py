"""The collector: makes batches of operations from the notes of agents and from their plans.

Guarantee: each operation is taken once, and the operations of a batch are in the order of their ends. If several
operations end at one instant of virtual time, they keep the engine's order of completion.
"""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from pytest_nos_stress.engines.base import Clock
from pytest_nos_stress.faults.mix import FaultMix
from pytest_nos_stress.results.records import Batch, Column, entering_codes
from pytest_nos_stress.scenario.operation import Task

from .agent import Agent
from .notes import Cause, ErrorSample, UnplannedEntry, UnplannedOutcome


class _AgentCursor:
    """Position up to which the recorder has taken the notes of one agent."""

    __slots__ = ("agent", "faults_are_active", "last_end", "taken_of_block")

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.taken_of_block = 0
        self.last_end: int | None = None
        self.faults_are_active = True

    def plan(self, count: int) -> list[tuple[Column, Column | None]]:
        """The plan of the next ``count`` operations."""
        parts = []
        while count:
            block = self.agent.blocks[0]
            first = self.taken_of_block
            codes = block.operation_codes[first : first + count]
            pauses = None if block.think_times is None else block.think_times[first : first + count]
            parts.append((codes, pauses))
            count -= codes.size
            self.taken_of_block += codes.size
            if self.taken_of_block == block.operation_codes.size:
                self.agent.blocks.popleft()
                self.taken_of_block = 0
        return parts

    def without_faults(self, count: int) -> list[tuple[int, int]]:
        """Return the spans of the next ``count`` operations in which no planned faults took place.

        A span is the first operation and the one after the last.
        """
        first, switches = self.agent.taken, self.agent.fault_switches
        spans, begin = [], 0
        while switches and switches[0][0] < first + count:
            operation, take_place = switches.popleft()
            if take_place and not self.faults_are_active:
                spans.append((begin, operation - first))
            self.faults_are_active, begin = take_place, operation - first
        if not self.faults_are_active:
            spans.append((begin, count))
        return spans

    def forget(self, count: int, last_end: int) -> tuple[list[UnplannedOutcome], list[UnplannedEntry]]:
        """Take the next ``count`` operations out of the agent's buffers.

        Return their unplanned outcomes, and their unplanned entries into the target.
        """
        agent = self.agent
        del agent.starts[:count]
        del agent.ends[:count]
        agent.taken += count
        self.last_end = last_end
        return _before(agent.taken, agent.unplanned_outcomes), _before(agent.taken, agent.unplanned_entries)


U = TypeVar("U", UnplannedOutcome, UnplannedEntry)


def _before(operation: int, waiting: deque[U]) -> list[U]:
    """Take the notes of all operations before this one."""
    due = []
    while waiting and waiting[0].operation < operation:
        due.append(waiting.popleft())
    return due


class Collector:
    """Takes what agents have noted, a batch at a time."""

    def __init__(
        self, clock: Clock, completion_order: list[int] | None, fault_mix: FaultMix, tasks: Sequence[Task]
    ) -> None:
        self.error_counts: Counter[str] = Counter()
        self.expected_counts: Counter[str] = Counter()
        self._counts = {Cause.ERROR: self.error_counts, Cause.EXPECTED: self.expected_counts}
        self._clock = clock
        self._completion_order = completion_order
        self._fault_mix = fault_mix
        self._enters_target = entering_codes(tasks, fault_mix)
        self._outcome_of_variant = np.array([variant.outcome for variant in fault_mix.variants], np.uint8)
        self._cursors: list[_AgentCursor] = []

    def attach(self, agents: Sequence[Agent]) -> None:
        """Name the agents, in the order of their numbers."""
        self._cursors = [_AgentCursor(agent) for agent in agents]

    def samples(self) -> dict[str, ErrorSample]:
        """Return an example of each type of error."""
        samples: dict[str, ErrorSample] = {}
        for cursor in self._cursors:
            for name, sample in list(cursor.agent.samples.items()):
                samples.setdefault(name, sample)
        return samples

    def take(self) -> Batch | None:
        """Take what all agents have noted since the last time; None if they have noted nothing."""
        if self._completion_order is None:
            noted = [(cursor, len(cursor.agent.ends)) for cursor in self._cursors]
            return self._take([(cursor, count) for cursor, count in noted if count], None)
        agents = np.array(self._completion_order[:], np.int64)
        del self._completion_order[: agents.size]
        counts = np.bincount(agents, minlength=len(self._cursors)).tolist()
        waiting = [(cursor, count) for cursor, count in zip(self._cursors, counts, strict=True) if count]
        return self._take(waiting, agents)

    def _take(self, waiting: list[tuple[_AgentCursor, int]], completion_order: Column | None) -> Batch | None:
        """Take the counted operations of each agent, ordered by time or by the order of completion."""
        if not waiting:
            return None
        end = _joined([(cursor.agent.ends, count) for cursor, count in waiting])
        start = _joined([(cursor.agent.starts, count) for cursor, count in waiting])
        due = np.empty_like(end)
        due[1:] = end[:-1]
        plans: list[tuple[Column, Column | None]] = []
        unplanned_outcomes: dict[int, UnplannedOutcome] = {}
        unplanned_entries: dict[int, bool] = {}
        without_faults: list[tuple[int, int]] = []
        row = 0
        for cursor, count in waiting:
            plans += cursor.plan(count)
            without_faults += [(row + begin, row + end) for begin, end in cursor.without_faults(count)]
            due[row] = self._clock.started_ns if cursor.last_end is None else cursor.last_end
            first = row - cursor.agent.taken
            operation, recovered_at = cursor.agent.recovered_from or (-1, 0)
            if row <= first + operation < row + count:
                due[first + operation] = recovered_at
            outcomes, entries = cursor.forget(count, int(end[row + count - 1]))
            unplanned_outcomes |= {first + unplanned.operation: unplanned for unplanned in outcomes}
            unplanned_entries |= {first + unplanned.operation: unplanned.entered for unplanned in entries}
            row += count
        agent = np.repeat([cursor.agent.number for cursor, _ in waiting], [count for _, count in waiting])
        sorted_by = end if completion_order is None else np.argsort(completion_order, kind="stable")
        order = np.argsort(sorted_by, kind="stable")
        code = np.concatenate([codes for codes, _ in plans])
        disabled, count_of_variants = np.uint16(self._fault_mix.faults_disabled), np.uint16(self._fault_mix.count)
        for begin, after in without_faults:
            code[begin:after] += disabled - code[begin:after] % count_of_variants
        pauses = _joined_pauses(plans)
        if pauses is not None:
            due += (pauses * 1e9).astype(np.int64)
        called = self._enters_target[code]
        called[list(unplanned_entries)] = list(unplanned_entries.values())
        return self._batch(agent, code, called, start, end, due, unplanned_outcomes, order)

    def _batch(
        self,
        agent: Column,
        code: Column,
        called: Column,
        start: Column,
        end: Column,
        due: Column,
        unplanned_outcomes: dict[int, UnplannedOutcome],
        order: Column,
    ) -> Batch:
        outcome = self._outcome_of_variant[code % np.uint16(self._fault_mix.count)]
        is_error, is_cut_short = np.zeros(end.size, np.bool_), np.zeros(end.size, np.bool_)
        for row, unplanned in unplanned_outcomes.items():
            outcome[row] = unplanned.outcome
            is_error[row] = unplanned.cause is Cause.ERROR
            is_cut_short[row] = unplanned.cause is Cause.CUT_SHORT
            if unplanned.cause in self._counts:
                self._counts[unplanned.cause][unplanned.type] += 1
        latency = end - start
        return Batch(
            agent=agent[order],
            code=code[order],
            outcome=outcome[order],
            is_error=is_error[order],
            called=called[order],
            is_cut_short=is_cut_short[order],
            end=end[order],
            latency=latency[order],
            response_time=np.maximum(end - due, latency)[order],
            errors=_texts_in_order(unplanned_outcomes, order),
        )


def _joined_pauses(plans: list[tuple[Column, Column | None]]) -> Column | None:
    if all(pauses is None for _, pauses in plans):
        return None
    return np.concatenate([np.zeros(codes.size) if pauses is None else pauses for codes, pauses in plans])


def _joined(lists: list[tuple[list[int], int]]) -> Column:
    """Return the first ``count`` numbers of each list as one column, without an intermediate copy."""
    chained = itertools.chain.from_iterable(itertools.islice(numbers, count) for numbers, count in lists)
    return np.fromiter(chained, np.int64, sum(count for _, count in lists))


def _texts_in_order(unplanned_outcomes: dict[int, UnplannedOutcome], order: Column) -> dict[int, str]:
    """Return the error text of each unplanned outcome by its row after sorting."""
    if not unplanned_outcomes:
        return {}
    sorted_row = np.empty(order.size, np.int64)
    sorted_row[order] = np.arange(order.size)
    failed = ((row, unplanned) for row, unplanned in unplanned_outcomes.items() if unplanned.type)
    return {int(sorted_row[row]): f"{unplanned.type}: {unplanned.message}" for row, unplanned in failed}
