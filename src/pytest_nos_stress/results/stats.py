"""Statistics computed from records, for ``simulation_statistics.json``.

The keys of the seed document keep their names and places; other keys stand beside them. Durations are in seconds,
rates from 0 to 1.
"""

from __future__ import annotations

from typing import Final, cast

from pytest_nos_stress._internal.instrument import gmtime, strftime
from pytest_nos_stress.scenario.phases import Phase

from .aggregation import summarise_durations
from .measurements import Measurements
from .metrics import METRICS
from .statistics_types import PhaseStatistics, RecordStatistics, TaskStatistics

SCHEMA_VERSION: Final = 2
"""Version of the file format. Version 2 changed the words of the verdicts."""


def iso_utc(nanoseconds: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 in UTC, with offset and microseconds."""
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest // 1000:06}+00:00"


def compute(measured: Measurements, wall_offset_ns: int) -> RecordStatistics:
    """Return the statistics that come from records alone, in the order of ``RecordStatistics``."""
    start = measured.started_ns + wall_offset_ns
    records = measured.records
    values: dict[str, object] = {
        "start_time": iso_utc(start),
        "end_time": iso_utc(start + round(measured.elapsed * 1e9)),
        "agent_stats": {agent: measured.counts(agent=agent).as_dict() for agent in records.agents},
        "schema_version": SCHEMA_VERSION,
        "duration": measured.elapsed,
        "tasks": {task: _task_statistics(measured, task) for task in records.tasks},
    }
    for metric in METRICS.values():
        if metric.is_of_operations:
            values[metric.statistic_key or metric.name] = metric.statistic_of(measured)
    in_order = {name: values[name] for name in (*RecordStatistics.__annotations__, *values)}
    return cast(RecordStatistics, in_order)


def of_phase(phase: Phase, measured: Measurements) -> PhaseStatistics:
    """Return the statistics of one phase of a run."""
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
