"""Answers of tasks: work that nobody has done is an error of its operation; any other value is ignored."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import types
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from pytest_nos_stress import MultiAgentSimulator, StressResult

SYNC = ["threads", "virtual"]
ALL = [*SYNC, "asyncio"]


def run(target: Any, engine: str, directory: Path, **settings: Any) -> StressResult:
    quiet = {"failure_prob": 0, "missing_data_prob": 0, "min_delay": 0, "max_delay": 0, "report": "none"}
    return MultiAgentSimulator(
        1, ["buy"], operations_per_agent=2, target=target, engine=engine, output_dir=directory, gate=False,
        **{**quiet, **settings},
    ).run()  # fmt: skip


async def fills() -> None:
    raise LookupError("no fill")


def quotes() -> Iterator[int]:
    yield 1


async def streams() -> AsyncIterator[int]:
    yield 1


class Later:
    """An awaitable of a library."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


def partial_of_a_wrapper(function: Callable[[], object]) -> Callable[[], object]:
    """Wrap a function as a decorator does that hides what it wraps."""

    def wrapper(*_arguments: object) -> object:
        return function()

    return functools.partial(wrapper, 1)


@pytest.mark.parametrize("engine", SYNC)
@pytest.mark.parametrize("make", [fills, quotes, streams, Later], ids=lambda make: make.__name__)
def test_work_that_nobody_has_done_is_an_error_of_each_operation(
    make: Callable[[], object], engine: str, tmp_path: Path
) -> None:
    result = run(lambda: make(), engine, tmp_path)

    assert (result.errors, result.failures) == (2, 2)
    assert result.error_types[0]["type"] == "TypeError"
    assert result.error_types[0]["agent"] == "Agent_1"


@pytest.mark.parametrize("make", [quotes, streams], ids=lambda make: make.__name__)
def test_an_event_loop_does_not_run_generators_either(make: Callable[[], object], tmp_path: Path) -> None:
    result = run(lambda: make(), "asyncio", tmp_path)

    assert result.errors == 2


@pytest.mark.parametrize("make", [fills, quotes, streams, Later], ids=lambda make: make.__name__)
def test_the_answer_of_a_coroutine_is_not_awaited_again(make: Callable[[], object], tmp_path: Path) -> None:
    async def buy() -> object:
        return make()

    result = run(buy, "asyncio", tmp_path)

    assert (result.errors, result.error_types[0]["type"]) == (2, "TypeError")


@pytest.mark.parametrize("make", [fills, Later], ids=lambda make: make.__name__)
def test_an_event_loop_awaits_what_a_sync_function_returns(make: Callable[[], object], tmp_path: Path) -> None:
    result = run(partial_of_a_wrapper(make), "asyncio", tmp_path)

    assert result.errors == (2 if make is fills else 0)


def test_an_event_loop_awaits_a_coroutine_that_is_a_generator(tmp_path: Path) -> None:
    @types.coroutine
    def fails() -> Generator[Any, None, None]:
        yield from asyncio.sleep(0).__await__()
        raise LookupError("no fill")

    result = run(lambda: fails(), "asyncio", tmp_path)

    assert result.error_types[0]["type"] == "LookupError"


@pytest.mark.parametrize("engine", SYNC)
def test_work_hidden_behind_a_decorator_is_found(engine: str, tmp_path: Path) -> None:
    assert run(partial_of_a_wrapper(quotes), engine, tmp_path).errors == 2


@pytest.mark.parametrize("engine", ALL)
def test_work_returned_through_a_network_is_found(engine: str, tmp_path: Path) -> None:
    assert run(lambda: quotes(), engine, tmp_path, network="retail").errors == 2


@pytest.mark.parametrize("engine", ALL)
def test_a_future_that_failed_is_an_error_of_the_operation_with_its_exception(engine: str, tmp_path: Path) -> None:
    def buy() -> object:
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        future.set_exception(LookupError("no fill"))
        return future

    result = run(buy, engine, tmp_path)

    assert (result.errors, result.failures) == (2, 2)
    assert result.error_types[0]["type"] == "LookupError"


@pytest.mark.parametrize("engine", ALL)
def test_the_exception_of_a_future_can_be_expected(engine: str, tmp_path: Path) -> None:
    def buy() -> object:
        future: concurrent.futures.Future[None] = concurrent.futures.Future()
        future.set_exception(LookupError("no fill"))
        return future

    result = run(buy, engine, tmp_path, expected_errors=(LookupError,))

    assert (result.errors, result.failures) == (0, 2)


@pytest.mark.parametrize("engine", SYNC)
def test_a_task_that_nobody_can_await_any_more_is_an_error(engine: str, tmp_path: Path) -> None:
    def buy() -> object:
        loop = asyncio.new_event_loop()
        future = loop.create_future()
        loop.close()
        return future

    assert run(buy, engine, tmp_path).errors == 2


@pytest.mark.parametrize("engine", SYNC)
def test_a_failed_task_whose_exception_nobody_saw_is_an_error(engine: str, tmp_path: Path) -> None:
    def buy() -> object:
        async def main() -> asyncio.Task[None]:
            task = asyncio.ensure_future(fills())
            await asyncio.wait([task])
            return task

        return asyncio.run(main())

    result = run(buy, engine, tmp_path)

    assert (result.errors, result.error_types[0]["type"]) == (2, "LookupError")


@pytest.mark.parametrize("engine", SYNC)
def test_a_failed_task_whose_exception_the_target_saw_is_none(engine: str, tmp_path: Path) -> None:
    def buy() -> object:
        async def main() -> asyncio.Task[None]:
            task = asyncio.ensure_future(fills())
            await asyncio.gather(task, return_exceptions=True)
            task.exception()
            return task

        return asyncio.run(main())

    assert run(buy, engine, tmp_path).errors == 0


def started() -> object:
    generator = quotes()
    next(generator)
    return generator


def exhausted() -> object:
    generator = quotes()
    list(generator)
    return generator


def done() -> object:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.set_result(1)
    return future


def cancelled() -> object:
    future: concurrent.futures.Future[int] = concurrent.futures.Future()
    future.cancel()
    return future


def iterated() -> object:
    generator = streams()

    async def first() -> int:
        return await anext(generator)

    asyncio.run(first())
    return generator


class Unhashable(type):
    """A metaclass whose classes have no hash."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(cls, other: object) -> bool:
        raise AssertionError("compared")


class Order(metaclass=Unhashable):
    """An answer of an odd type."""


HARMLESS = {
    "started": started,
    "exhausted": exhausted,
    "done": done,
    "cancelled": cancelled,
    "unhashable": Order,
    "dict": dict,
    "map": lambda: map(int, "1"),
    "mock": mock.MagicMock,
    "function": lambda: quotes,
}


@pytest.mark.parametrize("engine", ALL)
@pytest.mark.parametrize("answer", HARMLESS.values(), ids=HARMLESS)
def test_any_other_answer_is_ignored(answer: Callable[[], object], engine: str, tmp_path: Path) -> None:
    assert run(lambda: answer(), engine, tmp_path).successes == 2


@pytest.mark.parametrize("engine", SYNC)
def test_an_async_generator_that_has_begun_is_ignored(engine: str, tmp_path: Path) -> None:
    assert run(iterated, engine, tmp_path).successes == 2
