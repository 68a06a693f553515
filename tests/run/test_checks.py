"""Checks: invariants, states that must have been seen, and recovery, as a user's run judges them."""

from __future__ import annotations

import functools
import gc
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock, NonCallableMagicMock

import numpy as np
import pytest

import pytest_nos_stress
from pytest_nos_stress import (
    CheckFailed,
    MultiAgentSimulator,
    Operation,
    RunFailed,
    Scenario,
    SettingError,
    StressResult,
    cooperating_locks,
    eventually,
    sometimes,
)

QUICK: dict[str, Any] = {
    "agents": 3,
    "operations_per_agent": 20,
    "tasks": ["buy"],
    "seed": 1,
    "min_delay": 0,
    "max_delay": 0,
    "missing_data_prob": 0,
    "failure_prob": 0,
}
each_engine = pytest.mark.parametrize("engine", ["threads", "virtual"])
ways = pytest.mark.parametrize(
    "way",
    [{"engine": "threads"}, {"engine": "virtual"}, {"engine": "virtual", "own_threads": False}],
    ids=["threads", "virtual", "virtual, shared threads"],
)


@pytest.fixture(autouse=True)
def locks() -> Iterator[None]:
    """Do what ``pytest --stress`` does for a session."""
    with cooperating_locks():
        yield


def run(directory: Path, target: Any = lambda: None, **options: Any) -> StressResult:
    if "scenario" in options:
        return MultiAgentSimulator(target=target, output_dir=directory, **options).run()
    return MultiAgentSimulator(target=target, output_dir=directory, **{**QUICK, **options}).run()


def verdicts(result: StressResult) -> dict[str, str]:
    return {check.name: check.verdict for check in result.checks}


def answers(value: Any) -> Callable[[], Any]:
    def audit() -> Any:
        return value

    return audit


def raises(error: BaseException) -> Callable[[], Any]:
    def audit() -> Any:
        raise error

    return audit


# What a check says.


@each_engine
@pytest.mark.parametrize("answer", [None, True, [], (), set(), {}, "", np.bool_(True), frozenset()], ids=repr)
def test_a_check_that_finds_nothing_holds(answer: object, engine: str, tmp_path: Path) -> None:
    result = run(tmp_path, engine=engine, checks=[answers(answer)])
    assert verdicts(result) == {"audit": "passed"}
    assert result.passed


@each_engine
@pytest.mark.parametrize(
    ("check", "words"),
    [
        (answers(False), "it returned False"),
        (answers(np.bool_(False)), "it returned False"),
        (answers(["Ann owes 5", "Bob owes 6"]), "['Ann owes 5', 'Bob owes 6']"),
        (answers("Ann owes 5"), "Ann owes 5"),
        (answers({"Ann": -5}), "{'Ann': -5}"),
        (answers({7}), "{7}"),
        (answers(("x",)), "('x',)"),
        (answers(0), "it returned 0 (int); must return None, True, False or a list of problems"),
        (answers(3), "it returned 3 (int); must return"),
        (answers(object), "it returned <class 'object'> (type): call it; must return"),
        (answers(len), "it returned <built-in function len> (builtin_function_or_method): call it; must return"),
        (answers(iter([1])), "must return None, True, False or a list of problems"),
        (answers(MagicMock(name="audit")), "it returned <MagicMock name='audit' id='"),
        (answers(NonCallableMagicMock(spec=list)), "(NonCallableMagicMock): give the mock a return_value; must"),
        (answers(Mock(spec=bool)), "(Mock): give the mock a return_value; must"),
        (raises(LookupError("no account")), "LookupError: no account"),
        (raises(AssertionError("two\nlines")), "AssertionError: two lines"),
    ],
    ids=lambda parameter: str(parameter)[:30] if isinstance(parameter, str) else "",
)
def test_a_check_that_finds_something_fails_the_run_and_says_what(
    check: Callable[[], Any], words: str, engine: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckFailed) as caught:
        run(tmp_path, engine=engine, checks=[check])
    message = str(caught.value)
    assert message.startswith("check audit failed: after ")
    assert words in message
    assert len(message.splitlines()) == 1
    assert not caught.value.result.passed
    stats = json.loads((tmp_path / "simulation_statistics.json").read_text())
    assert (stats["verdict"], stats["checks"][0]["verdict"]) == ("failed", "failed")


