"""The market as agents see it: quotes, trades and bars of each symbol, now and at earlier times.

Guarantees: prices depend only on the seed, the symbol and the time since the market's start. So two markets with
the same seed agree in any process, whatever was read before. Every price is positive and a multiple of 0.01, and
the bid is below the ask. A market never changes, so any number of threads may read it without a lock.

A market joins a clock and a `PriceSource`: a model (`ModelSource`) or recorded prices. It converts the source's
seconds to the clock's time, and ticks to money. NumPy is imported when the first market is made, not with this
module.
"""

from __future__ import annotations

import math
import time  # noqa: TID251 - outside of a run, a market follows the clock that its test sees
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast

from pytest_nos_stress.errors import SettingError

from .errors import UnknownSymbol, name_list
from .source import TICKS_PER_UNIT as TICKS_PER_UNIT
from .source import PriceSource

DEFAULT_SYMBOLS = ("AAPL", "AMZN", "GOOG", "MSFT", "TSLA")

_FIRST_SPAN = 60.0


class Quote(NamedTuple):
    """The best prices of a symbol at a moment.

    `bid`, `ask` and `last` are in units of money. `timestamp` is the time of the last change of these prices, in
    seconds of the market's clock.
    """

    symbol: str
    bid: float
    ask: float
    last: float
    timestamp: float


class MarketTrade(NamedTuple):
    """A trade.

    `sequence`: its number among the symbol's trades, without gaps. `price`: in units of money. `quantity`: units.
    `timestamp`: seconds of the market's clock.
    """

    sequence: int
    symbol: str
    price: float
    quantity: int
    timestamp: float


class Bar(NamedTuple):
    """Prices (in money) and volume (in units) of an interval that begins at `start`.

    `open` is the price at the beginning of the interval. If nothing was traded, all four prices are the same.
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

    `symbols`: at least one name, without duplicates. `model`: `"equity"` (like large US shares), `"gjr"`,
    `"bates"` or `"calm"`; or any `PriceSource`, which then defines the symbols. `seed`: decides all prices of a
    model. `clock`: returns the time in seconds since the epoch. `start`: the clock's time at the market's start;
    by default, now. `speed`: market seconds per second of the clock; default 1. `events`: crashes in a model's
    market, as names or mappings. Raises `SettingError`, a `ValueError`, for an invalid argument.
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
        """Return the symbol's quote now. Raises `UnknownSymbol`, a `LookupError`, for an unknown symbol."""
        return self.quote_at(symbol, self._clock())

    def quote_at(self, symbol: str, when: float) -> Quote:
        """Return the symbol's quote at a past or future time of the clock. Raises `UnknownSymbol`."""
        if symbol not in self._known:
            raise self._unknown(symbol)
        source, history, speed, start = self._source, self._history, self.speed, self.start
        seconds = history + (when - start) * speed
        bid, ask, last = source.prices(symbol, seconds)
        updated = start + (source.updated(symbol, seconds) - history) / speed
        return Quote(symbol, bid / TICKS_PER_UNIT, ask / TICKS_PER_UNIT, last / TICKS_PER_UNIT, updated)

    def trades(self, symbol: str, count: int = 20, *, until: float | None = None) -> list[MarketTrade]:
        """Return the symbol's last `count` trades up to a time of the clock (by default now), latest last.

        Returns fewer trades if there are no more. Raises `UnknownSymbol`, and `SettingError` for a negative count.
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
        """Return the symbol's last `count` complete bars up to a time of the clock (by default now), latest last.

        `interval` is in seconds of the market; a session has 23,400. With a model it must be a multiple of 0.25 s.
        Returns fewer bars if there is no more history. Raises `UnknownSymbol`, and `SettingError` for a negative
        count or an invalid interval.
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
        """Return True if trading is halted at a time of the clock (by default now). Raises `UnknownSymbol`."""
        return self._source.is_halted(symbol, self._end(symbol, 0, at))

    def __repr__(self) -> str:
        if not isinstance(self._model, str):
            return f"Market(model={self._model!r}, start={self.start!r}, speed={self.speed!r})"
        more = f", speed={self.speed!r}" if self.speed != 1.0 else ""
        more += f", events={self._events!r}" if self._events else ""
        return f"Market({self.symbols!r}, {self._model!r}, {self.seed!r}, start={self.start!r}{more})"

    def _end(self, symbol: str, count: int, until: float | None) -> float:
        """Check symbol and count, and return the source's seconds at the time `until`."""
        if symbol not in self._known:
            raise self._unknown(symbol)
        if count < 0:
            raise SettingError(f"count={count!r}: must be 0 or more")
        when = self._clock() if until is None else until
        return self._history + (when - self.start) * self.speed

    def _time_of(self, seconds: float) -> float:
        return self.start + (seconds - self._history) / self.speed

    def _unknown(self, symbol: str) -> UnknownSymbol:
        return UnknownSymbol(f"unknown symbol {symbol!r}; available: {name_list(self.symbols, len(self.symbols))}")


def _source_of(
    symbols: Iterable[str], model: str | PriceSource, seed: int, events: Iterable[str | Mapping[str, Any]]
) -> PriceSource:
    if not isinstance(model, str) and hasattr(model, "prices"):
        if tuple(symbols) not in (DEFAULT_SYMBOLS, tuple(model.symbols)):
            recorded = ", ".join(model.symbols)
            raise SettingError(
                f"symbols={symbols!r}: must be those of the recorded prices ({recorded}) or left out"
            )
        if events:
            raise SettingError(
                f"events={events!r}: must be left out with recorded prices; only a model has events"
            )
        return model
    from pytest_nos_stress.market.prices.model import ModelSource

    return ModelSource(_checked_symbols(symbols), cast(str, model), seed, events)


def _checked_speed(speed: float) -> float:
    if isinstance(speed, bool) or not isinstance(speed, (int, float)) or not 0 < speed < math.inf:
        raise SettingError(f"speed={speed!r}: must be a number above 0")
    return speed


def _checked_symbols(symbols: Iterable[str]) -> tuple[str, ...]:
    if isinstance(symbols, str):
        raise SettingError(f"symbols={symbols!r}: must be a list of names, got a single string")
    names = tuple(symbols)
    if not names:
        raise SettingError(f"symbols={symbols!r}: must have at least one name")
    invalid = next((name for name in names if not isinstance(name, str) or not name), None)
    if invalid is not None:
        raise SettingError(f"symbols={symbols!r}: {invalid!r} is not a name; must be non-empty strings")
    duplicate = next((name for index, name in enumerate(names) if name in names[:index]), None)
    if duplicate is not None:
        raise SettingError(f"symbols={symbols!r}: duplicate symbol {duplicate!r}; must differ")
    return names
