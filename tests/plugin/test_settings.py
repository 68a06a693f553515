"""The sources of a run's settings. Precedence: ``run(...)``, command line, marker, ini file, default."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

SOURCES = ("run", "command line", "marker", "ini")

# For each setting: keyword, flag, ini key, and its value in run(), command line, marker and ini file.
SETTINGS: tuple[tuple[str, str, str, str, str, str, str], ...] = (
    ("agents", "--stress-agents", "stress_agents", "['R1', 'R2']", "C1,C2", "['M1', 'M2']", "I1, I2"),
    ("tasks", "--stress-tasks", "stress_tasks", "{'r': 1, 's': 2}", "c=1,d=2", "['m', 'n']", "i,j"),
    ("missing_data_prob", "--missing-data-prob", "missing_data_prob", "0.01", "0.02", "0.03", "0.04"),
    ("failure_prob", "--failure-prob", "failure_prob", "0.05", "0.06", "0.07", "0.08"),
    ("operations_per_agent", "--stress-operations", "stress_operations", "3", "4", "5", "6"),
    ("ramp", "--stress-ramp", "stress_ramp", "'1ns'", "2ns", "0.000000003", "4ns"),
    ("warmup", "--stress-warmup", "stress_warmup", "5e-9", "6ns", "'7ns'", "0.000000008"),
    ("min_delay", "--stress-min-delay", "stress_min_delay", "0", "1us", "0.000002", "3us"),
    ("max_delay", "--stress-max-delay", "stress_max_delay", "'11us'", "12us", "'13us'", "0.000014"),
    ("failure_mode", "--stress-failure-mode", "stress_failure_mode", "'mixed'", "lost_reply", "'mixed'", "mixed"),
    ("seed", "--stress-seed", "stress_seed", "1", "0", "-3", "99999999999999999999"),
    ("operation_timeout", "--stress-operation-timeout", "stress_operation_timeout", "'21s'", "22", "23.0", "24s"),
)
EXPECTED: dict[str, tuple[Any, Any, Any, Any]] = {
    "agents": (["R1", "R2"], ["C1", "C2"], ["M1", "M2"], ["I1", "I2"]),
    "tasks": ({"r": 1.0, "s": 2.0}, {"c": 1.0, "d": 2.0}, ["m", "n"], ["i", "j"]),
    "missing_data_prob": (0.01, 0.02, 0.03, 0.04),
    "failure_prob": (0.05, 0.06, 0.07, 0.08),
    "operations_per_agent": (3, 4, 5, 6),
    "ramp": (1e-9, 2e-9, 3e-9, 4e-9),
    "warmup": (5e-9, 6e-9, 7e-9, 8e-9),
    "min_delay": (0.0, 1e-6, 2e-6, 3e-6),
    "max_delay": (11e-6, 12e-6, 13e-6, 14e-6),
    "failure_mode": ("mixed", "lost_reply", "mixed", "mixed"),
    "seed": (1, 0, -3, 99999999999999999999),
    "operation_timeout": (21.0, 22.0, 23.0, 24.0),
}


def statistics(pytester: pytest.Pytester) -> dict[str, Any]:
    """Return the statistics of the only run."""
    (file,) = pytester.path.rglob("simulation_statistics.json")
    stats: dict[str, Any] = json.loads(file.read_text())
    return stats


def scenario(pytester: pytest.Pytester) -> dict[str, Any]:
    described: dict[str, Any] = statistics(pytester)["scenario"]
    return described


def write_test(pytester: pytest.Pytester, marker: str = "", run: str = "", target: str = "lambda: None") -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress({marker})
        def test_it(stress_simulator):
            stress_simulator.run({target}, {run})
        """
    )


