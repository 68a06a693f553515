"""A naive order service that no calm test finds out: caught in process, and again through a real proxy.

It sends an order again under a new id when no answer comes, and it trades on whatever price it is shown. The
broker's audit says what came of that. Put your own service and broker in place of these.
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
    """Executes an order once for each order id, and notes what it was sent for and how old its quote was."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.executed: dict[str, tuple[str, float]] = {}

    def submit(self, order_id: str, wish: str, quote_age: float) -> None:
        with self.lock:
            self.executed.setdefault(order_id, (wish, quote_age))

    def audit(self) -> list[str]:
        """What the customers would complain about."""
        with self.lock:
            trades = list(self.executed.values())
        times = Counter(wish for wish, _ in trades)
        return [
            *(f"order {wish} was executed {count} times" for wish, count in times.items() if count > 1),
            *(f"order {wish} traded on a quote {age:.1f} s old" for wish, age in trades if age > OLDEST_QUOTE),
        ]


class OrderService:
    """The system under test. ``broker`` is anything that can submit."""

    def __init__(self, broker: Any, *, keeps_the_order_id: bool, refuses_old_quotes: bool) -> None:
        self.broker = broker
        self.keeps_the_order_id = keeps_the_order_id
        self.refuses_old_quotes = refuses_old_quotes

    def buy(self, operation: Operation) -> None:
        quote_age = operation.now() - operation.market.quote("AAPL").timestamp
        if self.refuses_old_quotes and quote_age > OLDEST_QUOTE:
            return
        for _ in range(ATTEMPTS):
            order_id = operation.id if self.keeps_the_order_id else str(uuid.uuid4())
            try:
                self.broker.submit(order_id, operation.id, quote_age)
                return
            except OSError:  # no answer: executed or not, nobody knows
                operation.sleep(0.01)
        raise RuntimeError(f"order {operation.id}: no answer in {ATTEMPTS} attempts")


def naive(broker: Any) -> OrderService:
    return OrderService(broker, keeps_the_order_id=False, refuses_old_quotes=False)


def repaired(broker: Any) -> OrderService:
    return OrderService(broker, keeps_the_order_id=True, refuses_old_quotes=True)


class HttpBroker:
    """A broker's client: a connection for each order, and two seconds of patience."""

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
    """The broker behind HTTP, at a free port."""

    daemon_threads = False

    def __init__(self, broker: Broker) -> None:
        super().__init__(("127.0.0.1", 0), BrokerHandler)
        self.broker = broker

    def handle_error(self, *connection: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # a client that has gone is no news
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
        """Nobody reads it."""


@contextmanager
def serving(broker: Broker) -> Iterator[tuple[str, int]]:
    """A server that runs in the block. Gives its address."""
    with BrokerServer(broker) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield "127.0.0.1", server.server_port
        finally:
            server.shutdown()
            thread.join()


class Venue(NamedTuple):
    """Where orders go: the broker itself, what the service has of it, and the engine that suits both."""

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
    calm = {"missing_data_prob": 0, "failure_prob": 0}
    return stress_simulator.run(
        service,
        tasks=["buy"],
        agents=8,
        operations_per_agent=50,
        min_delay=0,
        max_delay="2ms",
        engine=venue.engine,
        checks=[venue.broker.audit],
        **(calm | faults),
    )


def test_a_naive_service_passes_where_nothing_goes_wrong(stress_simulator: StressSimulator, venue: Venue) -> None:
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
    assert set(result.stats["faults"]) > {"stale"}, "no fault of a call was met"
