"""Under pyfakefs, the files of a run are on the disk, and the target sees the fake file system."""

from __future__ import annotations

import json

import pytest

CODE = """
import os, pathlib
import pytest

CALM = dict(agents=2, operations_per_agent=2, missing_data_prob=0, failure_prob=0, min_delay=0, max_delay=0)

def reads_and_writes():
    assert pathlib.Path("/fake").read_text() == "content"
    with open("/written", "a") as file:
        file.write("x")

async def reads():
    assert os.path.exists("/fake")

@pytest.mark.parametrize(
    ("engine", "task"), [("threads", reads_and_writes), ("virtual", reads_and_writes), ("asyncio", reads)]
)
def test_run(fs, stress_simulator, engine, task):
    fs.create_file("/fake", contents="content")
    result = stress_simulator.run(
        target={"buy": task}, engine=engine, records=["csv", "jsonl"], save_baseline="main", **CALM
    )
    assert result.errors == 0
    assert not os.path.exists(result.output_dir)
    assert not os.path.exists("stress_test_output")
    assert task is reads or pathlib.Path("/written").read_text() == "xxxx"

def test_memory(fs, stress_simulator):
    result = stress_simulator.run(
        target={"buy": lambda: None}, gate=False, thresholds=["memory.peak < 900GB"], **CALM
    )
    verdicts = {verdict.threshold.metric: verdict.verdict for verdict in result.verdicts}
    assert verdicts == {"memory": "no data", "errors": "passed"}
    assert any(note.startswith("memory was not measured (") for note in result.notes)

def test_embedded_exchange(fs, stress_simulator):
    stress_simulator.run(engine="virtual", agents=2, operations_per_agent=5)

def test_later_tests_see_the_same_classes(stress_simulator):
    from pytest_nos_stress import StressResult
    result = stress_simulator.run(target={"buy": lambda: None}, gate=False, **CALM)
    assert isinstance(result, StressResult)
    assert (result.output_dir / "simulation_statistics.json").exists()
"""
FILES = (
    "stress_test_results.log",
    "agent_memory_snapshot.json",
    "simulation_statistics.json",
    "scenario.json",
    "stress_test_report.html",
    "stress_test_records.csv",
    "stress_test_records.jsonl",
)


def test_files_of_runs_are_on_the_disk(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(CODE)
    result = pytester.runpytest_subprocess("--stress", "-p", "no:cacheprovider", timeout=120)
    result.assert_outcomes(passed=6)
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    directories = sorted((pytester.path / "stress_test_output").glob("*test_run*"))
    assert len(directories) == 3
    for directory in directories:
        assert all((directory / name).stat().st_size for name in FILES)
        stats = json.loads((directory / "simulation_statistics.json").read_text())
        assert stats["successful_operations"] == 4
        log = (directory / "stress_test_results.log").read_text().splitlines()
        assert len(log) == 4
    assert (pytester.path / "stress_test_output" / "stress_test_index.html").exists()
    assert len(list(pytester.path.rglob(".stress-baselines/main/*.json"))) == 3
