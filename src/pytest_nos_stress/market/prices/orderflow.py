"""Times and sizes of the trades in a session.

Guarantees: a session has exactly the number of trades and the volume that ``sessions`` gives, and the extra trades
of events. Trades come in clusters. One trade in five comes by itself, at a rate that follows the minute's
volatility and the U shape of the day. Each trade triggers 0.8 further trades on average, each after one second on
average. Sizes are lognormal.

Sources: Hawkes (1971) as clusters (Hawkes and Oakes 1974). The branching ratio of 0.8: Filimonov and Sornette
(2012).
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from .halts import Halt
from .intraday import MINUTES_PER_SESSION, POINT_INTERVAL
from .rng import Floats, Integers, SymbolDraws
from .sessions import SESSION_SECONDS, u_shape

BRANCHING_RATIO: Final = 0.8
DECAY_RATE: Final = 1.0

# Clusters differ in size, so more clusters are begun than are needed on average.
_SURPLUS = 1.3
_GENERATIONS = 64
_SIZE_SPREAD = 1.0
_FOLLOWERS_CDF = np.cumsum([math.exp(-BRANCHING_RATIO) * BRANCHING_RATIO**n / math.factorial(n) for n in range(8)])
"""Poisson probabilities of at most 0, 1, … followers."""


class Flow(NamedTuple):
    """A session's trades in order: seconds of the session (whole microseconds), and quantities."""

    seconds: Floats
    quantities: Integers


def flow_of(
    draws: SymbolDraws,
    session: int,
    trades: int,
    volume: int,
    volatility: Floats,
    extra: Floats,
    halts: tuple[Halt, ...],
) -> Flow:
    """Make the trades of a session. ``volatility``: of each minute. ``extra``: times of trades that events add."""
    seconds = _hawkes_times(draws, session, trades, volatility)
    seconds = np.floor(1e6 * np.sort(np.concatenate((seconds, extra)))) / 1e6
    for halt in halts:
        # Orders that arrive during a halt trade in the auction that ends the halt.
        during = (seconds > halt.first * POINT_INTERVAL) & (seconds < halt.last * POINT_INTERVAL)
        seconds[during] = min(halt.last * POINT_INTERVAL, SESSION_SECONDS - 1e-6)
    sizes = np.exp(_SIZE_SPREAD * draws.independent_normals("sizes", session, (trades,)))
    quantities = 1 + np.diff(np.floor(np.cumsum(sizes) * ((volume - trades) / sizes.sum())), prepend=0.0)
    quantities[-1] += volume - quantities.sum()
    added = np.full(len(extra), volume // trades)
    return Flow(seconds, np.concatenate((quantities.astype(np.int64), added)))


def _hawkes_times(draws: SymbolDraws, session: int, count: int, volatility: Floats) -> Floats:
    """Return the times of ``count`` trades, in seconds of the session, cluster by cluster."""
    first = int(count * (1.0 - BRANCHING_RATIO) * _SURPLUS) + 10
    times = _immigrant_times(draws.uniforms("trades", session, first), volatility)
    cluster = np.arange(first)
    seconds, clusters = [times], [cluster]
    for generation in range(1, _GENERATIONS):
        stream = session * _GENERATIONS + generation
        followers = np.searchsorted(_FOLLOWERS_CDF, draws.uniforms("followers", stream, times.size))
        cluster, times = np.repeat(cluster, followers), np.repeat(times, followers)
        if not times.size:
            break
        waits = -np.log1p(-draws.uniforms("waits", stream, times.size)) / DECAY_RATE
        times = np.mod(times + waits, SESSION_SECONDS)
        seconds.append(times)
        clusters.append(cluster)
    times_by_cluster = np.concatenate(seconds)[np.argsort(np.concatenate(clusters), kind="stable")]
    return np.resize(times_by_cluster, count)


def _immigrant_times(drawn: Floats, volatility: Floats) -> Floats:
    """Return the times of the trades that begin a cluster. Minutes of high volatility have more of them."""
    shape = u_shape(MINUTES_PER_SESSION)
    pace = np.cumsum(shape * np.sqrt(volatility / (shape * volatility.mean())))
    return np.interp(
        drawn, np.concatenate(([0.0], pace / pace[-1])), np.linspace(0.0, SESSION_SECONDS, MINUTES_PER_SESSION + 1)
    )
