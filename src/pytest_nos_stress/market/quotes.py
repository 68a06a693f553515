"""What a symbol costs at this moment, cost before, and what was traded: the market as agents see it.

Guaranteed: prices depend on the seed, the symbol and the time since the market's start, and on nothing else; so
two markets with one seed agree, in any process, and whoever asks first changes nothing. Every price is positive
and on a grid of 0.01, and the bid is below the ask. A market never changes, so any number of threads may read it
without a lock.

A market joins a clock and a `PriceSource`: a model (`ModelSource`), or recorded prices. It turns the source's
seconds into those of the clock, and ticks into money. NumPy is imported with the first market, not with this
module.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from pytest_nos_stress.errors import SettingError

from .errors import UnknownSymbol, name_list
from .source import TICKS_PER_UNIT as TICKS_PER_UNIT
from .source import PriceSource

DEFAULT_SYMBOLS = ("AAPL", "AMZN", "GOOG", "MSFT", "TSLA")

_FIRST_SPAN = 60.0


class Quote(NamedTuple):
    """The best prices of one symbol at one moment.

    `bid`, `ask` and `last` are in units of money; `timestamp` is when these prices came to be, in seconds as the
    market's clock gives them.
    """

    symbol: str
    bid: float
    ask: float
    last: float
    timestamp: float


class MarketTrade(NamedTuple):
    """One trade: its number among the symbol's trades (without gaps), price in money, units, clock's seconds."""

    sequence: int
    symbol: str
    price: float
    quantity: int
    timestamp: float


class Bar(NamedTuple):
    """What was traded in an interval that begins at `start`: prices in money, volume in units.

    `open` is the price as the interval begins. Where nothing was traded all four are that price.
    """

    symbol: str
    start: float
    open: float
    high: float
    low: float
    close: float
    volume: int


class Market:
    """Quotes, trades and bars of some symbols.

    `symbols`: names, at least one, none twice. `model`: `"equity"` (like large US shares), `"gjr"`, `"bates"` or
    `"calm"`; or any `PriceSource`, whose symbols the market has then. `seed`: decides all prices of a model.
    `clock`: gives the time in seconds since the epoch. `start`: the clock's time of the market's start; by
    default, now. `speed`: seconds of the market that pass in one of the clock. `events`: crashes of a model's
    market, as names or mappings. Raises `SettingError`, a `ValueError`, for what makes no market.
    """

    def __init__(
        self,
        symbols: Iterable[str] = DEFAULT_SYMBOLS,
        model: str | PriceSource = "equity",
        seed: int = 0,
        *,
        clock: Callable[[], float] = time.time,
        start: float | None = None,
        speed: float = 1.0,
        events: Iterable[str | Mapping[str, Any]] = (),
    ) -> None:
        self.seed = seed
        self.start = clock() if start is None else start
        self.speed = _checked_speed(speed)
        self._clock = clock
        self._model = model
        self._source = _source_of(symbols, model, seed, events)
        self._history: float = getattr(self._source, "history", 0.0)
        self._events = tuple(event._asdict() for event in getattr(self._source, "events", ()))
        self.symbols: tuple[str, ...] = tuple(self._source.symbols)
        self._known = frozenset(self.symbols)

    def quote(self, symbol: str) -> Quote:
        """The symbol's quote at this moment. Raises `UnknownSymbol`, a `LookupError`, where there is none."""
        return self.quote_at(symbol, self._clock())

    def quote_at(self, symbol: str, when: float) -> Quote:
        """The symbol's quote as it was, or will be, at this time of the clock. Raises as `quote`."""
        if symbol not in self._known:
            raise self._unknown(symbol)
        source, history, speed, start = self._source, self._history, self.speed, self.start
        seconds = history + (when - start) * speed
        bid, ask, last = source.prices(symbol, seconds)
        updated = start + (source.updated(symbol, seconds) - history) / speed
        return Quote(symbol, bid / TICKS_PER_UNIT, ask / TICKS_PER_UNIT, last / TICKS_PER_UNIT, updated)

    def trades(self, symbol: str, count: int = 20, *, until: float | None = None) -> list[MarketTrade]:
        """The symbol's last `count` trades up to a time of the clock, by default now, the latest last.

        Fewer where there are no more. Raises `UnknownSymbol`, and `SettingError` for a negative count.
        """
        end, span = self._end(symbol, count, until), _FIRST_SPAN
        trades = self._source.trades(symbol, end - span, end)
        while len(trades) < count and end - span >= 0.0:
            trades = self._source.trades(symbol, end - 4.0 * span, end - span) + trades
            span *= 4.0
        return [
            MarketTrade(number, symbol, price / TICKS_PER_UNIT, quantity, self._time_of(seconds))
            for number, seconds, price, quantity in trades[max(0, len(trades) - count) :]
        ]

    def bars(
        self, symbol: str, count: int = 20, interval: float = 60.0, *, until: float | None = None
    ) -> list[Bar]:
        """The symbol's last `count` complete bars up to a time of the clock, by default now, the latest last.

        `interval` is in seconds of the market; a session has 23,400. A model's are multiples of 0.25 s. Fewer
        where there is no more history. Raises `UnknownSymbol`, and `SettingError` for a negative count or an
        interval that is none.
        """
        if not interval > 0 or not math.isfinite(interval):
            raise SettingError(f"interval={interval!r}: must be a number of seconds above 0")
        last = max(0, math.floor(self._end(symbol, count, until) / interval))
        first = max(0, last - count)
        return [
            Bar(
                symbol,
                self._time_of(seconds),
                begin / TICKS_PER_UNIT,
                high / TICKS_PER_UNIT,
                low / TICKS_PER_UNIT,
                close / TICKS_PER_UNIT,
                volume,
            )
            for seconds, begin, high, low, close, volume in self._source.bars(
                symbol, first * interval, interval, last - first
            )
        ]

    def is_halted(self, symbol: str, *, at: float | None = None) -> bool:
        """Whether trading is halted at a time of the clock, by default now. Raises `UnknownSymbol`."""
        return self._source.is_halted(symbol, self._end(symbol, 0, at))

    def __repr__(self) -> str:
        if not isinstance(self._model, str):
            return f"Market(model={self._model!r}, start={self.start!r}, speed={self.speed!r})"
        more = f", speed={self.speed!r}" if self.speed != 1.0 else ""
        more += f", events={self._events!r}" if self._events else ""
        return f"Market({self.symbols!r}, {self._model!r}, {self.seed!r}, start={self.start!r}{more})"

    def _end(self, symbol: str, count: int, until: float | None) -> float:
        """The source's seconds at that time, once it is clear that the question makes sense."""
        if symbol not in self._known:
            raise self._unknown(symbol)
        if count < 0:
            raise SettingError(f"count={count!r}: must be 0 or more")
        when = self._clock() if until is None else until
        return self._history + (when - self.start) * self.speed

    def _time_of(self, seconds: float) -> float:
        return self.start + (seconds - self._history) / self.speed

    def _unknown(self, symbol: str) -> UnknownSymbol:
        return UnknownSymbol(f"no symbol {symbol!r}; there are {name_list(self.symbols, len(self.symbols))}")


