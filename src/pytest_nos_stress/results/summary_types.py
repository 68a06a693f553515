"""Types of a run's summary, for mypy. All values are JSON types, since xdist's workers send summaries.

Durations are in seconds, rates from 0 to 1, memory in bytes. A figure without data is None. Every text is one line
without control characters.
"""

from __future__ import annotations

from typing import TypedDict

from .statistics_types import AbortStatistics, MemoryFigures, PhaseStatistics


class DurationSummary(TypedDict):
    """Aggregations of a latency or a response time."""

    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None
    mean: float | None


class ThresholdSummary(TypedDict):
    """Texts of a threshold and of the value measured, and the verdict."""

    wanted: str
    measured: str
    verdict: str


class CheckSummary(TypedDict):
    """Verdict on a check, and its finding (empty if it passed)."""

    name: str
    verdict: str
    finding: str


class ErrorTypeSummary(TypedDict):
    """Number of errors of one exception type, and message, source, agent and task of one of them."""

    type: str
    count: int
    message: str
    source: str
    agent: str | None
    task: str | None


class TimeSeries(TypedDict):
    """Figures of equal parts of the run: start in seconds, counts of operations, and p99 of the latency."""

    seconds: list[float]
    operations: list[int]
    failures: list[int]
    errors: list[int]
    p99: list[float | None]


class MetricSummary(TypedDict):
    """Metrics of a run, and its ``duration`` in seconds."""

    operations: int
    successes: int
    failures: int
    missing_data: int
    errors: int
    success_rate: float | None
    failure_rate: float | None
    error_rate: float | None
    missing_data_rate: float | None
    duration: float
    throughput: float
    fairness: float | None
    latency: DurationSummary
    response_time: DurationSummary
    memory: MemoryFigures | None


class Summary(MetricSummary):
    """Figures and texts of a run, for people and CI systems.

    ``outcome`` is the outcome of the test once the test has ended (passed, failed or skipped), and empty before.
    ``raised`` is True if the run raised an exception because it did not pass.
    ``failed_by`` says what failed a test whose runs all passed; it is empty otherwise.
    """

    test: str
    note: str
    run: int
    file: str
    line: int
    verdict: str
    passed: bool
    outcome: str
    raised: bool
    failed_by: str
    status: str
    failure: str
    seed: int
    engine: str
    agents: int
    thresholds: list[ThresholdSummary]
    not_applicable: list[str]
    checks: list[CheckSummary]
    error_types: list[ErrorTypeSummary]
    harness: str
    phases: list[PhaseStatistics]
    aborted: AbortStatistics | None
    notes: list[str]
    finding: str
    directory: str
    files: dict[str, str]
    repeat: str
    history: TimeSeries


class SessionTest(TypedDict):
    """Outcome of a stress test, of which a session may have no run.

    ``outcome``: passed, failed, skipped, ``not finished`` or ``not run``. ``reason``: empty if the test passed.
    ``test`` is the same as in the summaries of the test's runs. ``line`` is 0 if it is unknown.
    """

    test: str
    file: str
    line: int
    outcome: str
    reason: str
    repeat: str
