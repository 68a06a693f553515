"""Faults, missing data, windows, retries and networks from a test, its marker, the command line and ini files."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

OUR_FILES = re.compile(r"pytest_nos_stress[/\\](\w+[/\\])?\w+\.py")
TEST = """
import pytest

def test_it(stress_simulator):
    stress_simulator.run({"buy": lambda operation: None}, engine="virtual", operations_per_agent=200)
"""

# Setting, flag, ini key, bad text, and words of the error message.
BAD_TEXT = [
    ("missing_data", "--stress-missing-data", "fog", ["no such kind 'fog'", "stale", "missing_bar"]),
    ("missing_data", "--stress-missing-data", "stale=-1", ["the weight of 'stale' is -1"]),
    ("missing_data", "--stress-missing-data", "stale=0,gap=0", ["all weights are 0"]),
    ("missing_data", "--stress-missing-data", "stale=often", ["the weight of 'stale' is 'often'"]),
    ("missing_data", "--stress-missing-data", "{'stale': {'old': 5}}", ["'stale' has no parameter 'old'", "age"]),
    ("missing_data", "--stress-missing-data", "{'stale': ", ["names of kinds"]),
    ("faults", "--stress-faults", "kraken", ["no such profile 'kraken'", "binance, alpaca, ib"]),
    ("faults", "--stress-faults", "explode=1", ["no such kind 'explode'", "lost_reply", "rate_limit"]),
    ("faults", "--stress-faults", "reject=-1", ["the weight of 'reject' is -1"]),
    ("faults", "--stress-faults", "reject=0", ["all weights are 0"]),
    ("fault_windows", "--stress-fault-windows", "10s-5s", ["must end after it begins"]),
    ("fault_windows", "--stress-fault-windows", "soon", ["(from, to)"]),
    ("fault_windows", "--stress-fault-windows", "5s-later", ["'later' is not a time"]),
    ("retries", "--stress-retries", "-1", ["times is -1", "from 0 to 1000"]),
    ("retries", "--stress-retries", "often", ["a number from 0 to 1000"]),
    ("retries", "--stress-retries", "times=3,pause=1", ["no such parameter 'pause'", "backoff"]),
    ("network", "--stress-network", "dialup", ["no such profile", "colo, same-region, cross-continent, retail"]),
    ("network", "--stress-network", "latencey=5ms", ["latencey", "'latency'"]),
    ("network", "--stress-network", "loss=150%", ["loss", "from 0 to 1"]),
    ("market", "--stress-market", "boom", ["boom", "equity", "crash"]),
]
# Keyword and bad value in Python, and words of the error message.
BAD_VALUES = [
    ("missing_data", "'fog'", ["no such kind 'fog'"]),
    ("missing_data", "{'stael': 1}", ["did you mean 'stale'?"]),
    ("missing_data", "{'stale': 0}", ["all weights are 0"]),
    ("faults", "'kraken'", ["no such profile 'kraken'"]),
    ("faults", "{'profile': 'kraken'}", ["no such profile 'kraken'"]),
    ("faults", "{'reject': {'weight': -2}}", ["the weight of 'reject' is -2"]),
    ("faults", "{'rate_limit': {'limit': 0}}", ["'limit' of 'rate_limit' is 0"]),
    ("fault_windows", "(10, 5)", ["must end after it begins"]),
    ("fault_windows", "[]", ["there are no windows"]),
    ("fault_windows", "{'after': 'x', 'for': 5}", ["is not a window"]),
    ("retries", "2.5", ["retries=2.5"]),
    ("retries", "{'tries': 2}", ["no such parameter 'tries'"]),
    ("network", "'dialup'", ["no such profile"]),
    ("network", "{'latency': -1}", ["latency=-1"]),
    ("faults='ib', failure_mode", "'lost_reply'", ["failure_mode='lost_reply'", "faults", "one or the other"]),
]


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """Return a project with one stress test."""
    pytester.makepyfile(test_it=TEST)
    return pytester


def stats(project: pytest.Pytester, test: str = "test_it.py--test_it") -> dict[str, Any]:
    """Return the statistics of the test's run."""
    path = Path(project.path, "stress_test_output", test, "simulation_statistics.json")
    statistics: dict[str, Any] = json.loads(path.read_text())
    return statistics


