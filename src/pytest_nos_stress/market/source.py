"""Where a market's prices come from: a model or recorded data, as a function of symbol and time.

A source knows nothing of clocks. Its time is seconds from 0 up, and it answers for any moment, in any order, the
same every time. The market starts at 0; a source with prices from before has an attribute ``history``: after so
many seconds the market starts. Prices are whole ticks of 0.01.
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
    """A trade: its number among the symbol's trades (from 1, without gaps), when, at how many ticks, how much."""

    sequence: int
    seconds: float
    price: int
    quantity: int


class SourceBar(NamedTuple):
    """What was traded in an interval that begins at ``seconds``: prices in ticks, volume in units.

    Where nothing was traded the four prices are the last one before, and the volume is 0.
    """

    seconds: float
    open: int
    high: int
    low: int
    close: int
    volume: int


class PriceSource(Protocol):
    """What a ``Market`` asks: a model of prices, or recorded ones. Any number of threads may ask at once."""

    symbols: tuple[str, ...]

    def prices(self, symbol: str, seconds: float) -> Prices:
        """The symbol's prices at this moment; before the first ones of recorded data, the first ones.

        Cheap: it is asked for every operation.
        """

    def updated(self, symbol: str, seconds: float) -> float:
        """When the prices of this moment came to be: at ``seconds`` or shortly before."""

    def trades(self, symbol: str, after: float, until: float) -> list[SourceTrade]:
        """The trades in that time, in order: ``after < seconds <= until``."""

    def bars(self, symbol: str, start: float, interval: float, count: int) -> list[SourceBar]:
        """``count`` bars of ``interval`` seconds in order, the first of which begins at ``start``."""

    def is_halted(self, symbol: str, seconds: float) -> bool:
        """Whether trading in the symbol is halted at this moment."""
