"""An exchange that forgot its lock, caught by its audit: everything else about it is as it should be."""

from __future__ import annotations

import time

from pytest_nos_stress import Operation, StressSimulator
from pytest_nos_stress.market import Exchange, Order, OrderBook, Side, Trade
from pytest_nos_stress.market.lock import ExchangeLock

AGENTS = 8


class SlowBook(OrderBook):
    """Asks a clearing house before each trade: without a lock, others trade with the same orders meanwhile."""

    def execute(self, maker: Order, taker: Order, quantity: int) -> Trade:
        time.sleep(0.0005)
        return super().execute(maker, taker, quantity)


class ForgottenLock(ExchangeLock):
    """Lets everybody in at once."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *error: object) -> None:
        pass


class TradingFloor:
    """Agents who buy from each other and sell to each other, a few units at one of three prices."""

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


def problems_after_a_run(stress_simulator: StressSimulator, floor: TradingFloor) -> list[str]:
    stress_simulator.run(
        target=floor,
        tasks=["buy", "sell"],
        agents=AGENTS,
        operations_per_agent=50,
        min_delay=0,
        max_delay=0,
        failure_prob=0,
        missing_data_prob=0,
        # The errors that agents meet without a lock would fail the run; here the audit is to judge.
        gate=False,
    )
    return floor.exchange.audit()


def test_an_exchange_with_its_lock_passes_the_audit(stress_simulator: StressSimulator) -> None:
    assert problems_after_a_run(stress_simulator, TradingFloor()) == []


def test_an_exchange_that_forgot_its_lock_is_caught(stress_simulator: StressSimulator) -> None:
    floor = TradingFloor()
    floor.exchange.lock = ForgottenLock()
    problems = problems_after_a_run(stress_simulator, floor)
    assert any("filled, its trades make" in problem for problem in problems), "no order lost a trade"
    assert any("submitted quantity" in problem for problem in problems), "no quantity was lost"
