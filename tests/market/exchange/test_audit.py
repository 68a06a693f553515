"""The audit finds every violation in an exchange, and nothing in a correct exchange."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from pytest_nos_stress.market import Exchange, Order, OrderBook, Side, Trade
from pytest_nos_stress.market.exchange.exchange import FEE_ACCOUNT


def exchange_of_two(book: type[OrderBook] = OrderBook, **settings: int) -> Exchange:
    """Ann and Bob, with 10,000 ticks and 100 X each."""
    exchange = Exchange(["X", "Y"], book=book, **settings)
    for name in ("Ann", "Bob"):
        exchange.open_account(name, cash=10_000, positions={"X": 100})
    return exchange


def steal_cash(exchange: Exchange) -> None:
    exchange._accounts["Ann"].cash -= 1


def lose_units(exchange: Exchange) -> None:
    exchange._accounts["Ann"].positions["X"] -= 1


def move_cash(exchange: Exchange) -> None:
    exchange._accounts["Ann"].cash -= 1
    exchange._accounts["Bob"].cash += 1


def move_units(exchange: Exchange) -> None:
    exchange._accounts["Ann"].positions["X"] -= 1
    exchange._accounts["Bob"].positions["X"] += 1


def keep_fees(exchange: Exchange) -> None:
    exchange._fees.cash += 1


def forget_to_release_cash(exchange: Exchange) -> None:
    exchange._accounts["Bob"].reserved_cash += 5


def forget_to_release_units(exchange: Exchange) -> None:
    exchange._accounts["Bob"].reserved_positions["X"] = 5


def overdraw(exchange: Exchange) -> None:
    exchange._accounts["Bob"].cash = 100


def sell_short(exchange: Exchange) -> None:
    exchange._accounts["Ann"].positions["X"] = 10


def count_a_lost_order(exchange: Exchange) -> None:
    exchange._submitted_quantity += 3


def lose_a_trade_number(exchange: Exchange) -> None:
    exchange._journal[-1] = exchange._journal[-1]._replace(sequence=7)


def lose_an_accepted_order(exchange: Exchange) -> None:
    exchange._orders -= 1


def give_two_orders_the_same_number(exchange: Exchange) -> None:
    exchange._accounts["Bob"].orders["b1"].number = 1


def overfill(exchange: Exchange) -> None:
    exchange._accounts["Bob"].orders["b1"].filled = 99


def set_a_status_too_early(exchange: Exchange) -> None:
    exchange._accounts["Bob"].orders["b1"].status = "open"


def forget_an_open_order(exchange: Exchange) -> None:
    del exchange._accounts["Bob"].orders["b2"]


def drop_an_order_from_the_book(exchange: Exchange) -> None:
    exchange._books["X"]._bids.remove(exchange._accounts["Bob"].orders["b2"])


def cross_the_book(exchange: Exchange) -> None:
    asks = exchange._books["X"]._asks
    order = next(asks.orders())
    asks.remove(order)
    order.price = 30
    asks.add(order)


def mix_up_client_ids(exchange: Exchange) -> None:
    orders = exchange._accounts["Bob"].orders
    orders["other"] = orders.pop("b1")


@pytest.mark.parametrize(
    ("corrupt", "sentence"),
    [
        (steal_cash, "cash is not conserved: 20000 ticks were deposited, but the accounts hold 19999"),
        (lose_units, "X is not conserved: 200 units were deposited, but the accounts hold 199"),
        (move_cash, "'Bob' holds 9501 ticks, but its deposits and trades add up to 9500"),
        (move_units, "'Bob' holds 111 X, but its deposits and trades add up to 110"),
        (keep_fees, "the fee account holds 1 ticks, but 0 are due"),
        (forget_to_release_cash, "'Bob' has 205 ticks reserved, but its open orders need 200"),
        (forget_to_release_units, "'Bob' has 5 X reserved, but its open orders need 0"),
        (overdraw, "'Bob' has -100 ticks available, which is negative"),
        (sell_short, "'Ann' has -10 X available, which is negative"),
        (
            count_a_lost_order,
            "submitted quantity 48 is not 2 x 10 traded + 0 cancelled + 25 resting = 45",
        ),
        (lose_a_trade_number, "trade numbers have a gap: got 7, expected 1"),
        (lose_an_accepted_order, "an order has the number 3, but 2 were accepted"),
        (give_two_orders_the_same_number, "2 orders have the number 1"),
        (overfill, "has a filled quantity below 0 or above its quantity"),
        (set_a_status_too_early, "has a status that contradicts its filled quantity"),
        (forget_an_open_order, "is in the book, but its account does not know it"),
        (drop_an_order_from_the_book, "is open, but is not in any book"),
        (cross_the_book, "the book of X is crossed: best bid 40, best ask 30"),
        (mix_up_client_ids, "is stored under the client id 'other' of 'Bob'"),
    ],
)
def test_the_audit_finds(corrupt: Callable[[Exchange], None], sentence: str) -> None:
    exchange = exchange_of_two()
    exchange.submit("Ann", "X", "sell", 30, 50, "a1")
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    exchange.submit("Bob", "X", "buy", 5, 40, "b2")
    assert exchange.audit() == []
    corrupt(exchange)
    problems = exchange.audit()
    assert any(sentence in problem for problem in problems), problems
    assert all("\n" not in problem for problem in problems)


def end_an_order_twice(exchange: Exchange) -> None:
    bob = exchange._accounts["Bob"]
    bob.record_end(bob.orders["b1"])


def reopen_an_order(exchange: Exchange) -> None:
    order = exchange._accounts["Bob"].orders["b1"]
    order.status, order.quantity = "partially filled", 12


def submit_two_orders_with_one_client_id(exchange: Exchange) -> None:
    exchange._books["X"].submit(Order("Bob", "X", "buy", 5, 30, "b2", number=3))


def lose_a_trade(exchange: Exchange) -> None:
    exchange._journal.pop()


def count_more_units_than_were_traded(exchange: Exchange) -> None:
    exchange._traded_quantity += 1


def lose_the_end_of_an_order(exchange: Exchange) -> None:
    exchange._accounts["Bob"].ended_orders -= 1


def fill_without_a_trade(exchange: Exchange) -> None:
    exchange._accounts["Bob"].orders["b2"].fill(2)


def let_a_later_order_trade_first(exchange: Exchange) -> None:
    exchange._accounts["Ann"].orders["a1"].number = 0
    trade = exchange._journal[0]
    exchange._journal[0] = trade._replace(maker=Order("Ann", "X", "sell", 30, 50, "a0", number=1))


@pytest.mark.parametrize(
    ("corrupt", "sentence"),
    [
        (end_an_order_twice, "order 'b1' of 'Bob' ended 2 times"),
        (reopen_an_order, "changed after its end"),
        (submit_two_orders_with_one_client_id, "duplicate client id: 2 open orders are 'b2' of 'Bob'"),
        (lose_a_trade, "1 trades were counted, but the journal recorded 0"),
        (
            count_more_units_than_were_traded,
            "11 units were counted as traded, but the journal's trades add up to 10",
        ),
        (lose_the_end_of_an_order, "3 orders were accepted, but 0 ended and 2 are open"),
        (fill_without_a_trade, "has 2 filled, but its trades add up to 0"),
        (let_a_later_order_trade_first, "was not first in, first out: the later order 1 has traded"),
    ],
)
def test_the_audit_also_finds(corrupt: Callable[[Exchange], None], sentence: str) -> None:
    exchange = exchange_of_two()
    exchange.submit("Ann", "X", "sell", 30, 50, "a1")
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    exchange.submit("Bob", "X", "buy", 5, 40, "b2")
    corrupt(exchange)
    problems = exchange.audit()
    assert any(sentence in problem for problem in problems), problems


class TakersPrice(OrderBook):
    """A book that trades at the taker's price."""

    def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
        return super().execute(maker, taker, quantity)._replace(price=taker.price)


