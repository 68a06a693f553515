"""A seed repeats the plan it had in release 0.1.0: each user who noted a seed relies on that.

``recorded_plans.json`` holds what runs of that release did: the first rows to read, and digests of the rest. The
test uses public names only, and virtual time, in which a seed decides everything. A difference is a change of
behaviour to announce. Only then is the file written anew: ``python tests/scenario/test_recorded_plans.py``.
"""

from __future__ import annotations

import json
import socket
import socketserver
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_nos_stress import Operation, Scenario, eventually, flaky, run_stress_test
from pytest_nos_stress.faults import InjectedFault
from pytest_nos_stress.market import Market
from pytest_nos_stress.proxy import ProxyServer

RECORDED: Final = Path(__file__).with_name("recorded_plans.json")
SAMPLES: Final = 5
START: Final = 1_767_623_400  # When virtual time begins: 2026-01-05T14:30:00Z.
SYMBOLS: Final = ("AAPL", "TSLA")

Row = list[Any]

RUNS: Final[dict[str, dict[str, Any]]] = {
    "defaults, seed 0": {"seed": 0},
    "defaults, seed 7": {"seed": 7},
    "defaults, a long negative seed": {"seed": -(2**80)},
    "weights": {"tasks": {"buy": 3, "sell": 1, "close": 0.25}, "seed": 1},
    "no think time": {"min_delay": 0, "max_delay": 0, "agents": 5, "seed": 2},
    "a long plan": {"operations_per_agent": 3000, "agents": 2, "max_delay": 0, "min_delay": 0, "seed": 3},
    "ramp and warm-up": {"ramp": 2, "warmup": 1, "agents": 6, "seed": 4},
    "a duration": {"duration": 6, "agents": 3, "seed": 5},
    "names": {"agents": ["Ärger", "日本", "a\tb", "-1", 'Agent, "quoted"', "lone \udc80"], "seed": 6},
    "one thread": {"own_threads": False, "min_delay": 0, "max_delay": 0.001, "seed": 8},
    "lost replies": {"failure_mode": "lost_reply", "failure_prob": 0.3, "seed": 9},
    "mixed losses and retries": {
        "failure_mode": "mixed",
        "failure_prob": 0.4,
        "retries": {"times": 3, "backoff": 0.02, "factor": 3},
        "seed": 10,
    },
    "binance": {"faults": "binance", "failure_prob": 0.5, "retries": 2, "seed": 11},
    "alpaca": {"faults": "alpaca", "failure_prob": 0.5, "seed": 12},
    "ib": {"faults": "ib", "failure_prob": 0.5, "max_delay": 2, "seed": 13},
    "bursts": {"faults": {"overload": {"weight": 2, "burst": 6}, "reject": 1}, "failure_prob": 0.3, "seed": 14},
    "bursts in a long plan": {
        "faults": {"overload": 1},
        "missing_data_prob": 0.1,
        "operations_per_agent": 5000,
        "agents": 1,
        "min_delay": 0,
        "max_delay": 0,
        "seed": 15,
    },
    "all missing data": {
        "missing_data": dict.fromkeys(
            (
                "unavailable",
                "gap",
                "silence",
                "stale",
                "disconnect",
                "undefined",
                "bad_timestamp",
                "duplicate",
                "crossed",
                "outlier",
                "halt",
                "missing_bar",
            ),
            1,
        ),
        "missing_data_prob": 0.7,
        "seed": 16,
    },
    "colo": {"network": "colo", "seed": 17},
    "same-region": {"network": "same-region", "max_delay": 0.06, "seed": 18},
    "cross-continent": {"network": "cross-continent", "seed": 19},
    "retail with loss and retries": {
        "network": {"profile": "retail", "loss": "10%", "partitions": [(2, 3)]},
        "retries": 1,
        "seed": 20,
    },
    "uniform": {"network": {"latency": 0.02, "jitter": 0.01, "distribution": "uniform"}, "seed": 21},
    "pareto": {"network": {"latency": 0.02, "p99": 0.2, "distribution": "pareto"}, "seed": 22},
    "paretonormal": {
        "network": {"latency": 0.02, "jitter": 0.01, "distribution": "paretonormal", "correlation": 0.9},
        "seed": 23,
    },
    "fault windows": {
        "agents": 4,
        "fault_windows": [(1, 2), {"after": "open", "lasts": 1}],
        "failure_prob": 0.5,
        "seed": 24,
    },
    "a list": {
        "operations": [
            ("Ann", "buy", None, 0.5),
            ("Bob", "sell", "missing_data"),
            ("Ann", "sell", "lost_request"),
            ("Bob", "buy", "stale", 0.25),
            ("Ann", "buy", "reject", 0.25),
            ("Bob", "buy"),
            ("Ann", "sell", "lost_reply"),
            ("Bob", "sell", "late_status"),
        ],
        "seed": 25,
    },
    "an afternoon of a crash": {"market": {"events": ["flash_crash"], "speed": 600}, "max_delay": 1, "seed": 26},
}

