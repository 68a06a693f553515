"""Statistics: numbers computed from records, the content of ``simulation_statistics.json``.

The seed document's keys stand as they are there; the rest is beside them. Durations are in seconds, rates
between 0 and 1. Percentiles are exact: linear interpolation between the two nearest samples, as
``numpy.percentile`` does by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import numpy as np

from .faults.table import Kinds
from .outcome import FAILED, MISSING, SUCCESS
from .records import Column, Records

SCHEMA_VERSION: Final = 1
FAULTS: Final = ("on", "off")
"""Whether planned faults took place, as thresholds name it."""
_PERCENTILES: Final = (50, 90, 95, 99, 99.9)


class Counts(NamedTuple):
    """How many operations ended how; errors are among the failed."""

    total: int
    successful: int
    failed: int
    missing_data: int
    errors: int

    def rate(self, count: int) -> float | None:
        return count / self.total if self.total else None

    def as_dict(self) -> dict[str, int]:
        """The four counts under the seed document's keys."""
        return {
            "total_operations": self.total,
            "successful_operations": self.successful,
            "failed_operations": self.failed,
            "missing_data_events": self.missing_data,
        }


class Measurements:
    """What can be asked of a run's records: counts and durations, for all or for one agent and task."""

    def __init__(self, records: Records, started_ns: int, *, modelled_time: bool = False) -> None:
        self.records = records
        self._modelled_time = modelled_time
        self._cube = _count_cube(records)
        self._samples: dict[str, Column] = {}
        self._agents = {name: number for number, name in enumerate(records.agents)}
        self._tasks = {name: number for number, name in enumerate(records.tasks)}
        last_end = max((int(end.max()) for (end,) in records.chunks("end") if end.size), default=started_ns)
        self.elapsed = (last_end - started_ns) / 1e9

    def counts(self, agent: str | None = None, task: str | None = None, faults: str | None = None) -> Counts:
        outcomes = self._cube[self._cells(agent, task, faults)].sum(axis=(0, 1, 2)).tolist()
        return Counts(sum(outcomes[:3]), outcomes[SUCCESS], outcomes[FAILED], outcomes[MISSING], outcomes[_ERRORS])

    def errors_outside(self, selections: Sequence[tuple[str | None, str | None, str | None]]) -> int:
        """Errors of operations that are in none of the selections, each of an agent, a task, a state of faults."""
        errors = self._cube[..., _ERRORS].copy()
        for agent, task, faults in selections:
            if agent in (None, *self.records.agents) and task in (None, *self.records.tasks):
                errors[self._cells(agent, task, faults)] = 0
        return int(errors.sum())

    def _cells(self, agent: str | None, task: str | None, faults: str | None) -> tuple[slice, slice, slice]:
        return (
            slice(None) if agent is None else _only(self._agents[agent]),
            slice(None) if task is None else _only(self._tasks[task]),
            slice(None) if faults is None else _only(FAULTS.index(faults)),
        )

    @property
    def planned_faults(self) -> dict[str, int]:
        """How many operations were performed with each fault planned for them."""
        kinds = self.records.kinds
        counts = np.zeros(kinds.width, np.int64)
        for (code,) in self.records.chunks("code"):
            counts += np.bincount(code % np.uint16(kinds.width), minlength=kinds.width)
        totals: dict[str, int] = {}
        for kind, count in zip(kinds.all, counts.tolist(), strict=True):
            if kind.shown is not None and count:
                totals[kind.shown] = totals.get(kind.shown, 0) + count
        return totals

    def durations(
        self, metric: str, agent: str | None = None, task: str | None = None, faults: str | None = None
    ) -> Column:
        """Nanoseconds of ``latency`` or ``response_time``, of the operations whose target was called.

        In modelled time, where code takes none, there are none unless one of the operations took some.
        """
        chosen = self._chosen(metric, agent, task, faults)
        return chosen[:0] if self._modelled_time and not chosen.any() else chosen

    @property
    def calls(self) -> int:
        """How many operations called the target."""
        return int(self.records.called().sum())

    def _chosen(self, metric: str, agent: str | None, task: str | None, faults: str | None) -> Column:
        chosen = self._column(metric)
        if agent is None and task is None and faults is None:
            return chosen
        keep = np.ones(chosen.size, np.bool_)
        if agent is not None:
            keep &= self._column("agent") == self._agents[agent]
        if task is not None:
            keep &= self._column("task") == self._tasks[task]
        if faults is not None:
            keep &= self._column("faults") == FAULTS.index(faults)
        return chosen[keep]

    def forget_samples(self) -> None:
        """Give back the memory of the columns read so far; they are read again when they are asked for."""
        self._samples.clear()

    def _column(self, name: str) -> Column:
        if name not in self._samples:
            column = self._read(name)
            self._samples[name] = column[self.records.called()]
        return self._samples[name]

    def _read(self, name: str) -> Column:
        if name == "task":
            return self.records.task()
        if name == "faults":
            kinds = self.records.kinds
            return _faults_are_off(self.records.column("code"), kinds)
        return self.records.column(name)


