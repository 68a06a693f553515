"""Timeline: what a run measured over time, in so many equal parts of it.

For where there is room for little: the sparklines of terminal and index. An operation is in the part in which it
ended.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from pytest_nos_stress._internal.outcome import FAILED

from .measurements import Measurements

BUCKETS: Final = 60


def time_series(measured: Measurements, parts: int = BUCKETS) -> dict[str, list[Any]]:
    """By part of the run, as builtin types: where it begins (``seconds``), ``operations``, ``failures``,
    ``errors``.

    And ``p99`` of the latency in seconds (by nearest rank), None where no operation called the target.
    """
    records = measured.records
    length = max(1, measured.ended_ns - measured.started_ns)
    place = np.clip((records.column("end") - measured.started_ns) * parts // length, 0, parts - 1)
    seconds = np.arange(parts) * (length / parts / 1e9)
    return {
        "seconds": seconds.tolist(),
        "operations": np.bincount(place, minlength=parts).tolist(),
        "failures": np.bincount(place[records.column("outcome") == FAILED.value], minlength=parts).tolist(),
        "errors": np.bincount(place[records.column("is_error")], minlength=parts).tolist(),
        "p99": _p99(measured, place, parts),
    }


def _p99(measured: Measurements, place: Any, parts: int) -> list[float | None]:
    latency = measured.durations("latency")
    if not latency.size:
        return [None] * parts
    place = place[measured.records.called()]
    order = np.lexsort((latency, place))
    ordered = latency[order]
    past = np.cumsum(np.bincount(place, minlength=parts))
    counts = np.diff(past, prepend=0)
    at = np.minimum(past - 1, past - counts + np.ceil(counts * 0.99).astype(np.int64) - 1)
    return [
        float(ordered[index]) / 1e9 if count else None
        for index, count in zip(at.tolist(), counts.tolist(), strict=True)
    ]
