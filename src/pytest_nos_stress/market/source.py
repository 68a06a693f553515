"""The interface of price sources: prices of a model or of recorded data, as a function of symbol and time.

A source knows nothing of clocks. Its time is in seconds from 0. It answers for any moment, in any order, and
always gives the same answer. The market starts at 0, unless the source has an attribute ``history``: the market
then starts after that many seconds, and the prices before its start are its history. Prices are whole ticks of
0.01.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

TICKS_PER_UNIT = 100


class Prices(NamedTuple):
    """The best prices of a symbol at a moment, in ticks."""

    bid: int
    ask: int
    last: int


class SourceTrade(NamedTuple):
    """A trade.

    ``sequence``: its number among the symbol's trades, from 1 without gaps. ``seconds``: its time. ``price``: in
    ticks. ``quantity``: units.
    """

    sequence: int
    seconds: float
    price: int
    quantity: int


class SourceBar(NamedTuple):
    """Prices (in ticks) and volume (in units) of an interval that begins at ``seconds``.

    If nothing was traded, all four prices are the last price before the interval, and the volume is 0.
    """

    seconds: float
    open: int
    high: int
    low: int
    close: int
    volume: int


class PriceSource(Protocol):
    """The source of a ``Market``'s prices: a model or recorded data. Any number of threads may read it at once."""

    symbols: tuple[str, ...]

    def prices(self, symbol: str, seconds: float) -> Prices:
        """Return the symbol's prices at this moment. Before its first record, recorded data has its first prices.

        Must be cheap, because it is called for every operation.
        """

    def updated(self, symbol: str, seconds: float) -> float:
        """Return the time of the last price change: ``seconds`` or earlier."""

    def trades(self, symbol: str, after: float, until: float) -> list[SourceTrade]:
        """Return the trades with ``after < seconds <= until``, in order."""

    def bars(self, symbol: str, start: float, interval: float, count: int) -> list[SourceBar]:
        """Return ``count`` successive bars of ``interval`` seconds. The first begins at ``start``."""

    def is_halted(self, symbol: str, seconds: float) -> bool:
        """Return True if trading in the symbol is halted at this moment."""
