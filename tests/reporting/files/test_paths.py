"""The directory of a run: its files, files that were there before, and errors of the disk."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress
from pytest_nos_stress import MultiAgentSimulator, Operation, RunFailed, SettingError, StressResult
from pytest_nos_stress._internal.atomic_write import write_atomic

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])
NAMES = [
    "agent_memory_snapshot.json",
    "scenario.json",
    "simulation_statistics.json",
    "stress_test_report.html",
    "stress_test_results.log",
]


def simulator(directory: Any, target: Any = lambda: None, **given: Any) -> MultiAgentSimulator:
    defaults: dict[str, Any] = {
        "agents": 2,
        "tasks": ["buy"],
        "operations_per_agent": 20,
        "min_delay": 0,
        "max_delay": 0,
        "missing_data_prob": 0,
        "failure_prob": 0,
        "seed": 2,
        "output_dir": directory,
    }
    return MultiAgentSimulator(target=target, **{**defaults, **given})


def run(directory: Any, target: Any = lambda: None, **given: Any) -> StressResult:
    return simulator(directory, target, **given).run()


def listing(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_run_writes_its_files_and_leaves_no_other(tmp_path: Path) -> None:
    run(tmp_path)
    assert listing(tmp_path) == NAMES


def test_directories_on_the_way_are_made(tmp_path: Path) -> None:
    result = run(tmp_path / "a" / "b c" / "ü")
    assert listing(tmp_path / "a" / "b c" / "ü") == NAMES
    assert result.output_dir == tmp_path / "a" / "b c" / "ü"


@pytest.mark.parametrize("kind", [str, Path])
def test_the_directory_may_be_text_or_a_path(kind: Any, tmp_path: Path) -> None:
    run(kind(tmp_path / "out"))
    assert listing(tmp_path / "out") == NAMES


def test_files_of_an_earlier_run_are_replaced_and_all_others_kept(tmp_path: Path) -> None:
    for name in NAMES:
        (tmp_path / name).write_text("of an earlier run\n" * 1_000)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "run-2").mkdir()
    (tmp_path / "run-2" / "simulation_statistics.json").write_text("kept")
    run(tmp_path)
    assert listing(tmp_path) == sorted([*NAMES, "notes.txt", "run-2"])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert (tmp_path / "run-2" / "simulation_statistics.json").read_text() == "kept"
    assert "earlier" not in "".join((tmp_path / name).read_text() for name in NAMES)


def test_a_run_that_is_refused_leaves_the_files_of_an_earlier_one(tmp_path: Path) -> None:
    run(tmp_path)
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    with pytest.raises(SettingError):
        run(tmp_path, failure_prob=2)
    assert {name: (tmp_path / name).read_bytes() for name in NAMES} == before


def test_a_directory_that_is_a_file_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    called: list[Operation] = []
    with pytest.raises(SettingError, match=r"output_dir=.*out.*must be a writable directory") as caught:
        run(tmp_path / "out", called.append)
    assert len(str(caught.value).splitlines()) == 1
    assert called == []
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize("directory", ["/proc/stress", "/proc/self/stress/deep", "/dev/null/out"])
def test_a_directory_that_cannot_be_written_is_refused_before_anything_runs(directory: str) -> None:
    called: list[Operation] = []
    with pytest.raises(SettingError, match=f"output_dir='{directory}'") as caught:
        run(directory, called.append)
    assert len(str(caught.value).splitlines()) == 1
    assert called == []


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_in_the_place_of_a_file_is_refused_and_kept(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine").write_text("mine")
    with pytest.raises(SettingError, match="output_dir="):
        run(tmp_path)
    assert (tmp_path / name / "mine").read_text() == "mine"


def test_a_directory_that_vanishes_in_mid_run_fails_the_run_but_not_its_counts(tmp_path: Path) -> None:
    directory = tmp_path / "out"

    def trade(operation: Operation) -> None:
        if operation.agent == "Agent_1" and operation.index == 5:
            shutil.rmtree(directory)

    with pytest.raises(RunFailed, match="could not be written") as caught:
        run(directory, trade)
    message = str(caught.value)
    assert all(name in message for name in NAMES)
    assert caught.value.result.operations == 40
    assert not caught.value.result.passed
    assert caught.value.result.stats["verdict"] == "failed"


def test_a_log_that_is_removed_in_mid_run_fails_the_run(tmp_path: Path) -> None:
    def trade(operation: Operation) -> None:
        if operation.agent == "Agent_1" and operation.index == 5:
            (tmp_path / "stress_test_results.log").unlink()

    with pytest.raises(RunFailed, match=r"stress_test_results\.log could not be written"):
        run(tmp_path, trade)
    assert json.loads((tmp_path / "simulation_statistics.json").read_text())["verdict"] == "failed"


def test_files_that_cannot_be_written_fail_a_run_without_a_gate_too(tmp_path: Path) -> None:
    def trade(operation: Operation) -> None:
        if operation.index == 5 and operation.agent == "Agent_1":
            shutil.rmtree(tmp_path / "out")

    with pytest.raises(RunFailed):
        run(tmp_path / "out", trade, gate=False)


FULL_DISK = """
import os, resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
from pytest_nos_stress import MultiAgentSimulator, RunFailed
one = MultiAgentSimulator(4, ["buy"], 0, 0, 5_000, 0, 0, "out", target=lambda: None, seed=1, gate={gate})
try:
    one.run()
except RunFailed as failed:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(failed.result.operations, failed.result.passed, sorted(os.listdir("out")))
    print(failed)
"""


@pytest.mark.parametrize("gate", [True, False])
@pytest.mark.parametrize(
    ("limit", "left"),
    [
        (100, ["stress_test_results.log"]),
        (200_000, ["scenario.json", "simulation_statistics.json", "stress_test_results.log"]),
    ],
)
def test_a_disk_that_fills_up_fails_the_run_without_a_hang_and_without_half_a_json_file(
    limit: int, left: list[str], gate: bool, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK.format(limit=limit, gate=gate)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCE, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    counts, *message = done.stdout.splitlines()
    assert counts == f"20000 False {left}"
    text = "\n".join(message)
    assert "stress_test_results.log could not be written" in text
    assert "agent_memory_snapshot.json could not be written" in text
    if "simulation_statistics.json" in left:
        assert json.loads((tmp_path / "out" / "simulation_statistics.json").read_text())["verdict"] == "failed"


def test_json_files_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"before")

    def parts() -> Any:
        yield b"half of"
        assert path.read_bytes() == b"before"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomic(path, parts())
    assert path.read_bytes() == b"before"
    assert listing(tmp_path) == ["file.json"]
    write_atomic(path, [b"half of", b" and the rest"])
    assert path.read_bytes() == b"half of and the rest"
    assert listing(tmp_path) == ["file.json"]


def test_a_relative_directory_is_relative_to_where_the_run_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A target that changes the working directory does not change where files are written."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)

    def trade(operation: Operation) -> None:
        os.chdir(tmp_path / "elsewhere")

    run("out", trade)
    assert listing(tmp_path / "out") == NAMES
    assert listing(tmp_path / "elsewhere") == []
