"""The exchange keeps its guarantees to traders."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_nos_stress.market import (
    AccountExists,
    Depth,
    Exchange,
    InsufficientFunds,
    InsufficientPosition,
    InvalidOrder,
    Order,
    OrderBook,
    OrderRefused,
    Side,
    SymbolNotListed,
    Trade,
    UnknownAccount,
    UnknownOrder,
    UnknownSymbol,
)
from pytest_nos_stress.market.exchange.exchange import FEE_ACCOUNT
from pytest_nos_stress.market.lock import ExchangeLock


def exchange_of_two(**settings: Any) -> Exchange:
    """Return an exchange with the accounts Ann and Bob, with 10,000 ticks and 100 X each."""
    exchange = Exchange(["X", "Y"], **settings)
    for name in ("Ann", "Bob"):
        exchange.open_account(name, cash=10_000, positions={"X": 100})
    return exchange


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    """An exchange with Ann and Bob (10,000 ticks and 100 X each). Its audit must be empty after every test."""
    exchange = exchange_of_two()
    yield exchange
    assert exchange.audit() == []


def test_a_trade_moves_cash_one_way_and_units_the_other(exchange: Exchange) -> None:
    exchange.submit("Ann", "X", "sell", 10, 50, "a1")
    bought = exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    assert bought.status == "filled"
    assert exchange.balance("Ann") == (10_500, 0, {"X": 90}, {"X": 0})
    assert exchange.balance("Bob") == (9_500, 0, {"X": 110}, {})
    assert exchange.position("Bob", "X") == 110


def test_an_open_order_reserves_the_cash_or_units_that_it_can_need(exchange: Exchange) -> None:
    exchange.submit("Ann", "X", "sell", 30, 70, "a1")
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    assert exchange.balance("Ann").reserved_positions == {"X": 30}
    assert exchange.balance("Bob").reserved_cash == 600
    assert exchange.best("X") == (60, 70)
    assert exchange.depth("X") == Depth(((60, 10),), ((70, 30),))


def test_cancelling_releases_the_reservation(exchange: Exchange) -> None:
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    cancelled = exchange.cancel("Bob", "b1")
    assert (cancelled.status, cancelled.filled) == ("cancelled", 0)
    assert exchange.balance("Bob") == (10_000, 0, {"X": 100}, {})
    assert exchange.best("X") == (None, None)


def test_cancelling_a_partially_filled_order_keeps_its_trades(exchange: Exchange) -> None:
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    exchange.submit("Ann", "X", "sell", 4, 60, "a1")
    cancelled = exchange.cancel("Bob", "b1")
    assert (cancelled.status, cancelled.filled, cancelled.remaining) == ("cancelled", 4, 6)
    assert exchange.balance("Bob") == (9_760, 0, {"X": 104}, {})


def test_cancelling_an_ended_order_returns_it_unchanged(exchange: Exchange) -> None:
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    exchange.submit("Ann", "X", "sell", 10, 60, "a1")
    assert exchange.cancel("Bob", "b1").status == "filled"
    assert exchange.counts.cancellations == 0


def test_an_account_cannot_cancel_the_order_of_another(exchange: Exchange) -> None:
    exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    with pytest.raises(UnknownOrder, match="'Ann' has no order 'b1'"):
        exchange.cancel("Ann", "b1")


def test_a_retried_order_is_executed_once(exchange: Exchange) -> None:
    first = exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    assert exchange.submit("Bob", "X", "buy", 10, 60, "b1") is first
    exchange.submit("Ann", "X", "sell", 10, 60, "a1")
    assert exchange.submit("Bob", "X", "buy", 10, 60, "b1") is first
    assert exchange.counts.orders == 2
    assert exchange.position("Bob", "X") == 110


def test_the_first_request_of_a_client_id_counts(exchange: Exchange) -> None:
    first = exchange.submit("Bob", "X", "buy", 10, 60, "b1")
    assert exchange.submit("Bob", "X", "sell", 3, 99, "b1") is first
    assert (first.side, first.quantity) == ("buy", 10)


def test_two_accounts_can_use_the_same_client_id(exchange: Exchange) -> None:
    anns, bobs = (exchange.submit(name, "X", "buy", 1, 60, "1") for name in ("Ann", "Bob"))
    assert anns is not bobs
    assert exchange.find("Ann", "1") is anns


def test_open_orders_and_the_last_ended_orders_are_remembered() -> None:
    exchange = exchange_of_two(remember=3)
    exchange.submit("Ann", "X", "buy", 1, 1, "open")
    for number in range(5):
        exchange.submit("Ann", "X", "buy", 1, 2, f"ended-{number}")
        exchange.cancel("Ann", f"ended-{number}")
    known = [name for name in ("open", *(f"ended-{n}" for n in range(5))) if exchange.find("Ann", name)]
    assert known == ["open", "ended-2", "ended-3", "ended-4"]
    assert exchange.audit() == []


def test_fees_are_collected_from_both_sides() -> None:
    exchange = exchange_of_two(fee=2)
    exchange.submit("Ann", "X", "sell", 10, 50, "a1")
    exchange.submit("Bob", "X", "buy", 10, 50, "b1")
    cash = [exchange.balance(name).cash for name in ("Ann", "Bob", FEE_ACCOUNT)]
    assert cash == [10_480, 9_480, 40]
    assert exchange.audit() == []


def test_a_sell_order_below_the_fee_is_refused() -> None:
    exchange = exchange_of_two(fee=5)
    with pytest.raises(InvalidOrder, match="at least the fee of 5 ticks per unit for a sell order, not 4"):
        exchange.submit("Ann", "X", "sell", 1, 4, "a1")


def test_a_buy_order_without_enough_cash_is_refused(exchange: Exchange) -> None:
    exchange.submit("Bob", "X", "buy", 100, 60, "b1")
    with pytest.raises(InsufficientFunds) as caught:
        exchange.submit("Bob", "X", "buy", 100, 50, "b2")
    assert str(caught.value) == "'Bob' cannot buy 100 X at 50: needs 5000 ticks, has 4000 available"
    assert caught.value.order is not None
    assert caught.value.order.status == "rejected"


def test_a_sell_order_without_enough_units_is_refused(exchange: Exchange) -> None:
    exchange.submit("Ann", "X", "sell", 70, 60, "a1")
    with pytest.raises(InsufficientPosition, match=r"^'Ann' cannot sell 40 X at 50: has 30 available$"):
        exchange.submit("Ann", "X", "sell", 40, 50, "a2")
    with pytest.raises(InsufficientPosition, match="has 0 available"):
        exchange.submit("Ann", "Y", "sell", 1, 50, "a3")


def test_a_refusal_changes_nothing_and_leaves_the_client_id_free(exchange: Exchange) -> None:
    before = exchange.balance("Ann")
    with pytest.raises(InsufficientPosition):
        exchange.submit("Ann", "X", "sell", 101, 60, "a1")
    assert exchange.balance("Ann") == before
    assert exchange.counts[:4] == (0, 0, 0, 1)
    assert exchange.submit("Ann", "X", "sell", 100, 60, "a1").status == "open"


def test_unknown_accounts_and_symbols_are_named(exchange: Exchange) -> None:
    with pytest.raises(UnknownAccount, match="unknown account 'Cy'"):
        exchange.submit("Cy", "X", "buy", 1, 1, "c1")
    with pytest.raises(SymbolNotListed, match="symbol 'Z' is not listed; listed symbols: X, Y") as caught:
        exchange.submit("Ann", "Z", "buy", 1, 1, "a1")
    assert isinstance(caught.value, UnknownSymbol)
    with pytest.raises(InvalidOrder, match="quantity"):
        exchange.submit("Ann", "X", "buy", 0, 1, "a1")
    assert exchange.counts.refusals == 3


def test_a_refusal_can_be_pickled(exchange: Exchange) -> None:
    with pytest.raises(InsufficientFunds) as caught:
        exchange.submit("Ann", "X", "buy", 1000, 1000, "a1")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (InsufficientFunds, str(caught.value))
    assert copy.order.status == "rejected"


def test_an_account_is_opened_once_and_with_whole_amounts(exchange: Exchange) -> None:
    with pytest.raises(AccountExists, match="'Ann'"):
        exchange.open_account("Ann")
    with pytest.raises(ValueError, match="cash must be a whole number, at least 0, not -1"):
        exchange.open_account("Cy", cash=-1)
    with pytest.raises(ValueError, match=r"the position in X must be a whole number, at least 0, not 0\.5"):
        exchange.open_account("Cy", positions={"X": 0.5})  # type: ignore[dict-item]
    with pytest.raises(UnknownAccount):
        exchange.balance("Cy")


@pytest.mark.parametrize("setting", ["fee", "remember", "journal"])
def test_settings_below_zero_are_refused(setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be a whole number, at least 0, not -1"):
        exchange_of_two(**{setting: -1})


def test_deposits_and_new_symbols_are_possible_at_any_time(exchange: Exchange) -> None:
    exchange.list_symbol("Z")
    exchange.deposit("Ann", cash=5, positions={"Z": 7})
    assert exchange.symbols == ("X", "Y", "Z")
    assert exchange.balance("Ann") == (10_005, 0, {"X": 100, "Z": 7}, {})


def test_the_journal_keeps_the_last_trades() -> None:
    exchange = exchange_of_two(journal=2)
    exchange.submit("Ann", "X", "sell", 3, 50, "a")
    for number in range(3):
        exchange.submit("Bob", "X", "buy", 1, 50, f"b{number}")
    assert [trade.sequence for trade in exchange.recent_trades()] == [2, 3]
    assert exchange.audit() == []


def test_an_exchange_without_journal_and_remembered_orders_works() -> None:
    exchange = exchange_of_two(journal=0, remember=0)
    exchange.submit("Ann", "X", "sell", 3, 50, "a")
    exchange.submit("Bob", "X", "buy", 3, 50, "b")
    assert exchange.recent_trades() == ()
    assert exchange.find("Ann", "a") is None
    assert exchange.audit() == []


def test_the_lock_makes_several_calls_one_step(exchange: Exchange) -> None:
    with exchange.lock:
        exchange.submit("Ann", "X", "buy", 1, 50, "a1")
        exchange.cancel("Ann", "a1")
    assert exchange.counts.cancellations == 1


def test_open_orders_are_those_that_can_still_trade(exchange: Exchange) -> None:
    for client_id, price in (("b1", 40), ("b2", 60), ("b3", 41), ("b4", 42)):
        exchange.submit("Bob", "X", "buy", 10, price, client_id)
    exchange.submit("Ann", "X", "sell", 15, 42, "a1")
    exchange.cancel("Bob", "b3")
    assert [order.client_id for order in exchange.open_orders("Bob")] == ["b1", "b4"]
    assert exchange.open_orders("Ann") == ()
    with pytest.raises(UnknownAccount):
        exchange.open_orders("Cy")


def test_an_exchange_uses_the_given_class_of_books() -> None:
    class ClosedBook(OrderBook):
        def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
            raise RuntimeError("the market is closed")

    exchange = Exchange(["X"], book=ClosedBook)
    exchange.list_symbol("Y")
    exchange.open_account("Ann", cash=1_000, positions={"Y": 10})
    exchange.submit("Ann", "Y", "sell", 1, 50, "1")
    with pytest.raises(RuntimeError, match="closed"):
        exchange.submit("Ann", "Y", "buy", 1, 50, "2")


def test_a_call_waits_for_the_lock_however_long_it_is_held() -> None:
    exchange = exchange_of_two()
    held, let_go = threading.Event(), threading.Event()
    order_seen: list[bool] = []

    def hold() -> None:
        with exchange.lock:
            held.set()
            let_go.wait(60)
            order_seen.append(exchange.find("Ann", "1") is not None)

    def send() -> None:
        exchange.submit("Ann", "X", "buy", 1, 50, "1")

    holder, sender = threading.Thread(target=hold), threading.Thread(target=send)
    holder.start()
    held.wait(60)
    sender.start()
    sender.join(0.2)
    let_go.set()
    holder.join(60)
    sender.join(60)
    assert order_seen == [False]
    assert exchange.find("Ann", "1") is not None


def test_the_lock_is_free_again_after_an_error() -> None:
    lock, taken = ExchangeLock(), []

    def take() -> None:
        with lock:
            taken.append(True)

    with pytest.raises(KeyError), lock, lock:
        raise KeyError
    lock.acquire()
    lock.release()
    other = threading.Thread(target=take)
    other.start()
    other.join(60)
    assert taken == [True]


def test_a_taken_lock_can_be_tried_without_blocking_or_with_a_timeout() -> None:
    lock = ExchangeLock()
    answers: list[bool] = []

    def attempt() -> None:
        answers.extend([lock.acquire(blocking=False), lock.acquire(timeout=0.01)])

    assert lock.acquire()
    other = threading.Thread(target=attempt)
    other.start()
    other.join(60)
    assert answers == [False, False]


def test_releasing_a_lock_that_is_not_held_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        ExchangeLock().release()


def trade_at_random(exchange: Exchange, account: str, random: Random, operations: int) -> int:
    """Send orders, retry some, cancel some, and return the number of different orders accepted."""
    accepted = 0
    for number in range(operations):
        client_id = f"{account}-{number}"
        side: Side = "buy" if random.random() < 0.5 else "sell"
        quantity, price = random.randint(1, 10), random.randint(95, 105)
        try:
            order = exchange.submit(account, random.choice("XY"), side, quantity, price, client_id)
        except OrderRefused:
            continue
        accepted += 1
        if random.random() < 0.2:
            assert exchange.submit(account, "X", side, quantity, price, client_id) is order
        if random.random() < 0.4:
            exchange.cancel(account, client_id)
    return accepted


def test_eight_threads_lose_nothing() -> None:
    # Trades of other accounts may end any number of an account's orders between an order and its retry.
    exchange = Exchange(["X", "Y"], fee=1, remember=2_000)
    names = [f"trader-{number}" for number in range(8)]
    accepted: dict[str, int] = {}
    for name in names:
        exchange.open_account(name, cash=50_000, positions={"X": 500, "Y": 500})

    def trade(name: str) -> None:
        accepted[name] = trade_at_random(exchange, name, Random(name), 2_000)

    threads = [threading.Thread(target=trade, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    audits_during_trading = [exchange.audit() for _ in range(5)]
    for thread in threads:
        thread.join()
    assert audits_during_trading == [[]] * 5
    assert exchange.audit() == []
    assert exchange.counts.orders == sum(accepted.values())
    assert exchange.counts.orders + exchange.counts.refusals == 8 * 2_000
    assert exchange.counts.trades > 1_000
    assert sum(exchange.position(name, "X") for name in names) == 8 * 500


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["Ann", "Bob", "Cy"]),
        st.sampled_from(["buy", "sell", "cancel"]),
        st.sampled_from(["X", "Y"]),
        st.integers(1, 40),
        st.integers(1, 30),
        st.integers(0, 12),
    ),
    max_size=50,
)


@settings(deadline=None, max_examples=300)
@given(actions=ACTIONS, fee=st.integers(0, 3), remember=st.integers(0, 4))
def test_cash_and_units_are_conserved_whatever_traders_do(actions: list[Any], fee: int, remember: int) -> None:
    exchange = Exchange(["X", "Y"], fee=fee, remember=remember)
    for name in ("Ann", "Bob", "Cy"):
        exchange.open_account(name, cash=1_000, positions={"X": 50, "Y": 20})
    refusals: list[str] = []
    for name, kind, symbol, quantity, price, number in actions:
        try:
            if kind == "cancel":
                exchange.cancel(name, str(number))
            else:
                exchange.submit(name, symbol, kind, quantity, price, str(number))
        except OrderRefused as refusal:
            refusals.append(str(refusal))
        assert exchange.audit() == []
    assert all(len(refusal.splitlines()) == 1 for refusal in refusals)
    names = ("Ann", "Bob", "Cy", FEE_ACCOUNT)
    assert sum(exchange.balance(name).cash for name in names) == 3_000
    assert sum(exchange.position(name, "X") for name in names) == 150
