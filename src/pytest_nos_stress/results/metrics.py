"""Metrics: the table of figures that thresholds can limit and that statistics and reports contain.

To add a metric, add a row to ``METRICS`` and the function that reads its value. Thresholds, statistics, the
summary, JUnit properties, OpenMetrics and OpenTelemetry take everything else from the row.

Thresholds are parsed in sessions that run no stress test, which must not import NumPy: nothing that imports NumPy
is imported here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pytest_nos_stress._internal.outcome import ERROR, FAILED, MISSING, SUCCESS

from .aggregation import AGGREGATIONS, aggregate, jain_index, percent_of, samples_needed, summarise_durations
from .selection import Selection
from .units import BYTES, COUNT, INDEX, PER_SECOND, RATIO, SECONDS, Unit

if TYPE_CHECKING:
    from .measurements import Counts, Measurements
    from .resources import ResourceSamples

TAGS: Final = ("agent", "task", "faults", "phase")
_FEWEST_AGENTS: Final = 2
_FEWEST_FOR_A_SPREAD: Final = 2
_FEWEST_OF_MEMORY: Final = 2


def _no_samples() -> ResourceSamples:
    from .resources import ResourceSamples

    return ResourceSamples()


class Question(NamedTuple):
    """Input of a metric: a part of a run, the operations selected in it, and an aggregation."""

    part: Measurements
    selection: Selection = Selection()
    aggregation: str = ""
    resources: Callable[[], ResourceSamples] = _no_samples
    """Return the samples of the process during the part."""

    @property
    def counts(self) -> Counts:
        """Counts of the selected operations."""
        return self.part.counts(self.selection.agent, self.selection.task, self.selection.faults)


class Reading(NamedTuple):
    """A metric's value in its base unit, and the number of samples that it comes from.

    ``value`` is None without data. A ``note`` names what is missing, and means that a threshold has no data.
    """

    value: float | None
    samples: int
    note: str = ""


class Bounds(NamedTuple):
    """Least and largest value that a metric can have, in its base unit."""

    least: float = 0.0
    most: float = math.inf
    includes_least: bool = True
    """False if every value is above ``least``."""

    def includes(self, value: float) -> bool:
        """Return True if the metric can have this value."""
        return self.least <= value <= self.most and (self.includes_least or value > self.least)


_UNBOUNDED: Final = Bounds(-math.inf)
_NOT_NEGATIVE: Final = Bounds()


@dataclass(frozen=True)
class Metric:
    """Row of one metric."""

    name: str
    unit: Unit
    help: str
    """Description, one sentence."""
    read: Callable[[Question], Reading]
    statistic: Callable[[Measurements], object] | None = None
    """Return the value for ``simulation_statistics.json``; by default, the value that ``read`` returns."""
    statistic_key: str = ""
    """Key in ``simulation_statistics.json``; by default, the name."""
    property_name: str = ""
    """Name of the property in JUnit XML; by default, the name."""
    aggregations: tuple[str, ...] = ()
    """Names that a threshold can have after a dot. If there are any, a threshold must have one."""
    has_percentiles: bool = False
    """True if percentiles such as ``p99`` are aggregations too."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """Aggregations that reports show, each with its description if it is a separate OpenMetrics family."""
    tags: tuple[str, ...] = TAGS
    """Tags that a threshold can have."""
    cell: int | None = None
    """Outcome (or ``ERROR``) of the operations that a count or rate counts; None to count all operations."""
    in_baseline: bool = False
    """True if baselines keep the metric."""
    is_timed: bool = False
    """True if a slow harness or machine makes the metric worse."""
    is_of_operations: bool = True
    """True if the samples are operations, so the statistic is computed from records."""
    bounds: Bounds = _NOT_NEGATIVE
    """Values that the metric can have. A threshold that all or none of them satisfy is refused."""
    unbounded: tuple[str, ...] = ()
    """Aggregations that can have any value."""

    def bounds_of(self, aggregation: str | None) -> Bounds:
        """Return the bounds of an aggregation; None stands for a metric without aggregations."""
        return _UNBOUNDED if aggregation in self.unbounded else self.bounds

    def statistic_of(self, measured: Measurements) -> object:
        """Return the metric's value in ``simulation_statistics.json``, for the operations of a run."""
        if self.statistic is not None:
            return self.statistic(measured)
        return self.read(Question(measured)).value

    def summary_of(self, stats: Mapping[str, Any]) -> Any:
        """Return the metric's value in a run's summary, or a mapping with a value for each figure."""
        value = stats[self.statistic_key or self.name]
        return {figure: value[figure] for figure in self.figures} if self.has_percentiles else value

    def text(self, value: float) -> str:
        """Return the text of a value for people."""
        return self.unit.format(value)


def _read_count(cell: int | None, question: Question) -> Reading:
    counts = question.counts
    return Reading(counts.of(cell), counts.total)


def _read_calls(question: Question) -> Reading:
    selection = question.selection
    calls = question.part.count_calls(selection.agent, selection.task, selection.faults)
    return Reading(calls, question.counts.total)


def _read_rate(cell: int, question: Question) -> Reading:
    counts = question.counts
    if not counts.total:
        return Reading(None, 0, "no operations")
    # Background errors are in no operation, so that errors can outnumber the operations.
    return Reading(min(1.0, counts.of(cell) / counts.total), counts.total)


