"""Baselines under pytest: runs are saved and compared by name, and a run that cannot be compared never passes.

The tests use virtual time, in which the same code takes the same time in every run.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import pytest

import pytest_nos_stress.results.baselines.comparison
import pytest_nos_stress.results.baselines.store  # noqa: F401 - imported here, so that pytester's runs share one copy

pytest.importorskip("scipy.stats", reason="scipy is not installed")

SAVE, COMPARE = "--stress-save-baseline=main", "--stress-compare=main"
PROJECT = """
import pathlib
import pytest

PAUSE = float(pathlib.Path(__file__).with_name("pause").read_text())
SCENARIO = dict(engine="virtual", agents=4, operations_per_agent=100)

def quote(operation):
    operation.sleep(PAUSE * operation.random.uniform(0.9, 1.1))

@pytest.mark.stress(**SCENARIO)
def test_quote(stress_simulator):
    stress_simulator.run(quote)

@pytest.mark.stress(**SCENARIO)
def test_twice(stress_simulator):
    stress_simulator.run(quote)
    stress_simulator.run(quote, tasks=["other"])
"""


def write_project(path: Path, pause: float = 0.02) -> None:
    (path / "test_it.py").write_text(PROJECT)
    (path / "pause").write_text(str(pause))


class Ended(NamedTuple):
    """A finished pytest session: its exit status, its output, and the verdict of each run's thresholds."""

    status: int
    lines: list[str]
    thresholds: dict[str, list[tuple[str, str]]]


def run(pytester: pytest.Pytester, *options: str, in_process: bool = True) -> Ended:
    run_pytest = pytester.runpytest_inprocess if in_process else pytester.runpytest_subprocess
    result = run_pytest("--stress", "--stress-report=none", "-p", "no:cacheprovider", *options)
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    thresholds = {}
    for file in pytester.path.rglob("simulation_statistics.json"):
        stats = json.loads(file.read_text())
        name = "/".join(part for part in file.parts if "test_it.py--" in part or part.startswith("run-"))
        thresholds[name] = [(threshold["threshold"], threshold["verdict"]) for threshold in stats["thresholds"]]
    return Ended(int(result.ret), result.outlines, thresholds)


def baseline_files(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*.json"))


@pytest.fixture(scope="module")
def baseline_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with the baselines of the project's runs."""
    path: Path = tmp_path_factory.mktemp("saved")
    write_project(path)
    command = [sys.executable, "-m", "pytest", "--stress", "--stress-report=none", "--stress-seed=1", SAVE]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    subprocess.run(command, cwd=path, env=outside, stdout=subprocess.DEVNULL, timeout=120, check=True)
    return path / ".stress-baselines"


@pytest.fixture
def saved(pytester: pytest.Pytester, baseline_directory: Path) -> pytest.Pytester:
    """Return a project whose runs are saved as the baseline ``main``."""
    write_project(pytester.path)
    shutil.copytree(baseline_directory, pytester.path / ".stress-baselines")
    return pytester


def test_each_run_of_each_test_has_its_own_baseline_file(saved: pytest.Pytester) -> None:
    names = baseline_files(saved.path / ".stress-baselines")
    assert len(names) == 3
    assert [name for name in names if name.startswith("main/test_it.py--test_quote")]
    assert len([name for name in names if name.startswith("main/test_it.py--test_twice")]) == 2


def test_the_same_code_passes_with_any_seed(saved: pytest.Pytester) -> None:
    ended = run(saved, COMPARE, "--stress-seed=99")
    assert ended.status == pytest.ExitCode.OK, ended.lines
    assert len(ended.thresholds) == 3
    for verdicts in ended.thresholds.values():
        relative = [verdict for text, verdict in verdicts if "baseline" in text]
        assert relative
        assert set(relative) == {"passed"}


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one process", "xdist"])
def test_slower_code_fails(saved: pytest.Pytester, workers: list[str]) -> None:
    (saved.path / "pause").write_text("0.03")
    ended = run(saved, COMPARE, *workers, in_process=not workers)
    assert ended.status == pytest.ExitCode.TESTS_FAILED
    reasons = [line for line in ended.lines if line.startswith("  why: ")]
    assert len(reasons) == 2, "a test whose first run fails makes no second one"
    for reason in reasons:
        assert re.search(r"baseline.* failed: .*\(baseline main: \S+ \S+, between .*x and .*x of it\)", reason)


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("latency.p50 <= 1.6x baseline", "passed"),
        ("latency.p50 <= 1.2x baseline", "failed"),
        ("latency.p50 <= 1.2x baseline + 20ms", "passed"),
        ("throughput >= 50% of baseline", "passed"),
        ("throughput >= 120% of baseline", "failed"),
    ],
)
def test_a_threshold_relative_to_the_baseline_replaces_the_default_thresholds(
    saved: pytest.Pytester, expression: str, verdict: str
) -> None:
    (saved.path / "pause").write_text("0.03")
    ended = run(saved, COMPARE, f"--stress-threshold={expression}", "-k", "test_quote")
    assert dict(ended.thresholds["test_it.py--test_quote"]) == {expression: verdict, "errors == 0": "passed"}
    assert (ended.status == pytest.ExitCode.OK) == (verdict == "passed")


