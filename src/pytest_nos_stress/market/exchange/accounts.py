"""Accounts: cash and positions, and the parts of them that are reserved for open orders.

Guarantees: an order is accepted only if the account can pay for all of it at its limit. So no trade makes the
available cash negative or sells units that the account does not have. All amounts are whole numbers: cash in
ticks, positions in units.

Not thread-safe: an `Exchange` uses its accounts while it holds its lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from pytest_nos_stress.market.errors import InsufficientFunds, InsufficientPosition

from .book import Order


class Balance(NamedTuple):
    """The cash and positions of an account at a moment, and the parts reserved for its open orders."""

    cash: int
    reserved_cash: int
    positions: dict[str, int]
    reserved_positions: dict[str, int]


class Account:
    """One account, with its open orders and the last `remember` ended orders by client id.

    `ended_ids`: client ids of the remembered orders that have ended, the first to end first. `ended_orders`: the
    number of orders that have ended since the account was opened.
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
        """Reserve the cash or units that the order can need. `fee` is in ticks per unit.

        Raises `InsufficientFunds` or `InsufficientPosition`, and then changes nothing.
        """
        if order.side == "buy":
            self._reserve_cash(order, (order.price + fee) * order.quantity)
        else:
            self._reserve_position(order)

    def release(self, order: Order, fee: int) -> None:
        """Release the reservation for the part of the order that has not traded."""
        if order.side == "buy":
            self.reserved_cash -= (order.price + fee) * order.remaining
        else:
            self.reserved_positions[order.symbol] -= order.remaining

    def settle_buy(self, symbol: str, quantity: int, cost: int, reserved: int) -> None:
        self.cash -= cost
        self.reserved_cash -= reserved
        self.positions[symbol] = self.positions.get(symbol, 0) + quantity

    def settle_sell(self, symbol: str, quantity: int, proceeds: int) -> None:
        self.cash += proceeds
        self.positions[symbol] -= quantity
        self.reserved_positions[symbol] -= quantity

    def record_end(self, order: Order) -> None:
        """Record that the order has ended, and forget the oldest ended order if there are too many."""
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
                f"needs {needed} ticks, has {available} available"
            )
        self.reserved_cash += needed

    def _reserve_position(self, order: Order) -> None:
        symbol = order.symbol
        reserved = self.reserved_positions.get(symbol, 0)
        available = self.positions.get(symbol, 0) - reserved
        if order.quantity > available:
            raise InsufficientPosition(
                f"{self.name!r} cannot sell {order.quantity} {symbol} at {order.price}: has {available} available"
            )
        self.reserved_positions[symbol] = reserved + order.quantity
