"""Statistics: numbers computed from records, the content of ``simulation_statistics.json``.

The seed document's keys stand as they are there; the rest is beside them. Durations are in seconds, rates
between 0 and 1. Percentiles are exact: linear interpolation between the two nearest samples, as
``numpy.percentile`` does by default.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, cast

import numpy as np

from pytest_nos_stress.scenario.phases import Phase

from .measurements import Measurements
from .records import Column
from .statistics_types import DurationFigures, PhaseStatistics, RecordStatistics, TaskStatistics

SCHEMA_VERSION: Final = 1


def aggregate(samples: Column, aggregation: str) -> float:
    """``min``, ``mean``, ``med``, ``max``, ``stddev`` or ``pNN`` of samples in nanoseconds, in seconds."""
    return _aggregate_ordered(np.sort(samples), aggregation)


def summarise_durations(samples: Column) -> DurationFigures:
    """The figures of a latency or a response time, in seconds; None where there is no sample."""
    ordered = np.sort(samples)
    figures: dict[str, float | None] = {"count": int(samples.size)}
    for name in DurationFigures.__annotations__:
        if name != "count":
            figures[name] = _aggregate_ordered(ordered, name) if samples.size else None
    return cast(DurationFigures, figures)


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


def fairness(successes: Column) -> float | None:
    """Jain's index over the agents' successes: 1 where all have as many, 1/n where one has all; None without any.

    Source: Jain, Chiu and Hawe 1984, "A quantitative measure of fairness and discrimination".
    """
    shares = successes.astype(np.float64)
    squares = float((shares * shares).sum()) * shares.size
    return float(shares.sum()) ** 2 / squares if squares else None


def compute(measured: Measurements, wall_offset_ns: int) -> RecordStatistics:
    """The statistics that come from records alone."""
    everything = measured.counts()
    start = measured.started_ns + wall_offset_ns
    records = measured.records
    return {
        **everything.as_dict(),
        "start_time": iso_utc(start),
        "end_time": iso_utc(start + round(measured.elapsed * 1e9)),
        "agent_stats": {agent: measured.counts(agent=agent).as_dict() for agent in records.agents},
        "schema_version": SCHEMA_VERSION,
        "duration": measured.elapsed,
        "throughput": everything.total / measured.elapsed if measured.elapsed else 0.0,
        "success_rate": everything.rate(everything.successes),
        "failure_rate": everything.rate(everything.failures),
        "error_rate": everything.rate(everything.errors),
        "missing_data_rate": everything.rate(everything.missing_data),
        "latency": summarise_durations(measured.durations("latency")),
        "response_time": summarise_durations(measured.durations("response_time")),
        "tasks": {task: _task_statistics(measured, task) for task in records.tasks},
        "errors": everything.errors,
        "calls": measured.calls,
        "fairness": fairness(measured.successes_by_agent()),
    }


def of_phase(phase: Phase, measured: Measurements) -> PhaseStatistics:
    """The statistics of one phase of a run."""
    counts = measured.counts()
    return {
        "name": phase.name,
        "start": phase.start,
        "end": phase.end,
        **counts.as_dict(),
        "errors": counts.errors,
        "throughput": counts.total / measured.elapsed if measured.elapsed else 0.0,
        "latency": summarise_durations(measured.durations("latency")),
        "response_time": summarise_durations(measured.durations("response_time")),
    }


def _task_statistics(measured: Measurements, task: str) -> TaskStatistics:
    counts = measured.counts(task=task)
    return {
        **counts.as_dict(),
        "errors": counts.errors,
        "latency": summarise_durations(measured.durations("latency", task=task)),
        "response_time": summarise_durations(measured.durations("response_time", task=task)),
    }
