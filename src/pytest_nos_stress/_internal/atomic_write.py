"""Atomic writes: a file is written completely or not at all, and never through a link."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pytest_nos_stress._internal.system import system

# Measured: one write of more than a megabyte takes ten times as long as several smaller writes.
_PIECE: Final = 1 << 20
_NEW_FILE: Final = system.O_WRONLY | system.O_CREAT | system.O_EXCL
"""Flags that create a file, and refuse a link or a file that exists."""
_LONGEST_NAME: Final = 200


def create(path: Path, flags: int = 0) -> int:
    """Create a file and return its descriptor. Raises ``FileExistsError`` if the path exists, even as a link."""
    return system.open(path, _NEW_FILE | flags, 0o666)


def write_all(file: int, data: bytes) -> None:
    """Write all data to a file descriptor. Raises ``OSError``."""
    left = memoryview(data)
    while left:
        left = left[system.write(file, left[:_PIECE]) :]


def write_atomic(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file atomically: a reader finds the complete file, or the earlier one. Raises ``OSError``.

    A link at the path is replaced, and its target stays as it is. Processes and threads that write the same path
    at the same time do not mix their bytes: the last file that is complete wins.
    """
    unfinished = path.with_name(f"{_unfinished_prefix(path.name)}{secrets.token_hex(4)}.unfinished")
    file = create(unfinished)
    try:
        try:
            for part in parts:
                write_all(file, part)
        finally:
            system.close(file)
        system.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            system.unlink(unfinished)
        raise


def unfinished_files(directory: Path, names: Iterable[str]) -> list[Path]:
    """Return what killed processes have left of unfinished files with these names. Raises ``OSError``."""
    prefixes = tuple(map(_unfinished_prefix, names))
    pattern = re.compile(r"[0-9a-f]{8}\.unfinished")
    return [
        directory / found
        for found in system.listdir(directory)
        for prefix in prefixes
        if found.startswith(prefix) and pattern.fullmatch(found.removeprefix(prefix))
    ]


def _unfinished_prefix(name: str) -> str:
    """Return the start of the hidden name of a file while it is written, short enough for file systems."""
    shortened = os.fsdecode(os.fsencode(name)[:_LONGEST_NAME])
    return f".{shortened}."
