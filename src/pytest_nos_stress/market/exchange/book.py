"""A limit order book, which matches the buy and sell orders of one symbol.

Guarantees: the better price trades first; at the same price, the earlier order trades first. A trade is at the
price of the resting order (the maker), so it is never worse than the limit of the arriving order (the taker).
After every call the best bid is below the best ask. An order changes its status only as `LEGAL_CHANGES` allows,
and never after it has ended.

Prices are whole ticks and quantities whole units, so nothing is rounded. Orders of the same account may trade
with each other: forbidding that is a rule of compliance, not of matching, and such trades conserve cash and
positions.

Not thread-safe: call a book from one thread at a time. `Exchange` does so under its lock.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterator
from itertools import count, islice
from typing import Final, Literal, NamedTuple

from pytest_nos_stress.market.errors import IllegalStatusChange, InvalidOrder

Side = Literal["buy", "sell"]
Status = Literal["open", "partially filled", "filled", "cancelled", "rejected"]

LEGAL_CHANGES: Final[dict[Status, frozenset[Status]]] = {
    "open": frozenset({"partially filled", "filled", "cancelled", "rejected"}),
    "partially filled": frozenset({"partially filled", "filled", "cancelled"}),
    "filled": frozenset(),
    "cancelled": frozenset(),
    "rejected": frozenset(),
}


class Order:
    """An order. `filled` and `status` change as it trades.

    `side`: `"buy"` or `"sell"`. `quantity` and `filled`: units. `price`: the limit, in ticks. `number`: the
    order's place among all orders that the exchange accepted, from 1; 0 until it is accepted. Raises
    `InvalidOrder` for an invalid side, quantity or price.
    """

    __slots__ = ("account", "client_id", "filled", "number", "price", "quantity", "side", "status", "symbol")

    def __init__(
        self,
        account: str,
        symbol: str,
        side: Side,
        quantity: int,
        price: int,
        client_id: str = "",
        number: int = 0,
    ) -> None:
        if side not in ("buy", "sell"):
            raise InvalidOrder(f"side must be 'buy' or 'sell', not {side!r}")
        if not isinstance(quantity, int) or quantity < 1:
            raise InvalidOrder(f"quantity must be a whole number of units, at least 1, not {quantity!r}")
        if not isinstance(price, int) or price < 1:
            raise InvalidOrder(f"limit price must be a whole number of ticks, at least 1, not {price!r}")
        self.account = account
        self.symbol = symbol
        self.side = side
        self.quantity = quantity
        self.price = price
        self.client_id = client_id
        self.number = number
        self.filled = 0
        self.status: Status = "open"

    @property
    def remaining(self) -> int:
        """Units that have not traded."""
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """True if the order can still trade."""
        return self.status in {"open", "partially filled"}

    def fill(self, quantity: int) -> None:
        """Record a trade of `quantity` units. Raises `IllegalStatusChange` if fewer units remain."""
        filled = self.filled + quantity
        if quantity < 1 or filled > self.quantity:
            raise IllegalStatusChange(f"{self} cannot trade {quantity} more units; {self.remaining} remain")
        self.change_to("filled" if filled == self.quantity else "partially filled")
        self.filled = filled

    def change_to(self, status: Status) -> None:
        """Set the status. Raises `IllegalStatusChange` if `LEGAL_CHANGES` does not allow the change."""
        if status not in LEGAL_CHANGES[self.status]:
            raise IllegalStatusChange(f"{self} cannot become {status}")
        self.status = status

    def __repr__(self) -> str:
        return (
            f"<order {self.number} {self.client_id!r} of {self.account!r}: {self.side} {self.quantity} "
            f"{self.symbol} at {self.price}, {self.status}, {self.filled} filled>"
        )


class Trade(NamedTuple):
    """A trade of `quantity` units at `price` ticks between the resting `maker` and the arriving `taker`.

    `sequence` numbers trades from 1 without gaps.
    """

    sequence: int
    symbol: str
    price: int
    quantity: int
    maker: Order
    taker: Order

    @property
    def buy(self) -> Order:
        """The order that bought."""
        return self.taker if self.taker.side == "buy" else self.maker

    @property
    def sell(self) -> Order:
        """The order that sold."""
        return self.maker if self.taker.side == "buy" else self.taker


class Depth(NamedTuple):
    """Price levels of a book, best first: pairs of price (ticks) and quantity (units)."""

    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class OrderBook:
    """The open orders of one symbol. `trade_numbers`: the numbers of its trades; by default 1, 2, 3, …"""

    def __init__(self, symbol: str, trade_numbers: Iterator[int] | None = None) -> None:
        self.symbol = symbol
        self._trade_numbers = count(1) if trade_numbers is None else trade_numbers
        self._bids = _HalfBook(sign=1)
        self._asks = _HalfBook(sign=-1)

    def submit(self, order: Order) -> list[Trade]:
        """Trade the order as far as its limit allows, add the rest to the book, and return the trades."""
        trades: list[Trade] = []
        opposite = self._asks if order.side == "buy" else self._bids
        while order.filled < order.quantity:
            maker = opposite.best_order_within(order.price)
            if maker is None:
                self._half_of(order).add(order)
                break
            quantity = min(order.quantity - order.filled, maker.quantity - maker.filled)
            trades.append(self.execute(maker, order, quantity))
            opposite.reduce(maker, quantity)
        return trades

    def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
        """Fill two matching orders and return their trade.

        `submit` calls it for every trade, so a subclass may override it.
        """
        taker.fill(quantity)
        maker.fill(quantity)
        return Trade(next(self._trade_numbers), self.symbol, maker.price, quantity, maker, taker)

    def cancel(self, order: Order) -> None:
        """Remove an order from the book. Raises `IllegalStatusChange` if it is not in the book."""
        half = self._half_of(order)
        if order not in half:
            raise IllegalStatusChange(f"{order} is not in the book of {self.symbol}")
        order.change_to("cancelled")
        half.remove(order)

    @property
    def best_bid(self) -> int | None:
        """The highest price of a buy order, in ticks; None without one."""
        return self._bids.best()

    @property
    def best_ask(self) -> int | None:
        """The lowest price of a sell order, in ticks; None without one."""
        return self._asks.best()

    @property
    def is_crossed(self) -> bool:
        """True if the best bid is not below the best ask, which must never happen."""
        bid, ask = self._bids.best(), self._asks.best()
        return bid is not None and ask is not None and bid >= ask

    def depth(self, levels: int = 5) -> Depth:
        """Return the best `levels` prices of both sides and the quantity resting at each."""
        return Depth(self._bids.top(levels), self._asks.top(levels))

    def orders(self) -> Iterator[Order]:
        """Yield all resting orders: bids, then asks, each side in the order in which it would trade."""
        yield from self._bids.orders()
        yield from self._asks.orders()

    def problems(self) -> list[str]:
        """Return one sentence per violation in the book, or an empty list."""
        problems = [
            f"the book of {self.symbol}: {problem}"
            for half in (self._bids, self._asks)
            for problem in half.problems()
        ]
        if self.is_crossed:
            problems.append(
                f"the book of {self.symbol} is crossed: best bid {self.best_bid}, best ask {self.best_ask}"
            )
        return problems

    def _half_of(self, order: Order) -> _HalfBook:
        return self._bids if order.side == "buy" else self._asks


class _Level:
    """The orders at one price, oldest first, and their total remaining quantity."""

    __slots__ = ("orders", "quantity")

    def __init__(self) -> None:
        # An OrderedDict removes from the front and from the middle at the same low cost. A dict slows down
        # as its front empties.
        self.orders: OrderedDict[int, Order] = OrderedDict()
        self.quantity = 0


class _HalfBook:
    """One side of a book. Its keys are prices times `sign`, so the best key is the last one on both sides."""

    __slots__ = ("_keys", "_levels", "_sign")

    def __init__(self, sign: Literal[1, -1]) -> None:
        self._sign = sign
        self._keys: list[int] = []
        self._levels: dict[int, _Level] = {}

    def __contains__(self, order: Order) -> bool:
        level = self._levels.get(order.price * self._sign)
        return level is not None and level.orders.get(order.number) is order

    def best(self) -> int | None:
        return self._keys[-1] * self._sign if self._keys else None

    def best_order_within(self, limit: int) -> Order | None:
        """Return the order that trades next, or None if its price is worse than `limit` for the taker."""
        if not self._keys or self._keys[-1] < limit * self._sign:
            return None
        return next(iter(self._levels[self._keys[-1]].orders.values()))

    def add(self, order: Order) -> None:
        key = order.price * self._sign
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = _Level()
            insort(self._keys, key)
        if order.number in level.orders:
            raise IllegalStatusChange(f"duplicate order number {order.number}: {order} cannot join the book")
        level.orders[order.number] = order
        level.quantity += order.remaining

    def reduce(self, order: Order, traded: int) -> None:
        if order.filled == order.quantity:
            self._remove(order, traded)
        else:
            self._levels[order.price * self._sign].quantity -= traded

    def remove(self, order: Order) -> None:
        self._remove(order, order.remaining)

    def top(self, levels: int) -> tuple[tuple[int, int], ...]:
        return tuple(
            (key * self._sign, self._levels[key].quantity) for key in islice(reversed(self._keys), levels)
        )

    def orders(self) -> Iterator[Order]:
        for key in reversed(self._keys):
            yield from self._levels[key].orders.values()

    def problems(self) -> Iterator[str]:
        if self._keys != sorted(self._levels):
            yield f"its sorted prices {self._keys} differ from those of its levels {sorted(self._levels)}"
        for key, level in self._levels.items():
            yield from _problems_of(level, key * self._sign)

    def _remove(self, order: Order, quantity: int) -> None:
        key = order.price * self._sign
        level = self._levels[key]
        del level.orders[order.number]
        level.quantity -= quantity
        if not level.orders:
            del self._levels[key]
            del self._keys[bisect_left(self._keys, key)]


def _problems_of(level: _Level, price: int) -> Iterator[str]:
    waiting = sum(order.remaining for order in level.orders.values())
    if not level.orders:
        yield f"the level at {price} is empty"
    if level.quantity != waiting:
        yield f"the level at {price} records {level.quantity} units, but its orders have {waiting}"
    numbers = [order.number for order in level.orders.values()]
    if numbers != sorted(numbers):
        yield f"the level at {price} is not first come, first served: {numbers}"
    for order in level.orders.values():
        if order.price != price:
            yield f"{order} is in the level at {price}"
        if not order.is_open:
            yield f"{order} is in the book, but is not open"
