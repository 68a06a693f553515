"""Prices within a session: a path of points every five seconds, and four quotes a second.

Guarantees: the path passes through the half hours' prices of ``sessions``. It never leaves their range, because it
is reflected at the highest and the lowest of them. So a session's high, low and close are those of its half hours.
In the same way, quotes stay between the two points around them. So bars of any length agree with each other and
with the quotes.

Within a session, volatility has memories of minutes and of about an hour, has fat tails from minute to minute, and
is higher at the open and the close.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress.market.source import TICKS_PER_UNIT, Prices

from .rng import Floats, Integers, SymbolDraws
from .sessions import HALF_HOURS_PER_SESSION, OVERNIGHT_SHARE, u_shape
from .volatility import INNOVATIONS, LogVolatility, Model, Shocks, student_scale

POINT_INTERVAL: Final = 5.0
"""Seconds between two points of a session's path."""

MINUTES_PER_SESSION: Final = 390
POINTS_PER_MINUTE: Final = 12
POINTS_PER_SESSION: Final = MINUTES_PER_SESSION * POINTS_PER_MINUTE
POINTS_PER_HALF_HOUR: Final = POINTS_PER_SESSION // HALF_HOURS_PER_SESSION
QUOTE_INTERVAL: Final = 0.25
"""Seconds between two quotes."""

QUOTES_PER_POINT: Final = 20
QUOTES_PER_MINUTE: Final = POINTS_PER_MINUTE * QUOTES_PER_POINT
MIN_PRICE: Final = 2
"""The lowest price in ticks. It leaves room for a bid below it."""

_MAX_TAILS = 8
_MAX_SPREAD = 0.02
_MIN_RANGE = 1e-12


class Path(NamedTuple):
    """A session: log prices at its open and then every five seconds, and the volatility of each minute."""

    log_prices: Floats
    volatility: Floats


def path_of(draws: SymbolDraws, model: Model, session: int, half_hours: Floats, volatility: float) -> Path:
    """Make the path of a session through the prices of its half hours. ``volatility``: of the session."""
    minutes = draws.normals(
        "minutes", session, (MINUTES_PER_SESSION, POINTS_PER_MINUTE + INNOVATIONS + _MAX_TAILS)
    )
    normals = minutes[:, :POINTS_PER_MINUTE]
    relative = _minute_volatility(model.minutes, normals, minutes[:, POINTS_PER_MINUTE:][:, :INNOVATIONS])
    relative *= student_scale(minutes[:, -_MAX_TAILS:], model.minute_tails)
    shape = u_shape(MINUTES_PER_SESSION)
    sizes = volatility * math.sqrt(1.0 - OVERNIGHT_SHARE) * relative * shape / math.sqrt(np.sum(shape**2))
    spread = (sizes / math.sqrt(POINTS_PER_MINUTE))[:, None] * normals
    variances = np.repeat(sizes**2, POINTS_PER_MINUTE).reshape(HALF_HOURS_PER_SESSION, POINTS_PER_HALF_HOUR)
    within = brownian_bridges(spread.reshape(HALF_HOURS_PER_SESSION, POINTS_PER_HALF_HOUR), variances, half_hours)
    within = reflected(within, half_hours.min(), half_hours.max())
    within[:, -1] = half_hours[1:]
    return Path(np.concatenate((half_hours[:1], within.ravel())), sizes)


def _minute_volatility(minutes: LogVolatility, normals: Floats, innovations: Floats) -> Floats:
    normal = normals.sum(axis=1) / math.sqrt(POINTS_PER_MINUTE)
    # No later minute of the session uses the last minute's innovations, so they give the state at its beginning.
    state = tuple(float(value) for value in innovations[-1, : len(minutes.memories)])
    relative, _ = minutes.evolve(state, Shocks(normal, normal, innovations))
    return relative


def quotes_of(
    draws: SymbolDraws,
    minute: int,
    log_prices: Floats,
    volatility: float,
    spread: Floats,
) -> list[Prices]:
    """Make the quotes of a minute of the source, four a second.

    ``log_prices``: the 13 points of the minute's path. ``spread``: the spread at the first 12 of them, as a
    fraction of the price. While the path does not move, as in a halt, the last price does not move either.
    """
    changes = draws.independent_normals("quotes", minute, (POINTS_PER_MINUTE, QUOTES_PER_POINT))
    changes *= volatility / math.sqrt(QUOTES_PER_MINUTE)
    path = brownian_bridges(changes, np.ones_like(changes), log_prices)
    before, after = log_prices[:-1, None], log_prices[1:, None]
    path = reflected(path, np.minimum(before, after), np.maximum(before, after))
    path[:, -1] = log_prices[1:]
    if minute % MINUTES_PER_SESSION == 0:
        path[0, 0] = log_prices[0]
    last = ticks(path)
    position, width = draws.uniforms("spreads", minute, 2 * QUOTES_PER_MINUTE).reshape(2, *last.shape)
    relative_spread = np.minimum(spread, _MAX_SPREAD)[:, None] * (0.5 + width)
    spread_ticks = 1 + (last * relative_spread).astype(np.int64)
    bid = np.maximum(1, last - (position * (spread_ticks + 1)).astype(np.int64))
    return list(map(Prices, bid.ravel().tolist(), (bid + spread_ticks).ravel().tolist(), last.ravel().tolist()))


def ticks(logarithms: Floats) -> Integers:
    """Convert logarithms of prices to whole ticks, at least ``MIN_PRICE``."""
    prices: Integers = np.rint(TICKS_PER_UNIT * np.exp(logarithms)).astype(np.int64)
    return np.maximum(MIN_PRICE, prices)


def brownian_bridges(changes: Floats, variances: Floats, ends: Floats) -> Floats:
    """Turn rows of changes into paths. The path of row i leads from ``ends[i]`` to ``ends[i + 1]``."""
    path = np.cumsum(changes, axis=1)
    shares = np.cumsum(variances, axis=1)
    shares /= shares[:, -1:]
    path += shares * (np.diff(ends) - path[:, -1])[:, None]
    path += ends[:-1, None]
    return path


def reflected(path: Floats, low: Floats | float, high: Floats | float) -> Floats:
    """Return the path, reflected at ``low`` and ``high`` so that it stays between them."""
    width = np.maximum(high - low, _MIN_RANGE)
    beyond = np.mod(path - low, 2.0 * width)
    return np.asarray(np.minimum(high, low + np.minimum(beyond, 2.0 * width - beyond)), np.float64)
