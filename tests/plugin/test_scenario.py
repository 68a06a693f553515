"""A scenario in a file, in a marker and in run(): it decides the whole plan of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_nos_stress import Scenario

TRADES = """
    def test_trades(stress_simulator):
        stress_simulator.run(agents=3, engine="virtual", operations_per_agent=20)
"""


def files_of(pytester: pytest.Pytester, test: str = "test_trades", run: str = "") -> Path:
    name = next(Path(pytester.path, "stress_test_output").glob(f"*--{test}"))
    return name / run


def test_every_run_stores_its_scenario_beside_the_statistics(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TRADES)
    pytester.runpytest("--stress", "--stress-seed=5").assert_outcomes(passed=1)
    scenario = Scenario.from_json((files_of(pytester) / "scenario.json").read_text())
    assert scenario == Scenario(agents=3, engine="virtual", operations_per_agent=20, seed=5)
    assert json.loads((files_of(pytester) / "simulation_statistics.json").read_text())["seed"] == 5


@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["one process", "xdist"])
def test_a_scenario_file_repeats_exactly_that_run(pytester: pytest.Pytester, workers: list[str]) -> None:
    pytester.makepyfile(TRADES)
    pytester.runpytest("--stress", "--stress-seed=5", "--failure-prob=0.7").assert_outcomes(passed=1)
    log = (files_of(pytester) / "stress_test_results.log").read_bytes()
    scenario_file = pytester.path / "kept.json"
    scenario_file.write_bytes((files_of(pytester) / "scenario.json").read_bytes())
    pytester.runpytest("--stress").assert_outcomes(passed=1)
    assert (files_of(pytester) / "stress_test_results.log").read_bytes() != log
    pytester.runpytest("--stress", f"--stress-scenario={scenario_file}", *workers).assert_outcomes(passed=1)
    assert (files_of(pytester) / "stress_test_results.log").read_bytes() == log


def test_a_file_from_a_second_runs_directory_repeats_the_second_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        def test_trades(stress_simulator):
            for agents in (2, 3, 4):
                stress_simulator.run(agents=agents, engine="virtual", operations_per_agent=5)
    """)
    pytester.runpytest("--stress", "--stress-seed=5").assert_outcomes(passed=1)
    second = files_of(pytester, run="run-2")
    log = (second / "stress_test_results.log").read_bytes()
    third = (files_of(pytester, run="run-3") / "stress_test_results.log").read_bytes()
    pytester.runpytest("--stress", f"--stress-scenario={second / 'scenario.json'}").assert_outcomes(passed=1)
    assert (second / "stress_test_results.log").read_bytes() == log
    assert (files_of(pytester, run="run-3") / "stress_test_results.log").read_bytes() == third  # of the same seed


def test_a_test_fails_if_it_does_not_make_the_run_that_the_file_repeats(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TRADES)
    directory = pytester.path / "run-7"
    directory.mkdir()
    for path in (pytester.path, directory):
        (path / "scenario.json").write_text(Scenario(engine="virtual").to_json())
    result = pytester.runpytest("--stress", f"--stress-scenario={directory / 'scenario.json'}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["--stress-scenario=*: repeats run 7 of the test, but the test made fewer runs; *"]
    )


