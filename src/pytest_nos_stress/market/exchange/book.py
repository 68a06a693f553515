"""A limit order book: it matches buyers and sellers of one symbol.

Guaranteed: the better price trades first and, at one price, the order that came first. A trade is at the
price of the order that was waiting (the maker's), so never worse than the limit of the one that came (the
taker's). After every call the best bid is below the best ask. An order changes status only along
`LEGAL_CHANGES`, and never again once it has ended.

Prices are whole ticks and quantities whole units, so nothing is ever rounded. Orders of one account may trade
with each other: forbidding it is a rule about people, not about matching, and allowing it conserves
everything.

Not thread-safe: whoever owns a book calls it from one thread at a time (`Exchange` does so under its lock).
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
    """An order, as it stands now: `filled` and `status` change as it trades.

    `side` is `"buy"` or `"sell"`; `quantity` and `filled` are in units; `price` is the limit, in ticks;
    `number` is its place among all orders that the exchange accepted, 0 before that. Raises `InvalidOrder`
    for what no order can be.
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
        """Units not traded so far; those of a cancelled order will never be."""
        return self.quantity - self.filled

    @property
    def is_open(self) -> bool:
        """Whether it can still trade."""
        return self.status in {"open", "partially filled"}

    def fill(self, quantity: int) -> None:
        """Note a trade of `quantity` units. Raises `IllegalStatusChange` for more than remains."""
        filled = self.filled + quantity
        if quantity < 1 or filled > self.quantity:
            raise IllegalStatusChange(f"{self} cannot trade {quantity} more")
        self.change_to("filled" if filled == self.quantity else "partially filled")
        self.filled = filled

    def change_to(self, status: Status) -> None:
        """Take on a status. Raises `IllegalStatusChange` where `LEGAL_CHANGES` has no such step."""
        if status not in LEGAL_CHANGES[self.status]:
            raise IllegalStatusChange(f"{self} cannot become {status}")
        self.status = status

    def __repr__(self) -> str:
        return (
            f"<order {self.number} {self.client_id!r} of {self.account!r}: {self.side} {self.quantity} "
            f"{self.symbol} at {self.price}, {self.status}, {self.filled} filled>"
        )


class Trade(NamedTuple):
    """`quantity` units changed hands at `price` ticks: the waiting `maker` met the arriving `taker`.

    `sequence` counts trades from 1 without gaps.
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
    """Price levels of a book, best first: pairs of price in ticks and quantity in units."""

    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]


class OrderBook:
    """The open orders of one symbol. `trade_numbers` gives each trade its number; by default 1, 2, 3, …"""

    def __init__(self, symbol: str, trade_numbers: Iterator[int] | None = None) -> None:
        self.symbol = symbol
        self._trade_numbers = count(1) if trade_numbers is None else trade_numbers
        self._bids = _HalfBook(sign=1)
        self._asks = _HalfBook(sign=-1)

    def submit(self, order: Order) -> list[Trade]:
        """Trade the order as far as its limit allows, let the rest wait, and return the trades made."""
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
        """Fill two orders that have met. A subclass may do more here: `submit` calls it for every trade."""
        taker.fill(quantity)
        maker.fill(quantity)
        return Trade(next(self._trade_numbers), self.symbol, maker.price, quantity, maker, taker)

    def cancel(self, order: Order) -> None:
        """Take an order out of the book. Raises `IllegalStatusChange` for one that does not wait in it."""
        half = self._half_of(order)
        if order not in half:
            raise IllegalStatusChange(f"{order} is not in the book of {self.symbol}")
        order.change_to("cancelled")
        half.remove(order)

    @property
    def best_bid(self) -> int | None:
        """The highest price that somebody would pay, in ticks; None where nobody buys."""
        return self._bids.best()

    @property
    def best_ask(self) -> int | None:
        """The lowest price that somebody would take, in ticks; None where nobody sells."""
        return self._asks.best()

    @property
    def is_crossed(self) -> bool:
        """Whether somebody would pay what somebody else would take, which no book allows."""
        bid, ask = self._bids.best(), self._asks.best()
        return bid is not None and ask is not None and bid >= ask

    def depth(self, levels: int = 5) -> Depth:
        """The best `levels` prices of both sides and the quantity waiting at each."""
        return Depth(self._bids.top(levels), self._asks.top(levels))

    def orders(self) -> Iterator[Order]:
        """All waiting orders, each side in the order in which they would trade, bids first."""
        yield from self._bids.orders()
        yield from self._asks.orders()

    def problems(self) -> list[str]:
        """One sentence for everything that is wrong with the book; empty when all is well."""
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
    """The orders that wait at one price, first come first, and their remaining quantity in all."""

    __slots__ = ("orders", "quantity")

    def __init__(self) -> None:
        # An OrderedDict takes from the front and from the middle at the same low cost; a dict slows down as
        # its front empties.
        self.orders: OrderedDict[int, Order] = OrderedDict()
        self.quantity = 0


class _HalfBook:
    """One side of a book: its keys are prices times `sign`, so that on both sides the best is the last."""

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
        """The order that is next to trade, where its price is as good as `limit` for the other side."""
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
            raise IllegalStatusChange(f"{order} has the number of an order that waits already")
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
            yield f"its sorted prices {self._keys} are not those of its levels {sorted(self._levels)}"
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
        yield f"an empty level at {price}"
    if level.quantity != waiting:
        yield f"the level at {price} says {level.quantity} units, its orders have {waiting}"
    numbers = [order.number for order in level.orders.values()]
    if numbers != sorted(numbers):
        yield f"the level at {price} is not first come, first served: {numbers}"
    for order in level.orders.values():
        if order.price != price:
            yield f"{order} waits at {price}"
        if not order.is_open:
            yield f"{order} still waits"
