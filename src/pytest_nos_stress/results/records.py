"""Records: one row for each operation, kept in columns that take about 20 bytes a row.

Durations are exact nanoseconds. They take 32 bits, or 64 bits in chunks with a duration above 4.29 s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from pytest_nos_stress._internal.outcome import Outcome
from pytest_nos_stress.faults.mix import FaultMix
from pytest_nos_stress.scenario.operation import Task

from .background import BackgroundError

_CHUNK_ROWS: Final = 65_536

Column = npt.NDArray[Any]
DURATIONS: Final = ("latency", "response_time")
"""Names of the columns that are durations."""


@dataclass(slots=True)
class Batch:
    """Operations as columns, in the order of their ends.

    ``code`` is the plan's number, made of task and kind. ``called`` is True if the operation entered the target's
    function, ``is_cut_short`` if it ended because the run ended. Times are nanoseconds on the engine's clock.
    ``errors`` maps a row to the text of its exception.
    """

    agent: Column
    code: Column
    outcome: Column
    is_error: Column
    end: Column
    latency: Column
    response_time: Column
    errors: dict[int, str]
    called: Column
    is_cut_short: Column

    @property
    def flags(self) -> Column:
        """The columns in ``_FLAGS``, packed into one."""
        flags = np.zeros(self.end.size, np.uint8)
        for name, bit in _FLAGS.items():
            flags |= getattr(self, name) * np.uint8(bit)
        return flags


_FLAGS: Final = {"is_error": 1, "called": 2, "is_cut_short": 4}
"""Columns of a single bit, by name. They are kept in one column to save memory."""


class _GrowingColumn:
    """A column that grows in chunks; each chunk is as wide as its values need."""

    def __init__(self, dtype: type[np.generic]) -> None:
        self._narrow = np.dtype(dtype)
        self._full: list[Column] = []
        self._open = np.empty(_CHUNK_ROWS, self._narrow)
        self._used = 0

    @property
    def itemsize(self) -> int:
        return self._narrow.itemsize

    def extend(self, values: Column) -> None:
        while values.size:
            if self._open.dtype.itemsize == 4 and int(values.max()) >> 32:
                self._close(np.dtype(np.uint64))
            taken = values[: _CHUNK_ROWS - self._used]
            self._open[self._used : self._used + taken.size] = taken
            self._used += taken.size
            values = values[taken.size :]
            if self._used == _CHUNK_ROWS:
                self._close(self._narrow)

    def _close(self, dtype: np.dtype[Any]) -> None:
        self._full.append(self._open[: self._used].copy() if self._used < _CHUNK_ROWS else self._open)
        self._open = np.empty(_CHUNK_ROWS, dtype)
        self._used = 0

    def chunks(self) -> list[Column]:
        return [*self._full, self._open[: self._used]]

    def array(self) -> Column:
        return np.concatenate(self.chunks())


class Rows(Protocol):
    """Operations as columns: all operations of a run, or some."""

    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    kinds: FaultMix
    total: int
    background_errors: list[BackgroundError]

    def column(self, name: str) -> Column: ...

    def chunks(self, *names: str) -> list[tuple[Column, ...]]: ...

    def task(self) -> Column:
        """Return the task number of each operation."""


class SomeRows:
    """A selection of operations. Each column is read at its first use, and kept."""

    def __init__(self, rows: Rows, chosen: Column | slice, total: int) -> None:
        self.agents, self.tasks, self.kinds = rows.agents, rows.tasks, rows.kinds
        self.background_errors = rows.background_errors
        self.total = total
        self._rows = rows
        self._chosen = chosen
        self._columns: dict[str, Column] = {}

    @classmethod
    def where(cls, rows: Rows, condition: Column) -> SomeRows:
        return cls(rows, condition, int(np.count_nonzero(condition)))

    @classmethod
    def in_order_of_end(cls, rows: Rows) -> SomeRows:
        return cls(rows, np.argsort(rows.column("end"), kind="stable"), rows.total)

    def between(self, first: int, stop: int) -> SomeRows:
        return SomeRows(self, slice(first, stop), stop - first)

    def column(self, name: str) -> Column:
        if name not in self._columns:
            self._columns[name] = self._rows.column(name)[self._chosen]
        return self._columns[name]

    def chunks(self, *names: str) -> list[tuple[Column, ...]]:
        return [tuple(map(self.column, names))]

    def task(self) -> Column:
        return self.column("code") // np.uint16(self.kinds.count)


class Records:
    """Every operation of a run, in the order in which the recorder received them (nearly that of their ends)."""

    def __init__(
        self, agents: Sequence[str], tasks: Sequence[Task], kinds: FaultMix, wall_offset_ns: int = 0
    ) -> None:
        self.agents = tuple(agents)
        self.kinds = kinds
        self.tasks = tuple(task.name for task in tasks)
        self._columns = {
            "agent": _GrowingColumn(np.uint16 if len(agents) <= 65_536 else np.uint32),
            "code": _GrowingColumn(np.uint16),
            "outcome": _GrowingColumn(np.uint8),
            "flags": _GrowingColumn(np.uint8),
            "end": _GrowingColumn(np.int64),
            "latency": _GrowingColumn(np.uint32),
            "response_time": _GrowingColumn(np.uint32),
        }
        self._row_bytes = sum(column.itemsize for column in self._columns.values())
        self.wall_offset_ns = wall_offset_ns
        """Nanoseconds to add to the engine's clock to get the wall clock (since the epoch)."""
        self.background_errors: list[BackgroundError] = []
        """Errors outside of operations. ``Measurements`` counts those of its span of time."""
        self.total = 0
        self.outcome_totals = [0] * len(Outcome)

    def append(self, batch: Batch) -> None:
        for name, column in self._columns.items():
            column.extend(getattr(batch, name))
        self.total += batch.end.size
        counts = np.bincount(batch.outcome, minlength=len(Outcome)).tolist()
        self.outcome_totals = [a + b for a, b in zip(self.outcome_totals, counts, strict=True)]

    @property
    def kept_bytes(self) -> int:
        """Bytes that the rows take if no duration is above 4.29 s."""
        return self.total * self._row_bytes

    def column(self, name: str) -> Column:
        """Return a whole column as one array."""
        if name in _FLAGS:
            return _flag(name, self._columns["flags"].array())
        return self._columns[name].array()

    def chunks(self, *names: str) -> list[tuple[Column, ...]]:
        """Return columns chunk by chunk; the chunks of all columns have the same rows."""
        return list(zip(*map(self._chunks, names), strict=True))

    def _chunks(self, name: str) -> list[Column]:
        if name in _FLAGS:
            return [_flag(name, chunk) for chunk in self._columns["flags"].chunks()]
        return self._columns[name].chunks()

    def task(self) -> Column:
        """Return the task number of each operation."""
        return self.column("code") // np.uint16(self.kinds.count)

    def to_array(self) -> Column:
        """Return a structured array with a row for each operation, in the order of their ends.

        Fields: ``agent`` and ``task`` (numbers in ``agents`` and ``tasks``), ``index``, ``outcome`` (0
        success, 1 failed, 2 missing_data), ``kind`` (the planned variant, a number in ``kinds.variants``),
        ``is_error``, ``called``, and in nanoseconds ``end`` (since the epoch), ``latency`` and
        ``response_time``.
        """
        agent = self.column("agent")
        rows = np.empty(self.total, record_dtype(agent.dtype))
        rows["agent"] = agent
        rows["task"] = self.task()
        rows["index"] = _running_number(agent)
        rows["kind"] = self.column("code") % np.uint16(self.kinds.count)
        for name in ("outcome", "is_error", "called", "end", "latency", "response_time"):
            rows[name] = self.column(name)
        rows["end"] += self.wall_offset_ns
        in_order: Column = rows[np.argsort(rows["end"], kind="stable")]
        return in_order


