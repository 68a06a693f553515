"""The stress_proxy fixture: the network and faults of a run act at a real proxy in front of a real server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

ECHO = """
import socket
import socketserver
import threading

import pytest


class Echo(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self):
        self.heard = []
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request, client_address):
        pass


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.server.heard.append(line.decode().strip())
            self.wfile.write(line)


@pytest.fixture
def echo():
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(proxy, text):
    with socket.create_connection((proxy.host, proxy.port), timeout=60) as connection:
        connection.sendall(f"{text}\\n".encode())
        answer = connection.makefile().readline()
        if not answer:
            raise ConnectionError("closed")
        return answer.strip()

QUICK = dict(tasks=["buy"], agents=4, operations_per_agent=25, min_delay=0, max_delay=0, missing_data_prob=0)
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeini("[pytest]\nfilterwarnings = error")
    return pytester


def passes(project: pytest.Pytester, *arguments: str, passed: int = 1) -> pytest.RunResult:
    result = project.runpytest_inprocess("--stress", *arguments)
    result.assert_outcomes(passed=passed)
    assert "Warning" not in result.stdout.str() + result.stderr.str()
    return result


def statistics(project: pytest.Pytester) -> dict[str, object]:
    (path,) = Path(project.path, "stress_test_output").glob("*/simulation_statistics.json")
    read: dict[str, object] = json.loads(path.read_text())
    return read


def test_network_and_faults_of_a_run_act_at_the_proxy(project: pytest.Pytester) -> None:
    project.makepyfile(
        ECHO
        + """
import contextlib

def test_calls_reach_the_server_through_the_proxy(stress_simulator, stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)
    target = lambda operation: ask(proxy, operation.id)
    result = stress_simulator.run(target, failure_prob=0, **QUICK)
    assert len(set(echo.heard)) == len(echo.heard) == result.successes == 100
    assert proxy.statistics.connections == 100


def test_planned_faults_of_calls_act_at_the_proxy(stress_simulator, stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)
    refused = []

    def buy(operation):
        try:
            ask(proxy, operation.id)
        except ConnectionError:
            refused.append(operation.id)

    faults = {"lost_request": 1, "lost_reply": 1}
    result = stress_simulator.run(buy, faults=faults, failure_prob=0.4, **QUICK)
    met = result.stats["faults"]
    assert set(met) == set(faults)
    assert len(refused) == sum(met.values()) > 20
    assert len(set(refused) & set(echo.heard)) == met["lost_reply"]
    assert len(set(refused) - set(echo.heard)) == met["lost_request"]
    assert result.failures == result.errors == 0


def test_outside_of_fault_windows_the_proxy_has_no_faults(stress_simulator, stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)
    proxy.add("reset_peer", timeout=0)
    windows = {"after": "outage", "lasts": 60}
    failed = []

    def buy(operation):
        if operation.index == 10:
            operation.announce("outage")
        try:
            ask(proxy, operation.id)
        except ConnectionError:
            failed.append(operation.index)

    stress_simulator.run(buy, failure_prob=0, fault_windows=windows, **{**QUICK, "agents": 1})
    assert failed == list(range(10, 25))


made = []

@pytest.fixture(scope="module")
def shared(stress_proxy):
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield stress_proxy(server.server_address)
        server.shutdown()
        thread.join()

def test_a_proxy_that_a_test_opens(stress_proxy, shared, echo):
    made.append(stress_proxy(echo.server_address))
    assert ask(made[0], "one") == ask(shared, "one") == "one"

def test_is_closed_after_it_and_the_fixtures_proxy_is_not(shared):
    assert made[0].is_closed
    assert ask(shared, "two") == "two"


def test_every_run_of_a_test_meets_the_same_faults(stress_simulator, stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)
    outcomes = []
    for runs in range(2):
        failed = []
        def buy(operation):
            try:
                ask(proxy, operation.id)
            except ConnectionError:
                failed.append(operation.index)
        stress_simulator.run(buy, faults="lost_request", failure_prob=0.3, **{**QUICK, "agents": 1})
        outcomes.append(failed)
        ask(proxy, "between")
    assert outcomes[0] == outcomes[1] != []


def test_per_agent_and_checks_meet_no_faults_at_the_proxy(stress_simulator, stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)

    @contextlib.contextmanager
    def session(agent):
        assert ask(proxy, "login") == "login"
        yield

    def buy(operation):
        with contextlib.suppress(ConnectionError):
            ask(proxy, operation.id)

    def is_up():
        assert ask(proxy, "health") == "health"

    stress_simulator.run(
        buy, faults="lost_reply", failure_prob=0.9, per_agent=session, checks=[is_up], every=10, **QUICK
    )
"""
    )
    passes(project, passed=7)


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_a_network_from_the_command_line_acts_at_the_proxy_only(
    project: pytest.Pytester, workers: list[str]
) -> None:
    project.makepyfile(
        ECHO
        + """
def test_it(stress_simulator, stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)
    result = stress_simulator.run(lambda operation: ask(proxy, operation.id), failure_prob=0, **QUICK)
    assert 0.1 <= result.latency.med < 0.18
    assert proxy.network is None
    ask(proxy, "afterwards")
"""
    )
    passes(project, "--stress-network=latency=100ms", *workers)


