"""The market maker, "the house": the account that always trades, so that agents never wait for each other.

The house keeps one bid and one ask in each book, at the prices that its caller sets. A quote that is still
correct keeps its place in the queue. A quote at another price, or with too few units left, is replaced. A new
quote trades with the agents' orders that it matches.

Not thread-safe: call it with the exchange's lock held.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Final

from .book import Order, Side
from .exchange import Exchange

MARKET_MAKER_ACCOUNT: Final = "(house)"

_QUOTE_SIZE = 1_000
# More than any run can use up. Python's whole numbers have no limit, and the house's holdings have no meaning.
_CASH = 10**24
_UNITS = 10**18


class MarketMaker:
    """A market maker on `exchange`. Its account is `MARKET_MAKER_ACCOUNT`."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._numbers = count(1)
        self._quotes: dict[str, dict[Side, Order]] = {}
        exchange.open_account(MARKET_MAKER_ACCOUNT, cash=_CASH)

    def make_market(self, symbol: str, bid: int, ask: int, size: int) -> None:
        """Quote `bid` and `ask` (ticks) for at least `size` units each."""
        quotes = self._quotes.get(symbol) or self._list_symbol(symbol)
        bid_is_current, ask_is_current = (
            _is_current(quotes.get("buy"), bid, size),
            _is_current(quotes.get("sell"), ask, size),
        )
        if bid_is_current and ask_is_current:
            return
        # Cancel both old quotes before the first new one, or the house trades with itself when prices move far.
        if not bid_is_current:
            self._cancel(quotes.get("buy"))
        if not ask_is_current:
            self._cancel(quotes.get("sell"))
        if not bid_is_current:
            quotes["buy"] = self._place(symbol, "buy", bid, size)
        if not ask_is_current:
            quotes["sell"] = self._place(symbol, "sell", ask, size)

    def problems(self) -> Iterator[str]:
        """Yield a sentence for each difference between the house's quotes and its open orders."""
        quotes = {order for sides in self._quotes.values() for order in sides.values() if order.is_open}
        waiting = set(self._exchange.open_orders(MARKET_MAKER_ACCOUNT))
        for order in sorted(waiting - quotes, key=_order_number):
            yield f"the house does not know its open order {order}"
        for order in sorted(quotes - waiting, key=_order_number):
            yield f"the house's quote is not an open order: {order}"

    def _list_symbol(self, symbol: str) -> dict[Side, Order]:
        self._exchange.list_symbol(symbol)
        self._exchange.deposit(MARKET_MAKER_ACCOUNT, positions={symbol: _UNITS})
        return self._quotes.setdefault(symbol, {})

    def _place(self, symbol: str, side: Side, price: int, size: int) -> Order:
        # The loop ends: a round that leaves too few units has used up agents' orders at this price.
        while True:
            quantity = max(size, _QUOTE_SIZE)
            order = self._exchange.submit(
                MARKET_MAKER_ACCOUNT, symbol, side, quantity, price, str(next(self._numbers))
            )
            if order.remaining >= size:
                return order
            self._cancel(order)

    def _cancel(self, order: Order | None) -> None:
        if order is not None and order.is_open:
            self._exchange.cancel(MARKET_MAKER_ACCOUNT, order.client_id)


def _is_current(order: Order | None, price: int, size: int) -> bool:
    return order is not None and order.price == price and order.quantity - order.filled >= size


def _order_number(order: Order) -> int:
    return order.number