class AnyPrice(OrderBook):
    """A book that buys at the maker's price, even beyond the taker's limit."""

    def submit(self, order: Order) -> list[Trade]:
        if order.side == "sell":
            return super().submit(order)
        limit, order.price = order.price, 10**6
        trades = super().submit(order)
        order.price = limit
        return trades


class LastInFirstOut(OrderBook):
    """A book in which the latest order trades first."""

    def submit(self, order: Order) -> list[Trade]:
        for half in (self._bids, self._asks):
            for level in half._levels.values():
                newest = max(level.orders)
                level.orders.move_to_end(newest, last=False)
        return super().submit(order)


class WorstPriceFirst(OrderBook):
    """A book that buys at the worst price first."""

    def submit(self, order: Order) -> list[Trade]:
        if order.side == "sell":
            return super().submit(order)
        trades = []
        for maker in reversed(list(self._asks.orders())):
            quantity = min(order.remaining, maker.remaining)
            trades.append(self.execute(maker, order, quantity))
            self._asks.reduce(maker, quantity)
        return trades


class ForgetsTrades(OrderBook):
    """A book that does not report the last trade."""

    def submit(self, order: Order) -> list[Trade]:
        return super().submit(order)[:-1]


class ReportsTwice(OrderBook):
    """A book that reports each trade twice."""

    def submit(self, order: Order) -> list[Trade]:
        return [trade for trade in super().submit(order) for _ in range(2)]


class NeverMatches(OrderBook):
    """A book that adds every order and matches none."""

    def submit(self, order: Order) -> list[Trade]:
        self._half_of(order).add(order)
        return []


