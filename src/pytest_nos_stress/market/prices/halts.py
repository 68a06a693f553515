"""Limit up, limit down: halts of trading in a symbol whose price leaves its band.

Guarantees: a price stays in the band of 5 % around the mean price of the five minutes before; where it would
have been outside for 15 s, trading halts for five minutes. No halt reaches beyond its session.

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
    """A halt, from one point of its session to another."""

    first: int
    last: int


def apply_halts(log_prices: Floats, first: int) -> tuple[Floats, tuple[Halt, ...]]:
    """Return a session's path with halts, and the halts. Halts are possible from the point ``first`` on."""
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
            # The first price after a halt is free: it makes a band of its own.
            since, outside, point = halt.last + 1, 0, halt.last + 1
        point += 1
    return np.array(path), tuple(halts)
