"""The identity of a test: its file and its name. Everything that is kept for a test is kept under its identity.

pytest's node ids do not identify a test: the id of a test outside of the root directory has no path, or a part of
it. Two files can then have tests of one id, as in ``pytest -c ci/pytest.ini tests/test_a.py tests/test_b.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_nos_stress._internal.text import safe_name


class TestIdentity(NamedTuple):
    """Names of a test. No other test of the session has one of them.

    ``name``: the test's id, as in baselines. ``row``: the name in reports; with ``--dist=each`` it also names the
    worker. ``directory``: the path of the test's files, relative to the output directory.
    """

    name: str
    row: str
    directory: Path


_identity_key = pytest.StashKey[TestIdentity]()


class TestIdentities:
    """The identities of a session's tests.

    ``start``: the directory in which the session was started. ``worker``: the name of the xdist worker if each
    worker runs all tests, otherwise empty.
    """

    def __init__(self, start: Path, worker: str = "") -> None:
        self._start = start
        self._worker = worker
        self._names: set[str] = set()
        self._directories: set[str] = set()

    def assign(self, items: Iterable[pytest.Item]) -> list[TestIdentity]:
        """Return the identity of each selected test. Every process of a session assigns the same identities."""
        return [self.of(item) for item in items]

    def of(self, item: pytest.Item) -> TestIdentity:
        """Return the identity of a test. It is made at the first call for the test."""
        identity = item.stash.get(_identity_key, None)
        if identity is None:
            identity = item.stash[_identity_key] = self._made(item)
        return identity

    def _made(self, item: pytest.Item) -> TestIdentity:
        name = self._unique_name(f"{self.file(item)}{_after_file(item)}")
        row = f"{name} [{self._worker}]" if self._worker else name
        return TestIdentity(name, row, Path(self._worker, self._unique_directory(name)))

    def file(self, node: pytest.Item | pytest.Collector) -> str:
        """Return the file of a node: as in its id if the id tells the file, otherwise from the start directory.

        A file of an installed package (``--pyargs``) is named from the directory that contains the package.
        """
        file, root, path = node.nodeid.partition("::")[0], node.config.rootpath, node.path
        if file and root / file == path:
            return file
        if path.is_relative_to(self._start):
            return path.relative_to(self._start).as_posix()
        if node.config.getoption("pyargs", False) and (path.parent / "__init__.py").is_file():
            return path.relative_to(_parent_of_package(path)).as_posix()
        return Path(os.path.relpath(path, root)).as_posix()

    def _unique_name(self, name: str) -> str:
        """Return the name, with a number if the session has it already, as a test does that is selected twice."""
        number, unique = 1, name
        while unique in self._names:
            number += 1
            unique = f"{name} ({number})"
        self._names.add(unique)
        return unique

    def _unique_directory(self, name: str) -> str:
        """Return the directory's name. Names also differ on file systems that ignore case."""
        directory = safe_name(name)
        if directory.casefold() in self._directories:
            directory = f"{directory}-{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"
        self._directories.add(directory.casefold())
        return directory


def _after_file(item: pytest.Item) -> str:
    _, separator, name = item.nodeid.partition("::")
    return f"{separator}{name}"


def _parent_of_package(path: Path) -> Path:
    directory = path.parent
    while (directory / "__init__.py").is_file():
        directory = directory.parent
    return directory
