"""Operations of a run as columns, read from the records once for charts and findings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress._internal.outcome import ERROR
from pytest_nos_stress._internal.text import escape_controls

from .measurements import Measurements
from .records import Column

_ROWS_OF_32_BITS: Final = 1 << 31
_NO_SAMPLES: Final = np.empty(0, np.uint32)


class OperationColumns(NamedTuple):
    """Columns with a row for each operation.

    ``outcome`` is ``ERROR`` for an error, and ``FAILED`` only for failures that are not errors. ``at`` is the end
    of the operation in nanoseconds since the run's start.
    """

    agent: Column
    task: Column
    outcome: Column
    at: Column


class OrderedSamples(NamedTuple):
    """Durations in nanoseconds, ascending, and the row of each duration's operation."""

    duration: Column
    rows: Column


class RunOperations(NamedTuple):
    """Operations of a run, and the names behind their numbers; names are safe to print on a terminal.

    ``response_times`` are nanoseconds in ascending order. ``nanoseconds`` is the length of the run.
    ``fault_spans`` are start and end of each time in which fault windows were open, in seconds since the run's
    start. ``background_errors`` are the times of errors that no operation raised, in nanoseconds since the
    run's start.
    """

    columns: OperationColumns
    latencies: OrderedSamples
    response_times: Column
    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    nanoseconds: int
    fault_spans: tuple[tuple[float, float], ...]
    background_errors: tuple[int, ...]

    def step_of_operations(self, steps: int) -> Column:
        """Return the time step in which each operation ended, as 16-bit numbers; all steps are equal."""
        step = self.columns.at * steps
        step //= self.nanoseconds
        return np.clip(step, 0, steps - 1, out=step).astype(np.int16)


def read_operations(measured: Measurements, fault_spans: Sequence[tuple[float, float]]) -> RunOperations:
    """Read the operations of a run. Their order is not defined."""
    records = measured.records
    at = records.column("end") - measured.started_ns
    outcome = records.column("outcome").copy()
    outcome[records.column("is_error")] = ERROR
    columns = OperationColumns(
        records.column("agent").astype(np.int32), records.task().astype(np.int32), outcome, at
    )
    called = np.flatnonzero(records.column("called"))
    latencies = records.column("latency").take(called) if measured.has_durations("latency") else _NO_SAMPLES
    has_response_times = measured.has_durations("response_time")
    response_times = records.column("response_time").take(called) if has_response_times else _NO_SAMPLES
    return RunOperations(
        columns,
        order_samples(latencies, called[: latencies.size]),
        np.sort(response_times),
        _escaped(records.agents),
        _escaped(records.tasks),
        max(measured.ended_ns - measured.started_ns, 1),
        tuple(fault_spans),
        tuple(error.at - measured.started_ns for error in records.background_errors),
    )


def order_samples(durations: Column, rows: Column) -> OrderedSamples:
    """Sort durations, with the rows of their operations, in ascending order.

    Duration and row are packed into one 64-bit number if they fit, because sorting numbers is faster than sorting
    indices.
    """
    if durations.dtype.itemsize > 4 or (rows.size and int(rows[-1]) >= _ROWS_OF_32_BITS):
        order = np.argsort(durations)
        return OrderedSamples(durations[order], rows[order])
    packed = durations.astype(np.uint64)
    packed <<= np.uint64(32)
    packed |= rows.astype(np.uint64)
    packed.sort()
    return OrderedSamples((packed >> np.uint64(32)).astype(np.uint32), packed.astype(np.uint32).view(np.int32))


def _escaped(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(escape_controls, names))