_ERRORS: Final = 3
_CELLS: Final = 4


def _only(number: int) -> slice:
    return slice(number, number + 1)


def _count_cube(records: Records) -> Column:
    """Counts by agent, task, whether faults were off, and outcome or error."""
    agents, tasks, width = len(records.agents), len(records.tasks), records.kinds.width
    cube = np.zeros(agents * tasks * len(FAULTS) * _CELLS, np.int64)
    codes = np.arange(tasks * width, dtype=np.int64)
    place_of_code = codes // width * len(FAULTS) + _faults_are_off(codes, records.kinds)
    for agent, code, outcome, is_error in records.chunks("agent", "code", "outcome", "is_error"):
        cell = (agent.astype(np.int64) * (tasks * len(FAULTS)) + place_of_code[code]) * _CELLS
        cube += np.bincount(cell + outcome, minlength=cube.size)
        cube += np.bincount(cell[is_error] + _ERRORS, minlength=cube.size)
    return cube.reshape(agents, tasks, len(FAULTS), _CELLS)


def _faults_are_off(code: Column, kinds: Kinds) -> Column:
    """1 for each operation in which planned faults did not take place; for all of them where none is planned."""
    return np.asarray((code % kinds.width == kinds.off) | (not kinds.plans_faults), np.int64)


def aggregate(samples: Column, aggregation: str) -> float:
    """``min``, ``mean``, ``med``, ``max``, ``stddev`` or ``pNN`` of samples in nanoseconds, in seconds."""
    return _aggregate_ordered(np.sort(samples), aggregation)


def summarise_durations(samples: Column) -> dict[str, float | int | None]:
    """The figures of a latency or a response time, in seconds; None where there is no sample."""
    names = ("min", "mean", "med", "max", "stddev", *(f"p{one:g}" for one in _PERCENTILES))
    if not samples.size:
        return {"count": 0, **dict.fromkeys(names)}
    ordered = np.sort(samples)
    return {"count": int(samples.size), **{name: _aggregate_ordered(ordered, name) for name in names}}


def _aggregate_ordered(ordered: Column, aggregation: str) -> float:
    if aggregation == "mean":
        return float(ordered.mean()) / 1e9
    if aggregation == "stddev":
        return float(np.std(ordered)) / 1e9
    percent = {"min": 0.0, "med": 50.0, "max": 100.0}.get(aggregation)
    return _percentile(ordered, float(aggregation[1:]) if percent is None else percent) / 1e9


def _percentile(ordered: Column, percent: float) -> float:
    """Hyndman and Fan's type 7, which is NumPy's default: the samples are sorted once for all percentiles."""
    place = (ordered.size - 1) * percent / 100
    below = int(place)
    low, high = float(ordered[below]), float(ordered[min(below + 1, ordered.size - 1)])
    return low + (high - low) * (place - below)


def iso_utc(nanoseconds: int) -> str:
    """ISO 8601 in UTC with offset, to the microsecond, of nanoseconds since the epoch."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
    return moment.isoformat("T", "microseconds")


def compute(measured: Measurements, started_ns: int, wall_offset_ns: int) -> dict[str, Any]:
    """The statistics that come from records alone."""
    everything = measured.counts()
    start = started_ns + wall_offset_ns
    records = measured.records
    return {
        **everything.as_dict(),
        "start_time": iso_utc(start),
        "end_time": iso_utc(start + round(measured.elapsed * 1e9)),
        "agent_stats": {agent: measured.counts(agent=agent).as_dict() for agent in records.agents},
        "schema_version": SCHEMA_VERSION,
        "duration": measured.elapsed,
        "throughput": everything.total / measured.elapsed if measured.elapsed else 0.0,
        "success_rate": everything.rate(everything.successful),
        "failure_rate": everything.rate(everything.failed),
        "error_rate": everything.rate(everything.errors),
        "missing_data_rate": everything.rate(everything.missing_data),
        "latency": summarise_durations(measured.durations("latency")),
        "response_time": summarise_durations(measured.durations("response_time")),
        "tasks": {task: _task_statistics(measured, task) for task in records.tasks},
        "errors": everything.errors,
        "calls": measured.calls,
    }


def _task_statistics(measured: Measurements, task: str) -> dict[str, Any]:
    counts = measured.counts(task=task)
    return {
        **counts.as_dict(),
        "errors": counts.errors,
        "latency": summarise_durations(measured.durations("latency", task=task)),
        "response_time": summarise_durations(measured.durations("response_time", task=task)),
    }
