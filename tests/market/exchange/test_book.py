"""The order book matches orders by the rules of its module docstring."""

from __future__ import annotations

from itertools import count, product
from typing import Literal, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress.market import (
    Depth,
    IllegalStatusChange,
    InvalidOrder,
    Order,
    OrderBook,
    Side,
    Status,
    Trade,
)
from pytest_nos_stress.market.exchange.book import LEGAL_CHANGES

Instruction = tuple[Literal["buy", "sell", "cancel"], int, int]
Fill = tuple[int, int, int, int]

NUMBERS = count(1)


def order(side: Side, quantity: int, price: int, number: int | None = None) -> Order:
    return Order("someone", "X", side, quantity, price, number=next(NUMBERS) if number is None else number)


def book_with(*orders: Order) -> OrderBook:
    book = OrderBook("X")
    for submitted in orders:
        book.submit(submitted)
    return book


def test_an_order_without_a_match_rests_in_the_book() -> None:
    waiting = order("buy", 5, 100)
    book = book_with(waiting)
    assert (waiting.status, waiting.remaining, book.best_bid, book.best_ask) == ("open", 5, 100, None)


def test_a_trade_is_at_the_price_of_the_resting_order() -> None:
    waiting, arriving = order("sell", 5, 100), order("buy", 5, 110)
    book = book_with(waiting)
    [trade] = book.submit(arriving)
    assert (trade.price, trade.quantity, trade.maker, trade.taker) == (100, 5, waiting, arriving)
    assert (trade.buy, trade.sell) == (arriving, waiting)
    assert waiting.status == arriving.status == "filled"
    assert book.depth() == Depth((), ())


def test_the_rest_of_an_order_stays_in_the_book_at_its_limit() -> None:
    book = book_with(order("sell", 5, 100))
    arriving = order("buy", 8, 101)
    book.submit(arriving)
    assert (arriving.status, arriving.filled, arriving.remaining) == ("partially filled", 5, 3)
    assert book.depth() == Depth(((101, 3),), ())


def test_an_order_never_trades_beyond_its_limit() -> None:
    book = book_with(order("sell", 5, 100), order("sell", 5, 102))
    trades = book.submit(order("buy", 10, 101))
    assert [trade.price for trade in trades] == [100]
    assert (book.best_bid, book.best_ask) == (101, 102)


def test_the_better_price_trades_first_and_then_the_earlier_order() -> None:
    late, early, best = order("buy", 1, 99, 3), order("buy", 1, 99, 1), order("buy", 1, 100, 4)
    book = book_with(early, late, best)
    makers = [trade.maker for trade in book.submit(order("sell", 3, 1))]
    assert makers == [best, early, late]


def test_a_partially_filled_order_keeps_its_place() -> None:
    first, second = order("sell", 10, 100), order("sell", 10, 100)
    book = book_with(first, second)
    book.submit(order("buy", 4, 100))
    [trade] = book.submit(order("buy", 4, 100))
    assert trade.maker is first


def test_orders_of_one_account_may_trade_with_each_other() -> None:
    book = book_with(order("sell", 1, 100))
    [trade] = book.submit(order("buy", 1, 100))
    assert trade.buy.account == trade.sell.account


def test_cancelling_removes_only_that_order() -> None:
    first, second = order("buy", 5, 100), order("buy", 7, 100)
    book = book_with(first, second)
    book.cancel(first)
    assert (first.status, first.remaining) == ("cancelled", 5)
    assert book.depth() == Depth(((100, 7),), ())


def test_an_order_that_is_not_in_the_book_cannot_be_cancelled() -> None:
    waiting, arriving = order("buy", 5, 100), order("sell", 5, 100)
    book = book_with(waiting, arriving)
    for ended in (waiting, arriving, order("buy", 1, 1)):
        with pytest.raises(IllegalStatusChange, match="is not in the book of X"):
            book.cancel(ended)


