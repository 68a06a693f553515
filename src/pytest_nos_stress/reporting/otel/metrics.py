"""A run's metrics: counts by task and outcome, distributions of durations, and the run's rates."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import numpy as np

from pytest_nos_stress._internal.outcome import OUTCOME_NAMES, Outcome
from pytest_nos_stress.reporting.summary import by_name
from pytest_nos_stress.results.metrics import METRICS
from pytest_nos_stress.results.record_array import RecordArray
from pytest_nos_stress.results.records import Column

from .run import Run, otel_text, resource, scope

_BOUNDS: Final = tuple(step * 10**power for power in range(3, 11) for step in (1, 2.5, 5))
"""Upper bounds of the buckets of durations, in nanoseconds: from 1 us to 50 s."""


def metrics(run: Run) -> Any:
    """Return the metrics of a run in the type of the SDK's exporters."""
    sdk = import_module("opentelemetry.sdk.metrics.export")
    of_scope = sdk.ScopeMetrics(scope=scope(), metrics=list(_Points(sdk, run).metrics()), schema_url="")
    of_resource = sdk.ResourceMetrics(resource=resource(), scope_metrics=[of_scope], schema_url="")
    return sdk.MetricsData(resource_metrics=[of_resource])


class _Points:
    """Data points of one run. Each covers the whole run."""

    def __init__(self, sdk: Any, run: Run) -> None:
        self._sdk = sdk
        self._run = run
        self._records = run.records
        preferred = os.environ.get("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "").strip().lower()
        temporality = sdk.AggregationTemporality
        self._temporality = temporality.DELTA if preferred in ("delta", "lowmemory") else temporality.CUMULATIVE

    def metrics(self) -> Iterator[Any]:
        outcomes = self._by_task_and_outcome(np.ones(self._records.size, np.bool_))
        yield self._counter("stress.operations", "{operation}", outcomes)
        errors = self._by_task_and_outcome(np.asarray(self._records["is_error"]))
        yield self._counter("stress.errors", "{error}", errors + self._background_errors(errors))
        if self._run.has_durations:
            yield self._histogram("stress.operation.latency", "latency")
            yield self._histogram("stress.operation.response_time", "response_time")
        for metric in METRICS.values():
            unit = metric.unit.opentelemetry
            value = by_name(self._run.summary)[metric.name] if unit else None
            if unit and value is not None:
                gauge = self._sdk.Gauge(data_points=[self._number({}, float(value))])
                yield self._sdk.Metric(name=f"stress.{metric.name}", description="", unit=unit, data=gauge)

    def _by_task_and_outcome(self, chosen: Column) -> list[tuple[dict[str, Any], int]]:
        counts = np.bincount(_group(self._records[chosen]), minlength=len(self._records.tasks) * len(Outcome))
        return [(self._tags(group), count) for group, count in enumerate(counts.tolist()) if count]

    def _background_errors(
        self, of_operations: list[tuple[dict[str, Any], int]]
    ) -> list[tuple[dict[str, Any], int]]:
        """Return the errors that no operation had, which have neither task nor outcome."""
        count = self._run.summary["errors"] - sum(count for _, count in of_operations)
        return [({"stress.source": "background"}, count)] if count > 0 else []

    def _tags(self, group: int) -> dict[str, Any]:
        task, outcome = divmod(group, len(Outcome))
        return {"stress.task": otel_text(self._records.tasks[task]), "stress.outcome": OUTCOME_NAMES[outcome]}

    def _counter(self, name: str, unit: str, counts: list[tuple[dict[str, Any], int]]) -> Any:
        points = [self._number(tags, count) for tags, count in counts]
        data = self._sdk.Sum(points, aggregation_temporality=self._temporality, is_monotonic=True)
        return self._sdk.Metric(name=name, description="", unit=unit, data=data)

    def _number(self, tags: Mapping[str, Any], value: float) -> Any:
        return self._sdk.NumberDataPoint({**self._run.test, **tags}, self._run.start, self._run.end, value)

    def _histogram(self, name: str, field: str) -> Any:
        called = self._records[self._records["called"]]
        durations, groups = called[field], _group(called)
        order = np.argsort(groups, kind="stable")
        firsts = np.flatnonzero(np.diff(groups[order], prepend=-1))
        points = [
            self._distribution(int(groups[rows[0]]), durations[rows]) for rows in np.split(order, firsts[1:])
        ]
        data = self._sdk.Histogram(points, aggregation_temporality=self._temporality)
        return self._sdk.Metric(name=name, description="", unit="s", data=data)

    def _distribution(self, group: int, durations: Column) -> Any:
        buckets = np.searchsorted(_BOUNDS, durations, side="left")
        return self._sdk.HistogramDataPoint(
            attributes={**self._run.test, **self._tags(group)},
            start_time_unix_nano=self._run.start,
            time_unix_nano=self._run.end,
            count=int(durations.size),
            sum=float(durations.sum()) / 1e9,
            bucket_counts=np.bincount(buckets, minlength=len(_BOUNDS) + 1).tolist(),
            explicit_bounds=[bound / 1e9 for bound in _BOUNDS],
            min=float(durations.min()) / 1e9,
            max=float(durations.max()) / 1e9,
        )


def _group(records: RecordArray) -> Column:
    """Return a number for each pair of task and outcome."""
    group: Column = records["task"].astype(np.int64) * len(Outcome) + records["outcome"]
    return group
