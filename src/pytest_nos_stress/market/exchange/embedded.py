"""The target of runs that have no target of their own: an exchange that agents trade on.

Guarantees:

- A task reads `operation.market` before it changes anything, so an operation without market data changes nothing.
- Limit prices come from that market.
- A retry of an operation (same `operation.id`) does not trade again.
- A hedge ends flat. A rebalance ends within one lot of its goal.
- Any number of threads may perform tasks. `audit()` is empty between any two calls.

A house account keeps a bid and an ask at the prices of the last quote used, so agents can always trade. An agent's
account is opened when the agent first trades, with as much cash as it can need. In each symbol it gets units worth
`START_VALUE` ticks, and `LENT_UNITS` more as a loan. So it can sell units that it does not own, as short sellers
do, and no order of a realistic run is refused. The agent's holdings do not include the loan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Final, NamedTuple

from pytest_nos_stress.market.errors import BadQuote, SymbolNotListed
from pytest_nos_stress.market.quotes import TICKS_PER_UNIT, Market, Quote

from .audit import Counts
from .audit_state import Violations
from .book import Depth, Order, OrderBook, Side
from .exchange import Exchange
from .market_maker import MarketMaker
from .operation import MarketView, TradingOperation

START_CASH: Final = 10**18
START_VALUE: Final = 100_000_000
LENT_UNITS: Final = 10**12
MAX_RESTING_ORDERS: Final = 5

_MAX_ORDER_QUANTITY = 10
_MARKETABLE_SHARE = 0.5
_MAX_TICKS_FROM_BEST = 5
_MAX_PRICE = 1e12


class Analysis(NamedTuple):
    """The result of `analyze`.

    Spreads are in units of money. `book_spread` is None if a side of the book is empty. `imbalance` is between -1
    (only sell orders) and 1 (only buy orders), and 0 for an empty book.
    """

    symbol: str
    quoted_spread: float
    book_spread: float | None
    imbalance: float


class EmbeddedExchange:
    """An exchange that performs the tasks `buy`, `sell`, `hedge`, `rebalance` and `analyze`.

    `market`: its symbols are listed from the start; by default a `Market()`. Prices always come from the
    operation's market, and further symbols of that market are listed when they are first traded. `fee`: ticks
    that each side pays per unit traded; default 0. `journal`: number of trades that `exchange.recent_trades()`
    keeps; default 1000. `book`: makes the book of a symbol, as in `Exchange`.
    """

    def __init__(
        self,
        market: MarketView | None = None,
        *,
        fee: int = 0,
        journal: int = 1000,
        book: Callable[[str, Iterator[int]], OrderBook] = OrderBook,
    ) -> None:
        self.market: MarketView = Market() if market is None else market
        self.exchange = Exchange(self.market.symbols, fee=fee, journal=journal, book=book)
        self._market_maker = MarketMaker(self.exchange)
        self._agents: dict[str, _Agent] = {}
        self._violations = Violations()

    def buy(self, operation: TradingOperation) -> Order:
        """Buy 1 to 10 units of a random symbol. Half of the orders trade at once, the others rest in the book.

        An agent has at most `MAX_RESTING_ORDERS` resting orders: the oldest is cancelled for a new one. Raises
        `BadQuote`.
        """
        return self._trade_at_random(operation, "buy")

    def sell(self, operation: TradingOperation) -> Order:
        """Sell 1 to 10 units of a random symbol, in the same way as `buy`."""
        return self._trade_at_random(operation, "sell")

    def hedge(self, operation: TradingOperation) -> Order | None:
        """Reverse the largest change of the agent's holdings. Returns None if nothing has changed.

        Raises `BadQuote`.
        """
        market = operation.market
        exposure = self.exposure(operation.agent)
        symbol = max(exposure, key=lambda name: abs(exposure[name]), default=None)
        if symbol is None or not exposure[symbol]:
            return None
        prices = _Prices.of(market.quote(symbol))
        client_id = operation.id
        with self.exchange.lock:
            agent = self._agent(operation.agent, prices)
            earlier = self.exchange.find(agent.name, client_id)
            if earlier is not None:
                return earlier
            # Another agent may have traded with this agent's resting orders since, so read the change again.
            change = self._holding(agent, symbol) - agent.start[symbol]
            if not change:
                return None
            side: Side = "sell" if change > 0 else "buy"
            order = self._trade_immediately(agent, prices, side, abs(change), client_id)
            self._check_hedge(agent, symbol)
            return order

    def rebalance(self, operation: TradingOperation) -> tuple[Order, ...]:
        """Bring the values of the agent's holdings closer to equal weights. Returns two orders, or none.

        Sells the symbol whose value is farthest above the mean, and buys the symbol whose value is farthest below
        it for the same amount. The amount brings one of the two within one unit of the mean. Does nothing if it is
        less than one unit of either symbol. Raises `BadQuote`.
        """
        market = operation.market
        all_prices = [_Prices.of(market.quote(symbol)) for symbol in market.symbols]
        client_id = operation.id
        sell_id, buy_id = f"{client_id}/sell", f"{client_id}/buy"
        with self.exchange.lock:
            agent = self._agent(operation.agent, *all_prices)
            earlier = [self.exchange.find(agent.name, client_id) for client_id in (sell_id, buy_id)]
            if any(earlier):
                return tuple(order for order in earlier if order is not None)
            values = [self._holding(agent, prices.symbol) * prices.mid_price for prices in all_prices]
            mean = sum(values) / len(values)
            heaviest, lightest = values.index(max(values)), values.index(min(values))
            amount = min(values[heaviest] - mean, mean - values[lightest])
            sell_quantity = int(amount // all_prices[heaviest].mid_price)
            buy_quantity = int(amount // all_prices[lightest].mid_price)
            if not sell_quantity or not buy_quantity:
                return ()
            orders = (
                self._trade_immediately(agent, all_prices[heaviest], "sell", sell_quantity, sell_id),
                self._trade_immediately(agent, all_prices[lightest], "buy", buy_quantity, buy_id),
            )
            self._check_rebalance(agent, all_prices[heaviest], values[heaviest] - amount)
            self._check_rebalance(agent, all_prices[lightest], values[lightest] + amount)
            return orders

    def analyze(self, operation: TradingOperation) -> Analysis:
        """Compare the quote of a random symbol with the book. Changes nothing. Raises `BadQuote`."""
        market = operation.market
        symbol = _choose(market.symbols, operation.random)
        quote = market.quote(symbol)
        _Prices.of(quote)
        bids, asks = self._depth(symbol)
        spread = (asks[0][0] - bids[0][0]) / TICKS_PER_UNIT if bids and asks else None
        return Analysis(symbol, quote.ask - quote.bid, spread, _imbalance(bids, asks))

    def holdings(self, agent: str) -> dict[str, int]:
        """Return the units of each symbol that the agent owns, without the loan; negative if it is short."""
        with self.exchange.lock:
            holder = self._agents.get(agent)
            return {} if holder is None else {symbol: self._holding(holder, symbol) for symbol in holder.start}

    def exposure(self, agent: str) -> dict[str, int]:
        """Return the change of the agent's holdings since its first trade, in units of each symbol."""
        with self.exchange.lock:
            holder = self._agents.get(agent)
            if holder is None:
                return {}
            return {symbol: self._holding(holder, symbol) - start for symbol, start in holder.start.items()}

    @property
    def counts(self) -> Counts:
        """Numbers of orders, trades, cancellations and refusals, including those of the house."""
        return self.exchange.counts

    def audit(self) -> list[str]:
        """Check every invariant now. Returns one sentence per violation, or an empty list.

        Besides `Exchange.audit()`, it checks that agents and the house know exactly their open orders, and that
        every hedge and rebalance so far did what it promises.
        """
        with self.exchange.lock:
            agent_problems = [problem for agent in self._agents.values() for problem in self._problems_of(agent)]
            return [
                *self.exchange.audit(),
                *agent_problems,
                *self._market_maker.problems(),
                *self._violations.problems(),
            ]

    def _trade_at_random(self, operation: TradingOperation, side: Side) -> Order:
        market = operation.market
        random = operation.random
        prices = _Prices.of(market.quote(_choose(market.symbols, random)))
        quantity = 1 + int(random.random() * _MAX_ORDER_QUANTITY)
        if random.random() < _MARKETABLE_SHARE:
            limit = prices.marketable(side)
        else:
            limit = prices.passive(side, int(random.random() * _MAX_TICKS_FROM_BEST))
        client_id = operation.id
        with self.exchange.lock:
            agent = self._agent(operation.agent, prices)
            earlier = self.exchange.find(agent.name, client_id)
            if earlier is not None:
                return earlier
            self._make_room_for_order(agent)
            self._market_maker.make_market(prices.symbol, prices.bid, prices.ask, quantity)
            order = self.exchange.submit(agent.name, prices.symbol, side, quantity, limit, client_id)
            if order.is_open:
                agent.resting.append(order)
            return order

    def _trade_immediately(
        self, agent: _Agent, prices: _Prices, side: Side, quantity: int, client_id: str
    ) -> Order:
        # Cancel the agent's resting orders first, or it trades with itself and its holdings do not change.
        self._cancel(agent, [order for order in agent.resting if order.symbol == prices.symbol])
        self._market_maker.make_market(prices.symbol, prices.bid, prices.ask, quantity)
        return self.exchange.submit(agent.name, prices.symbol, side, quantity, prices.marketable(side), client_id)

    def _check_hedge(self, agent: _Agent, symbol: str) -> None:
        delta = self._holding(agent, symbol) - agent.start[symbol]
        if delta:
            self._violations.record(
                f"{agent.name!r} hedged {symbol}, but a delta of {delta} units was left, not 0"
            )

    def _check_rebalance(self, agent: _Agent, prices: _Prices, target_value: float) -> None:
        value = self._holding(agent, prices.symbol) * prices.mid_price
        if abs(value - target_value) > prices.mid_price:
            self._violations.record(
                f"{agent.name!r} rebalanced {prices.symbol} to {target_value:.0f} ticks, but held {value}: "
                f"more than one lot of {prices.mid_price} away"
            )

    def _problems_of(self, agent: _Agent) -> Iterator[str]:
        waiting = set(self.exchange.open_orders(agent.name))
        resting = [order for order in agent.resting if order.is_open]
        if waiting != set(resting):
            yield (
                f"{agent.name!r} tracks {len(resting)} open orders, but the exchange has {len(waiting)}, "
                "and they are not the same"
            )
        if len(waiting) > MAX_RESTING_ORDERS:
            yield f"{agent.name!r} has {len(waiting)} open orders, more than {MAX_RESTING_ORDERS}"

    def _make_room_for_order(self, agent: _Agent) -> None:
        if len(agent.resting) == MAX_RESTING_ORDERS:
            self._cancel(agent, [agent.resting[0]])

    def _cancel(self, agent: _Agent, orders: list[Order]) -> None:
        for order in orders:
            agent.resting.remove(order)
            if order.is_open:
                self.exchange.cancel(agent.name, order.client_id)

    def _agent(self, name: str, *all_prices: _Prices) -> _Agent:
        """Return the agent, after opening its account and funding it for these symbols if necessary."""
        agent = self._agents.get(name)
        if agent is None:
            self.exchange.open_account(name, cash=START_CASH)
            agent = self._agents[name] = _Agent(name)
        for prices in all_prices:
            if prices.symbol not in agent.start:
                own = agent.start[prices.symbol] = max(1, START_VALUE // prices.mid_price)
                self.exchange.deposit(name, positions={prices.symbol: own + LENT_UNITS})
        return agent

    def _holding(self, agent: _Agent, symbol: str) -> int:
        return self.exchange.position(agent.name, symbol) - LENT_UNITS

    def _depth(self, symbol: str) -> Depth:
        try:
            return self.exchange.depth(symbol)
        except SymbolNotListed:
            return Depth((), ())


class _Agent:
    """An agent: its holdings at the start, and its latest resting orders, oldest first."""

    __slots__ = ("name", "resting", "start")

    def __init__(self, name: str) -> None:
        self.name = name
        self.start: dict[str, int] = {}
        self.resting: list[Order] = []


class _Prices(NamedTuple):
    """A quote in whole ticks."""

    symbol: str
    bid: int
    ask: int

    @classmethod
    def of(cls, quote: Quote) -> _Prices:
        if not _is_tradable(quote):
            raise BadQuote(
                f"cannot trade {quote.symbol!r} at bid {quote.bid!r}, ask {quote.ask!r}; must be 0 < bid < ask"
            )
        bid = max(1, round(quote.bid * TICKS_PER_UNIT))
        return cls(quote.symbol, bid, max(bid + 1, round(quote.ask * TICKS_PER_UNIT)))

    @property
    def mid_price(self) -> int:
        return (self.bid + self.ask) // 2

    def marketable(self, side: Side) -> int:
        return self.ask if side == "buy" else self.bid

    def passive(self, side: Side, ticks_away: int) -> int:
        return max(1, self.bid - ticks_away) if side == "buy" else self.ask + ticks_away


def _is_tradable(quote: Quote) -> bool:
    try:
        return 0 < quote.bid < quote.ask < _MAX_PRICE
    except TypeError:
        return False


def _choose(symbols: Sequence[str], random: Random) -> str:
    return symbols[int(random.random() * len(symbols))]


def _imbalance(bids: tuple[tuple[int, int], ...], asks: tuple[tuple[int, int], ...]) -> float:
    bid_quantity, ask_quantity = sum(quantity for _, quantity in bids), sum(quantity for _, quantity in asks)
    total = bid_quantity + ask_quantity
    return (bid_quantity - ask_quantity) / total if total else 0.0
