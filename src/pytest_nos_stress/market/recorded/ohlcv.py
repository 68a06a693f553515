"""Recorded bars (open, high, low, close, volume) from CSV and Parquet files.

Guarantees: every row of the file is checked. Prices are finite, positive and at least one tick. The high is the
highest and the low the lowest price. The volume is not negative. Each symbol's timestamps rise. A one-line error
names the first invalid row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import tzinfo
from functools import partial
from importlib import import_module
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pytest_nos_stress.market.errors import name_list
from pytest_nos_stress.market.source import TICKS_PER_UNIT

from .csv_reader import BadValue, Column, file_error, numbers, read_columns, read_header
from .timestamps import SECOND, Nanoseconds, Timestamps, format_moment

Ticks = npt.NDArray[np.int64]
_Rule = tuple[npt.NDArray[np.bool_], Callable[[int], str]]
"""A mask of the rows that violate the rule, and a function from such a row to the error's text."""

_PRICES: Final = ("open", "high", "low", "close")
_NAMES: Final = {
    "timestamp": ("timestamp", "time", "date", "datetime"),
    **{name: (name,) for name in (*_PRICES, "volume")},
    "symbol": ("symbol", "ticker"),
}
_MAX_PRICE: Final = 1e12
_MAX_VOLUME: Final = 1e15


class Bars(NamedTuple):
    """One symbol's bars in order.

    ``times``: ns since 1970. ``path``: for each bar four prices in ticks, in the order in which they are reached.
    ``volumes``: whole units. ``length``: of a bar, in ns.
    """

    times: Nanoseconds
    path: Ticks
    volumes: npt.NDArray[np.int64]
    length: int


class _Table(NamedTuple):
    """A file's columns.

    ``unit``: the word for a row in messages, "line" or "row". ``first``: the number of the first record in these
    units. ``symbols``: None if the file has no such column.
    """

    path: str
    unit: str
    first: int
    times: Nanoseconds
    prices: npt.NDArray[np.float64]
    volumes: npt.NDArray[np.float64]
    symbols: Sequence[str] | None

    def error(self, row: int, text: str) -> Exception:
        return file_error(self.path, text, self.first + row, self.unit)


def read_csv(path: str, name: str, symbol: str | None, zone: tzinfo | None, length: int | None) -> dict[str, Bars]:
    """Read the bars of each symbol of a CSV file, or only those of ``symbol``.

    ``name``: the symbol of a file without a column of symbols. ``length``: of a bar, in ns; None for the shortest
    distance between two bars of a symbol. Raises ``SettingError`` for an invalid file.
    """
    header = read_header(path)
    column_indices = _column_indices(path, header, 1)
    readers: dict[str, Column] = {"timestamp": Timestamps(zone), "symbol": _texts}
    fields = {name: (index, readers.get(name, numbers)) for name, index in column_indices.items()}
    columns = read_columns(path, fields, len(header), header=True)
    prices = np.column_stack([columns[price] for price in _PRICES])
    symbols = columns["symbol"].tolist() if "symbol" in columns else None
    table = _Table(path, "line", 2, columns["timestamp"], prices, columns["volume"], symbols)
    return _bars(table, name, symbol, length)


def read_parquet(
    path: str, name: str, symbol: str | None, zone: tzinfo | None, length: int | None
) -> dict[str, Bars]:
    """Read a Parquet file in the same way as ``read_csv``. Needs pyarrow, the extra ``parquet``."""
    columns = _parquet_columns(path)
    if len(columns["timestamp"]) == 0:
        raise file_error(path, "has no records")
    try:
        times = _parquet_times(columns["timestamp"], Timestamps(zone))
    except BadValue as reason:
        raise file_error(path, f"timestamp {reason}") from None
    prices = np.column_stack([_parquet_numbers(path, price, columns[price]) for price in _PRICES])
    volumes = _parquet_numbers(path, "volume", columns["volume"])
    symbols = [str(name or "") for name in columns["symbol"].to_pylist()] if "symbol" in columns else None
    return _bars(_Table(path, "row", 1, times, prices, volumes, symbols), name, symbol, length)


