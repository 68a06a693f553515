"""Valid targets, and targets that are refused before anything runs."""

from __future__ import annotations

import asyncio
import functools
import unittest.mock
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MissingDataError, MultiAgentSimulator, Operation, SettingError, StressResult


def simulator(directory: Path, target: Any, **options: Any) -> MultiAgentSimulator:
    defaults: dict[str, Any] = {
        "agents": ["Ann", "Bob"],
        "operations_per_agent": 100,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 4,
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **options})


def run(directory: Path, target: Any, **options: Any) -> StressResult:
    return simulator(directory, target, **options).run()


class Desk:
    """A system under test that counts what it is asked to do."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def buy(self, operation: Operation) -> None:
        assert operation.task == "buy"
        self.calls.append("buy")

    def sell(self) -> None:
        self.calls.append("sell")

    @staticmethod
    def hedge(operation: Operation) -> None:
        assert operation.task == "hedge"

    @classmethod
    def rebalance(cls, operation: Operation) -> None:
        assert operation.task == "rebalance"


def test_an_object_performs_each_task_with_the_method_of_its_name(tmp_path: Path) -> None:
    desk = Desk()
    result = run(tmp_path, desk)
    tasks = result.stats["tasks"]
    assert set(tasks) == {"buy", "sell", "hedge", "rebalance"}
    assert Counter(desk.calls) == {name: tasks[name]["total_operations"] for name in ("buy", "sell")}
    assert result.successes == 200


def test_a_mapping_gives_the_tasks_where_none_are_named(tmp_path: Path) -> None:
    calls: list[str] = []
    target = {"quote": lambda: calls.append("quote"), "cancel": lambda operation: calls.append(operation.task)}
    result = run(tmp_path, target)
    assert result.scenario.task_names == ("quote", "cancel")
    assert Counter(calls) == {
        task: result.stats["tasks"][task]["total_operations"] for task in ("quote", "cancel")
    }


def test_of_a_mapping_only_the_named_tasks_are_performed(tmp_path: Path) -> None:
    calls: list[str] = []
    target = {"quote": lambda: calls.append("quote"), "cancel": lambda: calls.append("cancel")}
    run(tmp_path, target, tasks=["cancel"])
    assert set(calls) == {"cancel"}


def test_a_function_performs_every_task(tmp_path: Path) -> None:
    calls: list[str] = []
    run(tmp_path, lambda operation: calls.append(operation.task))
    assert set(calls) == {"buy", "sell", "hedge", "rebalance"}
    assert len(calls) == 200


def test_without_a_target_agents_trade_on_an_embedded_exchange(tmp_path: Path) -> None:
    result = run(tmp_path, None)
    assert (result.operations, result.errors) == (200, 0)


class Counting:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, operation: Operation) -> None:
        self.calls += 1


class CallableWithoutOperation(Counting):
    def __call__(self) -> None:  # type: ignore[override]
        self.calls += 1


class Methods(Counting):
    def bound(self, operation: Operation) -> None:
        self.calls += 1


@pytest.mark.parametrize("kind", [Counting, CallableWithoutOperation])
def test_an_object_that_can_be_called_performs_every_task(kind: type[Counting], tmp_path: Path) -> None:
    target = kind()
    run(tmp_path, target, agents=1)
    assert target.calls == 100


def test_a_bound_method_is_a_function_too(tmp_path: Path) -> None:
    target = Methods()
    run(tmp_path, target.bound, agents=1)
    assert target.calls == 100


def test_a_partial_is_a_function_too(tmp_path: Path) -> None:
    calls: list[tuple[str, str]] = []

    def trade(book: str, operation: Operation) -> None:
        calls.append((book, operation.task))

    run(tmp_path, functools.partial(trade, "book"), tasks=["buy"], agents=1)
    assert calls == [("book", "buy")] * 100


def test_a_builtin_that_takes_one_argument_is_handed_the_operation(tmp_path: Path) -> None:
    taken: list[Operation] = []
    run(tmp_path, taken.append)
    assert len(taken) == 200


def test_a_mock_is_called_with_the_operation_for_every_task(tmp_path: Path) -> None:
    target = unittest.mock.Mock()
    run(tmp_path, target, tasks=["buy", "sell"])
    assert target.buy.call_count + target.sell.call_count == 200
    assert all(isinstance(call.args[0], Operation) for call in target.buy.call_args_list)


def test_a_mock_in_a_mapping_is_called_with_the_operation(tmp_path: Path) -> None:
    target = unittest.mock.Mock()
    run(tmp_path, {"buy": target}, agents=1)
    assert target.call_count == 100
    assert isinstance(target.call_args.args[0], Operation)


def test_a_mock_with_the_spec_of_a_system_performs_its_tasks(tmp_path: Path) -> None:
    target = unittest.mock.create_autospec(Desk, instance=True)
    run(tmp_path, target, tasks=["buy", "sell"])
    assert target.buy.call_count + target.sell.call_count == 200
    assert all(call.args == () for call in target.sell.call_args_list)


def test_an_optional_operation_is_given(tmp_path: Path) -> None:
    taken: list[Any] = []

    def trade(operation: Operation | None = None) -> None:
        taken.append(operation)

    run(tmp_path, trade)
    assert all(isinstance(operation, Operation) for operation in taken)
    assert len(taken) == 200


def test_an_optional_argument_that_is_no_operation_keeps_its_default(tmp_path: Path) -> None:
    taken: list[int] = []

    def trade(quantity: int = 10, *, price: int = 5) -> None:
        taken.append(quantity * price)

    run(tmp_path, trade)
    assert taken == [50] * 200


def test_any_arguments_are_the_operation(tmp_path: Path) -> None:
    taken: list[Any] = []

    def trade(*arguments: Any, **keywords: Any) -> None:
        taken.append((*arguments, *keywords))

    run(tmp_path, trade)
    assert all(len(arguments) == 1 and isinstance(arguments[0], Operation) for arguments in taken)


@pytest.mark.parametrize("value", [False, None, 0, "refused", Exception("returned")])
def test_the_value_returned_is_ignored(value: object, tmp_path: Path) -> None:
    assert run(tmp_path, lambda: value).successes == 200


# Missing data.


def test_a_task_that_takes_the_operation_is_called_without_data(tmp_path: Path) -> None:
    taken: list[Operation] = []
    result = run(tmp_path, taken.append, missing_data_prob=1)
    assert len(taken) == 200
    assert result.missing_data == 200


def test_a_task_that_takes_no_operation_is_not_called_without_data(tmp_path: Path) -> None:
    calls: list[None] = []
    result = run(tmp_path, lambda: calls.append(None), missing_data_prob=0.4)
    assert result.missing_data > 0
    assert len(calls) == result.successes == 200 - result.missing_data


def read(operation: Operation) -> None:
    operation.market.quote(operation.market.symbols[0])


def swallow(operation: Operation) -> None:
    try:
        read(operation)
    except MissingDataError:
        return


class NoQuote(MissingDataError):
    """The exception of a system that translates missing data into an error of its own."""


def translate(operation: Operation) -> None:
    try:
        read(operation)
    except MissingDataError as error:
        raise NoQuote("stale") from error


@pytest.mark.parametrize("target", [read, swallow, translate])
def test_missing_data_that_is_met_or_passed_on_is_missing_data(target: Any, tmp_path: Path) -> None:
    result = run(tmp_path, target, missing_data_prob=1)
    assert (result.missing_data, result.failures, result.errors) == (200, 0, 0)


def stumble(operation: Operation) -> None:
    try:
        read(operation)
    except MissingDataError:
        raise ZeroDivisionError("no price to divide by") from None


def test_anything_else_that_is_raised_over_missing_data_is_a_failure_and_an_error(tmp_path: Path) -> None:
    result = run(tmp_path, stumble, missing_data_prob=1, gate=False)
    assert (result.missing_data, result.failures, result.errors) == (0, 200, 200)
    assert result.error_types[0]["type"] == "ZeroDivisionError"


def test_an_expected_error_over_missing_data_is_a_failure_but_no_error(tmp_path: Path) -> None:
    result = run(tmp_path, stumble, missing_data_prob=1, expected_errors=ZeroDivisionError)
    assert (result.missing_data, result.failures, result.errors) == (0, 200, 0)


def test_missing_data_that_was_not_planned_is_a_failure_and_an_error(tmp_path: Path) -> None:
    def claim(operation: Operation) -> None:
        raise MissingDataError("the feed is down")

    result = run(tmp_path, claim, gate=False)
    assert (result.missing_data, result.failures, result.errors) == (0, 200, 200)


# Planned failures.


@pytest.mark.parametrize(("mode", "called"), [("lost_request", False), ("lost_reply", True)])
@pytest.mark.parametrize("takes_operation", [True, False])
def test_a_lost_request_is_not_made_and_a_lost_reply_is(
    mode: str, called: bool, takes_operation: bool, tmp_path: Path
) -> None:
    calls: list[object] = []
    target: Callable[..., None] = calls.append if takes_operation else lambda: calls.append(None)
    expected = 200 if called else 0
    result = run(tmp_path, target, failure_prob=1, failure_mode=mode, thresholds=[f"calls == {expected}"])
    assert (result.failures, result.errors) == (200, 0)
    assert len(calls) == expected
    assert int(result.records["called"].sum()) == len(calls)


def test_mixed_failures_lose_some_requests_and_some_replies(tmp_path: Path) -> None:
    calls: list[object] = []
    result = run(tmp_path, calls.append, failure_prob=1, failure_mode="mixed")
    assert result.failures == 200
    assert 60 < len(calls) < 140  # 100 expected; 40 are 5.6 standard deviations, and the seed is fixed


def test_a_target_that_raises_where_its_reply_is_lost_is_an_error_all_the_same(tmp_path: Path) -> None:
    result = run(tmp_path, {"buy": lambda: 1 / 0}, failure_prob=1, failure_mode="lost_reply", gate=False)
    assert (result.failures, result.errors) == (200, 200)


# What is refused.


async def coroutine_function(operation: Operation) -> None:
    await asyncio.sleep(0)


async def async_generator_function(operation: Operation) -> AsyncIterator[int]:
    yield 1


def generator_function(operation: Operation) -> Iterator[int]:
    yield 1


class AsyncCallable:
    async def __call__(self, operation: Operation) -> None:
        await asyncio.sleep(0)


class AsyncDesk:
    async def buy(self) -> None:
        await asyncio.sleep(0)


def two(operation: Operation, price: float) -> None:
    """Wants more than there is."""


def keyword(*, price: float) -> None:
    """Wants what there is not."""


class ShownOnLines:
    def __repr__(self) -> str:
        return "several\nlines"


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (async_generator_function, "async generator"),
        (generator_function, "generator"),
        (two, r"\(operation, price\)"),
        (keyword, r"\(price\)"),
        ({"buy": two}, r"\(operation, price\)"),
        (object(), "cannot perform 'buy'"),
        ({"sell": print}, "cannot perform 'buy'; it has sell"),
        ({"sell\nfast": print}, "cannot perform 'buy'"),
        ({}, "cannot perform 'buy'"),
        ({"buy": 5}, "'buy' is 5, which cannot be called"),
        ({"buy": None}, "cannot be called"),
        ({"buy": ShownOnLines()}, "cannot be called"),
        ("a text", "cannot perform 'buy'"),
        (42, "cannot perform 'buy'"),
        (Desk, r"self"),
    ],
)
def test_a_target_that_cannot_perform_a_task_is_refused_before_anything_runs(
    target: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=words) as caught:
        simulator(tmp_path / "out", target, tasks=["buy"])
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "target",
    [
        coroutine_function,
        AsyncCallable(),
        AsyncDesk(),
        functools.partial(coroutine_function),
        unittest.mock.AsyncMock(),
        {"buy": coroutine_function},
    ],
)
def test_a_target_that_is_awaited_chooses_asyncio_by_itself_and_is_refused_by_other_engines(
    target: Any, tmp_path: Path
) -> None:
    quick = {"operations_per_agent": 2, "agents": 2, "min_delay": 0, "max_delay": 0, "missing_data_prob": 0}
    stats = simulator(tmp_path, target, tasks=["buy"], failure_prob=0, **quick).run_simulation()
    assert (stats["scenario"]["engine"], stats["successful_operations"]) == ("asyncio", 4)
    for engine in ("threads", "virtual"):
        with pytest.raises(SettingError, match="async def, which engine"):
            simulator(tmp_path, target, tasks=["buy"], engine=engine)


def test_a_target_that_lacks_one_of_several_tasks_is_refused_with_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot perform 'audit'") as caught:
        simulator(tmp_path, Desk(), tasks=["buy", "audit"])
    assert "rebalance" in str(caught.value)


def test_an_attribute_that_cannot_be_called_performs_no_task(tmp_path: Path) -> None:
    class Broken:
        buy = 5

    with pytest.raises(SettingError, match="cannot perform 'buy'"):
        simulator(tmp_path, Broken(), tasks=["buy"])


def test_a_sync_function_that_returns_a_coroutine_has_performed_nothing(tmp_path: Path) -> None:
    """And no 'never awaited' warning, which would fail this test: warnings are errors here."""
    result = run(tmp_path, lambda operation: coroutine_function(operation), gate=False)
    assert (result.successes, result.errors) == (0, 200)
    assert "coroutine" in result.error_types[0]["message"]