@pytest.mark.parametrize("first", range(4), ids=SOURCES)
def test_the_source_of_highest_precedence_decides_a_setting(pytester: pytest.Pytester, first: int) -> None:
    sources = ["", "", "", ""]
    for name, flag, key, run, command_line, marker, ini in SETTINGS:
        sources[0] += f"{name}={run}, "
        sources[1] += f"{flag}={command_line} "
        sources[2] += f"{name}={marker}, "
        sources[3] += f"{key} = {ini}\n"
    run, command_line, marker, ini = (text if number >= first else "" for number, text in enumerate(sources))
    write_test(pytester, marker, run)
    pytester.makeini(f"[pytest]\n{ini}")
    pytester.runpytest_inprocess("--stress", *command_line.split()).assert_outcomes(passed=1)
    decided = scenario(pytester)
    assert {name: decided[name] for name in EXPECTED} == {
        name: pytest.approx(values[first]) if isinstance(values[first], float) else values[first]
        for name, values in EXPECTED.items()
    }


def test_each_setting_can_come_from_a_different_source(pytester: pytest.Pytester) -> None:
    write_test(pytester, "agents=5, operations_per_agent=5, failure_prob=0.5", "operations_per_agent=2", "None")
    pytester.makeini(
        "[pytest]\nstress_agents = 9\nfailure_prob = 0.9\nstress_min_delay = 0\nstress_max_delay = 0\n"
        "stress_operations = 9\n"
    )
    pytester.runpytest_inprocess("--stress", "--stress-agents=3").assert_outcomes(passed=1)
    decided = scenario(pytester)
    assert [len(decided["agents"]), decided["operations_per_agent"], decided["failure_prob"]] == [3, 2, 0.5]
    assert decided["max_delay"] == 0
    assert decided["missing_data_prob"] == 0.2


def test_a_setting_without_a_source_has_its_default(pytester: pytest.Pytester) -> None:
    write_test(pytester, run="operations_per_agent=1", target="None")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    decided = scenario(pytester)
    del decided["seed"], decided["operations_per_agent"]
    assert decided == {
        "agents": ["StockAgent_A", "ForexAgent_B", "CryptoAgent_C", "ArbitrageAgent_D"],
        "tasks": ["buy", "sell", "hedge", "rebalance"],
        "missing_data_prob": 0.2,
        "failure_prob": 0.1,
        "duration": None,
        "ramp": 0.0,
        "warmup": 0.0,
        "min_delay": 0.05,
        "max_delay": 0.15,
        "failure_mode": "lost_request",
        "missing_data": None,
        "faults": None,
        "fault_windows": None,
        "retries": 0,
        "network": None,
        "market": None,
        "engine": "threads",
        "own_threads": True,
        "operation_timeout": 30.0,
    }


def test_the_default_number_of_operations_is_a_hundred_for_each_agent(pytester: pytest.Pytester) -> None:
    write_test(pytester, run="min_delay=0, max_delay=0")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert statistics(pytester)["total_operations"] == 400


NO_DELAY = "min_delay=0, max_delay=0"


@pytest.mark.parametrize(
    ("run", "command_line", "marker", "ini", "by_duration"),
    [
        ("", "", "duration='50ms'", "stress_operations = 3", True),
        ("", "--stress-operations=3", "duration=60", "", False),
        ("", "--stress-duration=50ms", "operations_per_agent=100000", "", True),
        ("duration=0.05", "--stress-operations=100000", "", "", True),
        ("operations_per_agent=3", "--stress-duration=60", "duration=60", "stress_duration = 1m", False),
        ("", "", "", "stress_duration = 0.05", True),
        ("", "", "operations_per_agent=3", "stress_duration = 60", False),
    ],
)
def test_a_duration_overrides_a_number_of_operations_from_a_lower_source_and_vice_versa(
    pytester: pytest.Pytester, run: str, command_line: str, marker: str, ini: str, by_duration: bool
) -> None:
    write_test(pytester, marker, f"agents=2, {NO_DELAY}, {run}", target="None")
    pytester.makeini(f"[pytest]\n{ini}\n")
    pytester.runpytest_inprocess("--stress", *command_line.split()).assert_outcomes(passed=1)
    decided = scenario(pytester)
    if by_duration:
        assert decided["duration"] == 0.05
        assert decided["operations_per_agent"] is None
    else:
        assert decided["duration"] is None
        assert statistics(pytester)["total_operations"] == 6


