"""Tests are told apart by file and name, runs by number: none share a directory, a row, a label or a baseline."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from pytest_nos_stress.plugin import identity

QUICK = "agents=2, operations_per_agent=3, min_delay=0, max_delay=0, missing_data_prob=0, failure_prob=0"
PASSING = f"def test_orders(stress_simulator): stress_simulator.run(lambda: None, {QUICK})\n"
FAILING = f"def test_orders(stress_simulator): stress_simulator.run(lambda: 1 / 0, {QUICK})\n"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def verdicts(result: pytest.RunResult) -> dict[str, str]:
    """Return the verdict of each row of the summary, by the name of its test."""
    rows = [
        re.split(r" {2,}", line)
        for line in result.outlines
        if re.match(r"(passed|failed) +\d+ +\d+/\d+/\d+ ", line)
    ]
    parsed = {row[-1]: row[0] for row in rows}
    assert len(parsed) == len(rows), "two rows of one name"
    return parsed


def directories(root: Path) -> list[str]:
    output = root / "stress_test_output"
    return sorted(str(path.parent.relative_to(output)) for path in output.rglob("simulation_statistics.json"))


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["one process", "xdist"])
def test_tests_that_share_a_node_id_do_not_share_anything_else(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "summary.md"))
    write(
        pytester.path,
        {"ci/pytest.ini": "[pytest]\n", "tests/test_a.py": FAILING, "tests/test_b.py": PASSING},
    )
    outputs = ["--stress-openmetrics=metrics.txt", "--stress-save-baseline=main"]
    files = ["-c", "ci/pytest.ini", "tests/test_a.py", "tests/test_b.py"]
    result = pytester.runpytest_inprocess("--stress", *outputs, *files, *options)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert verdicts(result) == {"tests/test_a.py::test_orders": "failed", "tests/test_b.py::test_orders": "passed"}
    assert directories(pytester.path) == ["tests-test_a.py--test_orders", "tests-test_b.py--test_orders"]
    (error,) = [line for line in result.outlines if line.startswith("::error ")]
    assert "tests/test_a.py%3A%3Atest_orders" in error
    assert "1 of 2" in (pytester.path / "summary.md").read_text().splitlines()[0]
    text = (pytester.path / "metrics.txt").read_text()
    families: Any = {family.name: family for family in text_string_to_metric_families(text)}  # type: ignore[no-untyped-call]
    passed = {sample.labels["test"]: sample.value for sample in families["stress_passed"].samples}
    assert passed == {"tests/test_a.py::test_orders": 0, "tests/test_b.py::test_orders": 1}
    baselines = (pytester.path / "ci" / ".stress-baselines" / "main").iterdir()
    assert [path.name for path in baselines] == ["tests-test_b.py--test_orders.json"]


def test_two_directories_with_files_of_one_name_are_told_apart(pytester: pytest.Pytester) -> None:
    write(
        pytester.path,
        {
            "ci/pytest.ini": "[pytest]\naddopts = --import-mode=importlib\n",
            "a/test_it.py": FAILING,
            "b/test_it.py": PASSING,
        },
    )
    result = pytester.runpytest_inprocess("--stress", "-c", "ci/pytest.ini", "a", "b")
    assert verdicts(result) == {"a/test_it.py::test_orders": "failed", "b/test_it.py::test_orders": "passed"}
    assert len(directories(pytester.path)) == 2


def test_a_file_outside_of_both_directories_is_named_from_the_root_directory(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        pytester.path,
        {"work/pytest.ini": "[pytest]\n", "tests/test_a.py": FAILING, "work/tests/test_a.py": PASSING},
    )
    monkeypatch.chdir(pytester.path / "work")
    options = ["-c", "pytest.ini", "--import-mode=importlib", "../tests/test_a.py", "tests/test_a.py"]
    result = pytester.runpytest_inprocess("--stress", *options)
    assert verdicts(result) == {
        "../tests/test_a.py::test_orders": "failed",
        "tests/test_a.py::test_orders": "passed",
    }
    assert len(directories(pytester.path / "work")) == 2
    assert not (pytester.path / "stress_test_output").exists()


def test_a_test_of_an_installed_package_is_named_from_the_package(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_inprocess("--stress", "--pyargs", "pytest_nos_stress.demo")
    (name,) = verdicts(result)
    assert name.startswith("pytest_nos_stress/demo/test_embedded_exchange.py::")


def test_a_test_that_is_selected_twice_has_two_rows_and_two_directories(pytester: pytest.Pytester) -> None:
    write(
        pytester.path,
        {
            "test_a.py": f"""
import pathlib

