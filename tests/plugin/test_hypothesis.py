"""Stress tests under @given: no failed health check, the smallest scenario, and an example to paste."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

SERVICE = """
from hypothesis import Phase, example, given, settings
from pytest_nos_stress import Scenario
from pytest_nos_stress.strategies import scenarios


class OrderService:
    retries_under_a_new_id = True

    def __init__(self):
        self.orders = []

    def buy(self, operation):
        self.orders.append(operation.id)
        if operation.fault == "lost_reply":
            self.orders.append(operation.id + "-again" if self.retries_under_a_new_id else operation.id)

    def sell(self):
        pass

    def audit(self):
        return [order for order in self.orders if order.endswith("-again")]

"""
SEARCH = """
@settings(max_examples=100, deadline=None, phases=set(Phase) - {Phase.explain})
@given(scenario=scenarios(tasks=["sell", "buy"], agents=(1, 4), operations=(1, 20)))
def test_each_order_is_booked_once(scenario, stress_simulator):
    service = OrderService()
    stress_simulator.run(service, scenario=scenario, checks=[service.audit])
"""


@pytest.fixture
def search(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(test_search=SERVICE + SEARCH)
    return pytester


def pasted(output: str) -> str:
    """Return the example as a user would copy it from a report."""
    match = re.search(r"@example\(.*\)$", output, re.M)
    assert match, output
    return match[0]


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["one process", "xdist"])
def test_a_failing_search_shows_the_smallest_scenario_to_paste(
    search: pytest.Pytester, workers: list[str]
) -> None:
    result = search.runpytest("--stress", "--hypothesis-seed=1", *workers)
    result.assert_outcomes(failed=1)
    output = result.stdout.str()
    assert pasted(output) == (
        "@example(scenario=Scenario(engine='virtual', operations=[('Agent_1', 'buy', 'lost_reply')]))"
    )
    assert "FailedHealthCheck" not in output
    assert "check audit failed: after an operation of Agent_1" in output


def test_the_pasted_example_fails_at_once_and_passes_once_the_bug_is_fixed(search: pytest.Pytester) -> None:
    line = pasted(search.runpytest("--stress", "--hypothesis-seed=1").stdout.str())
    no_search = SEARCH.replace("set(Phase) - {Phase.explain}", "[Phase.explicit]")
    search.makepyfile(test_pasted=SERVICE + no_search.replace("@given", f"{line}\n@given"))
    again = search.runpytest("--stress", "test_pasted.py")
    again.assert_outcomes(failed=1)
    assert "check audit failed" in again.stdout.str()
    fixed = SERVICE.replace("retries_under_a_new_id = True", "retries_under_a_new_id = False")
    search.makepyfile(test_fixed=fixed + SEARCH.replace("@given", f"{line}\n@given"))
    search.runpytest("--stress", "test_fixed.py").assert_outcomes(passed=1)


def test_positional_given_arguments_are_printed_by_name(search: pytest.Pytester) -> None:
    positional = SEARCH.replace("(scenario=scenarios", "(scenarios").replace(
        "(scenario, stress_simulator)", "(stress_simulator, scenario)"
    )
    search.makepyfile(test_search=SERVICE + positional)
    assert pasted(search.runpytest("--stress").stdout.str()).startswith("@example(scenario=Scenario(")


def test_the_example_database_replays_the_failure_first(search: pytest.Pytester) -> None:
    counted = SEARCH.replace("    service = ", "    print('performed', scenario)\n    service = ").replace(
        "deadline=None", "deadline=None, database=DirectoryBasedExampleDatabase('found')"
    )
    search.makepyfile(
        test_search=SERVICE + "from hypothesis.database import DirectoryBasedExampleDatabase\n" + counted
    )
    example = pasted(search.runpytest_subprocess("--stress").stdout.str())
    again = search.runpytest_subprocess("--stress").stdout.str()
    performed = re.findall(r"^performed (.*)$", again, re.M)
    assert example == f"@example(scenario={performed[0]})"


def test_files_and_figures_are_those_of_the_last_example(search: pytest.Pytester) -> None:
    result = search.runpytest("--stress", "--hypothesis-seed=1", "--junitxml=report.xml")
    directory = next(path for path in Path(search.path, "stress_test_output").iterdir() if path.is_dir())
    assert sorted(path.name for path in directory.iterdir()) == [
        "agent_memory_snapshot.json",
        "scenario.json",
        "simulation_statistics.json",
        "stress_test_report.html",
        "stress_test_results.log",
    ]
    assert "'lost_reply'" in result.stdout.str()
    assert '["Agent_1", "buy", "lost_reply", 0.0]' in (directory / "scenario.json").read_text()
    report = Path(search.path, "report.xml").read_text()
    assert report.count('name="stress_operations" value="1"') == 1
    assert "stress_run_2" not in report
    result.stdout.re_match_lines([r"failed +1 +0/1/0 .*\(last of \d+ examples\)"])


def test_an_example_can_run_the_simulator_several_times(search: pytest.Pytester) -> None:
    twice = SEARCH.replace(
        "    service = ", "    stress_simulator.run(OrderService(), scenario=scenario)\n    service = "
    )
    search.makepyfile(test_search=SERVICE + twice)
    search.runpytest("--stress").assert_outcomes(failed=1)
    directory = next(path for path in Path(search.path, "stress_test_output").iterdir() if path.is_dir())
    assert sorted(path.name for path in directory.glob("run-*")) == ["run-2"]


def test_a_search_without_the_fixture_needs_no_stress_option(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        SERVICE
        + SEARCH.replace(", stress_simulator", "")
        .replace("stress_simulator.run(service", "run_stress_test(target=service, output_dir='out'")
        .replace("@settings", "from pytest_nos_stress import run_stress_test\n@settings")
    )
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    assert pasted(result.stdout.str()).startswith("@example(scenario=Scenario(")


def test_a_fixture_makes_a_search_a_stress_test(search: pytest.Pytester) -> None:
    search.runpytest().assert_outcomes(skipped=1)


@pytest.mark.parametrize(
    ("failure_prob", "outcome"), [("1.0", "failed"), ("st.sampled_from([0.0, 1.0])", "passed")]
)
def test_a_search_must_call_the_target_in_some_example(
    pytester: pytest.Pytester, failure_prob: str, outcome: str
) -> None:
    pytester.makepyfile(
        f"""
        from hypothesis import given, settings, strategies as st

        @settings(max_examples=20, deadline=None, database=None, derandomize=True)
        @given(failure_prob={failure_prob if "st." in failure_prob else f"st.just({failure_prob})"})
        def test_it(stress_simulator, failure_prob):
            stress_simulator.run(lambda: None, agents=1, operations_per_agent=2, min_delay=0, max_delay=0,
                                 missing_data_prob=0, failure_prob=failure_prob, engine="virtual", report="none")
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(**{outcome: 1})
    expected = "the target was never called in * examples; lower failure_prob or missing_data_prob*"
    if outcome == "failed":
        result.stdout.fnmatch_lines([expected])