def test_markers_of_module_class_and_function_combine_and_the_closest_decides(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.stress(agents=9, operations_per_agent=9, failure_prob=0.25, {NO_DELAY})

        @pytest.mark.stress(agents=8, operations_per_agent=8)
        class TestExchange:
            @pytest.mark.stress(agents=2)
            def test_it(self, stress_simulator):
                stress_simulator.run()
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    decided = scenario(pytester)
    assert [len(decided["agents"]), decided["operations_per_agent"], decided["failure_prob"]] == [2, 8, 0.25]


def test_thresholds_of_all_sources_apply(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress(thresholds=["operations == 3"])
        class TestExchange:
            @pytest.mark.stress(thresholds=["operations == 4"])
            def test_it(self, stress_simulator):
                result = stress_simulator.run(
                    operations_per_agent=1, {NO_DELAY}, thresholds=["operations == 7"], gate=False
                )
        """
    )
    pytester.makeini("[pytest]\nstress_thresholds =\n  operations == 1\n  operations == 2\n")
    pytester.runpytest_inprocess(
        "--stress", "--stress-threshold", "operations == 5", "--stress-threshold=operations==6"
    ).assert_outcomes(passed=1)
    verdicts = {threshold["threshold"]: threshold["verdict"] for threshold in statistics(pytester)["thresholds"]}
    assert set(verdicts) == {*(f"operations == {n}" for n in (1, 2, 3, 4, 5, 7)), "operations==6", "errors == 0"}
    assert [text for text, verdict in verdicts.items() if verdict == "passed"] == [
        "operations == 4",
        "errors == 0",
    ]


def test_the_session_draws_a_single_seed_for_all_runs_and_prints_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress(operations_per_agent=1, missing_data_prob=0, failure_prob=0, {NO_DELAY})
        def test_a():
            pass

        def test_b(stress_simulator):
            first = stress_simulator.run(operations_per_agent=1, {NO_DELAY})
            second = stress_simulator.run(operations_per_agent=1, {NO_DELAY}, seed=None)
            print("seeds", first.seed, second.seed)
        """
    )
    seeds = set()
    for _ in range(2):
        result = pytester.runpytest_inprocess("--stress", "-s")
        result.assert_outcomes(passed=2)
        header = re.search(r"--stress-seed=(\d+)", result.stdout.str())
        assert header is not None
        seed = int(header[1])
        result.stdout.fnmatch_lines([f"*seeds {seed} {seed}"])
        stored = [json.loads(file.read_text()) for file in pytester.path.rglob("simulation_statistics.json")]
        assert [stats["seed"] for stats in stored] == [seed] * 3
        seeds.add(seed)
    assert len(seeds) == 2, "two sessions drew one seed"


@pytest.mark.parametrize("seed", [0, -7, 2**70])
def test_a_seed_is_used_as_given(pytester: pytest.Pytester, seed: int) -> None:
    write_test(pytester, run=f"operations_per_agent=1, {NO_DELAY}", target="None")
    result = pytester.runpytest_inprocess("--stress", f"--stress-seed={seed}")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"stress: *--stress-seed={seed}*"])
    assert statistics(pytester)["seed"] == seed


def test_the_same_seed_gives_the_same_counts(pytester: pytest.Pytester) -> None:
    write_test(pytester, run=NO_DELAY)
    counts = []
    for seed in (1, 1, 2):
        pytester.runpytest_inprocess("--stress", f"--stress-seed={seed}").assert_outcomes(passed=1)
        counts.append(statistics(pytester)["agent_stats"])
    assert counts[0] == counts[1] != counts[2]


