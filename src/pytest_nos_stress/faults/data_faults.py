"""Broken feeds: the market data of operations with planned missing data.

Each class is one kind of missing data. Its random choices come from the operation's own stream, so they are the
same in every run with the seed. The kinds are those of published feeds: sequence gaps and a ``pu`` that is not the
previous ``u`` (Binance), undefined prices (Databento's UNDEF_PRICE, Interactive Brokers' -1), crossed and outlying
quotes (the cleaning rules of Barndorff-Nielsen et al. 2009), halts (the limit up/limit down plan).
``docs/missing-data.md`` has an example of each.

Guarantees: one operation has one broken feed, however often it reads the market. The market itself is unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

from pytest_nos_stress.errors import MissingDataError

if TYPE_CHECKING:
    from pytest_nos_stress.market import Bar, Market, MarketTrade, Quote

UNDEFINED: Final = (math.nan, float(2**63 - 1), -1.0)
"""Values that feeds send in place of an undefined price: a NaN, the largest 64-bit integer, minus one."""
_99TH_PERCENTILE: Final = NormalDist().inv_cdf(0.99)
_TICK: Final = 0.01


class FaultyFeed:
    """An intact feed, the base class of all broken feeds. It has the same interface as the market."""

    def __init__(
        self, market: Market, now: Callable[[], float], random: Random, parameters: Mapping[str, Any]
    ) -> None:
        self._market = market
        self._now = now
        self._began = now()
        self._random = random
        self._parameters = parameters

    @property
    def symbols(self) -> Sequence[str]:
        return self._market.symbols

    def quote(self, symbol: str) -> Quote:
        return self._market.quote_at(symbol, self._shown_at())

    def trades(self, symbol: str, count: int = 20) -> list[MarketTrade]:
        return self._market.trades(symbol, count, until=self._shown_at())

    def bars(self, symbol: str, count: int = 20, interval: float = 60.0) -> list[Bar]:
        return self._market.bars(symbol, count, interval, until=self._shown_at())

    def is_halted(self, symbol: str) -> bool:
        return self._market.is_halted(symbol, at=self._shown_at())

    def _shown_at(self) -> float:
        """Return the time whose data the feed shows."""
        return self._now()

    def _uniform(self, name: str) -> float:
        return self._random.uniform(*self._parameters[name])


class Stale(FaultyFeed):
    """All data is ``age`` seconds old. Only the timestamps show it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._stopped = self._began - self._age()

    def _age(self) -> float:
        return self._uniform("age")

    def _shown_at(self) -> float:
        return self._stopped


class Silence(Stale):
    """The last update is some time ago: lognormal with ``median`` and ``p99``, at most ``most`` seconds."""

    def _age(self) -> float:
        median, p99, most = (float(self._parameters[name]) for name in ("median", "p99", "most"))
        sigma = math.log(p99 / median) / _99TH_PERCENTILE if p99 > median > 0 else 0.0
        return min(most, median * math.exp(self._random.gauss(0.0, sigma)))


class Halt(Stale):
    """Trading was halted ``lasts`` seconds ago. Prices have not changed since, and ``is_halted`` is True."""

    def _age(self) -> float:
        return self._uniform("lasts")

    def is_halted(self, symbol: str) -> bool:  # noqa: ARG002
        return True


class Gap(FaultyFeed):
    """``length`` updates were lost. Trade ids have a gap, and the quote is the last quote before the gap."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._lost = max(1, round(self._uniform("length")))
        self._after = self._random.randint(1, 5)

    def quote(self, symbol: str) -> Quote:
        newest = self._market.trades(symbol, self._lost)
        return self._market.quote_at(symbol, newest[0].timestamp if newest else self._began)

    def trades(self, symbol: str, count: int = 20) -> list[MarketTrade]:
        newest = self._market.trades(symbol, count + self._lost)
        after = min(self._after, max(1, count - 1))
        arrived = newest[: -(self._lost + after)] + newest[max(self._lost, len(newest) - after) :]
        return arrived[-count:] if count else []


class Disconnect(FaultyFeed):
    """The connection is down for ``lasts`` seconds. An operation that waits that long gets data again."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._back = self._began + self._uniform("lasts")

    def _shown_at(self) -> float:
        now = self._now()
        if now < self._back:
            raise MissingDataError("the feed is disconnected: no market data")
        return now