def test_the_same_connections_meet_the_same_faults_in_every_session_of_a_seed(project: pytest.Pytester) -> None:
    project.makepyfile(
        ECHO
        + """
def test_it(stress_simulator, stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)
    def buy(operation):
        try:
            ask(proxy, operation.id)
        except ConnectionError:
            pass
    once = {**QUICK, "agents": 1, "operations_per_agent": 60}
    stress_simulator.run(buy, faults="lost_reply", failure_prob=0.4, **once)
"""
    )
    outcomes = []
    for seed in (1, 1, 2):
        passes(project, f"--stress-seed={seed}")
        outcomes.append(statistics(project)["faults"])
    assert outcomes[0] == outcomes[1]
    assert outcomes[0] != outcomes[2]


def test_an_ordinary_test_can_use_a_proxy(project: pytest.Pytester) -> None:
    project.makepyfile(
        ECHO
        + """
def test_it(stress_proxy, echo):
    proxy = stress_proxy(echo.server_address)
    with proxy.down(), pytest.raises(ConnectionError):
        ask(proxy, "down")
    assert ask(proxy, "up") == "up"
"""
    )
    project.runpytest_inprocess().assert_outcomes(passed=1)


def test_an_upstream_that_refuses_and_a_port_in_use_are_one_line_each(project: pytest.Pytester) -> None:
    project.makepyfile(
        ECHO
        + """
def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]

def test_refuses(stress_proxy):
    stress_proxy(f"127.0.0.1:{free_port()}")

def test_in_use(stress_proxy, echo):
    stress_proxy(echo.server_address, port=echo.server_address[1])

def test_unknown(stress_proxy, echo):
    stress_proxy(echo.server_address, network="dialup")
"""
    )
    result = project.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=3)
    lines = [line for line in result.stdout.lines if line.startswith("E  ")]
    assert len(lines) == 3
    assert "refuse" in lines[0]
    assert "in use" in lines[1]
    assert "allowed: colo, same-region, cross-continent, retail" in lines[2]
    assert "pytest_nos_stress/" not in result.stdout.str()


def test_a_run_that_never_used_its_proxy_does_not_pass(project: pytest.Pytester) -> None:
    project.makepyfile(
        ECHO
        + """
def test_it(stress_simulator, stress_proxy, echo):
    stress_proxy(echo.server_address)
    stress_simulator.run(lambda: None, faults="binance", **QUICK)
"""
    )
    result = project.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*stress_proxy: the run sent nothing through it*"])
