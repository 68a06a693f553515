"""The embedded exchange keeps its guarantees to agents."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest

from pytest_nos_stress.market import (
    BadQuote,
    EmbeddedExchange,
    Market,
    MarketView,
    Order,
    OrderBook,
    Quote,
    Trade,
    TradingOperation,
)
from pytest_nos_stress.market.exchange.embedded import MAX_RESTING_ORDERS

TASKS = ("buy", "sell", "hedge", "rebalance", "analyze")


@dataclass
class SetPrices:
    """A market with the bids that a test sets, by symbol. The ask is 0.02 above the bid."""

    bids: dict[str, float] = field(default_factory=lambda: {"A": 100.0, "B": 50.0, "C": 25.0})

    @property
    def symbols(self) -> tuple[str, ...]:
        return tuple(self.bids)

    def quote(self, symbol: str, /) -> Quote:
        bid = self.bids[symbol]
        return Quote(symbol, bid, round(bid + 0.02, 2), bid, 0.0)


class NoData(Exception):
    """The operation has no market data."""


@dataclass
class Operation:
    """An operation as a run passes it to a task."""

    view: MarketView | None
    random: Random
    agent: str = "Agent_1"
    id: str = "1"

    @property
    def market(self) -> MarketView:
        if self.view is None:
            raise NoData
        return self.view


class Agent:
    """An agent that performs operations one after another, each with its own id."""

    def __init__(self, target: EmbeddedExchange, market: MarketView | None, name: str = "Agent_1") -> None:
        self.target, self.market, self.name = target, market, name
        self.random = Random(name)
        self.performed = 0

    def operation(self) -> Operation:
        self.performed += 1
        return Operation(self.market, self.random, self.name, f"{self.name}/{self.performed}")

    def does(self, task: str) -> object:
        perform: Callable[[TradingOperation], object] = getattr(self.target, task)
        return perform(self.operation())

    def resting(self) -> list[Order]:
        books = self.target.exchange._books.values()
        return [order for book in books for order in book.orders() if order.account == self.name]


@pytest.fixture
def prices() -> SetPrices:
    return SetPrices()


@pytest.fixture
def target(prices: SetPrices) -> EmbeddedExchange:
    return EmbeddedExchange(prices)


@pytest.fixture
def agent(target: EmbeddedExchange, prices: SetPrices) -> Agent:
    return Agent(target, prices)


def test_there_is_a_default_market() -> None:
    target = EmbeddedExchange()
    assert target.exchange.symbols == target.market.symbols
    assert target.audit() == []


@pytest.mark.parametrize("task", TASKS)
def test_every_task_works_as_the_first_operation(agent: Agent, task: str) -> None:
    agent.does(task)
    assert agent.target.audit() == []


@pytest.mark.parametrize("task", TASKS)
def test_without_data_nothing_changes(target: EmbeddedExchange, agent: Agent, task: str) -> None:
    for _ in range(20):
        agent.does("buy")
    before = (target.counts, target.holdings("Agent_1"), agent.random.getstate())
    agent.market = None
    with pytest.raises(NoData):
        agent.does(task)
    assert (target.counts, target.holdings("Agent_1"), agent.random.getstate()) == before


@pytest.mark.parametrize("task", ["buy", "sell", "rebalance", "analyze"])
@pytest.mark.parametrize("bid", [float("nan"), -1.0, 0.0, float("inf"), 9.3e18, None])
def test_a_bad_quote_is_refused_and_changes_nothing(
    target: EmbeddedExchange, agent: Agent, task: str, bid: float
) -> None:
    class BadFeed(SetPrices):
        def quote(self, symbol: str, /) -> Quote:
            return Quote(symbol, bid, 100.0, 100.0, 0.0)

    agent.market = BadFeed()
    before = target.counts
    with pytest.raises(BadQuote, match=r"^cannot trade '[ABC]' at bid .*, ask 100\.0; must be 0 < bid < ask$"):
        agent.does(task)
    assert target.counts == before


def test_buys_and_sells_trade_at_once_or_rest_at_prices_around_the_quote(agent: Agent) -> None:
    orders = [agent.does(task) for task in ("buy", "sell") * 100]
    statuses = set()
    for order in orders:
        assert isinstance(order, Order)
        quote = agent.target.market.quote(order.symbol)
        assert 1 <= order.quantity <= 10
        assert round(100 * quote.bid) - 5 < order.price < round(100 * quote.ask) + 5
        statuses.add(order.status)
    assert statuses >= {"filled", "open", "cancelled"}
    assert {order.symbol for order in orders if isinstance(order, Order)} == {"A", "B", "C"}


def test_an_agent_has_a_limited_number_of_resting_orders(agent: Agent) -> None:
    most = 0
    for _ in range(200):
        agent.does("buy")
        most = max(most, len(agent.resting()))
    assert most == MAX_RESTING_ORDERS


def test_the_oldest_resting_order_is_cancelled_for_a_new_one(agent: Agent) -> None:
    for _ in range(100):
        before = agent.resting()
        agent.does("buy")
        gone = [order for order in before if order not in agent.resting()]
        assert gone in ([], [min(before, key=lambda order: order.number)] if before else [])


def test_resting_orders_trade_when_the_price_reaches_them(agent: Agent, prices: SetPrices) -> None:
    for _ in range(50):
        agent.does("buy")
    waiting = agent.resting()
    assert waiting
    prices.bids = {symbol: bid - 1 for symbol, bid in prices.bids.items()}
    other = Agent(agent.target, prices, "Agent_2")
    for _ in range(50):
        other.does("sell")
    assert all(order.status == "filled" for order in waiting)
    assert agent.target.audit() == []


@pytest.mark.parametrize("task", ["buy", "sell", "hedge", "rebalance"])
def test_a_retried_operation_does_not_trade_again(
    agent: Agent, target: EmbeddedExchange, prices: SetPrices, task: str
) -> None:
    for _ in range(20):
        agent.does("buy")
    prices.bids["A"] *= 1.5
    operation = agent.operation()
    perform: Callable[[TradingOperation], object] = getattr(target, task)
    perform(operation)
    holdings, orders = target.holdings("Agent_1"), target.counts.orders
    perform(operation)
    assert (target.holdings("Agent_1"), target.counts.orders) == (holdings, orders)


def test_a_first_hedge_has_nothing_to_do(agent: Agent) -> None:
    assert agent.does("hedge") is None
    assert agent.target.counts.orders == 0


@pytest.mark.parametrize("task", ["buy", "sell"])
def test_a_hedge_reverses_the_largest_change(agent: Agent, target: EmbeddedExchange, task: str) -> None:
    for _ in range(100):
        agent.does(task)
    exposure = target.exposure("Agent_1")
    largest = max(exposure, key=lambda symbol: abs(exposure[symbol]))
    assert exposure[largest]
    agent.does("hedge")
    assert target.exposure("Agent_1") == {**exposure, largest: 0}


def test_a_hedge_ends_flat_in_spite_of_the_agents_resting_orders(
    agent: Agent, target: EmbeddedExchange, prices: SetPrices
) -> None:
    for _ in range(200):
        agent.does(agent.random.choice(["buy", "sell"]))
        prices.bids = {
            name: round(bid + agent.random.randint(-3, 3) / 100, 2) for name, bid in prices.bids.items()
        }
        for _ in range(3):
            agent.does("hedge")
        assert set(target.exposure("Agent_1").values()) <= {0}
    assert target.audit() == []


def test_a_large_position_is_hedged_at_once(target: EmbeddedExchange, agent: Agent) -> None:
    agent.does("buy")
    target.exchange.deposit("Agent_1", positions={"A": 50_000, "B": 50_000, "C": 50_000})
    for _ in range(3):
        agent.does("hedge")
    assert set(target.exposure("Agent_1").values()) == {0}


def test_a_large_hedge_is_complete_even_if_the_house_first_trades_with_others(agent: Agent) -> None:
    market, target = SetPrices({"A": 100.0}), agent.target
    agent.market, other = market, Agent(target, market, "Agent_2")
    agent.does("buy")
    target.exchange.deposit("Agent_1", positions={"A": 50_000})
    for _ in range(20):
        other.does("sell")
    waiting = other.resting()
    market.bids["A"] += 1
    agent.does("hedge")
    assert waiting
    assert all(order.status == "filled" for order in waiting)
    assert target.exposure("Agent_1") == {"A": 0}


def values_of(target: EmbeddedExchange, prices: SetPrices) -> dict[str, float]:
    holdings = target.holdings("Agent_1")
    return {symbol: units * (prices.bids[symbol] + 0.01) for symbol, units in holdings.items()}


def test_agents_begin_with_equal_weights(agent: Agent, target: EmbeddedExchange) -> None:
    assert agent.does("rebalance") == ()
    assert target.counts.orders == 0


def test_rebalancing_brings_the_weights_back_within_a_lot(
    agent: Agent, target: EmbeddedExchange, prices: SetPrices
) -> None:
    agent.does("rebalance")
    prices.bids = {"A": 150.0, "B": 40.0, "C": 26.0}
    for _ in range(3):
        agent.does("rebalance")
    values = values_of(target, prices)
    mean = sum(values.values()) / len(values)
    assert all(abs(value - mean) <= 2 * prices.bids["A"] for value in values.values()), values
    orders = target.counts.orders
    agent.does("rebalance")
    assert target.counts.orders == orders


def test_rebalancing_sells_the_heaviest_and_buys_the_lightest(agent: Agent, prices: SetPrices) -> None:
    agent.does("rebalance")
    prices.bids = {"A": 150.0, "B": 40.0, "C": 26.0}
    orders = agent.does("rebalance")
    assert isinstance(orders, tuple)
    assert [(order.side, order.symbol, order.status) for order in orders] == [
        ("sell", "A", "filled"),
        ("buy", "B", "filled"),
    ]


def test_analyzing_reads_and_changes_nothing(agent: Agent, target: EmbeddedExchange) -> None:
    for _ in range(30):
        agent.does("buy")
    before = (target.counts, target.holdings("Agent_1"))
    analyses = [agent.target.analyze(agent.operation()) for _ in range(20)]
    assert {analysis.symbol for analysis in analyses} == {"A", "B", "C"}
    assert all(analysis.quoted_spread == pytest.approx(0.02) for analysis in analyses)
    assert all(analysis.book_spread == pytest.approx(0.02) for analysis in analyses)
    assert all(-1 <= analysis.imbalance <= 1 for analysis in analyses)
    assert (target.counts, target.holdings("Agent_1")) == before


def test_an_empty_book_has_no_spread(agent: Agent) -> None:
    analysis = agent.target.analyze(agent.operation())
    assert (analysis.book_spread, analysis.imbalance) == (None, 0.0)


def test_prices_come_from_the_market_of_the_operation(target: EmbeddedExchange) -> None:
    other = SetPrices({"NEW": 5_000_000.0, "CHEAP": 0.01})
    agent = Agent(target, other)
    for task in TASKS * 20:
        agent.does(task)
    assert set(target.holdings("Agent_1")) == {"NEW", "CHEAP"}
    assert target.audit() == []


def test_an_unknown_agent_holds_nothing(target: EmbeddedExchange) -> None:
    assert (target.holdings("nobody"), target.exposure("nobody")) == ({}, {})


@pytest.mark.parametrize("fee", [0, 1])
def test_no_order_is_refused_however_one_sided_an_agent_is(prices: SetPrices, fee: int) -> None:
    target = EmbeddedExchange(prices, fee=fee)
    for name, tasks in (("seller", ["sell"]), ("buyer", ["buy"]), ("mixed", TASKS)):
        agent = Agent(target, prices, name)
        for number in range(2_000):
            agent.does(tasks[number % len(tasks)])
    assert target.counts.refusals == 0
    assert target.audit() == []


def test_the_same_operations_end_in_the_same_state() -> None:
    def run() -> tuple[object, ...]:
        seconds = iter(range(1_000_000))
        market = Market(seed=4, clock=lambda: float(next(seconds)), start=0.0)
        target = EmbeddedExchange(market)
        agents = [Agent(target, market, f"Agent_{number}") for number in range(4)]
        for number in range(2_000):
            agents[number % 4].does(TASKS[number % 5])
        assert target.audit() == []
        return target.counts, [target.holdings(agent.name) for agent in agents]

    assert run() == run()


def test_eight_threads_lose_nothing() -> None:
    market = Market(seed=1)
    target = EmbeddedExchange(market)
    agents = [Agent(target, market, f"Agent_{number}") for number in range(8)]
    returned: dict[str, list[object]] = {agent.name: [] for agent in agents}

    def trade(agent: Agent) -> None:
        for _ in range(1_500):
            returned[agent.name].append(agent.does(agent.random.choice(TASKS)))

    threads = [threading.Thread(target=trade, args=(agent,)) for agent in agents]
    for thread in threads:
        thread.start()
    audits_during_trading = [target.audit() for _ in range(5)]
    for thread in threads:
        thread.join()
    assert audits_during_trading == [[]] * 5
    assert target.audit() == []
    assert all(len(results) == 1_500 for results in returned.values())
    assert target.counts.refusals == 0
    assert all(len(agent.resting()) <= MAX_RESTING_ORDERS for agent in agents)
    by_house = next(target._market_maker._numbers) - 1
    by_agents = sum(len(orders_in(result)) for results in returned.values() for result in results)
    assert target.counts.orders == by_agents + by_house


def orders_in(result: object) -> list[Order]:
    candidates = result if isinstance(result, tuple) else (result,)
    return [order for order in candidates if isinstance(order, Order)]


def test_threads_that_share_an_agent_share_its_limit_of_resting_orders(prices: SetPrices) -> None:
    target = EmbeddedExchange(prices)

    def trade(number: int) -> None:
        random = Random(number)
        for index in range(500):
            target.buy(Operation(prices, random, "shared", f"{number}/{index}"))

    threads = [threading.Thread(target=trade, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(Agent(target, prices, "shared").resting()) <= MAX_RESTING_ORDERS
    assert target.audit() == []


@pytest.mark.parametrize("task", ["buy", "sell", "hedge", "rebalance", "analyze"])
@pytest.mark.parametrize(
    ("bid", "ask"), [(100.01, 100.0), (100.0, 100.0), (-1.0, -1.0), (2.0**63, 2.0**63 + 4096)]
)
def test_a_crossed_or_extreme_quote_changes_nothing(
    target: EmbeddedExchange, agent: Agent, task: str, bid: float, ask: float
) -> None:
    class BadFeed(SetPrices):
        def quote(self, symbol: str, /) -> Quote:
            return Quote(symbol, bid, ask, 100.0, 0.0)

    while not any(target.exposure("Agent_1").values()):
        agent.does("buy")
    agent.market = BadFeed()
    before = (target.counts, target.holdings("Agent_1"), agent.resting())
    with pytest.raises(BadQuote):
        agent.does(task)
    assert (target.counts, target.holdings("Agent_1"), agent.resting()) == before
    assert target.audit() == []


@pytest.mark.parametrize("factor", [0.001, 0.5, 2.0, 1000.0])
def test_no_order_is_refused_after_a_crash_or_a_surge(prices: SetPrices, factor: float) -> None:
    target = EmbeddedExchange(prices, fee=1)
    agents = [Agent(target, prices, f"Agent_{number}") for number in range(4)]
    for number in range(400):
        agents[number % 4].does(TASKS[number // 4 % 5])
    prices.bids = {symbol: round(bid * factor, 2) for symbol, bid in prices.bids.items()}
    for number in range(400):
        agents[number % 4].does(TASKS[number // 4 % 5])
    assert target.audit() == []
    assert target.counts.refusals == 0


def test_the_audit_finds_an_agent_that_forgot_its_orders(agent: Agent, target: EmbeddedExchange) -> None:
    while not agent.resting():
        agent.does("buy")
    target._agents["Agent_1"].resting.clear()
    [problem] = target.audit()
    assert problem.startswith("'Agent_1' tracks 0 open orders, but the exchange has 1")


def test_the_audit_finds_an_order_that_the_agent_never_sent(agent: Agent, target: EmbeddedExchange) -> None:
    agent.does("buy")
    for number in range(MAX_RESTING_ORDERS + 1):
        target.exchange.submit("Agent_1", "A", "buy", 1, 1, f"somebody's {number}")
    assert any("open orders, more than 5" in problem for problem in target.audit())


def test_the_audit_finds_a_hedge_that_is_not_flat(
    agent: Agent, target: EmbeddedExchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    while "A" not in target.exposure("Agent_1"):
        agent.does("buy")
    target.exchange.deposit("Agent_1", positions={"A": 50_000})
    monkeypatch.setattr(target._market_maker, "make_market", lambda *_: None)
    agent.does("hedge")
    assert any(problem.startswith("'Agent_1' hedged A, but a delta of ") for problem in target.audit())


def test_the_audit_finds_a_rebalance_that_stopped_short(
    agent: Agent, target: EmbeddedExchange, prices: SetPrices, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.does("rebalance")
    prices.bids = {"A": 150.0, "B": 40.0, "C": 26.0}
    monkeypatch.setattr(target._market_maker, "make_market", lambda *_: None)
    agent.does("rebalance")
    short = [problem for problem in target.audit() if "more than one lot" in problem]
    assert [problem.split(" to ")[0] for problem in short] == ["'Agent_1' rebalanced A", "'Agent_1' rebalanced B"]


def test_agents_trade_on_the_given_class_of_books(prices: SetPrices) -> None:
    class Tape(OrderBook):
        def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
            seen.append(quantity)
            return super().execute(maker, taker, quantity)

    seen: list[int] = []
    target = EmbeddedExchange(prices, book=Tape)
    agent = Agent(target, prices)
    for _ in range(20):
        agent.does("buy")
    assert len(seen) == target.counts.trades > 0
    assert sum(seen) == target.counts.traded_quantity


def test_memory_is_bounded(prices: SetPrices) -> None:
    target = EmbeddedExchange(prices)
    agent = Agent(target, prices)
    for _ in range(5_000):
        agent.does(agent.random.choice(["buy", "sell"]))
        prices.bids["A"] = 100 + round(agent.random.random(), 2)
    accounts = target.exchange._accounts.values()
    assert sum(len(account.orders) for account in accounts) < 250
    assert len(target.exchange.recent_trades()) == 1_000
