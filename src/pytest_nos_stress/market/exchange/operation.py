"""The part of an agent's operation that the embedded exchange needs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from pytest_nos_stress.market.quotes import Quote


class MarketView(Protocol):
    """The market as an operation sees it."""

    @property
    def symbols(self) -> Sequence[str]:
        """The names of the symbols that have a quote."""

    def quote(self, symbol: str, /) -> Quote:
        """Return the symbol's prices now."""


class TradingOperation(Protocol):
    """An operation on the embedded exchange."""

    @property
    def agent(self) -> str:
        """The name of the agent that trades."""

    @property
    def id(self) -> str:
        """The client order id: unique to the operation, and the same at each retry."""

    @property
    def random(self) -> Random:
        """The source of every random choice of the operation."""

    @property
    def market(self) -> MarketView:
        """The prices. Raises `MissingDataError` if the operation has no market data."""
