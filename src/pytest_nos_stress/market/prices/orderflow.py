"""When there are trades in a session, and how large they are.

Guarantees: a session has exactly as many trades and as much volume as ``sessions`` says, and what events add.
Trades come in clusters: one in five comes by itself, at the pace of the minute's volatility and the U-shaped
day, and each is followed by 0.8 others on average, each after a second on average.

Source: Hawkes (1971) as clusters (Hawkes and Oakes 1974); a branching ratio of 0.8: Filimonov and Sornette (2012).
Sizes are lognormal.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np

from .halts import Halt
from .intraday import MARK, MINUTES
from .rng import Floats, Integers, SymbolDraws
from .sessions import SESSION, u_shape

BRANCHING: Final = 0.8
RATE_OF_DECAY: Final = 1.0

# Families differ in size: so many more are begun than are needed on average.
_SURPLUS = 1.3
_GENERATIONS = 64
_SIZE_SPREAD = 1.0
_AT_MOST = np.cumsum([math.exp(-BRANCHING) * BRANCHING**n / math.factorial(n) for n in range(8)])
"""Poisson's probabilities of at most 0, 1, … followers."""


class Flow(NamedTuple):
    """A session's trades: seconds of the session in whole microseconds, in order; quantities."""

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
    """The trades of a session. ``volatility``: each minute's; ``extra``: when events add trades, in seconds."""
    seconds = _clustered(draws, session, trades, volatility)
    seconds = np.floor(1e6 * np.sort(np.concatenate((seconds, extra)))) / 1e6
    for halt in halts:
        # Orders that come during a halt trade in the auction that ends it.
        during = (seconds > halt.first * MARK) & (seconds < halt.last * MARK)
        seconds[during] = min(halt.last * MARK, SESSION - 1e-6)
    sizes = np.exp(_SIZE_SPREAD * draws.own_normals("sizes", session, (trades,)))
    quantities = 1 + np.diff(np.floor(np.cumsum(sizes) * ((volume - trades) / sizes.sum())), prepend=0.0)
    quantities[-1] += volume - quantities.sum()
    added = np.full(len(extra), volume // trades)
    return Flow(seconds, np.concatenate((quantities.astype(np.int64), added)))


def _clustered(draws: SymbolDraws, session: int, count: int, volatility: Floats) -> Floats:
    """Seconds of trades, family by family."""
    first = int(count * (1.0 - BRANCHING) * _SURPLUS) + 10
    born = _by_themselves(draws.uniforms("trades", session, first), volatility)
    family = np.arange(first)
    seconds, families = [born], [family]
    for generation in range(1, _GENERATIONS):
        stream = session * _GENERATIONS + generation
        followers = np.searchsorted(_AT_MOST, draws.uniforms("followers", stream, born.size))
        family, born = np.repeat(family, followers), np.repeat(born, followers)
        if not born.size:
            break
        waits = -np.log1p(-draws.uniforms("waits", stream, born.size)) / RATE_OF_DECAY
        born = np.mod(born + waits, SESSION)
        seconds.append(born)
        families.append(family)
    whole = np.concatenate(seconds)[np.argsort(np.concatenate(families), kind="stable")]
    return np.resize(whole, count)


def _by_themselves(drawn: Floats, volatility: Floats) -> Floats:
    """Seconds of trades that follow no other, more of them in minutes of high volatility."""
    shape = u_shape(MINUTES)
    pace = np.cumsum(shape * np.sqrt(volatility / (shape * volatility.mean())))
    return np.interp(drawn, np.concatenate(([0.0], pace / pace[-1])), np.linspace(0.0, SESSION, MINUTES + 1))
