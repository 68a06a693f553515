"""Measurements: counts and durations of the operations of a run, or of a part of a run.

Counts come from one cube of all agents, tasks and outcomes. Durations come from columns that are read once. Each
phase and each window has its own ``Measurements``. Durations are in nanoseconds here; ``aggregation`` converts
them to seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS, ERROR, FAILED, MISSING, SUCCESS
from pytest_nos_stress.faults.mix import FaultMix

from .background import BackgroundError, within
from .records import DURATIONS, Column, Rows, SomeRows
from .selection import Selection
from .statistics_types import OutcomeStatistics

_FIRST: Final = 4_096
FAULTS: Final = ("on", "off")
"""Values of the tag ``faults``: planned faults were in effect (``on``) or not (``off``)."""


class Counts(NamedTuple):
    """Counts of operations by outcome, in the order of ``Outcome``, and of errors.

    An error of an operation is also among the failures. A background error is not: it has no operation.
    """

    total: int
    successes: int
    failures: int
    missing_data: int
    errors: int

    def of(self, cell: int | None) -> int:
        """Return the count of an outcome or of ``ERROR``; for None, the count of all operations."""
        return self.total if cell is None else self[1 + cell]

    def as_dict(self) -> OutcomeStatistics:
        """Return the four counts under the seed document's keys."""
        return {
            "total_operations": self.total,
            "successful_operations": self.successes,
            "failed_operations": self.failures,
            "missing_data_events": self.missing_data,
        }