@pytest.mark.parametrize(
    ("book", "sentence"),
    [
        (TakersPrice, "trade 1 was at 60, not at the maker's price of 50"),
        (AnyPrice, "trade 3 was at 70, worse than the taker's limit of 60"),
        (LastInFirstOut, "trade 2 was not first in, first out: order 2 traded at 50 before order 1"),
        (WorstPriceFirst, "trade 2 was at 50, a better price than the order's earlier trade at 55"),
        (ForgetsTrades, "is not 2 x"),
        (ReportsTwice, "trade numbers have a gap: got 1, expected 2"),
        (NeverMatches, "the book of X was crossed after order 4 was open: best bid 60, best ask 50"),
    ],
)
@pytest.mark.parametrize("journal", [1000, 0])
def test_the_audit_finds_a_book_that_breaks_the_rules(book: type[OrderBook], sentence: str, journal: int) -> None:
    exchange = exchange_of_two(book, journal=journal)
    exchange.submit("Ann", "X", "sell", 10, 50, "a1")
    exchange.submit("Ann", "X", "sell", 10, 50, "a2")
    exchange.submit("Ann", "X", "sell", 10, 55 if book is WorstPriceFirst else 70, "a3")
    exchange.submit("Bob", "X", "buy", 30, 60, "b1")
    problems = exchange.audit()
    assert any(sentence in problem for problem in problems), problems


def test_a_book_that_was_crossed_for_a_moment_is_recorded() -> None:
    exchange = exchange_of_two(NeverMatches)
    exchange.submit("Ann", "X", "sell", 10, 50, "a1")
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    exchange.cancel("Bob", "b1")
    assert exchange.best("X") == (None, 50)
    assert exchange.audit() == [
        "the book of X was crossed after order 2 was open: best bid 60, best ask 50",
    ]


def test_the_audit_stays_short_when_every_order_is_a_violation() -> None:
    exchange = exchange_of_two(NeverMatches)
    exchange.submit("Ann", "X", "sell", 1, 50, "a1")
    for number in range(1, 101):
        exchange.submit("Bob", "X", "buy", 1, 60, f"b{number}")
    problems = exchange.audit()
    assert len(problems) < 30
    assert problems[-1] == "and 80 more violations"


def trade_many_times(exchange: Exchange, times: int) -> None:
    for number in range(times):
        exchange.submit("Ann", "X", "sell", 1, 50, f"a{number}")
        exchange.submit("Bob", "X", "buy", 1, 50, f"b{number}")
        exchange.submit("Bob", "X", "sell", 1, 50, f"c{number}")
        exchange.submit("Ann", "X", "buy", 1, 50, f"d{number}")


@pytest.mark.parametrize("journal", [0, 7, 1000])
@pytest.mark.parametrize("corrupt", [move_cash, move_units, keep_fees, count_more_units_than_were_traded])
def test_the_audit_finds_violations_after_any_number_of_trades(
    journal: int, corrupt: Callable[[Exchange], None]
) -> None:
    exchange = exchange_of_two(journal=journal, fee=1)
    trade_many_times(exchange, 700)
    assert exchange.counts.trades == 1_400
    assert len(exchange.recent_trades()) == journal
    assert exchange.audit() == []
    corrupt(exchange)
    assert exchange.audit() != []


def test_trades_that_left_the_journal_are_checked() -> None:
    class TakersPriceOnce(OrderBook):
        def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
            trade = super().execute(maker, taker, quantity)
            return trade._replace(price=taker.price) if maker.number == 1 else trade

    exchange = exchange_of_two(TakersPriceOnce, journal=0)
    exchange.submit("Ann", "X", "sell", 1, 50, "a")
    exchange.submit("Bob", "X", "buy", 1, 60, "b")
    trade_many_times(exchange, 300)
    assert any("trade 1 was at 60, not at the maker's price of 50" in problem for problem in exchange.audit())


@pytest.mark.parametrize("seed", range(5))
def test_a_correct_exchange_passes_the_audit_at_every_moment(seed: int) -> None:
    random, exchange = Random(seed), exchange_of_two(fee=seed % 2, journal=seed, remember=seed)
    exchange.deposit("Ann", cash=10**6, positions={"X": 10_000})
    exchange.deposit("Bob", cash=10**6, positions={"X": 10_000})
    for number in range(600):
        name = random.choice(["Ann", "Bob"])
        side: Side = "buy" if random.random() < 0.5 else "sell"
        exchange.submit(name, "X", side, random.randint(1, 9), random.randint(48, 52), str(number))
        waiting = exchange.open_orders(name)
        if len(waiting) > 5:
            exchange.cancel(name, random.choice(waiting).client_id)
        if number % 10 == 0:
            assert exchange.audit() == []
    assert exchange.audit() == []
    assert exchange.counts.trades > 250
    assert exchange.balance(FEE_ACCOUNT).cash == (seed % 2) * 2 * exchange.counts.traded_quantity
