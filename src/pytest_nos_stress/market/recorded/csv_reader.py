"""A strict reader of comma-separated files, column by column.

Guarantees: every line has the expected number of fields, and the reader of its column accepts every value.
Otherwise a one-line ``SettingError`` names the file, the line and the mistake. A million lines of six fields take
two or three seconds.

The reader of a column takes many values at once and raises ``ValueError`` if one of them is invalid. Only then are
the values read one by one to find it. So valid files are read fast, and errors name the invalid value.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt

from pytest_nos_stress._internal.text import escape_controls, safe_repr, shorten
from pytest_nos_stress.errors import SettingError

Array = npt.NDArray[Any]
Column = Callable[[Sequence[str]], Array]
Fields = Mapping[str, tuple[int, Column]]
"""The index in a line and the column's reader, by name of the field."""

# As many lines as fit into a processor's cache. With 30 times as many, reading takes twice as long.
_CHUNK_LINES = 2_048
_MAX_TEXT = 300


class BadValue(ValueError):
    """A value is not allowed. The message gives the reason, and its caller adds the value."""


def file_error(path: str, text: str, line: int | None = None, unit: str = "line") -> SettingError:
    """Return a one-line error for a mistake in a recorded file."""
    position = "" if line is None else f"{unit} {line}: "
    return SettingError(f"replay={path!r}: {position}{shorten(escape_controls(text), _MAX_TEXT)}")


def read_header(path: str) -> list[str]:
    """Return the fields of the first line."""
    with _open(path) as file:
        header = next(_chunks(path, file, 1, lines=1), None)
    if header is None:
        raise file_error(path, "the file is empty")
    return list(header[0])


def read_columns(path: str, fields: Fields, width: int, header: bool) -> dict[str, Array]:
    """Read the named columns of a file whose lines have ``width`` fields. ``header``: True to skip line 1."""
    parts: dict[str, list[Array]] = {name: [] for name in fields}
    line = 1 + header
    with _open(path) as file:
        if header:
            file.readline()
        for rows in _chunks(path, file, line):
            _check_width(path, rows, width, line)
            columns = list(zip(*rows, strict=True))
            for name, (index, column) in fields.items():
                parts[name].append(_read(path, name, column, columns[index], line))
            line += len(rows)
    if line == 1 + header:
        raise file_error(path, "has no records")
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def numbers(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """Read a column of decimal numbers."""
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        raise BadValue("is not a number") from None


def whole_numbers(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Read a column of whole numbers of at most 63 bits."""
    try:
        return np.fromiter(map(int, texts), np.int64, len(texts))
    except (ValueError, OverflowError):
        raise BadValue("is not a whole number") from None


def _open(path: str) -> TextIO:
    try:
        return open(path, encoding="utf-8-sig", newline="")
    except FileNotFoundError:
        raise file_error(path, "no such file") from None
    except OSError as error:
        raise file_error(path, f"cannot be read: {error.strerror}") from None


def _chunks(path: str, file: TextIO, line: int, lines: int = _CHUNK_LINES) -> Iterator[list[list[str]]]:
    """Yield the remaining lines in chunks, split into fields. Empty lines at the end of the file are left out."""
    first, reader = line, csv.reader(file)
    try:
        while rows := list(islice(reader, lines)):
            full = len(rows)
            while full and not rows[full - 1]:
                full -= 1
            if full < len(rows) and any(reader):
                raise file_error(path, "is empty", line + full)
            if full:
                yield rows[:full]
            line += len(rows)
    except UnicodeDecodeError:
        raise file_error(path, "is not text in UTF-8") from None
    except csv.Error as error:
        raise file_error(path, f"is not comma-separated: {error}", first + reader.line_num - 1) from None


def _check_width(path: str, rows: list[list[str]], width: int, line: int) -> None:
    if set(map(len, rows)) == {width}:
        return
    first_wrong = next(index for index, row in enumerate(rows) if len(row) != width)
    count = len(rows[first_wrong])
    if not count:
        raise file_error(path, "is empty", line + first_wrong)
    raise file_error(
        path,
        f"has {count} field{'s' * (count != 1)}, expected {width}"
        + ("; the file may be cut off" if count < width else ""),
        line + first_wrong,
    )


def _read(path: str, name: str, column: Column, texts: Sequence[str], line: int) -> Array:
    try:
        return column(texts)
    except ValueError:
        for index, text in enumerate(texts):
            _read_alone(path, name, column, text, line + index)
        raise


def _read_alone(path: str, name: str, column: Column, text: str, line: int) -> None:
    try:
        column([text])
    except ValueError as reason:
        raise file_error(path, f"{name} {safe_repr(text)} {reason}", line) from None
