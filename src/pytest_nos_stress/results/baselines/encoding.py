"""JSON of run sketches: small, equal for equal sketches, and validated when read.

A histogram is three columns of numbers (cell, bucket, count), mostly small, so zlib compresses them and base64
makes them text. A run of 4,000 operations takes about 11 kB, a run of a million about 70 kB. Files come from
outside, so sizes, types and ranges are validated before anything is allocated.
"""

from __future__ import annotations

import base64
import math
import zlib
from typing import Any, Final

import numpy as np

from pytest_nos_stress._internal.outcome import CELLS
from pytest_nos_stress.results.records import DURATIONS, Column

from .sketch import BUCKETS, Histogram, RunSketch

_MOST_BLOCKS: Final = 1_000
_MOST_TASKS: Final = 65_536
_MOST_NUMBERS: Final = 6_000_000
_NUMBER: Final = np.dtype("<u4")


def to_json(sketch: RunSketch) -> dict[str, Any]:
    """Return the sketch as JSON types."""
    return {
        "counts": _packed(sketch.counts.ravel()),
        "durations": {name: _packed_histogram(sketch.histograms[name]) for name in DURATIONS},
        "seconds": [round(seconds, 9) for seconds in sketch.seconds.tolist()],
        "tasks": list(sketch.tasks),
    }


def from_json(values: Any) -> RunSketch:
    """Return the sketch that ``to_json`` wrote. Raises ``ValueError`` for anything else."""
    if not isinstance(values, dict) or not isinstance(values.get("durations"), dict):
        raise ValueError("no sketch of a run")
    tasks, seconds = _tasks(values.get("tasks")), _seconds(values.get("seconds"))
    cells = len(seconds) * len(tasks)
    counts = _unpacked(values.get("counts"))
    if counts.size != cells * CELLS:
        raise ValueError("the number of counts does not fit blocks and tasks")
    return RunSketch(
        tasks,
        np.array(seconds),
        counts.reshape(len(seconds), len(tasks), CELLS),
        {name: _histogram(values["durations"].get(name), cells) for name in DURATIONS},
    )


def _tasks(values: Any) -> tuple[str, ...]:
    if not isinstance(values, list) or not 0 < len(values) <= _MOST_TASKS:
        raise ValueError("no tasks")
    if not all(isinstance(name, str) for name in values) or len(set(values)) < len(values):
        raise ValueError("tasks are not distinct names")
    return tuple(values)


def _seconds(values: Any) -> list[float]:
    if not isinstance(values, list) or not 0 < len(values) <= _MOST_BLOCKS:
        raise ValueError("no blocks")
    if not all(type(value) in (int, float) and 0 <= value < 1e9 and math.isfinite(value) for value in values):
        raise ValueError("lengths of blocks are not numbers of seconds")
    return [float(value) for value in values]


def _packed_histogram(histogram: Histogram) -> str:
    return _packed(np.concatenate([histogram.cell, histogram.bucket, histogram.count]))


def _histogram(text: Any, cells: int) -> Histogram:
    numbers = _unpacked(text)
    if numbers.size % 3:
        raise ValueError("a histogram without three columns")
    cell, bucket, count = numbers.reshape(3, -1)
    if numbers.size and (int(cell.max()) >= cells or int(bucket.max()) >= BUCKETS):
        raise ValueError("a histogram with cells or buckets out of range")
    return Histogram(cell, bucket, count)


def _packed(numbers: Column) -> str:
    return base64.b64encode(zlib.compress(numbers.astype(_NUMBER).tobytes())).decode()


def _unpacked(text: Any) -> Column:
    """Unpack numbers, at most ``_MOST_NUMBERS``: a few bytes of zlib can expand to any size."""
    if not isinstance(text, str):
        raise ValueError("packed numbers are not text")
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), _MOST_NUMBERS * _NUMBER.itemsize)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacking.eof or len(data) % _NUMBER.itemsize:
        raise ValueError("packed numbers are cut off or too many")
    return np.frombuffer(data, _NUMBER).astype(np.int64)
