"""Planted bugs in accounts, which lose money or units, or get them twice."""

from __future__ import annotations

import threading
from collections import Counter

from pytest_nos_stress import Operation, cooperating_locks

from .bug import Bug


class TwoSells:
    """A desk whose traders share one position. The venue takes 10 ms to accept a sale.

    Bug: the position is checked before those 10 ms and changed after them.
    """

    def __init__(self) -> None:
        self.position = 0
        with cooperating_locks():
            self._lock = threading.Lock()

    def buy(self) -> None:
        self.position += 1

    def sell(self, operation: Operation) -> None:
        if self.position < 1:
            return
        operation.sleep(0.01)
        self.position -= 1

    def audit(self) -> list[str]:
        return [f"the position is {self.position}"] if self.position < 0 else []


class TwoSellsFixed(TwoSells):
    """The desk with a lock, so that it makes one sale at a time."""

    def sell(self, operation: Operation) -> None:
        with self._lock:
            super().sell(operation)


class FeeOnFailedOrder:
    """Clients who begin with 100 each. A purchase costs 40, and a fee of 1 for the venue.

    Bug: the fee is charged even if the client cannot pay for the purchase.
    """

    PRICE, FEE = 40, 1

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self.units: Counter[str] = Counter()
        self.trades = self.fees = 0

    def buy(self, operation: Operation) -> None:
        client = operation.agent
        can_pay = self.spent[client] + self.PRICE + self.FEE <= 100
        if can_pay:
            self.spent[client] += self.PRICE
            self.units[client] += 1
            self.trades += 1
        if self._is_charged(can_pay):
            self.spent[client] += self.FEE
            self.fees += self.FEE

    def _is_charged(self, _can_pay: bool) -> bool:
        return True

    def sell(self, operation: Operation) -> None:
        if self.units[operation.agent]:
            self.units[operation.agent] -= 1
            self.spent[operation.agent] -= self.PRICE

    def audit(self) -> list[str]:
        due = self.trades * self.FEE
        return [f"fees are {self.fees}, but {due} is due"] if self.fees != due else []


class FeeOnFailedOrderFixed(FeeOnFailedOrder):
    """The venue charges the fee only for a purchase."""

    def _is_charged(self, can_pay: bool) -> bool:
        return can_pay


class TransferCycle:
    """Three accounts, each with a lock. A transfer locks two of them, the second 10 ms after the first.

    Bug: a transfer locks its source first, so three transfers in a cycle can deadlock.
    """

    def __init__(self) -> None:
        self.balances = [100, 100, 100]
        with cooperating_locks():
            self._locks = [threading.Lock() for _ in self.balances]

    def cash_to_margin(self, operation: Operation) -> None:
        self._transfer(operation, 0, 1)

    def margin_to_reserve(self, operation: Operation) -> None:
        self._transfer(operation, 1, 2)

    def reserve_to_cash(self, operation: Operation) -> None:
        self._transfer(operation, 2, 0)

    def _transfer(self, operation: Operation, source: int, to: int) -> None:
        first, second = self._order(source, to)
        with self._locks[first]:
            operation.sleep(0.01)
            with self._locks[second]:
                self.balances[source] -= 1
                self.balances[to] += 1

    def _order(self, source: int, to: int) -> tuple[int, int]:
        return source, to

    def audit(self) -> list[str]:
        return [f"the accounts hold {self.balances}"] if sum(self.balances) != 300 else []


class TransferCycleFixed(TransferCycle):
    """A transfer locks the account with the lower number first."""

    def _order(self, source: int, to: int) -> tuple[int, int]:
        return min(source, to), max(source, to)


class SettledTwice:
    """A settlement service that pays out trades older than 30 s, and can be restarted.

    Bug: the set of settled trades is in memory only, so a restart loses it.
    """

    OLD_ENOUGH = 30.0

    def __init__(self) -> None:
        self.made_at: list[float] = []
        self.settled: set[int] = set()
        self.payments: Counter[int] = Counter()

    def trade(self, operation: Operation) -> None:
        self.made_at.append(operation.now())

    def settle(self, operation: Operation) -> None:
        for number, made_at in enumerate(self.made_at):
            if number not in self.settled and operation.now() - made_at >= self.OLD_ENOUGH:
                self.payments[number] += 1
                self.settled.add(number)

    def restart(self) -> None:
        self.settled = set()

    def audit(self) -> list[str]:
        return [f"trade {number} was paid {times} times" for number, times in self.payments.items() if times > 1]


class SettledTwiceFixed(SettledTwice):
    """A restart reads the settled trades from the payments."""

    def restart(self) -> None:
        self.settled = set(self.payments)


BUGS = (
    Bug(
        "two-sells",
        "two sales pass the same check, and the position becomes negative",
        ("buy", "sell"),
        TwoSells,
        TwoSellsFixed,
        (("Agent_1", "buy"), ("Agent_1", "sell"), ("Agent_2", "sell")),
    ),
    Bug(
        "fee-on-failed-order",
        "an order that is refused for lack of cash costs a fee",
        ("buy", "sell"),
        FeeOnFailedOrder,
        FeeOnFailedOrderFixed,
        (("Agent_1", "buy"), ("Agent_1", "buy"), ("Agent_1", "buy")),
    ),
    Bug(
        "transfer-cycle",
        "three transfers wait for each other's accounts",
        ("cash_to_margin", "margin_to_reserve", "reserve_to_cash"),
        TransferCycle,
        TransferCycleFixed,
        (("Agent_1", "cash_to_margin"), ("Agent_2", "margin_to_reserve"), ("Agent_3", "reserve_to_cash")),
    ),
    Bug(
        "settled-twice",
        "a restart forgets which trades were paid",
        ("trade", "settle", "restart"),
        SettledTwice,
        SettledTwiceFixed,
        (
            ("Agent_1", "trade"),
            ("Agent_1", "settle", None, 60.0),
            ("Agent_1", "restart"),
            ("Agent_1", "settle"),
        ),
    ),
)
