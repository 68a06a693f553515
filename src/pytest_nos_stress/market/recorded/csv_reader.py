"""Comma-separated files, read whole and strictly, a column at a time.

Guarantees: every line has as many fields as it should, and every value was understood by its column's reader;
otherwise a ``SettingError`` of one line names the file, the line and the mistake. A million lines of six fields
take two or three seconds.

A column's reader takes many texts at once and raises ``ValueError`` if it does not understand one of them. Only
then are the values read one by one, to find it: so good files are read fast, and bad ones explained well.
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
"""For each field to read: its index in a line, and its column's reader."""

# As many as a processor's cache holds: with 30 times as many, reading takes twice as long.
_CHUNK_LINES = 2_048
_MAX_TEXT = 300


class BadValue(ValueError):
    """A value that is not allowed; the text says why, without naming the value."""


def file_error(path: str, text: str, line: int | None = None, unit: str = "line") -> SettingError:
    """Return the error for a mistake in a replay file, in one line."""
    position = "" if line is None else f"{unit} {line}: "
    return SettingError(f"replay={path!r}: {position}{shorten(escape_controls(text), _MAX_TEXT)}")


def read_header(path: str) -> list[str]:
    """The fields of the first line."""
    with _open(path) as file:
        header = next(_chunks(path, file, 1, lines=1), None)
    if header is None:
        raise file_error(path, "the file is empty")
    return list(header[0])


def read_columns(path: str, fields: Fields, width: int, header: bool) -> dict[str, Array]:
    """Read the named columns of a file whose lines have ``width`` fields. ``header``: whether to skip line 1."""
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
        raise file_error(path, "holds no records")
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def numbers(texts: Sequence[str]) -> npt.NDArray[np.float64]:
    """A column of decimal numbers."""
    try:
        return np.fromiter(map(float, texts), np.float64, len(texts))
    except ValueError:
        raise BadValue("is not a number") from None


def whole_numbers(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """A column of whole numbers of at most 63 bits."""
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
    """The lines that remain, split into fields, many at a time; without the empty ones at the end of the file."""
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
        raise file_error(path, "is no text in UTF-8") from None
    except csv.Error as error:
        raise file_error(path, f"is not comma-separated: {error}", first + reader.line_num - 1) from None


def _check_width(path: str, rows: list[list[str]], width: int, line: int) -> None:
    if set(map(len, rows)) == {width}:
        return
    wrong = next(index for index, row in enumerate(rows) if len(row) != width)
    count = len(rows[wrong])
    if not count:
        raise file_error(path, "is empty", line + wrong)
    raise file_error(
        path,
        f"has {count} field{'s' * (count != 1)} where there should be {width}"
        + ("; is the file cut off?" if count < width else ""),
        line + wrong,
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
