"""Selection of stress tests: tests that count as stress tests, and their skipping without ``--stress``."""

from __future__ import annotations

import re

import pytest

import pytest_nos_stress.plugin.simulator_fixture  # noqa: F401 - imported here, so that pytester's runs share one copy

QUICK = "agents=2, operations_per_agent=3, min_delay=0, max_delay=0, missing_data_prob=0, failure_prob=0"
PROJECT = f"""
import pytest

def test_ordinary():
    pass

@pytest.mark.stress({QUICK})
def test_body():
    pass

def test_fixture(stress_simulator):
    stress_simulator.run({QUICK})
"""


def test_plain_pytest_skips_stress_tests_and_runs_the_others(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(passed=1, skipped=2)
    assert result.ret == pytest.ExitCode.OK
    assert not (pytester.path / "stress_test_output").exists()


@pytest.mark.parametrize("quiet", [[], ["-q"], ["-qq"], ["-v"]], ids=lambda options: "".join(options) or "plain")
def test_the_summary_counts_skipped_stress_tests_and_shows_how_to_run_them(
    pytester: pytest.Pytester, quiet: list[str]
) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_inprocess(*quiet)
    result.stdout.re_match_lines([r"2 stress tests were skipped.*pytest --stress$"])


def test_the_summary_counts_the_skipped_of_all_xdist_workers(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.re_match_lines([r"2 stress tests were skipped.*pytest --stress$"])


def test_one_skipped_stress_test_is_counted_in_the_singular(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_one(stress_simulator): stress_simulator.run()")
    pytester.runpytest_inprocess().stdout.re_match_lines([r"1 stress test was skipped.*pytest --stress$"])


def test_each_parameter_of_a_stress_test_is_counted(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.stress
        @pytest.mark.parametrize("n", range(4))
        def test_many(n):
            pass
        """
    )
    pytester.runpytest_inprocess().stdout.fnmatch_lines(["4 stress tests were skipped*"])


def test_a_test_skipped_for_another_reason_is_not_counted(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.skip(reason="not today")
        def test_other():
            pass
        """
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(skipped=1)
    result.stdout.no_re_match_line(".*stress tests? w")


def test_a_project_without_stress_tests_gets_no_output_or_files_of_the_plugin(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_a(): pass\ndef test_b(): assert False")
    result = pytester.runpytest_inprocess("-W", "error", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    seen = [line for line in result.outlines if not line.startswith("plugins:")]
    assert not [line for line in seen if re.search(r"\bstress", line.replace(str(pytester.path), ""))]
    assert [path.name for path in pytester.path.iterdir() if path.suffix != ".py"] in ([], ["__pycache__"])


def test_stress_runs_the_stress_tests_and_the_others(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_inprocess("--stress", "-W", "error")
    result.assert_outcomes(passed=3)
    result.stdout.no_fnmatch_line("*skipped*")
    assert len(list(pytester.path.rglob("simulation_statistics.json"))) == 2


def test_m_stress_selects_marked_tests_and_users_of_the_fixture(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    pytester.runpytest_inprocess("--stress", "-m", "stress").assert_outcomes(passed=2, deselected=1)
    pytester.runpytest_inprocess("--stress", "-m", "not stress").assert_outcomes(passed=1, deselected=2)


def test_deselected_stress_tests_are_not_counted_as_skipped(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_inprocess("-m", "not stress")
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.no_fnmatch_line("*pytest --stress*")


@pytest.mark.parametrize(
    "test",
    [
        "@pytest.fixture\ndef mine(stress_simulator): return stress_simulator\n\n"
        "def test_it(mine): mine.run({quick})",
        "@pytest.fixture(autouse=True)\ndef mine(stress_simulator): stress_simulator.run({quick})\n\n"
        "def test_it(): pass",
        "@pytest.fixture\ndef mine(stress_simulator): stress_simulator.run({quick})\n\n"
        "@pytest.mark.usefixtures('mine')\ndef test_it(): pass",
        "class TestIt:\n    def test_it(self, stress_simulator): stress_simulator.run({quick})",
    ],
    ids=["through a fixture", "through an autouse fixture", "usefixtures", "method"],
)
def test_a_test_that_uses_the_fixture_in_any_way_is_a_stress_test(pytester: pytest.Pytester, test: str) -> None:
    pytester.makepyfile("import pytest\n\n" + test.format(quick=QUICK))
    pytester.runpytest_inprocess().assert_outcomes(skipped=1)
    pytester.runpytest_inprocess("--stress", "-m", "stress").assert_outcomes(passed=1)


def test_getfixturevalue_during_the_test_skips_and_counts_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        f"def test_it(request): request.getfixturevalue('stress_simulator').run({QUICK})",
    )
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["1 stress test was skipped*"])
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=1)


def test_a_marker_on_class_or_module_makes_all_tests_in_it_stress_tests(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        test_module=f"import pytest\npytestmark = pytest.mark.stress({QUICK})\n"
        "def test_a(): pass\ndef test_b(): pass",
        test_class=f"import pytest\n@pytest.mark.stress({QUICK})\nclass TestC:\n    def test_c(self): pass",
    )
    pytester.runpytest_inprocess().assert_outcomes(skipped=3)
    pytester.runpytest_inprocess("--stress").assert_outcomes(passed=3)


def test_a_marker_that_a_conftest_adds_makes_a_stress_test(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        f"""
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.stress({QUICK}))
        """
    )
    pytester.makepyfile("def test_it(): pass")
    pytester.runpytest_inprocess().assert_outcomes(skipped=1)
    pytester.runpytest_inprocess("--stress", "-m", "stress").assert_outcomes(passed=1)
    assert len(list(pytester.path.rglob("simulation_statistics.json"))) == 1


def test_the_fixtures_of_a_skipped_stress_test_are_not_set_up(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pathlib
        import pytest

        @pytest.fixture
        def exchange():
            pathlib.Path("set-up").touch()

        def test_fixture(exchange, stress_simulator):
            pass

        @pytest.mark.stress
        def test_body(exchange):
            pass
        """
    )
    pytester.runpytest_inprocess().assert_outcomes(skipped=2)
    assert not (pytester.path / "set-up").exists()


def test_the_header_shows_the_seed_and_how_to_repeat_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    pytester.runpytest_inprocess("--stress", "--stress-seed=4711").stdout.re_match_lines(
        [r"^stress: .*seed 4711\b.*--stress-seed=4711"]
    )


def test_without_stress_there_is_no_header(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    pytester.runpytest_inprocess("--stress-seed=4711").stdout.no_fnmatch_line("*4711*")


def test_without_the_plugin_all_other_tests_run_as_before(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_subprocess("-p", "no:nos-stress", "-k", "ordinary")
    result.assert_outcomes(passed=1, deselected=2, warnings=1)
    result.stdout.no_fnmatch_line("*stress test* skipped*")
    assert "nos_stress" not in "".join(line for line in result.outlines if "Error" in line)


def test_the_marker_is_registered(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    pytester.runpytest_inprocess("--strict-markers").assert_outcomes(passed=1, skipped=2)
    pytester.runpytest_inprocess("--markers").stdout.fnmatch_lines(["@pytest.mark.stress(*"])


FLAGS = [
    "--stress",
    "--stress-agents",
    "--stress-tasks",
    "--stress-operations",
    "--stress-duration",
    "--missing-data-prob",
    "--failure-prob",
    "--stress-min-delay",
    "--stress-max-delay",
    "--stress-output-dir",
    "--stress-seed",
    "--stress-engine",
    "--stress-threshold",
]


def test_help_lists_every_flag_and_ini_key(pytester: pytest.Pytester) -> None:
    help_text = pytester.runpytest_inprocess("--help").stdout.str()
    keys = [flag[2:].replace("-", "_") for flag in FLAGS[1:-1]] + ["stress_thresholds"]
    assert [flag for flag in FLAGS if not re.search(rf"^  {flag}[ =\n]", help_text, re.M)] == []
    assert [key for key in keys if not re.search(rf"^  {key} \(", help_text, re.M)] == []


def test_collect_only_collects_stress_tests_and_runs_nothing(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(PROJECT)
    result = pytester.runpytest_inprocess("--stress", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["*::test_ordinary", "*::test_body", "*::test_fixture"])
    assert not (pytester.path / "stress_test_output").exists()
