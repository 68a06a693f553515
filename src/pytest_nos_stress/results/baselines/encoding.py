"""Profiles as JSON: small, the same for equal profiles, and checked when they are read.

The histograms are three columns of numbers (cell, bucket, count), of which few are large: they are packed by zlib
and written as base64. A run of 4,000 operations takes some 11 kB so, one of a million some 70 kB. What is read
is data from outside: sizes, types and ranges are checked before anything is made of them.
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
        raise ValueError("no profile")
    tasks, seconds = _tasks(values.get("tasks")), _seconds(values.get("seconds"))
    cells = len(seconds) * len(tasks)
    counts = _unpacked(values.get("counts"))
    if counts.size != cells * CELLS:
        raise ValueError("counts of another size")
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
        raise ValueError("no names of tasks")
    return tuple(values)


def _seconds(values: Any) -> list[float]:
    if not isinstance(values, list) or not 0 < len(values) <= _MOST_BLOCKS:
        raise ValueError("no blocks")
    if not all(type(value) in (int, float) and 0 <= value < 1e9 and math.isfinite(value) for value in values):
        raise ValueError("no lengths of blocks")
    return [float(value) for value in values]


def _packed_histogram(histogram: Histogram) -> str:
    return _packed(np.concatenate([histogram.cell, histogram.bucket, histogram.count]))


def _histogram(text: Any, cells: int) -> Histogram:
    numbers = _unpacked(text)
    if numbers.size % 3:
        raise ValueError("no histogram")
    cell, bucket, count = numbers.reshape(3, -1)
    if numbers.size and (int(cell.max()) >= cells or int(bucket.max()) >= BUCKETS):
        raise ValueError("a histogram beyond its blocks")
    return Histogram(cell, bucket, count)


def _packed(numbers: Column) -> str:
    return base64.b64encode(zlib.compress(numbers.astype(_NUMBER).tobytes())).decode()


def _unpacked(text: Any) -> Column:
    """The numbers, at most so many: a few bytes of zlib can stand for any amount of them."""
    if not isinstance(text, str):
        raise ValueError("no numbers")
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), _MOST_NUMBERS * _NUMBER.itemsize)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not unpacking.eof or len(data) % _NUMBER.itemsize:
        raise ValueError("numbers that end early or are too many")
    return np.frombuffer(data, _NUMBER).astype(np.int64)
