"""Aggregations of samples. Durations are given in nanoseconds and returned in seconds.

Percentiles are exact: linear interpolation between the two nearest samples (Hyndman and Fan's type 7), as
``numpy.percentile`` does by default.

Thresholds are parsed in sessions that run no stress test, which must not import NumPy. Therefore this module uses
only the methods of arrays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, cast

from .statistics_types import DurationFigures

if TYPE_CHECKING:
    from .records import Column

AGGREGATIONS: Final = ("min", "mean", "med", "max", "stddev")
"""Aggregations of a duration, besides percentiles such as ``p99`` and ``p99.9``."""


def aggregate(samples: Column, aggregation: str) -> float:
    """Return ``min``, ``mean``, ``med``, ``max``, ``stddev`` or ``pNN`` of at least one sample."""
    return _aggregate_ordered(_sorted(samples), aggregation)


def summarise_durations(samples: Column) -> DurationFigures:
    """Return the figures of a latency or response time; each is None if there are no samples."""
    ordered = _sorted(samples)
    figures: dict[str, float | None] = {"count": int(samples.size)}
    for name in DurationFigures.__annotations__:
        if name != "count":
            figures[name] = _aggregate_ordered(ordered, name) if samples.size else None
    return cast(DurationFigures, figures)


def percent_of(aggregation: str | None) -> float | None:
    """Return the percentage of a percentile: 99.9 for ``p99.9``; None for any other aggregation."""
    if aggregation and aggregation[1:].replace(".", "").isdecimal():
        return float(aggregation[1:])
    return None


def samples_needed(percent: float | None) -> int:
    """Return 1/(1-p): with fewer samples, a percentile is only their maximum. Return 1 for None."""
    if percent is None:
        return 1
    return math.ceil(round(1 / ((100 - percent) / 100), 6))


def jain_index(successes: Column) -> float | None:
    """Return Jain's fairness index of the agents' successes; None if there are no successes.

    The index is 1 if all agents have the same number, and 1/n if one of n agents has them all.
    Source: Jain, Chiu and Hawe 1984, "A quantitative measure of fairness and discrimination".
    """
    shares = successes.astype("float64")
    squares = float((shares * shares).sum()) * shares.size
    return float(shares.sum()) ** 2 / squares if squares else None


def _sorted(samples: Column) -> Column:
    ordered = samples.copy()
    ordered.sort()
    return ordered


def _aggregate_ordered(ordered: Column, aggregation: str) -> float:
    if aggregation == "mean":
        return float(ordered.mean()) / 1e9
    if aggregation == "stddev":
        return float(ordered.std()) / 1e9
    percent = {"min": 0.0, "med": 50.0, "max": 100.0}.get(aggregation)
    return _percentile(ordered, float(aggregation[1:]) if percent is None else percent) / 1e9


def _percentile(ordered: Column, percent: float) -> float:
    """Interpolate between the two samples nearest to a percentile."""
    rank = (ordered.size - 1) * percent / 100
    below = int(rank)
    low, high = float(ordered[below]), float(ordered[min(below + 1, ordered.size - 1)])
    return low + (high - low) * (rank - below)