INI = """
stress_agents = Ann, Bob
stress_tasks = buy=3, sell=1
missing_data_prob = 0.5
failure_prob = 0.25
stress_operations = 4
stress_min_delay = 0
stress_max_delay = 1us
stress_output_dir = out
stress_seed = 5
stress_engine = threads
stress_thresholds =
    operations == 8
    failure_rate < 100%
"""
OPTIONS_TOML = """
stress_agents = ["Ann", "Bob"]
stress_tasks = "buy=3, sell=1"
missing_data_prob = 0.5
failure_prob = "0.25"
stress_operations = 4
stress_min_delay = 0
stress_max_delay = "1us"
stress_output_dir = "out"
stress_seed = 5
stress_engine = "threads"
stress_thresholds = ["operations == 8", "failure_rate < 100%"]
"""
NATIVE_TOML = """
stress_agents = ["Ann", "Bob"]
stress_tasks = {buy = 3, sell = 1.0}
missing_data_prob = 0.5
failure_prob = 0.25
stress_operations = 4
stress_min_delay = 0
stress_max_delay = 1e-6
stress_output_dir = "out"
stress_seed = 5
stress_engine = "threads"
stress_thresholds = ["operations == 8", "failure_rate < 100%"]
"""
NATIVE_STRINGS = """
stress_agents = "Ann, Bob"
stress_tasks = ["buy=3", "sell=1"]
missing_data_prob = "0.5"
failure_prob = "0.25"
stress_operations = "4"
stress_min_delay = "0"
stress_max_delay = "1us"
stress_output_dir = "out"
stress_seed = "5"
stress_engine = "threads"
stress_thresholds = ["operations == 8", "failure_rate < 100%"]
"""


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("pytest.ini", "[pytest]" + INI),
        (".pytest.ini", "[pytest]" + INI),
        ("tox.ini", "[pytest]" + INI),
        ("setup.cfg", "[tool:pytest]" + INI),
        ("pyproject.toml", "[tool.pytest.ini_options]" + OPTIONS_TOML),
        ("pyproject.toml", "[tool.pytest]" + NATIVE_TOML),
        ("pyproject.toml", "[tool.pytest]" + NATIVE_STRINGS),
        ("pytest.toml", "[pytest]" + NATIVE_TOML),
        (".pytest.toml", "[pytest]" + NATIVE_STRINGS),
    ],
    ids=[
        "pytest.ini",
        ".pytest.ini",
        "tox.ini",
        "setup.cfg",
        "pyproject.toml, ini_options",
        "pyproject.toml, native",
        "pyproject.toml, native with strings",
        "pytest.toml",
        ".pytest.toml with strings",
    ],
)
def test_every_kind_of_ini_file_is_read(pytester: pytest.Pytester, file: str, content: str) -> None:
    write_test(pytester)
    (pytester.path / file).write_text(content)
    result = pytester.runpytest_inprocess("--stress", "-W", "error")
    result.assert_outcomes(passed=1)
    assert (pytester.path / "out").is_dir()
    decided = scenario(pytester)
    assert decided == {
        "agents": ["Ann", "Bob"],
        "tasks": {"buy": 3.0, "sell": 1.0},
        "missing_data_prob": 0.5,
        "failure_prob": 0.25,
        "operations_per_agent": 4,
        "duration": None,
        "ramp": 0.0,
        "warmup": 0.0,
        "min_delay": 0.0,
        "max_delay": 1e-6,
        "failure_mode": "lost_request",
        "missing_data": None,
        "faults": None,
        "fault_windows": None,
        "retries": 0,
        "network": None,
        "market": None,
        "seed": 5,
        "engine": "threads",
        "own_threads": True,
        "operation_timeout": 30.0,
    }
    verdicts = [threshold["threshold"] for threshold in statistics(pytester)["thresholds"]]
    assert verdicts == ["operations == 8", "failure_rate < 100%", "errors == 0"]


@pytest.mark.parametrize(
    ("line", "agents"),
    [
        ("stress_agents = 3", ["Agent_1", "Agent_2", "Agent_3"]),
        ('stress_agents = "2"', ["Agent_1", "Agent_2"]),
        ('stress_agents = ["Ann"]', ["Ann"]),
        ('stress_agents = ["2"]', ["Agent_1", "Agent_2"]),
    ],
)
@pytest.mark.parametrize("table", ["tool.pytest", "tool.pytest.ini_options"])
def test_agents_in_toml_are_a_count_or_names(
    pytester: pytest.Pytester, table: str, line: str, agents: list[str]
) -> None:
    write_test(pytester, run=f"operations_per_agent=1, {NO_DELAY}", target="None")
    pytester.makepyprojecttoml(f"[{table}]\n{line}\n")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert scenario(pytester)["agents"] == agents