def test_an_exception_of_a_check_is_the_cause_of_the_failure(tmp_path: Path) -> None:
    error = LookupError("no account")
    with pytest.raises(CheckFailed) as caught:
        run(tmp_path, checks=[raises(error)])
    assert caught.value.__cause__ is error


@ways
def test_a_check_that_fails_as_pytest_fails_does_not_hold(way: dict[str, Any], tmp_path: Path) -> None:
    def audit() -> None:
        pytest.fail("Ann owes 5")

    with pytest.raises(RunFailed, match="Ann owes 5"):
        run(tmp_path, checks=[audit], **way)
    assert json.loads((tmp_path / "simulation_statistics.json").read_text())["verdict"] == "failed"


@pytest.mark.filterwarnings("error")
def test_a_check_that_is_async_is_refused_or_broken_but_never_held(tmp_path: Path) -> None:
    async def audit() -> bool:
        return True

    def hidden() -> Any:
        return audit()

    with pytest.raises(SettingError, match="checks: audit is async def"):
        run(tmp_path, checks=[audit])
    with pytest.raises(CheckFailed, match=r"hidden failed: after .* \(coroutine\): await it; must return None"):
        run(tmp_path, checks=[hidden])
    with pytest.raises(CheckFailed, match="<coroutine"):
        run(tmp_path, checks=[lambda: [hidden()]])
    gc.collect()


async def is_settled() -> bool:
    return False


def settles() -> Iterator[bool]:
    yield False


async def settles_soon() -> AsyncIterator[bool]:
    yield False


def a_future() -> Future[bool]:
    return Future()


WRONG_ANSWERS: list[tuple[Callable[[], Any], str]] = [
    (is_settled, "<coroutine object is_settled> (coroutine): await it"),
    (settles, "<generator object settles> (generator): remove yield"),
    (settles_soon, "<async_generator object settles_soon> (async_generator): remove yield"),
    (a_future, "<Future state=pending> (Future): call its result()"),
    (lambda: is_settled, "<function is_settled> (function): call it"),
    (lambda: Service().is_whole, "(method): call it"),
    (lambda: MagicMock(), "(MagicMock): give the mock a return_value"),
    (lambda: Mock(spec=bool), "(Mock): give the mock a return_value"),
    (lambda: None, "None (NoneType): add return"),
    (lambda: 1, "1 (int)"),
    (lambda: 0, "0 (int)"),
    (list, "[] (list)"),
    (lambda: "no", "'no' (str)"),
    (lambda: np.int64(1), "(int64)"),
    (lambda: np.array([True]), "array([ True]) (ndarray)"),
    (lambda: AttributeError("x"), "AttributeError('x') (AttributeError)"),
]
wrong_answers = pytest.mark.parametrize(
    ("answer", "words"), WRONG_ANSWERS, ids=[words for _, words in WRONG_ANSWERS]
)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("engine", ["threads", "virtual"])
@wrong_answers
def test_only_a_bool_answers_a_condition(
    answer: Callable[[], Any], words: str, engine: str, tmp_path: Path
) -> None:
    for check in (
        sometimes("settled", lambda: answer()),
        eventually("settled", lambda: answer()),
    ):
        with pytest.raises(CheckFailed) as caught:
            run(tmp_path, engine=engine, checks=[check])
        gc.collect()
        (line,) = str(caught.value).splitlines()
        assert line.startswith("check settled failed: it returned ")
        assert f"{words}; must return True or False" in line
        assert caught.value.result.stats["checks"][0]["looks"] == 1


