"""Result of a run: figures for assertions, records, verdicts, and the exceptions of runs that do not pass."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pytest_nos_stress.engines import engine_class
from pytest_nos_stress.scenario.scenario import Scenario

from .aggregation import aggregate
from .check_verdict import CheckFunction, CheckRunner, CheckVerdict
from .judge import Verdict
from .measurements import Measurements
from .records import Records
from .resources import ResourceSamples
from .run_metrics import RunMetrics
from .statistics_types import ErrorTypeStatistics, Statistics
from .summary_types import Summary, TimeSeries
from .timeline import time_series
from .verdicts import FAILED, PASSED

if TYPE_CHECKING:
    import pandas
    import polars

    from .record_array import RecordArray


RateName = Literal["success_rate", "failure_rate", "error_rate", "missing_data_rate"]


class Durations:
    """Figures of a latency or response time in seconds: ``min mean med max stddev p50 p99 p99_9 ...``.

    Every figure is NaN if no operation called the target, so every comparison with it is false.
    """

    def __init__(self, measured: Measurements, metric: str) -> None:
        self._measured = measured
        self._metric = metric

    def percentile(self, percent: float) -> float:
        """Return a percentile in seconds. Raise ``ValueError`` if ``percent`` is not from 0 to 100."""
        if not 0 <= percent <= 100:
            raise ValueError(f"percent={percent!r}: must be a number from 0 to 100")
        return self._figure(f"p{percent!r}")

    def __getattr__(self, name: str) -> float:
        is_percentile = name[:1] == "p" and name[1:].replace("_", "", 1).isdecimal()
        if is_percentile or name in ("min", "mean", "med", "max", "stddev"):
            return self._figure(name.replace("_", "."))
        raise AttributeError(f"no figure {name!r}; must be min, mean, med, max, stddev, p50, p99, p99_9, ...")

    def _figure(self, name: str) -> float:
        samples = self._measured.durations(self._metric)
        return aggregate(samples, name) if samples.size else float("nan")


class StressResult:
    """Result of one run.

    ``stats`` is the content of ``simulation_statistics.json``. Counts are integers, rates are from 0 to 1,
    durations are in seconds, and ``throughput`` is in operations per second. A rate is NaN if the run had no
    operations.
    """

    def __init__(
        self,
        stats: Statistics,
        scenario: Scenario,
        output_dir: Path,
        files: Sequence[Path],
        verdicts: Sequence[Verdict],
        checks: Sequence[CheckVerdict],
        run_metrics: RunMetrics,
        records: Records,
        *,
        summarise: Callable[[StressResult], Summary],
        notes: Sequence[str] = (),
        fault_spans: Sequence[tuple[float, float]] = (),
        first_faults: Mapping[tuple[str, int], str] | None = None,
    ) -> None:
        self.stats = stats
        self.scenario = scenario
        self.output_dir = output_dir
        self.files = tuple(files)
        self.verdicts = tuple(verdicts)
        self.checks = tuple(checks)
        """Verdict on each check: ``name``, ``verdict``, ``looks`` (number of evaluations) and ``finding``."""
        self.measured = measured = run_metrics.measured
        """Measurements of the run's operations."""
        self.phases = run_metrics.phases
        """Phases of the run: ``name`` (ramp, warmup, steady), ``start`` and ``end`` in seconds."""
        self.notes = tuple(notes)
        """Facts that no figure shows, such as "baseline 'main' is saved"."""
        self.fault_spans = tuple(fault_spans)
        """Start and end of each time in which fault windows were open, in seconds since the run's start."""
        in_virtual_time = engine_class(scenario.engine).uses_virtual_time
        self.vitals = ResourceSamples() if in_virtual_time else run_metrics.resources
        """Samples of memory and processor time during the run; empty in virtual time."""
        self.latency = Durations(measured, "latency")
        self.response_time = Durations(measured, "response_time")
        self.operation_columns = records
        """Operations as columns, in the order in which the recorder received them."""
        self.first_faults = dict(first_faults or {})
        """Fault of the first call of a flaky client in each operation, by the operation's agent and index."""
        self.raised = False
        """True if ``run()`` raised an exception because the run did not pass."""
        self._summarise = summarise
        self.summary = summarise(self)
        """Figures and texts of the run for people and CI systems, as builtin types."""

    def failed_by(self, problem: str) -> Self:
        """Return a copy of this result with the verdict ``failed``, because of a problem."""
        return self._with(stats={**self.stats, "verdict": FAILED, "reason": problem.splitlines()[0]})

    def with_note(self, note: str) -> Self:
        """Return a copy of this result with one more note."""
        return self._with(notes=(*self.notes, note))

    def _with(self, **changes: object) -> Self:
        """Return a copy with changed attributes and a new summary; the copy shares the records."""
        changed = copy.copy(self)
        vars(changed).update(changes)
        changed.summary = self._summarise(changed)
        return changed

    @property
    def operations(self) -> int:
        return int(self.stats["total_operations"])

    @property
    def successes(self) -> int:
        return int(self.stats["successful_operations"])

    @property
    def failures(self) -> int:
        return int(self.stats["failed_operations"])

    @property
    def missing_data(self) -> int:
        return int(self.stats["missing_data_events"])

    @property
    def errors(self) -> int:
        """Number of unexpected exceptions of the target. Injected faults are not counted."""
        return int(self.stats["errors"])

    @property
    def error_types(self) -> list[ErrorTypeStatistics]:
        """Types of errors, each with its count and one error as a sample."""
        return list(self.stats["error_types"])

    @property
    def success_rate(self) -> float:
        return self._rate("success_rate")

    @property
    def failure_rate(self) -> float:
        return self._rate("failure_rate")

    @property
    def error_rate(self) -> float:
        return self._rate("error_rate")

    @property
    def missing_data_rate(self) -> float:
        return self._rate("missing_data_rate")

    @property
    def throughput(self) -> float:
        return float(self.stats["throughput"])

    @property
    def seed(self) -> int:
        return self.scenario.seed

    @property
    def status(self) -> str:
        """``completed``, ``stopped``, ``interrupted``, ``aborted``, ``hung`` or ``deadlocked``."""
        return str(self.stats["status"])

    @property
    def passed(self) -> bool:
        """True if the run completed, every threshold and check passed, and all files were written."""
        return self.stats["verdict"] == PASSED

    def check(self, function: CheckFunction) -> None:
        """Evaluate a check now, and raise ``CheckFailed`` if it fails.

        The function takes nothing or this result. The check fails if the function raises an exception, returns
        False, or returns problems (for example a list that is not empty).
        """
        runner = CheckRunner(function, self)
        finding, error = runner.evaluate()
        if finding:
            failed = CheckVerdict(runner.name, FAILED, 1, finding, error)
            raise CheckFailed(f"{failed} (seed {self.seed})", self) from error

    @cached_property
    def history(self) -> TimeSeries:
        """Figures over time in 60 equal parts: ``operations``, ``failures``, ``errors`` and ``p99``."""
        return time_series(self.measured)

    @cached_property
    def finding(self) -> str:
        """Sentence that states what failed, when, and for which agent or task; empty if the run passed."""
        if self.passed or not self.operations:
            return ""
        from .findings import find
        from .run_operations import read_operations

        return next(iter(find(read_operations(self.measured, self.fault_spans)).sentences), "")

    @property
    def records(self) -> RecordArray:
        """Operations as a NumPy structured array, a row for each, ordered by their ends; made anew at each access.

        Fields: ``agent``, ``task`` and ``kind`` (numbers in the array's ``agents``, ``tasks`` and ``kinds``),
        ``index``, ``outcome`` (0 success, 1 failed, 2 missing_data), ``is_error``, ``called``, and in nanoseconds
        ``end`` (since the epoch), ``latency`` and ``response_time``.
        """
        from .record_array import RecordArray

        records = self.operation_columns
        return RecordArray.of(
            records.to_array(),
            agents=records.agents,
            tasks=records.tasks,
            kinds=[kind.reported_as for kind in records.kinds.variants],
        )

    def to_pandas(self) -> pandas.DataFrame:
        """Return the records as a pandas data frame. Raise ``ImportError`` if pandas is not installed."""
        return self.records.to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """Return the records as a Polars data frame. Raise ``ImportError`` if Polars is not installed."""
        return self.records.to_polars()

    def __repr__(self) -> str:
        return (
            f"<StressResult: {self.operations} operations, {self.successes} successful, {self.failures} failed, "
            f"{self.missing_data} missing data, {self.errors} errors, seed {self.seed}>"
        )

    def _rate(self, name: RateName) -> float:
        rate = self.stats[name]
        return float("nan") if rate is None else float(rate)


class RunFailed(AssertionError):
    """A run did not pass: it hung, lost an agent, had no operations, could not write a file, or a check failed.

    Subclasses name the reason. ``result`` is the result of the run, with everything it measured.
    """

    def __init__(self, message: str, result: StressResult) -> None:
        super().__init__(message)
        self.result = result


class ThresholdsNotMet(RunFailed):
    """One or more thresholds failed or had no data. The message shows wanted and measured values side by side."""


class CheckFailed(RunFailed):
    """A check failed: an invariant did not hold, a state was never reached, or the target did not recover."""


class Deadlock(RunFailed):
    """No agent of a run in virtual time could continue. The message shows what each agent waits for, and where."""


for _public in (RunFailed, ThresholdsNotMet, CheckFailed, Deadlock):
    _public.__module__ = "pytest_nos_stress"  # Users import them from there, and tracebacks get shorter.
