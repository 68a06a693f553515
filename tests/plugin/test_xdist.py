"""Sessions with ``-n 2`` have the same results, seed, counts, files and summary as sessions without it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

PROJECT = """
import os
import pytest

QUICK = dict(agents=2, operations_per_agent=60, min_delay=0, max_delay=0)

@pytest.mark.stress(**QUICK)
@pytest.mark.parametrize("symbol", ["EUR/USD", "a b", "AAPL"])
def test_body(symbol):
    pass

def test_fixture(stress_simulator):
    stress_simulator.run(lambda: None, **QUICK)

def test_broken(stress_simulator):
    stress_simulator.run(lambda: None, **QUICK, thresholds=["operations > 1000"])

def test_real_error(stress_simulator):
    def buy():
        raise ValueError("boom")
    stress_simulator.run({"buy": buy}, **QUICK)

def test_skipped(stress_simulator):
    pytest.skip("market closed")

def test_ordinary():
    pass
"""


class Session(NamedTuple):
    """The result of a pytest session, its runs, and the rows of its summary."""

    result: pytest.RunResult
    runs: dict[str, Any]
    rows: list[str]


def run_session(pytester: pytest.Pytester, *options: str) -> Session:
    result = pytester.runpytest_subprocess("--stress", *options)
    runs = {}
    for file in pytester.path.rglob("simulation_statistics.json"):
        stats = json.loads(file.read_text())
        verdicts = [(threshold["threshold"], threshold["verdict"]) for threshold in stats["thresholds"]]
        run = (stats["seed"], stats["agent_stats"], verdicts, stats["verdict"])
        runs[str(file.relative_to(pytester.path))] = run
    rows = re.findall(r"^.*\d+/\d+/\d+.*$", result.stdout.str().partition(" stress tests =")[2], re.M)
    return Session(result, runs, rows)


def without_times(row: str) -> list[str]:
    return sorted(re.sub(r"\d+(\.\d+)?(e[+-]?\d+)? (ns|us|ms|s)\b|%", "", row).split())


def test_two_workers_use_the_sessions_seed_and_give_the_results_of_one_process(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(test_it=PROJECT)
    together = run_session(pytester, "-n", "2")
    printed = re.search(r"^stress: seed (\d+)", together.result.stdout.str(), re.M)
    assert printed is not None
    assert {seed for seed, *_ in together.runs.values()} == {int(printed[1])}
    alone = run_session(pytester, f"--stress-seed={printed[1]}")
    for session in (alone, together):
        session.result.assert_outcomes(passed=5, failed=2, skipped=1)
        assert session.result.ret == pytest.ExitCode.TESTS_FAILED
    assert len(alone.runs) == 6
    assert together.runs == alone.runs
    assert len(together.rows) == 6
    assert sorted(map(without_times, together.rows)) == sorted(map(without_times, alone.rows))


def test_workers_write_to_the_directory_in_which_pytest_was_started(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeini("[pytest]\nstress_thresholds = operations < 1000\n")
    (pytester.path / "tests" / "below").mkdir(parents=True)
    (pytester.path / "tests" / "below" / "test_it.py").write_text(PROJECT)
    monkeypatch.chdir(pytester.path / "tests")
    session = run_session(pytester, "-n", "2", "--stress-agents=3", "-k", "body")
    session.result.assert_outcomes(passed=3)
    assert len(session.runs) == 3
    assert {Path(path).parts[:2] for path in session.runs} == {("tests", "stress_test_output")}
    for _, agents, verdicts, _ in session.runs.values():
        assert len(agents) == 3
        assert ("operations < 1000", "passed") in verdicts


def test_a_bad_marker_is_reported_under_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("import pytest\n\n@pytest.mark.stress(agents=0)\ndef test_it():\n    pass\n")
    result = pytester.runpytest_subprocess("--stress", "-n", "2")
    assert result.ret != pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["*test_it*agents=0: must be*"])
    assert "INTERNALERROR" not in result.stdout.str()
    assert not re.search(r"pytest_nos_stress/\w+\.py", result.stdout.str())
