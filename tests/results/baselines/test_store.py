"""Files of baselines: kept by test, machine and scenario, robust to damage, and inside their directory."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_nos_stress import Scenario, SettingError
from pytest_nos_stress.results.baselines import store
from pytest_nos_stress.results.baselines.fingerprint import Fingerprint
from pytest_nos_stress.results.baselines.sketch import RunSketch
from pytest_nos_stress.results.baselines.store import MOST_RUNS, BaselineUnusable, load, path_of, save

Make = Callable[..., Any]
HERE = Fingerprint.of(Scenario())
THERE = HERE._replace(machine={**(HERE.machine or {}), "processor": "Abacus 3"})


def keep(directory: Path, run: RunSketch, fingerprint: Fingerprint = HERE, seed: int = 1) -> Path:
    return save(directory, "main", "test_a", fingerprint, run, seed)


def seeds(path: Path) -> list[list[int]]:
    return [[run["seed"] for run in entry["runs"]] for entry in json.loads(path.read_text())["entries"]]


def why_not(directory: Path, fingerprint: Fingerprint = HERE) -> str:
    with pytest.raises(BaselineUnusable) as refused:
        load(directory, "main", "test_a", fingerprint)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_a_saved_run_can_be_loaded(make_sketch: Make, tmp_path: Path) -> None:
    path = keep(tmp_path, make_sketch(size=200))
    assert path == tmp_path / "main" / "test_a.json"
    assert os.listdir(tmp_path / "main") == ["test_a.json"]
    baseline = load(tmp_path, "main", "test_a", HERE)
    assert (baseline.name, len(baseline.runs), baseline.modelled_time) == ("main", 1, False)
    assert baseline.runs[0].operations == 200


def test_further_runs_are_added_and_the_latest_are_kept(make_sketch: Make, tmp_path: Path) -> None:
    run = make_sketch(size=60)
    for seed in range(MOST_RUNS + 3):
        path = keep(tmp_path, run, seed=seed)
    assert seeds(path) == [list(range(3, MOST_RUNS + 3))]
    assert len(load(tmp_path, "main", "test_a", HERE).runs) == MOST_RUNS


def test_a_save_changes_few_lines_of_the_file(make_sketch: Make, tmp_path: Path) -> None:
    before = keep(tmp_path, make_sketch(1, size=60)).read_text().splitlines()
    after = keep(tmp_path, make_sketch(2, size=60)).read_text().splitlines()
    assert len(set(after) - set(before)) == 2
    assert len(after) == len(before) + 1


def test_a_run_of_another_scenario_replaces_the_kept_runs(make_sketch: Make, tmp_path: Path) -> None:
    keep(tmp_path, make_sketch(size=60), seed=1)
    other = Fingerprint.of(Scenario(operations_per_agent=200))
    path = keep(tmp_path, make_sketch(size=60), other, seed=2)
    assert seeds(path) == [[2]]
    assert why_not(tmp_path) == (
        "baseline 'main' is of another scenario: operations_per_agent 200, here 100; "
        "save it again with --stress-save-baseline main"
    )


def test_runs_of_other_machines_are_kept_and_not_compared(make_sketch: Make, tmp_path: Path) -> None:
    keep(tmp_path, make_sketch(size=60), THERE, seed=1)
    assert "baseline 'main' is of another machine: processor Abacus 3, here " in why_not(tmp_path)
    path = keep(tmp_path, make_sketch(size=70), seed=2)
    assert seeds(path) == [[1], [2]]
    assert load(tmp_path, "main", "test_a", THERE).runs[0].operations == 60
    assert load(tmp_path, "main", "test_a", HERE).runs[0].operations == 70


def test_runs_in_virtual_and_in_real_time_are_kept_side_by_side(make_sketch: Make, tmp_path: Path) -> None:
    virtual = Fingerprint.of(Scenario(engine="virtual"))
    keep(tmp_path, make_sketch(size=60))
    assert "of another engine: threads, here virtual" in why_not(tmp_path, virtual)
    keep(tmp_path, make_sketch(size=60), virtual)
    assert load(tmp_path, "main", "test_a", virtual).modelled_time
    assert not load(tmp_path, "main", "test_a", HERE).modelled_time


def test_a_missing_baseline_is_reported(tmp_path: Path) -> None:
    assert why_not(tmp_path) == ("this test has no baseline 'main'; save it with --stress-save-baseline main")


DAMAGED = {
    "empty": b"",
    "no JSON": b"{",
    "no object": b"[1]",
    "not UTF-8": b"\xff\xfe",
    "deeply nested": b"[" * 200_000,
    "nested identity": b'{"schema_version": 1, "entries": [{"identity": '
    + b'{"a":' * 900
    + b"1"
    + b"}" * 902
    + b"]}",
    "a key twice": b'{"schema_version": 1, "schema_version": 1, "entries": []}',
    "no version": b'{"entries": []}',
    "no entries": b'{"schema_version": 1}',
    "no runs": b'{"schema_version": 1, "entries": [{"identity": {}, "runs": []}]}',
    "runs of nothing": b'{"schema_version": 1, "entries": [{"identity": {}, "runs": [1]}]}',
    "no identity": b'{"schema_version": 1, "entries": [{"identity": {}, "runs": [{}]}]}',
    "a long number": b'{"schema_version": ' + b"9" * 5_000 + b"}",
}


@pytest.mark.parametrize("data", [pytest.param(data, id=name) for name, data in DAMAGED.items()])
def test_a_damaged_file_is_reported_and_replaced_by_the_next_save(
    make_sketch: Make, tmp_path: Path, data: bytes
) -> None:
    path = path_of(tmp_path, "main", "test_a")
    path.parent.mkdir()
    path.write_bytes(data)
    said = why_not(tmp_path)
    assert said.startswith("baseline 'main': test_a.json is damaged (")
    assert said.endswith("; save it again with --stress-save-baseline main")
    keep(tmp_path, make_sketch(size=60))
    assert len(load(tmp_path, "main", "test_a", HERE).runs) == 1


def test_a_truncated_file_is_reported(make_sketch: Make, tmp_path: Path) -> None:
    path = keep(tmp_path, make_sketch(size=60))
    data = path.read_bytes()
    for length in range(0, len(data) - 2, 97):
        path.write_bytes(data[:length])
        assert "is damaged" in why_not(tmp_path)


def test_a_damaged_run_is_reported_and_dropped_by_the_next_save(make_sketch: Make, tmp_path: Path) -> None:
    path = keep(tmp_path, make_sketch(size=60), seed=1)
    keep(tmp_path, make_sketch(size=60), seed=2)
    values = json.loads(path.read_text())
    values["entries"][0]["runs"][0]["counts"] = "eJw="
    path.write_text(json.dumps(values))
    assert "is damaged" in why_not(tmp_path)
    keep(tmp_path, make_sketch(size=60), seed=3)
    assert seeds(path) == [[2, 3]]
    assert len(load(tmp_path, "main", "test_a", HERE).runs) == 2


def test_a_file_of_a_later_version_is_reported_and_not_changed(make_sketch: Make, tmp_path: Path) -> None:
    path = path_of(tmp_path, "main", "test_a")
    path.parent.mkdir()
    path.write_text('{"schema_version": 2}')
    assert why_not(tmp_path) == ("baseline 'main': test_a.json has schema_version 2, this version reads 1")
    with pytest.raises(
        SettingError, match=r"^save_baseline='main': test_a\.json has schema_version 2, .* delete the file"
    ):
        keep(tmp_path, make_sketch(size=60))
    assert path.read_text() == '{"schema_version": 2}'


def test_an_unreadable_file_is_reported(tmp_path: Path) -> None:
    path_of(tmp_path, "main", "test_a").mkdir(parents=True)
    assert why_not(tmp_path) == "baseline 'main': test_a.json cannot be read (Is a directory)"


def test_a_huge_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_MOST_BYTES", 1 << 20)
    path = path_of(tmp_path, "main", "test_a")
    path.parent.mkdir()
    path.write_bytes(b" " * (1 << 20) + b"{}")
    assert "is damaged (more than 1 MiB)" in why_not(tmp_path)


def test_a_baseline_that_cannot_be_written_is_one_line(make_sketch: Make, tmp_path: Path) -> None:
    (tmp_path / "main").write_text("a file where the directory is to be")
    with pytest.raises(SettingError, match=r"^save_baseline='main': '.*test_a\.json' cannot be written"):
        keep(tmp_path, make_sketch(size=60))


def test_a_save_that_fails_does_not_change_the_file(
    make_sketch: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = keep(tmp_path, make_sketch(size=60))
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pytest_nos_stress._internal.atomic_write.write_all", fail)
    with pytest.raises(SettingError, match=r"cannot be written \(No space left on device\)"):
        keep(tmp_path, make_sketch(size=60))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["test_a.json"]


def test_concurrent_saves_never_leave_an_incomplete_file(make_sketch: Make, tmp_path: Path) -> None:
    runs = [make_sketch(seed, size=60) for seed in range(4)]
    keep(tmp_path, runs[0])
    failures: list[BaseException] = []

    def save_often(run: RunSketch) -> None:
        try:
            for _ in range(10):
                keep(tmp_path, run)
                assert load(tmp_path, "main", "test_a", HERE).runs
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=save_often, args=[run]) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert os.listdir(tmp_path / "main") == ["test_a.json"]


@pytest.mark.parametrize("name", ["main", "release-1.2", "_x", "-", "7"])
def test_a_name_of_letters_digits_and_some_marks_is_allowed(name: str) -> None:
    assert store.check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        ".hidden",
        "a/b",
        "a\\b",
        "../up",
        "ä",
        "a b",
        "a\n",
        "\x1b[31m",
        "x" * 101,
        7,
        "\ud800",
    ],
    ids=ascii,
)
def test_any_other_name_is_refused_with_the_rule(name: Any) -> None:
    with pytest.raises(SettingError, match=r"^compare=.*: must be a name of letters, digits") as refused:
        store.check_name(name, "compare")
    assert "\n" not in str(refused.value)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "label",
    ["", ".", "..", "../up", "a/b", "/etc/passwd", "a\\b", "a\x00b", "a\nb", "\x1b[31m", "\ud800"],
    ids=ascii,
)
def test_a_label_that_leaves_the_directory_is_refused(tmp_path: Path, label: str) -> None:
    with pytest.raises(SettingError, match="would be saved outside of it") as refused:
        path_of(tmp_path, "main", label)
    assert "\x1b" not in str(refused.value)


def test_a_link_that_leaves_the_directory_is_refused(make_sketch: Make, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    inside = tmp_path / "baselines"
    inside.mkdir()
    (inside / "main").symlink_to(outside)
    with pytest.raises(SettingError, match="would be saved outside of it"):
        keep(inside, make_sketch(size=60))
    assert not os.listdir(outside)


@pytest.mark.parametrize("label", ["<script>", "a b", "tests-test_a.py--test_b[1]-0a1b2c3d", "ü", "'\""])
def test_a_label_that_is_a_file_name_is_used(make_sketch: Make, tmp_path: Path, label: str) -> None:
    path = save(tmp_path, "main", label, HERE, make_sketch(size=60), 1)
    assert path.parent == tmp_path / "main"
    assert load(tmp_path, "main", label, HERE).runs
