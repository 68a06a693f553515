"""The memory of an exchange's audit: running totals of the trades, and past violations.

Some violations do not show in the state afterwards, such as a book that was crossed for a moment. They are
recorded in `Violations` when they happen. Each trade is checked once, by the first audit after it or when it
leaves the journal, and added to `AuditState`. So an audit only has to replay the trades since the last audit.
Event sourcing calls this a snapshot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .book import Order, Side, Trade

_MAX_SENTENCES = 20
_MAX_LEVELS = 1_000


Level = tuple[str, Side, int]
"""Symbol, side and price."""


class Violations:
    """Past violations: the first 20 sentences, and the number of further ones."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._more = 0

    def record(self, sentence: str) -> None:
        if len(self._first) < _MAX_SENTENCES:
            self._first.append(sentence)
        else:
            self._more += 1

    def problems(self) -> Iterator[str]:
        yield from self._first
        if self._more:
            yield f"and {self._more} more violations"


class AuditState:
    """The sum of all trades so far: cash (ticks) by account, units by account and symbol.

    `trades`: the number of trades. `quantity`: the units traded. `violations`: trades that are invalid by
    themselves or in their order.
    """

    def __init__(self, fee: int, fee_account: str) -> None:
        self.cash: Counter[str] = Counter()
        self.units: Counter[tuple[str, str]] = Counter()
        self.trades = 0
        self.quantity = 0
        self.violations = Violations()
        self._fee = fee
        self._fee_account = fee_account
        self._last_trade: Trade | None = None
        self._last_makers: dict[Level, int] = {}

    def replay(self, trades: Sequence[Trade]) -> None:
        """Check and add trades, which must follow those added so far."""
        for trade in trades:
            self._apply(trade)
            self._check(trade)
            self._last_trade = trade
        self.trades += len(trades)

    def last_maker(self, level: Level) -> int:
        """Return the number of the order that was the last maker at that level; 0 if unknown."""
        return self._last_makers.get(level, 0)

    def _apply(self, trade: Trade) -> None:
        _, symbol, price, quantity, maker, taker = trade
        buy, sell = (taker, maker) if taker.side == "buy" else (maker, taker)
        notional, fees = price * quantity, self._fee * quantity
        self.cash[buy.account] -= notional + fees
        self.cash[sell.account] += notional - fees
        self.cash[self._fee_account] += 2 * fees
        self.units[buy.account, symbol] += quantity
        self.units[sell.account, symbol] -= quantity
        self.quantity += quantity

    def _check(self, trade: Trade) -> None:
        maker, level = trade.maker, level_of(trade.maker)
        for violation in _price_violations(trade, self._last_trade):
            self.violations.record(violation)
        last = self._last_makers.pop(level, 0)
        if maker.number < last:
            self.violations.record(
                f"trade {trade.sequence} was not first in, first out: order {last} traded at {maker.price} "
                f"before order {maker.number}, which came first"
            )
        self._last_makers[level] = maker.number
        if len(self._last_makers) > _MAX_LEVELS:
            del self._last_makers[next(iter(self._last_makers))]


class PrunedTotals(NamedTuple):
    """Totals of the trades that have left the journal: their number, and the highest order number in them."""

    trades: int = 0
    last_order: int = 0

    def including(self, trades: Sequence[Trade]) -> PrunedTotals:
        numbers = (max(trade.maker.number, trade.taker.number) for trade in trades)
        return PrunedTotals(self.trades + len(trades), max(self.last_order, *numbers))


def numbering_gaps(trades: Sequence[Trade], first: int) -> Iterator[str]:
    """Yield a sentence if the trades are not numbered from `first` without gaps."""
    for expected, trade in enumerate(trades, first):
        if trade.sequence != expected:
            yield f"trade numbers have a gap: got {trade.sequence}, expected {expected}"
            return


def _price_violations(trade: Trade, previous: Trade | None) -> Iterator[str]:
    number, price, maker, taker = trade.sequence, trade.price, trade.maker, trade.taker
    sign = 1 if taker.side == "buy" else -1
    if price != maker.price:
        yield f"trade {number} was at {price}, not at the maker's price of {maker.price}"
    if price * sign > taker.price * sign:
        yield f"trade {number} was at {price}, worse than the taker's limit of {taker.price}"
    if maker.side == taker.side:
        yield f"trade {number} was between two {taker.side} orders"
    if maker.number >= taker.number:
        yield f"trade {number}: maker (order {maker.number}) did not come before taker (order {taker.number})"
    if previous is not None and previous.taker is taker and price * sign < previous.price * sign:
        yield f"trade {number} was at {price}, a better price than the order's earlier trade at {previous.price}"


def level_of(order: Order) -> Level:
    """Return the price level of the order."""
    return order.symbol, order.side, order.price
