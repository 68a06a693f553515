"""Exceptions of markets and exchanges.

An `OrderRefused` is an answer: the exchange understood the request, refused it, and changed nothing. Every other
exception is a mistake of the caller or of the exchange. Every message is one line and contains the figures.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from pytest_nos_stress.errors import MissingDataError

_MAX_NAMES = 10


class RefusedOrder(Protocol):
    """The part of an `Order` that an error shows."""

    @property
    def account(self) -> str:
        """The account that sent the order."""

    @property
    def symbol(self) -> str:
        """The symbol to trade."""

    @property
    def side(self) -> str:
        """`"buy"` or `"sell"`."""

    @property
    def quantity(self) -> int:
        """Units to trade."""

    @property
    def price(self) -> int:
        """The limit price in ticks."""

    @property
    def client_id(self) -> str:
        """The id that the account gave the order."""

    @property
    def status(self) -> str:
        """`"rejected"`."""


class UnknownSymbol(LookupError):
    """The market has no symbol of this name."""


class AccountExists(ValueError):
    """An account of this name already exists."""


class IllegalStatusChange(RuntimeError):
    """An order was about to change in a way that is not allowed: a mistake in the order book."""


class OrderRefused(ValueError):
    """The exchange refused a request and changed nothing.

    `order` is the refused order, with the status `rejected`. It is None if the request was refused before an order
    was made of it.
    """

    order: RefusedOrder | None = None


class InvalidOrder(OrderRefused):
    """The order has an invalid side, quantity or price."""


class InsufficientFunds(OrderRefused):
    """The account has less cash available than the order can cost."""


class InsufficientPosition(OrderRefused):
    """The account has less of the symbol available than the order would sell."""


class UnknownAccount(OrderRefused):
    """No account of this name exists."""


class UnknownOrder(OrderRefused):
    """The account has no order with this client id, or the order ended so long ago that it is forgotten."""


class SymbolNotListed(UnknownSymbol, OrderRefused):
    """The exchange does not trade this symbol."""


class BadQuote(OrderRefused, MissingDataError):
    """A quote that nobody can trade at: a price is not a positive number, or the bid is not below the ask.

    A `MissingDataError` too, so that an operation with bad market data has the outcome `missing_data`.
    """


def name_list(names: Iterable[str], total: int) -> str:
    """Return the first ten of `total` names as text, for the end of a message."""
    first = ", ".join(islice(names, _MAX_NAMES)) or "none"
    return first if total <= _MAX_NAMES else f"{first} and {total - _MAX_NAMES} more"
