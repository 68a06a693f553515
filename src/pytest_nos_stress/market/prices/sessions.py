"""Prices from session to session: the coarse path that everything within a session is fitted into.

A session is 6.5 hours of trading (23,400 s); sessions follow each other without nights between, and the night is a
jump at the open. For each, this module has the price at the open and after every half hour, the volatility, the
volume and the number of trades. Guarantees: sessions are made in blocks, each continued from the state after the
one before, so any session is the same whichever was asked for first.

Volume follows volatility: Tauchen and Pitts (1983). The day is U-shaped: Jain and Joh (1988), Admati and
Pfleiderer (1988). Logarithms of prices return to their base within some 20 years, so that they stay sensible for
ever.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import accumulate
from random import Random
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np

from pytest_nos_stress._internal.seeding import stream_key

from .rng import Bools, BoundedCache, CommonFactor, Floats, Integers, SymbolDraws
from .volatility import INNOVATIONS, SESSIONS_A_YEAR, Model, Shocks, State, decaying, student_scale

SESSION: Final = 23_400.0
HALF_HOURS: Final = 13
LAST_SESSION: Final = 99_999
"""Nearly 400 years: later times have its last prices."""

NIGHT_SHARE: Final = 0.2
"""Of a session's variance, the part that is the jump at the open."""

SUDDEN: Final = 0.04
"""Sessions in which no half hour moves the price by so much have no halts of their own."""

_FIRST_BLOCK, _LATER_BLOCKS = 64, 1024
_MOST_TAILS = 8
_COLUMNS = 4 + INNOVATIONS + _MOST_TAILS + HALF_HOURS
_REVERSION = 1.0 / (20 * SESSIONS_A_YEAR)
_VOLUME_MEMORY, _VOLUME_SIZE = 0.8, 0.30


class SymbolParameters(NamedTuple):
    """What is a symbol's own for good."""

    base: float
    volatility: float
    loading: float
    spread: float
    trades: float
    trade_size: float

    @classmethod
    def of(cls, seed: int, symbol: str) -> SymbolParameters:
        draw = Random(stream_key(seed, symbol, "market/character")).uniform
        return cls(
            base=math.log(draw(20.0, 400.0)),
            volatility=draw(0.8, 1.4),
            loading=draw(0.55, 0.8),
            spread=draw(0.5e-4, 2e-4),
            trades=draw(0.7, 1.5) * SESSION,
            trade_size=draw(80.0, 200.0),
        )


class Block(NamedTuple):
    """Successive sessions. ``marks`` are logarithms of prices at the open and after each half hour.

    ``sudden`` are those in which a half hour moved the price so much that trading may have been halted.
    """

    first: int
    marks: Floats
    volatility: Floats
    sudden: Bools
    volume: Integers
    trades: Integers
    trades_before: Integers
    after: SessionState


class SessionState(NamedTuple):
    """What the next block goes on from."""

    volatility: State
    busyness: float
    price: float
    trades: int


