"""Flaky clients without pytest: dependencies of the target whose calls meet the planned faults."""

from __future__ import annotations

import asyncio
import contextvars
import dataclasses
import functools
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock, create_autospec

import pytest

from pytest_nos_stress import (
    MultiAgentSimulator,
    Operation,
    PlannedOperation,
    RunFailed,
    Scenario,
    SettingError,
    StressResult,
)
from pytest_nos_stress.faults import InjectedFault, RateLimited, RequestRejected, RequestTimeout
from pytest_nos_stress.faults.clients import flaky

CALM: dict[str, Any] = {"min_delay": 0, "max_delay": 0, "missing_data_prob": 0, "failure_prob": 0}


class Broker:
    """A client of a broker, which counts what it executes."""

    venue = "XNYS"

    def __init__(self) -> None:
        self.orders: list[object] = []
        self.limit = 5
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return len(self.orders)

    def submit(self, order: object = None, *, tag: str = "") -> int:
        """Send an order."""
        with self._lock:
            self.orders.append(order)
            return len(self.orders)

    async def submit_async(self, order: object = None) -> int:
        await asyncio.sleep(0)
        return self.submit(order)

    def ping(self) -> str:
        return "pong"

    def fills(self) -> Iterator[int]:
        yield from range(10)

    def listed(self) -> list[int]:
        return [1, 2, 3]

    async def fills_async(self) -> AsyncIterator[int]:
        for number in range(10):
            await asyncio.sleep(0)
            yield number

    @contextmanager
    def session(self) -> Iterator[Session]:
        yield Session(self)

    @asynccontextmanager
    async def session_async(self) -> AsyncIterator[Session]:
        yield Session(self)


