"""A real FastAPI order service under uvicorn, and real httpx clients that call it through a proxy.

The example shows a server for the tests of a module, an HTTP client for each agent, agents on one event loop, a
network and a toxic in the proxy, recovery after faults, and a check that calls the service.
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
async def place(order_id: str, request: str) -> str:
    """Accept an order once for each order id. ``request`` identifies what the customer asked for."""
    if order_id in orders:
        return "duplicate"
    orders[order_id] = request
    return "placed"


@app.get("/audit")
async def audit() -> list[str]:
    """Return the requests that were ordered more than once."""
    counts = Counter(orders.values())
    return [f"{request} was ordered {count} times" for request, count in counts.items() if count > 1]


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Run the app in a thread. Yield its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        uvicorn_server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        thread = threading.Thread(target=uvicorn_server.run, kwargs={"sockets": [listener]})
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        uvicorn_server.should_exit = True
        thread.join()


@pytest.fixture
def service(server: str) -> str:
    """Return the server's URL, and forget the orders of earlier tests, whose operations had the same ids."""
    orders.clear()
    return server


class Desk:
    """A client that sends an order up to ten times, until it gets a reply.

    With ``retries_under_same_id`` all attempts have the same order id. ``duplicates`` counts the retries of orders
    that the service already had.
    """

    def __init__(self, url: str, *, retries_under_same_id: bool = True, attempts: int = 10) -> None:
        self.url = url
        self.retries_under_same_id = retries_under_same_id
        self.attempts = attempts
        self.duplicates = 0

    @asynccontextmanager
    async def client(self, agent: str) -> AsyncIterator[httpx.AsyncClient]:
        """Yield the agent's own client. It opens a connection for each request, and ignores HTTP_PROXY."""
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            base_url=self.url, headers={"X-Agent": agent}, limits=limits, trust_env=False
        ) as client:
            yield client

    async def buy(self, operation: Operation) -> None:
        client: httpx.AsyncClient = operation.context
        for _ in range(self.attempts):
            order_id = operation.id if self.retries_under_same_id else str(uuid.uuid4())
            try:
                reply = await client.put(f"/orders/{order_id}", params={"request": operation.id})
            except httpx.TransportError:  # no reply: the order may or may not have been placed
                continue
            reply.raise_for_status()
            self.duplicates += reply.json() == "duplicate"
            return
        raise ConnectionError(f"order {operation.id}: no reply in {self.attempts} attempts")


def stress(stress_simulator: StressSimulator, desk: Desk, service: str, **settings: object) -> StressResult:
    """Run eight agents on a desk. The service's audit is a check of the run."""

    def service_audit() -> Any:
        return httpx.get(f"{service}/audit", trust_env=False).json()

    no_faults = {"missing_data_prob": 0, "failure_prob": 0, "min_delay": 0, "max_delay": "10ms"}
    return stress_simulator.run(
        desk,
        tasks=["buy"],
        agents=8,
        per_agent=desk.client,
        checks=[service_audit],
        **(no_faults | settings),
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


def test_orders_over_connections_that_break(
    stress_simulator: StressSimulator, stress_proxy: StressProxy, service: str
) -> None:
    proxy = stress_proxy(service)
    desk = Desk(proxy.url)
    with proxy.add("reset_peer", toxicity=0.2):
        result = stress(stress_simulator, desk, service, operations_per_agent=10)
    assert desk.duplicates > 0, "expected the proxy to break a reply"
    assert len(orders) == result.operations


def test_retries_under_new_ids_are_caught(
    stress_simulator: StressSimulator, stress_proxy: StressProxy, service: str
) -> None:
    proxy = stress_proxy(service)
    with proxy.add("reset_peer", toxicity=0.2), pytest.raises(CheckFailed, match=r"was ordered \d times"):
        stress(stress_simulator, Desk(proxy.url, retries_under_same_id=False), service, operations_per_agent=10)


def test_the_desk_recovers_after_the_faults(
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