class Measurements:
    """Counts and durations of operations: of all, or of one agent, task or state of faults.

    All operations ended between ``started_ns`` and ``ended_ns`` on the engine's clock (default: the end of the
    last operation).
    """

    def __init__(
        self, records: Rows, started_ns: int, ended_ns: int | None = None, *, modelled_time: bool = False
    ) -> None:
        self.records = records
        self.started_ns = started_ns
        self.is_modelled = modelled_time
        """True if time is virtual."""
        self._samples: dict[str, Column] = {}
        self._parts: dict[str, list[Column]] = {}
        if ended_ns is None:
            ended_ns = max((int(end.max()) for (end,) in records.chunks("end") if end.size), default=started_ns)
        self.ended_ns = ended_ns
        self.elapsed = (ended_ns - started_ns) / 1e9

    def begun_between(self, start: float, end: float) -> Measurements:
        """Return the operations that began between two times, in seconds since the start."""
        start_ns, end_ns = (self.started_ns + round(seconds * 1e9) for seconds in (start, end))
        begun = self.records.column("end") - self.records.column("latency").astype(np.int64)
        is_last = end_ns >= self.ended_ns
        chosen = (begun >= start_ns) if is_last else (begun >= start_ns) & (begun < end_ns)
        rows = SomeRows.where(self.records, chosen)
        return Measurements(rows, start_ns, max(start_ns, end_ns), modelled_time=self.is_modelled)

    def not_cut_short(self) -> Measurements:
        """Return the operations that did not end because the run ended."""
        chosen = ~self.records.column("is_cut_short")
        rows = SomeRows.where(self.records, chosen)
        return Measurements(rows, self.started_ns, self.ended_ns, modelled_time=self.is_modelled)

    def windows(self, length: float, *, in_progress: bool = False) -> Iterator[Measurements]:
        """Yield the operations that ended in each window of ``length`` seconds; each operation is in one at least.

        The windows follow one another. The last one ends with the measurements, and begins before its predecessor
        ended if what is left is shorter than a window. Measurements shorter than a window are one window.

        ``in_progress``: the run continues, so an end that is not a whole window yet is left out.
        """
        spans = _window_spans(self.started_ns, self.ended_ns, round(length * 1e9), in_progress=in_progress)
        rows = self._in_order
        first_rows, stop_rows = np.searchsorted(rows.column("end"), np.array(spans).T, side="left").tolist()
        if spans[-1][1] == self.ended_ns:
            stop_rows[-1] = rows.total
        untimed = self.is_modelled and not any(self.durations(metric).size for metric in DURATIONS)
        for first, stop, (start, end) in zip(first_rows, stop_rows, spans, strict=True):
            yield Measurements(rows.between(first, stop), start, end, modelled_time=untimed)

    @cached_property
    def _agents(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.records.agents)}

    @cached_property
    def _tasks(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.records.tasks)}

    @cached_property
    def _in_order(self) -> SomeRows:
        """Operations in the order of their ends."""
        return SomeRows.in_order_of_end(self.records)

    @cached_property
    def _outcomes(self) -> list[int]:
        return _count_outcomes(self.records)

    @property
    def _background_errors(self) -> list[BackgroundError]:
        return within(self.records.background_errors, self.started_ns, self.ended_ns)

    @cached_property
    def _cube(self) -> Column:
        return _count_cube(self.records)

    def successes_by_agent(self, task: str | None = None, faults: str | None = None) -> Column:
        """Count the successes of each agent."""
        counts: Column = self._cube[self._cells(None, task, faults)][..., SUCCESS].sum(axis=(1, 2))
        return counts

    def counts(self, agent: str | None = None, task: str | None = None, faults: str | None = None) -> Counts:
        if agent is None and task is None and faults is None:
            outcomes = self._outcomes
        else:
            outcomes = self._cube[self._cells(agent, task, faults)].sum(axis=(0, 1, 2)).tolist()
        selection = Selection(agent, task, faults)
        errors = outcomes[ERROR] + sum(error.is_in(selection) for error in self._background_errors)
        return Counts(sum(outcomes[:ERROR]), outcomes[SUCCESS], outcomes[FAILED], outcomes[MISSING], errors)

    def errors_outside(self, selections: Sequence[Selection]) -> int:
        """Count the errors that no selection contains."""
        rows = SomeRows.where(self.records, self.records.column("is_error"))
        unseen = np.ones(rows.total, np.bool_)
        for selection in selections:
            seen = np.ones(rows.total, np.bool_)
            if selection.agent is not None:
                seen &= rows.column("agent") == self._agents.get(selection.agent, -1)
            if selection.task is not None:
                seen &= rows.task() == self._tasks.get(selection.task, -1)
            if selection.faults is not None:
                seen &= _faults_are_off(rows.column("code"), rows.kinds) == FAULTS.index(selection.faults)
            unseen &= ~seen
        in_background = [
            error
            for error in self._background_errors
            if not any(error.is_in(selection) for selection in selections)
        ]
        return int(unseen.sum()) + len(in_background)

    def _cells(self, agent: str | None, task: str | None, faults: str | None) -> tuple[slice, slice, slice]:
        return (
            slice(None) if agent is None else _only(self._agents[agent]),
            slice(None) if task is None else _only(self._tasks[task]),
            slice(None) if faults is None else _only(FAULTS.index(faults)),
        )

    @property
    def planned_faults(self) -> dict[str, int]:
        """Number of operations performed with each planned fault, by the fault's name."""
        kinds = self.records.kinds
        counts = np.zeros(kinds.count, np.int64)
        for (code,) in self.records.chunks("code"):
            counts += np.bincount(code % np.uint16(kinds.count), minlength=kinds.count)
        totals: dict[str, int] = {}
        for kind, count in zip(kinds.variants, counts.tolist(), strict=True):
            if kind.reported_as is not None and count:
                totals[kind.reported_as] = totals.get(kind.reported_as, 0) + count
        return totals

    def durations(
        self, metric: str, agent: str | None = None, task: str | None = None, faults: str | None = None
    ) -> Column:
        """Return the ``latency`` or ``response_time`` of operations that called the target, in nanoseconds.

        In virtual time, code takes no time. If no operation took any time, the result is empty.
        """
        chosen = self._chosen(metric, agent, task, faults)
        return chosen[:0] if self.is_modelled and not chosen.any() else chosen

    def has_durations(self, metric: str) -> bool:
        """Return True if ``durations`` of all operations is not empty, without keeping the column."""
        called = self.records.column("called")
        if not self.is_modelled:
            return bool(called.any())
        return bool(self.records.column(metric)[called].any())

    def count_calls(self, agent: str | None = None, task: str | None = None, faults: str | None = None) -> int:
        """Count the operations that entered the target's function."""
        if agent is None and task is None and faults is None:
            return sum(int(np.count_nonzero(called)) for (called,) in self.records.chunks("called"))
        return self._chosen("latency", agent, task, faults).size

    def operations_overlap(self) -> bool:
        """Return True if an operation began before another one had ended that began earlier."""
        end = self.records.column("end")
        start = end - self.records.column("latency").astype(np.int64)
        # Nearly always, the first operations overlap.
        return _overlap(start[:_FIRST], end[:_FIRST]) or (end.size > _FIRST and _overlap(start, end))

    def _chosen(self, metric: str, agent: str | None, task: str | None, faults: str | None) -> Column:
        chosen = self._column(metric)
        if agent is None and task is None and faults is None:
            return chosen
        if task is not None and agent is None and faults is None:
            return self._by_task(metric)[self._tasks[task]]
        keep = np.ones(chosen.size, np.bool_)
        if agent is not None:
            keep &= self._column("agent") == self._agents[agent]
        if task is not None:
            keep &= self._column("task") == self._tasks[task]
        if faults is not None:
            keep &= self._column("faults") == FAULTS.index(faults)
        return chosen[keep]

    @property
    def lags(self) -> Column:
        """Nanoseconds between the time an operation was due and its start, for each operation."""
        return self.records.column("response_time").astype(np.int64) - self.records.column("latency")

    def _by_task(self, metric: str) -> list[Column]:
        """Return the durations of each task, by one sort for all tasks."""
        if metric not in self._parts:
            task = self._column("task")
            counts = np.bincount(task, minlength=len(self.records.tasks))
            ordered = self._column(metric)[np.argsort(task, kind="stable")]
            self._parts[metric] = np.split(ordered, np.cumsum(counts)[:-1])
        return self._parts[metric]

    def forget_samples(self) -> None:
        """Free the columns that were read so far; later calls read them again."""
        self._samples.clear()
        self._parts.clear()
        for name in ("_in_order", "_cube"):
            self.__dict__.pop(name, None)

    def _column(self, name: str) -> Column:
        if name not in self._samples:
            column = self._read(name)
            self._samples[name] = column[self.records.column("called")]
        return self._samples[name]

    def _read(self, name: str) -> Column:
        if name == "task":
            return self.records.task()
        if name == "faults":
            kinds = self.records.kinds
            return _faults_are_off(self.records.column("code"), kinds)
        return self.records.column(name)