class Session:
    """Value of a broker's context manager."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def submit(self, order: object = None) -> int:
        return self._broker.submit(order)

    async def submit_async(self, order: object = None) -> int:
        return await self._broker.submit_async(order)


class Closing(Broker):
    """A client that is its own context manager, for ``with`` and ``async with``."""

    is_open = False

    def __enter__(self) -> Closing:
        self.is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open = False

    async def __aenter__(self) -> Closing:
        self.is_open = True
        return self

    async def __aexit__(self, *error: object) -> None:
        self.is_open = False


def run(directory: Path, target: Any, *clients: Any, **changes: Any) -> StressResult:
    settings = {
        **CALM,
        "agents": 4,
        "operations_per_agent": 50,
        "failure_prob": 0.3,
        "seed": 7,
        "gate": False,
        **changes,
    }
    return MultiAgentSimulator(target={"buy": target}, clients=clients, output_dir=directory, **settings).run()


def rows(result: StressResult) -> list[tuple[int, int, int]]:
    return sorted((int(row["agent"]), int(row["index"]), int(row["outcome"])) for row in result.records)


# What is passed through.


def test_a_flaky_client_is_used_like_the_client() -> None:
    broker = Broker()
    client = flaky(broker)
    assert client.submit("order", tag="x") == 1
    assert broker.orders == ["order"]
    assert client.venue == "XNYS"
    assert client.count == 1
    client.limit = 9
    assert broker.limit == 9
    del client.limit
    assert not hasattr(broker, "limit")
    assert not hasattr(client, "no_such_thing")
    assert isinstance(client, Broker)
    assert client.submit.__name__ == "submit"
    assert client.submit.__doc__ == "Send an order."
    assert "Broker" in repr(client)
    assert asyncio.run(client.submit_async()) == 2
    assert list(client.fills()) == list(range(10))


def test_names_of_a_flaky_client_are_those_of_the_client() -> None:
    broker = Broker()
    assert set(dir(broker)) <= set(dir(flaky(broker)))


def test_the_languages_own_operations_are_those_of_the_client() -> None:
    class Book:
        """A client with special methods."""

        def __init__(self) -> None:
            self.rows = {"a": 1}

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, key: str) -> int:
            return self.rows[key]

        def __setitem__(self, key: str, value: int) -> None:
            self.rows[key] = value

        def __delitem__(self, key: str) -> None:
            del self.rows[key]

        def __contains__(self, key: object) -> bool:
            return key in self.rows

        def __iter__(self) -> Iterator[str]:
            return iter(self.rows)

    book = Book()
    client = flaky(book)
    client["b"] = 2
    assert (len(client), client["b"], "b" in client, list(client), bool(client)) == (2, 2, True, ["a", "b"], True)
    del client["a"]
    del client["b"]
    assert not client
    assert (client == book, book == client, client == client, hash(client) == hash(book)) == (True,) * 4
    assert (client != book, client == Book()) == (False, False)


def test_text_and_order_of_a_flaky_client_are_those_of_the_client() -> None:
    class Level(int):
        """A client that can be compared."""

    assert str(flaky(Path("orders"))) == "orders"
    assert flaky(Level(2)) < 3


def test_a_flaky_iterator_is_an_iterator() -> None:
    assert next(flaky(iter([1, 2]))) == 1


@dataclasses.dataclass
class Account:
    """A client that is a dataclass."""

    cash: int = 1

    def pay(self) -> int:
        return self.cash


class Slotted:
    """A client with slots."""

    __slots__ = ("cash",)

    def __init__(self) -> None:
        self.cash = 1

    def pay(self) -> int:
        return self.cash


@pytest.mark.parametrize("kind", [Account, Slotted])
def test_dataclasses_and_classes_with_slots_can_be_clients(tmp_path: Path, kind: Any) -> None:
    client = flaky(kind())
    client.cash = 5
    assert client.pay() == 5
    assert isinstance(client, kind)
    result = run(tmp_path, lambda: client.pay(), client)
    assert 0 < result.failures < 200


def test_a_dataclass_client_is_equal_to_an_equal_one() -> None:
    assert flaky(Account(2)) == Account(2)
    assert Account(2) == flaky(Account(2))
    assert flaky(Account(2)) != Account(3)


def test_a_mock_with_a_spec_is_an_instance_of_the_spec_and_records_its_calls(tmp_path: Path) -> None:
    mock = Mock(spec=Broker)
    client = flaky(mock)
    result = run(tmp_path, lambda: client.submit(), client)
    assert mock.submit.call_count == result.successes < 200
    assert isinstance(mock, Broker)
    assert isinstance(client, Broker)


def test_the_flaky_client_has_the_recorded_calls_of_a_mock() -> None:
    client = flaky(Mock(spec=Broker))
    client.submit("order")
    client.submit.assert_called_once_with("order")


def test_parts_of_a_mock_are_reached_through_it() -> None:
    mock = Mock()
    flaky(mock).orders.submit("order")
    mock.orders.submit.assert_called_once_with("order")


def test_an_async_mock_is_awaited(tmp_path: Path) -> None:
    mock = AsyncMock(spec=Broker)
    mock.submit_async.return_value = 5
    client = flaky(mock)
    answers: list[int] = []

    async def buy() -> None:
        answers.append(await client.submit_async())

    result = run(tmp_path, buy, client)
    assert answers == [5] * result.successes
    assert 0 < result.failures < 200


def test_an_autospecced_class_can_be_a_client(tmp_path: Path) -> None:
    mock = create_autospec(Broker, instance=True)
    client = flaky(mock)
    result = run(tmp_path, lambda: client.submit("order"), client)
    assert mock.submit.call_count == result.successes < 200


# Which calls meet faults.


def test_calls_fail_as_planned_while_the_target_runs_as_it_is(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)
    reached: list[str] = []

    def buy(operation: Operation) -> None:
        reached.append(operation.id)
        client.submit(operation.id)

    result = run(tmp_path, buy, client)
    assert len(reached) == result.operations == 200
    assert broker.count == result.successes
    # 200 draws of 0.3: five standard deviations are 0.16; the seed is fixed.
    assert result.failure_rate == pytest.approx(0.3, abs=0.16)
    assert result.errors == 0


def test_the_statistics_count_each_fault_once_where_it_surfaces(tmp_path: Path) -> None:
    client = flaky(Broker())
    result = run(tmp_path, lambda: client.submit(), client)
    assert result.failures > 0
    assert result.stats["faults"] == {"lost_request": result.failures}


def test_the_statistics_count_each_fault_once_where_the_target_handles_it(tmp_path: Path) -> None:
    client = flaky(Broker())
    caught: list[InjectedFault] = []

    def buy() -> None:
        try:
            client.submit()
        except RequestTimeout as fault:
            caught.append(fault)

    result = run(tmp_path, buy, client)
    assert result.failures == 0
    assert result.stats["faults"] == {"lost_request": len(caught)}
    assert len(caught) > 0


def test_the_statistics_count_each_fault_once_with_retries_of_the_agents(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)
    tried: list[str] = []

    def buy(operation: Operation) -> None:
        tried.append(operation.id)
        client.submit()

    result = run(tmp_path, buy, client, retries={"times": 2, "backoff": 0})
    assert len(tried) == 200 + result.stats["retries"]
    assert result.stats["faults"] == {"lost_request": len(tried) - broker.count}


def test_missing_data_is_counted_once_for_an_operation_that_calls_a_client(tmp_path: Path) -> None:
    client = flaky(Broker())

    def buy(operation: Operation) -> None:
        client.submit()

    settings: dict[str, Any] = {"missing_data_prob": 1, "failure_prob": 0}
    assert run(tmp_path, buy, client, **settings).stats["faults"] == {"missing_data": 200}


def test_an_exception_of_the_target_raised_from_a_fault_is_a_failure_and_not_an_error(tmp_path: Path) -> None:
    client = flaky(Broker())

    class Unplaced(Exception):
        """An exception of the target."""

    def buy() -> None:
        try:
            client.submit()
        except ConnectionError as fault:
            raise Unplaced from fault

    result = run(tmp_path, buy, client)
    assert result.failures > 0
    assert result.errors == 0


def test_an_error_of_the_real_client_stays_an_error(tmp_path: Path) -> None:
    class Broken(Broker):
        def submit(self, order: object = None, *, tag: str = "") -> int:
            raise LookupError("unknown symbol")

    client = flaky(Broken())
    result = run(tmp_path, lambda: client.submit(), client)
    assert 0 < result.errors < result.failures == 200
    assert result.stats["error_types"][0]["type"] == "LookupError"


def test_stop_iteration_of_the_client_is_passed_on(tmp_path: Path) -> None:
    """A mock raises it when its side effects are used up."""
    client = flaky(Mock(spec=Broker, submit=Mock(side_effect=[])))
    result = run(tmp_path, lambda: client.submit(), client, failure_prob=0, agents=1, operations_per_agent=1)
    assert [error["type"] for error in result.stats["error_types"]] == ["StopIteration"]


def test_every_fault_has_its_effect_on_a_call(tmp_path: Path) -> None:
    wanted = {  # calls executed for each made, and what the caller gets
        "lost_request": (0, RequestTimeout),
        "lost_reply": (1, RequestTimeout),
        "reject": (0, RequestRejected),
        "reject_but_filled": (1, RequestRejected),
        "duplicate_ack": (1, None),
        "lost_fill": (1, None),
    }
    for fault, (executed, error) in wanted.items():
        broker = Broker()
        client = flaky(broker)
        raised: list[type[BaseException] | None] = []

        def buy(client: Any = client, raised: list[Any] = raised) -> None:
            try:
                client.submit()
            except InjectedFault as met:
                raised.append(type(met))
            else:
                raised.append(None)

        run(tmp_path, buy, client, failure_prob=1, faults={fault: 1}, agents=2, operations_per_agent=5)
        assert (broker.count, set(raised)) == (executed * 10, {error}), fault


def test_only_the_named_methods_meet_faults(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker, ["submit"])

    def buy() -> None:
        assert client.ping() == "pong"
        client.submit()

    result = run(tmp_path, buy, client, failure_prob=1)
    assert (result.failures, result.errors, broker.count) == (200, 0, 0)
    other = flaky(broker, "submit")
    with pytest.raises(RunFailed, match="the run did not call it"):
        run(tmp_path, lambda: other.ping(), other, failure_prob=1)


def test_with_named_methods_calling_and_iterating_the_client_meet_no_faults(tmp_path: Path) -> None:
    class Feed(Broker):
        def __call__(self) -> str:
            return "called"

        def __iter__(self) -> Iterator[int]:
            return iter(range(5))

    client = flaky(Feed(), ["submit"])

    def buy() -> None:
        assert client() == "called"
        assert list(client) == [0, 1, 2, 3, 4]
        client.submit()

    result = run(tmp_path, buy, client, failure_prob=1)
    assert (result.failures, result.errors) == (200, 0)


def test_private_methods_and_plain_attributes_meet_no_faults(tmp_path: Path) -> None:
    class Inner(Broker):
        def _connect(self) -> str:
            return "connected"

    client = flaky(Inner())

    def buy() -> None:
        assert client._connect() == "connected"
        assert client.venue == "XNYS"
        assert client.count == 0
        client.submit()

    result = run(tmp_path, buy, client, failure_prob=1)
    assert (result.failures, result.errors) == (200, 0)


@pytest.mark.parametrize(
    ("methods", "message"),
    [
        (["sumbit"], "no method 'sumbit'; its methods: .*submit"),
        (["submit", 3], "no method 3"),
        (["limit"], "'limit' of Broker is 5, which cannot be called"),
        ("ping pong", "no method 'ping pong'"),
        (3, "methods=3"),
        ([], "methods="),
    ],
)
def test_bad_methods_are_refused_in_one_line(methods: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        flaky(Broker(), methods)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("client", [None, 3, "broker"])
def test_an_object_without_methods_cannot_be_a_client(client: object) -> None:
    with pytest.raises(SettingError, match="flaky"):
        flaky(client)


def test_an_object_that_is_not_a_flaky_client_is_refused_as_clients_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="clients") as caught:
        MultiAgentSimulator(clients=[Broker()], output_dir=tmp_path)
    assert "\n" not in str(caught.value)


# When they do.


def test_calls_before_and_after_a_run_and_in_its_checks_meet_no_faults(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)
    looks: list[int] = []

    def audit() -> bool:
        looks.append(client.submit("of a check"))
        return True

    assert client.submit("before") == 1
    result = run(tmp_path, lambda: client.ping(), client, failure_prob=1, checks=[audit], every=20)
    assert result.failures == 200
    assert len(looks) > 2
    assert [check.verdict for check in result.checks] == ["passed"]
    assert client.submit("after") == broker.count


def test_fault_windows_apply_to_clients(tmp_path: Path) -> None:
    client = flaky(Broker())

    def buy(operation: Operation) -> None:
        operation.sleep(0.01)
        client.submit()

    settings: dict[str, Any] = {"failure_prob": 1, "fault_windows": [(0.1, 0.3)], "engine": "virtual"}
    result = run(tmp_path, buy, client, **settings)
    assert 0 < result.failures < 200
    again = run(tmp_path, buy, client, **settings)
    assert rows(again) == rows(result)
    assert all(5 <= int(row["index"]) <= 31 for row in result.records if int(row["outcome"]) == 1)


# What decides what a call meets.


def test_one_seed_gives_the_same_outcomes_in_threads_virtual_time_and_asyncio(tmp_path: Path) -> None:
    client = flaky(Broker())

    def buy(operation: Operation) -> None:
        for _ in range(operation.index % 3):
            client.submit()

    async def buy_async(operation: Operation) -> None:
        for _ in range(operation.index % 3):
            await client.submit_async()

    runs = [run(tmp_path, buy, client, engine=engine, agents=8) for engine in ("threads", "threads", "virtual")]
    runs.append(run(tmp_path, buy_async, client, agents=8))
    assert all(rows(run) == rows(runs[0]) for run in runs)
    assert all(run.stats["faults"] == runs[0].stats["faults"] for run in runs)
    assert runs[0].failures > 0
    assert rows(run(tmp_path, buy, client, agents=8, seed=8)) != rows(runs[0])


def test_two_clients_meet_faults_of_their_own(tmp_path: Path) -> None:
    first, second = flaky(Broker(), number=1), flaky(Broker(), number=2)
    met: list[tuple[bool, bool]] = []

    def fails(client: Any) -> bool:
        try:
            client.submit()
        except InjectedFault:
            return True
        return False

    result = run(tmp_path, lambda: met.append((fails(first), fails(second))), first, second)
    assert result.successes == 200
    assert {(True, False), (False, True), (False, False)} <= set(met)
    assert result.stats["faults"]["lost_request"] == sum(map(sum, met))


def test_only_the_first_call_of_an_explicit_operation_meets_its_fault(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)
    met: list[tuple[int, int]] = []

    def buy(operation: Operation) -> None:
        for number in range(2):
            try:
                client.submit()
            except InjectedFault:
                met.append((operation.index, number))

    planned = [PlannedOperation("Ann", "buy"), PlannedOperation("Ann", "buy", fault="lost_request")]
    scenario = Scenario(agents=["Ann"], tasks=["buy"], operations=[*planned, planned[0]])
    simulator = MultiAgentSimulator(
        scenario=scenario, target={"buy": buy}, clients=[client], output_dir=tmp_path, gate=False
    )
    assert simulator.run().successes == 3
    assert met == [(1, 0)]
    assert broker.count == 5


def test_missing_data_of_explicit_operations_is_counted_once(tmp_path: Path) -> None:
    client = flaky(Broker())

    def buy(operation: Operation) -> None:
        client.submit()

    scenario = Scenario(
        agents=["Ann"], tasks=["buy"], operations=[PlannedOperation("Ann", "buy", fault="missing_data")]
    )
    settings: dict[str, Any] = {"scenario": scenario, "target": {"buy": buy}, "clients": [client], "gate": False}
    result = MultiAgentSimulator(output_dir=tmp_path, **settings).run()
    assert result.missing_data == 1
    assert result.stats["faults"] == {"missing_data": 1}


def test_calls_in_the_targets_own_threads_meet_faults_too(tmp_path: Path) -> None:
    client = flaky(Broker())
    met: list[BaseException] = []

    def send() -> None:
        try:
            client.submit()
        except InjectedFault as fault:
            met.append(fault)

    def buy() -> None:
        thread = threading.Thread(target=send)
        thread.start()
        thread.join()

    result = run(tmp_path, buy, client, agents=2)
    assert result.successes == 100
    # 100 draws of 0.3: five standard deviations are 0.23; the seed is fixed.
    assert len(met) / 100 == pytest.approx(0.3, abs=0.23)
    assert result.stats["faults"] == {"lost_request": len(met)}


def test_a_pool_that_keeps_the_context_meets_the_faults_of_the_operation(tmp_path: Path) -> None:
    client = flaky(Broker())

    async def buy() -> None:
        await asyncio.to_thread(client.submit)

    first, second = (run(tmp_path, buy, client) for _ in range(2))
    assert rows(first) == rows(second)
    assert 0 < first.failures < 200


def test_limits_are_shared_by_all_clients_and_agents(tmp_path: Path) -> None:
    first, second = flaky(Broker(), number=1), flaky(Broker(), number=2)
    refused: list[InjectedFault] = []

    def buy(operation: Operation) -> None:
        for client in (first, second):
            try:
                client.submit()
            except RateLimited as error:
                refused.append(error)

    faults = {"rate_limit": {"limit": 10, "per": 60.0, "tolerated": None}}
    result = run(tmp_path, buy, first, second, faults=faults, failure_prob=0, agents=2, operations_per_agent=20)
    assert len(refused) == 80 - 10
    assert result.stats["faults"] == {"rate_limit": 70}
    assert refused[0].status == 429


def test_a_late_request_is_executed_later_even_where_the_run_ends_first(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)
    seen: list[int] = []

    def audit() -> bool:
        seen.append(broker.count)
        return True

    faults = {"late_execution": {"timeout": 0, "delay": 60.0}}
    result = run(
        tmp_path, lambda: client.submit(), client, faults=faults, failure_prob=1, agents=2, checks=[audit]
    )
    assert result.failures == broker.count == 100
    assert seen[-1] == 100, "the last checks look before the late requests are executed"


def test_a_late_request_of_an_async_client_is_executed_too(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)

    async def buy() -> None:
        await client.submit_async()

    faults = {"late_execution": {"timeout": 0, "delay": 0.3}}
    result = run(tmp_path, buy, client, faults=faults, failure_prob=1, agents=2, operations_per_agent=5)
    assert result.failures == broker.count == 10


def test_a_late_request_is_executed_while_virtual_time_advances(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)
    counts: list[int] = []

    def buy(operation: Operation) -> None:
        counts.append(broker.count)
        try:
            client.submit()
        except InjectedFault:
            operation.sleep(10)

    faults = {"late_execution": {"timeout": 1.0, "delay": 2.0}}
    run(tmp_path, buy, client, faults=faults, failure_prob=1, agents=1, operations_per_agent=4, engine="virtual")
    assert counts == [0, 0, 1, 2]
    assert broker.count == 4


def test_a_sync_client_of_an_async_target_waits_and_fails_as_planned(tmp_path: Path) -> None:
    client = flaky(Broker())

    async def buy() -> None:
        client.submit()

    settings: dict[str, Any] = {"failure_prob": 1, "agents": 1, "operations_per_agent": 3}
    result = run(tmp_path, buy, client, faults={"late_status": {"delay": 0.03}}, **settings)
    assert result.successes == 3
    assert result.latency.min >= 0.029


def test_a_delayed_answer_in_the_targets_own_thread_does_not_stop_virtual_time(tmp_path: Path) -> None:
    client = flaky(Broker())

    def buy() -> None:
        thread = threading.Thread(target=client.submit)
        thread.start()
        thread.join()

    faults = {"late_status": {"delay": 0.01}}
    result = run(
        tmp_path, buy, client, faults=faults, failure_prob=1, agents=2, operations_per_agent=3, engine="virtual"
    )
    assert result.successes == 6


# Async calls, sessions, streams.


def test_async_calls_fail_as_planned(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker)

    async def buy() -> None:
        await client.submit_async()

    result = run(tmp_path, buy, client)
    assert broker.count == result.successes < 200
    assert result.errors == 0


class Futures(Broker):
    """A client whose plain methods return awaitables, as in many libraries."""

    def send(self) -> Any:
        return self.submit_async()


class Calling(Broker):
    async def __call__(self) -> int:
        return await self.submit_async()


def test_a_plain_method_that_returns_a_coroutine_is_executed_if_only_its_reply_is_lost(tmp_path: Path) -> None:
    broker = Futures()
    client = flaky(broker)

    async def buy() -> None:
        await client.send()

    result = run(tmp_path, buy, client, failure_prob=1, failure_mode="lost_reply", agents=1)
    assert result.failures == broker.count == 50


def test_an_object_with_an_async_call_is_executed_if_only_its_reply_is_lost(tmp_path: Path) -> None:
    broker = Calling()
    client = flaky(broker)

    async def buy() -> None:
        await client()

    result = run(tmp_path, buy, client, failure_prob=1, failure_mode="lost_reply", agents=1)
    assert result.failures == broker.count == 50


def test_a_partial_of_an_async_function_is_awaited_with_its_faults(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(functools.partial(broker.submit_async, "order"))

    async def buy() -> None:
        await client()

    result = run(tmp_path, buy, client, failure_prob=1, failure_mode="lost_reply", agents=1)
    assert result.failures == broker.count == 50


def test_an_answer_that_is_awaited_or_entered_may_be_either(tmp_path: Path) -> None:
    """Answers of aiohttp can be both: ``await session.get()`` and ``async with session.get()``."""

    class Getting:
        async def _get(self) -> str:
            return "page"

        def __await__(self) -> Any:
            return self._get().__await__()

        async def __aenter__(self) -> str:
            return "page"

        async def __aexit__(self, *error: object) -> None:
            pass

    class Web:
        def get(self) -> Getting:
            return Getting()

    client = flaky(Web())
    pages: list[str] = []

    async def buy() -> None:
        pages.append(await client.get())
        async with client.get() as page:
            pages.append(page)

    assert run(tmp_path, buy, client, failure_prob=0, agents=1).errors == 0
    assert pages == ["page"] * 100


def test_a_function_can_be_a_client_sync_or_async(tmp_path: Path) -> None:
    broker = Broker()
    send = flaky(broker.submit)
    result = run(tmp_path, lambda: send("order"), send)
    assert broker.count == result.successes < 200

    later = Broker()
    send_async = flaky(later.submit_async)

    async def buy() -> None:
        await send_async("order")

    result = run(tmp_path, buy, send_async)
    assert later.count == result.successes < 200


def test_a_client_entered_as_a_context_manager_stays_flaky(tmp_path: Path) -> None:
    broker = Closing()
    client = flaky(broker)

    def buy() -> None:
        with client as entered:
            entered.submit()

    result = run(tmp_path, buy, client)
    assert broker.count == result.successes < 200
    assert not broker.is_open

    async def buy_async() -> None:
        async with client as entered:
            await entered.submit_async()

    broker.orders.clear()
    result = run(tmp_path, buy_async, client)
    assert broker.count == result.successes < 200
    assert not broker.is_open


def test_calls_of_a_session_that_a_client_opens_meet_faults(tmp_path: Path) -> None:
    broker = Broker()
    client = flaky(broker, number=3)

    def buy() -> None:
        with client.session() as session:
            session.submit()

    result = run(tmp_path, buy, client)
    assert result.errors == 0
    assert broker.count == result.successes < 130  # two chances to fail: 0.49 of 200 succeed

    async def buy_async() -> None:
        async with client.session_async() as session:
            await session.submit_async()

    broker.orders.clear()
    result = run(tmp_path, buy_async, client)
    assert result.errors == 0
    assert broker.count == result.successes < 130


def test_items_of_a_stream_are_lost_or_duplicated_or_the_stream_is_cut_off(tmp_path: Path) -> None:
    client = flaky(Broker())
    streams: list[list[int]] = []

    def buy() -> None:
        streams.append(list(client.fills()))

    settings: dict[str, Any] = {"agents": 1, "operations_per_agent": 40}
    lost = run(tmp_path, buy, client, faults={"lost_fill": 1}, **settings)
    assert lost.failures == 0
    assert all(items == sorted(set(items)) for items in streams)
    assert sum(map(len, streams)) == 400 - lost.stats["faults"]["lost_fill"] < 400
    streams.clear()
    twice = run(tmp_path, buy, client, faults={"duplicate_ack": 1}, **settings)
    assert [sorted(set(items)) for items in streams] == [list(range(10))] * 40
    assert sum(map(len, streams)) > 400
    assert twice.failures == 0
    streams.clear()
    cut = run(tmp_path, buy, client, failure_mode="lost_request", **settings)
    assert cut.failures == 40 - len(streams) > 20
    assert cut.errors == 0


def test_items_of_an_async_stream_are_lost_and_duplicated(tmp_path: Path) -> None:
    client = flaky(Broker())
    streams: list[list[int]] = []

    async def buy() -> None:
        streams.append([item async for item in client.fills_async()])

    result = run(tmp_path, buy, client, faults={"lost_fill": 1, "duplicate_ack": 1}, agents=1)
    assert result.failures == 0
    faults = result.stats["faults"]
    assert sum(map(len, streams)) == 500 - faults["lost_fill"] + faults["duplicate_ack"]
    assert min(faults.values()) > 0


def test_a_stream_that_is_left_early_is_closed(tmp_path: Path) -> None:
    closed: list[str] = []

    class Feed:
        def fills(self) -> Iterator[int]:
            try:
                yield from range(10)
            finally:
                closed.append("sync")

    client = flaky(Feed())

    def buy() -> None:
        stream = client.fills()
        next(stream)
        stream.close()

    run(tmp_path, buy, client, failure_prob=0, agents=1, operations_per_agent=3)
    assert closed == ["sync"] * 3


# Answers that are more than they seem.


def test_a_cursor_of_a_database_is_still_a_cursor(tmp_path: Path) -> None:
    client = flaky(sqlite3.connect(":memory:", check_same_thread=False))
    try:
        assert client.execute("select 1").fetchone() == (1,)
        assert list(client.execute("select 1 union select 2")) == [(1,), (2,)]
    finally:
        client.close()


def test_a_path_that_a_client_returns_is_still_a_path(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("filled")

    class Reports:
        def fetch(self) -> Path:
            return tmp_path / "report"

    with open(flaky(Reports()).fetch()) as file:
        assert file.read() == "filled"


def test_an_answer_that_happens_to_be_a_context_manager_can_be_read_without_faults(tmp_path: Path) -> None:
    """A response of requests is one: reading received data does not call the server."""

    class Response:
        def json(self) -> dict[str, int]:
            return {"filled": 1}

        def __enter__(self) -> Response:
            return self

        def __exit__(self, *error: object) -> None:
            pass

    class Web:
        def post(self) -> Response:
            return Response()

    client = flaky(Web(), ["post"])
    answers = flaky(Web())

    def buy() -> None:
        assert client.post().json() == {"filled": 1}

    def buy_all() -> None:
        answers.post().json()

    result = run(tmp_path, buy, client, engine="virtual")
    assert 100 < result.successes < 180
    assert run(tmp_path, buy_all, answers, engine="virtual").successes > 110  # 0.7 of 200, not 0.49


def test_a_client_may_be_wrapped_twice(tmp_path: Path) -> None:
    inner = flaky(Broker(), number=1)
    outer = flaky(inner, number=2)
    result = run(tmp_path, lambda: outer.submit(), inner, outer)
    assert 60 < result.failures < 150  # 0.51 of 200


def test_parts_of_a_client_meet_faults_as_its_methods_do(tmp_path: Path) -> None:
    class Api:
        def __init__(self) -> None:
            self.orders = Broker()

    api = Api()
    client = flaky(api)
    result = run(tmp_path, lambda: client.orders.submit(), client)
    assert api.orders.count == result.successes < 200


def test_faults_of_a_run_do_not_leak_into_the_context_of_the_test(tmp_path: Path) -> None:
    client = flaky(Broker())
    before = dict(contextvars.copy_context())
    run(tmp_path, lambda: client.submit(), client)
    assert dict(contextvars.copy_context()) == before