def _column_indices(path: str, header: Sequence[str], line: int | None) -> dict[str, int]:
    """Find the index of each column. ``symbol`` may be absent."""
    fields = [field.strip().lower() for field in header]
    indices: dict[str, int] = {}
    for name, spellings in _NAMES.items():
        matches = [index for index, field in enumerate(fields) if field in spellings]
        if len(matches) > 1:
            both = " and ".join(repr(header[index]) for index in matches)
            raise file_error(path, f"duplicate column of the {name}: {both}; must be only one", line)
        if matches:
            indices[name] = matches[0]
        elif name != "symbol":
            raise file_error(
                path, f"no column {'|'.join(spellings)}; found: {name_list(header, len(header))}", line
            )
    return indices


def _texts(values: Sequence[str]) -> npt.NDArray[np.object_]:
    return np.array([value.strip() for value in values], object)


def _parquet_columns(path: str) -> dict[str, Any]:
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError:
        raise file_error(path, 'reading Parquet needs pyarrow: pip install "pytest-nos-stress[parquet]"') from None
    try:
        with parquet.ParquetFile(path) as file:
            header = file.schema_arrow.names
            indices = _column_indices(path, header, None)
            table = file.read(columns=[header[index] for index in indices.values()])
    except FileNotFoundError:
        raise file_error(path, "no such file") from None
    except (OSError, arrow.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise file_error(path, f"is not a Parquet file, or is cut off ({reason[:80]})") from None
    return {name: table.column(header[index]) for name, index in indices.items()}


def _parquet_times(column: Any, timestamps: Timestamps) -> Nanoseconds:
    arrow, types = import_module("pyarrow"), import_module("pyarrow.types")
    if column.null_count:
        raise BadValue("is missing in some rows")
    if types.is_integer(column.type):
        return timestamps.of_numbers(column.to_numpy().astype(np.int64))
    if types.is_string(column.type) or types.is_large_string(column.type):
        return timestamps(column.to_pylist())
    if not types.is_timestamp(column.type) and not types.is_date(column.type):
        raise BadValue(f"has the type {column.type}, which is not a time")
    zone = getattr(column.type, "tz", None)
    try:
        moments: Nanoseconds = column.cast(arrow.timestamp("ns", zone)).to_numpy().astype(np.int64)
    except arrow.ArrowException:
        raise BadValue("is after the year 2199") from None
    return timestamps.of_local_times(moments) if zone is None else timestamps.of_zone(moments, zone)


def _parquet_numbers(path: str, name: str, column: Any) -> npt.NDArray[np.float64]:
    arrow = import_module("pyarrow")
    try:
        return np.array(column.cast(arrow.float64()).to_numpy(zero_copy_only=False), np.float64)
    except arrow.ArrowException:
        raise file_error(path, f"column {name} has the type {column.type}, which is not a number") from None


def _bars(table: _Table, name: str, only: str | None, length: int | None) -> dict[str, Bars]:
    _check_values(table)
    ticks = np.rint(table.prices * TICKS_PER_UNIT).astype(np.int64)
    volumes = np.rint(table.volumes).astype(np.int64)
    volumes[(table.volumes > 0) & (volumes == 0)] = 1
    path = _paths(ticks)
    rows_of = _rows_of(table, name)
    if only is not None and table.symbols is not None and only not in rows_of:
        raise file_error(table.path, f"has no symbol {only!r}; found: {name_list(rows_of, len(rows_of))}")
    for symbol, rows in rows_of.items():
        _check_order(table, symbol, rows)
    chosen = rows_of if only is None else {only: rows_of[only]}
    return {
        symbol: Bars(
            times := table.times[rows], path[rows], volumes[rows], _length(table.path, symbol, times, length)
        )
        for symbol, rows in chosen.items()
    }


def _rows_of(table: _Table, name: str) -> dict[str, npt.NDArray[np.intp]]:
    """Return the rows of each symbol, with symbols in the order of their first row."""
    if table.symbols is None:
        return {name: np.arange(len(table.times))}
    number_of: dict[str, int] = {}
    for row, symbol in enumerate(table.symbols):
        if symbol not in number_of:
            if not symbol:
                raise table.error(row, "the symbol is empty")
            number_of[symbol] = len(number_of)
    numbers_of_rows = np.array([number_of[symbol] for symbol in table.symbols])
    ends = np.cumsum(np.bincount(numbers_of_rows))
    parts = np.split(np.argsort(numbers_of_rows, kind="stable"), ends[:-1])
    return dict(zip(number_of, parts, strict=True))


def _check_values(table: _Table) -> None:
    """Raise ``SettingError`` for the first row with an invalid price or volume."""
    rules = [*_price_rules(table.prices), *_range_rules(table.prices), *_volume_rules(table.volumes)]
    violated = [(int(np.argmax(mask)), text) for mask, text in rules if mask.any()]
    if violated:
        row, text = min(violated, key=lambda rule: rule[0])
        raise table.error(row, text(row))


def _price_rules(prices: npt.NDArray[np.float64]) -> Iterator[_Rule]:
    for name, values in zip(_PRICES, prices.T, strict=True):
        say = partial(_format_value, name, values)
        ticks = np.rint(values * TICKS_PER_UNIT)
        yield ~np.isfinite(values), partial(say, "{name}={value:g} is not a price")
        yield values <= 0, partial(say, "{name}={value:.12g} must be above 0")
        yield ticks == 0, partial(say, "{name}={value:.12g} rounds to 0 ticks of 0.01; scale the prices")
        yield values > _MAX_PRICE, partial(say, "{name}={value:.12g} must not be above 1e12")


def _range_rules(prices: npt.NDArray[np.float64]) -> Iterator[_Rule]:
    opening, high, low, close = prices.T
    yield high < low, lambda row: f"high={high[row]:.12g} is below low={low[row]:.12g}"
    for name, values in (("open", opening), ("close", close)):
        outside = "{name}={value:.12g} is not between the bar's low and high"
        yield (values < low) | (values > high), partial(_format_value, name, values, outside)


def _volume_rules(volumes: npt.NDArray[np.float64]) -> Iterator[_Rule]:
    say = partial(_format_value, "volume", volumes)
    yield ~np.isfinite(volumes), partial(say, "{name}={value:g} is not a number of units")
    yield volumes < 0, partial(say, "{name}={value:.12g} must not be negative")
    yield volumes > _MAX_VOLUME, partial(say, "{name}={value:.12g} must not be above 1e15")


def _format_value(name: str, values: npt.NDArray[np.float64], text: str, row: int) -> str:
    return text.format(name=name, value=values[row])


def _check_order(table: _Table, symbol: str, rows: npt.NDArray[np.intp]) -> None:
    times = table.times[rows]
    rising = np.diff(times) > 0
    if rising.all():
        return
    row = int(np.argmin(rising))
    before, after = int(times[row]), int(times[row + 1])
    of_symbol = "" if table.symbols is None else f" of {symbol}"
    text = (
        f"duplicate bar{of_symbol} at {format_moment(after)} (UTC)"
        if after == before
        else f"not sorted: {format_moment(after)}{of_symbol} comes after {format_moment(before)} (UTC)"
    )
    raise table.error(int(rows[row + 1]), text)


def _length(path: str, symbol: str, times: Nanoseconds, interval: int | None) -> int:
    shortest = int(np.diff(times).min()) if len(times) > 1 else None
    if interval is None and shortest is None:
        raise file_error(
            path, f"has a single bar of {symbol}, so the length of a bar is unknown; give it, such as interval=60"
        )
    if interval is None or shortest is None:
        return interval or shortest or SECOND
    if interval > shortest:
        raise file_error(
            path,
            f"interval={interval / SECOND:g}: must be at most {shortest / SECOND:g}, the shortest distance "
            f"between bars of {symbol}",
        )
    return interval


def _paths(ticks: Ticks) -> Ticks:
    """Return each bar's four prices in the order in which they are reached. A rising bar has its low first."""
    opening, high, low, close = ticks.T
    rises = close >= opening
    return np.column_stack([opening, np.where(rises, low, high), np.where(rises, high, low), close])
