"""The gate: the reasons for which a stress test fails, and its failure message."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

CALM = "missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0"
QUICK = f"agents=2, operations_per_agent=5, {CALM}"
OUR_FILES = re.compile(r"pytest_nos_stress[/\\]\w+\.py")


def all_statistics(path: Path) -> dict[str, dict[str, Any]]:
    """Return the statistics of all runs, by directory."""
    files = sorted(path.rglob("simulation_statistics.json"))
    return {file.parent.name: json.loads(file.read_text()) for file in files}


def only_statistics(path: Path) -> dict[str, Any]:
    (stats,) = all_statistics(path).values()
    return stats


def error_lines(result: pytest.RunResult) -> list[str]:
    """Return the lines of the failure message, without pytest's margin."""
    return [line[1:].removeprefix("   ") for line in result.outlines if re.match(r"E( |$)", line)]


def write_test(pytester: pytest.Pytester, run: str, target: str = "lambda: None", marker: str = "") -> None:
    pytester.makepyfile(
        f"""
        import pytest

        def fail(error):
            raise error

        @pytest.mark.stress({marker})
        def test_it(stress_simulator):
            stress_simulator.run({target}, {run})
        """
    )


def test_a_failed_threshold_fails_the_test_in_its_call_phase(pytester: pytest.Pytester) -> None:
    write_test(pytester, f"{QUICK}, thresholds=['operations > 1000']")
    record = pytester.inline_run("--stress")
    (failed,) = [report for report in record.getreports("pytest_runtest_logreport") if report.failed]
    assert failed.when == "call"
    record.assertoutcome(failed=1)


def test_the_failure_has_a_table_and_no_traceback_of_the_plugins_code(
    pytester: pytest.Pytester,
) -> None:
    write_test(pytester, f"{QUICK}, thresholds=['operations > 1000', 'success_rate >= 50%', 'latency.max < 1m']")
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    heading, *rows = [line.split("  ") for line in error_lines(result)[1:6]]
    assert heading[0] == "" or heading[1] == "wanted"
    table = [[cell.strip() for cell in row if cell.strip()] for row in [heading, *rows]]
    assert table[0] == ["wanted", "measured", "verdict"]
    assert table[1] == ["operations > 1000", "10", "failed"]
    assert table[2][0] == "success_rate >= 50%"
    assert table[2][1].startswith("100%")
    assert table[2][2] == table[3][2] == table[4][2] == "passed"
    assert table[4][0] == "errors == 0"
    assert not OUR_FILES.search(result.stdout.str())


def test_a_body_has_the_same_table_without_a_traceback(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress({QUICK}, thresholds=["operations > 1000"])
        def test_it():
            pass
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r".*1 of 2 thresholds did not pass.*", r"\s*operations > 1000 +10 +failed"])
    assert not OUR_FILES.search(result.stdout.str())


def test_the_files_are_written_when_the_gate_fails(pytester: pytest.Pytester) -> None:
    write_test(pytester, f"{QUICK}, thresholds=['operations > 1000']")
    pytester.runpytest_inprocess("--stress").assert_outcomes(failed=1)
    (statistics,) = pytester.path.rglob("simulation_statistics.json")
    assert json.loads(statistics.read_text())["verdict"] == "failed"
    assert {file.name for file in statistics.parent.iterdir()} == {
        "stress_test_results.log",
        "agent_memory_snapshot.json",
        "scenario.json",
        "simulation_statistics.json",
        "stress_test_report.html",
    }