def _source_of(
    symbols: Iterable[str], model: str | PriceSource, seed: int, events: Iterable[str | Mapping[str, Any]]
) -> PriceSource:
    if not isinstance(model, str) and hasattr(model, "prices"):
        if tuple(symbols) not in (DEFAULT_SYMBOLS, tuple(model.symbols)):
            raise SettingError(f"symbols={symbols!r}: recorded prices have theirs: {', '.join(model.symbols)}")
        if events:
            raise SettingError(f"events={events!r}: only a model has events, recorded prices are as they were")
        return model
    from pytest_nos_stress.market.prices.model import ModelSource

    return ModelSource(_checked_symbols(symbols), cast(str, model), seed, events)


def _checked_speed(speed: float) -> float:
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0 < speed < math.inf:
        raise SettingError(f"speed={speed!r}: must be a number above 0")
    return speed


def _checked_symbols(symbols: Iterable[str]) -> tuple[str, ...]:
    if isinstance(symbols, str):
        raise SettingError(f"symbols must be a collection of names, not the text {symbols!r}")
    names = tuple(symbols)
    if not names:
        raise SettingError("symbols must hold at least one name")
    wrong = next((name for name in names if not isinstance(name, str) or not name), None)
    if wrong is not None:
        raise SettingError(f"symbols must be names, not {wrong!r}")
    twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if twice is not None:
        raise SettingError(f"symbols must differ, but {twice!r} is there twice")
    return names
