"""The operation of an agent, as far as the embedded exchange needs it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol

from pytest_nos_stress.market.quotes import Quote


class MarketView(Protocol):
    """The market as an operation sees it."""

    @property
    def symbols(self) -> Sequence[str]:
        """The names that have a quote."""

    def quote(self, symbol: str, /) -> Quote:
        """The symbol's prices now."""


class TradingOperation(Protocol):
    """An operation on the embedded exchange."""

    @property
    def agent(self) -> str:
        """Who trades."""

    @property
    def id(self) -> str:
        """The client order id: unique, and the same where the operation is performed again."""

    @property
    def random(self) -> Random:
        """Where every random choice comes from."""

    @property
    def market(self) -> MarketView:
        """The prices; raises where there are no data."""
