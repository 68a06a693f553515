"""Recorded market data as a source of prices.

    market = Market(model=replay("aapl.csv"))

Guarantees: a file is read and checked completely before the first price is read. Every mistake in a file is a
one-line ``SettingError`` with file and line. Time 0 is the time of the first record. After the last record, the
prices do not change. A replay never changes, so any number of threads may read it.

The readers of the files, and NumPy with them, are imported when the first file is read.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pytest_nos_stress._internal.text import safe_repr
from pytest_nos_stress.errors import SettingError
from pytest_nos_stress.market.errors import UnknownSymbol, name_list
from pytest_nos_stress.market.source import Prices, SourceBar, SourceTrade

from .recorded import Recorded, RecordedBars, RecordedBook

if TYPE_CHECKING:
    from .lobster import Messages
    from .ohlcv import Bars
    from .timestamps import Nanoseconds

File = str | os.PathLike[str]

_FORMATS: Final = {".csv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}
_ALLOWED_FORMATS: Final = ("csv", "parquet", "lobster")
_MAX_SPREAD: Final = 10_000


def replay(
    path: File | Mapping[str, File],
    *,
    timezone: str | None = None,
    symbol: str | None = None,
    format: str | None = None,
    interval: float | None = None,
    spread: int = 2,
) -> Replay:
    """Read recorded prices, to be used as a market's model.

    ``path``: a LOBSTER message file, or a file of bars (CSV or Parquet) with the columns timestamp, open, high,
    low, close, volume, and symbol if it has several symbols. Or a mapping of symbols to files, which must overlap
    in time.
    ``timezone``: the time zone of timestamps without an offset. Offsets in the file must agree with it. None: UTC
    (for LOBSTER files New York); any offset is allowed if it is the same in the whole file.
    ``symbol``: the only symbol to read from a file with several, or the name of the symbol in a file without a
    column of symbols (default: from the file's name).
    ``format``: "csv", "parquet" or "lobster"; None: from the file's name.
    ``interval``: a bar's length in seconds; None: the shortest distance between two bars of a symbol.
    ``spread``: ticks between bid and ask if the recording has only one price; default 2.

    Raises ``SettingError``, a ``ValueError``, for an invalid file or argument.
    """
    _check_settings(format, interval, spread)
    named_files = _files_by_symbol(path, symbol)
    reader = _Reader(timezone, format, interval, spread)
    files = [reader.read(file, name) for name, file in named_files]
    _check_overlap(files)
    origin = min(file.first for file in files)
    recorded_prices = {
        name: recorded for file in files for name, recorded in file.recorded(origin, spread).items()
    }
    return Replay(recorded_prices, ", ".join(file.path for file in files))


class Replay:
    """A ``PriceSource`` of recorded prices, made by ``replay()``.

    ``symbols``: the recorded symbols, in the order of the files.
    """

    def __init__(self, recorded: Mapping[str, Recorded], origin: str) -> None:
        self.symbols: tuple[str, ...] = tuple(recorded)
        self._recorded = dict(recorded)
        self._origin = origin

    def prices(self, symbol: str, seconds: float) -> Prices:
        """Return the symbol's prices at this moment.

        Before its first record it has its first prices, after its last record its last.
        """
        return self._recording_of(symbol).prices(seconds)

    def updated(self, symbol: str, seconds: float) -> float:
        """Return the time of the last price change.

        During a bar it is ``seconds``, after the bar it is the bar's end. For a book it is the last change.
        """
        return self._recording_of(symbol).updated(seconds)

    def trades(self, symbol: str, after: float, until: float) -> list[SourceTrade]:
        """Return the trades with ``after < seconds <= until``, in order.

        They are the recorded executions, or the four prints of each bar. Prints without volume are left out.
        """
        return self._recording_of(symbol).trades(after, until)

    def bars(self, symbol: str, start: float, interval: float, count: int) -> list[SourceBar]:
        """Return ``count`` successive bars of ``interval`` seconds, which may be any length."""
        return self._recording_of(symbol).bars(start, interval, count)

    def is_halted(self, symbol: str, seconds: float) -> bool:
        """Return True if trading is halted at this moment. Recorded bars have no halts."""
        return self._recording_of(symbol).is_halted(seconds)

    def __repr__(self) -> str:
        return f"<Replay of {', '.join(self.symbols)} from {self._origin}>"

    def _recording_of(self, symbol: str) -> Recorded:
        try:
            return self._recorded[symbol]
        except KeyError:
            known = name_list(self.symbols, len(self.symbols))
            raise UnknownSymbol(f"unknown symbol {symbol!r}; available: {known}") from None


class _ReadFile(NamedTuple):
    """The content of a file, with times in ns since 1970."""

    path: str
    first: int
    last: int
    content: Mapping[str, Bars | Messages]

    def recorded(self, origin: int, spread: int) -> dict[str, Recorded]:
        return {name: _recorded(content, origin, spread) for name, content in self.content.items()}


class _Reader:
    """A reader of files of any format, all with the same settings."""

    def __init__(self, timezone: str | None, format: str | None, interval: float | None, spread: int) -> None:
        from .timestamps import SECOND, zone_named

        self._zone = zone_named(timezone)
        self._format = format
        self._bar_length = None if interval is None else round(interval * SECOND)
        self._spread = spread

    def read(self, path: str, symbol: str | None) -> _ReadFile:
        format = self._format or _format_of(path)
        content = self._messages(path, symbol) if format == "lobster" else self._bars(path, symbol, format)
        first = min(int(records.times[0]) for records in content.values())
        last = max(int(records.times[-1]) for records in content.values())
        return _ReadFile(path, first, last, content)

    def _messages(self, path: str, symbol: str | None) -> Mapping[str, Messages]:
        from . import lobster
        from .timestamps import zone_of

        name = symbol or lobster.symbol_in(path) or _name_of(path)
        return {name: lobster.read(path, self._zone or zone_of(lobster.ZONE), self._spread)}

    def _bars(self, path: str, symbol: str | None, format: str) -> Mapping[str, Bars]:
        from . import ohlcv

        read = ohlcv.read_parquet if format == "parquet" else ohlcv.read_csv
        return read(path, symbol or _name_of(path), symbol, self._zone, self._bar_length)


def _check_settings(format: str | None, interval: float | None, spread: int) -> None:
    if format is not None and format not in _ALLOWED_FORMATS:
        raise SettingError(f"format={format!r}: must be one of {', '.join(_ALLOWED_FORMATS)}")
    if interval is not None and not (isinstance(interval, int | float) and 1e-6 <= interval <= 1e9):
        raise SettingError(f"interval={interval!r}: must be a bar's length in seconds, 1e-6 to 1e9")
    if isinstance(spread, bool) or not isinstance(spread, int) or not 1 <= spread <= _MAX_SPREAD:
        raise SettingError(f"spread={spread!r}: must be a whole number of ticks, 1 to {_MAX_SPREAD}")


def _files_by_symbol(path: File | Mapping[str, File], symbol: str | None) -> list[tuple[str | None, str]]:
    """Return the files to read, each with its symbol if one is given."""
    if not isinstance(path, Mapping):
        return [(symbol, _path_text(path))]
    if symbol is not None:
        raise SettingError(f"symbol={symbol!r}: must be left out, because the mapping of files names the symbols")
    if not path:
        raise SettingError("replay={}: must have at least one file")
    invalid = next((name for name in path if not isinstance(name, str) or not name), None)
    if invalid is not None:
        raise SettingError(f"replay={{{invalid!r}: ...}}: the symbol must be a non-empty string")
    return [(name, _path_text(file)) for name, file in path.items()]


def _path_text(path: File) -> str:
    text = os.fspath(path) if isinstance(path, os.PathLike) else path
    if isinstance(text, str):
        return text
    raise SettingError(f"replay={safe_repr(path)}: must be a file's path, or a mapping of symbols to paths")


def _format_of(path: str) -> str:
    from .lobster import symbol_in

    if symbol_in(path) is not None:
        return "lobster"
    ending = Path(path).suffix.lower()
    if ending not in _FORMATS:
        raise SettingError(
            f"replay={path!r}: unknown format {ending!r}; set format= to one of {', '.join(_ALLOWED_FORMATS)}"
        )
    return _FORMATS[ending]


def _name_of(path: str) -> str:
    return Path(path).stem.upper()


def _check_overlap(files: list[_ReadFile]) -> None:
    from .timestamps import format_moment

    latest, earliest = max(files, key=lambda file: file.first), min(files, key=lambda file: file.last)
    if latest.first > earliest.last:
        raise SettingError(
            f"replay={latest.path!r}: begins at {format_moment(latest.first)}, after {earliest.path!r} has ended "
            f"at {format_moment(earliest.last)} (UTC); the files must overlap in time"
        )


def _recorded(content: Bars | Messages, origin: int, spread: int) -> Recorded:
    from .ohlcv import Bars
    from .timestamps import SECOND

    if isinstance(content, Bars):
        return RecordedBars(
            _to_seconds(content.times, origin),
            _to_integers(content.path),
            _to_integers(content.volumes),
            content.length / SECOND,
            spread,
        )
    return RecordedBook(
        _to_seconds(content.times, origin),
        _to_integers(content.bids),
        _to_integers(content.asks),
        _to_integers(content.lasts),
        _to_seconds(content.trade_times, origin),
        _to_integers(content.trade_prices),
        _to_integers(content.quantities),
        _to_seconds(content.halt_times, origin),
        _to_integers(content.halts),
    )


def _to_seconds(times: Nanoseconds, origin: int) -> array[float]:
    return array("d", ((times - origin) / 1e9).tobytes())


def _to_integers(values: Nanoseconds) -> array[int]:
    return array("q", values.tobytes())
