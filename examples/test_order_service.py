"""An order service with a ledger, under stress. Copy it, and put your own service in the fixture.

The example shows the fixture, the marker with thresholds, parametrisation, invariants checked after a run, and a
client that retries an order after a lost reply.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from pytest_nos_stress import Operation, StressSimulator


class InsufficientFunds(Exception):
    """The service's reply to an order that costs more than the account has. Expected, so not an error."""


@dataclass
class OrderService:
    """A service that accepts an order once for each order id, and books its amount in a ledger."""

    opening_balance: float = 1_000_000.0
    accounts: dict[str, float] = field(default_factory=dict)
    ledger: list[tuple[str, str, float]] = field(default_factory=list)
    order_ids: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def buy(self, operation: Operation) -> None:
        self._book(operation, sign=-1)

    def sell(self, operation: Operation) -> None:
        self._book(operation, sign=+1)

    def audit(self) -> list[str]:
        """Return the problems of the books; an empty list if the books balance."""
        problems = []
        for account, balance in self.accounts.items():
            booked = sum(amount for owner, _, amount in self.ledger if owner == account)
            if abs(self.opening_balance + booked - balance) > 1e-6:
                problems.append(f"{account}: balance {balance} differs from the ledger")
            if balance < 0:
                problems.append(f"{account}: balance {balance} is negative")
        if len(self.ledger) != len(self.order_ids):
            problems.append(f"{len(self.ledger)} bookings for {len(self.order_ids)} orders")
        return problems

    def _book(self, operation: Operation, sign: int) -> None:
        quote = operation.market.quote(operation.random.choice(operation.market.symbols))
        price = quote.ask if sign < 0 else quote.bid
        amount = sign * price * operation.random.randint(1, 10)
        with self.lock:
            if operation.id in self.order_ids:
                return
            balance = self.accounts.setdefault(operation.agent, self.opening_balance)
            if balance + amount < 0:
                raise InsufficientFunds(f"{operation.agent} has {balance:.2f}, needs {-amount:.2f}")
            self.order_ids.add(operation.id)
            self.accounts[operation.agent] = balance + amount
            self.ledger.append((operation.agent, operation.id, amount))


@pytest.fixture
def order_service() -> OrderService:
    return OrderService()


@pytest.mark.stress(
    agents=8,
    operations_per_agent=50,
    min_delay=0,
    max_delay="5ms",
    failure_prob=0.05,
    thresholds=["failure_rate < 10%", "latency{task=buy}.p99 < 250ms"],
)
def test_the_books_balance_under_stress(stress_simulator: StressSimulator, order_service: OrderService) -> None:
    result = stress_simulator.run(target=order_service, tasks={"buy": 2, "sell": 1})
    assert order_service.audit() == []
    assert len(order_service.ledger) == result.successes


@pytest.mark.stress(operations_per_agent=25, min_delay=0, max_delay="2ms", missing_data_prob=0)
@pytest.mark.parametrize("agents", [1, 4, 16])
def test_the_books_balance_with_any_number_of_agents(
    stress_simulator: StressSimulator, order_service: OrderService, agents: int
) -> None:
    result = stress_simulator.run(target=order_service, tasks=["buy", "sell"], agents=agents)
    assert result.operations == agents * 25
    assert order_service.audit() == []


@pytest.mark.stress(agents=4, operations_per_agent=50, min_delay=0, max_delay=0)
def test_a_retry_after_a_lost_reply_is_booked_once(
    stress_simulator: StressSimulator, order_service: OrderService
) -> None:
    def buy_and_retry(operation: Operation) -> None:
        order_service.buy(operation)
        order_service.buy(operation)

    result = stress_simulator.run(
        target={"buy": buy_and_retry}, failure_mode="lost_reply", failure_prob=0.5, missing_data_prob=0
    )
    assert result.failures > 0
    assert len(order_service.ledger) == result.operations
    assert order_service.audit() == []


@pytest.mark.stress(agents=4, operations_per_agent=50, min_delay=0, max_delay=0, missing_data_prob=0)
def test_a_refused_order_is_a_failure_but_not_an_error(stress_simulator: StressSimulator) -> None:
    service = OrderService(opening_balance=5_000.0)
    result = stress_simulator.run(service, tasks=["buy"], failure_prob=0, expected_errors=(InsufficientFunds,))
    assert result.failures > 0
    assert result.errors == 0
    assert len(service.ledger) == result.successes
    assert service.audit() == []
