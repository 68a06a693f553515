"""Messages and terminal output that README and guides quote are what the plugin prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

DESK = """
class Desk:
    def __init__(self):
        self.opened = None

    def buy(self, operation):
        self.opened = operation.now() if self.opened is None else self.opened
        operation.sleep(0.001 * operation.random.lognormvariate(0, 0.3))
        if operation.now() - self.opened > 7.2 and operation.random.random() < 0.3:
            raise ConnectionError("503 from the venue")


def test_a_day(stress_simulator):
    stress_simulator.run(
        Desk(),
        tasks=["buy"],
        agents=8,
        engine="virtual",
        duration=8,
        min_delay=0,
        max_delay="8ms",
        missing_data_prob=0,
        failure_prob=0.02,
        thresholds=["failure_rate < 12% over 1s"],
    )
"""
DEADLOCK = """
import threading


class Account:
    def __init__(self):
        self.lock = threading.Lock()


class Bank:
    accounts = [Account(), Account()]

    def transfer(self, operation):
        first, second = self.accounts if operation.agent == "Agent_1" else reversed(self.accounts)
        with first.lock:
            operation.sleep(0.01)
            with second.lock:
                pass


def test_transfers(stress_simulator):
    stress_simulator.run(Bank(), tasks=["transfer"], agents=2, engine="virtual", min_delay=0, max_delay=0)
"""
STATE_OUTLIVES_THE_TEST = """
seen = set()


def test_orders(stress_simulator):
    def buy(operation):
        if operation.id in seen and (operation.agent, operation.index) == ("ForexAgent_B", 13):
            raise ValueError("no price")
        seen.add(operation.id)

    stress_simulator.run({"buy": buy}, engine="virtual", failure_prob=0, missing_data_prob=0)
"""
RETRIES_UNDER_A_NEW_ID = """
def service():
    orders = {}

    def buy(operation):
        orders[operation.id] = 100
        if operation.fault == "lost_reply":
            orders[f"{operation.id}-retry"] = 100

    return {"buy": buy}, lambda: [order for order in orders if order.endswith("-retry")]
"""
SEARCH = f"""
from hypothesis import given, settings, Phase

from pytest_nos_stress.strategies import scenarios
{RETRIES_UNDER_A_NEW_ID}

@settings(max_examples=50, deadline=None, phases=[Phase.generate, Phase.shrink])
@given(scenario=scenarios(tasks=["buy"], agents=(1, 4), operations=(1, 20)))
def test_each_order_is_booked_once(stress_simulator, scenario):
    target, audit = service()

    def check():
        return audit()

    check.__name__ = "audit"
    stress_simulator.run(target=target, scenario=scenario, checks=[check])
"""
SHRINK = f"""{RETRIES_UNDER_A_NEW_ID}

def test_orders(stress_simulator):
    target, audit = service()
    stress_simulator.run(target=target, engine="virtual", failure_mode="lost_reply")
    assert audit() == []
"""
COMPARE = """
def test_orders(stress_simulator):
    stress_simulator.run(
        lambda operation: operation.sleep(0.001), engine="virtual", failure_prob=0, missing_data_prob=0
    )
"""


def output(pytester: pytest.Pytester, name: str, code: str, *options: str) -> str:
    """Run a test module under stress. Return the lines that pytest prints, without indentation."""
    pytester.makepyfile(**{name: code})
    result = pytester.runpytest("--stress", "--stress-seed=917870167", f"{name}.py", *options)
    return "\n".join(re.sub(r"^E? *", "", line) for line in result.outlines)


def quote(page: str, start: str) -> list[str]:
    """Return the lines of a page's code block from the line with this start, without indentation."""
    lines = iter((ROOT / page).read_text().splitlines())
    first = next(line for line in lines if line.lstrip().startswith(start))
    indentation = len(first) - len(first.lstrip())
    block = [first]
    for line in lines:
        if line == "```" or (line and len(line) - len(line.lstrip()) < indentation):
            break
        block.append(line)
    return [line.strip() for line in block if line]


def assert_quoted(lines: list[str], printed: str) -> None:
    """Assert that each line of a quote is printed, up to its dots if it ends with dots."""
    not_printed = [line for line in lines if line.removesuffix("...") not in printed]
    assert not not_printed, f"the guide quotes {not_printed}, but pytest prints:\n{printed}"


def test_the_summary_and_the_command_that_repeats_a_run(pytester: pytest.Pytester) -> None:
    printed = output(pytester, "test_desk", DESK)
    assert_quoted(quote("README.md", "verdict  operations"), printed)
    assert_quoted(quote("docs/repeating-failures.md", "repeat this run with"), printed)


def test_a_deadlock(pytester: pytest.Pytester) -> None:
    printed = output(pytester, "test_transfers", DEADLOCK).replace(f"{pytester.path}/", "")
    assert_quoted(quote("docs/virtual-time.md", "deadlock after"), printed)


def test_a_test_that_is_not_deterministic(pytester: pytest.Pytester) -> None:
    printed = output(pytester, "test_state", STATE_OUTLIVES_THE_TEST, "--stress-verify-determinism")
    assert_quoted(quote("docs/virtual-time.md", "not deterministic:"), printed)


def test_the_smallest_scenario_of_a_search(pytester: pytest.Pytester) -> None:
    printed = output(pytester, "test_search", SEARCH)
    assert_quoted(quote("docs/finding-failures.md", "pytest_nos_stress.CheckFailed"), printed)


def test_a_shrunk_failure(pytester: pytest.Pytester) -> None:
    printed = re.sub(
        r"\(\d+ attempts, \d+\.\d s\)",
        "(16 attempts, 0.2 s)",
        output(pytester, "test_orders", SHRINK, "--stress-shrink"),
    )
    assert_quoted(quote("docs/finding-failures.md", "400 operations"), printed)


def test_a_baseline_of_another_scenario(pytester: pytest.Pytester) -> None:
    output(pytester, "test_orders", COMPARE, "--stress-save-baseline=main")
    printed = output(pytester, "test_orders", COMPARE, "--stress-compare=main", "--stress-operations=200")
    message = " ".join(quote("docs/baselines.md", "baseline 'main'"))
    assert message in " ".join(printed.split())
