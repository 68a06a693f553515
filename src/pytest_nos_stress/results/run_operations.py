"""Operations of a run as columns, read from its records once for charts and findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress._internal.outcome import ERROR
from pytest_nos_stress._internal.text import escape_controls

from .measurements import Measurements
from .records import Column

_ROWS_OF_32_BITS: Final = 1 << 31


class OperationColumns(NamedTuple):
    """Columns with a row for each operation.

    ``outcome`` is ``ERROR`` for an error, which is then not among the failed. ``at`` is the end in nanoseconds
    since the run's start.
    """

    agent: Column
    task: Column
    outcome: Column
    at: Column


class OrderedSamples(NamedTuple):
    """Nanoseconds of a duration in ascending order, and the row of the operation that each is of."""

    duration: Column
    rows: Column


class RunOperations(NamedTuple):
    """Operations of a run and what their numbers mean; names are safe for terminals.

    ``nanoseconds`` is the length of the run, ``fault_spans`` when fault windows were open, in seconds since the
    run's start.
    """

    columns: OperationColumns
    latencies: OrderedSamples
    response_times: OrderedSamples
    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    nanoseconds: int
    fault_spans: tuple[tuple[float, float], ...]


def read_operations(measured: Measurements, fault_spans: Sequence[tuple[float, float]]) -> RunOperations:
    """Read the operations of a run, in no particular order."""
    records = measured.records
    at = records.column("end") - measured.started_ns
    outcome = records.column("outcome").astype(np.int32)
    outcome[records.column("is_error")] = ERROR
    columns = OperationColumns(
        records.column("agent").astype(np.int32), records.task().astype(np.int32), outcome, at
    )
    return RunOperations(
        columns,
        _ordered_samples(measured, "latency"),
        _ordered_samples(measured, "response_time"),
        _escaped(records.agents),
        _escaped(records.tasks),
        max(measured.ended_ns - measured.started_ns, 1),
        tuple(fault_spans),
    )


def _ordered_samples(measured: Measurements, metric: str) -> OrderedSamples:
    """Order the samples; there are none in virtual time if no operation took any time."""
    records = measured.records
    rows = np.flatnonzero(records.called()) if measured.has_durations(metric) else np.empty(0, np.int64)
    narrow = np.int32 if records.total < _ROWS_OF_32_BITS else np.int64
    return order_samples(records.column(metric), rows.astype(narrow))


def order_samples(duration: Column, rows: Column) -> OrderedSamples:
    """Order the durations of the operations in ``rows``, the shortest first."""
    chosen = duration[rows]
    order = np.argsort(chosen)
    return OrderedSamples(chosen[order], rows[order])


def _escaped(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(escape_controls, names))