class Sessions:
    """One symbol's sessions under a model."""

    def __init__(self, model: Model, symbol: str, common: CommonFactor) -> None:
        self.model = model
        self.character = SymbolParameters.of(common.seed, symbol)
        self.draws = SymbolDraws(common, symbol, self.character.loading)
        self._after = {-1: SessionState(model.daily.at_the_beginning(), 0.0, self.character.base, 0)}
        self._blocks: BoundedCache[int, Block] = BoundedCache(8)

    def block_of(self, session: int) -> Block:
        """The block that this session is in."""
        number = 0 if session < _FIRST_BLOCK else 1 + (session - _FIRST_BLOCK) // _LATER_BLOCKS
        return self._blocks.get(number, self._make)

    def _make(self, number: int) -> Block:
        known = number - 1
        while known not in self._after:
            known -= 1
        for missing in range(known + 1, number):
            self._after[missing] = self._continued(missing, self._after[missing - 1]).after
        block = self._continued(number, self._after[number - 1])
        self._after[number] = block.after
        return block

    def _continued(self, number: int, before: SessionState) -> Block:
        first, count = (0, _FIRST_BLOCK) if number == 0 else (_first_of(number), _LATER_BLOCKS)
        drawn = self.draws.normals("sessions", number, (count, _COLUMNS))
        night, day, busy, jump = drawn[:, :4].T
        fresh = drawn[:, 4 : 4 + INNOVATIONS]
        squares = drawn[:, 4 + INNOVATIONS : 4 + INNOVATIONS + _MOST_TAILS]
        half_hours = drawn[:, -HALF_HOURS:]
        normal = math.sqrt(NIGHT_SHARE) * night + math.sqrt(1 - NIGHT_SHARE) * day
        scale = student_scale(squares, self.model.tails)
        news = Shocks(normal, scale * normal, fresh)
        usual, volatility_after = self.model.daily.over_sessions(before.volatility, news)
        usual = self.character.volatility * usual
        volatility = scale * usual
        gaps = math.sqrt(NIGHT_SHARE) * volatility * night + self._jumps(jump, night)
        changes = math.sqrt(1 - NIGHT_SHARE) * volatility * day
        closes = _returning_to(self.character.base, before.price, gaps + changes)
        within = _bridges(half_hours, math.sqrt(1 - NIGHT_SHARE) * volatility, changes)
        busyness = decaying(
            before.busyness, _VOLUME_MEMORY, _VOLUME_SIZE * math.sqrt(1 - _VOLUME_MEMORY**2) * busy
        )
        trades, volume = self._activity(busyness[1:], usual, np.abs(scale * normal))
        numbers = before.trades + np.concatenate(([0], np.cumsum(trades)))
        after = SessionState(volatility_after, float(busyness[-1]), float(closes[-1]), int(numbers[-1]))
        marks = (closes - changes)[:, None] + within
        sudden = np.abs(np.diff(marks, axis=1)).max(axis=1) >= SUDDEN
        return Block(first, marks, volatility, sudden, volume, trades, numbers[:-1], after)

    def _jumps(self, drawn: Floats, sizes: Floats) -> Floats | float:
        jumps = self.model.jumps
        if jumps is None:
            return 0.0
        rare = NormalDist().inv_cdf(1.0 - jumps.rate / SESSIONS_A_YEAR)
        return np.where(drawn > rare, jumps.mean + jumps.size * sizes, 0.0)

    def _activity(self, busyness: Floats, usual: Floats, moves: Floats) -> tuple[Integers, Integers]:
        ordinary = self.character.volatility * self.model.daily.level
        factor = np.exp(busyness + 0.8 * np.log(np.maximum(usual / ordinary, 0.1)) + 0.2 * np.minimum(moves, 5.0))
        trades = (self.character.trades * factor).astype(np.int64) + 1
        return trades, (trades * self.character.trade_size).astype(np.int64)


@lru_cache(maxsize=8)
def u_shape(parts: int) -> Floats:
    """How busy each of the parts of a session is, about 1 at midday and 2.5 at the open and at the close."""
    return 1.0 + 1.5 * (2.0 * (np.arange(parts) + 0.5) / parts - 1.0) ** 2


def _first_of(number: int) -> int:
    return _FIRST_BLOCK + (number - 1) * _LATER_BLOCKS


def _returning_to(base: float, before: float, changes: Floats) -> Floats:
    def after(price: float, change: float) -> float:
        return price + change - _REVERSION * (price - base)

    return np.array(list(accumulate(changes.tolist(), after, initial=before)))[1:]


def _bridges(drawn: Floats, volatility: Floats, changes: Floats) -> Floats:
    """Paths that begin at 0 and end at the changes, the open and the close being the most volatile."""
    variances = u_shape(HALF_HOURS) ** 2
    shares = variances / variances.sum()
    path = np.cumsum(np.sqrt(shares) * drawn, axis=1) * volatility[:, None]
    path += np.cumsum(shares) * (changes - path[:, -1])[:, None]
    return np.concatenate((np.zeros((len(path), 1)), path), axis=1)