def test_depth_lists_the_best_prices_first_with_the_quantity_at_each() -> None:
    book = book_with(*(order(side, 2, price) for side, price in DEEP for _ in range(2)))
    assert book.depth(2) == Depth(((99, 4), (98, 4)), ((101, 4), (102, 4)))
    assert len(book.depth(10).bids) == 3


DEEP: list[tuple[Side, int]] = [
    ("buy", 97),
    ("buy", 99),
    ("buy", 98),
    ("sell", 103),
    ("sell", 101),
    ("sell", 102),
]


def test_trades_are_numbered_from_one_without_gaps() -> None:
    book = book_with(*(order("sell", 1, 100) for _ in range(3)))
    trades = [*book.submit(order("buy", 2, 100)), *book.submit(order("buy", 1, 100))]
    assert [trade.sequence for trade in trades] == [1, 2, 3]


@pytest.mark.parametrize(("before", "after"), list(product(LEGAL_CHANGES, repeat=2)))
def test_only_legal_status_changes_happen(before: Status, after: Status) -> None:
    buy = order("buy", 5, 100)
    buy.status = before
    if after in LEGAL_CHANGES[before]:
        buy.change_to(after)
        assert buy.status == after
    else:
        with pytest.raises(IllegalStatusChange, match=f"cannot become {after}"):
            buy.change_to(after)


@pytest.mark.parametrize("ended", ["filled", "cancelled", "rejected"])
def test_an_ended_order_never_changes(ended: Status) -> None:
    assert not LEGAL_CHANGES[ended]


@pytest.mark.parametrize("quantity", [0, -1, 6])
def test_an_order_never_trades_more_than_remains(quantity: int) -> None:
    buy = order("buy", 5, 100)
    with pytest.raises(IllegalStatusChange, match=f"cannot trade {quantity} more"):
        buy.fill(quantity)
    assert (buy.filled, buy.status) == (0, "open")


@pytest.mark.parametrize(
    ("side", "quantity", "price", "message"),
    [
        ("hold", 1, 1, "side must be 'buy' or 'sell', not 'hold'"),
        ("buy", 0, 1, "quantity must be a whole number of units, at least 1, not 0"),
        ("buy", 1.5, 1, "at least 1, not 1.5"),
        ("sell", 1, 0, "limit price must be a whole number of ticks, at least 1, not 0"),
        ("sell", 1, "9", "at least 1, not '9'"),
    ],
)
def test_an_invalid_order_is_refused(side: Side, quantity: int, price: int, message: str) -> None:
    with pytest.raises(InvalidOrder, match=message):
        order(side, quantity, price)


def test_two_resting_orders_cannot_have_the_same_number() -> None:
    book = book_with(order("buy", 1, 100, number=5))
    with pytest.raises(IllegalStatusChange, match="duplicate order number 5"):
        book.submit(order("buy", 1, 100, number=5))


def test_problems_are_found_when_a_level_miscounts() -> None:
    book = book_with(order("buy", 5, 100))
    book._bids._levels[100].quantity = 6
    assert book.problems() == ["the book of X: the level at 100 records 6 units, but its orders have 5"]


def test_problems_are_found_when_the_book_is_crossed() -> None:
    book = book_with(order("buy", 5, 100))
    book._asks.add(order("sell", 5, 99))
    assert book.problems() == ["the book of X is crossed: best bid 100, best ask 99"]


def test_problems_are_found_when_an_order_is_in_the_wrong_level() -> None:
    waiting = order("buy", 5, 100)
    book = book_with(waiting)
    book._bids._levels[90] = book._bids._levels.pop(100)
    waiting.status = "cancelled"
    problems = " / ".join(book.problems())
    assert "its sorted prices [100] differ from those of its levels [90]" in problems
    assert "is in the level at 90" in problems
    assert "is in the book, but is not open" in problems


def test_problems_are_found_when_the_queue_is_out_of_order() -> None:
    book = book_with(order("buy", 5, 100, number=9), order("buy", 5, 100, number=8))
    assert book.problems() == ["the book of X: the level at 100 is not first come, first served: [9, 8]"]


