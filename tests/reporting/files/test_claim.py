"""The directory of a run belongs to one run at a time, and nothing is written through a link."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import pytest_nos_stress
from pytest_nos_stress import MultiAgentSimulator, SettingError, run_stress_test
from pytest_nos_stress._internal.atomic_write import write_atomic
from pytest_nos_stress._internal.system import system
from pytest_nos_stress.reporting.files import claim
from pytest_nos_stress.reporting.outputs import OUTPUTS

SOURCE = str(Path(str(pytest_nos_stress.__file__)).parents[1])
NAMES = [
    "agent_memory_snapshot.json",
    "scenario.json",
    "simulation_statistics.json",
    "stress_test_report.html",
    "stress_test_results.log",
]
CALM: dict[str, Any] = {
    "agents": 2,
    "operations_per_agent": 3,
    "min_delay": 0,
    "max_delay": 0,
    "missing_data_prob": 0,
    "failure_prob": 0,
    "report": "html",
}
HANG = 60.0


def listing(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_a_second_run_is_refused_before_it_starts_and_the_holder_is_named(tmp_path: Path) -> None:
    refused: list[str] = []
    called: list[str] = []

    def trade() -> None:
        if not refused:
            with pytest.raises(SettingError) as error:
                run_stress_test(output_dir=tmp_path, target=lambda: called.append("second"), **CALM)
            refused.append(str(error.value))

    result = MultiAgentSimulator(
        output_dir=tmp_path, target=trade, label="night load", **CALM | {"agents": 1}
    ).run()
    assert result.passed
    (message,) = refused
    assert message.startswith(f"output_dir={str(tmp_path)!r}: in use by another run (")
    assert f"process {os.getpid()} on " in message
    assert ", since 20" in message
    assert message.endswith("; wait until it ends, or set another output_dir")
    assert called == []
    assert listing(tmp_path) == NAMES


def test_of_three_threads_with_one_directory_one_runs_and_the_others_are_refused(tmp_path: Path) -> None:
    begun = threading.Barrier(4)
    ended: list[object] = []

    def target() -> None:
        """Hold the directory until the others have been refused."""
        for _ in range(int(HANG * 100)):
            if len(ended) == 2:
                return
            threading.Event().wait(0.01)

    def start() -> None:
        begun.wait(HANG)
        try:
            ended.append(run_stress_test(output_dir=tmp_path, target=target, **CALM)["verdict"])
        except SettingError as error:
            ended.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait(HANG)
    for thread in threads:
        thread.join(HANG)
    assert [str(end).count("in use by another run") for end in ended] == [1, 1, 0]
    assert ended[2] == "passed"
    assert listing(tmp_path) == NAMES


def test_a_run_can_use_the_directory_of_one_that_has_ended(tmp_path: Path) -> None:
    for _ in range(3):
        run_stress_test(output_dir=tmp_path, target=lambda: None, **CALM)
    assert listing(tmp_path) == NAMES


HOLDER = """
import os, sys, time
from pytest_nos_stress import run_stress_test

def fork():
    ready, is_ready = os.pipe()
    if not os.fork():
        os.write(is_ready, b"!")
        time.sleep(3600)
    os.read(ready, 1)

def hold():
    {before}
    print("running", flush=True)
    time.sleep(3600)

