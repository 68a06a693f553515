"""A FastAPI order service under uvicorn, and httpx clients that reach it through a proxy. All of it is real.

What it shows: a server for the tests of a module, an HTTP client for each agent, agents on one event loop, a
network and a toxic on the wire, recovery after faults, and a check that asks the service itself.
"""

from __future__ import annotations

import socket
import threading
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from pytest_nos_stress import CheckFailed, Operation, StressProxy, StressResult, StressSimulator

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
pytest.importorskip("httpx")

import httpx
import uvicorn
from fastapi import FastAPI

app = FastAPI()
orders: dict[str, str] = {}


@app.put("/orders/{order_id}")
async def place(order_id: str, wish: str) -> str:
    """Take an order, once for each order id. ``wish`` is the customer's name for it."""
    if order_id in orders:
        return "known"
    orders[order_id] = wish
    return "placed"


@app.get("/audit")
async def audit() -> list[str]:
    """What customers would complain about."""
    return [f"{wish} was ordered {count} times" for wish, count in Counter(orders.values()).items() if count > 1]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The app in a thread of its own. Gives its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uvicorn_server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        uvicorn_server.should_exit = True
        thread.join()


@pytest.fixture
def service(server: str) -> str:
    """The URL again, and no orders of earlier tests: their operations had the same ids."""
    orders.clear()
    return server


class Desk:
    """Sends an order up to ten times, until it is answered. A careful one does so under one order id."""

    def __init__(self, url: str, *, is_careful: bool = True, attempts: int = 10) -> None:
        self.url = url
        self.is_careful = is_careful
        self.attempts = attempts
        self.known = 0

    @asynccontextmanager
    async def client(self, agent: str) -> AsyncIterator[httpx.AsyncClient]:
        """The agent's own client, with a new connection for each request, whatever HTTP_PROXY says."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=self.url, headers={"X-Agent": agent}, limits=limits, trust_env=False
        ) as client:
            yield client

    async def buy(self, operation: Operation) -> None:
        client: httpx.AsyncClient = operation.context
        for _ in range(self.attempts):
            order_id = operation.id if self.is_careful else str(uuid.uuid4())
            try:
                answer = await client.put(f"/orders/{order_id}", params={"wish": operation.id})
            except httpx.TransportError:  # no answer: taken or not, nobody knows
                continue
            answer.raise_for_status()
            self.known += answer.json() == "known"
            return
        raise ConnectionError(f"order {operation.id}: no answer in {self.attempts} attempts")


def stress(stress_simulator: StressSimulator, desk: Desk, service: str, **settings: object) -> StressResult:
    """Run eight agents at a desk, and ask the service for its audit."""

    def audit_of_the_service() -> Any:
        return httpx.get(f"{service}/audit", trust_env=False).json()

    calm = {"missing_data_prob": 0, "failure_prob": 0, "min_delay": 0, "max_delay": "10ms"}
    return stress_simulator.run(
        desk,
        tasks=["buy"],
        agents=8,
        per_agent=desk.client,
        checks=[audit_of_the_service],
        **(calm | settings),
    )


def test_orders_over_a_network(stress_simulator: StressSimulator, stress_proxy: StressProxy, service: str) -> None:
    result = stress(
        stress_simulator,
        Desk(stress_proxy(service).url),
        service,
        operations_per_agent=20,
        network="same-region",
        thresholds=["latency.med > 10ms", "latency.p99 < 2s", "failures == 0"],
    )
    assert result.scenario.engine == "asyncio"
    assert len(orders) == result.successes


def test_orders_over_a_line_that_breaks(
    stress_simulator: StressSimulator, stress_proxy: StressProxy, service: str
) -> None:
    proxy = stress_proxy(service)
    desk = Desk(proxy.url)
    with proxy.add("reset_peer", toxicity=0.2):
        result = stress(stress_simulator, desk, service, operations_per_agent=10)
    assert desk.known > 0, "no reply was lost"
    assert len(orders) == result.operations


def test_a_careless_desk_is_caught(
    stress_simulator: StressSimulator, stress_proxy: StressProxy, service: str
) -> None:
    proxy = stress_proxy(service)
    with proxy.add("reset_peer", toxicity=0.2), pytest.raises(CheckFailed, match=r"was ordered \d times"):
        stress(stress_simulator, Desk(proxy.url, is_careful=False), service, operations_per_agent=10)


def test_all_is_well_once_the_faults_are_over(
    stress_simulator: StressSimulator, stress_proxy: StressProxy, service: str
) -> None:
    result = stress(
        stress_simulator,
        Desk(stress_proxy(service).url, attempts=2),
        service,
        duration="2s",
        faults={"lost_request": 1, "lost_reply": 1},
        failure_prob=0.5,
        fault_windows=[(0, 1)],
        thresholds=["errors{faults=off} == 0", "errors{faults=on} > 0", "latency{faults=off}.p90 < 1s"],
    )
    assert result.stats["faults"]["lost_reply"] > 0
