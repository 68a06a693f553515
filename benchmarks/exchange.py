"""Orders/s of the exchange with one and eight threads, compared with two published matching engines.

    python benchmarks/exchange.py             one minute
    python benchmarks/exchange.py --quick     seconds, to see that it works; do not quote its figures

Each thread sends its own stream of orders, the same to every engine: a random side, 1 to 10 units, one of ten
prices. An order that is still open when its thread has sent ten more is cancelled. The figures are orders per
second of wall time. They do not count cancellations: about one for every three orders.

``pyorderbook`` and ``lightmatchingengine`` are measured if they are installed. They have no lock, so each is
measured under a ``threading.Lock`` and under our ``ExchangeLock``. They only match orders. They have no accounts,
reservations, client ids, statuses or journal to audit. So our ``OrderBook`` is also measured alone.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from typing import Any, NamedTuple, Protocol, cast

_ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(_ROOT), str(_ROOT / "src")]

from benchmarks.measuring import ask, median_and_range  # noqa: E402

from pytest_nos_stress.market.exchange.book import Order, OrderBook, Side  # noqa: E402
from pytest_nos_stress.market.exchange.embedded import EmbeddedExchange  # noqa: E402
from pytest_nos_stress.market.exchange.exchange import Exchange  # noqa: E402
from pytest_nos_stress.market.lock import ExchangeLock  # noqa: E402
from pytest_nos_stress.market.quotes import Quote  # noqa: E402

_THREADS = (1, 8)
_SYMBOL = "ACME"
_LOWEST_PRICE, _PRICES = 96, 10
_KEPT_WAITING = 10
_BUDGET = 100_000
_TASKS = ("buy", "sell", "hedge", "rebalance")

Lock = AbstractContextManager[object]


class Request(NamedTuple):
    """An order, as its thread sends it."""

    side: Side
    quantity: int
    price: int
    client_id: str


class Trader(Protocol):
    """A thread's client of a matching engine."""

    def submit(self, request: Request) -> Any:
        """Send an order. Return the argument that ``cancel`` takes."""

    def cancel(self, order: Any) -> None:
        """Cancel the order if it is still open."""


class OurTrader:
    """An account at our exchange, which has its own lock."""

    def __init__(self, exchange: Exchange, account: str) -> None:
        self._exchange, self._account = exchange, account
        exchange.open_account(account, cash=10**12, positions={_SYMBOL: 10**9})

    def submit(self, request: Request) -> Order:
        side, quantity, price, client_id = request
        return self._exchange.submit(self._account, _SYMBOL, side, quantity, price, client_id)

    def cancel(self, order: Order) -> None:
        if order.is_open:
            self._exchange.cancel(self._account, order.client_id)


class OurBookTrader:
    """Our book alone, under a lock."""

    def __init__(self, book: OrderBook, lock: Lock, numbers: Iterator[int]) -> None:
        self._book, self._lock, self._numbers = book, lock, numbers

    def submit(self, request: Request) -> Order:
        side, quantity, price, client_id = request
        order = Order("", _SYMBOL, side, quantity, price, client_id)
        with self._lock:
            order.number = next(self._numbers)
            self._book.submit(order)
        return order

    def cancel(self, order: Order) -> None:
        with self._lock:
            if order.is_open:
                self._book.cancel(order)


class PyOrderBookTrader:
    """A client of pyorderbook, which makes its orders outside the lock."""

    def __init__(self, book: Any, lock: Lock, module: Any) -> None:
        self._book, self._lock = book, lock
        self._make = {"buy": module.bid, "sell": module.ask}

    def submit(self, request: Request) -> Any:
        order = self._make[request.side](_SYMBOL, request.price, request.quantity)
        with self._lock:
            self._book.match(order)
        return order

    def cancel(self, order: Any) -> None:
        with self._lock:
            if order.quantity:
                self._book.cancel(order)


class LightMatchingEngineTrader:
    """A client of lightmatchingengine, which makes the orders itself."""

    def __init__(self, engine: Any, lock: Lock) -> None:
        self._engine, self._lock = engine, lock

    def submit(self, request: Request) -> Any:
        side = 1 if request.side == "buy" else 2
        with self._lock:
            return self._engine.add_order(_SYMBOL, request.price, request.quantity, side)[0]

    def cancel(self, order: Any) -> None:
        with self._lock:
            if order.leaves_qty:
                self._engine.cancel_order(order.order_id, _SYMBOL)