@pytest.mark.filterwarnings("error")
@ways
@wrong_answers
def test_only_a_bool_reports_a_state(
    answer: Callable[[], Any], words: str, way: dict[str, Any], tmp_path: Path
) -> None:
    """The check fails, also if the state is reported correctly at another time; the operations do not."""
    partial = sometimes("partial fill")

    def buy(operation: Operation) -> None:
        partial(True)
        partial(answer())

    with pytest.raises(CheckFailed) as caught:
        run(tmp_path, buy, checks=[partial], **way)
    gc.collect()
    assert "check partial fill failed: it was called with " in str(caught.value)
    said = words.replace("remove yield", "call a function without yield")
    assert f"{said}; must be True or False" in str(caught.value)
    assert caught.value.result.failures == 0
    assert run(tmp_path, lambda: partial(np.bool_(True)), checks=[partial], **way).passed


@pytest.mark.parametrize("answer", [True, np.bool_(True)])
def test_a_bool_answers_a_condition(answer: Any, tmp_path: Path) -> None:
    checks = [sometimes("seen", answers(answer)), eventually("settled", answers(answer))]
    assert run(tmp_path, checks=checks).passed


@pytest.mark.parametrize("check", [settles, settles_soon, is_settled, functools.partial(is_settled)])
def test_a_check_whose_call_would_not_run_its_body_is_refused(check: Any, tmp_path: Path) -> None:
    for wrapped in (check, sometimes("x", check), eventually("x", check)):
        with pytest.raises(SettingError, match=r"^checks: .* is (async def|a generator function); must be a "):
            run(tmp_path, checks=[wrapped])


@pytest.mark.filterwarnings("error")
@ways
def test_a_per_agent_that_returns_no_context_manager_is_named(way: dict[str, Any], tmp_path: Path) -> None:
    async def session(agent: str) -> None:
        raise AssertionError

    with pytest.raises(
        RunFailed, match=r"per_agent: it returned <coroutine .* \(coroutine\): await it; must return a"
    ):
        run(tmp_path, per_agent=lambda agent: session(agent), **way)
    with pytest.raises(RunFailed, match=r"per_agent: it returned None \(NoneType\): add return; must return a"):
        run(tmp_path, per_agent=lambda _: None, **way)
    remedy = r"\(generator\): decorate the function with contextlib\.contextmanager; must return a"
    with pytest.raises(RunFailed, match=remedy):
        run(tmp_path, per_agent=lambda _: settles(), **way)
    gc.collect()


class Service:
    """Counts orders; loses one on purpose."""

    def __init__(self, loses: int = -1) -> None:
        self.orders = 0
        self.expected = 0
        self.loses = loses

    def buy(self) -> None:
        self.expected += 1
        if self.expected != self.loses:
            self.orders += 1

    def is_whole(self) -> bool:
        return self.orders == self.expected

    def audit(self) -> list[str]:
        return [] if self.orders == self.expected else [f"{self.expected - self.orders} orders are lost"]


def max_of_two(a: int, b: int) -> int:
    """Not a check: it takes two arguments."""
    return max(a, b)


def no_order_is_lost(service: Service) -> bool:
    return service.orders == service.expected


@each_engine
def test_a_check_takes_the_target_or_nothing(engine: str, tmp_path: Path) -> None:
    service = Service()
    result = run(tmp_path, service, engine=engine, checks=[no_order_is_lost, service.audit, service.audit])
    assert [check.verdict for check in result.checks] == ["passed"] * 3
    assert [check.name for check in result.checks] == ["no_order_is_lost", "audit", "audit"]


