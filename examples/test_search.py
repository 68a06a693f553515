"""A Hypothesis search for a scenario that breaks an order service by lost replies or concurrent orders.

``pytest --stress examples/test_search.py`` passes. Set ``retries_under_new_id`` to True, or ``reserves_first`` to
False, and the report ends with the smallest scenario that breaks the service, as an ``@example(...)`` to paste.
"""

from __future__ import annotations

from hypothesis import given, settings

from pytest_nos_stress import Operation, Scenario, StressSimulator, eventually, sometimes
from pytest_nos_stress.strategies import scenarios


class OrderService:
    """A service that books orders up to a limit. The exchange takes 20 ms to confirm an order."""

    retries_under_new_id = False
    reserves_first = True

    def __init__(self) -> None:
        self.limit = 300
        self.reserved = 0
        self.booked: dict[str, int] = {}
        self.unconfirmed: set[str] = set()

    def buy(self, operation: Operation) -> None:
        if self.reserved + 100 > self.limit:
            return
        if self.reserves_first:
            self.reserved += 100
        operation.sleep(0.02)
        if not self.reserves_first:
            self.reserved += 100
        self._book(operation.id)
        if operation.fault == "lost_reply":
            self.unconfirmed.add(operation.id)
            self._book(f"{operation.id}-retry" if self.retries_under_new_id else operation.id)

    def reconcile(self) -> None:
        self.unconfirmed.clear()

    def _book(self, order_id: str) -> None:
        self.booked[order_id] = 100

    def problems(self) -> list[str]:
        """Return the problems of the books; an empty list if the books balance."""
        problems = []
        if self.reserved > self.limit:
            problems.append(f"{self.reserved} reserved, the limit is {self.limit}")
        if sum(self.booked.values()) > self.reserved:
            problems.append(f"{sum(self.booked.values())} booked, {self.reserved} reserved")
        return problems


@settings(max_examples=50, deadline=None)
@given(scenario=scenarios(tasks=["buy", "reconcile"], agents=(1, 4), operations=(1, 20)))
def test_no_scenario_breaks_the_books(stress_simulator: StressSimulator, scenario: Scenario) -> None:
    service = OrderService()
    stress_simulator.run(service, scenario=scenario, checks=[service.problems])


def test_the_service_recovers_from_lost_replies(stress_simulator: StressSimulator) -> None:
    service = OrderService()
    stress_simulator.run(
        service,
        tasks=["buy", "reconcile"],
        agents=4,
        failure_mode="lost_reply",
        failure_prob=0.5,
        engine="virtual",
        seed=1,
        checks=[
            service.problems,
            sometimes("the limit is reached", lambda: service.reserved == service.limit),
            eventually("everything is confirmed", lambda: not service.unconfirmed),
        ],
    )
