"""RecordArray: a run's operations as a NumPy structured array that knows the names behind its numbers.

It is an ordinary array (a row for each operation, numbers in the fields) that also holds the names of agents,
tasks and kinds, so one call makes a pandas or Polars data frame of it. Rows of it (a slice, a mask, a copy, a
pickle) are a RecordArray with the same names. A field, and everything computed from a field, is a plain array.
``numpy.save`` writes only the numbers.

A data frame has the same columns as the file that ``records=`` writes (``COLUMNS``), so the same code reads both.
Durations in a data frame are seconds as floats, as everywhere in results: ``frame["latency_s"].quantile(0.99)``
equals ``result.latency.p99``. A ``float64`` of seconds is exact to the nanosecond up to 48 days.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np

from pytest_nos_stress._internal.outcome import OUTCOME_NAMES

from .records import Column

if TYPE_CHECKING:
    import pandas
    import polars

FIELDS: Final = (
    "agent",
    "task",
    "index",
    "outcome",
    "kind",
    "is_error",
    "called",
    "end",
    "latency",
    "response_time",
)
"""Fields of the array."""
COLUMNS: Final = (
    "agent",
    "task",
    "index",
    "outcome",
    "fault",
    "error",
    "called",
    "time",
    "latency_s",
    "response_time_s",
)
"""Columns of a data frame and of a file of records."""


class NameColumn(NamedTuple):
    """A column of names as categories: the distinct names, and each row's index among them (-1: no name)."""

    categories: list[str]
    codes: Column