def _overlap(start: Column, end: Column) -> bool:
    order = np.lexsort((end, start))
    return bool((start[order][1:] < np.maximum.accumulate(end[order])[:-1]).any())


def _only(number: int) -> slice:
    return slice(number, number + 1)


def _window_spans(started: int, ended: int, length: int, *, in_progress: bool) -> list[tuple[int, int]]:
    """Return start and end of each window."""
    length = max(length, 1)
    spans = [(start, start + length) for start in range(started, ended - length + 1, length)]
    if not spans:
        return [(started, ended)]
    if spans[-1][1] < ended and not in_progress:
        spans.append((ended - length, ended))
    return spans


def _count_outcomes(records: Rows) -> list[int]:
    """Count operations by outcome, and errors, without a cube."""
    counts = np.zeros(CELLS, np.int64)
    for outcome, is_error in records.chunks("outcome", "is_error"):
        counts += np.bincount(outcome, minlength=CELLS)
        counts[ERROR] += np.count_nonzero(is_error)
    totals: list[int] = counts.tolist()
    return totals


def _count_cube(records: Rows) -> Column:
    """Count operations by agent, task, state of faults (index in ``FAULTS``), and outcome or error."""
    agents, tasks, width = len(records.agents), len(records.tasks), records.kinds.count
    cube = np.zeros(agents * tasks * len(FAULTS) * CELLS, np.int64)
    codes = np.arange(tasks * width, dtype=np.int64)
    cell_of_code = codes // width * len(FAULTS) + _faults_are_off(codes, records.kinds)
    for agent, code, outcome, is_error in records.chunks("agent", "code", "outcome", "is_error"):
        cell = (agent.astype(np.int64) * (tasks * len(FAULTS)) + cell_of_code[code]) * CELLS
        cube += np.bincount(cell + outcome, minlength=cube.size)
        cube += np.bincount(cell[is_error] + ERROR, minlength=cube.size)
    return cube.reshape(agents, tasks, len(FAULTS), CELLS)


def _faults_are_off(code: Column, kinds: FaultMix) -> Column:
    """Return each operation's state of faults as an index in ``FAULTS``; off for all if none are planned."""
    return np.asarray((code % kinds.count == kinds.faults_disabled) | (not kinds.plans_faults), np.int64)