class Contestant(NamedTuple):
    """An engine to compare: the package it needs, and the function that makes a trader for each thread."""

    package: str
    traders: Callable[[int], list[Trader]]


def _ours(threads: int) -> list[Trader]:
    exchange = Exchange([_SYMBOL])
    return [OurTrader(exchange, f"Agent_{number}") for number in range(threads)]


def _ours_under_a_standard_lock(threads: int) -> list[Trader]:
    exchange = Exchange([_SYMBOL])
    exchange.lock = cast(ExchangeLock, threading.RLock())
    return [OurTrader(exchange, f"Agent_{number}") for number in range(threads)]


def _our_book(threads: int) -> list[Trader]:
    book, lock, numbers = OrderBook(_SYMBOL), ExchangeLock(), count(1)
    return [OurBookTrader(book, lock, numbers) for _ in range(threads)]


def _pyorderbook(make_lock: Callable[[], Lock]) -> Callable[[int], list[Trader]]:
    def traders(threads: int) -> list[Trader]:
        module = importlib.import_module("pyorderbook")
        book, lock = module.Book(), make_lock()
        return [PyOrderBookTrader(book, lock, module) for _ in range(threads)]

    return traders


def _lightmatchingengine(make_lock: Callable[[], Lock]) -> Callable[[int], list[Trader]]:
    def traders(threads: int) -> list[Trader]:
        module = importlib.import_module("lightmatchingengine.lightmatchingengine")
        engine, lock = module.LightMatchingEngine(), make_lock()
        return [LightMatchingEngineTrader(engine, lock) for _ in range(threads)]

    return traders


_CONTESTANTS: Mapping[str, Contestant] = {
    "ours": Contestant("pytest_nos_stress", _ours),
    "ours, threading.RLock": Contestant("pytest_nos_stress", _ours_under_a_standard_lock),
    "our OrderBook alone, ExchangeLock": Contestant("pytest_nos_stress", _our_book),
    "pyorderbook, threading.Lock": Contestant("pyorderbook", _pyorderbook(threading.Lock)),
    "pyorderbook, ExchangeLock": Contestant("pyorderbook", _pyorderbook(ExchangeLock)),
    "lightmatchingengine, threading.Lock": Contestant("lightmatchingengine", _lightmatchingengine(threading.Lock)),
    "lightmatchingengine, ExchangeLock": Contestant("lightmatchingengine", _lightmatchingengine(ExchangeLock)),
}


def trade(trader: Trader, requests: list[Request]) -> None:
    """Send a thread's orders. Each new order cancels the oldest of the last ten."""
    sent: list[Any] = [None] * _KEPT_WAITING
    for number, request in enumerate(requests):
        index = number % _KEPT_WAITING
        oldest, sent[index] = sent[index], trader.submit(request)
        if oldest is not None:
            trader.cancel(oldest)


def stream(thread: int, orders: int) -> list[Request]:
    """Return the orders of a thread, the same in every run."""
    random = Random(f"exchange/{thread}")
    return [
        Request(
            "buy" if random.random() < 0.5 else "sell",
            1 + int(random.random() * 10),
            _LOWEST_PRICE + int(random.random() * _PRICES),
            f"{thread}/{number}",
        )
        for number in range(orders)
    ]


