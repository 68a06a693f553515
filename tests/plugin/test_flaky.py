"""``stress_simulator.flaky(client)`` in tests: planned faults act on a client that the target uses."""

from __future__ import annotations

import pytest

PREAMBLE = """
import threading
import pytest
from pytest_nos_stress.faults import InjectedFault

class Broker:
    def __init__(self):
        self.orders = []
        self.limit = 5
    def submit(self, order=None):
        self.orders.append(order)
        return len(self.orders)

class Desk:
    def __init__(self, broker):
        self.broker = broker
    def buy(self, operation):
        self.broker.submit(operation.id)

CALM = dict(tasks=["buy"], missing_data_prob=0, failure_prob=0.3, min_delay=0, max_delay=0, agents=4,
            operations_per_agent=25, seed=7)
"""


def run(pytester: pytest.Pytester, code: str, *options: str) -> pytest.RunResult:
    pytester.makeini("[pytest]\nfilterwarnings = error\n")
    pytester.makepyfile(PREAMBLE + code)
    return pytester.runpytest("--stress", *options)


def test_a_wrapped_client_has_the_planned_faults_and_the_target_has_none(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_it(stress_simulator):
    broker = Broker()
    result = stress_simulator.run(Desk(stress_simulator.flaky(broker)), **CALM)
    assert 0 < result.failures < 100
    assert result.errors == 0
    assert len(broker.orders) == result.successes

def test_in_the_next_test_faults_act_on_the_agents_calls(stress_simulator):
    broker = Broker()
    result = stress_simulator.run(Desk(broker), **CALM)
    assert len(broker.orders) == result.successes < 100
""",
    ).assert_outcomes(passed=2)


def test_a_client_wrapped_in_a_fixture_is_flaky_in_the_test(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
@pytest.fixture
def broker():
    return Broker()

@pytest.fixture
def desk(broker, stress_simulator):
    return Desk(stress_simulator.flaky(broker))

def test_it(desk, broker, stress_simulator):
    result = stress_simulator.run(desk, **CALM)
    assert len(broker.orders) == result.successes < 100
""",
    ).assert_outcomes(passed=1)


def test_thresholds_judge_the_effect_of_the_clients_faults(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_it(stress_simulator):
    client = stress_simulator.flaky(Broker(), methods=["submit"])
    with pytest.raises(AssertionError, match="failure_rate"):
        stress_simulator.run(Desk(client), thresholds=["failure_rate < 1%"], **CALM)
""",
    ).assert_outcomes(passed=1)


def test_two_runs_with_the_same_wrapper_meet_the_same_faults(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_it(stress_simulator):
    desk = Desk(stress_simulator.flaky(Broker()))
    first, second = stress_simulator.run(desk, **CALM), stress_simulator.run(desk, **CALM)
    assert 0 < first.failures == second.failures
    assert first.stats["faults"] == second.stats["faults"]
""",
    ).assert_outcomes(passed=1)


def test_two_clients_of_one_test_meet_different_faults(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_it(stress_simulator):
    clients = [stress_simulator.flaky(Broker()) for _ in range(2)]
    met = []
    def fails(client):
        try:
            client.submit()
        except InjectedFault:
            return True
        return False
    result = stress_simulator.run({"buy": lambda: met.append((fails(clients[0]), fails(clients[1])))}, **CALM)
    assert result.successes == 100
    assert {(True, False), (False, True)} <= set(met)
""",
    ).assert_outcomes(passed=1)


def test_clients_wrapped_in_each_hypothesis_example_meet_the_same_faults_with_the_same_seed(
    pytester: pytest.Pytester,
) -> None:
    run(
        pytester,
        """
from hypothesis import given, settings, strategies as st

failures = set()

@settings(max_examples=5, deadline=None)
@given(number=st.integers(0, 1000))
def test_it(stress_simulator, number):
    desk = Desk(stress_simulator.flaky(Broker()))
    result = stress_simulator.run(desk, engine="virtual", **CALM)
    failures.add((result.failures, result.stats["faults"]["lost_request"]))
    assert len(failures) == 1
""",
        "--hypothesis-seed=1",
    ).assert_outcomes(passed=1)


def test_an_event_that_the_test_announces_opens_the_fault_window(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_it(stress_simulator):
    broker = Broker()
    client = stress_simulator.flaky(broker)
    def buy(operation):
        if len(broker.orders) == 10:
            stress_simulator.announce("failover")
        client.submit()
    stress_simulator.announce("before any run")
    result = stress_simulator.run({"buy": buy}, **CALM | dict(failure_prob=1, agents=1, operations_per_agent=30),
                                  fault_windows=[{"after": "failover"}])
    # The operation that announces the event has no fault; every later operation has one.
    assert (result.successes, result.failures) == (11, 19)
""",
    ).assert_outcomes(passed=1)


def test_eventually_waits_for_recovery_after_a_fault_window(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
def test_it(stress_simulator):
    class Breaks(Desk):
        is_broken = False
        def buy(self, operation):
            operation.sleep(0.01)
            if self.is_broken:
                raise RuntimeError("gave up for ever")
            try:
                self.broker.submit()
            except InjectedFault:
                self.is_broken = True
                raise
    desk = Breaks(stress_simulator.flaky(Broker()))
    with pytest.raises(AssertionError, match="faults=off"):
        stress_simulator.run(desk, engine="virtual", fault_windows=[(0, 0.1)],
                             thresholds=["errors{faults=off} == 0"], **CALM)
""",
    ).assert_outcomes(passed=1)


def test_a_bad_method_fails_the_test_with_one_line_and_no_traceback_through_the_plugin(
    pytester: pytest.Pytester,
) -> None:
    result = run(
        pytester,
        """
def test_it(stress_simulator):
    stress_simulator.flaky(Broker(), methods=["sumbit"])
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["E *flaky: methods=?'sumbit'?: Broker has no method 'sumbit'; its methods: submit"]
    )
    assert "clients.py" not in result.stdout.str()
    assert "plugin_fixture.py" not in result.stdout.str()


@pytest.mark.parametrize("engine", ["threads", "virtual"])
def test_the_same_seed_has_the_same_faults_in_another_session(pytester: pytest.Pytester, engine: str) -> None:
    code = """
def test_it(stress_simulator, record_property):
    result = stress_simulator.run(Desk(stress_simulator.flaky(Broker())), **CALM)
    print("COUNTS", result.failures, result.stats["faults"])
"""
    seen = set()
    for name in ("threads", engine):
        result = run(pytester, code, f"--stress-engine={name}", "-s")
        seen.add(next(line for line in result.outlines if "COUNTS" in line).partition("COUNTS")[2])
    assert len(seen) == 1


def test_flaky_clients_work_in_workers_of_xdist(pytester: pytest.Pytester) -> None:
    run(
        pytester,
        """
@pytest.mark.parametrize("number", range(4))
def test_it(stress_simulator, number):
    result = stress_simulator.run(Desk(stress_simulator.flaky(Broker())), **CALM)
    assert 0 < result.failures < 100
""",
        "-n2",
    ).assert_outcomes(passed=4)