def test_an_inline_table_of_tasks_that_pytest_converts_to_text_is_not_misread(pytester: pytest.Pytester) -> None:
    write_test(pytester, run=f"operations_per_agent=1, {NO_DELAY}", target="None")
    pytester.makepyprojecttoml("[tool.pytest.ini_options]\nstress_tasks = {buy = 3, sell = 1}\n")
    result = pytester.runpytest_inprocess("--stress")
    if result.ret == pytest.ExitCode.OK:
        assert scenario(pytester)["tasks"] == {"buy": 3.0, "sell": 1.0}
    else:
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines(["ERROR: *stress_tasks*"])


@pytest.mark.parametrize("file", ["pytest.ini", "pytest.toml"])
def test_o_overrides_an_ini_key(pytester: pytest.Pytester, file: str) -> None:
    write_test(pytester, run=f"operations_per_agent=1, {NO_DELAY}", target="None")
    (pytester.path / file).write_text("[pytest]\nstress_agents = 9\nfailure_prob = 0.9\n")
    overrides = ["-o", "stress_agents=3", "-o", "failure_prob=0.5", "-o", "stress_thresholds=operations == 3"]
    pytester.runpytest_inprocess("--stress", *overrides).assert_outcomes(passed=1)
    decided = scenario(pytester)
    assert (len(decided["agents"]), decided["failure_prob"]) == (3, 0.5)
    assert statistics(pytester)["thresholds"][0]["threshold"] == "operations == 3"


def test_o_works_without_an_ini_file(pytester: pytest.Pytester) -> None:
    write_test(pytester, run=f"operations_per_agent=1, {NO_DELAY}", target="None")
    pytester.runpytest_inprocess("--stress", "-o", "stress_agents=3").assert_outcomes(passed=1)
    assert len(scenario(pytester)["agents"]) == 3


def test_a_mapping_as_target_gives_the_tasks_if_no_source_does(pytester: pytest.Pytester) -> None:
    write_test(pytester, run=f"operations_per_agent=9, {NO_DELAY}", target="{'quote': print, 'cancel': print}")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert scenario(pytester)["tasks"] == ["quote", "cancel"]


@pytest.mark.parametrize("plugin", ["no:xdist", "no:hypothesispytest", "no:terminalprogress"])
def test_the_plugin_works_without_other_plugins(pytester: pytest.Pytester, plugin: str) -> None:
    write_test(pytester, run=f"operations_per_agent=1, {NO_DELAY}", target="None")
    pytester.runpytest_inprocess("--stress", "-p", plugin).assert_outcomes(passed=1)


COUNTED = """
    import pytest

    class Counted:
        def __init__(self, value):
            self.value = value
            self.conversions = 0

    class Number(Counted):
        def __float__(self):
            self.conversions += 1
            return float(self.value)

    class Names(Counted):
        def __iter__(self):
            self.conversions += 1
            return iter(self.value)

    of_marker = Number(0.25)
    of_run = Names(["Ann", "Bob"])
"""


def test_a_value_is_read_once_for_each_source(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        COUNTED
        + """
    @pytest.mark.stress(failure_prob=of_marker, operations_per_agent=2, min_delay=0, max_delay=0)
    @pytest.mark.parametrize("number", range(2))
    def test_it(stress_simulator, number):
        of_run.conversions = 0
        result = stress_simulator.run(agents=of_run)
        assert of_run.conversions == 1
        stress_simulator.run()
        assert result.scenario.failure_prob == 0.25
        assert of_marker.conversions == 1
    """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=2)


def test_an_iterator_in_a_marker_is_read_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.stress(agents=iter(["Ann", "Bob"]), operations_per_agent=1, min_delay=0, max_delay=0)
        def test_it(stress_simulator):
            assert stress_simulator.run().scenario.agent_names == ("Ann", "Bob")
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)


def test_a_run_under_pytest_creates_its_scenario_once(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from pytest_nos_stress import Scenario

        @pytest.mark.stress(operations_per_agent=1, min_delay=0, max_delay=0, failure_prob=0.5)
        def test_it(stress_simulator, monkeypatch):
            created = []
            complete = Scenario._complete

            def complete_and_note(scenario, *values):
                complete(scenario, *values)
                created.append(scenario)

            monkeypatch.setattr(Scenario, "_complete", complete_and_note)
            result = stress_simulator.run(agents=2)
            assert [scenario is result.scenario for scenario in created] == [True]
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