def test_one_check_need_not_be_in_a_list(tmp_path: Path) -> None:
    service = Service(loses=3)
    with pytest.raises(CheckFailed, match="audit failed"):
        run(tmp_path, service, checks=service.audit)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"checks": 5}, "checks=5"),
        ({"checks": ["audit"]}, r"checks=\['audit'\]"),
        ({"checks": [max_of_two]}, r"requires the arguments \(a, b\)"),
        ({"every": 0, "checks": [bool]}, "every=0"),
        ({"every": "often"}, "every='often'"),
    ],
    ids=["number", "text", "two arguments", "every 0", "every text"],
)
def test_a_check_that_cannot_be_one_is_one_line_before_anything_runs(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=words) as caught:
        MultiAgentSimulator(output_dir=tmp_path / "out", **options)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sometimes(""), "sometimes: name=''"),
        (lambda: sometimes(5), "sometimes: name=5"),  # type: ignore[arg-type]
        (lambda: sometimes("x", 5), "sometimes: condition=5"),  # type: ignore[arg-type]
        (lambda: eventually(" ", bool), "eventually: name=' '"),
        (lambda: eventually("x", None), "eventually: condition=None"),  # type: ignore[arg-type]
        (lambda: eventually("x", bool, within=0), "eventually: within=0: must be seconds above 0"),
        (lambda: eventually("x", bool, within="soon"), "eventually: within='soon'"),
        (lambda: eventually("x", bool, operations=0), "eventually: operations=0: must be a whole number"),
        (lambda: eventually("x", bool, operations=1.5), "eventually: operations=1.5"),  # type: ignore[arg-type]
    ],
    ids=range(9),
)
def test_what_cannot_be_seen_or_become_true_is_one_line(make: Callable[[], object], words: str) -> None:
    with pytest.raises(SettingError, match=words.replace("(", r"\(")) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


# During the run.


@pytest.mark.parametrize("own_threads", [True, False])
def test_in_virtual_time_a_broken_check_ends_the_run_at_the_operation_that_broke_it(
    own_threads: bool, tmp_path: Path
) -> None:
    performed: list[str] = []
    service = Service(loses=17)

    def buy(operation: Operation) -> None:
        performed.append(operation.agent)
        service.buy()

    with pytest.raises(CheckFailed) as caught:
        run(tmp_path, buy, engine="virtual", own_threads=own_threads, checks=[service.audit])
    assert len(performed) == caught.value.result.operations == 17
    assert f"check audit failed: after an operation of {performed[-1]}: ['1 orders are lost']" in str(caught.value)
    assert caught.value.result.status == "stopped"


@pytest.mark.parametrize(("every", "seen_after"), [(1, 17), (5, 20), (17, 17), (100, 60)])
def test_checks_run_every_n_operations_and_after_the_run(every: int, seen_after: int, tmp_path: Path) -> None:
    service = Service(loses=17)
    with pytest.raises(CheckFailed, match="1 orders are lost") as caught:
        run(tmp_path, service, engine="virtual", checks=[service.audit], every=every)
    assert caught.value.result.operations == seen_after


def test_with_real_threads_checks_run_only_after_the_run_by_default(tmp_path: Path) -> None:
    result = run(tmp_path, checks=[answers(True)])
    assert [check.looks for check in result.checks] == [1]
    result = run(tmp_path, checks=[answers(True)], every=10)
    assert [check.looks for check in result.checks] == [7]


def test_under_real_threads_a_broken_check_ends_the_run_soon(tmp_path: Path) -> None:
    service = Service(loses=17)

    def buy() -> None:
        time.sleep(0.0005)
        with lock:
            service.buy()

    lock = threading.Lock()
    with pytest.raises(CheckFailed, match="after an operation of Agent_") as caught:
        run(tmp_path, buy, operations_per_agent=100_000, checks=[service.audit], every=5)
    assert caught.value.result.status == "stopped"
    assert 17 <= caught.value.result.operations < 60


@pytest.mark.parametrize("every", [1, 3, 10])
def test_under_real_threads_nobody_is_in_an_operation_when_a_check_looks(every: int, tmp_path: Path) -> None:
    under_way: set[str] = set()

    def trade(operation: Operation) -> None:
        under_way.add(operation.agent)
        time.sleep(0.0002)
        under_way.discard(operation.agent)

    result = run(tmp_path, trade, agents=8, operations_per_agent=25, checks=[lambda: not under_way], every=every)
    assert result.operations == 200
    assert result.checks[0].looks > 1


