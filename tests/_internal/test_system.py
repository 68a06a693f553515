"""The package's files are on the disk, whatever a test has made of the functions of the file system."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import pytest

from pytest_nos_stress import MultiAgentSimulator
from pytest_nos_stress._internal import system

SOURCE = Path(__file__).resolve().parents[2] / "src" / "pytest_nos_stress"
REPLACED = (
    "builtins.open",
    "io.open",
    "os.close",
    "os.fstat",
    "os.getcwd",
    "os.getpid",
    "os.listdir",
    "os.lstat",
    "os.mkdir",
    "os.open",
    "os.replace",
    "os.stat",
    "os.unlink",
    "os.write",
    "fcntl.flock",
    "pathlib.Path.absolute",
    "pathlib.Path.exists",
    "pathlib.Path.mkdir",
    "pathlib.Path.resolve",
    "pathlib.Path.unlink",
)
FILES = {
    "agent_memory_snapshot.json",
    "scenario.json",
    "simulation_statistics.json",
    "stress_test_records.csv",
    "stress_test_report.html",
    "stress_test_results.log",
}

OF_PATHS = {
    "absolute",
    "exists",
    "glob",
    "is_dir",
    "is_file",
    "is_symlink",
    "iterdir",
    "mkdir",
    "read_bytes",
    "read_text",
    "resolve",
    "rglob",
    "touch",
    "unlink",
    "write_bytes",
    "write_text",
}
"""Methods of ``Path`` that use the file system."""
BEFORE_AND_AFTER_TESTS = {
    "plugin/identity.py",
    "plugin/repetition.py",
    "plugin/session_outputs.py",
    "plugin/session_settings.py",
    "plugin/session_summary.py",
    "plugin/setting_sources.py",
}
FILES_OF_USERS = {"config/parsing.py", "market/recorded/csv_reader.py", "market/recorded/lobster.py"}
"""Modules that read files which a test may have made, as the test sees them."""


def test_a_run_writes_its_files_whatever_a_test_has_replaced(tmp_path: Path) -> None:
    directory = tmp_path / "not" / "yet" / "there"
    with ExitStack() as patches:
        for name in REPLACED:
            patches.enter_context(mock.patch(name))
        MultiAgentSimulator(
            2, operations_per_agent=2, engine="virtual", seed=1, output_dir=directory, records="csv"
        ).run()
    assert {path.name for path in directory.iterdir()} == FILES
    assert all(path.stat().st_size for path in directory.iterdir())


def test_a_relative_directory_is_relative_to_the_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "getcwd", lambda: "/elsewhere")
    assert system.absolute("a/b") == tmp_path / "a" / "b"
    assert system.absolute(tmp_path / "c") == tmp_path / "c"


def test_a_directory_is_made_with_its_parents_unless_it_exists(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    system.make_directory(directory)
    system.make_directory(directory)
    assert directory.is_dir()
    (directory / "file").touch()
    with pytest.raises(FileExistsError):
        system.make_directory(directory / "file")
    with pytest.raises(NotADirectoryError):
        system.make_directory(directory / "file" / "below")


def test_a_file_is_read_to_its_end_or_to_a_length(tmp_path: Path) -> None:
    path = tmp_path / "file"
    content = bytes(range(256)) * 10_000
    path.write_bytes(content)
    assert system.read(path) == content
    assert system.read(path, 1_500_000) == content[:1_500_000]
    assert system.read(path, 0) == b""
    with pytest.raises(FileNotFoundError):
        system.read(tmp_path / "missing")


def test_a_file_that_does_not_exist_can_be_removed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    assert system.is_file(path)
    system.remove(path)
    system.remove(path)
    assert not system.is_file(path)


def uses_of_paths(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        function = node.func if isinstance(node, ast.Call) else None
        if isinstance(function, ast.Attribute) and function.attr in OF_PATHS:
            if ast.unparse(function.value) == "system":
                continue
            yield f"line {function.lineno}: .{function.attr}()"
        if isinstance(function, ast.Name) and function.id == "open":
            yield f"line {function.lineno}: open()"


def test_no_other_module_uses_the_file_system_of_the_test() -> None:
    exempt = BEFORE_AND_AFTER_TESTS | FILES_OF_USERS
    found = {}
    for path in SOURCE.rglob("*.py"):
        uses = list(uses_of_paths(ast.parse(path.read_text())))
        if uses:
            found[path.relative_to(SOURCE).as_posix()] = uses
    assert {name: uses for name, uses in found.items() if name not in exempt} == {}
    assert exempt <= found.keys(), "an exemption that is not needed any more"
