"""Limit up, limit down: trading in a symbol halts if its price leaves a band.

Guarantees: a price stays within 5% of the mean price of the five minutes before. If it would be outside this band
for 15 s, trading halts for five minutes. A halt ends with its session at the latest.

Source: Plan to Address Extraordinary Market Volatility ("limit up, limit down"), Tier 1, without the wider bands
at the close.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from .intraday import POINT_INTERVAL, POINTS_PER_SESSION
from .rng import Floats

PRICE_BAND: Final = 0.05
HALT_SECONDS: Final = 300.0

_REFERENCE_POINTS: Final = 60
_LIMIT_STATE_POINTS: Final = 4
_HALT_POINTS: Final = round(HALT_SECONDS / POINT_INTERVAL)


class Halt(NamedTuple):
    """A halt: its first and last point in its session."""

    first: int
    last: int


def apply_halts(log_prices: Floats, first: int) -> tuple[Floats, tuple[Halt, ...]]:
    """Return a session's path with halts applied, and the halts. No halt begins before the point ``first``."""
    path, halts = log_prices.tolist(), []
    since, outside, point = 0, 0, max(1, first)
    while point <= POINTS_PER_SESSION:
        recent = path[max(since, point - _REFERENCE_POINTS) : point]
        reference = sum(recent) / len(recent)
        inside = min(max(path[point], reference - PRICE_BAND), reference + PRICE_BAND)
        outside = outside + 1 if inside != path[point] else 0
        path[point] = inside
        if outside == _LIMIT_STATE_POINTS:
            halt = Halt(point, min(point + _HALT_POINTS, POINTS_PER_SESSION))
            halts.append(halt)
            path[halt.first : halt.last + 1] = [inside] * (halt.last + 1 - halt.first)
            # The first price after a halt has no limit: a new band begins with it.
            since, outside, point = halt.last + 1, 0, halt.last + 1
        point += 1
    return np.array(path), tuple(halts)