@pytest.mark.parametrize("own_threads", [True, False])
def test_in_virtual_time_a_check_may_look_while_others_sleep_in_their_operations(
    own_threads: bool, tmp_path: Path
) -> None:
    """While an operation sleeps, its target is in the middle of a change, and a check should see that state."""
    under_way: set[str] = set()

    def trade(operation: Operation) -> None:
        under_way.add(operation.agent)
        operation.sleep(operation.random.random())
        under_way.discard(operation.agent)

    seen: set[int] = set()
    run(
        tmp_path,
        trade,
        engine="virtual",
        own_threads=own_threads,
        checks=[lambda: seen.add(len(under_way))],
        operation_timeout=60,
    )
    assert max(seen) == 2


@pytest.mark.parametrize("own_threads", [True, False])
def test_a_check_may_take_the_targets_lock(own_threads: bool, tmp_path: Path) -> None:
    lock = threading.Lock()

    def trade(operation: Operation) -> None:
        with lock:
            operation.sleep(1)

    def free() -> bool:
        with lock:
            return True

    result = run(
        tmp_path,
        trade,
        engine="virtual",
        own_threads=own_threads,
        checks=[free],
        operations_per_agent=4,
        operation_timeout=600,
    )
    assert verdicts(result) == {"free": "passed"}
    assert result.operations == 12


@ways
def test_without_a_gate_the_checks_are_in_the_result(way: dict[str, Any], tmp_path: Path) -> None:
    result = run(tmp_path, checks=[answers(False), answers(True), sometimes("seen")], gate=False, **way)
    assert result.checks[0].verdict == "failed"
    assert not result.passed
    assert [check["check"] for check in result.stats["checks"]] == ["audit", "audit", "seen"]
    assert set(result.stats["checks"][0]) == {"check", "verdict", "looks", "finding"}


def test_all_broken_checks_are_told_one_a_line(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed) as caught:
        run(tmp_path, checks=[answers(["first"]), answers(True), answers("second")])
    lines = str(caught.value).splitlines()
    assert lines == [
        "check audit failed: after the run: ['first'] (seed 1)",
        "check audit failed: after the run: second",
    ]


@ways
def test_a_run_that_fails_otherwise_judges_no_check_it_could_not_look_at(
    way: dict[str, Any], tmp_path: Path
) -> None:
    def refuse(agent: str) -> Any:
        raise ConnectionError("refused")

    with pytest.raises(RunFailed, match="refused") as caught:
        run(tmp_path, checks=[answers(True), sometimes("x"), eventually("y", bool)], per_agent=refuse, **way)
    assert set(verdicts(caught.value.result).values()) == {"no data"}


def test_the_checks_of_a_test_are_judged_before_its_thresholds(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed):
        run(tmp_path, checks=[answers(False)], thresholds=["operations == 1"])


# Sometimes.


@ways
def test_a_state_that_was_never_seen_fails_the_run(way: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="check partial fill failed: never seen") as caught:
        run(tmp_path, checks=[sometimes("partial fill", lambda: False)], **way)
    assert caught.value.result.operations == 60


@ways
def test_a_state_that_was_seen_once_passes(way: dict[str, Any], tmp_path: Path) -> None:
    service = Service()
    many = sometimes("many orders", lambda target: target.orders >= 7)
    result = run(tmp_path, service, checks=[many], every=1, **way)
    assert verdicts(result) == {"many orders": "passed"}


@ways
def test_the_code_under_test_can_tell_itself_that_a_state_was_reached(way: dict[str, Any], tmp_path: Path) -> None:
    last = sometimes("last operation")

    def trade(operation: Operation) -> None:
        last(operation.index == 19)

    assert verdicts(run(tmp_path, trade, checks=[last], **way)) == {"last operation": "passed"}


