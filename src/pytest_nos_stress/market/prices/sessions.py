"""Prices from session to session: the coarse path that prices within a session are fitted to.

A session is 6.5 hours of trading (23,400 s). Sessions follow each other without a gap: the night is a jump of the
price at the open. For each session, this module computes the price at the open and after every half hour, the
volatility, the volume and the number of trades.

Guarantees: sessions are computed in blocks, and each block continues from the end state of the block before it. So
a session is the same in whatever order sessions are read.

The logarithms of prices revert to their base within about 20 years, so prices stay realistic.

Sources: volume follows volatility: Tauchen and Pitts (1983). Activity within a day is U-shaped: Jain and Joh
(1988), Admati and Pfleiderer (1988).
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
from .volatility import INNOVATIONS, SESSIONS_PER_YEAR, Model, Shocks, State, ar1_path, student_scale

SESSION_SECONDS: Final = 23_400.0
HALF_HOURS_PER_SESSION: Final = 13
LAST_SESSION: Final = 99_999
"""The number of the last session, after nearly 400 years. Later times have its last prices."""

OVERNIGHT_SHARE: Final = 0.2
"""Fraction of a session's variance that is in the jump at the open."""

SUDDEN_MOVE: Final = 0.04
"""Smallest change of the log price in a half hour that makes halts possible without an event."""

_FIRST_BLOCK, _LATER_BLOCKS = 64, 1024
_MAX_TAILS = 8
_DRAWS_PER_SESSION = 4 + INNOVATIONS + _MAX_TAILS + HALF_HOURS_PER_SESSION
_REVERSION = 1.0 / (20 * SESSIONS_PER_YEAR)
_VOLUME_MEMORY, _VOLUME_SIZE = 0.8, 0.30


class SymbolParameters(NamedTuple):
    """Parameters of a symbol, which never change."""

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
            trades=draw(0.7, 1.5) * SESSION_SECONDS,
            trade_size=draw(80.0, 200.0),
        )


class Block(NamedTuple):
    """Successive sessions, one row each.

    ``log_prices``: logarithms of prices at the open and after each half hour. ``sudden``: True if a half hour
    moved the price by at least ``SUDDEN_MOVE``, so that trading may have been halted.
    """

    first: int
    log_prices: Floats
    volatility: Floats
    sudden: Bools
    volume: Integers
    trades: Integers
    trades_before: Integers
    end_state: SessionState


class SessionState(NamedTuple):
    """The state at the end of a block, from which the next one continues."""

    volatility: State
    activity: float
    price: float
    trades: int


