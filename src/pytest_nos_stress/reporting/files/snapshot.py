"""``agent_memory_snapshot.json``: the successful operations in time order.

For speed, all rows have the same width, so a block of rows is one array of bytes. Its columns are the start of a
row, which depends only on agent and task, and the digits of the time stamp, looked up three at a time.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import numpy as np

from pytest_nos_stress._internal.instrument import gmtime, strftime
from pytest_nos_stress._internal.outcome import SUCCESS
from pytest_nos_stress.results.records import Column, Records
from pytest_nos_stress.results.result import StressResult

_BLOCK_ROWS: Final = 8_192
_SEPARATOR: Final = b",\n"
_THREE_DIGITS: Final = np.array([b"%03d" % number for number in range(1000)])


def render(result: StressResult) -> Iterator[bytes]:
    """Render the successful operations of a result, in parts."""
    return snapshot_rows(result.operation_columns, result.operation_columns.wall_offset_ns)


def snapshot_rows(records: Records, wall_offset_ns: int) -> Iterator[bytes]:
    """Render the successful operations among records, in parts."""
    success = records.column("outcome") == SUCCESS.value
    end = records.column("end")[success]
    order = np.argsort(end, kind="stable")
    microseconds = (end[order] + wall_offset_ns) // 1000
    del end
    head_numbers = _head_numbers(records)[success][order]
    del success, order
    heads = _heads(records)
    yield b"["
    for first in range(0, microseconds.size, _BLOCK_ROWS):
        rows = slice(first, first + _BLOCK_ROWS)
        yield (_SEPARATOR if first else b"\n") + _rows(heads.take(head_numbers[rows]), microseconds[rows])
    yield b"\n]\n"


def _head_numbers(records: Records) -> Column:
    agent = records.column("agent").astype(np.uint32)
    agent *= np.uint32(len(records.tasks))
    agent += records.task()
    return agent


def _heads(records: Records) -> Column:
    """Return the start of a row for each agent and task, padded to one width: JSON allows that space."""
    heads = [
        f'{{"agent": {json.dumps(agent)}, "task": {json.dumps(task)}, '
        for agent in records.agents
        for task in records.tasks
    ]
    width = max(map(len, heads))
    return np.array([f'{head.ljust(width)}"timestamp": "'.encode() for head in heads])


def _rows(heads: Column, microseconds: Column) -> bytes:
    """Return the rows as JSON, with separators between them."""
    tail = b'+00:00"}' + _SEPARATOR
    second, fraction = np.divmod(microseconds, 1_000_000)
    firsts = np.flatnonzero(np.diff(second, prepend=-1))
    texts = np.array([_second_text(number) for number in second[firsts].tolist()])
    rows = np.empty(
        heads.size,
        [
            ("head", heads.dtype),
            ("second", "S20"),
            ("milli", "S3"),
            ("micro", "S3"),
            ("tail", f"S{len(tail)}"),
        ],
    )
    rows["head"] = heads
    rows["second"] = np.repeat(texts, np.diff(firsts, append=second.size))
    rows["milli"] = _THREE_DIGITS.take(fraction // 1000)
    rows["micro"] = _THREE_DIGITS.take(fraction % 1000)
    rows["tail"] = tail
    return rows.tobytes()[: -len(_SEPARATOR)]


def _second_text(second: int) -> bytes:
    return strftime("%Y-%m-%dT%H:%M:%S.", gmtime(second)).encode()
