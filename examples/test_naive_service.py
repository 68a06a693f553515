"""An order service whose bugs show only under faults: caught in process, and again through a real proxy.

The service retries an order under a new id, and trades on quotes of any age. The broker's audit reports the
duplicate executions and the old quotes. Replace service and broker with your own.
"""

from __future__ import annotations

import http.client
import http.server
import json
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from pytest_nos_stress import CheckFailed, Operation, StressProxy, StressResult, StressSimulator

OLDEST_QUOTE = 2.0  # seconds
ATTEMPTS = 8


class Broker:
    """A broker that executes an order once for each order id.

    ``executed`` maps each order id to the request behind the order, and to the age of its quote in seconds.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executed: dict[str, tuple[str, float]] = {}

    def submit(self, order_id: str, request: str, quote_age: float) -> None:
        with self.lock:
            self.executed.setdefault(order_id, (request, quote_age))

    def audit(self) -> list[str]:
        """Return the duplicate executions, and the trades on old quotes."""
        with self.lock:
            trades = list(self.executed.values())
        counts = Counter(request for request, _ in trades)
        return [
            *(f"order {request} was executed {count} times" for request, count in counts.items() if count > 1),
            *(
                f"order {request} traded on a quote {age:.1f} s old"
                for request, age in trades
                if age > OLDEST_QUOTE
            ),
        ]


class OrderService:
    """The system under test. ``broker`` is any object with a method ``submit``."""

    def __init__(self, broker: Any, *, retries_under_same_id: bool, refuses_old_quotes: bool) -> None:
        self.broker = broker
        self.retries_under_same_id = retries_under_same_id
        self.refuses_old_quotes = refuses_old_quotes

    def buy(self, operation: Operation) -> None:
        quote_age = operation.now() - operation.market.quote("AAPL").timestamp
        if self.refuses_old_quotes and quote_age > OLDEST_QUOTE:
            return
        for _ in range(ATTEMPTS):
            order_id = operation.id if self.retries_under_same_id else str(uuid.uuid4())
            try:
                self.broker.submit(order_id, operation.id, quote_age)
                return
            except OSError:  # no reply: the order may or may not have been executed
                operation.sleep(0.01)
        raise RuntimeError(f"order {operation.id}: no reply in {ATTEMPTS} attempts")


def naive(broker: Any) -> OrderService:
    return OrderService(broker, retries_under_same_id=False, refuses_old_quotes=False)


def repaired(broker: Any) -> OrderService:
    return OrderService(broker, retries_under_same_id=True, refuses_old_quotes=True)


class HttpBroker:
    """A client of the broker, with a connection for each order and a timeout of two seconds."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def submit(self, *order: object) -> None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=2)
        try:
            connection.request("POST", "/orders", json.dumps(order))
            connection.getresponse().read()
        finally:
            connection.close()


class BrokerServer(http.server.ThreadingHTTPServer):
    """An HTTP server for the broker, on a free port."""

    daemon_threads = False

    def __init__(self, broker: Broker) -> None:
        super().__init__(("127.0.0.1", 0), BrokerHandler)
        self.broker = broker

    def handle_error(self, *connection: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may disconnect at any time
            super().handle_error(*connection)


class BrokerHandler(http.server.BaseHTTPRequestHandler):
    server: BrokerServer
    timeout = 10

    def do_POST(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.broker.submit(*order)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def serving(broker: Broker) -> Iterator[tuple[str, int]]:
    """Run a server inside the block. Yield its address."""
    with BrokerServer(broker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join()


class Venue(NamedTuple):
    """The broker, the client through which the service calls it, and the engine for both."""

    broker: Broker
    client: Any
    engine: str


@pytest.fixture(params=["in-process", "through-a-proxy"])
def venue(
    request: pytest.FixtureRequest, stress_simulator: StressSimulator, stress_proxy: StressProxy
) -> Iterator[Venue]:
    broker = Broker()
    if request.param == "in-process":
        yield Venue(broker, stress_simulator.flaky(broker), "virtual")
        return
    with serving(broker) as address, stress_proxy(address) as proxy:
        yield Venue(broker, HttpBroker(proxy.host, proxy.port), "threads")


def stress(stress_simulator: StressSimulator, service: OrderService, venue: Venue, **faults: Any) -> StressResult:
    no_faults = {"missing_data_prob": 0, "failure_prob": 0}
    return stress_simulator.run(
        service,
        tasks=["buy"],
        agents=8,
        operations_per_agent=50,
        min_delay=0,
        max_delay="2ms",
        engine=venue.engine,
        checks=[venue.broker.audit],
        **(no_faults | faults),
    )


def test_a_naive_service_passes_without_faults(stress_simulator: StressSimulator, venue: Venue) -> None:
    result = stress(stress_simulator, naive(venue.client), venue)
    assert len(venue.broker.executed) == result.operations


def test_retries_under_new_ids_are_caught(stress_simulator: StressSimulator, venue: Venue) -> None:
    with pytest.raises(CheckFailed, match=r"order \S+ was executed \d times"):
        stress(stress_simulator, naive(venue.client), venue, faults="binance", failure_prob=0.1)


def test_trades_on_old_quotes_are_caught(stress_simulator: StressSimulator, venue: Venue) -> None:
    with pytest.raises(CheckFailed, match=r"order \S+ traded on a quote \d+\.\d s old"):
        stress(stress_simulator, naive(venue.client), venue, missing_data={"stale": 1}, missing_data_prob=0.2)


def test_the_repaired_service_passes_with_both(stress_simulator: StressSimulator, venue: Venue) -> None:
    everything = {"faults": "binance", "failure_prob": 0.1, "missing_data": {"stale": 1}, "missing_data_prob": 0.2}
    result = stress(stress_simulator, repaired(venue.client), venue, **everything)
    assert set(result.stats["faults"]) > {"stale"}, "expected faults of calls"