def record_dtype(agent: npt.DTypeLike) -> np.dtype[Any]:
    """Return the fields of a record; ``agent`` is the type of agent numbers."""
    return np.dtype(
        [
            ("agent", agent),
            ("task", np.uint16),
            ("index", np.uint32),
            ("outcome", np.uint8),
            ("kind", np.uint8),
            ("is_error", np.bool_),
            ("called", np.bool_),
            ("end", np.int64),
            ("latency", np.uint64),
            ("response_time", np.uint64),
        ]
    )


def entering_codes(tasks: Sequence[Task], kinds: FaultMix) -> Column:
    """Return True for each code of a plan with which operations enter the target's function."""
    return np.array(
        [kind.enters_target(takes_operation=task.takes_operation) for task in tasks for kind in kinds.variants]
    )


def _flag(name: str, flags: Column) -> Column:
    flag: Column = (flags & np.uint8(_FLAGS[name])).astype(np.bool_)
    return flag


def _running_number(values: Column) -> Column:
    """Return, for each value, the number of its earlier occurrences."""
    order = np.argsort(values, kind="stable")
    counts = np.bincount(values)
    firsts = np.repeat(np.cumsum(counts) - counts, counts)
    numbers = np.empty(values.size, np.uint32)
    numbers[order] = np.arange(values.size) - firsts
    return numbers
