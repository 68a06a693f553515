"""Atomic writes: a file is written completely or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

# Measured: one write of more than a megabyte takes ten times as long as several smaller writes.
_PIECE: Final = 1 << 20


def unfinished_name(name: str) -> str:
    """Return the name of a file while it is being written."""
    return f".{name}.unfinished"


def write_all(file: int, data: bytes) -> None:
    """Write all data to a file descriptor. Raises ``OSError``."""
    left = memoryview(data)
    while left:
        left = left[os.write(file, left[:_PIECE]) :]


def write_atomic(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file atomically: a reader finds the complete file, or the earlier one. Raises ``OSError``."""
    unfinished = path.with_name(unfinished_name(path.name))
    try:
        file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            for part in parts:
                write_all(file, part)
        finally:
            os.close(file)
        os.replace(unfinished, path)
    except BaseException:
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