class RecordArray(np.ndarray[tuple[Any, ...], np.dtype[Any]]):
    """Operations of a run, a row for each, in the order of their ends.

    Fields: ``agent``, ``task`` and ``kind`` (numbers in ``agents``, ``tasks`` and ``kinds``), ``index`` (the
    operation's number within its agent, from 0), ``outcome`` (a number in ``outcomes``), ``is_error``, ``called``
    (True if the target was called), and in nanoseconds ``end`` (since the epoch), ``latency`` and
    ``response_time``. The last two measure the target only if ``called`` is True.
    """

    agents: tuple[str, ...] = ()
    """Names of the agents, by number."""
    tasks: tuple[str, ...] = ()
    """Names of the tasks, by number."""
    kinds: tuple[str | None, ...] = ()
    """Names of the planned faults, by number; None for a kind without a fault."""
    outcomes: tuple[str, ...] = OUTCOME_NAMES
    """Names of the outcomes, by number."""

    @classmethod
    def of(
        cls, array: Column, *, agents: Sequence[str], tasks: Sequence[str], kinds: Sequence[str | None]
    ) -> Self:
        """Return the array with its names, without a copy.

        Raise ``ValueError`` if a field is missing, or if a number in the array has no name.
        """
        missing = [name for name in FIELDS if name not in (array.dtype.names or ())]
        if missing:
            raise ValueError(f"array: has no field {', '.join(missing)}; must have {', '.join(FIELDS)}")
        for field, names in (("agent", agents), ("task", tasks), ("kind", kinds), ("outcome", OUTCOME_NAMES)):
            greatest = int(array[field].max()) if array.size else -1
            if greatest >= len(names):
                raise ValueError(f"{field}={greatest}: has no name; must be below {len(names)}")
        records = array.view(cls)
        records.agents, records.tasks, records.kinds = tuple(agents), tuple(tasks), tuple(kinds)
        return records

    def __array_finalize__(self, source: Any) -> None:
        for name in ("agents", "tasks", "kinds"):
            setattr(self, name, getattr(source, name, ()))

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Return the result of a NumPy function as a plain array, or as a scalar if NumPy returns one."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain

    def __getitem__(self, key: Any) -> Any:
        part = super().__getitem__(key)
        if isinstance(part, np.ndarray) and (part.dtype.names is None or part.dtype != self.dtype):
            return part.view(np.ndarray)
        return part

    def __eq__(self, other: object) -> Any:
        return self.view(np.ndarray) == _plain(other)

    def __ne__(self, other: object) -> Any:
        return self.view(np.ndarray) != _plain(other)

    __hash__ = None

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuilt, (self.view(np.ndarray), self.agents, self.tasks, self.kinds)

    def __deepcopy__(self, memo: dict[int, Any] | None) -> Self:
        return self.copy()

    def names(self, column: str) -> NameColumn:
        """Return the names of a column (``agent``, ``task``, ``outcome`` or ``fault``) for a data frame or file.

        Lone surrogates, which UTF-8 cannot encode, are escaped as in Python source.
        """
        field = "kind" if column == "fault" else column
        of_number: dict[str, Sequence[str | None]] = {
            "agent": self.agents,
            "task": self.tasks,
            "outcome": self.outcomes,
            "fault": self.kinds,
        }
        written = [None if name is None else encodable(name) for name in of_number[column]]
        categories = list(dict.fromkeys(name for name in written if name is not None))
        code_of_name = {name: code for code, name in enumerate(categories)}
        code_of_number = np.array([-1 if name is None else code_of_name[name] for name in written], np.int32)
        return NameColumn(categories, code_of_number[self[field]])

    def to_pandas(self) -> pandas.DataFrame:
        """Return a ``pandas.DataFrame`` with a row for each operation.

        ``agent``, ``task``, ``outcome`` and ``fault`` (missing if no fault was planned) are categories, ``index``
        is an integer, ``error`` and ``called`` are booleans. ``time`` (the operation's end) is a timestamp in UTC
        with nanoseconds. ``latency_s`` and ``response_time_s`` are seconds as floats, NaN if the target was not
        called.

        Raise ``ImportError`` if pandas is not installed.
        """
        library = _module("pandas", "to_pandas")
        columns: dict[str, Any] = {}
        for name in COLUMNS:
            if name in ("agent", "task", "outcome", "fault"):
                categories, codes = self.names(name)
                columns[name] = library.Categorical.from_codes(codes, library.Index(categories, dtype=str))
            elif name == "time":
                columns[name] = library.DatetimeIndex(self._flat("end").view("M8[ns]"), tz="UTC")
            else:
                columns[name] = self.plain(name)
        frame: pandas.DataFrame = library.DataFrame(columns)
        return frame

    def to_polars(self) -> polars.DataFrame:
        """Return a ``polars.DataFrame`` with a row for each operation.

        ``agent``, ``task``, ``outcome`` and ``fault`` (null if no fault was planned) are of type ``Enum``,
        ``index`` is an integer, ``error`` and ``called`` are booleans. ``time`` (the operation's end) is a
        ``Datetime`` in UTC with nanoseconds. ``latency_s`` and ``response_time_s`` are seconds as floats, null if
        the target was not called.

        Raise ``ImportError`` if Polars is not installed.
        """
        library = _module("polars", "to_polars")
        columns: dict[str, Any] = {}
        for name in COLUMNS:
            if name in ("agent", "task", "outcome", "fault"):
                categories, codes = self.names(name)
                of_code = library.Series(name, [*categories, None], dtype=library.Enum(categories))
                columns[name] = of_code.gather(np.where(codes < 0, len(categories), codes))
            elif name == "time":
                columns[name] = library.Series(name, self._flat("end")).cast(library.Datetime("ns", "UTC"))
            elif name.endswith("_s"):
                column = library.Series(name, self.plain(name))
                columns[name] = _null_unless(library, self._flat("called"), column)
            else:
                columns[name] = library.Series(name, self.plain(name))
        frame: polars.DataFrame = library.DataFrame(columns)
        return frame

    def plain(self, column: str) -> Column:
        """Return a column of numbers: ``index``, ``error``, ``called``, ``latency_s`` or ``response_time_s``.

        Seconds are NaN if the target was not called.
        """
        if not column.endswith("_s"):
            return self._flat({"error": "is_error"}.get(column, column))
        seconds = self._flat(column.removesuffix("_s")) / 1e9
        seconds[~self._flat("called")] = np.nan
        return seconds

    def _flat(self, field: str) -> Column:
        """Return a field as contiguous memory, which data frame libraries require."""
        return np.ascontiguousarray(self[field])


def encodable(name: str) -> str:
    """Return a name that UTF-8 can encode; lone surrogates are escaped."""
    return name.encode("utf-8", "backslashreplace").decode()


def _null_unless(polars: Any, keep: Column, column: Any) -> Any:
    masked = polars.when(polars.Series(keep)).then(column)
    return polars.select(masked.alias(column.name)).to_series()


def _plain(other: object) -> Any:
    return other.view(np.ndarray) if isinstance(other, RecordArray) else other


def _rebuilt(
    array: Column, agents: tuple[str, ...], tasks: tuple[str, ...], kinds: tuple[str | None, ...]
) -> RecordArray:
    records = array.view(RecordArray)
    records.agents, records.tasks, records.kinds = agents, tasks, kinds
    return records


def _module(name: str, method: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        if error.name not in (None, name):
            raise
        raise ImportError(f"records.{method}() needs {name}: pip install {name}", name=name) from None
