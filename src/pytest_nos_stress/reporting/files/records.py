"""``stress_test_records.csv`` and ``.jsonl``: a row for each operation, in order of their ends.

Columns: ``agent``, ``task``, ``index`` (the operation's number within its agent), ``outcome`` (success, failed,
missing_data), ``fault`` (the planned fault; empty without one), ``error``, ``called``, ``time`` (the operation's
end, ISO 8601 in UTC), ``latency_s`` and ``response_time_s``: seconds with nine decimals, empty if the target was
not called.

CSV follows RFC 4180, in UTF-8 with a header. Names are written unchanged, even if they begin with ``=``, ``+``,
``-`` or ``@``: a program that reads the file wants the name, and the names are the test's own. To keep a
spreadsheet from reading names as formulas, import the columns as text. JSON Lines is ASCII, so a name of any
characters is one valid line.

For speed, rows are rendered without a Python loop. A block of rows is one array of bytes with a column for each
part. Parts are padded to the column's width with a byte that UTF-8 never has, and then that byte is deleted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from pytest_nos_stress._internal.instrument import gmtime, strftime
from pytest_nos_stress.results.record_array import COLUMNS, RecordArray, encodable
from pytest_nos_stress.results.records import Column
from pytest_nos_stress.results.result import StressResult

_BLOCK_BYTES: Final = 1 << 21
_FILL: Final = b"\xff"
_GROUP: Final = 1000


def render_csv(result: StressResult) -> Iterator[bytes]:
    """Render the records of a result as CSV, in parts."""
    return csv_rows(result.records)


def render_json_lines(result: StressResult) -> Iterator[bytes]:
    """Render the records of a result as JSON Lines, in parts."""
    return json_lines(result.records)


def csv_rows(records: RecordArray) -> Iterator[bytes]:
    """Render records as CSV, in parts."""
    return _text(records, _CSV)


def json_lines(records: RecordArray) -> Iterator[bytes]:
    """Render records as JSON Lines, in parts."""
    return _text(records, _JSON_LINES)


class _Dialect(NamedTuple):
    """Text format of rows: header, text before each column, end of a row, null, and quotes of the time."""

    header: bytes
    before: tuple[bytes, ...]
    end: bytes
    null: bytes
    time_quote: bytes

    def name(self, name: str | None) -> bytes:
        if name is None:
            return self.null
        return _csv_cell(name) if self is _CSV else json.dumps(name).encode()


def _csv_cell(name: str) -> bytes:
    """Return a cell, quoted if RFC 4180 requires quotes or if a reader would strip space at its ends."""
    text = encodable(name)
    if not any(mark in text for mark in ',"\r\n') and text == text.strip():
        return text.encode()
    return '"{}"'.format(text.replace('"', '""')).encode()


_CSV: Final = _Dialect(
    header=",".join(COLUMNS).encode() + b"\r\n",
    before=(b"", *[b","] * (len(COLUMNS) - 1)),
    end=b"\r\n",
    null=b"",
    time_quote=b"",
)
_JSON_LINES: Final = _Dialect(
    header=b"",
    before=tuple(
        f'{separator}"{name}": '.encode()
        for separator, name in zip(["{", *[", "] * (len(COLUMNS) - 1)], COLUMNS, strict=True)
    ),
    end=b"}\n",
    null=b"null",
    time_quote=b'"',
)


def _text(records: RecordArray, dialect: _Dialect) -> Iterator[bytes]:
    cells = _Cells.of(records, dialect)
    width = sum(table.itemsize for table in cells) + sum(map(len, dialect.before[-2:])) + 100
    rows = max(1, _BLOCK_BYTES // width)
    yield dialect.header
    for first in range(0, records.size, rows):
        yield _rows(records[first : first + rows], cells, dialect)


class _Cells(NamedTuple):
    """Texts of a row for each agent, task, outcome and fault, and for each combination of error and called."""

    agent: Column
    task: Column
    outcome: Column
    kind: Column
    flags: Column

    @classmethod
    def of(cls, records: RecordArray, dialect: _Dialect) -> _Cells:
        """Make the texts, each with the fixed text before or after it."""
        before = dict(zip(COLUMNS, dialect.before, strict=True))
        return cls(
            _table([before["agent"] + dialect.name(name) for name in records.agents]),
            _table([before["task"] + dialect.name(name) + before["index"] for name in records.tasks]),
            _table([before["outcome"] + dialect.name(name) for name in records.outcomes]),
            _table([before["fault"] + dialect.name(name) for name in records.kinds]),
            _table(
                [
                    before["error"] + error + before["called"] + called + before["time"] + dialect.time_quote
                    for error in (b"false", b"true")
                    for called in (b"false", b"true")
                ]
            ),
        )


def _table(cells: Sequence[bytes]) -> Column:
    """Return the cells as an array, padded to one width."""
    width = max(map(len, cells), default=1)
    return np.array([cell.ljust(width, _FILL) for cell in cells], f"S{width}")


def _rows(records: RecordArray, cells: _Cells, dialect: _Dialect) -> bytes:
    second, fraction = np.divmod(records["end"], 1_000_000_000)
    called = records["called"]
    *_, before_latency, before_response_time = dialect.before
    parts: list[Column | bytes] = [
        cells.agent.take(records["agent"]),
        cells.task.take(records["task"]),
        *_whole_number(records["index"]),
        cells.outcome.take(records["outcome"]),
        cells.kind.take(records["kind"]),
        cells.flags.take(records["is_error"] * 2 + called),
        _second_texts(second),
        *_nine_digits(fraction),
        b"+00:00" + dialect.time_quote + before_latency,
        *_seconds(records["latency"], called, dialect),
        before_response_time,
        *_seconds(records["response_time"], called, dialect),
        dialect.end,
    ]
    widths = [(f"f{column}", _width(part)) for column, part in enumerate(parts)]
    rows = np.empty(records.size, widths)
    for (name, _), part in zip(widths, parts, strict=True):
        rows[name] = part
    return rows.tobytes().translate(None, _FILL)


def _width(part: Column | bytes) -> str:
    return f"S{len(part) if isinstance(part, bytes) else part.itemsize}"


_FILLED_UP: Final = _table([*(b"%03d" % one for one in range(_GROUP)), *(b"%3d" % one for one in range(_GROUP))])
_FILLED_UP[:] = [cell.replace(b" ", _FILL) for cell in _FILLED_UP.tolist()]
_NOTHING: Final = 2 * _GROUP
_DIGITS: Final = np.append(_FILLED_UP, np.array([3 * _FILL], "S3"))
"""Three digits each: with leading zeros; from ``_GROUP`` on without; at ``_NOTHING`` none at all."""


def _whole_number(number: Column) -> list[Column]:
    """Return the digits of a number, three at a time, without leading zeros."""
    groups = (len(str(number.max())) + 2) // 3
    parts = []
    for power in range(groups - 1, -1, -1):
        above, group = np.divmod(number // _power(number, power), _power(number, 1))
        leading = np.where((group == 0) & (power > 0), _NOTHING, group + _power(number, 1))
        parts.append(_DIGITS.take(np.where(above > 0, group, leading).astype(np.intp)))
    return parts


def _power(like: Column, power: int) -> Any:
    """Return a power of 1000 in the column's data type, because division is fastest within one type."""
    return like.dtype.type(_GROUP**power)