MARKETS: Final[dict[str, dict[str, Any]]] = {
    "equity": {},
    "gjr": {"model": "gjr"},
    "bates": {"model": "bates"},
    "calm": {"model": "calm"},
    "crash": {"events": ["crash"]},
    "flash_crash": {"events": ["flash_crash"]},
}


def recorded_run(settings: dict[str, Any]) -> dict[str, Any]:
    """Run the settings in virtual time, and return what was recorded and what its tasks saw."""
    seen: list[Row] = []
    reads_prices = "market" in settings or "missing_data" in settings

    def perform(operation: Operation) -> None:
        seen.append(_seen_by(operation) + (_prices_of(operation) if reads_prices else []))
        if operation.agent == "Agent_1" and operation.index == 30:
            operation.announce("open")

    with _output_directory() as directory:
        scenario = Scenario(engine="virtual", **settings)
        figures = run_stress_test(
            target=perform, scenario=scenario, output_dir=directory, records=["csv"], report=[]
        )
        records = Path(directory, "stress_test_records.csv").read_bytes().decode("utf-8", "surrogatepass")
        written = json.loads(Path(directory, "scenario.json").read_text("utf-8"))
    return {
        "records": _sampled(records.splitlines()),
        "seen": _sampled(seen),
        "counts": _counts(figures),
        "scenario": _digest(written),
    }


def _seen_by(operation: Operation) -> Row:
    random = operation.random
    row = [operation.agent, operation.index, operation.task, operation.fault, operation.id]
    return [*row, round(operation.now() - START, 6), random.random(), random.getrandbits(40)]


def _prices_of(operation: Operation) -> Row:
    row: Row = []
    for symbol in SYMBOLS:
        try:
            market = operation.market
            quote = market.quote(symbol)
            trades = market.trades(symbol, 3)
            bars = market.bars(symbol, 2)
        except Exception as error:
            row.append(type(error).__name__)
            continue
        numbers = [quote.bid, quote.ask, quote.last, quote.timestamp - START]
        numbers += [number for trade in trades for number in (trade.sequence, trade.price, trade.quantity)]
        numbers += [number for bar in bars for number in (bar.open, bar.high, bar.low, bar.close, bar.volume)]
        row.append(" ".join(f"{number:.6g}" for number in numbers))
    return row


def recorded_recovery() -> dict[str, Any]:
    """Run on without faults after the plan, until a condition holds."""
    seen: list[Row] = []

    def perform(operation: Operation) -> None:
        seen.append(_seen_by(operation)[:4])

    with _output_directory() as directory:
        figures = run_stress_test(
            target=perform,
            tasks=["buy", "sell"],
            agents=3,
            operations_per_agent=20,
            seed=27,
            engine="virtual",
            network="retail",
            checks=[eventually("enough is performed", lambda: len(seen) > 120)],
            output_dir=directory,
            report=[],
        )
    assert figures["recovery_operations"] > 0
    return {"seen": _sampled(seen[-60:]), "counts": _counts(figures)}


class _Broker:
    """A client whose calls meet faults. ``orders`` holds what was executed."""

    def __init__(self) -> None:
        self.orders: list[str] = []

    def submit(self, order: str) -> str:
        self.orders.append(order)
        return "filled"

    def fills(self) -> Iterator[int]:
        yield from range(5)