@ways
def test_a_state_that_an_earlier_run_has_seen_does_not_count(way: dict[str, Any], tmp_path: Path) -> None:
    seen = sometimes("seen")
    once = [True]
    prepared = MultiAgentSimulator(
        target=lambda: seen(once.pop() if once else False), output_dir=tmp_path, checks=[seen], **{**QUICK, **way}
    )
    assert prepared.run().passed
    with pytest.raises(CheckFailed, match="never seen"):
        prepared.run()


def test_a_state_whose_condition_raises_was_not_seen(tmp_path: Path) -> None:
    with pytest.raises(CheckFailed, match="check filled failed: never seen"):
        run(tmp_path, checks=[sometimes("filled", raises(LookupError("no book")))], engine="virtual")


# Eventually.


class Pending:
    """Orders that stay pending where a reply was lost, until a later call without a fault settles them."""

    def __init__(self) -> None:
        self.pending: set[str] = set()
        self.faults: list[tuple[float, str | None]] = []

    def buy(self, operation: Operation) -> None:
        self.faults.append((operation.now(), operation.fault))
        if operation.fault:
            self.pending.add(operation.agent)
        else:
            self.pending.discard(operation.agent)

    def is_settled(self) -> bool:
        return not self.pending


FAULTY: dict[str, Any] = {"failure_prob": 0.9, "failure_mode": "lost_reply", "missing_data_prob": 0.5}


@ways
def test_what_becomes_true_without_faults_holds(way: dict[str, Any], tmp_path: Path) -> None:
    service = Pending()
    result = run(tmp_path, service, checks=[eventually("settled", service.is_settled)], **{**FAULTY, **way})
    assert verdicts(result) == {"settled": "passed"}
    if way["engine"] == "virtual":  # real threads may have settled by the end of the plan
        assert result.operations > 60
    assert result.operations == result.successes + result.failures + result.missing_data
    lines = (tmp_path / "stress_test_results.log").read_text().splitlines()
    assert len(lines) == result.operations
    snapshot = json.loads((tmp_path / "agent_memory_snapshot.json").read_text())
    assert len(snapshot) == result.successes
    per_agent = result.stats["agent_stats"].values()
    assert sum(agent["total_operations"] for agent in per_agent) == result.operations
    assert result.records.size == result.operations


@pytest.mark.parametrize("own_threads", [True, False])
def test_no_fault_is_planned_while_a_target_recovers(own_threads: bool, tmp_path: Path) -> None:
    service = Pending()
    evaluations: list[int] = []

    def after_a_while() -> bool:
        evaluations.append(len(service.faults))
        return len(evaluations) > 30

    result = run(
        tmp_path,
        service,
        engine="virtual",
        own_threads=own_threads,
        checks=[eventually("later", after_a_while)],
        **FAULTY,
    )
    recovering = service.faults[evaluations[0] :]
    assert len(recovering) >= 20
    assert {fault for _, fault in recovering} == {None}
    assert [int(outcome) for outcome in result.records["outcome"][-len(recovering) :]] == [0] * len(recovering)


