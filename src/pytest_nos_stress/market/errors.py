"""What markets and exchanges raise, so that a caller can tell an answer from a mistake.

An `OrderRefused` is an answer: the exchange understood and said no, and nothing has changed. All others are
mistakes of the caller, or of the exchange itself. Every message is one line and says the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING

from pytest_nos_stress.errors import MissingDataError

if TYPE_CHECKING:
    from pytest_nos_stress.market.exchange.book import Order

_SHOWN = 10


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

    order: Order | None = None


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


def what_there_is(names: Iterable[str], total: int) -> str:
    """The first few of `total` names as a line of text, for the end of a message."""
    shown = ", ".join(islice(names, _SHOWN)) or "none"
    return shown if total <= _SHOWN else f"{shown} and {total - _SHOWN} more"
