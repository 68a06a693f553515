"""Time series of a run for sparklines: counts and latency in buckets of equal length.

An operation counts in the bucket in which it ended.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from pytest_nos_stress._internal.outcome import FAILED

from .measurements import Measurements
from .records import Column
from .summary_types import TimeSeries

BUCKETS: Final = 60
"""Default number of buckets."""


def time_series(measured: Measurements, buckets: int = BUCKETS) -> TimeSeries:
    """Return lists with an entry for each bucket of time.

    ``seconds`` is the start of a bucket. ``operations``, ``failures`` and ``errors`` are counts. ``p99`` is the
    latency in seconds (by nearest rank), or None if no operation in the bucket called the target.
    """
    records = measured.records
    length = max(1, measured.ended_ns - measured.started_ns)
    bucket = np.clip((records.column("end") - measured.started_ns) * buckets // length, 0, buckets - 1)
    at = np.array([error.at for error in records.background_errors], np.int64)
    background = np.clip((at - measured.started_ns) * buckets // length, 0, buckets - 1)
    errors = np.append(bucket[records.column("is_error")], background)
    seconds = np.arange(buckets) * (length / buckets / 1e9)
    return {
        "seconds": seconds.tolist(),
        "operations": np.bincount(bucket, minlength=buckets).tolist(),
        "failures": np.bincount(bucket[records.column("outcome") == FAILED.value], minlength=buckets).tolist(),
        "errors": np.bincount(errors, minlength=buckets).tolist(),
        "p99": _p99(measured, bucket, buckets),
    }


def _p99(measured: Measurements, bucket: Column, buckets: int) -> list[float | None]:
    latency = measured.durations("latency")
    if not latency.size:
        return [None] * buckets
    bucket = bucket[measured.records.column("called")]
    order = np.lexsort((latency, bucket))
    ordered = latency[order]
    stops = np.cumsum(np.bincount(bucket, minlength=buckets))
    counts = np.diff(stops, prepend=0)
    at = np.minimum(stops - 1, stops - counts + np.ceil(counts * 0.99).astype(np.int64) - 1)
    return [
        float(ordered[index]) / 1e9 if count else None
        for index, count in zip(at.tolist(), counts.tolist(), strict=True)
    ]