def test_a_relative_threshold_without_a_baseline_does_not_pass(pytester: pytest.Pytester) -> None:
    write_project(pytester.path)
    ended = run(pytester, "--stress-threshold=latency.p50 <= 2x baseline", "-k", "test_quote")
    assert ended.status == pytest.ExitCode.TESTS_FAILED
    assert any("--stress-compare" in line for line in ended.lines if line.startswith("  why: "))


REFUSED = {
    "no baseline": (["--stress-compare=never"], "this test has no baseline 'never'"),
    "another scenario": ([COMPARE, "--stress-operations=50"], "of another scenario: operations_per_agent 100"),
    "another engine": ([COMPARE, "--stress-engine=threads"], "of another engine: virtual, here threads"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_run_that_cannot_be_compared_is_reported_and_does_not_pass(saved: pytest.Pytester, case: str) -> None:
    options, words = REFUSED[case]
    if "engine" in case:
        options = [*options, "--stress-min-delay=0", "--stress-max-delay=0"]
    source = (saved.path / "test_it.py").read_text()
    source = source.replace(", operations_per_agent=100", "").replace('engine="virtual", ', "")
    (saved.path / "test_it.py").write_text(source)
    (saved.path / "pytest.ini").write_text("[pytest]\nstress_engine = virtual\n")
    ended = run(saved, *options, "-k", "test_quote")
    assert ended.status == pytest.ExitCode.TESTS_FAILED
    (reason,) = [line for line in ended.lines if line.startswith("  why: ")]
    assert "no data" in reason
    assert words in reason
    assert "--stress-save-baseline" in reason


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"schema_version": 1, "entries": [{}]}', "\xff\ud800"], ids=ascii
)
def test_a_damaged_baseline_is_reported_and_does_not_pass(saved: pytest.Pytester, content: str) -> None:
    for file in (saved.path / ".stress-baselines").rglob("*.json"):
        file.write_bytes(content.encode("latin-1", "replace"))
    ended = run(saved, COMPARE, "-k", "test_quote")
    assert ended.status == pytest.ExitCode.TESTS_FAILED
    (reason,) = [line for line in ended.lines if line.startswith("  why: ")]
    assert re.search(r"baseline 'main': .* is damaged", reason)


def test_a_run_that_did_not_pass_is_not_saved_and_the_report_states_it(pytester: pytest.Pytester) -> None:
    write_project(pytester.path)
    ended = run(pytester, SAVE, "--stress-threshold=operations > 1000", "-k", "test_quote")
    assert not (pytester.path / ".stress-baselines").exists()
    assert "  baseline 'main' is not saved: the run did not pass" in ended.lines


def test_a_run_can_be_compared_with_a_baseline_and_saved_as_another(saved: pytest.Pytester) -> None:
    ended = run(saved, COMPARE, "--stress-save-baseline=next", "-k", "test_quote")
    assert ended.status == pytest.ExitCode.OK
    assert [name for name in baseline_files(saved.path / ".stress-baselines") if name.startswith("next/")]


def test_a_second_save_adds_a_run_and_changes_no_line_of_the_first(saved: pytest.Pytester) -> None:
    (file,) = (saved.path / ".stress-baselines" / "main").glob("*test_quote*")
    before = file.read_text().splitlines()
    assert run(saved, SAVE, "-k", "test_quote").status == pytest.ExitCode.OK
    after = file.read_text().splitlines()
    assert len(after) == len(before) + 1
    assert {line.rstrip(",") for line in before} <= {line.rstrip(",") for line in after}


