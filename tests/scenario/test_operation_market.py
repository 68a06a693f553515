"""Operations with planned faults: each has the name of its fault, and is otherwise ordinary."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MissingDataError, MultiAgentSimulator, Operation, Scenario
from pytest_nos_stress.faults.mix import FAULTS

NOT_CALLED = ("lost_request", "overload", "reject", "clock", "unknown_state_lost")
SLOW = ("late_execution", "unknown_state", "late_status")
"""Faults that take seconds in real time."""


def seen(tmp_path: Path, engine: str = "virtual") -> dict[str | None, Any]:
    """Return the operation that a task got for each fault, by the fault's name."""
    operations: dict[str | None, Any] = {}

    def buy(operation: Operation) -> None:
        operations[operation.fault] = operation

    async def buy_async(operation: Operation) -> None:
        operations[operation.fault] = operation

    rows = [("Ann", "buy", fault) for fault in (None, *FAULTS) if engine == "virtual" or fault not in SLOW]
    MultiAgentSimulator(
        target={"buy": buy_async if engine == "asyncio" else buy},
        scenario=Scenario(operations=rows, engine=engine),
        output_dir=tmp_path,
    ).run()
    return operations


@pytest.fixture(scope="module", params=["virtual", "asyncio"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def operations(engine: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str | None, Any]:
    return seen(tmp_path_factory.mktemp(engine), engine)


def test_an_operation_names_its_fault(engine: str, operations: dict[str | None, Any]) -> None:
    slow = SLOW if engine == "asyncio" else ()
    assert set(operations) == {None, *FAULTS} - {*NOT_CALLED, *slow}


def test_every_operation_is_an_operation_with_its_own_id(engine: str, operations: dict[str | None, Any]) -> None:
    assert all(isinstance(operation, Operation) for operation in operations.values())
    assert len({operation.id for operation in operations.values()}) == len(operations)
    assert all((operation.agent, operation.task) == ("Ann", "buy") for operation in operations.values())
    sleeps = {asyncio.iscoroutinefunction(operation.sleep) for operation in operations.values()}
    assert sleeps == {engine == "asyncio"}


def test_the_seeds_missing_data_has_no_market_and_the_other_kinds_a_broken_one(tmp_path: Path) -> None:
    def look(operation: Operation) -> None:
        if operation.fault == "missing_data":
            with pytest.raises(MissingDataError, match=r"Ann has no market data for buy \(operation 0\)"):
                _ = operation.market
        else:
            assert operation.market is operation.market
            assert "AAPL" in operation.market.symbols
            looked.append(operation.fault)

    looked: list[str | None] = []
    rows = [("Ann", "buy", fault) for fault in ("missing_data", "stale", "gap", "lost_reply", None)]
    MultiAgentSimulator(
        target={"buy": look}, scenario=Scenario(operations=rows, engine="virtual"), output_dir=tmp_path
    ).run()
    assert looked == ["stale", "gap", "lost_reply", None]


def test_a_task_that_takes_no_operation_cannot_see_data_and_is_not_called(tmp_path: Path) -> None:
    calls: list[int] = []
    result = MultiAgentSimulator(
        target={"buy": lambda: calls.append(1)},
        missing_data={"stale": 1, "gap": 1},
        missing_data_prob=0.5,
        failure_prob=0,
        engine="virtual",
        seed=1,
        output_dir=tmp_path,
    ).run()
    assert result.missing_data > 100
    assert len(calls) == result.successes == result.stats["calls"]
