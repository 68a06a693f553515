"""The house always trades, and its quotes are always its open orders."""

from __future__ import annotations

from random import Random

import pytest

from pytest_nos_stress.market import Exchange, Side
from pytest_nos_stress.market.exchange.exchange import FEE_ACCOUNT
from pytest_nos_stress.market.exchange.market_maker import MARKET_MAKER_ACCOUNT, MarketMaker


@pytest.fixture
def exchange() -> Exchange:
    """An exchange with Ann (1,000,000 ticks and 10,000 X) and without the house."""
    exchange = Exchange(["X"])
    exchange.open_account("Ann", cash=1_000_000, positions={"X": 10_000})
    return exchange


@pytest.fixture
def house(exchange: Exchange) -> MarketMaker:
    return MarketMaker(exchange)


def test_the_house_buys_and_sells_at_its_quotes(exchange: Exchange, house: MarketMaker) -> None:
    house.make_market("X", 99, 101, 5)
    assert exchange.best("X") == (99, 101)
    assert exchange.submit("Ann", "X", "buy", 5, 101, "1").status == "filled"
    assert exchange.submit("Ann", "X", "sell", 5, 99, "2").status == "filled"


def test_an_unchanged_quote_keeps_its_place(exchange: Exchange, house: MarketMaker) -> None:
    house.make_market("X", 99, 101, 5)
    quotes = exchange.open_orders(MARKET_MAKER_ACCOUNT)
    exchange.submit("Ann", "X", "buy", 5, 101, "1")
    house.make_market("X", 99, 101, 5)
    assert exchange.open_orders(MARKET_MAKER_ACCOUNT) == quotes


def test_a_quote_that_is_too_small_is_replaced(exchange: Exchange, house: MarketMaker) -> None:
    house.make_market("X", 99, 101, 5)
    house.make_market("X", 99, 101, 5_000)
    assert exchange.submit("Ann", "X", "buy", 5_000, 101, "1").status == "filled"


@pytest.mark.parametrize(("bid", "ask"), [(1, 2), (89, 91), (98, 100), (100, 102), (150, 151), (10**9, 10**9 + 1)])
def test_the_house_follows_the_price_and_never_trades_with_itself(
    exchange: Exchange, house: MarketMaker, bid: int, ask: int
) -> None:
    house.make_market("X", 99, 101, 5)
    house.make_market("X", bid, ask, 5)
    assert exchange.best("X") == (bid, ask)
    assert len(exchange.open_orders(MARKET_MAKER_ACCOUNT)) == 2
    assert exchange.counts.trades == 0


def test_a_new_quote_trades_with_the_resting_orders_that_it_matches(
    exchange: Exchange, house: MarketMaker
) -> None:
    house.make_market("X", 99, 101, 5)
    orders = [exchange.submit("Ann", "X", "buy", 600, 98, str(number)) for number in range(4)]
    house.make_market("X", 90, 92, 50)
    assert {order.status for order in orders} == {"filled"}
    assert exchange.best("X") == (90, 92)
    assert exchange.submit("Ann", "X", "buy", 50, 92, "last").status == "filled"


def test_the_house_lists_an_unlisted_symbol(exchange: Exchange, house: MarketMaker) -> None:
    house.make_market("NEW", 99, 101, 5)
    assert exchange.best("NEW") == (99, 101)


def test_the_house_knows_its_orders_however_prices_move(exchange: Exchange, house: MarketMaker) -> None:
    random = Random(1)
    for number in range(500):
        bid = random.randint(1, 200)
        house.make_market("X", bid, bid + random.randint(1, 5), random.randint(1, 20))
        side: Side = "buy" if random.random() < 0.5 else "sell"
        exchange.submit("Ann", "X", side, random.randint(1, 20), random.randint(1, 200), str(number))
        assert list(house.problems()) == []
    assert exchange.audit() == []
    assert exchange.counts.trades > 100
    assert exchange.balance(FEE_ACCOUNT).cash == 0


def test_an_order_that_the_house_does_not_know_is_a_problem(exchange: Exchange, house: MarketMaker) -> None:
    house.make_market("X", 99, 101, 5)
    exchange.submit(MARKET_MAKER_ACCOUNT, "X", "buy", 1, 50, "a second house")
    [problem] = house.problems()
    assert problem.startswith("the house does not know its open order <order 3 'a second house'")


def test_a_quote_that_the_exchange_lost_is_a_problem(exchange: Exchange, house: MarketMaker) -> None:
    house.make_market("X", 99, 101, 5)
    [bid, _] = exchange.open_orders(MARKET_MAKER_ACCOUNT)
    del exchange._accounts[MARKET_MAKER_ACCOUNT].orders[bid.client_id]
    [problem] = house.problems()
    assert problem.startswith("the house's quote is not an open order: <order 1")