@ways
def test_what_never_becomes_true_is_broken_after_its_operations(way: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(
        CheckFailed, match="check settled failed: not true within 15 operations of an agent without faults"
    ) as caught:
        run(tmp_path, checks=[eventually("settled", lambda: False, operations=15)], **way)
    assert 60 < caught.value.result.operations <= 60 + 3 * 15


@pytest.mark.parametrize("own_threads", [True, False])
def test_what_does_not_become_true_in_time_is_broken(own_threads: bool, tmp_path: Path) -> None:
    options: dict[str, Any] = {"engine": "virtual", "own_threads": own_threads, "min_delay": 1, "max_delay": 1}
    with pytest.raises(CheckFailed, match="not true within 30 s without faults") as caught:
        run(tmp_path, checks=[eventually("settled", lambda: False, within="30s")], **options)
    assert caught.value.result.operations == pytest.approx(3 * (20 + 30), abs=3)
    assert caught.value.result.stats["duration"] == pytest.approx(50, abs=1)


def test_a_condition_that_raises_is_not_true_and_its_error_is_told(tmp_path: Path) -> None:
    condition = raises(LookupError("no book"))
    with pytest.raises(CheckFailed, match=r"\(LookupError: no book\)"):
        run(tmp_path, checks=[eventually("settled", condition, operations=2)])


@ways
def test_agents_whose_plan_ends_early_wait_for_the_others(way: dict[str, Any], tmp_path: Path) -> None:
    order: list[str] = []
    scenario = Scenario(
        operations=[("Ann", "buy"), *[("Bob", "buy", None, 0.01)] * 5],
        missing_data_prob=0,
        failure_prob=0,
        min_delay=0,
        max_delay=0,
        **way,
    )
    evaluations: list[int] = []

    def late() -> bool:
        evaluations.append(len(order))
        return len(evaluations) > 20

    run(
        tmp_path,
        lambda operation: order.append(operation.agent),
        scenario=scenario,
        checks=[eventually("x", late)],
    )
    assert sorted(order[:6]) == ["Ann", *["Bob"] * 5]
    assert min(evaluations) >= 6


@ways
def test_every_condition_must_have_been_true_once(way: dict[str, Any], tmp_path: Path) -> None:
    evaluations: list[int] = []

    def at_first() -> bool:
        evaluations.append(0)
        return len(evaluations) == 1

    checks = [eventually("at first", at_first), eventually("never", lambda: False, operations=5)]
    result = run(tmp_path, checks=checks, gate=False, **way)
    assert verdicts(result) == {"at first": "passed", "never": "failed"}


def test_a_recovery_in_virtual_time_is_the_same_each_time(tmp_path: Path) -> None:
    written = []
    for name in ("first", "second"):
        service = Pending()
        run(
            tmp_path / name,
            service,
            engine="virtual",
            min_delay=0.1,
            max_delay=0.3,
            checks=[eventually("settled", service.is_settled)],
            **FAULTY,
        )
        written.append((tmp_path / name / "stress_test_results.log").read_bytes())
    assert written[0] == written[1]


@pytest.mark.parametrize("own_threads", [True, False])
def test_a_condition_may_take_a_lock_that_agents_hold_over_sleeps(own_threads: bool, tmp_path: Path) -> None:
    lock = threading.Lock()
    performed: list[int] = []

    def trade(operation: Operation) -> None:
        with lock:
            performed.append(1)
            operation.sleep(1)

    def enough() -> bool:
        with lock:
            return len(performed) > 70

    result = run(
        tmp_path,
        trade,
        engine="virtual",
        own_threads=own_threads,
        min_delay=0.5,
        max_delay=2,
        operation_timeout=600,
        checks=[eventually("enough", enough, within=600)],
    )
    assert verdicts(result) == {"enough": "passed"}


def test_an_eventually_that_is_called_says_where_it_belongs() -> None:
    with pytest.raises(TypeError, match="checks="):
        eventually("settled", bool)()


SCRIPT = """
import threading
from pytest_nos_stress import MultiAgentSimulator, cooperating_locks, eventually

class Service:
    def __init__(self):
        self.lock, self.orders = threading.Lock(), 0

    def buy(self, operation):
        with self.lock:
            self.orders += 1
            operation.sleep(1)

    def look(self, operation):
        operation.sleep(0.3)

    def is_done(self):
        with self.lock:
            return self.orders > 60

with cooperating_locks():
    service = Service()
result = MultiAgentSimulator(
    3, ["buy", "look"], 0, 0, 5, 4, 6, "out", target=service, engine="virtual", seed=1, own_threads={own_threads},
    operation_timeout=5, checks=[eventually("done", service.is_done, within=1_000)],
).run()
print([check.verdict for check in result.checks])
"""


@pytest.mark.parametrize("own_threads", [True, False])
def test_a_condition_may_take_a_lock_of_the_target_in_a_script_that_made_only_the_target_with_locks_on(
    own_threads: bool, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(own_threads=own_threads)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(str(pytest_nos_stress.__file__)).parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "['passed']\n", done.stderr[-1_000:]
