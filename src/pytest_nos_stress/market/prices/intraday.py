"""Prices within a session: every five seconds, fitted between the half hours of ``sessions``; then quotes.

Guarantees: the path passes through the half hours' prices, and never leaves the range they span (it is reflected
there), so a session's high, low and close are those of its path. In the same way quotes, four a second, stay
between the two points around them. So bars of any length agree with each other and with the quotes.

Within a session volatility has memories of minutes and about an hour, fat tails from minute to minute, and is
higher at the open and the close.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress.market.source import TICKS_PER_UNIT, Prices

from .rng import Floats, Integers, SymbolDraws
from .sessions import HALF_HOURS, NIGHT_SHARE, u_shape
from .volatility import INNOVATIONS, LogVolatility, Model, Shocks, student_scale

MARK: Final = 5.0
"""Seconds between two points of a session's path."""

MINUTES: Final = 390
MARKS_A_MINUTE: Final = 12
MARKS: Final = MINUTES * MARKS_A_MINUTE
MARKS_A_HALF_HOUR: Final = MARKS // HALF_HOURS
STEP: Final = 0.25
"""Seconds for which a quote stands."""

STEPS_A_MARK: Final = 20
STEPS_A_MINUTE: Final = MARKS_A_MINUTE * STEPS_A_MARK
LOWEST: Final = 2
"""The lowest price in ticks: there must be room for a bid below it."""

_MOST_TAILS = 8
_WIDEST = 0.02
_NARROWEST = 1e-12


class Path(NamedTuple):
    """A session: logarithms of the price at its open and every five seconds; each minute's volatility."""

    marks: Floats
    volatility: Floats


def path_of(draws: SymbolDraws, model: Model, session: int, half_hours: Floats, volatility: float) -> Path:
    """The path of a session between the prices of its half hours. ``volatility`` is the session's."""
    minutes = draws.normals("minutes", session, (MINUTES, MARKS_A_MINUTE + INNOVATIONS + _MOST_TAILS))
    steps = minutes[:, :MARKS_A_MINUTE]
    relative = _minute_volatility(model.minutes, steps, minutes[:, MARKS_A_MINUTE:][:, :INNOVATIONS])
    relative *= student_scale(minutes[:, -_MOST_TAILS:], model.minute_tails)
    shape = u_shape(MINUTES)
    sizes = volatility * math.sqrt(1.0 - NIGHT_SHARE) * relative * shape / math.sqrt(np.sum(shape**2))
    spread = (sizes / math.sqrt(MARKS_A_MINUTE))[:, None] * steps
    variances = np.repeat(sizes**2, MARKS_A_MINUTE).reshape(HALF_HOURS, MARKS_A_HALF_HOUR)
    inner = bridges(spread.reshape(HALF_HOURS, MARKS_A_HALF_HOUR), variances, half_hours)
    inner = reflected(inner, half_hours.min(), half_hours.max())
    inner[:, -1] = half_hours[1:]
    return Path(np.concatenate((half_hours[:1], inner.ravel())), sizes)


def _minute_volatility(minutes: LogVolatility, steps: Floats, fresh: Floats) -> Floats:
    normal = steps.sum(axis=1) / math.sqrt(MARKS_A_MINUTE)
    # The last minute's innovations have no later minute in the session: they say how it begins.
    state = tuple(float(value) for value in fresh[-1, : len(minutes.memories)])
    relative, _ = minutes.over_sessions(state, Shocks(normal, normal, fresh))
    return relative


def quotes_of(
    draws: SymbolDraws,
    minute: int,
    marks: Floats,
    volatility: float,
    spread: Floats,
) -> list[Prices]:
    """The quotes of a minute of the source, four a second.

    ``marks`` are the 13 points of its path; ``spread`` says how wide the spread is between them, as a fraction.
    A path that stands still, as in a halt, has quotes that do.
    """
    changes = draws.own_normals("quotes", minute, (MARKS_A_MINUTE, STEPS_A_MARK))
    changes *= volatility / math.sqrt(STEPS_A_MINUTE)
    path = bridges(changes, np.ones_like(changes), marks)
    before, after = marks[:-1, None], marks[1:, None]
    path = reflected(path, np.minimum(before, after), np.maximum(before, after))
    path[:, -1] = marks[1:]
    if minute % MINUTES == 0:
        path[0, 0] = marks[0]
    last = ticks(path)
    place, width = draws.uniforms("spreads", minute, 2 * STEPS_A_MINUTE).reshape(2, *last.shape)
    wide = np.minimum(spread, _WIDEST)[:, None] * (0.5 + width)
    apart = 1 + (last * wide).astype(np.int64)
    bid = np.maximum(1, last - (place * (apart + 1)).astype(np.int64))
    return list(map(Prices, bid.ravel().tolist(), (bid + apart).ravel().tolist(), last.ravel().tolist()))


def ticks(logarithms: Floats) -> Integers:
    """Prices in ticks."""
    prices: Integers = np.rint(TICKS_PER_UNIT * np.exp(logarithms)).astype(np.int64)
    return np.maximum(LOWEST, prices)


def bridges(changes: Floats, variances: Floats, ends: Floats) -> Floats:
    """Rows of changes as paths: row i leads from ``ends[i]`` to ``ends[i + 1]``."""
    path = np.cumsum(changes, axis=1)
    shares = np.cumsum(variances, axis=1)
    shares /= shares[:, -1:]
    path += shares * (np.diff(ends) - path[:, -1])[:, None]
    path += ends[:-1, None]
    return path


def reflected(path: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """The path as between two mirrors."""
    width = np.maximum(high - low, _NARROWEST)
    beyond = np.mod(path - low, 2.0 * width)
    return np.asarray(np.minimum(high, low + np.minimum(beyond, 2.0 * width - beyond)), np.float64)
