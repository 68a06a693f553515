"""Files of a run: each is written whole or not at all, and a file that cannot be written fails the run."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import MultiAgentSimulator, RunFailed, StressResult
from pytest_nos_stress.errors import SettingError

CORE = [
    "agent_memory_snapshot.json",
    "scenario.json",
    "simulation_statistics.json",
    "stress_test_results.log",
]


def perform(output_dir: Path, target: object = lambda: None, **given: Any) -> StressResult:
    values: dict[str, Any] = {"agents": 2, "operations_per_agent": 5, "seed": 1, "engine": "virtual"}
    return MultiAgentSimulator(target=target, output_dir=output_dir, **(values | given)).run()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def report_of(directory: Path) -> str:
    """Return the report of a failed run, from its verdict on."""
    page = html.unescape((directory / "stress_test_report.html").read_text())
    assert '<section class="verdict failed"' in page
    return page[page.index("<h1") :]


@pytest.mark.parametrize(
    ("given", "extra"),
    [
        ({"report": "none"}, []),
        ({}, ["stress_test_report.html"]),
        ({"report": (), "records": "csv"}, ["stress_test_records.csv"]),
        (
            {"records": ["jsonl", "csv"]},
            [f"stress_test_{one}" for one in ("records.csv", "records.jsonl", "report.html")],
        ),
    ],
)
def test_a_run_writes_what_it_is_asked_for_and_lists_it(
    tmp_path: Path, given: dict[str, Any], extra: list[str]
) -> None:
    result = perform(tmp_path, **given)
    assert names(tmp_path) == sorted([*CORE, *extra])
    assert sorted(path.name for path in result.files) == names(tmp_path)


def test_a_later_run_removes_reports_and_records_that_it_does_not_write_itself(tmp_path: Path) -> None:
    perform(tmp_path, records="csv")
    (tmp_path / "notes.csv").write_text("mine")
    perform(tmp_path, report="none")
    assert names(tmp_path) == sorted([*CORE, "notes.csv"])


@pytest.mark.parametrize(
    "name",
    [
        "stress_test_report.html",
        "stress_test_records.csv",
        "agent_memory_snapshot.json",
        "scenario.json",
        "simulation_statistics.json",
    ],
)
def test_a_file_that_cannot_be_written_fails_the_run_and_the_others_are_written(tmp_path: Path, name: str) -> None:
    def block() -> None:
        (tmp_path / name).mkdir(exist_ok=True)

    with pytest.raises(RunFailed, match=rf"output_dir=.*: {name} could not be written") as failed:
        perform(tmp_path, block, records="csv")
    assert names(tmp_path) == sorted([*CORE, "stress_test_records.csv", "stress_test_report.html"])
    stats = failed.value.result.stats
    assert stats["verdict"] == "failed"
    assert f"{name} could not be written" in stats["reason"]
    assert failed.value.result.summary["failure"] == stats["reason"]
    assert not failed.value.result.passed
    if name != "simulation_statistics.json":
        assert json.loads((tmp_path / "simulation_statistics.json").read_text()) == stats
    if name not in ("stress_test_report.html", "simulation_statistics.json"):
        assert f"{name} could not be written" in report_of(tmp_path)


def test_without_the_gate_a_file_that_cannot_be_written_fails_the_run_too(tmp_path: Path) -> None:
    def block() -> None:
        (tmp_path / "stress_test_report.html").mkdir(exist_ok=True)

    with pytest.raises(RunFailed):
        perform(tmp_path, block, gate=False)


def test_a_baseline_that_cannot_be_kept_fails_the_run_and_its_report_says_so(tmp_path: Path) -> None:
    (tmp_path / "a-file").touch()
    with pytest.raises(RunFailed, match=r"save_baseline='main': .* cannot be written"):
        perform(tmp_path / "out", save_baseline="main", baseline_dir=tmp_path / "a-file", records="csv")
    assert "save_baseline='main'" in report_of(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "simulation_statistics.json").read_text())["verdict"] == "failed"


def test_no_unfinished_file_is_left(tmp_path: Path) -> None:
    def block() -> None:
        (tmp_path / "stress_test_records.csv").mkdir(exist_ok=True)

    with pytest.raises(RunFailed):
        perform(tmp_path, block, records=["csv", "jsonl"])
    assert [name for name in names(tmp_path) if "unfinished" in name] == []


def test_a_directory_that_cannot_be_written_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "stress_test_report.html").mkdir()
    with pytest.raises(SettingError, match=r"output_dir=.* cannot be written"):
        perform(tmp_path, lambda: pytest.fail("it ran"))


def test_a_report_that_cannot_be_made_fails_the_run_in_one_line_and_the_other_files_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(*_: object) -> None:
        raise KeyError("no such\nfigure")

    monkeypatch.setattr("pytest_nos_stress.reporting.html.page.render", render)
    with pytest.raises(RunFailed) as failed:
        perform(tmp_path, records="csv")
    (line,) = str(failed.value).splitlines()
    assert "stress_test_report.html could not be rendered (KeyError: " in line
    assert names(tmp_path) == sorted([*CORE, "stress_test_records.csv"])
    stats = json.loads((tmp_path / "simulation_statistics.json").read_text())
    assert stats == failed.value.result.stats
    assert (stats["verdict"], stats["total_operations"]) == ("failed", 10)
    assert stats["reason"].startswith("stress_test_report.html could not be rendered (KeyError: ")
    assert failed.value.result.summary["failure"] == stats["reason"]