class Undefined(FaultyFeed):
    """Bid, ask or last, or all three, have a value of ``UNDEFINED``."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._value = self._random.choice(UNDEFINED)
        self._fields = self._random.choice((("bid",), ("ask",), ("last",), ("bid", "ask", "last")))

    def quote(self, symbol: str) -> Quote:
        return super().quote(symbol)._replace(**dict.fromkeys(self._fields, self._value))  # type: ignore[arg-type]

    def trades(self, symbol: str, count: int = 20) -> list[MarketTrade]:
        trades = super().trades(symbol, count)
        trades[-1:] = [newest._replace(price=self._value) for newest in trades[-1:]]
        return trades

    def bars(self, symbol: str, count: int = 20, interval: float = 60.0) -> list[Bar]:
        bars = super().bars(symbol, count, interval)
        bars[-1:] = [newest._replace(close=self._value) for newest in bars[-1:]]
        return bars


class BadTimestamp(FaultyFeed):
    """Timestamps are wrong by half of ``skew`` to ``skew`` seconds, and the last two trades are swapped."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        skew = float(self._parameters["skew"])
        self._skew = self._random.choice((-1, 1)) * self._random.uniform(skew / 2, skew)

    def quote(self, symbol: str) -> Quote:
        quote = super().quote(symbol)
        return quote._replace(timestamp=quote.timestamp + self._skew)

    def trades(self, symbol: str, count: int = 20) -> list[MarketTrade]:
        trades = [
            trade._replace(timestamp=trade.timestamp + self._skew) for trade in super().trades(symbol, count)
        ]
        trades[-2:] = reversed(trades[-2:])
        return trades


class Duplicate(FaultyFeed):
    """The last ``length`` trades are duplicated, as after a reconnect. The quote is the one before the newest."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._length = max(1, round(self._uniform("length")))

    def quote(self, symbol: str) -> Quote:
        newest = super().quote(symbol)
        return self._market.quote_at(symbol, newest.timestamp - 1e-6)

    def trades(self, symbol: str, count: int = 20) -> list[MarketTrade]:
        trades = super().trades(symbol, count)
        return [*trades, *trades[-self._length :]]


class Crossed(FaultyFeed):
    """The bid is ``ticks`` ticks above the ask."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._ticks = max(1, round(self._uniform("ticks")))

    def quote(self, symbol: str) -> Quote:
        quote = super().quote(symbol)
        return quote._replace(bid=round(quote.ask + self._ticks * _TICK, 2), ask=quote.bid)


class Outlier(FaultyFeed):
    """Prices are wrong by the share ``size``, up or down: far beyond ten median deviations of recent prices."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._factor = 1 + self._random.choice((-1, 1)) * self._uniform("size")

    def quote(self, symbol: str) -> Quote:
        quote = super().quote(symbol)
        bid, ask, last = (round(price * self._factor, 2) for price in quote[1:4])
        return quote._replace(bid=bid, ask=max(ask, round(bid + _TICK, 2)), last=last)

    def trades(self, symbol: str, count: int = 20) -> list[MarketTrade]:
        trades = super().trades(symbol, count)
        trades[-1:] = [trade._replace(price=round(trade.price * self._factor, 2)) for trade in trades[-1:]]
        return trades


class MissingBar(FaultyFeed):
    """The share ``share`` of the bars is missing, at least one bar, in one block."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._position = self._random.random()

    def bars(self, symbol: str, count: int = 20, interval: float = 60.0) -> list[Bar]:
        bars = super().bars(symbol, count, interval)
        lost = min(len(bars), max(1, round(len(bars) * float(self._parameters["share"]))))
        first = int(self._position * (len(bars) - lost + 1))
        return [*bars[:first], *bars[first + lost :]]