def recorded_client(engine: str, faults: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return what two flaky clients' calls and streams meet, by agent, index and call."""
    first, second = (flaky(_Broker()) for _ in range(2))
    met: list[Row] = []

    def perform(operation: Operation) -> None:
        answers = [_answer(partial(client.submit, operation.id)) for client in (first, second, first)]
        answers.append(_answer(lambda: str(list(first.fills()))))
        met.append([operation.agent, operation.index, *answers])

    with _output_directory() as directory:
        figures = run_stress_test(
            target=perform,
            tasks=["buy"],
            agents=3,
            operations_per_agent=40,
            max_delay=0.01,
            min_delay=0,
            faults=faults,
            failure_prob=0.4,
            clients=[first, second],
            seed=28,
            engine=engine,
            output_dir=directory,
            report=[],
        )
    met.sort(key=lambda row: row[:2])
    return {"met": _sampled(met), "executed": _counted(first.orders + second.orders), "counts": _counts(figures)}


def _answer(call: Callable[[], str]) -> str:
    try:
        return call()
    except InjectedFault as fault:
        return type(fault).__name__


def recorded_proxy() -> dict[str, Any]:
    """Return what the connections of one agent meet at a proxy before a server."""
    answered: list[Row] = []

    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                for line in self.rfile:
                    self.wfile.write(line)

    with _serving(Echo) as address, ProxyServer() as proxies, _output_directory() as directory:
        proxy = proxies.proxy(address)

        def perform(operation: Operation) -> None:
            numbers = []
            address = proxy.host, proxy.port
            with suppress(ConnectionError), socket.create_connection(address, timeout=60) as connection:
                for number in range(4):
                    connection.sendall(b"order\n")
                    if connection.recv(100):
                        numbers.append(number)
            answered.append([operation.index, numbers])

        figures = run_stress_test(
            target=perform,
            tasks=["buy"],
            agents=1,
            operations_per_agent=24,
            min_delay=0,
            max_delay=0,
            missing_data_prob=0,
            failure_prob=0.15,
            faults={"lost_request": 1, "lost_reply": 1},
            proxies=[proxy],
            seed=29,
            output_dir=directory,
            report=[],
        )
    return {"answered": _sampled(answered), "counts": _counts(figures)}


@contextmanager
def _serving(handler: type[socketserver.StreamRequestHandler]) -> Iterator[tuple[str, int]]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield ("127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def recorded_exchange() -> dict[str, Any]:
    """Trade on the embedded exchange, where no target is given."""
    with _output_directory() as directory:
        figures = run_stress_test(
            seed=30, engine="virtual", records=["csv"], network="colo", output_dir=directory, report=[]
        )
        records = Path(directory, "stress_test_records.csv").read_text("utf-8")
    return {"records": _sampled(records.splitlines()), "counts": _counts(figures)}


def recorded_prices(settings: dict[str, Any]) -> dict[str, Any]:
    """Return a market's quotes at some times, and its bars."""
    market = Market(["AAPL", "MSFT"], seed=31, start=0.0, clock=lambda: 0.0, **settings)
    times = [minutes * 60.0 for minutes in (-6000, -390, -60, -1, 0, 0.01, 1, 30, 200, 329, 331, 900, 4000)]
    quotes = [
        [symbol, time, *(f"{number:.9g}" for number in market.quote_at(symbol, time)[1:])]
        for symbol in market.symbols
        for time in times
    ]
    days = [[f"{number:.9g}" for number in bar[1:]] for bar in market.bars("MSFT", 10, interval=23_400)]
    return {"quotes": _sampled(quotes), "sessions": _sampled(days)}


@contextmanager
def _output_directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def _counts(figures: dict[str, Any]) -> dict[str, Any]:
    outcomes = ("total_operations", "successful_operations", "failed_operations", "missing_data_events", "errors")
    return {name: figures[name] for name in (*outcomes, "calls", "retries", "recovery_operations", "faults")}


def _sampled(rows: list[Any]) -> dict[str, Any]:
    """The first rows to read, the number of rows, and a digest of all of them."""
    return {"first": [json.dumps(row) for row in rows[:SAMPLES]], "rows": len(rows), "digest": _digest(rows)}


def _counted(orders: list[str]) -> dict[str, Any]:
    return _sampled(sorted(orders))


def _digest(value: object) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


CASES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    **{f"run: {name}": partial(recorded_run, settings) for name, settings in RUNS.items()},
    **{f"market: {name}": partial(recorded_prices, settings) for name, settings in MARKETS.items()},
    "recovery": recorded_recovery,
    "client: ib in virtual time": partial(recorded_client, "virtual", "ib"),
    "client: losses in threads": partial(recorded_client, "threads", {"lost_request": 1, "lost_reply": 1}),
    "proxy": recorded_proxy,
    "exchange": recorded_exchange,
}


@pytest.mark.parametrize("case", CASES)
def test_a_seed_repeats_the_plan_it_had_in_release_0_1_0(case: str) -> None:
    assert CASES[case]() == json.loads(RECORDED.read_text("utf-8"))[case]


def test_every_recorded_plan_is_compared() -> None:
    assert set(json.loads(RECORDED.read_text("utf-8"))) == set(CASES)


if __name__ == "__main__":
    RECORDED.write_text(json.dumps({case: record() for case, record in CASES.items()}, indent=1) + "\n", "utf-8")