run_stress_test(["Ann"], ["buy"], 0, 0, 1, 0, 0, "out", target=hold, label="the holder", operation_timeout="2h")
"""


@pytest.mark.parametrize("before", ["pass", "fork()"], ids=["alone", "with a forked child"])
def test_a_killed_process_holds_nothing(tmp_path: Path, before: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(before=before)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCE},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        with pytest.raises(SettingError, match=rf"in use by another run \(the holder, process {process.pid} on "):
            run_stress_test(output_dir=tmp_path / "out", target=lambda: None, **CALM)
        process.kill()
        process.wait(HANG)
        run_stress_test(output_dir=tmp_path / "out", target=lambda: None, **CALM)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    assert listing(tmp_path / "out") == NAMES


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_process_that_a_target_forks_does_not_end_the_claim(tmp_path: Path) -> None:
    path = tmp_path / claim.NAME
    with claim.claimed(tmp_path, "the parent"):
        child = os.fork()
        if not child:
            os._exit(0 if _ends_like_the_block(path) else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert path.exists()
        with pytest.raises(claim.Claimed, match="the parent"), claim.claimed(tmp_path, "another"):
            pass
    assert not path.exists()


def _ends_like_the_block(path: Path) -> bool:
    """Return True if the forked process has no claim that it could end."""
    return path.exists() and not claim._held


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
@pytest.mark.parametrize("name", [claim.NAME, *(output.filename for output in OUTPUTS)])
def test_a_link_in_the_place_of_a_file_of_a_run_is_replaced_and_not_followed(
    tmp_path: Path, name: str, link: Any
) -> None:
    mine, directory = tmp_path / "mine.txt", tmp_path / "out"
    mine.write_text("mine")
    directory.mkdir()
    link(mine, directory / name)
    run_stress_test(output_dir=directory, target=lambda: None, records=["csv", "jsonl"], **CALM)
    assert mine.read_text() == "mine"
    assert not [path.name for path in directory.iterdir() if path.is_symlink() or path.stat().st_nlink > 1]


def test_a_link_to_nowhere_is_replaced_and_its_target_is_not_created(tmp_path: Path) -> None:
    directory = tmp_path / "out"
    directory.mkdir()
    for name in (claim.NAME, *NAMES):
        (directory / name).symlink_to(tmp_path / f"made-by-{name}")
    run_stress_test(output_dir=directory, target=lambda: None, **CALM)
    assert listing(tmp_path) == ["out"]
    assert listing(directory) == NAMES


def test_a_link_that_appears_during_the_run_is_replaced_or_fails_the_run(tmp_path: Path) -> None:
    mine, directory = tmp_path / "mine.txt", tmp_path / "out"
    mine.write_text("mine")

    def plant() -> None:
        for name in NAMES:
            if name != "stress_test_results.log" and not (directory / name).is_symlink():
                (directory / name).symlink_to(mine)

    run_stress_test(output_dir=directory, target=plant, **CALM | {"agents": 1})
    assert mine.read_text() == "mine"
    assert [path.name for path in directory.iterdir() if path.is_symlink()] == []


def test_the_directory_itself_may_be_a_link_to_a_big_disk(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "out").symlink_to("disk")
    run_stress_test(output_dir=tmp_path / "out" / "night", target=lambda: None, **CALM)
    assert listing(tmp_path / "disk" / "night") == NAMES
    assert (tmp_path / "out").is_symlink()


def test_a_directory_in_the_place_of_the_claim_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / claim.NAME).mkdir()
    with pytest.raises(SettingError, match=r"output_dir=.*must be a writable directory"):
        run_stress_test(output_dir=tmp_path, target=lambda: None, **CALM)
    assert (tmp_path / claim.NAME).is_dir()


def test_a_directory_without_write_permission_is_refused_with_that_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse_to_create(path: Path, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(errno.EACCES, "Permission denied")
        return os.open(path, flags, *mode)

    monkeypatch.setattr(system, "open", refuse_to_create)
    with pytest.raises(SettingError, match=r"cannot be written \(Permission denied\)"):
        run_stress_test(output_dir=tmp_path, target=lambda: None, **CALM)


def test_a_file_system_without_locks_is_used_without_a_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("pytest_nos_stress.reporting.files.claim.flock", refuse)
    run_stress_test(output_dir=tmp_path, target=lambda: None, **CALM)
    assert listing(tmp_path) == NAMES


def test_a_signal_while_a_directory_is_claimed_leaves_it_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def alarm(*_: object) -> bool:
        raise TimeoutError("alarm")

    with monkeypatch.context() as patched:
        patched.setattr("pytest_nos_stress.reporting.files.claim._is_at", alarm)
        with pytest.raises(TimeoutError), claim.claimed(tmp_path, "first"):
            pass
    with claim.claimed(tmp_path, "second"):
        assert "second" in (tmp_path / claim.NAME).read_text()
    assert listing(tmp_path) == []


def test_unfinished_files_of_a_killed_run_are_removed_and_other_hidden_files_kept(tmp_path: Path) -> None:
    leftovers = [".scenario.json.0123abcd.unfinished", ".stress_test_report.html.deadbeef.unfinished"]
    kept = [".scenario.json.mine", ".notes.0123abcd.unfinished"]
    for name in (*leftovers, *kept):
        (tmp_path / name).write_text("half")
    run_stress_test(output_dir=tmp_path, target=lambda: None, **CALM)
    assert listing(tmp_path) == sorted([*kept, *NAMES])


def test_a_link_in_the_place_of_a_file_is_replaced_whatever_it_points_to(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    for make, name in ((os.symlink, "soft"), (os.link, "hard")):
        make(tmp_path / "mine.txt", tmp_path / name)
        write_atomic(tmp_path / name, [b"ours"])
        assert (tmp_path / name).read_bytes() == b"ours"
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert listing(tmp_path) == ["hard", "mine.txt", "soft"]


def test_writers_of_one_path_do_not_mix_their_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"

    def parts() -> Any:
        yield b"a"
        write_atomic(path, [b"bb"])
        assert path.read_bytes() == b"bb"
        yield b"a"

    write_atomic(path, parts())
    assert path.read_bytes() == b"aa"
    assert listing(tmp_path) == ["file"]


def test_a_name_as_long_as_file_systems_allow_can_be_written(tmp_path: Path) -> None:
    name = "x" * 255
    write_atomic(tmp_path / name, [b"whole"])
    assert listing(tmp_path) == [name]