def clean(result: pytest.RunResult) -> str:
    """Return all that pytest printed. Check that it has no traceback of the plugin's code."""
    everything = result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in everything
    assert not OUR_FILES.search(everything)
    return everything


# The sources of settings.


def test_settings_of_faults_on_the_command_line(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(
        "--stress",
        "--stress-seed=1",
        "--stress-missing-data=stale=3,gap",
        "--stress-faults=reject=2,lost_reply",
        "--stress-fault-windows=2s-10s",
        "--stress-retries=times=2,backoff=50ms",
        "--stress-network=retail",
    )
    result.assert_outcomes(passed=1)
    scenario, faults = stats(project)["scenario"], stats(project)["faults"]
    assert scenario["missing_data"] == {"stale": 3, "gap": 1}
    assert scenario["faults"] == {"reject": 2, "lost_reply": 1}
    assert scenario["fault_windows"] == [[2, 10]]
    assert scenario["network"]["latency"] == 0.08
    assert faults["stale"] > faults["gap"] > 0
    assert faults["reject"] > faults["lost_reply"] > 0
    assert stats(project)["retries"] > 0
    assert stats(project)["latency"]["med"] == pytest.approx(0.08, rel=0.35)


def test_settings_of_faults_in_an_ini_file(project: pytest.Pytester) -> None:
    project.makeini(
        "[pytest]\nstress_faults = binance\nstress_missing_data = stale=3,gap=1\nstress_retries = 1\n"
        "stress_fault_windows = 1s-3s, 5s-\nstress_network = same-region\nstress_seed = 1\n"
    )
    project.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    scenario = stats(project)["scenario"]
    assert (scenario["faults"], scenario["retries"]) == ("binance", 1)
    assert scenario["fault_windows"] == [[1, 3], [5, None]]


@pytest.mark.skipif(int(pytest.__version__.split(".")[0]) < 9, reason="native TOML came with pytest 9")
def test_settings_of_faults_in_native_toml(project: pytest.Pytester) -> None:
    (project.path / "pytest.toml").write_text(
        '[pytest]\nstress_faults = {profile = "ib", reject = 5}\n'
        "stress_missing_data = {stale = {age = [5, 9], weight = 2}, gap = 1}\nstress_retries = {times = 1}\n"
        'stress_fault_windows = ["1s-3s", "5s-"]\nstress_seed = 1\n'
    )
    project.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    scenario = stats(project)["scenario"]
    assert scenario["faults"] == {"profile": "ib", "reject": 5}
    assert scenario["missing_data"] == {"stale": {"age": [5, 9], "weight": 2}, "gap": 1}
    assert scenario["fault_windows"] == [[1, 3], [5, None]]


def test_run_overrides_the_command_line_which_overrides_the_marker(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.stress(faults="alpaca", retries=1, engine="virtual", fault_windows=(0, 5))
        def test_it(stress_simulator):
            result = stress_simulator.run({"buy": lambda: None}, retries=2)
            assert result.scenario.faults == "binance"
            assert result.scenario.retries == 2
            assert result.scenario.fault_windows == ((0.0, 5.0, None),)
        """
    )
    pytester.runpytest_inprocess("--stress", "--stress-faults=binance").assert_outcomes(passed=1)


def test_the_network_of_the_command_line_applies_to_a_body(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.stress(agents=4, engine="virtual", failure_prob=0, missing_data_prob=0)
        def test_it():
            pass
        """
    )
    pytester.runpytest_inprocess("--stress", "--stress-network=retail", "--stress-seed=3").assert_outcomes(
        passed=1
    )
    latency = stats(pytester)["latency"]
    assert latency["med"] == pytest.approx(0.08, rel=0.3)
    assert latency["p99"] > 0.2


def test_the_network_applies_to_the_embedded_exchange_in_real_time(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="def test_it(stress_simulator): stress_simulator.run(operations_per_agent=5, max_delay=0.1)"
    )
    options = ("--failure-prob=0", "--missing-data-prob=0", "--stress-network=latency=20ms")
    pytester.runpytest_inprocess("--stress", *options).assert_outcomes(passed=1)
    assert stats(pytester)["latency"]["min"] >= 0.02


def test_a_test_announces_the_event_that_a_window_waits_for(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        def test_it(stress_simulator):
            def buy(operation):
                if operation.agent == "Agent_1" and operation.index == 50:
                    stress_simulator.announce("failover")

            result = stress_simulator.run(
                {"buy": buy}, agents=2, engine="virtual", operations_per_agent=200, failure_prob=1,
                missing_data_prob=0, fault_windows={"after": "failover", "lasts": 3},
                thresholds=[
                    "failure_rate{faults=off} == 0",
                    "failure_rate{faults=on} == 100%",
                    "operations{faults=on} > 20",
                ],
            )
            assert result.stats["faults"] == {"lost_request": result.failures}
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)


# Thresholds.


def test_a_session_wide_threshold_on_faults_off_is_not_applicable_if_faults_never_stop(
    project: pytest.Pytester,
) -> None:
    result = project.runpytest_inprocess("--stress", "--stress-threshold=errors{faults=off} == 0")
    result.assert_outcomes(passed=1)
    assert {row["threshold"]: row["verdict"] for row in stats(project)["thresholds"]} == {
        "errors{faults=off} == 0": "not applicable",
        "errors == 0": "passed",
    }
    result = project.runpytest_inprocess(
        "--stress", "--stress-threshold=errors{faults=off} == 0", "--stress-fault-windows=2s-4s"
    )
    result.assert_outcomes(passed=1)
    assert {row["verdict"] for row in stats(project)["thresholds"]} == {"passed"}


def test_a_tests_own_threshold_on_faults_off_fails_if_faults_never_stop(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_it="""
        def test_it(stress_simulator):
            stress_simulator.run({"buy": lambda: None}, engine="virtual", thresholds=["errors{faults=off} == 0"])
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*no operation was performed with faults off*"])


@pytest.mark.parametrize(
    "text", ["errors{faults=maybe} == 0", "errors{faults} == 0", "errors{faults=on, faults=off} == 0"]
)
def test_a_bad_tag_is_refused_with_a_caret(project: pytest.Pytester, text: str) -> None:
    result = project.runpytest_inprocess("--stress", f"--stress-threshold={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "^" in clean(result)


# Repetitions.


BROKEN = """
    import pytest

    def test_it(stress_simulator):
        sent = {{}}

        def buy(operation):
            sent[operation.id] = sent.get(operation.id, 0) + 1

        def nothing_is_bought_twice():
            return [order for order, times in sent.items() if times > 1]

        stress_simulator.run({{"buy": buy}}, engine="virtual", checks=[nothing_is_bought_twice], {settings})
"""


def test_a_run_with_all_kinds_of_faults_is_deterministic(project: pytest.Pytester) -> None:
    result = project.runpytest_inprocess(
        "--stress",
        "--stress-verify-determinism",
        "--stress-faults=binance",
        "--stress-missing-data=stale=1,gap=1",
        "--stress-network=retail",
        "--stress-retries=2",
        "--stress-fault-windows=1s-9s",
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*verified: two executions gave the same results*"])


def test_a_brokers_faults_find_a_service_that_is_not_idempotent_and_shrink_to_one_operation(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_it=BROKEN.format(settings="faults='binance', failure_prob=0.3"))
    result = pytester.runpytest_inprocess("--stress", "--stress-seed=2", "--stress-shrink")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*nothing_is_bought_twice*", "*-> 1 of 1 agent*"])
    assert "duplicate_ack" in result.stdout.str()


def test_a_failure_that_needs_retries_is_shrunk(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=BROKEN.format(settings="faults={'lost_reply': 1}, retries=1, failure_prob=0.3"))
    result = pytester.runpytest_inprocess("--stress", "--stress-seed=2", "--stress-shrink")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*-> 1 of 1 agent*"])
    assert "'lost_reply'" in result.stdout.str()


def test_a_scenario_file_repeats_a_run_with_all_kinds_of_faults(project: pytest.Pytester) -> None:
    options = [
        "--stress-seed=7",
        "--stress-faults=binance",
        "--stress-missing-data=stale=1,gap=1",
        "--stress-network=retail",
        "--stress-retries=2",
        "--stress-fault-windows=1s-9s",
    ]
    project.runpytest_inprocess("--stress", *options).assert_outcomes(passed=1)
    first = stats(project)
    scenario = project.path / "scenario.json"
    scenario.write_text((project.path / "stress_test_output/test_it.py--test_it/scenario.json").read_text())
    project.makepyfile(test_it=TEST.replace('engine="virtual", operations_per_agent=200', ""))
    project.runpytest_inprocess("--stress", f"--stress-scenario={scenario}").assert_outcomes(passed=1)
    assert stats(project) == first


def test_the_printed_command_repeats_a_failure_with_its_faults(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(test_it=BROKEN.format(settings="failure_prob=0.5"))
    result = pytester.runpytest_inprocess("--stress", "--stress-seed=2", "--stress-faults=duplicate_ack=1")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines(
        [r".*pytest --stress --stress-seed=2 .*--stress-faults=duplicate_ack=1.*test_it.py::test_it"]
    )


# Wrong settings.


@pytest.mark.parametrize(("name", "flag", "text", "words"), BAD_TEXT)
def test_a_bad_flag_is_a_usage_error(
    project: pytest.Pytester, name: str, flag: str, text: str, words: list[str]
) -> None:
    result = project.runpytest_inprocess("--stress", f"{flag}={text}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in clean(result)
    (line,) = [line for line in result.errlines if line.strip()]
    assert line.startswith("ERROR: ")
    assert [word for word in (flag, *words) if word not in line] == []


@pytest.mark.parametrize(("name", "flag", "text", "words"), BAD_TEXT)
def test_a_bad_ini_key_is_a_usage_error(
    project: pytest.Pytester, name: str, flag: str, text: str, words: list[str]
) -> None:
    project.makeini(f"[pytest]\nstress_{name} = {text}\n")
    result = project.runpytest_inprocess("--stress")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "Traceback" not in clean(result)
    (line,) = [line for line in result.errlines if line.strip()]
    assert [word for word in (f"stress_{name}", *words) if word not in line] == []


def test_a_bad_marker_is_a_collection_error(pytester: pytest.Pytester) -> None:
    for number, (name, value, _) in enumerate(BAD_VALUES):
        (pytester.path / f"test_{number:02}.py").write_text(
            f"import pytest\n@pytest.mark.stress({name}={value})\n"
            "def test_it(stress_simulator): stress_simulator.run(lambda: None)"
        )
    result = pytester.runpytest_inprocess("--stress")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=len(BAD_VALUES))
    assert "Traceback" not in clean(result)
    errors, _, _ = result.stdout.str().partition(" short test summary info ")
    for (_, _, words), error in zip(BAD_VALUES, errors.split(" ERROR collecting test_")[1:], strict=True):
        assert [word for word in words if word not in error] == []


def test_a_bad_value_in_run_is_a_value_error_of_one_line(pytester: pytest.Pytester) -> None:
    for number, (name, value, _) in enumerate(BAD_VALUES):
        (pytester.path / f"test_{number:02}.py").write_text(
            "import pytest\n\n"
            "def test_it(stress_simulator):\n"
            "    with pytest.raises(ValueError) as caught:\n"
            f"        stress_simulator.run(lambda: None, {name}={value})\n"
            '    print("refused:", str(caught.value))\n'
            "    assert len(str(caught.value).splitlines()) == 1\n"
            '    stress_simulator.run(operations_per_agent=1, engine="virtual")\n'
        )
    result = pytester.runpytest_inprocess("--stress", "-s")
    result.assert_outcomes(passed=len(BAD_VALUES))
    lines = [line for line in result.outlines if "refused: " in line]
    for (_, _, words), line in zip(BAD_VALUES, lines, strict=True):
        assert [word for word in words if word not in line] == []


def test_failure_mode_and_faults_from_two_sources_are_one_line_that_names_both(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nstress_failure_mode = lost_reply\n")
    pytester.makepyfile(test_it=TEST)
    result = pytester.runpytest_inprocess("--stress", "--stress-faults=binance")
    line = clean(result)
    assert "--stress-faults" in line
    assert "stress_failure_mode (ini)='lost_reply'" in line
    assert result.ret == pytest.ExitCode.USAGE_ERROR