def _read_throughput(question: Question) -> Reading:
    total, elapsed = question.counts.total, question.part.elapsed
    if not elapsed:
        return Reading(None, 0, "the run took no time" if total else "no operations")
    return Reading(total / elapsed, total)


def _read_fairness(question: Question) -> Reading:
    total = question.counts.total
    if not total:
        return Reading(None, 0, "no operations")
    if len(question.part.records.agents) < _FEWEST_AGENTS:
        return Reading(None, total, "only one agent")
    successes = question.part.successes_by_agent(question.selection.task, question.selection.faults)
    index = jain_index(successes)
    return Reading(index, total, "no successes" if index is None else "")


def _read_duration(name: str, question: Question) -> Reading:
    part, (agent, task, faults) = question.part, question.selection
    samples = part.durations(name, agent, task, faults)
    if not samples.size:
        note = "no samples: in virtual time only simulated waits take time" if part.is_modelled else ""
        return Reading(None, 0, note)
    aggregation = question.aggregation
    value = aggregate(samples, aggregation)
    needed = _FEWEST_FOR_A_SPREAD if aggregation == "stddev" else samples_needed(percent_of(aggregation))
    note = f"{_samples(samples.size)}, {aggregation} needs {needed}" if samples.size < needed else ""
    return Reading(value, samples.size, note)


def _samples(number: int) -> str:
    return "1 sample" if number == 1 else f"{number} samples"


def _read_memory(question: Question) -> Reading:
    memory = question.resources().memory
    if memory.size < _FEWEST_OF_MEMORY:
        sampled = "only 1 memory sample" if memory.size else "no memory samples"
        return Reading(None, memory.size, sampled)
    value = memory.max() if question.aggregation == "peak" else memory[-1] - memory[0]
    return Reading(float(value), memory.size)


def _count(
    name: str, cell: int | None, help_text: str, *, statistic_key: str = "", property_name: str = ""
) -> Metric:
    return Metric(
        name,
        COUNT,
        help_text,
        partial(_read_count, cell),
        statistic_key=statistic_key,
        property_name=property_name,
        cell=cell,
        in_baseline=True,
    )


def _rate(name: str, cell: int, help_text: str) -> Metric:
    return Metric(
        name,
        RATIO,
        help_text,
        partial(_read_rate, cell),
        cell=cell,
        in_baseline=True,
        bounds=Bounds(most=1.0),
    )


def _duration(name: str, help_text: str) -> Metric:
    return Metric(
        name,
        SECONDS,
        help_text,
        partial(_read_duration, name),
        statistic=lambda measured: summarise_durations(measured.durations(name)),
        aggregations=AGGREGATIONS,
        has_percentiles=True,
        figures=dict.fromkeys(("p50", "p95", "p99", "max", "mean"), ""),
        in_baseline=True,
        is_timed=True,
    )


_ROWS: Final = (
    _count("operations", None, "Operations that the agents performed.", statistic_key="total_operations"),
    Metric("calls", COUNT, "Operations that entered the target's function.", _read_calls),
    _count(
        "successes",
        SUCCESS,
        "Operations that succeeded.",
        statistic_key="successful_operations",
        property_name="successful",
    ),
    _count(
        "failures",
        FAILED,
        "Operations that failed, by an injected fault or an exception.",
        statistic_key="failed_operations",
        property_name="failed",
    ),
    _count("errors", ERROR, "Unexpected exceptions, in operations and in the background."),
    _count(
        "missing_data", MISSING, "Operations that were given missing data.", statistic_key="missing_data_events"
    ),
    _rate("success_rate", SUCCESS, "Share of operations that succeeded."),
    _rate("failure_rate", FAILED, "Share of operations that failed."),
    _rate("error_rate", ERROR, "Unexpected exceptions for each operation, at most 1."),
    _rate("missing_data_rate", MISSING, "Share of operations that were given missing data."),
    Metric(
        "throughput",
        PER_SECOND,
        "Operations per second.",
        _read_throughput,
        statistic=lambda measured: _read_throughput(Question(measured)).value or 0.0,
        in_baseline=True,
        is_timed=True,
    ),
    Metric(
        "fairness",
        INDEX,
        "Jain's index of the agents' successes: 1 if all agents had the same number.",
        _read_fairness,
        statistic=lambda measured: jain_index(measured.successes_by_agent()),
        tags=("task", "faults", "phase"),
        bounds=Bounds(most=1.0, includes_least=False),
    ),
    _duration("latency", "Time from the call of the target to its end."),
    _duration("response_time", "Time from the moment an operation was due to its end."),
    Metric(
        "memory",
        BYTES,
        "Memory of the process.",
        _read_memory,
        aggregations=("growth", "peak"),
        figures={
            "growth": "Memory at the end minus memory at the start.",
            "peak": "Most memory in use during the run.",
        },
        tags=("phase",),
        is_of_operations=False,
        bounds=Bounds(includes_least=False),
        unbounded=("growth",),
    ),
)
METRICS: Final = {metric.name: metric for metric in _ROWS}
"""Metrics by name, in the order of files and messages."""
