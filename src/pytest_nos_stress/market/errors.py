"""What markets and exchanges raise, so that a caller can tell an answer from a mistake.

An `OrderRefused` is an answer: the exchange understood and said no, and nothing has changed. All others are
mistakes of the caller, or of the exchange itself. Every message is one line and says the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Protocol

from pytest_nos_stress.errors import MissingDataError

_MAX_NAMES = 10


class RefusedOrder(Protocol):
    """The request of a refused order, as far as an error tells it: an `Order`."""

    @property
    def account(self) -> str:
        """The account that sent it."""

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
        """The account's own id of the order."""

    @property
    def status(self) -> str:
        """`"rejected"`."""


class UnknownSymbol(LookupError):
    """There is no such symbol."""


class AccountExists(ValueError):
    """An account of this name has been opened already."""


class IllegalStatusChange(RuntimeError):
    """An order was to change in a way that orders never do: a mistake of whoever keeps the book."""


class OrderRefused(ValueError):
    """The exchange refused: nothing has changed.

    `order` is the refused order, with the status `rejected`, where the request got as far as being one.
    """

    order: RefusedOrder | None = None


class InvalidOrder(OrderRefused):
    """A side, quantity or price that no order can have."""


class InsufficientFunds(OrderRefused):
    """The account has less cash available than the order could cost."""


class InsufficientPosition(OrderRefused):
    """The account has less of the symbol available than the order would sell."""


class UnknownAccount(OrderRefused):
    """No account of this name has been opened."""


class UnknownOrder(OrderRefused):
    """The account has no order with this client id, or had one so long ago that it is forgotten."""


class SymbolNotListed(UnknownSymbol, OrderRefused):
    """The exchange does not trade this symbol."""


class BadQuote(OrderRefused, MissingDataError):
    """A quote to which nobody can trade: no number, not positive, or the bid not below the ask.

    As good as none, so that an operation which is handed broken data ends as planned.
    """


def name_list(names: Iterable[str], total: int) -> str:
    """Return the first few of `total` names as text, for the end of a message."""
    first = ", ".join(islice(names, _MAX_NAMES)) or "none"
    return first if total <= _MAX_NAMES else f"{first} and {total - _MAX_NAMES} more"