RACE = """
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_nos_stress import Scenario

def performs(stress_simulator, agents, sleeps):
    operations = [(f"Agent_{number}", "buy") for number in range(1, agents + 1)]
    target = {"buy": lambda operation: operation.sleep(0) if sleeps else None}
    stress_simulator.run(target=target, scenario=Scenario(operations=operations, engine="virtual"))

@settings(database=None, deadline=None, max_examples=20)
@given(st.sampled_from(EXAMPLES))
def test_search(stress_simulator, example):
    performs(stress_simulator, *example)
"""


@pytest.mark.parametrize(
    ("examples", "is_noted"),
    [
        ("[(2, False), (3, False)]", True),
        ("[(2, False), (1, False)]", True),
        ("[(1, False)]", False),
        ("[(2, False), (2, True)]", False),
        ("[(2, True), (2, False)]", False),
    ],
)
def test_a_search_in_which_no_two_operations_overlapped_could_not_show_a_race(
    pytester: pytest.Pytester, examples: str, is_noted: bool
) -> None:
    """The summary's row is of the last example, but the note is about all of them."""
    pytester.makepyfile(RACE.replace("EXAMPLES", examples))
    result = pytester.runpytest("--stress")
    result.assert_outcomes(passed=1)
    notes = [line for line in result.outlines if "no two operations overlapped" in line]
    assert len(notes) == is_noted
