"""The recorded prices of one symbol as a function of time, from bars or from the changes of a book.

Guarantees: nothing changes after construction, so any number of threads may read. Every call is a bisection of
sorted arrays. Bid and ask are whole ticks, at least 1, and the bid is below the ask. After the last record its
prices stay.

A bar does not record the prices between its open and its close, so this module chooses them. The price moves in
straight lines: from the open to the first extreme at a quarter of the bar, to the second extreme at half, and to
the close at three quarters, where it stays. A rising bar has its low first and a falling bar its high first,
because that path is shorter. A quarter of the volume is traded at each of these four points.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, Protocol

from pytest_nos_stress.market.source import Prices, SourceBar, SourceTrade

_PRINTS_PER_BAR: Final = 4
_DECIMALS: Final = 9


class Recorded(Protocol):
    """The recording of one symbol, with the methods of ``PriceSource``."""

    def prices(self, seconds: float) -> Prices: ...
    def updated(self, seconds: float) -> float: ...
    def trades(self, after: float, until: float) -> list[SourceTrade]: ...
    def bars(self, start: float, interval: float, count: int) -> list[SourceBar]: ...
    def is_halted(self, seconds: float) -> bool: ...


class RecordedBars:
    """Recorded bars of one length.

    ``starts``: seconds, rising. ``path``: for each bar four prices in ticks, in the order in which they are
    reached. ``volumes``: units. ``length``: seconds. ``spread``: ticks between bid and ask.
    """

    def __init__(
        self, starts: array[float], path: array[int], volumes: array[int], length: float, spread: int
    ) -> None:
        self._starts = starts
        self._path = path
        self._volumes = volumes
        self._length = length
        self._quarter = length / _PRINTS_PER_BAR
        self._spread = spread
        self._below = spread // 2
        # A bar has four trades, or fewer if its volume is below four units.
        self._trades_before = array(
            "q", accumulate((min(volume, _PRINTS_PER_BAR) for volume in volumes), initial=0)
        )
        self._volume_before = array("q", accumulate(volumes, initial=0))

    def prices(self, seconds: float) -> Prices:
        last = self._price(seconds)
        bid = last - self._below
        if bid < 1:
            bid = 1
        return Prices(bid, bid + self._spread, last)

    def _price(self, seconds: float) -> int:
        path = self._path
        bar = bisect_right(self._starts, seconds) - 1
        if bar < 0:
            return path[0]
        quarters = (seconds - self._starts[bar]) / self._quarter
        first = bar * _PRINTS_PER_BAR
        if quarters >= _PRINTS_PER_BAR - 1:
            return path[first + _PRINTS_PER_BAR - 1]
        passed = int(quarters)
        price = path[first + passed]
        return price + round((path[first + passed + 1] - price) * (quarters - passed))

    def updated(self, seconds: float) -> float:
        bar = bisect_right(self._starts, seconds) - 1
        return seconds if bar < 0 else min(seconds, self._starts[bar] + self._length)

    def trades(self, after: float, until: float) -> list[SourceTrade]:
        first, end = self._prints_until(after), self._prints_until(until)
        trades: list[SourceTrade] = []
        sequence = self._trades_until(first)
        for index in range(first, end):
            quantity = self._quantity(index)
            if quantity:
                sequence += 1
                trades.append(SourceTrade(sequence, self._time(index), self._path[index], quantity))
        return trades

    def bars(self, start: float, interval: float, count: int) -> list[SourceBar]:
        edges = _edges(start, interval, count)
        indices = [self._prints_before(edge) for edge in edges]
        bars = []
        for edge, (first, end) in zip(edges, pairwise(indices), strict=False):
            volume = self._volume_until(end) - self._volume_until(first)
            bars.append(_bar(edge, self._path[first:end], volume, self._path[max(first - 1, 0)]))
        return bars

    def is_halted(self, seconds: float) -> bool:  # noqa: ARG002
        return False

    def _time(self, index: int) -> float:
        bar, part = divmod(index, _PRINTS_PER_BAR)
        return round(self._starts[bar] + part * self._quarter, _DECIMALS)

    def _prints_until(self, seconds: float) -> int:
        first = max(bisect_right(self._starts, seconds) - 1, 0) * _PRINTS_PER_BAR
        return first + sum(self._time(first + part) <= seconds for part in range(_PRINTS_PER_BAR))

    def _prints_before(self, seconds: float) -> int:
        first = max(bisect_left(self._starts, seconds) - 1, 0) * _PRINTS_PER_BAR
        return first + sum(self._time(first + part) < seconds for part in range(_PRINTS_PER_BAR))

    def _quantity(self, index: int) -> int:
        return self._volume_until(index + 1) - self._volume_until(index)

    def _volume_until(self, index: int) -> int:
        bar, part = divmod(index, _PRINTS_PER_BAR)
        if not part:
            return self._volume_before[bar]
        return self._volume_before[bar] + self._volumes[bar] * part // _PRINTS_PER_BAR

    def _trades_until(self, index: int) -> int:
        bar, part = divmod(index, _PRINTS_PER_BAR)
        first = bar * _PRINTS_PER_BAR
        return self._trades_before[bar] + sum(self._quantity(first + number) > 0 for number in range(part))


class RecordedBook:
    """The best prices of a book after each change, its trades and its halts.

    ``times``: seconds, never falling. ``bids``, ``asks``, ``lasts``: prices in ticks at these times.
    ``trade_times``, ``trade_prices``, ``quantities``: the trades. ``halts``: 1 if trading stopped at the time in
    ``halt_times``, 0 if it resumed.
    """

    def __init__(
        self,
        times: array[float],
        bids: array[int],
        asks: array[int],
        lasts: array[int],
        trade_times: array[float],
        trade_prices: array[int],
        quantities: array[int],
        halt_times: array[float],
        halts: array[int],
    ) -> None:
        self._times = times
        self._bids = bids
        self._asks = asks
        self._lasts = lasts
        self._trade_times = trade_times
        self._trade_prices = trade_prices
        self._quantities = quantities
        self._halt_times = halt_times
        self._halts = halts

    def prices(self, seconds: float) -> Prices:
        index = bisect_right(self._times, seconds) - 1
        if index < 0:
            index = 0
        return Prices(self._bids[index], self._asks[index], self._lasts[index])

    def updated(self, seconds: float) -> float:
        index = bisect_right(self._times, seconds) - 1
        return seconds if index < 0 else self._times[index]

    def trades(self, after: float, until: float) -> list[SourceTrade]:
        first, end = bisect_right(self._trade_times, after), bisect_right(self._trade_times, until)
        return [
            SourceTrade(index + 1, self._trade_times[index], self._trade_prices[index], self._quantities[index])
            for index in range(first, end)
        ]

    def bars(self, start: float, interval: float, count: int) -> list[SourceBar]:
        edges = _edges(start, interval, count)
        indices = [bisect_left(self._trade_times, edge) for edge in edges]
        bars = []
        for edge, (first, end) in zip(edges, pairwise(indices), strict=False):
            before = self._trade_prices[first - 1] if first else self._lasts[0]
            bars.append(_bar(edge, self._trade_prices[first:end], sum(self._quantities[first:end]), before))
        return bars

    def is_halted(self, seconds: float) -> bool:
        index = bisect_right(self._halt_times, seconds) - 1
        return index >= 0 and self._halts[index] == 1


def _edges(start: float, interval: float, count: int) -> list[float]:
    # Round, because sums of floats miss round numbers: 3 * 0.1 is above 0.3.
    return [round(start + number * interval, _DECIMALS) for number in range(count + 1)]


def _bar(seconds: float, prices: Sequence[int], volume: int, before: int) -> SourceBar:
    if not prices:
        return SourceBar(seconds, before, before, before, before, 0)
    return SourceBar(seconds, prices[0], max(prices), min(prices), prices[-1], volume)
