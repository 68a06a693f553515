"""Types of the content of ``simulation_statistics.json``, for mypy.

Durations are in seconds, rates from 0 to 1, times ISO 8601 in UTC. A figure without data is None, written as null.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class OutcomeStatistics(TypedDict):
    """Counts of operations by outcome, under the seed document's keys."""

    total_operations: int
    successful_operations: int
    failed_operations: int
    missing_data_events: int


DurationFigures = TypedDict(
    "DurationFigures",
    {
        "count": int,
        "min": float | None,
        "mean": float | None,
        "med": float | None,
        "max": float | None,
        "stddev": float | None,
        "p50": float | None,
        "p90": float | None,
        "p95": float | None,
        "p99": float | None,
        "p99.9": float | None,
    },
)
"""Number of samples of a duration, and their aggregations in seconds."""


class TaskStatistics(OutcomeStatistics):
    """Statistics of the operations of one task."""

    errors: int
    latency: DurationFigures
    response_time: DurationFigures


class PhaseStatistics(OutcomeStatistics):
    """Statistics of one phase; ``start`` and ``end`` are in seconds since the run's start."""

    name: str
    start: float
    end: float
    errors: int
    throughput: float
    latency: DurationFigures
    response_time: DurationFigures


class RecordStatistics(OutcomeStatistics):
    """Statistics that are computed from records alone."""

    start_time: str
    end_time: str
    agent_stats: dict[str, OutcomeStatistics]
    schema_version: int
    duration: float
    throughput: float
    success_rate: float | None
    failure_rate: float | None
    error_rate: float | None
    missing_data_rate: float | None
    latency: DurationFigures
    response_time: DurationFigures
    tasks: dict[str, TaskStatistics]
    errors: int
    calls: int
    fairness: float | None


class MemoryFigures(TypedDict):
    """Memory of the process in bytes; ``growth`` is ``end`` minus ``start``."""

    start: int
    end: int
    growth: int
    peak: int


class LagFigures(TypedDict):
    """Seconds between the time an operation was due and its start."""

    p50: float | None
    p99: float | None
    max: float | None


class GarbageCollectionFigures(TypedDict):
    """Garbage collections during a run: their number, total seconds, and seconds of the longest."""

    collections: int
    seconds: float
    longest: float


class HarnessStatistics(TypedDict):
    """Load on the process that drove the agents, and its bottleneck. In virtual time only ``lag`` is measured.

    ``cpu`` and ``machine_busy`` are None if the system refused to measure them.
    """

    bottleneck: str | None
    words: str
    lag: LagFigures
    cpu: NotRequired[float | None]
    processors: NotRequired[int]
    machine_busy: NotRequired[float | None]
    gil: NotRequired[bool]
    gc: NotRequired[GarbageCollectionFigures]
    waited_for_recorder: NotRequired[float]
    held_for_checks: NotRequired[float]


class ErrorTypeStatistics(TypedDict):
    """Number of errors of one type, and details of one of these errors.

    ``source`` is ``operation``, or describes the thread, task or callback of a background error. Agent and task of
    a background error are None if they are not known.
    """

    count: int
    type: str
    message: str
    source: str
    agent: str | None
    task: str | None
    traceback: str


class AbortStatistics(TypedDict):
    """Threshold that aborted a run, and the time in seconds since the run's start."""

    threshold: str
    at: float


class WindowStatistics(TypedDict):
    """Number of a threshold's windows, and start and end of each failed window, in seconds of the run."""

    total: int
    failed: list[list[float]]


class ThresholdStatistics(TypedDict):
    """Verdict on one threshold; ``measured`` and ``limit`` are in the metric's base unit."""

    threshold: str
    verdict: str
    measured: float | None
    limit: float | None
    samples: int
    note: str
    windows: WindowStatistics


class CheckStatistics(TypedDict):
    """Verdict on one check."""

    check: str
    verdict: str
    looks: int
    finding: str


class Statistics(RecordStatistics):
    """Content of ``simulation_statistics.json``."""

    phases: list[PhaseStatistics]
    memory: MemoryFigures | None
    operations_overlapped: bool
    harness: HarnessStatistics
    faults: dict[str, int]
    faults_at: str
    retries: int
    background_errors: int
    error_types: list[ErrorTypeStatistics]
    expected_error_types: dict[str, int]
    status: str
    aborted: AbortStatistics | None
    interrupted: bool
    seed: int
    scenario: dict[str, Any]
    thresholds: list[ThresholdStatistics]
    checks: list[CheckStatistics]
    recovery_operations: int | None
    verdict: str
    python: str
    reason: str
