"""An exchange without its lock, caught by its audit. The rest of the exchange is correct."""

from __future__ import annotations

import time

from pytest_nos_stress import Operation, StressSimulator
from pytest_nos_stress.market import Exchange, Order, OrderBook, Side, Trade
from pytest_nos_stress.market.lock import ExchangeLock

AGENTS = 8


class SlowBook(OrderBook):
    """A book that asks a clearing house before each trade. Without a lock, the order can trade meanwhile."""

    def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
        time.sleep(0.0005)
        return super().execute(maker, taker, quantity)


class NoLock(ExchangeLock):
    """A lock that lets every thread in at once."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class TradingFloor:
    """A target on which agents trade with each other: up to ten units, at one of three prices."""

    def __init__(self) -> None:
        self.exchange = Exchange(["ACME"], book=SlowBook)
        for number in range(1, AGENTS + 1):
            self.exchange.open_account(f"Agent_{number}", cash=1_000_000, positions={"ACME": 10_000})

    def buy(self, operation: Operation) -> None:
        self._submit(operation, "buy")

    def sell(self, operation: Operation) -> None:
        self._submit(operation, "sell")

    def _submit(self, operation: Operation, side: Side) -> None:
        quantity, price = operation.random.randint(1, 10), operation.random.randint(99, 101)
        self.exchange.submit(operation.agent, "ACME", side, quantity, price, operation.id)


def run_and_audit(stress_simulator: StressSimulator, floor: TradingFloor) -> list[str]:
    stress_simulator.run(
        target=floor,
        tasks=["buy", "sell"],
        agents=AGENTS,
        operations_per_agent=50,
        min_delay=0,
        max_delay=0,
        failure_prob=0,
        missing_data_prob=0,
        # Without a lock, the exchange raises errors. They must not fail the run before the audit.
        gate=False,
    )
    return floor.exchange.audit()


def test_an_exchange_with_its_lock_passes_the_audit(stress_simulator: StressSimulator) -> None:
    assert run_and_audit(stress_simulator, TradingFloor()) == []


def test_the_audit_catches_an_exchange_without_its_lock(stress_simulator: StressSimulator) -> None:
    floor = TradingFloor()
    floor.exchange.lock = NoLock()
    problems = run_and_audit(stress_simulator, floor)
    assert any("filled, but its trades add up to" in problem for problem in problems), "expected a lost trade"
    assert any("submitted quantity" in problem for problem in problems), "expected a quantity that was lost"
