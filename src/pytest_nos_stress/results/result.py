"""StressResult: what a run measured, with the attributes people assert on."""

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
    """The figures of a latency or a response time, in seconds: ``min mean med max stddev p50 p99 p99_9 ...``.

    NaN where no operation called the target, so that no comparison with it holds.
    """

    def __init__(self, measured: Measurements, metric: str) -> None:
        self._measured = measured
        self._metric = metric

    def percentile(self, percent: float) -> float:
        """The percentile in seconds. Raises ``ValueError`` where ``percent`` is not from 0 to 100."""
        if not 0 <= percent <= 100:
            raise ValueError(f"percent={percent!r}: must be a number from 0 to 100")
        return self._figure(f"p{percent!r}")

    def __getattr__(self, name: str) -> float:
        is_percentile = name[:1] == "p" and name[1:].replace("_", "", 1).isdecimal()
        if is_percentile or name in ("min", "mean", "med", "max", "stddev"):
            return self._figure(name.replace("_", "."))
        raise AttributeError(f"no figure {name!r}; there are min, mean, med, max, stddev, p50, p99, p99_9, ...")

    def _figure(self, name: str) -> float:
        samples = self._measured.durations(self._metric)
        return aggregate(samples, name) if samples.size else float("nan")


class StressResult:
    """What one run measured.

    ``stats`` is the content of ``simulation_statistics.json``. Counts are whole numbers, rates from 0 to 1,
    durations seconds, ``throughput`` operations per second.
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
        """Verdict on each check: ``name``, ``verdict`` (passed, failed, no data), ``looks``, ``finding``."""
        self.measured = measured = run_metrics.measured
        """Measurements of the run's operations."""
        self.phases = run_metrics.phases
        """The parts of the run: ``name`` (ramp, warmup, steady), ``start`` and ``end`` in seconds."""
        self.notes = tuple(notes)
        """Notes on the run that no figure shows, such as whether it was saved as a baseline."""
        self.fault_spans = tuple(fault_spans)
        """When fault windows were open, from and to in seconds since the start."""
        in_virtual_time = engine_class(scenario.engine).uses_virtual_time
        self.vitals = ResourceSamples() if in_virtual_time else run_metrics.resources
        """Samples of the process during the run; empty in virtual time."""
        self.latency = Durations(measured, "latency")
        self.response_time = Durations(measured, "response_time")
        self.operation_columns = records
        """The operations as columns, as the recorder has kept them."""
        self.first_faults = dict(first_faults or {})
        """Fault that the first call of a flaky client met in an operation, by agent and index."""
        self.raised = False
        """True if ``run()`` raised an exception because the run did not pass."""
        self._summarise = summarise
        self.summary = summarise(self)
        """The run's figures and texts for people and CI systems, as builtin types."""

    def failed_by(self, problem: str) -> Self:
        """Return this result as that of a run which does not pass because of a problem."""
        return self._with(stats={**self.stats, "verdict": FAILED, "reason": problem.splitlines()[0]})

    def with_note(self, note: str) -> Self:
        """Return this result with one more note."""
        return self._with(notes=(*self.notes, note))

    def _with(self, **changes: object) -> Self:
        """Return a copy with these attributes, and a summary of them; figures of the records are shared."""
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
        """Unexpected exceptions of the target; injected failures are none."""
        return int(self.stats["errors"])

    @property
    def error_types(self) -> list[ErrorTypeStatistics]:
        """Each type of error with its count and a sample."""
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
        """Whether the run did what it should: completed, all files written, every threshold held."""
        return self.stats["verdict"] == PASSED

    def check(self, function: CheckFunction) -> None:
        """Raise ``CheckFailed`` if a check does not hold now.

        The function takes nothing or this result. It is broken if it raises an exception, returns False or
        returns problems (a list that is not empty, for instance).
        """
        question = CheckRunner(function, self)
        finding, error = question.evaluate()
        if finding:
            failed = CheckVerdict(question.name, FAILED, 1, finding, error)
            raise CheckFailed(f"{failed} (seed {self.seed})", self) from error

    @cached_property
    def history(self) -> TimeSeries:
        """What was measured over time, in sixty parts: ``operations``, ``failures``, ``errors``, ``p99``."""
        return time_series(self.measured)

    @cached_property
    def finding(self) -> str:
        """What happened, when and to whom, in a sentence, where the run did not pass and its figures show it."""
        if self.passed or not self.operations:
            return ""
        from .findings import find
        from .run_operations import read_operations

        return next(iter(find(read_operations(self.measured, self.fault_spans)).sentences), "")

    @property
    def records(self) -> RecordArray:
        """A NumPy structured array, a row for each operation in order of their ends, made anew at each call.

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
        """The records as a data frame of pandas. Raises ``ImportError`` where that is not installed."""
        return self.records.to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """The records as a data frame of Polars. Raises ``ImportError`` where that is not installed."""
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
    """A run that must not pass: hung, without operations or files, with a lost agent or a broken threshold.

    ``result`` is what was measured all the same.
    """

    def __init__(self, message: str, result: StressResult) -> None:
        super().__init__(message)
        self.result = result


class ThresholdsNotMet(RunFailed):
    """One or more thresholds did not hold; the message has wanted and measured side by side."""


class CheckFailed(RunFailed):
    """A check did not hold: an invariant of the target, a state that was never seen, or a lack of recovery."""


class Deadlock(RunFailed):
    """No agent of a virtual run could go on; the message says who waits for whom, and where."""


for _public in (RunFailed, ThresholdsNotMet, CheckFailed, Deadlock):
    _public.__module__ = "pytest_nos_stress"  # where users import them from, and shorter in a summary of failures
