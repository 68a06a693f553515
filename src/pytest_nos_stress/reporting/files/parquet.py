"""``stress_test_records.parquet``: the columns of the CSV file, with types. Needs pyarrow (extra ``parquet``)."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any, Final

import numpy as np

from pytest_nos_stress.results.record_array import COLUMNS, RecordArray
from pytest_nos_stress.results.result import StressResult

_GROUP_ROWS: Final = 1 << 17
_ENCODINGS: Final[dict[str, Any]] = {
    "use_dictionary": ["agent", "task", "outcome", "fault"],
    "column_encoding": dict.fromkeys(("index", "time"), "DELTA_BINARY_PACKED"),
}
"""Numeric columns have no dictionary, because nearly all numbers differ: a dictionary doubled time and size."""


class _Sink:
    """File object that pyarrow writes to. ``take`` returns the bytes written since the last call."""

    closed = False

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._written = 0

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._written += len(part)
        return len(part)

    def tell(self) -> int:
        return self._written

    def flush(self) -> None:
        """Do nothing: no bytes are held back."""

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


def render(result: StressResult) -> Iterator[bytes]:
    """Render the records of a result as Parquet, in parts."""
    return parquet_parts(result.records)


def parquet_parts(records: RecordArray) -> Iterator[bytes]:
    """Render records as Parquet, in parts."""
    arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    sink = _Sink()
    schema = _arrow_table(arrow, records[:0]).schema
    with parquet.ParquetWriter(arrow.PythonFile(sink, mode="w"), schema, **_ENCODINGS) as writer:
        for first in range(0, records.size, _GROUP_ROWS):
            writer.write_table(_arrow_table(arrow, records[first : first + _GROUP_ROWS]))
            yield sink.take()
    yield sink.take()


def _arrow_table(arrow: Any, records: RecordArray) -> Any:
    return arrow.table({name: _arrow_column(arrow, records, name) for name in COLUMNS})


def _arrow_column(arrow: Any, records: RecordArray, name: str) -> Any:
    if name in ("agent", "task", "outcome", "fault"):
        names = records.names(name)
        codes = arrow.array(names.codes, mask=names.codes < 0)
        return arrow.DictionaryArray.from_arrays(codes, arrow.array(names.categories, arrow.string()))
    if name == "time":
        return arrow.array(np.ascontiguousarray(records["end"]), arrow.timestamp("ns", "UTC"))
    return arrow.array(records.plain(name), mask=~records["called"] if name.endswith("_s") else None)