def test_orders(stress_simulator):
    first_time = pathlib.Path("first time")
    has_run = first_time.exists()
    first_time.touch()
    stress_simulator.run((lambda: None) if has_run else lambda: 1 / 0, {QUICK})
"""
        },
    )
    result = pytester.runpytest_inprocess("--stress", "--keep-duplicates", "test_a.py", "test_a.py")
    result.assert_outcomes(passed=1, failed=1)
    assert verdicts(result) == {"test_a.py::test_orders": "failed", "test_a.py::test_orders (2)": "passed"}
    first, second = directories(pytester.path)
    assert first == "test_a.py--test_orders"
    assert second.startswith("test_a.py--test_orders_")


def test_tests_whose_names_differ_only_in_case_have_directories_that_differ_in_more(
    pytester: pytest.Pytester,
) -> None:
    write(pytester.path, {"test_a.py": PASSING + PASSING.replace("test_orders", "test_Orders")})
    assert verdicts(pytester.runpytest_inprocess("--stress")) == {
        "test_a.py::test_orders": "passed",
        "test_a.py::test_Orders": "passed",
    }
    names = [name.casefold() for name in directories(pytester.path)]
    assert len(set(names)) == 2
    assert "test_a.py--test_orders" in names


def test_a_collision_of_hashes_does_not_put_two_tests_into_one_directory(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "safe_name", lambda _: "the-same")
    write(pytester.path, {"test_a.py": PASSING, "test_b.py": FAILING})
    result = pytester.runpytest_inprocess("--stress")
    assert verdicts(result) == {"test_a.py::test_orders": "passed", "test_b.py::test_orders": "failed"}
    assert len(directories(pytester.path)) == 2


def test_each_worker_has_directories_and_rows_of_its_own_if_it_runs_all_tests(pytester: pytest.Pytester) -> None:
    write(pytester.path, {"test_a.py": PASSING, "test_b.py": FAILING})
    result = pytester.runpytest_inprocess("-n", "2", "--dist=each", "--stress")
    result.assert_outcomes(passed=2, failed=2)
    assert verdicts(result) == {
        "test_a.py::test_orders [gw0]": "passed",
        "test_a.py::test_orders [gw1]": "passed",
        "test_b.py::test_orders [gw0]": "failed",
        "test_b.py::test_orders [gw1]": "failed",
    }
    tests = ["test_a.py--test_orders", "test_b.py--test_orders"]
    assert directories(pytester.path) == [f"{worker}/{test}" for worker in ("gw0", "gw1") for test in tests]


def test_runs_that_a_test_starts_in_threads_have_numbers_and_directories_of_their_own(
    pytester: pytest.Pytester,
) -> None:
    write(
        pytester.path,
        {
            "test_a.py": f"""
import threading
from concurrent.futures import ThreadPoolExecutor

def test_orders(stress_simulator):
    together = threading.Barrier(6)
    def target(operation):
        if not operation.index:
            together.wait(60)
    def run(_):
        return stress_simulator.run(target, {QUICK})
    with ThreadPoolExecutor(3) as pool:
        results = list(pool.map(run, range(3)))
    assert len({{result.output_dir for result in results}}) == 3
"""
        },
    )
    result = pytester.runpytest_inprocess("--stress", "--stress-openmetrics=metrics.txt")
    result.assert_outcomes(passed=1)
    test = "test_a.py--test_orders"
    assert directories(pytester.path) == [test, f"{test}/run-2", f"{test}/run-3"]
    passed = re.findall(r'stress_passed\{.*run="(\d)"\} 1', (pytester.path / "metrics.txt").read_text())
    assert passed == ["1", "2", "3"]


def test_a_second_session_in_one_checkout_is_refused_by_name_and_does_not_harm_the_first(
    pytester: pytest.Pytester,
) -> None:
    """The first session starts the second while its own run goes on."""
    write(
        pytester.path,
        {
            "test_a.py": f"""
import os, subprocess, sys

def test_orders(stress_simulator):
    inner = "INNER" in os.environ
    def target(operation):
        if not inner and operation.agent == "Agent_1" and not operation.index:
            command = [sys.executable, "-m", "pytest", "--stress", "-p", "no:cacheprovider", "-q"]
            session = subprocess.run(command, env={{**os.environ, "INNER": "1"}}, capture_output=True, text=True)
            output.append((session.returncode, session.stdout))
    output = []
    stress_simulator.run(target, {QUICK}, operation_timeout="2m")
    ((status, text),) = output
    assert status == 1, text
    assert f"in use by another run (test_a.py::test_orders, process {{os.getpid()}} on " in text, text
"""
        },
    )
    pytester.runpytest_inprocess("--stress", "-p", "no:cacheprovider").assert_outcomes(passed=1)
    assert directories(pytester.path) == ["test_a.py--test_orders"]
