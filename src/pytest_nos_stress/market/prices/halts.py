"""Limit up, limit down: halts of trading in a symbol whose price leaves its band.

Guarantees: a price stays in the band of 5 % around the mean price of the five minutes before; where it would
have been outside for 15 s, trading halts for five minutes. No halt reaches beyond its session.

Source: Plan to Address Extraordinary Market Volatility ("limit up, limit down"), Tier 1, without the wider bands
at the close.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from .intraday import MARK, MARKS
from .rng import Floats

BAND: Final = 0.05
PAUSE: Final = 300.0

_MARKS_OF_REFERENCE: Final = 60
_MARKS_IN_LIMIT_STATE: Final = 4
_MARKS_OF_PAUSE: Final = round(PAUSE / MARK)


class Halt(NamedTuple):
    """A halt, from mark to mark of its session."""

    first: int
    last: int


def halted(marks: Floats, first: int) -> tuple[Floats, tuple[Halt, ...]]:
    """A session's path as far as it can be seen, and its halts, looked for from the mark ``first`` on."""
    path, halts = marks.tolist(), []
    since, outside, mark = 0, 0, max(1, first)
    while mark <= MARKS:
        recent = path[max(since, mark - _MARKS_OF_REFERENCE) : mark]
        reference = sum(recent) / len(recent)
        inside = min(max(path[mark], reference - BAND), reference + BAND)
        outside = outside + 1 if inside != path[mark] else 0
        path[mark] = inside
        if outside == _MARKS_IN_LIMIT_STATE:
            halt = Halt(mark, min(mark + _MARKS_OF_PAUSE, MARKS))
            halts.append(halt)
            path[halt.first : halt.last + 1] = [inside] * (halt.last + 1 - halt.first)
            # The first price after a halt is free: it makes a band of its own.
            since, outside, mark = halt.last + 1, 0, halt.last + 1
        mark += 1
    return np.array(path), tuple(halts)