def seconds_for(jobs: list[Callable[[], None]]) -> float:
    """Run each job in its own thread. Return the wall time from the common start to the end of the last job."""
    barrier = threading.Barrier(len(jobs) + 1)

    def perform(job: Callable[[], None]) -> None:
        barrier.wait()
        job()

    threads = [threading.Thread(target=perform, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    barrier.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def orders_per_second(name: str, threads: int, orders: int) -> float:
    """Measure one contestant in this process. Return its orders per second."""
    traders = _CONTESTANTS[name].traders(threads)
    streams = [stream(number, orders // threads) for number in range(threads)]

    def job(trader: Trader, requests: list[Request]) -> Callable[[], None]:
        return lambda: trade(trader, requests)

    jobs = [job(trader, requests) for trader, requests in zip(traders, streams, strict=True)]
    return sum(map(len, streams)) / seconds_for(jobs)


class FixedMarket:
    """A market whose quotes cost almost nothing, so that only the exchange is measured.

    Each price moves a tick every 50 readings.
    """

    symbols = ("A", "B", "C", "D", "E")

    def __init__(self) -> None:
        self._read = 0

    def quote(self, symbol: str, /) -> Quote:
        self._read += 1
        bid = 100.0 + (self._read // 50 % 20) / 100
        return Quote(symbol, bid, bid + 0.02, bid, 0.0)


class CheapOperation:
    """An operation without cost: all operations of an agent are the same object."""

    def __init__(self, agent: str, market: FixedMarket) -> None:
        self.agent, self.market = agent, market
        self.random = Random(agent)
        self.id = ""


def tasks_per_second(threads: int, tasks: int) -> float:
    """Measure buy, sell, hedge and rebalance in turn on the embedded exchange. Return tasks per second."""
    market = FixedMarket()
    target = EmbeddedExchange(market)
    perform = [getattr(target, task) for task in _TASKS]

    def job(number: int) -> None:
        operation = CheapOperation(f"Agent_{number}", market)
        for index in range(tasks // threads):
            operation.id = f"{number}/{index}"
            perform[index % len(perform)](operation)

    def for_agent(number: int) -> Callable[[], None]:
        return lambda: job(number)

    return tasks / seconds_for([for_agent(number) for number in range(threads)])


def main() -> None:
    """Compare all contestants in fresh processes. With --measure, print one figure of this process."""
    options = _parser().parse_args()
    if options.measure == "tasks":
        print(json.dumps({"rate": tasks_per_second(options.threads, options.count)}))
    elif options.measure:
        print(json.dumps({"rate": orders_per_second(options.measure, options.threads, options.count)}))
    else:
        _compare(repetitions=1 if options.quick else 5, orders=8_000 if options.quick else 80_000)


def _compare(repetitions: int, orders: int) -> None:
    present = [name for name, contestant in _CONTESTANTS.items() if _is_installed(contestant.package)]
    for package in dict.fromkeys(contestant.package for contestant in _CONTESTANTS.values()):
        if not _is_installed(package):
            print(f"skipped: {package} is not installed; to measure it, run pip install {package}")
    for threads in _THREADS:
        rates = _rates(present, threads, repetitions, orders)
        print(f"\norders/s, {_in_words(threads)}: median (min to max); ratio of ours to it in the same round")
        for name, measured in rates.items():
            ratios = [ours / theirs for ours, theirs in zip(rates["ours"], measured, strict=True)]
            print(f"  {name:<38} {median_and_range(measured, 0):<32} {median_and_range(ratios, 2)} x", flush=True)
    verdict = "met" if median(rates["ours"]) >= _BUDGET else "MISSED"
    print(f"\nbudget of {_BUDGET:,} orders/s with {_in_words(_THREADS[-1])}: {verdict}")
    print("\ntasks/s on the embedded exchange (buy, sell, hedge, rebalance in turn)")
    for threads in _THREADS:
        measured = _rates(["tasks"], threads, repetitions, orders // 2)["tasks"]
        print(f"  {_in_words(threads):<38} {median_and_range(measured, 0)}")


def _rates(names: Sequence[str], threads: int, repetitions: int, number: int) -> dict[str, list[float]]:
    """Measure all contestants in rounds, so that a busy machine affects all of them. Return rates by name."""
    rates: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(repetitions):
        for name in names:
            figure = ask("exchange", "--measure", name, "--threads", threads, "--count", number)
            rates[name].append(figure["rate"])
    return rates


def _in_words(threads: int) -> str:
    return "1 thread" if threads == 1 else f"{threads} threads"


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="check that the benchmark works")
    parser.add_argument("--measure", choices=[*_CONTESTANTS, "tasks"], help="measure one figure in this process")
    parser.add_argument("--threads", type=int, default=1, help="threads for --measure (default: 1)")
    parser.add_argument(
        "--count", type=int, default=80_000, help="orders or tasks for --measure (default: 80,000)"
    )
    return parser


if __name__ == "__main__":
    main()
