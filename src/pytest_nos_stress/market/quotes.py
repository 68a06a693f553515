"""What a symbol costs at this moment, for agents that need a price to trade at.

Guaranteed: a price depends on the seed, the symbol and the time since the market's start, and on nothing
else; so two markets with one seed agree, in any process, and whoever asks first changes nothing. Every price
is positive and on a grid of 0.01, and the bid is below the ask. A market never changes, so any number of
threads may read it without a lock.

Not promised: realism. A price is a base and three slow sine waves, which no statistic of a real market would
accept; it is a stand-in that is cheap to read, until a realistic model takes its place behind the same two
names.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from random import Random
from typing import NamedTuple

from pytest_nos_stress.market.errors import UnknownSymbol, what_there_is

DEFAULT_SYMBOLS = ("AAPL", "AMZN", "GOOG", "MSFT", "TSLA")
TICKS_PER_UNIT = 100

_LOWEST_BASE, _HIGHEST_BASE = 20.0, 400.0
_WIDEST_HALF_SPREAD = 3
_WAVES = ((20.0, 60.0, 0.004), (90.0, 300.0, 0.012), (600.0, 1800.0, 0.03))


class Quote(NamedTuple):
    """The best prices of one symbol at one moment.

    `bid`, `ask` and `last` are in units of money, `timestamp` is in seconds as the market's clock gives them.
    """

    symbol: str
    bid: float
    ask: float
    last: float
    timestamp: float


class Market:
    """Quotes of some symbols.

    `symbols`: names, at least one, none twice. `seed`: decides all prices. `clock`: gives the time in
    seconds. `start`: the clock's time at which the waves begin; by default, now. Raises `ValueError` for
    symbols that make no market.
    """

    def __init__(
        self,
        symbols: Iterable[str] = DEFAULT_SYMBOLS,
        seed: int = 0,
        clock: Callable[[], float] = time.time,
        start: float | None = None,
    ) -> None:
        self.symbols: tuple[str, ...] = _checked(symbols)
        self.seed = seed
        self.start = clock() if start is None else start
        self._clock = clock
        self._prices = {symbol: _PriceOverTime(seed, symbol) for symbol in self.symbols}

    def quote(self, symbol: str) -> Quote:
        """The symbol's quote at this moment. Raises `UnknownSymbol`, a `LookupError`, where there is none."""
        price = self._prices.get(symbol)
        if price is None:
            raise UnknownSymbol(
                f"no symbol {symbol!r}; there are {what_there_is(self.symbols, len(self.symbols))}"
            )
        now = self._clock()
        middle, half = price.ticks_at(now - self.start), price.half_spread
        return Quote(
            symbol,
            (middle - half) / TICKS_PER_UNIT,
            (middle + half) / TICKS_PER_UNIT,
            middle / TICKS_PER_UNIT,
            now,
        )

    def __repr__(self) -> str:
        return f"Market(symbols={self.symbols!r}, seed={self.seed!r})"


class _PriceOverTime:
    """One symbol's price as a function of time."""

    __slots__ = ("_base", "_waves", "half_spread")

    def __init__(self, seed: int, symbol: str) -> None:
        # A str seeds a Random by its SHA-512, so Python's hash seed has no say.
        draw = Random(f"{seed}/{symbol}")
        self._base = TICKS_PER_UNIT * draw.uniform(_LOWEST_BASE, _HIGHEST_BASE)
        self.half_spread = 1 + int(draw.random() * _WIDEST_HALF_SPREAD)
        self._waves = tuple(
            (
                math.tau / draw.uniform(shortest, longest),
                draw.uniform(0.0, math.tau),
                draw.uniform(height / 3, height),
            )
            for shortest, longest, height in _WAVES
        )

    def ticks_at(self, seconds: float) -> int:
        sin = math.sin
        (f1, p1, h1), (f2, p2, h2), (f3, p3, h3) = self._waves
        exponent = h1 * sin(f1 * seconds + p1) + h2 * sin(f2 * seconds + p2) + h3 * sin(f3 * seconds + p3)
        return round(self._base * math.exp(exponent))


def _checked(symbols: Iterable[str]) -> tuple[str, ...]:
    if isinstance(symbols, str):
        raise ValueError(f"symbols must be a collection of names, not the text {symbols!r}")
    names = tuple(symbols)
    if not names:
        raise ValueError("symbols must hold at least one name")
    wrong = next((name for name in names if not isinstance(name, str) or not name), None)
    if wrong is not None:
        raise ValueError(f"symbols must be names, not {wrong!r}")
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise ValueError(f"symbols must differ, but {twice!r} is there twice")
    return names