class Sessions:
    """The sessions of one symbol of a model."""

    def __init__(self, model: Model, symbol: str, common: CommonFactor) -> None:
        self.model = model
        self.parameters = SymbolParameters.of(common.seed, symbol)
        self.draws = SymbolDraws(common, symbol, self.parameters.loading)
        self._end_states = {-1: SessionState(model.daily.initial_state(), 0.0, self.parameters.base, 0)}
        self._blocks: BoundedCache[int, Block] = BoundedCache(8)

    def block_of(self, session: int) -> Block:
        """Return the block that contains this session."""
        number = 0 if session < _FIRST_BLOCK else 1 + (session - _FIRST_BLOCK) // _LATER_BLOCKS
        return self._blocks.get(number, self._make)

    def _make(self, number: int) -> Block:
        last_known = number - 1
        while last_known not in self._end_states:
            last_known -= 1
        for missing in range(last_known + 1, number):
            self._end_states[missing] = self._next_block(missing, self._end_states[missing - 1]).end_state
        block = self._next_block(number, self._end_states[number - 1])
        self._end_states[number] = block.end_state
        return block

    def _next_block(self, number: int, before: SessionState) -> Block:
        first, count = (0, _FIRST_BLOCK) if number == 0 else (_first_session_of(number), _LATER_BLOCKS)
        drawn = self.draws.normals("sessions", number, (count, _DRAWS_PER_SESSION))
        night, day, busy, jump = drawn[:, :4].T
        innovations = drawn[:, 4 : 4 + INNOVATIONS]
        squares = drawn[:, 4 + INNOVATIONS : 4 + INNOVATIONS + _MAX_TAILS]
        half_hours = drawn[:, -HALF_HOURS_PER_SESSION:]
        normal = math.sqrt(OVERNIGHT_SHARE) * night + math.sqrt(1 - OVERNIGHT_SHARE) * day
        scale = student_scale(squares, self.model.tails)
        shocks = Shocks(normal, scale * normal, innovations)
        level, volatility_state = self.model.daily.evolve(before.volatility, shocks)
        base_volatility = self.parameters.volatility * level
        volatility = scale * base_volatility
        gaps = math.sqrt(OVERNIGHT_SHARE) * volatility * night + self._jumps(jump, night)
        changes = math.sqrt(1 - OVERNIGHT_SHARE) * volatility * day
        closes = _mean_reverting(self.parameters.base, before.price, gaps + changes)
        within = _brownian_bridges(half_hours, math.sqrt(1 - OVERNIGHT_SHARE) * volatility, changes)
        activity = ar1_path(
            before.activity, _VOLUME_MEMORY, _VOLUME_SIZE * math.sqrt(1 - _VOLUME_MEMORY**2) * busy
        )
        trades, volume = self._trades_and_volume(activity[1:], base_volatility, np.abs(scale * normal))
        numbers = before.trades + np.concatenate(([0], np.cumsum(trades)))
        end_state = SessionState(volatility_state, float(activity[-1]), float(closes[-1]), int(numbers[-1]))
        log_prices = (closes - changes)[:, None] + within
        sudden = np.abs(np.diff(log_prices, axis=1)).max(axis=1) >= SUDDEN_MOVE
        return Block(first, log_prices, volatility, sudden, volume, trades, numbers[:-1], end_state)

    def _jumps(self, drawn: Floats, sizes: Floats) -> Floats | float:
        jumps = self.model.jumps
        if jumps is None:
            return 0.0
        rare = NormalDist().inv_cdf(1.0 - jumps.rate / SESSIONS_PER_YEAR)
        return np.where(drawn > rare, jumps.mean + jumps.size * sizes, 0.0)

    def _trades_and_volume(
        self, activity: Floats, base_volatility: Floats, moves: Floats
    ) -> tuple[Integers, Integers]:
        ordinary = self.parameters.volatility * self.model.daily.level
        factor = np.exp(
            activity + 0.8 * np.log(np.maximum(base_volatility / ordinary, 0.1)) + 0.2 * np.minimum(moves, 5.0)
        )
        trades = (self.parameters.trades * factor).astype(np.int64) + 1
        return trades, (trades * self.parameters.trade_size).astype(np.int64)


@lru_cache(maxsize=8)
def u_shape(parts: int) -> Floats:
    """Return the activity in each part of a session: about 1 at midday, 2.5 at the open and at the close."""
    return 1.0 + 1.5 * (2.0 * (np.arange(parts) + 0.5) / parts - 1.0) ** 2


def _first_session_of(number: int) -> int:
    return _FIRST_BLOCK + (number - 1) * _LATER_BLOCKS


def _mean_reverting(base: float, before: float, changes: Floats) -> Floats:
    def after(price: float, change: float) -> float:
        return price + change - _REVERSION * (price - base)

    return np.array(list(accumulate(changes.tolist(), after, initial=before)))[1:]


def _brownian_bridges(drawn: Floats, volatility: Floats, changes: Floats) -> Floats:
    """Return paths from 0 to the given changes. They are most volatile at the open and the close."""
    variances = u_shape(HALF_HOURS_PER_SESSION) ** 2
    shares = variances / variances.sum()
    path = np.cumsum(np.sqrt(shares) * drawn, axis=1) * volatility[:, None]
    path += np.cumsum(shares) * (changes - path[:, -1])[:, None]
    return np.concatenate((np.zeros((len(path), 1)), path), axis=1)
