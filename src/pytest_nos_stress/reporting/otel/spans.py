"""A run's trace: its own span, and a span for each of a sample of its operations."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

import numpy as np

from pytest_nos_stress._internal.outcome import OUTCOME_NAMES
from pytest_nos_stress._internal.seeding import stream_key
from pytest_nos_stress.reporting.summary import by_name
from pytest_nos_stress.results.record_array import RecordArray
from pytest_nos_stress.results.records import Column
from pytest_nos_stress.results.summary_types import ErrorTypeSummary, Summary

from .exporter import NotSent
from .run import Run, otel_attributes, otel_text, resource, scope

MOST_OPERATIONS: Final = 1_000
"""Largest number of operations that become spans, unless ``OTEL_TRACES_SAMPLER`` is set."""

_MOST_ERRORS: Final = MOST_OPERATIONS // 2
_MOST_ERROR_TYPES: Final = 20
_SPANS_PER_REQUEST: Final = 2_000
_OF_SUMMARY: Final = (
    "verdict",
    "engine",
    "agents",
    "operations",
    "successes",
    "failures",
    "missing_data",
    "errors",
    "success_rate",
    "failure_rate",
    "error_rate",
    "missing_data_rate",
    "throughput",
    "harness",
    "repeat",
)


def spans(run: Run) -> Iterator[list[Any]]:
    """Yield the spans of the trace, a batch for each request; nothing if the variables select no operation."""
    if _share(os.environ) == 0:
        return
    rows = sampled(run.records, run.seed)
    trace = _Trace(run)
    batch = [trace.whole(int(rows.size))]
    for first in range(0, rows.size, _SPANS_PER_REQUEST):
        batch += trace.operations(rows[first : first + _SPANS_PER_REQUEST])
        yield batch
        batch = []
    if batch:
        yield batch


def sampled(records: RecordArray, seed: int, environment: Mapping[str, str] = os.environ) -> Column:
    """Return the rows that become spans, in order.

    A hash of seed, agent and index selects them, so each run of a seed shows the same operations. If
    ``OTEL_TRACES_SAMPLER`` is set, it decides the share of the operations: ``always_on``, ``always_off``, or
    ``traceidratio`` with ``OTEL_TRACES_SAMPLER_ARG``. A prefix ``parentbased_`` has no effect. If it is not set,
    at most ``MOST_OPERATIONS`` are selected: errors, up to half of that number, then other operations. Raises
    ``NotSent`` if a variable has a value that is not allowed.
    """
    keys = _keys(records, seed)
    share = _share(environment)
    if share is not None:
        in_share: Column = np.flatnonzero(keys >> np.uint64(11) < share * 2.0**53)
        return in_share
    error = np.asarray(records["is_error"])
    errors = _smallest(keys, np.flatnonzero(error), _MOST_ERRORS)
    others = _smallest(keys, np.flatnonzero(~error), MOST_OPERATIONS - errors.size)
    chosen: Column = np.sort(np.concatenate([errors, others]))
    return chosen


def _keys(records: RecordArray, seed: int) -> Column:
    """Return a hash of each operation: the finaliser of SplitMix64 (Steele et al. 2014) over agent and index."""
    of_agent = [stream_key(seed, agent, "telemetry") >> 64 for agent in records.agents]
    keys: Column = np.array(of_agent, np.uint64).take(records["agent"])
    keys += records["index"].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        keys ^= keys >> np.uint64(shift)
        keys *= np.uint64(factor)
    keys ^= keys >> np.uint64(31)
    return keys


def _smallest(keys: Column, rows: Column, most: int) -> Column:
    if rows.size <= most:
        return rows
    smallest: Column = rows[np.argpartition(keys[rows], most)[:most]]
    return smallest


def _share(environment: Mapping[str, str]) -> float | None:
    sampler = environment.get("OTEL_TRACES_SAMPLER", "").strip().lower()
    kind = sampler.removeprefix("parentbased_")
    if not kind:
        return None
    if kind == "traceidratio":
        return _ratio(environment.get("OTEL_TRACES_SAMPLER_ARG", "1"))
    if kind not in ("always_on", "always_off"):
        raise NotSent(f"OTEL_TRACES_SAMPLER={sampler!r}: must be always_on, always_off or traceidratio")
    return float(kind == "always_on")


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise NotSent(f"OTEL_TRACES_SAMPLER_ARG={text!r}: must be a number from 0 to 1")
    return ratio


class _Trace:
    """Spans of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._sdk = import_module("opentelemetry.sdk.trace")
        self._api = import_module("opentelemetry.trace")
        self._common = {"resource": resource(), "instrumentation_scope": scope()}
        self._above = _parent_in_environment()
        self._trace_id = self._above.trace_id if self._above is not None else _random_id(16)
        self._root = self._context()
        self._no_error = self._api.Status(self._api.StatusCode.UNSET)
        self._error = self._failed("")
        self._error_type = _only_error_type(run.summary)
        self._agents = [otel_text(name) for name in run.records.agents]
        self._tasks = [otel_text(name) for name in run.records.tasks]

    def whole(self, operations: int) -> Any:
        """Return the run's span, the parent of the spans of so many operations."""
        run, summary = self._run, self._run.summary
        passed = summary["passed"]
        attributes = {
            **{f"stress.{name}": by_name(summary)[name] for name in _OF_SUMMARY},
            **run.test,
            "test.case.result.status": "pass" if passed else "fail",
            "code.file.path": summary["file"],
            "code.line.number": summary["line"] or None,
            "stress.seed": str(run.seed),
            "stress.operations.sampled": operations,
        }
        reason = summary["failure"] or summary["verdict"]
        return self._sdk.ReadableSpan(
            name="stress run",
            context=self._root,
            parent=self._above,
            attributes=otel_attributes(attributes),
            events=[self._exception(error_type) for error_type in summary["error_types"][:_MOST_ERROR_TYPES]],
            status=self._no_error if passed else self._failed(reason),
            start_time=run.start,
            end_time=run.end,
            **self._common,
        )

    def operations(self, rows: Column) -> Iterator[Any]:
        """Yield a span for each of these operations, with its exact start and end."""
        kinds = self._run.records.kinds
        for row in self._run.records[rows].tolist():
            agent, task, index, outcome, kind, is_error, called, end, latency, response_time = row
            attributes = {
                "stress.agent": self._agents[agent],
                "stress.task": self._tasks[task],
                "stress.index": index,
                "stress.outcome": OUTCOME_NAMES[outcome],
                "stress.fault": kinds[kind],
                "stress.called": called,
                "stress.response_time": response_time / 1e9 if called else None,
                "error.type": self._error_type if is_error else None,
            }
            yield self._sdk.ReadableSpan(
                name=self._tasks[task],
                context=self._context(),
                parent=self._root,
                attributes=otel_attributes(attributes),
                status=self._error if is_error else self._no_error,
                start_time=end - latency,
                end_time=end,
                **self._common,
            )

    def _context(self) -> Any:
        sampled = self._api.TraceFlags(self._api.TraceFlags.SAMPLED)
        return self._api.SpanContext(self._trace_id, _random_id(8), is_remote=False, trace_flags=sampled)

    def _failed(self, reason: str) -> Any:
        return self._api.Status(self._api.StatusCode.ERROR, otel_text(reason) or None)

    def _exception(self, error_type: ErrorTypeSummary) -> Any:
        """Return an error type as an event at the end of the run."""
        attributes = {
            "exception.type": error_type["type"],
            "exception.message": error_type["message"],
            "stress.source": error_type["source"],
            "stress.agent": error_type["agent"],
            "stress.task": error_type["task"],
            "stress.count": error_type["count"],
        }
        return self._sdk.Event("exception", otel_attributes(attributes), self._run.end)


def _only_error_type(summary: Summary) -> str:
    """Return the type of all errors if there is only one, because records have no types; otherwise ``_OTHER``.

    ``_OTHER`` is the fallback value of OpenTelemetry's semantic conventions.
    """
    types = [error_type["type"] for error_type in summary["error_types"]]
    return otel_text(types[0]) if len(types) == 1 else "_OTHER"


def _parent_in_environment() -> Any:
    """Return the span that ``TRACEPARENT`` names, or None. CI jobs that are traced set it for their commands."""
    propagation = import_module("opentelemetry.trace.propagation.tracecontext").TraceContextTextMapPropagator()
    carrier = {name.lower(): os.environ[name] for name in ("TRACEPARENT", "TRACESTATE") if name in os.environ}
    span = import_module("opentelemetry.trace").get_current_span(propagation.extract(carrier, context={}))
    parent = span.get_span_context()
    return parent if parent.is_valid else None


def _random_id(size: int) -> int:
    """Return a random id from the system, because the state of the random module belongs to the test."""
    return int.from_bytes(os.urandom(size)) or 1