def test_without_the_gate_the_test_judges_the_result(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        def test_it(stress_simulator):
            def buy():
                raise KeyError
            result = stress_simulator.run({{"buy": buy}}, {QUICK}, gate=False, thresholds=["operations > 1000"])
            assert not result.passed
            assert (result.errors, result.failure_rate) == (10, 1.0)
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    stats = only_statistics(pytester.path)
    assert stats["verdict"] == "failed"
    assert [one["verdict"] for one in stats["thresholds"]] == ["failed", "failed"]


def test_thresholds_not_met_is_an_assertion_error_with_the_result(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest
        from pytest_nos_stress import StressResult, ThresholdsNotMet

        def test_it(stress_simulator):
            with pytest.raises(ThresholdsNotMet, match="operations > 1000") as caught:
                stress_simulator.run(lambda: None, {QUICK}, thresholds=["operations > 1000"])
            assert isinstance(caught.value, AssertionError)
            assert isinstance(caught.value.result, StressResult)
            assert caught.value.result.operations == 10
            assert (caught.value.result.output_dir / "simulation_statistics.json").exists()
        """
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)


def test_an_exception_of_the_target_fails_the_test_without_a_threshold_on_errors(
    pytester: pytest.Pytester,
) -> None:
    write_test(
        pytester,
        f"{QUICK}, thresholds=['operations == 10']",
        "lambda operation: fail(KeyError()) if (operation.agent, operation.index) == ('Agent_2', 3) else None",
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r"E +errors == 0 +1 +failed"])


def test_planned_failures_are_not_errors(pytester: pytest.Pytester) -> None:
    write_test(
        pytester,
        "agents=2, operations_per_agent=5, min_delay=0, max_delay=0, failure_prob=1, failure_mode='lost_reply'",
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    stats = only_statistics(pytester.path)
    assert stats["failed_operations"] > 0
    assert stats["errors"] == 0


@pytest.mark.parametrize("threshold", ["errors < 100", "error_rate > 99%"])
def test_a_threshold_on_errors_replaces_the_implicit_threshold(pytester: pytest.Pytester, threshold: str) -> None:
    write_test(pytester, QUICK, "lambda: fail(KeyError())", f"thresholds=[{threshold!r}]")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert only_statistics(pytester.path)["errors"] == 10


def test_expected_errors_are_failed_operations_and_not_errors(pytester: pytest.Pytester) -> None:
    write_test(pytester, f"{QUICK}, expected_errors=[LookupError]", "lambda: fail(KeyError())")
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    stats = only_statistics(pytester.path)
    assert (stats["failed_operations"], stats["errors"], stats["error_types"]) == (10, 0, [])


@pytest.mark.parametrize("source", ["command line", "ini"])
@pytest.mark.parametrize("tag", ["agent=Nobody", "task=fly"])
def test_a_session_wide_threshold_that_matches_nothing_in_a_run_is_not_applicable(
    pytester: pytest.Pytester, tag: str, source: str
) -> None:
    text = f"failure_rate{{{tag}}} < 1%"
    write_test(pytester, f"{QUICK}, thresholds=['operations > 1000']")
    pytester.makepyfile(test_passing=f"def test_it(stress_simulator): stress_simulator.run(lambda: None, {QUICK})")
    if source == "ini":
        pytester.makeini(f"[pytest]\nstress_thresholds = {text}\n")
    options = [f"--stress-threshold={text}"] if source == "command line" else []
    result = pytester.runpytest_inprocess("--stress", *options)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines([rf"E +{re.escape(text)} .* not applicable"])
    passing = all_statistics(pytester.path)["test_passing.py--test_it"]
    assert passing["thresholds"][0]["verdict"] == "not applicable"


@pytest.mark.parametrize("source", ["marker", "run"])
@pytest.mark.parametrize("tag", ["agent=Nobody", "task=fly"])
def test_a_tests_own_threshold_that_matches_nothing_in_its_run_fails(
    pytester: pytest.Pytester, tag: str, source: str
) -> None:
    thresholds = f"thresholds=['failure_rate{{{tag}}} < 1%']"
    write_test(
        pytester,
        f"{QUICK}, {thresholds}" if source == "run" else QUICK,
        marker=thresholds if source == "marker" else "",
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([rf"E .*{tag}.*the run has no {tag.replace('=', ' ')[:5]}.*"])


def test_a_session_wide_threshold_judges_the_runs_it_applies_to(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        def test_has_it(stress_simulator):
            stress_simulator.run({{"fly": lambda: None}}, {QUICK})

        def test_does_not_have_it(stress_simulator):
            stress_simulator.run({{"buy": lambda: None}}, {QUICK})
        """
    )
    result = pytester.runpytest_inprocess("--stress", "--stress-threshold=operations{task=fly} > 1000")
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.re_match_lines([r"FAILED .*::test_has_it( |$)"])


@pytest.mark.parametrize("threshold", ["latency.p99 < 1h", "latency.p95 < 1h", "latency{agent=Agent_1}.p90 < 1h"])
def test_a_percentile_of_too_few_samples_does_not_pass(pytester: pytest.Pytester, threshold: str) -> None:
    write_test(pytester, f"{QUICK}, thresholds=[{threshold!r}]")
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *{threshold}*no data"])


def test_the_failure_shows_type_message_agent_task_and_traceback_of_a_real_exception(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        f"""
        class OrderLost(Exception):
            pass

        def place(operation):
            book = {{}}
            if operation.agent == "Eve":
                raise OrderLost(f"order {{operation.index}} of {{len(book)}}")

        def test_it(stress_simulator):
            stress_simulator.run({{"hedge": place}}, agents=["Adam", "Eve"], operations_per_agent=3, {CALM})
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    message = "\n".join(error_lines(result))
    assert re.search(r"3 x \S*OrderLost.*Eve.*hedge", message)
    assert "OrderLost: order 0 of 0" in message
    assert re.search(r'test_the_failure_shows.*\.py", line \d+, in place', message)
    assert 'raise OrderLost(f"order {operation.index} of {len(book)}")' in message
    assert not OUR_FILES.search(result.stdout.str())


def test_each_type_of_exception_is_shown_with_its_count(pytester: pytest.Pytester) -> None:
    target = "lambda operation: fail(KeyError('k') if operation.index < 2 else ValueError('v'))"
    write_test(pytester, f"agents=1, operations_per_agent=5, {CALM}", target)
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *3 x ValueError*", "E *ValueError: v", "E *2 x KeyError*", "E *KeyError: 'k'"])


def test_a_hung_target_fails_the_test_and_names_agent_task_and_stack(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import threading

        released = threading.Event()

        def wait_for_a_reply(operation):
            if operation.agent == "Eve":
                released.wait(60)

        def test_it(stress_simulator):
            try:
                stress_simulator.run({{"hedge": wait_for_a_reply}}, agents=["Adam", "Eve"],
                    operations_per_agent=3, operation_timeout="100ms", {CALM})
            finally:
                released.set()
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    message = "\n".join(error_lines(result))
    assert "hung" in message
    assert re.search(r"Eve.*hedge", message)
    assert "in wait_for_a_reply" in message
    assert only_statistics(pytester.path)["status"] == "hung"


def test_a_run_whose_files_cannot_be_written_does_not_pass(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pathlib, shutil

        def test_it(stress_simulator):
            def remove_the_directory():
                shutil.rmtree("stress_test_output", ignore_errors=True)
            stress_simulator.run({{"buy": remove_the_directory}}, {QUICK}, gate=False)
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *could not be written*"])


def test_an_agent_whose_session_fails_fails_the_test(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        def connect(agent):
            raise ConnectionError("no route for " + agent)

        def test_it(stress_simulator):
            stress_simulator.run(lambda: None, {QUICK}, per_agent=connect, gate=False)
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.re_match_lines([r"E .*Agent_[12].*ConnectionError: no route for Agent_[12]"])
    assert not OUR_FILES.search(result.stdout.str())


def test_a_failure_of_the_test_itself_after_a_good_run_is_the_tests_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        def test_it(stress_simulator):
            result = stress_simulator.run(lambda: None, {QUICK})
            assert result.operations == 11
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["E *assert 10 == 11"])


def test_given_finds_the_example_that_breaks_the_gate(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        from hypothesis import HealthCheck, given, settings, strategies as st

        @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=20,
            database=None, derandomize=True)
        @given(size=st.integers(0, 100))
        def test_fine(stress_simulator, size):
            assert stress_simulator.run(lambda: None, {QUICK}).operations == 10

        @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50,
            database=None, derandomize=True)
        @given(size=st.integers(0, 100))
        def test_too_large(stress_simulator, size):
            def buy():
                if size > 7:
                    raise ValueError("too large")
            stress_simulator.run({{"buy": buy}}, {QUICK})
        """
    )
    result = pytester.runpytest_inprocess("--stress")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.re_match_lines([r"E? *.*errors == 0 +10 +failed"])
    message = result.stdout.str()
    assert "size=8" in message
    assert "Flaky" not in message
    assert "INTERNALERROR" not in message


# The printed command repeats the run.

BREAKING = "thresholds=['operations > 1000']"


def repeat_command(result: pytest.RunResult) -> str:
    """Return the command that a failure prints."""
    lines = [line.removeprefix("E").strip() for line in result.outlines]
    commands = {line for line in lines if line.startswith("pytest --stress")}
    (command,) = commands
    return command


def counts(path: Path) -> dict[str, Any]:
    """Return the counts of each run below a directory, and delete the statistics files."""
    counts_of_runs = {}
    for name, stats in all_statistics(path).items():
        counts_of_runs[name] = (stats["agent_stats"], list(stats["tasks"]), stats["seed"])
    for file in path.rglob("simulation_statistics.json"):
        file.unlink()
    return counts_of_runs


def run_again(pytester: pytest.Pytester, first: pytest.RunResult) -> pytest.RunResult:
    """Run the command that a failed session printed, and compare the counts of its only run."""
    first.assert_outcomes(failed=1)
    before = counts(pytester.path)
    assert len(before) == 1
    program, *arguments = shlex.split(repeat_command(first))
    assert program == "pytest"
    second = pytester.runpytest_inprocess(*arguments)
    second.assert_outcomes(failed=1)
    after = counts(pytester.path)
    assert list(after.values()) == list(before.values())
    return second


def failing_test(arguments: str = "agents=2, operations_per_agent=40, min_delay=0, max_delay=0") -> str:
    return f"def test_it(stress_simulator): stress_simulator.run(lambda: None, {arguments}, {BREAKING})"


def test_the_printed_command_repeats_the_failure(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(failing_test())
    again = run_again(pytester, pytester.runpytest_inprocess("--stress"))
    assert "--stress-seed=" in repeat_command(again)


@pytest.mark.parametrize("workers", [[], ["-n1"]], ids=["one process", "xdist"])
def test_a_threshold_names_any_agent_and_is_printed_as_it_is_written(
    pytester: pytest.Pytester, workers: list[str]
) -> None:
    name = "Desk \"7\",\n{new} | 'x' \\ $HOME"
    threshold = r"""operations{agent="Desk \"7\",\n{new} | 'x' \\ $HOME"} > 99"""
    pytester.makepyfile(
        f"""
        def test_it(stress_simulator):
            stress_simulator.run(lambda: None, agents=[{name!r}], operations_per_agent=10, {CALM})
        """
    )
    first = pytester.runpytest("--stress", f"--stress-threshold={threshold}", "--junitxml=junit.xml", *workers)
    assert f"  why: threshold {threshold} failed: 10" in first.outlines
    verdict = only_statistics(pytester.path)["thresholds"][0]
    assert (verdict["threshold"], verdict["measured"]) == (threshold, 10)
    properties = {
        element.get("name"): element.get("value")
        for element in ElementTree.parse(pytester.path / "junit.xml").iter("property")
    }
    assert properties["stress_threshold_1"] == f"{threshold} failed: 10"
    run_again(pytester, first)


def test_the_printed_command_repeats_the_failing_test_of_several(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_other="def test_other(): pass", test_stress=f"{failing_test()}\ndef test_it_too(): pass"
    )
    first = pytester.runpytest_inprocess("--stress")
    first.assert_outcomes(passed=2, failed=1)
    before = counts(pytester.path)
    again = pytester.runpytest_inprocess(*shlex.split(repeat_command(first))[1:])
    again.assert_outcomes(failed=1)
    assert counts(pytester.path) == before


def test_the_printed_command_works_in_a_shell(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.parametrize("note", ["it's $HOME, \\"q\\" & `x` * ?; [a] \\\\ !"])
        def test_it(stress_simulator, note):
            stress_simulator.run(lambda: None, operations_per_agent=40, min_delay=0, max_delay=0, {BREAKING})
        """
    )
    first = pytester.runpytest_inprocess("--stress", "--stress-agents=Ann Smith,Bob's")
    first.assert_outcomes(failed=1)
    before = counts(pytester.path)
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    command = repeat_command(first)
    done = subprocess.run(
        command, shell=True, cwd=pytester.path, env={"PATH": path}, capture_output=True, timeout=60, check=False
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout
    assert counts(pytester.path) == before != {}


@pytest.mark.parametrize(
    "note",
    ["a b", "it's", 'say "no"', "a::b", "a/b", "[x]", "100%", "-k", "ü", "a\\b", "*", "\n"],
    ids=lambda note: ascii(note)[1:-1],
)
def test_the_printed_command_selects_a_parametrised_test(pytester: pytest.Pytester, note: str) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        class TestExchange:
            @pytest.mark.parametrize("note", ["other", {note!r}])
            def test_it(self, stress_simulator, note):
                assert note != "other"
                stress_simulator.run(lambda: None, operations_per_agent=9, min_delay=0, max_delay=0, {BREAKING})
        """
    )
    first = pytester.runpytest_inprocess("--stress", "-k", "not other")
    run_again(pytester, first)


def test_the_printed_command_repeats_the_settings_of_the_command_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(stress_simulator): stress_simulator.run(lambda: None)")
    first = pytester.runpytest_inprocess(
        "--stress",
        "--stress-agents=Ann,Bob",
        "--stress-tasks=buy=3, sell=1",
        "--missing-data-prob=0.4",
        "--failure-prob=.3",
        "--stress-operations=30",
        "--stress-min-delay=0",
        "--stress-max-delay=1us",
        "--stress-output-dir=out dir",
        "--stress-failure-mode=mixed",
        "--stress-threshold=operations > 1000",
        "--stress-threshold=failure_rate < 100 %",
        "-o",
        "stress_operation_timeout=20",
    )
    again = run_again(pytester, first)
    again.stdout.fnmatch_lines(["E *operations > 1000*", "E *failure_rate < 100 %*"])
    assert (pytester.path / "out dir").is_dir()


def test_the_printed_command_repeats_ini_overrides_and_the_ini_file(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_it(stress_simulator): stress_simulator.run(lambda: None)")
    (pytester.path / "conf").mkdir()
    (pytester.path / "conf" / "my stress.ini").write_text(
        "[pytest]\nstress_min_delay = 0\nstress_max_delay = 0\nstress_thresholds = operations > 1000\n"
    )
    first = pytester.runpytest_inprocess(
        "--stress", "-c", "conf/my stress.ini", "-o", "stress_agents=3", "-o", "stress_operations=7"
    )
    run_again(pytester, first)


def test_the_printed_command_works_from_a_sub_directory(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\n")
    (pytester.path / "tests" / "unit").mkdir(parents=True)
    (pytester.path / "tests" / "unit" / "test_it.py").write_text(failing_test())
    monkeypatch.chdir(pytester.path / "tests")
    run_again(pytester, pytester.runpytest_inprocess("--stress"))
    assert (pytester.path / "tests" / "stress_test_output").is_dir()


def test_the_printed_command_works_for_a_test_above_the_directory(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(failing_test())
    (pytester.path / "elsewhere").mkdir()
    monkeypatch.chdir(pytester.path / "elsewhere")
    run_again(pytester, pytester.runpytest_inprocess("--stress", str(pytester.path)))


def test_the_printed_command_works_with_the_root_directory_elsewhere(pytester: pytest.Pytester) -> None:
    (pytester.path / "root").mkdir()
    (pytester.path / "my tests").mkdir()
    (pytester.path / "my tests" / "test_it.py").write_text(failing_test())
    run_again(pytester, pytester.runpytest_inprocess("--stress", "--rootdir=root", "my tests"))


def test_the_printed_command_works_with_ini_settings_found_through_the_root_directory(
    pytester: pytest.Pytester,
) -> None:
    (pytester.path / "project" / "tests").mkdir(parents=True)
    (pytester.path / "project" / "pytest.ini").write_text("[pytest]\nstress_agents = 3\n")
    (pytester.path / "project" / "tests" / "test_it.py").write_text(
        failing_test("operations_per_agent=40, min_delay=0, max_delay=0")
    )
    run_again(pytester, pytester.runpytest_inprocess("--stress", "project"))


def test_the_printed_command_repeats_the_seed_of_a_marker_or_ini(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n\n@pytest.mark.stress(seed=77)\n" + failing_test())
    run_again(pytester, pytester.runpytest_inprocess("--stress"))


def test_the_printed_command_repeats_a_body(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.stress(agents=2, operations_per_agent=40, min_delay=0, max_delay=0, {BREAKING})
        def test_it():
            pass
        """
    )
    run_again(pytester, pytester.runpytest_inprocess("--stress"))


def test_the_printed_command_repeats_a_failure_under_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(failing_test())
    run_again(pytester, pytester.runpytest_subprocess("--stress", "-n", "2"))


def test_the_printed_command_still_works_after_the_output_is_deleted(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(failing_test())
    first = pytester.runpytest_inprocess("--stress")
    before = counts(pytester.path)
    shutil.rmtree(pytester.path / "stress_test_output")
    pytester.runpytest_inprocess(*shlex.split(repeat_command(first))[1:]).assert_outcomes(failed=1)
    assert counts(pytester.path) == before


# Phases and abort, in virtual time: 100 operations per agent, each of 0.1 s.

PACED = "engine='virtual', agents=2, operations_per_agent=100, missing_data_prob=0, failure_prob=0"
EVEN = "min_delay=0.1, max_delay=0.1"
SOURCES = ("run", "command line", "marker", "ini")


def paced(
    pytester: pytest.Pytester, source: str, target: str, settings: dict[str, tuple[str, str, str]]
) -> list[str]:
    """Write a test with settings (keyword, flag, ini line) from one source. Return the options to run it with."""
    python = ", ".join(keyword for keyword, _, _ in settings.values())
    run, marker = (python if source == name else "" for name in ("run", "marker"))
    write_test(pytester, f"{PACED}, {EVEN}, {run}", target, marker)
    if source == "ini":
        pytester.makeini("\n".join(["[pytest]", *(line for _, _, line in settings.values())]))
    return [flag for _, flag, _ in settings.values()] if source == "command line" else []


COLD = "lambda operation: operation.sleep(0.5 if operation.index < 10 else 0.01)"
PHASES = {
    "ramp": ("ramp='1s'", "--stress-ramp=1s", "stress_ramp = 1s"),
    "warmup": ("warmup=7", "--stress-warmup=7", "stress_warmup = 7000ms"),
}
FAST = {
    "threshold": (
        "thresholds=['latency.p90 < 50ms', 'latency.max < 1s']",
        "--stress-threshold=latency.max < 50ms",
        "stress_thresholds =\n    latency.max < 50ms",
    )
}


@pytest.mark.parametrize("source", SOURCES)
def test_slow_operations_during_ramp_and_warm_up_do_not_fail_the_gate(
    pytester: pytest.Pytester, source: str
) -> None:
    fast = {"threshold": ("thresholds=['latency.max < 50ms']", *FAST["threshold"][1:])}
    result = pytester.runpytest_inprocess("--stress", *paced(pytester, source, COLD, PHASES | fast))
    result.assert_outcomes(passed=1)
    stats = only_statistics(pytester.path)
    assert [(phase["name"], phase["start"], phase["end"]) for phase in stats["phases"][:2]] == [
        ("ramp", 0, 1),
        ("warmup", 1, 8),
    ]
    assert stats["latency"]["max"] == 0.5
    assert stats["total_operations"] == 200


def test_without_a_warm_up_the_same_gate_fails(pytester: pytest.Pytester) -> None:
    options = paced(pytester, "command line", COLD, FAST)
    pytester.runpytest_inprocess("--stress", *options).assert_outcomes(failed=1)


ABORT = {
    "threshold": (
        "thresholds=['failure_rate < 50% abort after 2s', 'errors < 999']",
        "--stress-threshold=failure_rate < 50% abort after 2s",
        "stress_thresholds =\n    failure_rate < 50% abort after 2s",
    )
}


@pytest.mark.parametrize("source", SOURCES)
def test_abort_ends_a_run_early_and_reports_time_and_threshold(pytester: pytest.Pytester, source: str) -> None:
    options = paced(pytester, source, "lambda: fail(TimeoutError())", ABORT)
    result = pytester.runpytest_inprocess("--stress", *options)
    result.assert_outcomes(failed=1)
    stats = only_statistics(pytester.path)
    assert (stats["status"], stats["verdict"]) == ("aborted", "failed")
    assert stats["aborted"]["threshold"] == "failure_rate < 50% abort after 2s"
    assert 2 <= stats["aborted"]["at"] < 3
    assert stats["total_operations"] < 100
    assert [line for line in result.outlines if re.match(r"aborted +\d+ ", line)]
    (reason,) = [line for line in result.outlines if line.startswith("  why: ")]
    assert reason.startswith("  why: threshold failure_rate < 50% abort after 2s failed: 100%")
    assert "aborted after 2 s by failure_rate < 50% abort after 2s" in "\n".join(error_lines(result))


def test_a_run_that_recovers_within_the_grace_time_is_not_aborted(pytester: pytest.Pytester) -> None:
    target = "lambda operation: fail(TimeoutError()) if operation.index < 5 else None"
    write_test(
        pytester,
        f"{PACED}, {EVEN}, expected_errors=TimeoutError, thresholds=['failure_rate < 50% abort after 2s']",
        target,
    )
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)
    assert only_statistics(pytester.path)["total_operations"] == 200
