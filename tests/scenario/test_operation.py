"""The argument of a task: names, a stable id, a random generator, market data, a context and a clock."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest

from pytest_nos_stress import MissingDataError, MultiAgentSimulator, Operation, RunFailed, Scenario, StressResult
from pytest_nos_stress.market import UnknownSymbol

Perform = Callable[[Operation], None]


def run(directory: Path, target: Any, **settings: Any) -> StressResult:
    defaults: dict[str, Any] = {
        "agents": ["Ann", "Bob"],
        "tasks": ["buy", "sell"],
        "operations_per_agent": 40,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 9,
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **settings}).run()


def gather(directory: Path, read: Callable[[Operation], Any], **settings: Any) -> dict[tuple[str, int], Any]:
    """Run, and return a value of every operation, by agent and index."""
    values: dict[tuple[str, int], Any] = {}

    def note(operation: Operation) -> None:
        values[operation.agent, operation.index] = read(operation)

    run(directory, note, **settings)
    return values


def test_an_operation_knows_its_agent_task_and_index(tmp_path: Path) -> None:
    values = gather(tmp_path, lambda operation: operation.task)
    assert set(values) == {(agent, index) for agent in ("Ann", "Bob") for index in range(40)}
    assert set(values.values()) == {"buy", "sell"}


def test_the_task_of_an_operation_is_that_of_its_record(tmp_path: Path) -> None:
    tasks: dict[tuple[str, int], str] = {}

    def note(operation: Operation) -> None:
        tasks[operation.agent, operation.index] = operation.task

    result = run(tmp_path, note)
    names = result.scenario.task_names
    recorded = {
        (result.scenario.agent_names[row["agent"]], int(row["index"])): names[row["task"]]
        for row in result.records
    }
    assert recorded == tasks


def test_an_id_is_a_uuid_that_no_other_operation_has_and_the_same_in_every_run_of_the_seed(tmp_path: Path) -> None:
    once, again = (gather(tmp_path, lambda operation: operation.id) for _ in range(2))
    assert once == again
    assert len(set(once.values())) == 80
    assert all(str(uuid.UUID(id)) == id for id in once.values())


def test_another_seed_has_other_ids(tmp_path: Path) -> None:
    once = gather(tmp_path, lambda operation: operation.id)
    other = gather(tmp_path, lambda operation: operation.id, seed=10)
    assert not set(once.values()) & set(other.values())


def test_the_id_of_an_operation_does_not_change_while_it_runs(tmp_path: Path) -> None:
    values = gather(tmp_path, lambda operation: (operation.id, operation.random.random(), operation.id))
    assert all(first == second for first, _, second in values.values())


def test_random_is_each_operations_own_and_repeats_with_the_seed(tmp_path: Path) -> None:
    def draw(operation: Operation) -> tuple[float, float]:
        assert isinstance(operation.random, Random)
        return operation.random.random(), operation.random.random()

    once, again = (gather(tmp_path, draw) for _ in range(2))
    assert once == again
    assert len({number for pair in once.values() for number in pair}) == 160
    assert not set(once.values()) & set(gather(tmp_path, draw, seed=10).values())


def test_drawing_more_in_one_operation_changes_no_other(tmp_path: Path) -> None:
    def draw_many_at_first(operation: Operation) -> float:
        for _ in range(100 if operation.index == 0 else 0):
            operation.random.random()
        return operation.random.random()

    once = gather(tmp_path, lambda operation: operation.random.random())
    again = gather(tmp_path, draw_many_at_first)
    assert {key for key in once if once[key] != again[key]} == {("Ann", 0), ("Bob", 0)}


def test_the_market_has_symbols_and_quotes(tmp_path: Path) -> None:
    values = gather(
        tmp_path, lambda operation: [operation.market.quote(symbol) for symbol in operation.market.symbols]
    )
    for quotes in values.values():
        assert len(quotes) >= 1
        for quote in quotes:
            assert 0 < quote.bid < quote.ask
            assert quote.bid <= quote.last <= quote.ask
            assert abs(quote.timestamp - time.time()) < 600


def test_an_unknown_symbol_is_a_lookup_error(tmp_path: Path) -> None:
    def ask(operation: Operation) -> None:
        with pytest.raises(UnknownSymbol, match="NOPE"):
            operation.market.quote("NOPE")

    assert run(tmp_path, ask).errors == 0


def test_missing_data_is_met_when_the_market_is_read(tmp_path: Path) -> None:
    def ask(operation: Operation) -> str:
        assert operation.agent
        assert operation.id
        with pytest.raises(MissingDataError, match=operation.agent):
            _ = operation.market
        return operation.task

    values = gather(tmp_path, ask, missing_data_prob=1)
    assert len(values) == 80


def test_missing_data_happens_to_the_same_operations_in_every_run(tmp_path: Path) -> None:
    def has_data(operation: Operation) -> bool:
        try:
            operation.market.quote(operation.market.symbols[0])
        except MissingDataError:
            return False
        return True

    once, again = (gather(tmp_path, has_data, missing_data_prob=0.3) for _ in range(2))
    assert once == again
    assert set(once.values()) == {True, False}


def test_without_per_agent_the_context_is_none(tmp_path: Path) -> None:
    assert set(gather(tmp_path, lambda operation: operation.context).values()) == {None}


def test_the_context_is_the_agents_own_entered_and_left_in_its_own_thread(tmp_path: Path) -> None:
    entered: dict[str, int] = {}
    left: dict[str, int] = {}
    performed: dict[str, set[int]] = {"Ann": set(), "Bob": set()}

    @contextmanager
    def connection(agent: str) -> Iterator[str]:
        entered[agent] = threading.get_ident()
        yield f"connection of {agent}"
        left[agent] = threading.get_ident()

    def perform(operation: Operation) -> None:
        assert operation.context == f"connection of {operation.agent}"
        assert operation.agent not in left
        performed[operation.agent].add(threading.get_ident())

    run(tmp_path, perform, per_agent=connection)
    assert entered == left
    assert performed == {agent: {thread} for agent, thread in entered.items()}
    assert len({*entered.values(), threading.get_ident()}) == 3


def test_every_agent_is_connected_before_any_performs(tmp_path: Path) -> None:
    entered: list[str] = []
    entered_at_first: list[int] = []

    @contextmanager
    def connection(agent: str) -> Iterator[None]:
        time.sleep(0.03 * int(agent.removeprefix("Agent_")))
        entered.append(agent)
        yield

    def perform(operation: Operation) -> None:
        if operation.index == 0:
            entered_at_first.append(len(entered))

    run(tmp_path, perform, agents=5, operations_per_agent=2, per_agent=connection)
    assert entered_at_first == [5] * 5


def test_every_agent_is_disconnected_although_its_operations_fail(tmp_path: Path) -> None:
    left: list[str] = []

    @contextmanager
    def connection(agent: str) -> Iterator[None]:
        try:
            yield
        finally:
            left.append(agent)

    def fails(operation: Operation) -> None:
        raise SystemExit(3)

    result = run(tmp_path, fails, per_agent=connection, gate=False)
    assert sorted(left) == ["Ann", "Bob"]
    assert result.errors == 80


def refuse(agent: str) -> Any:
    raise ConnectionError(f"{agent} is\nnot let in")


class FailsToEnter:
    def __init__(self, agent: str) -> None:
        self.agent = agent

    def __enter__(self) -> None:
        raise ConnectionError(f"{self.agent} is\nnot let in")

    def __exit__(self, *exception: object) -> None:
        """Never called."""


class FailsToLeave(FailsToEnter):
    def __enter__(self) -> None:
        """Enters."""

    def __exit__(self, *exception: object) -> None:
        raise ConnectionError(f"{self.agent} is\nnot let out")


@pytest.mark.parametrize("per_agent", [refuse, FailsToEnter])
def test_a_session_that_cannot_be_entered_fails_the_run_and_is_its_cause(per_agent: Any, tmp_path: Path) -> None:
    called: list[Operation] = []
    with pytest.raises(RunFailed, match=r"agent (Ann|Bob) was lost: ConnectionError: .* is.+not let in") as caught:
        run(tmp_path, called.append, per_agent=per_agent)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert called == []
    assert not caught.value.result.passed


def test_a_session_of_one_agent_that_cannot_be_entered_leaves_those_of_the_others(tmp_path: Path) -> None:
    left: list[str] = []

    @contextmanager
    def connection(agent: str) -> Iterator[None]:
        if agent == "Bob":
            raise SystemExit("no seat for Bob")
        yield
        left.append(agent)

    with pytest.raises(RunFailed, match="agent Bob was lost: SystemExit: no seat for Bob"):
        run(tmp_path, lambda: None, per_agent=connection)
    assert left == ["Ann"]


def test_a_session_that_cannot_be_left_fails_the_run_but_not_its_counts(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="not let out") as caught:
        run(tmp_path, lambda: None, agents=1, per_agent=FailsToLeave)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert caught.value.result.successes == 40


def test_a_per_agent_that_returns_no_context_manager_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match=r"was lost: (TypeError|AttributeError)"):
        run(tmp_path, lambda: None, per_agent=lambda agent: agent)


def test_a_failed_session_fails_the_run_without_a_gate_too(tmp_path: Path) -> None:
    with pytest.raises(RunFailed):
        run(tmp_path, lambda: None, per_agent=refuse, gate=False)


def test_sleep_takes_the_time_it_is_given(tmp_path: Path) -> None:
    def sleep(operation: Operation) -> tuple[float, float]:
        before = operation.now(), time.perf_counter()
        operation.sleep(0.05)
        return operation.now() - before[0], time.perf_counter() - before[1]

    for by_operation, by_machine in gather(tmp_path, sleep, operations_per_agent=1).values():
        assert by_machine >= 0.049
        assert by_operation >= 0.049


def test_now_is_seconds_since_the_epoch(tmp_path: Path) -> None:
    values = gather(tmp_path, lambda operation: operation.now() - time.time(), operations_per_agent=1)
    assert all(abs(difference) < 60 for difference in values.values())


def test_an_operation_is_recognised_by_its_repr(tmp_path: Path) -> None:
    values = gather(tmp_path, repr, tasks=["buy"], operations_per_agent=1)
    assert values["Ann", 0] == "<Operation 0 of Ann: buy>"


@pytest.mark.parametrize("agent", ["Ännchen", "a\nb", "\x1b[31mred", "\0", "lone \udc80"])
def test_an_agent_of_any_name_has_an_id_and_randomness(agent: str, tmp_path: Path) -> None:
    def read(operation: Operation) -> Any:
        return operation.agent, uuid.UUID(operation.id).hex, operation.random.random()

    values = gather(tmp_path, read, agents=[agent], operations_per_agent=3)
    assert len({id for _, id, _ in values.values()}) == 3


# What is planned to go wrong.


@pytest.mark.parametrize("engine", ["threads", "virtual"])
def test_an_operation_tells_a_client_under_test_what_is_planned_to_go_wrong(engine: str, tmp_path: Path) -> None:
    faults: list[str | None] = []
    rows = [("Ann", "buy", fault) for fault in (None, "lost_reply", "missing_data", "lost_request", "lost_reply")]
    MultiAgentSimulator(
        target=lambda operation: faults.append(operation.fault),
        scenario=Scenario(operations=rows, engine=engine),
        output_dir=tmp_path,
    ).run()
    assert faults == [None, "lost_reply", "missing_data", "lost_reply"]


def test_lost_replies_and_missing_data_are_different_outcomes(tmp_path: Path) -> None:
    seen: set[tuple[str | None, str]] = set()

    def looks(operation: Operation) -> None:
        try:
            seen.add((operation.fault, operation.market.symbols[0]))
        except MissingDataError:
            seen.add((operation.fault, "missing"))

    settings = {"missing_data_prob": 0.3, "failure_prob": 0.5, "failure_mode": "lost_reply"}
    run(tmp_path, looks, **settings)
    assert {fault for fault, symbol in seen if symbol == "missing"} == {"missing_data"}
    assert {fault for fault, symbol in seen if symbol != "missing"} == {None, "lost_reply"}


def test_the_clock_of_an_operation_is_that_of_its_engine(tmp_path: Path) -> None:
    moments = gather(
        tmp_path,
        lambda operation: operation.now(),
        agents=["Ann"],
        operations_per_agent=3,
        engine="virtual",
        min_delay=60,
        max_delay=60,
    )
    first = moments["Ann", 0]
    assert [moments["Ann", index] - first for index in range(3)] == [0, 60, 120]
