"""One symbol's recorded prices as a function of time: of bars, or of a book's changes.

Guarantees: nothing changes after construction, so any number of threads may ask; every answer is a search by
bisection in sorted arrays. Bid and ask are whole ticks, at least 1, and the bid is below the ask. After the last
record its prices stay.

A bar does not say what happened inside it. The choice: its price goes in straight lines from the open to the
first extreme at a quarter of the bar, to the second at half, and to the close at three quarters, where it stays. A
bar that rises has its low first, one that falls its high first, which is the shorter way. At each of these four
points a quarter of the volume is traded.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Final, Protocol

from pytest_nos_stress.market.source import Prices, SourceBar, SourceTrade

_PRINTS: Final = 4
_DECIMALS: Final = 9


class Recorded(Protocol):
    """What a symbol's recording answers; as in ``PriceSource``, for one symbol."""

    def prices(self, seconds: float) -> Prices: ...
    def updated(self, seconds: float) -> float: ...
    def trades(self, after: float, until: float) -> list[SourceTrade]: ...
    def bars(self, start: float, interval: float, count: int) -> list[SourceBar]: ...
    def is_halted(self, seconds: float) -> bool: ...


class RecordedBars:
    """Bars of one length.

    ``starts``: seconds, rising. ``path``: for each bar the four prices in ticks through which it goes.
    ``volumes``: units. ``length``: seconds. ``spread``: ticks between bid and ask.
    """

    def __init__(
        self, starts: array[float], path: array[int], volumes: array[int], length: float, spread: int
    ) -> None:
        self._starts = starts
        self._path = path
        self._volumes = volumes
        self._length = length
        self._quarter = length / _PRINTS
        self._spread = spread
        self._below = spread // 2
        # A bar has at most four trades, and fewer where its volume is smaller than that.
        self._trades_before = array("q", accumulate((min(each, _PRINTS) for each in volumes), initial=0))
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
        place = bar * _PRINTS
        if quarters >= _PRINTS - 1:
            return path[place + _PRINTS - 1]
        passed = int(quarters)
        here = path[place + passed]
        return here + round((path[place + passed + 1] - here) * (quarters - passed))

    def updated(self, seconds: float) -> float:
        bar = bisect_right(self._starts, seconds) - 1
        return seconds if bar < 0 else min(seconds, self._starts[bar] + self._length)

    def trades(self, after: float, until: float) -> list[SourceTrade]:
        first, end = self._prints_until(after), self._prints_until(until)
        found: list[SourceTrade] = []
        sequence = self._trades_until(first)
        for place in range(first, end):
            quantity = self._quantity(place)
            if quantity:
                sequence += 1
                found.append(SourceTrade(sequence, self._time(place), self._path[place], quantity))
        return found

    def bars(self, start: float, interval: float, count: int) -> list[SourceBar]:
        edges = _edges(start, interval, count)
        places = [self._prints_before(edge) for edge in edges]
        bars = []
        for edge, (first, end) in zip(edges, pairwise(places), strict=False):
            volume = self._volume_until(end) - self._volume_until(first)
            bars.append(_bar(edge, self._path[first:end], volume, self._path[max(first - 1, 0)]))
        return bars

    def is_halted(self, seconds: float) -> bool:  # noqa: ARG002
        return False

    def _time(self, place: int) -> float:
        bar, part = divmod(place, _PRINTS)
        return round(self._starts[bar] + part * self._quarter, _DECIMALS)

    def _prints_until(self, seconds: float) -> int:
        first = max(bisect_right(self._starts, seconds) - 1, 0) * _PRINTS
        return first + sum(self._time(first + part) <= seconds for part in range(_PRINTS))

    def _prints_before(self, seconds: float) -> int:
        first = max(bisect_left(self._starts, seconds) - 1, 0) * _PRINTS
        return first + sum(self._time(first + part) < seconds for part in range(_PRINTS))

    def _quantity(self, place: int) -> int:
        return self._volume_until(place + 1) - self._volume_until(place)

    def _volume_until(self, place: int) -> int:
        bar, part = divmod(place, _PRINTS)
        if not part:
            return self._volume_before[bar]
        return self._volume_before[bar] + self._volumes[bar] * part // _PRINTS

    def _trades_until(self, place: int) -> int:
        bar, part = divmod(place, _PRINTS)
        whole = bar * _PRINTS
        return self._trades_before[bar] + sum(self._quantity(whole + each) > 0 for each in range(part))


class RecordedBook:
    """The best prices of a book after each of its changes, and what was traded.

    ``times``: seconds, never falling; ``bids``, ``asks``, ``lasts``: ticks, as many. ``trade_times``,
    ``trade_prices``, ``quantities``: the trades. ``halt_times``, ``halts``: when trading stopped (1) and went
    on (0).
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
        place = bisect_right(self._times, seconds) - 1
        if place < 0:
            place = 0
        return Prices(self._bids[place], self._asks[place], self._lasts[place])

    def updated(self, seconds: float) -> float:
        place = bisect_right(self._times, seconds) - 1
        return seconds if place < 0 else self._times[place]

    def trades(self, after: float, until: float) -> list[SourceTrade]:
        first, end = bisect_right(self._trade_times, after), bisect_right(self._trade_times, until)
        return [
            SourceTrade(place + 1, self._trade_times[place], self._trade_prices[place], self._quantities[place])
            for place in range(first, end)
        ]

    def bars(self, start: float, interval: float, count: int) -> list[SourceBar]:
        edges = _edges(start, interval, count)
        places = [bisect_left(self._trade_times, edge) for edge in edges]
        bars = []
        for edge, (first, end) in zip(edges, pairwise(places), strict=False):
            before = self._trade_prices[first - 1] if first else self._lasts[0]
            bars.append(_bar(edge, self._trade_prices[first:end], sum(self._quantities[first:end]), before))
        return bars

    def is_halted(self, seconds: float) -> bool:
        place = bisect_right(self._halt_times, seconds) - 1
        return place >= 0 and self._halts[place] == 1


def _edges(start: float, interval: float, count: int) -> list[float]:
    # Sums of floats end beside the round number they should be: 3 * 0.1 is above 0.3.
    return [round(start + number * interval, _DECIMALS) for number in range(count + 1)]


def _bar(seconds: float, prices: Sequence[int], volume: int, before: int) -> SourceBar:
    if not prices:
        return SourceBar(seconds, before, before, before, before, 0)
    return SourceBar(seconds, prices[0], max(prices), min(prices), prices[-1], volume)
