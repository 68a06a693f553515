"""The file system of this package, which is the real one while a test has faked or replaced it.

pyfakefs replaces every module and function of the file system that a module holds, and the class ``Path``. Tests
replace functions of ``os``. So a run reads and writes its files by the functions of the interpreter's module below
``os``, which an object holds. Files that a test may have made (market data, a scenario) are read as the test sees
them.
"""

from __future__ import annotations

import fcntl
import os
from importlib import import_module
from os import PathLike, fspath
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final

AnyPath = str | PathLike[str]
_RealPath: Final = type(Path())

if TYPE_CHECKING:
    system = os
else:
    system = SimpleNamespace(**vars(import_module(os.name)), flock=fcntl.flock, realpath=os.path.realpath)  # noqa: TID251
"""The functions of ``os`` that the system itself provides: not ``path``, ``environ`` or ``makedirs``."""

_DIRECTORY: Final = 0o040000
_REGULAR: Final = 0o100000
_TYPE: Final = 0o170000
_PIECE: Final = 1 << 20


def flock(file: int, operation: int) -> None:
    """Lock an open file, as ``fcntl.flock`` does. Raises ``OSError``."""
    system.flock(file, operation)  # type: ignore[attr-defined]


def absolute(path: AnyPath) -> Path:
    """Return a path relative to the current directory as an absolute path of the real ``Path`` class."""
    return _RealPath(system.getcwd(), fspath(path))


def real_path(path: AnyPath) -> Path:
    """Return the absolute path behind all links. Raises ``OSError``."""
    return _RealPath(system.realpath(path))  # type: ignore[attr-defined]


def read(path: AnyPath, longest: int | None = None) -> bytes:
    """Return the content of a file, or its first ``longest`` bytes. Raises ``OSError``."""
    file = system.open(path, system.O_RDONLY | system.O_CLOEXEC)
    try:
        pieces: list[bytes] = []
        left = longest
        while left is None or left > 0:
            piece = system.read(file, _PIECE if left is None else min(left, _PIECE))
            if not piece:
                break
            pieces.append(piece)
            left = None if left is None else left - len(piece)
        return b"".join(pieces)
    finally:
        system.close(file)


def make_directory(path: AnyPath) -> None:
    """Make a directory and its parents, unless it exists. Raises ``OSError``."""
    try:
        _make_one_directory(path)
    except FileNotFoundError:
        parent = fspath(_RealPath(path).parent)
        if parent == fspath(path):
            raise
        make_directory(parent)
        _make_one_directory(path)


def _make_one_directory(path: AnyPath) -> None:
    try:
        system.mkdir(path)
    except OSError:
        if not _has_type(path, _DIRECTORY):
            raise


def remove(path: AnyPath) -> None:
    """Remove a file or link, if it exists. Raises ``OSError``."""
    try:
        system.unlink(path)
    except FileNotFoundError:
        return


def is_file(path: AnyPath) -> bool:
    """Return True for a regular file, or a link to one."""
    return _has_type(path, _REGULAR)


def is_same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Return True if two results of ``stat`` are of one file."""
    return (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev)


def _has_type(path: AnyPath, wanted: int) -> bool:
    try:
        return system.stat(path).st_mode & _TYPE == wanted
    except (OSError, ValueError):
        return False
