"""Who owns what: an account's cash and positions, and what its open orders have set aside of them.

Guaranteed: an order is accepted only if the account could pay for all of it at its limit; so no trade can
make the available cash negative or sell what is not there. All amounts are whole: cash in ticks, positions in
units.

Not thread-safe: an `Exchange` keeps its accounts under its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from pytest_nos_stress.market.errors import InsufficientFunds, InsufficientPosition

from .book import Order


class Balance(NamedTuple):
    """What an account holds at a moment, and how much of that its open orders have set aside."""

    cash: int
    reserved_cash: int
    positions: dict[str, int]
    reserved_positions: dict[str, int]


class Account:
    """One account. It remembers its open orders, and the last `remember` that have ended, by client id.

    `ended_ids` are the client ids of those that have ended, the first to end first; `ended_orders` counts all
    that ever did.
    """

    __slots__ = (
        "_remember",
        "cash",
        "deposited_cash",
        "deposited_positions",
        "ended_ids",
        "ended_orders",
        "name",
        "orders",
        "positions",
        "reserved_cash",
        "reserved_positions",
    )

    def __init__(self, name: str, remember: int) -> None:
        self.name = name
        self.cash = self.reserved_cash = self.deposited_cash = 0
        self.positions: dict[str, int] = {}
        self.reserved_positions: dict[str, int] = {}
        self.deposited_positions: dict[str, int] = {}
        self.orders: dict[str, Order] = {}
        self.ended_ids: deque[str] = deque()
        self.ended_orders = 0
        self._remember = remember

    def deposit(self, cash: int, positions: Mapping[str, int]) -> None:
        self.cash += cash
        self.deposited_cash += cash
        for symbol, quantity in positions.items():
            self.positions[symbol] = self.positions.get(symbol, 0) + quantity
            self.deposited_positions[symbol] = self.deposited_positions.get(symbol, 0) + quantity

    def reserve(self, order: Order, fee: int) -> None:
        """Set aside what the order may need, or raise and change nothing. `fee` is in ticks a unit."""
        if order.side == "buy":
            self._reserve_cash(order, (order.price + fee) * order.quantity)
        else:
            self._reserve_position(order)

    def release(self, order: Order, fee: int) -> None:
        """Give back what is set aside for the part of the order that has not traded."""
        if order.side == "buy":
            self.reserved_cash -= (order.price + fee) * order.remaining
        else:
            self.reserved_positions[order.symbol] -= order.remaining

    def bought(self, symbol: str, quantity: int, cost: int, reserved: int) -> None:
        self.cash -= cost
        self.reserved_cash -= reserved
        self.positions[symbol] = self.positions.get(symbol, 0) + quantity

    def sold(self, symbol: str, quantity: int, proceeds: int) -> None:
        self.cash += proceeds
        self.positions[symbol] -= quantity
        self.reserved_positions[symbol] -= quantity

    def ended(self, order: Order) -> None:
        """Note that the order has ended; the one that ended longest ago may be forgotten for it."""
        self.ended_orders += 1
        self.ended_ids.append(order.client_id)
        if len(self.ended_ids) > self._remember:
            del self.orders[self.ended_ids.popleft()]

    def balance(self) -> Balance:
        return Balance(self.cash, self.reserved_cash, dict(self.positions), dict(self.reserved_positions))

    def _reserve_cash(self, order: Order, needed: int) -> None:
        available = self.cash - self.reserved_cash
        if needed > available:
            raise InsufficientFunds(
                f"{self.name!r} cannot buy {order.quantity} {order.symbol} at {order.price}: "
                f"that takes {needed} ticks, {available} are available"
            )
        self.reserved_cash += needed

    def _reserve_position(self, order: Order) -> None:
        symbol = order.symbol
        reserved = self.reserved_positions.get(symbol, 0)
        available = self.positions.get(symbol, 0) - reserved
        if order.quantity > available:
            raise InsufficientPosition(
                f"{self.name!r} cannot sell {order.quantity} {symbol} at {order.price}: {available} are available"
            )
        self.reserved_positions[symbol] = reserved + order.quantity