def _nine_digits(number: Column) -> list[Column]:
    number = number.astype(np.uint32)
    return [
        _DIGITS.take(group)
        for group in (number // 1_000_000, number // _GROUP % _GROUP, number % np.uint32(_GROUP))
    ]


def _seconds(nanoseconds: Column, called: Column, dialect: _Dialect) -> list[Column]:
    """Return the digits of seconds and of their fraction, or the dialect's null if the target was not called."""
    second, fraction = np.divmod(nanoseconds, np.uint64(1_000_000_000))
    point = _table([dialect.null, b"."])
    return [
        *(_unless_null(part, called) for part in _whole_number(second)),
        point.take(called),
        *(_unless_null(part, called) for part in _nine_digits(fraction)),
    ]


def _unless_null(part: Column, called: Column) -> Column:
    return np.where(called, part, _DIGITS[_NOTHING])


def _second_texts(second: Column) -> Column:
    """Return date and time of each second, followed by a point. Equal neighbours are formatted once."""
    firsts = np.flatnonzero(np.diff(second, prepend=second[:1] - 1))
    texts = [strftime("%Y-%m-%dT%H:%M:%S.", gmtime(seconds)).encode() for seconds in second[firsts].tolist()]
    return np.repeat(_table(texts), np.diff(firsts, append=second.size))