def test_baselines_are_in_the_root_directory_wherever_pytest_is_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\n")
    below = pytester.path / "tests" / "unit"
    below.mkdir(parents=True)
    write_project(below)
    monkeypatch.chdir(below)
    assert run(pytester, SAVE, "-k", "test_quote").status == pytest.ExitCode.OK
    (name,) = baseline_files(pytester.path / ".stress-baselines")
    assert name.startswith("main/tests-unit-test_it.py--test_quote")
    monkeypatch.chdir(pytester.path)
    assert run(pytester, COMPARE, "-k", "test_quote").status == pytest.ExitCode.OK


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_the_directory_of_baselines_can_be_chosen(pytester: pytest.Pytester, absolute: bool) -> None:
    write_project(pytester.path)
    directory = pytester.path / "kept" / "here"
    option = f"--stress-baseline-dir={directory if absolute else 'kept/here'}"
    assert run(pytester, SAVE, option, "-k", "test_quote").status == pytest.ExitCode.OK
    assert len(baseline_files(directory)) == 1
    assert not (pytester.path / ".stress-baselines").exists()
    assert run(pytester, COMPARE, option, "-k", "test_quote").status == pytest.ExitCode.OK


def test_a_baseline_that_cannot_be_saved_fails_the_run_and_is_reported(pytester: pytest.Pytester) -> None:
    write_project(pytester.path)
    (pytester.path / ".stress-baselines").touch()
    ended = run(pytester, SAVE, "-k", "test_quote", "--junitxml=junit.xml")
    assert ended.status == pytest.ExitCode.TESTS_FAILED
    (reason,) = [line for line in ended.lines if line.startswith("  why: ")]
    assert re.search(r"save_baseline='main': '.*' cannot be written \(Not a directory\)", reason)
    values = [prop.attrib["value"] for prop in ElementTree.parse(pytester.path / "junit.xml").iter("property")]
    assert [text for text in values if "cannot be written" in text]


def test_marker_and_run_accept_the_settings_of_baselines(pytester: pytest.Pytester) -> None:
    (pytester.path / "test_it.py").write_text(
        r"""
import pytest

SCENARIO = dict(engine="virtual", agents=2, operations_per_agent=50)

@pytest.mark.stress(**SCENARIO, save_baseline="mine")
def test_marker(stress_simulator):
    stress_simulator.run(lambda operation: operation.sleep(0.02))

def test_run(stress_simulator):
    def run(pause, **more):
        stress_simulator.run(lambda operation: operation.sleep(pause), **SCENARIO, label="quotes", **more)
    run(0.02, save_baseline="mine")
    run(0.02, compare="mine")
    with pytest.raises(AssertionError, match=r"baseline mine: 20\.\d+ ms"):
        run(0.03, compare="mine")
"""
    )
    ended = run(pytester)
    assert ended.status == pytest.ExitCode.OK, ended.lines
    assert baseline_files(pytester.path / ".stress-baselines") == [
        "mine/quotes.json",
        "mine/test_it.py--test_marker.json",
    ]


def test_examples_of_hypothesis_are_not_compared_and_the_report_states_it(pytester: pytest.Pytester) -> None:
    (pytester.path / "test_it.py").write_text(
        """
from hypothesis import given, settings, strategies as st

@settings(max_examples=2, deadline=None, database=None)
@given(seed=st.integers(0, 5))
def test_given(stress_simulator, seed):
    stress_simulator.run(lambda: None, engine="virtual", agents=1, compare="main", seed=seed)
"""
    )
    ended = run(pytester)
    assert [line for line in ended.lines if line.startswith("  ") and "compare" in line and "example" in line]


def test_the_first_saved_run_has_no_baseline_to_compare_with_and_passes(pytester: pytest.Pytester) -> None:
    write_project(pytester.path)
    relative = "latency.p50 <= 1.2x baseline"
    source = (pytester.path / "test_it.py").read_text()
    marker = f"@pytest.mark.stress(**SCENARIO, thresholds=[{relative!r}])"
    (pytester.path / "test_it.py").write_text(source.replace("@pytest.mark.stress(**SCENARIO)", marker, 1))
    first = run(pytester, SAVE, "-k", "test_quote")
    assert first.status == pytest.ExitCode.OK, first.lines
    assert dict(first.thresholds["test_it.py--test_quote"])[relative] == "not applicable"
    assert f"  not applicable: {relative}" in first.lines
    assert len(baseline_files(pytester.path / ".stress-baselines" / "main")) == 1
    (file,) = pytester.path.rglob("simulation_statistics.json")
    assert "this run becomes the baseline" in file.read_text()
    assert run(pytester, COMPARE, "-k", "test_quote").thresholds["test_it.py--test_quote"][0] == (
        relative,
        "passed",
    )
    without = run(pytester, "-k", "test_quote")
    assert without.status == pytest.ExitCode.TESTS_FAILED
    assert without.thresholds["test_it.py--test_quote"][0] == (relative, "no data")