class RestingOrder(NamedTuple):
    number: int
    side: Side
    price: int
    remaining: int


class NaiveBook:
    """The rules of matching in their simplest form: one list of orders."""

    def __init__(self) -> None:
        self.waiting: list[RestingOrder] = []

    def submit(self, number: int, side: Side, quantity: int, price: int) -> list[Fill]:
        """Match an order. A fill is the maker's number, the taker's number, the price and the quantity."""
        fills: list[Fill] = []
        while quantity:
            makers = [
                maker for maker in self.waiting if maker.side != side and self._meets(side, price, maker.price)
            ]
            if not makers:
                self.waiting.append(RestingOrder(number, side, price, quantity))
                break
            sign = 1 if side == "buy" else -1
            best = min(makers, key=lambda maker: (sign * maker.price, maker.number))
            traded = min(quantity, best.remaining)
            quantity -= traded
            index = self.waiting.index(best)
            left = best._replace(remaining=best.remaining - traded)
            self.waiting[index : index + 1] = [left] if left.remaining else []
            fills.append((best.number, number, best.price, traded))
        return fills

    def cancel(self, number: int) -> None:
        self.waiting = [waiting for waiting in self.waiting if waiting.number != number]

    def in_order(self) -> list[RestingOrder]:
        """Return the resting orders in the order in which they trade: bids, highest first; asks, lowest first."""
        bids = [waiting for waiting in self.waiting if waiting.side == "buy"]
        asks = [waiting for waiting in self.waiting if waiting.side == "sell"]
        bids.sort(key=lambda bid: (-bid.price, bid.number))
        asks.sort(key=lambda ask: (ask.price, ask.number))
        return bids + asks

    def depth(self) -> Depth:
        return Depth(self._levels("buy"), self._levels("sell"))

    def _levels(self, side: Side) -> tuple[tuple[int, int], ...]:
        levels: dict[int, int] = {}
        for waiting in self.in_order():
            if waiting.side == side:
                levels[waiting.price] = levels.get(waiting.price, 0) + waiting.remaining
        return tuple(levels.items())

    @staticmethod
    def _meets(side: Side, limit: int, price: int) -> bool:
        return price <= limit if side == "buy" else price >= limit


def test_a_subclass_can_override_execute() -> None:
    class Tape(OrderBook):
        def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
            seen.append((maker.number, taker.number, quantity))
            return super().execute(maker, taker, quantity)

    seen: list[tuple[int, int, int]] = []
    book = Tape("X")
    for submitted in (order("sell", 5, 100, 1), order("sell", 5, 101, 2), order("buy", 7, 101, 3)):
        book.submit(submitted)
    assert seen == [(1, 3, 5), (2, 3, 2)]


INSTRUCTIONS = st.lists(
    st.tuples(st.sampled_from(["buy", "buy", "sell", "sell", "cancel"]), st.integers(1, 9), st.integers(95, 105)),
    max_size=60,
)


@settings(deadline=None, max_examples=300)
@given(INSTRUCTIONS)
def test_the_book_matches_as_the_naive_book_does(instructions: list[Instruction]) -> None:
    book, naive = OrderBook("X"), NaiveBook()
    submitted: list[Order] = []
    for number, (kind, quantity, price) in enumerate(instructions, 1):
        if kind == "cancel":
            waiting = [earlier for earlier in submitted if earlier.is_open]
            if waiting:
                chosen = waiting[price % len(waiting)]
                book.cancel(chosen)
                naive.cancel(chosen.number)
        else:
            arriving = order(kind, quantity, price, number)
            submitted.append(arriving)
            trades = book.submit(arriving)
            fills = [(trade.maker.number, trade.taker.number, trade.price, trade.quantity) for trade in trades]
            assert fills == naive.submit(number, kind, quantity, price)
        in_book = [(order.number, order.side, order.price, order.remaining) for order in book.orders()]
        assert in_book == naive.in_order()
        assert book.depth(100) == naive.depth()
        assert book.problems() == []
    assert all(order.filled <= order.quantity for order in submitted)
