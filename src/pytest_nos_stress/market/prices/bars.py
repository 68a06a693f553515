"""Prices and volume of successive intervals, and their aggregation to longer intervals.

Guarantees: aggregating bars gives the same result as aggregating the prices that the bars were made of.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .rng import Integers


class OhlcvColumns(NamedTuple):
    """Columns of successive intervals: prices in ticks, volume in units."""

    open: Integers
    high: Integers
    low: Integers
    close: Integers
    volume: Integers

    @classmethod
    def concatenated(cls, parts: list[OhlcvColumns]) -> OhlcvColumns:
        return cls(*map(np.concatenate, zip(*parts, strict=True)))

    def rows(self, first: int, last: int) -> OhlcvColumns:
        return OhlcvColumns(*(column[first:last] for column in self))

    def aggregated(self, size: int) -> OhlcvColumns:
        """Aggregate every ``size`` intervals into one. Without trades, all four prices are the opening price."""
        volume = self.volume.reshape(-1, size).sum(axis=1)
        first, traded = self.open[::size], volume > 0
        return OhlcvColumns(
            first,
            np.where(traded, self.high.reshape(-1, size).max(axis=1), first),
            np.where(traded, self.low.reshape(-1, size).min(axis=1), first),
            np.where(traded, self.close[size - 1 :: size], first),
            volume,
        )