def test_a_scenario_file_for_a_test_under_given_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from hypothesis import given
        from pytest_nos_stress.strategies import scenarios

        @given(scenario=scenarios())
        def test_trades(stress_simulator, scenario):
            stress_simulator.run(scenario=scenario)
    """)
    pytester.path.joinpath("one.json").write_text(Scenario(engine="virtual").to_json())
    result = pytester.runpytest("--stress", "--stress-scenario=one.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*a test under @given draws its own scenarios; pass this one with @example(...) instead*"]
    )


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_a_scenario_file_repeats_one_test_not_several(pytester: pytest.Pytester, workers: list[str]) -> None:
    pytester.makepyfile(TRADES + TRADES.replace("test_trades", "test_more"))
    pytester.path.joinpath("one.json").write_text(Scenario(engine="virtual").to_json())
    result = pytester.runpytest("--stress", "--stress-scenario=one.json", *workers)
    assert result.ret != pytest.ExitCode.OK
    output = result.stdout.str() + result.stderr.str()
    message = (
        "--stress-scenario=one.json: repeats a run of one stress test, but 2 are selected; select exactly one"
    )
    assert message in output
    assert "INTERNALERROR" not in output
    pytester.runpytest("--stress", "--stress-scenario=one.json", "-k", "more", *workers).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", ["not JSON"]),
        ("[]", ["not a scenario"]),
        ('{"version": 2}', ["version 2", "must be 1"]),
        ('{"version": 1, "agnets": 3}', ["'agnets'", "not a field"]),
        ('{"version": 1, "failure_prob": 2}', ["failure_prob=2", "from 0 to 1"]),
        ('{"version": 1, "operations": [["a", "buy", "flood"]]}', ["operations[0]", "'flood'", "lost_reply"]),
        ('{"version": 1, "tasks": ["buy"], "operations": [["a", "sell"]]}', ["unknown task 'sell'", "buy"]),
        (f'{{"version": 1, "market": {"[" * 900}{"]" * 900}}}', ["nested more than 32 levels deep"]),
        (None, ["cannot be read"]),
    ],
)
def test_a_bad_scenario_file_is_one_clear_line(
    pytester: pytest.Pytester, content: str | None, words: list[str]
) -> None:
    pytester.makepyfile(TRADES)
    if content is not None:
        pytester.path.joinpath("bad.json").write_text(content)
    result = pytester.runpytest("--stress", "--stress-scenario=bad.json")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in result.stderr.lines if line.startswith("ERROR")]
    assert len(lines) == 1
    assert all(word in lines[0] for word in ["bad.json", *words]), lines


def test_a_scenario_with_a_task_the_target_does_not_have_is_one_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(TRADES)
    pytester.path.joinpath("one.json").write_text(Scenario(operations=[("a", "teleport")]).to_json())
    result = pytester.runpytest("--stress", "--stress-scenario=one.json")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E*cannot perform 'teleport'; it has *"])


def test_a_scenario_in_the_marker_overrides_the_plan_settings_of_run(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        from pytest_nos_stress import Scenario

        @pytest.mark.stress(scenario=Scenario(operations=[("a", "buy"), ("b", "sell")], engine="virtual"))
        def test_trades(stress_simulator):
            result = stress_simulator.run(agents=7, engine="threads", tasks=["hedge"])
            assert result.scenario.agent_names == ("a", "b")
            assert result.operations == 2
    """)
    pytester.runpytest("--stress", "--stress-seed=3").assert_outcomes(passed=1)


def test_a_marked_body_performs_a_scenario_too(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import pytest
        from pytest_nos_stress import Scenario

        performed = []

        @pytest.mark.stress(scenario=Scenario(operations=[("a", "x"), ("b", "x", "lost_request"), ("a", "x")]))
        def test_body():
            performed.append(1)

        def test_it_was_performed():
            assert len(performed) == 2
    """)
    pytester.runpytest("--stress").assert_outcomes(passed=2)


@pytest.mark.parametrize("source", ["run", "marker"])
def test_a_scenario_and_a_setting_that_it_decides_are_refused_in_one_source(
    pytester: pytest.Pytester, source: str
) -> None:
    settings = "scenario=Scenario(), agents=3"
    marker, run = (settings, "") if source == "marker" else ("", settings)
    pytester.makepyfile(f"""
        import pytest
        from pytest_nos_stress import Scenario

        @pytest.mark.stress({marker})
        def test_trades(stress_simulator):
            stress_simulator.run({run})
    """)
    result = pytester.runpytest("--stress")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*agents: the scenario already decides it; give one or the other*"])


def test_a_failed_run_of_an_explicit_scenario_says_how_to_repeat_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        from pytest_nos_stress import Scenario

        def test_trades(stress_simulator):
            scenario = Scenario(operations=[("a", "buy")], engine="virtual")
            stress_simulator.run({"buy": lambda: 1 / 0}, scenario=scenario)
    """)
    result = pytester.runpytest("--stress")
    command = next(line for line in result.outlines if "--stress-scenario=" in line)
    again = pytester.runpytest(*command.removeprefix("E").split()[1:])
    again.assert_outcomes(failed=1)
    again.stdout.fnmatch_lines(["*1 x ZeroDivisionError, for example agent a, task buy:"])
